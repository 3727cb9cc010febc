//! A look at good images before anything is learned from them: which of them are doubtful, and whether the set is good enough.

use std::{collections::HashSet, path::PathBuf};

use serde::Serialize;

use super::{Event, FEWEST_IMAGES, FitOptions, Fitted, Fitter, Unusual, files::read_files, variety};
use crate::{
    Error, Result,
    frame::Limits,
    runtime::Runtime,
    screen::{Evidence, Finding, Kind, Known, Look, ranking, screen},
    segment::{images_needed, percent},
    train::{Control, cache::remove_at},
};

/// What was found in a set of good images.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Checked {
    /// The images that were judged: paths, or `frame N` where frames were pushed. Findings give places in this list.
    pub images: Vec<String>,
    /// What is doubtful, the most serious first.
    pub findings: Vec<Finding>,
    /// All images with held-out evidence, the most unusual first, whether they are named or not.
    pub ranking: Vec<Ranked>,
    /// What there is to say about the set as a whole, one sentence each: too uniform, or too few for the reject rate.
    pub notes: Vec<String>,
}

/// An image with its held-out evidence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranked {
    /// The image.
    pub image: String,
    /// Its lowest log₁₀NFA.
    pub log10_nfa: f32,
    /// Where that is, as parts of width and height: x, y.
    pub place: [f32; 2],
}

/// A finding for readers outside: names in place of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Described<'a> {
    /// What the image looks like.
    pub kind: Kind,
    /// The image.
    pub image: &'a str,
    /// The figure that says so.
    pub figure: f64,
    /// What the figure is and its unit.
    pub unit: &'static str,
    /// What is usual in this set: from, to.
    pub usual: [f64; 2],
    /// How far the figure is from what is usual; 1 is just named.
    pub strength: f64,
    /// The place of the strongest evidence as parts of width and height: x, y.
    pub place: Option<[f32; 2]>,
    /// The earlier image that a near duplicate resembles.
    pub resembles: Option<&'a str>,
    /// What to do.
    pub advice: &'static str,
}

impl Checked {
    /// The images of the findings, each once, in the order of their first finding.
    pub fn doubtful(&self) -> Vec<usize> {
        let mut images = Vec::new();
        for finding in &self.findings {
            if !images.contains(&finding.image) {
                images.push(finding.image);
            }
        }
        images
    }

    /// The findings with the names of their images in place of numbers, and with what to do.
    pub fn described(&self) -> Vec<Described<'_>> {
        let name = |image: usize| self.images.get(image).map_or("", String::as_str);
        let described = |finding: &Finding| Described {
            kind: finding.kind,
            image: name(finding.image),
            figure: finding.figure,
            unit: finding.unit,
            usual: finding.usual,
            strength: finding.strength,
            place: finding.place,
            resembles: finding.resembles.map(name),
            advice: finding.kind.advice(),
        };
        self.findings.iter().map(described).collect()
    }

    /// The doubtful images in a sentence; `None` without any.
    pub fn warning(&self) -> Option<String> {
        let doubtful = self.doubtful();
        let kinds = |image: usize| {
            let kinds =
                self.findings.iter().filter(|finding| finding.image == image).map(|finding| finding.kind.to_string());
            format!("{} ({})", self.images[image], kinds.collect::<Vec<_>>().join(", "))
        };
        let named: Vec<_> = doubtful.iter().take(MOST_NAMES).map(|&image| kinds(image)).collect();
        let more = doubtful.len().saturating_sub(MOST_NAMES);
        let and_more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!named.is_empty()).then(|| {
            format!(
                "{} of the {} good images look doubtful; look at them, and fit without those that are not good: {}{and_more}",
                doubtful.len(),
                self.images.len(),
                named.join(", ")
            )
        })
    }
}

/// Images that a warning names; the rest is counted.
const MOST_NAMES: usize = 20;

/// Judges image files: all are decoded once, their features are made once, and each is measured by models that did not see it. No flow is
/// trained. The callback sees [`Event`]s of checking and of features; what it answers other than [`Control::Continue`] ends the check.
///
/// # Errors
/// As [`fit_files`](super::fit_files) before training; [`Error::Cancelled`].
pub fn check_files(
    runtime: &Runtime,
    images: &[PathBuf],
    limits: &Limits,
    options: FitOptions,
    events: &mut dyn FnMut(Event<'_>) -> Control,
) -> Result<Checked> {
    let mut fitter = Fitter::new(runtime, options)?;
    read_files(&mut fitter, images, limits, events)?;
    fitter.check()
}

impl Fitter {
    /// Judges the frames so far, each by models that did not see it. Trains nothing, and changes nothing.
    ///
    /// # Errors
    /// Features that cannot be measured.
    pub fn check(&self) -> Result<Checked> {
        let evidence = self.evidence()?;
        self.checked(&evidence)
    }

    /// Leaves out the frames that look defective or of another product, the most unusual first and at most so many; each by models that did not
    /// see it. A model that is fitted next is fitted without them, and its training record names them. Gives the frames that were left out.
    ///
    /// # Errors
    /// Features that cannot be measured; [`Error::Training`] where too few frames would be left.
    pub fn drop_doubtful(&mut self, most: usize) -> Result<Vec<Unusual>> {
        if most == 0 {
            return Ok(Vec::new());
        }
        let evidence = self.evidence()?;
        let checked = self.checked(&evidence)?;
        let bad =
            checked.findings.iter().filter(|finding| matches!(finding.kind, Kind::Defective | Kind::OtherProduct));
        let bad: HashSet<usize> = bad.map(|finding| finding.image).collect();
        let ranking = ranking(&evidence);
        let images: Vec<usize> = ranking.into_iter().filter(|image| bad.contains(image)).take(most).collect();
        let left = self.cache.len() - images.len();
        if !images.is_empty() && left < FEWEST_IMAGES {
            let reason = format!(
                "{left} good images would be left without the {} that look defective or of another product; at least {FEWEST_IMAGES} are needed: add good images, \
                 or drop fewer",
                images.len()
            );
            return Err(Error::training(reason));
        }
        let of = |&image: &usize| {
            evidence[image].map(|of| Unusual { image: self.images[image].name.clone(), log10_nfa: of.log10_nfa })
        };
        let dropped: Vec<Unusual> = images.iter().filter_map(of).collect();
        self.cache.remove(&images);
        let gone: HashSet<&str> = dropped.iter().map(|of| of.image.as_str()).collect();
        remove_at(&mut self.images, &images);
        self.golden.retain(|(name, _)| !gone.contains(name.as_str()));
        self.dropped.extend(dropped.iter().cloned());
        Ok(dropped)
    }

    /// Judges the good images of a model. The model is complete without it, so a failure is only noted.
    pub(super) fn set_checked(&self, fitted: &mut Fitted) {
        // Of old images only the features may be there.
        if self.options.learned.is_some() {
            return;
        }
        match self.check() {
            Ok(checked) => fitted.checked = checked,
            Err(error) => {
                fitted.notes.push(format!("the good images were not checked: {error}; `uflow check` checks them"))
            }
        }
    }

    fn checked(&self, evidence: &[Option<Evidence>]) -> Result<Checked> {
        let threads = self.options.training.threads.or(self.options.session.threads);
        let looks: Option<Vec<Look>> = self.images.iter().map(|image| image.look.clone()).collect();
        let looks = looks.ok_or_else(|| {
            Error::parameter("learned", "old images of which only the features are there cannot be checked")
        })?;
        let findings = super::on(threads, || {
            let pooled = self.pooled();
            Ok(screen(&Known { looks: &looks, pooled: &pooled, evidence }))
        })?;
        let ranked = |image: usize| {
            let Evidence { log10_nfa, place } = evidence[image]?;
            Some(Ranked { image: self.images[image].name.clone(), log10_nfa, place })
        };
        Ok(Checked {
            images: self.images.iter().map(|image| image.name.clone()).collect(),
            findings,
            ranking: ranking(evidence).into_iter().filter_map(ranked).collect(),
            notes: self.notes_of_set(),
        })
    }

    /// Whether the images differ enough, and are enough for the reject rate.
    fn notes_of_set(&self) -> Vec<String> {
        let images = self.cache.len();
        // What a fit refuses is a note here: the other findings are worth telling.
        let uniform = variety::check(&self.cache).unwrap_or_else(|error| Some(error.to_string()));
        let rate = self.options.decision().reject_rate;
        let few = rate.filter(|&rate| images < images_needed(rate)).map(|rate| {
            format!(
                "{images} good images are too few for a reject rate of {}: {} are needed; with {images} the lowest rate that holds is {}",
                percent(rate),
                images_needed(rate),
                percent(1.0 / (images as f64 + 1.0))
            )
        });
        uniform.into_iter().chain(few).collect()
    }
}

//! Gathers what a model found, image by image, and works out the metrics at the end.
//!
//! Everything is compared at the size of the score map, the network's input size: the ground truth is brought to it by
//! nearest neighbour ([`super::resize_mask`]). That is how the method's authors and most of the field report; it
//! counts every image alike, whatever its size, and needs no interpolation of scores before they are ranked.
//!
//! Memory does not grow with the number of images, but for one line about each; see [`super::ranks`] for its bound.

use ndarray::ArrayView2;

use super::{
    metrics::{Evaluation, Found, ImageResult, Kind, conclude},
    ranks::Counts,
    thresholds::{Grid, ratio},
};
use crate::{Error, Result};

/// At which points a model is evaluated.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// ε: the number of false alarms per image that the detections were made with.
    pub epsilon: f64,
    /// The fair threshold of the score map (paper §4.1.1), where the package has one.
    pub fair_threshold: Option<f32>,
}

/// What a model says about one image, and what is true.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// Name of the image, for the list of results.
    pub name: &'a str,
    /// Its kind; [`super::GOOD`] for an image without a defect.
    pub kind: &'a str,
    /// The score map, H × W, finite.
    pub score: ArrayView2<'a, f32>,
    /// The log₁₀NFA map, H × W, finite.
    pub log10_nfa: ArrayView2<'a, f32>,
    /// Where the defects are, H × W. None: unknown for a defective image, nowhere for a good one.
    pub truth: Option<ArrayView2<'a, bool>>,
    /// The image's score.
    pub image_score: f32,
    /// The image's verdict.
    pub anomalous: bool,
    /// Number of regions found.
    pub regions: usize,
}

/// Takes observations and gives an [`Evaluation`].
#[derive(Debug)]
pub struct Accumulator {
    settings: Settings,
    grid: Grid,
    kinds: Vec<Kind>,
    images: Vec<ImageResult>,
    truth_known: bool,
}

impl Accumulator {
    /// An empty one. Fails where ε is not positive and finite or the fair threshold not finite.
    pub fn new(settings: Settings) -> Result<Self> {
        if !(settings.epsilon > 0.0 && settings.epsilon.is_finite()) {
            return Err(Error::parameter("--epsilon", format!("must be positive, is {}", settings.epsilon)));
        }
        if settings.fair_threshold.is_some_and(|threshold| !threshold.is_finite()) {
            return Err(Error::parameter("fair_threshold", "is not a finite number"));
        }
        let grid = Grid::new(settings.fair_threshold);
        Ok(Self { settings, grid, kinds: Vec::new(), images: Vec::new(), truth_known: true })
    }

    /// Takes one image. Fails where its maps differ in size or are not finite, or a good image has a defect marked.
    pub fn push(&mut self, observation: &Observation<'_>) -> Result<()> {
        check(observation)?;
        let defective = observation.kind != super::GOOD;
        self.truth_known &= !defective || observation.truth.is_some();
        let truth = |index: usize| {
            let width = observation.score.ncols();
            observation.truth.is_some_and(|truth| truth[[index / width, index % width]])
        };
        let kind = match self.kinds.iter().position(|kind| kind.name == observation.kind) {
            Some(index) => &mut self.kinds[index],
            None => {
                self.kinds.push(Kind::new(observation.kind, self.grid.len()));
                let last = self.kinds.len() - 1;
                &mut self.kinds[last]
            }
        };
        for (index, &score) in observation.score.iter().enumerate() {
            let counts: &mut Counts = if truth(index) { &mut kind.positives } else { &mut kind.negatives };
            counts.push(score);
        }
        let levels = self.grid.levels(observation.score);
        let iou = self.grid.iou(&levels, (0..levels.len()).map(truth));
        add(&mut kind.iou, iou);
        if !defective {
            let components = self.grid.components(&levels, observation.score.ncols());
            add(&mut kind.components, components.into_iter().map(|count| count as f64));
        }
        let iou = self.iou_at_epsilon(observation, truth);
        let kind = observation.kind.to_owned();
        self.images.push(ImageResult {
            name: observation.name.to_owned(),
            kind,
            score: observation.image_score,
            log10_nfa_min: observation.log10_nfa.iter().copied().fold(f32::INFINITY, f32::min),
            anomalous: observation.anomalous,
            regions: observation.regions,
            iou: (!defective || observation.truth.is_some()).then_some(iou),
        });
        Ok(())
    }

    fn iou_at_epsilon(&self, observation: &Observation<'_>, truth: impl Fn(usize) -> bool) -> f64 {
        let limit = self.settings.epsilon.log10() as f32;
        let (mut both, mut either) = (0, 0);
        for (index, &log10_nfa) in observation.log10_nfa.iter().enumerate() {
            let (found, true_) = (log10_nfa < limit, truth(index));
            both += u64::from(found && true_);
            either += u64::from(found || true_);
        }
        ratio(both, either)
    }

    /// The metrics of all images taken.
    pub fn finish(self) -> Evaluation {
        conclude(Found {
            settings: self.settings,
            grid: self.grid,
            kinds: self.kinds,
            images: self.images,
            truth_known: self.truth_known,
        })
    }
}

fn add(sums: &mut [f64], values: impl IntoIterator<Item = f64>) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += value;
    }
}

fn check(observation: &Observation<'_>) -> Result<()> {
    let wrong = |reason: String| Error::Data { path: observation.name.into(), reason };
    let size = observation.score.dim();
    if size.0 * size.1 == 0 {
        return Err(wrong("its score map is empty".to_owned()));
    }
    for (name, other) in [
        ("log₁₀NFA map", Some(observation.log10_nfa.dim())),
        ("ground truth", observation.truth.map(|truth| truth.dim())),
    ] {
        if let Some(other) = other.filter(|&other| other != size) {
            let reason = format!("its {name} is {}×{}, its score map {}×{}", other.1, other.0, size.1, size.0);
            return Err(wrong(reason));
        }
    }
    if observation.kind == super::GOOD && observation.truth.is_some_and(|truth| truth.iter().any(|&marked| marked)) {
        return Err(wrong("is a good image, but its ground truth marks a defect".to_owned()));
    }
    for (what, map) in [("score map", observation.score), ("log₁₀NFA map", observation.log10_nfa)] {
        let found = map.iter().filter(|value| !value.is_finite()).count();
        if found > 0 {
            return Err(Error::NonFinite { what: format!("{what} of {}", observation.name), found, total: map.len() });
        }
    }
    if !observation.image_score.is_finite() {
        return Err(Error::NonFinite { what: format!("score of {}", observation.name), found: 1, total: 1 });
    }
    Ok(())
}

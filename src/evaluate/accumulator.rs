//! Collects what a model found in each image, and computes the metrics at the end.
//!
//! Everything is compared at the size of the score map, which is the network's input size. The ground truth is resized to it by
//! nearest neighbour ([`super::resize_mask`]). The method's authors and most of the field do the same: every image counts
//! alike, whatever its size, and scores are ranked without interpolation.
//!
//! There are two passes over the pixels. The first sorts and packs the scores of each image ([`super::scores`]); the second
//! merges them. Scores are not binned, so every metric is exact, ties included.

use ndarray::ArrayView2;

use super::{
    alarms::AlarmCounter,
    conclude::conclude,
    iou::ratio,
    latency::Times,
    metrics::{Evaluation, ImageResult},
    scores::{Scores, Source, key},
};
use crate::{
    Error, Result,
    segment::components::{ComponentCounts, label},
};

/// The thresholds at which a model is evaluated.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// ε: the number of false alarms per image that the detections were made with.
    pub epsilon: f64,
    /// The fair threshold of the score map (paper §4.1.1), where the package has one.
    pub fair_threshold: Option<f32>,
}

/// A model's output for one image, and the ground truth.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// Name of the image in the list of results.
    pub name: &'a str,
    /// Its kind; [`super::GOOD`] for an image without a defect.
    pub kind: &'a str,
    /// The score map, H × W, finite.
    pub score: ArrayView2<'a, f32>,
    /// The log₁₀NFA map, H × W, finite.
    pub log10_nfa: ArrayView2<'a, f32>,
    /// The ground truth, H × W. `None` for a good image, and for a defective image without a mask.
    pub truth: Option<ArrayView2<'a, bool>>,
    /// The maximum of the score map.
    pub score_max: f32,
    /// The image's verdict.
    pub anomalous: bool,
    /// A pixel belongs to the mask where log₁₀NFA is below this; −∞ where there is no mask.
    pub level: f32,
    /// The share of good images that are at least as unusual, where the package knows good images.
    pub p_value: Option<f64>,
    /// Number of regions found.
    pub regions: usize,
    /// How many of them touch a marked defect; `None` for a good image, and for a defective image without a mark.
    pub touching: Option<usize>,
    /// Milliseconds by stage; may be empty.
    pub timings: &'a [(&'static str, f64)],
}

/// Takes observations and computes an [`Evaluation`].
#[derive(Debug)]
pub struct Accumulator {
    pub(super) settings: Settings,
    /// Names of the kinds; a kind's number is its index.
    pub(super) kinds: Vec<String>,
    pub(super) images: Vec<ImageResult>,
    /// For each image, the number of its kind and the number of its marked pixels.
    pub(super) kind_of: Vec<u32>,
    pub(super) marked: Vec<u64>,
    /// The score maps, and the log₁₀NFA maps with their sign changed so that higher is more anomalous.
    pub(super) scores: Scores,
    pub(super) negated_nfa: Scores,
    /// Components of the good images' score maps.
    pub(super) components: Vec<ComponentCounts>,
    /// False alarms in the good images.
    pub(super) alarms: AlarmCounter,
    pub(super) times: Times,
    pub(super) unmarked: Vec<String>,
    pub(super) truth_known: bool,
}

impl Accumulator {
    /// An empty accumulator. Fails if ε is not positive and finite, or the fair threshold is not finite.
    pub fn new(settings: Settings) -> Result<Self> {
        if !(settings.epsilon > 0.0 && settings.epsilon.is_finite()) {
            return Err(Error::parameter("--epsilon", format!("must be positive, is {}", settings.epsilon)));
        }
        if settings.fair_threshold.is_some_and(|threshold| !threshold.is_finite()) {
            return Err(Error::parameter("fair_threshold", "is not a finite number"));
        }
        Ok(Self {
            settings,
            kinds: Vec::new(),
            images: Vec::new(),
            kind_of: Vec::new(),
            marked: Vec::new(),
            scores: Scores::default(),
            negated_nfa: Scores::default(),
            components: Vec::new(),
            alarms: AlarmCounter::default(),
            times: Times::default(),
            unmarked: Vec::new(),
            truth_known: true,
        })
    }

    /// Adds one image and returns its line of the evaluation. Fails if its maps differ in size or are not finite, or if a good image
    /// has marked pixels.
    pub fn push(&mut self, observation: &Observation<'_>) -> Result<&ImageResult> {
        check(observation)?;
        let defective = observation.kind != super::GOOD;
        self.truth_known &= !defective || observation.truth.is_some();
        let labelled = observation.truth.map(label);
        let (labels, regions) = labelled.as_ref().map_or((&[][..], &[][..]), |(labels, sizes)| (labels, sizes));
        if defective && observation.truth.is_some() && regions.is_empty() {
            self.unmarked.push(observation.name.to_owned());
        }
        let kind = self.kind(observation.kind);
        let image = self.images.len() as u32;
        if self.truth_known {
            let source = Source { image, kind, region: None };
            pack(&mut self.scores, source, observation.score, labels, regions, |score| score);
            pack(&mut self.negated_nfa, source, observation.log10_nfa, labels, regions, |log10_nfa| -log10_nfa);
        }
        if !defective {
            self.components.push(ComponentCounts::of(observation.score, f32::NEG_INFINITY));
            self.alarms.push(observation.log10_nfa);
        }
        let iou = iou_of_mask(observation);
        self.kind_of.push(kind);
        self.marked.push(regions.iter().map(|&pixels| u64::from(pixels)).sum());
        self.times.push(observation.timings);
        let log10_nfa_min = observation.log10_nfa.iter().copied().fold(f32::INFINITY, f32::min);
        let result = ImageResult {
            name: observation.name.to_owned(),
            kind: observation.kind.to_owned(),
            score: 0.0 - log10_nfa_min,
            score_max: observation.score_max,
            log10_nfa_min,
            anomalous: observation.anomalous,
            p_value: observation.p_value,
            regions: observation.regions,
            touching: observation.touching,
            iou: (!defective || observation.truth.is_some()).then_some(iou),
            defective_part: observation
                .truth
                .filter(|_| defective)
                .map(|truth| truth.iter().filter(|&&defective| defective).count() as f64 / truth.len().max(1) as f64),
        };
        self.images.push(result);
        Ok(&self.images[image as usize])
    }

    /// The number of a kind.
    fn kind(&mut self, name: &str) -> u32 {
        let known = self.kinds.iter().position(|kind| kind == name);
        known.unwrap_or_else(|| {
            self.kinds.push(name.to_owned());
            self.kinds.len() - 1
        }) as u32
    }

    /// Computes the metrics of all images added.
    pub fn finish(self) -> Evaluation {
        conclude(self)
    }
}

/// Of the mask that the decision gives.
fn iou_of_mask(observation: &Observation<'_>) -> f64 {
    let (mut both, mut either) = (0, 0);
    let mut truth = observation.truth.iter().flat_map(|truth| truth.iter());
    for &log10_nfa in &observation.log10_nfa {
        let (found, true_) = (log10_nfa < observation.level, truth.next().copied().unwrap_or(false));
        both += u64::from(found && true_);
        either += u64::from(found || true_);
    }
    ratio(both, either)
}

/// Packs a map's values: one run for the pixels outside the mask, one for each region of the mask.
fn pack(
    scores: &mut Scores,
    source: Source,
    map: ArrayView2<'_, f32>,
    labels: &[u32],
    regions: &[u32],
    value: impl Fn(f32) -> f32,
) {
    let mut unmarked = Vec::with_capacity(map.len());
    let mut of_regions: Vec<Vec<u32>> = regions.iter().map(|&pixels| Vec::with_capacity(pixels as usize)).collect();
    let mut labels = labels.iter();
    for &pixel in &map {
        let key = key(value(pixel));
        match labels.next().and_then(|&label| of_regions.get_mut(label as usize)) {
            Some(region) => region.push(key),
            None => unmarked.push(key),
        }
    }
    scores.push(source, &mut unmarked);
    for (keys, &pixels) in of_regions.iter_mut().zip(regions) {
        scores.push(Source { region: Some(pixels), ..source }, keys);
    }
}

fn check(observation: &Observation<'_>) -> Result<()> {
    let wrong = |reason: String| Error::data(observation.name, reason);
    let size = observation.score.dim();
    if size.0 * size.1 == 0 {
        return Err(wrong("the score map is empty".to_owned()));
    }
    for (name, other) in [
        ("log₁₀NFA map", Some(observation.log10_nfa.dim())),
        ("ground truth", observation.truth.map(|truth| truth.dim())),
    ] {
        if let Some(other) = other.filter(|&other| other != size) {
            let reason = format!("the {name} has {}×{} pixels, the score map {}×{}", other.1, other.0, size.1, size.0);
            return Err(wrong(reason));
        }
    }
    if observation.kind == super::GOOD && observation.truth.is_some_and(|truth| truth.iter().any(|&marked| marked)) {
        return Err(wrong("is a good image, but its mask marks a defect".to_owned()));
    }
    if let Some(touching) = observation.touching.filter(|&touching| touching > observation.regions) {
        return Err(wrong(format!("{touching} regions touch a defect, of {} regions", observation.regions)));
    }
    if observation.touching.is_some() && observation.kind == super::GOOD {
        return Err(wrong("is a good image, so no region can touch a defect".to_owned()));
    }
    for (what, map) in [("score map", observation.score), ("log₁₀NFA map", observation.log10_nfa)] {
        let found = map.iter().filter(|value| !value.is_finite()).count();
        if found > 0 {
            return Err(Error::NonFinite { what: format!("{what} of {}", observation.name), found, total: map.len() });
        }
    }
    if !observation.score_max.is_finite() {
        return Err(Error::NonFinite { what: format!("score of {}", observation.name), found: 1, total: 1 });
    }
    Ok(())
}

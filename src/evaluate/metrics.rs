//! The metrics of a test set: what each means, and how they follow from what was gathered.

use serde::Serialize;

use super::{
    GOOD,
    accumulator::Settings,
    ranks::{Counts, Roc, roc},
    thresholds::Grid,
};

/// Metrics of a model on a test set.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// Number of good images.
    pub good_images: usize,
    /// Number of defective images.
    pub defective_images: usize,
    /// ε of the detections.
    pub epsilon: f64,
    /// The threshold of the score map with the best mIoU over all images, the lowest of equals; none without masks. It is
    /// chosen on the test set itself, so what it gives is a bound for any fixed threshold, not a result.
    pub oracle_threshold: Option<f32>,
    /// The fair threshold, from the good training images.
    pub fair_threshold: Option<f32>,
    /// Over all images.
    pub total: Metrics,
    /// For each kind of defect, against all good images.
    pub kinds: Vec<KindMetrics>,
    /// ROC curve over pixels; none without masks.
    pub pixel_roc: Option<Roc>,
    /// ROC curve over images.
    pub image_roc: Option<Roc>,
    /// Every image, in the order it was seen.
    pub images: Vec<ImageResult>,
}

/// Metrics of one kind of defect.
#[derive(Clone, Debug, Serialize)]
pub struct KindMetrics {
    /// Its name.
    pub kind: String,
    /// Its metrics.
    #[serde(flatten)]
    pub metrics: Metrics,
}

/// Metrics of a set of images. None: cannot be known, for lack of masks, good images or defective ones.
#[derive(Clone, Debug, Serialize)]
pub struct Metrics {
    /// Number of images of the kind (in the total: of all images).
    pub images: usize,
    /// Area under the ROC curve of pixels, exact, ties counting one half.
    pub pixel_auroc: Option<f64>,
    /// Area under the ROC curve of image scores.
    pub image_auroc: Option<f64>,
    /// With the detections at ε.
    pub at_epsilon: Operating,
    /// With the score map cut at the oracle threshold.
    pub at_oracle: Option<Operating>,
    /// With the score map cut at the fair threshold.
    pub at_fair: Option<Operating>,
}

/// What one way to decide gives.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Operating {
    /// Intersection over union of predicted and true mask, averaged over the images; two empty masks count 1.
    pub miou: Option<f64>,
    /// The same over the defective images alone.
    pub miou_defective: Option<f64>,
    /// Part of the defective images that are called anomalous.
    pub image_recall: Option<f64>,
    /// Part of the good images that are called anomalous.
    pub good_flagged: Option<f64>,
    /// Regions found per good image.
    pub false_alarms: Option<f64>,
}

/// What was found in one image.
#[derive(Clone, Debug, Serialize)]
pub struct ImageResult {
    /// The image's name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Its score.
    pub score: f32,
    /// The lowest value of its log₁₀NFA map.
    pub log10_nfa_min: f32,
    /// Its verdict.
    pub anomalous: bool,
    /// Number of regions found.
    pub regions: usize,
    /// Intersection over union at ε; none where the truth is not known.
    pub iou: Option<f64>,
}

impl ImageResult {
    fn defective(&self) -> bool {
        self.kind != GOOD
    }
}

/// What is gathered about the images of one kind.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) name: String,
    pub(super) negatives: Counts,
    pub(super) positives: Counts,
    /// Per threshold of the grid: sum of the images' IoU.
    pub(super) iou: Vec<f64>,
    /// Per threshold of the grid: sum of the good images' components.
    pub(super) components: Vec<f64>,
}

impl Kind {
    pub(super) fn new(name: &str, thresholds: usize) -> Self {
        Self {
            name: name.to_owned(),
            negatives: Counts::default(),
            positives: Counts::default(),
            iou: vec![0.0; thresholds],
            components: vec![0.0; thresholds],
        }
    }
}

/// All that was gathered.
pub(super) struct Found {
    pub(super) settings: Settings,
    pub(super) grid: Grid,
    pub(super) kinds: Vec<Kind>,
    pub(super) images: Vec<ImageResult>,
    pub(super) truth_known: bool,
}

pub(super) fn conclude(mut found: Found) -> Evaluation {
    let oracle = found.oracle();
    let fair = found.settings.fair_threshold.and_then(|threshold| found.grid.index_of(threshold));
    let names: Vec<String> = found.kinds.iter().map(|kind| kind.name.clone()).filter(|name| name != GOOD).collect();
    let kinds: Vec<KindMetrics> = names
        .into_iter()
        .map(|kind| {
            let mut metrics = found.metrics(Some(&kind), oracle, fair);
            metrics.images = found.images.iter().filter(|image| image.kind == kind).count();
            KindMetrics { kind, metrics }
        })
        .collect();
    let mut total = found.metrics(None, oracle, fair);
    let image_roc = found.image_roc(None);
    let pixel_roc = found.pixel_roc();
    total.pixel_auroc = pixel_roc.as_ref().map(|roc| roc.auroc);
    let defective_images = found.images.iter().filter(|image| image.defective()).count();
    Evaluation {
        good_images: found.images.len() - defective_images,
        defective_images,
        epsilon: found.settings.epsilon,
        oracle_threshold: oracle.map(|index| found.grid.threshold(index)),
        fair_threshold: found.settings.fair_threshold,
        total,
        kinds,
        pixel_roc,
        image_roc,
        images: found.images,
    }
}

impl Found {
    /// The threshold of the best mIoU over all images.
    fn oracle(&self) -> Option<usize> {
        let sum = |index: usize| self.kinds.iter().map(|kind| kind.iou[index]).sum::<f64>();
        let defective = self.images.iter().any(ImageResult::defective);
        if !self.truth_known || !defective {
            return None;
        }
        let mut best = (f64::NEG_INFINITY, None);
        for index in 0..self.grid.len() {
            let sum = sum(index);
            if sum > best.0 + 1e-12 {
                best = (sum, Some(index));
            }
        }
        best.1
    }

    /// Metrics of one kind of defect, or of all images.
    fn metrics(&self, kind: Option<&str>, oracle: Option<usize>, fair: Option<usize>) -> Metrics {
        Metrics {
            images: self.images.len(),
            pixel_auroc: kind.and_then(|kind| self.pixel_auroc(kind)),
            image_auroc: self.image_roc(kind).map(|roc| roc.auroc),
            at_epsilon: self.at_epsilon(kind),
            at_oracle: oracle.map(|index| self.at_threshold(kind, index)),
            at_fair: fair.map(|index| self.at_threshold(kind, index)),
        }
    }

    /// The defective images of one kind, or of all.
    fn defective<'a>(&'a self, kind: Option<&'a str>) -> impl Iterator<Item = &'a ImageResult> {
        self.images.iter().filter(move |image| image.defective() && kind.is_none_or(|kind| image.kind == kind))
    }

    fn good(&self) -> impl Iterator<Item = &ImageResult> {
        self.images.iter().filter(|image| !image.defective())
    }

    fn at_epsilon(&self, kind: Option<&str>) -> Operating {
        let defective = mean(self.defective(kind).map(|image| image.iou.unwrap_or_default()));
        let all = mean(self.defective(None).chain(self.good()).map(|image| image.iou.unwrap_or_default()));
        Operating {
            miou: if kind.is_some() { defective } else { all }.filter(|_| self.truth_known),
            miou_defective: defective.filter(|_| self.truth_known),
            image_recall: mean(self.defective(kind).map(|image| f64::from(image.anomalous))),
            good_flagged: mean(self.good().map(|image| f64::from(image.anomalous))),
            false_alarms: mean(self.good().map(|image| image.regions as f64)),
        }
    }

    fn at_threshold(&self, kind: Option<&str>, index: usize) -> Operating {
        let threshold = self.grid.threshold(index);
        let above = |image: &ImageResult| f64::from(image.score > threshold);
        let good = self.good().count();
        let sum = |select: &dyn Fn(&Kind) -> bool| -> f64 {
            self.kinds.iter().filter(|kind| select(kind)).map(|kind| kind.iou[index]).sum()
        };
        let count = self.defective(kind).count();
        let defective = sum(&|each| each.name != GOOD && kind.is_none_or(|kind| each.name == kind));
        let defective = (count > 0).then(|| defective / count as f64);
        let all = (!self.images.is_empty()).then(|| sum(&|_| true) / self.images.len() as f64);
        let components: f64 = self.kinds.iter().map(|kind| kind.components[index]).sum();
        Operating {
            miou: if kind.is_some() { defective } else { all }.filter(|_| self.truth_known),
            miou_defective: defective.filter(|_| self.truth_known),
            image_recall: mean(self.defective(kind).map(above)),
            good_flagged: mean(self.good().map(above)),
            false_alarms: (good > 0).then(|| components / good as f64),
        }
    }

    fn image_roc(&self, kind: Option<&str>) -> Option<Roc> {
        let (mut negatives, mut positives) = (Counts::default(), Counts::default());
        self.good().for_each(|image| negatives.push(image.score));
        self.defective(kind).for_each(|image| positives.push(image.score));
        roc(&mut negatives, &mut positives)
    }

    /// Pixels of one kind's images and of the good ones.
    fn pixel_auroc(&self, name: &str) -> Option<f64> {
        if !self.truth_known {
            return None;
        }
        let (mut negatives, mut positives) = (Counts::default(), Counts::default());
        for kind in self.kinds.iter().filter(|kind| kind.name == GOOD || kind.name == name) {
            negatives.merge(kind.negatives.clone());
            positives.merge(kind.positives.clone());
        }
        roc(&mut negatives, &mut positives).map(|roc| roc.auroc)
    }

    /// Pixels of all images. Takes the counts, as the last to need them.
    fn pixel_roc(&mut self) -> Option<Roc> {
        let (mut negatives, mut positives) = (Counts::default(), Counts::default());
        for kind in &mut self.kinds {
            negatives.merge(std::mem::take(&mut kind.negatives));
            positives.merge(std::mem::take(&mut kind.positives));
        }
        if self.truth_known { roc(&mut negatives, &mut positives) } else { None }
    }
}

/// The mean; none of nothing.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

//! The metrics of a test set and their definitions.

use serde::{Deserialize, Serialize};

use super::{
    GOOD,
    alarms::FalseAlarms,
    curve::{F1Max, Pro, Roc},
    latency::Latency,
};

/// Metrics of a model on a test set.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Evaluation {
    /// Number of good images.
    pub good_images: usize,
    /// Number of defective images.
    pub defective_images: usize,
    /// ε used for the detections.
    pub epsilon: f64,
    /// The threshold of the score map with the best mIoU over all images; the lowest one if several are equal; `None` without masks. It is
    /// chosen on the test set itself, so its results are an upper bound for any fixed threshold.
    pub oracle_threshold: Option<f32>,
    /// The log₁₀ε with the best mIoU over all images; the highest one if several are equal; `None` without masks. This is the paper's oracle
    /// for U-Flow itself (§4.1.1 and Figure 7), and an upper bound like the oracle threshold.
    pub oracle_log10_epsilon: Option<f32>,
    /// The fair threshold, from the good training images.
    pub fair_threshold: Option<f32>,
    /// Over all images.
    pub total: Metrics,
    /// For each kind of defect, against all good images.
    pub kinds: Vec<KindMetrics>,
    /// Defective images whose masks mark nothing. The pixel metrics treat them as good.
    pub unmarked: Vec<String>,
    /// ROC curve over pixels; `None` without masks.
    pub pixel_roc: Option<Roc>,
    /// ROC curve over images.
    pub image_roc: Option<Roc>,
    /// Curve of the per-region overlap; `None` without masks.
    pub pro: Option<Pro>,
    /// mIoU over all images against log₁₀ε (paper, Figure 7), ascending; empty without masks.
    pub miou_curve: Vec<MiouPoint>,
    /// False alarms on the good images from ε = 10 down to 10⁻⁶.
    pub false_alarms: Vec<FalseAlarms>,
    /// Processing time of the images, by stage and in total; empty if it was not measured.
    pub latency: Vec<Latency>,
    /// Detection by the size of the defects; empty without masks.
    #[serde(default)]
    pub sizes: Vec<SizeClass>,
    /// Every image, in the order of evaluation.
    pub images: Vec<ImageResult>,
}

/// Metrics of one kind of defect.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KindMetrics {
    /// Its name.
    pub kind: String,
    /// Its metrics.
    #[serde(flatten)]
    pub metrics: Metrics,
}

/// Metrics of a set of images. A metric is `None` if masks, good images or defective images are missing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Metrics {
    /// Number of images of this kind; in the total, the number of all images.
    pub images: usize,
    /// Exact area under the ROC curve of pixels; a tie counts one half.
    pub pixel_auroc: Option<f64>,
    /// Area under the ROC curve of image scores.
    pub image_auroc: Option<f64>,
    /// The same, with images ranked by the maximum of their score map, as in the paper.
    #[serde(default)]
    pub image_auroc_score_max: Option<f64>,
    /// Area under the curve of per-region overlap up to a false-positive rate of 0.3, divided by 0.3.
    pub aupro: Option<f64>,
    /// Best F1 over pixels.
    pub pixel_f1_max: Option<F1Max>,
    /// Best F1 over images.
    pub image_f1_max: Option<F1Max>,
    /// Of the detections at ε.
    pub at_epsilon: Operating,
    /// Share of the defective images with a marked defect that are anomalous and have a region that touches the defect. An image that is
    /// anomalous for another reason is not found. `None` if no defect is marked.
    #[serde(default)]
    pub recall_touching: Option<f64>,
    /// Number of regions of these images that touch no marked defect; `None` if no defect is marked.
    #[serde(default)]
    pub regions_touching_none: Option<usize>,
    /// Number of regions on the good images; `None` without good images.
    #[serde(default)]
    pub regions_on_good: Option<usize>,
    /// Of the score map cut at the oracle threshold.
    pub at_oracle: Option<Operating>,
    /// mIoU of the log₁₀NFA map cut at the oracle's log₁₀ε.
    pub miou_nfa_oracle: Option<f64>,
    /// Of the score map cut at the fair threshold.
    pub at_fair: Option<Operating>,
}

/// The results of one decision rule.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Operating {
    /// Intersection over union of predicted and true mask, averaged over the images; two empty masks count 1.
    pub miou: Option<f64>,
    /// The same over the defective images alone.
    pub miou_defective: Option<f64>,
    /// Share of the defective images with the verdict anomalous.
    pub image_recall: Option<f64>,
    /// Share of the good images with the verdict anomalous.
    pub good_flagged: Option<f64>,
    /// Regions found per good image.
    pub false_alarms: Option<f64>,
}

/// mIoU at one ε.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MiouPoint {
    /// log₁₀ε.
    pub log10_epsilon: f32,
    /// mIoU over all images.
    pub miou: f64,
}

/// The result of one image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImageResult {
    /// The image's name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Its score: −`log10_nfa_min`.
    pub score: f32,
    /// The maximum of its score map.
    #[serde(default)]
    pub score_max: f32,
    /// The lowest value of its log₁₀NFA map.
    pub log10_nfa_min: f32,
    /// Its verdict.
    pub anomalous: bool,
    /// The share of good images that are at least as unusual, where the package knows good images.
    #[serde(default)]
    pub p_value: Option<f64>,
    /// Number of regions found.
    pub regions: usize,
    /// How many of them touch a marked defect; `None` for a good image, and for a defective image without a mark.
    #[serde(default)]
    pub touching: Option<usize>,
    /// Intersection over union of the decision's mask, which is that at ε unless the reject rate decides; `None` without ground truth.
    pub iou: Option<f64>,
    /// The share of a defective image that is marked as defective; `None` without a mask.
    #[serde(default)]
    pub defective_part: Option<f64>,
}

/// Detection at ε of the defects of one size class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SizeClass {
    /// Smallest share of the image that the defects cover (inclusive).
    pub from: f64,
    /// Largest share of the image that the defects cover (exclusive).
    pub below: f64,
    /// Number of such images.
    pub images: usize,
    /// The share of them with the verdict anomalous.
    pub recall: f64,
    /// The mean of their intersection over union.
    pub miou: f64,
}

/// Limits of the size classes, as shares of the image.
const SIZES: [f64; 4] = [0.0, 0.005, 0.05, f64::INFINITY];

impl SizeClass {
    /// Of all images with masks; classes without images are left out.
    pub(super) fn all(images: &[ImageResult]) -> Vec<Self> {
        let class = |limits: &[f64]| {
            let (from, below) = (limits[0], limits[1].min(1.0));
            let of: Vec<&ImageResult> = images
                .iter()
                .filter(|image| image.defective_part.is_some_and(|part| part > 0.0 && part >= from && part < limits[1]))
                .collect();
            let mean = |value: &dyn Fn(&ImageResult) -> f64| {
                of.iter().map(|image| value(image)).sum::<f64>() / of.len() as f64
            };
            (!of.is_empty()).then(|| Self {
                from,
                below,
                images: of.len(),
                recall: mean(&|image| f64::from(image.anomalous)),
                miou: mean(&|image| image.iou.unwrap_or_default()),
            })
        };
        SIZES.windows(2).filter_map(class).collect()
    }
}

impl ImageResult {
    /// Whether the image shows a defect.
    pub fn defective(&self) -> bool {
        self.kind != GOOD
    }
}

impl Metrics {
    /// The mean of each metric over several sets, for the last row of a table of categories. If one set lacks a metric, its mean is `None`.
    /// Numbers of images and of regions are added. Thresholds are left out.
    pub fn mean<'a>(sets: impl Iterator<Item = &'a Self>) -> Self {
        let sets: Vec<&Self> = sets.collect();
        let mean = |metric: &dyn Fn(&Self) -> Option<f64>| -> Option<f64> {
            let values: Option<Vec<f64>> = sets.iter().map(|set| metric(set)).collect();
            values.filter(|values| !values.is_empty()).map(|values| values.iter().sum::<f64>() / values.len() as f64)
        };
        let operating = |at: &dyn Fn(&Self) -> Option<&Operating>| Operating {
            miou: mean(&|set| at(set)?.miou),
            miou_defective: mean(&|set| at(set)?.miou_defective),
            image_recall: mean(&|set| at(set)?.image_recall),
            good_flagged: mean(&|set| at(set)?.good_flagged),
            false_alarms: mean(&|set| at(set)?.false_alarms),
        };
        let best = |f1: Option<f64>| f1.map(|f1| F1Max { f1, threshold: None });
        Self {
            images: sets.iter().map(|set| set.images).sum(),
            pixel_auroc: mean(&|set| set.pixel_auroc),
            image_auroc: mean(&|set| set.image_auroc),
            image_auroc_score_max: mean(&|set| set.image_auroc_score_max),
            aupro: mean(&|set| set.aupro),
            pixel_f1_max: best(mean(&|set| Some(set.pixel_f1_max?.f1))),
            image_f1_max: best(mean(&|set| Some(set.image_f1_max?.f1))),
            at_epsilon: operating(&|set| Some(&set.at_epsilon)),
            recall_touching: mean(&|set| set.recall_touching),
            regions_touching_none: sets.iter().map(|set| set.regions_touching_none).sum(),
            regions_on_good: sets.iter().map(|set| set.regions_on_good).sum(),
            at_oracle: Some(operating(&|set| set.at_oracle.as_ref())),
            miou_nfa_oracle: mean(&|set| set.miou_nfa_oracle),
            at_fair: Some(operating(&|set| set.at_fair.as_ref())),
        }
    }
}

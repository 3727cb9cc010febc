//! Evaluation: test sets, metrics, and the loop that runs a model over a test set.
//!
//! [`Dataset`] reads a test set, [`Accumulator`] takes the result of each image and computes an [`Evaluation`],
//! and [`evaluate`] runs an [`Inspector`] over a set. This module does not depend on how detections are made.
//!
//! Maps and masks are compared at the size of the network's input. A pixel is anomalous if its score is above the threshold.
//!
//! | metric | definition | source |
//! |---|---|---|
//! | pixel AUROC | area under the ROC curve of all pixels; a tie counts one half | paper, §4 |
//! | image AUROC | area under the ROC curve of the image scores; an image's score is −log₁₀NFA of its most unusual region, by which verdicts go | defined here |
//! | … by the maximum | the same, an image's score being the maximum of its score map | paper, Appendix A |
//! | AUPRO | area under the mean overlap of the masks' 8-connected regions against the false-positive rate over all unmarked pixels, up to 0.3, divided by 0.3 | named by the paper, §4; limit and regions from Bergmann et al., IJCV 2021 |
//! | F1-max | the highest F1 over all thresholds, for pixels and for images | common practice |
//! | mIoU | intersection over union per image, averaged over the images; two empty masks count 1 | paper, §4.1.1; the empty case is defined here |
//! | … at ε | mIoU of log₁₀NFA < log₁₀ε, by default log₁₀NFA < 0 | paper, §4.1.1 |
//! | … at the oracle | mIoU at the score threshold with the highest mIoU on the test set | paper, §4.1.1, for the methods it compares with |
//! | … at the best ε | mIoU at the log₁₀ε with the highest mIoU on the test set | paper, Figure 7: its oracle for U-Flow |
//! | … at the fair threshold | mIoU at the lowest score threshold that gives on average one component per good training image | paper, §4.1.1 |
//! | recall, touching | share of the defective images with a marked defect that are anomalous and have a region that touches it: one common pixel at the image's own size | defined here |
//! | false alarms | at each ε: 8-connected regions per good image, and the share of good images with at least one | bounds that allow for regions that cluster: [`FalseAlarms`] |
//! | latency | percentiles by nearest rank, of each stage and of the total | defined here |

mod accumulator;
mod alarms;
mod bounds;
mod categories;
mod coco;
mod conclude;
mod curve;
mod dataset;
mod files;
mod iou;
mod latency;
mod lgg;
mod mask;
mod metrics;
mod scores;
mod shanghaitech;
mod table;
mod touching;
mod visa;

pub mod paper;

pub use accumulator::{Accumulator, Observation, Settings};
pub(crate) use alarms::alarm_table;
pub use alarms::{AlarmCounter, EPSILONS, FalseAlarms};
pub use bounds::CONFIDENCE;
pub(crate) use bounds::binomial_bounds;
pub use categories::{Category, RECORD_FILE, Record, RunSettings, categories, records};
pub use coco::coco_json;
pub use curve::{F1Max, PRO_LIMIT, Pro, ProPoint, Roc, RocPoint, roc};
pub use dataset::{Dataset, GOOD, IMAGE_SUFFIXES, Layout, Sample, images};
pub use files::{
    Named, NamedRegions, false_alarms_csv, images_csv, markdown, metrics_csv, regions_csv, write_files, write_regions,
};
pub use latency::Latency;
pub use mask::{MASK_THRESHOLD, Mask, MaskDefects, MaskFit, MaskOptions, read_mask, read_masks, resize_mask};
pub use metrics::{Evaluation, ImageResult, KindMetrics, Metrics, MiouPoint, Operating, SizeClass};
pub use table::Summary;
pub(crate) use table::{count, number};
pub(crate) use touching::touches;
pub use touching::{ImageRegions, Outcome, RegionResult};

use ndarray::ArrayView2;

use crate::{Result, segment::Region};

/// Outline of one region: closed polygons of (x, y) in the source frame, at the pixels' corners.
pub type Outline = Vec<Vec<[u32; 2]>>;

/// A model's result for one image.
#[derive(Clone, Debug)]
pub struct Inspection<'a> {
    /// The source image's (height, width).
    pub size: (usize, usize),
    /// The score map, H × W at the model's map size.
    pub score: ArrayView2<'a, f32>,
    /// The log₁₀NFA map, H × W at the model's map size.
    pub log10_nfa: ArrayView2<'a, f32>,
    /// The maximum of the score map.
    pub score_max: f32,
    /// The image's verdict.
    pub anomalous: bool,
    /// A pixel belongs to the mask where log₁₀NFA is below this; −∞ where there is no mask.
    pub level: f32,
    /// The share of good images that are at least as unusual, where the package knows good images.
    pub p_value: Option<f64>,
    /// The regions found, in the source image, the most significant first.
    pub regions: Vec<Region>,
    /// Milliseconds by stage, in the order in which the stages ran.
    pub timings: Vec<(&'static str, f64)>,
}

/// Examines image files: a detector together with its file reader.
pub trait Inspector {
    /// Examines one image. The maps are borrowed until the next call.
    fn inspect(&mut self, path: &std::path::Path) -> Result<Inspection<'_>>;

    /// How images are decided about, in words: lines of a text. Empty if there is nothing to say.
    fn decision(&self) -> Vec<String> {
        Vec::new()
    }

    /// What the images so far give reason to warn of.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// One test image, the model's result, and the metrics of this image.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The image and its kind.
    pub sample: &'a Sample,
    /// The model's result.
    pub inspection: &'a Inspection<'a>,
    /// The ground truth at the size of the maps; `None` for good images and for sets without masks.
    pub truth: Option<ArrayView2<'a, bool>>,
    /// Its line in the evaluation.
    pub result: &'a ImageResult,
    /// Its regions, compared with the ground truth.
    pub regions: &'a ImageRegions,
}

/// Runs `inspector` over the test images of a set. Calls `seen` after each image.
///
/// An unreadable image or mask ends the evaluation with an error, because metrics over a part of the set would be wrong.
/// So does a set whose masks look inverted.
pub fn evaluate(
    dataset: &Dataset,
    settings: Settings,
    inspector: &mut dyn Inspector,
    seen: &mut dyn FnMut(Seen<'_>) -> Result<()>,
) -> Result<Evaluation> {
    let mut accumulator = Accumulator::new(settings)?;
    let mut doubts = mask::Doubts::default();
    for sample in &dataset.test {
        let inspection = inspector.inspect(&sample.path)?;
        let truth = read_masks(&sample.masks, inspection.size, &dataset.mask_options)?;
        if let (Some(mask), None) = (&truth, dataset.mask_options.defects) {
            doubts.push(&sample.path, mask);
        }
        let name = sample.path.strip_prefix(&dataset.root).unwrap_or(&sample.path).display().to_string();
        let marked = truth.as_ref().map(|mask| mask.view());
        let regions = ImageRegions::new(&name, inspection.size, &inspection.regions, marked, sample.defective());
        let truth = truth.as_ref().map(|mask| resize_mask(mask, inspection.score.dim()));
        let truth = truth.as_ref().map(|truth| truth.view());
        let result = accumulator.push(&Observation {
            name: &name,
            kind: &sample.kind,
            score: inspection.score,
            log10_nfa: inspection.log10_nfa,
            truth,
            score_max: inspection.score_max,
            anomalous: inspection.anomalous,
            level: inspection.level,
            p_value: inspection.p_value,
            regions: inspection.regions.len(),
            touching: regions.touching,
            timings: &inspection.timings,
        })?;
        seen(Seen { sample, inspection: &inspection, truth, result, regions: &regions })?;
    }
    doubts.check(&dataset.root)?;
    Ok(accumulator.finish())
}

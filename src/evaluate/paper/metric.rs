//! The metrics that the paper's tables and an evaluation have in common.

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr};

/// What was measured. All are fractions in 0..=1, larger is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Display, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Area under the ROC curve over pixels.
    #[strum(serialize = "pixel AUROC")]
    PixelAuroc,
    /// Area under the ROC curve over images, the image's score being the maximum of its score map.
    #[strum(serialize = "image AUROC")]
    ImageAuroc,
    /// Area under the per-region-overlap curve. The paper does not give its limit of the false-positive rate.
    #[strum(serialize = "AUPRO")]
    Aupro,
    /// Mean intersection over union at log₁₀NFA = 0, that is ε = 1. A run at another ε does not have this metric.
    #[strum(serialize = "mIoU, NFA = 1")]
    MiouNfa,
    /// Mean intersection over union at the threshold that is best on the test images themselves. For U-Flow, the paper
    /// thresholds the log₁₀NFA map; for the other methods, their anomaly maps.
    #[strum(serialize = "mIoU, oracle")]
    MiouOracle,
    /// Mean intersection over union at a threshold from the good training images. The paper has this metric only for the other methods.
    #[strum(serialize = "mIoU, fair")]
    MiouFair,
}

impl Metric {
    /// Every metric, in the order of declaration.
    pub const ALL: [Self; 6] =
        [Self::PixelAuroc, Self::ImageAuroc, Self::Aupro, Self::MiouNfa, Self::MiouOracle, Self::MiouFair];

    /// Its name in a table.
    pub fn label(self) -> &'static str {
        self.into()
    }
}

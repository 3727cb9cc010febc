//! From a frame to a detection: the line of processing that every interface uses.
//!
//! ```text
//! Frame → tensor → features → energies (latents) → score map + component trees → log₁₀NFA map → Detection
//! └─────────────┘  └──────────────────────────┘  └───────────────────────────────────────────────────────┘
//!  Preprocessor     Networks                      PostProcessor
//! ```
//!
//! Where a package cuts frames into tiles, a [`Tiler`] brings them through preprocessor and networks and joins their energies.
//!
//! [`Detector::process`] composes it: the command, calibration, evaluation, imports, benchmarks and C go through it. An
//! [`Engine`](crate::engine::Engine) spreads the same three stages over its threads, to overlap frames of many models; its
//! models lend their networks to detectors through the trait [`Networks`], which is declared here.
//!
//! How a detection is decided is one [`DecisionRule`](crate::segment::DecisionRule), made from the package's and the call's
//! [`DecisionOptions`](crate::segment::DecisionOptions) by [`Manifest::rule`](crate::package::Manifest::rule).

mod detector;
mod evidence;
mod post;
mod tiler;
mod verify;

use std::sync::Arc;

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

pub use self::{
    detector::{Detector, Processed},
    evidence::{Batch, Evidence, Networks},
    post::PostProcessor,
    tiler::{TileTimes, Tiler},
    verify::{LOW_TOLERANCE, TOLERANCE, Verification, VerifiedFrame, golden_frames, verify},
};
use crate::{
    Result,
    frame::Limits,
    package::Package,
    segment::{PValue, Region, Regions, Roi},
};

/// What was found in one frame.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Detection {
    /// The image score: −log₁₀NFA of the most unusual region, so −`log10_nfa_min`. Higher is more anomalous, without an upper limit. It
    /// ranks images as the verdicts `reject` and `nfa` and p-values do, and every package has it. It never saturates, as a p-value of
    /// few good images does.
    pub score: f32,
    /// The paper's image score: the maximum of the score map (Eq. 2), in [0, 1). Score thresholds apply to it.
    #[serde(default)]
    pub score_max: f32,
    /// The verdict.
    pub anomalous: bool,
    /// The lowest log₁₀NFA of the image.
    pub log10_nfa_min: f32,
    /// The share of good images that are at least as unusual; none where the package knows no good images.
    #[serde(default)]
    pub p_value: Option<f64>,
    /// Whether the p-value is smaller than the good images can tell, and comes from their tail.
    #[serde(default)]
    pub p_extrapolated: bool,
    /// The regions of the mask of at least the smallest area that counts, in pixels of the frame, most significant first.
    pub regions: Vec<Region>,
    /// Where the time went.
    pub timings_ms: Timings,
}

/// What was found in one frame, without its regions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// As [`Detection::score`].
    pub score: f32,
    /// As [`Detection::score_max`].
    pub score_max: f32,
    /// As [`Detection::anomalous`].
    pub anomalous: bool,
    /// As [`Detection::log10_nfa_min`].
    pub log10_nfa_min: f32,
    /// As [`Detection::p_value`].
    pub p_value: Option<PValue>,
}

impl Detection {
    /// The same without its regions.
    pub fn decision(&self) -> Decision {
        let &Self { score, score_max, anomalous, log10_nfa_min, p_value, p_extrapolated: extrapolated, .. } = self;
        let p_value = p_value.map(|value| PValue { value, extrapolated });
        Decision { score, score_max, anomalous, log10_nfa_min, p_value }
    }
}

impl Decision {
    fn detection(self, regions: &Regions, timings_ms: Timings) -> Detection {
        let Self { score, score_max, anomalous, log10_nfa_min, p_value } = self;
        Detection {
            score,
            score_max,
            anomalous,
            log10_nfa_min,
            p_value: p_value.map(|p| p.value),
            p_extrapolated: p_value.is_some_and(|p| p.extrapolated),
            regions: regions.to_vec(),
            timings_ms,
        }
    }
}

/// Milliseconds by stage.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct Timings {
    /// Decoding of encoded bytes; 0 for raw frames.
    pub decode: f64,
    /// Waiting for a processor and for the network, where several frames are worked on at once; else 0.
    #[serde(default)]
    pub queue: f64,
    /// Resize and normalisation.
    pub preprocess: f64,
    /// Backbone and flow.
    pub network: f64,
    /// Score map, component trees, log₁₀NFA map, mask and regions.
    pub segmentation: f64,
}

impl Timings {
    /// Sum of the stages.
    pub fn total(&self) -> f64 {
        self.decode + self.queue + self.preprocess + self.network + self.segmentation
    }
}

/// The maps behind the last detection, of the package's [map size](crate::preprocess::Preprocess::map_size).
#[derive(Clone, Copy, Debug)]
pub struct Maps<'a> {
    /// Anomaly score (Eq. 2), H × W, in [0, 1).
    pub score: ArrayView2<'a, f32>,
    /// log₁₀NFA, H × W.
    pub log10_nfa: ArrayView2<'a, f32>,
}

/// The region of interest that a package carries, if any.
///
/// # Errors
/// A picture that is damaged or black all over.
pub fn package_roi(package: &Package) -> Result<Option<Arc<Roi>>> {
    let decode = |png: &_| Roi::decode(png, "the package's region of interest", &Limits::default());
    package.roi.as_ref().map(|png| Ok(Arc::new(decode(png)?))).transpose()
}

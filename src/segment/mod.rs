//! From the energies of one image to its score map, its log₁₀NFA map and its regions: the paper's phases 3 and 4.
//!
//! ```text
//! energies ─┬─ exp(−U / 2C), upsampled, averaged ────────────────────────── score map (Eq. 2)
//!           └─ component tree → log₁₀PFA → prune / merge → per-scale maps
//!              → upsampled, minimum over scales, + log₁₀N_T ─────────────── log₁₀NFA map (Eq. 10)
//!                                                     └─ threshold ──────── mask, regions, verdict
//! ```
//!
//! With [`TestCount::PerSize`], the middle line uses the null of good images ([`CalibratedNull`]). The maps then have log₁₀NFA itself. Each
//! region is drawn where the score map says that it is, within a cell of the cells that found it.
//!
//! [`Segmenter`] does the first three lines. It owns all its buffers and does not allocate after it is built. [`RegionFinder`] does
//! the last line, in the frame that the image came from. It does not allocate after warm-up at the largest input. One thread at a time
//! can use each of them: make one of each for every thread.
//!
//! ```
//! use ndarray::Array2;
//! use uflow::latents::{EnergyView, ScaleShape};
//! use uflow::segment::{Bound, Segmenter};
//!
//! let shape = ScaleShape { channels: 64, height: 16, width: 16 };
//! let mut segmenter = Segmenter::new(&[shape], 128, 128)?;
//! let mut energy = Array2::from_elem((16, 16), 60.0_f32);
//! energy.slice_mut(ndarray::s![4..9, 6..11]).fill(200.0);
//! let result = segmenter.run(&[EnergyView { energy: energy.view(), channels: 64 }], Bound::Chernoff)?;
//! assert!(result.log10_nfa_min < 0.0);
//! assert!(result.log10_nfa[[0, 0]] > 0.0 && result.log10_nfa[[52, 68]] < 0.0);
//! # Ok::<(), uflow::Error>(())
//! ```

mod block;
pub(crate) mod components;
mod count;
mod decision;
mod frame_grid;
mod location;
mod lowest;
mod null;
mod outlier;
mod outline;
mod prune;
mod rates;
mod refine;
mod region;
mod regions;
mod reject;
mod roi;
mod runs;
mod scale;
mod segmenter;
mod sort;
mod tail;
mod threshold;
mod tree;
mod upsample;

pub use block::Blocks;
pub use count::{log10_number_of_tests, log10_number_of_tests_in};
pub use decision::{DecisionOptions, DecisionRule, ModelFacts, RegionOfInterest, STANDARD_REJECT_RATE, Verdict};
pub use lowest::{Measurement, NullOf, enough_for_parts};
pub use null::{CalibratedNull, FEW_IMAGES, FEWEST_IMAGES, ScaleNull, TestCount};
pub use outlier::Outlier;
pub use outline::Ring;
pub use region::{Region, RegionView, Regions};
pub use regions::{Findings, RegionFinder, log10_epsilon, mask};
pub use reject::{
    CONFIDENCE as PROMISE_CONFIDENCE, JudgedFrame, PValue, Promise, RejectThreshold, Rejection, RejectionOrigin,
    check_rate, images_needed, parse_rate, percent, rounded_percent,
};
pub use roi::Roi;
pub use segmenter::{Scores, Segmentation, Segmenter};
pub use tail::{Bound, ChiSquared};
pub use threshold::{FairThreshold, fair_threshold};
pub use upsample::upsample;

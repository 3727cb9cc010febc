//! Fitting a flow to the features of good images, by maximum likelihood (design §2, "Training").
//!
//! [`FeatureCache`] holds the features, [`train`] fits the flow, [`Trainer`] runs one optimiser step at a time. With the same
//! seed, every number is the same on the same kind of CPU, for any number of threads: gradients are summed in a fixed number of
//! lanes, and the lanes in a fixed order (see [`Gradients`]).

mod average;
mod best;
mod cache;
pub mod fit;
mod gaussian;
mod gradients;
mod initialise;
mod noise;
mod options;
mod session;
mod source;
mod start;
mod stopping;
mod trainer;

pub use cache::{FeatureCache, StoredImage};
pub use gradients::{BatchLoss, Gradients};
pub(crate) use options::check_time_budget;
pub use options::{Control, HeldOut, Progress, StopReason, TrainOptions, Trained, TrainingSummary};
pub use session::{train, train_on};
pub use start::Start;
pub use trainer::Trainer;

//! The demo: three procedural products, a model fitted to each, and a report of what the models find.
//!
//! [`dataset`] writes the pictures ([`picture`] renders one of them from its seed), [`story`] goes from them to metrics with
//! an [`Engine`] that fits and detects, and [`report`] shows the outcome.

pub mod dataset;
pub mod picture;
pub mod report;
pub mod story;

mod cloth;
mod machine;
mod metal;
mod noise;
mod print;
mod scene;
mod shape;

pub use dataset::Counts;
pub use machine::Machine;
pub use picture::{Defect, Product};
pub use scene::SIDE;
pub use story::{Engine, Fitted, Looked, Options, Outcome, Step, run};

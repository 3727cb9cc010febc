//! The demo: three procedural products, a model fitted to each, and a report of what the models find.
//!
//! [`dataset`] writes the pictures ([`picture`] renders one picture from its seed), [`story`] computes metrics with
//! an [`Engine`] that fits and detects, and [`crate::report`] shows the outcome.

pub mod dataset;
pub mod picture;
pub mod story;

mod cloth;
mod metal;
mod noise;
mod print;
mod scene;
mod shape;

pub use crate::report::Machine;
pub use dataset::Counts;
pub use picture::{Defect, Product};
pub use scene::SIDE;
pub use story::{DemoOutcome, Engine, Fitted, Looked, Options, Step, run};

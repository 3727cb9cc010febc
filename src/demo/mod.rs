//! The demo: three procedural products, a model fitted to each, and a report of what the models find.
//!
//! [`dataset`] writes the pictures: [`picture`] renders one of them from its seed.

pub mod dataset;
pub mod picture;

mod cloth;
mod metal;
mod noise;
mod print;
mod scene;
mod shape;

pub use dataset::Counts;
pub use picture::{Defect, Product};
pub use scene::SIDE;

//! Finds and outlines defects in images after learning from good images only.
//!
//! The method is U-Flow: a frozen multi-scale backbone, a U-shaped normalizing flow that turns the features of good
//! images into white Gaussian noise, and an *a contrario* segmentation whose threshold is a number of false alarms.
//!
//! The code is one straight line with one type per arrow:
//!
//! ```text
//! Frame → tensor → features → energies (latents) → score map + component trees → log₁₀NFA map → Detection
//! ```
//!
//! [`pipeline::Detector`] composes the line; the modules below are its steps, in this order.

pub mod error;

pub mod frame;
pub mod preprocess;
pub mod tiles;

pub mod backbone;
pub mod onnx;
pub mod runtime;

pub mod latents;
pub mod segment;

pub mod drift;
pub mod package;
pub mod pipeline;

pub mod engine;

pub mod flow;
pub mod import;
pub mod screen;
pub mod train;

pub mod calibrate;
pub mod compare;
pub mod evaluate;
pub mod limits;
pub mod render;
pub mod report;
pub mod search;

#[cfg(feature = "serve")]
pub mod serve;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod demo;

mod checkpoint;
mod choice;
mod columns;
mod digest;
mod files;
#[cfg(test)]
mod import_graph;
mod kernel;
mod quantile;
mod sync;

pub use error::{Error, Reason, Result};

/// Version of this crate, as in Cargo.toml.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Commit this crate was built from; a trailing `+` says that the working tree differed from it.
pub const COMMIT: &str = env!("UFLOW_COMMIT");

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The page of the guide that has Rust.
#[cfg(doctest)]
#[doc = include_str!("../docs/src/rust.md")]
struct Guide;

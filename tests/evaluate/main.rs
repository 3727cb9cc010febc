//! Data sets, metrics, and the commands that report them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../backbones/mod.rs"]
mod backbones;
mod cli;
mod datasets;
mod layouts;
mod masks;
mod metrics;

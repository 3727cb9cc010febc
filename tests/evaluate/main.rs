//! Data sets, metrics, and the commands that report them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cli;
mod datasets;
mod layouts;
mod masks;
mod metrics;

//! The `uflow` command as users run it, and the demo.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../backbones/mod.rs"]
mod backbones;
mod command;
mod demo;
mod files;
mod report;
mod tables;

//! The `uflow` command as users run it, and the demo.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../backbones/mod.rs"]
mod backbones;
mod command;
mod demo;
mod files;
#[path = "../networks/mod.rs"]
mod networks;
mod report;
mod sign;
mod tables;
mod verify;

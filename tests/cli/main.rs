//! The `uflow` command as users run it, and the demo.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod auto;
#[path = "../backbones/mod.rs"]
mod backbones;
mod check;
mod command;
mod compare;
mod demo;
mod files;
mod limits;
#[path = "../networks/mod.rs"]
mod networks;
mod report;
mod sign;
mod tables;
mod update;
mod verify;

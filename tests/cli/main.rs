//! The `uflow` command as users run it, and the demo.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod command;
mod demo;
mod files;
mod report;
mod tables;

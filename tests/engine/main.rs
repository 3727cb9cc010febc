//! The engine: many frames of many models at once.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
#[path = "../alone/mod.rs"]
mod alone;

mod answers;
mod memory;
#[path = "../networks/mod.rs"]
mod networks;
mod tiles;

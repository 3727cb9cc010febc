//! Images on their way into the network: decoding and pre-processing.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod allocations;
#[path = "../counting/mod.rs"]
mod counting;
mod decode;
mod files;
mod memory;
mod preprocess;
mod raw;
mod robustness;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

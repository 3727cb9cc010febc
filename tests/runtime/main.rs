//! ONNX Runtime: found, loaded, and run on CPUs and OpenVINO.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
#[path = "../alone/mod.rs"]
mod alone;

mod allocations;
#[path = "../counting/mod.rs"]
mod counting;
mod cpu;
mod library;
#[path = "../networks/mod.rs"]
mod networks;
mod openvino;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

//! PyTorch checkpoints of models trained elsewhere: read, refused, made into packages.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../backbones/mod.rs"]
mod backbones;
mod checkpoints;
mod cli;
#[path = "../counting/mod.rs"]
mod counting;
mod golden;
mod hostile;
mod names;
#[path = "../networks/mod.rs"]
mod networks;
#[path = "../onnxruntime/mod.rs"]
mod onnxruntime;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

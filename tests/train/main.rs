//! The flow's mathematics, training, and the null hypothesis calibrated on good images.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
#[path = "../alone/mod.rs"]
mod alone;
mod calibrate;
mod command;
mod decision;
mod fit;
mod flows;
mod gradients;
mod imported;
#[path = "../networks/mod.rs"]
mod networks;
mod null;
mod onnx;
#[path = "../onnxruntime/mod.rs"]
mod onnxruntime;
mod reject;
mod training;

//! The flow's mathematics, training, and the null hypothesis calibrated on good images.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod calibrate;
mod flows;
mod gradients;
mod imported;
mod null;
mod onnx;
mod training;

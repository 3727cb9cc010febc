//! The tensors that models take and give in the Open Inference Protocol.

use serde::Serialize;

use crate::package::Manifest;

/// What the protocol calls the platform of every model here.
pub(super) const PLATFORM: &str = "uflow_onnx";

/// Name, type and shape of a tensor; −1 is any size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Tensor {
    pub(super) name: &'static str,
    pub(super) datatype: &'static str,
    pub(super) shape: Vec<i64>,
}

fn tensor(name: &'static str, datatype: &'static str, shape: &[i64]) -> Tensor {
    Tensor { name, datatype, shape: shape.to_vec() }
}

/// A request has one of them: frames as pixels (batch, height, width, channels), or encoded ones.
pub(super) fn inputs() -> Vec<Tensor> {
    vec![tensor("image", "UINT8", &[-1, -1, -1, -1]), tensor("encoded_image", "BYTES", &[-1])]
}

/// Masks have the frames' size, maps the network's.
pub(super) fn outputs(manifest: &Manifest) -> Vec<Tensor> {
    let map = [-1, i64::from(manifest.input.height), i64::from(manifest.input.width)];
    vec![
        tensor("score", "FP32", &[-1]),
        tensor("anomalous", "BOOL", &[-1]),
        tensor("log10_nfa_min", "FP32", &[-1]),
        tensor("regions", "BYTES", &[-1]),
        tensor("mask", "UINT8", &[-1, -1, -1]),
        tensor("score_map", "FP32", &map),
        tensor("log10_nfa_map", "FP32", &map),
    ]
}

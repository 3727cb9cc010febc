//! Real models of a tiny network, fitted in milliseconds.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

use std::path::{Path, PathBuf};

use uflow::{
    flow::{NormalisationKind, Topology},
    frame::{Frame, PixelFormat},
    runtime::Runtime,
    segment::{DecisionOptions, TestCount},
    train::{
        Control, TrainOptions,
        fit::{BackboneChoice, FitOptions, Fitted, Fitter},
    },
};

use super::{TinyBackbone, numbers};

/// A picture of a pattern that good frames share, with noise of its own.
pub fn good(seed: u64, width: u32, height: u32, format: PixelFormat) -> Vec<u8> {
    let bytes = format.bytes_per_pixel();
    let noise = numbers(seed + 1, (width * height) as usize * bytes);
    let value = |index: usize| {
        let (x, y) = ((index / bytes) as u32 % width, (index / bytes) as u32 / width);
        let wave = 40.0 * (x as f32 / width as f32 * 12.0).sin() + 30.0 * (y as f32 / height as f32 * 9.0).cos();
        (128.0 + wave + 24.0 * noise[index]) as u8
    };
    (0..noise.len()).map(value).collect()
}

/// The same with a bright square in it.
pub fn bad(seed: u64, width: u32, height: u32, format: PixelFormat) -> Vec<u8> {
    let mut pixels = good(seed, width, height, format);
    let bytes = format.bytes_per_pixel();
    for y in height / 3..2 * height / 3 {
        for x in width / 3..2 * width / 3 {
            let start = (y * width + x) as usize * bytes;
            pixels[start..start + bytes].fill(255);
        }
    }
    pixels
}

/// The tiny backbone as a file in `folder`.
pub fn backbone(folder: &Path, seed: u64) -> PathBuf {
    let path = folder.join(format!("tiny{seed}.onnx"));
    std::fs::write(&path, TinyBackbone::new(seed).onnx()).unwrap();
    path
}

/// A model fitted on twelve good frames that decides as the paper does, and so needs no null.
pub fn fit(runtime: &Runtime, backbone: &Path, name: &str, seed: u64) -> Fitted {
    let detection = DecisionOptions { tests: Some(TestCount::Paper), ..DecisionOptions::default() };
    fit_with(runtime, backbone, name, (seed, 12), detection)
}

/// A model fitted on so many good frames that decides so. Its flow is as published: it finds more in the noise of these frames, and the
/// default flow has tests of its own.
pub fn fit_with(
    runtime: &Runtime,
    backbone: &Path,
    name: &str,
    (seed, frames): (u64, u64),
    detection: DecisionOptions,
) -> Fitted {
    let training =
        TrainOptions { topology: Topology::UShaped, normalisation: NormalisationKind::Standardise, ..training(seed) };
    fit_to(runtime, backbone, name, (seed, frames), (training, detection))
}

/// As [`fit`], with the default flow.
pub fn fit_default_flow(runtime: &Runtime, backbone: &Path, name: &str, seed: u64) -> Fitted {
    let detection = DecisionOptions { tests: Some(TestCount::Paper), ..DecisionOptions::default() };
    fit_to(runtime, backbone, name, (seed, 12), (training(seed), detection))
}

fn training(seed: u64) -> TrainOptions {
    TrainOptions { epochs: 3, seed, ..TrainOptions::default() }
}

fn fit_to(
    runtime: &Runtime,
    backbone: &Path,
    name: &str,
    (seed, frames): (u64, u64),
    (training, detection): (TrainOptions, DecisionOptions),
) -> Fitted {
    let backbone = BackboneChoice::File(backbone.to_owned());
    let options = FitOptions { backbone, training, detection, input_size: Some((48, 32)), ..FitOptions::new(name) };
    let mut fitter = Fitter::new(runtime, options).unwrap();
    for frame in 0..frames {
        let pixels = good(seed * 100 + frame, 48, 32, PixelFormat::Rgb8);
        fitter.push(&Frame::packed(&pixels, 48, 32, PixelFormat::Rgb8).unwrap()).unwrap();
    }
    fitter.train(&mut |_| Control::Continue).unwrap()
}

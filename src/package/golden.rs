//! Golden frames: a few images inside a package with what the package made of them where it was written.
//!
//! They prove that another machine, device or version agrees with that place. [`pipeline::verify()`](crate::pipeline::verify()) runs them. A frame is a
//! PNG of 8 bits that is never larger than the network's input, so that some of them need little space. It is an image of its own: what is
//! expected was found in this PNG, not in the image that it was made of.

use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use serde::{Deserialize, Serialize};

use super::text::{check_name, check_sha256};
use crate::{
    Error, Reason, Result,
    digest::sha256,
    frame::Frame,
    preprocess::{Preprocess, Preprocessor},
};

/// Most golden frames of a package.
pub const MOST_GOLDEN: usize = 16;
/// Largest file of a golden frame.
pub(super) const MAX_GOLDEN_BYTES: u64 = 1 << 24;
/// Probabilities of the quantiles of a golden frame's score map.
pub const GOLDEN_QUANTILES: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];

/// The golden frames of a package.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// Where the expected results come from.
    pub made: Machine,
    /// The frames.
    pub frames: Vec<GoldenFrame>,
}

/// What computed results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Version of this program.
    pub uflow: String,
    /// Version of ONNX Runtime.
    pub onnxruntime: String,
    /// The device, e.g. `cpu`.
    pub device: String,
    /// The precision of the networks, e.g. `fp32`.
    pub precision: String,
    /// The architecture of the CPU, e.g. `x86_64`.
    pub cpu: String,
}

impl std::fmt::Display for Machine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { uflow, onnxruntime, device, precision, cpu } = self;
        write!(out, "uflow {uflow}, ONNX Runtime {onnxruntime}, {device} {precision}, {cpu}")
    }
}

/// One golden frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenFrame {
    /// Its PNG in the package.
    pub file: String,
    /// Hash of the PNG.
    pub sha256: String,
    /// What the package makes of it by default.
    pub expected: GoldenResult,
}

/// What a package makes of a golden frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenResult {
    /// The image score, −log₁₀NFA.
    pub score: f32,
    /// The maximum of the score map.
    pub score_max: f32,
    /// The verdict.
    pub anomalous: bool,
    /// The p-value, if the package knows good images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_value: Option<f64>,
    /// Quantiles of the score map at [`GOLDEN_QUANTILES`].
    pub quantiles: [f32; 5],
}

impl Golden {
    /// Name of the frame of this number in a package.
    pub fn file(index: usize) -> String {
        format!("golden/{index}.png")
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let Machine { uflow, onnxruntime, device, precision, cpu } = &self.made;
        let made = [
            ("uflow", uflow),
            ("onnxruntime", onnxruntime),
            ("device", device),
            ("precision", precision),
            ("cpu", cpu),
        ];
        for (field, text) in made {
            check_name(text).map_err(|reason| format!("golden.made.{field}: {reason}"))?;
        }
        if !(1..=MOST_GOLDEN).contains(&self.frames.len()) {
            return Err(format!("golden.frames: {} frames; there must be 1 to {MOST_GOLDEN}", self.frames.len()));
        }
        for (index, frame) in self.frames.iter().enumerate() {
            frame.check().map_err(|reason| format!("golden.frames[{index}].{reason}"))?;
        }
        Ok(())
    }
}

impl GoldenFrame {
    fn check(&self) -> Result<(), String> {
        check_sha256(&self.sha256).map_err(|reason| format!("sha256: {reason}"))?;
        let GoldenResult { score, score_max, anomalous: _, p_value, quantiles } = &self.expected;
        if !score.is_finite() {
            return Err(format!("expected.score: {score} must be finite"));
        }
        let share = 0.0..=1.0;
        if !share.contains(score_max) {
            return Err(format!("expected.score_max: {score_max} is not within 0 to 1"));
        }
        if let Some(p_value) = p_value.filter(|p_value| !(0.0..=1.0).contains(p_value)) {
            return Err(format!("expected.p_value: {p_value} is not within 0 to 1"));
        }
        if !quantiles.iter().all(|value| share.contains(value)) || !quantiles.is_sorted() {
            return Err(format!("expected.quantiles: {quantiles:?} must be ascending numbers within 0 to 1"));
        }
        Ok(())
    }
}

/// Refuses what is not the PNG of a golden frame that the manifest describes.
pub(super) fn check_frame(frame: &GoldenFrame, png: &[u8]) -> Result<(), Reason> {
    let (file, found) = (&frame.file, sha256(png));
    if found != frame.sha256 {
        return Err(format!(
            "{file}: was changed or is damaged: its SHA-256 is {found}, the manifest says {}",
            frame.sha256
        )
        .into());
    }
    super::read::check_png(file, png)
}

/// A frame as the PNG of a golden frame: 8 bits, gray if it has no colour, scaled down with its aspect ratio to fit into the size that frames are resized to. A frame
/// of 8 bits that fits is kept pixel by pixel.
///
/// # Errors
/// [`Error::Frame`] for 16-bit samples above the package's significant bits; [`Error::Limit`] for a picture that no package holds.
pub fn golden_picture(frame: &Frame<'_>, input: &Preprocess) -> Result<Vec<u8>> {
    let (width, height) = (f64::from(frame.width()), f64::from(frame.height()));
    let (most_width, most_height) = input.frame_size();
    let scale = (f64::from(most_width) / width).min(f64::from(most_height) / height).min(1.0);
    let side = |side: f64| ((side * scale).round() as u32).max(1);
    let plain =
        Preprocess { width: side(width), height: side(height), mean: [0.0; 3], std: [1.0; 3], tiles: None, ..*input };
    let mut planes = vec![0.0; plain.len()];
    Preprocessor::new(plain)?.run(frame, &mut planes)?;
    let bytes: Vec<u8> = planes.iter().map(|value| (value * 255.0).round() as u8).collect();
    let (red, rest) = bytes.split_at(bytes.len() / 3);
    let (green, blue) = rest.split_at(rest.len() / 2);
    let picture = if red == green && red == blue {
        GrayImage::from_raw(plain.width, plain.height, red.to_vec()).map(DynamicImage::from)
    } else {
        let pixels = red.iter().zip(green).zip(blue).flat_map(|((&red, &green), &blue)| [red, green, blue]);
        RgbImage::from_raw(plain.width, plain.height, pixels.collect()).map(DynamicImage::from)
    };
    let text = "a golden frame cannot be written as PNG";
    let mut png = Cursor::new(Vec::new());
    let picture = picture.ok_or_else(|| Error::internal(text))?;
    picture.write_to(&mut png, ImageFormat::Png).map_err(|error| Error::internal(Reason::because(text, error)))?;
    let (png, limit) = (png.into_inner(), MAX_GOLDEN_BYTES);
    if png.len() as u64 > limit {
        let what = format!("size of a golden frame of {}×{} pixels as PNG", plain.width, plain.height);
        return Err(Error::Limit { what, found: png.len() as u64, limit, unit: "bytes" });
    }
    Ok(png)
}

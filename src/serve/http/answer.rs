//! A detection as JSON: the fields of the command's `--json` line, and the outputs that were asked for. Runs on the engine's
//! threads.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ndarray::{Array2, ArrayView2};
use serde::Serialize;
use utoipa::ToSchema;

use super::query::{MapFormat, MaskFormat, Outputs};
use crate::{
    Error, Reason, Result,
    engine::{Answer, Model},
    pipeline::{Detection, Timings},
    segment::Region,
    serve::encode,
};

/// What was found in an image. The fields up to `timings_ms` are those of a line of `uflow detect --json`.
#[derive(Serialize, ToSchema)]
#[schema(as = Detection)]
pub(super) struct DetectionBody {
    /// Name of the model that looked at the image.
    model: String,
    /// Version of that model.
    version: u32,
    /// Width of the image, in pixels.
    width: u32,
    /// Height of the image, in pixels.
    height: u32,
    /// The image score: -log10 NFA of the most unusual region. Higher is more anomalous, without an upper limit.
    score: f32,
    /// The paper's image score: the maximum of the score map, in [0, 1).
    score_max: f32,
    /// The verdict.
    anomalous: bool,
    /// The lowest log10 NFA of the image.
    log10_nfa_min: f32,
    /// The share of good images that are at least as unusual; null if the package knows no good images.
    p_value: Option<f64>,
    /// Whether the p-value is smaller than the package's good images can tell, and so extrapolated.
    p_extrapolated: bool,
    /// The regions of the mask of at least the smallest area that counts, most significant first.
    regions: Vec<Region>,
    /// Where the time went.
    timings_ms: Timings,
    #[serde(skip_serializing_if = "Option::is_none")]
    mask: Option<Mask>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score_map: Option<Map>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log10_nfa_map: Option<Map>,
}

/// 1 where the image is anomalous, else 0, at the image's size.
#[derive(Serialize, ToSchema)]
#[serde(tag = "format", rename_all = "lowercase")]
enum Mask {
    /// A grey PNG, 0 or 255.
    Png {
        /// Pixels in a row.
        width: usize,
        /// Rows.
        height: usize,
        /// The file, in base64.
        data: String,
    },
    /// Lengths of runs, row after row.
    Rle {
        /// Pixels in a row.
        width: usize,
        /// Rows.
        height: usize,
        /// First the length of a run of zeros, then of ones, and so on in turn; they sum to the number of pixels.
        runs: Vec<u32>,
    },
}

/// A map at the model's map size.
#[derive(Serialize, ToSchema)]
struct Map {
    /// `png`: grey, 16 bits, 0 is `minimum` and 65535 `maximum`; `f32` and `f16`: little-endian floats, row after row.
    format: &'static str,
    /// Numbers in a row.
    width: usize,
    /// Rows.
    height: usize,
    /// The least number of the map.
    minimum: f32,
    /// The greatest number of the map.
    maximum: f32,
    /// The file or the numbers, in base64.
    data: String,
}

/// The body of an answer.
///
/// # Errors
/// Pictures that cannot be written, which no network gives.
pub(super) fn json(outputs: Outputs, model: &Model, answer: Answer) -> Result<Vec<u8>> {
    let Detection { score, score_max, anomalous, log10_nfa_min, p_value, p_extrapolated, regions, timings_ms, .. } =
        answer.detection;
    let found = DetectionBody {
        model: model.name().to_owned(),
        version: model.version(),
        width: answer.size.1,
        height: answer.size.0,
        score,
        score_max,
        anomalous,
        log10_nfa_min,
        p_value,
        p_extrapolated,
        regions,
        timings_ms,
        mask: mask(outputs.mask, answer.mask.as_ref())?,
        score_map: map(outputs.score_map, answer.score_map.as_ref())?,
        log10_nfa_map: map(outputs.log10_nfa_map, answer.log10_nfa_map.as_ref())?,
    };
    serde_json::to_vec(&found).map_err(|error| Error::internal(Reason::because("the answer cannot be written", error)))
}

fn mask(format: Option<MaskFormat>, mask: Option<&Array2<u8>>) -> Result<Option<Mask>> {
    let (Some(format), Some(mask)) = (format, mask) else { return Ok(None) };
    let (height, width) = mask.dim();
    Ok(Some(match format {
        MaskFormat::Png => Mask::Png { width, height, data: BASE64_STANDARD.encode(encode::mask_png(mask.view())?) },
        MaskFormat::Rle => Mask::Rle { width, height, runs: encode::run_lengths(mask.view()) },
    }))
}

fn map(format: Option<MapFormat>, map: Option<&Array2<f32>>) -> Result<Option<Map>> {
    let (Some(format), Some(map)) = (format, map) else { return Ok(None) };
    let view: ArrayView2<'_, f32> = map.view();
    let (name, data) = match format {
        MapFormat::Png => ("png", encode::map_png(view)?),
        MapFormat::F32 => ("f32", encode::f32_bytes(view)),
        MapFormat::F16 => ("f16", encode::f16_bytes(view)),
    };
    let (minimum, maximum) = encode::range(view);
    let (height, width) = view.dim();
    Ok(Some(Map { format: name, width, height, minimum, maximum, data: BASE64_STANDARD.encode(data) }))
}

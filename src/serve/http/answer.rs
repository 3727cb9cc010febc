//! What was found, as JSON: the fields of the command's `--json` line, and what was asked for beyond. Runs on the engine's
//! threads.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ndarray::{Array2, ArrayView2};
use serde::Serialize;

use super::query::{MapFormat, MaskFormat, Outputs};
use crate::{
    Error, Result,
    engine::{Answer, Model},
    pipeline::Detection,
    serve::encode,
};

#[derive(Serialize)]
struct Found<'a> {
    model: &'a str,
    version: u32,
    width: u32,
    height: u32,
    #[serde(flatten)]
    detection: &'a Detection,
    #[serde(skip_serializing_if = "Option::is_none")]
    mask: Option<Mask>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score_map: Option<Map>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log10_nfa_map: Option<Map>,
}

#[derive(Serialize)]
#[serde(tag = "format", rename_all = "lowercase")]
enum Mask {
    Png { width: usize, height: usize, data: String },
    Rle { width: usize, height: usize, runs: Vec<u32> },
}

#[derive(Serialize)]
struct Map {
    format: &'static str,
    width: usize,
    height: usize,
    minimum: f32,
    maximum: f32,
    data: String,
}

/// The body of an answer.
///
/// # Errors
/// Pictures that cannot be written, which no network gives.
pub(super) fn json(outputs: Outputs, model: &Model, answer: &Answer) -> Result<Vec<u8>> {
    let found = Found {
        model: model.name(),
        version: model.version(),
        width: answer.size.1,
        height: answer.size.0,
        detection: &answer.detection,
        mask: mask(outputs.mask, answer.mask.as_ref())?,
        score_map: map(outputs.score_map, answer.score_map.as_ref())?,
        log10_nfa_map: map(outputs.log10_nfa_map, answer.log10_nfa_map.as_ref())?,
    };
    serde_json::to_vec(&found).map_err(|error| Error::Internal(format!("the answer cannot be written: {error}")))
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

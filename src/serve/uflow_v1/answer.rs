//! Converts the engine's answers to messages of `uflow.v1`. Runs on the engine's threads.

use ndarray::ArrayView2;

use super::request::Echo;
use crate::{
    Error, Result,
    engine::{Answer, Model},
    segment::Region,
    serve::{encode, proto::v1 as proto, shown, status},
};

/// The message with a detection.
pub(super) fn found(echo: &Echo, model: &Model, answer: &Answer) -> Result<proto::DetectResponse> {
    let timings = &answer.detection.timings_ms;
    let timings = proto::Timings {
        decode_ms: timings.decode,
        queue_ms: timings.queue,
        preprocess_ms: timings.preprocess,
        network_ms: timings.network,
        segmentation_ms: timings.segmentation,
        total_ms: answer.total_ms,
        batch_size: answer.batch as u32,
    };
    Ok(proto::DetectResponse {
        sequence: echo.sequence,
        timestamp: echo.timestamp,
        model: model.name().to_owned(),
        version: model.version(),
        outcome: Some(proto::detect_response::Outcome::Detection(detection(&echo.outputs, answer)?)),
        timings: Some(timings),
    })
}

/// The message with an error, for a stream's frame that could not be processed.
pub(super) fn failed(echo: Echo, version: u32, error: &Error) -> proto::DetectResponse {
    let error = proto::Error { code: status::code(error) as i32, message: shown::text(error) };
    proto::DetectResponse {
        sequence: echo.sequence,
        timestamp: echo.timestamp,
        model: echo.model,
        version,
        outcome: Some(proto::detect_response::Outcome::Error(error)),
        timings: None,
    }
}

fn detection(outputs: &proto::Outputs, answer: &Answer) -> Result<proto::Detection> {
    let found = &answer.detection;
    let mask = answer.mask.as_ref().map(|mask| self::mask(outputs.mask(), mask.view())).transpose()?;
    let map = |format, map: &Option<ndarray::Array2<f32>>| -> Result<_> {
        map.as_ref().map(|map| self::map(format, map.view())).transpose()
    };
    Ok(proto::Detection {
        score: found.score,
        score_max: found.score_max,
        anomalous: found.anomalous,
        log10_nfa_min: found.log10_nfa_min,
        p_value: found.p_value,
        p_extrapolated: found.p_extrapolated,
        regions: found.regions.iter().map(region).collect(),
        width: answer.size.1,
        height: answer.size.0,
        mask,
        score_map: map(outputs.score_map(), &answer.score_map)?,
        log10_nfa_map: map(outputs.log10_nfa_map(), &answer.log10_nfa_map)?,
        latents: answer.latents.iter().map(latents).collect(),
    })
}

fn region(region: &Region) -> proto::Region {
    let [x, y, width, height] = region.bbox;
    let ring = |ring: &Vec<[u32; 2]>| proto::Ring { corners: ring.iter().flatten().copied().collect() };
    proto::Region {
        r#box: Some(proto::Box { x, y, width, height }),
        area: region.area,
        centroid: Some(proto::Point { x: region.centroid[0], y: region.centroid[1] }),
        log10_nfa_min: region.log10_nfa_min,
        p_value: region.p_value,
        score_max: region.score_max,
        scale: region.scale as u32,
        outline: region.outline.iter().map(ring).collect(),
    }
}

fn mask(format: proto::MaskFormat, mask: ArrayView2<'_, u8>) -> Result<proto::Mask> {
    let (height, width) = mask.dim();
    let (mut data, mut runs) = (Vec::new(), Vec::new());
    match format {
        proto::MaskFormat::Unspecified => {}
        proto::MaskFormat::Png => data = encode::mask_png(mask)?,
        proto::MaskFormat::Rle => runs = encode::run_lengths(mask),
        proto::MaskFormat::Raw => data = encode::mask_bytes(mask),
    }
    Ok(proto::Mask { width: width as u32, height: height as u32, format: format.into(), data: data.into(), runs })
}

fn map(format: proto::MapFormat, map: ArrayView2<'_, f32>) -> Result<proto::Map> {
    let (height, width) = map.dim();
    let data = match format {
        proto::MapFormat::Unspecified => Vec::new(),
        proto::MapFormat::F32 => encode::f32_bytes(map),
        proto::MapFormat::F16 => encode::f16_bytes(map),
        proto::MapFormat::Png => encode::map_png(map)?,
    };
    let (minimum, maximum) = encode::range(map);
    let (width, height) = (width as u32, height as u32);
    Ok(proto::Map { width, height, format: format.into(), data: data.into(), minimum, maximum })
}

fn latents(latents: &ndarray::Array3<f32>) -> proto::Latents {
    let (channels, height, width) = latents.dim();
    let data = encode::f32_bytes(latents).into();
    proto::Latents { channels: channels as u32, height: height as u32, width: width as u32, data }
}

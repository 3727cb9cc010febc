//! The image with its regions outlined, for `Accept: image/png`.
//!
//! The picture is decoded a second time, on a thread that may block. All such threads together take as much memory as the
//! engine's workers may (`--max-work-mib`); a picture waits until its share is free.

use std::time::Instant;

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::Response,
};
use image::ImageFormat;
use tokio::sync::Semaphore;

use crate::{
    Error, Reason, Result,
    engine::{Answer, EngineOptions, Model, Source},
    evaluate::Outline,
    frame::{Image, ImageInfo, RawFrame, ReadOptions},
    render,
    serve::response_budget::Weigh,
};

/// Memory is counted in KiB, as permits are numbers of 32 bits.
const UNIT: u64 = 1 << 10;
/// Bytes that drawing takes for a pixel: the picture, the distance to the nearest outline, and the file.
const DRAWING: u64 = 3 + 4 + 3;
const PNG: &str = "image/png";

/// What a request wants as its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Json,
    Picture,
}

/// What `Accept` prefers; JSON where it does not say.
pub(super) fn wanted(headers: &HeaderMap) -> Wanted {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (mut json, mut picture) = (0.0_f32, 0.0_f32);
    let mut any = None;
    for range in values.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Ok(1.0), str::parse);
        let weight = weight.unwrap_or(0.0);
        match kind.as_str() {
            "application/json" | "application/*" => json = json.max(weight),
            PNG | "image/*" => picture = picture.max(weight),
            "*/*" => any = Some(weight),
            _ => {}
        }
    }
    if picture > json.max(any.unwrap_or(0.0)) || (picture > 0.0 && json == 0.0) {
        Wanted::Picture
    } else {
        Wanted::Json
    }
}

/// What is drawn, and what the answer's headers say.
#[derive(Debug)]
pub(super) struct Found {
    outlines: Vec<Outline>,
    headers: Vec<(HeaderName, String)>,
}

impl Weigh for Found {
    fn bytes(&self) -> usize {
        self.outlines.iter().flatten().map(|ring| size_of_val(ring.as_slice())).sum()
    }
}

impl Found {
    pub(super) fn of(answer: Answer) -> Self {
        let found = answer.detection;
        let name = HeaderName::from_static;
        let mut headers = vec![
            (name("uflow-anomalous"), found.anomalous.to_string()),
            (name("uflow-score"), found.score.to_string()),
            (name("uflow-regions"), found.regions.len().to_string()),
        ];
        headers.extend(found.p_value.map(|value| (name("uflow-p-value"), value.to_string())));
        Self { outlines: found.regions.into_iter().map(|region| region.outline).collect(), headers }
    }
}

/// Memory for drawing.
#[derive(Debug)]
pub(super) struct Memory {
    units: u32,
    free: Semaphore,
}

impl Memory {
    pub(super) fn new(options: &EngineOptions) -> Self {
        let units = u32::try_from(options.max_work_bytes / UNIT).unwrap_or(u32::MAX);
        Self { units, free: Semaphore::new(units as usize) }
    }

    fn units(&self, source: &Source) -> u32 {
        let bytes = match source {
            Source::Raw { width, height, .. } => u64::from(*width) * u64::from(*height) * DRAWING,
            Source::Encoded(bytes) => ImageInfo::read(bytes, "the encoded frame")
                .map_or(0, |info| info.memory.saturating_add(u64::from(info.width) * u64::from(info.height) * DRAWING)),
            Source::Image(image) => u64::from(image.width()) * u64::from(image.height()) * DRAWING,
        };
        u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, self.units)
    }
}

/// The answer with the picture.
///
/// # Errors
/// [`Error::TimedOut`]; a picture that cannot be written.
pub(super) async fn respond(
    memory: &Memory,
    model: &Model,
    (source, limits, significant_bits): (Source, crate::frame::Limits, Option<u8>),
    found: Found,
    deadline: Option<Instant>,
) -> Result<Response> {
    let share = memory.free.acquire_many(memory.units(&source));
    let _share = match deadline {
        None => share.await,
        Some(deadline) => tokio::time::timeout_at(deadline.into(), share)
            .await
            .map_err(|_| Error::TimedOut { stage: "before the picture was drawn" })?,
    }
    .map_err(|_| Error::unavailable("the server is stopping"))?;
    let options = model.manifest().input.read_options(limits, significant_bits);
    let Found { outlines, headers } = found;
    let drawn = tokio::task::spawn_blocking(move || draw(&source, &options, &outlines)).await;
    let mut response = Response::new(drawn.map_err(|error| Error::internal(Reason::of(error)))??.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PNG));
    let headers = headers.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?)));
    response.headers_mut().extend(headers);
    Ok(response)
}

fn draw(source: &Source, options: &ReadOptions, outlines: &[Outline]) -> Result<Vec<u8>> {
    let (image, picture);
    let frame = match source {
        Source::Raw { pixels, width, height, stride, format } => {
            let raw = RawFrame::new(pixels, *width, *height, *stride, *format)?;
            picture = raw.picture(options.significant_bits, options.float_range)?;
            picture.frame()
        }
        Source::Encoded(bytes) => {
            image = Image::decode_with(bytes, "the encoded frame", options)?;
            image.frame()
        }
        Source::Image(image) => image.frame(),
    };
    let bits = frame.significant_bits().or(options.significant_bits);
    let frame = bits.map_or(Ok(frame), |bits| frame.with_significant_bits(bits))?;
    let mut picture = render::rgb(&frame);
    render::draw_outlines(&mut picture, outlines, render::OUTLINE);
    let mut file = std::io::Cursor::new(Vec::new());
    let failed = |error| Error::internal(Reason::because("the picture cannot be written", error));
    picture.write_to(&mut file, ImageFormat::Png).map_err(failed)?;
    Ok(file.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_for_those_who_prefer_it() {
        for (accept, expected) in [
            ("", Wanted::Json),
            ("*/*", Wanted::Json),
            ("image/png", Wanted::Picture),
            ("IMAGE/*", Wanted::Picture),
            ("application/json", Wanted::Json),
            ("image/png;q=0.5, application/json", Wanted::Json),
            ("application/json;q=0.5, image/png", Wanted::Picture),
            ("image/png, application/json", Wanted::Json),
            ("text/html,image/avif,image/webp,image/png,*/*;q=0.8", Wanted::Picture),
            ("image/png;q=0", Wanted::Json),
            ("image/jpeg", Wanted::Json),
        ] {
            let mut headers = HeaderMap::new();
            if !accept.is_empty() {
                headers.insert(header::ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(wanted(&headers), expected, "{accept}");
        }
    }
}

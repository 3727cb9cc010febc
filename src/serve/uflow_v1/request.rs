//! Converts requests of `uflow.v1` to calls.

use std::time::{Duration, Instant};

use crate::{
    Error, Result,
    engine::{Priority, Source, Wanted},
    frame::{RawFormat, check_significant_bits},
    segment::{Bound, DecisionOptions, TestCount, Verdict},
    serve::{
        app::{Call, Protocol},
        origin::Origin,
        pixels,
        proto::v1 as proto,
        shown::shown,
    },
};

/// No folder, and so no model, has a longer name.
const LONGEST_NAME: usize = 255;

/// The parts of a request that its answer needs.
#[derive(Clone, Debug)]
pub(super) struct Echo {
    pub(super) sequence: u64,
    pub(super) timestamp: Option<prost_types::Timestamp>,
    pub(super) model: String,
    pub(super) outputs: proto::Outputs,
}

/// The parts of a request that its answer needs.
pub(super) fn echo(request: &proto::DetectRequest) -> Echo {
    Echo {
        sequence: request.sequence,
        timestamp: request.timestamp,
        model: if request.model.len() > LONGEST_NAME { shown(&request.model) } else { request.model.clone() },
        outputs: request.outputs.unwrap_or_default(),
    }
}

/// A request as a call. `deadline` and `origin` are those of the gRPC call.
///
/// # Errors
/// [`Error::Parameter`] or [`Error::Frame`] that names the field.
pub(super) fn call(request: proto::DetectRequest, deadline: Option<Instant>, origin: Origin) -> Result<Call> {
    let outputs = request.outputs.unwrap_or_default();
    let mask = enumeration::<proto::MaskFormat>("outputs.mask", outputs.mask)?;
    let score_map = enumeration::<proto::MapFormat>("outputs.score_map", outputs.score_map)?;
    let log10_nfa_map = enumeration::<proto::MapFormat>("outputs.log10_nfa_map", outputs.log10_nfa_map)?;
    let (options, roi) = options(request.options.unwrap_or_default())?;
    // A limit that overflows the clock is no limit.
    let limit = time_limit(request.time_limit)?.and_then(|limit| Instant::now().checked_add(limit));
    if request.model.is_empty() {
        return Err(Error::parameter("model", "the request names no model"));
    }
    Ok(Call {
        protocol: Protocol::Uflow,
        model: request.model,
        version: request.version,
        source: source(request.image)?,
        options,
        roi,
        wanted: Wanted {
            mask: mask != proto::MaskFormat::Unspecified,
            score_map: score_map != proto::MapFormat::Unspecified,
            log10_nfa_map: log10_nfa_map != proto::MapFormat::Unspecified,
            latents: outputs.latents,
        },
        deadline: limit.into_iter().chain(deadline).min(),
        priority: match enumeration("priority", request.priority)? {
            proto::Priority::High => Priority::High,
            proto::Priority::Unspecified | proto::Priority::Normal => Priority::Normal,
        },
        origin,
        significant_bits: request.significant_bits.map(significant_bits).transpose()?,
        frame: Some(request.sequence.to_string()),
    })
}

fn source(image: Option<proto::detect_request::Image>) -> Result<Source> {
    match image {
        None => Err(Error::frame("the request has no frame: set `raw` or `encoded`")),
        Some(proto::detect_request::Image::Encoded(bytes)) => Ok(Source::Encoded(bytes)),
        Some(proto::detect_request::Image::Raw(raw)) => {
            let named: proto::PixelFormat = enumeration("raw.format", raw.format)?;
            if named == proto::PixelFormat::Unspecified {
                return Err(Error::frame("raw.format is not set: name the layout of the pixels"));
            }
            let format = RawFormat::from_repr(named as u32)
                .ok_or_else(|| Error::internal("a pixel format of the protocol is not known"))?;
            Ok(pixels::raw(raw.pixels, raw.width, raw.height, raw.stride, format))
        }
    }
}

fn options(options: proto::DetectOptions) -> Result<(DecisionOptions, bytes::Bytes)> {
    let verdict = match enumeration("options.verdict", options.verdict)? {
        proto::Verdict::Unspecified => None,
        proto::Verdict::Nfa => Some(Verdict::Nfa),
        proto::Verdict::Score => Some(Verdict::Score),
        proto::Verdict::Both => Some(Verdict::Both),
        proto::Verdict::Either => Some(Verdict::Either),
        proto::Verdict::Reject => Some(Verdict::Reject),
    };
    let bound = match enumeration("options.bound", options.bound)? {
        proto::Bound::Unspecified => None,
        proto::Bound::Chernoff => Some(Bound::Chernoff),
        proto::Bound::Exact => Some(Bound::Exact),
    };
    let tests = match enumeration("options.tests", options.tests)? {
        proto::TestCount::Unspecified => None,
        proto::TestCount::Paper => Some(TestCount::Paper),
        proto::TestCount::PerSize => Some(TestCount::PerSize),
    };
    let proto::DetectOptions { epsilon, reject_rate, score_threshold, min_area, .. } = options;
    let decision =
        DecisionOptions { epsilon, verdict, reject_rate, score_threshold, min_area, bound, tests, roi: None };
    decision.check()?;
    Ok((decision, options.roi))
}

/// A value of one of the protocol's enumerations.
fn enumeration<E: TryFrom<i32>>(field: &'static str, number: i32) -> Result<E> {
    E::try_from(number).map_err(|_| Error::parameter(field, format!("{number} is not a value of it")))
}

/// A number of significant bits in its range.
fn significant_bits(bits: u32) -> Result<u8> {
    check_significant_bits(u8::try_from(bits).unwrap_or(u8::MAX))
}

fn time_limit(limit: Option<prost_types::Duration>) -> Result<Option<Duration>> {
    let positive = |limit: prost_types::Duration| {
        let limit = Duration::try_from(limit).ok().filter(|limit| !limit.is_zero());
        limit.ok_or_else(|| Error::parameter("time_limit", "it must be above 0"))
    };
    limit.map(positive).transpose()
}

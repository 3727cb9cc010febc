//! The query of a detect request: options, outputs, and the layout of raw pixels.

use std::{fmt::Display, str::FromStr, time::Duration};

use axum::{extract::Query as FromQuery, http::Uri};
use base64::{
    Engine as _,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, de::Error as _};
use utoipa::{IntoParams, ToSchema};

use crate::{
    Error, Result,
    engine::{Priority, Source, Wanted},
    frame::{RawFormat, check_significant_bits},
    segment::{Bound, DecisionOptions, TestCount, Verdict, parse_rate},
    serve::{pixels, shown::shown},
};

/// How a mask is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum MaskFormat {
    /// A grey PNG, 0 or 255.
    Png,
    /// Lengths of runs.
    Rle,
}

/// How a map is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum MapFormat {
    /// A grey PNG of 16 bits.
    Png,
    /// Little-endian 32-bit floats.
    F32,
    /// Little-endian 16-bit floats.
    F16,
}

/// Which frames go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Urgency {
    Normal,
    High,
}

/// The outputs beyond the detection that a request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outputs {
    pub(super) mask: Option<MaskFormat>,
    pub(super) score_map: Option<MapFormat>,
    pub(super) log10_nfa_map: Option<MapFormat>,
}

impl Outputs {
    pub(super) fn wanted(self) -> Wanted {
        Wanted {
            mask: self.mask.is_some(),
            score_map: self.score_map.is_some(),
            log10_nfa_map: self.log10_nfa_map.is_some(),
            latents: false,
        }
    }
}

/// The parameters of a query. Others are refused.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// False alarms expected per image: a pixel is anomalous where log10 NFA < log10 epsilon. The package's own if absent.
    #[serde(default, deserialize_with = "number")]
    #[param(exclusive_minimum = 0.0)]
    epsilon: Option<f64>,
    /// Share of good images that may be rejected, above 0 and below 1: `1%` (in a query `1%25`) or `0.01`. Without `verdict` this
    /// also means the verdict `reject`. The package's own if absent.
    #[serde(default, deserialize_with = "share")]
    #[param(value_type = Option<String>, example = "0.01")]
    reject_rate: Option<f64>,
    /// What makes the image anomalous. The package's own if absent.
    #[serde(default, deserialize_with = "word")]
    #[param(inline)]
    verdict: Option<Verdict>,
    /// Maximum of the score map above which an image is anomalous by score. The package's own, else its fair threshold, if absent.
    #[serde(default, deserialize_with = "number")]
    score_threshold: Option<f32>,
    /// Smallest region that counts, in pixels of the image. The package's own if absent.
    #[serde(default, deserialize_with = "whole")]
    min_area: Option<u32>,
    /// How tail probabilities are computed. The package's own if absent.
    #[serde(default, deserialize_with = "word")]
    #[param(inline)]
    bound: Option<Bound>,
    /// How tests are counted: all sizes of region together, as in the paper, or by size on the package's calibrated null, which
    /// the package must have. The package's own if absent.
    #[serde(default, deserialize_with = "word")]
    #[param(inline)]
    tests: Option<TestCount>,
    /// Significant bits of 16-bit samples: black to white is 0 to 2^bits - 1, and samples above that are refused. The package's
    /// own if absent, else 16. Images with 8-bit samples are not affected.
    #[serde(default, deserialize_with = "whole")]
    #[param(minimum = 1, maximum = 16)]
    significant_bits: Option<u8>,
    /// Region of interest in place of the package's own: an image file (a small PNG, say) whose pixels that are not black
    /// count, in base64 with `-` and `_` in place of `+` and `/`; padding may be left out.
    #[serde(default, deserialize_with = "base64")]
    #[param(value_type = Option<String>)]
    roi: Option<Bytes>,
    /// Frames of high priority go before all others.
    #[param(inline)]
    priority: Option<Urgency>,
    /// Milliseconds, from the request's arrival, after which its answer is of no use.
    #[serde(default, deserialize_with = "whole")]
    #[param(minimum = 1)]
    time_limit_ms: Option<u64>,
    /// Ask for the mask at the image's size.
    #[param(inline)]
    mask: Option<MaskFormat>,
    /// Ask for the score map at the model's map size.
    #[param(inline)]
    score_map: Option<MapFormat>,
    /// Ask for the log10 NFA map at the model's map size.
    #[param(inline)]
    log10_nfa_map: Option<MapFormat>,
    /// Raw pixels: pixels in a row. Goes with `height` and `format`.
    #[serde(default, deserialize_with = "whole")]
    #[param(minimum = 1)]
    width: Option<u32>,
    /// Raw pixels: rows.
    #[serde(default, deserialize_with = "whole")]
    #[param(minimum = 1)]
    height: Option<u32>,
    /// Raw pixels: their layout. Numbers of several bytes have the low byte first.
    #[serde(default, deserialize_with = "word")]
    #[param(inline)]
    format: Option<RawFormat>,
    /// Raw pixels: bytes from the start of one row to the start of the next; 0, or absent, means rows without gaps.
    #[serde(default, deserialize_with = "whole")]
    stride: Option<u32>,
}

impl Query {
    /// Reads the query of an address.
    ///
    /// # Errors
    /// [`Error::Parameter`] that names the parameter, or those there are.
    pub(super) fn of(uri: &Uri) -> Result<Self> {
        let read = FromQuery::<Self>::try_from_uri(uri).map_err(|error| {
            let text = error.body_text();
            let reason = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            Error::parameter("query", reason)
        });
        let FromQuery(query) = read?;
        if query.time_limit_ms == Some(0) {
            return Err(Error::parameter("time_limit_ms", "it must be above 0"));
        }
        query.significant_bits.map(check_significant_bits).transpose()?;
        query.layout()?;
        query.options().check()?;
        Ok(query)
    }

    /// How a defect is decided, without the region of interest.
    pub(super) fn options(&self) -> DecisionOptions {
        let &Self { epsilon, reject_rate, verdict, score_threshold, min_area, bound, tests, .. } = self;
        DecisionOptions { epsilon, verdict, reject_rate, score_threshold, min_area, bound, tests, roi: None }
    }

    /// The region of interest as an encoded image; empty for none.
    pub(super) fn roi(&self) -> Bytes {
        self.roi.clone().unwrap_or_default()
    }

    /// Significant bits of 16-bit samples, where they differ from the package.
    pub(super) fn significant_bits(&self) -> Option<u8> {
        self.significant_bits
    }

    pub(super) fn outputs(&self) -> Outputs {
        Outputs { mask: self.mask, score_map: self.score_map, log10_nfa_map: self.log10_nfa_map }
    }

    pub(super) fn priority(&self) -> Priority {
        match self.priority {
            Some(Urgency::High) => Priority::High,
            Some(Urgency::Normal) | None => Priority::Normal,
        }
    }

    pub(super) fn time_limit(&self) -> Option<Duration> {
        self.time_limit_ms.map(Duration::from_millis)
    }

    /// Width, height and format of raw pixels; `None` where the body is an encoded image.
    fn layout(&self) -> Result<Option<(u32, u32, RawFormat)>> {
        match (self.width, self.height, self.format) {
            (Some(width), Some(height), Some(format)) => Ok(Some((width, height, format))),
            (None, None, None) if self.stride.is_none() => Ok(None),
            _ => {
                Err(Error::parameter("width, height, format", "raw pixels need all three; an encoded image needs none"))
            }
        }
    }

    /// The frame that a body holds.
    ///
    /// # Errors
    /// [`Error::Frame`] for an empty body.
    pub(super) fn source(&self, body: Bytes) -> Result<Source> {
        if body.is_empty() {
            return Err(Error::frame("the body is empty: send the image, or raw pixels, as the body"));
        }
        Ok(match self.layout()? {
            Some((width, height, format)) => pixels::raw(body, width, height, self.stride.unwrap_or(0), format),
            None => Source::Encoded(body),
        })
    }
}

/// Reads a value and says what is wrong with it.
fn read<'de, D: Deserializer<'de>, T, E: Display>(
    deserializer: D,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map(Some).map_err(D::Error::custom)
}

fn number<'de, D: Deserializer<'de>, T: FromStr>(deserializer: D) -> Result<Option<T>, D::Error> {
    read(deserializer, |text| text.parse().map_err(|_| format!("`{}` is not a number", shown(text))))
}

fn whole<'de, D: Deserializer<'de>, T: FromStr>(deserializer: D) -> Result<Option<T>, D::Error> {
    read(deserializer, |text| text.parse().map_err(|_| format!("`{}` is not a whole number that fits", shown(text))))
}

/// A share, as a number or in percent.
fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    read(deserializer, |text| parse_rate(&shown(text)).map_err(reason))
}

/// A name out of a few. The error lists them.
fn word<'de, D: Deserializer<'de>, T: FromStr<Err = Error>>(deserializer: D) -> Result<Option<T>, D::Error> {
    read(deserializer, |text| shown(text).parse().map_err(reason))
}

/// What is wrong with a value whose parameter is named already.
fn reason(error: Error) -> String {
    match error {
        Error::Parameter { reason, .. } => reason,
        other => other.to_string(),
    }
}

/// Base64 in the alphabet that is safe in a query, with or without padding.
fn base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    read(deserializer, |text| {
        let decoded = GeneralPurpose::new(&URL_SAFE, CONFIG).decode(text).ok().filter(|bytes| !bytes.is_empty());
        decoded.map(Bytes::from).ok_or("it is not an image file in base64 with - and _ in place of + and /")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Result<Query> {
        Query::of(&format!("/x?{query}").parse().unwrap())
    }

    #[test]
    fn every_parameter_arrives_where_it_belongs() {
        let query = of("epsilon=0.5&reject_rate=2%25&verdict=either&score_threshold=0.25&min_area=9&bound=exact&roi=_-8&priority=high\
                        &time_limit_ms=250&mask=rle&score_map=f16&log10_nfa_map=png&width=4&height=3&format=gray16&stride=10&significant_bits=12")
        .unwrap();
        let options = query.options();
        assert_eq!((options.epsilon, options.score_threshold), (Some(0.5), Some(0.25)));
        assert_eq!((options.verdict, options.bound), (Some(Verdict::Either), Some(Bound::Exact)));
        assert_eq!(options.reject_rate, Some(0.02));
        assert_eq!((options.min_area, &query.roi()[..]), (Some(9), &[0xff, 0xef][..]));
        assert_eq!((query.priority(), query.time_limit()), (Priority::High, Some(Duration::from_millis(250))));
        assert_eq!(query.significant_bits(), Some(12));
        let outputs = query.outputs();
        let outputs = (outputs.mask, outputs.score_map, outputs.log10_nfa_map);
        assert_eq!(outputs, (Some(MaskFormat::Rle), Some(MapFormat::F16), Some(MapFormat::Png)));
        match query.source(Bytes::from_static(&[0; 30])).unwrap() {
            Source::Raw { width: 4, height: 3, stride: 10, format: RawFormat::Gray16, .. } => {}
            other => panic!("{other:?}"),
        }
        assert!(matches!(of("").unwrap().source(Bytes::from_static(b"x")).unwrap(), Source::Encoded(_)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, expected) in [
            (
                "epsilom=1",
                "query: epsilom: unknown field `epsilom`, expected one of `epsilon`, `reject_rate`, `verdict`,",
            ),
            ("epsilon=1&epsilon=2", "query: duplicate field `epsilon`"),
            ("epsilon=one", "query: epsilon: `one` is not a number"),
            ("min_area=-1", "query: min_area: `-1` is not a whole number that fits"),
            ("verdict=nasty", "query: verdict: `nasty` is not one of nfa, score, both, either, reject"),
            ("reject_rate=0", "query: reject_rate: must be a share above 0 and below 1"),
            ("reject_rate=few", "query: reject_rate: `few` is not a share; write 1% or 0.01"),
            ("bound=", "query: bound: `` is not one of chernoff, exact"),
            ("priority=urgent", "query: priority: unknown variant `urgent`, expected `normal` or `high`"),
            ("time_limit_ms=0", "time_limit_ms: it must be above 0"),
            ("mask=raw", "query: mask: unknown variant `raw`, expected `png` or `rle`"),
            ("score_map=rle", "query: score_map: unknown variant `rle`, expected one of `png`, `f32`, `f16`"),
            ("roi=a+b", "query: roi: it is not an image file in base64"),
            ("format=yuv", "query: format: `yuv` is not one of gray8, gray16,"),
            ("width=4&height=3", "width, height, format: raw pixels need all three"),
            ("significant_bits=17", "significant bits: 17 is not within 1 to 16"),
            ("stride=4", "width, height, format: raw pixels need all three"),
        ] {
            let error = of(query).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{query}: {error}");
        }
    }
}

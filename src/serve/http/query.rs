//! The query of a detect request: options, outputs, and the layout of raw pixels.

use std::{collections::BTreeSet, str::FromStr, time::Duration};

use axum::{extract::Query as Pairs, http::Uri};
use base64::{
    Engine as _,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;

use crate::{
    Error, Result,
    engine::{Priority, Source, Wanted},
    frame::{PixelFormat, check_significant_bits},
    segment::DecisionOptions,
    serve::pixels,
};

/// Every parameter there is.
const KNOWN: [&str; 17] = [
    "epsilon",
    "verdict",
    "score_threshold",
    "min_area",
    "bound",
    "tests",
    "significant_bits",
    "roi",
    "priority",
    "time_limit_ms",
    "mask",
    "score_map",
    "log10_nfa_map",
    "width",
    "height",
    "format",
    "stride",
];

/// How a mask is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MaskFormat {
    Png,
    Rle,
}

/// How a map is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MapFormat {
    Png,
    F32,
    F16,
}

/// What is wanted beyond the detection.
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

/// What the query says.
#[derive(Clone, Debug, Default)]
pub(super) struct Query {
    pub(super) options: DecisionOptions,
    /// The region of interest as an encoded image; empty for none.
    pub(super) roi: Bytes,
    pub(super) priority: Priority,
    /// Significant bits of 16-bit samples, where they differ from the package.
    pub(super) significant_bits: Option<u8>,
    pub(super) time_limit: Option<Duration>,
    pub(super) outputs: Outputs,
    width: Option<u32>,
    height: Option<u32>,
    format: Option<PixelFormat>,
    stride: Option<u32>,
}

impl Query {
    /// Reads it.
    ///
    /// # Errors
    /// [`Error::Parameter`] that names the parameter, or those there are.
    pub(super) fn of(uri: &Uri) -> Result<Self> {
        let pairs = Pairs::<Vec<(String, String)>>::try_from_uri(uri);
        let Pairs(pairs) = pairs.map_err(|error| Error::parameter("query", error.body_text()))?;
        let mut query = Self::default();
        let mut seen = BTreeSet::new();
        for (name, value) in &pairs {
            let Some(&name) = KNOWN.iter().find(|known| *known == name) else { return Err(unknown(name)) };
            if !seen.insert(name) {
                return Err(Error::parameter(name, "it is given twice"));
            }
            query.set(name, value)?;
        }
        query.layout()?;
        query.options.check()?;
        Ok(query)
    }

    fn set(&mut self, name: &'static str, value: &str) -> Result<()> {
        let options = &mut self.options;
        match name {
            "epsilon" => options.epsilon = Some(number(name, value)?),
            "verdict" => options.verdict = Some(value.parse()?),
            "score_threshold" => options.score_threshold = Some(number(name, value)?),
            "min_area" => options.min_area = Some(number(name, value)?),
            "bound" => options.bound = Some(value.parse()?),
            "tests" => options.tests = Some(value.parse()?),
            "significant_bits" => self.significant_bits = Some(check_significant_bits(number(name, value)?)?),
            "roi" => self.roi = base64(name, value)?,
            "priority" => {
                self.priority = choice(name, value, &[("normal", Priority::Normal), ("high", Priority::High)])?;
            }
            "time_limit_ms" => self.time_limit = Some(time_limit(name, value)?),
            "mask" => self.outputs.mask = Some(choice(name, value, &MASKS)?),
            "score_map" => self.outputs.score_map = Some(choice(name, value, &MAPS)?),
            "log10_nfa_map" => self.outputs.log10_nfa_map = Some(choice(name, value, &MAPS)?),
            "width" => self.width = Some(number(name, value)?),
            "height" => self.height = Some(number(name, value)?),
            "format" => {
                let formats = PixelFormat::ALL.map(|format| (format.name(), format));
                self.format = Some(choice(name, value, &formats)?);
            }
            "stride" => self.stride = Some(number(name, value)?),
            _ => return Err(unknown(name)),
        }
        Ok(())
    }

    /// Width, height and format of raw pixels; `None` where the body is an encoded image.
    fn layout(&self) -> Result<Option<(u32, u32, PixelFormat)>> {
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
            return Err(Error::Frame("the body is empty: send the image, or raw pixels, as the body".to_owned()));
        }
        Ok(match self.layout()? {
            Some((width, height, format)) => pixels::raw(body, width, height, self.stride.unwrap_or(0), format),
            None => Source::Encoded(body),
        })
    }
}

const MASKS: [(&str, MaskFormat); 2] = [("png", MaskFormat::Png), ("rle", MaskFormat::Rle)];
const MAPS: [(&str, MapFormat); 3] = [("png", MapFormat::Png), ("f32", MapFormat::F32), ("f16", MapFormat::F16)];

fn unknown(name: &str) -> Error {
    Error::parameter("query", format!("there is no parameter {}; there are {}", shown(name), KNOWN.join(", ")))
}

/// What a client wrote, fit to be shown.
fn shown(text: &str) -> String {
    const SHOWN: usize = 40;
    let rest = if text.chars().nth(SHOWN).is_some() { "…" } else { "" };
    format!("`{}{rest}`", text.chars().take(SHOWN).collect::<String>().escape_debug())
}

fn number<T: FromStr>(name: &'static str, value: &str) -> Result<T> {
    let what = if ["epsilon", "score_threshold"].contains(&name) { "a number" } else { "a whole number that fits" };
    value.parse().map_err(|_| Error::parameter(name, format!("{} is not {what}", shown(value))))
}

fn choice<T: Copy>(name: &'static str, value: &str, choices: &[(&str, T)]) -> Result<T> {
    let found = choices.iter().find(|(known, _)| *known == value).map(|(_, choice)| *choice);
    found.ok_or_else(|| {
        let known: Vec<_> = choices.iter().map(|(known, _)| *known).collect();
        Error::parameter(name, format!("{} is not one of {}", shown(value), known.join(", ")))
    })
}

fn time_limit(name: &'static str, value: &str) -> Result<Duration> {
    let limit = Duration::from_millis(number(name, value)?);
    if limit.is_zero() {
        return Err(Error::parameter(name, "it must be above 0"));
    }
    Ok(limit)
}

/// Base64 in the alphabet that is safe in a query, with or without padding.
fn base64(name: &'static str, value: &str) -> Result<Bytes> {
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let decoded = GeneralPurpose::new(&URL_SAFE, CONFIG).decode(value);
    let decoded = decoded.ok().filter(|bytes| !bytes.is_empty()).map(Bytes::from);
    decoded.ok_or_else(|| Error::parameter(name, "it is not an image file in base64 with - and _ in place of + and /"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::{Bound, Verdict};

    fn of(query: &str) -> Result<Query> {
        Query::of(&format!("/x?{query}").parse().unwrap())
    }

    #[test]
    fn every_parameter_arrives_where_it_belongs() {
        let query = of("epsilon=0.5&verdict=either&score_threshold=0.25&min_area=9&bound=exact&roi=_-8&priority=high\
                        &time_limit_ms=250&mask=rle&score_map=f16&log10_nfa_map=png&width=4&height=3&format=gray16&stride=10&significant_bits=12")
        .unwrap();
        let options = &query.options;
        assert_eq!((options.epsilon, options.score_threshold), (Some(0.5), Some(0.25)));
        assert_eq!((options.verdict, options.bound), (Some(Verdict::Either), Some(Bound::Exact)));
        assert_eq!((options.min_area, &query.roi[..]), (Some(9), &[0xff, 0xef][..]));
        assert_eq!((query.priority, query.time_limit), (Priority::High, Some(Duration::from_millis(250))));
        assert_eq!(query.significant_bits, Some(12));
        let outputs = (query.outputs.mask, query.outputs.score_map, query.outputs.log10_nfa_map);
        assert_eq!(outputs, (Some(MaskFormat::Rle), Some(MapFormat::F16), Some(MapFormat::Png)));
        match query.source(Bytes::from_static(&[0; 30])).unwrap() {
            Source::Raw { width: 4, height: 3, stride: 10, format: PixelFormat::Gray16, .. } => {}
            other => panic!("{other:?}"),
        }
        assert!(matches!(of("").unwrap().source(Bytes::from_static(b"x")).unwrap(), Source::Encoded(_)));
        for name in KNOWN {
            let error = of(&format!("{name}=%20")).unwrap_err().to_string();
            assert!(!error.contains("there is no parameter"), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, expected) in [
            ("epsilom=1", "query: there is no parameter `epsilom`; there are epsilon, verdict,"),
            ("epsilon=1&epsilon=2", "epsilon: it is given twice"),
            ("epsilon=one", "epsilon: `one` is not a number"),
            ("min_area=-1", "min_area: `-1` is not a whole number that fits"),
            ("verdict=nasty", "verdict: `nasty` is not one of nfa, score, both, either"),
            ("bound=", "bound: `` is not one of chernoff, exact"),
            ("priority=urgent", "priority: `urgent` is not one of normal, high"),
            ("time_limit_ms=0", "time_limit_ms: it must be above 0"),
            ("mask=raw", "mask: `raw` is not one of png, rle"),
            ("score_map=rle", "score_map: `rle` is not one of png, f32, f16"),
            ("roi=a+b", "roi: it is not an image file in base64"),
            ("format=yuv", "format: `yuv` is not one of gray8, gray16,"),
            ("width=4&height=3", "width, height, format: raw pixels need all three"),
            ("significant_bits=17", "significant bits: 17 is not within 1 to 16"),
            ("stride=4", "width, height, format: raw pixels need all three"),
        ] {
            let error = of(query).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{query}: {error}");
        }
        let long = of(&"ü".repeat(1000)).unwrap_err().to_string();
        assert!(long.contains(&format!("`{}…`", "ü".repeat(40))), "{long}");
    }
}

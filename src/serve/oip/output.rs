//! Output tensors: which there are, each frame's part of them (made on the engine's threads), and how the parts are joined.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use prost::Message;

use super::parameters::only;
use crate::{
    Error, Reason, Result,
    engine::{Answer, Model, Wanted},
    latents::ScaleShape,
    serve::{
        encode,
        proto::inference::{
            DataType, InferTensorContents, model_infer_request::InferRequestedOutputTensor,
            model_infer_response::InferOutputTensor,
        },
        shown::shown,
    },
};

/// A tensor that models answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Score,
    ScoreMax,
    Anomalous,
    Log10NfaMin,
    PValue,
    Regions,
    Mask,
    MaskPng,
    ScoreMap,
    Log10NfaMap,
    /// The latents of a scale, 0 being the finest. They are not declared: tools that ask for every output would get them.
    Latents(usize),
}

/// Name of the first scale's latents without its number.
const LATENTS: &str = "latents_";

impl Output {
    /// Outputs that are declared, in the order of the metadata.
    pub(super) const DECLARED: [Self; 10] = [
        Self::Score,
        Self::ScoreMax,
        Self::Anomalous,
        Self::Log10NfaMin,
        Self::PValue,
        Self::Regions,
        Self::Mask,
        Self::MaskPng,
        Self::ScoreMap,
        Self::Log10NfaMap,
    ];
    /// The answer to a request that names no output: those that are small.
    const DEFAULT: [Self; 6] =
        [Self::Score, Self::ScoreMax, Self::Anomalous, Self::Log10NfaMin, Self::PValue, Self::Regions];

    pub(super) fn name(self) -> Cow<'static, str> {
        let name = match self {
            Self::Score => "score",
            Self::ScoreMax => "score_max",
            Self::Anomalous => "anomalous",
            Self::Log10NfaMin => "log10_nfa_min",
            Self::PValue => "p_value",
            Self::Regions => "regions",
            Self::Mask => "mask",
            Self::MaskPng => "mask_png",
            Self::ScoreMap => "score_map",
            Self::Log10NfaMap => "log10_nfa_map",
            Self::Latents(scale) => return format!("{LATENTS}{scale}").into(),
        };
        name.into()
    }

    fn named(name: &str) -> Option<Self> {
        let latents = || {
            let scale = name.strip_prefix(LATENTS)?.parse().ok().map(Self::Latents)?;
            // `latents_01` is not a name.
            (scale.name() == name).then_some(scale)
        };
        Self::DECLARED.into_iter().find(|output| output.name() == name).or_else(latents)
    }

    /// The type, as requests and metadata write it, and as the configuration does.
    pub(super) fn datatype(self) -> (&'static str, DataType) {
        match self {
            Self::Score
            | Self::ScoreMax
            | Self::Log10NfaMin
            | Self::ScoreMap
            | Self::Log10NfaMap
            | Self::Latents(_) => ("FP32", DataType::TypeFp32),
            Self::PValue => ("FP64", DataType::TypeFp64),
            Self::Anomalous => ("BOOL", DataType::TypeBool),
            Self::Regions | Self::MaskPng => ("BYTES", DataType::TypeString),
            Self::Mask => ("UINT8", DataType::TypeUint8),
        }
    }

    /// The shape without the batch axis. −1 means the frame's own size.
    pub(super) fn dims(self, model: &Model) -> Vec<i64> {
        let (width, height) = model.manifest().input.map_size();
        match self {
            Self::Score
            | Self::ScoreMax
            | Self::Anomalous
            | Self::Log10NfaMin
            | Self::PValue
            | Self::Regions
            | Self::MaskPng => Vec::new(),
            Self::Mask => vec![-1, -1],
            Self::ScoreMap | Self::Log10NfaMap => vec![i64::from(height), i64::from(width)],
            Self::Latents(scale) => model.manifest().latents().get(scale).map_or_else(Vec::new, |latents| {
                let &ScaleShape { channels, height, width } = latents;
                [channels, height, width].map(|size| size as i64).into()
            }),
        }
    }
}

/// Checks that a model has the outputs.
///
/// # Errors
/// [`Error::Parameter`] for latents of a scale that the model does not have.
pub(super) fn check(outputs: &[Output], model: &Model) -> Result<()> {
    let scales = model.manifest().scales.len();
    for output in outputs {
        if let Output::Latents(scale) = output
            && *scale >= scales
        {
            let reason = format!(
                "there is no output `{}`; the model has {scales} scales: {LATENTS}0 to {LATENTS}{}",
                output.name(),
                scales.saturating_sub(1)
            );
            return Err(Error::parameter("outputs", reason));
        }
    }
    Ok(())
}

/// The requested outputs, in the request's order.
///
/// # Errors
/// [`Error::Parameter`] for one that there is not, is asked for twice, or wanted in a way that the server does not have.
pub(super) fn requested(outputs: &[InferRequestedOutputTensor]) -> Result<Vec<Output>> {
    let wrong = |reason| Err(Error::parameter("outputs", reason));
    let mut found = Vec::new();
    for requested in outputs {
        let name = shown(&requested.name);
        let Some(output) = Output::named(&requested.name) else {
            let all = Output::DECLARED.map(Output::name).join(", ");
            return wrong(format!("there is no output `{name}`; there are {all}, and {LATENTS}0 and so on"));
        };
        if found.contains(&output) {
            return wrong(format!("`{name}` is asked for twice"));
        }
        only("outputs", &format!("`{name}`"), &requested.parameters, &[], &["binary_data"])?;
        found.push(output);
    }
    Ok(if found.is_empty() { Output::DEFAULT.to_vec() } else { found })
}

/// What the engine has to compute for these outputs.
pub(super) fn wanted(outputs: &[Output]) -> Wanted {
    Wanted {
        mask: outputs.contains(&Output::Mask) || outputs.contains(&Output::MaskPng),
        score_map: outputs.contains(&Output::ScoreMap),
        log10_nfa_map: outputs.contains(&Output::Log10NfaMap),
        latents: outputs.iter().any(|output| matches!(output, Output::Latents(_))),
    }
}

/// Limit on the memory of one request's answer, shared by its frames: a small file may decode to a large image, and a request
/// may have many files.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    taken: Arc<AtomicU64>,
    limit: u64,
}

impl Budget {
    pub(super) fn new(limit: u64) -> Self {
        Self { taken: Arc::default(), limit }
    }

    fn take(&self, bytes: u64) -> Result<()> {
        let found = self.taken.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if found <= self.limit {
            return Ok(());
        }
        let what = "size of the request's outputs".to_owned();
        Err(Error::Limit { what, found, limit: self.limit, unit: "bytes" })
    }
}

/// One frame's part of an output.
#[derive(Debug)]
pub(super) struct Part {
    /// Without the batch axis.
    shape: Vec<i64>,
    elements: Elements,
}

#[derive(Debug)]
enum Elements {
    Raw(Vec<u8>),
    Typed(InferTensorContents),
}

impl Part {
    /// Memory it takes.
    pub(super) fn bytes(&self) -> usize {
        match &self.elements {
            Elements::Raw(bytes) => bytes.len(),
            Elements::Typed(contents) => contents.encoded_len(),
        }
    }
}

/// A frame's part of each output.
pub(super) fn parts(outputs: &[Output], answer: &Answer, raw: bool, budget: &Budget) -> Result<Vec<Part>> {
    outputs.iter().map(|&output| part(output, answer, raw, budget)).collect()
}

fn part(output: Output, answer: &Answer, raw: bool, budget: &Budget) -> Result<Part> {
    let found = &answer.detection;
    let missing = || Error::internal(format!("the engine gave no {}", output.name()));
    Ok(match output {
        Output::Score => floats(Vec::new(), &[found.score], raw),
        Output::ScoreMax => floats(Vec::new(), &[found.score_max], raw),
        Output::Log10NfaMin => floats(Vec::new(), &[found.log10_nfa_min], raw),
        Output::PValue => {
            // NaN where the package knows no good images.
            let value = found.p_value.unwrap_or(f64::NAN);
            let typed = || InferTensorContents { fp64_contents: vec![value], ..Default::default() };
            let elements = if raw { Elements::Raw(value.to_le_bytes().to_vec()) } else { Elements::Typed(typed()) };
            Part { shape: Vec::new(), elements }
        }
        Output::Anomalous => {
            let typed = || InferTensorContents { bool_contents: vec![found.anomalous], ..Default::default() };
            let elements = if raw { Elements::Raw(vec![u8::from(found.anomalous)]) } else { Elements::Typed(typed()) };
            Part { shape: Vec::new(), elements }
        }
        Output::Regions => {
            let failed = |error| Error::internal(Reason::because("regions cannot be written as JSON", error));
            let json = serde_json::to_vec(&found.regions).map_err(failed)?;
            bytes(json, raw, budget)?
        }
        Output::MaskPng => bytes(encode::mask_png(answer.mask.as_ref().ok_or_else(missing)?.view())?, raw, budget)?,
        Output::Mask => {
            let mask = answer.mask.as_ref().ok_or_else(missing)?.view();
            let bytes = if raw { 1 } else { size_of::<u32>() as u64 };
            budget.take(mask.len() as u64 * bytes)?;
            let typed = || mask.iter().map(|&pixel| u32::from(pixel != 0)).collect();
            let elements = if raw {
                Elements::Raw(encode::mask_bytes(mask))
            } else {
                Elements::Typed(InferTensorContents { uint_contents: typed(), ..Default::default() })
            };
            Part { shape: vec![mask.nrows() as i64, mask.ncols() as i64], elements }
        }
        Output::ScoreMap | Output::Log10NfaMap => {
            let map = if output == Output::ScoreMap { &answer.score_map } else { &answer.log10_nfa_map };
            let map = map.as_ref().ok_or_else(missing)?;
            budget.take(size_of_val(map.as_slice().unwrap_or_default()) as u64)?;
            floats(vec![map.nrows() as i64, map.ncols() as i64], map, raw)
        }
        Output::Latents(scale) => {
            let latents = answer.latents.get(scale).ok_or_else(missing)?;
            budget.take((latents.len() * size_of::<f32>()) as u64)?;
            let (channels, height, width) = latents.dim();
            floats([channels, height, width].map(|size| size as i64).into(), latents, raw)
        }
    })
}

/// One element of BYTES.
fn bytes(element: Vec<u8>, raw: bool, budget: &Budget) -> Result<Part> {
    budget.take(element.len() as u64)?;
    let elements = if raw {
        let too_large = |_| Error::internal("an element of more than 4 GiB");
        let length = u32::try_from(element.len()).map_err(too_large)?;
        Elements::Raw([&length.to_le_bytes(), element.as_slice()].concat())
    } else {
        Elements::Typed(InferTensorContents { bytes_contents: vec![element.into()], ..Default::default() })
    };
    Ok(Part { shape: Vec::new(), elements })
}

fn floats<'a>(shape: Vec<i64>, values: impl IntoIterator<Item = &'a f32>, raw: bool) -> Part {
    let elements = if raw {
        Elements::Raw(encode::f32_bytes(values))
    } else {
        let fp32_contents = values.into_iter().copied().collect();
        Elements::Typed(InferTensorContents { fp32_contents, ..Default::default() })
    };
    Part { shape, elements }
}

/// A tensor of all frames' parts of one output, and its raw contents where parts are raw.
///
/// # Errors
/// [`Error::Parameter`] where the parts differ in size, as masks of pictures do.
pub(super) fn join(output: Output, parts: Vec<Part>) -> Result<(InferOutputTensor, Option<Vec<u8>>)> {
    let images = parts.len() as i64;
    let mut parts = parts.into_iter();
    let Some(Part { shape: first, elements: mut joined }) = parts.next() else {
        return Err(Error::internal("a request without frames was answered"));
    };
    for (index, part) in (1..).zip(parts) {
        if part.shape != first {
            let (name, other) = (output.name(), part.shape);
            let reason = format!(
                "`{name}` of image {index} is {other:?} and that of image 0 is {first:?}, which make no tensor; ask for it \
                 with images of one size, or one image at a time"
            );
            return Err(Error::parameter("outputs", reason));
        }
        match (&mut joined, part.elements) {
            (Elements::Raw(joined), Elements::Raw(more)) => joined.extend_from_slice(&more),
            (Elements::Typed(joined), Elements::Typed(more)) => {
                joined.bool_contents.extend(more.bool_contents);
                joined.uint_contents.extend(more.uint_contents);
                joined.fp32_contents.extend(more.fp32_contents);
                joined.fp64_contents.extend(more.fp64_contents);
                joined.bytes_contents.extend(more.bytes_contents);
            }
            _ => return Err(Error::internal("a request was answered in two ways")),
        }
    }
    let (raw, contents) = match joined {
        Elements::Raw(raw) => (Some(raw), None),
        Elements::Typed(contents) => (None, Some(contents)),
    };
    let tensor = InferOutputTensor {
        name: output.name().into_owned(),
        datatype: output.datatype().0.to_owned(),
        shape: std::iter::once(images).chain(first).collect(),
        contents,
        ..Default::default()
    };
    Ok((tensor, raw))
}

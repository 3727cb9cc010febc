//! A request's body, read as the protocol's message: JSON, and binary tensors behind it.
//!
//! Elements that are JSON become raw contents, so that everything behind this is the same as over gRPC. Numbers are checked against
//! their type. A field that is not known is refused by name, as a parameter is.

use std::collections::HashMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::elements;
use crate::{
    Error, Reason, Result,
    serve::{
        http::target::Target,
        proto::inference::{
            InferParameter, ModelInferRequest,
            infer_parameter::ParameterChoice,
            model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
        },
        shown::{self, shown},
    },
};

/// Where an element's text is base64, and not the bytes themselves.
const CONTENT_TYPE: &str = "content_type";
const BASE64: &str = "base64";
const BINARY_SIZE: &str = "binary_data_size";
const BINARY: &str = "binary_data";
const BINARY_OUTPUT: &str = "binary_data_output";
const SHARED: &str = "shared_memory_region";

type Parameters = HashMap<String, serde_json::Value>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model_name: Option<String>,
    #[serde(default)]
    model_version: Option<String>,
    #[serde(default)]
    parameters: Option<Parameters>,
    #[serde(borrow)]
    inputs: Vec<Input<'a>>,
    #[serde(default)]
    outputs: Option<Vec<Output>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input<'a> {
    name: String,
    shape: Vec<i64>,
    datatype: String,
    #[serde(default)]
    parameters: Option<Parameters>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Output {
    name: String,
    #[serde(default)]
    parameters: Option<Parameters>,
}

/// Which outputs are answered as binary data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Binary {
    all: bool,
    /// Where an output says it for itself.
    own: HashMap<String, bool>,
}

impl Binary {
    pub(super) fn is(&self, output: &str) -> bool {
        self.own.get(output).copied().unwrap_or(self.all)
    }
}

fn wrong(field: &'static str, reason: impl Into<Reason>) -> Error {
    Error::parameter(field, reason)
}

/// Reads a body. `head` is the length of the JSON where binary data follows it; of 0 bytes of JSON, the rest is one image file.
///
/// # Errors
/// [`Error::Parameter`] that names the field.
pub(super) fn read(body: &Bytes, head: Option<usize>, target: &Target) -> Result<(ModelInferRequest, Binary)> {
    let model_version = if target.version == 0 { String::new() } else { target.version.to_string() };
    let to = ModelInferRequest { model_name: target.model.clone(), model_version, ..Default::default() };
    if head == Some(0) {
        return image_file(body, to);
    }
    let length = head.unwrap_or(body.len());
    if length > body.len() {
        let reason = format!("it is {length}, and the body has {} bytes", body.len());
        return Err(wrong("Inference-Header-Content-Length", reason));
    }
    let read: Result<Body<'_>, _> = serde_json::from_slice(&body[..length]);
    let read = read.map_err(|error| {
        let text =
            "it is not an inference request in JSON (binary data needs the header Inference-Header-Content-Length)";
        wrong("body", Reason::because(text, error))
    })?;
    of_target(&read, &to)?;
    let mut binary = Binary::default();
    let mut parameters = read.parameters.unwrap_or_default();
    binary.all = flag("parameters", &mut parameters, BINARY_OUTPUT)?.unwrap_or(false);
    let mut rest = Rest { body: body.slice(length..), is_binary: head.is_some() };
    let (mut inputs, mut raw_input_contents) = (Vec::new(), Vec::new());
    for input in read.inputs {
        let (tensor, raw) = tensor(input, &mut rest)?;
        inputs.push(tensor);
        raw_input_contents.extend(raw);
    }
    rest.is_empty()?;
    let outputs = outputs(read.outputs.unwrap_or_default(), &mut binary)?;
    let parameters = self::parameters("parameters", parameters)?;
    let id = read.id.unwrap_or_default();
    Ok((ModelInferRequest { id, parameters, inputs, outputs, raw_input_contents, ..to }, binary))
}

/// A body without JSON: an image file, and nothing said about it.
fn image_file(body: &Bytes, to: ModelInferRequest) -> Result<(ModelInferRequest, Binary)> {
    let raw = elements::prefixed([body])?;
    let (name, datatype) = ("image".to_owned(), "BYTES".to_owned());
    let input = InferInputTensor { name, datatype, shape: vec![1], ..Default::default() };
    Ok((ModelInferRequest { inputs: vec![input], raw_input_contents: vec![raw], ..to }, Binary::default()))
}

/// The model in the body, where it is named there, must be that of the path.
fn of_target(body: &Body<'_>, to: &ModelInferRequest) -> Result<()> {
    for (field, named, path) in
        [("model_name", &body.model_name, &to.model_name), ("model_version", &body.model_version, &to.model_version)]
    {
        if let Some(named) = named
            && !named.is_empty()
            && named != path
        {
            let reason = format!("the body says `{}` and the path says `{}`", shown(named), shown(path));
            return Err(wrong(field, reason));
        }
    }
    Ok(())
}

/// Binary data that is not taken.
struct Rest {
    body: Bytes,
    /// Whether the request says that there is some.
    is_binary: bool,
}

impl Rest {
    fn take(&mut self, name: &str, size: u64) -> Result<Bytes> {
        if !self.is_binary {
            let reason =
                format!("`{name}` has {BINARY_SIZE}; binary data needs the header Inference-Header-Content-Length");
            return Err(wrong("inputs", reason));
        }
        match usize::try_from(size).ok().filter(|&size| size <= self.body.len()) {
            Some(size) => Ok(self.body.split_to(size)),
            None => {
                let left = self.body.len();
                let reason = format!("`{name}` has {size} bytes of binary data, and {left} are left behind the JSON");
                Err(wrong("inputs", reason))
            }
        }
    }

    fn is_empty(&self) -> Result<()> {
        if self.body.is_empty() {
            return Ok(());
        }
        let reason = format!("{} bytes of binary data belong to no input; set {BINARY_SIZE}", self.body.len());
        Err(wrong("inputs", reason))
    }
}

/// A tensor and its raw contents, unless it is in shared memory.
fn tensor(input: Input<'_>, rest: &mut Rest) -> Result<(InferInputTensor, Option<Bytes>)> {
    let Input { name, shape, datatype, parameters, data } = input;
    let mut parameters = parameters.unwrap_or_default();
    let about = shown(&name);
    let size = match parameters.remove(BINARY_SIZE) {
        None => None,
        Some(size) => Some(
            size.as_u64()
                .ok_or_else(|| wrong("inputs", format!("{BINARY_SIZE} of `{about}` is not an integer from 0")))?,
        ),
    };
    let is_shared = parameters.contains_key(SHARED);
    let is_base64 = match parameters.remove(CONTENT_TYPE) {
        None => false,
        Some(kind) if kind == BASE64 && datatype == "BYTES" && data.is_some() => true,
        Some(kind) => {
            let reason = format!(
                "{CONTENT_TYPE} of `{about}` is {}; only `{BASE64}` is known, for `data` of BYTES",
                shown::value(&kind)
            );
            return Err(wrong("inputs", reason));
        }
    };
    let raw = match (data, size, is_shared) {
        (Some(data), None, false) => Some(elements::read(&about, &datatype, &shape, data.get(), is_base64)?),
        (None, Some(size), false) => Some(rest.take(&about, size)?),
        (None, None, true) => None,
        (None, None, false) => {
            let reason = format!("`{about}` has no elements: give `data`, or {BINARY_SIZE} and binary data");
            return Err(wrong("inputs", reason));
        }
        _ => {
            let reason = format!("`{about}` has its elements twice: give one of `data`, {BINARY_SIZE} and {SHARED}");
            return Err(wrong("inputs", reason));
        }
    };
    let parameters = self::parameters("inputs", parameters)?;
    Ok((InferInputTensor { name, datatype, shape, parameters, contents: None }, raw))
}

fn outputs(outputs: Vec<Output>, binary: &mut Binary) -> Result<Vec<InferRequestedOutputTensor>> {
    let mut all = Vec::with_capacity(outputs.len());
    for Output { name, parameters } in outputs {
        let mut parameters = parameters.unwrap_or_default();
        if let Some(own) = flag("outputs", &mut parameters, BINARY)? {
            binary.own.insert(name.clone(), own);
        }
        let parameters = self::parameters("outputs", parameters)?;
        all.push(InferRequestedOutputTensor { name, parameters });
    }
    Ok(all)
}

/// Takes a parameter that is true or false.
fn flag(field: &'static str, parameters: &mut Parameters, name: &str) -> Result<Option<bool>> {
    let Some(value) = parameters.remove(name) else { return Ok(None) };
    match value.as_bool() {
        Some(value) => Ok(Some(value)),
        None => Err(wrong(field, format!("{name} is {}; give true or false", shown::value(&value)))),
    }
}

/// Parameters as the message has them.
fn parameters(field: &'static str, parameters: Parameters) -> Result<HashMap<String, InferParameter>> {
    let parameter = |(name, value): (String, serde_json::Value)| {
        let choice = match &value {
            serde_json::Value::Bool(value) => Some(ParameterChoice::BoolParam(*value)),
            serde_json::Value::String(text) => Some(ParameterChoice::StringParam(text.clone())),
            serde_json::Value::Number(number) => {
                let integer = number.as_i64().map(ParameterChoice::Int64Param);
                let integer = integer.or_else(|| number.as_u64().map(ParameterChoice::Uint64Param));
                integer.or_else(|| number.as_f64().map(ParameterChoice::DoubleParam))
            }
            _ => None,
        };
        let choice = choice.ok_or_else(|| {
            let (name, value) = (shown(&name), shown::value(&value));
            wrong(field, format!("the parameter `{name}` is {value}; give true, false, a number or a text"))
        })?;
        Ok((name, InferParameter { parameter_choice: Some(choice) }))
    };
    parameters.into_iter().map(parameter).collect()
}

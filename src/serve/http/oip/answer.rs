//! The answer to an inference: JSON, and binary tensors behind it.

use std::{collections::BTreeMap, io};

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{
    ToSchema,
    openapi::{
        ArrayBuilder, ObjectBuilder,
        schema::{SchemaType, Type},
    },
};

use super::{elements::Data, json::Binary};
use crate::{
    Error, Reason, Result,
    serve::{
        proto::inference::{InferParameter, ModelInferResponse, infer_parameter::ParameterChoice},
        response_budget::check_size,
    },
};

const BINARY_SIZE: &str = "binary_data_size";
/// BYTES whose elements are no text, and base64 in JSON.
const FILES: &str = "mask_png";

/// What a model answers.
#[derive(Serialize, ToSchema)]
pub(in crate::serve::http) struct InferResponse {
    /// Name of the model.
    model_name: String,
    /// Version of the model.
    model_version: String,
    /// The request's id, if it has one.
    #[serde(skip_serializing_if = "String::is_empty")]
    id: String,
    /// Parameters of the answer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    parameters: BTreeMap<String, Value>,
    /// The tensors, in the order of the request.
    outputs: Vec<OutputTensor>,
}

/// A tensor of an answer.
#[derive(Serialize, ToSchema)]
struct OutputTensor {
    /// Name of the tensor.
    name: String,
    /// Type of its elements.
    datatype: String,
    /// Its sizes, the number of images first.
    shape: Vec<i64>,
    /// `binary_data_size`, where the elements are binary data. Triton's C++ client takes no other parameter here.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    parameters: BTreeMap<String, Value>,
    /// The elements in row-major order, unless they are binary data or in shared memory. A number that is not finite is null.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = elements)]
    data: Option<Data>,
}

fn elements() -> ArrayBuilder {
    let kinds = [Type::Number, Type::String, Type::Boolean, Type::Null];
    ArrayBuilder::new().items(ObjectBuilder::new().schema_type(SchemaType::from_iter(kinds)))
}

/// A body, and how many bytes of it are JSON where binary data follows.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) bytes: Bytes,
    pub(super) head: Option<usize>,
}

/// Writes an answer whose elements are raw, of at most `most` bytes.
///
/// # Errors
/// An answer that is larger.
pub(super) fn write(response: ModelInferResponse, binary: &Binary, most: usize) -> Result<Body> {
    let mut raw = response.raw_output_contents.into_iter();
    let (mut outputs, mut behind) = (Vec::with_capacity(response.outputs.len()), Vec::new());
    for output in response.outputs {
        let bytes = raw.next().unwrap_or_default();
        let mut parameters = BTreeMap::new();
        // Over gRPC, these say where in shared memory an output is.
        let is_shared = !output.parameters.is_empty();
        let data = if is_shared {
            None
        } else if binary.is(&output.name) {
            parameters.insert(BINARY_SIZE.to_owned(), json!(bytes.len()));
            behind.push(bytes);
            None
        } else {
            let is_base64 = output.name == FILES;
            Some(Data { datatype: output.datatype.clone(), raw: bytes, is_base64 })
        };
        let (name, datatype, shape) = (output.name, output.datatype, output.shape);
        outputs.push(OutputTensor { name, datatype, shape, parameters, data });
    }
    let ModelInferResponse { model_name, model_version, id, parameters, .. } = response;
    let json = InferResponse { model_name, model_version, id, parameters: values(parameters), outputs };
    let mut writer = Limited { bytes: Vec::new(), most };
    if let Err(error) = serde_json::to_writer(&mut writer, &json) {
        check_size(if error.is_io() { most.saturating_add(1) } else { 0 }, most)?;
        return Err(Error::internal(Reason::because("the answer cannot be written", error)));
    }
    let mut bytes = writer.bytes;
    let head = (!behind.is_empty()).then_some(bytes.len());
    check_size(bytes.len() + behind.iter().map(Bytes::len).sum::<usize>(), most)?;
    behind.iter().for_each(|tensor| bytes.extend_from_slice(tensor));
    Ok(Body { bytes: bytes.into(), head })
}

fn values(parameters: impl IntoIterator<Item = (String, InferParameter)>) -> BTreeMap<String, Value> {
    let value = |parameter: InferParameter| match parameter.parameter_choice? {
        ParameterChoice::BoolParam(value) => Some(json!(value)),
        ParameterChoice::Int64Param(value) => Some(json!(value)),
        ParameterChoice::Uint64Param(value) => Some(json!(value)),
        ParameterChoice::DoubleParam(value) => Some(json!(value)),
        ParameterChoice::StringParam(value) => Some(json!(value)),
    };
    parameters.into_iter().filter_map(|(name, parameter)| Some((name, value(parameter)?))).collect()
}

/// Collects bytes up to a limit: numbers take more bytes in JSON than in a tensor.
struct Limited {
    bytes: Vec<u8>,
    most: usize,
}

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.most {
            return Err(io::Error::other("the answer is too large"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

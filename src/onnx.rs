//! ONNX models as protobuf messages, and helpers to write them.
//!
//! The messages are generated from `proto/onnx/onnx.proto`, the subset of the ONNX specification in use here.

pub(crate) mod scan;

#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
}

pub use generated::*;

/// ONNX IR version written by this crate (8 belongs to operator set 17).
pub const IR_VERSION: i64 = 8;
/// Operator set written by this crate.
pub const OPSET: i64 = 17;

const FLOAT: i32 = 1;
const INT64: i32 = 7;
const FLOAT16: i32 = 10;

/// Builds a graph node by node; the caller names the values.
#[derive(Debug, Default)]
pub struct GraphBuilder {
    graph: GraphProto,
}

/// One dimension of a graph's input or output.
#[derive(Clone, Copy, Debug)]
pub enum Dim<'a> {
    /// A fixed size.
    Fixed(usize),
    /// A named size that is known only when the model runs.
    Named(&'a str),
}

impl GraphBuilder {
    /// An empty graph.
    pub fn new(name: &str) -> Self {
        Self { graph: GraphProto { name: name.to_owned(), ..Default::default() } }
    }

    /// Declares a float32 input.
    pub fn input(&mut self, name: &str, dims: &[Dim<'_>]) {
        self.graph.input.push(value_info(name, dims));
    }

    /// Declares a float32 output.
    pub fn output(&mut self, name: &str, dims: &[Dim<'_>]) {
        self.graph.output.push(value_info(name, dims));
    }

    /// Adds a float32 constant of the given shape and returns its name.
    pub fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        self.constant(name, dims, FLOAT, bytemuck::cast_slice(values).to_vec())
    }

    /// Adds a float16 constant of the given shape and returns its name.
    pub fn halves(&mut self, name: &str, dims: &[usize], values: &[half::f16]) -> String {
        self.constant(name, dims, FLOAT16, bytemuck::cast_slice(values).to_vec())
    }

    /// Adds an int64 constant of the given shape and returns its name.
    pub fn integers(&mut self, name: &str, dims: &[usize], values: &[i64]) -> String {
        self.constant(name, dims, INT64, bytemuck::cast_slice(values).to_vec())
    }

    fn constant(&mut self, name: &str, dims: &[usize], data_type: i32, raw: Vec<u8>) -> String {
        self.graph.initializer.push(TensorProto {
            dims: dims.iter().map(|&dim| dim as i64).collect(),
            data_type,
            name: name.to_owned(),
            raw_data: raw.into(),
            ..Default::default()
        });
        name.to_owned()
    }

    /// Adds a node with one output. `output` names the output and the node; it is returned.
    pub fn node(&mut self, op: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) -> String {
        self.node_with_outputs(op, inputs, &[output], attributes);
        output.to_owned()
    }

    /// Adds a node with any number of outputs.
    pub fn node_with_outputs(&mut self, op: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<AttributeProto>) {
        self.graph.node.push(NodeProto {
            name: format!("{op}:{}", outputs.first().unwrap_or(&"")),
            op_type: op.to_owned(),
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: outputs.iter().map(|&name| name.to_owned()).collect(),
            attribute: attributes,
            ..Default::default()
        });
    }

    /// The finished model, with metadata.
    pub fn finish(self, metadata: &[(&str, &str)]) -> ModelProto {
        let entry =
            |&(key, value): &(&str, &str)| StringStringEntryProto { key: key.to_owned(), value: value.to_owned() };
        ModelProto {
            ir_version: IR_VERSION,
            producer_name: "uflow".to_owned(),
            producer_version: crate::VERSION.to_owned(),
            graph: Some(self.graph),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
            metadata_props: metadata.iter().map(entry).collect(),
            ..Default::default()
        }
    }
}

fn value_info(name: &str, dims: &[Dim<'_>]) -> ValueInfoProto {
    use tensor_shape_proto::{Dimension, dimension};
    let dimension = |dim: &Dim<'_>| Dimension {
        value: Some(match *dim {
            Dim::Fixed(size) => dimension::Value::DimValue(size as i64),
            Dim::Named(name) => dimension::Value::DimParam(name.to_owned()),
        }),
    };
    let shape = TensorShapeProto { dim: dims.iter().map(dimension).collect() };
    let tensor = type_proto::Tensor { elem_type: FLOAT, shape: Some(shape) };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)) }),
        ..Default::default()
    }
}

/// An integer attribute.
pub fn int(name: &str, value: i64) -> AttributeProto {
    attribute(name, attribute_proto::AttributeType::Int, |attribute| attribute.i = value)
}

/// An attribute with a list of integers.
pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    attribute(name, attribute_proto::AttributeType::Ints, |attribute| attribute.ints = values.to_vec())
}

/// A floating-point attribute.
pub fn float(name: &str, value: f32) -> AttributeProto {
    attribute(name, attribute_proto::AttributeType::Float, |attribute| attribute.f = value)
}

/// A text attribute.
pub fn text(name: &str, value: &str) -> AttributeProto {
    attribute(name, attribute_proto::AttributeType::String, |attribute| attribute.s = value.to_owned().into())
}

fn attribute(
    name: &str,
    kind: attribute_proto::AttributeType,
    set: impl FnOnce(&mut AttributeProto),
) -> AttributeProto {
    let mut attribute = AttributeProto { name: name.to_owned(), r#type: kind as i32, ..Default::default() };
    set(&mut attribute);
    attribute
}

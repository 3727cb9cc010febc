//! A pickle's content as a graph of numbered nodes.
//!
//! Nodes refer to each other by number, so shared and cyclic objects need no special care, and nothing is walked or freed by
//! recursion. A graph may contain cycles: code that follows references must bound its steps.

use std::collections::HashMap;

/// A node's number.
pub(super) type Id = u32;

/// One object of a pickle, as far as the reader of checkpoints needs it.
#[derive(Clone, Debug)]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// A tuple, list or set.
    Sequence(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A class or function by its full name. It is never imported or called.
    Global(String),
    /// An object of a class or function (by number) that is not interpreted, with its items and state.
    Object {
        class: Id,
        items: Vec<(Id, Id)>,
        state: Option<Id>,
    },
    Storage(Box<Storage>),
    Tensor(Box<TensorNode>),
    /// A value that is not stored: bytes, long text, large numbers.
    Other(&'static str),
}

/// A tensor's memory in the file.
#[derive(Clone, Debug)]
pub(super) struct Storage {
    /// Its key among the file's storages.
    pub(super) key: String,
    /// The type of its elements; `None` if untyped.
    pub(super) kind: Option<ElementType>,
    /// Its size in elements, or in bytes if it is untyped.
    pub(super) count: u64,
}

/// A view of a storage.
#[derive(Clone, Debug)]
pub(super) struct TensorNode {
    pub(super) storage: Id,
    pub(super) kind: ElementType,
    /// Offset in elements.
    pub(super) offset: u64,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<u64>,
}

/// Element type of a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ElementType {
    F16,
    Bf16,
    F32,
    F64,
    /// Other types (integers, booleans …), with the bytes of an element.
    Other(&'static str, u64),
}

impl ElementType {
    /// By the name of a storage's class or of a dtype.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "HalfStorage" | "float16" | "half" => Self::F16,
            "BFloat16Storage" | "bfloat16" => Self::Bf16,
            "FloatStorage" | "float32" | "float" => Self::F32,
            "DoubleStorage" | "float64" | "double" => Self::F64,
            "LongStorage" | "int64" | "long" => Self::Other("int64", 8),
            "IntStorage" | "int32" | "int" => Self::Other("int32", 4),
            "ShortStorage" | "int16" | "short" => Self::Other("int16", 2),
            "CharStorage" | "int8" => Self::Other("int8", 1),
            "ByteStorage" | "uint8" => Self::Other("uint8", 1),
            "BoolStorage" | "bool" => Self::Other("bool", 1),
            "uint16" => Self::Other("uint16", 2),
            "uint32" => Self::Other("uint32", 4),
            "uint64" => Self::Other("uint64", 8),
            "ComplexFloatStorage" | "complex64" => Self::Other("complex64", 8),
            "ComplexDoubleStorage" | "complex128" => Self::Other("complex128", 16),
            "QInt8Storage" => Self::Other("qint8", 1),
            "QUInt8Storage" => Self::Other("quint8", 1),
            "QInt32Storage" => Self::Other("qint32", 4),
            "float8_e4m3fn" | "float8_e5m2" | "float8_e4m3fnuz" | "float8_e5m2fnuz" => Self::Other("float8", 1),
            _ => return None,
        })
    }

    /// Bytes of an element.
    pub(super) fn bytes(self) -> u64 {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
            Self::Other(_, bytes) => bytes,
        }
    }
}

/// A pickle after reading.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    /// Every storage that a tensor refers to, by key.
    pub(super) storages: HashMap<String, Id>,
}

impl Graph {
    pub(super) fn node(&self, id: Id) -> &Node {
        self.nodes.get(id as usize).unwrap_or(&Node::None)
    }

    /// The items of a dictionary or of a dictionary-like object; empty for anything else.
    pub(super) fn items(&self, id: Id) -> &[(Id, Id)] {
        match self.node(id) {
            Node::Dict(items) | Node::Object { items, .. } => items,
            _ => &[],
        }
    }

    /// A dictionary's value for a key; the last one if there are several.
    pub(super) fn get(&self, dict: Id, key: &str) -> Option<Id> {
        let mut items = self.items(dict).iter().rev();
        items.find(|(name, _)| matches!(self.node(*name), Node::Text(text) if text == key)).map(|(_, value)| *value)
    }

    /// A number, integer or float.
    pub(super) fn number(&self, id: Id) -> Option<f64> {
        match self.node(id) {
            Node::Int(value) => Some(*value as f64),
            Node::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// A description of the node, for messages.
    pub(super) fn describe(&self, id: Id) -> String {
        match self.node(id) {
            Node::None => "None".to_owned(),
            Node::Bool(_) => "a boolean".to_owned(),
            Node::Int(_) | Node::Float(_) => "a number".to_owned(),
            Node::Text(_) => "text".to_owned(),
            Node::Sequence(_) => "a list".to_owned(),
            Node::Dict(_) => "a dictionary".to_owned(),
            Node::Global(name) => format!("the class or function {name}"),
            Node::Object { class, .. } => match self.node(*class) {
                Node::Global(name) => format!("an object of {name}"),
                _ => "an object".to_owned(),
            },
            Node::Storage(_) => "a storage".to_owned(),
            Node::Tensor(_) => "a tensor".to_owned(),
            Node::Other(what) => (*what).to_owned(),
        }
    }
}

//! What a pickle holds, as a graph of nodes that are named by number.
//!
//! Nodes refer to each other by number only, so shared and cyclic objects cost nothing, and nothing is walked or freed by
//! recursion. Whoever follows references must bound it: a graph may well be cyclic.

use std::collections::HashMap;

/// A node's number.
pub(super) type Id = u32;

/// One object of a pickle, as far as a checkpoint's reader needs it.
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
    /// A class or function by its full name; it is never looked up, let alone called.
    Global(String),
    /// An object of a class or function (its number) that is not interpreted, with the items and the state that were set.
    Object {
        class: Id,
        items: Vec<(Id, Id)>,
        state: Option<Id>,
    },
    Storage(Box<Storage>),
    Tensor(Box<TensorNode>),
    /// Something whose value is not kept: bytes, long text, large numbers.
    Other(&'static str),
}

/// A tensor's memory in the file.
#[derive(Clone, Debug)]
pub(super) struct Storage {
    /// Its name among the file's storages.
    pub(super) key: String,
    /// The type of its elements; `None` if untyped.
    pub(super) kind: Option<ElementType>,
    /// Its elements, or bytes if it is untyped.
    pub(super) count: u64,
}

/// A view of a storage.
#[derive(Clone, Debug)]
pub(super) struct TensorNode {
    pub(super) storage: Id,
    pub(super) kind: ElementType,
    /// In elements.
    pub(super) offset: u64,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<u64>,
}

/// What a storage is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ElementType {
    F16,
    Bf16,
    F32,
    F64,
    /// Whole numbers, truth values and whatever else no weight is made of, and the bytes of each.
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

/// A read pickle.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    /// Every storage that a tensor was built on, by key.
    pub(super) storages: HashMap<String, Id>,
}

impl Graph {
    pub(super) fn node(&self, id: Id) -> &Node {
        self.nodes.get(id as usize).unwrap_or(&Node::None)
    }

    /// The items of a dictionary, or of an object that is one; nothing for anything else.
    pub(super) fn items(&self, id: Id) -> &[(Id, Id)] {
        match self.node(id) {
            Node::Dict(items) | Node::Object { items, .. } => items,
            _ => &[],
        }
    }

    /// A dictionary's value for a key; the last one set.
    pub(super) fn get(&self, dict: Id, key: &str) -> Option<Id> {
        let mut items = self.items(dict).iter().rev();
        items.find(|(name, _)| matches!(self.node(*name), Node::Text(text) if text == key)).map(|(_, value)| *value)
    }

    /// A number, whole or not.
    pub(super) fn number(&self, id: Id) -> Option<f64> {
        match self.node(id) {
            Node::Int(value) => Some(*value as f64),
            Node::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// What a node is, for messages.
    pub(super) fn describe(&self, id: Id) -> String {
        match self.node(id) {
            Node::None => "None".to_owned(),
            Node::Bool(_) => "a truth value".to_owned(),
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

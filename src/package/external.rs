//! Finds ONNX's external data: tensors whose values lie in another file.
//!
//! Only the protobuf framing is read, and everything that cannot contain a tensor's location is skipped by seeking, so even a backbone of
//! gigabytes needs almost no memory. All places where the ONNX specification allows a tensor are followed, also those that this crate
//! never reads otherwise (sparse tensors, functions, training graphs), as ONNX Runtime would follow them.

use std::io::{BufRead, Seek};

/// Nested graphs deeper than protobuf's own recursion limit are refused.
const DEEPEST: usize = 100;
const LONGEST_LOCATION: u64 = 4096;

/// The kinds of message on the way from a model to a location.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    SparseTensor,
    Function,
    Training,
    /// Key and value of a tensor's `external_data`.
    Entry,
}

impl Message {
    /// The kind of message in a field, if it can lead to a location.
    fn child(self, field: u64) -> Option<Self> {
        Some(match (self, field) {
            (Self::Model, 7) | (Self::Training, 1 | 2) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Model, 20) => Self::Training,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::SparseTensor, 1 | 2) => Self::Tensor,
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::SparseTensor,
            (Self::Tensor, 13) => Self::Entry,
            _ => return None,
        })
    }
}

const DATA_LOCATION: u64 = 14;
const EXTERNAL: u64 = 1;

/// Location of the values of the first external tensor in an ONNX model of `length` bytes.
///
/// # Errors
/// Why the bytes are not a model.
pub(super) fn external_location(model: &mut (impl BufRead + Seek), length: u64) -> Result<Option<String>, String> {
    let mut walk = Walk { input: model, left: length, location: None, has_graph: false };
    walk.message(Message::Model, length, 0)?;
    match walk.location {
        None if !walk.has_graph => Err("it has no graph; it is not an ONNX model".to_owned()),
        location => Ok(location),
    }
}

struct Walk<'a, R> {
    input: &'a mut R,
    left: u64,
    location: Option<String>,
    has_graph: bool,
}

impl<R: BufRead + Seek> Walk<'_, R> {
    fn message(&mut self, kind: Message, length: u64, depth: usize) -> Result<(), String> {
        if depth > DEEPEST {
            return Err(format!("its graphs are nested deeper than {DEEPEST}"));
        }
        let end = self.end_after(length)?;
        while self.left > end {
            let key = self.varint()?;
            let (field, wire) = (key >> 3, key & 7);
            match wire {
                0 => {
                    let value = self.varint()?;
                    if kind == Message::Tensor && (field, value) == (DATA_LOCATION, EXTERNAL) {
                        self.location.get_or_insert_default();
                    }
                }
                1 => self.skip(8)?,
                2 => {
                    let size = self.varint()?;
                    match kind.child(field) {
                        Some(Message::Entry) => self.entry(size)?,
                        Some(child) => {
                            self.has_graph |= child == Message::Graph;
                            self.message(child, size, depth + 1)?;
                        }
                        None => self.skip(size)?,
                    }
                }
                5 => self.skip(4)?,
                _ => return Err(format!("it is damaged or not an ONNX model (wire type {wire})")),
            }
        }
        if self.left == end {
            Ok(())
        } else {
            Err("it is damaged or not an ONNX model (overlapping fields)".to_owned())
        }
    }

    /// A key (field 1) and a value (field 2); the value of `location` is kept.
    fn entry(&mut self, length: u64) -> Result<(), String> {
        if length > LONGEST_LOCATION {
            return Err(format!("an entry of its external data has {length} bytes"));
        }
        let end = self.end_after(length)?;
        let (mut key, mut value) = (Vec::new(), Vec::new());
        while self.left > end {
            let tag = self.varint()?;
            if tag & 7 != 2 {
                return Err("it is damaged (an entry of its external data is not text)".to_owned());
            }
            let size = self.varint()?;
            let rest = self.end_after(size)?;
            let mut text = Vec::new();
            while self.left > rest {
                text.push(self.byte()?);
            }
            match tag >> 3 {
                1 => key = text,
                2 => value = text,
                _ => {}
            }
        }
        if key == b"location" && self.location.as_ref().is_none_or(String::is_empty) {
            self.location = Some(String::from_utf8_lossy(&value).into_owned());
        }
        Ok(())
    }

    /// What is left of the input when `length` more bytes are read.
    fn end_after(&self, length: u64) -> Result<u64, String> {
        self.left.checked_sub(length).ok_or_else(|| "it is cut off or not an ONNX model".to_owned())
    }

    fn byte(&mut self) -> Result<u8, String> {
        let mut byte = [0];
        self.left = self.end_after(1)?;
        self.input.read_exact(&mut byte).map_err(|error| error.to_string())?;
        Ok(byte[0])
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("it is damaged or not an ONNX model (a number of more than 64 bits)".to_owned())
    }

    fn skip(&mut self, length: u64) -> Result<(), String> {
        self.left = self.end_after(length)?;
        let length = i64::try_from(length).map_err(|error| error.to_string())?;
        self.input.seek_relative(length).map_err(|error| error.to_string())
    }
}

//! One pass over an ONNX file that reads its structure and skips its weights.
//!
//! Protocol-buffer messages are a sequence of (field number, wire type, payload); payloads of known length are skipped
//! by seeking, so a 1.6 GB backbone costs a few thousand small reads. The pass checks that the file is complete (every
//! length ends inside its message), and finds the external files of the weights and one entry of the metadata. It follows
//! every field in which the ONNX specification allows a tensor, as ONNX Runtime does, including sparse tensors, functions
//! and training graphs.
//!
//! Invariants: the pass never reads past the enclosing message, never allocates more than [`MAX_TEXT`] for a text, and
//! follows at most [`MAX_DEPTH`] nested messages.

use std::{
    fs::File,
    io::{BufReader, Cursor, Read, Seek},
};

use crate::Reason;

/// Results of the pass.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Text of the metadata entry that was asked for.
    pub(crate) metadata: Option<String>,
    /// Locations of external data, each once, in order of appearance. Empty for a tensor that is marked as external and has no location.
    pub(crate) external: Vec<String>,
    graph: bool,
}

const MAX_TEXT: u64 = 1 << 20;
/// Protobuf's own limit.
pub(crate) const MAX_DEPTH: u32 = 100;

/// Field `data_location` of a tensor, and its value for external data.
const DATA_LOCATION: u64 = 14;
const EXTERNAL: u64 = 1;

/// The message kinds on the way to tensors, with the fields (of the ONNX specification) that lead on.
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
}

/// What a length-delimited field holds.
enum Content {
    Message(Message),
    Metadata,
    ExternalData,
    Other,
}

impl Message {
    fn content(self, field: u64) -> Content {
        use Content::{ExternalData, Metadata, Other};
        match (self, field) {
            (Self::Model, 7) => Content::Message(Self::Graph),
            (Self::Model, 14) => Metadata,
            (Self::Model, 20) => Content::Message(Self::Training),
            (Self::Model, 25) => Content::Message(Self::Function),
            (Self::Training, 1 | 2) => Content::Message(Self::Graph),
            (Self::Graph, 1) | (Self::Function, 7) => Content::Message(Self::Node),
            (Self::Graph, 5) => Content::Message(Self::Tensor),
            (Self::Graph, 15) => Content::Message(Self::SparseTensor),
            (Self::Node, 5) | (Self::Function, 11) => Content::Message(Self::Attribute),
            (Self::Attribute, 5 | 10) => Content::Message(Self::Tensor),
            (Self::Attribute, 6 | 11) => Content::Message(Self::Graph),
            (Self::Attribute, 22 | 23) => Content::Message(Self::SparseTensor),
            (Self::SparseTensor, 1 | 2) => Content::Message(Self::Tensor),
            (Self::Tensor, 13) => ExternalData,
            _ => Other,
        }
    }
}

/// Scans a model in memory for the metadata entry `key`. The error is the reason, ready for a message.
pub(crate) fn scan_bytes(bytes: &[u8], key: &str) -> Result<Scan, Reason> {
    scan(&mut Cursor::new(bytes), bytes.len() as u64, key)
}

/// Scans a model file. The error is the reason, ready for a message.
pub(crate) fn scan_file(file: File, key: &str) -> Result<Scan, Reason> {
    let metadata = file.metadata().map_err(Reason::of)?;
    if !metadata.is_file() {
        return Err("is not a file".into());
    }
    scan(&mut BufReader::with_capacity(4096, file), metadata.len(), key)
}

/// Scans a model of `length` bytes. The error is the reason, ready for a message.
pub(crate) fn scan(reader: &mut (impl Read + Seek), length: u64, key: &str) -> Result<Scan, Reason> {
    if length == 0 {
        return Err("is empty".into());
    }
    let mut walk = Walk { reader, key, position: 0, scan: Scan::default() };
    walk.message(Message::Model, length, 0)?;
    if !walk.scan.graph {
        return Err("is not an ONNX model: it has no graph".into());
    }
    Ok(walk.scan)
}

struct Walk<'a, R> {
    reader: &'a mut R,
    key: &'a str,
    position: u64,
    scan: Scan,
}

impl<R: Read + Seek> Walk<'_, R> {
    fn message(&mut self, kind: Message, end: u64, depth: u32) -> Result<(), Reason> {
        if depth > MAX_DEPTH {
            return Err(format!("is corrupt: messages nest deeper than {MAX_DEPTH} at byte {}", self.position).into());
        }
        // Of a tensor: whether it is marked as external, and whether it says where its data are.
        let (mut marked, mut located) = (false, false);
        while self.position < end {
            let start = self.position;
            let key = self.varint(end)?;
            match key & 7 {
                0 => {
                    let value = self.varint(end)?;
                    marked |= kind == Message::Tensor && (key >> 3, value) == (DATA_LOCATION, EXTERNAL);
                }
                1 => self.skip(8, end)?,
                5 => self.skip(4, end)?,
                2 => located |= self.delimited(kind, key >> 3, end, depth)?,
                wire => {
                    return Err(format!("is not an ONNX model, or corrupt: wire type {wire} at byte {start}").into());
                }
            }
        }
        if marked && !located {
            self.add(String::new());
        }
        Ok(())
    }

    /// Reads or skips a field; true if it is the location of external data.
    fn delimited(&mut self, kind: Message, field: u64, end: u64, depth: u32) -> Result<bool, Reason> {
        let start = self.position;
        let length = self.varint(end)?;
        let inner = self.position.checked_add(length).filter(|inner| *inner <= end).ok_or_else(|| {
            format!(
                "is truncated or corrupt: a field of {length} bytes at byte {start}, {} are left",
                end - self.position
            )
        })?;
        match kind.content(field) {
            Content::Message(message) => {
                self.scan.graph |= (kind, message) == (Message::Model, Message::Graph);
                self.message(message, inner, depth + 1)?;
            }
            Content::Metadata => self.metadata(inner)?,
            Content::ExternalData => return self.external(inner),
            Content::Other => self.skip(length, end)?,
        }
        Ok(false)
    }

    fn metadata(&mut self, end: u64) -> Result<(), Reason> {
        let (key, value) = self.entry(end)?;
        if key == self.key {
            self.scan.metadata = Some(value);
        }
        Ok(())
    }

    fn external(&mut self, end: u64) -> Result<bool, Reason> {
        let (key, value) = self.entry(end)?;
        let location = key == "location";
        if location {
            self.add(value);
        }
        Ok(location)
    }

    fn add(&mut self, location: String) {
        if !self.scan.external.contains(&location) {
            self.scan.external.push(location);
        }
    }

    /// A key-value entry: fields 1 and 2, both text.
    fn entry(&mut self, end: u64) -> Result<(String, String), Reason> {
        let mut entry = (String::new(), String::new());
        while self.position < end {
            let start = self.position;
            let key = self.varint(end)?;
            let length = self.varint(end)?;
            if key & 7 != 2 || length > end - self.position {
                return Err(format!("is truncated or corrupt: a metadata entry at byte {start}").into());
            }
            match key >> 3 {
                1 => entry.0 = self.text(length)?,
                2 => entry.1 = self.text(length)?,
                _ => self.skip(length, end)?,
            }
        }
        Ok(entry)
    }

    fn text(&mut self, length: u64) -> Result<String, Reason> {
        if length > MAX_TEXT {
            return Err(
                format!("is corrupt: a text of {length} bytes at byte {}, over {MAX_TEXT}", self.position).into()
            );
        }
        let mut text = vec![0; length as usize];
        self.reader.read_exact(&mut text).map_err(|error| self.failed(error))?;
        self.position += length;
        String::from_utf8(text)
            .map_err(|_| format!("is corrupt: a text that is not UTF-8 ends at byte {}", self.position).into())
    }

    fn skip(&mut self, length: u64, end: u64) -> Result<(), Reason> {
        if length > end - self.position {
            return Err(format!(
                "is truncated: {length} bytes at byte {}, {} are left",
                self.position,
                end - self.position
            )
            .into());
        }
        // The length was checked against the file's size, so it fits a signed offset.
        self.reader.seek_relative(length as i64).map_err(|error| self.failed(error))?;
        self.position += length;
        Ok(())
    }

    fn varint(&mut self, end: u64) -> Result<u64, Reason> {
        let start = self.position;
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            if self.position >= end {
                return Err(format!("is truncated at byte {start}").into());
            }
            let mut byte = [0];
            self.reader.read_exact(&mut byte).map_err(|error| self.failed(error))?;
            self.position += 1;
            value |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(format!("is not an ONNX model, or corrupt: an endless number at byte {start}").into())
    }

    fn failed(&self, error: std::io::Error) -> Reason {
        Reason::because(format_args!("cannot be read at byte {}", self.position), error)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::onnx::{
        AttributeProto, Dim, GraphBuilder, GraphProto, ModelProto, StringStringEntryProto, TensorProto, int,
    };

    const KEY: &str = "description";

    fn scan_bytes(bytes: &[u8]) -> Result<Scan, String> {
        super::scan_bytes(bytes, KEY).map_err(|reason| reason.to_string())
    }

    fn external(location: &str) -> TensorProto {
        let entry = |key: &str, value: &str| StringStringEntryProto { key: key.into(), value: value.into() };
        TensorProto {
            dims: vec![1],
            data_type: 1,
            name: location.into(),
            external_data: vec![entry("offset", "0"), entry("location", location)],
            data_location: 1,
            ..Default::default()
        }
    }

    fn model() -> ModelProto {
        let mut graph = GraphBuilder::new("g");
        graph.input("x", &[Dim::Named("batch"), Dim::Fixed(2)]);
        graph.floats("w", &[2], &[1.0, 2.0]);
        graph.node("Mul", &["x", "w"], "y", vec![int("axis", 1)]);
        graph.output("y", &[Dim::Named("batch"), Dim::Fixed(2)]);
        graph.finish(&[("other", "value"), (KEY, "{}")])
    }

    #[test]
    fn finds_metadata_and_external_data_wherever_tensors_hide() {
        let mut model = model();
        let graph = model.graph.as_mut().unwrap();
        graph.initializer.push(external("weights.bin"));
        graph.initializer.push(external("weights.bin"));
        let body = GraphProto { initializer: vec![external("../body.bin")], ..Default::default() };
        graph.node[0].attribute.push(AttributeProto { t: Some(external("constant.bin")), ..Default::default() });
        graph.node[0].attribute.push(AttributeProto { g: Some(body.clone()), ..Default::default() });
        graph.node[0].attribute.push(AttributeProto { graphs: vec![body], ..Default::default() });
        graph.node[0].attribute.push(AttributeProto { tensors: vec![external("list.bin")], ..Default::default() });
        let scan = scan_bytes(&model.encode_to_vec()).unwrap();
        // The encoder writes fields by number: nodes stand before the graph's own constants.
        assert_eq!(scan.external, ["constant.bin", "../body.bin", "list.bin", "weights.bin"]);
        assert_eq!(scan.metadata.as_deref(), Some("{}"));
    }

    #[test]
    fn a_tensor_marked_as_external_needs_no_location_to_be_found() {
        let mut model = model();
        let marked = TensorProto { external_data: vec![], ..external("") };
        model.graph.as_mut().unwrap().initializer.push(marked);
        assert_eq!(scan_bytes(&model.encode_to_vec()).unwrap().external, [""]);
    }

    #[test]
    fn every_truncation_inside_the_graph_is_an_error() {
        let bytes = ModelProto { metadata_props: vec![], opset_import: vec![], ..model() }.encode_to_vec();
        for length in 0..bytes.len() {
            assert!(scan_bytes(&bytes[..length]).is_err(), "cut to {length} of {} bytes", bytes.len());
        }
        assert!(scan_bytes(&bytes).is_ok());
    }

    #[test]
    fn other_files_are_not_onnx() {
        for text in ["", "hello, this is a text file\n", "PK\u{3}\u{4}", "\u{7f}ELF\u{2}\u{1}\u{1}", "<html></html>"] {
            assert!(scan_bytes(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn nesting_is_limited() {
        let mut graph = GraphProto::default();
        for _ in 0..200 {
            let attribute = AttributeProto { g: Some(graph), ..Default::default() };
            let node = crate::onnx::NodeProto { attribute: vec![attribute], ..Default::default() };
            graph = GraphProto { node: vec![node], ..Default::default() };
        }
        let bytes = ModelProto { graph: Some(graph), ..Default::default() }.encode_to_vec();
        assert!(scan_bytes(&bytes).unwrap_err().contains("nest deeper"));
    }

    proptest! {
        /// Mutated bytes give a result, never a panic, a hang or a huge allocation.
        #[test]
        fn survives_mutations(position in 0_usize..200, value: u8, cut in 0_usize..200) {
            let mut bytes = model().encode_to_vec();
            let position = position % bytes.len();
            bytes[position] = value;
            bytes.truncate(bytes.len() - cut % bytes.len());
            let _ = scan_bytes(&bytes);
        }

        #[test]
        fn survives_noise(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = scan_bytes(&bytes);
        }
    }
}

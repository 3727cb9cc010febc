//! A part of a backbone: the same network with some of its feature maps, without the nodes and weights that only the others need.
//!
//! The file is cut on the level of the protobuf messages: whole nodes, weights and outputs are left out, and what is kept stays byte for
//! byte. So any ONNX file can be cut, also one with fields that this crate does not know. The same choice gives the same bytes, so models
//! with the same choice share a backbone.

use std::{collections::HashSet, ops::Range};

use prost::{Message as _, bytes::Bytes};

use super::{BackboneMeta, NetworkSource};
use crate::{
    Error, Reason, Result,
    onnx::{GraphProto, NodeProto, StringStringEntryProto, TensorProto, ValueInfoProto, scan},
};

/// Field numbers of the ONNX specification.
mod field {
    pub(super) const MODEL_GRAPH: u64 = 7;
    pub(super) const MODEL_METADATA: u64 = 14;
    pub(super) const GRAPH_NODE: u64 = 1;
    pub(super) const GRAPH_INITIALIZER: u64 = 5;
    pub(super) const GRAPH_INPUT: u64 = 11;
    pub(super) const GRAPH_OUTPUT: u64 = 12;
    pub(super) const GRAPH_VALUE_INFO: u64 = 13;
}

/// Wire type of texts and messages.
const DELIMITED: u64 = 2;

/// The backbone with the feature maps of these strides only; `None` if these are all.
pub(super) fn part(source: NetworkSource<'_>, strides: &[usize]) -> Result<Option<Bytes>> {
    let name = source.name("backbone");
    let scan = source.check("backbone")?;
    let mut meta = BackboneMeta::from_scan(&scan, &name)?;
    if meta.strides == strides {
        return Ok(None);
    }
    choose(&mut meta, strides)?;
    if let Some(location) = scan.external.first() {
        let reason =
            format!("it keeps weights in another file, `{location}`; save it without external data to choose strides");
        return Err(Error::network(name, reason));
    }
    let part = cut(&source.read()?, &meta).map_err(|reason| Error::network(name, reason))?;
    Ok(Some(part.into()))
}

fn choose(meta: &mut BackboneMeta, strides: &[usize]) -> Result<()> {
    let position = |stride: &usize| meta.strides.iter().position(|found| found == stride);
    let chosen: Option<Vec<usize>> = strides.iter().map(position).collect();
    let Some(chosen) =
        chosen.filter(|chosen| chosen.is_sorted_by(|finer, coarser| finer < coarser) && !chosen.is_empty())
    else {
        let all: Vec<_> = meta.strides.iter().map(usize::to_string).collect();
        let reason =
            format!("{strides:?} is not a choice of the strides of `{}`, finest first: {}", meta.name, all.join(", "));
        return Err(Error::parameter("--strides", reason));
    };
    meta.outputs = chosen.iter().map(|&scale| meta.outputs[scale].clone()).collect();
    meta.strides = strides.to_vec();
    Ok(())
}

fn cut(bytes: &Bytes, meta: &BackboneMeta) -> Result<Vec<u8>, Reason> {
    let mut written = Vec::with_capacity(bytes.len());
    for field in fields(bytes) {
        let field = field?;
        match field.number {
            field::MODEL_GRAPH => {
                put(&mut written, field::MODEL_GRAPH, &graph(&bytes.slice(field.content), &meta.outputs)?)
            }
            field::MODEL_METADATA => {
                let mut entry = StringStringEntryProto::decode(bytes.slice(field.content)).map_err(Reason::of)?;
                if entry.key == BackboneMeta::KEY {
                    entry.value = serde_json::to_string(meta).map_err(Reason::of)?;
                }
                put(&mut written, field::MODEL_METADATA, &entry.encode_to_vec());
            }
            _ => written.extend(&bytes[field.whole]),
        }
    }
    Ok(written)
}

fn graph(bytes: &Bytes, outputs: &[String]) -> Result<Vec<u8>, Reason> {
    let fields = fields(bytes).collect::<Result<Vec<_>, _>>()?;
    let content = |field: &Field| bytes.slice(field.content.clone());
    let mut needed: HashSet<String> = outputs.iter().cloned().collect();
    let mut kept = vec![true; fields.len()];
    // Nodes stand in the order of computation.
    for (field, kept) in fields.iter().zip(&mut kept).rev().filter(|(field, _)| field.number == field::GRAPH_NODE) {
        let node = NodeProto::decode(content(field)).map_err(Reason::of)?;
        *kept = node.output.iter().any(|output| needed.contains(output));
        if *kept {
            needs(node, &mut needed, 0)?;
        }
    }
    let mut written = Vec::with_capacity(bytes.len());
    for (field, kept) in fields.iter().zip(kept) {
        let kept = match field.number {
            field::GRAPH_NODE => kept,
            field::GRAPH_INITIALIZER => {
                let tensor = TensorProto::decode(content(field)).map_err(Reason::of)?;
                needed.contains(&tensor.name)
            }
            field::GRAPH_INPUT | field::GRAPH_OUTPUT | field::GRAPH_VALUE_INFO => {
                let value = ValueInfoProto::decode(content(field)).map_err(Reason::of)?;
                match field.number {
                    field::GRAPH_OUTPUT => outputs.contains(&value.name),
                    _ => needed.contains(&value.name),
                }
            }
            _ => true,
        };
        if kept {
            written.extend(&bytes[field.whole.clone()]);
        }
    }
    Ok(written)
}

/// Adds the values that a node reads, also inside its own graphs.
fn needs(node: NodeProto, needed: &mut HashSet<String>, depth: u32) -> Result<(), Reason> {
    if depth > scan::MAX_DEPTH {
        return Err("is corrupt: graphs nest too deep".into());
    }
    // An optional input that is left out has no name.
    needed.extend(node.input.into_iter().filter(|name| !name.is_empty()));
    let graphs = node.attribute.into_iter().flat_map(|attribute| attribute.g.into_iter().chain(attribute.graphs));
    for GraphProto { node: nodes, output, .. } in graphs {
        needed.extend(output.into_iter().map(|output| output.name));
        nodes.into_iter().try_for_each(|node| needs(node, needed, depth + 1))?;
    }
    Ok(())
}

/// A field of a message.
struct Field {
    number: u64,
    /// The field with its key.
    whole: Range<usize>,
    /// What it holds; empty if it is a number.
    content: Range<usize>,
}

/// The fields of a message. Nothing follows the first error.
fn fields(bytes: &[u8]) -> impl Iterator<Item = Result<Field, Reason>> {
    let mut position = 0;
    std::iter::from_fn(move || {
        if position >= bytes.len() {
            return None;
        }
        let field = field_at(bytes, position);
        position = field.as_ref().map_or(bytes.len(), |field| field.whole.end);
        Some(field.ok_or_else(|| "is truncated or corrupt".into()))
    })
}

fn field_at(bytes: &[u8], start: usize) -> Option<Field> {
    let (key, after) = varint(bytes, start)?;
    let content = match key & 7 {
        0 => {
            let (_, end) = varint(bytes, after)?;
            end..end
        }
        1 => after + 8..after + 8,
        5 => after + 4..after + 4,
        DELIMITED => {
            let (length, from) = varint(bytes, after)?;
            from..from.checked_add(usize::try_from(length).ok()?)?
        }
        _ => return None,
    };
    (content.end <= bytes.len()).then_some(Field { number: key >> 3, whole: start..content.end, content })
}

/// A number of variable length, and the position after it.
fn varint(bytes: &[u8], start: usize) -> Option<(u64, usize)> {
    let mut value = 0;
    for (index, byte) in bytes.get(start..)?.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index as u32).min(63);
        if byte & 0x80 == 0 {
            return Some((value, start + index + 1));
        }
    }
    None
}

/// Writes a text or message field.
fn put(written: &mut Vec<u8>, number: u64, content: &[u8]) {
    for mut value in [number << 3 | DELIMITED, content.len() as u64] {
        while value >= 0x80 {
            written.push(value as u8 | 0x80);
            value >>= 7;
        }
        written.push(value as u8);
    }
    written.extend(content);
}

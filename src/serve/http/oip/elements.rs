//! Elements of a tensor between JSON and raw contents.
//!
//! `data` is a flat list in row-major order, or lists within lists that have the tensor's shape. Numbers must be whole and in the
//! range of the type. BYTES are texts: their UTF-8 is the element, or what their base64 stands for.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::{BufMut as _, Bytes, BytesMut};
use serde::{
    Serialize, Serializer,
    de::{DeserializeSeed, Deserializer, SeqAccess, Visitor},
};

use crate::{Error, Result, serve::shown::shown};

fn wrong(reason: String) -> Error {
    Error::parameter("inputs", reason)
}

/// Elements of BYTES, each behind its length.
///
/// # Errors
/// An element of more than 4 GiB.
pub(super) fn prefixed<'a>(elements: impl IntoIterator<Item = &'a Bytes>) -> Result<Bytes> {
    let mut raw = BytesMut::new();
    for element in elements {
        push(&mut raw, element).map_err(wrong)?;
    }
    Ok(raw.freeze())
}

fn push(raw: &mut BytesMut, element: &[u8]) -> Result<(), String> {
    let length = u32::try_from(element.len()).map_err(|_| "an element has more than 4 GiB".to_owned())?;
    raw.reserve(size_of::<u32>() + element.len());
    raw.put_u32_le(length);
    raw.put_slice(element);
    Ok(())
}

/// What elements are, where a model takes them.
#[derive(Clone, Copy)]
enum Kind {
    Uint8,
    Uint16,
    Text,
    Base64,
}

/// Reads `data` of a tensor as raw contents. Of a type that no input has, nothing is read: the type is refused later.
///
/// # Errors
/// [`Error::Parameter`] that says which element is wrong.
pub(super) fn read(name: &str, datatype: &str, shape: &[i64], json: &str, is_base64: bool) -> Result<Bytes> {
    let kind = match datatype {
        "UINT8" => Kind::Uint8,
        "UINT16" => Kind::Uint16,
        "BYTES" if is_base64 => Kind::Base64,
        "BYTES" => Kind::Text,
        _ => return Ok(Bytes::new()),
    };
    let mut sink = Sink { kind, shape, raw: BytesMut::new(), count: 0, failed: None };
    let mut reader = serde_json::Deserializer::from_str(json);
    match (List { sink: &mut sink, depth: 0 }).deserialize(&mut reader) {
        Ok(_) => Ok(sink.raw.freeze()),
        Err(error) => {
            let reason = sink.failed.unwrap_or_else(|| error.to_string());
            Err(wrong(format!("`data` of `{name}`: {reason}")))
        }
    }
}

/// Where elements go.
struct Sink<'a> {
    kind: Kind,
    shape: &'a [i64],
    raw: BytesMut,
    count: usize,
    /// What is wrong, in words that name no place in the JSON.
    failed: Option<String>,
}

impl Sink<'_> {
    fn number(&mut self, value: u64) -> Result<(), String> {
        let most = match self.kind {
            Kind::Uint8 => u64::from(u8::MAX),
            Kind::Uint16 => u64::from(u16::MAX),
            Kind::Text | Kind::Base64 => return Err(self.not_allowed(&value.to_string())),
        };
        if value > most {
            return Err(self.not_allowed(&value.to_string()));
        }
        match self.kind {
            Kind::Uint8 => self.raw.put_u8(value as u8),
            _ => self.raw.put_u16_le(value as u16),
        }
        self.count += 1;
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        match self.kind {
            Kind::Text => push(&mut self.raw, text.as_bytes())?,
            Kind::Base64 => {
                let element = BASE64_STANDARD.decode(text);
                let element = element.map_err(|error| format!("element {} is not base64: {error}", self.count))?;
                push(&mut self.raw, &element)?;
            }
            Kind::Uint8 | Kind::Uint16 => return Err(self.not_allowed(&format!("`{}`", shown(text)))),
        }
        self.count += 1;
        Ok(())
    }

    fn not_allowed(&self, value: &str) -> String {
        let allowed = match self.kind {
            Kind::Uint8 => "a whole number of 0 to 255",
            Kind::Uint16 => "a whole number of 0 to 65535",
            Kind::Text => "a text",
            Kind::Base64 => "a text in base64",
        };
        format!("element {} is {value}, not {allowed}", self.count)
    }

    /// A list is over that had so many elements, lists or not.
    fn list(&self, depth: usize, length: usize, has_lists: bool) -> Result<(), String> {
        let is_flat = depth == 0 && !has_lists;
        let is_innermost = depth + 1 == self.shape.len();
        let fits = self.shape.get(depth).is_some_and(|&size| usize::try_from(size) == Ok(length));
        if is_flat || (fits && is_innermost != has_lists) {
            return Ok(());
        }
        let shape = self.shape;
        Err(format!("a list of {length} at depth {depth} does not fit the shape {shape:?}; a flat list is taken too"))
    }
}

/// A list of elements, or of lists, or an element.
struct List<'a, 'b> {
    sink: &'a mut Sink<'b>,
    depth: usize,
}

/// Whether a value was a list.
type IsList = bool;

impl List<'_, '_> {
    fn done<E: serde::de::Error>(self, result: Result<(), String>) -> Result<IsList, E> {
        let result = if self.depth == 0 { Err("it is not a list".to_owned()) } else { result };
        result.map(|()| false).map_err(|reason| self.fail(reason))
    }

    fn fail<E: serde::de::Error>(self, reason: String) -> E {
        let error = E::custom(&reason);
        self.sink.failed = Some(reason);
        error
    }
}

impl<'de> DeserializeSeed<'de> for List<'_, '_> {
    type Value = IsList;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<IsList, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for List<'_, '_> {
    type Value = IsList;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of elements")
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<IsList, E> {
        let result = self.sink.number(value);
        self.done(result)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<IsList, E> {
        let result = Err(self.sink.not_allowed(&value.to_string()));
        self.done(result)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<IsList, E> {
        let result = Err(self.sink.not_allowed(&value.to_string()));
        self.done(result)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<IsList, E> {
        let result = Err(self.sink.not_allowed(&value.to_string()));
        self.done(result)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<IsList, E> {
        let result = self.sink.text(text);
        self.done(result)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<IsList, A::Error> {
        let (mut length, mut lists) = (0_usize, 0_usize);
        while let Some(is_list) = list.next_element_seed(List { sink: &mut *self.sink, depth: self.depth + 1 })? {
            length += 1;
            lists += usize::from(is_list);
        }
        let mixed = lists > 0 && lists < length;
        let result = if mixed {
            Err(format!("a list at depth {} has elements and lists", self.depth))
        } else {
            self.sink.list(self.depth, length, lists > 0)
        };
        match result {
            Ok(()) => Ok(true),
            Err(reason) => Err(self.fail(reason)),
        }
    }
}

/// Raw contents of an output as a list in JSON. Numbers that are not finite are null.
pub(super) struct Data {
    pub(super) datatype: String,
    pub(super) raw: Bytes,
    /// Whether elements of BYTES are written as base64.
    pub(super) is_base64: bool,
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error as _;

        match self.datatype.as_str() {
            "BOOL" => serializer.collect_seq(self.raw.iter().map(|&byte| byte != 0)),
            "UINT8" => serializer.collect_seq(self.raw.iter()),
            "FP32" => serializer.collect_seq(self.raw.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes))),
            "FP64" => serializer.collect_seq(self.raw.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes))),
            "BYTES" => {
                let texts = split(&self.raw).map(|element| match (self.is_base64, str::from_utf8(element)) {
                    (true, _) => Ok(BASE64_STANDARD.encode(element)),
                    (false, Ok(text)) => Ok(text.to_owned()),
                    (false, Err(_)) => Err(S::Error::custom("an element is not text")),
                });
                serializer.collect_seq(texts.collect::<Result<Vec<_>, _>>()?)
            }
            other => Err(S::Error::custom(format_args!("no output has the type {other}"))),
        }
    }
}

/// Elements of BYTES in raw contents that this server wrote.
fn split(mut raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = raw.split_first_chunk()?;
        let (element, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        raw = rest;
        Some(element)
    })
}

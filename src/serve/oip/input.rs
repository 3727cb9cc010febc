//! Reads the input tensors as frames and a region of interest. A shape is checked against the bytes that arrived and never decides how much is
//! allocated. Raw frames are slices of the request's message.

use bytes::{Buf, Bytes};

use super::{
    parameters,
    roi::{self, ROI},
};
use crate::{
    Error, Result,
    engine::Source,
    frame::RawFormat,
    serve::{
        pixels,
        proto::inference::{InferTensorContents, ModelInferRequest, model_infer_request::InferInputTensor},
        shown::shown,
    },
};

/// The declared input.
pub(super) const IMAGE: &str = "image";
/// The input for encoded images. It is not declared.
pub(super) const ENCODED_IMAGE: &str = "encoded_image";

const ALLOWED: &str = "give one of `image` (UINT8 or UINT16 [batch, height, width, channels] or [height, width, channels], \
                       or BYTES [batch]) and `encoded_image` (BYTES [batch])";
/// What can be added to it.
const ADDED: &str = "and `roi` where a region of interest is wanted";

/// The input of a request.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) frames: Vec<Source>,
    /// A region of interest as an encoded image; empty for none.
    pub(super) roi: Bytes,
    /// Whether the elements came as raw contents. The answer's elements go the same way.
    pub(super) raw: bool,
}

/// The elements of a tensor.
pub(super) enum Elements {
    Raw(Bytes),
    Typed(InferTensorContents),
}

/// Takes the frames out of a request, at most `most`.
///
/// # Errors
/// [`Error::Parameter`] that names the wrong field and what is allowed.
pub(super) fn take(request: &mut ModelInferRequest, most: usize) -> Result<Input> {
    let inputs = std::mem::take(&mut request.inputs);
    let contents = std::mem::take(&mut request.raw_input_contents);
    check(&inputs)?;
    let (mut picture, mut roi) = (None, Bytes::new());
    for (tensor, elements) in elements(inputs, contents)? {
        if tensor.name == ROI {
            roi = roi::take(&tensor, elements)?;
        } else {
            picture = Some((tensor, elements));
        }
    }
    let Some((tensor, elements)) = picture else {
        return Err(wrong(format!("no image is given; {ALLOWED}")));
    };
    let raw = matches!(elements, Elements::Raw(_));
    let frames = match tensor.datatype.as_str() {
        "BYTES" => encoded(&tensor, elements, most)?,
        "UINT8" | "UINT16" if tensor.name == IMAGE => decoded(&tensor, elements, most)?,
        other => {
            let (name, other) = (&tensor.name, shown(other));
            return Err(wrong(format!("`{name}` has the datatype `{other}`; {ALLOWED}")));
        }
    };
    Ok(Input { frames, roi, raw })
}

fn wrong(reason: String) -> Error {
    Error::parameter("inputs", reason)
}

/// Checks the names of the inputs and their parameters.
fn check(inputs: &[InferInputTensor]) -> Result<()> {
    for (index, input) in inputs.iter().enumerate() {
        let name = shown(&input.name);
        if ![IMAGE, ENCODED_IMAGE, ROI].contains(&input.name.as_str()) {
            return Err(wrong(format!("there is no input `{name}`; {ALLOWED}, {ADDED}")));
        }
        if inputs[..index].iter().any(|other| other.name == input.name) {
            return Err(wrong(format!("`{name}` is given twice")));
        }
        if input.name != ROI && inputs[..index].iter().any(|other| other.name != ROI) {
            return Err(wrong("both `image` and `encoded_image` are given; give one of them".to_owned()));
        }
        parameters::only("inputs", &format!("`{name}`"), &input.parameters, &[], &["binary_data_size"])?;
    }
    if inputs.is_empty() {
        return Err(wrong(format!("no input is given; {ALLOWED}")));
    }
    Ok(())
}

/// Each tensor with its elements: all raw, or all typed.
fn elements(inputs: Vec<InferInputTensor>, raw: Vec<Bytes>) -> Result<Vec<(InferInputTensor, Elements)>> {
    let count = inputs.len();
    if raw.len() > count || (1..count).contains(&raw.len()) {
        let (found, inputs) = (raw.len(), if count == 1 { "input" } else { "inputs" });
        let reason = format!("there are {found} for {count} {inputs}; send as many as inputs, in their order");
        return Err(Error::parameter("raw_input_contents", reason));
    }
    let mut raw = raw.into_iter();
    let with_elements = |mut tensor: InferInputTensor| {
        // Some clients send an empty message.
        let typed = tensor.contents.take().filter(|contents| *contents != InferTensorContents::default());
        let name = &tensor.name;
        let elements = match (typed, raw.next()) {
            (Some(_), Some(_)) => {
                return Err(wrong(format!("`{name}` has typed contents and raw_input_contents too; send one of them")));
            }
            (None, Some(raw)) => Elements::Raw(raw),
            (Some(contents), None) => Elements::Typed(contents),
            (None, None) => {
                return Err(wrong(format!("`{name}` has no contents; set raw_input_contents or its `contents`")));
            }
        };
        Ok((tensor, elements))
    };
    inputs.into_iter().map(with_elements).collect()
}

/// Frames from pixels. Raw contents are not copied.
fn decoded(tensor: &InferInputTensor, elements: Elements, most: usize) -> Result<Vec<Source>> {
    let InferInputTensor { shape, datatype, .. } = tensor;
    let (images, shape_of_one) = match *shape.as_slice() {
        [images, height, width, channels] => (images, [height, width, channels]),
        [height, width, channels] => (1, [height, width, channels]),
        _ => {
            let allowed = "use [batch, height, width, channels] or [height, width, channels]";
            return Err(wrong(format!("`image` has the shape {shape:?}; {allowed}")));
        }
    };
    let images = batch(tensor, images, most)?;
    let size = |length: i64| u32::try_from(length).ok().filter(|&length| length > 0);
    let [Some(height), Some(width), Some(channels)] = shape_of_one.map(size) else {
        return Err(wrong(format!("`image` has the shape {shape:?}; sizes are 1 to {}", u32::MAX)));
    };
    let format = match (datatype.as_str(), channels) {
        ("UINT8", 1) => RawFormat::Gray8,
        ("UINT8", 3) => RawFormat::Rgb8,
        ("UINT8", 4) => RawFormat::Rgba8,
        ("UINT16", 1) => RawFormat::Gray16,
        ("UINT16", 3) => RawFormat::Rgb16,
        ("UINT16", 4) => RawFormat::Rgba16,
        _ => {
            return Err(wrong(format!(
                "`image` has the shape {shape:?}, {channels} channels; {datatype} has 1 (grey), 3 (RGB) or 4 (RGBA), in the last place"
            )));
        }
    };
    let bytes = match elements {
        Elements::Raw(bytes) => pixels::from_little_endian(bytes, format),
        Elements::Typed(contents) => typed_pixels(IMAGE, datatype, contents)?,
    };
    let frame = format.buffer_bytes(width, height);
    let expected = frame.and_then(|frame| frame.checked_mul(images));
    let (Some(frame), true) = (frame, expected == Some(bytes.len())) else {
        let expected = expected.map_or_else(|| "more than there can be".to_owned(), |bytes| bytes.to_string());
        let found = bytes.len();
        return Err(wrong(format!(
            "`image` has {found} bytes of pixels; {datatype} of the shape {shape:?} has {expected}"
        )));
    };
    let stride = frame / height as usize;
    let source =
        |index| Source::Raw { pixels: bytes.slice(index * frame..(index + 1) * frame), width, height, stride, format };
    Ok((0..images).map(source).collect())
}

/// Pixels from `uint_contents`, in native byte order.
pub(super) fn typed_pixels(name: &str, datatype: &str, mut contents: InferTensorContents) -> Result<Bytes> {
    let values = std::mem::take(&mut contents.uint_contents);
    only("uint_contents", datatype, &contents)?;
    let most = if datatype == "UINT8" { u32::from(u8::MAX) } else { u32::from(u16::MAX) };
    if let Some((index, value)) = values.iter().enumerate().find(|(_, value)| **value > most) {
        return Err(wrong(format!("`{name}` has {value} at uint_contents[{index}]; {datatype} is 0 to {most}")));
    }
    Ok(match datatype {
        "UINT8" => values.iter().map(|&value| value as u8).collect::<Vec<_>>(),
        _ => values.iter().flat_map(|&value| (value as u16).to_ne_bytes()).collect(),
    }
    .into())
}

/// Frames from encoded images, without a copy.
fn encoded(tensor: &InferInputTensor, elements: Elements, most: usize) -> Result<Vec<Source>> {
    let InferInputTensor { name, shape, .. } = tensor;
    let images = match *shape.as_slice() {
        [images] | [images, 1] => batch(tensor, images, most)?,
        _ => return Err(wrong(format!("`{name}` has the shape {shape:?}; BYTES are [batch] or [batch, 1]"))),
    };
    let pictures = encoded_elements(name, elements, images)?;
    if pictures.len() != images {
        return Err(wrong(format!("`{name}` has {} elements; the shape {shape:?} has {images}", pictures.len())));
    }
    Ok(pictures.into_iter().map(Source::Encoded).collect())
}

/// Elements of BYTES; raw ones are at most `most`.
pub(super) fn encoded_elements(name: &str, elements: Elements, most: usize) -> Result<Vec<Bytes>> {
    match elements {
        Elements::Raw(bytes) => split(name, bytes, most),
        Elements::Typed(mut contents) => {
            let elements = std::mem::take(&mut contents.bytes_contents);
            only("bytes_contents", "BYTES", &contents)?;
            Ok(elements)
        }
    }
}

/// Splits elements of BYTES: each is its length in four bytes, little-endian, followed by the bytes.
fn split(name: &str, mut bytes: Bytes, images: usize) -> Result<Vec<Bytes>> {
    let mut pictures = Vec::new();
    while pictures.len() < images && !bytes.is_empty() {
        let index = pictures.len();
        let left = bytes.len();
        let length = bytes.try_get_u32_le().map_err(|_| {
            wrong(format!(
                "element {index} of `{name}` is cut off: {left} bytes are left for its length, which takes 4"
            ))
        })?;
        let left = bytes.len();
        if length as usize > left {
            return Err(wrong(format!(
                "element {index} of `{name}` is cut off: it has {length} bytes, {left} are left"
            )));
        }
        pictures.push(bytes.split_to(length as usize));
    }
    if !bytes.is_empty() {
        let left = bytes.len();
        return Err(wrong(format!("`{name}` has {left} bytes after the {images} elements of its shape")));
    }
    Ok(pictures)
}

/// The number of images: the first size of the shape.
fn batch(tensor: &InferInputTensor, images: i64, most: usize) -> Result<usize> {
    usize::try_from(images).ok().filter(|images| (1..=most).contains(images)).ok_or_else(|| {
        let InferInputTensor { name, shape, .. } = tensor;
        wrong(format!("`{name}` has the shape {shape:?}; a request has 1 to {most} images"))
    })
}

/// Refuses elements in other lists than that of the datatype, which has been taken out.
fn only(list: &str, datatype: &str, rest: &InferTensorContents) -> Result<()> {
    if *rest == InferTensorContents::default() {
        return Ok(());
    }
    Err(wrong(format!("there are contents in other lists than `{list}`, which is the one of {datatype}")))
}

//! The input `roi`: a region of interest for all images of a request, as an encoded image or as pixels.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::input::{Elements, encoded_elements, typed_pixels};
use crate::{Error, Result, serve::proto::inference::model_infer_request::InferInputTensor};

/// The input's name. It is not declared.
pub(super) const ROI: &str = "roi";

/// The region as an encoded image, which is how the engine takes it.
pub(super) fn take(tensor: &InferInputTensor, elements: Elements) -> Result<Bytes> {
    let InferInputTensor { shape, datatype, .. } = tensor;
    let wrong = |reason: String| Err(Error::parameter("inputs", reason));
    match (datatype.as_str(), shape.as_slice()) {
        ("BYTES", [1] | [1, 1]) => match <[Bytes; 1]>::try_from(encoded_elements(ROI, elements, 1)?) {
            Ok([file]) if !file.is_empty() => Ok(file),
            Ok(_) => wrong(format!("`{ROI}` is empty; send an image file")),
            Err(files) => wrong(format!("`{ROI}` has {} elements; the shape {shape:?} has 1", files.len())),
        },
        ("UINT8", &[height, width] | &[1, height, width]) => {
            let pixels = match elements {
                Elements::Raw(pixels) => pixels,
                Elements::Typed(contents) => typed_pixels(ROI, datatype, contents)?,
            };
            let expected = usize::try_from(height).ok().zip(usize::try_from(width).ok());
            let expected = expected.and_then(|(height, width)| height.checked_mul(width)).filter(|&area| area > 0);
            if expected != Some(pixels.len()) {
                return wrong(format!(
                    "`{ROI}` has {} bytes, which are not UINT8 of the shape {shape:?}",
                    pixels.len()
                ));
            }
            Ok(pgm(height, width, &pixels))
        }
        _ => {
            let allowed = "give BYTES [1] with an image file, or UINT8 [height, width] where 0 does not count";
            wrong(format!("`{ROI}` is {} of the shape {shape:?}; {allowed}", crate::serve::shown::shown(datatype)))
        }
    }
}

/// Grey pixels as a PGM file.
fn pgm(height: i64, width: i64, pixels: &[u8]) -> Bytes {
    let head = format!("P5\n{width} {height}\n255\n");
    let mut file = BytesMut::with_capacity(head.len() + pixels.len());
    file.put_slice(head.as_bytes());
    file.put_slice(pixels);
    file.freeze()
}

//! What a file's header says of its image.

use super::{FileKind, PixelFormat, decode};
use crate::Result;

/// What is known of encoded bytes without decoding their pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageInfo {
    /// The kind of file.
    pub kind: FileKind,
    /// Pixels in a row of the upright image: what [`Image::decode`](super::Image::decode) gives, and what results refer to.
    pub width: u32,
    /// Rows of the upright image.
    pub height: u32,
    /// Format of the decoded image.
    pub format: PixelFormat,
    /// Bits of a sample in the file.
    pub bits: u8,
    /// Whether samples are floating-point numbers, which need a range.
    pub floats: bool,
    /// Pages of a TIFF, frames of an animation; 1 for a single image. Size and format are those of the first.
    pub pages: usize,
    /// EXIF's orientation, 1 to 8. Width and height are turned by it already; from 5 on they are exchanged.
    pub orientation: u8,
    /// Most bytes that decoding holds at once, the decoded pixels included.
    pub memory: u64,
}

impl ImageInfo {
    /// Reads the header of encoded bytes; `name` is what errors call them.
    ///
    /// # Errors
    /// [`Error::Decode`](crate::Error::Decode) for bytes that are not an image that can be read.
    pub fn read(bytes: &[u8], name: &str) -> Result<Self> {
        decode::info(bytes, name)
    }
}

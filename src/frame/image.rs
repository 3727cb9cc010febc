//! An image that owns its pixels.

use std::{fs::File, io::Read, path::Path};

use super::{Frame, Limits, PixelFormat, decode::decode};
use crate::{Error, Result};

/// Packed pixels with their size and format.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    data: Vec<u8>,
    width: u32,
    height: u32,
    format: PixelFormat,
}

impl Image {
    /// An image of packed rows.
    ///
    /// # Errors
    /// [`Error::Frame`] for a zero size, or where `data` is not exactly `width · height` pixels.
    pub fn new(data: Vec<u8>, width: u32, height: u32, format: PixelFormat) -> Result<Self> {
        let needed = Frame::packed(&data, width, height, format)?.data().len();
        if data.len() != needed {
            return Err(Error::Frame(format!(
                "{width}×{height} {format}: needs {needed} bytes, the buffer has {}",
                data.len()
            )));
        }
        Ok(Self { data, width, height, format })
    }

    /// Decodes PNG, JPEG, BMP, TIFF or WebP bytes; `name` is what errors call them.
    ///
    /// The kind of file is told from its content. The image comes upright: its EXIF orientation is applied. What a file can
    /// hold maps to the formats of frames like this:
    ///
    /// | in the file | image |
    /// |---|---|
    /// | gray of 1 to 8 bits, with or without alpha | `Gray8` |
    /// | gray of 16 bits, with or without alpha | `Gray16` |
    /// | palette, RGB, CMYK, YCbCr of 8 bits | `Rgb8` |
    /// | the same with alpha | `Rgba8` |
    /// | RGB of 16 bits, with or without alpha | `Rgb8` or `Rgba8`, each sample rounded to 8 bits |
    ///
    /// Floating-point samples have no agreed range and are refused. Colour profiles and gamma tags are not applied (nor are
    /// they in the training ecosystem). Of a file with several pictures the first is taken.
    ///
    /// # Errors
    /// [`Error::Decode`] for bytes that are not such an image, [`Error::Limit`] for one that is larger than `limits` allow.
    pub fn decode(bytes: &[u8], name: &str, limits: &Limits) -> Result<Self> {
        decode(bytes, name, limits)
    }

    /// Reads and decodes a file.
    ///
    /// # Errors
    /// As [`Image::decode`]; [`Error::Io`] if the file cannot be read.
    pub fn open(path: impl AsRef<Path>, limits: &Limits) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let too_large = |found| Error::Limit {
            what: format!("{name}: size of the file"),
            found,
            limit: limits.max_bytes,
            unit: "bytes",
        };
        let file = File::open(path).map_err(Error::io("open", path))?;
        let length = file.metadata().map_err(Error::io("read", path))?.len();
        if length > limits.max_bytes {
            return Err(too_large(length));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        let most = limits.max_bytes.saturating_add(1);
        file.take(most).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
        if bytes.len() as u64 > limits.max_bytes {
            return Err(too_large(bytes.len() as u64));
        }
        Self::decode(&bytes, &name, limits)
    }

    /// The image as a frame.
    pub fn frame(&self) -> Frame<'_> {
        let row_bytes = self.width as usize * self.format.bytes_per_pixel();
        Frame {
            data: &self.data,
            width: self.width,
            height: self.height,
            stride: row_bytes,
            row_bytes,
            format: self.format,
        }
    }

    /// Pixels in a row.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Layout of a pixel.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// The packed pixels.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The packed pixels, without copying.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({}×{} {})", self.width, self.height, self.format)
    }
}

//! An image that owns its pixels.

use std::{fs::File, io::Read, path::Path};

use super::{Frame, Limits, PixelFormat, ReadOptions, decode::decode, depth};
use crate::{Error, Result};

/// Packed pixels with their size and format.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    data: Vec<u8>,
    width: u32,
    height: u32,
    format: PixelFormat,
    /// Significant bits of 16-bit gray, where they are known.
    bits: Option<u8>,
    /// The largest 16-bit sample that was decoded, where its range was not known from the file.
    peak: Option<u16>,
}

impl Image {
    /// An image of packed rows.
    ///
    /// # Errors
    /// [`Error::Frame`] for a zero size, or where `data` is not exactly `width · height` pixels.
    pub fn new(data: Vec<u8>, width: u32, height: u32, format: PixelFormat) -> Result<Self> {
        let needed = Frame::packed(&data, width, height, format)?.data().len();
        if data.len() != needed {
            return Err(Error::frame(format!(
                "{width}×{height} {format}: needs {needed} bytes, the buffer has {}",
                data.len()
            )));
        }
        Ok(Self { data, width, height, format, bits: None, peak: None })
    }

    /// Decodes PNG, JPEG, BMP, TIFF, WebP, GIF or PNM bytes; `name` is what errors call them.
    ///
    /// The kind of file is told from its content. The image comes upright: its EXIF orientation is applied, so width and height
    /// may be exchanged against the file's ([`ImageInfo`](super::ImageInfo) tells the size before). Samples map to the formats of
    /// frames like this:
    ///
    /// | in the file | image |
    /// |---|---|
    /// | gray of 1 to 8 bits, with or without alpha | `Gray8` |
    /// | gray of 16 bits, with or without alpha | `Gray16` |
    /// | palette, RGB, CMYK, YCbCr of 8 bits | `Rgb8` |
    /// | the same with alpha | `Rgba8` |
    /// | RGB of 16 bits, with or without alpha | `Rgb8` or `Rgba8`, each sample rounded to 8 bits |
    /// | floating-point gray, RGB | `Gray16`, `Rgb8`; only with [`ReadOptions::float_range`] |
    ///
    /// Colour profiles and gamma tags are not applied (nor are they in the training ecosystem).
    ///
    /// # Errors
    /// [`Error::Decode`] for bytes that are not such an image, or that hold several pages or frames; [`Error::Limit`] for an image that
    /// is larger than `limits` allow.
    pub fn decode(bytes: &[u8], name: &str, limits: &Limits) -> Result<Self> {
        Self::decode_with(bytes, name, &ReadOptions::new(*limits))
    }

    /// As [`decode`](Self::decode), with significant bits and a range for floating-point samples.
    ///
    /// # Errors
    /// As [`decode`](Self::decode); also samples above the significant bits.
    pub fn decode_with(bytes: &[u8], name: &str, options: &ReadOptions) -> Result<Self> {
        decode(bytes, name, None, options)
    }

    /// Decodes one page of a file, the first being 0.
    ///
    /// # Errors
    /// As [`decode_with`](Self::decode_with); also a page that the file does not have.
    pub fn decode_page(bytes: &[u8], name: &str, page: usize, options: &ReadOptions) -> Result<Self> {
        decode(bytes, name, Some(page), options)
    }

    /// Reads and decodes a file.
    ///
    /// # Errors
    /// As [`Image::decode`]; [`Error::Io`] if the file cannot be read.
    pub fn open(path: impl AsRef<Path>, limits: &Limits) -> Result<Self> {
        Self::open_with(path, &ReadOptions::new(*limits))
    }

    /// As [`open`](Self::open), with significant bits and a range for floating-point samples.
    ///
    /// # Errors
    /// As [`Image::decode_with`]; [`Error::Io`] if the file cannot be read.
    pub fn open_with(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Self> {
        let path = path.as_ref();
        Self::decode_with(&read_file(path, &options.limits)?, &path.display().to_string(), options)
    }

    /// Reads one page of a file, the first being 0.
    ///
    /// # Errors
    /// As [`Image::decode_page`]; [`Error::Io`] if the file cannot be read.
    pub fn open_page(path: impl AsRef<Path>, page: usize, options: &ReadOptions) -> Result<Self> {
        let path = path.as_ref();
        Self::decode_page(&read_file(path, &options.limits)?, &path.display().to_string(), page, options)
    }

    /// What decoding knows of 16-bit samples.
    pub(super) fn with_depth(self, bits: Option<u8>, peak: Option<u16>) -> Self {
        let bits = bits.filter(|_| self.format == PixelFormat::Gray16);
        Self { bits, peak, ..self }
    }

    /// The largest 16-bit sample; `None` for images of 8-bit samples, and for files that say their range themselves.
    pub fn peak(&self) -> Option<u16> {
        self.peak.or_else(|| if self.bits == Some(depth::FULL_BITS) { None } else { depth::peak(&self.frame()) })
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
            significant_bits: self.bits,
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

/// The bytes of a file that is not larger than the limit.
fn read_file(path: &Path, limits: &Limits) -> Result<Vec<u8>> {
    let too_large = |found| Error::Limit {
        what: format!("{}: size of the file", path.display()),
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
    Ok(bytes)
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({}×{} {})", self.width, self.height, self.format)
    }
}

//! Frames: pictures as the caller holds them (a borrowed view) or as this crate decoded them (owned).
//!
//! A [`Frame`] is a slice, two sizes, a row stride and a pixel format, checked once when it is made: every later access is
//! inside the slice. Nothing is copied. An [`Image`] owns packed pixels and comes from a file or from encoded bytes, upright
//! (its EXIF orientation applied) and within [`Limits`].
//!
//! ```
//! use uflow::frame::{Frame, PixelFormat};
//!
//! // 3×2 gray pixels in rows of 4 bytes: the padding after the last row may be missing.
//! let pixels = [10, 20, 30, 0, 40, 50, 60];
//! let frame = Frame::new(&pixels, 3, 2, 4, PixelFormat::Gray8)?;
//! assert_eq!(frame.row(1), [40, 50, 60]);
//! # Ok::<(), uflow::Error>(())
//! ```

mod brightness;
mod decode;
pub(crate) mod depth;
mod format;
mod image;
mod info;
mod kind;
mod raw;

pub use self::depth::{BitDepthCheck, FloatRange, check_significant_bits};
pub use self::format::PixelFormat;
pub use self::image::Image;
pub use self::info::ImageInfo;
pub use self::kind::FileKind;
pub use self::raw::{Picture, RawFormat, RawFrame};

use sha2::{Digest as _, Sha256};

use crate::{Error, Result};

/// A picture in the caller's memory: `height` rows of `width` pixels, `stride` bytes from one row to the next.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    data: &'a [u8],
    width: u32,
    height: u32,
    stride: usize,
    row_bytes: usize,
    format: PixelFormat,
    significant_bits: Option<u8>,
}

impl<'a> Frame<'a> {
    /// A view of `data`, whose rows start every `stride` bytes. The last row may end where its pixels end.
    ///
    /// # Errors
    /// [`Error::Frame`] for a zero size, a stride shorter than a row, or a buffer shorter than the rows.
    pub fn new(data: &'a [u8], width: u32, height: u32, stride: usize, format: PixelFormat) -> Result<Self> {
        let refuse = |reason: String| Err(Error::frame(format!("{width}×{height} {format}: {reason}")));
        if width == 0 || height == 0 {
            return refuse("width and height must be at least 1".to_owned());
        }
        let Some(row_bytes) = (width as usize).checked_mul(format.bytes_per_pixel()) else {
            return refuse("a row is larger than the address space".to_owned());
        };
        if stride < row_bytes {
            return refuse(format!("the stride of {stride} bytes is shorter than a row of {row_bytes} bytes"));
        }
        let Some(needed) = (height as usize - 1).checked_mul(stride).and_then(|above| above.checked_add(row_bytes))
        else {
            return refuse(format!("{height} rows of {stride} bytes are larger than the address space"));
        };
        if data.len() < needed {
            return refuse(format!("needs {needed} bytes at a stride of {stride}, the buffer has {}", data.len()));
        }
        Ok(Self { data: &data[..needed], width, height, stride, row_bytes, format, significant_bits: None })
    }

    /// A view of `data` whose rows follow each other without gaps.
    ///
    /// # Errors
    /// As [`Frame::new`].
    pub fn packed(data: &'a [u8], width: u32, height: u32, format: PixelFormat) -> Result<Self> {
        let stride = (width as usize).saturating_mul(format.bytes_per_pixel());
        Self::new(data, width, height, stride, format)
    }

    /// The same frame, whose 16-bit samples have so many significant bits: 0 to 2^bits − 1 is black to white. Frames of 8-bit samples
    /// are not affected.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless `bits` is within 1 to 16.
    pub fn with_significant_bits(self, bits: u8) -> Result<Self> {
        Ok(Self { significant_bits: Some(check_significant_bits(bits)?), ..self })
    }

    /// Significant bits of 16-bit samples, where they were given. Otherwise the package's number counts, or 16.
    pub fn significant_bits(&self) -> Option<u8> {
        self.significant_bits
    }

    /// The value of a white sample. `bits` are the significant bits of 16-bit samples where the frame does not say its own.
    pub(crate) fn white(&self, bits: Option<u8>) -> u16 {
        match self.format {
            PixelFormat::Gray16 => depth::white(self.significant_bits.or(bits).unwrap_or(depth::FULL_BITS)),
            _ => u8::MAX.into(),
        }
    }

    /// The largest 16-bit sample; `None` for frames of 8-bit samples.
    pub fn peak(&self) -> Option<u16> {
        depth::peak(self)
    }

    /// Pixels in a row.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Bytes from the start of one row to the start of the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Layout of a pixel.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// All rows with the gaps between them, up to the last pixel.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// SHA-256 of size, format and all pixels: what tells one image's pixels from another's. Padding between rows does not count.
    pub(crate) fn sha256(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.width.to_le_bytes());
        hasher.update(self.height.to_le_bytes());
        hasher.update(self.format.to_string());
        self.rows().for_each(|row| hasher.update(row));
        hasher.finalize().into()
    }

    /// The pixels of row `y`, without padding.
    ///
    /// # Panics
    /// If `y` is not below the height.
    pub fn row(&self, y: u32) -> &'a [u8] {
        let start = y as usize * self.stride;
        &self.data[start..start + self.row_bytes]
    }

    /// The rows from top to bottom, without padding.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let row_bytes = self.row_bytes;
        self.data.chunks(self.stride).map(move |row| &row[..row_bytes])
    }
}

impl std::fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frame({}×{} {}, stride {})", self.width, self.height, self.format, self.stride)
    }
}

/// What decoding may take. The limits are compared with a file's header before memory is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most pixels of an image.
    pub max_pixels: u64,
    /// Most bytes of an encoded file, and most memory that decoding it holds at once: the decoded pixels, the decoder's own buffers,
    /// and the second copy that turning upright takes.
    pub max_bytes: u64,
}

/// How files are read: limits, and what the samples mean.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ReadOptions {
    /// What decoding may take.
    pub limits: Limits,
    /// Significant bits of 16-bit samples; `None`: not known (all 16 unless a package says otherwise).
    pub significant_bits: Option<u8>,
    /// Values of floating-point samples that are black and white; without them such files are refused.
    pub float_range: Option<FloatRange>,
}

impl ReadOptions {
    /// With limits, and nothing known of the samples.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }
}

impl Limits {
    /// Refuses limits that no image can meet.
    ///
    /// # Errors
    /// [`Error::Parameter`] that names the limit.
    pub fn check(&self) -> Result<()> {
        for (name, limit) in [("max_pixels", self.max_pixels), ("max_bytes", self.max_bytes)] {
            if limit == 0 {
                return Err(Error::parameter(name, "must be at least 1"));
            }
        }
        Ok(())
    }

    /// Refuses a frame of more pixels.
    ///
    /// # Errors
    /// [`Error::Limit`].
    pub fn check_pixels(&self, width: u32, height: u32) -> Result<()> {
        let found = u64::from(width) * u64::from(height);
        if found <= self.max_pixels {
            return Ok(());
        }
        Err(Error::Limit { what: "size of the frame".to_owned(), found, limit: self.max_pixels, unit: "pixels" })
    }
}

impl Default for Limits {
    /// 256 Mi pixels (a 16k line-scan square) and 512 MiB.
    fn default() -> Self {
        Self { max_pixels: 1 << 28, max_bytes: 1 << 29 }
    }
}

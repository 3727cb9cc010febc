//! Buffers as cameras fill them, and the frames that they become.
//!
//! A [`RawFrame`] is a buffer with its [`RawFormat`], checked once when it is made. [`picture`](RawFrame::picture) gives a [`Frame`] of it: a view
//! of the buffer itself where a frame can have its layout, or else an image that is made of it.
//!
//! | format | frame |
//! |---|---|
//! | gray and colours of 8 bits, gray of 10 to 16 bits | the buffer itself |
//! | gray of 10 and 12 bits, packed | `Gray16` with that many significant bits |
//! | colours of 16 bits | `Rgb8`, each sample rounded |
//! | Bayer patterns | `Rgb8`, by bilinear interpolation; of more than 8 bits each sample is rounded at the end |
//! | YUV | `Rgb8`, by ITU-R BT.601 with 16 to 235; the pixels that share a colour all get it |
//! | planes of red, green, blue | `Rgb8` |
//! | floating-point gray | `Gray16`; black and white must be given |

mod bayer;
mod format;
mod samples;
mod yuv;

pub use self::format::RawFormat;

use self::{
    format::{Layout, Samples},
    samples::{ToByte, packed, words},
};
use super::{FloatRange, Frame, Image, PixelFormat, check_significant_bits, depth};
use crate::{Error, Result};

/// A buffer as a camera's driver gives it: `height` rows of `width` pixels, `stride` bytes from one row to the next, in planes one below
/// the other where the format has several.
#[derive(Clone, Copy)]
pub struct RawFrame<'a> {
    data: &'a [u8],
    width: u32,
    height: u32,
    stride: usize,
    row_bytes: usize,
    format: RawFormat,
    bits: Option<u8>,
}

/// A frame of a buffer.
#[derive(Clone, Debug)]
pub enum Picture<'a> {
    /// The buffer itself.
    Lent(Frame<'a>),
    /// An image that was made of it.
    Made(Image),
}

impl Picture<'_> {
    /// The frame.
    pub fn frame(&self) -> Frame<'_> {
        match self {
            Self::Lent(frame) => *frame,
            Self::Made(image) => image.frame(),
        }
    }
}

impl<'a> RawFrame<'a> {
    /// A view of `data`, whose rows start every `stride` bytes; 0 means that there are no gaps between rows. The last row may end where its
    /// pixels end.
    ///
    /// # Errors
    /// [`Error::Frame`] for a zero or odd size where the format has none such, a stride shorter than a row, or a buffer shorter than the rows.
    pub fn new(data: &'a [u8], width: u32, height: u32, stride: usize, format: RawFormat) -> Result<Self> {
        let refuse = |reason: String| Err(Error::frame(format!("{width}×{height} {format}: {reason}")));
        if width == 0 || height == 0 {
            return refuse("width and height must be at least 1".to_owned());
        }
        if let Some(reason) = format.reason_against(width, height) {
            return refuse(reason.to_owned());
        }
        let (Some(row_bytes), Some(rows)) = (format.row_bytes(width), format.rows(height)) else {
            return refuse("a row is larger than the address space".to_owned());
        };
        let stride = if stride == 0 { row_bytes } else { stride };
        if stride < row_bytes {
            return refuse(format!("the stride of {stride} bytes is shorter than a row of {row_bytes} bytes"));
        }
        let Some(needed) = (rows - 1).checked_mul(stride).and_then(|above| above.checked_add(row_bytes)) else {
            return refuse(format!("{rows} rows of {stride} bytes are larger than the address space"));
        };
        if data.len() < needed {
            return refuse(format!("needs {needed} bytes at a stride of {stride}, the buffer has {}", data.len()));
        }
        Ok(Self { data: &data[..needed], width, height, stride, row_bytes, format, bits: None })
    }

    /// The same, whose 16-bit samples have so many significant bits. Formats that say their bits themselves, and samples of 8 bits, are not
    /// affected.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless `bits` is within 1 to 16.
    pub fn with_significant_bits(self, bits: u8) -> Result<Self> {
        Ok(Self { bits: Some(check_significant_bits(bits)?), ..self })
    }

    /// Layout of the buffer.
    pub fn format(&self) -> RawFormat {
        self.format
    }

    /// Bytes that [`picture`](Self::picture) takes beside the buffer.
    pub fn made_bytes(&self) -> u64 {
        let pixels = u64::from(self.width) * u64::from(self.height);
        match self.format.layout() {
            Layout::Frame(_) | Layout::Mono(Samples::Bytes | Samples::Words(_)) => 0,
            Layout::Mono(Samples::Packed(_)) | Layout::Float => 2 * pixels,
            _ => 3 * pixels,
        }
    }

    /// The frame of the buffer. `bits` are the significant bits of 16-bit samples where neither the format nor the buffer says them, and `range`
    /// the floating-point values of black and white.
    ///
    /// # Errors
    /// [`Error::Frame`] for a sample above the significant bits, a floating-point one that is not finite or whose range is not known.
    pub fn picture(&self, bits: Option<u8>, range: Option<FloatRange>) -> Result<Picture<'a>> {
        let bits = self.bits.or(bits);
        let refuse = |reason: String| Error::frame(format!("{}×{} {}: {reason}", self.width, self.height, self.format));
        let made = match self.format.layout() {
            Layout::Frame(format) => return self.lent(format, self.bits),
            Layout::Mono(Samples::Words(own)) => return self.lent(PixelFormat::Gray16, own.or(self.bits)),
            Layout::Mono(Samples::Bytes) => return self.lent(PixelFormat::Gray8, None),
            Layout::Mono(Samples::Packed(own)) => return self.unpacked(own).map(Picture::Made),
            Layout::Float => {
                return self.gray_of_floats(range).map_err(refuse).map(Picture::Made);
            }
            Layout::Bayer(pattern, samples) => {
                let white = depth::white(samples.bits().or(bits).unwrap_or(depth::FULL_BITS));
                let rows = |row: usize, out: &mut [u16]| match samples {
                    Samples::Bytes => out.iter_mut().zip(self.row(row)).for_each(|(out, byte)| *out = (*byte).into()),
                    Samples::Words(_) => words(self.row(row), out),
                    Samples::Packed(bits) => packed(self.row(row), bits, out),
                };
                bayer::rgb((self.width as usize, self.height as usize), pattern, &ToByte::new(white), rows)
            }
            Layout::Words { channels, red } => {
                self.rgb_of_words(channels, red, &ToByte::new(depth::white(bits.unwrap_or(depth::FULL_BITS))))
            }
            Layout::Planar => Ok(self.rgb_of_planes()),
            Layout::Yuv422 { y, u } => Ok(yuv::rgb_of_422((0..self.height as usize).map(|row| self.row(row)), y, u)),
            Layout::Yuv420 => {
                let rows =
                    (0..self.height as usize).map(|row| (self.row(row), self.row(self.height as usize + row / 2)));
                Ok(yuv::rgb_of_420(rows))
            }
        };
        let image = Image::new(made.map_err(refuse)?, self.width, self.height, PixelFormat::Rgb8)?;
        Ok(Picture::Made(image.with_depth(None, self.peak())))
    }

    /// The largest 16-bit sample of a colour format that does not say its bits.
    fn peak(&self) -> Option<u16> {
        let (Layout::Bayer(_, Samples::Words(None)) | Layout::Words { .. }) = self.format.layout() else { return None };
        let rows = (0..self.height as usize).map(|row| self.row(row).as_chunks::<2>().0);
        rows.flat_map(|row| row.iter().map(|&sample| u16::from_ne_bytes(sample))).max()
    }

    /// A row, counted through all planes.
    fn row(&self, row: usize) -> &'a [u8] {
        &self.data[row * self.stride..][..self.row_bytes]
    }

    fn lent(&self, format: PixelFormat, bits: Option<u8>) -> Result<Picture<'a>> {
        let frame = Frame::new(self.data, self.width, self.height, self.stride, format)?;
        Ok(Picture::Lent(bits.map_or(Ok(frame), |bits| frame.with_significant_bits(bits))?))
    }

    fn unpacked(&self, bits: u8) -> Result<Image> {
        let mut samples = vec![0_u16; self.width as usize];
        let mut data = Vec::with_capacity(2 * samples.len() * self.height as usize);
        for row in 0..self.height as usize {
            packed(self.row(row), bits, &mut samples);
            data.extend_from_slice(bytemuck::cast_slice(&samples));
        }
        Ok(Image::new(data, self.width, self.height, PixelFormat::Gray16)?.with_depth(Some(bits), None))
    }

    fn gray_of_floats(&self, range: Option<FloatRange>) -> Result<Image, String> {
        let range = range.ok_or(
            "the range of floating-point samples is not known; give the values of black and white (`--range LO:HI`, \
             `uflow_fit_options_set_float_range`; a package keeps them)",
        )?;
        let mut data = Vec::with_capacity(2 * self.width as usize * self.height as usize);
        for row in 0..self.height as usize {
            let (floats, _) = self.row(row).as_chunks::<4>();
            for &bytes in floats {
                let value = f32::from_ne_bytes(bytes);
                if !value.is_finite() {
                    return Err("it has samples that are not finite numbers".to_owned());
                }
                data.extend(((range.position(value) * 65535.0).round() as u16).to_ne_bytes());
            }
        }
        let image =
            Image::new(data, self.width, self.height, PixelFormat::Gray16).map_err(|error| error.to_string())?;
        Ok(image.with_depth(Some(depth::FULL_BITS), None))
    }

    fn rgb_of_words(&self, channels: usize, red: usize, to_byte: &ToByte) -> Result<Vec<u8>, String> {
        let mut rgb = Vec::with_capacity(3 * self.width as usize * self.height as usize);
        let mut samples = vec![0; channels * self.width as usize];
        for row in 0..self.height as usize {
            words(self.row(row), &mut samples);
            for pixel in samples.chunks_exact(channels) {
                for sample in [pixel[red], pixel[1], pixel[2 - red]] {
                    rgb.push(to_byte.of(sample)?);
                }
            }
        }
        Ok(rgb)
    }

    fn rgb_of_planes(&self) -> Vec<u8> {
        let height = self.height as usize;
        let mut rgb = Vec::with_capacity(3 * self.width as usize * height);
        for row in 0..height {
            let [red, green, blue] = [0, 1, 2].map(|plane| self.row(plane * height + row));
            let pixels = red.iter().zip(green).zip(blue);
            rgb.extend(pixels.flat_map(|((&red, &green), &blue)| [red, green, blue]));
        }
        rgb
    }
}

impl std::fmt::Debug for RawFrame<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RawFrame({}×{} {}, stride {})", self.width, self.height, self.format, self.stride)
    }
}

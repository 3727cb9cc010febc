//! Images as Python gives them: pixels in an array, an encoded file in memory, or a path.

use std::path::{Path, PathBuf};

use numpy::PyReadonlyArray1;
use pyo3::{prelude::*, pybacked::PyBackedBytes};
use uflow::{
    Error, Reason,
    frame::{Frame, Image, Limits, ReadOptions},
};

use crate::error::Result;

/// Pixels as `uflow._images` prepares them: the array's memory from its first to its last pixel, as bytes, without a copy. Rows may
/// have gaps.
#[derive(Debug, FromPyObject)]
pub(crate) struct Pixels<'py> {
    data: PyReadonlyArray1<'py, u8>,
    width: u32,
    height: u32,
    stride: usize,
    format: String,
    significant_bits: Option<u8>,
}

/// An image that Python gives.
#[derive(Debug, FromPyObject)]
pub(crate) enum Given<'py> {
    Pixels(Pixels<'py>),
    Encoded(PyBackedBytes),
    File(PathBuf),
}

/// The same, usable without the interpreter's lock.
#[derive(Debug)]
pub(crate) enum Lent<'a> {
    Pixels(Frame<'a>),
    Encoded(&'a [u8]),
    File(&'a Path),
}

/// An image whose pixels are there.
#[derive(Debug)]
pub(crate) enum Picture<'a> {
    Lent(Frame<'a>),
    Decoded(Image),
}

impl Pixels<'_> {
    fn frame(&self) -> uflow::Result<Frame<'_>> {
        let data = self.data.as_slice().map_err(|error| Error::frame(Reason::of(error.to_string())))?;
        Limits::default().check_pixels(self.width, self.height)?;
        let frame = Frame::new(data, self.width, self.height, self.stride, self.format.parse()?)?;
        self.significant_bits.map_or(Ok(frame), |bits| frame.with_significant_bits(bits))
    }
}

impl Given<'_> {
    /// Checks sizes and strides.
    pub(crate) fn lend(&self) -> Result<Lent<'_>> {
        Ok(match self {
            Self::Pixels(pixels) => Lent::Pixels(pixels.frame()?),
            Self::Encoded(bytes) => Lent::Encoded(bytes),
            Self::File(path) => Lent::File(path),
        })
    }
}

impl<'a> Lent<'a> {
    /// Decodes what is encoded.
    pub(crate) fn picture(&self, read: &ReadOptions) -> uflow::Result<Picture<'a>> {
        Ok(match self {
            Self::Pixels(frame) => Picture::Lent(*frame),
            Self::Encoded(bytes) => Picture::Decoded(Image::decode_with(bytes, "the encoded image", read)?),
            Self::File(path) => Picture::Decoded(Image::open_with(path, read)?),
        })
    }
}

impl Picture<'_> {
    pub(crate) fn frame(&self) -> Frame<'_> {
        match self {
            Self::Lent(frame) => *frame,
            Self::Decoded(image) => image.frame(),
        }
    }

    pub(crate) fn is_decoded(&self) -> bool {
        matches!(self, Self::Decoded(_))
    }
}

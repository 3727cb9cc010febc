//! Images in the caller's memory.

use std::{mem::offset_of, ptr, time::Instant};

use uflow::frame::{Frame, Image, Limits, PixelFormat};

use crate::{
    guard::Outcome,
    pointer::{self, Versioned},
    status::uflow_status,
};

/// The layout of an image's bytes.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum uflow_format {
    /// Not set: an error.
    UFLOW_FORMAT_UNKNOWN = 0,
    /// One byte per pixel.
    UFLOW_FORMAT_GRAY8 = 1,
    /// One 16-bit number per pixel in the machine's byte order; no alignment is needed. 0 to 65535 is black to white.
    UFLOW_FORMAT_GRAY16 = 2,
    /// Red, green, blue; one byte each.
    UFLOW_FORMAT_RGB8 = 3,
    /// Blue, green, red; one byte each (OpenCV's order).
    UFLOW_FORMAT_BGR8 = 4,
    /// Red, green, blue, alpha; alpha is not used.
    UFLOW_FORMAT_RGBA8 = 5,
    /// Blue, green, red, alpha; alpha is not used.
    UFLOW_FORMAT_BGRA8 = 6,
    /// A PNG, JPEG, BMP, TIFF or WebP file. Width, height and stride are not read. The image is turned upright as its EXIF data says, so
    /// that its width and height may be the file's, exchanged: `uflow_image_get_info` gives the upright size.
    UFLOW_FORMAT_ENCODED = 7,
}

/// An image in the caller's memory. It is lent during a call or, to a stream, until its release. Begin with `UFLOW_IMAGE_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uflow_image {
    /// sizeof(uflow_image).
    pub struct_size: usize,
    /// The first byte of the first row, or of the file.
    pub data: *const u8,
    /// The number of bytes: at least (height − 1) × stride + width × bytes per pixel.
    pub size: usize,
    /// Bytes from the start of one row to the start of the next; 0: rows without gaps.
    pub stride: usize,
    /// Pixels per row, at least 1.
    pub width: u32,
    /// Rows, at least 1.
    pub height: u32,
    /// A `uflow_format`.
    pub format: u32,
    /// 0.
    pub reserved: u32,
}

impl Versioned for uflow_image {
    const FIRST: usize = offset_of!(Self, reserved) + size_of::<u32>();
    const EMPTY: Self =
        Self { struct_size: 0, data: ptr::null(), size: 0, stride: 0, width: 0, height: 0, format: 0, reserved: 0 };
    const NAME: &str = "image";
}

/// A picture, lent or decoded.
#[derive(Debug)]
pub(crate) enum Picture<'a> {
    Lent(Frame<'a>),
    Decoded(Image),
}

impl Picture<'_> {
    pub(crate) fn frame(&self) -> Frame<'_> {
        match self {
            Self::Lent(frame) => *frame,
            Self::Decoded(image) => image.frame(),
        }
    }

    /// Milliseconds since `start` if it was decoded, else 0.
    pub(crate) fn decode_ms(&self, start: Instant) -> f64 {
        match self {
            Self::Lent(_) => 0.0,
            Self::Decoded(_) => start.elapsed().as_secs_f64() * 1e3,
        }
    }
}

/// The layout of a raw format; `None` for encoded images.
pub(crate) fn pixel_format(format: u32) -> Outcome<Option<PixelFormat>> {
    Ok(match format {
        1 => Some(PixelFormat::Gray8),
        2 => Some(PixelFormat::Gray16),
        3 => Some(PixelFormat::Rgb8),
        4 => Some(PixelFormat::Bgr8),
        5 => Some(PixelFormat::Rgba8),
        6 => Some(PixelFormat::Bgra8),
        7 => None,
        other => {
            return Err(uflow_status::argument("image.format", format_args!("{other} is not a UFLOW_FORMAT")));
        }
    })
}

/// An image whose size and buffer fit together, not decoded yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checked {
    pub(crate) data: *const u8,
    pub(crate) size: usize,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) stride: usize,
    /// `None` for a file.
    pub(crate) format: Option<PixelFormat>,
}

impl Checked {
    /// Checks everything that does not need the bytes.
    ///
    /// # Safety
    /// The bytes that `image` names, if any, are there and are not changed during the call.
    pub(crate) unsafe fn new(image: &uflow_image, limits: &Limits) -> Outcome<Self> {
        // SAFETY: by this function's contract.
        let data = unsafe { pointer::values(image.data, image.size, "image.data") }?;
        let format = pixel_format(image.format)?;
        if image.reserved != 0 {
            return Err(uflow_status::argument("image.reserved", format_args!("is {}, not 0", image.reserved)));
        }
        let stride = match (image.stride, format) {
            (0, Some(format)) => (image.width as usize).saturating_mul(format.bytes_per_pixel()),
            (stride, _) => stride,
        };
        let &uflow_image { width, height, .. } = image;
        if let Some(format) = format {
            Frame::new(data, width, height, stride, format)?;
            limits.check_pixels(width, height)?;
        }
        Ok(Self { data: data.as_ptr(), size: data.len(), width, height, stride, format })
    }

    /// The picture.
    ///
    /// # Safety
    /// The bytes live for `'a` and are not changed meanwhile.
    pub(crate) unsafe fn picture<'a>(&self, limits: &Limits) -> Outcome<Picture<'a>> {
        // SAFETY: checked in `new`, and the rest by this function's contract.
        let data = unsafe { std::slice::from_raw_parts(self.data, self.size) };
        Ok(match self.format {
            None => Picture::Decoded(Image::decode(data, "the encoded image", limits)?),
            Some(format) => Picture::Lent(Frame::new(data, self.width, self.height, self.stride, format)?),
        })
    }
}

/// The picture of an image struct.
///
/// # Safety
/// `image` is NULL, misaligned, or an image whose bytes live for `'a` and are not changed meanwhile.
pub(crate) unsafe fn picture<'a>(image: *const uflow_image, limits: &Limits) -> Outcome<Picture<'a>> {
    // SAFETY: by this function's contract.
    unsafe { Checked::new(&pointer::read(image)?, limits)?.picture(limits) }
}

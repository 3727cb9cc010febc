//! Images in the caller's memory.

use std::{mem::offset_of, ptr, time::Instant};

use uflow::frame::{self, Frame, Image, ImageInfo, Limits, PixelFormat, RawFormat, RawFrame, ReadOptions};

use crate::{
    guard::{CallResult, guard},
    pointer::{self, OutStruct, Versioned},
    status::uflow_status,
};

/// The layout of an image's bytes. The names are those of GenICam's Pixel Format Naming Convention where it has one; `GRAY8` and `GRAY16` are its
/// Mono8 and Mono16. Numbers of 16 and 32 bits are in the machine's byte order. Formats 1 to 6 and MONO10 to MONO14 are used where they lie. The others
/// are converted, which counts as decoding: packed and floating-point gray to GRAY16, all others to RGB8.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum uflow_format {
    /// Not set: an error.
    UFLOW_FORMAT_UNKNOWN = 0,
    /// One byte per pixel.
    UFLOW_FORMAT_GRAY8 = 1,
    /// One 16-bit number per pixel in the machine's byte order; no alignment is needed. `significant_bits` of
    /// `uflow_image` says which range is black to white, e.g. 12 for 0 to 4095.
    UFLOW_FORMAT_GRAY16 = 2,
    /// Red, green, blue; one byte each.
    UFLOW_FORMAT_RGB8 = 3,
    /// Blue, green, red; one byte each (OpenCV's order).
    UFLOW_FORMAT_BGR8 = 4,
    /// Red, green, blue, alpha; alpha is not used.
    UFLOW_FORMAT_RGBA8 = 5,
    /// Blue, green, red, alpha; alpha is not used.
    UFLOW_FORMAT_BGRA8 = 6,
    /// A PNG, JPEG, BMP, TIFF, WebP, GIF or PNM file. Width, height and stride are not read. The image is turned upright as its EXIF data says, so
    /// that its width and height may be the file's, exchanged: `uflow_image_get_info` gives the upright size.
    UFLOW_FORMAT_ENCODED = 7,
    /// Gray, 10 of 16 bits per pixel.
    UFLOW_FORMAT_MONO10 = 8,
    /// Gray, 12 of 16 bits.
    UFLOW_FORMAT_MONO12 = 9,
    /// Gray, 14 of 16 bits.
    UFLOW_FORMAT_MONO14 = 10,
    /// Gray, 10 bits, packed: four pixels in five bytes, the lowest bit first. Each row begins with a byte of its own.
    UFLOW_FORMAT_MONO10P = 11,
    /// Gray, 12 bits, packed: two pixels in three bytes, likewise.
    UFLOW_FORMAT_MONO12P = 12,
    /// Red, green, blue; one 16-bit number each, with `significant_bits` as for gray. Each sample is rounded to 8 bits.
    UFLOW_FORMAT_RGB16 = 13,
    /// Blue, green, red, likewise.
    UFLOW_FORMAT_BGR16 = 14,
    /// Red, green, blue, alpha, likewise; alpha is not used.
    UFLOW_FORMAT_RGBA16 = 15,
    /// Blue, green, red, alpha, likewise; alpha is not used.
    UFLOW_FORMAT_BGRA16 = 16,
    /// A plane of red, then one of green, then one of blue; one byte per pixel, all with the same stride.
    UFLOW_FORMAT_RGB8_PLANAR = 17,
    /// Y, U, Y, V for two pixels; ITU-R BT.601, where 16 is black and 235 is white. The width is even.
    UFLOW_FORMAT_YUYV = 18,
    /// U, Y, V, Y for two pixels, likewise.
    UFLOW_FORMAT_UYVY = 19,
    /// A plane of Y, then one of U, V for two by two pixels, likewise. Width and height are even.
    UFLOW_FORMAT_NV12 = 20,
    /// Gray, one 32-bit floating-point number per pixel. The package must have a range (`uflow_fit_options_set_float_range`).
    UFLOW_FORMAT_FLOAT32 = 21,
    /// A Bayer pattern whose first row begins with red, green: 8 bits. Missing colours are the mean of their nearest neighbours.
    UFLOW_FORMAT_BAYER_RG8 = 24,
    /// The same, 10 of 16 bits.
    UFLOW_FORMAT_BAYER_RG10 = 25,
    /// The same, 12 of 16 bits.
    UFLOW_FORMAT_BAYER_RG12 = 26,
    /// The same, 14 of 16 bits.
    UFLOW_FORMAT_BAYER_RG14 = 27,
    /// The same, 16 bits, or `significant_bits`.
    UFLOW_FORMAT_BAYER_RG16 = 28,
    /// The same, 10 bits, packed.
    UFLOW_FORMAT_BAYER_RG10P = 29,
    /// The same, 12 bits, packed.
    UFLOW_FORMAT_BAYER_RG12P = 30,
    /// A Bayer pattern whose first row begins with green, red: 8 bits. Missing colours are the mean of their nearest neighbours.
    UFLOW_FORMAT_BAYER_GR8 = 32,
    /// The same, 10 of 16 bits.
    UFLOW_FORMAT_BAYER_GR10 = 33,
    /// The same, 12 of 16 bits.
    UFLOW_FORMAT_BAYER_GR12 = 34,
    /// The same, 14 of 16 bits.
    UFLOW_FORMAT_BAYER_GR14 = 35,
    /// The same, 16 bits, or `significant_bits`.
    UFLOW_FORMAT_BAYER_GR16 = 36,
    /// The same, 10 bits, packed.
    UFLOW_FORMAT_BAYER_GR10P = 37,
    /// The same, 12 bits, packed.
    UFLOW_FORMAT_BAYER_GR12P = 38,
    /// A Bayer pattern whose first row begins with green, blue: 8 bits. Missing colours are the mean of their nearest neighbours.
    UFLOW_FORMAT_BAYER_GB8 = 40,
    /// The same, 10 of 16 bits.
    UFLOW_FORMAT_BAYER_GB10 = 41,
    /// The same, 12 of 16 bits.
    UFLOW_FORMAT_BAYER_GB12 = 42,
    /// The same, 14 of 16 bits.
    UFLOW_FORMAT_BAYER_GB14 = 43,
    /// The same, 16 bits, or `significant_bits`.
    UFLOW_FORMAT_BAYER_GB16 = 44,
    /// The same, 10 bits, packed.
    UFLOW_FORMAT_BAYER_GB10P = 45,
    /// The same, 12 bits, packed.
    UFLOW_FORMAT_BAYER_GB12P = 46,
    /// A Bayer pattern whose first row begins with blue, green: 8 bits. Missing colours are the mean of their nearest neighbours.
    UFLOW_FORMAT_BAYER_BG8 = 48,
    /// The same, 10 of 16 bits.
    UFLOW_FORMAT_BAYER_BG10 = 49,
    /// The same, 12 of 16 bits.
    UFLOW_FORMAT_BAYER_BG12 = 50,
    /// The same, 14 of 16 bits.
    UFLOW_FORMAT_BAYER_BG14 = 51,
    /// The same, 16 bits, or `significant_bits`.
    UFLOW_FORMAT_BAYER_BG16 = 52,
    /// The same, 10 bits, packed.
    UFLOW_FORMAT_BAYER_BG10P = 53,
    /// The same, 12 bits, packed.
    UFLOW_FORMAT_BAYER_BG12P = 54,
}

/// An image in the caller's memory. It is lent during a call or, to a stream, until its release. Begin with `UFLOW_IMAGE_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uflow_image {
    /// sizeof(uflow_image).
    pub struct_size: usize,
    /// The first byte of the first row, or of the file.
    pub data: *const u8,
    /// The number of bytes: at least (rows − 1) × stride + the bytes of a row, where the rows of all planes count.
    pub size: usize,
    /// Bytes from the start of one row to the start of the next; 0: rows without gaps.
    pub stride: usize,
    /// Pixels per row, at least 1.
    pub width: u32,
    /// Rows, at least 1.
    pub height: u32,
    /// A `uflow_format`.
    pub format: u32,
    /// Significant bits of 16-bit samples, 1 to 16: 0 to 2^bits − 1 is black to white. 0: the number that the model's package records,
    /// else 16. Formats of other samples, and those that say their bits themselves, ignore it.
    pub significant_bits: u32,
}

impl Versioned for uflow_image {
    const FIRST: usize = offset_of!(Self, significant_bits) + size_of::<u32>();
    const EMPTY: Self = Self {
        struct_size: 0,
        data: ptr::null(),
        size: 0,
        stride: 0,
        width: 0,
        height: 0,
        format: 0,
        significant_bits: 0,
    };
    const NAME: &str = "image";
}

/// A picture, lent or decoded.
#[derive(Debug)]
pub(crate) enum Picture<'a> {
    Lent(Frame<'a>),
    /// With the significant bits that it was decoded with, if any were given.
    Decoded(Image, Option<u8>),
}

impl Picture<'_> {
    pub(crate) fn frame(&self) -> Frame<'_> {
        match self {
            Self::Lent(frame) => *frame,
            Self::Decoded(image, _) => image.frame(),
        }
    }

    /// The significant bits of 16-bit samples, if they were given.
    pub(crate) fn significant_bits(&self) -> Option<u8> {
        match self {
            Self::Lent(frame) => frame.significant_bits(),
            Self::Decoded(image, bits) => image.frame().significant_bits().or(*bits),
        }
    }

    /// The largest 16-bit sample; `None` for 8-bit samples.
    pub(crate) fn peak(&self) -> Option<u16> {
        match self {
            Self::Lent(frame) => frame.peak(),
            Self::Decoded(image, _) => image.peak(),
        }
    }

    /// Milliseconds since `start` if it was decoded, else 0.
    pub(crate) fn decode_ms(&self, start: Instant) -> f64 {
        match self {
            Self::Lent(_) => 0.0,
            Self::Decoded(..) => start.elapsed().as_secs_f64() * 1e3,
        }
    }
}

/// The layout of a raw format; `None` for encoded images.
pub(crate) fn raw_format(format: u32) -> CallResult<Option<RawFormat>> {
    if format == uflow_format::UFLOW_FORMAT_ENCODED as u32 {
        return Ok(None);
    }
    let raw = RawFormat::from_repr(format);
    let raw =
        raw.ok_or_else(|| uflow_status::argument("image.format", format_args!("{format} is not a UFLOW_FORMAT")))?;
    Ok(Some(raw))
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
    pub(crate) format: Option<RawFormat>,
    /// Significant bits, if they were given.
    pub(crate) bits: Option<u8>,
}

impl Checked {
    /// Checks everything that does not need the bytes.
    ///
    /// # Safety
    /// The bytes that `image` names, if any, are there and are not changed during the call.
    pub(crate) unsafe fn new(image: &uflow_image, limits: &Limits) -> CallResult<Self> {
        // SAFETY: by this function's contract.
        let data = unsafe { pointer::values(image.data, image.size, "image.data") }?;
        let format = raw_format(image.format)?;
        let bits = match image.significant_bits {
            0 => None,
            bits @ 1..=16 => Some(bits as u8),
            bits => {
                return Err(uflow_status::argument("image.significant_bits", format_args!("{bits} is not 0 to 16")));
            }
        };
        let &uflow_image { width, height, stride, .. } = image;
        if let Some(format) = format {
            RawFrame::new(data, width, height, stride, format)?;
            limits.check_pixels(width, height)?;
        }
        Ok(Self { data: data.as_ptr(), size: data.len(), width, height, stride, format, bits })
    }

    /// The picture.
    ///
    /// # Safety
    /// The bytes live for `'a` and are not changed meanwhile.
    pub(crate) unsafe fn picture<'a>(&self, read: &ReadOptions) -> CallResult<Picture<'a>> {
        // SAFETY: checked in `new`, and the rest by this function's contract.
        let data = unsafe { std::slice::from_raw_parts(self.data, self.size) };
        Ok(match self.format {
            None => {
                let read = ReadOptions { significant_bits: self.bits.or(read.significant_bits), ..*read };
                Picture::Decoded(Image::decode_with(data, ENCODED, &read)?, read.significant_bits)
            }
            Some(format) => {
                let raw = RawFrame::new(data, self.width, self.height, self.stride, format)?;
                let raw = self.bits.map_or(Ok(raw), |bits| raw.with_significant_bits(bits))?;
                match raw.picture(read.significant_bits, read.float_range)? {
                    frame::Picture::Lent(frame) => Picture::Lent(frame),
                    frame::Picture::Made(image) => Picture::Decoded(image, self.bits.or(read.significant_bits)),
                }
            }
        })
    }
}

/// What messages call encoded bytes.
const ENCODED: &str = "the encoded image";

/// The picture of an image struct.
///
/// # Safety
/// `image` is NULL, misaligned, or an image whose bytes live for `'a` and are not changed meanwhile.
pub(crate) unsafe fn picture<'a>(image: *const uflow_image, read: &ReadOptions) -> CallResult<Picture<'a>> {
    // SAFETY: by this function's contract.
    unsafe { Checked::new(&pointer::read(image)?, &read.limits)?.picture(read) }
}

/// What is known of an image without decoding it. Begin with `UFLOW_IMAGE_INFO_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uflow_image_info {
    /// sizeof(uflow_image_info).
    pub struct_size: usize,
    /// Columns of the upright image: the width of its mask.
    pub width: u32,
    /// Rows of the upright image: the height of its mask.
    pub height: u32,
    /// The `uflow_format` of the decoded image.
    pub format: u32,
    /// Bits per sample: of the file, or of the format of raw pixels.
    pub bits: u32,
    /// 1 if the samples are floating-point numbers, which only a package with a range for them
    /// can read (`uflow_fit_options_set_float_range`); else 0.
    pub is_float: u32,
    /// Pages or frames in the file; a file with more than one is refused.
    pub pages: u32,
    /// The EXIF orientation, 1 to 8. From 5 on, width and height of the file are exchanged. 1 for raw pixels.
    pub orientation: u32,
    /// 0.
    pub reserved: u32,
}

impl Versioned for uflow_image_info {
    const FIRST: usize = offset_of!(Self, reserved) + size_of::<u32>();
    const EMPTY: Self = Self {
        struct_size: 0,
        width: 0,
        height: 0,
        format: 0,
        bits: 0,
        is_float: 0,
        pages: 0,
        orientation: 0,
        reserved: 0,
    };
    const NAME: &str = "info";
}

fn format_number(format: PixelFormat) -> u32 {
    use uflow_format::*;
    let format = match format {
        PixelFormat::Gray8 => UFLOW_FORMAT_GRAY8,
        PixelFormat::Gray16 => UFLOW_FORMAT_GRAY16,
        PixelFormat::Rgb8 => UFLOW_FORMAT_RGB8,
        PixelFormat::Bgr8 => UFLOW_FORMAT_BGR8,
        PixelFormat::Rgba8 => UFLOW_FORMAT_RGBA8,
        PixelFormat::Bgra8 => UFLOW_FORMAT_BGRA8,
        // A format that this table does not know.
        _ => UFLOW_FORMAT_UNKNOWN,
    };
    format as u32
}

/// Writes to `*info` what is known of an image before it is decoded. An encoded image is turned upright as its EXIF data says: this gives
/// the size of its mask, which may be the file's width and height, exchanged. Only the header is read; any thread may call this at
/// any time.
///
/// Fails with `UFLOW_STATUS_UNDECODABLE` or `UFLOW_STATUS_INVALID_IMAGE` for an invalid image.
///
/// # Safety
/// `image` is NULL (an error) or valid, and the bytes that it points to are there and do not change during the call; `info` is NULL (an
/// error) or a struct with its size set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_image_get_info(
    image: *const uflow_image,
    info: *mut uflow_image_info,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (out, image, bytes) = unsafe {
            let out = OutStruct::new(info)?;
            let image = Checked::new(&pointer::read(image)?, &Limits { max_pixels: u64::MAX, max_bytes: u64::MAX })?;
            (out, image, std::slice::from_raw_parts(image.data, image.size))
        };
        out.set(match image.format {
            Some(format) => uflow_image_info {
                width: image.width,
                height: image.height,
                format: format_number(format.pixel_format()),
                bits: match format {
                    RawFormat::Float32 => 32,
                    format => format.significant_bits().or(image.bits).unwrap_or(16).into(),
                },
                is_float: (format == RawFormat::Float32).into(),
                pages: 1,
                orientation: 1,
                ..uflow_image_info::EMPTY
            },
            None => {
                let found = ImageInfo::read(bytes, ENCODED)?;
                uflow_image_info {
                    width: found.width,
                    height: found.height,
                    format: format_number(found.format),
                    bits: found.bits.into(),
                    is_float: found.floats.into(),
                    pages: found.pages as u32,
                    orientation: found.orientation.into(),
                    ..uflow_image_info::EMPTY
                }
            }
        });
        Ok(())
    })
}

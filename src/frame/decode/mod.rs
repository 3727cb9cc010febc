//! Encoded bytes to an upright [`Image`].
//!
//! Decoding has two steps. First the header is read: size, samples, orientation, number of pages, and the most memory that decoding
//! will hold at once. All of that is compared with the limits before memory of that size is allocated. Then the pixels are read
//! into one buffer, converted in place, and turned upright.
//!
//! The memory limit counts everything: the decoded pixels, a decoder's own copies of them, the coefficients of progressive JPEG, the
//! second buffer for turning. Colour profiles and texts are not read, so a compressed profile costs nothing.

mod codec;
mod convert;
mod jpeg;
mod png;
mod tiff;
mod turn;

use super::{Image, ImageInfo, PixelFormat, ReadOptions, kind::FileKind};
use crate::{Error, Reason, Result};

const CUT_OFF: &str = "its data end too early: the file is cut off";

/// Why decoding fails.
enum Failure {
    /// Damaged or refused.
    Reason(Reason),
    /// The decoder needs more memory than the budget allows.
    Memory,
}

impl Failure {
    fn new(reason: impl Into<Reason>) -> Self {
        Self::Reason(reason.into())
    }

    fn damaged(kind: FileKind, cause: impl Into<Reason>) -> Self {
        Self::Reason(cause.into().within(format_args!("damaged {}", kind.name())))
    }

    fn io(kind: FileKind, error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            return Self::new(Reason::saying(CUT_OFF, error));
        }
        Self::damaged(kind, Reason::of(error))
    }
}

/// What the colour channels of a file mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colour {
    /// Gray, perhaps with alpha.
    Gray,
    Rgb,
    Rgba,
    YCbCr,
    Cmyk,
}

/// One number of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sample {
    U8,
    U16,
    F32,
}

/// What the decoder gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    colour: Colour,
    sample: Sample,
    /// Numbers of a pixel.
    channels: usize,
    /// Whether 16-bit samples fill the range 0 to 65535, as the file itself says.
    full_range: bool,
}

impl Layout {
    fn new(colour: Colour, sample: Sample, channels: usize) -> Self {
        Self { colour, sample, channels, full_range: false }
    }

    /// Bytes of a pixel as the decoder gives it.
    fn bytes(self) -> usize {
        self.channels
            * match self.sample {
                Sample::U8 => 1,
                Sample::U16 => 2,
                Sample::F32 => 4,
            }
    }

    /// Format of the image in the end.
    fn format(self) -> PixelFormat {
        match (self.colour, self.sample) {
            (Colour::Gray, Sample::U8) => PixelFormat::Gray8,
            (Colour::Gray, _) => PixelFormat::Gray16,
            (Colour::Rgba, _) => PixelFormat::Rgba8,
            _ => PixelFormat::Rgb8,
        }
    }
}

/// What a file's header says of the page that is to be read.
struct Header {
    kind: FileKind,
    /// As stored, before turning.
    width: u32,
    height: u32,
    layout: Layout,
    /// Bits of a sample in the file.
    bits: u8,
    /// EXIF's number, 1 to 8.
    orientation: u8,
    pages: usize,
    /// Most bytes that the decoder holds beside the pixels it gives.
    working: u64,
}

impl Header {
    /// Most bytes that are held at once from the header to the upright image.
    fn memory(&self) -> u64 {
        let pixels = u64::from(self.width) * u64::from(self.height);
        let decoded = pixels.saturating_mul(self.layout.bytes() as u64);
        let turned = pixels.saturating_mul(self.layout.format().bytes_per_pixel() as u64);
        let turning = if self.orientation > 1 { turned } else { 0 };
        decoded.saturating_add(self.working.max(turning))
    }

    fn info(&self) -> ImageInfo {
        let across = self.orientation >= 5;
        let (width, height) = if across { (self.height, self.width) } else { (self.width, self.height) };
        ImageInfo {
            kind: self.kind,
            width,
            height,
            format: self.layout.format(),
            bits: self.bits,
            floats: self.layout.sample == Sample::F32,
            pages: self.pages,
            orientation: self.orientation,
            memory: self.memory(),
        }
    }
}

/// Reads the header of a page.
fn header(bytes: &[u8], page: usize) -> Result<Header, Failure> {
    let header = match FileKind::of(bytes).map_err(Failure::new)? {
        FileKind::Png => png::header(bytes),
        FileKind::Tiff => tiff::header(bytes, page),
        kind => codec::header(bytes, kind),
    }?;
    if header.width == 0 || header.height == 0 {
        return Err(Failure::new(format!("its size is {}×{}", header.width, header.height)));
    }
    if page >= header.pages {
        return Err(Failure::new(format!("it has {} pages, there is no page {}", header.pages, page + 1)));
    }
    Ok(header)
}

/// What the header says.
pub(super) fn info(bytes: &[u8], name: &str) -> Result<ImageInfo> {
    header(bytes, 0).map(|header| header.info()).map_err(|failure| match failure {
        Failure::Reason(reason) => Error::decode(name, reason),
        Failure::Memory => Error::decode(name, "its header is too large"),
    })
}

/// Reads a page, or, without a number, the only one.
pub(super) fn decode(bytes: &[u8], name: &str, page: Option<usize>, options: &ReadOptions) -> Result<Image> {
    let limits = &options.limits;
    let over = |what: &str, found: u64, limit: u64, unit| {
        if found <= limit {
            return Ok(());
        }
        Err(Error::Limit { what: format!("{name}: {what}"), found, limit, unit })
    };
    let refuse = |failure| {
        let reason = match failure {
            Failure::Reason(reason) => reason,
            Failure::Memory => format!("decoding it takes more than the limit of {} bytes", limits.max_bytes).into(),
        };
        Error::decode(name, reason)
    };
    over("size of the encoded image", bytes.len() as u64, limits.max_bytes, "bytes")?;
    let header = header(bytes, page.unwrap_or(0)).map_err(refuse)?;
    if page.is_none() && header.pages > 1 {
        return Err(refuse(Failure::new(several(&header))));
    }
    over("size of the image", u64::from(header.width) * u64::from(header.height), limits.max_pixels, "pixels")?;
    over("memory to decode the image", header.memory(), limits.max_bytes, "bytes")?;
    read(bytes, page.unwrap_or(0), &header, options).map_err(refuse)?
}

/// What to say of several pages where one image is wanted.
fn several(header: &Header) -> String {
    let (what, advice) = match header.kind {
        FileKind::Tiff => ("pages", "`uflow detect` reads every page; elsewhere save each page as a file"),
        _ => ("frames (it is an animation)", "save the frame to inspect as a still image"),
    };
    format!("it has {} {what}, and one image is expected; {advice}", header.pages)
}

fn read(bytes: &[u8], page: usize, header: &Header, options: &ReadOptions) -> Result<Result<Image>, Failure> {
    // What the decoder may take for tables of its own.
    let spare = options.limits.max_bytes.saturating_sub(header.memory()).max(1 << 20);
    let data = match header.kind {
        FileKind::Png => png::read(bytes, header, spare),
        FileKind::Tiff => tiff::read(bytes, page, header, spare),
        _ => codec::read(bytes, header, spare),
    }?;
    let peak = convert::peak(&data, header.layout);
    let data = convert::convert(data, header.layout, options).map_err(Failure::new)?;
    let format = header.layout.format();
    let (data, width, height) =
        turn::upright(data, header.width, header.height, format.bytes_per_pixel(), header.orientation);
    let full = header.layout.full_range || header.layout.sample == Sample::F32;
    let bits = if full { Some(super::depth::FULL_BITS) } else { options.significant_bits };
    Ok(Image::new(data, width, height, format).map(|image| image.with_depth(bits, peak)))
}

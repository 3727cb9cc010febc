//! Files that the `image` crate decodes: JPEG, BMP, WebP, GIF, PNM.

use std::{error::Error as _, io::Cursor};

use image::{
    ColorType, ImageDecoder, ImageError, Limits,
    codecs::{bmp::BmpDecoder, gif::GifDecoder, jpeg::JpegDecoder, pnm::PnmDecoder, webp::WebPDecoder},
};

use super::{CUT_OFF, Colour, Failure, Header, Layout, Sample, jpeg};
use crate::{Reason, frame::kind::FileKind};

type Bytes<'a> = Cursor<&'a [u8]>;

/// A decoder that has read the header.
fn open<'a>(bytes: &'a [u8], kind: FileKind) -> Result<Box<dyn ImageDecoder + 'a>, ImageError> {
    let bytes: Bytes<'a> = Cursor::new(bytes);
    Ok(match kind {
        FileKind::Jpeg => Box::new(JpegDecoder::new(bytes)?),
        FileKind::Bmp => Box::new(BmpDecoder::new(bytes)?),
        FileKind::Gif => Box::new(GifDecoder::new(bytes)?),
        FileKind::Pnm => Box::new(PnmDecoder::new(bytes)?),
        FileKind::WebP => Box::new(WebPDecoder::new(bytes)?),
        FileKind::Png | FileKind::Tiff => {
            return Err(ImageError::IoError(std::io::Error::other("this format has a decoder of its own")));
        }
    })
}

pub(super) fn header(bytes: &[u8], kind: FileKind) -> Result<Header, Failure> {
    let structure = match kind {
        FileKind::Jpeg => check_jpeg(jpeg::structure(bytes))?,
        _ => jpeg::Structure::default(),
    };
    let mut decoder = open(bytes, kind).map_err(|error| explain(kind, error))?;
    let (width, height) = decoder.dimensions();
    let colour = decoder.color_type();
    let mut layout = match colour {
        ColorType::L8 => Layout::new(Colour::Gray, Sample::U8, 1),
        ColorType::La8 => Layout::new(Colour::Gray, Sample::U8, 2),
        ColorType::L16 => Layout::new(Colour::Gray, Sample::U16, 1),
        ColorType::La16 => Layout::new(Colour::Gray, Sample::U16, 2),
        ColorType::Rgb8 => Layout::new(Colour::Rgb, Sample::U8, 3),
        ColorType::Rgb16 => Layout::new(Colour::Rgb, Sample::U16, 3),
        ColorType::Rgba8 => Layout::new(Colour::Rgba, Sample::U8, 4),
        ColorType::Rgba16 => Layout::new(Colour::Rgba, Sample::U16, 4),
        _ => return Err(Failure::new("its samples have neither 8 nor 16 bits; save it with 8 or 16 bits")),
    };
    // The decoder scales samples from 0 … MAXVAL to the full range.
    layout.full_range = kind == FileKind::Pnm;
    let orientation = decoder.orientation().map_err(|error| explain(kind, error))?.to_exif();
    let pixels = u64::from(width) * u64::from(height);
    let bits = if layout.sample == Sample::U16 { 16 } else { 8 };
    let mut header = Header { kind, width, height, layout, bits, orientation, pages: 1, working: 0 };
    let length = bytes.len() as u64;
    match kind {
        FileKind::Jpeg => header.working = structure.coefficients + 1024 * u64::from(width) + length + (1 << 19),
        FileKind::WebP => (header.pages, header.working) = webp(bytes, pixels, layout.channels == 4),
        FileKind::Gif => (header.pages, header.working) = (gif_frames(bytes), 5 * pixels + (1 << 18)),
        _ => header.working = 64 * u64::from(width) + (1 << 18),
    }
    Ok(header)
}

pub(super) fn read(bytes: &[u8], header: &Header, spare: u64) -> Result<Vec<u8>, Failure> {
    let refuse = |error| explain(header.kind, error);
    let mut decoder = open(bytes, header.kind).map_err(refuse)?;
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(spare.saturating_add(header.memory()));
    decoder.set_limits(limits).map_err(refuse)?;
    let size = usize::try_from(decoder.total_bytes()).map_err(|_| Failure::Memory)?;
    let mut data = vec![0; size];
    decoder.read_image_boxed(&mut data).map_err(refuse)?;
    Ok(data)
}

fn check_jpeg(structure: jpeg::Structure) -> Result<jpeg::Structure, Failure> {
    if !structure.complete {
        return Err(Failure::new(CUT_OFF));
    }
    let unsupported = match (structure.process, structure.precision) {
        (0xC3 | 0xC5..=0xCF, _) => "a lossless, hierarchical or arithmetic-coded JPEG".to_owned(),
        (0xC0..=0xC2, precision) if precision != 8 => format!("a JPEG of {precision} bits a sample"),
        _ => return Ok(structure),
    };
    Err(Failure::new(format!("it is {unsupported}, which cannot be read; convert it to PNG or TIFF")))
}

/// Frames of a WebP, and what its decoder holds beside the pixels.
fn webp(bytes: &[u8], pixels: u64, alpha: bool) -> (usize, u64) {
    let (mut frames, mut lossless, mut at) = (0, false, 12_usize);
    while let Some([c0, c1, c2, c3, s0, s1, s2, s3]) = bytes.get(at..at + 8) {
        match &[*c0, *c1, *c2, *c3] {
            b"ANMF" => frames += 1,
            b"VP8L" => lossless = true,
            _ => {}
        }
        let size = u32::from_le_bytes([*s0, *s1, *s2, *s3]) as usize;
        at = at.saturating_add(8).saturating_add(size).saturating_add(size % 2);
    }
    let own = match (lossless, alpha) {
        // The pixels are decoded in place, or as RGBA beside them; the transforms are a fraction of that.
        (true, true) => 2 * pixels,
        (true, false) => 6 * pixels,
        // Three planes, and for alpha an image of its own.
        (false, false) => 2 * pixels,
        (false, true) => 8 * pixels,
    };
    (frames.max(1), own + bytes.len() as u64 + (1 << 20))
}

/// Frames of a GIF; what is damaged is told when it is decoded.
fn gif_frames(bytes: &[u8]) -> usize {
    let mut options = gif::DecodeOptions::new();
    options.skip_frame_decoding(true);
    let Ok(mut decoder) = options.read_info(Cursor::new(bytes)) else { return 1 };
    let mut frames = 0;
    while let Ok(Some(_)) = decoder.next_frame_info() {
        frames += 1;
    }
    frames.max(1)
}

fn explain(kind: FileKind, error: ImageError) -> Failure {
    match error {
        ImageError::Limits(_) => Failure::Memory,
        ImageError::IoError(error) => Failure::io(kind, error),
        ImageError::Unsupported(_) => {
            Failure::new(format!("it is a {} of a kind that cannot be read; convert it to PNG or TIFF", kind.name()))
        }
        error => {
            let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            Failure::damaged(kind, Reason::saying(cause.trim(), error))
        }
    }
}

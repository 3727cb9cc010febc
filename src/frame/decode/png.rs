//! PNG. Colour profiles and texts are skipped unread.

use std::io::Cursor;

use image::metadata::Orientation;
use png::{BitDepth, ColorType, Decoder, DecodingError, Limits, Reader, Transformations};

use super::{Colour, Failure, Header, Layout, Sample};
use crate::{Reason, frame::kind::FileKind};

fn open(bytes: &[u8], limit: u64) -> Result<Reader<Cursor<&[u8]>>, Failure> {
    let limits = Limits { bytes: usize::try_from(limit).unwrap_or(usize::MAX) };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(Transformations::EXPAND);
    decoder.read_info().map_err(explain)
}

pub(super) fn header(bytes: &[u8]) -> Result<Header, Failure> {
    // Chunks before the pixels that are kept (EXIF, palette) are no larger than the file.
    let reader = open(bytes, bytes.len() as u64 + (1 << 20))?;
    let info = reader.info();
    let (colour, depth) = reader.output_color_type();
    let (colour, channels) = match colour {
        ColorType::Grayscale => (Colour::Gray, 1),
        ColorType::GrayscaleAlpha => (Colour::Gray, 2),
        ColorType::Rgba => (Colour::Rgba, 4),
        ColorType::Rgb | ColorType::Indexed => (Colour::Rgb, 3),
    };
    let sample = if depth == BitDepth::Sixteen { Sample::U16 } else { Sample::U8 };
    let orientation = info.exif_metadata.as_deref().and_then(Orientation::from_exif_chunk);
    Ok(Header {
        kind: FileKind::Png,
        width: info.width,
        height: info.height,
        layout: Layout::new(colour, sample, channels),
        bits: info.bit_depth as u8,
        orientation: orientation.unwrap_or(Orientation::NoTransforms).to_exif(),
        pages: info.animation_control().map_or(1, |animation| animation.num_frames.max(1) as usize),
        // A few rows, and the window of the decompressor.
        working: 32 * u64::from(info.width) + (1 << 19),
    })
}

pub(super) fn read(bytes: &[u8], header: &Header, spare: u64) -> Result<Vec<u8>, Failure> {
    let mut reader = open(bytes, spare.saturating_add(header.memory()))?;
    let size = reader.output_buffer_size().ok_or(Failure::Memory)?;
    let mut data = vec![0; size];
    reader.next_frame(&mut data).map_err(explain)?;
    if header.layout.sample == Sample::U16 {
        for sample in data.chunks_exact_mut(2) {
            let native = u16::from_be_bytes([sample[0], sample[1]]).to_ne_bytes();
            sample.copy_from_slice(&native);
        }
    }
    Ok(data)
}

fn explain(error: DecodingError) -> Failure {
    match error {
        DecodingError::IoError(error) => Failure::io(FileKind::Png, error),
        DecodingError::LimitsExceeded => Failure::Memory,
        error => Failure::damaged(FileKind::Png, Reason::of(error)),
    }
}

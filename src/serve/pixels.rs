//! Pixels as protocols carry them.

use bytes::Bytes;

use crate::frame::PixelFormat;

/// Pixels that were sent low byte first, in the machine's own order; copied only where the two differ.
pub fn from_little_endian(pixels: Bytes, format: PixelFormat) -> Bytes {
    if cfg!(target_endian = "big") && format == PixelFormat::Gray16 {
        return pixels.chunks(2).flat_map(|pair| pair.iter().rev().copied()).collect::<Vec<_>>().into();
    }
    pixels
}

//! Raw pixels as they come over the network.

use bytes::Bytes;

use crate::{engine::Source, frame::PixelFormat};

/// A raw frame. A stride of 0 means rows without gaps; 16-bit numbers come low byte first, whatever the machine.
pub(super) fn raw(pixels: Bytes, width: u32, height: u32, stride: u32, format: PixelFormat) -> Source {
    let packed = (width as usize).saturating_mul(format.bytes_per_pixel());
    let stride = if stride == 0 { packed } else { stride as usize };
    Source::Raw { pixels: from_little_endian(pixels, format), width, height, stride, format }
}

/// Pixels that were sent low byte first, in the machine's own order; copied only where the two differ.
pub(super) fn from_little_endian(pixels: Bytes, format: PixelFormat) -> Bytes {
    if cfg!(target_endian = "big") && format == PixelFormat::Gray16 {
        return pixels.chunks(2).flat_map(|pair| pair.iter().rev().copied()).collect::<Vec<_>>().into();
    }
    pixels
}

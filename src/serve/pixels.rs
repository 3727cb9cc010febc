//! Raw pixels from the network.

use bytes::Bytes;

use crate::{engine::Source, frame::PixelFormat};

/// A raw frame. A stride of 0 means rows without gaps. 16-bit numbers are little-endian.
pub(super) fn raw(pixels: Bytes, width: u32, height: u32, stride: u32, format: PixelFormat) -> Source {
    let packed = (width as usize).saturating_mul(format.bytes_per_pixel());
    let stride = if stride == 0 { packed } else { stride as usize };
    Source::Raw { pixels: from_little_endian(pixels, format), width, height, stride, format }
}

/// Little-endian pixels in native byte order. They are copied only on big-endian machines.
pub(super) fn from_little_endian(pixels: Bytes, format: PixelFormat) -> Bytes {
    if cfg!(target_endian = "big") && format == PixelFormat::Gray16 {
        return pixels.chunks(2).flat_map(|pair| pair.iter().rev().copied()).collect::<Vec<_>>().into();
    }
    pixels
}

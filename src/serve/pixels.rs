//! Raw pixels as they come over the network.

use bytes::Bytes;

use crate::{engine::Source, frame::PixelFormat};

/// A raw frame. A stride of 0 means rows without gaps; 16-bit numbers come low byte first, whatever the machine.
pub(super) fn raw(pixels: Bytes, width: u32, height: u32, stride: u32, format: PixelFormat) -> Source {
    let packed = (width as usize).saturating_mul(format.bytes_per_pixel());
    let stride = if stride == 0 { packed } else { stride as usize };
    let swap = cfg!(target_endian = "big") && format == PixelFormat::Gray16;
    let pixels = if swap { swapped(&pixels) } else { pixels };
    Source::Raw { pixels, width, height, stride, format }
}

/// 16-bit numbers, low byte first, in the order of a machine that has the high byte first.
fn swapped(pixels: &[u8]) -> Bytes {
    pixels.chunks(2).flat_map(|pair| pair.iter().rev().copied()).collect::<Vec<_>>().into()
}

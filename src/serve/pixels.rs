//! Raw pixels from the network.

use bytes::Bytes;

use crate::{engine::Source, frame::RawFormat};

/// A raw frame. A stride of 0 means rows without gaps. Numbers of several bytes are little-endian.
pub(super) fn raw(pixels: Bytes, width: u32, height: u32, stride: u32, format: RawFormat) -> Source {
    Source::Raw { pixels: from_little_endian(pixels, format), width, height, stride: stride as usize, format }
}

/// Little-endian pixels in native byte order. They are copied only on big-endian machines.
pub(super) fn from_little_endian(pixels: Bytes, format: RawFormat) -> Bytes {
    let word = format.word_bytes();
    if cfg!(target_endian = "big") && word > 1 {
        return pixels.chunks(word).flat_map(|word| word.iter().rev().copied()).collect::<Vec<_>>().into();
    }
    pixels
}

//! Samples of more than 8 bits.

use crate::frame::depth;

/// Rounds samples to 8 bits, by a table.
pub(super) struct ToByte {
    white: u16,
    bytes: Vec<u8>,
}

impl ToByte {
    /// For samples from 0 to `white`.
    pub(super) fn new(white: u16) -> Self {
        let all = u32::from(white);
        Self { white, bytes: (0..=all).map(|sample| ((sample * 255 + all / 2) / all) as u8).collect() }
    }

    /// A sample.
    ///
    /// # Errors
    /// A sample above white.
    pub(super) fn of(&self, sample: u16) -> Result<u8, String> {
        let bits = || (u32::from(self.white) + 1).trailing_zeros() as u8;
        self.bytes.get(usize::from(sample)).copied().ok_or_else(|| depth::over_white(sample, bits()))
    }
}

/// 16-bit numbers in the machine's byte order.
pub(super) fn words(bytes: &[u8], out: &mut [u16]) {
    let (pairs, _) = bytes.as_chunks::<2>();
    out.iter_mut().zip(pairs).for_each(|(out, &pair)| *out = u16::from_ne_bytes(pair));
}

/// Numbers of so many bits without gaps, the lowest bit first (PFNC's `p`).
pub(super) fn packed(bytes: &[u8], bits: u8, out: &mut [u16]) {
    // So many numbers fill whole bytes: four of 10 bits, two of 12.
    let (numbers, group) = if bits == 10 { (4, 5) } else { (2, 3) };
    let mask = (1_u64 << bits) - 1;
    for (out, bytes) in out.chunks_mut(numbers).zip(bytes.chunks(group)) {
        let all = bytes.iter().rev().fold(0_u64, |all, &byte| all << 8 | u64::from(byte));
        for (place, out) in out.iter_mut().enumerate() {
            *out = (all >> (place * usize::from(bits)) & mask) as u16;
        }
    }
}

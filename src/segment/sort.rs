//! Pixels in order of their values: a radix sort of the bits of non-negative floats.
//!
//! The bits of non-negative IEEE 754 numbers have the same order as the numbers. An entry has the complement of its value's bits
//! in the upper half and its pixel in the lower half. So ascending entries are descending values, and equal values ascend by pixel.
//! Three stable counting passes of eleven bits order the upper half; a pass over a digit that all entries share is skipped.

const DIGIT_BITS: u32 = 11;
const BUCKETS: usize = 1 << DIGIT_BITS;
const PASSES: usize = 3;

/// A pixel with its value; see the module's head for the order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PixelEntry(u64);

impl PixelEntry {
    /// `value` must not be negative (−0 included) or NaN.
    pub(crate) fn new(value: f32, pixel: u32) -> Self {
        Self::with_key(!value.to_bits(), pixel)
    }

    /// A pixel by its key; smaller keys come first.
    pub(crate) fn with_key(key: u32, pixel: u32) -> Self {
        Self(u64::from(key) << 32 | u64::from(pixel))
    }

    pub(crate) fn pixel(self) -> usize {
        (self.0 & u64::from(u32::MAX)) as usize
    }

    pub(crate) fn value(self) -> f32 {
        f32::from_bits(!self.key())
    }

    /// Equal exactly where values are equal.
    pub(crate) fn key(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// Sorts by descending value. Entries of one value keep their order. `spare` is scratch.
pub(crate) fn sort_descending(entries: &mut Vec<PixelEntry>, spare: &mut Vec<PixelEntry>) {
    let mut counts = [[0_u32; BUCKETS]; PASSES];
    for entry in entries.iter() {
        for (pass, counts) in counts.iter_mut().enumerate() {
            counts[digit(*entry, pass)] += 1;
        }
    }
    spare.clear();
    spare.resize(entries.len(), PixelEntry::default());
    for (pass, counts) in counts.iter_mut().enumerate() {
        let Some(first) = entries.first() else { return };
        if counts[digit(*first, pass)] as usize == entries.len() {
            continue;
        }
        let mut start = 0;
        for count in counts.iter_mut() {
            start += std::mem::replace(count, start);
        }
        for entry in entries.iter() {
            let position = &mut counts[digit(*entry, pass)];
            spare[*position as usize] = *entry;
            *position += 1;
        }
        std::mem::swap(entries, spare);
    }
}

fn digit(entry: PixelEntry, pass: usize) -> usize {
    (entry.key() >> (pass as u32 * DIGIT_BITS)) as usize & (BUCKETS - 1)
}

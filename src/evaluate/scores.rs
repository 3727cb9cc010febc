//! All scores of a test set in compact form, so that exact metrics need no bins.
//!
//! A metric over pixels visits the scores in descending order. For each *source* (the unmarked pixels of
//! an image, and each of its marked regions), this module stores the distinct scores in that order with their counts. It stores the
//! differences of the scores' bits, seven bits per byte. Neighbouring scores differ little, so a pixel takes about two bytes,
//! and 200 million pixels take half a gigabyte (`benches/evaluate.rs` measures this).
//!
//! [`Scores::descending`] merges the sources. For one range of scores at a time, it unpacks the entries of all sources and sorts them. This is
//! the second and last pass over the pixels.

use rayon::slice::ParallelSliceMut;

pub(super) use crate::segment::components::{key, score};

/// Bits of a score that select its bin: sign, exponent and 11 bits of the mantissa.
const BIN_BITS: u32 = 20;
/// Number of entries that are unpacked and sorted at a time, unless one bin has more.
const TOGETHER: u64 = 1 << 21;

/// The source of a run of scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// The image's number.
    pub(super) image: u32,
    /// The number of its kind.
    pub(super) kind: u32,
    /// Number of pixels of the marked region; `None` for the unmarked pixels.
    pub(super) region: Option<u32>,
}

/// One distinct score of one source.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScoreEntry {
    key: u32,
    pub(super) source: u32,
    /// Number of pixels with this score.
    pub(super) count: u32,
}

/// The scores of all sources.
#[derive(Debug)]
pub(super) struct Scores {
    sources: Vec<Source>,
    pixels: Vec<u64>,
    runs: Vec<Box<[u8]>>,
    /// Number of entries by the first bits of their key.
    bins: Vec<u32>,
}

impl Default for Scores {
    fn default() -> Self {
        Self { sources: Vec::new(), pixels: Vec::new(), runs: Vec::new(), bins: vec![0; 1 << BIN_BITS] }
    }
}

impl Scores {
    /// Adds and sorts a source's scores. They may be in any order; [`key`] computes the keys.
    pub(super) fn push(&mut self, source: Source, keys: &mut [u32]) {
        keys.sort_unstable();
        let mut bytes = Vec::with_capacity(2 * keys.len() + 8);
        let mut last = 0;
        for group in keys.chunk_by(|a, b| a == b) {
            let (key, count) = (group[0], group.len() as u64);
            pack(&mut bytes, u64::from(key - last) << 1 | u64::from(count > 1));
            if count > 1 {
                pack(&mut bytes, count);
            }
            last = key;
            self.bins[(key >> (32 - BIN_BITS)) as usize] += 1;
        }
        self.sources.push(source);
        self.pixels.push(keys.len() as u64);
        self.runs.push(bytes.into_boxed_slice());
    }

    /// Sets the number of pixels of each source.
    pub(super) fn totals(&self, mut visit: impl FnMut(Source, u64)) {
        for (source, &pixels) in self.sources.iter().zip(&self.pixels) {
            visit(*source, pixels);
        }
    }

    /// The sources, by their number.
    pub(super) fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Visits the scores from the highest to the lowest, each with the entries of the sources that have it.
    pub(super) fn descending(&self, mut visit: impl FnMut(f32, &[ScoreEntry])) {
        let mut readers: Vec<Reader<'_>> = self.runs.iter().map(|run| Reader::new(run)).collect();
        let mut entries: Vec<ScoreEntry> = Vec::new();
        let (mut waiting, last) = (0, self.bins.len() - 1);
        for (bin, &count) in self.bins.iter().enumerate() {
            waiting += u64::from(count);
            if waiting == 0 || (waiting < TOGETHER && bin < last) {
                continue;
            }
            entries.clear();
            for (source, reader) in readers.iter_mut().enumerate() {
                while let Some((key, count)) = reader.next.filter(|(key, _)| (key >> (32 - BIN_BITS)) as usize <= bin) {
                    entries.push(ScoreEntry { key, source: source as u32, count });
                    reader.advance();
                }
            }
            entries.par_sort_unstable_by_key(|entry| entry.key);
            for group in entries.chunk_by(|a, b| a.key == b.key) {
                visit(score(group[0].key), group);
            }
            waiting = 0;
        }
    }

    /// Bytes used by the scores.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.runs.iter().map(|run| run.len()).sum()
    }
}

/// Unpacks a run.
struct Reader<'a> {
    rest: &'a [u8],
    next: Option<(u32, u32)>,
}

impl<'a> Reader<'a> {
    fn new(run: &'a [u8]) -> Self {
        let mut reader = Self { rest: run, next: Some((0, 0)) };
        reader.advance();
        reader
    }

    fn advance(&mut self) {
        let Some((last, _)) = self.next else { return };
        if self.rest.is_empty() {
            self.next = None;
            return;
        }
        let step = unpack(&mut self.rest);
        let count = if step & 1 == 1 { unpack(&mut self.rest) } else { 1 };
        self.next = Some((last + (step >> 1) as u32, count as u32));
    }
}

/// Seven bits per byte, lowest first; the eighth bit is set if more bytes follow.
fn pack(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn unpack(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    while let Some((&byte, rest)) = bytes.split_first() {
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const UNMARKED: Source = Source { image: 0, kind: 0, region: None };

    #[test]
    fn keys_descend_as_scores_rise() {
        let scores = [f32::MIN, -1.5, -f32::MIN_POSITIVE, 0.0, f32::MIN_POSITIVE, 0.25, 0.25_f32.next_up(), f32::MAX];
        assert!(scores.is_sorted_by(|a, b| key(*a) > key(*b)));
        assert!(scores.iter().all(|&value| score(key(value)) == value));
        assert_eq!(key(-0.0), key(0.0));
    }

    /// Scores of any size and sign, many of them equal, come back in order with their counts and sources.
    #[test]
    fn every_score_comes_back_in_order() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let mut scores = Scores::default();
        let mut expected: Vec<(u32, u32)> = Vec::new();
        for source in 0..40 {
            let mut keys: Vec<u32> = (0..random.random_range(0..3_000))
                .map(|_| match random.random_range(0..3) {
                    0 => key(f32::from(random.random_range(0..50_u8)) / 50.0),
                    1 => key(random.random_range(-1.0..1.0)),
                    _ => key(f32::MAX * random.random_range(-1.0..1.0_f32)),
                })
                .collect();
            expected.extend(keys.iter().map(|&key| (key, source)));
            scores.push(Source { image: source, ..UNMARKED }, &mut keys);
        }
        expected.sort_unstable();
        let mut found = Vec::new();
        scores.descending(|value, entries| {
            for entry in entries {
                assert_eq!(score(entry.key), value);
                found.extend(std::iter::repeat_n((entry.key, entry.source), entry.count as usize));
            }
        });
        found.sort_unstable_by_key(|&(key, source)| (key, source));
        assert!(found == expected);
    }

    #[test]
    fn a_pixel_takes_about_two_bytes() {
        let mut random = ChaCha8Rng::seed_from_u64(6);
        let mut scores = Scores::default();
        let mut keys: Vec<u32> = (0..200_000).map(|_| key(random.random_range(0.0..1.0))).collect();
        scores.push(UNMARKED, &mut keys);
        assert!(scores.bytes() < 450_000, "{} bytes", scores.bytes());
        let mut keys = vec![key(0.5); 200_000];
        scores.push(UNMARKED, &mut keys);
        assert!(scores.bytes() < 450_010);
    }
}

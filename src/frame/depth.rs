//! How 16-bit and floating-point samples are read: significant bits, and the range of floating-point values.
//!
//! Cameras deliver 10, 12 or 14 bits in 16-bit samples. Black to white is then 0 to 2^bits − 1, not 0 to 65535. The number of bits
//! is given with a frame, or recorded in a package; nothing scales an image by its own content. [`BitDepthCheck`] tells where
//! the values of a run contradict the number of bits that is used.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Mutex};

use serde::{Deserialize, Serialize};

use super::Frame;
use crate::{Error, Result, sync::lock};

/// Bits of a 16-bit sample where nothing else is said.
pub const FULL_BITS: u8 = 16;

/// Refuses a number of significant bits outside 1 to 16.
///
/// # Errors
/// [`Error::Parameter`].
pub fn check_significant_bits(bits: u8) -> Result<u8> {
    if (1..=FULL_BITS).contains(&bits) {
        return Ok(bits);
    }
    Err(Error::parameter("significant bits", format!("{bits} is not within 1 to {FULL_BITS}")))
}

/// The value of white for a number of significant bits.
pub(crate) const fn white(bits: u8) -> u16 {
    if bits >= FULL_BITS { u16::MAX } else { (1 << bits) - 1 }
}

/// What to say about a sample that is larger than its significant bits allow.
pub(crate) fn over_white(found: u16, bits: u8) -> String {
    format!(
        "a 16-bit sample is {found}, but {bits} significant bits reach only {}; give the camera's number of bits (`--bits`, \
         `significant_bits`), or use a package that was fitted with it",
        white(bits)
    )
}

/// The values of floating-point samples that are black and white. Values outside are clipped.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "[f32; 2]", try_from = "[f32; 2]")]
pub struct FloatRange {
    low: f32,
    high: f32,
}

impl FloatRange {
    /// The range from black to white.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless both are finite and `low` is below `high`.
    pub fn new(low: f32, high: f32) -> Result<Self> {
        if low.is_finite() && high.is_finite() && low < high && (high - low).is_finite() {
            return Ok(Self { low, high });
        }
        Err(Error::parameter("range", format!("{low}:{high} must be two finite numbers, the lower one first")))
    }

    /// Position of a value between black (0) and white (1), clipped.
    pub fn position(&self, value: f32) -> f32 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

impl From<FloatRange> for [f32; 2] {
    fn from(range: FloatRange) -> Self {
        [range.low, range.high]
    }
}

impl TryFrom<[f32; 2]> for FloatRange {
    type Error = Error;

    fn try_from([low, high]: [f32; 2]) -> Result<Self> {
        Self::new(low, high)
    }
}

impl fmt::Display for FloatRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.low, self.high)
    }
}

impl FromStr for FloatRange {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |text: &str| text.trim().parse::<f32>().ok();
        match text.split_once(':').and_then(|(low, high)| number(low).zip(number(high))) {
            Some((low, high)) => Self::new(low, high),
            None => Err(Error::parameter("range", format!("`{text}` is not LO:HI, two numbers such as 0:1"))),
        }
    }
}

/// Compares the largest 16-bit sample of many images with the number of significant bits that is used for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BitDepthCheck {
    images: usize,
    peak: u16,
}

impl BitDepthCheck {
    /// Takes an image's largest 16-bit sample; `None` for an image without 16-bit samples.
    pub fn push(&mut self, peak: Option<u16>) {
        if let Some(peak) = peak {
            self.images += 1;
            self.peak = self.peak.max(peak);
        }
    }

    /// The likely number of significant bits, where the values use at most a quarter of the range that `bits` give.
    pub fn suggestion(&self, bits: u8) -> Option<u8> {
        let needed = (u16::BITS - self.peak.leading_zeros()) as u8;
        (self.peak > 0 && needed + 2 <= bits).then(|| needed.next_multiple_of(2).max(8))
    }

    /// What to say in that case: what was found, and the option.
    pub fn advice(&self, bits: u8) -> Option<String> {
        let suggestion = self.suggestion(bits)?;
        Some(format!(
            "the values of {} 16-bit image{} reach only {} of {}: they seem to hold {suggestion} significant bits. Give the camera's \
             number of bits with `--bits {suggestion}` (`significant_bits` of a frame), or `--bits {bits}` if {bits} is right",
            self.images,
            if self.images == 1 { "" } else { "s" },
            self.peak,
            white(bits)
        ))
    }
}

/// How many frames a [`DepthWatch`] looks at.
const WATCHED: usize = 16;

/// Looks at the first 16-bit frames of a model, and logs once if all of them use a small part of their range.
///
/// As soon as a frame uses more of it, or the line is logged, no further frame is looked at. Frames with other significant bits are
/// watched separately.
#[derive(Debug, Default)]
pub(crate) struct DepthWatch(Mutex<BTreeMap<u8, Watched>>);

#[derive(Debug)]
enum Watched {
    Looking(BitDepthCheck),
    Decided,
}

impl DepthWatch {
    /// Takes a frame. `bits` are the significant bits that it or its package says, `peak` finds its largest 16-bit sample. Gives what
    /// to log, once.
    pub(crate) fn take(&self, bits: Option<u8>, peak: impl FnOnce() -> Option<u16>) -> Option<String> {
        // All 16 bits were asked for, so there is no doubt.
        if bits == Some(FULL_BITS) {
            return None;
        }
        let bits = bits.unwrap_or(FULL_BITS);
        // Other frames pass while this one is looked at.
        if matches!(lock(&self.0).get(&bits), Some(Watched::Decided)) {
            return None;
        }
        // A black frame says nothing.
        let peak = peak().filter(|&peak| peak > 0)?;
        let mut watched = lock(&self.0);
        let state = watched.entry(bits).or_insert(Watched::Looking(BitDepthCheck::default()));
        let Watched::Looking(check) = state else { return None };
        check.push(Some(peak));
        let advice = check.advice(bits);
        if advice.is_none() || check.images >= WATCHED {
            *state = Watched::Decided;
            return advice;
        }
        None
    }
}

/// The largest 16-bit sample of a frame; `None` for frames of 8-bit samples.
pub(crate) fn peak(frame: &Frame<'_>) -> Option<u16> {
    if frame.format() != super::PixelFormat::Gray16 {
        return None;
    }
    let largest = |row: &[u8]| {
        row.chunks_exact(2).fold(0, |peak: u16, sample| peak.max(u16::from_ne_bytes([sample[0], sample[1]])))
    };
    frame.rows().map(largest).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bits: Option<u8>, peaks: &[u16]) -> Vec<String> {
        let watch = DepthWatch::default();
        peaks.iter().filter_map(|&peak| watch.take(bits, || Some(peak))).collect()
    }

    #[test]
    fn a_watch_tells_once_that_frames_use_a_small_part_of_their_range() {
        assert_eq!(told(None, &[1023; WATCHED - 1]), Vec::<String>::new());
        let said = told(None, &[1023; 10 * WATCHED]);
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with("the values of 16 16-bit images reach only 1023 of 65535"), "{}", said[0]);
        assert_eq!(told(Some(12), &[900; 20]).len(), 1);
    }

    #[test]
    fn a_frame_that_uses_its_range_ends_the_watch() {
        let mut peaks = vec![1023; 5 * WATCHED];
        peaks[3] = 40_000;
        assert_eq!(told(None, &peaks), Vec::<String>::new());
        assert_eq!(told(Some(16), &[1023; 20]), Vec::<String>::new());
        assert_eq!(told(None, &[0; 50]), Vec::<String>::new());
        let mut dark_first = vec![0; WATCHED - 1];
        dark_first.extend([900, 40_000]);
        assert_eq!(told(None, &dark_first), Vec::<String>::new());
        let watch = DepthWatch::default();
        watch.take(None, || Some(50_000));
        watch.take(None, || panic!("no further frame is looked at"));
    }
}

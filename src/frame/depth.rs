//! How 16-bit and floating-point samples are read: significant bits, and the range of floating-point values.
//!
//! Cameras deliver 10, 12 or 14 bits in 16-bit samples. Black to white is then 0 to 2^bits − 1, not 0 to 65535. The number of bits
//! is given with a frame, or recorded in a package; nothing scales an image by its own content. [`BitDepthCheck`] tells where
//! the values of a run contradict the number of bits that is used.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::Frame;
use crate::{Error, Result};

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
             number of bits with `--bits {suggestion}` (`significant_bits` in the library), or `--bits {bits}` if {bits} is right",
            self.images,
            if self.images == 1 { "" } else { "s" },
            self.peak,
            white(bits)
        ))
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

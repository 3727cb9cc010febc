//! The bets of `defects` and `majority`, on whether a frame is extreme.
//!
//! `defects` assumes that the line's frames are exchangeable, so that their rate of extreme frames is constant, and nothing about the rate.
//! With k extreme frames among t frames, this one included,
//!
//! ```text
//! p = U·k/t for an extreme frame,   p = (k + U·(t − k))/t for another,   U uniform in [0, 1)
//! ```
//!
//! is uniform and independent of the p before it (Vovk, Nouretdinov and Gammerman, "Testing exchangeability on-line", 2003). A bet is
//! a density of p that is high up to a rate h.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Rates h up to which a bet of `defects` is high.
const RATES: [f64; 9] = [0.001, 0.002, 0.004, 0.008, 0.016, 0.03, 0.06, 0.12, 0.25];
/// How high it is there, where a density allows it.
const HEIGHTS: [f64; 3] = [1.5, 2.0, 4.0];
/// Assumed shares of extreme frames of the bets of `majority`. Each has at most the mean 1 where the share is ½ or less.
pub(super) const MAJORITIES: [f64; 2] = [0.7, 0.9];

/// Frames and extreme frames so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Extremes {
    frames: f64,
    extreme: f64,
}

impl Extremes {
    /// The share of extreme frames among those learned; `None` without any.
    pub(super) fn rate(self) -> Option<f64> {
        (self.frames > 0.0).then(|| self.extreme / self.frames)
    }

    /// The same with one more frame.
    pub(super) fn with(self, is_extreme: bool) -> Self {
        Self { frames: self.frames + 1.0, extreme: self.extreme + f64::from(u8::from(is_extreme)) }
    }

    /// The place of the last of these frames among all of them, in [0, 1).
    pub(super) fn place_of_last(self, is_extreme: bool, random: &mut ChaCha8Rng) -> f64 {
        let uniform: f64 = random.random();
        let place =
            if is_extreme { uniform * self.extreme } else { self.extreme + uniform * (self.frames - self.extreme) };
        place / self.frames
    }
}

/// h and height of each bet of `defects`.
pub(super) fn defect_bets() -> Vec<(f64, f64)> {
    let all = RATES.iter().flat_map(|&rate| HEIGHTS.map(|height| (rate, height)));
    all.filter(|(rate, height)| rate * height < 0.8).collect()
}

/// A bet of `defects` at a place.
pub(super) fn on_defects((rate, height): (f64, f64), place: f64) -> f64 {
    if place < rate { height } else { (1.0 - rate * height) / (1.0 - rate) }
}

/// A bet of `majority`.
pub(super) fn on_majority(share: f64, is_extreme: bool) -> f64 {
    2.0 * if is_extreme { share } else { 1.0 - share }
}

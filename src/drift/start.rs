//! The bets of the test `start`: whether the line has differed from the good images from its first frame on.
//!
//! The other tests compare with what they have learned of the line, so they forget a difference that was there from the start. This test
//! keeps the good images and the line's frames apart. The null is Pólya's urn on both together; an alternative is an urn of its own that
//! begins with b frames, distributed as the good images are with more weight on low or on high u:
//!
//! ```text
//! bet = (b·q_j + k_j)/(b + k) / ((a_j + k_j)/(a + k)),   q_j ∝ a_j·exp(−t·u_j)
//! ```
//!
//! with a_j gaps of the good images and k_j frames of the line in group j. It is a test by betting of one hypothesis (Shafer, 2021), which begins
//! with the first frame and not anew with each.

use super::reference::Reference;

/// Groups of bins.
const GROUPS: usize = 8;
/// b of the alternatives.
const SIZES: [f64; 2] = [20.0, 200.0];
/// t of the alternatives.
const TILTS: [f64; 4] = [5.0, 2.0, -2.0, -5.0];

/// The frames of a line beside the good images.
#[derive(Clone, Debug)]
pub(super) struct Start {
    bins: usize,
    good: Vec<f64>,
    line: Vec<f64>,
    alternatives: Vec<(f64, Vec<f64>)>,
}

impl Start {
    /// Before the first frame.
    pub(super) fn new(reference: &Reference) -> Self {
        let bins = reference.counts().len();
        let mut good = vec![0.0; GROUPS.min(bins)];
        let groups = good.len();
        for (bin, count) in reference.counts().iter().enumerate() {
            good[bin * groups / bins] += count;
        }
        let all: f64 = good.iter().sum();
        let middle = |group: usize| (good[..group].iter().sum::<f64>() + good[group] / 2.0) / all;
        let tilted = |tilt: f64| {
            let weights: Vec<f64> =
                good.iter().enumerate().map(|(group, a)| a * (-tilt * middle(group)).exp()).collect();
            let sum: f64 = weights.iter().sum();
            weights.into_iter().map(|weight| weight / sum).collect::<Vec<_>>()
        };
        let alternatives = SIZES.iter().flat_map(|&size| TILTS.map(|tilt| (size, tilted(tilt)))).collect();
        Self { bins, line: vec![0.0; groups], good, alternatives }
    }

    /// Number of bets.
    pub(super) fn bets(&self) -> usize {
        self.alternatives.len()
    }

    /// Takes a frame in this bin; gives its bets.
    pub(super) fn push(&mut self, bin: usize) -> impl Iterator<Item = f64> + use<'_> {
        let group = bin * self.good.len() / self.bins;
        let (count, frames): (f64, f64) = (self.line[group], self.line.iter().sum());
        let null = (self.good[group] + count) / (self.good.iter().sum::<f64>() + frames);
        self.line[group] += 1.0;
        let bet = move |(size, expected): &(f64, Vec<f64>)| (size * expected[group] + count) / (size + frames) / null;
        self.alternatives.iter().map(bet)
    }

    /// Whether the line's frames are more unusual than the good images on average.
    pub(super) fn is_low(&self) -> bool {
        let mean = |counts: &[f64]| {
            let weighted: f64 = counts.iter().enumerate().map(|(group, count)| group as f64 * count).sum();
            weighted / counts.iter().sum::<f64>()
        };
        mean(&self.line) < mean(&self.good)
    }
}

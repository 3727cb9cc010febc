//! Whether a model that was trained on keeps its reject rate, on the old good images and on the new ones.
//!
//! The threshold stands on all images that were held out, so the rate holds for both groups together. One group can be rejected more often all the
//! same, if the images of the other are more usual. The images that set a threshold cannot test it: each group is tested against a threshold
//! that the other one sets, its k-th most unusual image, k = ⌊rate · (n + 1)⌋ of n, at least 1. If old and new images are alike to the model, any
//! order of them is as probable as any other, and the number of the m images of a group that lie beyond is negative hypergeometric:
//!
//! ```text
//! P(X = x) = C(x + k − 1, x) · C(m − x + n − k, m − x) / C(m + n, m)
//! ```

use serde::Serialize;
use statrs::function::factorial::ln_binomial;

use super::Fitted;
use crate::{Result, segment::DecisionOptions};

/// A group is rejected too often where so many images beyond the other's threshold are less probable than this.
const LEAST_PROBABILITY: f64 = 0.01;

/// Rejections of good images that were held out.
#[derive(Clone, Debug, Serialize)]
pub struct RejectGate {
    /// The share of good images that may be rejected.
    pub rate: f64,
    /// Images that the earlier model had held out.
    pub old: GroupGate,
    /// Images that are new to the earlier model.
    pub new: GroupGate,
}

/// Rejections of one group.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GroupGate {
    /// Images.
    pub images: usize,
    /// Those that the package's threshold rejects.
    pub rejected: usize,
    /// Those that are more unusual than the `rank`-th most unusual image of the other group.
    pub beyond: usize,
    /// The rank, from 1.
    pub rank: usize,
    /// The probability of so many images beyond, or more, if both groups are alike; 1 where the other group has no image.
    pub p_value: f64,
}

impl GroupGate {
    /// The lowest log₁₀NFA of each image of a group, and of the other; +∞ without evidence.
    fn new(rate: f64, group: &[f32], other: &[f32], rejected: usize) -> Self {
        let rank = ((rate * (other.len() + 1) as f64) as usize).max(1);
        let mut sorted = other.to_vec();
        sorted.sort_unstable_by(f32::total_cmp);
        let beyond = sorted.get(rank - 1).map_or(0, |limit| group.iter().filter(|value| *value < limit).count());
        let [images, others] = [group.len(), other.len()].map(|count| count as u64);
        let probability = |x: u64| {
            let k = rank as u64;
            let ways = ln_binomial(x + k - 1, x) + ln_binomial(images - x + others - k, images - x);
            (ways - ln_binomial(images + others, images)).exp()
        };
        let p_value = match sorted.len() < rank {
            true => 1.0,
            false => (1.0 - (0..beyond as u64).map(probability).sum::<f64>()).clamp(0.0, 1.0),
        };
        Self { images: group.len(), rejected, beyond, rank, p_value }
    }

    /// Whether the rate holds, as far as so many images tell.
    pub fn holds(&self) -> bool {
        self.p_value >= LEAST_PROBABILITY
    }
}

impl RejectGate {
    /// Whether the rate holds for both groups.
    pub fn holds(&self) -> bool {
        self.old.holds() && self.new.holds()
    }
}

impl Fitted {
    /// Whether the reject rate holds on the old good images and on the new ones; `None` for a model that does not decide by a reject rate.
    ///
    /// # Errors
    /// A manifest that cannot decide.
    pub fn reject_gate(&self) -> Result<Option<RejectGate>> {
        let rule = self.manifest.rule(&DecisionOptions::default())?;
        let Some(reject) = rule.reject else { return Ok(None) };
        let lowest = |new: bool| -> Vec<f32> {
            let of_group = self.judged.iter().filter(|image| image.new == new);
            of_group.map(|image| image.log10_nfa.unwrap_or(f32::INFINITY)).collect()
        };
        let [old, new] = [lowest(false), lowest(true)];
        let group = |group: &[f32], other: &[f32]| {
            let rejected = group.iter().filter(|nfa| **nfa < reject.log10_nfa).count();
            GroupGate::new(reject.rate, group, other, rejected)
        };
        Ok(Some(RejectGate { rate: reject.rate, old: group(&old, &new), new: group(&new, &old) }))
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn a_group_that_is_rejected_too_often_does_not_pass() {
        // All 4 of one group before the first of 4 others: one order of C(8, 4) = 70.
        let [low, high] = [[-4.0, -5.0, -6.0, -7.0], [-1.0, -0.5, 0.0, f32::INFINITY]];
        let group = GroupGate::new(0.01, &low, &high, 4);
        assert_eq!((group.beyond, group.rank), (4, 1));
        assert!((group.p_value - 1.0 / 70.0).abs() < 1e-12, "{group:?}");
        assert_eq!(GroupGate::new(0.01, &high, &low, 0).p_value, 1.0);
        // Defects among the new images: the package's threshold rejects none of 140, and the gate says so all the same.
        let old: Vec<f32> = (0..100).map(|image| -0.02 * image as f32).collect();
        let defects: Vec<f32> = (0..40).map(|image| -10.0 - image as f32).collect();
        let gate = RejectGate {
            rate: 0.01,
            old: GroupGate::new(0.01, &old, &defects, 0),
            new: GroupGate::new(0.01, &defects, &old, 0),
        };
        assert!(gate.old.holds() && !gate.new.holds() && !gate.holds(), "{gate:?}");
        assert_eq!(GroupGate::new(0.01, &low, &[], 4).p_value, 1.0, "nothing to compare with");
    }

    /// Groups that are alike fail in at most 1% of all cases, whatever their sizes.
    #[test]
    fn groups_that_are_alike_pass() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        const TRIALS: usize = 4000;
        for (rate, images, others) in [(0.01, 40, 20), (0.01, 20, 40), (0.05, 300, 100), (0.02, 8, 200)] {
            let mut failed = 0;
            for _ in 0..TRIALS {
                let mut draw = |count: usize| (0..count).map(|_| random.random::<f32>()).collect::<Vec<_>>();
                let (group, other) = (draw(images), draw(others));
                failed += usize::from(!GroupGate::new(rate, &group, &other, 0).holds());
            }
            // 40 are 1%; 61 or more would show a larger share (99.9% confidence).
            assert!(failed <= 60, "{failed} of {TRIALS} at {rate}, {images} and {others} images");
        }
    }
}

//! Whether a model that was trained on keeps its reject rate, on the old good images and on the new ones.
//!
//! The threshold stands on all images that were held out. If the old and the new ones differ, one group can be rejected more often than the rate allows
//! while both together are not. Each group is tested by the binomial distribution: so many rejected images, or more, of so many.

use serde::Serialize;
use statrs::distribution::{Binomial, DiscreteCDF};

use super::Fitted;
use crate::{Result, segment::DecisionOptions};

/// A group is rejected too often where so many rejections are less probable than this.
const LEAST_PROBABILITY: f64 = 0.05;

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
    /// Those that are rejected.
    pub rejected: usize,
    /// The probability of so many rejections, or more, at the rate.
    pub p_value: f64,
}

impl GroupGate {
    fn new(rate: f64, images: usize, rejected: usize) -> Self {
        let below = rejected
            .checked_sub(1)
            .map_or(0.0, |fewer| Binomial::new(rate, images as u64).map_or(0.0, |binomial| binomial.cdf(fewer as u64)));
        Self { images, rejected, p_value: 1.0 - below }
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
        let group = |new: bool| {
            let of_group = || self.judged.iter().filter(|image| image.new == new);
            let rejected = of_group().filter(|image| image.log10_nfa.is_some_and(|nfa| nfa < reject.log10_nfa));
            GroupGate::new(reject.rate, of_group().count(), rejected.count())
        };
        Ok(Some(RejectGate { rate: reject.rate, old: group(false), new: group(true) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_is_rejected_too_often_does_not_pass() {
        // P(X ≥ 2) of 20 at 1% is 1 − 0.99²⁰ − 20·0.01·0.99¹⁹ = 0.0169.
        let group = GroupGate::new(0.01, 20, 2);
        assert!((group.p_value - 0.016_859).abs() < 1e-5 && !group.holds(), "{group:?}");
        assert!(GroupGate::new(0.01, 20, 1).holds(), "one of 20 can happen");
        assert_eq!(GroupGate::new(0.01, 20, 0).p_value, 1.0);
        let gate = RejectGate { rate: 0.01, old: GroupGate::new(0.01, 100, 1), new: group };
        assert!(!gate.holds());
    }
}

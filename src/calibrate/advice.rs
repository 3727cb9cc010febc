//! What the good images themselves say about each way to decide: how many of them it would flag.
//!
//! A threshold is set on n good images so that k of them are flagged. For further images that are exchangeable with these, the
//! expected part that is flagged is at most (k + 1)/(n + 1) (conformal prediction: Vovk, Gammerman and Shafer, 2005): the rank
//! of a new image among n + 1 is uniform. The smallest part that n images can promise is 1/(n + 1).

use std::fmt;

use serde::Serialize;

use crate::segment::percent;

/// The part of good images that a proposed threshold may flag.
pub const TARGET: f64 = 0.01;

/// What an image is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Threshold {
    /// Flagged where the lowest log₁₀NFA is below the logarithm of this ε.
    Epsilon(f64),
    /// Flagged where the image score is above this.
    Score(f32),
    /// Flagged where the lowest log₁₀NFA is below `log10_nfa`, the threshold at the rejection rate.
    RejectRate {
        /// The share of good images that may be rejected.
        rate: f64,
        /// The threshold; `None` where any evidence is enough.
        log10_nfa: Option<f32>,
    },
}

impl Threshold {
    fn flags(self, image: &Judged) -> bool {
        match self {
            Self::Epsilon(epsilon) => f64::from(image.log10_nfa_min) < epsilon.log10(),
            Self::Score(threshold) => image.score > threshold,
            Self::RejectRate { log10_nfa, .. } => image.lowest.is_some_and(|x| log10_nfa.is_none_or(|below| x < below)),
        }
    }
}

/// The options of `uflow` that decide so.
impl fmt::Display for Threshold {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Epsilon(epsilon) if (1e-3..1e4).contains(epsilon) => write!(out, "--verdict nfa --epsilon {epsilon}"),
            Self::Epsilon(epsilon) => write!(out, "--verdict nfa --epsilon {epsilon:e}"),
            Self::Score(threshold) => write!(out, "--verdict score --score-threshold {threshold}"),
            Self::RejectRate { rate, .. } => write!(out, "--verdict reject --reject-rate {}", percent(*rate)),
        }
    }
}

/// The numbers that a verdict depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    pub(super) score: f32,
    pub(super) log10_nfa_min: f32,
    /// The same; `None` without any evidence.
    pub(super) lowest: Option<f32>,
    /// The verdict of the decision that is measured.
    pub(super) anomalous: bool,
}

/// A way to decide, and how many of the good images it flags. Regions of every size count.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Alternative {
    /// The way to decide.
    pub threshold: Threshold,
    /// Whether the package has this threshold; otherwise it was set on these images.
    pub of_package: bool,
    /// Good images that it flags.
    pub flagged: usize,
    /// Part of further good images that it is expected to flag at most; `None` for a threshold of the package, which was not set on these
    /// images.
    pub expected: Option<f64>,
}

/// The package's own thresholds, then those set on the images: the loosest that flag at most [`TARGET`] of further good images, or, where
/// so few images cannot promise that, none of these.
pub(super) fn alternatives(images: &[Judged], package: &[Threshold]) -> Vec<Alternative> {
    let count = |threshold: Threshold| images.iter().filter(|image| threshold.flags(image)).count();
    let own = package.iter().map(|&threshold| Alternative {
        threshold,
        of_package: true,
        flagged: count(threshold),
        expected: None,
    });
    let allowed = (TARGET * (images.len() + 1) as f64).floor() as usize;
    let allowed = allowed.saturating_sub(1);
    let proposed = [epsilon(images, allowed), score(images, allowed)].into_iter().flatten().map(|threshold| {
        let flagged = count(threshold);
        let expected = Some((flagged + 1) as f64 / (images.len() + 1) as f64);
        Alternative { threshold, of_package: false, flagged, expected }
    });
    own.chain(proposed).collect()
}

/// The largest ε of two digits that flags at most so many images; `None` where no number is that small.
fn epsilon(images: &[Judged], allowed: usize) -> Option<Threshold> {
    let mut lowest: Vec<f32> = images.iter().map(|image| image.log10_nfa_min).collect();
    lowest.sort_unstable_by(f32::total_cmp);
    let log10 = f64::from(*lowest.get(allowed)?);
    let exponent = log10.floor();
    let digits = (10_f64.powf(log10 - exponent) * 10.0).floor() / 10.0;
    let epsilon: f64 = format!("{digits}e{exponent}").parse().ok()?;
    (epsilon.is_normal() && epsilon > 0.0).then_some(Threshold::Epsilon(epsilon))
}

/// The smallest score of four decimals that at most so many images exceed.
fn score(images: &[Judged], allowed: usize) -> Option<Threshold> {
    let mut highest: Vec<f32> = images.iter().map(|image| image.score).collect();
    highest.sort_unstable_by(|a, b| b.total_cmp(a));
    let score = f64::from(*highest.get(allowed)?);
    let threshold = ((score * 1e4).ceil() / 1e4) as f32;
    // Rounding to f32 may end below the score.
    let threshold = if f64::from(threshold) < score { threshold.next_up() } else { threshold };
    (0.0..=1.0).contains(&threshold).then_some(Threshold::Score(threshold))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(count: usize) -> Vec<Judged> {
        let judged =
            |score, log10_nfa_min| Judged { score, log10_nfa_min, lowest: Some(log10_nfa_min), anomalous: true };
        (0..count).map(|i| judged(0.5 + 0.001 * i as f32, -0.37 * i as f32)).collect()
    }

    #[test]
    fn a_hundred_images_promise_one_in_a_hundred_and_fewer_say_what_they_can() {
        for (count, flagged) in [(20, 0), (98, 0), (99, 0), (199, 1), (300, 2)] {
            let found = alternatives(&images(count), &[Threshold::Epsilon(1.0), Threshold::Score(0.5)]);
            assert_eq!(found.len(), 4);
            // ε = 1: all but the first image, whose log₁₀NFA is 0; the score 0.5: all but the first.
            assert_eq!((found[0].flagged, found[1].flagged), (count - 1, count - 1));
            for proposed in &found[2..] {
                assert_eq!((proposed.flagged, proposed.of_package), (flagged, false), "{count}: {proposed:?}");
                assert_eq!(proposed.expected, Some((flagged + 1) as f64 / (count + 1) as f64));
            }
        }
    }

    #[test]
    fn thresholds_are_printed_as_options_that_parse_to_themselves() {
        let found = alternatives(&images(99), &[]);
        for alternative in found {
            let text = alternative.threshold.to_string();
            let number = text.rsplit(' ').next().unwrap();
            match alternative.threshold {
                Threshold::Epsilon(epsilon) => assert_eq!(number.parse::<f64>().unwrap(), epsilon, "{text}"),
                Threshold::Score(score) => assert_eq!(number.parse::<f32>().unwrap(), score, "{text}"),
                Threshold::RejectRate { .. } => panic!("{text} is the package's, and none was given"),
            }
        }
    }

    #[test]
    fn an_epsilon_too_small_for_a_number_is_not_proposed() {
        let far = [Judged { score: 0.9, log10_nfa_min: -2.7e8, lowest: Some(-2.7e8), anomalous: true }; 20];
        let found = alternatives(&far, &[]);
        assert_eq!(found.len(), 1);
        assert!(matches!(found[0].threshold, Threshold::Score(_)) && found[0].flagged == 0);
    }
}

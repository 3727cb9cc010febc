//! False alarms compared with ε, with confidence bounds.
//!
//! ε is the number of false alarms expected in an image without a defect. The measurement counts the regions found in good images.
//! The bounds of the rate are those of a Poisson rate (Garwood, 1936); the bounds of the share of images with a region are
//! Clopper and Pearson's (1934). Both are exact for any number of images. If regions of one image come in clusters, the
//! bounds of the rate are too narrow: the share of images is then the safer figure.

use std::fmt;

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};
use statrs::distribution::{Beta, ContinuousCDF, Gamma};

use super::components::ComponentCounts;

/// The values of ε at which false alarms are counted.
pub const EPSILONS: [f64; 8] = [10.0, 1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6];

/// Confidence level of the bounds.
pub const CONFIDENCE: f64 = 0.95;

/// False alarms on good images at one ε.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FalseAlarms {
    /// ε: the number of false alarms expected per image.
    pub epsilon: f64,
    /// Number of good images.
    pub images: u64,
    /// Regions found in these images: 8-connected components of log₁₀NFA < log₁₀ε at the network's input size.
    pub regions: u64,
    /// Number of good images with at least one region.
    pub flagged: u64,
    /// Regions per image.
    pub rate: f64,
    /// Bounds of the rate at the confidence level [`CONFIDENCE`].
    pub rate_bounds: [f64; 2],
    /// Share of the images that have at least one region.
    pub flagged_rate: f64,
    /// Bounds of that share at the confidence level [`CONFIDENCE`].
    pub flagged_bounds: [f64; 2],
}

impl FalseAlarms {
    /// Computes the rates from counts; `images` must not be 0.
    pub fn new(epsilon: f64, images: u64, regions: u64, flagged: u64) -> Self {
        let per_image = |count: f64| count / images as f64;
        let [low, high] = poisson_bounds(regions);
        Self {
            epsilon,
            images,
            regions,
            flagged,
            rate: per_image(regions as f64),
            rate_bounds: [per_image(low), per_image(high)],
            flagged_rate: per_image(flagged as f64),
            flagged_bounds: binomial_bounds(flagged, images),
        }
    }
}

/// One line per ε, in columns: `ε = 0.1: 0.260 (0.170 to 0.381); in 0.260 of the images (0.177 to 0.357)`.
impl fmt::Display for FalseAlarms {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [low, high] = self.rate_bounds;
        let [flagged_low, flagged_high] = self.flagged_bounds;
        write!(
            out,
            "ε = {:<8} {:.3} ({low:.3} to {high:.3}); in {:.3} of the images ({flagged_low:.3} to {flagged_high:.3})",
            self.epsilon, self.rate, self.flagged_rate
        )
    }
}

/// Counts the regions of good images at each of [`EPSILONS`].
#[derive(Debug, Default)]
pub struct AlarmCounter {
    images: u64,
    /// Number of regions, and of images with at least one.
    counts: [(u64, u64); EPSILONS.len()],
}

impl AlarmCounter {
    /// Adds the log₁₀NFA map of a good image.
    pub fn push(&mut self, log10_nfa: ArrayView2<'_, f32>) {
        let negated = log10_nfa.mapv(|value| -value);
        let limits = EPSILONS.map(|epsilon| -epsilon.log10() as f32);
        let components = ComponentCounts::of(negated.view(), limits[0]);
        for ((regions, flagged), limit) in self.counts.iter_mut().zip(limits) {
            let found = components.above(limit);
            *regions += u64::from(found);
            *flagged += u64::from(found > 0);
        }
        self.images += 1;
    }

    /// The false alarms at each ε; empty if no image was added.
    pub fn finish(&self) -> Vec<FalseAlarms> {
        let counts = EPSILONS.into_iter().zip(self.counts);
        let curve =
            counts.map(|(epsilon, (regions, flagged))| FalseAlarms::new(epsilon, self.images, regions, flagged));
        if self.images == 0 { Vec::new() } else { curve.collect() }
    }
}

/// Bounds of the mean of a Poisson distribution after one count of `count`.
fn poisson_bounds(count: u64) -> [f64; 2] {
    let tail = (1.0 - CONFIDENCE) / 2.0;
    let quantile = |shape: f64, p: f64| Gamma::new(shape, 1.0).map_or(f64::NAN, |gamma| gamma.inverse_cdf(p));
    let low = if count == 0 { 0.0 } else { quantile(count as f64, tail) };
    [low, quantile(count as f64 + 1.0, 1.0 - tail)]
}

/// Bounds of a probability after `hits` successes in `trials`.
fn binomial_bounds(hits: u64, trials: u64) -> [f64; 2] {
    let tail = (1.0 - CONFIDENCE) / 2.0;
    let quantile = |a: u64, b: u64, p: f64| Beta::new(a as f64, b as f64).map_or(f64::NAN, |beta| beta.inverse_cdf(p));
    let low = if hits == 0 { 0.0 } else { quantile(hits, trials - hits + 1, tail) };
    let high = if hits == trials { 1.0 } else { quantile(hits + 1, trials - hits, 1.0 - tail) };
    [low, high]
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;

    use super::*;

    /// Values from `scipy.stats`: `gamma.ppf` and `binomtest(k, n).proportion_ci(method="exact")`.
    #[test]
    fn bounds_equal_scipys() {
        for (count, low, high) in [
            (0, 0.0, 3.688_879_454_113_936),
            (1, 0.025_317_807_984_289_9, 5.571_643_390_938_898),
            (20, 12.216_519_585, 30.888_377_903),
        ] {
            let found = poisson_bounds(count);
            assert_abs_diff_eq!(found[0], low, epsilon = 1e-6);
            assert_abs_diff_eq!(found[1], high, epsilon = 1e-6);
        }
        for (hits, trials, low, high) in
            [(0, 100, 0.0, 0.036_216_693), (3, 100, 0.006_229_97, 0.085_176_05), (50, 50, 0.928_878_264, 1.0)]
        {
            let found = binomial_bounds(hits, trials);
            assert_abs_diff_eq!(found[0], low, epsilon = 1e-6);
            assert_abs_diff_eq!(found[1], high, epsilon = 1e-6);
        }
    }

    #[test]
    fn rates_are_per_image() {
        let found = FalseAlarms::new(0.1, 50, 10, 4);
        assert_eq!((found.rate, found.flagged_rate), (0.2, 0.08));
        assert!(found.rate_bounds[0] < 0.2 && found.rate_bounds[1] > 0.2);
        assert!(found.flagged_bounds[0] < 0.08 && found.flagged_bounds[1] > 0.08);
    }
}

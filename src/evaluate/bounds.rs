//! Confidence bounds of rates of false alarms.
//!
//! Regions of one image come together: a scratch raises three alarms, or none. Three kinds of bound, all for images that are
//! independent of each other:
//!
//! | bound | of | holds |
//! |---|---|---|
//! | Clopper and Pearson (1934) | the part of the images with an alarm | exactly, however alarms cluster |
//! | [`rate_bounds`]: Garwood's Poisson bounds (1936) of the number of clusters, a cluster being as large as the variance of the counts over their mean | alarms per image | approximately, for many images |
//! | [`mean_at_least`] | alarms per image, from below, for all ε of [`EPSILONS`] at once | exactly, however alarms cluster |
//!
//! [`mean_at_least`] decides whether ε is kept. It is the larger of two lower bounds, both valid for every distribution of
//! counts on 0, 1, 2, …:
//!
//! - **By images.** An image with an alarm has at least one, so the mean is at least the part of the images with one: Clopper and
//!   Pearson's lower bound.
//! - **By betting** (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 2024). If the
//!   mean is at most m, each factor 1 + λ·(x/m − 1) with 0 ≤ λ ≤ 1 is non-negative and has expectation at most 1; so has the product
//!   over independent images, and the average of such products over several λ. By Markov's inequality that average reaches 1/α
//!   with probability at most α. The bound is the lowest m that is not refuted so.
//!
//! Eight ε are looked at, in two ways each: every look has a sixteenth of 1 − [`CONFIDENCE`] (Bonferroni), so that all sixteen bounds
//! hold together.

use statrs::distribution::{Beta, ContinuousCDF, Gamma};

use super::EPSILONS;

/// Part of all experiments in which the bounds hold.
pub const CONFIDENCE: f64 = 0.95;

/// Stakes λ = 2⁰, 2⁻¹, …, one for each power: the best stake is about the part of the images with an alarm.
const STAKES: i32 = 14;

/// Bounds of the mean of counts per image at [`CONFIDENCE`].
pub(super) fn rate_bounds(counts: &[u32]) -> [f64; 2] {
    let images = counts.len() as f64;
    let total: f64 = counts.iter().map(|&count| f64::from(count)).sum();
    let mean = total / images;
    let squares: f64 = counts.iter().map(|&count| (f64::from(count) - mean).powi(2)).sum();
    // 1 for a Poisson count, the mean size of a cluster or more where alarms come in clusters.
    let cluster = if total > 0.0 && images > 1.0 { (squares / (images - 1.0) / mean).max(1.0) } else { 1.0 };
    poisson_bounds(total / cluster).map(|bound| bound * cluster / images)
}

/// The mean of counts per image is at least this, at [`CONFIDENCE`] for all ε together.
pub(super) fn mean_at_least(counts: &[u32]) -> f64 {
    let level = (1.0 - CONFIDENCE) / (2 * EPSILONS.len()) as f64;
    let hits = counts.iter().filter(|&&count| count > 0).count() as u64;
    if hits == 0 {
        return 0.0;
    }
    let by_images = binomial_low(hits, counts.len() as u64, level);
    by_images.max(mean_by_betting(counts, -level.ln()))
}

/// The lowest mean that betting does not refute with an evidence of `ln_needed`.
fn mean_by_betting(counts: &[u32], ln_needed: f64) -> f64 {
    let mut histogram: Vec<(f64, f64)> = Vec::new();
    let mut sorted = counts.to_vec();
    sorted.sort_unstable();
    for same in sorted.chunk_by(|a, b| a == b) {
        histogram.push((f64::from(same[0]), same.len() as f64));
    }
    let mean = counts.iter().map(|&count| f64::from(count)).sum::<f64>() / counts.len() as f64;
    // The evidence against a mean falls as the mean grows, and is zero at the measured mean.
    let (mut refuted, mut possible) = ((mean * 1e-12).ln(), mean.ln());
    if ln_evidence(&histogram, refuted.exp()) < ln_needed {
        return 0.0;
    }
    for _ in 0..40 {
        let middle = 0.5 * (refuted + possible);
        if ln_evidence(&histogram, middle.exp()) >= ln_needed { refuted = middle } else { possible = middle }
    }
    refuted.exp()
}

/// ln of the evidence against a mean of at most `mean`, of (count, images with that count).
fn ln_evidence(histogram: &[(f64, f64)], mean: f64) -> f64 {
    let of_stake = |power: i32| -> f64 {
        let stake = 0.5_f64.powi(power);
        histogram.iter().map(|(count, images)| images * (1.0 + stake * (count / mean - 1.0)).ln()).sum()
    };
    let all: Vec<f64> = (0..STAKES).map(of_stake).collect();
    let most = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    most + (all.iter().map(|ln| (ln - most).exp()).sum::<f64>() / f64::from(STAKES)).ln()
}

/// Bounds of the mean of a Poisson count of which `count` was seen; a number of clusters need not be whole.
fn poisson_bounds(count: f64) -> [f64; 2] {
    let tail = (1.0 - CONFIDENCE) / 2.0;
    let quantile = |shape: f64, p: f64| Gamma::new(shape, 1.0).map_or(f64::NAN, |gamma| gamma.inverse_cdf(p));
    let low = if count <= 0.0 { 0.0 } else { quantile(count, tail) };
    [low, quantile(count + 1.0, 1.0 - tail)]
}

/// Bounds of a probability after `hits` of `trials`.
pub(crate) fn binomial_bounds(hits: u64, trials: u64) -> [f64; 2] {
    let tail = (1.0 - CONFIDENCE) / 2.0;
    [binomial_low(hits, trials, tail), 1.0 - binomial_low(trials - hits, trials, tail)]
}

/// The lower bound that a probability falls below in at most this part of all experiments.
fn binomial_low(hits: u64, trials: u64, tail: f64) -> f64 {
    if hits == 0 {
        return 0.0;
    }
    Beta::new(hits as f64, (trials - hits + 1) as f64).map_or(f64::NAN, |beta| beta.inverse_cdf(tail))
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;

    use super::*;

    /// Against `scipy.stats`: `gamma.ppf` and `binomtest(k, n).proportion_ci(method="exact")`.
    #[test]
    fn bounds_equal_scipys() {
        for (count, low, high) in [
            (0.0, 0.0, 3.688_879_454_113_936),
            (1.0, 0.025_317_807_984_289_9, 5.571_643_390_938_898),
            (20.0, 12.216_519_585, 30.888_377_903),
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
    fn bounds_of_a_rate_are_as_wide_as_its_clusters() {
        let apart: Vec<u32> = (0..100).map(|image| u32::from(image % 5 == 0)).collect();
        let together: Vec<u32> = (0..100).map(|image| if image % 20 == 0 { 4 } else { 0 }).collect();
        let [low, high] = rate_bounds(&apart);
        assert_abs_diff_eq!(low, 0.122_165, epsilon = 1e-5);
        assert_abs_diff_eq!(high, 0.308_884, epsilon = 1e-5);
        let [wide_low, wide_high] = rate_bounds(&together);
        assert!(wide_low < low - 0.03 && wide_high > high + 0.1, "{wide_low} {wide_high}");
        assert_eq!(rate_bounds(&[0; 50])[0], 0.0);
        assert_abs_diff_eq!(rate_bounds(&[0; 50])[1], 3.688_879 / 50.0, epsilon = 1e-6);
    }

    #[test]
    fn the_evidence_has_expectation_one_and_the_bound_is_where_it_ends() {
        // All counts of two images with values 0 and 3, the mean of 0.6 kept.
        let (p, mean) = (0.2, 0.6);
        let outcomes = [([0, 0], 0.64), ([0, 3], 0.32), ([3, 3], 0.04)];
        let evidence = |counts: [u32; 2]| {
            let histogram = counts.map(|count| (f64::from(count), 1.0));
            ln_evidence(&histogram, mean).exp()
        };
        assert_abs_diff_eq!(p * 3.0, mean);
        let expected: f64 = outcomes.iter().map(|&(counts, chance)| chance * evidence(counts)).sum();
        // (1 + λ·(x/m − 1)) has expectation 1 for each of two independent images and each stake.
        assert_abs_diff_eq!(expected, 1.0, epsilon = 1e-9);

        let counts: Vec<u32> = (0..60).map(|image| image % 4).collect();
        let bound = mean_by_betting(&counts, 20_f64.ln());
        let histogram: Vec<(f64, f64)> = (0..4).map(|count| (f64::from(count), 15.0)).collect();
        assert!(bound > 0.9 && bound < 1.5, "{bound}");
        assert!(
            ln_evidence(&histogram, bound * 0.999) >= 20_f64.ln()
                && ln_evidence(&histogram, bound * 1.001) < 20_f64.ln()
        );
    }

    #[test]
    fn one_region_in_every_image_is_surely_more_than_a_tenth() {
        assert!(mean_at_least(&[1; 50]) > 0.8);
        assert!(mean_at_least(&[10; 20]) > 5.0);
        assert_eq!(mean_at_least(&[0; 20]), 0.0);
    }
}

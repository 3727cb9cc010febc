//! Tests and bounds for two models on the same images.
//!
//! | question | test | bounds of the difference |
//! |---|---|---|
//! | does one reject more of the images? | McNemar's, exact: of the images that only one rejects, each is A's or B's with probability ½ | Bonett and Price (2012), adjusted Wald for paired proportions |
//! | does one separate good from defective better? | DeLong, DeLong and Clarke-Pearson (1988) of two correlated AUROCs | the same |
//! | does one outline better? | sign flips of the differences, image by image | percentiles of the bootstrap |
//!
//! DeLong's variances come from midranks (Sun and Xu 2014), in O(n log n).

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, Normal};

use crate::quantile::quantile;

/// Part of all comparisons in which the bounds hold.
pub const CONFIDENCE: f64 = 0.95;
/// Draws of the bootstrap, and of sign flips.
const DRAWS: usize = 10_000;
/// Two sums of the same numbers in another order may differ by this.
const ROUNDING: f64 = 1e-12;

/// A difference, B minus A.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The difference.
    pub value: f64,
    /// Lower and upper bound at [`CONFIDENCE`].
    pub bounds: [f64; 2],
    /// The probability of a difference at least as large where the models are equal (two-sided).
    pub p_value: f64,
}

/// Of `images`, those that only A rejects and those that only B rejects.
pub fn proportions(images: usize, only_a: usize, only_b: usize) -> Difference {
    let n = images as f64;
    let (a, b) = (only_a as f64, only_b as f64);
    let (a_adjusted, b_adjusted) = ((a + 1.0) / (n + 2.0), (b + 1.0) / (n + 2.0));
    let middle = b_adjusted - a_adjusted;
    let half = z() * ((a_adjusted + b_adjusted - middle * middle) / (n + 2.0)).sqrt();
    Difference {
        value: if images == 0 { 0.0 } else { (b - a) / n },
        bounds: [(middle - half).max(-1.0), (middle + half).min(1.0)],
        p_value: mcnemar(only_a, only_b),
    }
}

/// The p-value of McNemar's exact test.
fn mcnemar(only_a: usize, only_b: usize) -> f64 {
    let differ = (only_a + only_b) as u64;
    let tail = Binomial::new(0.5, differ).map_or(1.0, |binomial| binomial.cdf(only_a.min(only_b) as u64));
    (2.0 * tail).min(1.0)
}

/// Two areas under the ROC curve, over the same images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Aurocs {
    /// A's.
    pub a: f64,
    /// B's.
    pub b: f64,
    /// Their difference.
    pub difference: Difference,
}

/// A variance up to this is one of rounding.
const NO_VARIANCE: f64 = 1e-20;

/// Compares the AUROCs of two scores of the same images, as (A's, B's). `None` without a good or without a defective image. Where all
/// differences of a kind of images are equal (also those of a single image), their variance is not zero but unknown; it is taken as if one
/// more image showed no difference.
pub fn aurocs(good: &[[f32; 2]], defective: &[[f32; 2]]) -> Option<Aurocs> {
    let (negatives, positives) = (good.len() as f64, defective.len() as f64);
    if good.is_empty() || defective.is_empty() {
        return None;
    }
    // For each model: of each defective image the part of good ones below it, and of each good one the part of defective ones above it.
    let parts = [0, 1].map(|model| {
        let of = |images: &[[f32; 2]]| images.iter().map(|scores| scores[model]).collect::<Vec<_>>();
        let (good, defective) = (of(good), of(defective));
        let all = midranks(&[defective.as_slice(), &good].concat());
        let (own_defective, own_good) = (midranks(&defective), midranks(&good));
        let above: Vec<f64> = all.iter().zip(&own_defective).map(|(all, own)| (all - own) / negatives).collect();
        let below = all[defective.len()..].iter().zip(&own_good).map(|(all, own)| 1.0 - (all - own) / positives);
        [above, below.collect()]
    });
    let auroc = |model: usize| parts[model][0].iter().sum::<f64>() / positives;
    let (a, b) = (auroc(0), auroc(1));
    let value = b - a;
    let variance: f64 = [positives, negatives]
        .into_iter()
        .enumerate()
        .map(|(side, count)| {
            let differences = parts[1][side].iter().zip(&parts[0][side]).map(|(b, a)| b - a);
            let found = variance(&differences.collect::<Vec<_>>());
            let found = if found > NO_VARIANCE { found } else { value * value / (count + 1.0) };
            found / count
        })
        .sum();
    let deviation = variance.sqrt();
    let p_value = match deviation > 0.0 {
        true => Normal::standard().cdf(-(value / deviation).abs()) * 2.0,
        // Every image has the same rank with both models.
        false => 1.0,
    };
    let half = z() * deviation;
    let bounds = [(value - half).max(-1.0), (value + half).min(1.0)];
    Some(Aurocs { a, b, difference: Difference { value, bounds, p_value } })
}

/// The rank of each value, from 1; equal values share the mean of their ranks.
fn midranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for same in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = before as f64 + (same.len() + 1) as f64 / 2.0;
        same.iter().for_each(|&index| ranks[index] = rank);
        before += same.len();
    }
    ranks
}

/// The unbiased variance; 0 for fewer than two values.
fn variance(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    if n > 1.0 { squares / (n - 1.0) } else { 0.0 }
}

/// The mean of differences, image by image. `None` without any.
pub fn means(differences: &[f64]) -> Option<Difference> {
    let n = differences.len();
    let value = differences.iter().sum::<f64>() / n as f64;
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut resampled: Vec<f64> = (0..if n == 0 { 0 } else { DRAWS })
        .map(|_| (0..n).map(|_| differences[random.random_range(0..n)]).sum::<f64>() / n as f64)
        .collect();
    resampled.sort_by(f64::total_cmp);
    let tail = (1.0 - CONFIDENCE) / 2.0;
    let bounds = [quantile(&resampled, tail)?, quantile(&resampled, 1.0 - tail)?];
    let as_far = (0..DRAWS).filter(|_| {
        let flipped = differences.iter().map(|&each| if random.random_bool(0.5) { each } else { -each });
        flipped.sum::<f64>().abs() / n as f64 >= value.abs() - ROUNDING
    });
    let p_value = (as_far.count() + 1) as f64 / (DRAWS + 1) as f64;
    Some(Difference { value, bounds, p_value })
}

/// The normal quantile of [`CONFIDENCE`].
fn z() -> f64 {
    Normal::standard().inverse_cdf(0.5 + CONFIDENCE / 2.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn mcnemar_is_the_sign_test_of_the_images_that_differ() {
        // 2·(C(10,0) + C(10,1)) / 2¹⁰.
        assert!((mcnemar(1, 9) - 22.0 / 1024.0).abs() < 1e-12);
        assert_eq!((mcnemar(0, 0), mcnemar(4, 4)), (1.0, 1.0));
        assert!((mcnemar(0, 6) - 2.0 / 64.0).abs() < 1e-12);
    }

    #[test]
    fn bounds_of_a_share_hold_as_often_as_they_promise() {
        // 60 images; A alone rejects 5%, B alone 12%.
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let held = (0..2000).filter(|_| {
            let draws: Vec<f64> = (0..60).map(|_| random.random()).collect();
            let only_a = draws.iter().filter(|&&draw| draw < 0.05).count();
            let only_b = draws.iter().filter(|&&draw| (0.05..0.17).contains(&draw)).count();
            let [low, high] = proportions(60, only_a, only_b).bounds;
            (low..=high).contains(&0.07)
        });
        let held = held.count();
        assert!((1870..=1980).contains(&held), "{held} of 2000");
    }

    /// The difference and its variance by their definition, over all pairs, and whether both kinds of images have a variance.
    fn by_pairs(good: &[[f32; 2]], defective: &[[f32; 2]]) -> (f64, f64, bool) {
        let psi = |model: usize, bad: &[f32; 2], good: &[f32; 2]| match bad[model].total_cmp(&good[model]) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        };
        let difference = |bad, good| psi(1, bad, good) - psi(0, bad, good);
        let (m, n) = (defective.len() as f64, good.len() as f64);
        let rows: Vec<f64> =
            defective.iter().map(|bad| good.iter().map(|good| difference(bad, good)).sum::<f64>() / n).collect();
        let columns: Vec<f64> =
            good.iter().map(|good| defective.iter().map(|bad| difference(bad, good)).sum::<f64>() / m).collect();
        let variances = [variance(&rows), variance(&columns)];
        (
            rows.iter().sum::<f64>() / m,
            variances[0] / m + variances[1] / n,
            variances.iter().all(|&variance| variance > NO_VARIANCE),
        )
    }

    proptest! {
        #[test]
        fn delong_equals_its_definition(
            good in prop::collection::vec([0_u8..6, 0..6], 2..20),
            defective in prop::collection::vec([2_u8..9, 1..9], 2..20),
        ) {
            let floats = |images: &[[u8; 2]]| images.iter().map(|pair| pair.map(f32::from)).collect::<Vec<_>>();
            let (good, defective) = (floats(&good), floats(&defective));
            let found = aurocs(&good, &defective).unwrap();
            let (value, variance, is_known) = by_pairs(&good, &defective);
            prop_assume!(is_known);
            prop_assert!((found.difference.value - value).abs() < 1e-12);
            let p_value = 2.0 * Normal::standard().cdf(-value.abs() / variance.sqrt());
            prop_assert!((found.difference.p_value - p_value).abs() < 1e-9);
        }
    }

    #[test]
    fn few_images_that_all_differ_alike_prove_little() {
        let found = |count: usize| {
            let of = |a: f32, b: f32| (0..count).map(|image| [a + 0.01 * image as f32, b]).collect::<Vec<_>>();
            aurocs(&of(0.1, 0.5), &of(0.8, 0.5)).unwrap()
        };
        let two = found(2).difference;
        assert!((two.value + 0.5).abs() < 1e-12 && (0.05..0.2).contains(&two.p_value), "{two:?}");
        assert!(two.bounds[0] < -0.5 && two.bounds[1] > 0.0, "{two:?}");
        assert!(found(20).difference.p_value < 1e-6);
        let one = found(1).difference;
        assert!(one.p_value > two.p_value, "{one:?}");
    }

    #[test]
    fn equal_models_do_not_differ() {
        let images = [[0.1_f32, 0.1], [0.5, 0.5], [0.3, 0.3]];
        let found = aurocs(&images[..2], &images[1..]).unwrap();
        assert_eq!((found.a, found.difference.value, found.difference.p_value), (found.b, 0.0, 1.0));
        let none = means(&[0.0; 5]).unwrap();
        assert_eq!((none.value, none.bounds, none.p_value), (0.0, [0.0, 0.0], 1.0));
        assert!(means(&[]).is_none() && aurocs(&[], &images).is_none());
    }

    #[test]
    fn a_shift_of_every_image_is_seen_and_noise_is_not() {
        let shifted: Vec<f64> = (0..20).map(|i| 0.1 + 0.01 * f64::from(i % 5)).collect();
        let found = means(&shifted).unwrap();
        assert!(found.p_value < 0.001 && found.bounds[0] > 0.1 && found.bounds[1] < 0.14, "{found:?}");
        let noise: Vec<f64> = (0..20).map(|i| if i % 2 == 0 { 0.1 } else { -0.1 }).collect();
        assert!(means(&noise).unwrap().p_value > 0.5);
    }
}

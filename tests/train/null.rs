//! Tests counted by size: the bound holds where the null holds, and a null that is calibrated on good images makes it hold
//! where the paper's does not.

use ndarray::{Array2, Array3, s};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use uflow::{
    evaluate::AlarmCounter,
    latents::{EnergyView, ScaleShape, energy},
    segment::{Bound, CalibratedNull, Segmenter, TestCount},
};

pub(crate) const SHAPES: [ScaleShape; 2] =
    [ScaleShape { channels: 24, height: 16, width: 16 }, ScaleShape { channels: 40, height: 8, width: 8 }];

/// Standard normal numbers (Box and Muller).
fn normal(random: &mut ChaCha8Rng) -> f32 {
    let (u, v): (f64, f64) = (random.random_range(f64::MIN_POSITIVE..1.0), random.random_range(0.0..1.0));
    ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
}

/// Latents of variance 1: sums over a (2·radius + 1)² window, which correlate over twice that length; of every image, `spread` of a
/// common factor, so that tails are heavier than χ²'s.
pub(crate) fn image(random: &mut ChaCha8Rng, radius: usize, spread: f32) -> Vec<Array2<f32>> {
    let factor = (spread * normal(random)).exp();
    let of = |shape: &ScaleShape| {
        let (height, width) = (shape.height + 2 * radius, shape.width + 2 * radius);
        let mut white = Array3::<f32>::zeros((shape.channels, height, width));
        white.iter_mut().for_each(|value| *value = normal(random));
        let side = 2 * radius + 1;
        let mut z = Array3::<f32>::zeros((shape.channels, shape.height, shape.width));
        for ((channel, y, x), value) in z.indexed_iter_mut() {
            *value = factor * white.slice(s![channel, y..y + side, x..x + side]).sum() / side as f32;
        }
        energy(z.view())
    };
    SHAPES.iter().map(of).collect()
}

pub(crate) fn flat(image: &[Array2<f32>]) -> Vec<Vec<f32>> {
    image.iter().map(|map| map.iter().copied().collect()).collect()
}

pub(crate) fn views(image: &[Array2<f32>]) -> Vec<EnergyView<'_>> {
    image.iter().zip(SHAPES).map(|(map, shape)| EnergyView { energy: map.view(), channels: shape.channels }).collect()
}

/// Regions per image at ε = 10, 1, 0.1 and 0.01.
fn alarms(segmenter: &mut Segmenter, images: impl Iterator<Item = Vec<Array2<f32>>>) -> [f64; 4] {
    let mut counter = AlarmCounter::default();
    for image in images {
        let maps = segmenter.run(&views(&image), Bound::Exact).unwrap();
        counter.push(maps.log10_nfa);
    }
    let found = counter.finish();
    [10.0, 1.0, 0.1, 0.01].map(|epsilon| found.iter().find(|at| at.epsilon == epsilon).unwrap().rate)
}

pub(crate) fn sized(null: Option<&CalibratedNull>) -> Segmenter {
    let mut segmenter = Segmenter::new(&SHAPES, 64, 64).unwrap();
    segmenter.set_null(null).unwrap();
    segmenter.set_tests(TestCount::PerSize);
    segmenter
}

#[test]
fn on_white_noise_the_bound_holds_without_a_calibration() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let found = alarms(&mut sized(None), (0..600).map(|_| image(&mut random, 0, 0.0)));
    for (epsilon, rate) in [10.0, 1.0, 0.1, 0.01].into_iter().zip(found) {
        // The bound, and four deviations of a Poisson count of 600 images.
        assert!(rate <= epsilon + 4.0 * (epsilon / 600.0_f64).sqrt(), "{rate} false alarms at ε = {epsilon}");
    }
    assert!(found[0] > 0.0, "a bound that is never reached at ε = 10 shows nothing");
}

#[test]
fn a_theoretical_null_breaks_on_correlated_heavy_noise_and_a_calibrated_one_does_not() {
    for (radius, spread, seed) in [(0, 0.0, 2), (1, 0.0, 3), (1, 0.1, 4), (2, 0.1, 5)] {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let good: Vec<_> = (0..100).map(|_| flat(&image(&mut random, radius, spread))).collect();
        let null = CalibratedNull::estimate(&SHAPES, None, &good).unwrap();
        let found = alarms(&mut sized(Some(&null)), (0..600).map(|_| image(&mut random, radius, spread)));
        // Careful by a standard error, it may stay below ε; it must not be far above, nor say nothing.
        for (epsilon, rate, least) in [(1.0, found[1], 3.0), (0.1, found[2], 6.0)] {
            let range = epsilon / least..=epsilon * 3.0;
            assert!(range.contains(&rate), "radius {radius}, spread {spread}: {rate} at {epsilon}");
        }
        if radius > 0 {
            let theory = alarms(&mut sized(None), (0..100).map(|_| image(&mut random, radius, spread)));
            assert!(theory[2] > 0.3, "radius {radius}, spread {spread}: the theoretical null holds: {theory:?}");
            let known = null.scales[0].correlated_pixels;
            assert!(known > 2.0, "radius {radius}: κ = {known}");
        }
    }
}

#[test]
fn thirty_images_are_enough_for_a_null_that_holds_to_a_factor_of_three() {
    let mut worst = [f64::INFINITY, 0.0_f64];
    for seed in 0..6 {
        let mut random = ChaCha8Rng::seed_from_u64(100 + seed);
        let good: Vec<_> = (0..30).map(|_| flat(&image(&mut random, 1, 0.1))).collect();
        let null = CalibratedNull::estimate(&SHAPES, None, &good).unwrap();
        assert_eq!(null.images, 30);
        assert!(null.warning().is_none());
        let found = alarms(&mut sized(Some(&null)), (0..200).map(|_| image(&mut random, 1, 0.1)));
        worst = [worst[0].min(found[1]), worst[1].max(found[1])];
    }
    assert!(worst[0] >= 1.0 / 3.0 && worst[1] <= 3.0, "ε = 1 gave {worst:?} in six trials");
}

#[test]
fn a_small_defect_is_found_by_size_and_not_by_the_papers_count() {
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let good: Vec<_> = (0..60).map(|_| flat(&image(&mut random, 1, 0.05))).collect();
    let null = CalibratedNull::estimate(&SHAPES, None, &good).unwrap();
    let mut defective = image(&mut random, 1, 0.05);
    defective[0][[5, 9]] = 24.0 * 6.0;
    let mut segmenter = sized(Some(&null));
    let by_size = segmenter.run(&views(&defective), Bound::Chernoff).unwrap();
    assert!(by_size.log10_nfa_min < -2.0, "{}", by_size.log10_nfa_min);
    assert!(by_size.log10_nfa[[22, 38]] < 0.0 && by_size.log10_nfa[[50, 10]] > 0.0);
    // A pixel's scale is that of the region drawn there.
    let mut both = defective.clone();
    both[1][[2, 4]] = 40.0 * 3.2;
    let found = segmenter.run(&views(&both), Bound::Chernoff).unwrap();
    let scales = [(20, 36), (16, 32)].map(|(row, column)| found.scale_at(row, column));
    assert_eq!(scales, [0, 1]);
    segmenter.set_tests(TestCount::Paper);
    assert!(segmenter.run(&views(&defective), Bound::Chernoff).unwrap().log10_nfa_min > 0.0);
}

#[test]
fn a_null_of_another_shape_or_from_too_few_images_is_refused() {
    let mut random = ChaCha8Rng::seed_from_u64(6);
    let good: Vec<_> = (0..5).map(|_| flat(&image(&mut random, 0, 0.0))).collect();
    assert!(CalibratedNull::estimate(&SHAPES, None, &good[..2]).unwrap_err().to_string().contains("too few"));
    assert!(CalibratedNull::estimate(&SHAPES[..1], None, &[vec![vec![1.0; 9]; 1], vec![], vec![]]).is_err());
    let null = CalibratedNull::estimate(&SHAPES, None, &good).unwrap();
    assert!(null.warning().unwrap().contains("5 good images"));
    let mut other = Segmenter::new(&SHAPES[..1], 64, 64).unwrap();
    let message = other.set_null(Some(&null)).unwrap_err().to_string();
    assert!(message.contains("2 for a model of 1"), "{message}");
    let mut broken = null.clone();
    broken.scales[1].rates.clear();
    assert!(sized(None).set_null(Some(&broken)).is_err());
}

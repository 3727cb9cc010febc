//! Number of tests against big numbers; tails against their relation to each other.

use num_bigint::BigUint;
use uflow::latents::ScaleShape;
use uflow::segment::{Blocks, Bound, ChiSquared, Segmenter, log10_number_of_tests, log10_number_of_tests_in};

/// Bits after the binary point.
const FRACTION: u32 = 256;

/// Σ_s n_s Σ_k α·β^k / k in fixed point, every term rounded down at 2⁻²⁵⁶ of itself or finer.
fn number_of_tests(pixels: &[usize]) -> BigUint {
    let mut total = BigUint::ZERO;
    for &n in pixels {
        let mut power = (BigUint::from(316_915_u32) << FRACTION) / 1_000_000_u32;
        let mut shapes = BigUint::ZERO;
        for k in 1..=n {
            power = power * 406_257_u32 / 100_000_u32;
            shapes += &power / k;
        }
        total += shapes * n;
    }
    total
}

fn log10(value: &BigUint) -> f64 {
    let shift = value.bits().saturating_sub(64);
    let top = (value >> shift).to_u64_digits()[0] as f64;
    (top.ln() + (shift as f64 - f64::from(FRACTION)) * std::f64::consts::LN_2) / std::f64::consts::LN_10
}

#[test]
fn number_of_tests_matches_big_numbers() {
    let cases: [&[usize]; 9] =
        [&[1], &[2], &[3, 1], &[10], &[37, 11, 4], &[784, 196], &[4096, 1024, 256], &[12544, 3136, 784], &[196, 784]];
    for pixels in cases {
        let expected = log10(&number_of_tests(pixels));
        let found = log10_number_of_tests_in(pixels.iter().copied());
        assert!((found - expected).abs() <= 1e-12 * expected.abs().max(1.0), "{pixels:?}: {found}, not {expected}");
    }
}

#[test]
fn number_of_tests_of_the_published_maps() {
    let shape = |side| ScaleShape { channels: 8, height: side, width: side };
    let of = |sides: &[usize]| log10_number_of_tests(&sides.iter().map(|&side| shape(side)).collect::<Vec<_>>());
    assert_eq!(of(&[28, 14]).round(), 477.0);
    assert_eq!(of(&[64, 32, 16]).round(), 2493.0);
    assert_eq!(of(&[112, 56, 28]).round(), 7636.0);
    assert!(of(&[1024]).is_finite());
    assert_eq!(log10_number_of_tests_in([784, 0]), log10_number_of_tests_in([784]));
    assert_eq!(log10_number_of_tests_in([0]), f64::NEG_INFINITY);
}

#[test]
fn chernoff_is_the_formula_above_the_mean_and_0_below() {
    for degrees in [1, 2, 80, 816] {
        let chi_squared = ChiSquared::new(degrees);
        let c = degrees as f64;
        for a in [1.5, 2.0, 10.0, 1e6_f64] {
            let expected = -(c / 2.0) * (a - 1.0 - a.ln()) / std::f64::consts::LN_10;
            let found = chi_squared.log10_chernoff(a * c);
            assert!((found - expected).abs() <= 1e-12 * expected.abs(), "C = {c}, a = {a}");
        }
        for a in [0.0, 0.5, 1.0] {
            assert_eq!(chi_squared.log10_chernoff(a * c), 0.0, "C = {c}, a = {a}");
        }
        assert!(chi_squared.log10_chernoff(c * (1.0 + 1e-7)) < 0.0, "no cancellation just above a = 1");
    }
}

#[test]
fn tails_fall_and_the_exact_one_is_below_the_bound() {
    for degrees in [1, 2, 3, 16, 31, 32, 33, 84, 816, 5000] {
        let chi_squared = ChiSquared::new(degrees);
        let mut previous = 0.0;
        for step in 0..4000 {
            let u = degrees as f64 * 1e-3 * 1.004_f64.powi(step);
            let exact = chi_squared.log10_tail(u, Bound::Exact);
            assert!(exact.is_finite() && exact <= previous + 1e-13, "C = {degrees}, u = {u}: {exact} after {previous}");
            assert!(exact <= chi_squared.log10_tail(u, Bound::Chernoff), "C = {degrees}, u = {u}");
            previous = exact;
        }
    }
    assert_eq!(ChiSquared::new(5).log10_survival(0.0), 0.0);
}

#[test]
fn scales_are_given_finest_first() {
    let shape = |side| ScaleShape { channels: 3, height: side, width: side };
    assert!(Segmenter::new(&[shape(8), shape(8), shape(4)], 16, 16).is_ok());
    let error = Segmenter::new(&[shape(4), shape(8)], 16, 16).unwrap_err().to_string();
    assert!(error.contains("scale 1 is 8×8 (height × width) and scale 0 before it only 4×4"), "{error}");
    assert!(error.contains("the most rows and columns as scale 0"), "{error}");
}

#[test]
fn the_number_of_tests_is_that_of_the_last_segmentation() {
    let shape = ScaleShape { channels: 3, height: 8, width: 8 };
    let latents = ndarray::Array3::from_elem((3, 8, 8), 0.5_f32);
    let mut segmenter = Segmenter::new(&[shape], 16, 16).unwrap();
    let trees = segmenter.run_latents(&[latents.view()], Bound::Chernoff).unwrap().log10_number_of_tests;
    let blocks = Blocks::new(&[shape], (16, 16));
    let by_blocks = segmenter.run_blocks(&[latents.view()], &blocks).unwrap().log10_number_of_tests;
    assert_eq!(by_blocks, f64::from(blocks.log10_number_of_tests()));
    assert_ne!(by_blocks, trees);
    assert_eq!(segmenter.last().unwrap().log10_number_of_tests, by_blocks);
}

//! Component tree, prune and merge against the oracle, and the tie rules on maps small enough to follow by hand.

use ndarray::{Array2, array};
use proptest::prelude::*;
use uflow::segment::{Bound, ChiSquared, log10_number_of_tests};

use crate::{expected_log10_nfa, log10_nfa, numbers, shape_of};

fn assert_as_oracle(map: &Array2<f32>, channels: usize, bound: Bound) {
    let everywhere = vec![true; map.len()];
    let tests = log10_number_of_tests(&[shape_of(map, channels)]);
    let expected = expected_log10_nfa(map, channels, bound, &everywhere, tests);
    assert_eq!(log10_nfa(map, channels, bound), expected, "{bound}, {channels} channels, energies\n{map}");
}

fn bounds() -> impl Strategy<Value = Bound> {
    prop_oneof![Just(Bound::Chernoff), Just(Bound::Exact)]
}

/// Maps of up to 9×9, or a single row or column, with values around C: continuous, of a few levels, or all equal.
fn maps() -> impl Strategy<Value = (Array2<f32>, usize)> {
    let sizes = prop_oneof![(1..10_usize, 1..10_usize), (1..2_usize, 1..40_usize), (1..40_usize, 1..2_usize)];
    (sizes, 1..60_usize, 1..8_u32).prop_flat_map(|((height, width), channels, levels)| {
        let ratio = prop_oneof![
            0.0..4.0_f32,
            (0..=levels).prop_map(move |level| 0.5 + 3.0 * level as f32 / levels as f32),
            Just(1.7_f32),
        ];
        let values = prop_oneof![
            prop::collection::vec(0.0..4.0_f32, height * width),
            prop::collection::vec((0..=levels).prop_map(move |l| 0.5 + 3.0 * l as f32 / levels as f32), height * width),
            prop::collection::vec(ratio, height * width),
            (0.0..4.0_f32).prop_map(move |value| vec![value; height * width]),
        ];
        values.prop_map(move |ratios| {
            let energies = ratios.into_iter().map(|ratio| ratio * channels as f32).collect();
            (Array2::from_shape_vec((height, width), energies).unwrap(), channels)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn small_maps_match_the_oracle((map, channels) in maps(), bound in bounds()) {
        assert_as_oracle(&map, channels, bound);
    }
}

/// Noise smoothed `times` times over 3×3 neighbourhoods, standardised to 0..1.
fn smooth_noise(height: usize, width: usize, times: usize, seed: u64) -> Array2<f32> {
    let mut next = numbers(seed);
    let mut map = Array2::from_shape_simple_fn((height, width), || next() as f32);
    for _ in 0..times {
        map = Array2::from_shape_fn((height, width), |(y, x)| {
            let (rows, columns) = (y.saturating_sub(1)..(y + 2).min(height), x.saturating_sub(1)..(x + 2).min(width));
            let around = map.slice(ndarray::s![rows, columns]);
            around.sum() / around.len() as f32
        });
    }
    let (low, high) = map.iter().fold((f32::MAX, f32::MIN), |(low, high), &v| (low.min(v), high.max(v)));
    map.mapv(|value| (value - low) / (high - low))
}

#[test]
fn large_maps_match_the_oracle() {
    for (seed, (height, width, times)) in [(40, 40, 0), (37, 53, 1), (48, 48, 3), (3, 500, 2)].into_iter().enumerate() {
        let map = smooth_noise(height, width, times, seed as u64);
        assert_as_oracle(&map.mapv(|value| 30.0 * 3.0 * value), 30, Bound::Chernoff);
        assert_as_oracle(&map.mapv(|value| 30.0 * 3.0 * value), 30, Bound::Exact);
        assert_as_oracle(&map.mapv(|value| 6.0 * (value * 12.0).round() / 4.0), 6, Bound::Chernoff);
    }
    let levels = smooth_noise(130, 111, 4, 9).mapv(|value| 8.0 * (value * 20.0).round() / 8.0);
    assert_as_oracle(&levels, 8, Bound::Chernoff);
}

/// From 16,384 pixels on, memory is asked for ahead of time.
#[test]
fn maps_larger_than_the_cache_match_the_oracle() {
    for (seed, (height, width, times)) in [(180, 190, 0), (190, 180, 6)].into_iter().enumerate() {
        let map = smooth_noise(height, width, times, seed as u64).mapv(|value| 8.0 * (value * 24.0).round() / 8.0);
        assert!(map.iter().filter(|&&value| value > 8.0).count() > 1 << 14, "too few take part");
        assert_as_oracle(&map, 8, Bound::Chernoff);
        assert_as_oracle(&map, 8, Bound::Exact);
    }
}

/// log₁₀PFA of the pixels of a map, 0 where none.
fn log10_pfa(map: &Array2<f32>, channels: usize) -> Array2<f64> {
    let tests = log10_number_of_tests(&[shape_of(map, channels)]);
    log10_nfa(map, channels, Bound::Chernoff).mapv(|value| {
        let pfa = f64::from(value) - tests;
        if pfa.abs() < 1e-4 { 0.0 } else { pfa }
    })
}

#[test]
fn a_branch_keeps_its_most_significant_node() {
    // Around one peak: growing from 1 pixel at a = 3 to 5 at a = 2.9 pays, to 15 at a = 1.1 does not.
    let map =
        array![[11.0_f32, 11.0, 29.0, 11.0, 11.0], [11.0, 29.0, 30.0, 29.0, 11.0], [11.0, 11.0, 29.0, 11.0, 11.0],];
    let expected = 5.0 * ChiSquared::new(10).log10_chernoff(29.0);
    let found = log10_pfa(&map, 10);
    for (&u, &found) in map.iter().zip(&found) {
        let expected = if u >= 29.0 { expected } else { 0.0 };
        assert!((found - expected).abs() < 1e-4, "{u}: {found}, not {expected}");
    }
}

#[test]
fn forks_merge_where_the_parent_is_at_least_as_significant() {
    let chi_squared = ChiSquared::new(10);
    // Two peaks over a saddle nearly as high: the whole is more significant than either.
    let joined = log10_pfa(&array![[30.0_f32, 29.0, 30.0]], 10);
    let whole = 3.0 * chi_squared.log10_chernoff(29.0);
    assert!(joined.iter().all(|pfa| (pfa - whole).abs() < 1e-4), "{joined}");
    // A low saddle: the peaks stay apart, and the saddle belongs to no region.
    let apart = log10_pfa(&array![[30.0_f32, 11.0, 30.0]], 10);
    let peak = chi_squared.log10_chernoff(30.0);
    assert!((apart[[0, 0]] - peak).abs() < 1e-4 && (apart[[0, 2]] - peak).abs() < 1e-4, "{apart}");
    assert_eq!(apart[[0, 1]], 0.0);
}

#[test]
fn a_fork_that_cannot_merge_blocks_the_merges_below_the_root() {
    // The peaks left of the deep saddle merge; the fork with the strong peak on the right does not.
    let map = array![[30.0_f32, 29.0, 30.0, 10.5, 900.0]];
    let found = log10_pfa(&map, 10);
    let left = 3.0 * ChiSquared::new(10).log10_chernoff(29.0);
    assert!((0..3).all(|x| (found[[0, x]] - left).abs() < 1e-4), "{found}");
    assert_eq!(found[[0, 3]], 0.0);
    assert!(found[[0, 4]] < 10.0 * left);
}

#[test]
fn equal_neighbours_are_one_node() {
    // A plateau of four equal pixels has one value and counts as four, not as four peaks of one.
    let found = log10_pfa(&array![[20.0_f32, 20.0], [20.0, 20.0]], 10);
    let expected = 4.0 * ChiSquared::new(10).log10_chernoff(20.0);
    assert!(found.iter().all(|pfa| (pfa - expected).abs() < 1e-4), "{found}");
}

#[test]
fn pixels_touching_at_a_corner_are_apart() {
    let found = log10_pfa(&array![[25.0_f32, 0.0], [0.0, 25.0]], 10);
    let expected = ChiSquared::new(10).log10_chernoff(25.0);
    assert!((found[[0, 0]] - expected).abs() < 1e-4, "{found}");
}

#[test]
fn chernoff_ignores_what_is_calmer_than_normal() {
    for value in [0.0, 5.0, 9.0, 10.0] {
        let found = log10_pfa(&Array2::from_elem((28, 28), value), 10);
        assert!(found.iter().all(|&pfa| pfa == 0.0), "U = {value}");
    }
}

#[test]
fn million_pixel_maps_of_every_shape_need_no_stack() {
    let side = 1024;
    let ramp = Array2::from_shape_fn((side, side), |(y, x)| 4.0 + (y * side + x) as f32 / (side * side) as f32);
    let found = log10_nfa(&ramp, 4, Bound::Chernoff);
    assert!(found[[0, 0]] > found[[side - 1, side - 1]]);
    let row = Array2::from_shape_fn((1, side * side), |(_, x)| (x % 977) as f32 * 0.02);
    let column = row.clone().into_shape_with_order((side * side, 1)).unwrap();
    let along = log10_nfa(&row, 4, Bound::Chernoff);
    let down = log10_nfa(&column, 4, Bound::Chernoff);
    assert!(along.iter().eq(down.iter()));
    assert!(along[[0, 976]] < along[[0, 0]]);
}

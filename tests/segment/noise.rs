//! White noise must never be detected, and what is not a number must never pass.

use ndarray::{Array2, Array3};
use proptest::prelude::*;
use uflow::Error;
use uflow::latents::{EnergyView, ScaleShape, energy};
use uflow::segment::{Bound, Segmenter};

use crate::numbers;

/// Gaussian latents (Box and Muller).
fn gaussian(shape: ScaleShape, deviation: f64, seed: u64) -> Array3<f32> {
    let mut next = numbers(seed);
    Array3::from_shape_simple_fn((shape.channels, shape.height, shape.width), || {
        let radius = (-2.0 * (1.0 - next()).ln()).sqrt();
        (deviation * radius * (std::f64::consts::TAU * next()).cos()) as f32
    })
}

fn shape(channels: usize, height: usize, width: usize) -> ScaleShape {
    ScaleShape { channels, height, width }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn white_noise_is_never_detected(
        deviation in 0.5..=1.0_f64,
        seed in any::<u64>(),
        shapes in prop::collection::vec((1..40_usize, 4..24_usize, 4..24_usize), 1..4),
    ) {
        // Finest first: no scale is larger than the one before.
        let mut finer = (usize::MAX, usize::MAX);
        let shapes: Vec<_> = shapes
            .into_iter()
            .map(|(c, h, w)| {
                finer = (h.min(finer.0), w.min(finer.1));
                shape(c, finer.0, finer.1)
            })
            .collect();
        let latents: Vec<_> = shapes.iter().zip(seed..).map(|(&s, seed)| gaussian(s, deviation, seed)).collect();
        let mut segmenter = Segmenter::new(&shapes, 64, 64).unwrap();
        let views: Vec<_> = latents.iter().map(|z| z.view()).collect();
        for bound in [Bound::Chernoff, Bound::Exact] {
            let lowest = segmenter.run_latents(&views, bound).unwrap().log10_nfa_min;
            prop_assert!(lowest > 0.0, "{bound}: {lowest}");
        }
    }
}

#[test]
fn white_noise_of_the_published_shapes_is_never_detected() {
    let families = [vec![shape(816, 28, 28), shape(192, 14, 14)], vec![shape(84, 56, 56), shape(80, 28, 28)]];
    for shapes in families {
        let mut segmenter = Segmenter::new(&shapes, 112, 112).unwrap();
        for (seed, deviation) in [0.5, 0.7, 0.9, 1.0].into_iter().enumerate() {
            let latents: Vec<_> = shapes.iter().map(|&shape| gaussian(shape, deviation, seed as u64)).collect();
            let views: Vec<_> = latents.iter().map(|z| z.view()).collect();
            for bound in [Bound::Chernoff, Bound::Exact] {
                let lowest = segmenter.run_latents(&views, bound).unwrap().log10_nfa_min;
                assert!(lowest > 0.0, "deviation {deviation}, {bound}: {lowest}");
            }
        }
    }
}

#[test]
fn latents_and_their_energies_give_the_same_maps() {
    let shapes = [shape(12, 20, 18), shape(7, 10, 9)];
    let latents: Vec<_> = shapes.iter().map(|&shape| gaussian(shape, 1.6, 5)).collect();
    let energies: Vec<_> = latents.iter().map(|z| energy(z.view())).collect();
    let views: Vec<_> =
        energies.iter().zip(shapes).map(|(u, s)| EnergyView { energy: u.view(), channels: s.channels }).collect();
    let mut by_energy = Segmenter::new(&shapes, 60, 50).unwrap();
    let mut by_latents = Segmenter::new(&shapes, 60, 50).unwrap();
    let a = by_energy.run(&views, Bound::Chernoff).unwrap();
    let transposed = latents[1].clone().permuted_axes([0, 2, 1]).as_standard_layout().into_owned();
    let strided = [latents[0].view(), transposed.view().permuted_axes([0, 2, 1])];
    let b = by_latents.run_latents(&strided, Bound::Chernoff).unwrap();
    assert_eq!((a.score, a.log10_nfa), (b.score, b.log10_nfa));
    assert_eq!((a.score_max, a.log10_nfa_min), (b.score_max, b.log10_nfa_min));
    let (score, image_score) = (a.score.to_owned(), a.score_max);
    let alone = by_energy.run_score(&views).unwrap();
    assert_eq!((alone.score, alone.score_max), (score.view(), image_score));
    assert!(by_energy.last().is_none(), "a log₁₀NFA map that does not belong to the score map must not be shown");
    assert!(by_latents.last().is_some());
}

#[test]
fn what_is_not_finite_is_refused() {
    let mut segmenter = Segmenter::new(&[shape(3, 4, 5)], 8, 10).unwrap();
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for place in [(0, 0), (2, 3), (3, 4)] {
            let mut map = Array2::from_elem((4, 5), 2.0);
            map[place] = bad;
            let result = segmenter.run(&[EnergyView { energy: map.view(), channels: 3 }], Bound::Chernoff);
            assert!(matches!(result, Err(Error::NonFinite { found: 1, total: 20, .. })), "{bad}");
            let mut latents = Array3::from_elem((3, 4, 5), 1.0);
            latents[[1, place.0, place.1]] = bad;
            let result = segmenter.run_latents(&[latents.view()], Bound::Chernoff);
            assert!(matches!(result, Err(Error::NonFinite { found: 1, .. })), "{bad}");
        }
    }
    let huge = Array3::from_elem((3, 4, 5), 1e30);
    assert!(matches!(segmenter.run_latents(&[huge.view()], Bound::Exact), Err(Error::NonFinite { found: 20, .. })));
}

#[test]
fn extreme_energies_give_finite_maps() {
    let mut segmenter = Segmenter::new(&[shape(3, 8, 8)], 29, 31).unwrap();
    for value in [f32::MAX, 1e30, f32::MIN_POSITIVE, 0.0, -0.0] {
        let map = Array2::from_elem((8, 8), value);
        for bound in [Bound::Chernoff, Bound::Exact] {
            let result = segmenter.run(&[EnergyView { energy: map.view(), channels: 3 }], bound).unwrap();
            assert!(result.log10_nfa.iter().all(|value| value.is_finite()), "{value} {bound}");
            assert!(result.score.iter().all(|score| (0.0..=1.0).contains(score)), "{value} {bound}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_with_its_reason() {
    let mut segmenter = Segmenter::new(&[shape(3, 4, 5)], 8, 10).unwrap();
    let map = Array2::from_elem((5, 4), 2.0);
    let message = |result: uflow::Result<f32>| result.unwrap_err().to_string();
    let view = EnergyView { energy: map.view(), channels: 3 };
    let mut min = |energies: &[EnergyView<'_>]| segmenter.run(energies, Bound::Chernoff).map(|r| r.log10_nfa_min);
    assert_eq!(message(min(&[view])), "latents: scale 0 is 3×5×4, expected 3×4×5 (C×H×W)");
    assert_eq!(message(min(&[])), "latents: 0 scales given, 1 expected");
    let negative = Array2::from_elem((4, 5), -1.0);
    let view = EnergyView { energy: negative.view(), channels: 3 };
    assert_eq!(message(min(&[view])), "latents: 20 energies of scale 0 are negative");
    for (shapes, size) in [
        (vec![], (8, 8)),
        (vec![shape(0, 4, 4)], (8, 8)),
        (vec![shape(1, 0, 4)], (8, 8)),
        (vec![shape(1, 4, 4)], (0, 8)),
        (vec![shape(1, usize::MAX, 4)], (8, 8)),
    ] {
        assert!(Segmenter::new(&shapes, size.0, size.1).is_err(), "{shapes:?} {size:?}");
    }
}

//! The region of interest: what lies outside has no say in anything.

use ndarray::{Array2, s};
use proptest::prelude::*;
use uflow::latents::{EnergyView, ScaleShape};
use uflow::segment::{
    Bound, DecisionOptions, DecisionRule, RegionFinder, Roi, Segmenter, Verdict, log10_epsilon,
    log10_number_of_tests_in,
};

use crate::{expected_log10_nfa, shape_of};

fn left_half(height: usize, width: usize) -> Roi {
    Roi::new(Array2::from_shape_fn((height, width), |(_, x)| u8::from(x < width / 2)).view()).unwrap()
}

#[test]
fn a_cell_is_inside_when_half_of_it_is() {
    let mut mask = Array2::zeros((4, 6));
    mask.slice_mut(s![1.., 1..5]).fill(255_u8);
    let roi = Roi::new(mask.view()).unwrap();
    assert_eq!(roi.at_size(4, 6), mask.iter().map(|&value| value != 0).collect::<Vec<_>>());
    assert_eq!(roi.at_size(8, 12).iter().filter(|&&inside| inside).count(), 4 * 12);
    assert_eq!(roi.at_size(2, 3), [false, true, false, true, true, true]);
    assert_eq!(roi.at_size(1, 1), [true]);
    assert_eq!(roi.at_size(1, 3), [false, true, false]);
}

proptest! {
    #[test]
    fn cells_match_an_area_count(
        values in prop::collection::vec(any::<bool>(), 35), height in 1..12_usize, width in 1..12_usize,
    ) {
        prop_assume!(values.iter().any(|&inside| inside));
        let mask = Array2::from_shape_vec((5, 7), values).unwrap();
        let found = Roi::new(mask.mapv(u8::from).view()).unwrap().at_size(height, width);
        // On the grid that both sizes divide, each cell covers 5×7 points and the frame 5·height × 7·width.
        for (cell, found) in found.into_iter().enumerate() {
            let (y, x) = (cell / width, cell % width);
            let inside = (0..35).filter(|i| mask[[(y * 5 + i / 7) / height, (x * 7 + i % 7) / width]]).count();
            prop_assert_eq!(found, 2 * inside >= 35);
        }
    }

    #[test]
    fn trees_and_tests_see_only_the_inside(
        values in prop::collection::vec((0.0..40.0_f32, prop::bool::weighted(0.7)), 63), exact in any::<bool>(),
    ) {
        prop_assume!(values.iter().any(|value| value.1));
        let map = Array2::from_shape_vec((7, 9), values.iter().map(|value| value.0).collect()).unwrap();
        let inside: Vec<bool> = values.iter().map(|value| value.1).collect();
        let mask = Array2::from_shape_vec((7, 9), inside.iter().map(|&inside| u8::from(inside)).collect()).unwrap();
        let bound = if exact { Bound::Exact } else { Bound::Chernoff };
        let mut segmenter = Segmenter::new(&[shape_of(&map, 10)], 7, 9).unwrap();
        segmenter.set_roi(Some(&Roi::new(mask.view()).unwrap())).unwrap();
        let tests = log10_number_of_tests_in([inside.iter().filter(|&&inside| inside).count()]);
        let expected = expected_log10_nfa(&map, 10, bound, &inside, tests);
        let found = segmenter.run(&[EnergyView { energy: map.view(), channels: 10 }], bound).unwrap();
        prop_assert_eq!(found.log10_nfa, expected);
        for ((&score, &u), &inside) in found.score.iter().zip(&map).zip(&inside) {
            let expected = if inside { 1.0 - (-0.05 * u).exp() } else { 0.0 };
            prop_assert!((score - expected).abs() < 1e-6);
        }
    }
}

#[test]
fn a_defect_outside_changes_nothing_inside() {
    let shapes =
        [ScaleShape { channels: 50, height: 24, width: 24 }, ScaleShape { channels: 40, height: 12, width: 12 }];
    let calm = [Array2::from_elem((24, 24), 48.0), Array2::from_elem((12, 12), 41.0)];
    let mut defect = calm.clone();
    defect[0].slice_mut(s![4..14, 12..20]).fill(900.0);
    defect[1].slice_mut(s![2..7, 6..10]).fill(700.0);
    let mut segmenter = Segmenter::new(&shapes, 96, 96).unwrap();
    let mut finder = RegionFinder::new();
    let options =
        DecisionOptions { verdict: Some(Verdict::Either), score_threshold: Some(0.9), ..DecisionOptions::default() };
    let rule = DecisionRule::without_package(&options).unwrap();
    let mut run = |maps: &[Array2<f32>; 2], roi: Option<&Roi>| {
        segmenter.set_roi(roi).unwrap();
        finder.set_roi(roi);
        let views: Vec<_> =
            maps.iter().zip(shapes).map(|(u, s)| EnergyView { energy: u.view(), channels: s.channels }).collect();
        let result = segmenter.run(&views, Bound::Chernoff).unwrap();
        let regions = finder.find(&result, log10_epsilon(1.0).unwrap(), 200, 150).unwrap().regions.len();
        let anomalous = finder.anomalous(&result, &rule);
        (result.score.to_owned(), result.log10_nfa.to_owned(), result.score_max, regions, anomalous)
    };
    let roi = left_half(200, 150);
    let free = run(&defect, None);
    assert!(free.3 == 1 && free.4 && free.2 > 0.99);
    assert_eq!(run(&defect, Some(&roi)), run(&calm, Some(&roi)));
    let inside = run(&defect, Some(&left_half(1, 2)));
    assert!(inside.3 == 0 && !inside.4 && inside.2 < 0.5);
    assert_eq!(run(&defect, None), free, "lifting the restriction restores everything");
}

#[test]
fn a_threshold_above_every_value_still_leaves_the_outside_out() {
    let mut segmenter = Segmenter::new(&[ScaleShape { channels: 4, height: 8, width: 8 }], 32, 32).unwrap();
    let map = Array2::from_elem((8, 8), 3.0);
    let roi = left_half(64, 64);
    let mut finder = RegionFinder::new();
    segmenter.set_roi(Some(&roi)).unwrap();
    finder.set_roi(Some(&roi));
    let result = segmenter.run(&[EnergyView { energy: map.view(), channels: 4 }], Bound::Chernoff).unwrap();
    let found = finder.find(&result, 1e6, 64, 64).unwrap();
    assert_eq!(found.regions.len(), 1);
    assert_eq!(found.regions.get(0).map(|region| (region.area(), region.bbox())).unwrap(), (32 * 64, [0, 0, 32, 64]));
}

#[test]
fn regions_of_interest_that_leave_nothing_are_refused() {
    assert!(Roi::new(Array2::zeros((0, 4)).view()).is_err());
    assert!(Roi::new(Array2::zeros((3, 4)).view()).unwrap_err().to_string().contains("every pixel is 0"));
    let mut thin = Array2::zeros((100, 100));
    thin.column_mut(50).fill(1_u8);
    let mut segmenter = Segmenter::new(&[ScaleShape { channels: 4, height: 8, width: 8 }], 100, 100).unwrap();
    let before = segmenter.log10_number_of_tests();
    let error = segmenter.set_roi(Some(&Roi::new(thin.view()).unwrap())).unwrap_err().to_string();
    assert!(error.contains("none of the 64 cells"), "{error}");
    assert_eq!(segmenter.log10_number_of_tests(), before);
}

#[test]
fn a_mask_has_the_frame_s_aspect_ratio_or_the_network_s_size() {
    let mask = |width: usize, height: usize| Roi::new(Array2::from_elem((height, width), 1).view()).unwrap();
    let (frame, input) = ((2000, 3000), (256, 256));
    for (width, height) in [(3000, 2000), (300, 200), (299, 200), (301, 200), (3, 2), (2, 1), (256, 256)] {
        mask(width, height).check_frame(frame, input).unwrap();
    }
    for (width, height) in [(1000, 10), (10, 1000), (2000, 3000), (305, 200), (257, 257), (255, 256)] {
        let error = mask(width, height).check_frame(frame, input).unwrap_err().to_string();
        let sizes = format!("roi: the mask is {width}×{height} and the frame 3000×2000");
        assert!(error.starts_with(&sizes) && error.contains("256×256"), "{error}");
    }
}

#[test]
fn a_mask_in_a_buffer_is_as_large_as_it_says() {
    let buffer = [0, 0, 9, 0, 1, 0, 9, 0, 0, 0, 9];
    let roi = Roi::from_rows(&buffer, 2, 3, 4).unwrap();
    assert_eq!(roi.at_size(3, 2), [false, false, true, false, false, false]);
    assert_eq!(Roi::from_rows(&buffer[4..6], 2, 1, 0).unwrap().at_size(1, 2), [true, false]);
    for (width, height, stride, expected) in [
        (3, 4, 0, "a mask of 3×4 with a stride of 3 needs 12 bytes; the buffer has 11"),
        (2, 4, 4, "needs 14 bytes"),
        (2, 2, 1, "stride of at least its width"),
        (0, 2, 0, "at least 1×1 pixels"),
        (usize::MAX, usize::MAX, 0, "more than memory holds"),
    ] {
        let error = Roi::from_rows(&buffer, width, height, stride).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

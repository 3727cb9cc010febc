//! Outlines of regions by the score map, where tests are counted by size.

use ndarray::{Array2, s};
use uflow::{
    latents::{EnergyView, ScaleShape},
    segment::{Bound, Roi, Segmentation, Segmenter, TestCount},
};

const FINE: ScaleShape = ScaleShape { channels: 16, height: 32, width: 32 };
const COARSE: ScaleShape = ScaleShape { channels: 64, height: 4, width: 4 };
const MAPS: usize = 128;
/// Pixels of a cell.
const FINE_CELL: usize = MAPS / 32;
const COARSE_CELL: usize = MAPS / 4;

/// Energies of an image whose coarse cell (1, 1) is anomalous, and whose fine cells have `inside` in rows 10..13 and columns 9..12, which
/// lie in that coarse cell.
fn energies(inside: f32) -> (Array2<f32>, Array2<f32>) {
    let mut fine = Array2::from_elem((FINE.height, FINE.width), 8.0);
    fine.slice_mut(s![10..13, 9..12]).fill(inside);
    let mut coarse = Array2::from_elem((COARSE.height, COARSE.width), 32.0);
    coarse[[1, 1]] = 250.0;
    (fine, coarse)
}

fn segmenter(roi: Option<&Roi>) -> Segmenter {
    let mut segmenter = Segmenter::new(&[FINE, COARSE], MAPS, MAPS).unwrap();
    segmenter.set_tests(TestCount::PerSize);
    segmenter.set_roi(roi).unwrap();
    segmenter
}

fn run<'a>(segmenter: &'a mut Segmenter, (fine, coarse): &(Array2<f32>, Array2<f32>)) -> Segmentation<'a> {
    let views = [
        EnergyView { energy: fine.view(), channels: FINE.channels },
        EnergyView { energy: coarse.view(), channels: COARSE.channels },
    ];
    segmenter.run(&views, Bound::Chernoff).unwrap()
}

/// Pixels that a region covers, as (row, column).
fn found(result: &Segmentation<'_>) -> Vec<(usize, usize)> {
    result.log10_nfa.indexed_iter().filter(|(_, value)| **value < 0.0).map(|(at, _)| at).collect()
}

#[test]
fn a_coarse_region_is_drawn_where_the_fine_scores_are() {
    let mut segmenter = segmenter(None);
    let result = run(&mut segmenter, &energies(34.0));
    let pixels = found(&result);
    // The defect itself is found,
    for row in 10 * FINE_CELL + 2..13 * FINE_CELL - 2 {
        for column in 9 * FINE_CELL + 2..12 * FINE_CELL - 2 {
            assert!(pixels.contains(&(row, column)), "({row}, {column}) is not found");
        }
    }
    // and hardly more: at most one fine cell around it, not the coarse cell.
    for &(row, column) in &pixels {
        let near = |at: usize, from: usize, to: usize| (from * FINE_CELL..to * FINE_CELL).contains(&at);
        assert!(near(row, 9, 14) && near(column, 8, 13), "({row}, {column}) is not at the defect");
    }
    // The evidence is the coarse scale's.
    let lowest = pixels.iter().map(|&at| result.log10_nfa[at]).fold(f32::INFINITY, f32::min);
    assert_eq!(lowest, result.log10_nfa_min);
    let at = pixels.iter().copied().find(|&at| result.log10_nfa[at] == lowest).unwrap();
    assert_eq!(result.scale_at(at.0, at.1), 1);
}

/// Without fine evidence the region is where the coarse score is, at most one coarse cell beyond its own.
#[test]
fn a_region_stays_within_one_cell_of_the_cells_that_found_it() {
    let mut segmenter = segmenter(None);
    let result = run(&mut segmenter, &energies(8.0));
    let pixels = found(&result);
    assert!(pixels.contains(&(COARSE_CELL + COARSE_CELL / 2, COARSE_CELL + COARSE_CELL / 2)));
    assert!(pixels.iter().all(|&(row, column)| row < 3 * COARSE_CELL && column < 3 * COARSE_CELL));
    // An outline of the interpolated scores, not a square.
    let rows: Vec<usize> = (0..MAPS).map(|y| pixels.iter().filter(|&&(row, _)| row == y).count()).collect();
    let widths: std::collections::BTreeSet<_> = rows.into_iter().filter(|&width| width > 0).collect();
    assert!(widths.len() > 3, "{widths:?}");
}

/// What is drawn never changes what is decided, whatever the fine scale says, and stays in the region of interest.
#[test]
fn the_lowest_value_does_not_depend_on_the_outline() {
    let mut inside = Array2::zeros((MAPS, MAPS));
    inside.slice_mut(s![..MAPS / 2, ..MAPS / 2]).fill(1);
    let roi = Roi::new(inside.view()).unwrap();
    for roi in [None, Some(&roi)] {
        let mut segmenter = segmenter(roi);
        let expected = run(&mut segmenter, &energies(8.0)).log10_nfa_min;
        for fine in [0.0, 9.0, 15.0, 20.0, 30.0] {
            let result = run(&mut segmenter, &energies(fine));
            assert!(result.log10_nfa_min <= expected);
            let pixels = found(&result);
            assert!(!pixels.is_empty());
            let lowest = result.log10_nfa.iter().copied().fold(f32::INFINITY, f32::min);
            assert_eq!(lowest, result.log10_nfa_min);
            if roi.is_some() {
                assert!(pixels.iter().all(|&(row, column)| row < MAPS / 2 && column < MAPS / 2));
            }
        }
    }
}

/// The paper's count keeps the paper's map: the value at a pixel is interpolated from the cells.
#[test]
fn the_papers_map_is_not_redrawn() {
    let (fine, mut coarse) = energies(34.0);
    coarse[[1, 1]] = 2000.0;
    let image = (fine, coarse);
    let mut segmenter = segmenter(None);
    segmenter.set_tests(TestCount::Paper);
    let result = run(&mut segmenter, &image);
    let nothing = result.log10_number_of_tests as f32;
    let paper = result.log10_nfa.iter().filter(|value| **value < nothing - 1.0).count();
    segmenter.set_tests(TestCount::PerSize);
    let sized = found(&run(&mut segmenter, &image)).len();
    assert!(sized > 0 && paper > 4 * sized, "{paper} and {sized} pixels");
}

/// Pixels with a score of at least the level that are connected with such a pixel of the coarse cell (1, 1), at most one cell beyond it.
fn flooded(score: &Array2<f32>) -> std::collections::BTreeSet<(usize, usize)> {
    let steps = 4096.0;
    let mut sorted: Vec<usize> = score.iter().map(|&score| ((score * steps) as usize).min(4095)).collect();
    sorted.sort_unstable();
    let median = sorted[sorted.len() / 2] as f32 / steps;
    let own = score.slice(s![COARSE_CELL..2 * COARSE_CELL, COARSE_CELL..2 * COARSE_CELL]);
    let peak = own.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let level = (median + 0.7 * (peak - median)).min(peak);
    let is_own = |at: usize| (COARSE_CELL..2 * COARSE_CELL).contains(&at);
    let mut stack: Vec<_> =
        score.indexed_iter().filter(|((y, x), _)| is_own(*y) && is_own(*x)).map(|(at, _)| at).collect();
    let mut found = std::collections::BTreeSet::new();
    while let Some((y, x)) = stack.pop() {
        if y < 3 * COARSE_CELL && x < 3 * COARSE_CELL && score[[y, x]] >= level && found.insert((y, x)) {
            stack.extend([(y + 1, x), (y, x + 1), (y.wrapping_sub(1), x), (y, x.wrapping_sub(1))]);
        }
    }
    found
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// The fine scale has no region of its own here: none of its energies is above the expectation.
    #[test]
    fn an_outline_is_that_of_a_flood_fill(fine in proptest::collection::vec(0.0_f32..15.9, FINE.height * FINE.width)) {
        let (_, coarse) = energies(0.0);
        let fine = Array2::from_shape_vec((FINE.height, FINE.width), fine).unwrap();
        let mut segmenter = segmenter(None);
        let result = run(&mut segmenter, &(fine, coarse));
        let drawn = found(&result).into_iter().collect::<std::collections::BTreeSet<_>>();
        proptest::prop_assert_eq!(drawn, flooded(&result.score.to_owned()));
    }
}

//! Mask, regions and outlines against a flood fill and an even-odd fill of the polygons.

use ndarray::{Array2, ArrayView2, s};
use proptest::prelude::*;
use uflow::latents::{EnergyView, ScaleShape};
use uflow::segment::{
    Bound, DecisionOptions, DecisionRule, Region, RegionFinder, Regions, Ring, Segmentation, Segmenter, Verdict,
    log10_epsilon, mask, upsample,
};

/// 8-connected components, each as its pixels (y, x).
fn components(mask: ArrayView2<'_, u8>) -> Vec<Vec<(usize, usize)>> {
    let mut left = mask.to_owned();
    let mut found = Vec::new();
    for start in ndarray::indices(mask.dim()) {
        if left[start] == 0 {
            continue;
        }
        left[start] = 0;
        let mut pixels = vec![start];
        let mut next = 0;
        while next < pixels.len() {
            let (y, x) = pixels[next];
            next += 1;
            for v in y.saturating_sub(1)..(y + 2).min(mask.nrows()) {
                for u in x.saturating_sub(1)..(x + 2).min(mask.ncols()) {
                    if left[[v, u]] != 0 {
                        left[[v, u]] = 0;
                        pixels.push((v, u));
                    }
                }
            }
        }
        found.push(pixels);
    }
    found
}

/// Twice the signed area: positive for outer rings.
fn doubled_area(ring: &Ring) -> i64 {
    ring.iter()
        .zip(ring.iter().cycle().skip(1))
        .map(|(a, b)| i64::from(a[0]) * i64::from(b[1]) - i64::from(b[0]) * i64::from(a[1]))
        .sum()
}

/// The pixels whose centres are inside by the even-odd rule.
fn filled(outline: &[Ring], (height, width): (usize, usize)) -> Vec<(usize, usize)> {
    let mut inside = Array2::from_elem((height, width), false);
    for ring in outline {
        for (a, b) in ring.iter().zip(ring.iter().cycle().skip(1)) {
            assert!((a[0] == b[0]) != (a[1] == b[1]), "a side from {a:?} to {b:?}");
            for y in a[1].min(b[1])..a[1].max(b[1]) {
                for x in a[0]..width as u32 {
                    inside[[y as usize, x as usize]] ^= true;
                }
            }
        }
    }
    inside.indexed_iter().filter(|(_, inside)| **inside).map(|(at, _)| at).collect()
}

fn assert_outline(region: &Region, frame: (usize, usize), pixels: &[(usize, usize)]) {
    let mut pixels = pixels.to_vec();
    pixels.sort_unstable();
    assert_eq!(filled(&region.outline, frame), pixels);
    let areas: Vec<_> = region.outline.iter().map(doubled_area).collect();
    assert!(areas[0] > 0 && areas[1..].iter().all(|&area| area < 0), "outer ring first, then holes: {areas:?}");
    assert_eq!(areas.iter().sum::<i64>(), 2 * pixels.len() as i64);
    for ring in &region.outline {
        for i in 0..ring.len() {
            let (a, b, c) = (ring[i], ring[(i + 1) % ring.len()], ring[(i + 2) % ring.len()]);
            assert!((a[0] == b[0]) != (b[0] == c[0]), "{b:?} is not a corner of {ring:?}");
        }
    }
}

/// Maps whose regions are many, ragged, with holes and diagonals: a threshold just under log₁₀ N_T takes them all.
fn ragged() -> impl Strategy<Value = Array2<f32>> {
    (1..14_usize, 1..14_usize, 2..5_u8).prop_flat_map(|(height, width, levels)| {
        prop::collection::vec((0..levels).prop_map(|level| f32::from(level).powi(2) * 4.0), height * width)
            .prop_map(move |values| Array2::from_shape_vec((height, width), values).unwrap())
    })
}

/// log₁₀NFA and scores at a frame's size, by the definition: each pixel interpolated; each cell below the threshold none of
/// whose pixels is, gives its values to the pixel that holds its centre, and any other to the first of its pixels that is.
fn at_frame(result: &Segmentation<'_>, threshold: f32, frame: (usize, usize)) -> (Array2<f32>, Array2<f32>) {
    let mut values = upsample(result.log10_nfa, frame.0, frame.1).unwrap();
    let mut scores = upsample(result.score, frame.0, frame.1).unwrap();
    values.mapv_inplace(|value| value.max(result.log10_nfa_min));
    scores.mapv_inplace(|value| value.min(result.score_max));
    let (rows, columns) = result.log10_nfa.dim();
    for ((y, x), &value) in result.log10_nfa.indexed_iter().filter(|(_, value)| **value < threshold) {
        let holder = ((2 * y + 1) * frame.0 / (2 * rows), (2 * x + 1) * frame.1 / (2 * columns));
        let cell = |pixel: usize, cells: usize, pixels: usize| (2 * pixel + 1) * cells / (2 * pixels);
        let own = values.indexed_iter().find(|((v, u), value)| {
            **value < threshold && cell(*v, rows, frame.0) == y && cell(*u, columns, frame.1) == x
        });
        let pixel = if values[holder] < threshold { holder } else { own.map_or(holder, |(at, _)| at) };
        values[pixel] = values[pixel].min(value);
        scores[pixel] = scores[pixel].max(result.score[[y, x]]);
    }
    (values, scores)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn regions_match_a_flood_fill(map in ragged(), enlarged in any::<bool>(), size in (1..40_usize, 1..40_usize)) {
        let (height, width) = map.dim();
        let frame = if enlarged { size } else { (height, width) };
        let mut segmenter = Segmenter::new(&[ScaleShape { channels: 3, height, width }], height, width).unwrap();
        let result = segmenter.run(&[EnergyView { energy: map.view(), channels: 3 }], Bound::Chernoff).unwrap();
        let threshold = result.log10_number_of_tests as f32 - 0.05;
        let (values, scores) = at_frame(&result, threshold, frame);
        let expected = values.mapv(|value| u8::from(value < threshold));
        let mut finder = RegionFinder::new();
        let found = finder.find(&result, threshold, frame.0, frame.1).unwrap();
        prop_assert_eq!(found.mask, expected.view());
        let lowest = found.regions.iter().map(|region| region.log10_nfa_min()).reduce(f32::min);
        prop_assert_eq!(lowest, (result.log10_nfa_min < threshold).then_some(result.log10_nfa_min));
        let mut unmatched = components(expected.view());
        prop_assert_eq!(found.regions.len(), unmatched.len());
        prop_assert!(found.regions.to_vec().is_sorted_by(|a, b| a.log10_nfa_min <= b.log10_nfa_min));
        for region in &found.regions.to_vec() {
            let [x, y] = region.outline[0][0];
            let index = unmatched.iter().position(|pixels| pixels.contains(&(y as usize, x as usize)));
            let pixels = unmatched.swap_remove(index.unwrap());
            let over = |of: &dyn Fn(&(usize, usize)) -> f32, least: bool| {
                let values = pixels.iter().map(of);
                if least { values.fold(f32::MAX, f32::min) } else { values.fold(f32::MIN, f32::max) }
            };
            let (left, right) = (over(&|p| p.1 as f32, true), over(&|p| p.1 as f32, false));
            let (top, bottom) = (over(&|p| p.0 as f32, true), over(&|p| p.0 as f32, false));
            let bbox = [left, top, right - left + 1.0, bottom - top + 1.0].map(|value| value as u32);
            prop_assert_eq!(region.bbox, bbox);
            prop_assert_eq!(region.area as usize, pixels.len());
            prop_assert_eq!(region.log10_nfa_min, over(&|p| values[*p], true));
            prop_assert_eq!(region.score_max, over(&|p| scores[*p], false));
            let mean = |of: &dyn Fn(&(usize, usize)) -> usize| {
                0.5 + pixels.iter().map(|p| of(p) as f64).sum::<f64>() / pixels.len() as f64
            };
            prop_assert!((region.centroid[0] - mean(&|p| p.1)).abs() < 1e-9);
            prop_assert!((region.centroid[1] - mean(&|p| p.0)).abs() < 1e-9);
            assert_outline(region, frame, &pixels);
        }
    }
}

/// A frame's findings where the finest of two scales has a ring and the coarser one a spot inside it.
fn ring_and_spot() -> (Segmenter, [Array2<f32>; 2]) {
    let shapes = [ScaleShape { channels: 20, height: 16, width: 16 }, ScaleShape { channels: 20, height: 8, width: 8 }];
    let mut fine = Array2::from_elem((16, 16), 15.0);
    fine.slice_mut(s![2..13, 2..13]).fill(400.0);
    fine.slice_mut(s![4..11, 4..11]).fill(15.0);
    let mut coarse = Array2::from_elem((8, 8), 15.0);
    coarse[[7, 7]] = 9000.0;
    (Segmenter::new(&shapes, 64, 64).unwrap(), [fine, coarse])
}

#[test]
fn a_region_knows_its_hole_and_its_scale() {
    let (mut segmenter, maps) = ring_and_spot();
    let views: Vec<_> = maps.iter().map(|map| EnergyView { energy: map.view(), channels: 20 }).collect();
    let result = segmenter.run(&views, Bound::Chernoff).unwrap();
    let mut finder = RegionFinder::new();
    let found = finder.find(&result, log10_epsilon(1.0).unwrap(), 128, 96).unwrap();
    let by_scale: Vec<_> = found.regions.iter().map(|region| (region.scale(), region.outline().len())).collect();
    assert_eq!(by_scale, [(0, 2), (1, 1)], "the ring with its hole, then the spot");
    let expected = mask(result.log10_nfa, 1.0, 128, 96).unwrap();
    assert_eq!(found.mask, expected);
    let regions = found.regions.to_vec();
    let text = serde_json::to_string(&regions[1]).unwrap();
    assert!(text.starts_with(r#"{"box":["#) && text.contains(r#""scale":1,"outline":[[["#), "{text}");
    assert_eq!(regions, serde_json::from_str::<Vec<Region>>(&serde_json::to_string(&regions).unwrap()).unwrap());
    let mut copied = Regions::default();
    for _ in 0..2 {
        copied.copy_from_slice(&regions);
        assert_eq!(copied.to_vec(), regions);
        copied.copy_from(finder.regions());
        assert_eq!(copied.to_vec(), regions);
    }
    finder.keep_at_least(regions[0].area);
    assert_eq!(finder.regions().to_vec(), regions[..1]);
}

/// One strong peak in one cell of the map, and frames that used to miss it: smaller ones sampled the map between its cells,
/// larger ones interpolated beside the peak.
#[test]
fn a_peak_is_found_in_frames_of_every_size() {
    let shape = ScaleShape { channels: 20, height: 16, width: 16 };
    let mut energy = Array2::from_elem((16, 16), 15.0);
    energy[[9, 4]] = 1060.0;
    let mut segmenter = Segmenter::new(&[shape], 16, 16).unwrap();
    let result = segmenter.run(&[EnergyView { energy: energy.view(), channels: 20 }], Bound::Exact).unwrap();
    let (lowest, score) = (result.log10_nfa_min, result.score_max);
    assert!((-300.0..0.0).contains(&lowest), "{lowest}");
    let log10_epsilon = lowest + 0.25;
    let epsilon = Some(10_f64.powf(f64::from(lowest) + 0.25));
    let mut finder = RegionFinder::new();
    for frame in [(1, 1), (5, 7), (8, 8), (7, 16), (15, 17), (16, 16), (24, 24), (50, 10), (32, 32), (300, 200)] {
        let found = finder.find(&result, log10_epsilon, frame.0, frame.1).unwrap();
        assert!(found.mask.iter().any(|&pixel| pixel != 0), "{frame:?}");
        let region = found.regions.get(0).unwrap();
        assert_eq!((region.log10_nfa_min(), region.score_max()), (lowest, score), "{frame:?}");
        for (verdict, score_threshold) in [(Verdict::Nfa, None), (Verdict::Score, Some(score - 1e-4))] {
            for min_area in [0, 1] {
                let (verdict, min_area) = (Some(verdict), Some(min_area));
                let options =
                    DecisionOptions { epsilon, verdict, score_threshold, min_area, ..DecisionOptions::default() };
                assert!(finder.anomalous(&result, &DecisionRule::without_package(&options).unwrap()), "{frame:?}");
            }
        }
        let above = finder.find(&result, lowest, frame.0, frame.1).unwrap();
        assert!(above.regions.is_empty() && above.mask.iter().all(|&pixel| pixel == 0), "{frame:?}");
    }
}

#[test]
fn verdicts_go_by_nfa_score_and_area() {
    let (mut segmenter, maps) = ring_and_spot();
    let views: Vec<_> = maps.iter().map(|map| EnergyView { energy: map.view(), channels: 20 }).collect();
    let result = segmenter.run(&views, Bound::Chernoff).unwrap();
    let mut finder = RegionFinder::new();
    let areas: Vec<_> = finder.find(&result, 0.0, 64, 64).unwrap().regions.iter().map(|region| region.area()).collect();
    let above = components(result.score.mapv(|score| u8::from(score > 0.6)).view());
    let largest = above.iter().map(Vec::len).max().unwrap() as u32;
    let most = *areas.iter().max().unwrap();
    let rule = |verdict, score_threshold, min_area| {
        let (verdict, min_area) = (Some(verdict), Some(min_area));
        DecisionRule::without_package(&DecisionOptions {
            verdict,
            score_threshold,
            min_area,
            ..DecisionOptions::default()
        })
    };
    let mut decide = |verdict, threshold, min_area| {
        Ok::<_, uflow::Error>(finder.anomalous(&result, &rule(verdict, threshold, min_area)?))
    };
    assert!(decide(Verdict::Nfa, None, 0).unwrap() && decide(Verdict::Nfa, None, most).unwrap());
    assert!(!decide(Verdict::Nfa, None, most + 1).unwrap());
    assert!(decide(Verdict::Score, Some(0.6), largest).unwrap());
    assert!(!decide(Verdict::Score, Some(0.6), largest + 1).unwrap());
    assert!(!decide(Verdict::Score, Some(result.score_max), 0).unwrap(), "strictly above");
    assert!(!decide(Verdict::Both, Some(1.0), 0).unwrap() && decide(Verdict::Either, Some(1.0), 0).unwrap());
    assert!(decide(Verdict::Both, None, 0).unwrap_err().to_string().contains("needs a score threshold"));
    let nothing = finder.find(&result, -1e9, 64, 64).unwrap();
    assert!(nothing.regions.is_empty() && nothing.mask.iter().all(|&value| value == 0));
}

#[test]
fn words_are_read_and_written() {
    for verdict in [Verdict::Nfa, Verdict::Score, Verdict::Both, Verdict::Either] {
        assert_eq!(verdict.to_string().parse::<Verdict>().unwrap(), verdict);
        assert_eq!(serde_json::to_string(&verdict).unwrap(), format!("\"{verdict}\""));
    }
    for bound in [Bound::Chernoff, Bound::Exact] {
        assert_eq!(bound.to_string().parse::<Bound>().unwrap(), bound);
    }
    assert!("NFA".parse::<Verdict>().is_err() && "".parse::<Bound>().is_err());
    for epsilon in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(log10_epsilon(epsilon).is_err(), "{epsilon}");
    }
    assert_eq!(log10_epsilon(0.01).unwrap(), -2.0);
}

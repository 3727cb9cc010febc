//! After the first frame nothing is allocated: counted, not assumed. One segmenter per thread gives the same maps.

use ndarray::Array2;
use uflow::latents::{EnergyView, ScaleShape};
use uflow::segment::{Bound, CalibratedNull, RegionFinder, Roi, Segmenter, TestCount};

use crate::counting::allocations;

const SHAPES: [ScaleShape; 2] =
    [ScaleShape { channels: 40, height: 28, width: 30 }, ScaleShape { channels: 24, height: 14, width: 15 }];

/// Energies that wave around C, higher with `level`.
fn energies(level: f32) -> Vec<Array2<f32>> {
    let wave = |y: usize, x: usize| ((y * 7 + x * 13) % 11) as f32 * 0.05 + ((y * x) % 5) as f32 * 0.1;
    SHAPES
        .iter()
        .map(|shape| {
            Array2::from_shape_fn((shape.height, shape.width), |(y, x)| shape.channels as f32 * (level + wave(y, x)))
        })
        .collect()
}

fn flat(maps: &[Array2<f32>]) -> Vec<Vec<f32>> {
    maps.iter().map(|map| map.iter().copied().collect()).collect()
}

fn views(maps: &[Array2<f32>]) -> [EnergyView<'_>; 2] {
    [0, 1].map(|scale| EnergyView { energy: maps[scale].view(), channels: SHAPES[scale].channels })
}

#[test]
fn segmenting_allocates_nothing() {
    let mut segmenter = Segmenter::new(&SHAPES, 112, 120).unwrap();
    let roi = Roi::new(Array2::from_shape_fn((60, 60), |(y, _)| u8::from(y > 20)).view()).unwrap();
    let good: Vec<Vec<Vec<f32>>> = [0.7, 0.9, 1.1].map(|level| flat(&energies(level))).into();
    let null = CalibratedNull::estimate(&SHAPES, None, &good).unwrap();
    for (roi, tests, null) in [
        (None, TestCount::Paper, None),
        (Some(&roi), TestCount::Paper, None),
        (None, TestCount::PerSize, None),
        (Some(&roi), TestCount::PerSize, Some(&null)),
    ] {
        segmenter.set_roi(roi).unwrap();
        segmenter.set_tests(tests);
        segmenter.set_null(null).unwrap();
        for bound in [Bound::Chernoff, Bound::Exact] {
            for level in [0.3, 0.8, 1.2, 6.0] {
                let maps = energies(level);
                let views = views(&maps);
                let count = allocations(|| {
                    segmenter.run(&views, bound).unwrap();
                    segmenter.run_score(&views).unwrap();
                });
                assert_eq!(count, 0, "level {level}, {bound}, tests {tests}");
            }
        }
    }
}

#[test]
fn regions_allocate_nothing_once_they_have_been_seen() {
    let mut segmenter = Segmenter::new(&SHAPES, 112, 120).unwrap();
    let mut finder = RegionFinder::new();
    let (calm, loud) = (energies(0.3), energies(6.0));
    for maps in [&calm, &loud] {
        let result = segmenter.run(&views(maps), Bound::Chernoff).unwrap();
        finder.find(&result, 0.0, 300, 400).unwrap();
    }
    let result = segmenter.run(&views(&loud), Bound::Chernoff).unwrap();
    let count = allocations(|| {
        let found = finder.find(&result, 0.0, 300, 400).unwrap();
        assert_eq!(found.regions.len(), 1);
    });
    assert_eq!(count, 0, "allocations for one region");
    let result = segmenter.run(&views(&calm), Bound::Chernoff).unwrap();
    let count = allocations(|| {
        assert!(finder.find(&result, 0.0, 300, 400).unwrap().regions.is_empty());
    });
    assert_eq!(count, 0);
}

#[test]
fn threads_with_a_segmenter_each_agree() {
    let run = || {
        let mut segmenter = Segmenter::new(&SHAPES, 112, 120).unwrap();
        let mut all = Vec::new();
        for level in [0.3, 0.9, 1.2, 6.0, 0.9] {
            let result = segmenter.run(&views(&energies(level)), Bound::Exact).unwrap();
            all.push((result.score.to_owned(), result.log10_nfa.to_owned()));
        }
        all
    };
    let expected = run();
    std::thread::scope(|scope| {
        for thread in (0..4).map(|_| scope.spawn(run)).collect::<Vec<_>>() {
            assert_eq!(thread.join().unwrap(), expected);
        }
    });
}

//! Score and segmentation on one thread with maps of 448×448: from energies and from latents, by family of backbones and by
//! size of the maps; with the paper's count of tests, and (`sized`) with the count by size on a calibrated null.
//!
//! Latents are white noise with a defect of a few percent of the area, so the trees have a realistic shape. The benchmarks by size
//! also use hills, whose trees have another shape.

#![allow(clippy::unwrap_used)] // helpers of tests and benchmarks

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::{Array2, Array3, s};
use rand::{RngExt, SeedableRng};
use uflow::latents::{EnergyView, ScaleShape, energy};
use uflow::segment::{Bound, CalibratedNull, RegionFinder, Segmenter, TestCount};

/// A family, and the shapes of its latents at an input of 448×448.
const FAMILIES: [(&str, &[ScaleShape]); 2] =
    [("ms_cait", &[shape(816, 28), shape(192, 14)]), ("resnet18", &[shape(84, 112), shape(80, 56), shape(128, 28)])];

const fn shape(channels: usize, side: usize) -> ScaleShape {
    ScaleShape { channels, height: side, width: side }
}

/// White noise.
fn noise(shape: ScaleShape, seed: u64) -> Array3<f32> {
    let mut generator = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    // The sum of twelve uniform numbers minus six: close enough to a Gaussian for the shape of a tree.
    Array3::from_shape_simple_fn((shape.channels, shape.height, shape.width), || {
        (0..12).map(|_| generator.random::<f32>()).sum::<f32>() - 6.0
    })
}

fn latents(shape: ScaleShape) -> Array3<f32> {
    let mut z = noise(shape, shape.channels as u64);
    let (y, x) = (shape.height / 3, shape.width / 2);
    z.slice_mut(s![.., y..y + shape.height / 6, x..x + shape.width / 5]).mapv_inplace(|z| 2.5 * z);
    z
}

fn views<'a>(energies: &'a [Array2<f32>], shapes: &[ScaleShape]) -> Vec<EnergyView<'a>> {
    energies.iter().zip(shapes).map(|(u, shape)| EnergyView { energy: u.view(), channels: shape.channels }).collect()
}

/// The null from eight images of white noise.
fn null(shapes: &[ScaleShape]) -> CalibratedNull {
    let image =
        |seed| shapes.iter().map(|&shape| energy(noise(shape, seed).view()).into_raw_vec_and_offset().0).collect();
    CalibratedNull::estimate(shapes, None, &(1..=8).map(image).collect::<Vec<_>>()).unwrap()
}

fn families(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("segment");
    for (name, shapes) in FAMILIES {
        let latents: Vec<_> = shapes.iter().map(|&shape| latents(shape)).collect();
        let energies: Vec<_> = latents.iter().map(|z| energy(z.view())).collect();
        let energies = views(&energies, shapes);
        let latents: Vec<_> = latents.iter().map(|z| z.view()).collect();
        let mut segmenter = Segmenter::new(shapes, 448, 448).unwrap();
        group.bench_function(BenchmarkId::new("energies", name), |bench| {
            bench.iter(|| black_box(segmenter.run(&energies, Bound::Chernoff).unwrap().log10_nfa_min));
        });
        group.bench_function(BenchmarkId::new("latents", name), |bench| {
            bench.iter(|| black_box(segmenter.run_latents(&latents, Bound::Chernoff).unwrap().log10_nfa_min));
        });
        group.bench_function(BenchmarkId::new("exact", name), |bench| {
            bench.iter(|| black_box(segmenter.run(&energies, Bound::Exact).unwrap().log10_nfa_min));
        });
        group.bench_function(BenchmarkId::new("score_only", name), |bench| {
            bench.iter(|| black_box(segmenter.run_score(&energies).unwrap().score_max));
        });
        segmenter.set_null(Some(&null(shapes))).unwrap();
        segmenter.set_tests(TestCount::PerSize);
        group.bench_function(BenchmarkId::new("sized", name), |bench| {
            bench.iter(|| black_box(segmenter.run(&energies, Bound::Chernoff).unwrap().log10_nfa_min));
        });
        segmenter.set_tests(TestCount::Paper);
        let result = segmenter.run(&energies, Bound::Chernoff).unwrap();
        let mut finder = RegionFinder::new();
        group.bench_function(BenchmarkId::new("regions_1920x1080", name), |bench| {
            bench.iter(|| black_box(finder.find(&result, 0.0, 1080, 1920).unwrap().regions.len()));
        });
    }
    group.finish();
}

/// Energies of hills: 24 plane waves of up to 12 periods per side, the same at every size. The tree of white noise has
/// many short branches; that of hills has a few long ones.
fn hills(shape: ScaleShape) -> Array2<f32> {
    let mut generator = rand_chacha::ChaCha8Rng::seed_from_u64(shape.channels as u64);
    let waves: [[f32; 3]; 24] = std::array::from_fn(|_| std::array::from_fn(|_| generator.random::<f32>()));
    Array2::from_shape_fn((shape.height, shape.width), |(y, x)| {
        let (y, x) = (y as f32 / shape.height as f32, x as f32 / shape.width as f32);
        let turns = waves.iter().map(|[down, across, phase]| 12.0 * (down * y + (2.0 * across - 1.0) * x) + phase);
        let height = turns.map(|turns| (std::f32::consts::TAU * turns).sin()).sum::<f32>();
        shape.channels as f32 * (0.1 * height).exp()
    })
}

/// One scale and maps of the same size: the cost per pixel must not grow with the size.
fn sizes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("segment_by_size");
    group.sample_size(20);
    for side in [28, 112, 256, 512, 1024] {
        let shape = shape(16, side);
        group.throughput(Throughput::Elements(shape.pixels() as u64));
        for (name, energy) in [("noise", energy(latents(shape).view())), ("hills", hills(shape))] {
            let view = [EnergyView { energy: energy.view(), channels: shape.channels }];
            let mut segmenter = Segmenter::new(&[shape], side, side).unwrap();
            group.bench_function(BenchmarkId::new(name, side), |bench| {
                bench.iter(|| black_box(segmenter.run(&view, Bound::Chernoff).unwrap().log10_nfa_min));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, families, sizes);
criterion_main!(benches);

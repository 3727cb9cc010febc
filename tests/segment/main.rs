//! The a contrario segmentation through its public interface: against naive oracles, exact values and golden files.

#![allow(clippy::unwrap_used)] // helpers of tests and benchmarks

mod allocations;
mod cli;
#[path = "../counting/mod.rs"]
mod counting;
mod golden;
mod noise;
mod oracle;
mod refine;
mod regions;
mod reject;
mod roi;
mod threshold;
mod trees;
mod values;

use ndarray::Array2;
use uflow::latents::{EnergyView, ScaleShape};
use uflow::segment::{Bound, ChiSquared, Segmenter};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// The shape of a map with `channels` channels.
fn shape_of(map: &Array2<f32>, channels: usize) -> ScaleShape {
    ScaleShape { channels, height: map.nrows(), width: map.ncols() }
}

/// log₁₀NFA map of one scale at its own resolution.
fn log10_nfa(map: &Array2<f32>, channels: usize, bound: Bound) -> Array2<f32> {
    let mut segmenter = Segmenter::new(&[shape_of(map, channels)], map.nrows(), map.ncols()).unwrap();
    segmenter.run(&[EnergyView { energy: map.view(), channels }], bound).unwrap().log10_nfa.to_owned()
}

/// A repeatable stream of numbers in [0, 1).
fn numbers(seed: u64) -> impl FnMut() -> f64 {
    use rand::{RngExt, SeedableRng};
    let mut generator = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    move || generator.random::<f64>()
}

/// The oracle's answer where the engine adds log₁₀ N_T.
fn expected_log10_nfa(map: &Array2<f32>, channels: usize, bound: Bound, inside: &[bool], tests: f64) -> Array2<f32> {
    let chi_squared = ChiSquared::new(channels);
    oracle::log10_pfa(map, inside, |u| chi_squared.log10_tail(f64::from(u), bound)).mapv(|value| value + tests as f32)
}

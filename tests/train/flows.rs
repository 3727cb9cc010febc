//! Flows as only imported models have them: rotations for permutations, another clamp, other hidden widths.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use uflow::flow::{Architecture, Flow, Mixing, Normalisation, Real};

/// A random orthogonal matrix, by Gram and Schmidt in double precision.
pub fn rotation(channels: usize, random: &mut ChaCha8Rng) -> Vec<f32> {
    let mut rows: Vec<Vec<f64>> = Vec::new();
    while rows.len() < channels {
        let mut row: Vec<f64> = (0..channels).map(|_| random.random_range(-1.0..1.0)).collect();
        for _ in 0..2 {
            for other in &rows {
                let product: f64 = row.iter().zip(other).map(|(a, b)| a * b).sum();
                row.iter_mut().zip(other).for_each(|(a, b)| *a -= product * b);
            }
        }
        let norm = row.iter().map(|value| value * value).sum::<f64>().sqrt();
        if norm > 1e-3 {
            rows.push(row.iter().map(|value| value / norm).collect());
        }
    }
    rows.concat().into_iter().map(|value| value as f32).collect()
}

/// A flow far from its initial values; every step with `rotated(step)` rotates.
pub fn imported<T: Real>(
    architecture: Architecture,
    normalisations: Vec<Normalisation>,
    seed: u64,
    spread: f64,
    rotated: impl Fn(usize) -> bool,
) -> Flow<T> {
    let mut flow = Flow::<T>::new(architecture, normalisations, seed).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(seed + 1000);
    for parameter in flow.parameters_mut() {
        *parameter += T::of(random.random_range(-spread..spread));
    }
    for scale in 0..flow.architecture().scales() {
        for index in (0..flow.architecture().steps).filter(|&index| rotated(index)) {
            let mut weights = flow.step_weights(scale, index).unwrap();
            weights.mixing = Mixing::Rotation(rotation(flow.architecture().channels(scale), &mut random));
            flow.set_step_weights(scale, index, &weights).unwrap();
        }
    }
    flow
}

//! The block-wise count of false alarms that came before the component trees, and that other implementations of U-Flow still ship: for
//! comparison (`uflow evaluate --segmentation block`), not for use.
//!
//! ```text
//! per scale s and pixel
//!     k  = values with z² ≥ τ in the block around the pixel, averaged over the channels    τ: half of all values under normality
//!     p  = log₁₀ P(Binomial(n, ½) > k)                                                     n: pixels of the block
//! log₁₀NFA = log₁₀ Σ_s H_s·W_s + Σ_s upsample(p_s)                                         bicubic, corners on corners
//! ```
//!
//! The block is 7×7 at the finest scale, half as large at each next scale, at least 3×3, and reflected at the borders. The count is averaged
//! over the channels before its probability is computed, so the number of channels has no effect. The scales' probabilities are multiplied
//! as if they were independent. If every value of a block is above τ, the tail is empty; the probability of that block itself, n·log₁₀ ½,
//! is used instead.

use ndarray::{Array2, ArrayView3};

use crate::latents::ScaleShape;

/// Side of the block at the finest scale, in pixels.
const BLOCK: usize = 7;
/// τ: the median of z² where z is standard normal, the square of the normal quantile at ¾.
const TAU: f32 = 0.454_936_42;
/// PyTorch's coefficient of the cubic convolution.
const CUBIC: f32 = -0.75;

/// Buffers and constants for latents of fixed shapes and maps of one size.
#[derive(Debug)]
pub struct Blocks {
    shapes: Vec<ScaleShape>,
    /// log₁₀ P(Binomial(n, ½) > k) for k = 0 … n; one table for each scale.
    tails: Vec<Vec<f32>>,
    log10_tests: f32,
    size: (usize, usize),
}

impl Blocks {
    /// For latents of these shapes, finest first, and maps of (height, width).
    pub fn new(shapes: &[ScaleShape], size: (usize, usize)) -> Self {
        let pixels: usize = shapes.iter().map(ScaleShape::pixels).sum();
        let tails = (0..shapes.len()).map(|scale| tail((2 * half(scale) + 1).pow(2))).collect();
        Self { shapes: shapes.to_vec(), tails, log10_tests: (pixels as f32).log10(), size }
    }

    /// log₁₀ of the number of tests: the pixels of all scales.
    pub fn log10_number_of_tests(&self) -> f32 {
        self.log10_tests
    }

    /// log₁₀NFA of latents (C, H, W), finest first, in the shapes given before.
    pub fn log10_nfa(&self, latents: &[ArrayView3<'_, f32>]) -> Array2<f32> {
        let mut sum = Array2::from_elem(self.size, self.log10_tests);
        for (scale, z) in latents.iter().enumerate().take(self.shapes.len()) {
            let log10_p = self.probability(scale, z);
            sum += &bicubic(&log10_p, self.size);
        }
        sum
    }

    /// log₁₀ p of one scale at its own size.
    fn probability(&self, scale: usize, z: &ArrayView3<'_, f32>) -> Array2<f32> {
        let (channels, height, width) = z.dim();
        let mut candidates = Array2::<u32>::zeros((height, width));
        for channel in z.outer_iter() {
            candidates.zip_mut_with(&channel, |count, &z| *count += u32::from(z * z >= TAU));
        }
        let half = half(scale) as isize;
        let (rows, columns): (Vec<Vec<usize>>, Vec<Vec<usize>>) = (windows(height, half), windows(width, half));
        let table = &self.tails[scale];
        Array2::from_shape_fn((height, width), |(y, x)| {
            let count: u32 = rows[y]
                .iter()
                .flat_map(|&row| columns[x].iter().map(move |&column| (row, column)))
                .map(|at| candidates[at])
                .sum();
            table[(count as usize / channels).min(table.len() - 1)]
        })
    }
}

/// Pixels on each side of a scale's block.
fn half(scale: usize) -> usize {
    ((BLOCK / 2) >> scale).max(1)
}

/// For each position, the positions of its block, reflected at the borders without repeating the border.
fn windows(length: usize, half: isize) -> Vec<Vec<usize>> {
    let last = length as isize - 1;
    let reflect = |mut at: isize| {
        while last > 0 && !(0..=last).contains(&at) {
            at = if at < 0 { -at } else { 2 * last - at };
        }
        at.clamp(0, last) as usize
    };
    (0..length as isize).map(|at| (at - half..=at + half).map(reflect).collect()).collect()
}

/// log₁₀ P(Binomial(n, ½) > k) for k = 0 … n − 1, and log₁₀ P(n) for n.
fn tail(n: usize) -> Vec<f32> {
    // log₁₀ of the binomial coefficients, by Pascal's ratio.
    let mut mass = vec![0.0_f64];
    for k in 1..=n {
        mass.push(mass[k - 1] + ((n + 1 - k) as f64 / k as f64).log10());
    }
    let all = n as f64 * 2_f64.log10();
    let sum = |k: usize| mass[k..].iter().map(|value| 10_f64.powf(value - all)).sum::<f64>().log10();
    (1..=n).map(sum).chain([-all]).map(|value| value as f32).collect()
}

/// Resizes by cubic convolution. The centres of the corner pixels stay at the corners, and the border is repeated.
fn bicubic(map: &Array2<f32>, (height, width): (usize, usize)) -> Array2<f32> {
    let rows = taps(map.nrows(), height);
    let columns = taps(map.ncols(), width);
    let stretched = Array2::from_shape_fn((map.nrows(), width), |(y, x)| {
        columns[x].iter().map(|&(at, weight)| weight * map[[y, at]]).sum::<f32>()
    });
    Array2::from_shape_fn((height, width), |(y, x)| {
        rows[y].iter().map(|&(at, weight)| weight * stretched[[at, x]]).sum()
    })
}

/// For each target position, the four source positions and their weights.
fn taps(from: usize, to: usize) -> Vec<[(usize, f32); 4]> {
    let step = if to > 1 { (from - 1) as f64 / (to - 1) as f64 } else { 0.0 };
    let near = |d: f32| ((CUBIC + 2.0) * d - (CUBIC + 3.0)) * d * d + 1.0;
    let far = |d: f32| ((CUBIC * d - 5.0 * CUBIC) * d + 8.0 * CUBIC) * d - 4.0 * CUBIC;
    (0..to)
        .map(|target| {
            let at = target as f64 * step;
            let (base, part) = (at.floor() as isize, (at - at.floor()) as f32);
            let weights = [far(part + 1.0), near(part), near(1.0 - part), far(2.0 - part)];
            let source = |offset: isize| (base + offset).clamp(0, from as isize - 1) as usize;
            [-1, 0, 1, 2].map(|offset| (source(offset), weights[(offset + 1) as usize]))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use statrs::distribution::{Binomial, DiscreteCDF};

    use super::*;

    #[test]
    fn tails_are_those_of_the_binomial() {
        for n in [9, 49] {
            let table = tail(n);
            let binomial = Binomial::new(0.5, n as u64).unwrap();
            for (k, found) in table.iter().enumerate().take(n) {
                let expected = binomial.sf(k as u64).log10();
                assert!((f64::from(*found) - expected).abs() < 1e-5, "n {n}, k {k}: {found}, expected {expected}");
            }
            assert!((table[n] + n as f32 * 2_f32.log10()).abs() < 1e-5);
            assert!(table.is_sorted_by(|a, b| a >= b));
        }
    }

    #[test]
    fn blocks_are_reflected_at_the_borders() {
        assert_eq!(windows(5, 3)[0], [3, 2, 1, 0, 1, 2, 3]);
        assert_eq!(windows(5, 1)[4], [3, 4, 3]);
        assert_eq!(windows(2, 3)[0], [1, 0, 1, 0, 1, 0, 1]);
        assert_eq!(windows(1, 1), [[0, 0, 0]]);
    }

    #[test]
    fn a_map_resized_to_its_own_size_stays() {
        let map = ndarray::array![[1.0, 5.0, 2.0], [0.5, -3.0, 8.0]];
        let same = bicubic(&map, (2, 3));
        assert!(map.iter().zip(&same).all(|(a, b): (&f32, &f32)| (a - b).abs() < 1e-6), "{same}");
    }
}

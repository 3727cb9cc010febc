//! Gaussian noise on the features in training (design §2, "Two lessons"), from a counter: there is no state, and images may come in any order.

use crate::kernel::{Vectorised, vectorised};

/// Half of the values that one pass of the loop makes (the Box–Muller transform makes two at a time).
const PAIRS: usize = 16;

/// A source of noise that depends only on the four numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noise {
    keys: [u32; 2],
}

impl Noise {
    pub(super) fn new(seed: u64, step: u64, image: u64, scale: u64) -> Self {
        let mut key = seed;
        for part in [step, image, scale] {
            key = mix64(key ^ mix64(part.wrapping_add(0x9e37_79b9_7f4a_7c15)));
        }
        Self { keys: [key as u32, (key >> 32) as u32] }
    }

    /// Adds noise to a map (C, pixels), of each channel's standard deviation.
    pub(super) fn add(self, map: &mut [f32], deviations: &[f32]) {
        let Some(pixels) = map.len().checked_div(deviations.len()).filter(|&pixels| pixels > 0) else { return };
        for (channel, (values, &deviation)) in map.chunks_exact_mut(pixels).zip(deviations).enumerate() {
            let first = (channel * pixels.div_ceil(2 * PAIRS) * PAIRS) as u32;
            vectorised(AddNoise { values, keys: self.keys, first, deviation });
        }
    }
}

/// SplitMix64's finaliser.
fn mix64(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A 32-bit finaliser by multiplication and shifts, so that it becomes vector code.
#[inline(always)]
fn mix32(x: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// Two independent standard normal values (Box–Muller).
#[inline(always)]
fn normal_pair(counter: u32, keys: [u32; 2]) -> [f32; 2] {
    let a = mix32(mix32(counter ^ keys[0]).wrapping_add(keys[1]));
    let b = mix32(a ^ keys[1].rotate_left(16) ^ counter);
    // Uniform in (0, 1): 24 bits and a half.
    let uniform = ((a >> 8) as f32 + 0.5) * (1.0 / 16_777_216.0);
    let radius = (-2.0 * ln(uniform)).sqrt();
    // sin and cos of an angle in [−π, π) by those of its half, in [−π/2, π/2), where their series are short.
    let half = (b as i32 >> 8) as f32 * (std::f32::consts::PI / 16_777_216.0);
    let square = half * half;
    let sine = 1.0 / 362_880.0 - square * (1.0 / 39_916_800.0);
    let sine = 1.0 / 120.0 - square * (1.0 / 5_040.0 - square * sine);
    let sine = half * (1.0 - square * (1.0 / 6.0 - square * sine));
    let cosine = 1.0 / 40_320.0 - square * (1.0 / 3_628_800.0 - square * (1.0 / 479_001_600.0));
    let cosine = 1.0 / 24.0 - square * (1.0 / 720.0 - square * cosine);
    let cosine = 1.0 - square * (0.5 - square * cosine);
    [radius * (1.0 - 2.0 * sine * sine), radius * (2.0 * sine * cosine)]
}

/// ln of a normal positive number: m·2ᵉ with m in [√½, √2), by the series of 2·artanh((m − 1)/(m + 1)).
#[inline(always)]
fn ln(x: f32) -> f32 {
    const SQRT_HALF_BITS: u32 = 0x3f35_04f3;
    let shifted = x.to_bits().wrapping_sub(SQRT_HALF_BITS);
    let exponent = (shifted as i32 >> 23) as f32;
    let m = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(SQRT_HALF_BITS));
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let series = 2.0 / 3.0 + square * (2.0 / 5.0 + square * (2.0 / 7.0 + square * (2.0 / 9.0)));
    exponent * std::f32::consts::LN_2 + s * (2.0 + square * series)
}

struct AddNoise<'a> {
    values: &'a mut [f32],
    keys: [u32; 2],
    first: u32,
    deviation: f32,
}

impl Vectorised for AddNoise<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let mut counter = self.first;
        for values in self.values.chunks_mut(2 * PAIRS) {
            let mut noise = [0.0; 2 * PAIRS];
            let (cosines, sines) = noise.split_at_mut(PAIRS);
            for (lane, (cosine, sine)) in cosines.iter_mut().zip(sines).enumerate() {
                [*cosine, *sine] = normal_pair(counter.wrapping_add(lane as u32), self.keys);
            }
            for (value, noise) in values.iter_mut().zip(&noise) {
                *value += self.deviation * noise;
            }
            counter = counter.wrapping_add(PAIRS as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_normal_and_white() {
        let count = 1 << 20;
        let mut values = vec![0.0; count];
        Noise::new(7, 1, 2, 3).add(&mut values, &[1.0]);
        let moment = |power| values.iter().map(|value| f64::from(*value).powi(power)).sum::<f64>() / count as f64;
        // Standard errors of the moments of 2²⁰ normal values, times five.
        for (power, expected, tolerance) in [(1, 0.0, 0.005), (2, 1.0, 0.007), (3, 0.0, 0.019), (4, 3.0, 0.048)] {
            assert!((moment(power) - expected).abs() < tolerance, "moment {power} is {}", moment(power));
        }
        for lag in [1, 2, 15, 16, 17, 32] {
            let products = values.iter().zip(&values[lag..]).map(|(a, b)| f64::from(a * b));
            let correlation = products.sum::<f64>() / count as f64;
            assert!(correlation.abs() < 0.005, "correlation at lag {lag} is {correlation}");
        }
        let beyond = values.iter().filter(|value| value.abs() > 3.0).count() as f64 / count as f64;
        assert!((beyond - 0.0027).abs() < 0.0003, "{beyond} beyond three deviations");
    }

    #[test]
    fn noise_depends_on_every_key_and_repeats() {
        let draw = |seed, step, image, scale| {
            let mut values = vec![0.0; 77];
            Noise::new(seed, step, image, scale).add(&mut values, &[1.0; 7]);
            values
        };
        let first = draw(1, 2, 3, 4);
        assert_eq!(first, draw(1, 2, 3, 4));
        for other in [draw(2, 2, 3, 4), draw(1, 3, 3, 4), draw(1, 2, 4, 4), draw(1, 2, 3, 5), draw(1, 3, 2, 4)] {
            assert_ne!(first, other);
        }
        assert_ne!(first[..11], first[11..22], "channels must differ");
    }
}

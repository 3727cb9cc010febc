//! Deterministic value noise: the texture of every surface in the demo.
//!
//! A lattice point's value is an integer hash of (seed, x, y), so a picture depends only on its seed. All functions are
//! continuous, have mean zero and lie in [−1, 1].

/// A well mixed hash of a lattice point (the finaliser of MurmurHash3 over a linear combination).
fn mix(seed: u32, x: i32, y: i32) -> u32 {
    let mut hash = seed ^ (x as u32).wrapping_mul(0x9e37_79b1) ^ (y as u32).wrapping_mul(0x85eb_ca77);
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// The lattice's value at (x, y), uniform in [−1, 1).
pub(super) fn lattice(seed: u32, x: i32, y: i32) -> f32 {
    (mix(seed, x, y) >> 8) as f32 * (2.0 / 16_777_216.0) - 1.0
}

/// Value noise in two dimensions, with one lattice point per unit.
pub(super) fn noise(seed: u32, x: f32, y: f32) -> f32 {
    let (column, row) = (x.floor(), y.floor());
    let (fx, fy) = (ease(x - column), ease(y - row));
    let (column, row) = (column as i32, row as i32);
    let top = lerp(lattice(seed, column, row), lattice(seed, column + 1, row), fx);
    let bottom = lerp(lattice(seed, column, row + 1), lattice(seed, column + 1, row + 1), fx);
    lerp(top, bottom, fy)
}

/// Value noise along a line; `line` selects an independent one.
pub(super) fn noise_along(seed: u32, line: i32, x: f32) -> f32 {
    let column = x.floor();
    let at = |step: i32| lattice(seed, column as i32 + step, line.wrapping_mul(7919));
    lerp(at(0), at(1), ease(x - column))
}

/// `octaves` of noise, each of twice the frequency and half the amplitude of the one before, scaled to [−1, 1].
pub(super) fn fractal(seed: u32, x: f32, y: f32, octaves: u32) -> f32 {
    let (mut sum, mut total, mut amplitude, mut frequency) = (0.0, 0.0, 1.0, 1.0);
    for octave in 0..octaves {
        sum += amplitude * noise(seed.wrapping_add(octave.wrapping_mul(0x51ed)), x * frequency, y * frequency);
        total += amplitude;
        amplitude *= 0.5;
        frequency *= 2.03;
    }
    sum / total
}

/// Linear interpolation from `a` (t = 0) to `b` (t = 1).
pub(super) fn lerp(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// 0 below `low`, 1 above `high`, a smooth step between.
pub(super) fn step(low: f32, high: f32, x: f32) -> f32 {
    ease(((x - low) / (high - low)).clamp(0.0, 1.0))
}

fn ease(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_continuous_bounded_and_centred() {
        let (mut sum, mut previous) = (0.0_f64, fractal(3, 0.0, 0.7, 3));
        for index in 1..20_000 {
            let value = fractal(3, index as f32 * 0.01, 0.7, 3);
            assert!(value.abs() <= 1.0);
            assert!((value - previous).abs() < 0.12, "a jump at {index}");
            (sum, previous) = (sum + f64::from(value), value);
        }
        assert!((sum / 20_000.0).abs() < 0.1);
    }

    #[test]
    fn seeds_give_independent_fields() {
        let correlation: f32 = (0..4000).map(|i| lattice(1, i, 0) * lattice(2, i, 0)).sum::<f32>() / 4000.0;
        assert!(correlation.abs() < 0.03, "{correlation}");
    }
}

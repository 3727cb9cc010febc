//! The number of tests N_T (Eq. 9): the number of connected sets of pixels of every size and shape, at every position and scale.
//!
//! `N_T = Σ_s n_s Σ_{k=1..n_s} α·β^k / k`, where α·β^k / k is the number of polyominoes of k cells (Jensen and Guttmann).
//! The value has hundreds to thousands of digits, so only its logarithm is computed. The last terms dominate each inner sum,
//! and each term is smaller than the next by a factor of about β. Summing downwards from k = n needs about thirty terms for every n.

use crate::latents::ScaleShape;

pub(super) const ALPHA: f64 = 0.316_915;
pub(super) const BETA: f64 = 4.062_570;

/// log₁₀ N_T for latents of these shapes, every pixel taking part.
pub fn log10_number_of_tests(shapes: &[ScaleShape]) -> f64 {
    log10_number_of_tests_in(shapes.iter().map(ScaleShape::pixels))
}

/// log₁₀ N_T for scales with these numbers of pixels taking part (a region of interest leaves some out).
///
/// A scale without pixels adds no test. Without any pixels the result is −∞.
pub fn log10_number_of_tests_in(pixels: impl IntoIterator<Item = usize>) -> f64 {
    let mut total = f64::NEG_INFINITY;
    for n in pixels.into_iter().filter(|&n| n > 0) {
        let scale = (n as f64).ln() + ln_shapes_up_to(n);
        let (high, low) = if total > scale { (total, scale) } else { (scale, total) };
        total = high + (low - high).exp().ln_1p();
    }
    total / std::f64::consts::LN_10
}

/// ln Σ_{k=1..n} α·β^k / k.
fn ln_shapes_up_to(n: usize) -> f64 {
    let largest = n as f64 * BETA.ln() - (n as f64).ln();
    let mut relative = 1.0;
    let mut sum = 0.0;
    for k in (1..=n).rev() {
        sum += relative;
        relative *= k as f64 / (k.max(2) - 1) as f64 / BETA;
        if relative < f64::EPSILON * 1e-3 {
            break;
        }
    }
    ALPHA.ln() + largest + sum.ln()
}

//! log₁₀ P(U ≥ u) for U ~ χ² with C degrees of freedom: the energy of a normal pixel reaching u (Eqs. 6 and 7).
//!
//! There are two methods. The paper's is Chernoff's bound `−(C/2)·(a − 1 − ln a)/ln 10` with a = u / C. It holds for the **upper
//! tail only**, so it is 0 where a ≤ 1. The other is the logarithm of the survival function itself, ln Q(s, x) with s = C/2 and
//! x = u/2. Its common factor
//!
//! ```text
//! ln(x^s·e^−x / Γ(s)) = −s·(λ − 1 − ln λ) + ½·ln(s / 2π) − stirling(s),   λ = x / s
//! ```
//!
//! is formed without cancellation, so the result stays finite and accurate where the probability itself underflows. Below
//! x = s + 1 the series for P = 1 − Q is used, above it the continued fraction for Q (Lentz), each where it converges fast.

use std::f64::consts::{LN_10, TAU};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strum::{Display, VariantArray, VariantNames};

use crate::{Error, Result, choice::choice};

/// How the probability of a region under normality is evaluated.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, Display, VariantArray, VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub enum Bound {
    /// Chernoff's bound, the paper's choice.
    #[default]
    Chernoff,
    /// The χ² survival function itself.
    Exact,
}

impl FromStr for Bound {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        choice("bound", text)
    }
}

/// Most terms of the series and of the continued fraction. Both need about ten times √s.
const TERMS: usize = 100_000;

/// The χ² distribution with a given number of degrees of freedom, ready to evaluate tails.
#[derive(Clone, Copy, Debug)]
pub struct ChiSquared {
    degrees: f64,
    /// ½·ln(s / 2π) − stirling(s) = s·ln s − s − ln Γ(s), s = half the degrees of freedom.
    ln_scale: f64,
}

impl ChiSquared {
    /// χ² with `degrees` degrees of freedom (at least 1): the channels of a scale.
    pub fn new(degrees: usize) -> Self {
        let degrees = degrees.max(1) as f64;
        let s = degrees / 2.0;
        Self { degrees, ln_scale: ln_scale(s) }
    }

    /// log₁₀ P(U ≥ u) by the chosen bound, never above 0.
    pub fn log10_tail(&self, u: f64, bound: Bound) -> f64 {
        match bound {
            Bound::Chernoff => self.log10_chernoff(u),
            Bound::Exact => self.log10_survival(u),
        }
    }

    /// Chernoff's bound: `−(C/2)·(a − 1 − ln a)/ln 10` where a = u / C > 1, else 0.
    pub fn log10_chernoff(&self, u: f64) -> f64 {
        if u > self.degrees { -0.5 * self.degrees * divergence(u / self.degrees) / LN_10 } else { 0.0 }
    }

    /// log₁₀ of the survival function, finite for every finite u.
    pub fn log10_survival(&self, u: f64) -> f64 {
        if u <= 0.0 {
            return 0.0;
        }
        let (s, x) = (self.degrees / 2.0, u / 2.0);
        let ln_factor = self.ln_scale - s * divergence(x / s);
        let ln_q = if x < s + 1.0 {
            (-(ln_factor.exp() * lower_series(s, x)).min(1.0)).ln_1p()
        } else {
            ln_factor + upper_fraction(s, x).ln()
        };
        ln_q.min(0.0) / LN_10
    }
}

/// a − 1 − ln a, without cancellation around a = 1.
fn divergence(a: f64) -> f64 {
    let above = a - 1.0;
    if above.abs() < 0.5 { above - above.ln_1p() } else { above - a.ln() }
}

/// Σ_{k≥0} x^k / (s·(s+1)⋯(s+k)), so that P(s, x) = x^s·e^−x / Γ(s) times it.
fn lower_series(s: f64, x: f64) -> f64 {
    let mut term = 1.0 / s;
    let mut sum = term;
    for k in 1..TERMS {
        term *= x / (s + k as f64);
        sum += term;
        if term < sum * f64::EPSILON {
            break;
        }
    }
    sum
}

/// The continued fraction 1/(x+1−s − 1·(1−s)/(x+3−s − 2·(2−s)/(x+5−s − …))), so that Q(s, x) = x^s·e^−x / Γ(s) times it.
fn upper_fraction(s: f64, x: f64) -> f64 {
    let mut b = x + 1.0 - s;
    let mut c = f64::MAX;
    let mut d = 1.0 / b;
    let mut fraction = d;
    for k in 1..TERMS {
        let k = k as f64;
        let a = -k * (k - s);
        b += 2.0;
        d = 1.0 / (a * d + b);
        c = b + a / c;
        let factor = c * d;
        fraction *= factor;
        if (factor - 1.0).abs() < 2.0 * f64::EPSILON {
            break;
        }
    }
    fraction
}

/// s·ln s − s − ln Γ(s): Stirling's series from s = 16 on; below, ln Γ by its recurrence from there.
fn ln_scale(s: f64) -> f64 {
    let steps = (16.0 - s).ceil().max(0.0);
    let far = s + steps;
    let r = 1.0 / (far * far);
    let stirling = (1.0 / 12.0 - r * (1.0 / 360.0 - r * (1.0 / 1260.0 - r * (1.0 / 1680.0 - r / 1188.0)))) / far;
    let at_far = 0.5 * (far / TAU).ln() - stirling;
    if steps == 0.0 {
        return at_far;
    }
    let ln_gamma_far = far * far.ln() - far - at_far;
    let shift: f64 = (0..steps as u32).map(|step| (s + f64::from(step)).ln()).sum();
    s * s.ln() - s - (ln_gamma_far - shift)
}

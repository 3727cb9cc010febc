//! The bets of `shift`, `calm` and `light`: densities of u, the share of the frames that are more unusual.

use super::reference::Interval;

/// Exponents θ − 1 of the densities of `shift`.
pub(super) const LOW: [f64; 5] = [-0.1, -0.3, -0.6, -1.5, -2.5];
/// Exponents of the densities of `calm`.
pub(super) const HIGH: [f64; 4] = [-0.1, -0.3, -0.5, -0.7];
/// Cells of the unit interval in which `calm` looks for p-values that are too equal, and the share of the frames that it expects in one.
pub(super) const CELLS: usize = 10;
const IN_CELL: f64 = 0.9;
/// Below this u the densities of `shift` are flat: a few frames of very low u are no shift.
const FLAT: f64 = 0.1;

/// The density max(u, 0.1)^exponent, which is high where u is low, over an interval of u.
pub(super) fn low(exponent: f64, u: Interval) -> f64 {
    let theta = exponent + 1.0;
    let flat = FLAT.powf(exponent);
    let integral = |u: f64| if u <= FLAT { u * flat } else { FLAT * flat + (u.powf(theta) - FLAT.powf(theta)) / theta };
    (integral(u.above) - integral(u.below)) / integral(1.0) / u.mass()
}

/// The same for the other end: high where u is high.
pub(super) fn mirrored_low(exponent: f64, u: Interval) -> f64 {
    low(exponent, Interval { below: 1.0 - u.above, above: 1.0 - u.below })
}

/// The density (1 − u)^exponent, which is high where u is high.
pub(super) fn high(exponent: f64, u: Interval) -> f64 {
    let theta = exponent + 1.0;
    ((1.0 - u.below).powf(theta) - (1.0 - u.above).max(0.0).powf(theta)) / u.mass()
}

/// A density that is high in one cell of the unit interval.
pub(super) fn equal_to(cell: usize, u: Interval) -> f64 {
    let (from, to) = (cell as f64 / CELLS as f64, (cell + 1) as f64 / CELLS as f64);
    let inside = (u.above.min(to) - u.below.max(from)).max(0.0) / u.mass();
    let cells = CELLS as f64;
    inside * IN_CELL * cells + (1.0 - inside) * (1.0 - IN_CELL) * cells / (cells - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bet_has_the_mean_one_whatever_the_bins() {
        let edges = [0.0, 0.004, 0.09, 0.13, 0.3, 0.31, 0.66, 0.9, 1.0];
        let mean = |bet: &dyn Fn(Interval) -> f64| -> f64 {
            edges.windows(2).map(|pair| Interval { below: pair[0], above: pair[1] }).map(|u| bet(u) * u.mass()).sum()
        };
        let low = LOW.map(|exponent| mean(&|u| low(exponent, u)));
        let high = HIGH.map(|exponent| mean(&|u| high(exponent, u)));
        let cells = (0..CELLS).map(|cell| mean(&|u| equal_to(cell, u)));
        let mirrored = LOW.map(|exponent| mean(&|u| mirrored_low(exponent, u)));
        for mean in low.into_iter().chain(high).chain(mirrored).chain(cells) {
            assert!((mean - 1.0).abs() < 1e-12, "{mean}");
        }
        let dark = Interval { below: 0.0, above: 0.2 };
        let bright = Interval { below: 0.8, above: 1.0 };
        assert!((mirrored_low(-0.6, bright) - super::low(-0.6, dark)).abs() < 1e-12 && mirrored_low(-0.6, dark) < 1.0);
    }
}

//! Filter weights of one direction: which source samples make a target sample, and how much each counts.
//!
//! As Pillow's `precompute_coeffs` (libImaging/Resample.c): with scale = source / target and stretch = max(scale, 1), target
//! sample i is centred at (i + ½) · scale and sums the source samples j within ± support · stretch of it, weighted by
//! filter((j + ½ − centre) / stretch) and normalised to 1. All in f64, then rounded to 22 fractional bits.

use super::Resize;

/// Fractional bits of the fixed-point weights: 32 less 8 of the samples and 2 for sign and overshoot.
pub(super) const FRACTION_BITS: u32 = 22;

/// Weights of one direction.
#[derive(Debug)]
pub(super) struct Axis {
    source: usize,
    /// Weights reserved for each target sample.
    pub(super) taps: usize,
    /// For each target sample its first source sample and how many there are, at least 1 and at most `taps`.
    pub(super) spans: Vec<(usize, usize)>,
    /// `taps` weights for each target sample, times 2²².
    pub(super) fixed: Vec<i32>,
    /// The same as floats.
    pub(super) floats: Vec<f32>,
}

impl Axis {
    fn new(source: usize, target: usize, resize: Resize) -> Self {
        let (filter, support): (fn(f64) -> f64, f64) = match resize {
            Resize::Bilinear => (bilinear, 1.0),
            Resize::Bicubic => (bicubic, 2.0),
        };
        let scale = source as f64 / target as f64;
        let stretch = scale.max(1.0);
        let support = support * stretch;
        let taps = support.ceil() as usize * 2 + 1;
        let mut axis = Self {
            source,
            taps,
            spans: Vec::with_capacity(target),
            fixed: vec![0; taps * target],
            floats: vec![0.0; taps * target],
        };
        let mut weights = Vec::with_capacity(taps);
        for (i, (fixed, floats)) in
            axis.fixed.chunks_exact_mut(taps).zip(axis.floats.chunks_exact_mut(taps)).enumerate()
        {
            let centre = (i as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let end = ((centre + support + 0.5) as usize).min(source);
            weights.clear();
            weights.extend((first..end).map(|j| filter((j as f64 - centre + 0.5) * (1.0 / stretch))));
            let sum: f64 = weights.iter().sum();
            for ((fixed, float), weight) in fixed.iter_mut().zip(floats).zip(&weights) {
                let weight = weight / sum;
                *fixed = (weight * f64::from(1 << FRACTION_BITS)).round() as i32;
                *float = weight as f32;
            }
            axis.spans.push((first, end - first));
        }
        axis
    }
}

fn bilinear(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    match x.abs() {
        x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        _ => 0.0,
    }
}

/// Weights for the source sizes seen last, so that a few cameras of different sizes can take turns.
#[derive(Debug)]
pub(super) struct AxisCache {
    target: usize,
    resize: Resize,
    /// The latest used first.
    recent: Vec<Axis>,
}

impl AxisCache {
    const KEPT: usize = 8;

    pub(super) fn new(target: usize, resize: Resize) -> Self {
        Self { target, resize, recent: Vec::with_capacity(Self::KEPT) }
    }

    /// The weights from `source` samples, or `None` where the size does not change.
    pub(super) fn get(&mut self, source: usize) -> Option<&Axis> {
        if source == self.target {
            return None;
        }
        match self.recent.iter().position(|axis| axis.source == source) {
            Some(found) => self.recent[..=found].rotate_right(1),
            None => {
                self.recent.truncate(Self::KEPT - 1);
                self.recent.insert(0, Axis::new(source, self.target, self.resize));
            }
        }
        self.recent.first()
    }
}

//! Statistics of one scale's latents.

use ndarray::{Array1, Array2, ArrayView3, s};
use serde::Serialize;
use statrs::distribution::{ChiSquared, ContinuousCDF};

use super::Pairs;
use crate::{Error, Result, latents::ScaleShape, quantile::quantile, segment::ScaleNull};

/// Probabilities at which U is compared with χ².
const PROBABILITIES: [f64; 9] = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 0.9999];
/// Offsets (rows, columns) of the neighbours whose correlation is measured.
const NEIGHBOURS: [(usize, usize); 5] = [(0, 1), (1, 0), (1, 1), (0, 2), (2, 0)];

/// Statistics of one scale's latents.
#[derive(Clone, Debug, Serialize)]
pub struct ScaleReport {
    /// Their shape.
    pub shape: ScaleShape,
    /// Mean of all values; 0 if white.
    pub mean: f64,
    /// Variance of all values; 1 if white.
    pub variance: f64,
    /// Excess kurtosis of all values; 0 if normal, more with heavier tails.
    pub excess_kurtosis: f64,
    /// Lowest and highest mean of a channel.
    pub channel_means: [f64; 2],
    /// Lowest and highest variance of a channel.
    pub channel_variances: [f64; 2],
    /// Root mean square of the correlations between channels.
    pub channel_correlation: f64,
    /// The largest magnitude of these correlations.
    pub channel_correlation_max: f64,
    /// Correlations with neighbouring pixels.
    pub neighbours: Vec<Neighbour>,
    /// Mean of U / C; 1 if white.
    pub energy_mean: f64,
    /// 2·mean²/variance of U: the degrees of freedom of the scaled χ² that has its moments; C if white.
    pub effective_degrees: f64,
    /// Quantiles of U / C against χ²_C / C.
    pub quantiles: Vec<Quantile>,
    /// More of them, for a plot.
    pub quantile_plot: Vec<Quantile>,
    /// Hill's estimate of the tail index of U from its highest hundredth: P(U > u) falls like u to minus this.
    pub tail_index: f64,
    /// The same estimate for as many values of χ²_C.
    pub white_tail_index: f64,
    /// κ, the sum of the spatial autocorrelation of ln U around its mean at each position and in each image: the number of pixels that vary together; 1 for white noise.
    pub correlated_pixels: f64,
    /// Mean of U / C at each position, row by row.
    pub positions: Vec<f32>,
    /// Mean of U / C over the map's outermost pixels, divided by the mean over all others; 1 if border and middle are alike.
    pub border: f64,
}

/// Correlation between pixels of an offset.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Neighbour {
    /// Rows between them.
    pub rows: usize,
    /// Columns between them.
    pub columns: usize,
    /// Correlation of z, channel with the same channel.
    pub latents: f64,
    /// Correlation of U.
    pub energy: f64,
}

/// One quantile.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Quantile {
    /// Its probability.
    pub probability: f64,
    /// The value of U / C that this part of the pixels does not exceed.
    pub found: f64,
    /// The same value of χ²_C / C.
    pub expected: f64,
}

/// Collects the statistics.
#[derive(Debug)]
pub(super) struct ScaleStatistics {
    shape: ScaleShape,
    /// Sums over pixels and images of z, z² and z⁴ of each channel, and of the products of channels.
    sums: Array1<f64>,
    fourths: f64,
    products: Array2<f64>,
    pixels: f64,
    neighbours: [Pairs; NEIGHBOURS.len()],
    energy_neighbours: [Pairs; NEIGHBOURS.len()],
    /// U of every pixel of every image.
    energies: Vec<f32>,
    /// Sum of U by position.
    by_position: Array2<f64>,
}

impl ScaleStatistics {
    pub(super) fn new(shape: ScaleShape) -> Self {
        Self {
            shape,
            sums: Array1::zeros(shape.channels),
            fourths: 0.0,
            products: Array2::zeros((shape.channels, shape.channels)),
            pixels: 0.0,
            neighbours: Default::default(),
            energy_neighbours: Default::default(),
            energies: Vec::new(),
            by_position: Array2::zeros((shape.height, shape.width)),
        }
    }

    pub(super) fn check(&self, index: usize, z: &ArrayView3<'_, f32>) -> Result<()> {
        let ScaleShape { channels, height, width } = self.shape;
        if z.dim() != (channels, height, width) {
            let reason = format!("scale {index} is {:?}, not {:?} (C, H, W)", z.dim(), (channels, height, width));
            return Err(Error::parameter("latents", reason));
        }
        let found = z.iter().filter(|value| !value.is_finite()).count();
        if found > 0 {
            return Err(Error::NonFinite { what: format!("latents of scale {index}"), found, total: z.len() });
        }
        Ok(())
    }

    /// Adds the latents of an image; returns U.
    pub(super) fn push(&mut self, z: &ArrayView3<'_, f32>) -> Array2<f64> {
        let (channels, height, width) = z.dim();
        let z = z.mapv(f64::from);
        let flat =
            z.to_shape((channels, height * width)).map_or_else(|_| Array2::zeros((channels, 0)), |z| z.into_owned());
        self.sums += &flat.sum_axis(ndarray::Axis(1));
        self.products += &flat.dot(&flat.t());
        self.fourths += flat.iter().map(|z| z.powi(4)).sum::<f64>();
        self.pixels += (height * width) as f64;
        let energy = z.map_axis(ndarray::Axis(0), |z| z.dot(&z));
        for (index, &(rows, columns)) in NEIGHBOURS.iter().enumerate() {
            if rows >= height || columns >= width {
                continue;
            }
            let near = z.slice(s![.., ..height - rows, ..width - columns]);
            let far = z.slice(s![.., rows.., columns..]);
            self.neighbours[index].push_all(near.iter().zip(&far));
            let near = energy.slice(s![..height - rows, ..width - columns]);
            let far = energy.slice(s![rows.., columns..]);
            self.energy_neighbours[index].push_all(near.iter().zip(&far));
        }
        self.energies.extend(energy.iter().map(|&u| u as f32));
        self.by_position += &energy;
        energy
    }

    pub(super) fn finish(mut self) -> ScaleReport {
        let channels = self.shape.channels as f64;
        let values = self.pixels * channels;
        let means = &self.sums / self.pixels;
        let variances = self.products.diag().to_owned() / self.pixels - &means * &means;
        let mean = self.sums.sum() / values;
        let second = self.products.diag().sum() / values;
        let variance = second - mean * mean;
        let [channel_correlation, channel_correlation_max] = self.channel_correlations(&means, &variances);
        let correlated_pixels = self.correlated_pixels();
        self.energies.sort_by(f32::total_cmp);
        let energy_mean = second;
        let count = self.energies.len() as f64;
        let energy = |u: &f32| f64::from(*u);
        let of_energy = self.energies.iter().map(energy).sum::<f64>() / count;
        let spread = self.energies.iter().map(|u| (energy(u) - of_energy).powi(2)).sum::<f64>() / count;
        ScaleReport {
            shape: self.shape,
            mean,
            variance,
            // Around 0, not around the mean: the mean is close to 0, and U is the sum of the squares themselves.
            excess_kurtosis: self.fourths / values / (second * second).max(f64::MIN_POSITIVE) - 3.0,
            channel_means: extremes(&means),
            channel_variances: extremes(&variances),
            channel_correlation,
            channel_correlation_max,
            neighbours: self.neighbours(),
            energy_mean,
            effective_degrees: 2.0 * of_energy * of_energy / spread.max(f64::MIN_POSITIVE),
            quantiles: self.quantiles(&PROBABILITIES),
            quantile_plot: self.quantiles(&plot_probabilities()),
            tail_index: self.tail_index(),
            white_tail_index: white_tail_index(channels),
            correlated_pixels,
            positions: self.positions(),
            border: self.border(),
        }
    }

    /// Root mean square and largest of the correlations between channels.
    fn channel_correlations(&self, means: &Array1<f64>, variances: &Array1<f64>) -> [f64; 2] {
        let (mut squares, mut largest, mut pairs) = (0.0, 0.0_f64, 0.0);
        for first in 0..means.len() {
            for second in 0..first {
                let covariance = self.products[[first, second]] / self.pixels - means[first] * means[second];
                let scale = (variances[first] * variances[second]).sqrt();
                let correlation = if scale > 0.0 { covariance / scale } else { 0.0 };
                squares += correlation * correlation;
                largest = largest.max(correlation.abs());
                pairs += 1.0;
            }
        }
        [if pairs > 0.0 { (squares / pairs).sqrt() } else { 0.0 }, largest]
    }

    fn neighbours(&self) -> Vec<Neighbour> {
        let all = NEIGHBOURS.iter().zip(self.neighbours.iter().zip(&self.energy_neighbours));
        all.filter(|(_, (latents, _))| latents.count > 0.0)
            .map(|(&(rows, columns), (latents, energy))| Neighbour {
                rows,
                columns,
                latents: latents.correlation(),
                energy: energy.correlation(),
            })
            .collect()
    }

    /// The quantiles that this many pixels determine.
    fn quantiles(&self, probabilities: &[f64]) -> Vec<Quantile> {
        let (channels, count) = (self.shape.channels as f64, self.energies.len());
        let Ok(expected) = ChiSquared::new(channels) else { return Vec::new() };
        let told = |&&p: &&f64| (p.min(1.0 - p)) * count as f64 >= 10.0;
        probabilities
            .iter()
            .filter(told)
            .filter_map(|&probability| {
                let found = f64::from(quantile(&self.energies, probability)?) / channels;
                Some(Quantile { probability, found, expected: expected.inverse_cdf(probability) / channels })
            })
            .collect()
    }

    /// Needs U in the order of the images.
    fn correlated_pixels(&self) -> f64 {
        let maps: Vec<&[f32]> = self.energies.chunks_exact(self.shape.pixels()).collect();
        ScaleNull::estimate(self.shape, None, &maps).correlated_pixels.into()
    }

    /// Needs U sorted.
    fn tail_index(&self) -> f64 {
        let tail = (self.energies.len() / 100).max(2).min(self.energies.len());
        let highest = &self.energies[self.energies.len() - tail..];
        let start = f64::from(highest[0]).max(f64::MIN_POSITIVE);
        let excess: f64 = highest.iter().map(|u| (f64::from(*u) / start).ln()).sum();
        (tail - 1) as f64 / excess.max(1e-9)
    }

    fn positions(&self) -> Vec<f32> {
        let images = self.pixels / self.shape.pixels() as f64;
        let scale = 1.0 / (images * self.shape.channels as f64).max(f64::MIN_POSITIVE);
        self.by_position.iter().map(|sum| (sum * scale) as f32).collect()
    }

    fn border(&self) -> f64 {
        let (height, width) = self.by_position.dim();
        let (mut edge, mut middle) = ((0.0, 0.0), (0.0, 0.0));
        for ((row, column), &sum) in self.by_position.indexed_iter() {
            let outermost = row == 0 || column == 0 || row + 1 == height || column + 1 == width;
            let side = if outermost { &mut edge } else { &mut middle };
            *side = (side.0 + sum, side.1 + 1.0);
        }
        if middle.1 > 0.0 && middle.0 > 0.0 { (edge.0 / edge.1) / (middle.0 / middle.1) } else { 1.0 }
    }
}

/// From the lowest thousandth to the highest ten-thousandth, evenly on the scale of a normal distribution's logarithm.
fn plot_probabilities() -> Vec<f64> {
    let upper = (1..=32).map(|step| 1.0 - 10_f64.powf(-f64::from(step) / 8.0));
    let lower = (1..=24).rev().map(|step| 10_f64.powf(-f64::from(step) / 8.0));
    let mut all: Vec<f64> = lower.chain(upper).collect();
    all.sort_by(f64::total_cmp);
    all
}

/// Hill's estimate for χ² with so many degrees of freedom, from a thousand quantiles of its highest hundredth.
fn white_tail_index(channels: f64) -> f64 {
    const VALUES: usize = 1000;
    let Ok(chi) = ChiSquared::new(channels) else { return f64::NAN };
    let start = chi.inverse_cdf(0.99);
    let excess: f64 = (0..VALUES)
        .map(|index| (chi.inverse_cdf(0.99 + 0.01 * (index as f64 + 0.5) / VALUES as f64) / start).ln())
        .sum();
    VALUES as f64 / excess
}

fn extremes(values: &Array1<f64>) -> [f64; 2] {
    values.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], &value| [low.min(value), high.max(value)])
}

//! Whether a model's ε can be trusted: are its latents of good images what the null hypothesis says they are, and how often do
//! good images really raise an alarm?
//!
//! The threshold log₁₀NFA < log₁₀ε promises at most ε false alarms per image *if* the latents are independent standard normal numbers, so
//! that U = Σ_c z² is χ² with C degrees of freedom, independent from pixel to pixel and from scale to scale (paper §3.4). [`Calibration`]
//! looks at each of these in good images that the model was not fitted to:
//!
//! | what | under the hypothesis |
//! |---|---|
//! | mean, variance, excess kurtosis of z; the same channel by channel | 0, 1, 0 |
//! | correlation between channels (root mean square over the pairs) | 0 |
//! | correlation of z, and of U, with the neighbour at the right, below, across, and two away | 0 |
//! | correlation of U between a scale and the next coarser one, brought to its size | 0 |
//! | U against χ²_C: quantiles, effective degrees of freedom 2·mean²/variance | equal, C |
//! | regions per good image at ε, with bounds | at most ε |
//!
//! The last line is the promise itself and decides the [`Verdict`]; the others say why it is kept or broken.

mod report;
mod scale;

pub use scale::{Neighbour, Quantile, ScaleReport};

use ndarray::{ArrayView2, ArrayView3};
use serde::Serialize;

use crate::{
    Error, Result,
    evaluate::{AlarmCounter, FalseAlarms},
    latents::ScaleShape,
};
use scale::ScaleStatistics;

/// Fewer images say next to nothing.
pub const FEWEST_IMAGES: usize = 8;

/// Gathers statistics of the latents of good images.
#[derive(Debug)]
pub struct Calibration {
    scales: Vec<ScaleStatistics>,
    between: Vec<Pairs>,
    alarms: AlarmCounter,
    images: usize,
}

/// What [`Calibration`] found.
#[derive(Clone, Debug, Serialize)]
pub struct CalibrationReport {
    /// Good images.
    pub images: usize,
    /// Each scale, finest first.
    pub scales: Vec<ScaleReport>,
    /// Correlation of U between each scale and the next coarser one.
    pub between_scales: Vec<f64>,
    /// False alarms per image at ε from 10 down to 10⁻⁶.
    pub false_alarms: Vec<FalseAlarms>,
    /// Whether ε is what it says.
    pub verdict: Verdict,
    /// What of the hypothesis does not hold, in sentences, the most telling first.
    pub findings: Vec<String>,
}

/// Whether ε can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "promise")]
pub enum Verdict {
    /// At no ε are there more false alarms than promised, as far as so many images can tell: below `resolution` alarms per image they
    /// cannot.
    Kept {
        /// The rate that as many images without an alarm are compatible with.
        resolution: f64,
    },
    /// There are surely more than promised: the largest ε at which the rate's lower bound is above it.
    Broken {
        /// That ε.
        epsilon: f64,
        /// False alarms found per image.
        rate: f64,
    },
}

impl Verdict {
    /// Whether ε can be trusted.
    pub fn holds(self) -> bool {
        matches!(self, Self::Kept { .. })
    }
}

impl Calibration {
    /// For latents of these shapes, finest first.
    ///
    /// # Errors
    /// [`Error::Parameter`] without a scale.
    pub fn new(shapes: &[ScaleShape]) -> Result<Self> {
        if shapes.is_empty() {
            return Err(Error::parameter("scales", "at least one scale is needed"));
        }
        Ok(Self {
            scales: shapes.iter().map(|&shape| ScaleStatistics::new(shape)).collect(),
            between: vec![Pairs::default(); shapes.len() - 1],
            alarms: AlarmCounter::default(),
            images: 0,
        })
    }

    /// Takes a good image: its latents (C, H, W), finest first, and its log₁₀NFA map.
    ///
    /// # Errors
    /// [`Error::Parameter`] for other shapes; [`Error::NonFinite`].
    pub fn push(&mut self, latents: &[ArrayView3<'_, f32>], log10_nfa: ArrayView2<'_, f32>) -> Result<()> {
        if latents.len() != self.scales.len() {
            let reason = format!("{} scales given, {} expected", latents.len(), self.scales.len());
            return Err(Error::parameter("latents", reason));
        }
        for (index, (scale, z)) in self.scales.iter().zip(latents).enumerate() {
            scale.check(index, z)?;
        }
        let mut finer: Option<ndarray::Array2<f64>> = None;
        for (index, (scale, z)) in self.scales.iter_mut().zip(latents).enumerate() {
            let energy = scale.push(z);
            if let Some(finer) = finer.replace(energy.clone()) {
                self.between[index - 1].push_all(coarsened(&finer, energy.dim()).iter().zip(&energy));
            }
        }
        self.alarms.push(log10_nfa);
        self.images += 1;
        Ok(())
    }

    /// What the images say.
    ///
    /// # Errors
    /// [`Error::Parameter`] for fewer than [`FEWEST_IMAGES`] images.
    pub fn finish(self) -> Result<CalibrationReport> {
        if self.images < FEWEST_IMAGES {
            let reason = format!(
                "{} are too few to calibrate with; {FEWEST_IMAGES} at least are needed, 100 or more say something",
                self.images
            );
            return Err(Error::parameter("good images", reason));
        }
        let false_alarms = self.alarms.finish();
        let scales: Vec<ScaleReport> = self.scales.into_iter().map(ScaleStatistics::finish).collect();
        let between_scales: Vec<f64> = self.between.iter().map(Pairs::correlation).collect();
        Ok(CalibrationReport {
            images: self.images,
            verdict: verdict(&false_alarms),
            findings: report::findings(&scales, &between_scales),
            scales,
            between_scales,
            false_alarms,
        })
    }
}

/// The promise is broken where the lower bound of the rate is above ε.
fn verdict(false_alarms: &[FalseAlarms]) -> Verdict {
    let broken = false_alarms.iter().find(|found| found.rate_bounds[0] > found.epsilon);
    let none =
        false_alarms.first().map_or(f64::INFINITY, |found| FalseAlarms::new(1.0, found.images, 0, 0).rate_bounds[1]);
    broken.map_or(Verdict::Kept { resolution: none }, |found| Verdict::Broken {
        epsilon: found.epsilon,
        rate: found.rate,
    })
}

/// A map brought to a coarser size by averaging.
fn coarsened(map: &ndarray::Array2<f64>, size: (usize, usize)) -> ndarray::Array2<f64> {
    let (down, across) = (map.nrows() / size.0, map.ncols() / size.1);
    ndarray::Array2::from_shape_fn(size, |(row, column)| {
        map.slice(ndarray::s![row * down..(row + 1) * down, column * across..(column + 1) * across])
            .mean()
            .unwrap_or(0.0)
    })
}

/// Moments of pairs of numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Pairs {
    count: f64,
    x: f64,
    y: f64,
    xx: f64,
    yy: f64,
    xy: f64,
}

impl Pairs {
    fn push(&mut self, x: f64, y: f64) {
        self.count += 1.0;
        self.x += x;
        self.y += y;
        self.xx += x * x;
        self.yy += y * y;
        self.xy += x * y;
    }

    fn push_all<'a>(&mut self, pairs: impl Iterator<Item = (&'a f64, &'a f64)>) {
        pairs.for_each(|(&x, &y)| self.push(x, y));
    }

    /// Pearson's correlation; 0 where one of the two does not vary.
    fn correlation(&self) -> f64 {
        let covariance = self.xy - self.x * self.y / self.count;
        let variances = (self.xx - self.x * self.x / self.count) * (self.yy - self.y * self.y / self.count);
        if variances > 0.0 { covariance / variances.sqrt() } else { 0.0 }
    }
}

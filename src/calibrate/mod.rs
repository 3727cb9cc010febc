//! Whether a model's ε can be trusted: do its latents of good images follow the null hypothesis, and how often do good images
//! raise an alarm?
//!
//! The threshold log₁₀NFA < log₁₀ε promises at most ε false alarms per image *if* the latents are independent standard normal numbers, so
//! that U = Σ_c z² is χ² with C degrees of freedom, independent from pixel to pixel and from scale to scale (paper §3.4). [`Calibration`]
//! measures each of these on good images that the model was not fitted to:
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
//! The last line is the promise itself and decides the [`PromiseVerdict`]; the others say why it is kept or broken. A promise counts as
//! broken where the mean number of regions surely exceeds ε. That bound holds however regions cluster in an image, and for the
//! eight ε together: on images that keep the promise exactly, at most 5% of all verdicts are wrong (how:
//! [`FalseAlarms::rate_at_least`], and the head of `evaluate/bounds.rs`).

mod advice;
mod decision;
mod report;
mod scale;

pub use advice::{Alternative, TARGET, Threshold};
pub use decision::{DecisionReport, GoodImage};
pub use scale::{Neighbour, Quantile, ScaleReport};

use ndarray::{ArrayView2, ArrayView3};
use serde::Serialize;

use crate::{
    Error, Result,
    evaluate::{AlarmCounter, FalseAlarms},
    latents::ScaleShape,
    segment::DecisionRule,
};
use advice::Judged;
use scale::ScaleStatistics;

/// Fewest images that a calibration accepts.
pub const FEWEST_IMAGES: usize = 8;

/// Collects statistics of the latents of good images.
#[derive(Debug)]
pub struct Calibration {
    scales: Vec<ScaleStatistics>,
    between: Vec<Pairs>,
    alarms: AlarmCounter,
    images: Vec<Judged>,
}

/// The decision that is measured.
#[derive(Clone, Copy, Debug)]
pub struct Measured<'a> {
    /// The package's name.
    pub name: &'a str,
    /// The decision.
    pub rule: &'a DecisionRule,
    /// The thresholds in force, for comparison.
    pub thresholds: &'a [Threshold],
}

/// What [`Calibration`] found.
#[derive(Clone, Debug, Serialize)]
pub struct CalibrationReport {
    /// What the decision does to these images.
    pub decision: DecisionReport,
    /// Good images.
    pub images: usize,
    /// Each scale, finest first.
    pub scales: Vec<ScaleReport>,
    /// Correlation of U between each scale and the next coarser one.
    pub between_scales: Vec<f64>,
    /// False alarms per image at ε from 10 down to 10⁻⁶.
    pub false_alarms: Vec<FalseAlarms>,
    /// Whether ε is what it says.
    pub verdict: PromiseVerdict,
    /// Ways to decide, and how many of these images each flags: the package's thresholds first, then thresholds set on these images.
    pub alternatives: Vec<Alternative>,
    /// Deviations from the hypothesis, in sentences, the largest first.
    pub findings: Vec<String>,
}

/// Whether ε can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "promise")]
pub enum PromiseVerdict {
    /// At no ε are there surely more false alarms than promised. So few images cannot tell rates below `resolution`.
    Kept {
        /// The rate that as many images without an alarm are compatible with.
        resolution: f64,
    },
    /// There are surely more than promised; this is the largest ε at which that is so.
    Broken {
        /// That ε.
        epsilon: f64,
        /// False alarms found per image.
        rate: f64,
        /// There are at least so many, with 95% confidence for all ε together.
        at_least: f64,
    },
}

impl PromiseVerdict {
    /// From the false alarms at each ε, the largest ε first.
    pub fn of(false_alarms: &[FalseAlarms]) -> Self {
        let broken = false_alarms.iter().find(|found| found.rate_at_least > found.epsilon);
        let images = false_alarms.first().map_or(0, |found| found.images) as usize;
        match broken {
            Some(found) => Self::Broken { epsilon: found.epsilon, rate: found.rate, at_least: found.rate_at_least },
            None if images == 0 => Self::Kept { resolution: f64::INFINITY },
            None => Self::Kept { resolution: FalseAlarms::new(1.0, &vec![0; images]).rate_bounds[1] },
        }
    }

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
            images: Vec::new(),
        })
    }

    /// Adds a good image: its latents (C, H, W), finest first, its log₁₀NFA map, the lowest of that where there is any evidence, its
    /// score, and whether the decision that is measured rejects it.
    ///
    /// # Errors
    /// [`Error::Parameter`] for other shapes; [`Error::NonFinite`].
    pub fn push(
        &mut self,
        latents: &[ArrayView3<'_, f32>],
        log10_nfa: ArrayView2<'_, f32>,
        lowest: Option<f32>,
        score: f32,
        anomalous: bool,
    ) -> Result<()> {
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
        let log10_nfa_min = log10_nfa.iter().copied().fold(f32::INFINITY, f32::min);
        self.images.push(Judged { score, log10_nfa_min, lowest, anomalous });
        Ok(())
    }

    /// Results over all images. `measured` is the decision that rejected some of them.
    ///
    /// # Errors
    /// [`Error::Parameter`] for fewer than [`FEWEST_IMAGES`] images.
    pub fn finish(self, measured: &Measured<'_>) -> Result<CalibrationReport> {
        if self.images.len() < FEWEST_IMAGES {
            let reason = format!(
                "{} are too few to calibrate with; {FEWEST_IMAGES} at least are needed, 100 or more are better",
                self.images.len()
            );
            return Err(Error::parameter("good images", reason));
        }
        let false_alarms = self.alarms.finish();
        let scales: Vec<ScaleReport> = self.scales.into_iter().map(ScaleStatistics::finish).collect();
        let between_scales: Vec<f64> = self.between.iter().map(Pairs::correlation).collect();
        let verdict = PromiseVerdict::of(&false_alarms);
        Ok(CalibrationReport {
            decision: DecisionReport::new(measured.name, measured.rule, &self.images, verdict),
            images: self.images.len(),
            verdict,
            alternatives: advice::alternatives(&self.images, measured.thresholds),
            findings: report::findings(&scales, &between_scales),
            scales,
            between_scales,
            false_alarms,
        })
    }
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

//! An imported model on images: what its latents look like, and how good images score.

use std::sync::Arc;

use ndarray::ArrayView2;
use serde::Serialize;

use super::Imported;
use crate::{
    Error, Result,
    frame::Frame,
    package::ScoreStatistics,
    pipeline::Detector,
    runtime::Runtime,
    segment::{DecisionOptions, DecisionRule, FairThreshold},
    train::fit::statistics,
};

/// The latents of one scale of an image. White noise, as good images should give, has mean 0 and variance 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LatentStatistics {
    /// Mean.
    pub mean: f64,
    /// Variance about the mean.
    pub variance: f64,
    /// Lowest.
    pub min: f32,
    /// Highest.
    pub max: f32,
}

impl LatentStatistics {
    fn of(values: impl Iterator<Item = f32> + Clone) -> Self {
        let count = values.clone().count().max(1) as f64;
        let mean = values.clone().map(f64::from).sum::<f64>() / count;
        let variance = values.clone().map(|value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
        let min = values.clone().fold(f32::INFINITY, f32::min);
        Self { mean, variance, min, max: values.fold(f32::NEG_INFINITY, f32::max) }
    }

    /// Mean of z², which the numbers of false alarms take to be 1.
    pub fn power(&self) -> f64 {
        self.variance + self.mean * self.mean
    }
}

/// One image through an imported model.
#[derive(Clone, Debug, Serialize)]
pub struct Examination {
    /// The image score.
    pub score: f32,
    /// The latents, finest scale first.
    pub scales: Vec<LatentStatistics>,
}

/// Runs an imported model's own networks, as a package of it would.
#[derive(Debug)]
pub struct Examiner {
    detector: Detector,
    rule: DecisionRule,
    scales: usize,
    good: FairThreshold,
    scores: Vec<f32>,
    /// Per scale, sum over the good images of the mean of z².
    powers: Vec<f64>,
}

impl Examiner {
    /// Loads the model's networks.
    ///
    /// # Errors
    /// As [`Imported::network`].
    pub fn new(runtime: &Runtime, model: &Imported) -> Result<Self> {
        let (manifest, scales) = (Arc::new(model.manifest.clone()), model.manifest.scales.len());
        Ok(Self {
            // Whatever the package decides by: here only scores are of interest.
            rule: DecisionRule::without_package(&DecisionOptions::default())?,
            detector: Detector::on(manifest, Box::new(model.network(runtime)?), model.roi().cloned())?,
            powers: vec![0.0; scales],
            scales,
            good: FairThreshold::new(),
            scores: Vec::new(),
        })
    }

    /// One image's latents and score.
    ///
    /// # Errors
    /// A frame that cannot be used, or latents that are not finite.
    pub fn examine(&mut self, frame: &Frame<'_>) -> Result<Examination> {
        self.run(frame, |_, _| Ok(()))
    }

    /// The same for a good image, which then counts for [`scores`](Self::scores).
    ///
    /// # Errors
    /// As [`examine`](Self::examine).
    pub fn add_good(&mut self, frame: &Frame<'_>) -> Result<Examination> {
        let found = self.run(frame, |good, score| good.add(score))?;
        self.scores.push(found.score);
        for (sum, scale) in self.powers.iter_mut().zip(&found.scales) {
            *sum += scale.power();
        }
        Ok(found)
    }

    /// Per scale, finest first, the mean of z² over the good images; 1 if they are white noise.
    pub fn latent_variance(&self) -> Vec<f64> {
        self.powers.iter().map(|sum| sum / self.scores.len().max(1) as f64).collect()
    }

    /// Statistics of the good images' scores, for a package.
    ///
    /// # Errors
    /// No good image was added.
    pub fn scores(self) -> Result<ScoreStatistics> {
        Ok(statistics(self.scores, self.good.value()?))
    }

    fn run(
        &mut self,
        frame: &Frame<'_>,
        map: impl FnOnce(&mut FairThreshold, ArrayView2<'_, f32>) -> Result<()>,
    ) -> Result<Examination> {
        let Self { detector, rule, scales, good, .. } = self;
        detector.score_map(frame, rule, true, |scores, evidence| {
            map(good, scores.score)?;
            let statistics = (0..*scales).map(|scale| {
                let latents = evidence.latents(scale);
                let latents = latents.ok_or_else(|| Error::internal(format!("no latents of scale {scale}")))?;
                Ok(LatentStatistics::of(latents.iter().copied()))
            });
            Ok(Examination { score: scores.image_score, scales: statistics.collect::<Result<_>>()? })
        })
    }
}

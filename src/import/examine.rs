//! Runs an imported model on images: statistics of its latents, and scores of good images.

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

/// The latents of one scale of an image. On good images they should be white noise, with mean 0 and variance 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LatentStatistics {
    /// Mean.
    pub mean: f64,
    /// Variance about the mean.
    pub variance: f64,
    /// Minimum.
    pub min: f32,
    /// Maximum.
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

    /// Mean of z². The numbers of false alarms assume that it is 1.
    pub fn power(&self) -> f64 {
        self.variance + self.mean * self.mean
    }
}

/// An imported model's result for one image.
#[derive(Clone, Debug, Serialize)]
pub struct Examination {
    /// The maximum of the score map.
    pub score_max: f32,
    /// The latents, finest scale first.
    pub scales: Vec<LatentStatistics>,
}

/// Runs an imported model's own networks, as a package with this model would.
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

    /// Latents and score of one image.
    ///
    /// # Errors
    /// The frame is invalid, or the latents are not finite.
    pub fn examine(&mut self, frame: &Frame<'_>) -> Result<Examination> {
        self.run(frame, |_, _| Ok(()))
    }

    /// The same for a good image, which is included in [`scores`](Self::scores).
    ///
    /// # Errors
    /// As [`examine`](Self::examine).
    pub fn add_good(&mut self, frame: &Frame<'_>) -> Result<Examination> {
        let found = self.run(frame, |good, score| good.add(score))?;
        self.scores.push(found.score_max);
        for (sum, scale) in self.powers.iter_mut().zip(&found.scales) {
            *sum += scale.power();
        }
        Ok(found)
    }

    /// Per scale, finest first: the mean of z² over the good images; 1 for white noise.
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
            Ok(Examination { score_max: scores.score_max, scales: statistics.collect::<Result<_>>()? })
        })
    }
}

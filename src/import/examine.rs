//! An imported model on images: what its latents look like, and how good images score.

use ndarray::{Array4, ArrayView2, Axis};
use serde::Serialize;

use super::Imported;
use crate::{
    Error, Result,
    frame::{Frame, Image, Limits},
    latents::EnergyView,
    package::ScoreStatistics,
    preprocess::Preprocessor,
    runtime::{Network, Runtime},
    segment::{FairThreshold, Segmenter},
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
    preprocessor: Preprocessor,
    input: Array4<f32>,
    network: Network,
    segmenter: Segmenter,
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
        let input = model.manifest.input;
        let (height, width) = (input.height as usize, input.width as usize);
        let latents: Vec<_> = model.manifest.scales.iter().map(|scale| scale.latents).collect();
        let mut segmenter = Segmenter::new(&latents, height, width)?;
        if let Some(png) = model.roi() {
            let mask = Image::decode(png, "region of interest", &Limits::default())?;
            segmenter.set_roi(Some(&crate::detector::roi_from_image(&mask)?))?;
        }
        Ok(Self {
            preprocessor: Preprocessor::new(input)?,
            input: Array4::zeros((1, 3, height, width)),
            network: model.network(runtime)?,
            powers: vec![0.0; latents.len()],
            segmenter,
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
        let Self { preprocessor, input, network, segmenter, good, .. } = self;
        preprocessor.run(frame, input.as_slice_mut().unwrap_or_default())?;
        let shapes: Vec<_> = network.scales().iter().map(|(_, latents)| *latents).collect();
        let output = network.run(input.view(), true)?;
        let mut scales = Vec::with_capacity(shapes.len());
        for scale in 0..shapes.len() {
            let latents = output.latents(scale);
            let latents = latents.ok_or_else(|| Error::Internal(format!("no latents of scale {scale}")))?;
            scales.push(LatentStatistics::of(latents.iter().copied()));
        }
        let energies: Vec<_> = (0..shapes.len()).map(|scale| output.energy(scale)).collect();
        let views = energies
            .iter()
            .zip(&shapes)
            .map(|(energy, shape)| EnergyView { energy: energy.index_axis(Axis(0), 0), channels: shape.channels });
        let scores = segmenter.run_score(&views.collect::<Vec<_>>())?;
        map(good, scores.score)?;
        Ok(Examination { score: scores.image_score, scales })
    }
}

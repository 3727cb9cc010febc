//! Normalisation of a feature map before the flow: one per model, fixed while the flow is trained (design §2, "Features").

use serde::{Deserialize, Serialize};

use crate::{Error, Result, kernel::Real, latents::ScaleShape};

/// Added to the variance before the square root, as in PyTorch's `LayerNorm`.
pub(crate) const LAYER_NORM_EPSILON: f64 = 1e-5;

/// The normalisation of one scale's features.
#[derive(Clone, Debug, PartialEq)]
pub enum Normalisation {
    /// No normalisation.
    Identity,
    /// Over (C, H, W) of each image, to mean 0 and variance 1 (ε = 1e-5), followed by the affine, if any.
    LayerNorm {
        /// Elementwise γ and β with C·H·W values each; only imported models have them.
        affine: Option<(Vec<f32>, Vec<f32>)>,
    },
    /// Each channel, by the mean and deviation of the good images.
    Standardise {
        /// Mean per channel.
        mean: Vec<f32>,
        /// One over the standard deviation, per channel.
        inverse_deviation: Vec<f32>,
    },
}

/// The kind of [`Normalisation`] that training fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormalisationKind {
    /// [`Normalisation::LayerNorm`] without an affine.
    LayerNorm,
    /// [`Normalisation::Standardise`].
    #[default]
    Standardise,
}

impl Normalisation {
    /// Checks that the normalisation fits a feature map.
    pub(crate) fn validate(&self, scale: usize, shape: ScaleShape) -> Result<()> {
        let (name, lengths, wanted) = match self {
            Self::Identity | Self::LayerNorm { affine: None } => return Ok(()),
            Self::LayerNorm { affine: Some((gamma, beta)) } => ("LayerNorm", [gamma.len(), beta.len()], shape.len()),
            Self::Standardise { mean, inverse_deviation } => {
                ("standardisation", [mean.len(), inverse_deviation.len()], shape.channels)
            }
        };
        if lengths == [wanted, wanted] {
            return Ok(());
        }
        let reason = format!("{name} of scale {scale} has {} and {} values, not {wanted}", lengths[0], lengths[1]);
        Err(Error::parameter("feature normalisation", reason))
    }

    /// Normalises a feature map (C, H, W) in place.
    pub(crate) fn apply<T: Real>(&self, shape: ScaleShape, map: &mut [T]) {
        match self {
            Self::Identity => {}
            Self::LayerNorm { affine } => {
                let count = map.len() as f64;
                let mean = map.iter().map(|value| value.to_f64()).sum::<f64>() / count;
                let variance = map.iter().map(|value| (value.to_f64() - mean).powi(2)).sum::<f64>() / count;
                let (mean, factor) = (T::of(mean), T::of(1.0 / (variance + LAYER_NORM_EPSILON).sqrt()));
                map.iter_mut().for_each(|value| *value = (*value - mean) * factor);
                if let Some((gamma, beta)) = affine {
                    for ((value, gamma), beta) in map.iter_mut().zip(gamma).zip(beta) {
                        *value = *value * T::of(f64::from(*gamma)) + T::of(f64::from(*beta));
                    }
                }
            }
            Self::Standardise { mean, inverse_deviation } => {
                let channels = map.chunks_exact_mut(shape.pixels()).zip(mean).zip(inverse_deviation);
                for ((channel, mean), factor) in channels {
                    let (mean, factor) = (T::of(f64::from(*mean)), T::of(f64::from(*factor)));
                    channel.iter_mut().for_each(|value| *value = (*value - mean) * factor);
                }
            }
        }
    }
}

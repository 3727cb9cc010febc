//! Normalisation of a feature map before the flow: one per model, fixed while the flow is trained (design §2, "Features").

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strum::{Display, VariantArray, VariantNames};

use crate::{
    Error, Result,
    choice::choice,
    kernel::{Matrix, MatrixMut, Real, multiply},
    latents::ScaleShape,
};

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
    /// All channels together, by the mean and covariance of the good images: `matrix · (x − mean)` at every pixel. A flow without
    /// steps on it is a Gaussian model of the features.
    Whiten {
        /// Mean per channel.
        mean: Vec<f32>,
        /// The inverse root of the covariance, C × C, rows first.
        matrix: Vec<f32>,
    },
}

/// The kind of [`Normalisation`] that training fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display, VariantArray, VariantNames)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum NormalisationKind {
    /// [`Normalisation::LayerNorm`] without an affine.
    LayerNorm,
    /// [`Normalisation::Standardise`].
    #[default]
    Standardise,
    /// [`Normalisation::Whiten`].
    Whiten,
}

impl FromStr for NormalisationKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        choice("normalisation", text)
    }
}

impl Normalisation {
    /// Checks that the normalisation fits a feature map.
    pub(crate) fn validate(&self, scale: usize, shape: ScaleShape) -> Result<()> {
        let channels = shape.channels;
        let (name, lengths, wanted) = match self {
            Self::Identity | Self::LayerNorm { affine: None } => return Ok(()),
            Self::LayerNorm { affine: Some((gamma, beta)) } => {
                ("LayerNorm", [gamma.len(), beta.len()], [shape.len(); 2])
            }
            Self::Standardise { mean, inverse_deviation } => {
                ("standardisation", [mean.len(), inverse_deviation.len()], [channels; 2])
            }
            Self::Whiten { mean, matrix } => ("whitening", [mean.len(), matrix.len()], [channels, channels * channels]),
        };
        if lengths == wanted {
            return Ok(());
        }
        let reason = format!(
            "{name} of scale {scale} has {} and {} values, not {} and {}",
            lengths[0], lengths[1], wanted[0], wanted[1]
        );
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
            Self::Whiten { mean, matrix } => {
                let (channels, pixels) = (shape.channels, shape.pixels());
                let mut centred = map.to_vec();
                for (channel, mean) in centred.chunks_exact_mut(pixels).zip(mean) {
                    let mean = T::of(f64::from(*mean));
                    channel.iter_mut().for_each(|value| *value = *value - mean);
                }
                let matrix: Vec<T> = matrix.iter().map(|value| T::of(f64::from(*value))).collect();
                let mut product = MatrixMut::new(map, channels, pixels);
                let (left, right) = (Matrix::new(&matrix, channels, channels), Matrix::new(&centred, channels, pixels));
                multiply(&mut product, left, right, false);
            }
        }
    }
}

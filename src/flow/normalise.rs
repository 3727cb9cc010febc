//! Normalisation of a feature map before the flow: one per model, fixed while the flow is trained (design §2, "Features").

use std::str::FromStr;

use nalgebra::DMatrix;
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

    /// log |det J| of the normalisation at a feature map (C, H, W) that is not normalised yet, in nats. LayerNorm's is that of the division alone:
    /// the mean and the deviation that it takes from the map are taken as known.
    pub(crate) fn log_det(&self, shape: ScaleShape, map: &[f32]) -> f64 {
        let pixels = shape.pixels() as f64;
        let of_factors = |factors: &[f32]| factors.iter().map(|factor| f64::from(*factor).abs().ln()).sum::<f64>();
        match self {
            Self::Identity => 0.0,
            Self::LayerNorm { affine } => {
                let count = map.len() as f64;
                let mean = map.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
                let variance = map.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
                let affine = affine.as_ref().map_or(0.0, |(gamma, _)| of_factors(gamma));
                affine - 0.5 * count * (variance + LAYER_NORM_EPSILON).ln()
            }
            Self::Standardise { inverse_deviation, .. } => pixels * of_factors(inverse_deviation),
            Self::Whiten { matrix, .. } => {
                let matrix = DMatrix::from_row_iterator(
                    shape.channels,
                    shape.channels,
                    matrix.iter().map(|&value| f64::from(value)),
                );
                // As a sum of logarithms: the product of so many factors is not within a number's range.
                pixels * matrix.lu().u().diagonal().iter().map(|factor| factor.abs().ln()).sum::<f64>()
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// ln |det| of the Jacobian by central differences.
    fn jacobian(normalisation: &Normalisation, shape: ScaleShape, at: &[f64]) -> f64 {
        let size = at.len();
        let column = |index: usize| {
            let [above, below] = [1e-5, -1e-5].map(|step| {
                let mut map = at.to_vec();
                map[index] += step;
                normalisation.apply(shape, &mut map);
                map
            });
            above.into_iter().zip(below).map(|(above, below)| (above - below) / 2e-5).collect::<Vec<_>>()
        };
        let columns: Vec<f64> = (0..size).flat_map(column).collect();
        DMatrix::from_vec(size, size, columns).determinant().abs().ln()
    }

    #[test]
    fn the_log_determinant_is_that_of_the_jacobian() {
        let shape = ScaleShape { channels: 3, height: 2, width: 1 };
        let map = [0.5_f32, -1.0, 2.0, 0.25, 3.0, -0.75];
        let at = map.map(f64::from);
        let standardise =
            Normalisation::Standardise { mean: vec![1.0, 2.0, 3.0], inverse_deviation: vec![0.5, 4.0, 0.125] };
        let matrix = vec![2.0, 0.5, -1.0, 0.25, 1.5, 0.0, 1.0, -0.5, 3.0];
        let whiten = Normalisation::Whiten { mean: vec![0.0, 1.0, -1.0], matrix };
        for normalisation in [Normalisation::Identity, standardise, whiten] {
            let (found, wanted) = (normalisation.log_det(shape, &map), jacobian(&normalisation, shape, &at));
            assert!((found - wanted).abs() < 1e-6, "{normalisation:?}: {found} is not {wanted}");
        }
        // Divided by 2 with the mean and the deviation known.
        let doubled = map.map(|value| 2.0 * value);
        let layer_norm = Normalisation::LayerNorm { affine: None };
        let difference = layer_norm.log_det(shape, &doubled) - layer_norm.log_det(shape, &map);
        assert!((difference + 6.0 * 2_f64.ln()).abs() < 1e-4, "{difference}");
    }
}

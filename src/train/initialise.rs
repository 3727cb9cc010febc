//! Quantities that are computed from the data before training: the features' normalisation, the noise's deviations, ActNorm.

use nalgebra::{DMatrix, SymmetricEigen};

use super::FeatureCache;
use crate::{
    flow::{Flow, Lane, Normalisation, NormalisationKind, Workspace},
    kernel::{Matrix, MatrixMut, multiply},
};

/// A channel is constant if its deviation is below this part of its mean.
const CONSTANT: f64 = 1e-4;

/// Parts of the identity in the correlation matrix that whitening inverts, of which the held-out images choose one: the fewer pixels for the
/// more channels, the less the small eigenvalues can be trusted. The smallest limits how far directions in which the good images
/// hardly vary are amplified.
const SHRINKAGES: [f64; 10] = [0.01, 0.02, 0.03, 0.05, 0.08, 0.13, 0.2, 0.3, 0.5, 1.0];

/// Per scale: how its features are normalised, by the statistics of `images`, and each channel's standard deviation after that.
pub(super) fn normalisations(
    cache: &FeatureCache,
    images: &[usize],
    held_out: &[usize],
    kind: NormalisationKind,
) -> (Vec<Normalisation>, Vec<Vec<f32>>) {
    let fit = |scale: usize| match kind {
        NormalisationKind::LayerNorm => Normalisation::LayerNorm { affine: None },
        NormalisationKind::Standardise => {
            let moments = moments(cache, images, scale, &Normalisation::Identity);
            let mean = moments.iter().map(|&(mean, _)| mean as f32).collect();
            // A constant channel is centred and keeps its unit.
            let inverse = |&(mean, deviation): &(f64, f64)| {
                if deviation > CONSTANT * f64::abs(mean).max(CONSTANT) { (1.0 / deviation) as f32 } else { 1.0 }
            };
            let inverse_deviation = moments.iter().map(inverse).collect();
            Normalisation::Standardise { mean, inverse_deviation }
        }
        NormalisationKind::Whiten => whitening(cache, images, held_out, scale),
    };
    let normalisations: Vec<Normalisation> = (0..cache.shapes().len()).map(fit).collect();
    let deviations = deviations(cache, images, &normalisations);
    (normalisations, deviations)
}

/// Per scale: each channel's standard deviation after normalisation.
pub(super) fn deviations(cache: &FeatureCache, images: &[usize], normalisations: &[Normalisation]) -> Vec<Vec<f32>> {
    let of_scale = |(scale, normalisation): (usize, &Normalisation)| match normalisation {
        Normalisation::Identity | Normalisation::LayerNorm { .. } => {
            let moments = moments(cache, images, scale, normalisation);
            moments.iter().map(|&(_, deviation)| deviation as f32).collect()
        }
        // By their making, of the images that they were fitted to.
        Normalisation::Standardise { .. } | Normalisation::Whiten { .. } => vec![1.0; cache.shapes()[scale].channels],
    };
    normalisations.iter().enumerate().map(of_scale).collect()
}

/// Whitening by the inverse root of the correlation matrix R (ZCA-cor; Kessy, Lewin and Strimmer, "Optimal whitening and
/// decorrelation", 2018): W = ((1 − λ)·R + λ·I)^(−1/2)·D^(−1), with D the deviations. Each output stays as close to its own channel as
/// uncorrelated outputs can. λ is the one of [`SHRINKAGES`] that gives the held-out images the highest likelihood.
fn whitening(cache: &FeatureCache, images: &[usize], held_out: &[usize], scale: usize) -> Normalisation {
    let channels = cache.shapes()[scale].channels;
    let moments = moments(cache, images, scale, &Normalisation::Identity);
    let constant = |mean: f64, deviation: f64| deviation <= CONSTANT * mean.abs().max(CONSTANT);
    let factors: Vec<f64> = (moments.iter())
        .map(|&(mean, deviation)| if constant(mean, deviation) { 1.0 } else { 1.0 / deviation })
        .collect();
    let standardise = Normalisation::Standardise {
        mean: moments.iter().map(|&(mean, _)| mean as f32).collect(),
        inverse_deviation: factors.iter().map(|&factor| factor as f32).collect(),
    };
    let correlation = |images: &[usize]| {
        let mut correlation = second_moments(cache, images, scale, &standardise);
        // A constant channel keeps its unit, as where channels are standardised, and stands alone.
        for (channel, _) in moments.iter().enumerate().filter(|(_, of)| constant(of.0, of.1)) {
            correlation.row_mut(channel).fill(0.0);
            correlation.column_mut(channel).fill(0.0);
            correlation[(channel, channel)] = 1.0;
        }
        correlation
    };
    let mut own = correlation(images);
    own.fill_diagonal(1.0);
    let SymmetricEigen { eigenvectors, eigenvalues } = SymmetricEigen::new(own);
    let along = (&eigenvectors.transpose() * correlation(held_out) * &eigenvectors).diagonal();
    let shrinkage = shrinkage(eigenvalues.as_slice(), along.as_slice());
    let roots = eigenvalues.map(|value| 1.0 / shrunk(value, shrinkage).sqrt());
    let root = &eigenvectors * DMatrix::from_diagonal(&roots) * eigenvectors.transpose();
    let matrix = (0..channels * channels)
        .map(|index| (root[(index / channels, index % channels)] * factors[index % channels]) as f32)
        .collect();
    Normalisation::Whiten { mean: moments.iter().map(|&(mean, _)| mean as f32).collect(), matrix }
}

/// An eigenvalue of (1 − λ)·R + λ·I. Rounding may make R's own negative.
fn shrunk(eigenvalue: f64, shrinkage: f64) -> f64 {
    (1.0 - shrinkage) * eigenvalue.max(0.0) + shrinkage
}

/// The shrinkage with the highest likelihood of held-out values, from R's eigenvalues and the held-out second moments along its eigenvectors.
fn shrinkage(eigenvalues: &[f64], held_out: &[f64]) -> f64 {
    let nll = |shrinkage: f64| -> f64 {
        let pairs = eigenvalues.iter().map(|&value| shrunk(value, shrinkage)).zip(held_out);
        pairs.map(|(value, moment)| moment / value + value.ln()).sum()
    };
    let best = SHRINKAGES.into_iter().min_by(|&a, &b| nll(a).total_cmp(&nll(b)));
    best.unwrap_or(SHRINKAGES[0])
}

/// The mean of x·xᵀ over the pixels of all versions of images, normalised.
fn second_moments(cache: &FeatureCache, images: &[usize], scale: usize, normalisation: &Normalisation) -> DMatrix<f64> {
    let shape = cache.shapes()[scale];
    let channels = shape.channels;
    let mut moments = DMatrix::<f64>::zeros(channels, channels);
    let (mut map, mut product) = (vec![0.0_f32; shape.len()], vec![0.0_f32; channels * channels]);
    let mut count = 0.0;
    for &image in images {
        for version in 0..cache.versions(image) {
            cache.read(image, version, scale, &mut map);
            normalisation.apply(shape, &mut map);
            let view = Matrix::new(&map, channels, shape.pixels());
            multiply(&mut MatrixMut::new(&mut product, channels, channels), view, view.transposed(), false);
            moments.iter_mut().zip(&product).for_each(|(sum, value)| *sum += f64::from(*value));
            count += shape.pixels() as f64;
        }
    }
    moments / f64::max(count, 1.0)
}

/// Mean and standard deviation of each channel of a scale over images, all versions.
fn moments(cache: &FeatureCache, images: &[usize], scale: usize, normalisation: &Normalisation) -> Vec<(f64, f64)> {
    let shape = cache.shapes()[scale];
    let mut map = vec![0.0; shape.len()];
    let mut sums = vec![Moments::default(); shape.channels];
    for &image in images {
        for version in 0..cache.versions(image) {
            cache.read(image, version, scale, &mut map);
            normalisation.apply(shape, &mut map);
            for (channel, sums) in map.chunks_exact(shape.pixels()).zip(&mut sums) {
                sums.add(channel);
            }
        }
    }
    sums.iter().map(|sums| (sums.mean, sums.deviation())).collect()
}

/// Running mean and squared deviations, by Chan's update.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, values: &[f32]) {
        let count = values.len() as f64;
        let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
        let squares = values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>();
        let (difference, total) = (mean - self.mean, self.count + count);
        self.mean += difference * count / total;
        self.squares += squares + difference * difference * self.count * count / total;
        self.count = total;
    }

    fn deviation(&self) -> f64 {
        (self.squares / self.count.max(1.0)).sqrt()
    }
}

/// Sets every step's ActNorm so that on these images each channel leaves the step with mean 0 and deviation 1.
///
/// `fill(image, scale, target)` writes normalised features. All images go through the flow together, a step at a time.
pub(super) fn act_norm<F>(flow: &mut Flow<f32>, images: usize, fill: F)
where
    F: Fn(usize, usize, &mut [f32]) + Sync,
{
    let mut workspaces: Vec<Workspace<f32>> = (0..images).map(|_| Workspace::new(flow)).collect();
    let mut lanes = [Lane::default()];
    for scale in (0..flow.architecture().scales()).rev() {
        for (image, workspace) in workspaces.iter_mut().enumerate() {
            fill(image, scale, workspace.features_mut(flow, scale));
            workspace.rise(flow, scale);
        }
        let shape = flow.architecture().stage(scale);
        for index in 0..flow.architecture().steps {
            // With scale 1 and offset 0 a step gives x̃ itself, permuted.
            for channel in 0..shape.channels {
                flow.set_act_norm(scale, index, channel, 0.0, 1.0);
            }
            let mut sums = vec![Moments::default(); shape.channels];
            for workspace in &mut workspaces {
                workspace.step(flow, scale, index, &mut lanes);
                let output = workspace.state(scale, index + 1);
                for (channel, sums) in sums.iter_mut().enumerate() {
                    let start = flow.destination(scale, index, channel) * shape.pixels();
                    sums.add(&output[start..start + shape.pixels()]);
                }
            }
            for (channel, sums) in sums.iter().enumerate() {
                let deviation = sums.deviation();
                let deviation = if deviation > CONSTANT { deviation } else { 1.0 };
                flow.set_act_norm(scale, index, channel, sums.mean, deviation);
            }
            for workspace in &mut workspaces {
                workspace.step(flow, scale, index, &mut lanes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_out_values_choose_the_shrinkage() {
        // As the eigenvalues say: nothing to shrink. Smaller eigenvalues were estimated too small, larger ones too large: much.
        let eigenvalues = [1.9, 0.8, 0.3];
        assert_eq!(shrinkage(&eigenvalues, &eigenvalues), SHRINKAGES[0]);
        assert_eq!(shrinkage(&eigenvalues, &[1.45, 0.9, 0.65]), 0.5);
        assert_eq!(shrinkage(&eigenvalues, &[1.0, 1.0, 1.0]), 1.0);
        // An eigenvalue of 0, or rounded below it, stays invertible.
        assert_eq!(shrinkage(&[2.0, 0.0, -1e-17], &[2.0, 0.01, 0.01]), SHRINKAGES[0]);
        assert!(shrunk(-1e-17, SHRINKAGES[0]) > 0.0);
    }
}

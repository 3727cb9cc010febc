//! The model that every flow is compared with: a Gaussian of each scale's features, the same at every pixel, with a full covariance
//! between channels.

use std::f64::consts::TAU;

use super::{FeatureCache, initialise};
use crate::flow::{Normalisation, NormalisationKind, square_sum};

/// The Gaussian's negative log-likelihood of the held-out images, fitted to the training images, in nats per value of the features as
/// `normalisations` scale them.
pub(super) fn held_out_nll(
    cache: &FeatureCache,
    training: &[usize],
    held_out: &[usize],
    normalisations: &[Normalisation],
) -> f64 {
    let (whitened, _) = initialise::normalisations(cache, training, held_out, NormalisationKind::Whiten);
    let (mut total, mut values) = (0.0, 0.0);
    for (scale, &shape) in cache.shapes().iter().enumerate() {
        let mut map = vec![0.0; shape.len()];
        for (&image, tile) in held_out.iter().flat_map(|image| (0..cache.tiles()).map(move |tile| (image, tile))) {
            cache.read(image, cache.plain(image, tile), scale, &mut map);
            // The density of the features, then that of the normalised features.
            let log_det = whitened[scale].log_det(shape, &map) - normalisations[scale].log_det(shape, &map);
            whitened[scale].apply(shape, &mut map);
            total += 0.5 * square_sum(&map, shape.pixels()) - log_det;
            values += shape.len() as f64;
        }
    }
    total / values + 0.5 * TAU.ln()
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::latents::ScaleShape;

    /// Two channels, x and 3·x + y, of normal x and y.
    fn cache() -> FeatureCache {
        let shape = ScaleShape { channels: 2, height: 16, width: 16 };
        let mut cache = FeatureCache::new(&[shape], u64::MAX).unwrap();
        let mut random = ChaCha8Rng::seed_from_u64(5);
        for _ in 0..40 {
            let mut map = Array3::zeros((2, 16, 16));
            for pixel in 0..256 {
                let mut normal = || (0..12).map(|_| random.random_range(-0.5f32..0.5)).sum::<f32>();
                let (x, y) = (normal(), normal());
                map[[0, pixel / 16, pixel % 16]] = x;
                map[[1, pixel / 16, pixel % 16]] = 3.0 * x + y;
            }
            cache.push(&[map.view()]).unwrap();
        }
        cache
    }

    #[test]
    fn the_likelihood_of_a_known_gaussian_is_its_entropy() {
        let cache = cache();
        let (training, held_out): (Vec<_>, Vec<_>) = (0..40).partition(|image| image % 4 > 0);
        // The determinant of the covariance is 1, that of the correlation 1/10.
        let entropy = 0.5 * (TAU.ln() + 1.0);
        let of = |normalisations: &[Normalisation]| held_out_nll(&cache, &training, &held_out, normalisations);
        let raw = of(&[Normalisation::Identity]);
        assert!((raw - entropy).abs() < 0.03, "{raw} is not {entropy}");
        let (standardised, _) =
            initialise::normalisations(&cache, &training, &held_out, NormalisationKind::Standardise);
        let found = of(&standardised);
        let wanted = entropy - 0.25 * 10_f64.ln();
        assert!((found - wanted).abs() < 0.03, "{found} is not {wanted}");
        let (whitened, _) = initialise::normalisations(&cache, &training, &held_out, NormalisationKind::Whiten);
        // Whitening shrinks, so its own variances are not all 1: only the units differ.
        let factor = whitened[0].log_det(cache.shapes()[0], &[]) / 512.0;
        assert!((of(&whitened) - factor - raw).abs() < 1e-6);
    }
}

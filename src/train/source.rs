//! What the flow is shown: the cached features, normalised, with noise in training.

use super::{FeatureCache, noise::Noise};
use crate::flow::Normalisation;

/// The features as the flow sees them.
pub(super) struct Source<'a> {
    pub(super) cache: &'a FeatureCache,
    pub(super) normalisations: Vec<Normalisation>,
    /// Per scale, per channel, the noise's standard deviation.
    pub(super) deviations: Vec<Vec<f32>>,
    pub(super) seed: u64,
}

/// An image in one of its versions.
#[derive(Clone, Copy)]
pub(super) struct Draw {
    pub(super) image: usize,
    pub(super) version: usize,
}

impl Source<'_> {
    /// Without noise: normalised features (C, H, W).
    pub(super) fn plain(&self, draw: Draw, scale: usize, target: &mut [f32]) {
        self.cache.read(draw.image, draw.version, scale, target);
        self.normalisations[scale].apply(self.cache.shapes()[scale], target);
    }

    /// With noise, drawn anew for each `step` and `position` in its batch.
    pub(super) fn noisy(&self, draw: Draw, [step, position]: [usize; 2], scale: usize, target: &mut [f32]) {
        self.plain(draw, scale, target);
        Noise::new(self.seed, step as u64, position as u64, scale as u64).add(target, &self.deviations[scale]);
    }
}

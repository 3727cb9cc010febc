//! Where training starts: which images it has, and the flow, a new one or one that was trained before.

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{
    FeatureCache, TrainOptions, initialise,
    source::{Draw, Source},
};
use crate::{
    Error, Result,
    flow::{Architecture, Flow, NormalisationKind},
};

/// A flow that training goes on from.
#[derive(Clone, Debug)]
pub struct Start {
    /// The flow. Its normalisation stays as it is.
    pub flow: Flow,
    /// Places of the images that are held out. The flow must not have seen them: a measurement on what it was trained on says too little.
    pub held_out: Vec<usize>,
}

impl Start {
    pub(super) fn check(&self, cache: &FeatureCache) -> Result<()> {
        if self.flow.architecture().features != cache.shapes() {
            return Err(Error::parameter("start", "the flow is for other feature maps than these images have"));
        }
        let images = cache.len();
        let mut known = vec![false; images];
        for &image in &self.held_out {
            let known = known.get_mut(image).ok_or_else(|| {
                Error::parameter("start", format!("image {image} is held out, and there are {images}"))
            })?;
            *known = true;
        }
        let held = known.iter().filter(|&&held| held).count();
        if held == 0 || held == images {
            return Err(Error::parameter("start", format!("{held} of {images} images are held out")));
        }
        Ok(())
    }
}

/// The images to train on and, sorted, those held out.
pub(super) fn split(
    images: usize,
    options: &TrainOptions,
    start: Option<&Start>,
    random: &mut ChaCha8Rng,
) -> Result<(Vec<usize>, Vec<usize>)> {
    let mut order: Vec<usize> = (0..images).collect();
    order.shuffle(random);
    let mut held_out: Vec<usize> = match start {
        Some(start) => order.extract_if(.., |image| start.held_out.contains(image)).collect(),
        None => {
            let held = options.held_out_images(images);
            let first = held * options.fold;
            if first >= images {
                let reason = format!("there is no part {} of {held} in {images} images", options.fold);
                return Err(Error::parameter("fold", reason));
            }
            order.drain(first..(first + held).min(images)).collect()
        }
    };
    held_out.sort_unstable();
    Ok((order, held_out))
}

/// A flow that is not trained, with the normalisation of the images, and each channel's deviation after that.
pub(super) fn fresh(
    cache: &FeatureCache,
    options: &TrainOptions,
    training: &[usize],
    held_out: &[usize],
) -> Result<(Flow, Vec<Vec<f32>>)> {
    let TrainOptions { steps, kernels, topology, .. } = options;
    let architecture = Architecture::connected(cache.shapes().to_vec(), *steps, kernels.clone(), *topology)?;
    let (normalisations, deviations) = initialise::normalisations(cache, training, held_out, options.normalisation);
    Ok((Flow::new(architecture, normalisations, options.seed)?, deviations))
}

/// The flow starts as a model of independent values: on whitened features, as their Gaussian.
pub(super) fn initialised(mut flow: Flow, options: &TrainOptions, training: &[usize], source: &Source<'_>) -> Flow {
    flow.set_couplings_to_identity();
    if options.normalisation == NormalisationKind::LayerNorm {
        let first = &training[..options.initial_images.min(training.len())];
        initialise::act_norm(&mut flow, first.len(), |position, scale, target| {
            source.noisy(Draw { image: first[position], version: 0 }, [usize::MAX, position], scale, target);
        });
    }
    flow
}

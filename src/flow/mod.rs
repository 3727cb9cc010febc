//! The U-shaped normalizing flow: maps a backbone's feature maps to latents that are white noise on good images.
//!
//! Design page §2, from the paper's §3.2. There is one stage per scale, from the coarsest to the finest. A stage is a
//! sequence of affine couplings with ActNorm and a fixed permutation of the channels. Between stages, part of the channels goes up to twice the
//! size. The map is exactly invertible and its log-determinant is known. The parameters are fitted by maximum likelihood with
//! the reverse pass written here ([`Gradients`](crate::train::Gradients)).
//!
//! The code is generic over [`Real`]: `f32` in use, `f64` where gradients are checked against finite differences.

mod architecture;
mod convolution;
mod elementwise;
mod export;
mod mixing;
mod normalise;
mod pass;
mod read;
mod step;
mod weights;

pub use architecture::{Architecture, Topology};
pub use mixing::Mixing;
pub use normalise::{Normalisation, NormalisationKind};
pub use weights::StepWeights;

pub use crate::kernel::Real;
pub(crate) use architecture::{PUBLISHED_CLAMP, text as shape_text};
pub(crate) use elementwise::square_sum;
pub(crate) use pass::{Loss, Workspace};
pub(crate) use step::{Lane, scale_parameter};

use std::ops::Range;

use architecture::StepLayout;
use mixing::Mixer;
use ndarray::{Array3, ArrayView3};
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use step::Step;

use crate::{Error, Reason, Result, latents::ScaleShape};

/// A flow and its parameters.
#[derive(Clone, Debug)]
pub struct Flow<T = f32> {
    architecture: Architecture,
    normalisations: Vec<Normalisation>,
    layout: Vec<Vec<StepLayout>>,
    mixers: Vec<Vec<Mixer>>,
    parameters: Vec<T>,
}

impl<T: Real> Flow<T> {
    /// A flow to train: random permutations, convolutions whose couplings start near the identity, scale 1, offset 0.
    /// The same seed gives the same flow.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the architecture is invalid or the normalisations do not fit it.
    pub fn new(architecture: Architecture, normalisations: Vec<Normalisation>, seed: u64) -> Result<Self> {
        architecture.validate()?;
        if normalisations.len() != architecture.scales() {
            let reason = format!("{} given for {} scales", normalisations.len(), architecture.scales());
            return Err(Error::parameter("feature normalisation", reason));
        }
        for (scale, (normalisation, shape)) in normalisations.iter().zip(&architecture.features).enumerate() {
            normalisation.validate(scale, *shape)?;
        }
        let layout = architecture.layout();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let count = layout.last().and_then(|stage| stage.last()).map_or(0, StepLayout::end);
        let mut parameters = vec![T::default(); count];
        let mut mixers = Vec::with_capacity(layout.len());
        for stage in &layout {
            let mut shuffled = Vec::with_capacity(stage.len());
            for step in stage {
                initialise(step, &mut parameters, &mut random);
                let mut forward: Vec<usize> = (0..step.shape.channels).collect();
                forward.shuffle(&mut random);
                shuffled.extend(Mixer::new(Mixing::Permutation(forward), step.shape.channels));
            }
            mixers.push(shuffled);
        }
        Ok(Self { architecture, normalisations, layout, mixers, parameters })
    }

    /// The shapes and steps.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The normalisation of each scale's features.
    pub fn normalisations(&self) -> &[Normalisation] {
        &self.normalisations
    }

    /// All trained parameters, in a fixed order.
    pub fn parameters(&self) -> &[T] {
        &self.parameters
    }

    /// All trained parameters, mutable.
    pub fn parameters_mut(&mut self) -> &mut [T] {
        &mut self.parameters
    }

    /// The same flow with another number type.
    pub fn cast<U: Real>(&self) -> Flow<U> {
        Flow {
            architecture: self.architecture.clone(),
            normalisations: self.normalisations.clone(),
            layout: self.layout.clone(),
            mixers: self.mixers.clone(),
            parameters: self.parameters.iter().map(|value| U::of(value.to_f64())).collect(),
        }
    }

    /// The place of a stage's parameters.
    pub(crate) fn stage_range(&self, scale: usize) -> Range<usize> {
        let stage = &self.layout[scale];
        stage.first().map_or(0, |step| step.start)..stage.last().map_or(0, StepLayout::end)
    }

    pub(crate) fn step(&self, scale: usize, index: usize) -> Step<'_, T> {
        Step { layout: self.layout[scale][index], parameters: &self.parameters, mixer: &self.mixers[scale][index] }
    }

    /// Makes every coupling the identity until it is trained: the last convolution of its subnetwork becomes 0.
    pub(crate) fn set_couplings_to_identity(&mut self) {
        for step in self.layout.iter().flatten() {
            let parts = step.parts_mut(&mut self.parameters);
            parts.second_weight.fill(T::default());
            parts.second_bias.fill(T::default());
        }
    }

    /// Sets a step's ActNorm so that its output is (x̃ − mean) / deviation.
    pub(crate) fn set_act_norm(&mut self, scale: usize, index: usize, channel: usize, mean: f64, deviation: f64) {
        let parts = self.layout[scale][index].parts_mut(&mut self.parameters);
        parts.scale[channel] = T::of(scale_parameter(1.0 / deviation));
        parts.offset[channel] = T::of(-mean / deviation);
    }

    /// The output channel of a step for channel `channel` of x̃, if the step permutes.
    pub(crate) fn destination(&self, scale: usize, index: usize, channel: usize) -> usize {
        self.mixers[scale][index].destination(channel)
    }

    /// Latents of one image's features (finest first, each (C, H, W)), and log |det J| of the flow in nats. The
    /// determinant does not include the normalisation before the flow.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the shapes differ from the architecture's.
    pub fn forward(&self, features: &[ArrayView3<'_, T>]) -> Result<(Vec<Array3<T>>, f64)> {
        self.check("features", features, &self.architecture.features)?;
        let mut workspace = Workspace::new(self);
        for (scale, map) in features.iter().enumerate() {
            let target = workspace.features_mut(self, scale);
            copy(map, target);
            self.normalisations[scale].apply(self.architecture.features[scale], target);
        }
        let loss = workspace.forward(self, &mut [Lane::default()]);
        let latents = self.architecture.latents();
        let arrays = latents.iter().enumerate().map(|(scale, shape)| array(shape, workspace.latents(self, scale)));
        Ok((arrays.collect::<Result<_>>()?, loss.log_det))
    }

    /// The normalised features that the flow maps to these latents. The normalisation is not undone.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the shapes differ from the architecture's.
    pub fn inverse(&self, latents: &[ArrayView3<'_, T>]) -> Result<Vec<Array3<T>>> {
        self.check("latents", latents, &self.architecture.latents())?;
        let mut workspace = Workspace::new(self);
        for (scale, map) in latents.iter().enumerate() {
            copy(map, workspace.latents_mut(self, scale));
        }
        workspace.inverse(self);
        let features = self.architecture.features.iter().enumerate();
        features.map(|(scale, shape)| array(shape, workspace.features_mut(self, scale))).collect()
    }

    fn check(&self, name: &'static str, maps: &[ArrayView3<'_, T>], shapes: &[ScaleShape]) -> Result<()> {
        if maps.len() != shapes.len() {
            return Err(Error::parameter(
                name,
                format!("{} maps given, the flow has {} scales", maps.len(), shapes.len()),
            ));
        }
        for (scale, (map, shape)) in maps.iter().zip(shapes).enumerate() {
            let (channels, height, width) = map.dim();
            let found = ScaleShape { channels, height, width };
            if found != *shape {
                let reason = format!("scale {scale} is {}, not {}", shape_text(&found), shape_text(shape));
                return Err(Error::parameter(name, reason));
            }
        }
        Ok(())
    }
}

fn copy<T: Real>(map: &ArrayView3<'_, T>, target: &mut [T]) {
    for (target, value) in target.iter_mut().zip(map) {
        *target = *value;
    }
}

fn array<T: Real>(shape: &ScaleShape, values: &[T]) -> Result<Array3<T>> {
    Array3::from_shape_vec((shape.channels, shape.height, shape.width), values.to_vec())
        .map_err(|error| Error::parameter("flow", Reason::of(error)))
}

/// He's uniform initialisation for the first convolution; a smaller one for the second, so that couplings start near the identity.
fn initialise<T: Real>(step: &StepLayout, parameters: &mut [T], random: &mut ChaCha8Rng) {
    let inputs = (step.passive() * step.taps()) as f64;
    let parts = step.parts_mut(parameters);
    let mut fill = |values: &mut [T], bound: f64| {
        values.iter_mut().for_each(|value| *value = T::of(random.random_range(-bound..bound)));
    };
    fill(parts.first_weight, (6.0 / inputs).sqrt());
    fill(parts.second_weight, 0.1 / inputs.sqrt());
    parts.scale.fill(T::of(scale_parameter(1.0)));
}

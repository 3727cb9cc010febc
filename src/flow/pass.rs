//! Passes through the whole U for one image: buffers, forward, reverse pass, inverse.
//!
//! A [`Workspace`] holds every map of one image. It is allocated once and reused, so a pass allocates nothing.

use super::{
    Flow,
    elementwise::square_sum,
    step::{Kept, Lane},
};
use crate::{kernel::Real, latents::ScaleShape};

/// The maps of one image in one stage.
#[derive(Debug)]
struct StageMaps<T> {
    /// The stage's input, then each step's output, (C, H, W).
    states: Vec<Vec<T>>,
    /// Per step, the subnetwork's hidden map.
    hidden: Vec<Vec<T>>,
    /// Per step, (l, t); during the reverse pass, their gradients.
    coupling: Vec<Vec<T>>,
    /// Gradients of a step's output and input, swapped after each step; empty until the first reverse pass.
    gradients: [Vec<T>; 2],
    d_hidden: Vec<T>,
}

/// Buffers for one image's pass through a flow, forward and reverse.
#[derive(Debug)]
pub(crate) struct Workspace<T> {
    stages: Vec<StageMaps<T>>,
    /// Each scale's part of the loss, finest first.
    losses: Vec<Loss>,
}

/// The two parts of an image's loss, `half_square − log_det`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Loss {
    /// ½ Σ z².
    pub(crate) half_square: f64,
    /// log |det J|.
    pub(crate) log_det: f64,
}

impl Loss {
    pub(crate) fn total(&self) -> f64 {
        self.half_square - self.log_det
    }
}

impl<T: Real> Workspace<T> {
    pub(crate) fn new(flow: &Flow<T>) -> Self {
        let zeros = |length| vec![T::default(); length];
        let stage = |scale| {
            let architecture = flow.architecture();
            let shape: ScaleShape = architecture.stage(scale);
            let (active, pixels) = (shape.channels / 2, shape.pixels());
            let steps = architecture.steps;
            StageMaps {
                states: (0..=steps).map(|_| zeros(shape.len())).collect(),
                hidden: (0..steps).map(|_| zeros(architecture.hidden_width(scale) * pixels)).collect(),
                coupling: (0..steps).map(|_| zeros(2 * active * pixels)).collect(),
                gradients: [Vec::new(), Vec::new()],
                d_hidden: Vec::new(),
            }
        };
        let scales = flow.architecture().scales();
        Self { stages: (0..scales).map(stage).collect(), losses: vec![Loss::default(); scales] }
    }

    /// Buffer for the normalised features of a scale, before [`forward`](Self::forward).
    pub(crate) fn features_mut(&mut self, flow: &Flow<T>, scale: usize) -> &mut [T] {
        &mut self.stages[scale].states[0][..flow.architecture().features[scale].len()]
    }

    /// The latents of a scale, (C, H, W), after [`forward`](Self::forward).
    pub(crate) fn latents(&self, flow: &Flow<T>, scale: usize) -> &[T] {
        let architecture = flow.architecture();
        &self.stages[scale].states[architecture.steps]
            [architecture.rising(scale) * architecture.features[scale].pixels()..]
    }

    /// The input of step `index`, which is the output of the step before; one more than there are steps.
    pub(crate) fn state(&self, scale: usize, index: usize) -> &[T] {
        &self.stages[scale].states[index]
    }

    /// Computes the latents of the features in the buffers, and the loss.
    pub(crate) fn forward(&mut self, flow: &Flow<T>, lanes: &mut [Lane<T>]) -> Loss {
        let mut loss = Loss::default();
        for scale in (0..self.stages.len()).rev() {
            lanes.iter_mut().for_each(|lane| lane.log_det = 0.0);
            self.rise(flow, scale);
            let constant: f64 = (0..flow.architecture().steps).map(|step| self.step(flow, scale, step, lanes)).sum();
            let squares = square_sum(self.latents(flow, scale), flow.architecture().features[scale].pixels());
            let of_scale = Loss {
                half_square: 0.5 * squares,
                log_det: constant + lanes.iter().map(|lane| lane.log_det).sum::<f64>(),
            };
            loss.half_square += of_scale.half_square;
            loss.log_det += of_scale.log_det;
            self.losses[scale] = of_scale;
        }
        loss
    }

    /// Each scale's part of the loss, finest first, after [`forward`](Self::forward).
    pub(crate) fn losses(&self) -> &[Loss] {
        &self.losses
    }

    /// Copies the rising channels of the next coarser stage's output into this stage's input.
    pub(crate) fn rise(&mut self, flow: &Flow<T>, scale: usize) {
        let (finer, coarser) = self.stages.split_at_mut(scale + 1);
        if let (Some(finer), Some(coarser)) = (finer.last_mut(), coarser.first()) {
            let architecture = flow.architecture();
            let (shape, steps) = (architecture.features[scale + 1], architecture.steps);
            let target = &mut finer.states[0][architecture.features[scale].len()..];
            for_each_rearranged(architecture.rising(scale + 1), shape, |fine, coarse| {
                target[fine] = coarser.states[steps][coarse];
            });
        }
    }

    /// Runs one step; returns its ActNorm's log-determinant. Σ l is added to the lanes.
    pub(crate) fn step(&mut self, flow: &Flow<T>, scale: usize, index: usize, lanes: &mut [Lane<T>]) -> f64 {
        let StageMaps { states, hidden, coupling, .. } = &mut self.stages[scale];
        let step = flow.step(scale, index);
        let (before, after) = states.split_at_mut(index + 1);
        let kept = Kept { hidden: &mut hidden[index], coupling: &mut coupling[index] };
        step.forward(&before[index], kept, &mut after[0], lanes);
        step.log_scale()
    }

    /// Adds the loss's gradient to the lanes. Call [`forward`](Self::forward) first.
    pub(crate) fn backward(&mut self, flow: &Flow<T>, lanes: &mut [Lane<T>]) {
        let architecture = flow.architecture();
        let steps = architecture.steps;
        for scale in 0..self.stages.len() {
            let shape = architecture.stage(scale);
            let rising = architecture.rising(scale);
            let (finer, coarser) = self.stages.split_at_mut(scale);
            let StageMaps { states, hidden, coupling, gradients: [first, second], d_hidden } = &mut coarser[0];
            for buffer in [&mut *first, &mut *second] {
                buffer.resize(shape.len(), T::default());
            }
            d_hidden.resize(architecture.hidden_width(scale) * shape.pixels(), T::default());
            let (mut dy, mut dx) = (first, second);
            let latents = rising * shape.pixels();
            dy[latents..].copy_from_slice(&states[steps][latents..]);
            if let Some(finer) = finer.last() {
                // After `steps` swaps (below), this buffer holds the gradient of the finer stage's input.
                let source = &finer.gradients[steps % 2][architecture.features[scale - 1].len()..];
                for_each_rearranged(rising, shape, |fine, coarse| dy[coarse] = source[fine]);
            }
            let wanted = scale + 1 < architecture.scales() && architecture.rising(scale + 1) > 0;
            for index in (0..steps).rev() {
                let kept = Kept { hidden: &mut hidden[index], coupling: &mut coupling[index] };
                let maps = [&mut dy[..], &mut dx[..], &mut d_hidden[..]];
                flow.step(scale, index).backward(&states[index], kept, maps, lanes, index > 0 || wanted);
                std::mem::swap(&mut dy, &mut dx);
            }
        }
    }

    /// Computes the (normalised) features of the latents; fills every stage's input from the last states.
    pub(crate) fn inverse(&mut self, flow: &Flow<T>) {
        let architecture = flow.architecture();
        let steps = architecture.steps;
        for scale in 0..self.stages.len() {
            let rising = architecture.rising(scale);
            let (finer, coarser) = self.stages.split_at_mut(scale);
            let StageMaps { states, hidden, coupling, .. } = &mut coarser[0];
            if let Some(finer) = finer.last() {
                let source = &finer.states[0][architecture.features[scale - 1].len()..];
                let target = &mut states[steps];
                for_each_rearranged(rising, architecture.stage(scale), |fine, coarse| target[coarse] = source[fine]);
            }
            for index in (0..steps).rev() {
                let (before, after) = states.split_at_mut(index + 1);
                let kept = Kept { hidden: &mut hidden[index], coupling: &mut coupling[index] };
                flow.step(scale, index).inverse(&after[0], kept, &mut before[index]);
            }
        }
    }

    /// Buffer for the latents of a scale, before [`inverse`](Self::inverse).
    pub(crate) fn latents_mut(&mut self, flow: &Flow<T>, scale: usize) -> &mut [T] {
        let architecture = flow.architecture();
        let start = architecture.rising(scale) * architecture.features[scale].pixels();
        &mut self.stages[scale].states[architecture.steps][start..]
    }
}

/// The upsampling between stages, `fine[c, 2i+a, 2j+b] = coarse[4c+2a+b, i, j]`, as pairs of positions (fine, coarse).
fn for_each_rearranged(channels: usize, coarse: ScaleShape, mut pair: impl FnMut(usize, usize)) {
    let (height, width) = (coarse.height, coarse.width);
    for channel in 0..channels {
        let (c, a, b) = (channel / 4, channel / 2 % 2, channel % 2);
        for i in 0..height {
            let fine = ((c * 2 * height + 2 * i + a) * 2 * width) + b;
            let coarse = (channel * height + i) * width;
            for j in 0..width {
                pair(fine + 2 * j, coarse + j);
            }
        }
    }
}

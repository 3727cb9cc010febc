//! One optimiser step at a time: clipping by the global norm, then Adam with weight decay as in PyTorch's `Adam`.

use rayon::prelude::*;

use super::{BatchLoss, Gradients, TrainOptions, gradients::BLOCK};
use crate::{
    flow::{Flow, square_sum},
    kernel::{Vectorised, vectorised},
};

const BETA: [f64; 2] = [0.9, 0.999];
const EPSILON: f32 = 1e-8;

/// A flow being trained: gradients, Adam's moments, the parameters.
#[derive(Debug)]
pub struct Trainer {
    flow: Flow<f32>,
    gradients: Gradients<f32>,
    moments: [Vec<f32>; 2],
    steps: i32,
    weight_decay: f64,
    clip: Option<f64>,
}

impl Trainer {
    /// Weight decay and clipping come from the options; the learning rate is passed to each step.
    pub fn new(flow: Flow<f32>, options: &TrainOptions) -> Self {
        let count = flow.parameters().len();
        Self {
            gradients: Gradients::new(&flow),
            moments: [vec![0.0; count], vec![0.0; count]],
            steps: 0,
            weight_decay: options.weight_decay,
            clip: options.clip,
            flow,
        }
    }

    /// The flow as it is now.
    pub fn flow(&self) -> &Flow<f32> {
        &self.flow
    }

    /// The flow as it is now, without the optimiser.
    pub fn into_flow(self) -> Flow<f32> {
        self.flow
    }

    pub(super) fn gradients(&self) -> &Gradients<f32> {
        &self.gradients
    }

    /// One step on a batch of images, on the current rayon pool. `fill(image, scale, target)` writes an image's normalised
    /// features (C, H, W). Returns the loss before the step; a step whose loss or gradient is not finite changes nothing.
    pub fn step<F>(&mut self, batch: usize, learning_rate: f64, fill: F) -> BatchLoss
    where
        F: Fn(usize, usize, &mut [f32]) + Sync,
    {
        let mut loss = self.gradients.compute(&self.flow, batch, fill);
        let gradient = self.gradients.gradient();
        let norms: Vec<f64> = gradient.par_chunks(BLOCK).map(|block| square_sum(block, BLOCK)).collect();
        let norm = norms.iter().sum::<f64>().sqrt();
        if !loss.loss.is_finite() || !norm.is_finite() {
            loss.loss = f64::NAN;
            return loss;
        }
        let limit = self.clip.map_or(f64::INFINITY, |clip| clip * self.flow.architecture().values() as f64);
        self.steps += 1;
        let correction = BETA.map(|beta| 1.0 - beta.powi(self.steps));
        let update = Update {
            clip: if norm > limit { (limit / norm) as f32 } else { 1.0 },
            weight_decay: self.weight_decay as f32,
            rate: (learning_rate / correction[0]) as f32,
            second_correction: (1.0 / correction[1].sqrt()) as f32,
        };
        let [first, second] = &mut self.moments;
        let parameters = self.flow.parameters_mut().par_chunks_mut(BLOCK);
        let blocks = parameters.zip(gradient.par_chunks(BLOCK));
        let blocks = blocks.zip(first.par_chunks_mut(BLOCK)).zip(second.par_chunks_mut(BLOCK));
        blocks.for_each(|(((parameters, gradient), first), second)| {
            vectorised(Adam { parameters, gradient, first, second, update });
        });
        loss
    }
}

#[derive(Clone, Copy)]
struct Update {
    clip: f32,
    weight_decay: f32,
    rate: f32,
    second_correction: f32,
}

struct Adam<'a> {
    parameters: &'a mut [f32],
    gradient: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    update: Update,
}

impl Vectorised for Adam<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Update { clip, weight_decay, rate, second_correction } = self.update;
        let [keep, keep_square] = BETA.map(|beta| beta as f32);
        let [take, take_square] = BETA.map(|beta| (1.0 - beta) as f32);
        let values = self.parameters.iter_mut().zip(self.gradient).zip(self.first).zip(self.second);
        for (((parameter, gradient), first), second) in values {
            let gradient = clip * *gradient + weight_decay * *parameter;
            *first = keep * *first + take * gradient;
            *second = keep_square * *second + take_square * gradient * gradient;
            *parameter -= rate * *first / (second.sqrt() * second_correction + EPSILON);
        }
    }
}

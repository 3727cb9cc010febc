//! The average of the parameters over the last optimiser steps, as one flow.
//!
//! At a constant rate the parameters move about the optimum; their average lies closer to it, as if the rate had been lowered (Polyak and
//! Juditsky, "Acceleration of stochastic approximation by averaging", 1992). So no schedule has to know when training ends.

use rayon::prelude::*;

use super::gradients::BLOCK;
use crate::flow::Flow;

/// An exponential moving average with bias correction, as in Adam: the first step counts whole.
#[derive(Debug)]
pub(super) struct Average {
    flow: Flow<f32>,
    /// Part of the average that a step keeps.
    keep: f64,
    steps: i32,
}

impl Average {
    /// The average that a flow starts with, the flow itself. After `half_life` steps a step counts half.
    pub(super) fn new(flow: &Flow<f32>, half_life: usize) -> Self {
        Self { flow: flow.clone(), keep: 0.5_f64.powf(1.0 / half_life.max(1) as f64), steps: 0 }
    }

    /// Takes in the parameters after an optimiser step.
    pub(super) fn add(&mut self, parameters: &[f32]) {
        self.steps = self.steps.saturating_add(1);
        // a ← a + w·(θ − a) with w = (1 − β)/(1 − βᵗ) is the corrected average itself.
        let weight = ((1.0 - self.keep) / (1.0 - self.keep.powi(self.steps))) as f32;
        let blocks = self.flow.parameters_mut().par_chunks_mut(BLOCK).zip(parameters.par_chunks(BLOCK));
        blocks.for_each(|(averages, parameters)| {
            for (average, parameter) in averages.iter_mut().zip(parameters) {
                *average += weight * (*parameter - *average);
            }
        });
    }

    /// The flow with the averaged parameters.
    pub(super) fn flow(&self) -> &Flow<f32> {
        &self.flow
    }

    pub(super) fn into_flow(self) -> Flow<f32> {
        self.flow
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        flow::{Architecture, Normalisation},
        latents::ScaleShape,
    };

    #[test]
    fn a_step_counts_half_after_the_half_life_and_the_first_counts_whole() {
        let shape = ScaleShape { channels: 2, height: 1, width: 1 };
        let architecture = Architecture::new(vec![shape]).unwrap();
        let flow = Flow::new(architecture, vec![Normalisation::Identity], 1).unwrap();
        let count = flow.parameters().len();
        let mut average = Average::new(&flow, 3);
        assert_eq!(average.flow().parameters(), flow.parameters());
        let values = [4.0, -1.0, 2.5, 7.0, 0.5, 3.0, -2.0];
        for (step, &value) in values.iter().enumerate() {
            average.add(&vec![value; count]);
            let weight = |age: usize| 0.5_f64.powf(age as f64 / 3.0);
            let weights: f64 = (0..=step).map(weight).sum();
            let sum: f64 = (0..=step).map(|age| weight(age) * f64::from(values[step - age])).sum();
            for found in average.flow().parameters() {
                assert!(
                    (f64::from(*found) - sum / weights).abs() < 1e-5,
                    "step {step}: {found} is not {}",
                    sum / weights
                );
            }
        }
    }
}

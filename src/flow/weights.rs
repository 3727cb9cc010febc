//! A step's parameters in the layout that PyTorch and ONNX use.

use super::{
    Flow,
    architecture::{Parts, StepLayout},
    step::Permutation,
};
use crate::{Error, Result, kernel::Real};

/// One step's parameters; convolution weights are (output, input, kernel, kernel).
#[derive(Clone, Debug, PartialEq)]
pub struct StepWeights<T = f32> {
    /// Weights of the first convolution.
    pub first_weight: Vec<T>,
    /// Biases of the first convolution.
    pub first_bias: Vec<T>,
    /// Weights of the second convolution.
    pub second_weight: Vec<T>,
    /// Biases of the second convolution.
    pub second_bias: Vec<T>,
    /// g of `scale = 0.1·softplus_{β=0.5}(g)`, per channel before the permutation.
    pub scale: Vec<T>,
    /// Offset, per channel before the permutation.
    pub offset: Vec<T>,
    /// Output channel i is channel `permutation[i]` before it.
    pub permutation: Vec<usize>,
}

impl<T: Real> Flow<T> {
    /// One step's parameters. `None` if there is no such step.
    pub fn step_weights(&self, scale: usize, index: usize) -> Option<StepWeights<T>> {
        self.in_step_layout(&self.parameters, scale, index)
    }

    /// A vector that is laid out as [`parameters`](Self::parameters), e.g. their gradient, seen as one step's weights.
    /// `None` if there is no such step or the vector is too short.
    pub fn in_step_layout(&self, values: &[T], scale: usize, index: usize) -> Option<StepWeights<T>> {
        let layout = self.layout.get(scale)?.get(index)?;
        if values.len() < layout.end() {
            return None;
        }
        let parts = layout.parts(values);
        Some(StepWeights {
            first_weight: reorder(layout, parts.first_weight, false),
            first_bias: parts.first_bias.to_vec(),
            second_weight: reorder(layout, parts.second_weight, false),
            second_bias: parts.second_bias.to_vec(),
            scale: parts.scale.to_vec(),
            offset: parts.offset.to_vec(),
            permutation: self.permutations[scale][index].forward.clone(),
        })
    }

    /// Replaces one step's parameters and permutation.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is no such step, a length is wrong, or the permutation is none.
    pub fn set_step_weights(&mut self, scale: usize, index: usize, weights: &StepWeights<T>) -> Result<()> {
        let wrong = |reason: String| Error::parameter("flow step", format!("scale {scale}, step {index}: {reason}"));
        let layout = self.layout.get(scale).and_then(|stage| stage.get(index)).copied();
        let layout = layout.ok_or_else(|| wrong("the flow has no such step".to_owned()))?;
        let Parts { first_weight, first_bias, second_weight, second_bias, scale: g, offset } =
            layout.parts_mut(&mut self.parameters);
        let first = reorder(&layout, &weights.first_weight, true);
        let second = reorder(&layout, &weights.second_weight, true);
        let groups: [(&str, &[T], &mut [T]); 6] = [
            ("first weights", &first, first_weight),
            ("first biases", &weights.first_bias, first_bias),
            ("second weights", &second, second_weight),
            ("second biases", &weights.second_bias, second_bias),
            ("scales", &weights.scale, g),
            ("offsets", &weights.offset, offset),
        ];
        for (name, from, to) in &groups {
            if from.len() != to.len() {
                return Err(wrong(format!("{} {name}, {} needed", from.len(), to.len())));
            }
        }
        let permutation = Permutation::new(weights.permutation.clone())
            .filter(|permutation| permutation.forward.len() == layout.shape.channels)
            .ok_or_else(|| wrong(format!("not a permutation of {} channels", layout.shape.channels)))?;
        for (_, from, to) in groups {
            to.copy_from_slice(from);
        }
        self.permutations[scale][index] = permutation;
        Ok(())
    }
}

/// (output, tap, input) to (output, input, tap), or back.
fn reorder<T: Real>(layout: &StepLayout, weights: &[T], back: bool) -> Vec<T> {
    let (inputs, taps) = (layout.passive(), layout.taps());
    let (rows, columns) = if back { (inputs, taps) } else { (taps, inputs) };
    let mut reordered = weights.to_vec();
    for (from, to) in weights.chunks_exact(rows * columns).zip(reordered.chunks_exact_mut(rows * columns)) {
        for row in 0..rows {
            for column in 0..columns {
                to[column * rows + row] = from[row * columns + column];
            }
        }
    }
    reordered
}

//! A step's parameters in the layout that PyTorch and ONNX use.

use super::{
    Flow,
    architecture::Parts,
    mixing::{Mixer, Mixing},
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
    /// g of `scale = 0.1·softplus_{β=0.5}(g)`, per channel before the mixing.
    pub scale: Vec<T>,
    /// Offset, per channel before the mixing.
    pub offset: Vec<T>,
    /// How the output channels follow from the channels before.
    pub mixing: Mixing,
}

impl<T: Real> Flow<T> {
    /// One step's parameters. `None` if there is no such step.
    pub fn step_weights(&self, scale: usize, index: usize) -> Option<StepWeights<T>> {
        self.in_step_layout(&self.parameters, scale, index)
    }

    /// Views a vector with the layout of [`parameters`](Self::parameters), for example their gradient, as one step's weights.
    /// `None` if there is no such step or the vector is too short.
    pub fn in_step_layout(&self, values: &[T], scale: usize, index: usize) -> Option<StepWeights<T>> {
        let layout = self.layout.get(scale)?.get(index)?;
        if values.len() < layout.end() {
            return None;
        }
        let parts = layout.parts(values);
        Some(StepWeights {
            first_weight: reorder([layout.taps(), layout.passive()], parts.first_weight),
            first_bias: parts.first_bias.to_vec(),
            second_weight: reorder([layout.taps(), layout.hidden], parts.second_weight),
            second_bias: parts.second_bias.to_vec(),
            scale: parts.scale.to_vec(),
            offset: parts.offset.to_vec(),
            mixing: self.mixers[scale][index].mixing.clone(),
        })
    }

    /// Replaces one step's parameters and mixing.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is no such step, a length is wrong, or the mixing is neither a permutation nor
    /// orthogonal.
    pub fn set_step_weights(&mut self, scale: usize, index: usize, weights: &StepWeights<T>) -> Result<()> {
        let wrong = |reason: String| Error::parameter("flow step", format!("scale {scale}, step {index}: {reason}"));
        let layout = self.layout.get(scale).and_then(|stage| stage.get(index)).copied();
        let layout = layout.ok_or_else(|| wrong("the flow has no such step".to_owned()))?;
        let Parts { first_weight, first_bias, second_weight, second_bias, scale: g, offset } =
            layout.parts_mut(&mut self.parameters);
        let first = reorder([layout.passive(), layout.taps()], &weights.first_weight);
        let second = reorder([layout.hidden, layout.taps()], &weights.second_weight);
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
        let mixer = Mixer::new(weights.mixing.clone(), layout.shape.channels).map_err(wrong)?;
        for (_, from, to) in groups {
            to.copy_from_slice(from);
        }
        self.mixers[scale][index] = mixer;
        Ok(())
    }
}

/// Reorders weights from (output, row, column) to (output, column, row): from taps × inputs to inputs × taps, or back.
fn reorder<T: Real>([rows, columns]: [usize; 2], weights: &[T]) -> Vec<T> {
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

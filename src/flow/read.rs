//! A flow from the ONNX model that [`Flow::to_onnx`] wrote, to train it on.
//!
//! The export folds constants into each other (see `export.rs`), and what it folded cannot be told apart again. It need not be: this module
//! gives the folded number to one of its parts and 1 or 0 to the other. The flow then has other parameters than the one that was exported, and
//! is the same function:
//!
//! - the transformed channels' offset goes into the second convolution's bias;
//! - the transformed channels' scale is 1, except in a stage's first step, which has it in the exponent;
//! - the next step's factors stay in the ActNorm of the channels that they came from.

use nalgebra::{DMatrix, DVector};

use super::{
    Architecture, Flow, Mixing, Normalisation, StepWeights, elementwise::COUPLING_SCALE, export::METADATA_KEY,
    step::scale_parameter,
};
use crate::{
    Error, Reason, Result,
    onnx::{ModelProto, TensorProto},
};

impl Flow<f32> {
    /// The flow of a model that [`to_onnx`](Self::to_onnx) wrote: the same function within float32's rounding, with parameters of its own.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a model that was not written so, or was written for a flow with rotations, as imported checkpoints have them.
    pub fn from_onnx(model: &ModelProto) -> Result<Self> {
        let reader = Reader { model };
        let architecture = reader.architecture()?;
        let normalisations = (0..architecture.scales())
            .map(|scale| reader.normalisation(&architecture, scale))
            .collect::<Result<_>>()?;
        let mut flow = Self::new(architecture, normalisations, 0)?;
        for scale in 0..flow.layout.len() {
            for index in 0..flow.architecture.steps {
                let weights = reader.step(&flow, scale, index)?;
                flow.set_step_weights(scale, index, &weights)?;
            }
        }
        Ok(flow)
    }
}

fn wrong(reason: impl std::fmt::Display) -> Error {
    Error::parameter("flow", format!("{reason}; only a flow that uflow fit has written can be trained on"))
}

struct Reader<'a> {
    model: &'a ModelProto,
}

impl Reader<'_> {
    fn architecture(&self) -> Result<Architecture> {
        let entry = self.model.metadata_props.iter().find(|entry| entry.key == METADATA_KEY);
        let text = &entry.ok_or_else(|| wrong("the network does not say its architecture"))?.value;
        let architecture: Architecture = serde_json::from_str(text).map_err(|error| wrong(Reason::of(error)))?;
        architecture.validate()?;
        Ok(architecture)
    }

    fn tensor(&self, name: &str) -> Option<&TensorProto> {
        self.model.graph.as_ref()?.initializer.iter().find(|tensor| tensor.name == name)
    }

    /// The values of a constant, if there is one of this name.
    fn find(&self, name: &str) -> Result<Option<Vec<f32>>> {
        let Some(tensor) = self.tensor(name) else { return Ok(None) };
        let (values, rest) = tensor.raw_data.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(wrong(format_args!("the network's {name} has no whole number of values")));
        }
        Ok(Some(values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()))
    }

    fn floats(&self, name: &str) -> Result<Vec<f32>> {
        self.find(name)?.ok_or_else(|| wrong(format_args!("the network has no {name}")))
    }

    /// The channels that a `Gather` takes; none where the export left it out.
    fn indices(&self, name: &str) -> Result<Vec<usize>> {
        let Some(tensor) = self.tensor(name) else { return Ok(Vec::new()) };
        let (values, _) = tensor.raw_data.as_chunks::<8>();
        let indices = values.iter().map(|&bytes| usize::try_from(i64::from_le_bytes(bytes)));
        indices.collect::<Result<_, _>>().map_err(|_| wrong(format_args!("the network's {name} are no channels")))
    }

    fn normalisation(&self, architecture: &Architecture, scale: usize) -> Result<Normalisation> {
        if let Some(matrix) = self.find(&format!("s{scale}/whitening"))? {
            let bias = self.floats(&format!("s{scale}/whitening_bias"))?;
            return Ok(Normalisation::Whiten { mean: mean_of(&matrix, &bias)?, matrix });
        }
        let affine = format!("s{scale}/normalised");
        if let Some(inverse_deviation) = self.find(&format!("{affine}.scale"))? {
            let offset = self.floats(&format!("{affine}.offset"))?;
            let mean = offset.iter().zip(&inverse_deviation).map(|(offset, factor)| -offset / factor).collect();
            return Ok(Normalisation::Standardise { mean, inverse_deviation });
        }
        if let Some(gamma) = self.find(&format!("s{scale}/gamma"))? {
            let affine = Some((gamma, self.floats(&format!("s{scale}/beta"))?));
            return Ok(Normalisation::LayerNorm { affine });
        }
        let without_affine = self.tensor(&format!("s{scale}/flat_shape")).is_some();
        let normalisation =
            if without_affine { Normalisation::LayerNorm { affine: None } } else { Normalisation::Identity };
        normalisation.validate(scale, architecture.features[scale])?;
        Ok(normalisation)
    }

    /// A step's parameters, unfolded.
    fn step(&self, flow: &Flow<f32>, scale: usize, index: usize) -> Result<StepWeights> {
        let layout = flow.layout[scale][index];
        let (passive, active, channels) = (layout.passive(), layout.active(), layout.shape.channels);
        let name = format!("s{scale}.{index}");
        let ends = if index + 1 == flow.architecture.steps {
            [format!("s{scale}/rising"), format!("latent{scale}")]
        } else {
            [format!("{name}/y1"), format!("{name}/y2")]
        };
        if ends.iter().any(|end| self.tensor(&format!("{end}.rotation")).is_some()) {
            return Err(wrong("the flow has rotations"));
        }
        let mut sources = self.indices(&format!("{}.indices", ends[0]))?;
        sources.extend(self.indices(&format!("{}.indices", ends[1]))?);
        let mut scales = self.floats(&format!("{name}/passed.scale"))?;
        let mut offset = self.floats(&format!("{name}/passed.offset"))?;
        let in_exponent = self.find(&format!("{name}/log_scale"))?;
        scales.extend(in_exponent.map_or_else(|| vec![1.0; active], |logs| logs.into_iter().map(f32::exp).collect()));
        offset.resize(channels, 0.0);
        let (mut second_weight, mut second_bias) =
            (self.floats(&format!("{name}/w2"))?, self.floats(&format!("{name}/b2"))?);
        if scales.len() != channels || second_bias.len() != 2 * active {
            return Err(wrong(format_args!("step {name} of the network has other sizes than its architecture")));
        }
        let per_filter = layout.hidden * layout.taps();
        for (output, (filter, bias)) in second_weight.chunks_mut(per_filter).zip(&mut second_bias).enumerate() {
            let factor = match output.checked_sub(active) {
                None => COUPLING_SCALE,
                Some(channel) => COUPLING_SCALE * f64::from(scales[passive + channel]),
            };
            filter.iter_mut().for_each(|weight| *weight = (f64::from(*weight) / factor) as f32);
            *bias = (f64::from(*bias) / factor) as f32;
        }
        Ok(StepWeights {
            first_weight: self.floats(&format!("{name}/w1"))?,
            first_bias: self.floats(&format!("{name}/b1"))?,
            second_weight,
            second_bias,
            scale: scales.iter().map(|&scale| scale_parameter(f64::from(scale)) as f32).collect(),
            offset,
            mixing: Mixing::Permutation(sources),
        })
    }
}

/// The mean of which the convolution's bias is −W·mean.
fn mean_of(matrix: &[f32], bias: &[f32]) -> Result<Vec<f32>> {
    let channels = bias.len();
    if matrix.len() != channels * channels {
        return Err(wrong("the whitening of the network is not square"));
    }
    let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
    let matrix = DMatrix::from_row_slice(channels, channels, &wide(matrix));
    let mean = matrix.lu().solve(&-DVector::from_vec(wide(bias)));
    let mean = mean.ok_or_else(|| wrong("the whitening of the network cannot be inverted"))?;
    Ok(mean.iter().map(|&value| value as f32).collect())
}

//! The flow as an ONNX model: inputs `feature{s}` (batch, C, H, W), outputs `energy{s}` (batch, H, W) = Σ_c z² and `latent{s}`
//! (batch, C, H, W), finest scale first, float32, any batch.
//!
//! Constants are folded where that is exact. With the ActNorm of step k (s, o) and its coupling (l, t):
//!
//! - the subnetwork's factor 0.1 goes into the second convolution; so do s and o of the transformed channels on the side of t,
//!   `s·(x·eˡ + t) + o = (s·x)·eˡ + (s·t + o)`;
//! - s on the side of x goes into the ActNorm of step k − 1, because these channels of x are used nowhere else; in a stage's
//!   first step it becomes `e^{l + ln s}`;
//! - the passive channels get their ActNorm from one `BatchNormalization` (the offset cannot move through a zero-padded convolution);
//! - a permutation is two `Gather`s that also split the channels into the next step's halves, instead of a dense matrix;
//! - a rotation W (imported flows only) is two 1×1 convolutions that split the channels likewise; they include the whole ActNorm,
//!   `W·(s ⊙ x + o) = (W·diag s)·x + W·o`, and the x side of the next step's s.

use std::ops::Range;

use super::{Flow, Mixing, Normalisation, elementwise::COUPLING_SCALE, normalise::LAYER_NORM_EPSILON, step::scale_of};
use crate::{
    latents::ScaleShape,
    onnx::{Dim, GraphBuilder, ModelProto, float, int, ints, text},
};

/// Metadata key of the [`Architecture`](super::Architecture) as JSON.
pub(super) const METADATA_KEY: &str = "uflow.flow";

impl Flow<f32> {
    /// This flow, with its normalisation, as an ONNX model.
    pub fn to_onnx(&self) -> ModelProto {
        let mut export = Export { flow: self, graph: GraphBuilder::new("uflow-flow") };
        export.declare();
        let mut rising = None;
        for scale in (0..self.architecture.scales()).rev() {
            rising = export.stage(scale, rising);
        }
        let architecture = serde_json::to_string(&self.architecture).unwrap_or_default();
        export.graph.finish(&[(METADATA_KEY, &architecture)])
    }
}

/// ε of the `BatchNormalization`s, whose variance is 1 − ε, so that the root is 1 in float32. ε is not 0 because protobuf does not
/// write a 0, and a reader then uses ONNX's default.
const EPSILON: f32 = 1e-5;

struct Export<'a> {
    flow: &'a Flow<f32>,
    graph: GraphBuilder,
}

impl Export<'_> {
    fn declare(&mut self) {
        let batch = Dim::Named("batch");
        let latents = self.flow.architecture.latents();
        for (scale, shape) in self.flow.architecture.features.iter().enumerate() {
            let ScaleShape { channels, height, width } = *shape;
            let dims = [batch, Dim::Fixed(channels), Dim::Fixed(height), Dim::Fixed(width)];
            self.graph.input(&format!("feature{scale}"), &dims);
        }
        for (scale, shape) in latents.iter().enumerate() {
            let dims = [batch, Dim::Fixed(shape.height), Dim::Fixed(shape.width)];
            self.graph.output(&format!("energy{scale}"), &dims);
        }
        for (scale, shape) in latents.iter().enumerate() {
            let ScaleShape { channels, height, width } = *shape;
            let dims = [batch, Dim::Fixed(channels), Dim::Fixed(height), Dim::Fixed(width)];
            self.graph.output(&format!("latent{scale}"), &dims);
        }
    }

    /// Adds one stage; returns the map that goes up.
    fn stage(&mut self, scale: usize, risen: Option<String>) -> Option<String> {
        let shape = self.flow.architecture.stage(scale);
        let mut x = self.normalised(scale);
        if let Some(risen) = risen {
            x = self.graph.node("Concat", &[&x, &risen], &format!("s{scale}/input"), vec![int("axis", 1)]);
        }
        let steps = self.flow.architecture.steps;
        if steps == 0 {
            let latent = self.graph.node("Identity", &[&x], &format!("latent{scale}"), vec![]);
            self.energy(scale, &latent);
            return None;
        }
        let active = shape.channels / 2;
        let mut halves = self.split(&format!("s{scale}"), &x, [shape.channels - active, active]);
        let rising = self.flow.architecture.rising(scale);
        for index in 0..steps {
            let y = self.step(scale, index, &halves);
            let last = index + 1 == steps;
            let cut = if last { rising } else { shape.channels - active };
            let name = format!("s{scale}.{index}");
            let names = if last {
                [format!("s{scale}/rising"), format!("latent{scale}")]
            } else {
                [format!("{name}/y1"), format!("{name}/y2")]
            };
            self.mix(scale, index, &y, cut, &names);
            halves = names;
        }
        let [raised, latent] = halves;
        self.energy(scale, &latent);
        (rising > 0).then(|| {
            let attributes = vec![int("blocksize", 2), text("mode", "CRD")];
            self.graph.node("DepthToSpace", &[&raised], &format!("s{scale}/raised"), attributes)
        })
    }

    fn energy(&mut self, scale: usize, latent: &str) {
        let square = self.graph.node("Mul", &[latent, latent], &format!("s{scale}/square"), vec![]);
        let axes = self.graph.integers(&format!("s{scale}/axes"), &[1], &[1]);
        self.graph.node("ReduceSum", &[&square, &axes], &format!("energy{scale}"), vec![int("keepdims", 0)]);
    }

    /// Adds the normalisation of a scale's features.
    fn normalised(&mut self, scale: usize) -> String {
        let input = format!("feature{scale}");
        let output = format!("s{scale}/normalised");
        let shape = self.flow.architecture.features[scale];
        let epsilon = float("epsilon", LAYER_NORM_EPSILON as f32);
        match &self.flow.normalisations[scale] {
            Normalisation::Identity => input,
            Normalisation::Standardise { mean, inverse_deviation } => {
                let offset: Vec<f32> =
                    mean.iter().zip(inverse_deviation).map(|(mean, factor)| -mean * factor).collect();
                self.affine(&input, inverse_deviation, &offset, &output)
            }
            // A 1×1 convolution: W·(x − mean) = W·x − W·mean.
            Normalisation::Whiten { mean, matrix } => {
                let channels = shape.channels;
                let row = |row: &[f32]| -> f64 {
                    row.iter().zip(mean).map(|(weight, mean)| f64::from(*weight) * f64::from(*mean)).sum()
                };
                let bias: Vec<f32> = matrix.chunks_exact(channels).map(|weights| -row(weights) as f32).collect();
                let weight = self.graph.floats(&format!("s{scale}/whitening"), &[channels, channels, 1, 1], matrix);
                let bias = self.graph.floats(&format!("s{scale}/whitening_bias"), &[channels], &bias);
                self.graph.node("Conv", &[&input, &weight, &bias], &output, vec![ints("kernel_shape", &[1, 1])])
            }
            Normalisation::LayerNorm { affine: Some((gamma, beta)) } => {
                let dims = [shape.channels, shape.height, shape.width];
                let gamma = self.graph.floats(&format!("s{scale}/gamma"), &dims, gamma);
                let beta = self.graph.floats(&format!("s{scale}/beta"), &dims, beta);
                self.graph.node("LayerNormalization", &[&input, &gamma, &beta], &output, vec![int("axis", 1), epsilon])
            }
            // Without an affine: an instance norm of one long channel, which needs no C·H·W ones.
            Normalisation::LayerNorm { affine: None } => {
                let flat_shape = self.graph.integers(&format!("s{scale}/flat_shape"), &[3], &[0, 1, -1]);
                let flat = self.graph.node("Reshape", &[&input, &flat_shape], &format!("s{scale}/flat"), vec![]);
                let one = self.graph.floats(&format!("s{scale}/one"), &[1], &[1.0]);
                let zero = self.graph.floats(&format!("s{scale}/zero"), &[1], &[0.0]);
                let name = format!("s{scale}/flat_normalised");
                let flat = self.graph.node("InstanceNormalization", &[&flat, &one, &zero], &name, vec![epsilon]);
                let dims = [0, shape.channels, shape.height, shape.width].map(|dim| dim as i64);
                let shape = self.graph.integers(&format!("s{scale}/shape"), &[4], &dims);
                self.graph.node("Reshape", &[&flat, &shape], &output, vec![])
            }
        }
    }

    /// Adds one step up to its permutation: x̃ after ActNorm, from the halves (x₁, x₂).
    fn step(&mut self, scale: usize, index: usize, [x1, x2]: &[String; 2]) -> String {
        let name = format!("s{scale}.{index}");
        let layout = self.flow.layout[scale][index];
        let (passive, active) = (layout.passive(), layout.active());
        let scales = self.output_scales(scale, index);
        let offsets = self.output_offsets(scale, index);
        let permutes = self.flow.mixers[scale][index].mixing.is_permutation();
        let output = self.subnetwork(scale, index, x1, &scales[passive..], &offsets[passive..]);
        let [log_scale, shift] = self.split(&name, &output, [active, active]);

        let tanh = self.graph.node("Tanh", &[&log_scale], &format!("{name}/tanh"), vec![]);
        let clamp = self.graph.floats(&format!("{name}/clamp"), &[1], &[self.flow.architecture.clamp as f32]);
        let mut exponent = self.graph.node("Mul", &[&tanh, &clamp], &format!("{name}/exponent"), vec![]);
        if index == 0 && permutes {
            let logs: Vec<f32> = scales[passive..].iter().map(|scale| scale.ln() as f32).collect();
            let logs = self.graph.floats(&format!("{name}/log_scale"), &[active, 1, 1], &logs);
            exponent = self.graph.node("Add", &[&exponent, &logs], &format!("{name}/scaled_exponent"), vec![]);
        }
        let factor = self.graph.node("Exp", &[&exponent], &format!("{name}/factor"), vec![]);
        let scaled = self.graph.node("Mul", &[x2, &factor], &format!("{name}/scaled"), vec![]);
        let changed = self.graph.node("Add", &[&scaled, &shift], &format!("{name}/changed"), vec![]);

        if !permutes {
            return self.graph.node("Concat", &[x1, &changed], &format!("{name}/y"), vec![int("axis", 1)]);
        }
        let narrow = |values: &[f64]| -> Vec<f32> { values[..passive].iter().map(|value| *value as f32).collect() };
        let passed = self.affine(x1, &narrow(&scales), &narrow(&offsets), &format!("{name}/passed"));
        self.graph.node("Concat", &[&passed, &changed], &format!("{name}/y"), vec![int("axis", 1)])
    }

    /// Adds both convolutions; 0.1 and the transformed channels' scale and offset are folded into the second.
    fn subnetwork(&mut self, scale: usize, index: usize, x1: &str, scales: &[f64], offsets: &[f64]) -> String {
        let name = format!("s{scale}.{index}");
        let layout = self.flow.layout[scale][index];
        let (passive, active, hidden, kernel) = (layout.passive(), layout.active(), layout.hidden, layout.kernel);
        let Some(weights) = self.flow.step_weights(scale, index) else { return x1.to_owned() };
        let per_filter = hidden * layout.taps();
        let (mut second, mut bias) = (weights.second_weight, weights.second_bias);
        for (output, (filter, bias)) in second.chunks_exact_mut(per_filter).zip(&mut bias).enumerate() {
            let (factor, offset) = match output.checked_sub(active) {
                None => (COUPLING_SCALE, 0.0),
                Some(channel) => (COUPLING_SCALE * scales[channel], offsets[channel]),
            };
            filter.iter_mut().for_each(|weight| *weight = (f64::from(*weight) * factor) as f32);
            *bias = (f64::from(*bias) * factor + offset) as f32;
        }
        let dims = |outputs, inputs| [outputs, inputs, kernel, kernel];
        let attributes = || {
            let (size, pad) = (kernel as i64, (kernel / 2) as i64);
            vec![ints("kernel_shape", &[size, size]), ints("pads", &[pad; 4])]
        };
        let w = self.graph.floats(&format!("{name}/w1"), &dims(hidden, passive), &weights.first_weight);
        let b = self.graph.floats(&format!("{name}/b1"), &[hidden], &weights.first_bias);
        let map = self.graph.node("Conv", &[x1, &w, &b], &format!("{name}/conv1"), attributes());
        let map = self.graph.node("Relu", &[&map], &format!("{name}/hidden"), vec![]);
        let w = self.graph.floats(&format!("{name}/w2"), &dims(2 * active, hidden), &second);
        let b = self.graph.floats(&format!("{name}/b2"), &[2 * active], &bias);
        self.graph.node("Conv", &[&map, &w, &b], &format!("{name}/conv2"), attributes())
    }

    /// ActNorm's scales of a step, per channel before the permutation.
    fn act_norm(&self, scale: usize, index: usize) -> Vec<f64> {
        let parts = self.flow.layout[scale][index].parts(&self.flow.parameters);
        parts.scale.iter().map(|&g| scale_of(f64::from(g))).collect()
    }

    fn offsets(&self, scale: usize, index: usize) -> Vec<f64> {
        let offsets = self.flow.layout[scale][index].parts(&self.flow.parameters).offset;
        offsets.iter().map(|&offset| f64::from(offset)).collect()
    }

    /// The factors that the next step hands back to this one, per channel after the mixing: its output's scale for its
    /// transformed channels, 1 for its passive channels.
    fn absorbed(&self, scale: usize, index: usize) -> Vec<f64> {
        let layout = self.flow.layout[scale][index];
        let mut factors = vec![1.0; layout.shape.channels];
        if index + 1 < self.flow.architecture.steps {
            let passive = layout.passive();
            factors[passive..].copy_from_slice(&self.output_scales(scale, index + 1)[passive..]);
        }
        factors
    }

    /// The factors of a step's output before its mixing: its ActNorm's scales times the factors from the next step. A
    /// rotation applies both itself.
    fn output_scales(&self, scale: usize, index: usize) -> Vec<f64> {
        self.before_mixing(scale, index, self.act_norm(scale, index)).unwrap_or_else(|own| vec![1.0; own.len()])
    }

    fn output_offsets(&self, scale: usize, index: usize) -> Vec<f64> {
        self.before_mixing(scale, index, self.offsets(scale, index)).unwrap_or_else(|own| vec![0.0; own.len()])
    }

    /// ActNorm's numbers times the factors from the next step, if the step permutes; else the numbers unchanged.
    fn before_mixing(&self, scale: usize, index: usize, own: Vec<f64>) -> Result<Vec<f64>, Vec<f64>> {
        let mixer = &self.flow.mixers[scale][index];
        if !mixer.mixing.is_permutation() {
            return Err(own);
        }
        let absorbed = self.absorbed(scale, index);
        Ok(own.iter().enumerate().map(|(channel, own)| own * absorbed[mixer.destination(channel)]).collect())
    }

    /// Adds a step's mixing of `y`, with the output channels split at `cut`; a part without channels is left out.
    fn mix(&mut self, scale: usize, index: usize, y: &str, cut: usize, outputs: &[String; 2]) {
        let flow = self.flow;
        let channels = flow.layout[scale][index].shape.channels;
        let parts = [(&outputs[0], 0..cut), (&outputs[1], cut..channels)];
        for (output, part) in parts.into_iter().filter(|(_, part)| !part.is_empty()) {
            match &flow.mixers[scale][index].mixing {
                Mixing::Permutation(sources) => self.gather(y, &sources[part], output),
                Mixing::Rotation(matrix) => self.rotate(scale, index, y, (matrix, part), output),
            }
        }
    }

    /// Adds some rows of a rotation of `y`, including ActNorm before it and the next step's factors after it.
    fn rotate(&mut self, scale: usize, index: usize, y: &str, (matrix, rows): (&[f32], Range<usize>), output: &str) {
        let (act_norm, offsets) = (self.act_norm(scale, index), self.offsets(scale, index));
        let absorbed = self.absorbed(scale, index);
        let channels = act_norm.len();
        let count = rows.len();
        let (mut weight, mut bias) = (Vec::with_capacity(count * channels), Vec::with_capacity(count));
        for row in rows {
            let (factor, values) = (absorbed[row], &matrix[row * channels..][..channels]);
            weight.extend(values.iter().zip(&act_norm).map(|(&w, scale)| (factor * f64::from(w) * scale) as f32));
            let offset: f64 = values.iter().zip(&offsets).map(|(&w, offset)| f64::from(w) * offset).sum();
            bias.push((factor * offset) as f32);
        }
        let weight = self.graph.floats(&format!("{output}.rotation"), &[count, channels, 1, 1], &weight);
        let bias = self.graph.floats(&format!("{output}.offset"), &[count], &bias);
        self.graph.node("Conv", &[y, &weight, &bias], output, vec![ints("kernel_shape", &[1, 1])]);
    }

    /// `scale · x + offset` per channel, in one node.
    fn affine(&mut self, x: &str, scale: &[f32], offset: &[f32], output: &str) -> String {
        let channels = scale.len();
        let scale = self.graph.floats(&format!("{output}.scale"), &[channels], scale);
        let offset = self.graph.floats(&format!("{output}.offset"), &[channels], offset);
        let mean = self.graph.floats(&format!("{output}.mean"), &[channels], &vec![0.0; channels]);
        let variance = vec![1.0 - EPSILON; channels];
        let variance = self.graph.floats(&format!("{output}.variance"), &[channels], &variance);
        let inputs = [x, &scale, &offset, &mean, &variance];
        self.graph.node("BatchNormalization", &inputs, output, vec![float("epsilon", EPSILON)])
    }

    fn split(&mut self, name: &str, x: &str, sizes: [usize; 2]) -> [String; 2] {
        let lengths = self.graph.integers(&format!("{name}/split"), &[2], &sizes.map(|size| size as i64));
        let outputs = [format!("{name}/first"), format!("{name}/second")];
        let attributes = vec![int("axis", 1)];
        self.graph.node_with_outputs("Split", &[x, &lengths], &[&outputs[0], &outputs[1]], attributes);
        outputs
    }

    fn gather(&mut self, x: &str, sources: &[usize], output: &str) {
        let indices: Vec<i64> = sources.iter().map(|&source| source as i64).collect();
        let indices = self.graph.integers(&format!("{output}.indices"), &[indices.len()], &indices);
        self.graph.node("Gather", &[x, &indices], output, vec![int("axis", 1)]);
    }
}

//! Converts a checkpoint's flow to a [`Flow`]: assigns its stages to the backbone's scales and reads its numbers and LayerNorms.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    Checkpoint,
    chain::{Block, Chain},
};
use crate::{
    Reason, Result,
    flow::{Architecture, Flow, Mixing, Normalisation, PUBLISHED_CLAMP, StepWeights, Topology, shape_text},
    latents::ScaleShape,
};

/// Largest allowed difference between the stored inverse of a mixing and its transpose.
const INVERSE_WITHIN: f32 = 1e-2;

/// Settings that the file does not contain, or that are ambiguous.
#[derive(Clone, Debug, Default)]
pub struct RecogniseOptions {
    /// Limit of the couplings' log-scales (FrEIA's `affine_clamping`); overrides the file's own.
    pub clamp: Option<f64>,
    /// Prefix of the flow's names, for a file with several flows.
    pub prefix: Option<String>,
}

/// Source of the clamp; state dictionaries do not store it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClampSource {
    /// [`RecogniseOptions::clamp`].
    Given,
    /// The hyper-parameters that Lightning stores with the weights.
    HyperParameters,
    /// Not stored in the checkpoint; the published default is used.
    Published,
}

/// Facts found in a checkpoint.
#[derive(Clone, Debug, Serialize)]
pub struct Facts {
    /// Prefix of the names of the flow's tensors.
    pub prefix: String,
    /// Number of scales, which is also the number of stages.
    pub scales: usize,
    /// Steps of each stage.
    pub steps: usize,
    /// Kernel sizes of a stage's steps.
    pub kernels: Vec<usize>,
    /// Hidden channels of each scale's subnetworks, finest first.
    pub hidden: Vec<usize>,
    /// Limit of the couplings' log-scales.
    pub clamp: f64,
    /// Source of the clamp.
    pub clamp_from: ClampSource,
    /// Number of steps that permute their channels.
    pub permutations: usize,
    /// Number of steps that rotate their channels.
    pub rotations: usize,
    /// Per scale, finest first: prefix of the names of its LayerNorm, if it has one.
    pub layer_norms: Vec<Option<String>>,
    /// Tensors outside the flow and its LayerNorms, counted by the first two parts of their modules' names: the backbone's weights, metrics.
    pub unused: BTreeMap<String, usize>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

/// A flow and the facts about it.
#[derive(Clone, Debug)]
pub struct Recognised {
    /// The flow.
    pub flow: Flow,
    /// Facts about the flow.
    pub facts: Facts,
}

impl Checkpoint {
    /// Finds and reads the flow, for a backbone with feature maps of these shapes, finest first.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) names the tensors that are missing, unexpected or of the wrong shape, or says how the flow differs
    /// from a flow for these features; [`Error::Parameter`](crate::Error::Parameter) for a clamp that is not above zero.
    pub fn recognise(&mut self, features: &[ScaleShape], options: &RecogniseOptions) -> Result<Recognised> {
        let chain = Chain::find(self, options.prefix.as_deref()).map_err(|reason| self.refuse(reason))?;
        let named = ["affine_clamp", "affine_clamping"].iter().find_map(|name| self.hyper_parameter(name));
        let (clamp, clamp_from) = match (options.clamp, named) {
            (Some(clamp), _) => (clamp, ClampSource::Given),
            (None, Some(clamp)) => (clamp, ClampSource::HyperParameters),
            (None, None) => (PUBLISHED_CLAMP, ClampSource::Published),
        };
        let architecture = architecture(&chain, features, clamp).map_err(|reason| self.refuse(reason))?;
        architecture.validate()?;
        let mut warnings = Vec::new();
        self.check_upsampling(&chain, &architecture, &mut warnings)?;
        let layer_norms = self.layer_norms(&chain, features)?;
        let mut normalisations = Vec::new();
        for name in &layer_norms {
            normalisations.push(match name {
                None => Normalisation::Identity,
                Some(name) => Normalisation::LayerNorm {
                    affine: Some((self.read(&format!("{name}.weight"))?, self.read(&format!("{name}.bias"))?)),
                },
            });
        }
        let (steps, scales) = (architecture.steps, features.len());
        let (kernels, hidden) =
            (architecture.kernels.clone(), (0..scales).map(|s| architecture.hidden_width(s)).collect());
        let mut flow = Flow::new(architecture, normalisations, 0)?;
        let mut rotations = 0;
        for (position, block) in chain.blocks.iter().enumerate() {
            let weights = self.weights(block)?;
            rotations += usize::from(!weights.mixing.is_permutation());
            let placed = flow.set_step_weights(scales - 1 - position / steps, position % steps, &weights);
            placed.map_err(|error| self.refuse(Reason::because(format_args!("block `{}`", block.name), error)))?;
        }
        let unused = self.unused(&chain, &layer_norms);
        let permutations = chain.blocks.len() - rotations;
        let prefix = chain.prefix;
        let facts = Facts {
            prefix,
            scales,
            steps,
            kernels,
            hidden,
            clamp,
            clamp_from,
            permutations,
            rotations,
            layer_norms,
            unused,
            warnings,
        };
        Ok(Recognised { flow, facts })
    }

    fn weights(&mut self, block: &Block) -> Result<StepWeights> {
        let [first, second] = &block.convolutions;
        Ok(StepWeights {
            first_weight: self.read(&format!("{first}.weight"))?,
            first_bias: self.read(&format!("{first}.bias"))?,
            second_weight: self.read(&format!("{second}.weight"))?,
            second_bias: self.read(&format!("{second}.bias"))?,
            scale: self.read(&format!("{}global_scale", block.name))?,
            offset: self.read(&format!("{}global_offset", block.name))?,
            mixing: self.mixing(block)?,
        })
    }

    fn mixing(&mut self, block: &Block) -> Result<Mixing> {
        let (name, channels) = (&block.name, block.channels);
        if block.householder {
            let start = self.read(&format!("{name}w_0"))?;
            let vectors = self.read(&format!("{name}vk_householder"))?;
            return Ok(Mixing::Rotation(reflected(&start, &vectors, channels)));
        }
        let matrix = self.read(&format!("{name}w_perm"))?;
        let inverse = self.read(&format!("{name}w_perm_inv"))?;
        let at = |row: usize, column: usize| inverse[column * channels + row];
        let worst =
            matrix.iter().enumerate().map(|(index, value)| (value - at(index / channels, index % channels)).abs());
        if worst.fold(0.0, f32::max) > INVERSE_WITHIN {
            return Err(self.refuse(format!("`{name}w_perm_inv` is not the transpose of `{name}w_perm`")));
        }
        Ok(permutation(&matrix, channels).map_or(Mixing::Rotation(matrix), Mixing::Permutation))
    }

    /// The upsampling between stages must be i-RevNet's, in FrEIA's order.
    fn check_upsampling(
        &mut self,
        chain: &Chain,
        architecture: &Architecture,
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        let rising = (1..architecture.scales()).map(|scale| architecture.rising(scale)).filter(|rising| *rising > 0);
        if chain.kernels.len() < rising.count() {
            warnings.push(format!(
                "the file has {} kernels of its upsamplings; the order of FrEIA 0.2's `IRevNetUpsampling` is assumed",
                chain.kernels.len()
            ));
        }
        for name in &chain.kernels {
            let values = self.read(name)?;
            let one_hot = |(index, value): (usize, &f32)| *value == f32::from(u8::from(index / 4 % 4 == index % 4));
            if !values.iter().enumerate().all(one_hot) {
                return Err(self.refuse(format!("`{name}` is not the kernel of FrEIA's `IRevNetUpsampling`")));
            }
        }
        Ok(())
    }

    /// LayerNorms over (C, H, W) of a scale's features, recognised by their shape.
    fn layer_norms(&self, chain: &Chain, features: &[ScaleShape]) -> Result<Vec<Option<String>>> {
        let mut found = vec![None; features.len()];
        for (name, shape) in self.tensors().filter(|(name, _)| !chain.owns(name)) {
            let Some(stem) = name.strip_suffix(".weight") else { continue };
            let &[channels, height, width] = shape else { continue };
            let bias = self.shape(&format!("{stem}.bias"));
            if bias != Some([channels, height, width].as_slice()) {
                let reason =
                    format!("`{stem}.bias` is missing or not of the shape of `{name}`, {channels}×{height}×{width}");
                return Err(self.refuse(reason));
            }
            let shape = ScaleShape { channels, height, width };
            let Some(scale) = features.iter().position(|features| *features == shape) else {
                return Err(self.refuse(format!(
                    "the LayerNorm `{stem}` is for features of {}, but the backbone gives {}; give the input size of the training (--input-size) \
                         and the backbone that the flow was trained on",
                    shape_text(&shape),
                    shapes_text(features)
                )));
            };
            if let Some(other) = found[scale].replace(stem.to_owned()) {
                return Err(self.refuse(format!("`{other}` and `{stem}` are both LayerNorms of scale {scale}")));
            }
        }
        if found.iter().any(Option::is_some) && found.contains(&None) {
            let without: Vec<_> = (0..features.len()).filter(|&scale| found[scale].is_none()).collect();
            return Err(self.refuse(format!("there are LayerNorms for some scales, but not for scales {without:?}")));
        }
        Ok(found)
    }

    fn unused(&self, chain: &Chain, layer_norms: &[Option<String>]) -> BTreeMap<String, usize> {
        let of_a_norm = |name: &str| {
            let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
            layer_norms.iter().flatten().any(|norm| norm == stem)
        };
        let mut unused = BTreeMap::new();
        for (name, _) in self.tensors().filter(|(name, _)| !of_a_norm(name) && !chain.owns(name)) {
            let module = name.rsplit_once('.').map_or(name, |(module, _)| module);
            let parts: Vec<&str> = module.splitn(3, '.').take(2).collect();
            *unused.entry(parts.join(".")).or_default() += 1;
        }
        unused
    }
}

/// The architecture whose stages on these features match the chain's blocks.
fn architecture(chain: &Chain, features: &[ScaleShape], clamp: f64) -> std::result::Result<Architecture, String> {
    let (blocks, scales) = (&chain.blocks, features.len());
    let steps = blocks.len() / scales.max(1);
    let kernels = blocks.iter().take(steps).map(|block| block.kernel).collect();
    let published = Architecture {
        features: features.to_vec(),
        steps,
        kernels,
        clamp,
        hidden: Vec::new(),
        topology: Topology::UShaped,
    };
    let of = |scale: usize| &blocks[(scales - 1 - scale) * steps..][..steps];
    let fits = steps * scales == blocks.len()
        && (0..scales).all(|scale| of(scale).iter().all(|block| block.channels == published.channels(scale)));
    if !fits {
        let wanted: Vec<String> = (0..scales).rev().map(|scale| published.channels(scale).to_string()).collect();
        return Err(format!(
            "the flow's blocks are, coarsest scale first, {}; the backbone's features, {}, need stages of equally many blocks with {} channels. \
                 The flow was trained on another backbone, or on other scales of this one",
            chain.stages(),
            shapes_text(features),
            wanted.join(", ")
        ));
    }
    let mut hidden = Vec::new();
    for scale in 0..scales {
        let stage = of(scale);
        for (index, block) in stage.iter().enumerate() {
            if block.kernel != published.kernels[index] || block.hidden != stage[0].hidden {
                return Err(format!(
                    "block `{}` has kernel {} and {} hidden channels; the blocks at the same place in other stages have {} and {}. Stages that \
                     differ in this are not supported",
                    block.name, block.kernel, block.hidden, published.kernels[index], stage[0].hidden
                ));
            }
        }
        hidden.push(stage[0].hidden);
    }
    let as_published = (0..scales).all(|scale| hidden[scale] == published.hidden_width(scale));
    Ok(Architecture { hidden: if as_published { Vec::new() } else { hidden }, ..published })
}

fn shapes_text(shapes: &[ScaleShape]) -> String {
    shapes.iter().map(shape_text).collect::<Vec<_>>().join(", ")
}

/// The indices of a permutation matrix (a single 1 in each row and column, else zeros).
fn permutation(matrix: &[f32], channels: usize) -> Option<Vec<usize>> {
    let mut seen = vec![false; channels];
    let source = |row: &[f32]| {
        let mut ones = row.iter().enumerate().filter(|(_, value)| **value != 0.0);
        let (column, value) = ones.next()?;
        (*value == 1.0 && ones.next().is_none() && !std::mem::replace(&mut seen[column], true)).then_some(column)
    };
    matrix.chunks_exact(channels).map(source).collect()
}

/// `W₀ · Π (I − 2 v vᵀ / vᵀv)`, FrEIA's learned permutation.
fn reflected(start: &[f32], vectors: &[f32], channels: usize) -> Vec<f32> {
    let mut matrix: Vec<f64> = start.iter().map(|&value| f64::from(value)).collect();
    for vector in vectors.chunks_exact(channels) {
        let vector: Vec<f64> = vector.iter().map(|&value| f64::from(value)).collect();
        let square: f64 = vector.iter().map(|value| value * value).sum();
        for row in matrix.chunks_exact_mut(channels) {
            let product: f64 = row.iter().zip(&vector).map(|(a, b)| a * b).sum();
            row.iter_mut().zip(&vector).for_each(|(value, v)| *value -= 2.0 * product * v / square);
        }
    }
    matrix.into_iter().map(|value| value as f32).collect()
}

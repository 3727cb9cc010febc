//! EfficientNet-Lite (Tan et al., 2019) from a PyTorch checkpoint to ONNX.
//!
//! The network is a stem (3×3, stride 2) and seven stages of inverted bottlenecks. A block widens its channels by a 1×1 convolution
//! (the first stage's does not), filters each channel by a k×k convolution, and narrows them by a 1×1 convolution without an activation. It
//! adds its input where shapes are equal. Every convolution has a batch norm; all but the last of a block have ReLU6. Channels and
//! kernel sizes are read from the tensors' shapes; numbers of blocks and strides are the network's definition.
//!
//! - Each batch norm is folded into its convolution: `w·γ/√(σ² + ε)` and `β − μ·γ/√(σ² + ε)`, in double precision.
//! - Padding is TensorFlow's "same": a convolution of stride s gives ⌈n/s⌉ values, and an odd pixel of padding is at the end. So any input
//!   size is valid.
//! - A feature map is the output of the last block of its stride. It is linear, so it has no point mass at zero.
//!
//! A **pyramid** sends the image through the network twice, at its own size and at half of it (means of 2×2 pixels), as the paper does with its
//! transformer's two sizes (§3.1). The strides 8 and 16 come from the whole size. The strides 32 and 64 are those of 16 and 32 in the half size:
//! they see as much of the scene as strides 32 and 64 would. The later stages do not run at the whole size, so the pyramid costs less than the
//! plain network with stride 32. Two of its maps are outputs of inner blocks ([`PYRAMID`]), by the measurements in `benches/quality.md`: stride 16
//! ends with the first stage of its stride, since the second costs a fifth of the network and outlines no better; and on three of the four products
//! the second block of its stage tells good images from defective ones better than the last block, on the fourth worse.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use crate::{
    Error, Result,
    checkpoint::{Checkpoint, Mark},
    onnx::{Dim, GraphBuilder, int, ints, text},
};

/// Number of blocks of each stage.
pub(super) type Stages = [usize; 7];

pub(super) const LITE0: Stages = [1, 2, 2, 3, 3, 4, 1];
/// Lite1, and Lite2, which has more channels.
pub(super) const LITE1: Stages = [1, 3, 3, 4, 4, 5, 1];

/// Strides of the feature maps.
pub(super) const STRIDES: [usize; 4] = [4, 8, 16, 32];
/// Strides of a pyramid's feature maps.
pub(super) const PYRAMID_STRIDES: [usize; 4] = [8, 16, 32, 64];
/// Where the pyramid of Lite0 has the map of each of these strides from: the size of the image, the stage, and the block in it.
const PYRAMID: [(Size, usize, usize); PYRAMID_STRIDES.len()] =
    [(Size::Whole, 2, 1), (Size::Whole, 3, 2), (Size::Half, 4, 2), (Size::Half, 5, 1)];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    Whole,
    Half,
}

/// Which feature maps a network has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Those of the network as published.
    Plain,
    /// Those of two sizes.
    Pyramid,
}

const STEM_STRIDE: usize = 2;
/// Stride of each stage's first block.
const STAGE_STRIDES: Stages = [1, 2, 2, 2, 1, 2, 1];
/// ε of the batch norms.
const EPSILON: f64 = 1e-3;
/// Largest kernel; a wrong shape is then an error, not a graph that nothing can run.
const LARGEST_KERNEL: usize = 7;

const MARK: Mark = Mark { ends_with: "_conv_stem.weight", part: "every EfficientNet" };

/// Blocks whose outputs are feature maps: the number of the map by the block.
type Maps = BTreeMap<usize, usize>;

/// The graph with one output for each of the given strides, without the blocks that none of them needs.
pub(super) fn to_onnx(path: &Path, stages: &Stages, layout: Layout, strides: &[usize]) -> Result<GraphBuilder> {
    let checkpoint = Checkpoint::open_marked(path, MARK)?;
    let mut graph = GraphBuilder::new("efficientnet-lite");
    graph.input("image", &[Dim::Named("batch"), Dim::Fixed(3), Dim::Named("height"), Dim::Named("width")]);
    let mut export = Export { checkpoint, graph, weights: HashMap::new(), size: "" };
    let blocks = blocks(stages);
    let (whole, half) = maps(&blocks, layout, strides);
    export.network(&blocks, "image", &whole)?;
    if !half.is_empty() {
        export.size = "half/";
        let sides = vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2]), ints("pads", &[0, 0, 1, 1])];
        // The padding keeps an odd last row and does not count in the mean.
        export.graph.node("AveragePool", &["image"], "half/image", sides);
        export.network(&blocks, "half/image", &half)?;
    }
    Ok(export.graph)
}

/// The maps of the whole size and those of the half size.
fn maps(blocks: &[Block], layout: Layout, strides: &[usize]) -> (Maps, Maps) {
    let last = |wanted: &dyn Fn(&Block) -> bool| blocks.iter().rposition(wanted).unwrap_or(0);
    let (mut whole, mut half) = (Maps::new(), Maps::new());
    for (scale, &stride) in strides.iter().enumerate() {
        let of_pyramid = PYRAMID.iter().zip(PYRAMID_STRIDES).find(|&(_, of)| of == stride);
        match (layout, of_pyramid) {
            (Layout::Pyramid, Some((&(size, stage, at), _))) => {
                let maps = if size == Size::Whole { &mut whole } else { &mut half };
                maps.insert(last(&|block| (block.stage, block.at) == (stage, at)), scale);
            }
            _ => {
                whole.insert(last(&|block| block.total == stride), scale);
            }
        }
    }
    (whole, half)
}

struct Block {
    /// Its stage, and its place in it, both from 0.
    stage: usize,
    at: usize,
    stride: usize,
    /// The product of all strides up to this block.
    total: usize,
    widens: bool,
}

fn blocks(stages: &Stages) -> Vec<Block> {
    let mut total = STEM_STRIDE;
    let mut blocks = Vec::new();
    for (stage, (&count, &first)) in stages.iter().zip(&STAGE_STRIDES).enumerate() {
        total *= first;
        blocks.extend((0..count).map(|at| Block {
            stage,
            at,
            stride: if at == 0 { first } else { 1 },
            total,
            widens: stage > 0,
        }));
    }
    blocks
}

/// A value of the graph.
struct Map {
    name: String,
    channels: usize,
}

/// A convolution with its batch norm, by the names of their tensors.
struct Convolution {
    weight: &'static str,
    norm: &'static str,
    stride: usize,
    relu: bool,
    depthwise: bool,
}

struct Export {
    checkpoint: Checkpoint,
    graph: GraphBuilder,
    /// Weights, bias and number of channels of each convolution that is in the graph: both sizes use the same.
    weights: HashMap<String, (String, String, usize, usize)>,
    /// What names of values begin with.
    size: &'static str,
}

impl Export {
    /// The network on an image, up to the last of the blocks that are `maps`.
    fn network(&mut self, blocks: &[Block], image: &str, maps: &Maps) -> Result<()> {
        let Some((&end, _)) = maps.last_key_value() else { return Ok(()) };
        let image = Map { name: image.to_owned(), channels: 3 };
        let stem =
            Convolution { weight: "_conv_stem", norm: "_bn0", stride: STEM_STRIDE, relu: true, depthwise: false };
        let mut x = self.convolution("stem", "", &image, stem)?;
        for (index, block) in blocks[..=end].iter().enumerate() {
            let scale = maps.get(&index);
            let output = scale.map_or(format!("block{index}"), |scale| format!("feature{scale}"));
            x = self.block(index, block, &x, &output)?;
            if let Some(scale) = scale {
                let [height, width] = ["height", "width"].map(|side| format!("{side}{scale}"));
                let dims = [Dim::Named("batch"), Dim::Fixed(x.channels), Dim::Named(&height), Dim::Named(&width)];
                self.graph.output(&x.name, &dims);
            }
        }
        Ok(())
    }

    /// The name of a value; feature maps have the same in both sizes.
    fn value(&self, name: &str) -> String {
        if name.starts_with("feature") { name.to_owned() } else { format!("{}{name}", self.size) }
    }

    fn block(&mut self, index: usize, block: &Block, x: &Map, output: &str) -> Result<Map> {
        let prefix = format!("_blocks.{index}.");
        let point = |weight, norm, relu| Convolution { weight, norm, stride: 1, relu, depthwise: false };
        let depth =
            |norm| Convolution { depthwise: true, stride: block.stride, ..point("_depthwise_conv", norm, true) };
        let wide = match block.widens {
            true => {
                Some(self.convolution(&format!("{index}/wide"), &prefix, x, point("_expand_conv", "_bn0", true))?)
            }
            false => None,
        };
        let filtered =
            self.convolution(&format!("{index}/filtered"), &prefix, wide.as_ref().unwrap_or(x), depth("_bn1"))?;
        let narrow = point("_project_conv", "_bn2", false);
        // Only shapes tell whether a block adds its input.
        let adds = block.stride == 1 && self.outputs(&format!("{prefix}_project_conv.weight")) == Some(x.channels);
        if !adds {
            return self.convolution(output, &prefix, &filtered, narrow);
        }
        let narrow = self.convolution(&format!("{index}/narrow"), &prefix, &filtered, narrow)?;
        let output = self.value(output);
        self.graph.node("Add", &[&narrow.name, &x.name], &output, vec![]);
        Ok(Map { name: output, ..narrow })
    }

    fn convolution(&mut self, output: &str, prefix: &str, x: &Map, layer: Convolution) -> Result<Map> {
        let (weight, bias, channels, kernel) = self.weights(output, prefix, x, &layer)?;
        let groups = if layer.depthwise { x.channels } else { 1 };
        let (size, stride) = (kernel as i64, layer.stride as i64);
        let attributes = vec![
            int("group", groups as i64),
            ints("kernel_shape", &[size, size]),
            ints("strides", &[stride, stride]),
            text("auto_pad", "SAME_UPPER"),
        ];
        let value = self.value(output);
        let name = if layer.relu { format!("{value}/linear") } else { value.clone() };
        self.graph.node("Conv", &[&x.name, &weight, &bias], &name, attributes);
        if layer.relu {
            let low = self.graph.floats(&format!("{value}.low"), &[], &[0.0]);
            let high = self.graph.floats(&format!("{value}.high"), &[], &[6.0]);
            self.graph.node("Clip", &[&name, &low, &high], &value, vec![]);
        }
        Ok(Map { name: value, channels })
    }

    /// The names of a convolution's weights and bias in the graph, its channels and the size of its kernel.
    fn weights(
        &mut self,
        output: &str,
        prefix: &str,
        x: &Map,
        layer: &Convolution,
    ) -> Result<(String, String, usize, usize)> {
        let weight_name = format!("{prefix}{}.weight", layer.weight);
        if let Some(known) = self.weights.get(&weight_name) {
            return Ok(known.clone());
        }
        let inputs = if layer.depthwise { 1 } else { x.channels };
        let (channels, kernel) = match self.checkpoint.shape(&weight_name) {
            Some(&[channels, found, kernel, width])
                if found == inputs
                    && kernel == width
                    && kernel % 2 == 1
                    && kernel <= LARGEST_KERNEL
                    && channels > 0
                    && (channels == x.channels || !layer.depthwise) =>
            {
                (channels, kernel)
            }
            found => return Err(self.wrong_shape(&weight_name, found, &format!("[channels, {inputs}, k, k]"))),
        };
        let mut weight = self.checkpoint.read(&weight_name)?;
        let bias = self.fold(&format!("{prefix}{}", layer.norm), channels, &mut weight)?;
        let weight = self.graph.floats(&format!("{output}.weight"), &[channels, inputs, kernel, kernel], &weight);
        let bias = self.graph.floats(&format!("{output}.bias"), &[channels], &bias);
        let named = (weight, bias, channels, kernel);
        self.weights.insert(weight_name, named.clone());
        Ok(named)
    }

    /// Folds a batch norm into a convolution's weights; returns the bias.
    fn fold(&mut self, norm: &str, channels: usize, weight: &mut [f32]) -> Result<Vec<f32>> {
        let mut parts = Vec::with_capacity(4);
        for part in ["weight", "bias", "running_mean", "running_var"] {
            let name = format!("{norm}.{part}");
            if self.checkpoint.shape(&name).is_none_or(|shape| shape != [channels]) {
                return Err(self.wrong_shape(&name, self.checkpoint.shape(&name), &format!("[{channels}]")));
            }
            parts.push(self.checkpoint.read(&name)?);
        }
        let part = |part: usize, channel: usize| f64::from(parts[part][channel]);
        let factors: Vec<f64> = (0..channels).map(|c| part(0, c) / (part(3, c) + EPSILON).sqrt()).collect();
        if factors.iter().any(|factor| !factor.is_finite()) {
            return Err(self.checkpoint.refuse(format!("`{norm}.running_var` has values below zero")));
        }
        for (filter, factor) in weight.chunks_exact_mut(weight.len() / channels).zip(&factors) {
            filter.iter_mut().for_each(|weight| *weight = (f64::from(*weight) * factor) as f32);
        }
        Ok(factors.iter().enumerate().map(|(c, factor)| (part(1, c) - part(2, c) * factor) as f32).collect())
    }

    /// The first size of a tensor.
    fn outputs(&self, name: &str) -> Option<usize> {
        self.checkpoint.shape(name)?.first().copied()
    }

    fn wrong_shape(&self, name: &str, found: Option<&[usize]>, wanted: &str) -> Error {
        let found = match (found, self.checkpoint.describe_other(name)) {
            (Some(shape), _) => format!("has the shape {shape:?}"),
            (None, Some(what)) => format!("is {what}"),
            (None, None) => "is missing".to_owned(),
        };
        self.checkpoint.refuse(format!(
            "`{name}` {found}; a tensor of shape {wanted} is needed. The file is not a checkpoint of this network"
        ))
    }
}

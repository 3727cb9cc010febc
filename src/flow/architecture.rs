//! Shapes of a U-shaped flow: the channels of each stage, the channels that go up, the latents, and the place of each parameter.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{Error, Result, latents::ScaleShape};

/// The description of a flow: its feature maps and the steps of each stage.
///
/// There is one stage per scale, from the coarsest to the finest. After every stage but the finest, the first `C // 8 * 4`
/// channels are rearranged to a map of twice the size with a quarter of the channels. The next finer stage gets this map
/// after its own features. The other channels are the latents of that scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Architecture {
    /// Shapes of the feature maps, finest first; each map is exactly twice as high and as wide as the next.
    pub features: Vec<ScaleShape>,
    /// Steps of each stage. Parallel stages may have none; the latents are then the normalised features, and the model is a Gaussian
    /// of each scale.
    pub steps: usize,
    /// Kernel sizes (odd) of the steps' convolutions, used in turn.
    pub kernels: Vec<usize>,
    /// Limit of the couplings' log-scales, ±; 2 is the published value.
    #[serde(default = "published_clamp", skip_serializing_if = "is_published_clamp")]
    pub clamp: f64,
    /// Hidden channels of each scale's subnetworks, finest first. If empty, a subnetwork has as many as its input, as
    /// published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<usize>,
    /// How the stages are connected.
    #[serde(default, skip_serializing_if = "Topology::is_u_shaped")]
    pub topology: Topology,
}

/// How the stages of a flow are connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// As published: part of every stage's channels goes up to the next finer stage.
    #[default]
    UShaped,
    /// One separate flow per scale (the paper's Table 6 compares both). A scale's latents then say where its own features are unusual.
    Parallel,
}

impl Topology {
    pub(crate) fn is_u_shaped(&self) -> bool {
        *self == Self::UShaped
    }
}

/// The published limit of a coupling's log-scale.
pub(crate) const PUBLISHED_CLAMP: f64 = 2.0;

fn published_clamp() -> f64 {
    PUBLISHED_CLAMP
}

fn is_published_clamp(clamp: &f64) -> bool {
    *clamp == PUBLISHED_CLAMP
}

impl Architecture {
    /// The published settings: four steps per stage, kernels 3×3 and 1×1 in turn.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn new(features: Vec<ScaleShape>) -> Result<Self> {
        Self::with_steps(features, 4, vec![3, 1])
    }

    /// With another number of steps and other kernels.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn with_steps(features: Vec<ScaleShape>, steps: usize, kernels: Vec<usize>) -> Result<Self> {
        Self::connected(features, steps, kernels, Topology::UShaped)
    }

    /// With another number of steps, other kernels, and stages connected in another way.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn connected(features: Vec<ScaleShape>, steps: usize, kernels: Vec<usize>, topology: Topology) -> Result<Self> {
        let architecture = Self { features, steps, kernels, clamp: PUBLISHED_CLAMP, hidden: Vec::new(), topology };
        architecture.validate()?;
        Ok(architecture)
    }

    /// Checks that this architecture is valid.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is no scale, a map is empty, a map is not twice the next, a stage has fewer than two channels,
    /// a U has no step, a kernel is even, the clamp is not positive, or the hidden widths are zero or not one per scale.
    pub fn validate(&self) -> Result<()> {
        let wrong = |reason: String| Err(Error::parameter("flow architecture", reason));
        if self.features.is_empty() {
            return wrong("there are no feature maps; at least one scale is needed".to_owned());
        }
        if self.steps == 0 && self.topology != Topology::Parallel {
            return wrong("a stage of a U needs at least one step; parallel stages may have none".to_owned());
        }
        if self.kernels.is_empty() || self.kernels.iter().any(|kernel| kernel % 2 == 0 || *kernel > 15) {
            return wrong(format!("kernel sizes must be odd, 1 to 15, not {:?}", self.kernels));
        }
        if !(self.clamp.is_finite() && self.clamp > 0.0) {
            return wrong(format!("the clamp must be a number above zero, not {}", self.clamp));
        }
        if !self.hidden.is_empty() && (self.hidden.len() != self.features.len() || self.hidden.contains(&0)) {
            return wrong(format!(
                "hidden widths {:?}: give one width above zero for each of the {} scales",
                self.hidden,
                self.features.len()
            ));
        }
        for (scale, shape) in self.features.iter().enumerate() {
            if shape.is_empty() {
                return wrong(format!("the feature map of scale {scale} is empty ({})", text(shape)));
            }
            if let Some(finer) = scale.checked_sub(1).map(|finer| self.features[finer])
                && (finer.height != 2 * shape.height || finer.width != 2 * shape.width)
            {
                return wrong(format!(
                    "scale {} is {}×{} and scale {scale} is {}×{}: each feature map must be exactly twice as wide and as \
                     high as the next coarser one; choose an input size that every stride of the backbone divides",
                    scale - 1,
                    finer.width,
                    finer.height,
                    shape.width,
                    shape.height
                ));
            }
            if self.channels(scale) < 2 {
                return wrong(format!("the stage of scale {scale} has one channel; a coupling needs at least two"));
            }
        }
        Ok(())
    }

    /// Number of scales.
    pub fn scales(&self) -> usize {
        self.features.len()
    }

    /// Channels in a scale's stage: its features, and the channels from the next coarser scale.
    pub fn channels(&self, scale: usize) -> usize {
        if self.topology == Topology::Parallel {
            return self.features[scale].channels;
        }
        let mut channels = 0;
        for features in self.features[scale..].iter().rev() {
            channels = features.channels + channels / 8;
        }
        channels
    }

    /// Channels of a scale's stage that go up, `C // 8 * 4`; 0 at the finest scale and for parallel stages.
    pub fn rising(&self, scale: usize) -> usize {
        if scale == 0 || self.topology == Topology::Parallel { 0 } else { self.channels(scale) / 8 * 4 }
    }

    /// Hidden channels of the subnetworks of a scale's stage.
    pub fn hidden_width(&self, scale: usize) -> usize {
        let channels = self.channels(scale);
        self.hidden.get(scale).copied().unwrap_or(channels - channels / 2)
    }

    /// Shape of the input of a scale's stage.
    pub fn stage(&self, scale: usize) -> ScaleShape {
        ScaleShape { channels: self.channels(scale), ..self.features[scale] }
    }

    /// Shapes of the latents, finest first.
    pub fn latents(&self) -> Vec<ScaleShape> {
        let shape = |scale| ScaleShape { channels: self.channels(scale) - self.rising(scale), ..self.features[scale] };
        (0..self.scales()).map(shape).collect()
    }

    /// Number of values in all feature maps of an image, which is also the number of latents.
    pub fn values(&self) -> usize {
        self.features.iter().map(ScaleShape::len).sum()
    }

    /// Layout of the steps' parameters in the flow's vector; per scale, per step.
    pub(crate) fn layout(&self) -> Vec<Vec<StepLayout>> {
        let mut start = 0;
        let stage = |scale| {
            let step = |index: usize| {
                let layout = StepLayout {
                    shape: self.stage(scale),
                    kernel: self.kernels[index % self.kernels.len()],
                    hidden: self.hidden_width(scale),
                    clamp: self.clamp,
                    start,
                };
                start = layout.end();
                layout
            };
            (0..self.steps).map(step).collect()
        };
        (0..self.scales()).map(stage).collect()
    }
}

/// `C×H×W`, for messages.
pub(crate) fn text(shape: &ScaleShape) -> String {
    format!("{}×{}×{}", shape.channels, shape.height, shape.width)
}

/// The shapes of one step, and the start of its parameters in the flow's vector.
///
/// Convolution weights are stored as (output, tap, input), so that every matrix product of the forward and backward pass sees
/// them as a plain strided matrix (see `convolution`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepLayout {
    pub(crate) shape: ScaleShape,
    pub(crate) kernel: usize,
    /// Hidden channels of the subnetwork.
    pub(crate) hidden: usize,
    pub(crate) clamp: f64,
    pub(crate) start: usize,
}

impl StepLayout {
    /// Channels of x₁, which pass unchanged and are the input of the convolutions.
    pub(crate) fn passive(&self) -> usize {
        self.shape.channels - self.shape.channels / 2
    }

    /// Channels of x₂, which are transformed.
    pub(crate) fn active(&self) -> usize {
        self.shape.channels / 2
    }

    pub(crate) fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Lengths of: first weights, first bias, second weights, second bias, scale, offset.
    pub(crate) fn lengths(&self) -> [usize; 6] {
        let (passive, active) = (self.passive(), self.active());
        let first = self.hidden * self.taps() * passive;
        let second = 2 * active * self.taps() * self.hidden;
        [first, self.hidden, second, 2 * active, self.shape.channels, self.shape.channels]
    }

    /// End of the step's parameters in the flow's vector (exclusive).
    pub(crate) fn end(&self) -> usize {
        self.start + self.lengths().iter().sum::<usize>()
    }

    /// The step's parameters in the flow's vector.
    pub(crate) fn range(&self) -> Range<usize> {
        self.start..self.end()
    }

    /// Splits a step's slice of a parameter or gradient vector.
    pub(crate) fn parts<'a, T>(&self, parameters: &'a [T]) -> Parts<&'a [T]> {
        let mut rest = &parameters[self.range()];
        let [first_weight, first_bias, second_weight, second_bias, scale, offset] = self.lengths().map(|length| {
            let (part, tail) = rest.split_at(length);
            rest = tail;
            part
        });
        Parts { first_weight, first_bias, second_weight, second_bias, scale, offset }
    }

    /// As [`parts`](Self::parts), mutable.
    pub(crate) fn parts_mut<'a, T>(&self, parameters: &'a mut [T]) -> Parts<&'a mut [T]> {
        let mut rest = &mut parameters[self.range()];
        let [first_weight, first_bias, second_weight, second_bias, scale, offset] = self.lengths().map(|length| {
            let (part, tail) = std::mem::take(&mut rest).split_at_mut(length);
            rest = tail;
            part
        });
        Parts { first_weight, first_bias, second_weight, second_bias, scale, offset }
    }
}

/// The six groups of a step's parameters, or of their gradients.
pub(crate) struct Parts<S> {
    pub(crate) first_weight: S,
    pub(crate) first_bias: S,
    pub(crate) second_weight: S,
    pub(crate) second_bias: S,
    pub(crate) scale: S,
    pub(crate) offset: S,
}

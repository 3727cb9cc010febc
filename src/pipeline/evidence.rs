//! What the networks give, wherever it lies, and where it comes from.

use std::fmt::Debug;

use ndarray::{Array2, Array3, Array4, ArrayView2, ArrayView3, ArrayView4, Axis};

use crate::{
    Result,
    runtime::{Network, NetworkOutput},
};

/// Runs images through backbone and flow. A [`Detector`](super::Detector) has networks of its own, or takes turns on those
/// of a model that an engine holds.
pub trait Networks: Debug + Send {
    /// Tensors (N, 3, H, W) → features → energies, and latents where they are wanted.
    ///
    /// # Errors
    /// Networks that fail, or whose output is not finite.
    fn run(&mut self, images: ArrayView4<'_, f32>, want_latents: bool) -> Result<Batch<'_>>;
}

impl Networks for Network {
    fn run(&mut self, images: ArrayView4<'_, f32>, want_latents: bool) -> Result<Batch<'_>> {
        Ok(Batch::Output(Self::run(self, images, want_latents)?))
    }
}

/// The networks' output for several frames.
#[derive(Clone, Copy, Debug)]
pub enum Batch<'a> {
    /// In the networks' own memory.
    Output(&'a NetworkOutput),
    /// Copied, so that others can use the networks meanwhile.
    Copied {
        /// U, (batch, H, W) per scale.
        energies: &'a [Array3<f32>],
        /// z, (batch, C, H, W) per scale; empty unless wanted.
        latents: &'a [Array4<f32>],
    },
}

impl<'a> Batch<'a> {
    /// The part of one frame.
    pub fn frame(self, index: usize) -> Evidence<'a> {
        Evidence::OfBatch(self, index)
    }
}

/// The networks' output for one frame, scales numbered finest first.
#[derive(Clone, Copy, Debug)]
pub enum Evidence<'a> {
    /// Of a batch, the frame of this number.
    OfBatch(Batch<'a>, usize),
    /// Copied for one frame.
    Copied {
        /// U, (H, W) per scale.
        energies: &'a [Array2<f32>],
        /// z, (C, H, W) per scale; empty unless wanted.
        latents: &'a [Array3<f32>],
    },
    /// z from anywhere, (C, H, W) per scale.
    Latents(&'a [ArrayView3<'a, f32>]),
}

impl<'a> Evidence<'a> {
    /// U = Σ_c z² of a scale, (H, W); without any cell where there are latents alone. A scale that does not exist is an
    /// index out of bounds.
    pub fn energy(self, scale: usize) -> ArrayView2<'a, f32> {
        match self {
            Self::OfBatch(Batch::Output(output), frame) => output.energy(scale).index_axis_move(Axis(0), frame),
            Self::OfBatch(Batch::Copied { energies, .. }, frame) => energies[scale].index_axis(Axis(0), frame),
            Self::Copied { energies, .. } => energies[scale].view(),
            Self::Latents(_) => ArrayView2::from(&[[]; 0]),
        }
    }

    /// The latents z of a scale, (C, H, W); `None` unless they were wanted.
    pub fn latents(self, scale: usize) -> Option<ArrayView3<'a, f32>> {
        match self {
            Self::OfBatch(Batch::Output(output), frame) => Some(output.latents(scale)?.index_axis_move(Axis(0), frame)),
            Self::OfBatch(Batch::Copied { latents, .. }, frame) => Some(latents.get(scale)?.index_axis(Axis(0), frame)),
            Self::Copied { latents, .. } => latents.get(scale).map(|latents| latents.view()),
            Self::Latents(latents) => latents.get(scale).cloned(),
        }
    }

    /// The latents, where they are all there is.
    pub(super) fn view(self) -> Option<&'a [ArrayView3<'a, f32>]> {
        match self {
            Self::Latents(latents) => Some(latents),
            Self::OfBatch(..) | Self::Copied { .. } => None,
        }
    }
}

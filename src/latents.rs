//! The flow's output for one image: per scale the energies U = Σ_c z² and, on request, the latents z.

use ndarray::{Array2, Array3, ArrayView2, ArrayView3};
use serde::{Deserialize, Serialize};

/// Shape of one scale's feature map or latents. Scales are numbered finest first everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleShape {
    /// Channels C.
    pub channels: usize,
    /// Rows H.
    pub height: usize,
    /// Columns W.
    pub width: usize,
}

impl ScaleShape {
    /// H · W.
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// C · H · W.
    pub fn len(&self) -> usize {
        self.channels * self.pixels()
    }

    /// Whether one of the dimensions is zero.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The energy map of one scale: U = Σ_c z², H × W, float32. Under normality U is χ² with `channels` degrees of freedom.
#[derive(Clone, Copy, Debug)]
pub struct EnergyView<'a> {
    /// U, H × W.
    pub energy: ArrayView2<'a, f32>,
    /// Channels C of the latents that were summed.
    pub channels: usize,
}

/// U = Σ_c z² of latents (C, H, W), summed in f32 in the order of the channels.
pub fn energy(latents: ArrayView3<'_, f32>) -> Array2<f32> {
    let (_, height, width) = latents.dim();
    let mut sum = Array2::zeros((height, width));
    for channel in latents.outer_iter() {
        sum.zip_mut_with(&channel, |sum: &mut f32, z| *sum += z * z);
    }
    sum
}

/// Latents of one image, finest scale first, each (C, H, W).
pub type Latents = Vec<Array3<f32>>;

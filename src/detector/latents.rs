//! Frame → latents: what calibration and comparisons look at, instead of what a detection needs.

use std::sync::Arc;

use ndarray::{Array4, ArrayView3, Axis};

use crate::{
    Error, Result,
    frame::Frame,
    package::{Manifest, Package},
    preprocess::Preprocessor,
    runtime::{Backbone, Network, Runtime, SessionOptions},
};

/// A model's networks, asked for latents.
#[derive(Debug)]
pub struct LatentReader {
    manifest: Manifest,
    preprocessor: Preprocessor,
    input: Array4<f32>,
    network: Network,
}

impl LatentReader {
    /// Loads a package.
    ///
    /// # Errors
    /// As [`Detector::open`](super::Detector::open).
    pub fn open(runtime: &Runtime, package: &Package, options: &SessionOptions) -> Result<Self> {
        let manifest = package.manifest.clone();
        let (height, width) = (manifest.input.height as usize, manifest.input.width as usize);
        let (source, sha256) = (package.backbone.source(), &package.backbone.sha256);
        let backbone = Arc::new(Backbone::load_checked(runtime, source, sha256, options)?);
        Ok(Self {
            preprocessor: Preprocessor::new(manifest.input)?,
            input: Array4::zeros((1, 3, height, width)),
            network: Network::load(runtime, backbone, &package.flow, &manifest.shapes(), options)?,
            manifest,
        })
    }

    /// The package's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The latents of a frame, (C, H, W) for each scale, finest first, in memory until the next call.
    ///
    /// # Errors
    /// A frame that cannot be used; latents that are not finite.
    pub fn read(&mut self, frame: &Frame<'_>) -> Result<Vec<ArrayView3<'_, f32>>> {
        self.preprocessor.run(frame, self.input.as_slice_mut().unwrap_or_default())?;
        let output = self.network.run(self.input.view(), true)?;
        let latents =
            (0..self.manifest.scales.len()).map(|scale| output.latents(scale).map(|z| z.index_axis_move(Axis(0), 0)));
        let latents: Option<Vec<_>> = latents.collect();
        latents.ok_or_else(|| Error::Internal("the network gave no latents".to_owned()))
    }
}

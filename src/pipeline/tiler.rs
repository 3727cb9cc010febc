//! Frames in tiles: through the networks some at a time, and joined to one map per scale.

use std::time::{Duration, Instant};

use ndarray::{Array3, Array4, Axis, Slice};

use super::{Batch, Networks};
use crate::{Result, frame::Frame, latents::ScaleShape, package::Manifest, preprocess::Preprocessor, tiles::Tiling};

/// Most tiles that go through the networks together: it bounds the memory of a frame of any size.
const MOST_TOGETHER: usize = 8;

/// Makes the energies of frames that are cut into tiles. Owns the memory of some tiles and of the joined maps.
#[derive(Debug)]
pub struct Tiler {
    tiling: Tiling,
    /// Shapes of the joined maps.
    shapes: Vec<ScaleShape>,
    /// Tiles on their way into the networks.
    input: Array4<f32>,
    /// U, (frames, H, W) per scale.
    energies: Vec<Array3<f32>>,
    /// z, (frames, C, H, W) per scale; empty unless wanted.
    latents: Vec<Array4<f32>>,
}

/// Where the time of a frame's tiles went.
#[derive(Clone, Copy, Debug, Default)]
pub struct TileTimes {
    /// Resizing and normalisation.
    pub preprocess: Duration,
    /// Backbone and flow.
    pub network: Duration,
}

impl Tiler {
    /// For the frames of a model; `None` where the whole frame goes through the networks.
    ///
    /// # Errors
    /// As [`Manifest::tiling`].
    pub fn new(manifest: &Manifest) -> Result<Option<Self>> {
        let Some(tiling) = manifest.tiling()? else { return Ok(None) };
        let (height, width) = (manifest.input.height as usize, manifest.input.width as usize);
        Ok(Some(Self {
            input: Array4::zeros((tiling.len().min(MOST_TOGETHER), 3, height, width)),
            tiling,
            shapes: manifest.latents(),
            energies: Vec::new(),
            latents: Vec::new(),
        }))
    }

    /// Frames → tensors of tiles → features → energies, and latents where they are wanted, joined.
    ///
    /// # Errors
    /// As [`Preprocessor::run`] and [`Networks::run`].
    pub fn run(
        &mut self,
        frames: &[Frame<'_>],
        preprocessor: &mut Preprocessor,
        networks: &mut dyn Networks,
        want_latents: bool,
    ) -> Result<(Batch<'_>, TileTimes)> {
        self.make_room(frames.len(), want_latents);
        let mut times = TileTimes::default();
        for (index, frame) in frames.iter().enumerate() {
            preprocessor.check(frame)?;
            for first in (0..self.tiling.len()).step_by(self.input.len_of(Axis(0))) {
                self.run_some(frame, (index, first), preprocessor, networks, &mut times)?;
            }
        }
        Ok((Batch::Copied { energies: &self.energies, latents: &self.latents }, times))
    }

    /// Tiles of a frame from number `first` on, as many as go through the networks together.
    fn run_some(
        &mut self,
        frame: &Frame<'_>,
        (index, first): (usize, usize),
        preprocessor: &mut Preprocessor,
        networks: &mut dyn Networks,
        times: &mut TileTimes,
    ) -> Result<()> {
        let Self { tiling, input, energies, latents, .. } = self;
        let count = input.len_of(Axis(0)).min(tiling.len() - first);
        let start = Instant::now();
        for (tile, mut tensor) in (first..first + count).zip(input.outer_iter_mut()) {
            preprocessor.part(frame, tiling.origin(tile), tensor.as_slice_mut().unwrap_or_default())?;
        }
        times.preprocess += start.elapsed();
        let start = Instant::now();
        let batch = networks.run(input.slice_axis(Axis(0), Slice::from(..count)), !latents.is_empty())?;
        times.network += start.elapsed();
        for at in 0..count {
            let evidence = batch.frame(at);
            for (scale, joined) in energies.iter_mut().enumerate() {
                let mut joined = joined.index_axis_mut(Axis(0), index);
                tiling.place(first + at, evidence.energy(scale), &mut joined);
            }
            for (scale, joined) in latents.iter_mut().enumerate() {
                let Some(part) = evidence.latents(scale) else { continue };
                let mut joined = joined.index_axis_mut(Axis(0), index);
                for (part, mut joined) in part.outer_iter().zip(joined.outer_iter_mut()) {
                    tiling.place(first + at, part, &mut joined);
                }
            }
        }
        Ok(())
    }

    /// Room for the maps of so many frames. What it holds is overwritten: each cell is given by one tile.
    fn make_room(&mut self, frames: usize, want_latents: bool) {
        let Self { shapes, energies, latents, .. } = self;
        if energies.first().is_none_or(|map| map.len_of(Axis(0)) != frames) {
            *energies = shapes.iter().map(|shape| Array3::zeros((frames, shape.height, shape.width))).collect();
        }
        if !want_latents {
            latents.clear();
        } else if latents.first().is_none_or(|map| map.len_of(Axis(0)) != frames) {
            let of = |shape: &ScaleShape| Array4::zeros((frames, shape.channels, shape.height, shape.width));
            *latents = shapes.iter().map(of).collect();
        }
    }
}

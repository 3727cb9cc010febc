//! The segmenter's work for one scale: energies in, likelihoods and log₁₀PFA map out, at the scale's own size.

use std::ops::Range;

use ndarray::ArrayView3;

use super::null::{ScaleNull, Weights, log10_normal_tail};
use super::prune::Pruner;
use super::tree::Tree;
use super::upsample::{Axis, Rows};
use super::{Bound, ChiSquared, TestCount};
use crate::latents::ScaleShape;
use crate::{Error, Result};

/// Buffers and constants of one scale.
#[derive(Debug)]
pub(super) struct Scale {
    pub(super) shape: ScaleShape,
    pub(super) tail: ChiSquared,
    pub(super) rows: Axis,
    pub(super) columns: Axis,
    /// Pixels of the maps that have a cell's row or column as their nearest: `edges[i]..edges[i + 1]`.
    pub(super) row_edges: Vec<u32>,
    pub(super) column_edges: Vec<u32>,
    pub(super) stretched: Rows,
    pub(super) energy: Vec<f32>,
    pub(super) likelihood: Vec<f32>,
    pub(super) log10_pfa: Vec<f32>,
    /// Which rows of `log10_pfa` have a region.
    pub(super) occupied: Vec<bool>,
    pub(super) inside: Option<Vec<bool>>,
    /// The null of good images, if it is known.
    pub(super) null: Option<ScaleNull>,
    /// For the count by size, with the present null and region of interest.
    weights: Weights,
    /// The values of which the tree is built if tests are counted by size: U or z.
    statistic: Vec<f32>,
}

impl Scale {
    pub(super) fn new(shape: ScaleShape, height: usize, width: usize) -> Self {
        let (rows, columns) = (Axis::new(shape.height, height), Axis::new(shape.width, width));
        let edges = |axis: &Axis, cells: usize, pixels: usize| {
            let nearest: Vec<usize> = (0..pixels).map(|pixel| axis.nearest(pixel)).collect();
            (0..=cells).map(|cell| nearest.partition_point(|&of| of < cell) as u32).collect()
        };
        Self {
            shape,
            tail: ChiSquared::new(shape.channels),
            row_edges: edges(&rows, shape.height, height),
            column_edges: edges(&columns, shape.width, width),
            rows,
            columns,
            stretched: Rows::new(width),
            energy: vec![0.0; shape.pixels()],
            likelihood: vec![0.0; shape.pixels()],
            log10_pfa: vec![0.0; shape.pixels()],
            occupied: vec![false; shape.height],
            inside: None,
            null: None,
            weights: Weights::new(shape.pixels(), shape.pixels(), 1.0),
            statistic: vec![0.0; shape.pixels()],
        }
    }

    pub(super) fn check_shape(&self, index: usize, found: ScaleShape) -> Result<()> {
        if found == self.shape {
            return Ok(());
        }
        let text = |shape: ScaleShape| format!("{}×{}×{}", shape.channels, shape.height, shape.width);
        let reason = format!("scale {index} is {}, expected {} (C×H×W)", text(found), text(self.shape));
        Err(Error::parameter("latents", reason))
    }

    pub(super) fn check_values(&self, index: usize) -> Result<()> {
        let usable = self.energy.iter().map(|u| u32::from(*u >= 0.0 && *u <= f32::MAX)).sum::<u32>() as usize;
        if usable == self.energy.len() {
            return Ok(());
        }
        let found = self.energy.iter().filter(|u| !u.is_finite()).count();
        if found > 0 {
            let what = format!("energies (sums of squared latents) of scale {index}");
            return Err(Error::NonFinite { what, found, total: self.energy.len() });
        }
        let reason = format!("{} energies of scale {index} are negative", self.energy.len() - usable);
        Err(Error::parameter("latents", reason))
    }

    /// U = Σ_c z² in f32, in the order of the channels.
    pub(super) fn sum_squares(&mut self, latents: &ArrayView3<'_, f32>) {
        self.energy.fill(0.0);
        for channel in latents.outer_iter() {
            if let Some(channel) = channel.as_slice() {
                for (sum, z) in self.energy.iter_mut().zip(channel) {
                    *sum += z * z;
                }
            } else {
                for (sum, z) in self.energy.iter_mut().zip(channel) {
                    *sum += z * z;
                }
            }
        }
    }

    /// p_s = exp(−½ · U / C) at the scale's own resolution.
    pub(super) fn write_likelihood(&mut self) {
        let factor = -0.5 / self.shape.channels as f32;
        for (p, u) in self.likelihood.iter_mut().zip(&self.energy) {
            *p = (factor * u).exp();
        }
        if let Some(inside) = &self.inside {
            extend(&mut self.likelihood, inside, self.shape.width);
        }
    }

    pub(super) fn find_regions(&mut self, bound: Bound, tree: &mut Tree, pruner: &mut Pruner) {
        let floor = match bound {
            Bound::Chernoff => self.shape.channels as f32,
            Bound::Exact => -1.0,
        };
        match &self.inside {
            None => tree.build(&self.energy, self.shape.width, |_, u| u > floor),
            Some(inside) => tree.build(&self.energy, self.shape.width, |pixel, u| inside[pixel] & (u > floor)),
        }
        self.log10_pfa.fill(0.0);
        let tail = self.tail;
        let weigh = |size: u32, u: f32| f64::from(size) * tail.log10_tail(f64::from(u), bound);
        pruner.run(tree, weigh, |log10_pfa| log10_pfa, &mut self.log10_pfa);
        self.note_occupied();
    }

    fn note_occupied(&mut self) {
        for (occupied, row) in self.occupied.iter_mut().zip(self.log10_pfa.chunks_exact(self.shape.width)) {
            *occupied = row.iter().any(|&value| value != 0.0);
        }
    }

    /// Pixels that take part.
    fn pixels(&self) -> usize {
        self.inside.as_ref().map_or(self.shape.pixels(), |inside| inside.iter().filter(|&&inside| inside).count())
    }

    /// Call this after a change of the null or of the region of interest.
    pub(super) fn prepare_weights(&mut self) {
        // t is the same as in the calibration; the share of the pixels that take part is a separate factor.
        let (pixels, correlated) = match &self.null {
            Some(null) => (null.pixels, f64::from(null.correlated_pixels)),
            None => (self.pixels(), 1.0),
        };
        self.weights = Weights::new(pixels, self.shape.pixels(), correlated);
    }

    /// log₁₀ NFA without evidence, if tests are counted by size at `scales` scales.
    pub(super) fn log10_nothing(&self, scales: usize) -> f64 {
        let at_one = match &self.null {
            Some(null) => null.log10_rate_of_all() + self.log10_taking_part(null),
            None => self.weights.nothing(),
        };
        at_one + self.log10_scales(scales)
    }

    /// log₁₀ 1/w_s: what this scale, as one of `scales`, adds to log₁₀NFA.
    fn log10_scales(&self, scales: usize) -> f64 {
        self.null.as_ref().map_or((scales as f64).log10(), |null| -null.share_of(scales).log10())
    }

    /// log₁₀ of the share of the null's pixels that take part. The number of regions falls with it.
    fn log10_taking_part(&self, null: &ScaleNull) -> f64 {
        (self.pixels() as f64 / null.pixels as f64).log10()
    }

    /// As [`find_regions`](Self::find_regions), with tests counted by size. The map then holds log₁₀NFA minus `nothing`.
    pub(super) fn find_sized_regions(
        &mut self,
        bound: Bound,
        scales: usize,
        nothing: f64,
        tree: &mut Tree,
        pruner: &mut Pruner,
    ) {
        let (channels, width) = (self.shape.channels, self.shape.width);
        let beyond = self.log10_scales(scales) - nothing;
        self.log10_pfa.fill(0.0);
        let (inside, weights) = (self.inside.as_deref(), &self.weights);
        let takes_part = |pixel: usize| inside.is_none_or(|inside| inside[pixel]);
        match &self.null {
            Some(null) => {
                let share = self.log10_taking_part(null);
                null.standardise(&null.location, channels, &self.energy, &mut self.statistic);
                tree.build(&self.statistic, width, |pixel, z| takes_part(pixel) & (z > 0.0));
                let weigh = |size, z| weights.weigh(size, log10_normal_tail(f64::from(z)));
                let write = |t| (null.log10_rate(t) + share + beyond).min(0.0);
                pruner.run(tree, weigh, write, &mut self.log10_pfa);
            }
            None => {
                let tail = self.tail;
                // Below the expectation no bound holds, and no region is meaningful.
                tree.build(&self.energy, width, |pixel, u| takes_part(pixel) & (u > channels as f32));
                let weigh = |size, u| weights.weigh(size, tail.log10_tail(f64::from(u), bound));
                pruner.run(tree, weigh, |t| (t + beyond).min(0.0), &mut self.log10_pfa);
            }
        }
        self.note_occupied();
    }

    /// Pixels of maps of this width that have a cell as their nearest, row by row.
    pub(super) fn spans_of(&self, cell: usize, width: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let span = |edges: &[u32], at: usize| edges[at] as usize..edges[at + 1] as usize;
        let columns = span(&self.column_edges, cell % self.shape.width);
        span(&self.row_edges, cell / self.shape.width).map(move |y| y * width + columns.start..y * width + columns.end)
    }

    /// The value of this scale at a pixel of the map.
    pub(super) fn log10_pfa_at(&self, row: usize, column: usize, tests: TestCount) -> f32 {
        if tests == TestCount::PerSize {
            return self.log10_pfa[self.rows.nearest(row) * self.shape.width + self.columns.nearest(column)];
        }
        let (top, bottom, down) = self.rows.at(row);
        let (left, right, across) = self.columns.at(column);
        let on = |y: usize| {
            let row = &self.log10_pfa[y * self.shape.width..];
            row[left] * (1.0 - across) + row[right] * across
        };
        on(top) * (1.0 - down) + on(bottom) * down
    }
}

/// Gives each cell outside the mean of its neighbours inside, as at a replicated edge, and 1 (normal) if it has no such neighbour.
fn extend(map: &mut [f32], inside: &[bool], width: usize) {
    let height = map.len() / width;
    for cell in (0..map.len()).filter(|&cell| !inside[cell]) {
        let (y, x) = (cell / width, cell % width);
        let (mut sum, mut count) = (0.0, 0.0);
        for row in y.saturating_sub(1)..(y + 2).min(height) {
            for neighbour in row * width + x.saturating_sub(1)..row * width + (x + 2).min(width) {
                if inside[neighbour] {
                    sum += map[neighbour];
                    count += 1.0;
                }
            }
        }
        map[cell] = if count > 0.0 { sum / count } else { 1.0 };
    }
}

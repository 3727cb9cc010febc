//! Bilinear interpolation with half-pixel centres (PyTorch's `align_corners = False`), one output row at a time.
//!
//! The two axes are separate. Each source row is stretched to the output's width once, into one of two slots (even and odd rows). An
//! output row is a weighted sum of two stretched rows, which the compiler vectorises. Weights are made once for each size.

use ndarray::{Array2, ArrayView2};

use crate::{Error, Reason, Result};

/// For each output position, the two source positions around it and the weight of the second.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    low: Vec<u32>,
    high: Vec<u32>,
    weight: Vec<f32>,
}

impl Axis {
    /// `output` positions over `input`, both at least 1.
    pub(crate) fn new(input: usize, output: usize) -> Self {
        let mut axis = Self {
            low: Vec::with_capacity(output),
            high: Vec::with_capacity(output),
            weight: Vec::with_capacity(output),
        };
        let last = input - 1;
        let scale = input as f64 / output as f64;
        for position in 0..output {
            let source = (scale * (position as f64 + 0.5) - 0.5).max(0.0);
            let low = (source as usize).min(last);
            axis.low.push(low as u32);
            axis.high.push((low + 1).min(last) as u32);
            axis.weight.push((source - low as f64).clamp(0.0, 1.0) as f32);
        }
        axis
    }

    /// The two source positions of an output position and the weight of the second.
    pub(crate) fn at(&self, position: usize) -> (usize, usize, f32) {
        (self.low[position] as usize, self.high[position] as usize, self.weight[position])
    }

    /// Writes the source row at every output position.
    pub(crate) fn stretch(&self, row: &[f32], out: &mut [f32]) {
        for (((out, &low), &high), &weight) in out.iter_mut().zip(&self.low).zip(&self.high).zip(&self.weight) {
            *out = row[low as usize] * (1.0 - weight) + row[high as usize] * weight;
        }
    }
}

impl Axis {
    /// The source position nearest to an output position.
    pub(crate) fn nearest(&self, position: usize) -> usize {
        let (low, high, weight) = self.at(position);
        if weight < 0.5 { low } else { high }
    }

    /// Writes the nearest of the source row at every output position.
    fn repeat(&self, row: &[f32], out: &mut [f32]) {
        for (((out, &low), &high), &weight) in out.iter_mut().zip(&self.low).zip(&self.high).zip(&self.weight) {
            *out = row[(if weight < 0.5 { low } else { high }) as usize];
        }
    }
}

/// Two rows of equal length and their weights: an output row before it is summed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blend<'a> {
    first: &'a [f32],
    second: &'a [f32],
    weights: (f32, f32),
}

impl Blend<'_> {
    /// `out = blend`.
    pub(crate) fn write(self, out: &mut [f32]) {
        self.each(out, |_, value| value);
    }

    /// `out += blend · factor`.
    pub(crate) fn add_scaled(mut self, factor: f32, out: &mut [f32]) {
        self.weights.0 *= factor;
        self.weights.1 *= factor;
        self.each(out, |sum, value| sum + value);
    }

    /// `out = min(out, blend)`.
    pub(crate) fn lower(self, out: &mut [f32]) {
        self.each(out, |least, value| if value < least { value } else { least });
    }

    #[inline(always)]
    fn each(self, out: &mut [f32], combine: impl Fn(f32, f32) -> f32) {
        let (first, second) = self.weights;
        for ((out, &a), &b) in out.iter_mut().zip(self.first).zip(self.second) {
            *out = combine(*out, a * first + b * second);
        }
    }
}

/// The last two source rows that were stretched.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    slots: [Vec<f32>; 2],
    held: [usize; 2],
}

impl Rows {
    /// For output rows of `width`.
    pub(crate) fn new(width: usize) -> Self {
        Self { slots: [vec![0.0; width], vec![0.0; width]], held: [usize::MAX; 2] }
    }

    /// Forgets the rows and resizes to `width`.
    pub(crate) fn reset(&mut self, width: usize) {
        self.held = [usize::MAX; 2];
        for slot in &mut self.slots {
            slot.resize(width, 0.0);
        }
    }

    /// Output row `y` of `source(row)` stretched by `columns`.
    pub(crate) fn blend<'a>(
        &mut self,
        y: usize,
        rows: &Axis,
        columns: &Axis,
        source: impl Fn(usize) -> &'a [f32],
    ) -> Blend<'_> {
        let (low, high, weight) = rows.at(y);
        for row in [low, high] {
            let slot = row & 1;
            if self.held[slot] != row {
                columns.stretch(source(row), &mut self.slots[slot]);
                self.held[slot] = row;
            }
        }
        Blend { first: &self.slots[low & 1], second: &self.slots[high & 1], weights: (1.0 - weight, weight) }
    }

    /// Output row `y` of the nearest of `source(row)`. Reset before a change between this and [`blend`](Self::blend).
    pub(crate) fn nearest<'a>(
        &mut self,
        y: usize,
        rows: &Axis,
        columns: &Axis,
        source: impl Fn(usize) -> &'a [f32],
    ) -> &[f32] {
        let row = rows.nearest(y);
        let slot = row & 1;
        if self.held[slot] != row {
            columns.repeat(source(row), &mut self.slots[slot]);
            self.held[slot] = row;
        }
        &self.slots[slot]
    }
}

/// Row `y` of a row-major map of `width` columns.
pub(crate) fn row_of<'a>(map: &'a [f32], width: usize) -> impl Fn(usize) -> &'a [f32] {
    move |y| &map[y * width..(y + 1) * width]
}

/// `map` interpolated to height × width.
///
/// # Errors
/// A map or an output without pixels.
pub fn upsample(map: ArrayView2<'_, f32>, height: usize, width: usize) -> Result<Array2<f32>> {
    if map.is_empty() || height == 0 || width == 0 {
        let reason = format!("cannot interpolate {:?} to [{height}, {width}]: sizes must be at least 1", map.shape());
        return Err(Error::parameter("size", reason));
    }
    let (rows, columns) = (Axis::new(map.nrows(), height), Axis::new(map.ncols(), width));
    let source = map.as_standard_layout();
    let mut out = vec![0.0; height * width];
    if let Some(source) = source.as_slice() {
        let mut stretched = Rows::new(width);
        for (y, out) in out.chunks_exact_mut(width).enumerate() {
            stretched.blend(y, &rows, &columns, row_of(source, map.ncols())).write(out);
        }
    }
    Array2::from_shape_vec((height, width), out).map_err(|error| Error::parameter("size", Reason::of(error)))
}

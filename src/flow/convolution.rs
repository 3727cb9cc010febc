//! Convolutions with "same" zero padding as matrix products, and their reverse pass.
//!
//! With weights W(o, t, i) (output, tap, input) and a map of N pixels, over tiles of rows that fit the cache:
//!
//! ```text
//! forward    Y  = W(o; t,i) · columns(X)(t,i; N)          columns: the shifted copies of X ("im2col")
//! backward   dX = W(i; o,t) · columns(dY)(o,t; N)         shifted the other way
//!            dW = X(i; N) · columns(dY)(o,t; N)ᵀ
//! ```
//!
//! The backward pass gathers dY's neighbours instead of scattering into dX. One set of columns serves both products, and
//! different tiles (so different threads) never write to the same place. In this order of the weights, each matrix is a plain
//! strided view. With a 1×1 kernel, the map is its own columns and nothing is copied.

use std::ops::Range;

use crate::kernel::{Matrix, MatrixMut, Real, multiply};

/// Least number of pixels of a tile, so that a product amortises the packing of the weights.
const TILE_PIXELS: usize = 384;
/// Most values of a tile's columns, so that they stay in a core's own cache (unless [`TILE_PIXELS`] requires more).
const TILE_VALUES: usize = 192 * 1024;

/// A convolution's shape: kernel × kernel, over maps of height × width.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Convolution {
    pub(crate) kernel: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Convolution {
    fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Splits the rows into tiles, for columns of `channels` channels.
    fn tiles(&self, rows: Range<usize>, channels: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let pixels = (TILE_VALUES / (self.taps() * channels.max(1))).max(TILE_PIXELS);
        let step = pixels.div_ceil(self.width).max(1);
        let count = rows.len().div_ceil(step).max(1);
        (0..count).map(move |tile| rows.start + rows.len() * tile / count..rows.start + rows.len() * (tile + 1) / count)
    }

    fn pixels(&self, rows: &Range<usize>) -> Range<usize> {
        rows.start * self.width..rows.end * self.width
    }

    /// `y = W·columns(x)` for some rows; `y` holds only those rows. Calls `finish` with each tile of `y` as soon as it is computed,
    /// and with the tile's pixels, counted from the first of `rows`.
    pub(crate) fn forward<T: Real>(
        &self,
        weights: &[T],
        x: Matrix<'_, T>,
        rows: Range<usize>,
        y: &mut MatrixMut<'_, T>,
        columns: &mut Vec<T>,
        mut finish: impl FnMut(Range<usize>, &mut MatrixMut<'_, T>),
    ) {
        let depth = self.taps() * self.inputs;
        let weights = Matrix::new(weights, self.outputs, depth);
        let first = rows.start * self.width;
        for tile in self.tiles(rows, self.inputs) {
            let pixels = self.pixels(&tile);
            let local = pixels.start - first..pixels.end - first;
            let mut y = y.columns(local.clone());
            if self.kernel == 1 {
                multiply(&mut y, weights, x.columns(pixels), false);
            } else {
                self.gather(x, &tile, columns, false);
                multiply(&mut y, weights, Matrix::new(columns, depth, pixels.len()), false);
            }
            finish(local, &mut y);
        }
    }

    /// For some rows: adds `x·columns(dy)ᵀ` to `d_weights`. If `dx` is given (it holds only those rows), sets it
    /// to `Wᵀ·columns(dy)` or adds that to it. `finish` is as in [`forward`](Self::forward), with tiles of `dx`.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn backward<T: Real>(
        &self,
        weights: &[T],
        x: Matrix<'_, T>,
        dy: Matrix<'_, T>,
        rows: Range<usize>,
        dx: Option<(&mut MatrixMut<'_, T>, bool)>,
        d_weights: &mut [T],
        columns: &mut Vec<T>,
        mut finish: impl FnMut(Range<usize>, &mut MatrixMut<'_, T>),
    ) {
        let depth = self.outputs * self.taps();
        let weights = Matrix::strided(weights, self.inputs, depth, 1, self.inputs);
        let mut d_weights = MatrixMut::by_columns(d_weights, self.inputs, depth);
        let mut dx = dx;
        let first = rows.start * self.width;
        for tile in self.tiles(rows, self.outputs) {
            let pixels = self.pixels(&tile);
            let gathered = if self.kernel == 1 {
                dy.columns(pixels.clone())
            } else {
                self.gather(dy, &tile, columns, true);
                Matrix::new(columns, depth, pixels.len())
            };
            multiply(&mut d_weights, x.columns(pixels.clone()), gathered.transposed(), true);
            if let Some((dx, accumulate)) = &mut dx {
                let local = pixels.start - first..pixels.end - first;
                let mut dx = dx.columns(local.clone());
                multiply(&mut dx, weights, gathered, *accumulate);
                finish(local, &mut dx);
            }
        }
    }

    /// Shifted copies of a map's rows, zero outside the map. Forward: row (t, c) of the result is channel c shifted by tap
    /// t. Reversed: row (c, t) is channel c shifted back by tap t.
    fn gather<T: Real>(&self, map: Matrix<'_, T>, rows: &Range<usize>, columns: &mut Vec<T>, reversed: bool) {
        let (taps, channels, pixels) = (self.taps(), map.row_count(), rows.len() * self.width);
        columns.resize(taps * channels * pixels, T::default());
        let reach = (self.kernel / 2) as isize;
        for channel in 0..channels {
            let source = map.row(channel);
            for tap in 0..taps {
                let shift = [(tap / self.kernel) as isize - reach, (tap % self.kernel) as isize - reach];
                let (row, shift) = if reversed {
                    (channel * taps + tap, shift.map(|shift| -shift))
                } else {
                    (tap * channels + channel, shift)
                };
                self.shifted(source, rows, shift, &mut columns[row * pixels..(row + 1) * pixels]);
            }
        }
    }

    /// `target(y, x) = source(y + shift[0], x + shift[1])` for some rows, zero outside the map.
    fn shifted<T: Real>(&self, source: &[T], rows: &Range<usize>, shift: [isize; 2], target: &mut [T]) {
        let (width, height) = (self.width as isize, self.height as isize);
        // The rows and pixels of the target whose source is inside the map; contiguous in both.
        let top = (rows.start as isize + shift[0]).clamp(0, height);
        let bottom = (rows.end as isize + shift[0]).clamp(top, height);
        let above = (top - shift[0] - rows.start as isize).clamp(0, rows.len() as isize);
        let start = (above * width) as usize;
        let end = ((above + bottom - top) * width) as usize;
        target[..start].fill(T::default());
        target[end..].fill(T::default());
        let target = &mut target[start..end];
        let source = &source[(top * width) as usize..(bottom * width) as usize];
        let across = shift[1].unsigned_abs().min(self.width);
        if across >= target.len() {
            target.fill(T::default());
            return;
        }
        let length = target.len() - across;
        if shift[1] < 0 {
            target[across..].copy_from_slice(&source[..length]);
            target.chunks_exact_mut(self.width).for_each(|row| row[..across].fill(T::default()));
        } else {
            target[..length].copy_from_slice(&source[across..]);
            let kept = self.width - across;
            target.chunks_exact_mut(self.width).for_each(|row| row[kept..].fill(T::default()));
        }
    }
}

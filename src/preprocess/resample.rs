//! The inner loops: rows in, normalised planes out, one pass over the frame.
//!
//! ```text
//! for each target row:
//!     bring the source rows under its vertical filter into the ring, each resampled horizontally once
//!     sum them, weighted                                   (skipped where the height does not change)
//!     write value · scale + shift to the three planes
//! ```
//!
//! The ring holds no more rows than the vertical filter is long, so everything between source and target stays in the
//! processor's cache. A pixel of three or four channels is filtered as one vector of four lanes; of three channels the fourth lane
//! is the next pixel's first and is ignored. [`pulp`] compiles the loops for the widest vectors of the machine.

use std::ops::{Add, Mul};

use pulp::{Simd, WithSimd};

use super::Preprocess;
use super::axis::{Axis, FRACTION_BITS};
use crate::frame::{Frame, PixelFormat};

/// What is resampled: bytes in Pillow's fixed-point arithmetic, or floats.
pub(super) trait Sample: Copy + Default {
    /// Weights and sums.
    type Wide: Copy + Default + Add<Output = Self::Wide> + Mul<Output = Self::Wide>;
    /// What a sum starts from.
    const START: Self::Wide;
    fn widen(self) -> Self::Wide;
    fn narrow(sum: Self::Wide) -> Self;
    /// The sample on the scale of bytes, 0 to 255. A byte's value is `step` in 16-bit samples. Divided by it, not multiplied by its
    /// inverse: 257 times a byte of 16 bits is that byte exactly.
    fn byte(self, step: f32) -> f32;
    fn weights(axis: &Axis) -> &[Self::Wide];
    /// Samples of a frame's row.
    fn read(row: &[u8]) -> impl Iterator<Item = Self>;
}

impl Sample for u8 {
    type Wide = i32;
    const START: i32 = 1 << (FRACTION_BITS - 1);

    #[inline(always)]
    fn widen(self) -> i32 {
        i32::from(self)
    }

    #[inline(always)]
    fn narrow(sum: i32) -> u8 {
        (sum >> FRACTION_BITS).clamp(0, 255) as u8
    }

    #[inline(always)]
    fn byte(self, _: f32) -> f32 {
        f32::from(self)
    }

    #[inline(always)]
    fn weights(axis: &Axis) -> &[i32] {
        &axis.fixed
    }

    #[inline(always)]
    fn read(row: &[u8]) -> impl Iterator<Item = u8> {
        row.iter().copied()
    }
}

/// 16-bit gray.
impl Sample for f32 {
    type Wide = f32;
    const START: f32 = 0.0;

    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[inline(always)]
    fn narrow(sum: f32) -> f32 {
        sum
    }

    #[inline(always)]
    fn byte(self, step: f32) -> f32 {
        self / step
    }

    #[inline(always)]
    fn weights(axis: &Axis) -> &[f32] {
        &axis.floats
    }

    #[inline(always)]
    fn read(row: &[u8]) -> impl Iterator<Item = f32> {
        row.chunks_exact(2).map(|bytes| f32::from(u16::from_ne_bytes([bytes[0], bytes[1]])))
    }
}

/// Memory that is kept between frames.
#[derive(Debug, Default)]
pub(super) struct Scratch<S: Sample> {
    /// A source row, widened, and one element more for the last pixel's fourth lane.
    wide: Vec<S::Wide>,
    /// Horizontally resampled rows; row y lies at y modulo the number of rows.
    ring: Vec<S>,
    /// Sums of the vertical filter.
    sums: Vec<S::Wide>,
    /// The finished row.
    line: Vec<S>,
}

/// One frame to resample.
pub(super) struct Job<'a> {
    pub(super) frame: &'a Frame<'a>,
    pub(super) horizontal: Option<&'a Axis>,
    pub(super) vertical: Option<&'a Axis>,
    pub(super) input: &'a Preprocess,
    /// The value of white in 16-bit samples.
    pub(super) white: f32,
    /// Row and column of the resized frame where the network's input begins.
    pub(super) origin: (usize, usize),
    pub(super) out: &'a mut [f32],
}

impl<'a> Job<'a> {
    /// The job on samples of type `S`, `C` to a pixel.
    pub(super) fn with<S: Sample, const C: usize>(self, scratch: &'a mut Scratch<S>) -> TypedJob<'a, S, C> {
        let line = self.input.width as usize * self.lanes::<C>();
        let ring_rows = self.vertical.map_or(0, |axis| axis.taps);
        scratch.wide.resize(self.horizontal.map_or(0, |_| self.frame.width() as usize * C + 1), S::Wide::default());
        scratch.ring.resize(ring_rows * line, S::default());
        scratch.sums.resize(line, S::Wide::default());
        scratch.line.resize(line, S::default());
        TypedJob { job: self, scratch }
    }

    /// Samples of a pixel between source and target: four for three channels, where they are filtered as vectors.
    fn lanes<const C: usize>(&self) -> usize {
        if C == 3 && self.horizontal.is_some() { 4 } else { C }
    }
}

pub(super) struct TypedJob<'a, S: Sample, const C: usize> {
    job: Job<'a>,
    scratch: &'a mut Scratch<S>,
}

impl<S: Sample, const C: usize> WithSimd for TypedJob<'_, S, C> {
    type Output = ();

    #[inline(always)]
    fn with_simd<V: Simd>(self, _: V) {
        if self.job.lanes::<C>() == C { self.run::<C>() } else { self.run::<4>() }
    }
}

impl<S: Sample, const C: usize> TypedJob<'_, S, C> {
    /// The network's input, with `L` samples a pixel in the ring.
    #[inline(always)]
    fn run<const L: usize>(self) {
        let Self { job: Job { frame, horizontal, vertical, input, white, origin, out }, scratch } = self;
        let Scratch { wide, ring, sums, line } = scratch;
        let (width, length) = (input.width as usize, line.len());
        let planes = Planes::new(input, frame.format(), white);
        let ring_rows = vertical.map_or(1, |axis| axis.taps);
        let columns = Columns { axis: horizontal, from: origin.1, width };
        let mut next = 0;
        for y in 0..input.height as usize {
            match vertical {
                None => read_row::<S, C, L>(frame.row((origin.0 + y) as u32), columns, wide, sums, line),
                Some(axis) => {
                    let (first, count) = axis.spans[origin.0 + y];
                    next = next.max(first);
                    while next < first + count {
                        let slot = &mut ring[next % ring_rows * length..][..length];
                        read_row::<S, C, L>(frame.row(next as u32), columns, wide, sums, slot);
                        next += 1;
                    }
                    let weights = &S::weights(axis)[(origin.0 + y) * axis.taps..][..count];
                    let slots = (first..first + count).map(|y| &ring[y % ring_rows * length..][..length]);
                    sum_rows::<S>(weights, slots, sums);
                    narrow_row(sums, line);
                }
            }
            planes.write::<S, L>(line, out, y * width, width);
        }
    }
}

/// The columns of the resized frame that are made, and how.
#[derive(Clone, Copy)]
struct Columns<'a> {
    axis: Option<&'a Axis>,
    from: usize,
    width: usize,
}

/// Reads a row of the frame and resamples it horizontally.
#[inline(always)]
fn read_row<S: Sample, const C: usize, const L: usize>(
    row: &[u8],
    Columns { axis, from, width }: Columns<'_>,
    wide: &mut [S::Wide],
    sums: &mut [S::Wide],
    out: &mut [S],
) {
    let Some(axis) = axis else {
        for (out, sample) in out.iter_mut().zip(S::read(row).skip(from * C)) {
            *out = sample;
        }
        return;
    };
    let spans = &axis.spans[from..from + width];
    // Both ends of the spans ascend.
    let (left, right) = (spans[0].0, spans[width - 1].0 + spans[width - 1].1);
    for (wide, sample) in wide.iter_mut().zip(S::read(row).skip(left * C).take((right - left) * C)) {
        *wide = sample.widen();
    }
    let weights = S::weights(axis)[from * axis.taps..].chunks_exact(axis.taps);
    for ((pixel, &(first, count)), weights) in sums.chunks_exact_mut(L).zip(spans).zip(weights) {
        let (first, weights) = (first - left, &weights[..count]);
        if L == 1 {
            let terms = weights.iter().zip(&wide[first..first + count]);
            pixel[0] = terms.fold(S::START, |sum, (&weight, &sample)| sum + weight * sample);
            continue;
        }
        let mut sum = [S::START; 4];
        let lanes = wide[first * C..].array_windows::<4>().step_by(C);
        for (&weight, lanes) in weights.iter().zip(lanes) {
            for (sum, &lane) in sum.iter_mut().zip(lanes) {
                *sum = *sum + weight * lane;
            }
        }
        pixel.copy_from_slice(&sum[..L]);
    }
    narrow_row(sums, out);
}

/// The weighted sum of whole rows.
#[inline(always)]
fn sum_rows<'a, S: Sample + 'a>(weights: &[S::Wide], rows: impl Iterator<Item = &'a [S]>, sums: &mut [S::Wide]) {
    sums.fill(S::START);
    for (&weight, row) in weights.iter().zip(rows) {
        for (sum, &sample) in sums.iter_mut().zip(row) {
            *sum = *sum + weight * sample.widen();
        }
    }
}

#[inline(always)]
fn narrow_row<S: Sample>(sums: &[S::Wide], row: &mut [S]) {
    for (sample, &sum) in row.iter_mut().zip(sums) {
        *sample = S::narrow(sum);
    }
}

/// Where a pixel's samples go and how they are normalised, in the order in which they lie in memory.
struct Planes {
    plane: [usize; 3],
    scale: [f32; 3],
    shift: [f32; 3],
    /// See [`Sample::byte`].
    step: f32,
}

impl Planes {
    fn new(input: &Preprocess, format: PixelFormat, white: f32) -> Self {
        let plane = match format {
            PixelFormat::Bgr8 | PixelFormat::Bgra8 => [2, 1, 0],
            _ => [0, 1, 2],
        };
        let scale = plane.map(|plane| 1.0 / (255.0 * input.std[plane]));
        let shift = plane.map(|plane| -input.mean[plane] / input.std[plane]);
        Self { plane, scale, shift, step: white / 255.0 }
    }

    /// Writes one row of pixels to the three planes of `out`, `start` elements into each.
    #[inline(always)]
    fn write<S: Sample, const L: usize>(&self, line: &[S], out: &mut [f32], start: usize, width: usize) {
        let size = out.len() / 3;
        for channel in 0..3 {
            let (scale, shift) = (self.scale[channel], self.shift[channel]);
            let target = &mut out[self.plane[channel] * size + start..][..width];
            let skipped = if L == 1 { 0 } else { channel };
            for (target, pixel) in target.iter_mut().zip(line.chunks_exact(L)) {
                *target = pixel[skipped].byte(self.step) * scale + shift;
            }
        }
    }
}

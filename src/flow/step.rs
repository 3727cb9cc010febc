//! One step of the flow on one image: forward, reverse pass and inverse (design §2, "one step").
//!
//! ```text
//! forward          h = relu(W₁∗x₁ + b₁),  (l, t) = from W₂∗h + b₂,  x̃ = (x₁, x₂·eˡ + t),  y = P(s·x̃ + o)
//! reverse pass     1  per pixel: dx̃, then dx₂, d(W₂∗h), and the gradients of s, o, b₂
//!                  2  through W₂: dh, dW₂, and b₁'s gradient      3  through W₁: dx₁ += …, dW₁
//! ```
//!
//! Each phase splits the rows of the map into one part per lane, and each part has its own thread. A 3×3 kernel reads rows of the
//! neighbouring parts, so a phase starts only after the one before has finished. Gradients are added to the part's own lane, so
//! the assignment of parts to threads never changes a sum.

use std::ops::Range;

use super::{
    architecture::StepLayout,
    convolution::Convolution,
    elementwise::{Affine, AffineBackward, BiasRelu, Coupling, CouplingBackward, ReluBackward, RowSums},
    mixing::Mixer,
};
use crate::kernel::{Matrix, MatrixMut, Real, vectorised};

/// Maps with fewer pixels per part are not split further.
const PART_PIXELS: usize = 512;

/// Sums and scratch memory of one part of an image.
#[derive(Debug, Default)]
pub(crate) struct Lane<T> {
    /// Gradient of the flow's parameters; empty if only the forward pass is needed.
    pub(crate) gradient: Vec<T>,
    /// Σ l over the part.
    pub(crate) log_det: f64,
    columns: Vec<T>,
}

impl<T: Real> Lane<T> {
    /// A lane for the gradient of this many parameters.
    pub(crate) fn new(parameters: usize) -> Self {
        Self { gradient: vec![T::default(); parameters], ..Self::default() }
    }
}

/// ActNorm's scale, `0.1·softplus_{β=0.5}(g)`.
pub(crate) fn scale_of(g: f64) -> f64 {
    0.2 * ((-(0.5 * g).abs()).exp().ln_1p() + (0.5 * g).max(0.0))
}

/// d scale / d g.
fn scale_slope(g: f64) -> f64 {
    0.1 / (1.0 + (-0.5 * g).exp())
}

/// The g that gives a (positive) scale.
pub(crate) fn scale_parameter(scale: f64) -> f64 {
    // ln(e^{5s} − 1) without overflow for large s.
    2.0 * (5.0 * scale + (-(-5.0 * scale).exp_m1()).ln())
}

/// A step and its parameters.
pub(crate) struct Step<'a, T> {
    pub(crate) layout: StepLayout,
    pub(crate) parameters: &'a [T],
    pub(crate) mixer: &'a Mixer,
}

/// Results of the forward pass for the reverse pass: the hidden map, and (l, t).
pub(crate) struct Kept<'a, T> {
    pub(crate) hidden: &'a mut [T],
    pub(crate) coupling: &'a mut [T],
}

impl<T: Real> Step<'_, T> {
    fn convolutions(&self) -> [Convolution; 2] {
        let StepLayout { shape, kernel, .. } = self.layout;
        let (passive, hidden, height, width) = (self.layout.passive(), self.layout.hidden, shape.height, shape.width);
        let convolution = |inputs, outputs| Convolution { kernel, inputs, outputs, height, width };
        [convolution(passive, hidden), convolution(hidden, 2 * self.layout.active())]
    }

    fn each_part<F>(&self, lanes: &mut [Lane<T>], maps: [MatrixMut<'_, T>; 2], run: F)
    where
        F: Fn(Range<usize>, [MatrixMut<'_, T>; 2], &mut Lane<T>) + Sync,
    {
        let shape = self.layout.shape;
        let parts = lanes.len().min(shape.height).min((shape.pixels() / PART_PIXELS).max(1));
        each_part(0..shape.height, shape.width, &mut lanes[..parts], maps, &run);
    }

    /// `y = step(x)`, both (C, pixels); adds Σ l to the lanes. [`log_scale`](Self::log_scale) is ActNorm's constant part of the
    /// log-determinant.
    pub(crate) fn forward(&self, x: &[T], kept: Kept<'_, T>, y: &mut [T], lanes: &mut [Lane<T>]) {
        let (shape, passive, active) = (self.layout.shape, self.layout.passive(), self.layout.active());
        let (channels, pixels) = (shape.channels, shape.pixels());
        let p = self.layout.parts(self.parameters);
        let [first, second] = self.convolutions();
        let x = Matrix::new(x, channels, pixels);
        let clamp = T::of(self.layout.clamp);
        let maps = [MatrixMut::new(kept.hidden, self.layout.hidden, pixels), MatrixMut::new(&mut [], 0, pixels)];
        self.each_part(lanes, maps, |rows, [mut hidden, _], lane| {
            first.forward(p.first_weight, x.first_rows(passive), rows, &mut hidden, &mut lane.columns, |_, tile| {
                for (channel, &bias) in p.first_bias.iter().enumerate() {
                    vectorised(BiasRelu { row: tile.row_mut(channel), bias });
                }
            });
        });
        let hidden = Matrix::new(kept.hidden, self.layout.hidden, pixels);
        let maps = [MatrixMut::new(kept.coupling, 2 * active, pixels), MatrixMut::new(&mut *y, channels, pixels)];
        self.each_part(lanes, maps, |rows, [mut coupling, mut y], lane| {
            let (start, mut sum) = (rows.start * shape.width, 0.0);
            second.forward(p.second_weight, hidden, rows, &mut coupling, &mut lane.columns, |tile, coupling| {
                let x = x.columns(start + tile.start..start + tile.end);
                let mut y = y.columns(tile);
                for channel in 0..channels {
                    let scale = T::of(scale_of(p.scale[channel].to_f64()));
                    let offset = p.offset[channel];
                    let y = y.row_mut(self.mixer.destination(channel));
                    let x = x.row(channel);
                    if channel < passive {
                        vectorised(Affine { x, y, scale, offset });
                    } else {
                        let channel = channel - passive;
                        let bias = [p.second_bias[channel], p.second_bias[active + channel]];
                        let (log_scale, shift) = coupling.rows_mut(channel, active + channel);
                        sum += vectorised(Coupling { log_scale, shift, bias, clamp, x, y, scale, offset });
                    }
                }
            });
            lane.log_det += sum;
        });
        self.mixer.mix(y, pixels, false);
    }

    /// ActNorm's part of the log-determinant, H·W·Σ ln scale.
    pub(crate) fn log_scale(&self) -> f64 {
        let scales = self.layout.parts(self.parameters).scale.iter();
        self.layout.shape.pixels() as f64 * scales.map(|g| scale_of(g.to_f64()).ln()).sum::<f64>()
    }

    /// Reverse pass of the loss (… − log|det J|) from `dy` to `dx`. Adds the parameters' gradients to the lanes and overwrites
    /// the results of the forward pass. Without `whole`, `dx₁` lacks the part through the subnetwork; this suffices if no
    /// parameter comes before this step.
    pub(crate) fn backward(
        &self,
        x: &[T],
        kept: Kept<'_, T>,
        [dy, dx, d_hidden]: [&mut [T]; 3],
        lanes: &mut [Lane<T>],
        whole: bool,
    ) {
        let (layout, shape) = (self.layout, self.layout.shape);
        let (passive, active, pixels) = (layout.passive(), layout.active(), shape.pixels());
        let p = layout.parts(self.parameters);
        let [first, second] = self.convolutions();
        let x = Matrix::new(x, shape.channels, pixels);
        self.mixer.mix(dy, pixels, true);
        let dy = Matrix::new(dy, shape.channels, pixels);
        let maps = [MatrixMut::new(kept.coupling, 2 * active, pixels), MatrixMut::new(dx, shape.channels, pixels)];
        self.each_part(lanes, maps, |rows, maps, lane| self.backward_pixels(x, dy, rows, maps, &mut lane.gradient));

        let hidden = Matrix::new(kept.hidden, layout.hidden, pixels);
        let d_coupling = Matrix::new(kept.coupling, 2 * active, pixels);
        let maps = [MatrixMut::new(d_hidden, layout.hidden, pixels), MatrixMut::new(&mut [], 0, pixels)];
        self.each_part(lanes, maps, |rows, [mut d_hidden, _], Lane { gradient, columns, .. }| {
            let d = layout.parts_mut(gradient);
            let start = rows.start * shape.width;
            let target = Some((&mut d_hidden, false));
            second.backward(
                p.second_weight,
                hidden,
                d_coupling,
                rows,
                target,
                d.second_weight,
                columns,
                |tile, map| {
                    let hidden = hidden.columns(start + tile.start..start + tile.end);
                    for channel in 0..layout.hidden {
                        let (gradient, output) = (map.row_mut(channel), hidden.row(channel));
                        d.first_bias[channel] += T::of(vectorised(ReluBackward { gradient, output }));
                    }
                },
            );
        });

        let d_hidden = Matrix::new(d_hidden, layout.hidden, pixels);
        // x₁ is the first part of x's channels, and dx₁ of dx's.
        let maps = [MatrixMut::new(&mut dx[..passive * pixels], passive, pixels), MatrixMut::new(&mut [], 0, pixels)];
        let x1 = x.first_rows(passive);
        self.each_part(lanes, maps, |rows, [mut dx1, _], Lane { gradient, columns, .. }| {
            let d = layout.parts_mut(gradient);
            let target = whole.then_some((&mut dx1, true));
            first.backward(p.first_weight, x1, d_hidden, rows, target, d.first_weight, columns, |_, _| {});
        });
    }

    /// Phase 1 of the reverse pass for some rows. `maps` are (l, t), which are overwritten by their gradients, and dx.
    fn backward_pixels(
        &self,
        x: Matrix<'_, T>,
        dy: Matrix<'_, T>,
        rows: Range<usize>,
        [mut coupling, mut dx]: [MatrixMut<'_, T>; 2],
        gradient: &mut [T],
    ) {
        let (shape, passive, active) = (self.layout.shape, self.layout.passive(), self.layout.active());
        let p = self.layout.parts(self.parameters);
        let d = self.layout.parts_mut(gradient);
        let pixels = rows.start * shape.width..rows.end * shape.width;
        let clamp = self.layout.clamp;
        let (x, dy, count) = (x.columns(pixels.clone()), dy.columns(pixels.clone()), pixels.len() as f64);
        for channel in 0..shape.channels {
            let g = p.scale[channel].to_f64();
            let scale = scale_of(g);
            let dy = dy.row(self.mixer.destination(channel));
            let x = x.row(channel);
            let dx = dx.row_mut(channel);
            let sums: RowSums = if channel < passive {
                vectorised(AffineBackward { dy, x, dx, scale: T::of(scale) })
            } else {
                let channel = channel - passive;
                let (log_scale, shift) = coupling.rows_mut(channel, active + channel);
                let sums = vectorised(CouplingBackward { dy, x, log_scale, shift, dx, clamp, scale: T::of(scale) });
                d.second_bias[channel] += T::of(sums.log_scale);
                d.second_bias[active + channel] += T::of(sums.shift);
                sums
            };
            d.offset[channel] += T::of(sums.gradient);
            d.scale[channel] += T::of((sums.product - count / scale) * scale_slope(g));
        }
    }

    /// `x` with `step(x) = y`. The two scratch buffers are those of [`forward`](Self::forward).
    pub(crate) fn inverse(&self, y: &[T], kept: Kept<'_, T>, x: &mut [T]) {
        let (shape, passive, active) = (self.layout.shape, self.layout.passive(), self.layout.active());
        let pixels = shape.pixels();
        let p = self.layout.parts(self.parameters);
        let y = self.mixer.unmixed(y, pixels);
        for (channel, x) in x.chunks_exact_mut(pixels).enumerate() {
            let scale = scale_of(p.scale[channel].to_f64());
            let from = self.mixer.destination(channel) * pixels;
            let (scale, offset) = (T::of(1.0 / scale), -p.offset[channel] * T::of(1.0 / scale));
            vectorised(Affine { x: &y[from..from + pixels], y: x, scale, offset });
        }
        // The coupling of x̃ (its x₁ equals x's) gives (l, t) of x; the coupling's own result is not needed.
        let mut lanes = [Lane::default()];
        let mut unused = vec![T::default(); x.len()];
        let Kept { hidden, coupling } = kept;
        self.forward(x, Kept { hidden, coupling: &mut *coupling }, &mut unused, &mut lanes);
        let (log_scale, shift) = coupling.split_at(active * pixels);
        let changed = x[passive * pixels..].iter_mut();
        for ((x, &l), &t) in changed.zip(log_scale).zip(shift) {
            *x = (*x - t) * (-l).exp();
        }
    }
}

/// Calls `run` for every part of the rows in parallel, each with its lane and its pixels of the maps.
fn each_part<T: Real, F>(rows: Range<usize>, width: usize, lanes: &mut [Lane<T>], maps: [MatrixMut<'_, T>; 2], run: &F)
where
    F: Fn(Range<usize>, [MatrixMut<'_, T>; 2], &mut Lane<T>) + Sync,
{
    if let [lane] = lanes {
        return run(rows, maps, lane);
    }
    let count = lanes.len();
    let (left, right) = lanes.split_at_mut(count / 2);
    let middle = rows.start + rows.len() * (count / 2) / count;
    let [a, b] = maps.map(|map| map.split_columns((middle - rows.start) * width));
    rayon::join(
        || each_part(rows.start..middle, width, left, [a.0, b.0], run),
        || each_part(middle..rows.end, width, right, [a.1, b.1], run),
    );
}

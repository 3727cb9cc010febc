//! The loops over single values of a row of pixels: bias and ReLU, the coupling, its reverse pass, noise.
//!
//! Every loop runs over chunks of [`LANES`] values with one partial sum per lane. This compiles to vector code, and the sums do not
//! depend on the width of the CPU's vectors.

use crate::kernel::{Real, Vectorised};

const LANES: usize = 16;

/// Factor of the subnetwork's output.
pub(crate) const COUPLING_SCALE: f64 = 0.1;

#[inline(always)]
fn total<T: Real>(lanes: [T; LANES]) -> f64 {
    lanes.iter().map(|lane| lane.to_f64()).sum()
}

/// `row ← max(row + bias, 0)`; NaN stays NaN.
pub(crate) struct BiasRelu<'a, T> {
    pub(crate) row: &'a mut [T],
    pub(crate) bias: T,
}

impl<T: Real> Vectorised for BiasRelu<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for value in self.row {
            let sum = *value + self.bias;
            *value = if sum < T::default() { T::default() } else { sum };
        }
    }
}

/// `gradient ← gradient` where the ReLU's `output` is positive, else 0; returns its sum.
pub(crate) struct ReluBackward<'a, T> {
    pub(crate) gradient: &'a mut [T],
    pub(crate) output: &'a [T],
}

impl<T: Real> Vectorised for ReluBackward<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let mut sum = [T::default(); LANES];
        let mut one = |gradient: &mut T, output: T, lane: usize| {
            let masked = if output > T::default() { *gradient } else { T::default() };
            *gradient = masked;
            sum[lane] += masked;
        };
        let (gradients, gradient_tail) = self.gradient.as_chunks_mut::<LANES>();
        let (outputs, output_tail) = self.output.as_chunks::<LANES>();
        for (gradient, output) in gradients.iter_mut().zip(outputs) {
            for lane in 0..LANES {
                one(&mut gradient[lane], output[lane], lane);
            }
        }
        for (lane, (gradient, output)) in gradient_tail.iter_mut().zip(output_tail).enumerate() {
            one(gradient, *output, lane);
        }
        total(sum)
    }
}

/// `y = scale · x + offset`.
pub(crate) struct Affine<'a, T> {
    pub(crate) x: &'a [T],
    pub(crate) y: &'a mut [T],
    pub(crate) scale: T,
    pub(crate) offset: T,
}

impl<T: Real> Vectorised for Affine<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (y, x) in self.y.iter_mut().zip(self.x) {
            *y = self.scale * *x + self.offset;
        }
    }
}

/// Sums of the reverse pass over one row: of the gradient, of the gradient times the value, and of the gradients of the
/// two rows of the subnetwork's output.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RowSums {
    pub(crate) gradient: f64,
    pub(crate) product: f64,
    pub(crate) log_scale: f64,
    pub(crate) shift: f64,
}

/// Reverse of [`Affine`]: `dx = scale · dy`.
pub(crate) struct AffineBackward<'a, T> {
    pub(crate) dy: &'a [T],
    pub(crate) x: &'a [T],
    pub(crate) dx: &'a mut [T],
    pub(crate) scale: T,
}

impl<T: Real> Vectorised for AffineBackward<'_, T> {
    type Output = RowSums;

    #[inline(always)]
    fn run(self) -> RowSums {
        let mut sums = [[T::default(); LANES]; 2];
        let mut one = |dy: T, x: T, dx: &mut T, lane: usize| {
            sums[0][lane] += dy;
            sums[1][lane] += dy * x;
            *dx = self.scale * dy;
        };
        let (dys, dy_tail) = self.dy.as_chunks::<LANES>();
        let (xs, x_tail) = self.x.as_chunks::<LANES>();
        let (dxs, dx_tail) = self.dx.as_chunks_mut::<LANES>();
        for ((dy, x), dx) in dys.iter().zip(xs).zip(dxs) {
            for lane in 0..LANES {
                one(dy[lane], x[lane], &mut dx[lane], lane);
            }
        }
        for (lane, ((dy, x), dx)) in dy_tail.iter().zip(x_tail).zip(dx_tail).enumerate() {
            one(*dy, *x, dx, lane);
        }
        RowSums { gradient: total(sums[0]), product: total(sums[1]), ..RowSums::default() }
    }
}

/// The affine coupling of one channel, followed by scale and offset (design §2, "one step"):
/// `l = clamp·tanh(0.1·(a + bias))`, `t = 0.1·(b + bias)`, `y = scale·(x·eˡ + t) + offset`.
///
/// Overwrites the subnetwork's raw output with `l` and `t`; returns Σ l.
pub(crate) struct Coupling<'a, T> {
    pub(crate) log_scale: &'a mut [T],
    pub(crate) shift: &'a mut [T],
    pub(crate) bias: [T; 2],
    /// Limit of l, ±.
    pub(crate) clamp: T,
    pub(crate) x: &'a [T],
    pub(crate) y: &'a mut [T],
    pub(crate) scale: T,
    pub(crate) offset: T,
}

impl<T: Real> Vectorised for Coupling<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let (tenth, clamp) = (T::of(COUPLING_SCALE), self.clamp);
        let mut sum = [T::default(); LANES];
        let mut one = |l: &mut T, t: &mut T, x: T, y: &mut T, lane: usize| {
            *l = clamp * (tenth * (*l + self.bias[0])).tanh();
            *t = tenth * (*t + self.bias[1]);
            *y = self.scale * (x * l.exp() + *t) + self.offset;
            sum[lane] += *l;
        };
        let (ls, l_tail) = self.log_scale.as_chunks_mut::<LANES>();
        let (ts, t_tail) = self.shift.as_chunks_mut::<LANES>();
        let (xs, x_tail) = self.x.as_chunks::<LANES>();
        let (ys, y_tail) = self.y.as_chunks_mut::<LANES>();
        for (((l, t), x), y) in ls.iter_mut().zip(ts).zip(xs).zip(ys) {
            for lane in 0..LANES {
                one(&mut l[lane], &mut t[lane], x[lane], &mut y[lane], lane);
            }
        }
        for (lane, (((l, t), x), y)) in l_tail.iter_mut().zip(t_tail).zip(x_tail).zip(y_tail).enumerate() {
            one(l, t, *x, y, lane);
        }
        total(sum)
    }
}

/// Reverse of [`Coupling`] for the loss −log|det J| + …: computes `dx` from `dy`, and overwrites `l` and `t` with the gradients of the
/// subnetwork's raw output.
pub(crate) struct CouplingBackward<'a, T> {
    pub(crate) dy: &'a [T],
    pub(crate) x: &'a [T],
    pub(crate) log_scale: &'a mut [T],
    pub(crate) shift: &'a mut [T],
    pub(crate) dx: &'a mut [T],
    pub(crate) clamp: f64,
    pub(crate) scale: T,
}

impl<T: Real> Vectorised for CouplingBackward<'_, T> {
    type Output = RowSums;

    #[inline(always)]
    fn run(self) -> RowSums {
        let (one, tenth) = (T::of(1.0), T::of(COUPLING_SCALE));
        // dl/da = 0.1·clamp·(1 − tanh²) with tanh = l/clamp.
        let (slope, curve) = (T::of(COUPLING_SCALE * self.clamp), T::of(COUPLING_SCALE / self.clamp));
        let mut sums = [[T::default(); LANES]; 4];
        let mut each = |dy: T, x: T, l: &mut T, t: &mut T, dx: &mut T, lane: usize| {
            let scaled = x * l.exp();
            let gradient = self.scale * dy;
            sums[0][lane] += dy;
            sums[1][lane] += dy * (scaled + *t);
            *dx = gradient * l.exp();
            *l = (gradient * scaled - one) * (slope - curve * *l * *l);
            *t = tenth * gradient;
            sums[2][lane] += *l;
            sums[3][lane] += *t;
        };
        let (dys, dy_tail) = self.dy.as_chunks::<LANES>();
        let (xs, x_tail) = self.x.as_chunks::<LANES>();
        let (ls, l_tail) = self.log_scale.as_chunks_mut::<LANES>();
        let (ts, t_tail) = self.shift.as_chunks_mut::<LANES>();
        let (dxs, dx_tail) = self.dx.as_chunks_mut::<LANES>();
        for ((((dy, x), l), t), dx) in dys.iter().zip(xs).zip(ls).zip(ts).zip(dxs) {
            for lane in 0..LANES {
                each(dy[lane], x[lane], &mut l[lane], &mut t[lane], &mut dx[lane], lane);
            }
        }
        let tails = dy_tail.iter().zip(x_tail).zip(l_tail).zip(t_tail).zip(dx_tail);
        for (lane, ((((dy, x), l), t), dx)) in tails.enumerate() {
            each(*dy, *x, l, t, dx, lane);
        }
        let [gradient, product, log_scale, shift] = sums.map(total);
        RowSums { gradient, product, log_scale, shift }
    }
}

/// Σ values².
pub(crate) struct SquareSum<'a, T> {
    pub(crate) values: &'a [T],
}

impl<T: Real> Vectorised for SquareSum<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let mut sum = [T::default(); LANES];
        let (chunks, tail) = self.values.as_chunks::<LANES>();
        for chunk in chunks {
            for lane in 0..LANES {
                sum[lane] += chunk[lane] * chunk[lane];
            }
        }
        for (lane, value) in tail.iter().enumerate() {
            sum[lane] += *value * *value;
        }
        total(sum)
    }
}

/// Σ z² of a whole map, row by row in double precision.
pub(crate) fn square_sum<T: Real>(values: &[T], row: usize) -> f64 {
    values.chunks(row.max(1)).map(|values| crate::kernel::vectorised(SquareSum { values })).sum()
}

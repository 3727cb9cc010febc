//! Loss and gradient of a batch of images, in parallel, with the same bits for any number of threads.
//!
//! A fixed number of lanes shares the work; each lane has its own gradient. Of B images, image b belongs to group b mod G
//! (G = min(B, lanes)). Each group owns lanes/G lanes, which split the rows of the group's images. A thread takes a whole group,
//! image after image; with fewer images than lanes, several threads also share the rows of one image. The lanes are summed in
//! a fixed order at the end. The number of lanes depends only on the size of the flow.

use std::sync::Mutex;

use rayon::prelude::*;

use crate::{
    flow::{Flow, Lane, Loss, Real, Workspace},
    kernel::{Vectorised, vectorised},
    sync::lock,
};

/// Lanes for small flows.
const LANES: usize = 16;
/// Memory limit of the lanes' gradients: larger flows get fewer lanes, at least [`FEWEST_LANES`].
const LANE_BYTES: usize = 64 << 20;
const FEWEST_LANES: usize = 4;
/// Values that one thread sums or updates at a time.
pub(super) const BLOCK: usize = 1 << 14;

/// The loss of a batch, averaged over its images.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BatchLoss {
    /// ½ Σ z² − log |det J|, in nats per image.
    pub loss: f64,
    /// ½ Σ z².
    pub half_square: f64,
    /// log |det J|.
    pub log_det: f64,
}

/// Computes losses and gradients. The buffers are reused for every batch.
#[derive(Debug)]
pub struct Gradients<T = f32> {
    lanes: Vec<Lane<T>>,
    workspaces: Mutex<Vec<Workspace<T>>>,
    total: Vec<T>,
    losses: Vec<Loss>,
}

impl<T: Real> Gradients<T> {
    /// Buffers for flows of this architecture.
    pub fn new(flow: &Flow<T>) -> Self {
        let bytes = (size_of_val(flow.parameters())).max(1);
        let fitting = (LANE_BYTES / bytes).clamp(FEWEST_LANES, LANES);
        let lanes = 1 << fitting.ilog2();
        Self {
            lanes: (0..lanes).map(|_| Lane::new(flow.parameters().len())).collect(),
            workspaces: Mutex::default(),
            total: vec![T::default(); flow.parameters().len()],
            losses: Vec::new(),
        }
    }

    /// Loss and gradient of `batch` images, on the current rayon pool. `fill(image, scale, target)` writes an image's normalised features
    /// (C, H, W). The gradient is then in [`gradient`](Self::gradient).
    pub fn compute<F>(&mut self, flow: &Flow<T>, batch: usize, fill: F) -> BatchLoss
    where
        F: Fn(usize, usize, &mut [T]) + Sync,
    {
        let groups = batch.min(self.lanes.len()).max(1);
        let per_group = self.lanes.len() / groups;
        let used = groups * per_group;
        self.losses.clear();
        self.losses.resize(groups, Loss::default());
        let Self { lanes, workspaces, losses, .. } = self;
        lanes[..used].par_iter_mut().for_each(|lane| lane.gradient.fill(T::default()));
        lanes[..used].par_chunks_mut(per_group).zip(losses).enumerate().for_each(|(group, (lanes, loss))| {
            let mut workspace = take(workspaces, flow);
            for image in (group..batch).step_by(groups) {
                for scale in 0..flow.architecture().scales() {
                    fill(image, scale, workspace.features_mut(flow, scale));
                }
                let image = workspace.forward(flow, lanes);
                loss.half_square += image.half_square;
                loss.log_det += image.log_det;
                workspace.backward(flow, lanes);
            }
            give(workspaces, workspace);
        });
        self.sum(used, batch);
        let mean = |part: fn(&Loss) -> f64| self.losses.iter().map(part).sum::<f64>() / batch.max(1) as f64;
        BatchLoss {
            loss: mean(Loss::total),
            half_square: mean(|loss| loss.half_square),
            log_det: mean(|loss| loss.log_det),
        }
    }

    /// The gradient of the last batch's loss (averaged over its images), laid out as the flow's parameters.
    pub fn gradient(&self) -> &[T] {
        &self.total
    }

    fn sum(&mut self, used: usize, batch: usize) {
        let factor = T::of(1.0 / batch.max(1) as f64);
        let lanes = &self.lanes[..used];
        self.total.par_chunks_mut(BLOCK).enumerate().for_each(|(block, total)| {
            let start = block * BLOCK;
            total.fill(T::default());
            for lane in lanes {
                let part = &lane.gradient[start..start + total.len()];
                vectorised(AddScaled { total, part, factor });
            }
        });
    }

    /// Runs `each(workspace)` after the forward pass of every image, and returns the results in order.
    pub(super) fn evaluate<F, E, R>(&self, flow: &Flow<T>, batch: usize, fill: F, each: E) -> Vec<R>
    where
        F: Fn(usize, usize, &mut [T]) + Sync,
        E: Fn(&Workspace<T>) -> R + Sync,
        R: Send,
    {
        let one = |image| {
            let mut workspace = take(&self.workspaces, flow);
            for scale in 0..flow.architecture().scales() {
                fill(image, scale, workspace.features_mut(flow, scale));
            }
            workspace.forward(flow, &mut [Lane::default()]);
            let result = each(&workspace);
            give(&self.workspaces, workspace);
            result
        };
        (0..batch).into_par_iter().map(one).collect()
    }
}

fn take<T: Real>(pool: &Mutex<Vec<Workspace<T>>>, flow: &Flow<T>) -> Workspace<T> {
    let workspace = lock(pool).pop();
    workspace.unwrap_or_else(|| Workspace::new(flow))
}

fn give<T: Real>(pool: &Mutex<Vec<Workspace<T>>>, workspace: Workspace<T>) {
    lock(pool).push(workspace);
}

/// `total += factor · part`.
struct AddScaled<'a, T> {
    total: &'a mut [T],
    part: &'a [T],
    factor: T,
}

impl<T: Real> Vectorised for AddScaled<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (total, part) in self.total.iter_mut().zip(self.part) {
            *total += self.factor * *part;
        }
    }
}

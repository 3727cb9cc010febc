//! The best model so far, by the likelihood of the held-out images.
//!
//! The stages of a U depend on each other and are kept together. Parallel stages are models of their own, each of its scale: each is kept
//! where it was best by itself, so that a coarse scale that starts to learn its few pixels by heart does not hold up the finer ones.

use std::ops::Range;

use super::HeldOut;
use crate::flow::{Flow, Topology};

/// What was measured on the held-out images after an epoch.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// Per scale, its part of the negative log-likelihood, in nats per value of all scales; together they are the whole.
    pub(super) nll: Vec<f64>,
    /// Per scale, the mean of z².
    pub(super) latent_variance: Vec<f64>,
}

impl Measured {
    fn part_nll(&self, scales: &Range<usize>) -> f64 {
        self.nll[scales.clone()].iter().sum()
    }
}

/// The parameters that were best, and their figures.
#[derive(Debug)]
pub(super) struct Best {
    parts: Vec<Part>,
    parameters: Vec<f32>,
    measured: Measured,
    epoch: usize,
}

/// Stages that are kept together: their scales, and their place in the flow's parameters.
#[derive(Debug)]
struct Part {
    scales: Range<usize>,
    parameters: Range<usize>,
}

impl Best {
    /// The untrained flow.
    pub(super) fn new(flow: &Flow<f32>, measured: Measured) -> Self {
        let scales = flow.architecture().scales();
        let parts = match flow.architecture().topology {
            Topology::UShaped => vec![Part { scales: 0..scales, parameters: 0..flow.parameters().len() }],
            Topology::Parallel => {
                let part = |scale| Part { scales: scale..scale + 1, parameters: flow.stage_range(scale) };
                (0..scales).map(part).collect()
            }
        };
        Self { parts, parameters: flow.parameters().to_vec(), measured, epoch: 0 }
    }

    /// Keeps what is better than before; whether anything is.
    pub(super) fn consider(&mut self, epoch: usize, flow: &Flow<f32>, measured: &Measured) -> bool {
        let mut better = false;
        for Part { scales, parameters } in &self.parts {
            if measured.part_nll(scales) < self.measured.part_nll(scales) {
                better = true;
                self.parameters[parameters.clone()].copy_from_slice(&flow.parameters()[parameters.clone()]);
                self.measured.nll[scales.clone()].copy_from_slice(&measured.nll[scales.clone()]);
                let variances = &measured.latent_variance[scales.clone()];
                self.measured.latent_variance[scales.clone()].copy_from_slice(variances);
            }
        }
        if better {
            self.epoch = epoch;
        }
        better
    }

    /// The last epoch that made it better; 0 if it is the untrained flow.
    pub(super) fn epoch(&self) -> usize {
        self.epoch
    }

    pub(super) fn nll(&self) -> f64 {
        self.measured.nll.iter().sum()
    }

    /// The figures, and the parameters.
    pub(super) fn into_parts(self) -> (HeldOut, Vec<f32>) {
        let nll = self.nll();
        (HeldOut { nll, latent_variance: self.measured.latent_variance, best: true }, self.parameters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        flow::{Architecture, Normalisation},
        latents::ScaleShape,
    };

    fn measured(nll: [f64; 2]) -> Measured {
        Measured { nll: nll.to_vec(), latent_variance: nll.map(|nll| 1.0 + nll).to_vec() }
    }

    fn flow(topology: Topology) -> Flow<f32> {
        let shape = |channels, size| ScaleShape { channels, height: size, width: size };
        let architecture = Architecture::connected(vec![shape(2, 4), shape(4, 2)], 1, vec![1], topology).unwrap();
        let mut flow = Flow::new(architecture, vec![Normalisation::Identity; 2], 1).unwrap();
        flow.parameters_mut().fill(0.0);
        flow
    }

    /// Best of three epochs: first the fine scale gains, then the coarse one, while the other loses.
    fn best(topology: Topology) -> (usize, HeldOut, Vec<f32>, Flow<f32>) {
        let mut flow = flow(topology);
        let mut best = Best::new(&flow, measured([0.5, 0.5]));
        for (epoch, nll, better) in [(1, [0.1, 0.8], topology), (2, [0.7, 0.4], topology)]
            .map(|(epoch, nll, topology)| (epoch, nll, topology == Topology::Parallel || epoch == 1))
        {
            flow.parameters_mut().fill(epoch as f32);
            assert_eq!(best.consider(epoch, &flow, &measured(nll)), better);
        }
        flow.parameters_mut().fill(3.0);
        assert!(!best.consider(3, &flow, &measured([0.6, 0.6])));
        let epoch = best.epoch();
        let (held_out, parameters) = best.into_parts();
        (epoch, held_out, parameters, flow)
    }

    #[test]
    fn parallel_stages_are_kept_each_at_its_own_best() {
        let (epoch, held_out, parameters, flow) = best(Topology::Parallel);
        assert_eq!(epoch, 2);
        assert!((held_out.nll - 0.5).abs() < 1e-12, "0.1 of the fine scale and 0.4 of the coarse one: {held_out:?}");
        assert_eq!(held_out.latent_variance, [1.1, 1.4]);
        for (scale, value) in [(0, 1.0), (1, 2.0)] {
            assert!(parameters[flow.stage_range(scale)].iter().all(|&found| found == value), "scale {scale}");
        }
    }

    #[test]
    fn the_stages_of_a_u_are_kept_together() {
        let (epoch, held_out, parameters, _) = best(Topology::UShaped);
        assert_eq!(epoch, 1, "0.1 and 0.8 are less together than 0.7 and 0.4");
        assert!((held_out.nll - 0.9).abs() < 1e-12);
        assert_eq!(held_out.latent_variance, [1.1, 1.8]);
        assert!(parameters.iter().all(|&found| found == 1.0));
    }
}

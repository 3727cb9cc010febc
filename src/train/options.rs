//! Options, progress and results of training.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    flow::{Flow, NormalisationKind, Topology},
};

/// Largest number of steps in a stage; the paper uses 4.
const MOST_STEPS: usize = 64;

/// Settings of [`train`](super::train).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainOptions {
    /// Steps of each stage of the flow.
    pub steps: usize,
    /// Kernel sizes of the steps, repeated in this order.
    pub kernels: Vec<usize>,
    /// How the stages are joined.
    #[serde(default)]
    pub topology: Topology,
    /// How the features are normalised before the flow.
    pub normalisation: NormalisationKind,
    /// Largest number of passes over the training images.
    pub epochs: usize,
    /// Images of one optimiser step.
    pub batch: usize,
    /// Adam's rate, after a short rise at the start.
    pub learning_rate: f64,
    /// L2 penalty that is added to the gradient, as in PyTorch's `Adam`.
    pub weight_decay: f64,
    /// Largest norm of the gradient (of the loss in nats per image), per feature value of an image; larger ones are scaled down to it.
    pub clip: Option<f64>,
    /// Gaussian noise on the features of the finest scale, in units of each channel's standard deviation. For separate flows it doubles with each
    /// coarser scale: a coarse scale has fewer pixels to learn from, and learns them by heart sooner.
    pub noise: f64,
    /// Part of the images that is held out to measure the model during training.
    pub held_out: f64,
    /// Number of the part that is held out, from 0. Different parts have no image in common. The last part may be smaller.
    #[serde(default)]
    pub fold: usize,
    /// Stop after this many epochs in which the held-out likelihood gained less than `least_gain`.
    pub patience: usize,
    /// Gain of the held-out likelihood that counts, in nats per feature value.
    #[serde(default)]
    pub least_gain: f64,
    /// Stop after this time, also within an epoch, with the best model so far; no limit if `None`. A training that ends so is not
    /// repeatable to the bit: it depends on the machine's speed.
    #[serde(default)]
    pub time_budget: Option<Duration>,
    /// Largest number of images that ActNorm is initialised from.
    pub initial_images: usize,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Threads; the process's rayon pool if `None`.
    pub threads: Option<usize>,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            steps: 4,
            kernels: vec![3, 1],
            topology: Topology::Parallel,
            normalisation: NormalisationKind::Whiten,
            epochs: 200,
            batch: 8,
            learning_rate: 1e-3,
            weight_decay: 1e-5,
            clip: Some(1.0),
            noise: 0.05,
            held_out: 0.1,
            fold: 0,
            patience: 4,
            least_gain: 5e-4,
            time_budget: None,
            initial_images: 16,
            seed: 0,
            threads: None,
        }
    }
}

/// Up to this the noise doubles from scale to scale: with more, flows learn hardly anything beyond a Gaussian (benches/quality.md).
const MOST_DOUBLED_NOISE: f64 = 0.5;

impl TrainOptions {
    /// Number of held-out images out of `images`.
    pub(crate) fn held_out_images(&self, images: usize) -> usize {
        ((images as f64 * self.held_out).round() as usize).max(1)
    }

    /// The noise at a scale, 0 being the finest.
    pub(super) fn noise_at(&self, scale: usize) -> f64 {
        match self.topology {
            Topology::UShaped => self.noise,
            Topology::Parallel => (self.noise * 2_f64.powi(scale as i32)).min(self.noise.max(MOST_DOUBLED_NOISE)),
        }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// [`Error::Parameter`] that names the option and what it allows.
    pub fn validate(&self) -> Result<()> {
        let positive = |name, value: usize| {
            if value == 0 { Err(Error::parameter(name, "must be at least 1")) } else { Ok(()) }
        };
        positive("epochs", self.epochs)?;
        positive("batch", self.batch)?;
        positive("patience", self.patience)?;
        positive("initial images", self.initial_images)?;
        let fewest = usize::from(self.topology != Topology::Parallel);
        if !(fewest..=MOST_STEPS).contains(&self.steps) {
            return Err(Error::parameter("steps", format!("{} is not {fewest} to {MOST_STEPS}", self.steps)));
        }
        positive("threads", self.threads.unwrap_or(1))?;
        let within = |name, value: f64, allowed: bool, range: &str| {
            if allowed { Ok(()) } else { Err(Error::parameter(name, format!("{value} is outside {range}"))) }
        };
        let rate = self.learning_rate;
        within("learning rate", rate, rate > 0.0 && rate <= 1.0, "(0, 1]")?;
        let gain = self.least_gain;
        within("least gain", gain, (0.0..=1.0).contains(&gain), "[0, 1]")?;
        check_time_budget(self.time_budget)?;
        let decay = self.weight_decay;
        within("weight decay", decay, (0.0..=1.0).contains(&decay), "[0, 1]")?;
        within("noise", self.noise, (0.0..=1.0).contains(&self.noise), "[0, 1]")?;
        let held_out = self.held_out;
        within("held out", held_out, held_out > 0.0 && held_out <= 0.5, "(0, 0.5]")?;
        let clip = self.clip.unwrap_or(1.0);
        within("clip", clip, clip > 0.0 && clip.is_finite(), "(0, ∞)")
    }
}

/// Refuses a time in which nothing can be done.
pub(crate) fn check_time_budget(budget: Option<Duration>) -> Result<()> {
    if budget == Some(Duration::ZERO) { Err(Error::parameter("time budget", "must be above 0 s")) } else { Ok(()) }
}

/// The callback's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Continue training.
    Continue,
    /// Stop here and return the best model so far.
    Stop,
    /// Stop here and return [`Error::Cancelled`].
    Cancel,
}

/// Progress of training, passed to the callback before the first epoch, after every optimiser step and after every epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Epoch, from 1; 0 before the first.
    pub epoch: usize,
    /// Largest number of epochs.
    pub epochs: usize,
    /// Optimiser steps done in this epoch.
    pub batch: usize,
    /// Optimiser steps of an epoch.
    pub batches: usize,
    /// Mean training loss of this epoch so far: negative log-likelihood in nats per feature value, with noise.
    pub loss: f64,
    /// Rate of the last optimiser step.
    pub learning_rate: f64,
    /// Which part of the images is held out, from 0; 0 is the model's own training, others are flows that calibrate its null.
    pub fold: usize,
    /// How many flows are fitted in all, each with another part of the images held out.
    pub folds: usize,
    /// Time since the training of this flow began.
    pub elapsed: Duration,
    /// Most time that the training of this flow takes; `None` without a limit.
    pub time_budget: Option<Duration>,
    /// Figures of the held-out images; only before the first epoch and after each epoch.
    pub held_out: Option<HeldOut>,
}

/// Figures of the held-out images, computed without noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    /// Negative log-likelihood of the normalised features, in nats per value.
    pub nll: f64,
    /// Per scale, finest first, the mean of z²; 1 if the latents are the white noise that the false-alarm counts assume.
    pub latent_variance: Vec<f64>,
    /// Whether it is the best so far.
    pub best: bool,
}

/// Why training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// All epochs were done.
    Finished,
    /// The held-out likelihood gained too little for `patience` epochs.
    Patience,
    /// The time budget ended.
    TimeBudget,
    /// The callback asked for it.
    Asked,
    /// A loss or gradient was not finite; the best model before that is returned.
    Diverged,
}

/// Results of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingSummary {
    /// Whether training went on from a flow that was trained before.
    #[serde(default)]
    pub continued: bool,
    /// Images that were trained on.
    pub images: usize,
    /// Positions, in the cache, of the images that were held out.
    pub held_out: Vec<usize>,
    /// Epochs begun.
    pub epochs: usize,
    /// Epoch after which the returned model was best; 0 is the model before training. Of parallel stages, each of which is returned as it
    /// was best, the last such epoch.
    pub best_epoch: usize,
    /// Optimiser steps taken.
    pub optimiser_steps: usize,
    /// Held-out figures of the returned model.
    pub best: HeldOut,
    /// What `best.nll` is for a Gaussian of each scale's features with a full covariance between channels, fitted to the same images; only
    /// for fold 0.
    pub gaussian_nll: Option<f64>,
    /// `best.nll` of the best model before the first epoch and after each.
    pub held_out_nll: Vec<f64>,
    /// Per epoch begun, the mean training loss in nats per feature value.
    pub losses: Vec<f64>,
    /// Why it ended.
    pub stopped: StopReason,
    /// Seconds it took.
    pub seconds: f64,
}

/// Gain of the last epoch's held-out likelihood, in nats per value, from which on training was not near its end.
const STILL_GAINING: f64 = 0.003;

impl TrainingSummary {
    /// How much better the flow describes the held-out images than a Gaussian of the same features, in nats per feature value; below 0
    /// if it describes them worse. For LayerNorm, what the mean and the deviation of each map say is left out on both sides.
    pub fn gain_over_gaussian(&self) -> Option<f64> {
        self.gaussian_nll.map(|gaussian| gaussian - self.best.nll)
    }

    /// Gain of the last epoch, where the time budget ended training while the likelihood was still rising.
    fn gain_cut_off(&self) -> Option<f64> {
        let [.., before, last] = self.held_out_nll[..] else { return None };
        let gain = before - last;
        (self.stopped == StopReason::TimeBudget && gain > STILL_GAINING).then_some(gain)
    }

    /// Warnings for the user, in sentences: latents that are not white, training that diverged or did not improve the model.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (scale, variance) in self.best.latent_variance.iter().enumerate() {
            if !(0.8..=1.25).contains(variance) {
                warnings.push(format!(
                    "the latents of scale {scale} have variance {variance:.3} on held-out good images, not 0.8 to 1.25: do \
                     not trust this model's numbers of false alarms; add good images, or raise the noise"
                ));
            }
        }
        if self.stopped == StopReason::Diverged {
            warnings.push(format!(
                "training diverged in epoch {}; the model of epoch {} is kept; lower the learning rate",
                self.epochs, self.best_epoch
            ));
        }
        if let Some(gain) = self.gain_cut_off() {
            warnings.push(format!(
                "the time budget ended training in epoch {}, while the likelihood of the held-out images still rose (by {gain:.3} nats per \
                 value in the last epoch): give training more time for a better model",
                self.epochs
            ));
        }
        if let Some(loss) = self.gain_over_gaussian().map(|gain| -gain).filter(|loss| *loss > 0.0) {
            warnings.push(format!(
                "the flow describes the held-out images worse than a Gaussian of the same features does, by {loss:.3} nats per value: \
                 fit with whitened features (--normalisation whiten), which start as that Gaussian, or give training more time"
            ));
        }
        // A flow without steps has nothing to train.
        let complete = self.stopped == StopReason::Finished && self.epochs == 0;
        if self.best_epoch == 0 && !complete {
            warnings.push(
                match self.stopped {
                    _ if self.continued => {
                        "training on did not improve the flow on the held-out images: it stays as it was"
                    }
                    StopReason::Asked => {
                        "training was stopped before an epoch improved the model: this model is not trained"
                    }
                    StopReason::TimeBudget => {
                        "the time budget ended before an epoch improved the model: this model is not trained; give training more time"
                    }
                    _ => "training did not improve on the untrained flow on the held-out images; add good images",
                }
                .to_owned(),
            );
        }
        warnings
    }
}

/// A fitted flow and how it was fitted.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The best flow by held-out likelihood.
    pub flow: Flow<f32>,
    /// The options that were used.
    pub options: TrainOptions,
    /// Results.
    pub summary: TrainingSummary,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noise_of_separate_flows_doubles_with_each_coarser_scale() {
        let at = |topology, noise| {
            let options = TrainOptions { topology, noise, ..TrainOptions::default() };
            [0, 1, 2, 3, 4, 5].map(|scale| options.noise_at(scale))
        };
        assert_eq!(at(Topology::Parallel, 0.05), [0.05, 0.1, 0.2, 0.4, 0.5, 0.5]);
        assert_eq!(at(Topology::Parallel, 0.75), [0.75; 6], "what is asked for is never lowered");
        assert_eq!(at(Topology::UShaped, 0.05), [0.05; 6]);
    }
}

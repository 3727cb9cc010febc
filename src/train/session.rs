//! The loop over epochs: split the images, initialise, train, measure the held-out images, keep the best model.

use std::time::Instant;

use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::{
    Control, FeatureCache, HeldOut, Progress, StopReason, TrainOptions, Trained, Trainer, TrainingSummary, initialise,
    noise::Noise,
};
use crate::{
    Error, Reason, Result,
    flow::{Architecture, Flow, Normalisation, Workspace, square_sum},
    latents::ScaleShape,
};

/// Fewest images that can be split into training images and held-out images.
const FEWEST_IMAGES: usize = 8;
/// ½·ln 2π, the constant part of a normal value's negative log-likelihood.
const HALF_LN_TAU: f64 = 0.918_938_533_204_672_8;

/// Fits a flow to the features of good images.
///
/// A part of the images is held out. Their likelihood after each epoch decides which model is best, and the best model is
/// returned. The callback is called before the first epoch, after every optimiser step and after every epoch. On
/// [`Control::Stop`] the current model is measured once more and the best model so far is returned; on [`Control::Cancel`]
/// the result is [`Error::Cancelled`].
///
/// # Errors
/// [`Error::Parameter`] for options out of range or feature maps that no flow fits, [`Error::Training`] for fewer than 8
/// images, or if the loss becomes non-finite before the first epoch that improves the model.
pub fn train(
    cache: &FeatureCache,
    options: &TrainOptions,
    progress: &mut dyn FnMut(Progress) -> Control,
) -> Result<Trained> {
    options.validate()?;
    if cache.len() < FEWEST_IMAGES {
        return Err(Error::training(format!(
            "{} good images are too few: at least {FEWEST_IMAGES} are needed, some to train on and some to check the model on \
             images it has not seen",
            cache.len()
        )));
    }
    let pool = options.threads.map(thread_pool).transpose()?;
    let mut session = Session::new(cache, options, pool)?;
    let mut cancelled = false;
    let stopped = session.run(&mut |state| {
        // The callback is not called again: the final measurement does not change a cancellation.
        let answer = if cancelled { Control::Cancel } else { progress(state) };
        cancelled |= answer == Control::Cancel;
        answer
    });
    if cancelled {
        return Err(Error::Cancelled);
    }
    session.finish(stopped?)
}

/// A thread pool for one training.
pub(super) fn thread_pool(threads: usize) -> Result<rayon::ThreadPool> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|error| Error::training(Reason::because(format_args!("cannot start {threads} threads"), error)))
}

/// The features as the flow sees them.
struct Source<'a> {
    cache: &'a FeatureCache,
    normalisations: Vec<Normalisation>,
    /// Per scale, per channel, the noise's standard deviation.
    deviations: Vec<Vec<f32>>,
    seed: u64,
}

/// An image in one of its versions.
#[derive(Clone, Copy)]
struct Draw {
    image: usize,
    version: usize,
}

impl Source<'_> {
    fn plain(&self, draw: Draw, scale: usize, target: &mut [f32]) {
        self.cache.read(draw.image, draw.version, scale, target);
        self.normalisations[scale].apply(self.cache.shapes()[scale], target);
    }

    /// With noise, drawn anew for each `step` and `position` in its batch.
    fn noisy(&self, draw: Draw, [step, position]: [usize; 2], scale: usize, target: &mut [f32]) {
        self.plain(draw, scale, target);
        Noise::new(self.seed, step as u64, position as u64, scale as u64).add(target, &self.deviations[scale]);
    }
}

/// The best model so far.
struct Best {
    epoch: usize,
    held_out: HeldOut,
    parameters: Vec<f32>,
}

struct Session<'a> {
    options: &'a TrainOptions,
    pool: Option<rayon::ThreadPool>,
    random: ChaCha8Rng,
    training: Vec<usize>,
    held_out: Vec<usize>,
    source: Source<'a>,
    trainer: Trainer,
    best: Option<Best>,
    losses: Vec<f64>,
    optimiser_steps: usize,
    begun: Instant,
}

impl<'a> Session<'a> {
    fn new(cache: &'a FeatureCache, options: &'a TrainOptions, pool: Option<rayon::ThreadPool>) -> Result<Self> {
        let begun = Instant::now();
        let mut random = ChaCha8Rng::seed_from_u64(options.seed);
        let mut order: Vec<usize> = (0..cache.len()).collect();
        order.shuffle(&mut random);
        let held = options.held_out_images(cache.len());
        let first = held * options.fold;
        if first >= order.len() {
            let reason = format!("there is no part {} of {held} in {} images", options.fold, order.len());
            return Err(Error::parameter("fold", reason));
        }
        let mut held_out: Vec<usize> = order.drain(first..(first + held).min(order.len())).collect();
        let training = order;
        held_out.sort_unstable();

        let TrainOptions { steps, kernels, topology, .. } = options;
        let architecture = Architecture::connected(cache.shapes().to_vec(), *steps, kernels.clone(), *topology)?;
        let (normalisations, mut deviations) = initialise::normalisations(cache, &training, options.normalisation);
        deviations.iter_mut().flatten().for_each(|deviation| *deviation *= options.noise as f32);
        let mut flow = Flow::new(architecture, normalisations.clone(), options.seed)?;
        let source = Source { cache, normalisations, deviations, seed: options.seed };
        let first = &training[..options.initial_images.min(training.len())];
        initialise::act_norm(&mut flow, first.len(), |position, scale, target| {
            source.noisy(Draw { image: first[position], version: 0 }, [usize::MAX, position], scale, target);
        });
        let trainer = Trainer::new(flow, options);
        let (best, losses, optimiser_steps) = (None, Vec::new(), 0);
        Ok(Self { options, pool, random, training, held_out, source, trainer, best, losses, optimiser_steps, begun })
    }

    fn run(&mut self, progress: &mut dyn FnMut(Progress) -> Control) -> Result<StopReason> {
        let batches = self.training.len().div_ceil(self.options.batch);
        let held_out = self.watch(0)?;
        if progress(self.progress([0, 0, batches], f64::NAN, 0.0, Some(held_out))) != Control::Continue {
            return Ok(StopReason::Asked);
        }
        if self.trainer.flow().parameters().is_empty() {
            return Ok(StopReason::Finished);
        }
        for epoch in 1..=self.options.epochs {
            let stopped = self.epoch(epoch, batches, progress);
            if stopped == Some(StopReason::Diverged) {
                return self.diverged(epoch);
            }
            let held_out = match self.watch(epoch) {
                Ok(held_out) => held_out,
                Err(_) => return self.diverged(epoch),
            };
            let loss = self.losses.last().copied().unwrap_or(f64::NAN);
            let answer =
                progress(self.progress([epoch, batches, batches], loss, self.learning_rate(batches), Some(held_out)));
            if stopped.is_some() || answer != Control::Continue {
                return Ok(StopReason::Asked);
            }
            let best_epoch = self.best.as_ref().map_or(0, |best| best.epoch);
            if epoch >= best_epoch + self.options.patience {
                return Ok(StopReason::Patience);
            }
        }
        Ok(StopReason::Finished)
    }

    /// One pass over the training images; `Some` if training is to stop.
    fn epoch(
        &mut self,
        epoch: usize,
        batches: usize,
        progress: &mut dyn FnMut(Progress) -> Control,
    ) -> Option<StopReason> {
        let mut draws = Vec::with_capacity(self.training.len());
        for &image in &self.training {
            draws.push(Draw { image, version: self.random.random_range(0..self.source.cache.versions(image)) });
        }
        draws.shuffle(&mut self.random);
        let values = self.trainer.flow().architecture().values() as f64;
        let (mut sum, mut seen) = (0.0, 0);
        self.losses.push(f64::NAN);
        for (batch, draws) in draws.chunks(self.options.batch).enumerate() {
            let rate = self.learning_rate(batches);
            let loss = self.optimise(draws, rate);
            if !loss.is_finite() {
                return Some(StopReason::Diverged);
            }
            sum += loss * draws.len() as f64;
            seen += draws.len();
            let mean = sum / (seen as f64 * values) + HALF_LN_TAU;
            if let Some(last) = self.losses.last_mut() {
                *last = mean;
            }
            if progress(self.progress([epoch, batch + 1, batches], mean, rate, None)) != Control::Continue {
                return Some(StopReason::Asked);
            }
        }
        None
    }

    /// Falls linearly from the first optimiser step to the last of the last epoch.
    fn learning_rate(&self, batches: usize) -> f64 {
        let last = (self.options.epochs * batches - 1).max(1) as f64;
        let done = (self.optimiser_steps as f64 / last).min(1.0);
        self.options.learning_rate * (1.0 - (1.0 - self.options.final_rate) * done)
    }

    /// One optimiser step; the loss in nats per image, NaN if it is not finite.
    fn optimise(&mut self, draws: &[Draw], rate: f64) -> f64 {
        let step = self.optimiser_steps;
        self.optimiser_steps += 1;
        let Self { pool, source, trainer, .. } = self;
        let fill = |position: usize, scale: usize, target: &mut [f32]| {
            source.noisy(draws[position], [step, position], scale, target);
        };
        on(pool.as_ref(), || trainer.step(draws.len(), rate, fill).loss)
    }

    /// Measures the held-out images, and keeps the model if it is the best so far.
    fn watch(&mut self, epoch: usize) -> Result<HeldOut> {
        let Self { pool, source, trainer, held_out, .. } = &*self;
        let flow = trainer.flow();
        let latents = flow.architecture().latents();
        let fill = |position: usize, scale: usize, target: &mut [f32]| {
            source.plain(Draw { image: held_out[position], version: 0 }, scale, target);
        };
        let squares = |workspace: &Workspace<f32>| -> Vec<f64> {
            let one = |(scale, shape): (usize, &ScaleShape)| square_sum(workspace.latents(flow, scale), shape.pixels());
            latents.iter().enumerate().map(one).collect()
        };
        let results: Vec<(f64, Vec<f64>)> = on(pool.as_ref(), || {
            trainer
                .gradients()
                .evaluate(flow, held_out.len(), fill, |workspace, loss| (loss.total(), squares(workspace)))
        });
        let count = results.len() as f64;
        let total: f64 = results.iter().map(|(loss, _)| loss).sum();
        let nll = total / (count * flow.architecture().values() as f64) + HALF_LN_TAU;
        if !nll.is_finite() {
            return Err(Error::training(format!(
                "the likelihood of the held-out images is not finite after epoch {epoch}; look for images or backbone \
                 outputs with extreme values, lower the learning rate, or raise the noise"
            )));
        }
        let variance = |(scale, shape): (usize, &ScaleShape)| {
            results.iter().map(|(_, squares)| squares[scale]).sum::<f64>() / (count * shape.len() as f64)
        };
        let latent_variance = latents.iter().enumerate().map(variance).collect();
        let best = self.best.as_ref().is_none_or(|best| nll < best.held_out.nll);
        let held_out = HeldOut { nll, latent_variance, best };
        if best {
            let parameters = flow.parameters().to_vec();
            self.best = Some(Best { epoch, held_out: held_out.clone(), parameters });
        }
        Ok(held_out)
    }

    /// Handles a non-finite loss: the best model so far is kept, if an epoch has improved the model.
    fn diverged(&self, epoch: usize) -> Result<StopReason> {
        if self.best.as_ref().is_some_and(|best| best.epoch > 0) {
            return Ok(StopReason::Diverged);
        }
        Err(Error::training(format!(
            "the loss was not finite in epoch {epoch}, before any epoch improved the model; lower the learning rate (now {}), raise \
             the noise (now {}), or look for images or backbone outputs with extreme values",
            self.options.learning_rate, self.options.noise
        )))
    }

    fn progress(
        &self,
        [epoch, batch, batches]: [usize; 3],
        loss: f64,
        learning_rate: f64,
        held_out: Option<HeldOut>,
    ) -> Progress {
        let (epochs, elapsed) = (self.options.epochs, self.begun.elapsed());
        let fold = self.options.fold;
        Progress { epoch, epochs, batch, batches, loss, learning_rate, fold, folds: 1, elapsed, held_out }
    }

    fn finish(self, stopped: StopReason) -> Result<Trained> {
        let Some(Best { epoch: best_epoch, held_out: best, parameters }) = self.best else {
            return Err(Error::training("no model was fitted"));
        };
        let mut flow = self.trainer.into_flow();
        flow.parameters_mut().copy_from_slice(&parameters);
        let summary = TrainingSummary {
            images: self.training.len(),
            held_out: self.held_out,
            epochs: self.losses.len(),
            best_epoch,
            optimiser_steps: self.optimiser_steps,
            best,
            losses: self.losses,
            stopped,
            seconds: self.begun.elapsed().as_secs_f64(),
        };
        Ok(Trained { flow, options: self.options.clone(), summary })
    }
}

/// Runs on the session's own threads, if it has its own.
fn on<R: Send>(pool: Option<&rayon::ThreadPool>, run: impl FnOnce() -> R + Send) -> R {
    match pool {
        Some(pool) => pool.install(run),
        None => run(),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    fn cache() -> FeatureCache {
        let shape = ScaleShape { channels: 4, height: 4, width: 4 };
        let mut cache = FeatureCache::new(&[shape], u64::MAX).unwrap();
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..10 {
            let map = Array3::from_shape_simple_fn((4, 4, 4), || random.random_range(-1.0..1.0));
            cache.push(&[map.view()]).unwrap();
        }
        cache
    }

    /// Makes every later loss NaN, as a flow that diverged has it.
    fn poison(session: &mut Session<'_>) {
        let mut flow = session.trainer.flow().clone();
        flow.parameters_mut().fill(f32::NAN);
        session.trainer = Trainer::new(flow, session.options);
    }

    #[test]
    fn divergence_before_any_good_model_is_an_error_that_says_what_to_do() {
        let (cache, options) = (cache(), TrainOptions::default());
        let mut session = Session::new(&cache, &options, None).unwrap();
        session.watch(0).unwrap();
        poison(&mut session);
        assert_eq!(session.epoch(1, 2, &mut |_| Control::Continue), Some(StopReason::Diverged));
        let error = session.diverged(1).unwrap_err().to_string();
        assert!(error.contains("not finite in epoch 1"), "{error}");
        assert!(error.contains("lower the learning rate (now 0.001)"), "{error}");
        assert!(session.run(&mut |_| Control::Continue).is_err());
    }

    #[test]
    fn divergence_after_a_good_model_returns_that_model() {
        let (cache, options) = (cache(), TrainOptions::default());
        let mut session = Session::new(&cache, &options, None).unwrap();
        session.watch(1).unwrap();
        let good = session.trainer.flow().parameters().to_vec();
        poison(&mut session);
        assert_eq!(session.epoch(2, 2, &mut |_| Control::Continue), Some(StopReason::Diverged));
        let stopped = session.diverged(2).unwrap();
        let trained = session.finish(stopped).unwrap();
        assert_eq!(trained.flow.parameters(), good);
        assert!(trained.summary.warnings().iter().any(|warning| warning.contains("diverged")));
    }
}

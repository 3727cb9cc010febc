//! The loop over epochs: split the images, initialise, train, measure the held-out images, keep the best model.

use std::time::Instant;

use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::{
    Control, FeatureCache, HeldOut, Progress, StopReason, TrainOptions, Trained, Trainer, TrainingSummary,
    average::Average,
    best::{Best, Measured},
    gaussian, initialise,
    source::{Draw, Source},
    start::{Start, fresh, initialised, split},
    stopping::Stopping,
};
use crate::{
    Error, Reason, Result,
    flow::{Architecture, Loss, NormalisationKind},
    latents::ScaleShape,
};

/// Fewest images that can be split into training images and held-out images.
const FEWEST_IMAGES: usize = 8;
/// ½·ln 2π, the constant part of a normal value's negative log-likelihood.
const HALF_LN_TAU: f64 = 0.918_938_533_204_672_8;
/// Tiles of an image that one epoch shows, drawn anew for each, and that a held-out image is measured by.
const MOST_TILES: usize = 16;
/// Optimiser steps over which the rate rises to its value: Adam's first estimates of the gradient's square are rough.
const WARM_UP: usize = 20;

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
    run(cache, options, None, progress)
}

/// As [`train`], from a flow that is trained already: the number of steps, their kernels, the connection of the stages and the normalisation are
/// the flow's, and the images that are held out are given. If no epoch makes the flow better on these, it is returned as it was.
///
/// # Errors
/// As [`train`]; [`Error::Parameter`] for a flow of other feature maps, for held-out images that are not there, or where they leave none to train on.
pub fn train_on(
    cache: &FeatureCache,
    options: &TrainOptions,
    start: &Start,
    progress: &mut dyn FnMut(Progress) -> Control,
) -> Result<Trained> {
    start.check(cache)?;
    let Architecture { steps, kernels, topology, .. } = start.flow.architecture().clone();
    let options = TrainOptions { steps, kernels, topology, ..options.clone() };
    run(cache, &options, Some(start), progress)
}

fn run(
    cache: &FeatureCache,
    options: &TrainOptions,
    start: Option<&Start>,
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
    let mut session = Session::new(cache, options, pool, start)?;
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

struct Session<'a> {
    options: &'a TrainOptions,
    pool: Option<rayon::ThreadPool>,
    random: ChaCha8Rng,
    training: Vec<usize>,
    held_out: Vec<usize>,
    /// What the held-out images are measured by.
    watched: Vec<Draw>,
    source: Source<'a>,
    trainer: Trainer,
    average: Average,
    stopping: Stopping,
    best: Option<Best>,
    gaussian_nll: Option<f64>,
    /// The best model's, after each measurement.
    best_nll: Vec<f64>,
    losses: Vec<f64>,
    optimiser_steps: usize,
    /// Whether the flow was not trained before.
    fresh: bool,
    begun: Instant,
}

impl<'a> Session<'a> {
    fn new(
        cache: &'a FeatureCache,
        options: &'a TrainOptions,
        pool: Option<rayon::ThreadPool>,
        start: Option<&Start>,
    ) -> Result<Self> {
        let begun = Instant::now();
        let mut random = ChaCha8Rng::seed_from_u64(options.seed);
        let (training, held_out) = split(cache.len(), options, start, &mut random)?;
        let (flow, mut deviations) = match start {
            None => fresh(cache, options, &training, &held_out)?,
            Some(start) => {
                let deviations = initialise::deviations(cache, &training, start.flow.normalisations());
                (start.flow.clone(), deviations)
            }
        };
        for (scale, deviations) in deviations.iter_mut().enumerate() {
            deviations.iter_mut().for_each(|deviation| *deviation *= options.noise_at(scale) as f32);
        }
        let normalisations = flow.normalisations().to_vec();
        let source = Source { cache, normalisations, deviations, seed: options.seed };
        let flow = if start.is_none() { initialised(flow, options, &training, &source) } else { flow };
        let average = Average::new(&flow, draws_of(cache, &training).div_ceil(options.batch));
        let tiles = spread(cache.tiles());
        let draw = |image| tiles.iter().map(move |&tile| Draw { image, version: cache.plain(image, tile) });
        let watched = held_out.iter().flat_map(|&image| draw(image)).collect();
        let trainer = Trainer::new(flow, options);
        let stopping = Stopping::new(options, begun);
        Ok(Self {
            options,
            pool,
            random,
            training,
            held_out,
            watched,
            source,
            trainer,
            average,
            stopping,
            best: None,
            gaussian_nll: None,
            best_nll: Vec::new(),
            losses: Vec::new(),
            optimiser_steps: 0,
            fresh: start.is_none(),
            begun,
        })
    }

    fn run(&mut self, progress: &mut dyn FnMut(Progress) -> Control) -> Result<StopReason> {
        let batches = draws_of(self.source.cache, &self.training).div_ceil(self.options.batch);
        let held_out = self.watch(0)?;
        self.gaussian_nll = match self.options.normalisation {
            _ if self.options.fold > 0 || !self.fresh => None,
            // What the flow starts as.
            NormalisationKind::Whiten => Some(held_out.nll),
            _ => {
                let Self { pool, source, training, held_out, .. } = &*self;
                let nll = || gaussian::held_out_nll(source.cache, training, held_out, &source.normalisations);
                Some(on(pool.as_ref(), nll))
            }
        };
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
            let answer = progress(self.progress([epoch, batches, batches], loss, self.learning_rate(), Some(held_out)));
            if let Some(reason) = stopped {
                return Ok(reason);
            }
            if answer != Control::Continue {
                return Ok(StopReason::Asked);
            }
            if let Some(reason) = self.stopping.after_epoch(epoch) {
                return Ok(reason);
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
        let cache = self.source.cache;
        let all = draws_of(cache, &self.training);
        let mut draws = Vec::with_capacity(all);
        for &image in &self.training {
            let augmentations = cache.versions(image) / cache.tiles();
            let mut tiles: Vec<usize> = (0..cache.tiles()).collect();
            if tiles.len() > MOST_TILES {
                tiles.shuffle(&mut self.random);
                tiles.truncate(MOST_TILES);
            }
            for tile in tiles {
                let augmentation = self.random.random_range(0..augmentations);
                draws.push(Draw { image, version: cache.plain(image, tile) + augmentation });
            }
        }
        draws.shuffle(&mut self.random);
        let values = self.trainer.flow().architecture().values() as f64;
        let (mut sum, mut seen) = (0.0, 0);
        self.losses.push(f64::NAN);
        for (batch, draws) in draws.chunks(self.options.batch).enumerate() {
            let rate = self.learning_rate();
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
            // A time budget that ends with the epoch is seen after its measurement.
            if seen < all && self.stopping.is_late() {
                return Some(StopReason::TimeBudget);
            }
        }
        None
    }

    /// Rises linearly over the first optimiser steps, then stays.
    fn learning_rate(&self) -> f64 {
        self.options.learning_rate * ((self.optimiser_steps + 1) as f64 / WARM_UP as f64).min(1.0)
    }

    /// One optimiser step; the loss in nats per image, NaN if it is not finite.
    fn optimise(&mut self, draws: &[Draw], rate: f64) -> f64 {
        let step = self.optimiser_steps;
        self.optimiser_steps += 1;
        let Self { pool, source, trainer, average, .. } = self;
        let fill = |position: usize, scale: usize, target: &mut [f32]| {
            source.noisy(draws[position], [step, position], scale, target);
        };
        on(pool.as_ref(), || {
            let loss = trainer.step(draws.len(), rate, fill).loss;
            if loss.is_finite() {
                average.add(trainer.flow().parameters());
            }
            loss
        })
    }

    /// Measures the held-out images, and keeps what is the best so far.
    fn watch(&mut self, epoch: usize) -> Result<HeldOut> {
        let begun = Instant::now();
        let measured = self.measure();
        let nll = measured.nll.iter().sum::<f64>();
        if !nll.is_finite() {
            return Err(Error::training(format!(
                "the likelihood of the held-out images is not finite after epoch {epoch}; look for images or backbone \
                 outputs with extreme values, lower the learning rate, or raise the noise"
            )));
        }
        let flow = self.average.flow();
        let latent_variance = measured.latent_variance.clone();
        let (best, least) = match &mut self.best {
            Some(best) => (best.consider(epoch, flow, &measured), best.nll()),
            none => {
                *none = Some(Best::new(flow, measured));
                (true, nll)
            }
        };
        self.best_nll.push(least);
        self.stopping.note(epoch, least, begun.elapsed());
        Ok(HeldOut { nll, latent_variance, best })
    }

    /// The likelihood of the held-out images, without noise, and the variance of their latents.
    fn measure(&self) -> Measured {
        let Self { pool, source, trainer, average, watched, .. } = self;
        let flow = average.flow();
        let latents = flow.architecture().latents();
        let fill = |position: usize, scale: usize, target: &mut [f32]| source.plain(watched[position], scale, target);
        let losses: Vec<Vec<Loss>> = on(pool.as_ref(), || {
            trainer.gradients().evaluate(flow, watched.len(), fill, |workspace| workspace.losses().to_vec())
        });
        let (count, values) = (losses.len() as f64, flow.architecture().values() as f64);
        let figures = |(scale, shape): (usize, &ScaleShape)| {
            let of_scale = losses.iter().map(|losses| losses[scale]);
            let loss: f64 = of_scale.clone().map(|loss| loss.total()).sum();
            let squares: f64 = of_scale.map(|loss| 2.0 * loss.half_square).sum();
            let latents = shape.len() as f64;
            ((loss / count + latents * HALF_LN_TAU) / values, squares / (count * latents))
        };
        let (nll, latent_variance) = latents.iter().enumerate().map(figures).unzip();
        Measured { nll, latent_variance }
    }

    /// Handles a non-finite loss: the best model so far is kept, if an epoch has improved the model.
    fn diverged(&self, epoch: usize) -> Result<StopReason> {
        if self.best.as_ref().is_some_and(|best| best.epoch() > 0) {
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
        let TrainOptions { fold, time_budget, .. } = *self.options;
        Progress { epoch, epochs, batch, batches, loss, learning_rate, fold, folds: 1, elapsed, time_budget, held_out }
    }

    fn finish(self, stopped: StopReason) -> Result<Trained> {
        let Some(best) = self.best else { return Err(Error::training("no model was fitted")) };
        let best_epoch = best.epoch();
        let (best, parameters) = best.into_parts();
        let mut flow = self.average.into_flow();
        flow.parameters_mut().copy_from_slice(&parameters);
        let summary = TrainingSummary {
            continued: !self.fresh,
            images: self.training.len(),
            held_out: self.held_out,
            epochs: self.losses.len(),
            best_epoch,
            optimiser_steps: self.optimiser_steps,
            best,
            gaussian_nll: self.gaussian_nll,
            held_out_nll: self.best_nll,
            losses: self.losses,
            stopped,
            seconds: self.begun.elapsed().as_secs_f64(),
        };
        Ok(Trained { flow, options: self.options.clone(), summary })
    }
}

/// Tiles that one epoch shows of these images.
fn draws_of(cache: &FeatureCache, images: &[usize]) -> usize {
    images.len() * cache.tiles().min(MOST_TILES)
}

/// Some of so many tiles, from all over the image.
pub(super) fn spread(tiles: usize) -> Vec<usize> {
    let count = tiles.min(MOST_TILES);
    (0..count).map(|at| at * tiles / count).collect()
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
        let mut session = Session::new(&cache, &options, None, None).unwrap();
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
        let mut session = Session::new(&cache, &options, None, None).unwrap();
        let good = session.average.flow().clone();
        let mut worse = good.clone();
        worse.parameters_mut().iter_mut().for_each(|parameter| *parameter += 0.5);
        for (epoch, flow) in [&worse, &good].into_iter().enumerate() {
            session.average = Average::new(flow, 1);
            assert!(session.watch(epoch).unwrap().best);
        }
        poison(&mut session);
        assert_eq!(session.epoch(2, 2, &mut |_| Control::Continue), Some(StopReason::Diverged));
        let stopped = session.diverged(2).unwrap();
        let trained = session.finish(stopped).unwrap();
        assert_eq!(trained.flow.parameters(), good.parameters());
        assert!(trained.summary.warnings().iter().any(|warning| warning.contains("diverged")));
    }
}

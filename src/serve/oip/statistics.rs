//! Counts and times of the requests of this protocol, for each model.
//!
//! A request with several frames counts the stages of its slowest frame. The engine batches the frames of all protocols and of
//! models that share a backbone, and reports the size of the batch with each frame. A model's number of batches of one size is
//! the number of its frames divided by that size, rounded up. Requests that were cancelled are not counted.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, Weak},
    time::{Duration, Instant, SystemTime},
};

use super::infer::FrameResult;
use crate::{
    engine::Model,
    pipeline::Timings,
    serve::proto::inference::{InferBatchStatistics, InferStatistics, ModelStatistics, StatisticDuration},
    sync::lock,
};

/// The figures of all models, each since it was loaded.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    /// By the model's address. While there is a handle the address is not used again.
    models: Mutex<HashMap<usize, (Weak<Model>, Figures)>>,
}

#[derive(Clone, Debug, Default)]
struct Figures {
    last: Option<SystemTime>,
    frames: u64,
    success: StatisticDuration,
    fail: StatisticDuration,
    queue: StatisticDuration,
    stages: Stages,
    batches: BTreeMap<usize, (u64, Stages)>,
}

#[derive(Clone, Debug, Default)]
struct Stages {
    input: StatisticDuration,
    infer: StatisticDuration,
    output: StatisticDuration,
}

impl Stages {
    fn add(&mut self, timings: &Timings) {
        add(&mut self.input, milliseconds(timings.decode + timings.preprocess));
        add(&mut self.infer, milliseconds(timings.network));
        add(&mut self.output, milliseconds(timings.segmentation));
    }
}

fn add(sum: &mut StatisticDuration, duration: Duration) {
    sum.count += 1;
    sum.ns = sum.ns.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
}

fn milliseconds(milliseconds: f64) -> Duration {
    Duration::try_from_secs_f64(milliseconds / 1e3).unwrap_or_default()
}

impl Statistics {
    /// A request failed after its model was found.
    pub(super) fn failed(&self, model: &Arc<Model>, arrived: Instant) {
        self.change(model, arrived, |figures, took| add(&mut figures.fail, took));
    }

    /// A request was answered.
    pub(super) fn succeeded(&self, model: &Arc<Model>, arrived: Instant, frames: &[FrameResult]) {
        self.change(model, arrived, |figures, took| {
            add(&mut figures.success, took);
            figures.frames += frames.len() as u64;
            let slowest = frames.iter().max_by(|a, b| a.timings.total().total_cmp(&b.timings.total()));
            if let Some(FrameResult { timings, .. }) = slowest {
                add(&mut figures.queue, milliseconds(timings.queue));
                figures.stages.add(timings);
            }
            for frame in frames {
                let (count, stages) = figures.batches.entry(frame.batch.max(1)).or_default();
                *count += 1;
                stages.add(&frame.timings);
            }
        });
    }

    fn change(&self, model: &Arc<Model>, arrived: Instant, change: impl FnOnce(&mut Figures, Duration)) {
        let mut models = self.lock();
        let key = Arc::as_ptr(model) as usize;
        if !models.contains_key(&key) {
            models.retain(|_, (model, _)| model.strong_count() > 0);
        }
        let (_, figures) = models.entry(key).or_insert_with(|| (Arc::downgrade(model), Figures::default()));
        let took = arrived.elapsed();
        figures.last = figures.last.max(SystemTime::now().checked_sub(took));
        change(figures, took);
    }

    /// A model's figures.
    pub(super) fn of(&self, model: &Arc<Model>) -> ModelStatistics {
        let figures = self.lock().get(&(Arc::as_ptr(model) as usize)).map(|(_, figures)| figures.clone());
        let Figures { last, frames, success, fail, queue, stages, batches } = figures.unwrap_or_default();
        let batch_stats: Vec<_> = batches.into_iter().map(batch).collect();
        let since = last.and_then(|last| last.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default();
        ModelStatistics {
            name: model.name().to_owned(),
            version: model.version().to_string(),
            last_inference: since.as_millis() as u64,
            inference_count: frames,
            execution_count: batch_stats.iter().filter_map(|batch| batch.compute_infer).map(|infer| infer.count).sum(),
            inference_stats: Some(InferStatistics {
                success: Some(success),
                fail: Some(fail),
                queue: Some(queue),
                compute_input: Some(stages.input),
                compute_infer: Some(stages.infer),
                compute_output: Some(stages.output),
                cache_hit: Some(StatisticDuration::default()),
                cache_miss: Some(StatisticDuration::default()),
            }),
            batch_stats,
            ..Default::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, (Weak<Model>, Figures)>> {
        lock(&self.models)
    }
}

/// Batches of one size. The network runs once for all frames of a batch, so each frame reports the time of its batch.
fn batch((size, (frames, stages)): (usize, (u64, Stages))) -> InferBatchStatistics {
    let size = size as u64;
    let count = frames.div_ceil(size);
    InferBatchStatistics {
        batch_size: size,
        compute_input: Some(StatisticDuration { count, ns: stages.input.ns }),
        compute_infer: Some(StatisticDuration { count, ns: stages.infer.ns / size }),
        compute_output: Some(StatisticDuration { count, ns: stages.output.ns }),
    }
}

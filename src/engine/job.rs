//! A frame on its way through the engine.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Answer, Model, Priority, ResponseSink, Stages, Wanted, metrics::Place, rois::EncodedRoi};
use crate::{Error, Result, pipeline::Timings, segment::DecisionRule};

/// A frame's data for every stage. Each frame is answered once: by [`finish`](Self::finish), or with an error when it is dropped.
pub(super) struct Job {
    pub(super) model: Arc<Model>,
    pub(super) rule: DecisionRule,
    /// The region of interest that came with the frame, overrides the rule's.
    pub(super) roi: Option<EncodedRoi>,
    pub(super) wanted: Wanted,
    pub(super) priority: Priority,
    pub(super) timings: Timings,
    pub(super) batch: usize,
    /// Of the request, where it says so.
    pub(super) significant_bits: Option<u8>,
    /// Of the frame, once it is decoded.
    pub(super) brightness: f32,
    pub(super) stages: Stages,
    deadline: Option<Instant>,
    arrived: Instant,
    /// When the frame entered its current queue.
    pub(super) queued: Instant,
    waiter: Option<Box<dyn ResponseSink>>,
    /// Its place among the admitted frames, until it is answered.
    place: Option<Place>,
}

impl Job {
    #[allow(clippy::too_many_arguments, reason = "each is a part of the frame's request")]
    pub(super) fn new(
        model: Arc<Model>,
        rule: DecisionRule,
        roi: Option<EncodedRoi>,
        wanted: Wanted,
        deadline: Option<Instant>,
        priority: Priority,
        waiter: Box<dyn ResponseSink>,
        place: Place,
    ) -> Self {
        let now = Instant::now();
        Self {
            model,
            rule,
            roi,
            wanted,
            priority,
            timings: Timings::default(),
            significant_bits: None,
            batch: 0,
            brightness: 0.0,
            stages: Stages::with_capacity(4),
            deadline,
            arrived: now,
            queued: now,
            waiter: Some(waiter),
            place: Some(place),
        }
    }

    /// The frame enters a queue.
    pub(super) fn enqueued(mut self) -> Self {
        self.queued = Instant::now();
        self
    }

    /// The frame leaves a queue. Returns `None`, and answers the frame, if nobody waits for it or its deadline has passed.
    pub(super) fn dequeued(mut self, stage: &'static str) -> Option<Self> {
        self.timings.queue += milliseconds(self.queued.elapsed());
        if !self.waiter.as_ref().is_some_and(|waiter| waiter.waits()) {
            self.finish(Err(Error::Cancelled));
            return None;
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            self.finish(Err(Error::TimedOut { stage }));
            return None;
        }
        Some(self)
    }

    /// Records a stage that began at `start` and ends now. Returns its milliseconds.
    pub(super) fn was_in(&mut self, stage: &'static str, start: Instant) -> f64 {
        let end = Instant::now();
        self.stages.push((stage, start, end));
        milliseconds(end - start)
    }

    /// Milliseconds since the frame arrived.
    pub(super) fn total_ms(&self) -> f64 {
        milliseconds(self.arrived.elapsed())
    }

    /// Answers the frame.
    pub(super) fn finish(mut self, answer: Result<Answer>) {
        self.answer(answer);
    }

    fn answer(&mut self, answer: Result<Answer>) {
        if let Some(waiter) = self.waiter.take() {
            self.model.metrics().answered(&answer, self.arrived.elapsed());
            // The receiver of the answer may submit the next frame at once, and needs the place.
            self.place = None;
            waiter.answer(answer);
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let error = if std::thread::panicking() {
            Error::internal("a worker panicked while it worked on the frame")
        } else {
            Error::unavailable("the engine was stopped before the frame was done")
        };
        self.answer(Err(error));
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("model", &self.model.name()).field("timings", &self.timings).finish_non_exhaustive()
    }
}

pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

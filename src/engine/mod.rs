//! Many frames of many models at once: what stands behind the server, and behind every caller that hands frames over
//! without waiting for each.
//!
//! ```text
//! submit ─► prepare (pool) ─► queue of the backbone ─► network (device thread) ─► finish (pool) ─► Waiter::answer
//!           decode, resize     high priority first      one batch, many models     Judge
//! ```
//!
//! - Models whose backbone has the same SHA-256 share it in memory, and their frames share its batches: one run of the
//!   backbone, then each model's own flow on its part of the features.
//! - A batch starts as soon as the device is idle and no other frame is on its way to it; otherwise it waits for those, at most
//!   [`EngineOptions::max_delay`]. A caller in lock step therefore never waits for a batch to fill.
//! - At most [`EngineOptions::max_in_flight`] frames of [`EngineOptions::max_frame_bytes`] are inside at a time, which bounds
//!   every queue; more are refused at once ([`Error::Overloaded`]). What the pool's threads take on top while they decode and
//!   segment is bounded by [`EngineOptions::max_work_bytes`].
//! - Before each stage a frame is given up if its deadline is over or nobody waits for it any more.
//! - Every frame that was accepted is answered exactly once, whatever happens: if a worker panics, with an
//!   [`Error::Internal`]. A frame that fails in a batch does not take the others with it.
//!
//! No async runtime is needed or used: threads, mutexes and condition variables.

mod job;
mod lane;
mod memory;
mod metrics;
mod model;
mod pool;
mod request;
mod rois;
mod stages;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

#[cfg(feature = "serve")]
pub(crate) use self::metrics::{full, register};
use self::{
    job::Job,
    lane::Lane,
    memory::Budget,
    pool::{Pool, Shop, Task},
    rois::{EncodedRoi, RoiCache},
};
pub use self::{
    metrics::Metrics,
    model::Model,
    request::{Answer, Priority, Request, Source, Stages, Waiter, Wanted},
};
use crate::{
    Error, Result,
    frame::{Limits, check_significant_bits},
    package::Package,
    runtime::{Backbone, Runtime, SessionOptions, cpu_quota},
};

/// How an engine works.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// Where the networks run.
    pub session: SessionOptions,
    /// Threads that decode, resize and segment.
    pub workers: usize,
    /// Most frames in a batch.
    pub max_batch: usize,
    /// Longest time that a batch waits for frames that are on their way.
    pub max_delay: Duration,
    /// Most frames of normal priority inside the engine; those of high priority have [`reserve`](Self::reserve) places more.
    pub max_in_flight: usize,
    /// Most bytes that frames of normal priority inside the engine hold together: pixels or files, regions of interest and
    /// tensors. Frames of high priority have an eighth more.
    pub max_frame_bytes: u64,
    /// Most bytes that the [`workers`](Self::workers) take together while they decode and segment, on top of that. A frame
    /// that alone takes more is worked on alone.
    pub max_work_bytes: u64,
    /// What decoding a frame may take.
    pub limits: Limits,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            session: SessionOptions::default(),
            workers: cpu_quota(),
            max_batch: 8,
            max_delay: Duration::from_millis(2),
            max_in_flight: 64,
            max_frame_bytes: 1 << 30,
            max_work_bytes: 1 << 30,
            limits: Limits::default(),
        }
    }
}

impl EngineOptions {
    /// Places for frames of high priority beyond [`max_in_flight`](Self::max_in_flight): an eighth of them, at least one.
    pub fn reserve(&self) -> usize {
        (self.max_in_flight / 8).max(1)
    }

    /// Bytes for frames of high priority beyond [`max_frame_bytes`](Self::max_frame_bytes): an eighth of them.
    pub fn reserve_bytes(&self) -> u64 {
        self.max_frame_bytes / 8
    }

    /// Refuses numbers outside their range.
    ///
    /// # Errors
    /// [`Error::Parameter`] that names the option.
    pub fn check(&self) -> Result<()> {
        self.session.check()?;
        self.check_numbers()
    }

    /// As [`check`](Self::check), but for device and precision, which depend on each other.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_numbers(&self) -> Result<()> {
        let ranges = [
            ("workers", self.workers, 1024),
            ("max_batch", self.max_batch, 1024),
            ("max_in_flight", self.max_in_flight, 1 << 20),
        ];
        for (name, value, most) in ranges {
            if !(1..=most).contains(&value) {
                return Err(Error::parameter(name, format!("{value} is not 1 to {most}")));
            }
        }
        for (name, bytes) in [("max_frame_bytes", self.max_frame_bytes), ("max_work_bytes", self.max_work_bytes)] {
            if !(1 << 20..=1 << 50).contains(&bytes) {
                return Err(Error::parameter(name, format!("{bytes} bytes are not 1 MiB to 1 PiB")));
            }
        }
        Ok(())
    }
}

/// Loads models and works on their frames. Dropping it answers what is still inside with [`Error::Unavailable`] and joins
/// its threads.
#[derive(Debug)]
pub struct Engine {
    runtime: Runtime,
    options: EngineOptions,
    pool: Pool,
    metrics: Arc<Metrics>,
    /// By the backbone's SHA-256. Held while a backbone is loaded, so that no other thread loads it too.
    lanes: Mutex<HashMap<String, Weak<Lane>>>,
}

impl Engine {
    /// Starts the pool.
    ///
    /// # Errors
    /// Options outside their range; a thread that cannot be started.
    pub fn new(runtime: &Runtime, options: EngineOptions) -> Result<Self> {
        options.check()?;
        let metrics = Arc::new(Metrics::new()?);
        metrics.in_flight_limit.set(options.max_in_flight as i64);
        metrics.frame_bytes_limit.set(options.max_frame_bytes as i64);
        metrics.work_bytes_limit.set(options.max_work_bytes as i64);
        let memory = Budget::new(options.max_work_bytes, metrics.work_bytes.clone());
        let rois = RoiCache::new(options.limits, memory.clone());
        let shop = Shop { limits: options.limits, memory, rois };
        let pool = Pool::start(options.workers, shop, Arc::clone(&metrics))?;
        Ok(Self { runtime: runtime.clone(), options, pool, metrics, lanes: Mutex::new(HashMap::new()) })
    }

    /// Loads a model, on a backbone that is loaded already where there is one of the same hash, and warms it up.
    ///
    /// `name` and `version` are what metrics call it. It stays loaded for as long as the handle or a frame of it is alive.
    ///
    /// # Errors
    /// Networks that do not do what the manifest says, or a device that refuses.
    pub fn load(&self, package: &Package, name: &str, version: u32) -> Result<Arc<Model>> {
        let lane = self.lane(package)?;
        let model = Model::load(&self.runtime, &self.options, lane, package, (name, version), &self.metrics)?;
        tracing::debug!(model = name, version, backbone = %package.backbone.sha256, warm_up = ?model.warm_up(), "model loaded");
        Ok(Arc::new(model))
    }

    fn lane(&self, package: &Package) -> Result<Arc<Lane>> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(&package.backbone.sha256).and_then(Weak::upgrade) {
            return Ok(lane);
        }
        let (source, sha256) = (package.backbone.source(), &package.backbone.sha256);
        let backbone = Arc::new(Backbone::load_checked(&self.runtime, source, sha256, &self.options.session)?);
        let lane = Lane::start(backbone, self.options, self.pool.sender(), Arc::clone(&self.metrics))?;
        lanes.retain(|_, lane| lane.strong_count() > 0);
        lanes.insert(package.backbone.sha256.clone(), Arc::downgrade(&lane));
        Ok(lane)
    }

    /// Takes a frame. The waiter is answered once: by a thread of the engine if the frame was taken, not at all if it was
    /// not.
    ///
    /// # Errors
    /// Options outside their range, or [`Error::Overloaded`]. The waiter comes back with the error.
    pub fn submit<W: Waiter>(&self, request: Request, waiter: W) -> Result<(), (Error, W)> {
        if let Err(error) = request.significant_bits.map_or(Ok(0), check_significant_bits) {
            return Err((error, waiter));
        }
        let rule = match request.model.manifest().rule(&request.options) {
            Ok(rule) => rule,
            Err(error) => return Err((error, waiter)),
        };
        let bytes = match self.memory_of(&request.model, &request.source, &request.roi) {
            Ok(bytes) => bytes,
            Err(error) => return Err((error, waiter)),
        };
        let roi = match EncodedRoi::new(request.roi) {
            Ok(roi) => roi,
            Err(error) => return Err((error, waiter)),
        };
        let place = match self.metrics.enter(request.priority, bytes, &self.options) {
            Ok(place) => place,
            Err(error) => {
                self.metrics.refused(&request.model);
                return Err((error, waiter));
            }
        };
        let Request { model, source, wanted, deadline, priority, significant_bits, .. } = request;
        let upstream = model.lane().announce();
        let mut job = Job::new(model, rule, roi, wanted, deadline, priority, Box::new(waiter), place);
        job.significant_bits = significant_bits;
        self.pool.sender().send(Task::Prepare { job, source, upstream });
        Ok(())
    }

    /// Bytes that a frame holds from its admission to its answer, `roi` being its encoded region of interest.
    ///
    /// # Errors
    /// [`Error::Limit`] for a frame that alone takes more than [`EngineOptions::max_frame_bytes`].
    pub fn memory_of(&self, model: &Model, source: &Source, roi: &[u8]) -> Result<u64> {
        let (found, limit) = (memory::held(model, source, roi), self.options.max_frame_bytes);
        if found <= limit {
            return Ok(found);
        }
        let what = "memory of the frame, its region of interest and its tensor".to_owned();
        Err(Error::Limit { what, found, limit, unit: "bytes" })
    }

    /// Hands a frame over and waits for its answer.
    ///
    /// # Errors
    /// As [`submit`](Self::submit), and what went wrong with the frame.
    pub fn detect(&self, request: Request) -> Result<Answer> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        self.submit(request, sender).map_err(|(error, _)| error)?;
        receiver.recv().unwrap_or_else(|_| Err(Error::Internal("the frame was lost".to_owned())))
    }

    /// How it works.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// What it counts and times.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// ONNX Runtime.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Waits until no frame is inside, for at most `limit`; whether that came about.
    pub fn drain(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while self.metrics.in_flight() > 0 {
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Devices first: what they give goes to the pool.
        let lanes = std::mem::take(self.lanes.get_mut().unwrap_or_else(PoisonError::into_inner));
        for lane in lanes.values().filter_map(Weak::upgrade) {
            lane.stop();
        }
        self.pool.stop();
    }
}

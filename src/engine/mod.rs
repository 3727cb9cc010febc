//! Many frames of many models at once. The server uses it, and so does every caller that submits frames without waiting for
//! each answer.
//!
//! ```text
//! submit ─► prepare (pool) ─► queue of the backbone ─► network (device thread) ─► finish (pool) ─► ResponseSink::answer
//!           decode, resize     high priority first      one batch, many models     Judge
//! ```
//!
//! - Models whose backbone has the same SHA-256 share it in memory, and their frames share its batches: one run of the
//!   backbone, then each model's own flow on its part of the features.
//! - A batch starts as soon as the device is idle and no other frame is on its way; otherwise the batch waits for those frames, at
//!   most [`EngineOptions::max_delay`]. A caller that submits one frame at a time never waits for a batch to fill.
//! - The engine holds at most [`EngineOptions::max_in_flight`] frames, of [`EngineOptions::max_frame_bytes`] together, which
//!   bounds every queue; more are refused at once ([`Error::Overloaded`]). [`EngineOptions::max_work_bytes`] bounds the memory
//!   that the pool's threads need in addition while they decode and segment.
//! - Before each stage the engine drops a frame whose deadline has passed or whose caller has gone.
//! - Every accepted frame is answered exactly once; if a worker panics, with [`Error::Internal`]. A frame that fails does not
//!   affect the others of its batch.
//!
//! The engine uses threads, mutexes and condition variables, and no async runtime.

mod job;
mod memory;
mod metrics;
mod model;
mod pool;
mod request;
mod rois;
mod stages;
mod worker;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

#[cfg(feature = "serve")]
pub(crate) use self::metrics::{full, register};
use self::{
    job::Job,
    memory::Budget,
    pool::{Pool, Shop, Task},
    rois::{EncodedRoi, RoiCache},
    worker::BackboneWorker,
};
pub use self::{
    metrics::Metrics,
    model::Model,
    request::{Answer, Priority, Request, ResponseSink, Source, Stages, Wanted},
};
use crate::{
    Error, Result,
    frame::{Limits, check_significant_bits},
    package::{Package, TrustedKeys},
    runtime::{Backbone, Runtime, SessionOptions, cpu_quota},
    sync::lock,
};

/// An engine's options.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Where the networks run.
    pub session: SessionOptions,
    /// Threads that decode, resize and segment.
    pub workers: usize,
    /// Most frames in a batch.
    pub max_batch: usize,
    /// Longest time that a batch waits for frames that are being prepared.
    pub max_delay: Duration,
    /// Most frames of normal priority in the engine. Frames of high priority have [`reserve`](Self::reserve) more places.
    pub max_in_flight: usize,
    /// Most bytes that frames of normal priority in the engine hold together: pixels or files, regions of interest and tensors.
    /// Frames of high priority have an eighth more.
    pub max_frame_bytes: u64,
    /// Most bytes that the [`workers`](Self::workers) need together while they decode and segment, in addition. A frame that
    /// needs more than this is processed while no other is.
    pub max_work_bytes: u64,
    /// Limits for decoding a frame.
    pub limits: Limits,
    /// If set, only packages that one of these keys signed are loaded.
    pub trusted_keys: Option<Arc<TrustedKeys>>,
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
            trusted_keys: None,
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

    /// Checks that every option is in its range.
    ///
    /// # Errors
    /// [`Error::Parameter`] that names the option.
    pub fn check(&self) -> Result<()> {
        self.session.check()?;
        self.check_numbers()
    }

    /// As [`check`](Self::check), without device and precision, which depend on each other.
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
        self.limits.check()
    }
}

/// Loads models and processes their frames. Dropping the engine answers the frames in it with [`Error::Unavailable`] and joins its
/// threads.
#[derive(Debug)]
pub struct Engine {
    runtime: Runtime,
    options: EngineOptions,
    pool: Pool,
    metrics: Arc<Metrics>,
    /// By the backbone's SHA-256. Locked while a backbone loads, so that no other thread loads the same one.
    backbone_workers: Mutex<HashMap<String, Weak<BackboneWorker>>>,
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
        Ok(Self { runtime: runtime.clone(), options, pool, metrics, backbone_workers: Mutex::new(HashMap::new()) })
    }

    /// Loads a model and warms it up. A loaded backbone with the same hash is shared.
    ///
    /// Metrics use `name` and `version`. The model stays loaded while the handle or one of its frames exists.
    ///
    /// # Errors
    /// [`Error::Package`] for a package that no [trusted key](EngineOptions::trusted_keys) signed; networks that do not match the manifest, or a
    /// device that fails.
    pub fn load(&self, package: &Package, name: &str, version: u32) -> Result<Arc<Model>> {
        if let Some(trusted) = &self.options.trusted_keys {
            package.check_signed_by(trusted)?;
        }
        let worker = self.worker(package)?;
        let model = Model::load(&self.runtime, &self.options, worker, package, (name, version), &self.metrics)?;
        tracing::debug!(model = name, version, backbone = %package.backbone.sha256, warm_up = ?model.warm_up(), "model loaded");
        Ok(Arc::new(model))
    }

    fn worker(&self, package: &Package) -> Result<Arc<BackboneWorker>> {
        let mut backbone_workers = lock(&self.backbone_workers);
        if let Some(worker) = backbone_workers.get(&package.backbone.sha256).and_then(Weak::upgrade) {
            return Ok(worker);
        }
        let (source, sha256) = (package.backbone.source(), &package.backbone.sha256);
        let backbone = Arc::new(Backbone::load_checked(&self.runtime, source, sha256, &self.options.session)?);
        let worker =
            BackboneWorker::start(backbone, self.options.clone(), self.pool.sender(), Arc::clone(&self.metrics))?;
        backbone_workers.retain(|_, worker| worker.strong_count() > 0);
        backbone_workers.insert(package.backbone.sha256.clone(), Arc::downgrade(&worker));
        Ok(worker)
    }

    /// Takes a frame. If the frame is taken, a thread of the engine answers the waiter once; if not, the waiter comes back with the
    /// error.
    ///
    /// # Errors
    /// Options outside their range, [`Error::Limit`], or [`Error::Overloaded`].
    pub fn submit<W: ResponseSink>(&self, request: Request, waiter: W) -> Result<(), (Error, W)> {
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
        let upstream = model.worker().announce();
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

    /// Submits a frame and waits for its answer.
    ///
    /// # Errors
    /// As [`submit`](Self::submit), and any error of the frame.
    pub fn detect(&self, request: Request) -> Result<Answer> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        self.submit(request, sender).map_err(|(error, _)| error)?;
        receiver.recv().unwrap_or_else(|_| Err(Error::internal("the frame was lost")))
    }

    /// The engine's options.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// The engine's metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// ONNX Runtime.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Waits at most `limit` until the engine holds no frame. Returns whether it is empty.
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
        // Devices first, as their output goes to the pool.
        let backbone_workers = std::mem::take(self.backbone_workers.get_mut().unwrap_or_else(PoisonError::into_inner));
        for worker in backbone_workers.values().filter_map(Weak::upgrade) {
            worker.stop();
        }
        self.pool.stop();
    }
}

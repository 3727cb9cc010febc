//! The engine's metrics, in Prometheus' data model.
//!
//! Labels are names that the operator chose (models, backbones), never text from a request. The series of a model's version are
//! removed with its last handle. So their number is bounded.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use prometheus::{
    Encoder as _, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry, TextEncoder, core::Collector,
};

use super::{Answer, EngineOptions, Model, Priority};
use crate::{
    Error, Reason, Result,
    package::{Manifest, ScoreStatistics},
    sync::lock,
};

/// Bounds of histograms of seconds: 0.5 ms to about 8 s, doubling.
const SECONDS: [f64; 15] =
    [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0];
const FRAMES: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];
const SCORES: [f64; 12] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0];
const OUTCOMES: [&str; 4] = ["ok", "failed", "cancelled", "timed_out"];
const STAGES: [&str; 5] = ["decode", "queue", "preprocess", "network", "segmentation"];
/// Weight of the newest frame in the running mean of the scores: it looks back over about 200 frames.
const DRIFT_WEIGHT: f64 = 0.005;

/// The engine's metrics, and those that a server registers beside them.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    inside: Mutex<Inside>,
    /// Number of loaded models with a name and version: one, or two while a package is replaced. The series are removed with
    /// the last.
    models: Mutex<HashMap<(String, u32), usize>>,
    pub(super) in_flight: IntGauge,
    pub(super) in_flight_limit: IntGauge,
    frame_bytes: IntGauge,
    pub(super) frame_bytes_limit: IntGauge,
    pub(super) work_bytes: IntGauge,
    pub(super) work_bytes_limit: IntGauge,
    pub(super) waiting_for_pool: IntGauge,
    pub(super) waiting_for_network: IntGauge,
    pub(super) backbones: IntGauge,
    pub(super) batch_frames: Histogram,
    pub(super) batch_models: Histogram,
    pub(super) panics: IntCounter,
    frames: IntCounterVec,
    anomalies: IntCounterVec,
    seconds: HistogramVec,
    stages: HistogramVec,
    scores: HistogramVec,
    drift: GaugeVec,
}

impl Metrics {
    pub(super) fn new() -> Result<Self> {
        let registry = Registry::new();
        let waiting = |stage: &str| {
            let opts = Opts::new("uflow_waiting_frames", "Frames that wait for a stage.").const_label("stage", stage);
            register(&registry, IntGauge::with_opts(opts))
        };
        let gauge = |name: &str, help: &str| register(&registry, IntGauge::new(name, help));
        let counter = |name: &str, help: &str, labels: &[&str]| {
            register(&registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let histogram = |name: &str, help: &str, labels: &[&str], bounds: &[f64]| {
            let opts = HistogramOpts::new(name, help).buckets(bounds.to_vec());
            register(&registry, HistogramVec::new(opts, labels))
        };
        let batches = |name: &str, help: &str| {
            let opts = HistogramOpts::new(name, help).buckets(FRAMES.to_vec());
            register(&registry, Histogram::with_opts(opts))
        };
        Ok(Self {
            in_flight: gauge("uflow_in_flight_frames", "Frames that were accepted and are not answered yet.")?,
            in_flight_limit: gauge("uflow_in_flight_frames_limit", "Most frames that are accepted at once.")?,
            frame_bytes: gauge("uflow_frame_bytes", "Bytes that accepted frames hold until they are answered.")?,
            frame_bytes_limit: gauge("uflow_frame_bytes_limit", "Most bytes that accepted frames may hold.")?,
            work_bytes: gauge("uflow_work_bytes", "Bytes set aside for the frames being decoded or segmented.")?,
            work_bytes_limit: gauge("uflow_work_bytes_limit", "Most bytes for decoding and segmenting at once.")?,
            waiting_for_pool: waiting("pool")?,
            waiting_for_network: waiting("network")?,
            backbones: gauge("uflow_backbones", "Backbones in memory.")?,
            batch_frames: batches("uflow_batch_frames", "Frames in a run of a backbone.")?,
            batch_models: batches("uflow_batch_models", "Models whose frames share a run of a backbone.")?,
            panics: register(
                &registry,
                IntCounter::new("uflow_panics_total", "Frames or batches at which a thread panicked; each is a bug."),
            )?,
            frames: counter(
                "uflow_frames_total",
                "Frames by outcome: ok, failed, cancelled, timed_out or refused.",
                &["model", "version", "outcome"],
            )?,
            anomalies: counter("uflow_anomalous_frames_total", "Frames called anomalous.", &["model", "version"])?,
            seconds: histogram(
                "uflow_frame_seconds",
                "From a frame's arrival to its answer.",
                &["model", "version"],
                &SECONDS,
            )?,
            stages: histogram(
                "uflow_stage_seconds",
                "Time of a frame in a stage: decode, queue, preprocess, network (its whole batch's) or segmentation.",
                &["model", "version", "stage"],
                &SECONDS,
            )?,
            scores: histogram(
                "uflow_image_score",
                "Highest scores of images (score_max).",
                &["model", "version"],
                &SCORES,
            )?,
            drift: register(
                &registry,
                GaugeVec::new(
                    Opts::new(
                        "uflow_image_score_drift",
                        "Running mean of the image scores (of about the last 200 frames) less that of the good images \
                         at training, in standard deviations of theirs. Far from 0 the line, the light or the camera \
                         has changed.",
                    ),
                    &["model", "version"],
                ),
            )?,
            inside: Mutex::default(),
            models: Mutex::default(),
            registry,
        })
    }

    /// The registry, where further metrics can be registered.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// All metrics in Prometheus' text format, version 0.0.4.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        // Writing to memory fails only for a metric without values, which is then omitted.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Frames that were accepted since the start.
    pub fn taken(&self) -> u64 {
        self.inside().taken
    }

    /// Frames that were accepted and are not answered yet.
    pub fn in_flight(&self) -> usize {
        self.inside().all.frames
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        lock(&self.inside)
    }

    /// A place for a frame of so many bytes. Frames of high priority have an eighth more places and bytes, so that they neither
    /// wait for normal ones nor take their places.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub(super) fn enter(self: &Arc<Self>, priority: Priority, bytes: u64, options: &EngineOptions) -> Result<Place> {
        let is_normal = priority == Priority::Normal;
        let mut inside = self.inside();
        let (frames, most_bytes) = (options.max_in_flight, options.max_frame_bytes);
        let all = Load { frames: frames + options.reserve(), bytes: most_bytes + options.reserve_bytes() };
        if !inside.all.has_room(bytes, &all)
            || (is_normal && !inside.normal.has_room(bytes, &Load { frames, bytes: most_bytes }))
        {
            return Err(full(options));
        }
        inside.taken += 1;
        inside.all.add(bytes);
        if is_normal {
            inside.normal.add(bytes);
        }
        self.in_flight.inc();
        self.frame_bytes.set(inside.all.bytes as i64);
        Ok(Place { metrics: Arc::clone(self), is_normal, bytes })
    }

    /// A thread or a task panicked over a frame.
    pub fn panicked(&self) {
        self.panics.inc();
    }

    /// A frame was refused because there was no room.
    pub(crate) fn refused(&self, model: &Model) {
        let version = model.version().to_string();
        self.frames.with_label_values(&[model.name(), &version, "refused"]).inc();
    }

    pub(super) fn of_model(self: &Arc<Self>, name: &str, version: u32, manifest: &Manifest) -> ModelMetrics {
        *self.models().entry((name.to_owned(), version)).or_default() += 1;
        let labels = [name.to_owned(), version.to_string()];
        let both = [labels[0].as_str(), labels[1].as_str()];
        let stage = |stage| self.stages.with_label_values(&[both[0], both[1], stage]);
        let frames = |outcome| self.frames.with_label_values(&[both[0], both[1], outcome]);
        let good = manifest.scores.as_ref().filter(|scores| scores.std > 0.0);
        ModelMetrics {
            outcomes: OUTCOMES.map(frames),
            anomalies: self.anomalies.with_label_values(&both),
            seconds: self.seconds.with_label_values(&both),
            stages: STAGES.map(stage),
            scores: self.scores.with_label_values(&both),
            drift: good.map(|good| Drift::new(self.drift.with_label_values(&both), good)),
            series: Series { metrics: Arc::clone(self), name: name.to_owned(), version },
        }
    }

    fn models(&self) -> MutexGuard<'_, HashMap<(String, u32), usize>> {
        lock(&self.models)
    }

    /// Removes the series of a version that no loaded model uses.
    fn remove(&self, name: &str, version: &str) {
        // A series that was never created cannot be removed; that is no error here.
        for outcome in OUTCOMES.iter().chain(&["refused"]) {
            let _ = self.frames.remove_label_values(&[name, version, outcome]);
        }
        for stage in STAGES {
            let _ = self.stages.remove_label_values(&[name, version, stage]);
        }
        let _ = self.anomalies.remove_label_values(&[name, version]);
        let _ = self.seconds.remove_label_values(&[name, version]);
        let _ = self.scores.remove_label_values(&[name, version]);
        let _ = self.drift.remove_label_values(&[name, version]);
    }
}

/// The error for a frame for which there is no room.
pub(crate) fn full(options: &EngineOptions) -> Error {
    let EngineOptions { max_in_flight, max_frame_bytes, .. } = options;
    let mib = max_frame_bytes >> 20;
    Error::Overloaded(format!(
        "no room for another frame: at most {max_in_flight} frames, of {mib} MiB together, are worked on at once; try again later"
    ))
}

/// The series of a version, until its last model is gone.
#[derive(Debug)]
struct Series {
    metrics: Arc<Metrics>,
    name: String,
    version: u32,
}

impl Drop for Series {
    fn drop(&mut self) {
        let mut models = self.metrics.models();
        let key = (std::mem::take(&mut self.name), self.version);
        let left = models.get_mut(&key).map_or(0, |count| {
            *count -= 1;
            *count
        });
        if left == 0 {
            // The lock keeps a new model of the same version from using the series meanwhile.
            self.metrics.remove(&key.0, &self.version.to_string());
            models.remove(&key);
        }
    }
}

/// Frames inside, and their bytes.
#[derive(Debug, Default)]
struct Load {
    frames: usize,
    bytes: u64,
}

impl Load {
    fn has_room(&self, bytes: u64, limit: &Self) -> bool {
        self.frames < limit.frames && self.bytes + bytes <= limit.bytes
    }

    fn add(&mut self, bytes: u64) {
        self.frames += 1;
        self.bytes += bytes;
    }

    fn remove(&mut self, bytes: u64) {
        self.frames -= 1;
        self.bytes -= bytes;
    }
}

/// Frames inside, of all priorities and of normal priority.
#[derive(Debug, Default)]
struct Inside {
    all: Load,
    normal: Load,
    /// Frames accepted since the start.
    taken: u64,
}

/// Registers a metric of the engine or the server.
pub(crate) fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<C>,
) -> Result<C> {
    let failed = |error: prometheus::Error| Error::internal(Reason::because("a metric cannot be registered", error));
    let metric = metric.map_err(failed)?;
    registry.register(Box::new(metric.clone())).map_err(failed)?;
    Ok(metric)
}

/// A frame's place in the engine; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    metrics: Arc<Metrics>,
    is_normal: bool,
    bytes: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        let mut inside = self.metrics.inside();
        inside.all.remove(self.bytes);
        if self.is_normal {
            inside.normal.remove(self.bytes);
        }
        self.metrics.frame_bytes.set(inside.all.bytes as i64);
    }
}

/// The metrics of one model, looked up once.
#[derive(Debug)]
pub(super) struct ModelMetrics {
    /// ok, failed, cancelled, timed out.
    outcomes: [IntCounter; 4],
    anomalies: IntCounter,
    seconds: Histogram,
    /// decode, queue, preprocess, network, segmentation.
    stages: [Histogram; 5],
    scores: Histogram,
    drift: Option<Drift>,
    #[allow(dead_code, reason = "removes the series when it is dropped")]
    series: Series,
}

impl ModelMetrics {
    /// Counts an answered frame.
    pub(super) fn answered(&self, answer: &Result<Answer>, total: Duration) {
        let outcome = match answer {
            Ok(_) => 0,
            Err(Error::Cancelled) => 2,
            Err(Error::TimedOut { .. }) => 3,
            Err(_) => 1,
        };
        self.outcomes[outcome].inc();
        let Ok(answer) = answer else { return };
        self.seconds.observe(total.as_secs_f64());
        let timings = &answer.detection.timings_ms;
        let stages = [timings.decode, timings.queue, timings.preprocess, timings.network, timings.segmentation];
        for (histogram, milliseconds) in self.stages.iter().zip(stages) {
            histogram.observe(milliseconds * 1e-3);
        }
        self.anomalies.inc_by(u64::from(answer.detection.anomalous));
        let score = f64::from(answer.detection.score_max);
        self.scores.observe(score);
        if let Some(drift) = &self.drift {
            drift.saw(score);
        }
    }
}

/// The distance of recent scores from those of the good images.
#[derive(Debug)]
struct Drift {
    gauge: Gauge,
    good_mean: f64,
    good_std: f64,
    /// Running mean; starts at the good images'.
    mean: Mutex<f64>,
}

impl Drift {
    fn new(gauge: Gauge, good: &ScoreStatistics) -> Self {
        let (good_mean, good_std) = (f64::from(good.mean), f64::from(good.std));
        Self { gauge, good_mean, good_std, mean: Mutex::new(good_mean) }
    }

    fn saw(&self, score: f64) {
        let mut mean = lock(&self.mean);
        *mean += DRIFT_WEIGHT * (score - *mean);
        self.gauge.set((*mean - self.good_mean) / self.good_std);
    }
}

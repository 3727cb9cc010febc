//! A loaded model: its flow on a shared backbone, and the scratch memory of its stages.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ndarray::{Array4, Axis};

use super::{
    EngineOptions,
    lane::Lane,
    metrics::{Metrics, ModelMetrics},
};
use crate::{
    Result,
    detector::{DetectOptions, Judge, Rule, package_roi},
    frame::Limits,
    package::{Manifest, Package},
    preprocess::Preprocessor,
    runtime::{Backbone, Device, Network, Runtime},
    segment::Roi,
};

/// A judge that has seen a frame of more pixels than this is made anew: one enormous frame must not hold memory for good.
const KEPT_MASK: usize = 1 << 25;
/// The same for one whose last frame brought a region of interest of more bytes than this.
const KEPT_ROI: usize = 1 << 22;

/// A model that takes frames.
#[derive(Debug)]
pub struct Model {
    name: String,
    version: u32,
    manifest: Arc<Manifest>,
    roi: Option<Arc<Roi>>,
    /// Kept so that ONNX Runtime is not ended while the networks are there.
    _runtime: Runtime,
    lane: Arc<Lane>,
    network: Mutex<Network>,
    preprocessors: Scratch<Preprocessor>,
    judges: Scratch<Judge>,
    metrics: ModelMetrics,
    warm_up: Duration,
    limits: Limits,
}

impl Model {
    pub(super) fn load(
        runtime: &Runtime,
        options: &EngineOptions,
        lane: Arc<Lane>,
        package: &Package,
        (name, version): (&str, u32),
        metrics: &Arc<Metrics>,
    ) -> Result<Self> {
        let manifest = Arc::new(package.manifest.clone());
        let backbone = Arc::clone(lane.backbone());
        let mut network = Network::load(runtime, backbone, &package.flow, &manifest.shapes(), &options.session)?;
        let roi = package_roi(package)?;
        let mut judge = Judge::new(Arc::clone(&manifest), roi.clone())?;
        let warm_up = warm_up(&mut network, &mut judge, options)?;
        let (input, for_judges) = (manifest.input, (Arc::clone(&manifest), roi.clone()));
        Ok(Self {
            name: name.to_owned(),
            version,
            metrics: metrics.of_model(name, version, &manifest),
            _runtime: runtime.clone(),
            lane,
            network: Mutex::new(network),
            preprocessors: Scratch::new(move || Preprocessor::new(input), |_| true),
            judges: Scratch::new(
                move || Judge::new(Arc::clone(&for_judges.0), for_judges.1.clone()),
                |judge| judge.mask().len() <= KEPT_MASK && judge.foreign_roi_bytes() <= KEPT_ROI,
            ),
            manifest,
            roi,
            warm_up,
            limits: options.limits,
        })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// What its package says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(crate) fn shared_manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// What decoding a frame for it may take.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The region of interest of its package.
    pub fn roi(&self) -> Option<&Arc<Roi>> {
        self.roi.as_ref()
    }

    /// The backbone it shares with others.
    pub fn backbone(&self) -> &Backbone {
        self.lane.backbone()
    }

    /// How long the last frame of its warm-up took.
    pub fn warm_up(&self) -> Duration {
        self.warm_up
    }

    pub(super) fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    pub(crate) fn network(&self) -> MutexGuard<'_, Network> {
        self.network.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn preprocessors(&self) -> &Scratch<Preprocessor> {
        &self.preprocessors
    }

    pub(super) fn judges(&self) -> &Scratch<Judge> {
        &self.judges
    }

    pub(super) fn metrics(&self) -> &ModelMetrics {
        &self.metrics
    }
}

/// Runs empty images through everything, so that the first frame finds memory and kernels ready. Gives the time of the last.
fn warm_up(network: &mut Network, judge: &mut Judge, options: &EngineOptions) -> Result<Duration> {
    let input = judge.manifest().input;
    let (height, width) = (input.height as usize, input.width as usize);
    if options.session.device != Device::Cpu {
        // A device may compile its kernels for each size of batch.
        network.run(Array4::zeros((options.max_batch, 3, height, width)).view(), false)?;
    }
    let rule = Rule::new(judge.manifest(), &DetectOptions::default())?;
    let images = Array4::zeros((1, 3, height, width));
    let mut last = Duration::ZERO;
    for _ in 0..2 {
        let start = Instant::now();
        let output = network.run(images.view(), false)?;
        judge.run(|scale| output.energy(scale).index_axis_move(Axis(0), 0), (input.height, input.width), &rule)?;
        last = start.elapsed();
    }
    Ok(last)
}

/// Things that one thread at a time uses, as many as threads have used them at once.
pub(super) struct Scratch<T> {
    free: Mutex<Vec<T>>,
    make: Box<dyn Fn() -> Result<T> + Send + Sync>,
    /// Whether one is kept for the next frame.
    keeps: fn(&T) -> bool,
}

impl<T> Scratch<T> {
    fn new(make: impl Fn() -> Result<T> + Send + Sync + 'static, keeps: fn(&T) -> bool) -> Self {
        Self { free: Mutex::default(), make: Box::new(make), keeps }
    }

    fn free(&self) -> MutexGuard<'_, Vec<T>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lends one to `work`. If `work` panics it is not used again.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut T) -> Result<R>) -> Result<R> {
        let free = self.free().pop();
        let mut scratch = free.map_or_else(|| (self.make)(), Ok)?;
        let result = work(&mut scratch);
        if (self.keeps)(&scratch) {
            self.free().push(scratch);
        }
        result
    }
}

impl<T> std::fmt::Debug for Scratch<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scratch({} free)", self.free().len())
    }
}

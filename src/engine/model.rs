//! A loaded model: its flow on a shared backbone, and the scratch memory of its stages.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use ndarray::{Array2, Array3, Array4, ArrayView3, ArrayView4};
use prost::bytes::Bytes;

use super::{
    EngineOptions,
    metrics::{Metrics, ModelMetrics},
    worker::BackboneWorker,
};
use crate::{
    Error, Result,
    frame::{Frame, Limits, depth::DepthWatch},
    latents::ScaleShape,
    package::{Machine, Manifest, Package},
    pipeline::{
        Batch, Detector, Evidence, Networks, PostProcessor, TileTimes, Tiler, Verification, package_roi, verify,
    },
    preprocess::Preprocessor,
    runtime::{Backbone, Device, Network, Runtime},
    segment::{DecisionOptions, DecisionRule, Roi},
    sync::lock,
};

/// A post-processor that has processed a frame of more pixels than this is not kept, so that the memory of one enormous frame is
/// freed.
const KEPT_MASK: usize = 1 << 25;
/// The same for a post-processor whose last frame had a region of interest of more bytes than this.
const KEPT_ROI: usize = 1 << 22;

/// A model that takes frames.
#[derive(Debug)]
pub struct Model {
    name: String,
    version: u32,
    manifest: Arc<Manifest>,
    roi: Option<Arc<Roi>>,
    /// The PNGs of the golden frames.
    golden: Vec<Bytes>,
    /// Keeps ONNX Runtime alive as long as the networks exist.
    runtime: Runtime,
    worker: Arc<BackboneWorker>,
    network: Mutex<Network>,
    preprocessors: Scratch<Preprocessor>,
    /// Where frames are cut into tiles.
    tilers: Option<Scratch<Tiler>>,
    post_processors: Scratch<PostProcessor>,
    metrics: ModelMetrics,
    depth: DepthWatch,
    warm_up: Duration,
    limits: Limits,
}

impl Model {
    pub(super) fn load(
        runtime: &Runtime,
        options: &EngineOptions,
        worker: Arc<BackboneWorker>,
        package: &Package,
        (name, version): (&str, u32),
        metrics: &Arc<Metrics>,
    ) -> Result<Self> {
        let manifest = Arc::new(package.manifest.clone());
        let backbone = Arc::clone(worker.backbone());
        let mut network = Network::load(runtime, backbone, &package.flow, &manifest.shapes(), &options.session)?;
        let roi = package_roi(package)?;
        let mut post = PostProcessor::new(&manifest, roi.clone())?;
        let rule = manifest.rule(&DecisionOptions::default())?;
        let warm_up = warm_up(&manifest, &mut network, &mut post, options, &rule)?;
        if let Some(warning) = rule.warning() {
            tracing::warn!(model = name, version, "{warning}");
        }
        let (input, of_model) = (manifest.input, (Arc::clone(&manifest), roi.clone()));
        let of_tiles = Arc::clone(&manifest);
        let tiler = move || Tiler::new(&of_tiles)?.ok_or_else(|| Error::internal("frames of this model are not cut"));
        Ok(Self {
            name: name.to_owned(),
            version,
            metrics: metrics.of_model(name, version, &manifest),
            depth: DepthWatch::default(),
            runtime: runtime.clone(),
            worker,
            network: Mutex::new(network),
            preprocessors: Scratch::new(move || Preprocessor::new(input), |_| true),
            tilers: input.tiles.map(|_| Scratch::new(tiler, |_| true)),
            post_processors: Scratch::new(
                move || PostProcessor::new(&of_model.0, of_model.1.clone()),
                |post| post.mask().len() <= KEPT_MASK && post.foreign_roi_bytes() <= KEPT_ROI,
            ),
            manifest,
            roi,
            golden: package.golden.clone(),
            warm_up,
            limits: options.limits,
        })
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The manifest of its package.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// A detector on this model's networks. It needs the scratch memory of one thread. Its frames do not go through the engine's
    /// queues: they go to the networks directly, in turn with the engine's batches.
    ///
    /// # Errors
    /// None in practice: the model was loaded with the same sizes.
    pub fn detector(self: &Arc<Self>) -> Result<Detector> {
        let networks = SharedNetworks::of(self);
        Detector::on(Arc::clone(&self.manifest), Box::new(networks), self.roi.clone())
    }

    /// Runs the package's golden frames and compares what they give with what the package expects; `None` for a package without golden frames.
    /// Without a tolerance, that of the devices counts.
    ///
    /// # Errors
    /// As [`verify()`](crate::pipeline::verify()).
    pub fn verify(self: &Arc<Self>, tolerance: Option<f64>) -> Result<Option<Verification>> {
        let Some(golden) = &self.manifest.golden else { return Ok(None) };
        let here = Machine::here(&self.runtime, self.backbone().options());
        verify(&mut self.detector()?, golden, &self.golden, here, tolerance).map(Some)
    }

    /// Logs a warning, once, if the first 16-bit frames plainly have fewer significant bits than is assumed. `bits` are those that were
    /// given with the frame; `peak` finds its largest 16-bit sample, and is called only while that is not decided. Frames that go
    /// through the engine are taken into account already; a [`detector`](Self::detector)'s are not.
    pub fn watch_depth(&self, bits: Option<u8>, peak: impl FnOnce() -> Option<u16>) {
        let bits = bits.or(self.manifest.input.significant_bits);
        if let Some(advice) = self.depth.take(bits, peak) {
            tracing::warn!(model = self.name, version = self.version, "{advice}");
        }
    }

    /// Limits for decoding a frame.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The region of interest of its package.
    pub fn roi(&self) -> Option<&Arc<Roi>> {
        self.roi.as_ref()
    }

    /// The backbone it shares with others.
    pub fn backbone(&self) -> &Backbone {
        self.worker.backbone()
    }

    /// Duration of the last run of its warm-up.
    pub fn warm_up(&self) -> Duration {
        self.warm_up
    }

    pub(super) fn worker(&self) -> &Arc<BackboneWorker> {
        &self.worker
    }

    pub(super) fn network(&self) -> MutexGuard<'_, Network> {
        lock(&self.network)
    }

    pub(super) fn preprocessors(&self) -> &Scratch<Preprocessor> {
        &self.preprocessors
    }

    /// The energies of a frame that is cut into tiles, and its latents where they are wanted. `None` where the whole frame goes through the
    /// networks. As the frames of a [detector](Self::detector), its tiles go to the networks directly, in turn with the engine's batches, so that
    /// the memory of one frame is that of some tiles.
    pub(super) fn tiled(self: &Arc<Self>, frame: &Frame<'_>, want_latents: bool) -> Option<Result<Tiled>> {
        let tilers = self.tilers.as_ref()?;
        Some(tilers.with(|tiler| {
            self.preprocessors.with(|preprocessor| {
                let mut networks = SharedNetworks::of(self);
                let frames = std::slice::from_ref(frame);
                let (batch, times) = tiler.run(frames, preprocessor, &mut networks, want_latents)?;
                let (evidence, scales) = (batch.frame(0), 0..self.manifest.scales.len());
                Ok(Tiled {
                    energies: scales.clone().map(|scale| evidence.energy(scale).to_owned()).collect(),
                    latents: scales.map_while(|scale| Some(evidence.latents(scale)?.to_owned())).collect(),
                    times,
                })
            })
        }))
    }

    pub(super) fn post_processors(&self) -> &Scratch<PostProcessor> {
        &self.post_processors
    }

    pub(super) fn metrics(&self) -> &ModelMetrics {
        &self.metrics
    }
}

/// What the networks give for a frame that is cut into tiles.
pub(super) struct Tiled {
    pub(super) energies: Vec<Array2<f32>>,
    pub(super) latents: Vec<Array3<f32>>,
    pub(super) times: TileTimes,
}

/// Runs empty images through network and post-processor, so that memory and kernels are ready for the first frame. Returns the time
/// of the last run.
fn warm_up(
    manifest: &Manifest,
    network: &mut Network,
    post: &mut PostProcessor,
    options: &EngineOptions,
    rule: &DecisionRule,
) -> Result<Duration> {
    let input = manifest.input;
    let (height, width) = (input.height as usize, input.width as usize);
    if options.session.device != Device::Cpu {
        // A device may compile its kernels for each size of batch.
        network.run(Array4::zeros((options.max_batch, 3, height, width)).view(), false)?;
    }
    let images = Array4::zeros((1, 3, height, width));
    let of_frame = |shape: &ScaleShape| Array2::zeros((shape.height, shape.width));
    let empty: Option<Vec<_>> = input.tiles.map(|_| manifest.latents().iter().map(of_frame).collect());
    let mut last = Duration::ZERO;
    for _ in 0..2 {
        let start = Instant::now();
        let output = network.run(images.view(), false)?;
        match &empty {
            Some(energies) => {
                post.run(Evidence::Copied { energies, latents: &[] }, (input.height, input.width), rule)?
            }
            None => post.run(Evidence::OfBatch(Batch::Output(output), 0), (input.height, input.width), rule)?,
        };
        last = start.elapsed();
    }
    Ok(last)
}

/// A model's networks, lent to a detector. Energies are copied, so that the next user of the networks does not wait until the detector
/// has processed them.
#[derive(Debug)]
struct SharedNetworks {
    model: Arc<Model>,
    /// (batch, H, W) per scale.
    energies: Vec<Array3<f32>>,
    /// (batch, C, H, W) per scale.
    latents: Vec<Array4<f32>>,
}

impl SharedNetworks {
    fn of(model: &Arc<Model>) -> Self {
        Self { model: Arc::clone(model), energies: Vec::new(), latents: Vec::new() }
    }
}

impl Networks for SharedNetworks {
    fn run(&mut self, images: ArrayView4<'_, f32>, want_latents: bool) -> Result<Batch<'_>> {
        let Self { model, energies, latents } = self;
        let mut network = model.network();
        let output = network.run(images, want_latents)?;
        energies.resize_with(output.scales(), || Array3::zeros((0, 0, 0)));
        for (scale, kept) in energies.iter_mut().enumerate() {
            copy(output.energy(scale), kept);
        }
        latents.clear();
        latents.extend((0..output.scales()).map_while(|scale| Some(output.latents(scale)?.to_owned())));
        Ok(Batch::Copied { energies, latents })
    }
}

/// Copies an array, into the same memory if the size is the same.
fn copy(from: ArrayView3<'_, f32>, to: &mut Array3<f32>) {
    if from.dim() == to.dim() {
        to.assign(&from);
    } else {
        *to = from.to_owned();
    }
}

/// A pool of values that one thread at a time uses. It grows to the number of threads that use it at once.
pub(super) struct Scratch<T> {
    free: Mutex<Vec<T>>,
    make: Box<dyn Fn() -> Result<T> + Send + Sync>,
    /// Whether a value is kept for the next frame.
    keeps: fn(&T) -> bool,
}

impl<T> Scratch<T> {
    fn new(make: impl Fn() -> Result<T> + Send + Sync + 'static, keeps: fn(&T) -> bool) -> Self {
        Self { free: Mutex::default(), make: Box::new(make), keeps }
    }

    fn free(&self) -> MutexGuard<'_, Vec<T>> {
        lock(&self.free)
    }

    /// Lends a value to `work`. After a panic in `work` the value is not used again.
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

//! From good frames to a package: features, training, statistics, export.
//!
//! [`Fitter`] is the whole of `uflow fit` without files: frames are pushed one by one, [`Fitter::train`] gives a
//! [`Fitted`] model, [`Fitted::write`] makes it a package. [`fit_files`] drives it from image files.

mod augment;
mod check;
mod cross;
mod evidence;
mod files;
mod fitted;
mod gate;
mod golden;
mod input;
mod learned;
mod measure;
mod options;
mod prepare;
mod pushed;
mod survey;
mod variety;

pub use check::{Checked, Described, Ranked, check_files};
pub use files::{FEATURES_SUFFIX, fit_files, fit_files_on};
pub use fitted::{CrossFit, Fitted, JudgedImage, Unusual};
pub use gate::{GroupGate, RejectGate};
pub use learned::{FEWEST_NEW, Learned, features_beside};
pub(crate) use measure::statistics;
pub(crate) use options::file_source;
pub use options::{Augmentation, BackboneChoice, Event, FitOptions, TileOptions};
pub use pushed::Pushed;
pub use survey::{MOST_UNREADABLE, Survey};

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use prost::{Message, bytes::Bytes};

use self::{
    cross::Plan,
    fitted::HeldOutImages,
    learned::Places,
    prepare::{Prepared, prepare},
    pushed::PushedFrames,
    survey::Pixels,
};
use super::{Control, FeatureCache, Progress, StopReason, Trained, session::thread_pool};
use crate::{
    Error, Result,
    backbone::BackboneFile,
    frame::{BitDepthCheck, Frame, depth::FULL_BITS},
    package::{
        self, BackboneReference, FORMAT, FlowReference, ImageDigest, Manifest, Scale, ScoreStatistics, SeenImages,
        TrainingRecord,
    },
    preprocess::{Preprocess, Preprocessor},
    runtime::{Backbone, Runtime},
    screen::Look,
    segment::{RegionOfInterest, Roi},
    tiles::{Tiles, Tiling},
};

/// Fewer good images cannot tell what is normal.
pub const FEWEST_IMAGES: usize = 8;

/// An image whose features are in the cache.
#[derive(Clone, Debug)]
struct CachedImage {
    /// What it is called.
    name: String,
    /// Stands for its pixels.
    digest: ImageDigest,
    /// What it looks like; `None` where only its features are there.
    look: Option<Look>,
    /// [`Frame::brightness`], where it is known.
    brightness: Option<f32>,
}

/// Takes good frames and fits a model to them.
#[derive(Debug)]
pub struct Fitter {
    options: FitOptions,
    /// Also kept so that ONNX Runtime is not ended while the backbone is there.
    runtime: Runtime,
    backbone: Arc<Backbone>,
    /// What the backbone was found as, for the package.
    file: BackboneFile,
    preprocessor: Preprocessor,
    /// Where frames are cut into tiles.
    tiling: Option<Tiling>,
    /// Whether the first frame may change the shape of the input, or decides how frames are cut.
    shapes_input: bool,
    roi: Option<Arc<Roi>>,
    tensor: Vec<f32>,
    cache: FeatureCache,
    /// The images of the cache.
    images: Vec<CachedImage>,
    pushed: PushedFrames,
    /// The largest 16-bit sample of the frames that do not say their own number of bits.
    depth: BitDepthCheck,
    /// Pictures that golden frames may be made of, with the names of their images.
    golden: Vec<(String, Bytes)>,
    /// Why frames cannot be golden frames.
    golden_refused: Option<String>,
    /// The images that were left out because they look defective or of another product.
    dropped: Vec<Unusual>,
}

impl Fitter {
    /// Loads the backbone and makes room for features.
    ///
    /// # Errors
    /// A backbone that cannot be loaded, an input size it does not take, options outside their range.
    pub fn new(runtime: &Runtime, options: FitOptions) -> Result<Self> {
        options.check()?;
        let backbone = Arc::new(options.load_backbone(runtime)?);
        Self::with_backbone(runtime, backbone, options)
    }

    /// On a backbone that is loaded already, the one that the options name.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_backbone(runtime: &Runtime, backbone: Arc<Backbone>, options: FitOptions) -> Result<Self> {
        options.check()?;
        let file = options.find_backbone()?;
        let meta = backbone.meta();
        let recommended = (meta.input_size[1] as u32, meta.input_size[0] as u32);
        let (width, height) = options.input_size.unwrap_or(recommended);
        let turned = options.augmentation.versions().iter().any(|version| version.turns % 2 == 1);
        if turned && width != height {
            let reason = format!("turning by 90 degrees needs a square input, not {width}×{height}");
            return Err(Error::parameter("augment", reason));
        }
        let (size, tiles) = match options.tiles {
            Some(TileOptions { frame: Some(frame), overlap }) => {
                let open = options.input_size.is_none() && backbone.takes_any_size();
                let size = if open { input::tiled(meta, frame, overlap, None).0 } else { (width, height) };
                (size, Some(Tiles { width: frame.0, height: frame.1, overlap }))
            }
            _ => ((width, height), None),
        };
        // What could not be fitted or measured in the end is told before the first frame.
        let Prepared { preprocessor, tiling, cache } = prepare(&backbone, &options, size, tiles)?;
        let shapes_input = match options.tiles {
            Some(tiles) => tiles.frame.is_none(),
            None => options.input_size.is_none() && width == height && !turned && backbone.takes_any_size(),
        };
        Ok(Self {
            runtime: runtime.clone(),
            tensor: vec![0.0; preprocessor.input().len()],
            shapes_input,
            preprocessor,
            tiling,
            roi: options.detection.roi.as_ref().and_then(RegionOfInterest::mask).cloned(),
            depth: BitDepthCheck::default(),
            cache,
            images: Vec::new(),
            pushed: PushedFrames::default(),
            golden: Vec::new(),
            golden_refused: None,
            dropped: Vec::new(),
            backbone,
            file,
            options,
        })
    }

    /// Size and normalisation of the network's input. Without a size in the options, the first frame may change its shape, not its pixels' number
    /// by much.
    pub fn input(&self) -> &Preprocess {
        self.preprocessor.input()
    }

    /// Frames that a model would be fitted to.
    pub fn frames(&self) -> usize {
        self.cache.len()
    }

    /// Adds a good frame. A frame with the pixels of an earlier one, and a frame of one value, are left out: statistics over them
    /// are void. [`Fitted::warnings`] names them.
    ///
    /// # Errors
    /// A frame that cannot be used or that the region of interest does not fit, features that are not finite, a temporary file
    /// that cannot be written. The frame is then not added.
    pub fn push(&mut self, frame: &Frame<'_>) -> Result<Pushed> {
        self.shape_input((frame.width(), frame.height()))?;
        self.check_roi((frame.height(), frame.width()))?;
        if frame.significant_bits().is_none() {
            self.depth.push(crate::frame::depth::peak(frame));
        }
        let pixels = Pixels::of(frame);
        let what = self.pushed.look(pixels);
        if what == Pushed::Added {
            let name = self.pushed.next();
            let look = Look::of(frame, self.options.significant_bits);
            let image = CachedImage {
                name: name.clone(),
                digest: ImageDigest::of_sha256(&pixels.digest),
                brightness: Some(look.level as f32),
                look: Some(look),
            };
            if self.tiling.is_some() {
                self.push_tiles(frame, image)?;
            } else {
                let mut tensor = std::mem::take(&mut self.tensor);
                let result = self.preprocessor.run(frame, &mut tensor).and_then(|()| self.push_tensor(&tensor, image));
                self.tensor = tensor;
                result?;
            }
            self.keep_golden(frame, &name)?;
        }
        self.pushed.note(pixels, what);
        Ok(what)
    }

    /// Refuses a region of interest that does not fit a good frame of (height, width); see [`Roi::check_frame`].
    fn check_roi(&self, (height, width): (u32, u32)) -> Result<()> {
        let (map_height, map_width) = self.map_size();
        let map = (map_height as usize, map_width as usize);
        self.roi.as_ref().map_or(Ok(()), |roi| roi.check_frame((height as usize, width as usize), map))
    }

    /// Fits the model and, where its null needs more images than its own training held out, the flows of cross-fitting:
    /// [`train_model`](Self::train_model), then [`cross_fit`](Self::cross_fit). The frames stay: more may be added, and a model
    /// fitted again.
    ///
    /// # Errors
    /// Fewer than 8 frames, training that cannot go on, [`Error::Cancelled`] on [`Control::Cancel`] at any time. A flow of
    /// cross-fitting that fails is no error: see [`Fitted::warnings`].
    pub fn train(&self, progress: &mut dyn FnMut(&Progress) -> Control) -> Result<Fitted> {
        let mut fitted = self.train_model(progress)?;
        self.cross_fit(&mut fitted, progress)?;
        Ok(fitted)
    }

    /// Fits the flow, measures the good images and exports the model, complete and ready to be written. Its null stands on the
    /// images that this one training held out; [`cross_fit`](Self::cross_fit) makes more of it. Where further flows are planned, that call
    /// also gives the model its golden frames.
    ///
    /// # Errors
    /// Fewer than 8 frames, frames that hardly differ, or training that cannot go on.
    pub fn train_model(&self, progress: &mut dyn FnMut(&Progress) -> Control) -> Result<Fitted> {
        let images = self.cache.len();
        if images < FEWEST_IMAGES {
            let mut text = format!(
                "{images} good images are too few: a flow learns what is normal from their differences, and a tenth is held \
                 out to check it; at least {FEWEST_IMAGES} are needed, 50 or more are better"
            );
            self.pushed.warnings().iter().for_each(|warning| text += &format!("; {warning}"));
            return Err(Error::training(text));
        }
        if let (None, Some(advice)) = (self.options.significant_bits, self.depth.advice(FULL_BITS)) {
            return Err(Error::training(advice));
        }
        let mut notes = self.pushed.warnings();
        notes.extend(variety::check(&self.cache)?);
        let places = self.places()?;
        let plan = match &places {
            None => Plan::new(&self.options, images),
            Some(places) => Plan { flows: places.new.len(), ..Plan::new(&self.options, images) },
        };
        let mut training = plan.options(&self.options.training);
        training.threads = training.threads.or(self.options.session.threads);
        training.time_budget = self.time_of_next(Duration::ZERO, plan.flows);
        let trained = self
            .train_flow(&training, places.as_ref(), &mut |state| progress(&Progress { folds: plan.flows, ..state }))?;
        let judged = || Ok((self.measure(&trained)?, self.judged(&trained, places.as_ref())?));
        let (scores, held_out) = on(training.threads, judged)?;
        let flow = trained.flow.to_onnx().encode_to_vec();
        let stopped = plan.flows > 1 && trained.summary.stopped == StopReason::Asked;
        let mut fitted = Fitted {
            manifest: self.manifest(&trained, scores, &flow),
            cross_fit: CrossFit {
                planned: plan.flows,
                finished: 1,
                planned_images: places.as_ref().map_or_else(|| plan.images(&training, images), Places::judging),
                stopped,
                ..CrossFit::default()
            },
            training_seconds: trained.summary.seconds,
            time_budget: self.options.time_budget,
            summary: trained.summary,
            flow,
            backbone: self.file.clone(),
            roi: self.roi.as_ref().map(|roi| roi.to_png()).transpose()?,
            notes,
            training,
            images,
            held_out: HeldOutImages::default(),
            unusual: Vec::new(),
            judged: Vec::new(),
            outlier: None,
            checked: Checked::default(),
            dropped: self.dropped.clone(),
            golden: Vec::new(),
            golden_note: None,
            features_lost: false,
        };
        self.set_null(&mut fitted, &held_out)?;
        // With further flows the threshold is not final yet, and `cross_fit` measures golden frames by it.
        if plan.flows == 1 {
            self.set_golden(&mut fitted);
            self.set_checked(&mut fitted);
        }
        fitted.held_out = held_out;
        Ok(fitted)
    }

    fn manifest(&self, trained: &Trained, scores: ScoreStatistics, flow: &[u8]) -> Manifest {
        let latents = trained.flow.architecture().latents();
        let (options, summary) = (&trained.options, &trained.summary);
        let roi = self.roi.as_ref().map(|_| package::ROI_FILE.to_owned());
        let detection = self.options.decision().with_roi(roi);
        Manifest {
            format: FORMAT,
            name: self.options.name.clone(),
            version: None,
            created: package::timestamp(SystemTime::now()),
            uflow: crate::VERSION.to_owned(),
            input: *self.input(),
            backbone: BackboneReference {
                name: self.backbone.meta().name.clone(),
                sha256: self.backbone.sha256().to_owned(),
                file: Some(package::BACKBONE_FILE.to_owned()),
            },
            flow: FlowReference { sha256: package::sha256(flow), file: package::FLOW_FILE.to_owned() },
            scales: (self.cache.shapes().iter().zip(latents))
                .map(|(&features, latents)| Scale { features, latents })
                .collect(),
            training: Some(TrainingRecord {
                images: summary.images,
                held_out: summary.held_out.len(),
                augmentation: self.options.augmentation.name().to_owned(),
                epochs: summary.epochs,
                best_epoch: summary.best_epoch,
                seed: options.seed,
                learning_rate: options.learning_rate,
                weight_decay: options.weight_decay,
                noise: options.noise,
                steps: options.steps,
                topology: options.topology,
                held_out_nll: summary.best.nll,
                latent_variance: summary.best.latent_variance.clone(),
                seen: self.seen(&summary.held_out),
                dropped: self.dropped.iter().map(Unusual::record).collect(),
                search: self.options.search.clone(),
            }),
            scores: Some(scores),
            calibration: None,
            rejection: None,
            golden: None,
            limits: None,
            detection,
        }
    }

    /// Which images the model's own training had, those at these places held out.
    fn seen(&self, held_out: &[usize]) -> Option<SeenImages> {
        let (held_out, trained): (Vec<usize>, Vec<usize>) =
            (0..self.images.len()).partition(|image| held_out.contains(image));
        let digests = |images: Vec<usize>| -> Vec<ImageDigest> {
            images.into_iter().map(|image| self.images[image].digest).collect()
        };
        SeenImages::new(&digests(trained), &digests(held_out))
    }
}

/// Runs on so many threads, or on the process's own.
fn on<R: Send>(threads: Option<usize>, work: impl FnOnce() -> Result<R> + Send) -> Result<R> {
    match threads {
        None => work(),
        Some(threads) => thread_pool(threads)?.install(work),
    }
}

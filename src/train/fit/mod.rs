//! From good frames to a package: features, training, statistics, export.
//!
//! [`Fitter`] is the whole of `uflow fit` without files: frames are pushed one by one, [`Fitter::train`] gives a
//! [`Fitted`] model, [`Fitted::write`] makes it a package. [`fit_files`] drives it from image files.

mod cross;
mod files;
mod fitted;
mod options;
mod survey;
mod variety;

pub use files::{FEATURES_SUFFIX, fit_files, fit_files_on};
pub use fitted::{CrossFit, Fitted};
pub use options::{Augmentation, BackboneChoice, Event, FitOptions};
pub use survey::{MOST_UNREADABLE, Survey};

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use ndarray::{Array2, Array3, Array4, ArrayView3, Axis};
use prost::Message;
use rayon::prelude::*;

use self::{
    cross::Plan,
    survey::{Pixels, Reason, left_out},
};
use super::{Control, FeatureCache, Progress, StopReason, Trained, session::thread_pool, train};
use crate::{
    Error, Result,
    flow::{Architecture, Flow},
    frame::{BitDepthCheck, Frame, depth::FULL_BITS},
    latents::ScaleShape,
    package::{self, BackboneReference, FORMAT, FlowReference, Manifest, Scale, ScoreStatistics, TrainingRecord},
    preprocess::{Preprocess, Preprocessor},
    runtime::{Backbone, Runtime},
    segment::{DecisionOptions, FairThreshold, RegionOfInterest, Roi, Segmenter},
};

/// Fewer good images cannot tell what is normal.
pub const FEWEST_IMAGES: usize = 8;
/// Probabilities whose score quantiles a package keeps.
const QUANTILES: [f32; 7] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];

/// Takes good frames and fits a model to them.
#[derive(Debug)]
pub struct Fitter {
    options: FitOptions,
    /// Kept so that ONNX Runtime is not ended while the backbone is there.
    _runtime: Runtime,
    backbone: Arc<Backbone>,
    preprocessor: Preprocessor,
    roi: Option<Arc<Roi>>,
    tensor: Vec<f32>,
    cache: FeatureCache,
    pushed: PushedFrames,
    /// The largest 16-bit sample of the frames that do not say their own number of bits.
    depth: BitDepthCheck,
}

/// What became of a frame that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The model is fitted to it.
    Added,
    /// Left out: an earlier frame, of this number from 0, has the same pixels.
    Repeated(usize),
    /// Left out: all its pixels have one value.
    Uniform,
}

/// The frames pushed so far, by what their pixels are.
#[derive(Debug, Default)]
struct PushedFrames {
    count: usize,
    known: HashMap<[u8; 32], usize>,
    repeated: Vec<(usize, usize)>,
    uniform: Vec<usize>,
}

impl PushedFrames {
    /// What is to become of a frame; nothing is noted yet.
    fn look(&self, pixels: Pixels) -> Pushed {
        match self.known.get(&pixels.digest) {
            _ if pixels.uniform => Pushed::Uniform,
            Some(&earlier) => Pushed::Repeated(earlier),
            None => Pushed::Added,
        }
    }

    fn note(&mut self, pixels: Pixels, what: Pushed) {
        match what {
            Pushed::Added => drop(self.known.insert(pixels.digest, self.count)),
            Pushed::Repeated(earlier) => self.repeated.push((self.count, earlier)),
            Pushed::Uniform => self.uniform.push(self.count),
        }
        self.count += 1;
    }

    fn warnings(&self) -> Vec<String> {
        let uniform = self.uniform.iter().map(|frame| format!("frame {frame}")).collect();
        let repeated = self.repeated.iter().map(|(frame, earlier)| format!("frame {frame} (as frame {earlier})"));
        let warnings = [left_out(Reason::Uniform, uniform), left_out(Reason::Repeated, repeated.collect())];
        warnings.into_iter().flatten().collect()
    }
}

impl Fitter {
    /// Loads the backbone and makes room for features.
    ///
    /// # Errors
    /// A backbone that cannot be loaded, an input size it does not take, options outside their range.
    pub fn new(runtime: &Runtime, options: FitOptions) -> Result<Self> {
        options.check()?;
        let backbone = Arc::new(options.backbone.load(runtime, &options.session)?);
        Self::with_backbone(runtime, backbone, options)
    }

    /// On a backbone that is loaded already, the one that the options name.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_backbone(runtime: &Runtime, backbone: Arc<Backbone>, options: FitOptions) -> Result<Self> {
        options.check()?;
        let meta = backbone.meta();
        let (width, height) = options.input_size.unwrap_or((meta.input_size[1] as u32, meta.input_size[0] as u32));
        let turned = options.augmentation.versions().iter().any(|&(_, turns)| turns % 2 == 1);
        if turned && width != height {
            let reason = format!("turning by 90 degrees needs a square input, not {width}×{height}");
            return Err(Error::parameter("augment", reason));
        }
        let preprocess = Preprocess {
            mean: meta.mean,
            std: meta.std,
            resize: meta.resize,
            significant_bits: options.significant_bits,
            float_range: options.float_range,
            ..Preprocess::imagenet(width, height)
        };
        let shapes = backbone.feature_shapes(height as usize, width as usize)?;
        // What could not be fitted or measured in the end is told before the first frame.
        let architecture =
            Architecture::with_steps(shapes.clone(), options.training.steps, options.training.kernels.clone())?
                .joined(options.training.topology)?;
        let roi = options.detection.roi.as_ref().and_then(RegionOfInterest::mask).cloned();
        Segmenter::new(&architecture.latents(), height as usize, width as usize)?.set_roi(roi.as_deref())?;
        Ok(Self {
            _runtime: runtime.clone(),
            tensor: vec![0.0; preprocess.len()],
            preprocessor: Preprocessor::new(preprocess)?,
            roi,
            depth: BitDepthCheck::default(),
            cache: FeatureCache::new(&shapes, options.memory)?,
            pushed: PushedFrames::default(),
            backbone,
            options,
        })
    }

    /// Size and normalisation of the network's input.
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
        self.check_roi((frame.height(), frame.width()))?;
        if frame.significant_bits().is_none() {
            self.depth.push(crate::frame::depth::peak(frame));
        }
        let pixels = Pixels::of(frame);
        let what = self.pushed.look(pixels);
        if what == Pushed::Added {
            let mut tensor = std::mem::take(&mut self.tensor);
            let result = self.preprocessor.run(frame, &mut tensor).and_then(|()| self.push_tensor(&tensor));
            self.tensor = tensor;
            result?;
        }
        self.pushed.note(pixels, what);
        Ok(what)
    }

    /// Refuses a region of interest that does not fit a good frame of (height, width); see [`Roi::check_frame`].
    fn check_roi(&self, (height, width): (u32, u32)) -> Result<()> {
        let input = (self.input().height as usize, self.input().width as usize);
        self.roi.as_ref().map_or(Ok(()), |roi| roi.check_frame((height as usize, width as usize), input))
    }

    /// Adds a good frame that is preprocessed already: 3 × H × W.
    fn push_tensor(&mut self, tensor: &[f32]) -> Result<()> {
        let (height, width) = (self.input().height as usize, self.input().width as usize);
        let image = ArrayView3::from_shape((3, height, width), tensor).map_err(|e| Error::Frame(e.to_string()))?;
        let versions = self.options.augmentation.versions().iter().map(|&(mirrored, turns)| {
            let turned: Array4<f32> = turn(image, mirrored, turns).insert_axis(Axis(0));
            self.backbone.features(turned.view())
        });
        let versions: Vec<_> = versions.collect::<Result<_>>()?;
        let maps = |features: &[Array4<f32>]| -> Vec<Array3<f32>> {
            features.iter().map(|map| map.index_axis(Axis(0), 0).to_owned()).collect()
        };
        let versions: Vec<_> = versions.iter().map(|features| maps(features)).collect();
        self.cache.push_all(&versions)
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
    /// images that this one training held out; [`cross_fit`](Self::cross_fit) makes more of it.
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
            return Err(Error::Training(text));
        }
        if let (None, Some(advice)) = (self.options.significant_bits, self.depth.advice(FULL_BITS)) {
            return Err(Error::Training(advice));
        }
        let mut notes = self.pushed.warnings();
        notes.extend(variety::check(&self.cache)?);
        let plan = Plan::new(&self.options, images);
        let mut training = plan.options(&self.options.training);
        training.threads = training.threads.or(self.options.session.threads);
        let trained = train(&self.cache, &training, &mut |state| progress(&Progress { folds: plan.flows, ..state }))?;
        let (scores, energies) =
            on(training.threads, || Ok((self.measure(&trained)?, self.held_out_energies(&trained)?)))?;
        let flow = trained.flow.to_onnx().encode_to_vec();
        let stopped = plan.flows > 1 && trained.summary.stopped == StopReason::Asked;
        let mut fitted = Fitted {
            manifest: self.manifest(&trained, scores, &flow),
            cross_fit: CrossFit {
                planned: plan.flows,
                finished: 1,
                planned_images: plan.images(&training, images),
                stopped,
                ..CrossFit::default()
            },
            summary: trained.summary,
            flow,
            backbone: self.options.backbone.clone(),
            roi: self.roi.as_ref().map(|roi| roi.to_png()).transpose()?,
            notes,
            training,
            images,
            energies: Vec::new(),
        };
        self.set_null(&mut fitted, &energies)?;
        fitted.energies = energies;
        Ok(fitted)
    }

    /// Score statistics of the held-out images and the fair threshold of all good images (paper, §4.1.1).
    fn measure(&self, trained: &Trained) -> Result<ScoreStatistics> {
        let latents = trained.flow.architecture().latents();
        let (height, width) = (self.input().height as usize, self.input().width as usize);
        let mut fair = FairThreshold::new();
        let mut image_scores = Vec::with_capacity(self.cache.len());
        let images: Vec<usize> = (0..self.cache.len()).collect();
        for chunk in images.chunks(8 * rayon::current_num_threads()) {
            let maps: Vec<Result<(f32, ndarray::Array2<f32>)>> = chunk
                .par_iter()
                .map_init(
                    || self.segmenter(&latents, height, width),
                    |segmenter, &image| match segmenter {
                        Ok(segmenter) => self.score(&trained.flow, &latents, segmenter, image),
                        Err(error) => Err(Error::Training(error.to_string())),
                    },
                )
                .collect();
            for map in maps {
                let (score, map) = map?;
                fair.add(map.view())?;
                image_scores.push(score);
            }
        }
        let held_out = trained.summary.held_out.iter().map(|&image| image_scores[image]).collect();
        Ok(statistics(held_out, fair.value()?))
    }

    /// U of each scale of each image that was held out.
    fn held_out_energies(&self, trained: &Trained) -> Result<Vec<Vec<Vec<f32>>>> {
        let energies = |&image: &usize| -> Result<Vec<Vec<f32>>> {
            Ok(self.energies(&trained.flow, image)?.into_iter().map(|map| map.into_raw_vec_and_offset().0).collect())
        };
        trained.summary.held_out.par_iter().map(energies).collect()
    }

    /// U of each scale of an image.
    fn energies(&self, flow: &Flow, image: usize) -> Result<Vec<Array2<f32>>> {
        let mut features = Vec::with_capacity(self.cache.shapes().len());
        for (scale, shape) in self.cache.shapes().iter().enumerate() {
            let mut map = Array3::<f32>::zeros((shape.channels, shape.height, shape.width));
            self.cache.read(image, 0, scale, map.as_slice_mut().unwrap_or_default());
            features.push(map);
        }
        let views: Vec<_> = features.iter().map(|map| map.view()).collect();
        let (latents, _) = flow.forward(&views)?;
        Ok(latents.iter().map(|z| crate::latents::energy(z.view())).collect())
    }

    fn segmenter(&self, latents: &[ScaleShape], height: usize, width: usize) -> Result<Segmenter> {
        let mut segmenter = Segmenter::new(latents, height, width)?;
        segmenter.set_roi(self.roi.as_deref())?;
        Ok(segmenter)
    }

    fn score(
        &self,
        flow: &Flow,
        shapes: &[ScaleShape],
        segmenter: &mut Segmenter,
        image: usize,
    ) -> Result<(f32, Array2<f32>)> {
        let energies = self.energies(flow, image)?;
        let views: Vec<_> = energies
            .iter()
            .zip(shapes)
            .map(|(energy, shape)| crate::latents::EnergyView { energy: energy.view(), channels: shape.channels })
            .collect();
        let scores = segmenter.run_score(&views)?;
        Ok((scores.image_score, scores.score.to_owned()))
    }

    fn manifest(&self, trained: &Trained, scores: ScoreStatistics, flow: &[u8]) -> Manifest {
        let latents = trained.flow.architecture().latents();
        let (options, summary) = (&trained.options, &trained.summary);
        let roi = self.roi.as_ref().map(|_| package::ROI_FILE.to_owned());
        let detection = self.options.detection.with_roi(roi).over(DecisionOptions::standard());
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
            }),
            scores: Some(scores),
            calibration: None,
            detection,
        }
    }
}

/// Runs on so many threads, or on the process's own.
fn on<R: Send>(threads: Option<usize>, work: impl FnOnce() -> Result<R> + Send) -> Result<R> {
    match threads {
        None => work(),
        Some(threads) => thread_pool(threads)?.install(work),
    }
}

/// The image turned by quarter turns, mirrored first.
fn turn(image: ArrayView3<'_, f32>, mirrored: bool, turns: usize) -> Array3<f32> {
    let mut view = image;
    if mirrored {
        view.invert_axis(Axis(2));
    }
    for _ in 0..turns {
        view.swap_axes(1, 2);
        view.invert_axis(Axis(2));
    }
    view.as_standard_layout().into_owned()
}

/// Statistics of the image scores of good images.
pub(crate) fn statistics(mut scores: Vec<f32>, fair_threshold: f32) -> ScoreStatistics {
    scores.sort_by(f32::total_cmp);
    let n = scores.len().max(1) as f64;
    let mean = scores.iter().map(|&s| f64::from(s)).sum::<f64>() / n;
    let variance = scores.iter().map(|&s| (f64::from(s) - mean).powi(2)).sum::<f64>() / n;
    let at = |q: f32| {
        let rank = (f64::from(q) * n - 1e-4).ceil().max(1.0) as usize - 1;
        scores.get(rank.min(scores.len().saturating_sub(1))).copied().unwrap_or(0.0)
    };
    ScoreStatistics {
        images: scores.len(),
        mean: mean as f32,
        std: variance.sqrt() as f32,
        min: scores.first().copied().unwrap_or(0.0),
        max: scores.last().copied().unwrap_or(0.0),
        quantiles: QUANTILES.iter().map(|&q| (q, at(q))).collect(),
        fair_threshold,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_and_mirror_images() {
        let image = ndarray::array![[[1.0_f32, 2.0], [3.0, 4.0]]];
        assert_eq!(turn(image.view(), true, 0), ndarray::array![[[2.0, 1.0], [4.0, 3.0]]]);
        assert_eq!(turn(image.view(), false, 1), ndarray::array![[[3.0, 1.0], [4.0, 2.0]]]);
        assert_eq!(turn(image.view(), false, 2), ndarray::array![[[4.0, 3.0], [2.0, 1.0]]]);
        let mut all: Vec<_> =
            Augmentation::All.versions().iter().map(|&(m, t)| format!("{:?}", turn(image.view(), m, t))).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 8);
    }

    #[test]
    fn quantiles_are_scores_that_occur() {
        let scores = (1..=100).map(|i| i as f32 / 100.0).collect();
        let statistics = statistics(scores, 0.5);
        assert_eq!((statistics.images, statistics.min, statistics.max), (100, 0.01, 1.0));
        assert_eq!(statistics.quantiles[3], (0.5, 0.5));
        assert_eq!(statistics.quantiles[6], (0.99, 0.99));
        assert!((statistics.mean - 0.505).abs() < 1e-6);
    }
}

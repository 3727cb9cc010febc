//! From good frames to a package: features, training, statistics, export.
//!
//! [`Fitter`] is the whole of `uflow fit` without files: frames are pushed one by one, [`Fitter::train`] gives a
//! [`Fitted`] model, [`Fitted::write`] makes it a package. [`fit_files`] drives it from image files.

mod files;
mod options;

pub use files::{FEATURES_SUFFIX, fit_files, fit_files_on};
pub use options::{Augmentation, BackboneChoice, Event, FitOptions};

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use ndarray::{Array2, Array3, Array4, ArrayView3, Axis};
use prost::Message;
use rayon::prelude::*;

use super::{
    Control, FeatureCache, Progress, StopReason, TrainOptions, Trained, TrainingSummary, session::thread_pool, train,
};
use crate::{
    Error, Result, backbone,
    flow::{Architecture, Flow},
    frame::{Frame, Image, Limits},
    latents::ScaleShape,
    package::{
        self, BackboneReference, FORMAT, Files, FlowReference, Manifest, Scale, ScoreStatistics, TrainingRecord,
    },
    preprocess::{Preprocess, Preprocessor},
    runtime::{Backbone, Runtime},
    segment::{CalibratedNull, FEWEST_IMAGES as FEWEST_TO_CALIBRATE, FairThreshold, Roi, Segmenter},
};

/// Fewer good images cannot tell what is normal.
pub const FEWEST_IMAGES: usize = 8;
/// Parts that good images are divided into where each is held out once.
const FOLDS: usize = 4;
/// Good images that a null is calibrated on where there are so many: what it promises is then within a factor of 3 of what
/// it gives (benches/trust.md); 30 images can be further off.
const ENOUGH_TO_CALIBRATE: usize = 100;
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
    roi: Option<Roi>,
    tensor: Vec<f32>,
    cache: FeatureCache,
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
        let preprocess = Preprocess { mean: meta.mean, std: meta.std, ..Preprocess::imagenet(width, height) };
        let shapes = backbone.feature_shapes(height as usize, width as usize)?;
        // What could not be fitted or measured in the end is told before the first frame.
        let architecture =
            Architecture::with_steps(shapes.clone(), options.training.steps, options.training.kernels.clone())?
                .joined(options.training.topology)?;
        let roi = options.roi.as_deref().map(|png| {
            let mask = Image::decode(png, "region of interest", &Limits::default())?;
            crate::detector::roi_from_image(&mask)
        });
        let roi = roi.transpose()?;
        Segmenter::new(&architecture.latents(), height as usize, width as usize)?.set_roi(roi.as_ref())?;
        Ok(Self {
            _runtime: runtime.clone(),
            tensor: vec![0.0; preprocess.len()],
            preprocessor: Preprocessor::new(preprocess)?,
            roi,
            cache: FeatureCache::new(&shapes, options.memory)?,
            backbone,
            options,
        })
    }

    /// Size and normalisation of the network's input.
    pub fn input(&self) -> &Preprocess {
        self.preprocessor.input()
    }

    /// Frames taken so far.
    pub fn frames(&self) -> usize {
        self.cache.len()
    }

    /// Adds a good frame.
    ///
    /// # Errors
    /// A frame that cannot be used, features that are not finite, a temporary file that cannot be written.
    pub fn push(&mut self, frame: &Frame<'_>) -> Result<()> {
        let mut tensor = std::mem::take(&mut self.tensor);
        let result = self.preprocessor.run(frame, &mut tensor).and_then(|()| self.push_tensor(&tensor));
        self.tensor = tensor;
        result
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

    /// Fits the flow, measures the good images and exports the model. The frames stay: more may be added, and a model fitted
    /// again.
    ///
    /// # Errors
    /// Fewer than 8 frames, or training that cannot go on.
    pub fn train(&self, progress: &mut dyn FnMut(&Progress) -> Control) -> Result<Fitted> {
        if self.cache.len() < FEWEST_IMAGES {
            return Err(Error::Training(format!(
                "{} good images are too few: a flow learns what is normal from their differences, and a tenth is held \
                 out to check it; at least {FEWEST_IMAGES} are needed, 50 or more are better",
                self.cache.len()
            )));
        }
        let mut training = self.options.training.clone();
        training.threads = training.threads.or(self.options.session.threads);
        let (held_out, folds) = calibration_folds(&self.options, self.cache.len());
        training.held_out = held_out;
        let trained = train(&self.cache, &training, &mut |state| progress(&state))?;
        let (scores, mut held_out) =
            on(training.threads, || Ok((self.measure(&trained)?, self.held_out_energies(&trained)?)))?;
        for fold in 1..folds {
            let part = TrainOptions { fold, ..training.clone() };
            let begins = part.held_out_images(self.cache.len()) * fold;
            if begins >= self.cache.len() || trained.summary.stopped == StopReason::Asked {
                break;
            }
            let other = train(&self.cache, &part, &mut |state| progress(&state))?;
            held_out.extend(on(training.threads, || self.held_out_energies(&other))?);
        }
        // Of fewer images nothing can be said; a package that needs it is refused when it is written.
        let calibration = (held_out.len() >= FEWEST_TO_CALIBRATE)
            .then(|| CalibratedNull::estimate(&trained.flow.architecture().latents(), self.roi.as_ref(), &held_out));
        let flow = trained.flow.to_onnx().encode_to_vec();
        let manifest = Manifest { calibration: calibration.transpose()?, ..self.manifest(&trained, scores, &flow) };
        let (backbone, roi) = (self.options.backbone.clone(), self.options.roi.clone());
        Ok(Fitted { manifest, flow, backbone, roi, summary: trained.summary })
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
        segmenter.set_roi(self.roi.as_ref())?;
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
        let mut detection = self.options.detection.clone();
        detection.roi = self.options.roi.as_ref().map(|_| package::ROI_FILE.to_owned());
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

/// The part of so many good images that is held out of a flow, and how many flows the null needs, each with other images held out.
fn calibration_folds(options: &FitOptions, images: usize) -> (f64, usize) {
    let own = options.training.held_out;
    let quarter = 1.0 / FOLDS as f64;
    if options.cross_fit {
        return (quarter, FOLDS);
    }
    if options.detection.tests.is_paper() || options.training.held_out_images(images) >= ENOUGH_TO_CALIBRATE {
        return (own, 1);
    }
    let held_out = own.max(quarter.min(ENOUGH_TO_CALIBRATE as f64 / images as f64));
    let of_each = TrainOptions { held_out, ..options.training.clone() }.held_out_images(images);
    (held_out, ENOUGH_TO_CALIBRATE.div_ceil(of_each).min(FOLDS))
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

/// A fitted model, not yet written.
#[derive(Debug)]
pub struct Fitted {
    /// The manifest it will have.
    pub manifest: Manifest,
    /// How training went.
    pub summary: TrainingSummary,
    flow: Vec<u8>,
    backbone: BackboneChoice,
    roi: Option<Vec<u8>>,
}

impl Fitted {
    /// Writes a package that holds its backbone: a folder, or one file if `path` ends in `.uflow`. It is there whole or
    /// not at all.
    ///
    /// # Errors
    /// [`Error::Io`], or something else that is not a package at `path`.
    pub fn write(&self, path: &Path) -> Result<()> {
        let backbone = Some(self.backbone.file());
        package::write(path, &self.manifest, &Files { flow: &self.flow, backbone, roi: self.roi.as_deref() })
    }

    /// Writes it into a model repository as `<root>/<model>/<version>`, its backbone shared in `<root>/backbones`.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_to_repository(&self, root: &Path, version: u32) -> Result<PathBuf> {
        match &self.backbone {
            BackboneChoice::Embedded => package::write_repository_backbone(root, backbone::EMBEDDED)?,
            BackboneChoice::File(file) => {
                let bytes = std::fs::read(file).map_err(Error::io("read", file))?;
                package::write_repository_backbone(root, &bytes)?
            }
        };
        let mut manifest = self.manifest.clone();
        manifest.backbone.file = None;
        let path = root.join(&manifest.name).join(version.to_string());
        package::write(&path, &manifest, &Files { flow: &self.flow, backbone: None, roi: self.roi.as_deref() })?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::Tests;

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
    fn a_null_has_a_hundred_images_where_there_are_so_many() {
        let mut options = FitOptions::new("bracket");
        let plan = |options: &FitOptions, images| {
            let (held_out, folds) = calibration_folds(options, images);
            (TrainOptions { held_out, ..options.training.clone() }.held_out_images(images), folds)
        };
        assert_eq!(plan(&options, 300), (30, 1), "the paper's count needs no null");
        options.detection.tests = Tests::Sized;
        for (images, expected) in [
            (40, (10, 4)),
            (100, (25, 4)),
            (200, (50, 2)),
            (300, (75, 2)),
            (400, (100, 1)),
            (900, (100, 1)),
            (2000, (200, 1)),
        ] {
            assert_eq!(plan(&options, images), expected, "{images} images");
        }
        options.training.held_out = 0.5;
        assert_eq!(plan(&options, 100), (50, 2));
        options.cross_fit = true;
        assert_eq!(plan(&options, 2000), (500, 4));
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

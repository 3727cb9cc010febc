//! The detector for `evaluate` and `demo`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Context, fit, options::SampleArgs, progress::Progress};
use crate::{
    Error, Result, demo,
    evaluate::{Inspection, Inspector, Settings},
    frame::{BitDepthCheck, Image, Limits, ReadOptions},
    package::{Manifest, Package},
    pipeline::{Detection, Detector},
    runtime::{Backbone, Runtime, SessionOptions},
    segment::DecisionOptions,
    train::{
        Control, TrainOptions,
        fit::{BackboneChoice, FitOptions, fit_files},
    },
};

/// A detector with a file reader.
pub(crate) struct FileInspector {
    detector: Detector,
    options: DecisionOptions,
    read: ReadOptions,
    depth: BitDepthCheck,
}

impl FileInspector {
    /// Opens a package.
    pub(crate) fn open(
        runtime: &Runtime,
        package: &Package,
        session: &SessionOptions,
        options: DecisionOptions,
    ) -> Result<Self> {
        Ok(Self::over(Detector::open(runtime, package, session)?, options))
    }

    /// Opens a package on its backbone, which must already be loaded.
    pub(crate) fn open_on(
        runtime: &Runtime,
        backbone: Arc<Backbone>,
        package: &Package,
        session: &SessionOptions,
        options: DecisionOptions,
    ) -> Result<Self> {
        let detector = Detector::with_backbone(runtime, backbone, package, session)?;
        Ok(Self::over(detector, options))
    }

    fn over(detector: Detector, options: DecisionOptions) -> Self {
        let read = detector.manifest().input.read_options(Limits::default(), None);
        Self { detector, options, read, depth: BitDepthCheck::default() }
    }

    /// The same, which reads images as the command line says.
    pub(crate) fn reading(self, samples: &SampleArgs) -> Self {
        Self { read: samples.read_options(&self.detector.manifest().input, Limits::default()), ..self }
    }

    /// How it reads images.
    pub(crate) fn read_options(&self) -> ReadOptions {
        self.read
    }

    /// The thresholds from the package and the options.
    pub(crate) fn settings(&self) -> Settings {
        settings(self.detector.manifest(), self.options.epsilon)
    }
}

/// ONNX Runtime and the device, as names and values for a report.
pub(crate) fn describe(runtime: &Runtime, session: &SessionOptions) -> Vec<(String, String)> {
    vec![
        ("ONNX Runtime".to_owned(), runtime.version().to_owned()),
        ("device".to_owned(), format!("{}, {}", session.device, session.precision)),
    ]
}

/// ε and the fair threshold of a package.
fn settings(manifest: &Manifest, epsilon: Option<f64>) -> Settings {
    Settings {
        epsilon: epsilon.unwrap_or(manifest.detection.epsilon()),
        fair_threshold: manifest.scores.as_ref().map(|scores| scores.fair_threshold),
    }
}

impl Inspector for FileInspector {
    fn inspect(&mut self, path: &Path) -> Result<Inspection<'_>> {
        let start = std::time::Instant::now();
        let image = Image::open_with(path, &self.read)?;
        self.depth.push(image.peak());
        let decode = start.elapsed().as_secs_f64() * 1e3;
        let detection = self.detector.detect(&image.frame(), &self.options)?;
        inspection(&self.detector, &image, Some(detection), decode)
    }

    fn decision(&self) -> Vec<String> {
        self.detector.manifest().decision_in_words_with(&self.options).unwrap_or_default()
    }

    fn warnings(&self) -> Vec<String> {
        let rule = self.detector.manifest().rule(&self.options).ok();
        let extrapolated = rule.and_then(|rule| rule.warning());
        self.depth.advice(self.read.significant_bits.unwrap_or(16)).into_iter().chain(extrapolated).collect()
    }
}

/// What evaluation sees of a frame that a detector has just looked at.
pub(super) fn inspection<'a>(
    detector: &'a Detector,
    image: &Image,
    detection: Option<Detection>,
    decode: f64,
) -> Result<Inspection<'a>> {
    let (Some(detection), Some(maps)) = (detection, detector.maps()) else {
        return Err(Error::internal("a frame left no maps"));
    };
    let timings = &detection.timings_ms;
    Ok(Inspection {
        size: (image.height() as usize, image.width() as usize),
        score: maps.score,
        log10_nfa: maps.log10_nfa,
        score_max: detection.score_max,
        anomalous: detection.anomalous,
        level: detector.level(),
        p_value: detection.p_value,
        timings: vec![
            ("decode", decode),
            ("preprocess", timings.preprocess),
            ("network", timings.network),
            ("segmentation", timings.segmentation),
        ],
        regions: detection.regions,
    })
}

/// Size of the network's input in the demo: twice that of its pictures, so that outlines are finer.
const DEMO_INPUT: u32 = 512;
/// Epochs in the demo: few, so that the demo takes about a minute.
const DEMO_EPOCHS: usize = 14;

/// Part of the demo's good pictures that is held out, for the null and the threshold: cross-fitting would take four times as long.
const DEMO_HELD_OUT: f64 = 1.0 / 3.0;

/// Fits and opens the demo's models.
pub(crate) struct DemoEngine<'a> {
    context: &'a Context,
    runtime: &'a Runtime,
    seed: u64,
}

impl<'a> DemoEngine<'a> {
    /// With ONNX Runtime loaded, and the default backbone in its place.
    pub(crate) fn new(context: &'a Context, seed: u64) -> Result<Self> {
        BackboneChoice::default().find()?;
        Ok(Self { context, runtime: context.runtime()?, seed })
    }
}

impl demo::Engine for DemoEngine<'_> {
    fn fit(&mut self, product: &str, good: &[PathBuf], package: &Path) -> Result<demo::Fitted> {
        let options = FitOptions {
            input_size: Some((DEMO_INPUT, DEMO_INPUT)),
            training: TrainOptions {
                epochs: DEMO_EPOCHS,
                held_out: DEMO_HELD_OUT,
                seed: self.seed,
                ..TrainOptions::default()
            },
            most_flows: 1,
            // The epochs alone limit the time, so that a seed gives the same demo everywhere.
            time_budget: None,
            ..FitOptions::new(product)
        };
        let progress = Progress::new(self.context.json);
        let fitted = fit_files(self.runtime, good, &Limits::default(), options, &mut |event| {
            if !self.context.json {
                fit::show(&event, &progress, self.context);
            }
            Control::Continue
        });
        progress.finish();
        let fitted = fitted?;
        // <root>/<model>/<version>
        let root = package.parent().and_then(Path::parent).unwrap_or(package);
        fitted.write_to_repository(root, 1)?;
        let summary = &fitted.summary;
        let variances: Vec<_> = summary.best.latent_variance.iter().map(|v| format!("{v:.2}")).collect();
        Ok(demo::Fitted {
            settings: settings(&fitted.manifest, None),
            facts: vec![
                ("good images".to_owned(), format!("{} and {} held out", summary.images, summary.held_out.len())),
                ("epochs".to_owned(), format!("{}, best {}", summary.epochs, summary.best_epoch)),
                ("training".to_owned(), format!("{:.1} s", summary.seconds)),
                ("latent variance".to_owned(), variances.join(", ")),
            ],
        })
    }

    fn open(&mut self, package: &Path) -> Result<Box<dyn Inspector>> {
        let package = Package::open(package)?;
        let inspector =
            FileInspector::open(self.runtime, &package, &SessionOptions::default(), DecisionOptions::default())?;
        Ok(Box::new(inspector))
    }

    #[cfg(feature = "serve")]
    fn serve(&mut self, models: &Path, pictures: &[demo::Looked]) -> Result<Vec<(String, String)>> {
        super::served::stream(self.runtime, models, pictures)
    }

    fn describe(&self) -> Vec<(String, String)> {
        describe(self.runtime, &SessionOptions::default())
    }
}

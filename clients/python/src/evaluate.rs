//! Evaluation of a package on a test set.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use pyo3::prelude::*;
use uflow::{
    Error, Reason,
    evaluate::{
        Dataset, Inspection, Inspector, Layout, MaskDefects, MaskFit, Settings, evaluate as run, write_files,
        write_regions,
    },
    frame::{BitDepthCheck, Image, ReadOptions},
    package::Package,
    pipeline::Detector,
    segment::DecisionOptions,
};

use crate::{
    error::Result,
    observer::Observer,
    options::{Decision, Samples},
    runtime::{self, Session},
};

/// How a test set is read.
#[derive(Debug, FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Reading {
    layout: Option<String>,
    mask_threshold: Option<u8>,
    stretch_masks: bool,
    /// `white` or `black`.
    mask_defects: Option<String>,
}

impl Reading {
    fn dataset(&self, root: &Path) -> uflow::Result<Dataset> {
        let layout = self.layout.as_deref().map(layout).transpose()?;
        let mut dataset = Dataset::open(root, layout)?;
        let options = &mut dataset.mask_options;
        options.threshold = self.mask_threshold.or(options.threshold);
        options.fit = if self.stretch_masks { MaskFit::Stretch } else { MaskFit::Refuse };
        options.defects = match self.mask_defects.as_deref() {
            None => None,
            Some("white") => Some(MaskDefects::White),
            Some("black") => Some(MaskDefects::Black),
            Some(other) => {
                return Err(Error::parameter("mask_defects", format!("`{other}` is not one of white, black")));
            }
        };
        Ok(dataset)
    }
}

/// A layout by the name that the command and result files use.
fn layout(name: &str) -> uflow::Result<Layout> {
    serde_json::from_value(name.into()).map_err(|error| Error::parameter("layout", Reason::of(error)))
}

/// Measures a package on a test set; writes the result's files into `out`. Returns the metrics as JSON, and the warnings.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "the Python code has one place that calls it")]
pub(crate) fn evaluate(
    py: Python<'_>,
    package: PathBuf,
    data: PathBuf,
    out: Option<PathBuf>,
    reading: Reading,
    decision: Decision<'_>,
    samples: Samples,
    session: Session,
    progress: Option<Py<PyAny>>,
) -> Result<(String, Vec<String>)> {
    let options = decision.options()?;
    py.detach(|| {
        let dataset = reading.dataset(&data)?;
        if let Some(out) = &out {
            std::fs::create_dir_all(out).map_err(Error::io("create", out))?;
        }
        let package = Package::open(&package)?;
        let mut inspector = FileInspector::open(&package, &session, options, samples)?;
        let (mut observer, mut regions) = (Observer::new(progress), Vec::new());
        let evaluation = run(&dataset, inspector.settings(), &mut inspector, &mut |seen| {
            regions.push(seen.regions.clone());
            let done = regions.len();
            observer.check(|event| {
                event.set_item("stage", "evaluating")?;
                event.set_item("done", done)?;
                event.set_item("total", dataset.test.len())
            })
        });
        let evaluation = observer.outcome(evaluation)?;
        if let Some(out) = &out {
            let name = &*package.manifest.name;
            write_files(out, &[(name, &evaluation)])?;
            write_regions(out, &[(name, &regions)])?;
        }
        let metrics = serde_json::to_string(&evaluation).map_err(|error| Error::internal(Reason::of(error)))?;
        Ok((metrics, inspector.warnings()))
    })
}

/// A detector with a file reader.
#[derive(Debug)]
struct FileInspector {
    detector: Detector,
    options: DecisionOptions,
    read: ReadOptions,
    depth: BitDepthCheck,
}

impl FileInspector {
    fn open(package: &Package, session: &Session, options: DecisionOptions, samples: Samples) -> uflow::Result<Self> {
        let read = samples.read_options(&package.manifest.input)?;
        package.manifest.rule(&options)?;
        Ok(Self { detector: runtime::open(package, session)?, options, read, depth: BitDepthCheck::default() })
    }

    fn settings(&self) -> Settings {
        let manifest = self.detector.manifest();
        Settings {
            epsilon: self.options.epsilon.unwrap_or(manifest.detection.epsilon()),
            fair_threshold: manifest.scores.as_ref().map(|scores| scores.fair_threshold),
        }
    }
}

impl Inspector for FileInspector {
    fn inspect(&mut self, path: &Path) -> uflow::Result<Inspection<'_>> {
        let start = Instant::now();
        let image = Image::open_with(path, &self.read)?;
        self.depth.push(image.peak());
        let decode = start.elapsed().as_secs_f64() * 1e3;
        let detection = self.detector.detect(&image.frame(), &self.options)?;
        let maps = self.detector.maps().ok_or_else(|| Error::internal("a frame left no maps"))?;
        let times = detection.timings_ms;
        Ok(Inspection {
            size: (image.height() as usize, image.width() as usize),
            score: maps.score,
            log10_nfa: maps.log10_nfa,
            score_max: detection.score_max,
            anomalous: detection.anomalous,
            level: self.detector.level(),
            p_value: detection.p_value,
            regions: detection.regions,
            timings: vec![
                ("decode", decode),
                ("preprocess", times.preprocess),
                ("network", times.network),
                ("segmentation", times.segmentation),
            ],
        })
    }

    fn warnings(&self) -> Vec<String> {
        let extrapolated = self.detector.manifest().rule(&self.options).ok().and_then(|rule| rule.warning());
        self.depth.advice(self.read.significant_bits.unwrap_or(16)).into_iter().chain(extrapolated).collect()
    }
}

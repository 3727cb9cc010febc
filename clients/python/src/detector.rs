//! Detection in single images and in batches.

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use ndarray::Array2;
use numpy::{PyArray1, PyArray2, PyArrayMethods as _};
use pyo3::{
    prelude::*,
    types::{PyDict, PyList},
};
use uflow::{
    Error,
    package::{Manifest, Package},
    pipeline::{self, Detection, Processed},
    preprocess::Preprocess,
    segment::{DecisionRule, Region},
};

use crate::{
    error::Result,
    image::{Given, Lent, Picture},
    options::{Decision, Samples},
    runtime::{self, Session},
};

/// A model, loaded and ready. Threads may share it; their calls take turns.
#[pyclass(frozen, module = "uflow._native")]
#[derive(Debug)]
pub(crate) struct Detector {
    inner: Mutex<pipeline::Detector>,
    input: Preprocess,
    manifest: Manifest,
}

/// What was found in one frame, with memory of its own.
#[derive(Debug)]
struct Found {
    detection: Detection,
    /// (width, height) of the frame.
    size: (u32, u32),
    maps: Option<Maps>,
}

#[derive(Debug)]
struct Maps {
    score: Array2<f32>,
    log10_nfa: Array2<f32>,
    mask: Array2<bool>,
}

#[pymethods]
impl Detector {
    #[new]
    fn new(py: Python<'_>, path: PathBuf, session: Session) -> Result<Self> {
        let (inner, manifest) = py.detach(|| -> uflow::Result<_> {
            session.options()?;
            let package = Package::open(&path)?;
            Ok((runtime::open(&package, &session)?, package.manifest))
        })?;
        Ok(Self { inner: Mutex::new(inner), input: manifest.input, manifest })
    }

    /// Finds defects in images that go through the networks together. Returns a dictionary for each.
    fn detect<'py>(
        &self,
        py: Python<'py>,
        images: Vec<Given<'py>>,
        decision: Decision<'py>,
        samples: Samples,
        maps: bool,
    ) -> Result<Bound<'py, PyList>> {
        let rule = self.manifest.rule(&decision.options()?)?;
        let read = samples.read_options(&self.input)?;
        let lent: Vec<Lent<'_>> = images.iter().map(Given::lend).collect::<Result<_>>()?;
        let found = py.detach(|| -> uflow::Result<Vec<Found>> {
            runtime::check_process()?;
            let mut pictures = Vec::with_capacity(lent.len());
            for image in &lent {
                let start = Instant::now();
                let picture = image.picture(&read)?;
                let decode = if picture.is_decoded() { start.elapsed().as_secs_f64() * 1e3 } else { 0.0 };
                pictures.push((picture, decode));
            }
            self.process(&pictures, &rule, maps)
        })?;
        let found: Vec<_> = found.into_iter().map(|found| found.into_python(py)).collect::<PyResult<_>>()?;
        Ok(PyList::new(py, found)?)
    }
}

impl Detector {
    fn process(&self, pictures: &[(Picture<'_>, f64)], rule: &DecisionRule, maps: bool) -> uflow::Result<Vec<Found>> {
        let frames: Vec<_> = pictures.iter().map(|(picture, _)| picture.frame()).collect();
        let mut found = Vec::with_capacity(frames.len());
        self.lock()?.process(&frames, rule, false, |processed| {
            let (frame, decode) = (&frames[processed.index], pictures[processed.index].1);
            let mut detection = processed.detection();
            detection.timings_ms.decode = decode;
            let maps = if maps { Some(Maps::of(&processed)?) } else { None };
            found.push(Found { detection, size: (frame.width(), frame.height()), maps });
            Ok(())
        })?;
        Ok(found)
    }

    fn lock(&self) -> uflow::Result<MutexGuard<'_, pipeline::Detector>> {
        let reason = "an earlier call met a bug in this program; open the package again";
        self.inner.lock().map_err(|_| Error::internal(reason))
    }
}

impl Maps {
    fn of(processed: &Processed<'_>) -> uflow::Result<Self> {
        let maps = processed.post.maps().ok_or_else(|| Error::internal("a frame left no maps"))?;
        Ok(Self {
            score: maps.score.to_owned(),
            log10_nfa: maps.log10_nfa.to_owned(),
            mask: processed.post.mask().map(|&inside| inside != 0),
        })
    }
}

impl Found {
    fn into_python(self, py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
        let Self { detection, size: (width, height), maps } = self;
        let made = PyDict::new(py);
        made.set_item("width", width)?;
        made.set_item("height", height)?;
        made.set_item("score", detection.score)?;
        made.set_item("score_max", detection.score_max)?;
        made.set_item("anomalous", detection.anomalous)?;
        made.set_item("log10_nfa_min", detection.log10_nfa_min)?;
        made.set_item("p_value", detection.p_value)?;
        made.set_item("p_extrapolated", detection.p_extrapolated)?;
        let regions: Vec<_> = detection.regions.iter().map(|found| region(py, found)).collect::<PyResult<_>>()?;
        made.set_item("regions", regions)?;
        let times = &detection.timings_ms;
        let timings = PyDict::new(py);
        timings.set_item("decode", times.decode)?;
        timings.set_item("preprocess", times.preprocess)?;
        timings.set_item("network", times.network)?;
        timings.set_item("segmentation", times.segmentation)?;
        made.set_item("timings_ms", timings)?;
        if let Some(Maps { score, log10_nfa, mask }) = maps {
            made.set_item("score_map", PyArray2::from_owned_array(py, score))?;
            made.set_item("log10_nfa_map", PyArray2::from_owned_array(py, log10_nfa))?;
            made.set_item("mask", PyArray2::from_owned_array(py, mask))?;
        }
        Ok(made)
    }
}

fn region<'py>(py: Python<'py>, region: &Region) -> PyResult<Bound<'py, PyDict>> {
    let made = PyDict::new(py);
    let [x, y, width, height] = region.bbox;
    made.set_item("box", (x, y, width, height))?;
    made.set_item("area", region.area)?;
    made.set_item("centroid", (region.centroid[0], region.centroid[1]))?;
    made.set_item("log10_nfa_min", region.log10_nfa_min)?;
    made.set_item("p_value", region.p_value)?;
    made.set_item("score_max", region.score_max)?;
    made.set_item("scale", region.scale)?;
    let rings = region.outline.iter().map(|ring| {
        let corners = PyArray1::from_iter(py, ring.iter().flatten().copied());
        corners.reshape([ring.len(), 2])
    });
    made.set_item("outline", rings.collect::<PyResult<Vec<_>>>()?)?;
    Ok(made)
}

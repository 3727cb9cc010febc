//! Training: from files, or from arrays that come one by one.

use std::path::{Path, PathBuf};

use pyo3::{
    prelude::*,
    types::{PyDict, PyIterator},
};
use serde_json::json;
use uflow::{
    Reason,
    frame::Limits,
    package,
    preprocess::Preprocess,
    train::{
        self, Control,
        fit::{Event, Fitted, Fitter, fit_files as fit_image_files},
    },
};

use crate::{
    error::{Raised, Result},
    fit_options::Settings,
    image::Given,
    observer::Observer,
};

/// Fits a model to image files and writes its package. Returns the outcome as JSON.
#[pyfunction]
pub(crate) fn fit_files(
    py: Python<'_>,
    files: Vec<PathBuf>,
    out: PathBuf,
    settings: Settings<'_>,
    progress: Option<Py<PyAny>>,
) -> Result<String> {
    let options = settings.options()?;
    let session = &settings.session;
    py.detach(|| {
        package::check_writable(&out)?;
        let mut observer = Observer::new(progress);
        let fitted = session.runtime().and_then(|runtime| {
            fit_image_files(&runtime, &files, &Limits::default(), options, &mut |event| observe(&mut observer, &event))
        });
        finish(&observer.outcome(fitted)?, &out)
    })
}

/// Fits a model to the images that an iterator gives and writes its package. Returns the outcome as JSON.
#[pyfunction]
pub(crate) fn fit_frames(
    py: Python<'_>,
    frames: &Bound<'_, PyIterator>,
    out: PathBuf,
    settings: Settings<'_>,
    progress: Option<Py<PyAny>>,
) -> Result<String> {
    let options = settings.options()?;
    let (session, most_dropped) = (&settings.session, options.drop_doubtful);
    let mut fitter = py.detach(|| -> uflow::Result<Fitter> {
        package::check_writable(&out)?;
        Fitter::new(&session.runtime()?, options)
    })?;
    let mut observer = Observer::new(progress);
    for (index, frame) in frames.try_iter()?.enumerate() {
        let given: Given<'_> = frame?.extract()?;
        let lent = given.lend().map_err(|raised| of_frame(index, raised))?;
        let control = py.detach(|| -> uflow::Result<Control> {
            let picture = lent.picture(&reading(fitter.input()))?;
            fitter.push(&picture.frame())?;
            Ok(observer.tell(|event| counted(event, "features", index + 1, None)))
        });
        match control {
            Ok(Control::Continue) => {}
            Ok(_) => return observer.outcome(Err(uflow::Error::Cancelled)),
            Err(error) => return Err(of_frame(index, error.into())),
        }
    }
    py.detach(|| {
        fitter.drop_doubtful(most_dropped)?;
        let fitted = fitter.train(&mut |state| observer.tell(|event| trained(event, state)));
        finish(&observer.outcome(fitted)?, &out)
    })
}

fn reading(input: &Preprocess) -> uflow::frame::ReadOptions {
    input.read_options(Limits::default(), None)
}

/// Names the image in an error that is about it.
fn of_frame(index: usize, raised: Raised) -> Raised {
    match raised {
        Raised::Engine(error @ uflow::Error::Frame { .. }) => {
            let place = format!("image {index}");
            Raised::Engine(uflow::Error::data(place, Reason::of(error)))
        }
        other => other,
    }
}

fn observe(observer: &mut Observer, event: &Event<'_>) -> Control {
    observer.tell(|told| match event {
        Event::Checked { done, total } => counted(told, "checking", *done, Some(*total)),
        Event::Features { done, total } => counted(told, "features", *done, Some(*total)),
        Event::Warning(text) => said(told, text),
        Event::Skipped { path, error } => said(told, &format!("skipped {}: {error}", path.display())),
        Event::Training(state) => trained(told, state),
        Event::Trained(_) => told.set_item("stage", "trained"),
    })
}

fn counted(event: &Bound<'_, PyDict>, stage: &str, done: usize, total: Option<usize>) -> PyResult<()> {
    event.set_item("stage", stage)?;
    event.set_item("done", done)?;
    event.set_item("total", total)
}

fn said(event: &Bound<'_, PyDict>, warning: &str) -> PyResult<()> {
    event.set_item("stage", "warning")?;
    event.set_item("message", warning)
}

fn trained(event: &Bound<'_, PyDict>, state: &train::Progress) -> PyResult<()> {
    counted(event, if state.fold == 0 { "training" } else { "cross-fitting" }, state.batch, Some(state.batches))?;
    event.set_item("epoch", state.epoch)?;
    event.set_item("epochs", state.epochs)?;
    event.set_item("loss", state.loss)?;
    event.set_item("flow", state.fold)?;
    event.set_item("flows", state.folds)?;
    event.set_item("seconds", state.elapsed.as_secs_f64())?;
    event.set_item("time_budget", state.time_budget.map(|budget| budget.as_secs_f64()))?;
    event.set_item("held_out_nll", state.held_out.as_ref().map(|held_out| held_out.nll))
}

fn finish(fitted: &Fitted, out: &Path) -> Result<String> {
    fitted.write(out)?;
    let outcome = json!({
        "warnings": fitted.warnings(),
        "decision": fitted.manifest.decision_in_words()?,
        "summary": fitted.summary,
        "gain_over_gaussian": fitted.summary.gain_over_gaussian(),
        "training_seconds": fitted.training_seconds,
        "cross_fit": fitted.cross_fit,
        "findings": fitted.checked.described(),
        "dropped": fitted.dropped,
    });
    Ok(outcome.to_string())
}

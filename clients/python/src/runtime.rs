//! ONNX Runtime, and the backbones that detectors share.

use std::{
    collections::HashMap,
    path::PathBuf,
    process,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use pyo3::prelude::*;
use uflow::{
    Error,
    package::Package,
    pipeline::Detector,
    runtime::{Backbone, LibrarySearch, Runtime, SessionOptions},
};

use crate::error::Result;

/// Where networks run, as Python gives it.
#[derive(Debug, FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Session {
    device: String,
    precision: String,
    threads: Option<usize>,
    /// ONNX Runtime's library or its folder. Without it, UFLOW_ONNXRUNTIME counts, then the places that the engine searches.
    library: Option<PathBuf>,
}

impl Session {
    pub(crate) fn options(&self) -> uflow::Result<SessionOptions> {
        Ok(SessionOptions { device: self.device.parse()?, precision: self.precision.parse()?, threads: self.threads })
    }

    /// Loads ONNX Runtime with the first call.
    pub(crate) fn runtime(&self) -> uflow::Result<Runtime> {
        load(self.library.clone())
    }
}

fn load(library: Option<PathBuf>) -> uflow::Result<Runtime> {
    check_process()?;
    let search = LibrarySearch {
        explicit: library.as_deref(),
        option: "uflow.use_onnxruntime(PATH)",
        ..LibrarySearch::default()
    };
    let runtime = Runtime::find(search)?;
    OWNER.store(process::id(), Ordering::Relaxed);
    Ok(runtime)
}

/// The process that has ONNX Runtime's threads; 0 before it is loaded.
static OWNER: AtomicU32 = AtomicU32::new(0);

/// Refuses work in a forked child: ONNX Runtime's threads are not there, and the call would never return.
pub(crate) fn check_process() -> uflow::Result<()> {
    let owner = OWNER.load(Ordering::Relaxed);
    if owner == 0 || owner == process::id() {
        return Ok(());
    }
    let reason = "this process was forked from one that uses U-Flow, and has none of its threads; start processes with \
                  multiprocessing.get_context(\"spawn\"), or fork before the first detector";
    Err(Error::unavailable(reason))
}

/// Loads ONNX Runtime and returns its version and its path.
#[pyfunction]
pub(crate) fn load_runtime(py: Python<'_>, library: Option<PathBuf>) -> Result<(String, PathBuf)> {
    let runtime = py.detach(|| load(library))?;
    Ok((runtime.version().to_owned(), runtime.path().to_owned()))
}

type Backbones = HashMap<(String, SessionOptions), Weak<Backbone>>;

/// The backbones that are in memory. Locked while one loads, so that no other thread loads the same one.
static BACKBONES: Mutex<Option<Backbones>> = Mutex::new(None);

/// A detector for a package. Detectors with the same backbone and the same session options share it.
pub(crate) fn open(package: &Package, session: &Session) -> uflow::Result<Detector> {
    let (options, runtime) = (session.options()?, session.runtime()?);
    let mut backbones = BACKBONES.lock().unwrap_or_else(PoisonError::into_inner);
    let backbones = backbones.get_or_insert_default();
    let key = (package.backbone.sha256.clone(), options);
    let backbone = match backbones.get(&key).and_then(Weak::upgrade) {
        Some(backbone) => backbone,
        None => {
            let loaded =
                Backbone::load_checked(&runtime, package.backbone.source(), &package.backbone.sha256, &options)?;
            Arc::new(loaded)
        }
    };
    backbones.retain(|_, backbone| backbone.strong_count() > 0);
    backbones.insert(key, Arc::downgrade(&backbone));
    Detector::with_backbone(&runtime, backbone, package, &options)
}

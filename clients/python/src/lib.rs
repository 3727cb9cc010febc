//! The native part of the Python package `uflow`: the engine in the process, without the server and the C library.
//!
//! The Python code in `python/uflow` is the interface. It checks arguments, turns arrays into [`image::Given`] and results into
//! classes. This crate releases the interpreter's lock (`Python::detach`) for everything that takes time, and has no `unsafe` code.
//!
//! | module | Python |
//! |---|---|
//! | `detector` | `uflow.Detector` |
//! | `fit` | `uflow.fit` |
//! | `evaluate` | `uflow.evaluate` |
//! | `package` | `uflow.Package` |
//! | `backbone` | `uflow.fetch_backbone` |
//! | `error` | the exceptions |

mod backbone;
mod detector;
mod error;
mod evaluate;
mod fit;
mod fit_options;
mod image;
mod observer;
mod options;
mod package;
mod runtime;

#[pyo3::pymodule(name = "_native")]
mod native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::{
        backbone::{backbone_folder, convert_backbone, find_backbone, known_backbones},
        detector::Detector,
        error::example_errors,
        evaluate::evaluate,
        fit::{fit_files, fit_frames},
        options::Roi,
        package::describe,
        runtime::load_runtime,
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("VERSION", uflow::VERSION)?;
        module.add("ONNXRUNTIME_VERSION", uflow::runtime::PINNED_VERSION)?;
        module.add("DEFAULT_BACKBONE", uflow::backbone::DEFAULT)?;
        module.add("IMAGE_SUFFIXES", uflow::evaluate::IMAGE_SUFFIXES)
    }
}

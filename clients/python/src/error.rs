//! Errors of the engine as Python exceptions: one table, [`class`].

use pyo3::{prelude::*, types::PyList};
use uflow::{Error, Reason};

/// Why a call failed: an error of the engine, or an exception of the caller's code.
#[derive(Debug)]
pub(crate) enum Raised {
    Engine(Error),
    Python(PyErr),
}

pub(crate) type Result<T, E = Raised> = std::result::Result<T, E>;

impl From<Error> for Raised {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl From<PyErr> for Raised {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl From<Raised> for PyErr {
    fn from(raised: Raised) -> Self {
        match raised {
            Raised::Python(error) => error,
            Raised::Engine(error) => {
                Python::attach(|py| exception(py, &error).map_or_else(|failed| failed, Self::from_value))
            }
        }
    }
}

/// The exception of an error, by its name in `uflow._errors`.
fn class(error: &Error) -> &'static str {
    match error {
        Error::Frame { .. } => "FrameError",
        Error::Decode { .. } => "DecodeError",
        Error::Limit { .. } => "LimitError",
        Error::Parameter { .. } => "ParameterError",
        Error::Library { .. } => "LibraryError",
        Error::Device { .. } => "DeviceError",
        Error::Network { .. } => "NetworkError",
        Error::NonFinite { .. } => "NonFiniteError",
        Error::Package { .. } => "PackageError",
        Error::Data { .. } => "DataError",
        Error::Training { .. } => "TrainingError",
        Error::Cancelled => "CancelledError",
        Error::NotFound(_) => "NotFoundError",
        Error::Overloaded(_) => "OverloadedError",
        Error::TimedOut { .. } => "TimedOutError",
        Error::Unavailable { .. } => "UnavailableError",
        Error::Io { .. } => "FileError",
        // Internal, and a variant that is not in this table.
        _ => "InternalError",
    }
}

fn exception<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let made = py.import("uflow._errors")?.getattr(class(error))?.call1((error.to_string(),))?;
    if let Error::Io { cause, path, .. } = error {
        made.setattr("errno", cause.raw_os_error())?;
        made.setattr("filename", path.as_os_str())?;
    }
    Ok(made)
}

/// One exception for each variant of the engine's errors, with the variant's name. The tests compare them with the classes.
#[pyfunction]
pub(crate) fn example_errors(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let text = || "x".to_owned();
    let io = || std::io::Error::from_raw_os_error(2);
    let reason = || Reason::because("x", io());
    let errors = [
        ("Frame", Error::frame(reason())),
        ("Decode", Error::decode(text(), reason())),
        ("Limit", Error::Limit { what: text(), found: 2, limit: 1, unit: "bytes" }),
        ("Parameter", Error::parameter("x", reason())),
        ("Library", Error::library(reason())),
        ("Device", Error::device(text(), reason())),
        ("Network", Error::network(text(), reason())),
        ("NonFinite", Error::NonFinite { what: text(), found: 1, total: 2 }),
        ("Package", Error::package("x", reason())),
        ("Data", Error::data("x", reason())),
        ("Training", Error::training(reason())),
        ("Cancelled", Error::Cancelled),
        ("NotFound", Error::NotFound(text())),
        ("Overloaded", Error::Overloaded(text())),
        ("TimedOut", Error::TimedOut { stage: "x" }),
        ("Unavailable", Error::unavailable(reason())),
        ("Internal", Error::internal(reason())),
        ("Io", Error::Io { action: "read", path: "x".into(), cause: io() }),
    ];
    let examples = errors.map(|(variant, error)| Ok((variant, error.to_string(), exception(py, &error)?)));
    PyList::new(py, examples.into_iter().collect::<PyResult<Vec<_>>>()?)
}

//! Progress to a Python callback, and what the callback or a signal answers.

use pyo3::{prelude::*, types::PyDict};
use uflow::{Error, train::Control};

use crate::error::{Raised, Result};

/// Reports progress. After an exception of the callback, or a signal such as Ctrl-C, the work ends and the exception is kept.
#[derive(Debug)]
pub(crate) struct Observer {
    callback: Option<Py<PyAny>>,
    raised: Option<PyErr>,
    stopped: bool,
}

impl Observer {
    pub(crate) fn new(callback: Option<Py<PyAny>>) -> Self {
        Self { callback, raised: None, stopped: false }
    }

    /// Tells the callback; `fill` writes what happened. The callback's answer `True` asks for the end with what is there.
    pub(crate) fn tell(&mut self, fill: impl FnOnce(&Bound<'_, PyDict>) -> PyResult<()>) -> Control {
        if self.raised.is_some() {
            return Control::Cancel;
        }
        let answer = Python::attach(|py| {
            py.check_signals()?;
            let Some(callback) = &self.callback else { return Ok(false) };
            let event = PyDict::new(py);
            fill(&event)?;
            callback.bind(py).call1((event,))?.is_truthy()
        });
        match answer {
            Ok(stop) => self.stopped |= stop,
            Err(raised) => {
                self.raised = Some(raised);
                return Control::Cancel;
            }
        }
        if self.stopped { Control::Stop } else { Control::Continue }
    }

    /// The exception that ended the work, in place of the engine's word that it was cancelled.
    pub(crate) fn outcome<T>(self, result: uflow::Result<T>) -> Result<T> {
        match (self.raised, result) {
            (Some(raised), _) => Err(Raised::Python(raised)),
            (None, result) => Ok(result?),
        }
    }

    /// As [`tell`](Self::tell), for work that cannot end early with a result.
    pub(crate) fn check(&mut self, fill: impl FnOnce(&Bound<'_, PyDict>) -> PyResult<()>) -> uflow::Result<()> {
        if self.tell(fill) == Control::Continue { Ok(()) } else { Err(Error::Cancelled) }
    }
}

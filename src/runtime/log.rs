//! ONNX Runtime's log: forwarded to `tracing`, kept to explain errors, and read for information that no other call gives.
//!
//! ONNX Runtime reports two things only in its log. First, the reason why a provider's library could not be
//! loaded: the status says "Failed to load shared library", the log says which dependency is missing. Therefore
//! errors are kept per thread while a session is created ([`with_errors`]). Second, the provider of each node: a verbose
//! session logs a table ([`Placement`]). The newer C call for this returns raw pointers, which this
//! crate does not use.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use ort::logging::LogLevel;

use crate::sync::lock;

thread_local! {
    static ERRORS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Most errors that are kept for one session.
const MAX_ERRORS: usize = 4;

/// Forwards a message. ONNX Runtime also returns its errors as errors, so they are warnings here.
pub(super) fn forward(level: LogLevel, _category: &str, _id: &str, location: &str, message: &str) {
    match level {
        LogLevel::Error | LogLevel::Fatal => {
            tracing::warn!(target: "onnxruntime", location, "{message}");
            ERRORS.with_borrow_mut(|errors| {
                if errors.len() < MAX_ERRORS {
                    errors.push(message.trim().to_owned());
                }
            });
        }
        LogLevel::Warning => tracing::debug!(target: "onnxruntime", location, "{message}"),
        LogLevel::Info | LogLevel::Verbose => tracing::trace!(target: "onnxruntime", location, "{message}"),
    }
}

/// Runs `make` and returns the errors that ONNX Runtime logged on this thread meanwhile.
pub(super) fn with_errors<T>(make: impl FnOnce() -> T) -> (T, Vec<String>) {
    ERRORS.with_borrow_mut(Vec::clear);
    let made = make();
    (made, ERRORS.take())
}

/// The providers of a session's nodes, collected from its log while the session is created.
#[derive(Debug, Default)]
pub(super) struct Placement {
    nodes: Mutex<BTreeMap<String, usize>>,
    made: AtomicBool,
}

impl Placement {
    /// Takes a message of the session: parses it, then forwards it.
    pub(super) fn take(&self, level: LogLevel, category: &str, id: &str, location: &str, message: &str) {
        if self.made.load(Ordering::Relaxed) {
            if matches!(level, LogLevel::Info | LogLevel::Verbose) {
                return;
            }
        } else if let Some((provider, count)) = placed(message) {
            *lock(&self.nodes).entry(provider.to_owned()).or_default() += count;
        }
        forward(level, category, id, location, message);
    }

    /// Ends the collection. Returns the number of nodes of each provider; `None` if the log did not contain it.
    pub(super) fn finish(&self) -> Option<BTreeMap<String, usize>> {
        self.made.store(true, Ordering::Relaxed);
        let nodes = std::mem::take(&mut *lock(&self.nodes));
        (!nodes.is_empty()).then_some(nodes)
    }
}

/// The provider and the count in ` All nodes placed on [X]. Number of nodes: N` or ` Node(s) placed on [X]. …`.
fn placed(message: &str) -> Option<(&str, usize)> {
    let (_, rest) = message.split_once("placed on [")?;
    let (provider, rest) = rest.split_once("]. Number of nodes: ")?;
    Some((provider, rest.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_placement_table() {
        let placement = Placement::default();
        let say = |message| placement.take(LogLevel::Verbose, "onnxruntime", "id", "here", message);
        say("Node placements");
        say(" Node(s) placed on [OpenVINOExecutionProvider]. Number of nodes: 12");
        say(" Node(s) placed on [CPUExecutionProvider]. Number of nodes: 3");
        say("  Conv (Conv:y)");
        let nodes = placement.finish().unwrap();
        assert_eq!(nodes["OpenVINOExecutionProvider"], 12);
        assert_eq!(nodes["CPUExecutionProvider"], 3);
        say(" All nodes placed on [CPUExecutionProvider]. Number of nodes: 3");
        assert_eq!(placement.finish(), None);
    }

    #[test]
    fn errors_are_kept_per_thread_and_call() {
        let error = |text: &str| forward(LogLevel::Error, "", "", "", text);
        error("before");
        let (value, errors) = with_errors(|| {
            std::thread::scope(|scope| scope.spawn(|| error("elsewhere")).join().unwrap());
            forward(LogLevel::Warning, "", "", "", "a warning");
            error("libx.so: cannot open ");
            7
        });
        assert_eq!((value, errors), (7, vec!["libx.so: cannot open".to_owned()]));
    }
}

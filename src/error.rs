//! The error type of the crate. A message says what was wrong, where, and what to do.

use std::{io, path::PathBuf};

/// Result of every fallible function of the crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// All errors of the crate.
///
/// A message is complete: it contains the text of its cause, which [`source`](std::error::Error::source) returns as well.
///
/// Each variant is a class that callers treat differently; an interface maps each class to its own status code. The text
/// has the details.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The dimensions, stride, format and buffer of a frame do not match.
    #[error("invalid frame: {0}")]
    Frame(String),

    /// Encoded bytes that are not a supported image.
    #[error("{name}: cannot be decoded: {reason}")]
    Decode {
        /// File name, or the caller's name for the bytes.
        name: String,
        /// The decoder's reason.
        reason: String,
    },

    /// An image, file or request larger than the configured limit.
    #[error("{what} is over the limit: {found} > {limit} {unit}")]
    Limit {
        /// What was measured.
        what: String,
        /// Its size.
        found: u64,
        /// The largest size allowed.
        limit: u64,
        /// Unit of both.
        unit: &'static str,
    },

    /// An invalid option or argument.
    #[error("{name}: {reason}")]
    Parameter {
        /// The option's name in the interface.
        name: &'static str,
        /// What is wrong and what is allowed.
        reason: String,
    },

    /// ONNX Runtime's library was not found, is too old, or is not a library.
    #[error("{0}")]
    Library(String),

    /// The requested device is missing or cannot be used.
    #[error("device `{device}`: {reason}")]
    Device {
        /// The device as the caller wrote it.
        device: String,
        /// The provider's reason, and where it was searched.
        reason: String,
    },

    /// A network (backbone or flow) that is corrupt or does not match its manifest.
    #[error("network {name}: {reason}")]
    Network {
        /// File or role of the network.
        name: String,
        /// What is wrong.
        reason: String,
    },

    /// NaN or infinity instead of finite numbers.
    #[error("{what}: {found} of {total} values are not finite")]
    NonFinite {
        /// The values, e.g. `latents of scale 1`.
        what: String,
        /// Number of values that are NaN or infinite.
        found: usize,
        /// Number of values checked.
        total: usize,
    },

    /// A model package that cannot be read, is inconsistent, or has changed files.
    #[error("package {path}: {reason}")]
    Package {
        /// The package's path.
        path: PathBuf,
        /// What is wrong and where in the package.
        reason: String,
    },

    /// A data set that cannot be used.
    #[error("{path}: {reason}")]
    Data {
        /// Folder or file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },

    /// Training that cannot continue.
    #[error("training: {0}")]
    Training(String),

    /// The caller cancelled the work, or no longer waits for the result.
    #[error("cancelled")]
    Cancelled,

    /// There is no model of that name or version.
    #[error("{0}")]
    NotFound(String),

    /// Too many frames are being processed. The same request may succeed later.
    #[error("{0}")]
    Overloaded(String),

    /// The time limit of a request has passed.
    #[error("the time limit passed {stage}")]
    TimedOut {
        /// The frame's stage when its time ended, e.g. `before the network`.
        stage: &'static str,
    },

    /// The resource is not ready yet, or no longer. The same request may succeed later.
    #[error("{0}")]
    Unavailable(String),

    /// A bug in this program, such as a panic of a worker. The frame is lost; the program continues.
    #[error("internal error: {0}")]
    Internal(String),

    /// A failed file operation.
    #[error("cannot {action} {path}: {cause}")]
    Io {
        /// The operation, e.g. `read`.
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The system's reason.
        #[source]
        cause: io::Error,
    },
}

impl Error {
    /// An [`Error::Io`], for `map_err`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::Io { action, path, cause }
    }

    /// An [`Error::Parameter`].
    pub fn parameter(name: &'static str, reason: impl Into<String>) -> Self {
        Self::Parameter { name, reason: reason.into() }
    }

    /// An [`Error::Package`].
    pub fn package(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::Package { path: path.into(), reason: reason.into() }
    }

    /// An [`Error::Network`].
    pub fn network(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Network { name: name.into(), reason: reason.into() }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn a_failed_file_operation_keeps_its_cause_and_says_it_once() {
        let cause = io::Error::new(io::ErrorKind::StorageFull, "the disk is full");
        let error = Error::io("write", "model.uflow")(cause);
        assert_eq!(error.to_string(), "cannot write model.uflow: the disk is full");
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>()).unwrap();
        assert_eq!(source.kind(), io::ErrorKind::StorageFull);
    }
}

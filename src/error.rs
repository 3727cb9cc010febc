//! The one error type of the crate. A message says what was wrong, where, and what to do about it.

use std::{io, path::PathBuf};

/// Result of every fallible function of the crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong.
///
/// The variants are the classes that callers treat differently (an interface maps each to its own status code); the text
/// carries the particulars.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A frame's dimensions, stride, format and buffer do not fit together.
    #[error("invalid frame: {0}")]
    Frame(String),

    /// Encoded bytes that are not an image this build can read.
    #[error("{name}: cannot be decoded: {reason}")]
    Decode {
        /// File name, or what the caller called the bytes.
        name: String,
        /// What the decoder found.
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

    /// An option or argument outside its range.
    #[error("{name}: {reason}")]
    Parameter {
        /// The option's name as users write it.
        name: &'static str,
        /// What is wrong and what is allowed.
        reason: String,
    },

    /// ONNX Runtime's library was not found, is too old, or is not a library.
    #[error("{0}")]
    Library(String),

    /// A device that was asked for is missing or refuses.
    #[error("device `{device}`: {reason}")]
    Device {
        /// The device as the caller named it.
        device: String,
        /// The provider's own reason, and what was looked for.
        reason: String,
    },

    /// A network (backbone or flow) that is corrupt or does not do what its manifest says.
    #[error("network {name}: {reason}")]
    Network {
        /// File or role of the network.
        name: String,
        /// What is wrong.
        reason: String,
    },

    /// NaN or infinity where a number is needed.
    #[error("{what}: {found} of {total} values are not finite")]
    NonFinite {
        /// Which values, e.g. `latents of scale 1`.
        what: String,
        /// How many are NaN or infinite.
        found: usize,
        /// How many were looked at.
        total: usize,
    },

    /// A model package that cannot be read, is inconsistent or was changed.
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

    /// Training that cannot go on.
    #[error("training: {0}")]
    Training(String),

    /// The caller asked to stop, or nobody waits for the answer any more.
    #[error("cancelled")]
    Cancelled,

    /// There is no model of that name or version.
    #[error("{0}")]
    NotFound(String),

    /// More frames are being worked on than allowed; the same request may go through later.
    #[error("{0}")]
    Overloaded(String),

    /// The time that an answer is of use is over.
    #[error("not done within its time limit: given up {stage}")]
    TimedOut {
        /// Where the frame was when its time was over, e.g. `before the network`.
        stage: &'static str,
    },

    /// What was asked for is not ready yet or no more; the same request may go through later.
    #[error("{0}")]
    Unavailable(String),

    /// A bug in this program: a worker that panicked. The frame is lost, the program goes on.
    #[error("internal error: {0}")]
    Internal(String),

    /// A file operation that failed.
    #[error("cannot {action} {path}: {cause}")]
    Io {
        /// What was tried, e.g. `read`.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's reason.
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

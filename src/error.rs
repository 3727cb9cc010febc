//! The error type of the crate. A message says what was wrong, where, and what to do.

use std::{borrow::Cow, io, path::PathBuf};

/// Result of every fallible function of the crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// All errors of the crate.
///
/// A message is complete: it contains the text of its cause, which [`source`](std::error::Error::source) returns as well. A
/// program that prints a chain of errors stops at an error of this type.
///
/// Each variant is a class that callers treat differently; an interface maps each class to its own status code. The text
/// has the details.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The dimensions, stride, format and buffer of a frame do not match.
    #[error("invalid frame: {reason}")]
    Frame {
        /// What is wrong with it.
        reason: String,
        /// The error that caused this one, if there is one.
        #[source]
        source: Option<Source>,
    },

    /// Encoded bytes that are not a supported image.
    #[error("{name}: cannot be decoded: {reason}")]
    Decode {
        /// File name, or the caller's name for the bytes.
        name: String,
        /// The decoder's reason.
        reason: String,
        /// The error that caused this one, if there is one.
        #[source]
        source: Option<Source>,
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
        /// The error that caused this one, if there is one.
        #[source]
        source: Option<Source>,
    },

    /// ONNX Runtime's library was not found, is too old, or is not a library.
    #[error("{reason}")]
    Library {
        /// What is wrong, and where the library was searched.
        reason: String,
        /// The error that caused this one, if there is one.
        #[source]
        source: Option<Source>,
    },

    /// The requested device is missing or cannot be used.
    #[error("device `{device}`: {reason}")]
    Device {
        /// The device as the caller wrote it.
        device: String,
        /// The provider's reason, and where it was searched.
        reason: String,
        /// The error that caused this one, if there is one.
        #[source]
        source: Option<Source>,
    },

    /// A network (backbone or flow) that is corrupt or does not match its manifest.
    #[error("network {name}: {reason}")]
    Network {
        /// File or role of the network.
        name: String,
        /// What is wrong.
        reason: String,
        /// The error that caused this one, if there is one.
        #[source]
        source: Option<Source>,
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
        /// The error that caused this one, if there is one.
        #[source]
        source: Option<Source>,
    },

    /// A data set that cannot be used.
    #[error("{path}: {reason}")]
    Data {
        /// Folder or file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
        /// The error that caused this one, if there is one.
        #[source]
        source: Option<Source>,
    },

    /// Training that cannot continue.
    #[error("training: {reason}")]
    Training {
        /// What is wrong.
        reason: String,
        /// The error that caused this one, if there is one.
        #[source]
        source: Option<Source>,
    },

    /// The caller cancelled the work, or no longer waits for the result.
    #[error("cancelled")]
    Cancelled,

    /// There is no model of that name or version, or no backbone of that name.
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
    #[error("{reason}")]
    Unavailable {
        /// What is not ready, and why.
        reason: String,
        /// The error that caused this one, if there is one.
        #[source]
        source: Option<Source>,
    },

    /// A bug in this program, such as a panic of a worker. The frame is lost; the program continues.
    #[error("internal error: {reason}")]
    Internal {
        /// What went wrong.
        reason: String,
        /// The error that caused this one, if there is one.
        #[source]
        source: Option<Source>,
    },

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

/// A cause of any type.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why something failed: a text, and the error that caused the failure if there is one.
#[derive(Debug)]
pub struct Reason {
    text: String,
    source: Option<Source>,
}

impl Reason {
    /// The text of an error, which is kept.
    pub fn of(source: impl Into<Source>) -> Self {
        let source = source.into();
        Self { text: source.to_string().trim().to_owned(), source: Some(source) }
    }

    /// `text: error`, with the error kept.
    pub fn because(text: impl std::fmt::Display, source: impl Into<Source>) -> Self {
        Self::of(source).within(text)
    }

    /// A text that says in its own words what `source` says.
    pub fn saying(text: impl Into<String>, source: impl Into<Source>) -> Self {
        Self { text: text.into(), source: Some(source.into()) }
    }

    /// This reason with the place in front: `place: reason`.
    pub fn within(self, place: impl std::fmt::Display) -> Self {
        self.after(format_args!("{place}: "))
    }

    /// This reason with `words` in front of its text.
    pub(crate) fn after(self, words: impl std::fmt::Display) -> Self {
        Self { text: format!("{words}{}", self.text), source: self.source }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self { text, source: None }
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<&String> for Reason {
    fn from(text: &String) -> Self {
        text.clone().into()
    }
}

impl From<Cow<'_, str>> for Reason {
    fn from(text: Cow<'_, str>) -> Self {
        text.into_owned().into()
    }
}

impl Error {
    /// An [`Error::Io`], for `map_err`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::Io { action, path, cause }
    }

    /// An [`Error::Frame`].
    pub fn frame(reason: impl Into<Reason>) -> Self {
        let Reason { text: reason, source } = reason.into();
        Self::Frame { reason, source }
    }

    /// An [`Error::Decode`].
    pub fn decode(name: impl Into<String>, reason: impl Into<Reason>) -> Self {
        let Reason { text: reason, source } = reason.into();
        Self::Decode { name: name.into(), reason, source }
    }

    /// An [`Error::Parameter`].
    pub fn parameter(name: &'static str, reason: impl Into<Reason>) -> Self {
        let Reason { text: reason, source } = reason.into();
        Self::Parameter { name, reason, source }
    }

    /// An [`Error::Library`].
    pub fn library(reason: impl Into<Reason>) -> Self {
        let Reason { text: reason, source } = reason.into();
        Self::Library { reason, source }
    }

    /// An [`Error::Device`].
    pub fn device(device: impl Into<String>, reason: impl Into<Reason>) -> Self {
        let Reason { text: reason, source } = reason.into();
        Self::Device { device: device.into(), reason, source }
    }

    /// An [`Error::Network`].
    pub fn network(name: impl Into<String>, reason: impl Into<Reason>) -> Self {
        let Reason { text: reason, source } = reason.into();
        Self::Network { name: name.into(), reason, source }
    }

    /// An [`Error::Package`].
    pub fn package(path: impl Into<PathBuf>, reason: impl Into<Reason>) -> Self {
        let Reason { text: reason, source } = reason.into();
        Self::Package { path: path.into(), reason, source }
    }

    /// An [`Error::Data`].
    pub fn data(path: impl Into<PathBuf>, reason: impl Into<Reason>) -> Self {
        let Reason { text: reason, source } = reason.into();
        Self::Data { path: path.into(), reason, source }
    }

    /// An [`Error::Training`].
    pub fn training(reason: impl Into<Reason>) -> Self {
        let Reason { text: reason, source } = reason.into();
        Self::Training { reason, source }
    }

    /// An [`Error::Unavailable`].
    pub fn unavailable(reason: impl Into<Reason>) -> Self {
        let Reason { text: reason, source } = reason.into();
        Self::Unavailable { reason, source }
    }

    /// An [`Error::Internal`].
    pub fn internal(reason: impl Into<Reason>) -> Self {
        let Reason { text: reason, source } = reason.into();
        Self::Internal { reason, source }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    fn source<E: std::error::Error + 'static>(error: &Error) -> &E {
        let source = error.source().unwrap_or_else(|| panic!("no source: {error}"));
        source.downcast_ref().unwrap_or_else(|| panic!("another source: {source:?}"))
    }

    /// Whether errors of the variant can have a cause. A new variant has to be added here, and to the test below.
    fn can_have_a_cause(error: &Error) -> bool {
        match error {
            Error::Frame { .. }
            | Error::Decode { .. }
            | Error::Parameter { .. }
            | Error::Library { .. }
            | Error::Device { .. }
            | Error::Network { .. }
            | Error::Package { .. }
            | Error::Data { .. }
            | Error::Training { .. }
            | Error::Unavailable { .. }
            | Error::Internal { .. }
            | Error::Io { .. } => true,
            Error::Limit { .. }
            | Error::NonFinite { .. }
            | Error::Cancelled
            | Error::NotFound(_)
            | Error::Overloaded(_)
            | Error::TimedOut { .. } => false,
        }
    }

    #[test]
    fn every_error_keeps_its_cause_and_says_it_once() {
        let io = || io::Error::new(io::ErrorKind::StorageFull, "the disk is full");
        let reason = || Reason::because("cannot go on", io());
        let text = || "x".to_owned();
        let errors = [
            Error::frame(reason()),
            Error::decode("x", reason()),
            Error::Limit { what: text(), found: 2, limit: 1, unit: "bytes" },
            Error::parameter("x", reason()),
            Error::library(reason()),
            Error::device("x", reason()),
            Error::network("x", reason()),
            Error::NonFinite { what: text(), found: 1, total: 2 },
            Error::package("x", reason()),
            Error::data("x", reason()),
            Error::training(reason()),
            Error::Cancelled,
            Error::NotFound(text()),
            Error::Overloaded(text()),
            Error::TimedOut { stage: "x" },
            Error::unavailable(reason()),
            Error::internal(reason()),
            Error::io("write", "model.uflow")(io()),
        ];
        for error in errors {
            let said = error.to_string();
            if can_have_a_cause(&error) {
                assert_eq!(source::<io::Error>(&error).kind(), io::ErrorKind::StorageFull, "{said}");
                assert_eq!(said.matches("the disk is full").count(), 1, "{said}");
            } else {
                assert!(error.source().is_none(), "{said}");
            }
        }
        assert!(Error::frame("of our own words").source().is_none());
    }

    #[test]
    fn a_reason_is_put_into_words_without_losing_its_cause() {
        let cause = || io::Error::other(" damaged\n");
        assert_eq!(Reason::of(cause()).to_string(), "damaged");
        assert_eq!(Reason::because("line 3", cause()).within("tokens").to_string(), "tokens: line 3: damaged");
        let said = Reason::saying("it is cut off", cause()).within("a.png");
        assert_eq!(said.to_string(), "a.png: it is cut off");
        assert_eq!(source::<io::Error>(&Error::frame(said)).to_string(), " damaged\n");
    }
}

//! Status objects: how every function says what went wrong.

use std::ffi::{CStr, CString, c_char};

use uflow::Error;

use crate::{guard::infallible, pointer};

/// What kind of thing went wrong. 0 is success. Later versions add codes at the end and never renumber them.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum uflow_status_code {
    /// Success: the code of NULL. No status object has it.
    UFLOW_STATUS_OK = 0,
    /// A NULL or misaligned pointer, a wrong struct_size, a text that is not UTF-8, or a value outside its range.
    UFLOW_STATUS_INVALID_ARGUMENT = 1,
    /// An image whose size, stride, format and buffer do not fit together.
    UFLOW_STATUS_INVALID_IMAGE = 2,
    /// Encoded bytes that are not an image that this library can read.
    UFLOW_STATUS_UNDECODABLE = 3,
    /// An image or file larger than the configured limit.
    UFLOW_STATUS_OVER_LIMIT = 4,
    /// ONNX Runtime's library was not found, is too old, or cannot be loaded.
    UFLOW_STATUS_LIBRARY = 5,
    /// The requested device is missing or does not start.
    UFLOW_STATUS_DEVICE = 6,
    /// A network cannot be loaded or run, or does not match its package.
    UFLOW_STATUS_NETWORK = 7,
    /// A network gave values that are not finite.
    UFLOW_STATUS_NON_FINITE = 8,
    /// A model package is damaged, incomplete or of another format.
    UFLOW_STATUS_PACKAGE = 9,
    /// A data file does not have the expected content.
    UFLOW_STATUS_DATA = 10,
    /// Training cannot start or continue.
    UFLOW_STATUS_TRAINING = 11,
    /// The caller cancelled the work.
    UFLOW_STATUS_CANCELLED = 12,
    /// There is no such model, version, backbone, region, ring or map; or a closed stream is empty.
    UFLOW_STATUS_NOT_FOUND = 13,
    /// Too much work is in progress; try again when some is done.
    UFLOW_STATUS_OVERLOADED = 14,
    /// The work was not done within its time limit.
    UFLOW_STATUS_TIMED_OUT = 15,
    /// Closed or shut down.
    UFLOW_STATUS_UNAVAILABLE = 16,
    /// A file operation failed.
    UFLOW_STATUS_IO = 17,
    /// A bug in the library. If the handle is for one thread at a time, its later calls give `UFLOW_STATUS_POISONED`.
    UFLOW_STATUS_INTERNAL = 18,
    /// A buffer of the caller's is too small; the message says how large it must be.
    UFLOW_STATUS_BUFFER_TOO_SMALL = 19,
    /// A handle for one thread at a time is in use by another thread; or the caller would wait for itself.
    UFLOW_STATUS_BUSY = 20,
    /// An earlier call on the handle met a bug. Free the handle.
    UFLOW_STATUS_POISONED = 21,
    /// This process was forked from one that had an engine. Call `exec`, or fork before the first engine is made.
    UFLOW_STATUS_FORKED = 22,
}

use uflow_status_code::*;

/// A failure: its code, and a message that says what was wrong, where, and what to do. NULL is success, so
/// `if (status) { ... }` handles a failure.
///
/// The caller owns a status and frees it with `uflow_status_free`. It never changes: any thread may read it.
#[derive(Debug)]
pub struct uflow_status {
    code: uflow_status_code,
    message: CString,
}

impl uflow_status {
    pub(crate) fn new(code: uflow_status_code, message: impl Into<String>) -> Self {
        let mut message = message.into().into_bytes();
        message.retain(|&byte| byte != 0);
        Self { code, message: CString::new(message).unwrap_or_default() }
    }

    /// Puts the subject before the message.
    pub(crate) fn prefixed(self, what: &str) -> Self {
        Self::new(self.code, format!("{what}: {}", self.message.to_string_lossy()))
    }

    #[cfg(test)]
    pub(crate) fn code(&self) -> uflow_status_code {
        self.code
    }

    pub(crate) fn argument(name: &str, reason: impl std::fmt::Display) -> Self {
        Self::new(UFLOW_STATUS_INVALID_ARGUMENT, format!("{name}: {reason}"))
    }
}

impl From<Error> for uflow_status {
    fn from(error: Error) -> Self {
        Self::new(code(&error), error.to_string())
    }
}

/// The code of an error.
fn code(error: &Error) -> uflow_status_code {
    match error {
        Error::Frame { .. } => UFLOW_STATUS_INVALID_IMAGE,
        Error::Decode { .. } => UFLOW_STATUS_UNDECODABLE,
        Error::Limit { .. } => UFLOW_STATUS_OVER_LIMIT,
        Error::Parameter { .. } => UFLOW_STATUS_INVALID_ARGUMENT,
        Error::Library { .. } => UFLOW_STATUS_LIBRARY,
        Error::Device { .. } => UFLOW_STATUS_DEVICE,
        Error::Network { .. } => UFLOW_STATUS_NETWORK,
        Error::NonFinite { .. } => UFLOW_STATUS_NON_FINITE,
        Error::Package { .. } => UFLOW_STATUS_PACKAGE,
        Error::Data { .. } => UFLOW_STATUS_DATA,
        Error::Training { .. } => UFLOW_STATUS_TRAINING,
        Error::Cancelled => UFLOW_STATUS_CANCELLED,
        Error::NotFound(_) => UFLOW_STATUS_NOT_FOUND,
        Error::Overloaded(_) => UFLOW_STATUS_OVERLOADED,
        Error::TimedOut { .. } => UFLOW_STATUS_TIMED_OUT,
        Error::Unavailable { .. } => UFLOW_STATUS_UNAVAILABLE,
        Error::Io { .. } => UFLOW_STATUS_IO,
        // A variant that is not in this table.
        _ => UFLOW_STATUS_INTERNAL,
    }
}

/// The code of a status: 0 (`UFLOW_STATUS_OK`) for NULL.
///
/// # Safety
/// `status` is NULL or a status that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_status_get_code(status: *const uflow_status) -> uflow_status_code {
    // SAFETY: NULL or a status, by this function's contract.
    let code = || unsafe { pointer::optional(status) }.map_or(UFLOW_STATUS_OK, |status| status.code);
    infallible(UFLOW_STATUS_INTERNAL, code)
}

/// The message of a status: UTF-8, ends with 0, valid until the status is freed; "success" for NULL.
///
/// # Safety
/// `status` is NULL or a status that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_status_get_message(status: *const uflow_status) -> *const c_char {
    // SAFETY: NULL or a status, by this function's contract.
    let message = || unsafe { pointer::optional(status) }.map_or(c"success".as_ptr(), |status| status.message.as_ptr());
    infallible(c"".as_ptr(), message)
}

/// The name of a code, e.g. "INVALID_IMAGE"; "UNKNOWN" for a number that is not a code. The text is static: do not free it.
#[unsafe(no_mangle)]
pub extern "C" fn uflow_status_code_name(code: u32) -> *const c_char {
    const NAMES: [&CStr; 23] = [
        c"OK",
        c"INVALID_ARGUMENT",
        c"INVALID_IMAGE",
        c"UNDECODABLE",
        c"OVER_LIMIT",
        c"LIBRARY",
        c"DEVICE",
        c"NETWORK",
        c"NON_FINITE",
        c"PACKAGE",
        c"DATA",
        c"TRAINING",
        c"CANCELLED",
        c"NOT_FOUND",
        c"OVERLOADED",
        c"TIMED_OUT",
        c"UNAVAILABLE",
        c"IO",
        c"INTERNAL",
        c"BUFFER_TOO_SMALL",
        c"BUSY",
        c"POISONED",
        c"FORKED",
    ];
    infallible(c"UNKNOWN".as_ptr(), || NAMES.get(code as usize).unwrap_or(&c"UNKNOWN").as_ptr())
}

/// Frees a status. NULL is allowed.
///
/// # Safety
/// `status` is NULL or a status that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_status_free(status: *mut uflow_status) {
    // SAFETY: NULL or a status that this library made, by this function's contract.
    infallible((), || unsafe { pointer::free(status) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_is_zero_and_every_code_has_its_name() {
        assert_eq!(UFLOW_STATUS_OK as u32, 0);
        for (code, name) in [(0, c"OK"), (1, c"INVALID_ARGUMENT"), (18, c"INTERNAL"), (22, c"FORKED"), (23, c"UNKNOWN")]
        {
            // SAFETY: a static text.
            assert_eq!(unsafe { CStr::from_ptr(uflow_status_code_name(code)) }, name);
        }
    }

    #[test]
    fn every_error_has_a_code_and_its_text() {
        let text = || "x".to_owned();
        let io = || std::io::Error::other("x");
        let reason = || uflow::Reason::because("x", io());
        let cases = [
            (Error::frame(reason()), UFLOW_STATUS_INVALID_IMAGE),
            (Error::decode(text(), reason()), UFLOW_STATUS_UNDECODABLE),
            (Error::Limit { what: text(), found: 2, limit: 1, unit: "bytes" }, UFLOW_STATUS_OVER_LIMIT),
            (Error::parameter("x", reason()), UFLOW_STATUS_INVALID_ARGUMENT),
            (Error::library(reason()), UFLOW_STATUS_LIBRARY),
            (Error::device(text(), reason()), UFLOW_STATUS_DEVICE),
            (Error::network(text(), reason()), UFLOW_STATUS_NETWORK),
            (Error::NonFinite { what: text(), found: 1, total: 2 }, UFLOW_STATUS_NON_FINITE),
            (Error::package("x", reason()), UFLOW_STATUS_PACKAGE),
            (Error::data("x", reason()), UFLOW_STATUS_DATA),
            (Error::training(reason()), UFLOW_STATUS_TRAINING),
            (Error::Cancelled, UFLOW_STATUS_CANCELLED),
            (Error::NotFound(text()), UFLOW_STATUS_NOT_FOUND),
            (Error::Overloaded(text()), UFLOW_STATUS_OVERLOADED),
            (Error::TimedOut { stage: "x" }, UFLOW_STATUS_TIMED_OUT),
            (Error::unavailable(reason()), UFLOW_STATUS_UNAVAILABLE),
            (Error::Io { action: "read", path: "x".into(), cause: io() }, UFLOW_STATUS_IO),
            (Error::internal(reason()), UFLOW_STATUS_INTERNAL),
        ];
        for (error, code) in cases {
            let said = error.to_string();
            let status = uflow_status::from(error);
            assert_eq!((status.code, status.message.to_str().unwrap()), (code, said.as_str()));
        }
    }
}

//! Which version this is.

use std::ffi::{CStr, c_char};

use crate::guard::infallible;

const TEXT: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(text) => text,
    Err(_) => c"",
};

/// Version of the library that is loaded, e.g. "0.1.0"; `UFLOW_VERSION` is that of the header.
///
/// The text is static: never free it. Any thread may call this at any time.
#[unsafe(no_mangle)]
pub extern "C" fn uflow_version() -> *const c_char {
    infallible(TEXT.as_ptr(), || TEXT.as_ptr())
}

/// Version of the library that is loaded as a number: 1,000,000 × major + 1,000 × minor + patch, as `UFLOW_VERSION_NUMBER` is of
/// the header. A program should find the same major version in both.
///
/// Any thread may call this at any time.
#[unsafe(no_mangle)]
pub extern "C" fn uflow_version_number() -> u32 {
    infallible(0, || {
        let part = |text: &str| text.parse::<u32>().unwrap_or_default();
        part(env!("CARGO_PKG_VERSION_MAJOR")) * 1_000_000
            + part(env!("CARGO_PKG_VERSION_MINOR")) * 1_000
            + part(env!("CARGO_PKG_VERSION_PATCH"))
    })
}

//! The library's version.

use std::ffi::{CStr, c_char};

use crate::guard::infallible;

const TEXT: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(text) => text,
    Err(_) => c"",
};

/// The version of the loaded library, e.g. "0.1.0". `UFLOW_VERSION` is the header's.
///
/// The text is static: do not free it. Any thread may call this at any time.
#[unsafe(no_mangle)]
pub extern "C" fn uflow_version() -> *const c_char {
    infallible(TEXT.as_ptr(), || TEXT.as_ptr())
}

/// The version of the loaded library as a number: 1,000,000 × major + 1,000 × minor + patch. `UFLOW_VERSION_NUMBER` is the header's. A
/// program should check that both have the same major version.
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

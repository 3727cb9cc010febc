//! Texts from the library.

use std::ffi::{CString, c_char};

use crate::{guard::infallible, pointer};

/// A text from the library. The caller owns it and frees it with `uflow_text_free`; any thread may read it.
#[derive(Debug)]
pub struct uflow_text(CString);

impl uflow_text {
    pub(crate) fn new(text: String) -> Self {
        let mut bytes = text.into_bytes();
        bytes.retain(|&byte| byte != 0);
        Self(CString::new(bytes).unwrap_or_default())
    }
}

/// The characters: UTF-8, ending with 0, valid until the text is freed. Empty for NULL.
///
/// # Safety
/// `text` is NULL or a text that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_text_data(text: *const uflow_text) -> *const c_char {
    // SAFETY: NULL or a text, by this function's contract.
    infallible(c"".as_ptr(), || unsafe { pointer::optional(text) }.map_or(c"".as_ptr(), |text| text.0.as_ptr()))
}

/// The length in bytes, without the final 0. 0 for NULL.
///
/// # Safety
/// `text` is NULL or a text that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_text_size(text: *const uflow_text) -> usize {
    // SAFETY: NULL or a text, by this function's contract.
    infallible(0, || unsafe { pointer::optional(text) }.map_or(0, |text| text.0.as_bytes().len()))
}

/// Frees a text. NULL is allowed.
///
/// # Safety
/// `text` is NULL or a text that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_text_free(text: *mut uflow_text) {
    // SAFETY: NULL or a text that this library made, by this function's contract.
    infallible((), || unsafe { pointer::free(text) });
}

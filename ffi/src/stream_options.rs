//! How a stream works.

use std::{ffi::c_void, ptr, time::Duration};

use crate::{
    guard::{Exclusive, Outcome, guard, infallible},
    pointer::{self, Out},
    queue::{Cookie, uflow_release_callback},
    result::uflow_result,
    status::uflow_status,
};

/// Told what was found in a frame: `user_data` as it was set, the frame as it was handed over, and either `status` is NULL and
/// `result` what was found, or `status` says what went wrong and `result` is NULL. Both belong to the stream and are there during
/// the call alone.
pub type uflow_result_callback = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        frame: *mut c_void,
        status: *const uflow_status,
        result: *const uflow_result,
    ),
>;

/// How a stream works. What is not set has its default.
///
/// It belongs to the caller, who frees it with `uflow_stream_options_free`; one thread at a time. A stream keeps nothing of it.
#[derive(Debug)]
pub struct uflow_stream_options(pub(crate) Exclusive<Settings>);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) capacity: usize,
    pub(crate) deadline: Option<Duration>,
    pub(crate) result: (uflow_result_callback, Cookie),
    pub(crate) release: (uflow_release_callback, Cookie),
}

impl Default for Settings {
    fn default() -> Self {
        let nothing = Cookie(ptr::null_mut());
        Self { capacity: 8, deadline: None, result: (None, nothing), release: (None, nothing) }
    }
}

/// Makes options with every default. `*options` is the caller's, to be freed with `uflow_stream_options_free`.
///
/// # Safety
/// `options` is NULL (an error) or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_stream_options_new(options: *mut *mut uflow_stream_options) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let out = unsafe { Out::new(options, "options") }?;
        out.give(uflow_stream_options(Exclusive::new(Settings::default())));
        Ok(())
    })
}

/// Frees options. NULL is allowed.
///
/// # Safety
/// `options` is NULL or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_stream_options_free(options: *mut uflow_stream_options) {
    // SAFETY: NULL or options that this library made, by this function's contract.
    infallible((), || unsafe { pointer::free(options) });
}

/// # Safety
/// `options` is NULL (an error) or options that were not freed.
unsafe fn set(options: *mut uflow_stream_options, change: impl FnOnce(&mut Settings) -> Outcome) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let options = unsafe { pointer::required(options, "options") }?;
        change(&mut *options.0.take("options")?)
    })
}

/// Sets the most frames that are in the stream at a time, from handing over to the end of the delivery of the result (default 8).
/// All streams of an engine share the places that `uflow_engine_options_set_max_in_flight` sets.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_stream_options_set_capacity(
    options: *mut uflow_stream_options,
    capacity: u32,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |settings| {
            if capacity == 0 {
                return Err(uflow_status::argument("capacity", "0 frames are none"));
            }
            settings.capacity = capacity as usize;
            Ok(())
        })
    }
}

/// Sets after how many milliseconds, from the moment it has its place in the stream, a frame is of no use any more; 0 (the default) is never. It
/// is looked at before each step (decoding, network, segmentation): from then on no more work is put into the frame, and its result is
/// `UFLOW_STATUS_TIMED_OUT`. The result is delivered in its turn, which may be later: a gate needs a clock of its own.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_stream_options_set_deadline(
    options: *mut uflow_stream_options,
    milliseconds: u32,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |settings| {
            settings.deadline = (milliseconds > 0).then(|| Duration::from_millis(milliseconds.into()));
            Ok(())
        })
    }
}

/// Sets the function that gets the results; NULL (the default) for a stream that is asked with `uflow_stream_next`. It is called by
/// a thread of the stream, for one frame at a time, in order.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed; `callback` may be called with `user_data` from another thread until
/// the stream is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_stream_options_set_result_callback(
    options: *mut uflow_stream_options,
    callback: uflow_result_callback,
    user_data: *mut c_void,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |settings| {
            settings.result = (callback, Cookie(user_data));
            Ok(())
        })
    }
}

/// Sets the function that is told that a frame's bytes are not read any more. It is called once for each frame that was taken, as
/// soon as the frame is in the network's input and always before its result is delivered, by a thread of the engine or the one
/// that hands the frame over; frames of one stream may be released at the same time and in any order. It must not wait for
/// anything, the stream least of all. Without it (NULL, the default) a frame is released by the delivery of its result: before the
/// result callback is called, or by the return of `uflow_stream_next`.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed; `callback` may be called with `user_data` from another thread until
/// the stream is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_stream_options_set_release_callback(
    options: *mut uflow_stream_options,
    callback: uflow_release_callback,
    user_data: *mut c_void,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |settings| {
            settings.release = (callback, Cookie(user_data));
            Ok(())
        })
    }
}

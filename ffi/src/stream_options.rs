//! How a stream works.

use std::{ffi::c_void, mem::offset_of, ptr, time::Duration};

use crate::{
    guard::{CallResult, Exclusive, guard, infallible},
    pointer::{self, Out, OutStruct, Versioned},
    queue::{Cookie, uflow_frame, uflow_release_callback},
    result::uflow_result,
    status::uflow_status,
};

/// Called with a frame's result: `user_data` as it was set, and what the caller attached to the frame. On success `status` is NULL and
/// `result` has the detection; on failure `status` says why and `result` is NULL. All belong to the stream and are valid during the
/// call; `uflow_result_copy` keeps a result.
pub type uflow_result_callback = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        frame: *const uflow_frame,
        status: *const uflow_status,
        result: *const uflow_result,
    ),
>;

/// How a stream works. Options that are not set have their defaults.
///
/// The caller owns them and frees them with `uflow_stream_options_free`; one thread at a time. A stream copies what it needs.
#[derive(Debug)]
pub struct uflow_stream_options(pub(crate) Exclusive<StreamSettings>);

/// The options of a stream. Begin with `UFLOW_STREAM_OPTIONS_INFO_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uflow_stream_options_info {
    /// sizeof(uflow_stream_options_info).
    pub struct_size: usize,
    /// The maximum number of frames in the stream.
    pub capacity: u32,
    /// The time limit of each frame in milliseconds; 0: none.
    pub time_limit_ms: u32,
    /// Receives the results; NULL: `uflow_stream_next` gives them.
    pub result_callback: uflow_result_callback,
    /// The result callback's `user_data`.
    pub result_user_data: *mut c_void,
    /// Called when a frame is released, or NULL.
    pub release_callback: uflow_release_callback,
    /// The release callback's `user_data`.
    pub release_user_data: *mut c_void,
}

impl Versioned for uflow_stream_options_info {
    const FIRST: usize = offset_of!(Self, release_user_data) + size_of::<*mut c_void>();
    const EMPTY: Self = Self {
        struct_size: 0,
        capacity: 0,
        time_limit_ms: 0,
        result_callback: None,
        result_user_data: ptr::null_mut(),
        release_callback: None,
        release_user_data: ptr::null_mut(),
    };
    const NAME: &str = "info";
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamSettings {
    pub(crate) capacity: usize,
    pub(crate) time_limit: Option<Duration>,
    pub(crate) result: (uflow_result_callback, Cookie),
    pub(crate) release: (uflow_release_callback, Cookie),
}

impl Default for StreamSettings {
    fn default() -> Self {
        let nothing = Cookie(ptr::null_mut());
        Self { capacity: 8, time_limit: None, result: (None, nothing), release: (None, nothing) }
    }
}

/// Makes options with the defaults. The caller owns `*options` and frees it with `uflow_stream_options_free`.
///
/// # Safety
/// `options` is NULL (an error) or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_stream_options_new(options: *mut *mut uflow_stream_options) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let out = unsafe { Out::new(options, "options") }?;
        out.give(uflow_stream_options(Exclusive::new(StreamSettings::default())));
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

/// Resets all options to their defaults.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_stream_options_reset(options: *mut uflow_stream_options) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |settings| {
            *settings = StreamSettings::default();
            Ok(())
        })
    }
}

/// Writes the options to `*info`.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed; `info` is NULL (an error) or a struct with its size set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_stream_options_get_info(
    options: *const uflow_stream_options,
    info: *mut uflow_stream_options_info,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (out, options) = unsafe { (OutStruct::new(info)?, pointer::required(options, "options")?) };
        let StreamSettings { capacity, time_limit, result, release } = *options.0.take("options")?;
        out.set(uflow_stream_options_info {
            struct_size: 0,
            capacity: capacity as u32,
            time_limit_ms: time_limit.map_or(0, |limit| limit.as_millis() as u32),
            result_callback: result.0,
            result_user_data: result.1.0,
            release_callback: release.0,
            release_user_data: release.1.0,
        });
        Ok(())
    })
}

/// # Safety
/// `options` is NULL (an error) or options that were not freed.
unsafe fn set(
    options: *mut uflow_stream_options,
    change: impl FnOnce(&mut StreamSettings) -> CallResult,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let options = unsafe { pointer::required(options, "options") }?;
        change(&mut *options.0.take("options")?)
    })
}

/// Sets the maximum number of frames in the stream (default 8). A frame is in the stream from its submission until its result is
/// delivered. All streams of an engine share the places that `uflow_engine_options_set_max_in_flight` sets.
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
                return Err(uflow_status::argument("capacity", "must be at least 1"));
            }
            settings.capacity = capacity as usize;
            Ok(())
        })
    }
}

/// Sets the time limit of each frame in milliseconds, from the moment it has its place in the stream; 0 (the default): no limit.
/// `uflow_options_set_time_limit` sets another one for one frame. It is checked before each step (decoding, network, segmentation). After
/// it no more work is spent on the frame, and its result is `UFLOW_STATUS_TIMED_OUT`. The result is still delivered in turn, which
/// may be later: a reject gate needs its own clock.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_stream_options_set_time_limit(
    options: *mut uflow_stream_options,
    milliseconds: u32,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |settings| {
            settings.time_limit = (milliseconds > 0).then(|| Duration::from_millis(milliseconds.into()));
            Ok(())
        })
    }
}

/// Sets the function that receives the results; NULL (the default): `uflow_stream_next` gives them. A thread of the stream calls it, for
/// one frame at a time, in order.
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

/// Sets the function that is called when a frame's bytes are not read any more. It is called once for each frame that was taken, as
/// soon as the pixels are in the network's input and always before the result is delivered. A thread of the engine calls it, or the one
/// that submits the frame; frames of one stream may be released at the same time and in any order. It must not wait for anything,
/// least of all for the stream. Without it (NULL, the default) the delivery of the result releases the frame: before the result
/// callback is called, or when `uflow_stream_next` returns.
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

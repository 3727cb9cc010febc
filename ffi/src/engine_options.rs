//! The options of an engine.

use std::{
    ffi::{CString, c_char},
    mem::offset_of,
    path::PathBuf,
    ptr,
    time::Duration,
};

use uflow::{engine::EngineOptions, runtime::SessionOptions};

use crate::{
    guard::{CallResult, Exclusive, guard, infallible},
    pointer::{self, Out, OutStruct, Versioned},
    status::uflow_status,
};

/// How an engine is set up. Options that are not set have their defaults.
///
/// The caller owns them and frees them with `uflow_engine_options_free`; one thread at a time. An engine copies what it needs.
#[derive(Debug)]
pub struct uflow_engine_options(pub(crate) Exclusive<EngineSettings>);

#[derive(Clone, Debug, Default)]
pub(crate) struct EngineSettings {
    pub(crate) engine: EngineOptions,
    pub(crate) onnxruntime: Option<PathBuf>,
    pub(crate) trusted_keys: Option<PathBuf>,
    /// The texts that `uflow_engine_options_get_info` gave last: device, precision, library, keys.
    texts: [CString; 4],
}

/// The options of an engine. Begin with `UFLOW_ENGINE_OPTIONS_INFO_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uflow_engine_options_info {
    /// sizeof(uflow_engine_options_info).
    pub struct_size: usize,
    /// The device, e.g. "cpu".
    pub device: *const c_char,
    /// The precision, e.g. "fp32".
    pub precision: *const c_char,
    /// ONNX Runtime's library or its folder; "" if not set.
    pub onnxruntime: *const c_char,
    /// The longest time in milliseconds that a batch waits for more frames.
    pub max_delay_ms: f64,
    /// The most pixels of an image.
    pub max_pixels: u64,
    /// The most bytes of an encoded image, and of the memory for decoding it.
    pub max_bytes: u64,
    /// The most bytes of the asynchronous frames inside the engine.
    pub max_frame_bytes: u64,
    /// The most bytes that the worker threads need in addition.
    pub max_work_bytes: u64,
    /// Threads of each network; 0: one pool for all networks.
    pub threads: u32,
    /// Worker threads for asynchronous frames.
    pub workers: u32,
    /// The most asynchronous frames in a batch.
    pub max_batch: u32,
    /// The most asynchronous frames inside the engine.
    pub max_in_flight: u32,
    /// The file of trusted keys; "" if packages need no signature.
    pub trusted_keys: *const c_char,
}

impl Versioned for uflow_engine_options_info {
    const FIRST: usize = offset_of!(Self, max_in_flight) + size_of::<u32>();
    const EMPTY: Self = Self {
        struct_size: 0,
        device: ptr::null(),
        precision: ptr::null(),
        onnxruntime: ptr::null(),
        max_delay_ms: 0.0,
        max_pixels: 0,
        max_bytes: 0,
        max_frame_bytes: 0,
        max_work_bytes: 0,
        threads: 0,
        workers: 0,
        max_batch: 0,
        max_in_flight: 0,
        trusted_keys: c"".as_ptr(),
    };
    const NAME: &str = "info";
}

/// Makes options with the defaults. The caller owns `*options` and frees it with `uflow_engine_options_free`.
///
/// # Safety
/// `options` is NULL (an error) or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_engine_options_new(options: *mut *mut uflow_engine_options) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let out = unsafe { Out::new(options, "options") }?;
        out.give(uflow_engine_options(Exclusive::new(EngineSettings::default())));
        Ok(())
    })
}

/// Frees options. NULL is allowed.
///
/// # Safety
/// `options` is NULL or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_engine_options_free(options: *mut uflow_engine_options) {
    // SAFETY: NULL or options that this library made, by this function's contract.
    infallible((), || unsafe { pointer::free(options) });
}

/// Resets all options to their defaults.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_engine_options_reset(options: *mut uflow_engine_options) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        *unsafe { pointer::required(options, "options") }?.0.take("options")? = EngineSettings::default();
        Ok(())
    })
}

/// Writes the options to `*info`. Its texts are valid until the options are freed or this function is called again with them.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed; `info` is NULL (an error) or a struct with its size set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_engine_options_get_info(
    options: *const uflow_engine_options,
    info: *mut uflow_engine_options_info,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (out, options) = unsafe { (OutStruct::new(info)?, pointer::required(options, "options")?) };
        let mut settings = options.0.take("options")?;
        let EngineSettings { engine, onnxruntime, trusted_keys, .. } = &*settings;
        let file = |path: &Option<PathBuf>| path.as_ref().map_or(String::new(), |path| path.display().to_string());
        let session = engine.session;
        let texts = [session.device.to_string(), session.precision.to_string(), file(onnxruntime), file(trusted_keys)];
        // Neither has a 0 in it: both came from C or are fixed.
        settings.texts = texts.map(|text| CString::new(text).unwrap_or_default());
        let EngineSettings { engine, texts: [device, precision, onnxruntime, trusted_keys], .. } = &*settings;
        out.set(uflow_engine_options_info {
            struct_size: 0,
            device: device.as_ptr(),
            precision: precision.as_ptr(),
            onnxruntime: onnxruntime.as_ptr(),
            max_delay_ms: engine.max_delay.as_secs_f64() * 1e3,
            max_pixels: engine.limits.max_pixels,
            max_bytes: engine.limits.max_bytes,
            max_frame_bytes: engine.max_frame_bytes,
            max_work_bytes: engine.max_work_bytes,
            threads: engine.session.threads.map_or(0, |threads| threads as u32),
            workers: engine.workers as u32,
            max_batch: engine.max_batch as u32,
            max_in_flight: engine.max_in_flight as u32,
            trusted_keys: trusted_keys.as_ptr(),
        });
        Ok(())
    })
}

/// # Safety
/// `options` is NULL (an error) or options that were not freed.
unsafe fn set(
    options: *mut uflow_engine_options,
    change: impl FnOnce(&mut EngineSettings) -> CallResult,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let options = unsafe { pointer::required(options, "options") }?;
        let mut settings = options.0.take("options")?;
        let mut changed = settings.clone();
        change(&mut changed)?;
        changed.engine.check_numbers()?;
        *settings = changed;
        Ok(())
    })
}

/// Sets where the networks run: "cpu" (the default), "openvino", "cuda", "cuda:N", "tensorrt" or "tensorrt:N"; N is the GPU's number.
/// A missing device is an error when a model is loaded; nothing falls back to the CPU.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed; `device` is NULL (an error) or a text that ends with 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_engine_options_set_device(
    options: *mut uflow_engine_options,
    device: *const c_char,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |settings| {
            settings.engine.session.device = pointer::text(device, "device")?.parse()?;
            Ok(())
        })
    }
}

/// Sets the precision of the networks: "fp32" (the default) on every device, "bf16" on openvino, "bf16" and "fp16" on tensorrt. A
/// precision that the device does not have is an error when an engine is made.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed; `precision` is NULL (an error) or a text that ends with 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_engine_options_set_precision(
    options: *mut uflow_engine_options,
    precision: *const c_char,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |settings| {
            settings.engine.session.precision = pointer::text(precision, "precision")?.parse()?;
            Ok(())
        })
    }
}

/// Sets ONNX Runtime's shared library, or the folder that contains it (UTF-8). Without this option, the environment variable
/// `UFLOW_ONNXRUNTIME` names it. Without both, these places are searched in this order: the folder of libuflow (of the program,
/// if libuflow is linked statically); `uflow/` in that folder, i.e. `lib/uflow/` of an installation; `../lib/uflow` and `../lib` of that
/// folder; the `lib/uflow` that this library was installed with; the system's library path. A process can use only one library.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed; `path` is NULL (an error) or a text that ends with 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_engine_options_set_onnxruntime(
    options: *mut uflow_engine_options,
    path: *const c_char,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |settings| {
            settings.onnxruntime = Some(PathBuf::from(pointer::text(path, "path")?));
            Ok(())
        })
    }
}

/// Sets the keys that packages must be signed by: a PEM file (`path`, UTF-8) of one or more ed25519 public keys, as `uflow package keygen` and
/// `openssl pkey -pubout` write them. Then `uflow_engine_load` and `uflow_engine_load_version` fail with `UFLOW_STATUS_PACKAGE` for a package that is
/// not signed, that another key signed, or that was changed since. "" accepts every package (the default). `uflow_engine_new` reads the file, and fails
/// with `UFLOW_STATUS_DATA` if it is not such a file and with `UFLOW_STATUS_IO` if it cannot be read.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed; `path` is NULL (an error) or a text that ends with 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_engine_options_set_trusted_keys(
    options: *mut uflow_engine_options,
    path: *const c_char,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |settings| {
            let path = pointer::text(path, "path")?;
            settings.trusted_keys = (!path.is_empty()).then(|| PathBuf::from(path));
            Ok(())
        })
    }
}

/// Sets the threads of the networks. 0 (the default): all networks of all engines share one pool, as large as the CPU quota of this
/// process. 1 to 1024: each network has its own pool of so many threads.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_engine_options_set_threads(
    options: *mut uflow_engine_options,
    threads: u32,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |settings| {
            if threads as usize > SessionOptions::MAX_THREADS {
                let reason = format!("{threads} is not 0 to {}", SessionOptions::MAX_THREADS);
                return Err(uflow_status::argument("threads", reason));
            }
            settings.engine.session.threads = (threads > 0).then_some(threads as usize);
            Ok(())
        })
    }
}

/// Sets the number of worker threads that decode, resize and segment asynchronous frames, 1 to 1024. The default is the CPU quota of
/// this process.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_engine_options_set_workers(
    options: *mut uflow_engine_options,
    workers: u32,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |settings| {
            settings.engine.workers = workers as usize;
            Ok(())
        })
    }
}

/// Sets the maximum number of asynchronous frames in a batch (1 to 1024, default 8), and the longest time in milliseconds that a batch
/// waits for frames that are being prepared (default 2). Give streams a capacity of two batches, so that one is prepared while the
/// other runs.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_engine_options_set_batching(
    options: *mut uflow_engine_options,
    max_batch: u32,
    max_delay_ms: f64,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |settings| {
            settings.engine.max_batch = max_batch as usize;
            settings.engine.max_delay = Duration::try_from_secs_f64(max_delay_ms / 1e3)
                .map_err(|_| uflow_status::argument("max_delay_ms", format_args!("{max_delay_ms} is not a time")))?;
            Ok(())
        })
    }
}

/// Sets the maximum number of asynchronous frames inside the engine, 1 to 1048576 (default 64). The capacities of all its streams
/// together cannot exceed it.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_engine_options_set_max_in_flight(
    options: *mut uflow_engine_options,
    max_in_flight: u32,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |settings| {
            settings.engine.max_in_flight = max_in_flight as usize;
            Ok(())
        })
    }
}

/// Sets how large an image may be: the maximum number of pixels (default 268,435,456) and, for encoded images, the maximum number of
/// bytes (default 512 MiB) of the file, and of the memory that decoding it holds at once. Both must be at least 1. Larger images fail
/// with `UFLOW_STATUS_OVER_LIMIT`.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_engine_options_set_limits(
    options: *mut uflow_engine_options,
    max_pixels: u64,
    max_bytes: u64,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |settings| {
            (settings.engine.limits.max_pixels, settings.engine.limits.max_bytes) = (max_pixels, max_bytes);
            Ok(())
        })
    }
}

/// Sets how many bytes the engine holds for asynchronous frames (default 1 GiB each, 1 MiB to 1 PiB): `max_frame_bytes` for the frames inside,
/// i.e. pixels or files, regions of interest and tensors; `max_work_bytes` in addition for the work of all worker threads together. A
/// frame that does not fit beside those inside has `UFLOW_STATUS_OVERLOADED` as its result, one that never fits `UFLOW_STATUS_OVER_LIMIT`.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_engine_options_set_memory(
    options: *mut uflow_engine_options,
    max_frame_bytes: u64,
    max_work_bytes: u64,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |settings| {
            settings.engine.max_frame_bytes = max_frame_bytes;
            settings.engine.max_work_bytes = max_work_bytes;
            Ok(())
        })
    }
}

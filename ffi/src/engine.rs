//! The engine: ONNX Runtime on a device, the backbones in memory, and what all models share.

use std::{
    ffi::{c_char, c_void},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use uflow::{
    engine::{Engine, EngineOptions},
    package::{Package, Repository},
    runtime::Runtime,
};

use crate::{
    guard::{Exclusive, Outcome, guard, infallible},
    model::uflow_model,
    pointer::{self, Out},
    status::{
        uflow_status,
        uflow_status_code::{UFLOW_STATUS_BUSY, UFLOW_STATUS_NOT_FOUND, UFLOW_STATUS_OVERLOADED},
    },
    text::uflow_text,
};

/// How an engine is set up. What is not set has its default.
///
/// It belongs to the caller, who frees it with `uflow_engine_options_free`; one thread at a time. An engine keeps nothing of it.
#[derive(Debug)]
pub struct uflow_engine_options(Exclusive<Settings>);

#[derive(Clone, Debug, Default)]
struct Settings {
    engine: EngineOptions,
    onnxruntime: Option<PathBuf>,
}

/// ONNX Runtime on a device, and the backbones of the models that were loaded, one of a kind however many models name it.
///
/// It belongs to the caller, who frees it with `uflow_engine_free`. Any thread may use it at any time. It has worker threads
/// (`uflow_engine_options_set_workers`) for asynchronous use, and one for each backbone; they sleep when there is nothing to
/// do, and end with the engine or the last of its models and streams, whichever is later. The networks of all engines share ONNX Runtime's pool of
/// threads (but see `uflow_engine_options_set_threads`), which `uflow_shutdown` ends.
#[derive(Debug)]
pub struct uflow_engine(pub(crate) Arc<Shared>);

/// An engine as its handle, its models and their streams share it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    /// Places for frames inside that streams have taken.
    taken: Mutex<usize>,
}

/// Places for frames inside an engine, a stream's own until it is dropped.
#[derive(Debug)]
pub(crate) struct Places {
    engine: Arc<Shared>,
    count: usize,
}

impl Shared {
    /// Takes places, so that a frame that a stream has room for is never refused by the engine.
    pub(crate) fn take_places(self: &Arc<Self>, count: usize) -> Outcome<Places> {
        let limit = self.engine.options().max_in_flight;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if count > limit {
            let reason =
                format!("{count} frames, and the engine takes {limit}; see uflow_engine_options_set_max_in_flight");
            return Err(uflow_status::argument("capacity", reason));
        }
        if count > limit - *taken {
            let message = format!(
                "capacity: {count} frames, and other streams have {taken} of the {limit} that the engine takes at once; free \
                 streams, or see uflow_engine_options_set_max_in_flight"
            );
            return Err(uflow_status::new(UFLOW_STATUS_OVERLOADED, message));
        }
        *taken += count;
        Ok(Places { engine: Arc::clone(self), count })
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        *self.engine.taken.lock().unwrap_or_else(PoisonError::into_inner) -= self.count;
    }
}

/// Makes options with every default. `*options` is the caller's, to be freed with `uflow_engine_options_free`.
///
/// # Safety
/// `options` is NULL (an error) or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_engine_options_new(options: *mut *mut uflow_engine_options) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let out = unsafe { Out::new(options, "options") }?;
        out.give(uflow_engine_options(Exclusive::new(Settings::default())));
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

/// # Safety
/// `options` is NULL (an error) or options that were not freed.
unsafe fn set(options: *mut uflow_engine_options, change: impl FnOnce(&mut Settings) -> Outcome) -> *mut uflow_status {
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

/// Sets where the networks run: "cpu" (the default), "openvino", "cuda", "cuda:N", "tensorrt" or "tensorrt:N", N being the GPU.
/// A device that is missing is an error when a model is loaded; nothing falls back to the CPU.
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

/// Sets the precision of the networks: "fp32" (the default) on every device, "bf16" on openvino, "bf16" and "fp16" on tensorrt. One that
/// the device has not is an error when an engine is made.
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

/// Sets ONNX Runtime's shared library, or the folder it is in (UTF-8). Without it: the variable `UFLOW_ONNXRUNTIME`, beside
/// libuflow, `../lib` of it, `.onnxruntime/lib` in a folder above it, the system's library path. A process can use one only.
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

/// Sets the threads of the networks. 0 (the default): all networks of all engines share one pool, as large as the CPU quota of this process.
/// Otherwise each network has a pool of its own, of so many threads (at most 1024).
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
            settings.engine.session.threads = (threads > 0).then_some(threads as usize);
            Ok(())
        })
    }
}

/// Sets the worker threads that decode, resize and segment asynchronous frames, 1 to 1024; the default is the CPU quota of this process.
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

/// Sets the most asynchronous frames in a batch (1 to 1024, default 8), and the longest time in milliseconds that a batch waits for
/// frames that are on their way (default 2). Streams should have room for two batches, so that one is prepared while one runs.
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

/// Sets the most asynchronous frames inside the engine, 1 to 1048576 (default 64): what the capacities of all its streams add up to at most.
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

/// Sets how large an image may be: the most pixels (default 268,435,456), and for encoded ones the most bytes, of the file and of
/// its pixels (default 1 GiB). Larger ones are `UFLOW_STATUS_OVER_LIMIT`.
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

/// Starts an engine. `options` may be NULL: every default. `*engine` is the caller's, to be freed with `uflow_engine_free`.
///
/// Fails with `UFLOW_STATUS_LIBRARY` where ONNX Runtime cannot be found (the message names every place that was looked at) or another copy of it
/// is in use, `UFLOW_STATUS_DEVICE` for a precision that the device has not, `UFLOW_STATUS_UNAVAILABLE` after `uflow_shutdown`.
///
/// The first call sets the process's environment variable `ORT_DISABLE_TELEMETRY` to 1 unless it is set, as ONNX Runtime would else keep a
/// database of events for its makers. Where another thread may be in `getenv` at that moment, set it before.
///
/// # Safety
/// `options` is NULL or options that were not freed; `engine` is NULL (an error) or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_engine_new(
    options: *const uflow_engine_options,
    engine: *mut *mut uflow_engine,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (out, options) = unsafe { (Out::new(engine, "engine")?, pointer::given(options, "options")?) };
        let defaults = Exclusive::new(Settings::default());
        let settings = options.map_or(&defaults, |options| &options.0).take("options")?;
        let explicit = settings.onnxruntime.as_deref();
        let runtime = match own_path() {
            Some(path) => Runtime::load_beside(&path, explicit)?,
            None => Runtime::load(explicit)?,
        };
        let engine = Engine::new(&runtime, settings.engine)?;
        out.give(uflow_engine(Arc::new(Shared { engine, taken: Mutex::new(0) })));
        Ok(())
    })
}

/// The file that this code is part of.
fn own_path() -> Option<PathBuf> {
    #[cfg(unix)]
    {
        use std::{ffi::CStr, os::unix::ffi::OsStrExt};
        let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
        // SAFETY: an address in this library, and a place for the answer; `dli_fname` is a text of the loader's where it is set.
        let path = unsafe {
            if libc::dladdr(uflow_engine_free as *const c_void, info.as_mut_ptr()) == 0 {
                return None;
            }
            let name = info.assume_init().dli_fname;
            (!name.is_null()).then(|| CStr::from_ptr(name))?
        };
        Path::new(std::ffi::OsStr::from_bytes(path.to_bytes())).canonicalize().ok()
    }
    #[cfg(not(unix))]
    None
}

/// Frees an engine. NULL is allowed. Its models, detectors and streams may be freed before or after it.
///
/// # Safety
/// `engine` is NULL or an engine that was not freed and that no other thread is using.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_engine_free(engine: *mut uflow_engine) {
    // SAFETY: NULL or an engine that this library made, by this function's contract.
    infallible((), || unsafe { pointer::free(engine) });
}

/// Ends ONNX Runtime and the threads of its pool, which otherwise sleep until the process ends: for a program that goes on without
/// this library, or unloads it. It starts once in the life of a process: no engine can be made after this (`UFLOW_STATUS_UNAVAILABLE`).
///
/// Fails with `UFLOW_STATUS_BUSY` while there is an engine, model, detector, trainer or stream. Any thread may call this at any time.
#[unsafe(no_mangle)]
pub extern "C" fn uflow_shutdown() -> *mut uflow_status {
    guard(|| match Runtime::end() {
        true => Ok(()),
        false => Err(uflow_status::new(
            UFLOW_STATUS_BUSY,
            "an engine, model, detector, trainer or stream is still there; free it first",
        )),
    })
}

/// Loads a model package, a folder or a `.uflow` file (`path`, UTF-8), and warms it up. A backbone that another model of this
/// engine has already is shared with it. `*model` is the caller's, to be freed with `uflow_model_free`.
///
/// Fails with `UFLOW_STATUS_PACKAGE` for a package that is missing or damaged, `UFLOW_STATUS_NETWORK` for networks that do not do what it says,
/// `UFLOW_STATUS_DEVICE` for a device that is missing, `UFLOW_STATUS_IO` for files that cannot be read.
///
/// # Safety
/// `engine` is NULL (an error) or an engine that was not freed; `path` is NULL (an error) or a text that ends with 0; `model` is
/// NULL (an error) or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_engine_load(
    engine: *const uflow_engine,
    path: *const c_char,
    model: *mut *mut uflow_model,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (out, engine, path) =
            unsafe { (Out::new(model, "model")?, pointer::required(engine, "engine")?, pointer::text(path, "path")?) };
        let package = Package::open(path)?;
        let name = package.manifest.name.clone();
        out.give(uflow_model::new(&engine.0, engine.0.engine.load(&package, &name, 1)?));
        Ok(())
    })
}

/// Loads a model from a repository, `<root>/<name>/<version>/uflow.json`, as `uflow serve` has it; version 0 is the highest there
/// is. Otherwise as `uflow_engine_load`; `UFLOW_STATUS_NOT_FOUND` where there is no such model or version,
/// `UFLOW_STATUS_DATA` where `root` is no repository.
///
/// # Safety
/// `engine` is NULL (an error) or an engine that was not freed; `root` and `name` are NULL (an error) or texts that end with 0;
/// `model` is NULL (an error) or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_engine_load_version(
    engine: *const uflow_engine,
    root: *const c_char,
    name: *const c_char,
    version: u32,
    model: *mut *mut uflow_model,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (out, engine, root, name) = unsafe {
            let name = pointer::text(name, "name")?;
            (Out::new(model, "model")?, pointer::required(engine, "engine")?, pointer::text(root, "root")?, name)
        };
        let listing = Repository::open(Path::new(root), None)?.scan()?;
        let missing = |what: String| uflow_status::new(UFLOW_STATUS_NOT_FOUND, format!("{root}: there is no {what}"));
        let versions = listing.get(name).ok_or_else(|| missing(format!("model `{name}`")))?;
        let found = match version {
            0 => versions.last_key_value(),
            _ => versions.get_key_value(&version),
        };
        let (&version, found) = found.ok_or_else(|| missing(format!("version {version} of model `{name}`")))?;
        let package = Package::open(&found.path)?;
        out.give(uflow_model::new(&engine.0, engine.0.engine.load(&package, name, version)?));
        Ok(())
    })
}

/// The engine's metrics in Prometheus' text format. `*text` is the caller's, to be freed with `uflow_text_free`.
///
/// # Safety
/// `engine` is NULL (an error) or an engine that was not freed; `text` is NULL (an error) or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_engine_metrics(
    engine: *const uflow_engine,
    text: *mut *mut uflow_text,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (out, engine) = unsafe { (Out::new(text, "text")?, pointer::required(engine, "engine")?) };
        out.give(uflow_text::new(engine.0.engine.metrics().text()));
        Ok(())
    })
}

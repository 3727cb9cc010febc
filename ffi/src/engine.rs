//! The engine: ONNX Runtime on a device, the backbones in memory, and what the models share.

use std::{
    ffi::{CString, c_char, c_void},
    mem::offset_of,
    path::{Path, PathBuf},
    ptr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use uflow::{
    engine::{Engine, EngineOptions},
    package::{Package, Repository},
    runtime::{LibrarySearch, Runtime, SessionOptions},
};

use crate::{
    guard::{Exclusive, Outcome, guard, infallible, threads_started},
    model::uflow_model,
    pointer::{self, Out, OutStruct, Versioned},
    status::{
        uflow_status,
        uflow_status_code::{UFLOW_STATUS_BUSY, UFLOW_STATUS_NOT_FOUND, UFLOW_STATUS_OVERLOADED},
    },
    text::uflow_text,
};

/// How an engine is set up. Options that are not set have their defaults.
///
/// The caller owns them and frees them with `uflow_engine_options_free`; one thread at a time. An engine copies what it needs.
#[derive(Debug)]
pub struct uflow_engine_options(Exclusive<Settings>);

#[derive(Clone, Debug, Default)]
struct Settings {
    engine: EngineOptions,
    onnxruntime: Option<PathBuf>,
    /// The texts that `uflow_engine_options_get_info` gave last: device, precision, library.
    texts: [CString; 3],
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
    };
    const NAME: &str = "info";
}

/// ONNX Runtime on a device, and the backbones of the loaded models. Models that name the same backbone share one.
///
/// The caller owns an engine and frees it with `uflow_engine_free`. Any thread may use it at any time. It has worker threads for
/// asynchronous frames (`uflow_engine_options_set_workers`), and one thread for each backbone. They sleep when there is no work, and end
/// with the engine or the last of its models and streams, whichever is freed last. The networks of all engines share ONNX Runtime's
/// thread pool (unless `uflow_engine_options_set_threads` gives each its own), which `uflow_shutdown` ends.
#[derive(Debug)]
pub struct uflow_engine(pub(crate) Arc<Shared>);

/// The engine as its handle, its models and their streams share it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    /// Places for frames that streams have reserved.
    taken: Mutex<usize>,
}

/// Places for frames in an engine that one stream has reserved until it is dropped.
#[derive(Debug)]
pub(crate) struct Places {
    engine: Arc<Shared>,
    count: usize,
}

impl Shared {
    /// Reserves places, so that the engine never refuses a frame for which its stream has room.
    pub(crate) fn take_places(self: &Arc<Self>, count: usize) -> Outcome<Places> {
        let limit = self.engine.options().max_in_flight;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if count > limit {
            let reason = format!(
                "{count} frames, but the engine takes only {limit}; see uflow_engine_options_set_max_in_flight"
            );
            return Err(uflow_status::argument("capacity", reason));
        }
        if count > limit - *taken {
            let message = format!(
                "capacity: {count} frames, but other streams have {taken} of the {limit} places of the engine; free \
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

/// Makes options with the defaults. The caller owns `*options` and frees it with `uflow_engine_options_free`.
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

/// Resets all options to their defaults.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_engine_options_reset(options: *mut uflow_engine_options) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        *unsafe { pointer::required(options, "options") }?.0.take("options")? = Settings::default();
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
        let Settings { engine, onnxruntime, .. } = &*settings;
        let library = onnxruntime.as_ref().map_or(String::new(), |path| path.display().to_string());
        let texts = [engine.session.device.to_string(), engine.session.precision.to_string(), library];
        // Neither has a 0 in it: both came from C or are fixed.
        settings.texts = texts.map(|text| CString::new(text).unwrap_or_default());
        let Settings { engine, texts: [device, precision, onnxruntime], .. } = &*settings;
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
        });
        Ok(())
    })
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
            for (name, limit) in [("max_pixels", max_pixels), ("max_bytes", max_bytes)] {
                if limit == 0 {
                    return Err(uflow_status::argument(name, "must be at least 1"));
                }
            }
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

/// Starts an engine. `options` may be NULL for the defaults. The caller owns `*engine` and frees it with `uflow_engine_free`.
///
/// Fails with `UFLOW_STATUS_LIBRARY` if ONNX Runtime is not found (the message lists every place that was searched) or if the process
/// already uses another copy of it, with `UFLOW_STATUS_DEVICE` for a precision that the device does not have, with
/// `UFLOW_STATUS_UNAVAILABLE` after `uflow_shutdown`.
///
/// The first call sets the environment variable `ORT_DISABLE_TELEMETRY` to 1 unless it is set: ONNX Runtime would otherwise collect
/// events for its makers. If another thread may call `getenv` at that moment, set the variable earlier.
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
        let path = own_path();
        let option = "uflow_engine_options_set_onnxruntime";
        let runtime = Runtime::find(LibrarySearch { explicit, beside: path.as_deref(), option })?;
        threads_started();
        let engine = Engine::new(&runtime, settings.engine)?;
        out.give(uflow_engine(Arc::new(Shared { engine, taken: Mutex::new(0) })));
        Ok(())
    })
}

/// The absolute path of the file that this code is part of: the shared library, or the program where it is linked statically.
fn own_path() -> Option<PathBuf> {
    let address = (uflow_engine_free as *const c_void).addr();
    let file = mapped_file(address).or_else(|| loaded_file(address))?;
    file.canonicalize().ok()
}

/// The file that is mapped at an address, as the kernel has it (Linux).
fn mapped_file(address: usize) -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let contains = |line: &&str| {
        let range = line.split_once(' ').and_then(|(range, _)| range.split_once('-'));
        let number = |text| usize::from_str_radix(text, 16).ok();
        range.and_then(|(from, to)| Some((number(from)?..number(to)?).contains(&address))).unwrap_or(false)
    };
    let line = maps.lines().find(contains)?;
    Some(PathBuf::from(&line[line.find('/')?..]))
}

/// The file that the loader names for an address, if the name is absolute. A relative one would be searched in the working
/// folder, where anybody may have put a file of that name.
fn loaded_file(address: usize) -> Option<PathBuf> {
    #[cfg(unix)]
    {
        use std::{ffi::CStr, os::unix::ffi::OsStrExt};
        let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
        // SAFETY: an address in this library, and room for the answer; `dli_fname` is the loader's text where it is set.
        let path = unsafe {
            if libc::dladdr(ptr::without_provenance(address), info.as_mut_ptr()) == 0 {
                return None;
            }
            let name = info.assume_init().dli_fname;
            (!name.is_null()).then(|| CStr::from_ptr(name))?
        };
        let path = Path::new(std::ffi::OsStr::from_bytes(path.to_bytes()));
        path.is_absolute().then(|| path.to_owned())
    }
    #[cfg(not(unix))]
    {
        let _ = address;
        None
    }
}

/// Frees an engine. NULL is allowed. Its models, detectors and streams may be freed earlier or later.
///
/// # Safety
/// `engine` is NULL or an engine that was not freed and that no other thread is using.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_engine_free(engine: *mut uflow_engine) {
    // SAFETY: NULL or an engine that this library made, by this function's contract.
    infallible((), || unsafe { pointer::free_engine(engine) });
}

/// Ends ONNX Runtime and its thread pool, which otherwise sleep until the process ends: for a program that continues without this
/// library, or unloads it.
///
/// This is final: ONNX Runtime can start only once in a process. Every later `uflow_engine_new` fails with
/// `UFLOW_STATUS_UNAVAILABLE`, also if no engine was made before. Another `uflow_shutdown` succeeds. What needs no engine still
/// works: options, results, segmenters, statuses.
///
/// Fails with `UFLOW_STATUS_BUSY` while an engine, model, detector, trainer or stream exists. Any thread may call this at any time.
#[unsafe(no_mangle)]
pub extern "C" fn uflow_shutdown() -> *mut uflow_status {
    guard(|| match Runtime::end() {
        true => Ok(()),
        false => Err(uflow_status::new(
            UFLOW_STATUS_BUSY,
            "an engine, model, detector, trainer or stream still exists; free it first",
        )),
    })
}

/// Loads a model package, a folder or a `.uflow` file (`path`, UTF-8), and warms it up. It shares a backbone that another model of this
/// engine already has. The caller owns `*model` and frees it with `uflow_model_free`.
///
/// Fails with `UFLOW_STATUS_PACKAGE` if the package is missing or damaged, `UFLOW_STATUS_NETWORK` if the networks do not match it,
/// `UFLOW_STATUS_DEVICE` if the device is missing, `UFLOW_STATUS_IO` if a file cannot be read.
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

/// Loads a model from a repository, `<root>/<name>/<version>/uflow.json`, as `uflow serve` uses it. Version 0 stands for the highest.
/// Otherwise as `uflow_engine_load`; `UFLOW_STATUS_NOT_FOUND` if there is no such model or version, `UFLOW_STATUS_DATA` if `root` is
/// not a repository.
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

/// Gives the engine's metrics in Prometheus' text format. The caller owns `*text` and frees it with `uflow_text_free`.
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

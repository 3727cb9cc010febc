//! The engine: ONNX Runtime on a device, the backbones in memory, and what the models share.

use std::{
    ffi::{c_char, c_void},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use uflow::{
    engine::{Engine, EngineOptions},
    package::{Package, Repository, TrustedKeys},
    runtime::{LibrarySearch, Runtime},
};

use crate::{
    engine_options::{EngineSettings, uflow_engine_options},
    guard::{CallResult, Exclusive, guard, infallible, threads_started},
    model::uflow_model,
    pointer::{self, Out},
    status::{
        uflow_status,
        uflow_status_code::{UFLOW_STATUS_BUSY, UFLOW_STATUS_NOT_FOUND, UFLOW_STATUS_OVERLOADED},
    },
    text::uflow_text,
};

/// ONNX Runtime on a device, and the backbones of the loaded models. Models that name the same backbone share one.
///
/// The caller owns an engine and frees it with `uflow_engine_free`. Any thread may use it at any time. It has worker threads for
/// asynchronous frames (`uflow_engine_options_set_workers`), and one thread for each backbone. They sleep when there is no work, and end
/// with the engine or the last of its models and streams, whichever is freed last. The networks of all engines share ONNX Runtime's
/// thread pool (unless `uflow_engine_options_set_threads` gives each its own), which `uflow_shutdown` ends.
#[derive(Debug)]
pub struct uflow_engine(pub(crate) Arc<SharedEngine>);

/// The engine as its handle, its models and their streams share it.
#[derive(Debug)]
pub(crate) struct SharedEngine {
    pub(crate) engine: Engine,
    /// Places for frames that streams have reserved.
    taken: Mutex<usize>,
}

/// Places for frames in an engine that one stream has reserved until it is dropped.
#[derive(Debug)]
pub(crate) struct Places {
    engine: Arc<SharedEngine>,
    count: usize,
}

impl SharedEngine {
    /// Reserves places, so that the engine never refuses a frame for which its stream has room.
    pub(crate) fn take_places(self: &Arc<Self>, count: usize) -> CallResult<Places> {
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

/// Starts an engine. `options` may be NULL for the defaults. The caller owns `*engine` and frees it with `uflow_engine_free`.
///
/// Fails with `UFLOW_STATUS_LIBRARY` if ONNX Runtime is not found (the message lists every place that was searched) or if the process
/// already uses another copy of it, with `UFLOW_STATUS_DEVICE` for a precision that the device does not have, with
/// `UFLOW_STATUS_UNAVAILABLE` after `uflow_shutdown`, with `UFLOW_STATUS_DATA` or `UFLOW_STATUS_IO` for a file of trusted keys that is wrong or cannot
/// be read.
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
        let defaults = Exclusive::new(EngineSettings::default());
        let settings = options.map_or(&defaults, |options| &options.0).take("options")?;
        let explicit = settings.onnxruntime.as_deref();
        let path = own_path();
        let option = "uflow_engine_options_set_onnxruntime";
        let runtime = Runtime::find(LibrarySearch { explicit, beside: path.as_deref(), option })?;
        threads_started();
        let trusted_keys = settings.trusted_keys.as_deref().map(TrustedKeys::read).transpose()?.map(Arc::new);
        let engine = Engine::new(&runtime, EngineOptions { trusted_keys, ..settings.engine.clone() })?;
        out.give(uflow_engine(Arc::new(SharedEngine { engine, taken: Mutex::new(0) })));
        Ok(())
    })
}

/// The absolute path of the file that this code is part of: the shared library, or the program where it is linked statically.
pub(crate) fn own_path() -> Option<PathBuf> {
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
            if libc::dladdr(std::ptr::without_provenance(address), info.as_mut_ptr()) == 0 {
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
/// Fails with `UFLOW_STATUS_PACKAGE` if the package is missing, damaged, or not signed by a trusted key where the engine has some
/// (`uflow_engine_options_set_trusted_keys`), `UFLOW_STATUS_NETWORK` if the networks do not match it,
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

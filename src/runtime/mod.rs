//! ONNX Runtime: found, loaded, and made to run backbones and flows.
//!
//! The only module that names `ort`. [`Runtime::load`] finds the shared library and opens it once per process;
//! [`Backbone`] and [`Network`] are what runs on it:
//!
//! ```text
//! images (batch, 3, H, W) → Backbone → features → flow → energies U = Σ_c z² (and latents z on request)
//! ```
//!
//! - One backbone is shared by every network that stands on it; networks of several threads take turns on it.
//! - The CPU's threads are one pool for all networks, as large as the cgroup and the affinity mask allow
//!   ([`cpu_quota`]). [`SessionOptions::threads`] gives a network a pool of its own instead.
//! - A device is used or refused, never replaced: a provider that is missing or does not start is an
//!   [`Error::Device`] with its reason, and nodes that it leaves to the CPU are counted
//!   ([`Network::nodes_on_cpu`]).
//! - On `cpu`, the same input gives the same bits, run after run.

mod backbone;
mod cache;
mod device;
mod library;
mod log;
mod network;
mod provider;
mod session;
mod threads;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

pub use self::{
    backbone::{Backbone, Features},
    device::{Device, Precision, SessionOptions},
    library::{LIBRARY_VARIABLE, PINNED_VERSION},
    network::{Network, NetworkOutput},
    threads::cpu_quota,
};
use crate::{Error, Result};

/// ONNX Runtime, loaded. Clones share it; a process has at most one.
#[derive(Clone, Debug)]
pub struct Runtime {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    environment: ort::environment::Environment,
    path: PathBuf,
    version: String,
}

/// Lives as long as the process: ONNX Runtime does not survive being opened twice.
static LOADED: Mutex<Loaded> = Mutex::new(Loaded::NotYet);

/// ONNX Runtime's environment: there is one in the life of a process.
#[derive(Debug)]
enum Loaded {
    NotYet,
    Yes(Runtime),
    /// By [`Runtime::end`].
    NoMore,
}

impl Runtime {
    /// Finds and loads ONNX Runtime's shared library.
    ///
    /// `explicit` (else the environment variable `UFLOW_ONNXRUNTIME`) names the library or its folder, and then nothing
    /// else is tried. Without it, in this order: beside the executable; `../lib` of it; `.onnxruntime/lib` in a folder
    /// above it; the system's library path. Further calls give the library that is loaded already.
    ///
    /// # Errors
    /// [`Error::Library`] naming every place looked at, with the reason for each and the command that helps; also when
    /// another library is loaded already.
    pub fn load(explicit: Option<&Path>) -> Result<Self> {
        Self::load_with(explicit, library::Module::executable)
    }

    /// The same for code that is part of a shared library at `library`, which takes the executable's place in the search.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_beside(library: &Path, explicit: Option<&Path>) -> Result<Self> {
        Self::load_with(explicit, || library::Module { path: library.to_owned(), what: "library" })
    }

    fn load_with(explicit: Option<&Path>, module: impl FnOnce() -> library::Module) -> Result<Self> {
        let explicit = library::explicit(explicit);
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        match &*loaded {
            Loaded::NotYet => {}
            Loaded::Yes(runtime) => return runtime.matching(explicit.as_deref()),
            Loaded::NoMore => {
                let text = "ONNX Runtime was ended, and starts once in the life of a process; start another process";
                return Err(Error::Unavailable(text.to_owned()));
            }
        }
        forbid_telemetry();
        let (builder, path) = library::open(explicit.as_deref(), &module())?;
        let failed =
            |error: ort::Error| Error::Library(format!("{}: ONNX Runtime does not start: {error}", path.display()));
        let pool = ort::environment::GlobalThreadPoolOptions::default()
            .with_intra_threads(cpu_quota())
            .and_then(|pool| pool.with_inter_threads(1))
            .and_then(|pool| pool.with_spin_control(SPIN))
            .map_err(failed)?;
        let environment = builder
            .with_name("uflow")
            .with_telemetry(false)
            .with_logger(Arc::new(log::forward))
            .with_global_thread_pool(pool)
            .build()
            .map_err(failed)?;
        environment.set_log_level(ort::logging::LogLevel::Warning);
        let version = library::version(&path, ort::info());
        tracing::debug!(path = %path.display(), version, "ONNX Runtime loaded");
        let runtime = Self { inner: Arc::new(Inner { environment, path, version }) };
        *loaded = Loaded::Yes(runtime.clone());
        Ok(runtime)
    }

    /// Ends ONNX Runtime and the threads of its pool, for the rest of the process. Gives false, and does nothing, while a handle
    /// to it is there.
    pub fn end() -> bool {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Loaded::Yes(runtime) = &*loaded
            && Arc::strong_count(&runtime.inner) > 1
        {
            return false;
        }
        *loaded = Loaded::NoMore;
        true
    }

    /// This runtime, unless `explicit` asks for another library.
    fn matching(&self, explicit: Option<&Path>) -> Result<Self> {
        let Some(explicit) = explicit else { return Ok(self.clone()) };
        let wanted = library::find(explicit)?;
        if library::same_file(&wanted, self.path()) {
            return Ok(self.clone());
        }
        Err(Error::Library(format!(
            "ONNX Runtime is loaded from {} already, and a process can use one library only: {} needs a process of its own",
            self.path().display(),
            wanted.display()
        )))
    }

    /// Version of the library, e.g. `1.32.0`.
    pub fn version(&self) -> &str {
        &self.inner.version
    }

    /// The library's path.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }
}

/// Keeps ONNX Runtime from opening a database of events in the user's cache folder, and from a thread that would send them to its
/// makers: from 1.32 on it does so when its environment is made, before that can be asked to stop. It listens to a variable of the process's
/// environment. Call this before there are other threads, where that can be had; [`Runtime::load`] does it at the latest.
pub fn forbid_telemetry() {
    crate::kernel::set_variable("ORT_DISABLE_TELEMETRY", "1");
}

/// Whether idle threads of the pool spin before they sleep. They would spin while the same processors resize the next
/// frame and segment the last one.
const SPIN: bool = false;

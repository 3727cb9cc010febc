//! Finds and loads ONNX Runtime, and runs backbones and flows with it.
//!
//! This is the only module that names `ort`. [`Runtime::load`] finds the shared library and opens it once per process.
//! [`Backbone`] and [`Network`] run on it:
//!
//! ```text
//! images (batch, 3, H, W) → Backbone → features → flow → energies U = Σ_c z² (and latents z on request)
//! ```
//!
//! - Every network that uses a backbone shares it; networks on several threads take turns.
//! - All networks share one pool of CPU threads, as large as the cgroup and the affinity mask allow
//!   ([`cpu_quota`]). [`SessionOptions::threads`] gives a network its own pool instead.
//! - A device is used or refused, never replaced. If a provider is missing or does not start, the result is an
//!   [`Error::Device`] with the reason. Nodes that a provider leaves to the CPU are counted
//!   ([`Network::nodes_on_cpu`]).
//! - On `cpu`, the same input always gives the same bits.

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
    sync::{Arc, Mutex},
};

#[cfg(feature = "object-store")]
pub(crate) use self::cache::cache_folder;
pub use self::{
    backbone::{Backbone, Features},
    device::{Device, Precision, SessionOptions},
    library::{LIBRARY_VARIABLE, LibrarySearch, PINNED_VERSION},
    network::{Network, NetworkOutput},
    threads::cpu_quota,
};
use crate::{Error, Reason, Result, sync::lock};

/// ONNX Runtime, loaded. Clones share the library; a process has at most one.
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

/// Lives as long as the process: ONNX Runtime cannot be opened a second time.
static LOADED: Mutex<Loaded> = Mutex::new(Loaded::NotYet);

/// ONNX Runtime's environment. A process creates it once.
#[derive(Debug)]
enum Loaded {
    NotYet,
    Yes(Runtime),
    /// Ended by [`Runtime::end`].
    NoMore,
}

impl Runtime {
    /// Finds and loads ONNX Runtime's shared library.
    ///
    /// `explicit`, or else the environment variable `UFLOW_ONNXRUNTIME`, names the library or its folder; then no other
    /// place is searched. Without them the search goes, in this order: beside the executable; `uflow/` beside it;
    /// `../lib/uflow` of it; `../lib` of it; the folder that the installation was built for; the system's library path.
    /// Later calls give the library that is already loaded.
    ///
    /// # Errors
    /// [`Error::Library`] with every place that was searched, the reason for each, and how to name a library; also
    /// when another library is already loaded.
    pub fn load(explicit: Option<&Path>) -> Result<Self> {
        Self::find(LibrarySearch { explicit, ..LibrarySearch::default() })
    }

    /// As [`load`](Self::load), for code in a shared library, or for a program with its own way to name a library.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn find(search: LibrarySearch<'_>) -> Result<Self> {
        let mut loaded = lock(&LOADED);
        match &*loaded {
            Loaded::NotYet => {}
            Loaded::Yes(runtime) => return runtime.matching(&search),
            Loaded::NoMore => {
                let text = "ONNX Runtime was shut down and cannot start again in this process; start a new process";
                return Err(Error::unavailable(text.to_owned()));
            }
        }
        forbid_telemetry();
        let (builder, path) = library::open(&search)?;
        let failed = |error: ort::Error| {
            Error::library(Reason::because(format_args!("{}: ONNX Runtime cannot start", path.display()), error))
        };
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

    /// Shuts down ONNX Runtime and the threads of its pool until the process ends. Returns false and does nothing if a handle
    /// to it still exists.
    pub fn end() -> bool {
        let mut loaded = lock(&LOADED);
        if let Loaded::Yes(runtime) = &*loaded
            && Arc::strong_count(&runtime.inner) > 1
        {
            return false;
        }
        *loaded = Loaded::NoMore;
        true
    }

    /// This runtime. Fails if another library is named.
    fn matching(&self, search: &LibrarySearch<'_>) -> Result<Self> {
        let Some(named) = search.named() else { return Ok(self.clone()) };
        let wanted = library::find(&named, search.option)?;
        if library::same_file(&wanted, self.path()) {
            return Ok(self.clone());
        }
        Err(Error::library(format!(
            "ONNX Runtime is already loaded from {}. A process can use only one library; use {} in another process",
            self.path().display(),
            wanted.display()
        )))
    }

    /// Version of the library, e.g. `1.32.0`.
    pub fn version(&self) -> &str {
        &self.inner.version
    }

    /// The path of the library.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }
}

/// Turns off ONNX Runtime's telemetry. From 1.32 on, creating the environment opens a database of events in the user's cache folder and starts a thread
/// that sends them to its makers. Only an environment variable of the process prevents this.
/// Call this function before other threads start, if possible; [`Runtime::load`] calls it at the latest.
pub fn forbid_telemetry() {
    crate::kernel::set_variable("ORT_DISABLE_TELEMETRY", "1");
}

/// Whether idle threads of a pool spin before they sleep. Spinning would take the processors away from the next network, from resizing
/// the next frame and from segmenting the last one.
const SPIN: bool = false;

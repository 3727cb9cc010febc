//! The HTTP port over real connections: detection, errors, health, figures, and the description of it all.

mod access;
mod client;
mod detect;
mod errors;
mod health;
mod metrics;
mod oip;
mod openapi;
mod several;

use std::{
    fs,
    io::Cursor,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::networks::models;
use uflow::{
    engine::{Engine, EngineOptions},
    frame::PixelFormat,
    package::{Package, Repository},
    pipeline::Detector,
    runtime::{Runtime, SessionOptions},
    serve::{
        app::{App, WhenFull},
        auth::Gate,
        drift::Drift,
        http::{HttpSettings, router},
        oip::Oip,
        registry::{Control, Registry, Versions},
        shared_memory::{Access, SharedMemory},
        tokens::Tokens,
    },
};

/// Two versions of `bolt` and one of `nut` on one backbone.
struct Models {
    runtime: Runtime,
    folder: tempfile::TempDir,
}

impl Models {
    fn new() -> Self {
        let models = Self { runtime: Runtime::load(None).unwrap(), folder: tempfile::tempdir().unwrap() };
        let backbone = models::backbone(models.folder.path(), 1);
        for (name, version, seed) in [("bolt", 1, 1), ("bolt", 3, 2), ("nut", 2, 3)] {
            let path = models.repository().join(format!("{name}/{version}"));
            let mut fitted = models::fit(&models.runtime, &backbone, name, seed);
            // With so few images one is held out, and one score deviates by nothing.
            fitted.manifest.scores.as_mut().unwrap().std = 0.01;
            fitted.write(&path).unwrap();
        }
        models
    }

    fn repository(&self) -> std::path::PathBuf {
        self.folder.path().join("models")
    }

    fn detector(&self, model: &str) -> Detector {
        let package = Package::open(self.repository().join(model)).unwrap();
        Detector::open(&self.runtime, &package, &SessionOptions::default()).unwrap()
    }
}

struct Server {
    app: Arc<App>,
    /// The protocol's gRPC service, which the HTTP port shares.
    oip: Oip,
    address: SocketAddr,
    /// Runs the server; dropped last.
    _runtime: tokio::runtime::Runtime,
}

struct Setup {
    engine: EngineOptions,
    control: Control,
    versions: Versions,
    http: HttpSettings,
    /// Content of a file of tokens; empty for none.
    tokens: &'static str,
    ready_when_empty: bool,
    shared_memory: Access,
    /// Most bytes of an answer, where it is not the default.
    largest_answer: Option<usize>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            engine: EngineOptions::default(),
            control: Control::Static,
            versions: Versions::All,
            http: HttpSettings::default(),
            tokens: "",
            ready_when_empty: false,
            shared_memory: Access::Off,
            largest_answer: None,
        }
    }
}

impl Server {
    /// A server that may still be loading.
    fn starting(models: &Models, setup: Setup) -> Self {
        Self::of(&models.runtime, &models.repository(), setup)
    }

    fn of(runtime: &Runtime, repository: &Path, setup: Setup) -> Self {
        let engine = Arc::new(Engine::new(runtime, setup.engine).unwrap());
        let repository = Repository::open(repository, None).unwrap();
        let registry = Registry::start(Arc::clone(&engine), repository, setup.control, setup.versions).unwrap();
        let drift = Drift::new(Some(1_000_000), None, engine.metrics().registry()).unwrap();
        let app = App::new(engine, registry, drift, None).unwrap().with_ready_when_empty(setup.ready_when_empty);
        let largest = setup.largest_answer.unwrap_or(app.largest_answer());
        let app = Arc::new(app.with_largest_answer(largest));
        let gate = (!setup.tokens.is_empty()).then(|| {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), setup.tokens).unwrap();
            let tokens = Arc::new(Tokens::load(file.path()).unwrap());
            Arc::new(Gate::new(tokens, app.engine().metrics().registry()).unwrap())
        });
        let oip =
            Oip::new(Arc::clone(&app), 8, WhenFull::Wait).with_shared_memory(SharedMemory::new(setup.shared_memory));
        let service = router(oip.clone(), HttpSettings { gate, ..setup.http });
        let service = service.into_make_service_with_connect_info::<SocketAddr>();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, service).await.unwrap();
        });
        Self { app, oip, address, _runtime: runtime }
    }

    fn with(models: &Models, setup: Setup) -> Self {
        let server = Self::starting(models, setup);
        server.until("the models are loaded", || *server.app.registry().started().borrow());
        server
    }

    fn start(models: &Models) -> Self {
        Self::with(models, Setup::default())
    }

    /// Waits for what must come about.
    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !holds() {
            assert!(Instant::now() < end, "it does not come about that {what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A PNG file of pixels.
fn png(pixels: &[u8], width: u32, height: u32) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    let picture = image::RgbImage::from_raw(width, height, pixels.to_vec()).unwrap();
    picture.write_to(&mut file, image::ImageFormat::Png).unwrap();
    file.into_inner()
}

/// An encoded frame with a defect, 61 × 43.
fn bad_png(seed: u64) -> Vec<u8> {
    png(&models::bad(seed, 61, 43, PixelFormat::Rgb8), 61, 43)
}

/// A folder where a package should be.
fn break_package(path: &Path) {
    fs::create_dir_all(path).unwrap();
    fs::write(path.join("uflow.json"), "{}").unwrap();
}

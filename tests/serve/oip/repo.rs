//! The service alone on a port: a repository of tiny models, and the state that protocols share.

use std::{path::PathBuf, sync::Arc};

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Endpoint, server::Router};
use uflow::{
    engine::{Engine, EngineOptions},
    package::{Package, Repository},
    pipeline::Detector,
    runtime::{Runtime, SessionOptions},
    serve::{
        app::App,
        drift::Drift,
        registry::{Control, Registry, Versions},
    },
};

use crate::networks::models;

/// A repository in a folder of its own.
pub(crate) struct Repo {
    runtime: Runtime,
    folder: tempfile::TempDir,
}

impl Repo {
    /// With version 1 of each model, all on one backbone.
    pub(crate) fn new(names: &[&str]) -> Self {
        let repo = Self { runtime: Runtime::load(None).unwrap(), folder: tempfile::tempdir().unwrap() };
        names.iter().for_each(|name| repo.add(name, 1));
        repo
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("models")
    }

    /// Fits a model and puts it there.
    pub(crate) fn add(&self, name: &str, version: u32) {
        let backbone = models::backbone(self.folder.path(), 1);
        let seed = name.bytes().map(u64::from).sum::<u64>() + u64::from(version);
        let path = self.path(name, version);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        models::fit(&self.runtime, &backbone, name, seed).write(&path).unwrap();
    }

    pub(crate) fn path(&self, name: &str, version: u32) -> PathBuf {
        self.root().join(name).join(version.to_string())
    }

    /// What the server's answers are compared with.
    pub(crate) fn detector(&self, name: &str, version: u32) -> Detector {
        let package = Package::open(self.path(name, version)).unwrap();
        Detector::open(&self.runtime, &package, &SessionOptions::default()).unwrap()
    }

    /// The state that protocols share, once the first look at the repository is over.
    pub(crate) async fn app(&self, control: Control, options: EngineOptions) -> Arc<App> {
        let engine = Arc::new(Engine::new(&self.runtime, options).unwrap());
        let repository = Repository::open(&self.root(), None).unwrap();
        let registry = Registry::start(Arc::clone(&engine), repository, control, Versions::Latest(1)).unwrap();
        registry.started().wait_for(|started| *started).await.unwrap();
        let drift = Drift::new(None, None, engine.metrics().registry()).unwrap();
        Arc::new(App::new(engine, registry, drift, None).unwrap())
    }
}

/// Serves on a free port for as long as the test's runtime lives; gives a connection to it.
pub(crate) async fn serve(router: Router) -> Channel {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

//! The whole server: ports, services, readiness, and how it ends.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use prometheus::{IntGauge, IntGaugeVec, Opts};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tonic::{codec::CompressionEncoding, codegen::http::header::AUTHORIZATION, transport::server::Router};
use tonic_health::{
    ServingStatus,
    server::{HealthReporter, health_reporter},
};
use tower::{
    layer::util::{Identity, Stack},
    util::MapRequestLayer,
};

use super::{
    app::App,
    auth::Auth,
    config::{Config, TlsFiles},
    deadline,
    http::{self, HttpSettings},
    incoming::{Incoming, Patience},
    oip::Oip,
    proto::{
        FILE_DESCRIPTOR_SET,
        inference::grpc_inference_service_server::GrpcInferenceServiceServer,
        v1::{detection_service_server::DetectionServiceServer, model_service_server::ModelServiceServer},
    },
    receive::Receiving,
    registry::Registry,
    tls::{Tls, stamp},
    tokens::Tokens,
    trace::Traces,
    uflow_v1::{Detection, Models},
};
use crate::{
    Error, Result,
    engine::{Engine, register},
    package::{Package, Repository},
    runtime::Runtime,
};

/// How often certificates and tokens are looked at.
const RELOAD: Duration = Duration::from_secs(2);
/// HTTP/2 windows: room for a few large frames, so that one stream's pace is not set by round trips.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Largest HTTP/2 frame: a camera's picture in a few, not in hundreds of the protocol's default 16 KiB.
const FRAME_SIZE: u32 = 256 << 10;
/// How long a client that has connected may take to begin a request.
const GREETING: Duration = Duration::from_secs(10);
/// How long a client may take to answer an HTTP/2 ping, where pings are not more frequent.
const PING_ANSWER: Duration = Duration::from_secs(20);
/// How long a connection to the HTTP port may be idle. Those to the gRPC port are looked after by HTTP/2's pings.
const HTTP_IDLE: Duration = Duration::from_secs(120);
/// How long a connection may stay open after the last frame is answered: its client has been told to go, and takes its last
/// answers with it. Those with a call that has no end of its own (a health watch) stay.
const GOODBYE: Duration = Duration::from_secs(2);

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    config: Config,
    grpc_address: SocketAddr,
    http_address: SocketAddr,
    /// Ends accepting, and asks clients to go.
    stop: watch::Sender<bool>,
    grpc: JoinHandle<Result<(), tonic::transport::Error>>,
    http: JoinHandle<std::io::Result<()>>,
    /// Tasks that end with the server.
    helpers: Vec<JoinHandle<()>>,
}

/// What is read from files before anything starts.
#[derive(Debug)]
struct Secrets {
    grpc_tls: Option<Arc<Tls>>,
    http_tls: Option<Arc<Tls>>,
    tokens: Option<Arc<Tokens>>,
}

impl Secrets {
    fn load(config: &Config) -> Result<Self> {
        let tls = |files: &TlsFiles, protocol| Tls::load(files.clone(), protocol).map(Arc::new);
        let grpc_tls = config.tls.as_ref().map(|files| tls(files, b"h2")).transpose()?;
        let http_tls =
            config.tls.as_ref().filter(|_| config.http_tls).map(|files| tls(files, b"http/1.1")).transpose()?;
        let tokens = config.tokens.as_deref().map(Tokens::load).transpose()?.map(Arc::new);
        Ok(Self { grpc_tls, http_tls, tokens })
    }

    /// Reads what has been replaced; what is wrong with it is logged, and what was in use stays.
    async fn watch(self, config: Config) {
        let tls_files = |config: &Config| -> Vec<_> {
            let files = config.tls.iter();
            files
                .flat_map(|tls| [Some(tls.cert.clone()), Some(tls.key.clone()), tls.client_ca.clone()])
                .flatten()
                .collect()
        };
        let (tls_files, token_files) = (tls_files(&config), config.tokens.clone());
        let look = || (stamp(tls_files.iter().map(|path| &**path)), stamp(token_files.iter().map(|path| &**path)));
        let mut seen = look();
        loop {
            tokio::time::sleep(RELOAD).await;
            let now = look();
            if now.0 != seen.0 {
                self.grpc_tls.iter().chain(&self.http_tls).for_each(|tls| report("certificates", tls.reload()));
            }
            if now.1 != seen.1 {
                self.tokens.iter().for_each(|tokens| report("tokens", tokens.reload()));
            }
            seen = now;
        }
    }
}

fn report(what: &str, result: Result<()>) {
    match result {
        Ok(()) => tracing::info!(what, "reloaded"),
        Err(error) => tracing::error!(what, %error, "cannot be reloaded; what was in use stays"),
    }
}

/// Everything that [`Server::start`] will need, without taking a port: secrets, and each model that would be served, which
/// is loaded and warmed up once.
///
/// # Errors
/// What the server would refuse to start with, and the first package that it could not load.
pub fn check(runtime: &Runtime, config: &Config) -> Result<Checked> {
    Secrets::load(config)?;
    let repository = Repository::open(&config.models, config.name.as_deref())?;
    let listing = repository.scan()?;
    let engine = Engine::new(runtime, config.engine)?;
    let mut models = Vec::new();
    for (name, versions) in &listing {
        for (&version, found) in versions.iter().rev().take(config.versions.most()) {
            let package = Package::open(&found.path)?;
            let wrong = |error: Error| Error::package(&found.path, error.to_string());
            models.push(engine.load(&package, name, version).map_err(wrong)?);
        }
    }
    let models = models.iter().map(|model| (model.name().to_owned(), model.version())).collect();
    Ok(Checked { models, passed_over: repository.passed_over(&listing) })
}

/// What [`check`] found.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The models and versions that would be served.
    pub models: Vec<(String, u32)>,
    /// Folders and packages in the repository that nothing would serve.
    pub passed_over: Vec<PathBuf>,
}

impl Server {
    /// Takes the ports and begins to load models. Call it within a tokio runtime.
    ///
    /// # Errors
    /// Ports that are taken, files that cannot be used, options outside their range.
    pub async fn start(runtime: &Runtime, config: Config) -> Result<Self> {
        let secrets = Secrets::load(&config)?;
        let repository = Repository::open(&config.models, config.name.as_deref())?;
        let listing = repository.scan()?;
        if listing.is_empty() {
            tracing::warn!(models = %config.models.display(), "no <model>/<version>/uflow.json in the folder of models");
        }
        for path in repository.passed_over(&listing) {
            tracing::warn!(path = %path.display(), "passed over: it is not <model>/<version>/uflow.json");
        }
        let traces = config.otlp.as_deref().map(Traces::to).transpose()?;
        let engine = Arc::new(Engine::new(runtime, config.engine)?);
        let opts = Opts::new("uflow_connections", "Connections that are open, by port.");
        let connections = register(engine.metrics().registry(), IntGaugeVec::new(opts, &["port"]))?;
        let open = |port: &str| connections.with_label_values(&[port]);
        let grpc = listen(config.grpc, &secrets.grpc_tls, &config, None, open("grpc")).await?;
        let http = listen(config.http, &secrets.http_tls, &config, Some(HTTP_IDLE), open("http")).await?;
        let registry = Registry::start(Arc::clone(&engine), repository, config.control, config.versions)?;
        let app = Arc::new(App::new(engine, registry, traces)?);

        let (reporter, health) = health_reporter();
        let (stop, stopping) = watch::channel(false);
        let (grpc_address, http_address) = (grpc.address(), http.address());
        let auth = Auth::new(secrets.tokens.clone());
        let rest = http::router(Arc::clone(&app), http_settings(&config, secrets.tokens.clone()));
        let router = services(&app, &config, auth)?.add_service(health);
        let helpers =
            vec![tokio::spawn(report_health(Arc::clone(&app), reporter)), tokio::spawn(secrets.watch(config.clone()))];
        let grpc = tokio::spawn(router.serve_with_incoming_shutdown(grpc, set(stopping.clone())));
        let http = axum::serve(http, rest).with_graceful_shutdown(set(stopping));
        let http = tokio::spawn(async { http.await });
        tracing::info!(grpc = %grpc_address, http = %http_address, "listening");
        Ok(Self { app, config, grpc_address, http_address, stop, grpc, http, helpers })
    }

    /// Address of the gRPC port.
    pub fn grpc_address(&self) -> SocketAddr {
        self.grpc_address
    }

    /// Address of the HTTP port.
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// The state that protocols share.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Waits until every model that the repository had at the start is ready or failed.
    pub async fn loaded(&self) {
        let _ = self.app.registry().started().wait_for(|started| *started).await;
    }

    /// Ends it: NOT_SERVING, then after the configured delay no new frames, and what was accepted is answered within the
    /// configured time. Whether all of it was.
    pub async fn stop(mut self) -> bool {
        self.app.leave();
        tokio::time::sleep(self.config.shutdown_delay).await;
        self.app.drain();
        self.stop.send_replace(true);
        let both = async { tokio::join!(&mut self.grpc, &mut self.http) };
        let drained = tokio::select! {
            _ = both => true,
            () = idle(&self.app) => true,
            () = tokio::time::sleep(self.config.drain) => false,
        };
        self.grpc.abort();
        self.http.abort();
        self.helpers.iter().for_each(JoinHandle::abort);
        drained
    }
}

async fn listen(
    address: SocketAddr,
    tls: &Option<Arc<Tls>>,
    config: &Config,
    idle: Option<Duration>,
    open: IntGauge,
) -> Result<Incoming> {
    let failed = |error| Error::io("listen on", Path::new(&address.to_string()))(error);
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let patience = Patience { greeting: GREETING, idle };
    Incoming::accept(listener, tls.clone(), config.max_connections, patience, open).map_err(failed)
}

fn http_settings(config: &Config, tokens: Option<Arc<Tokens>>) -> HttpSettings {
    let authorize = |tokens: Arc<Tokens>| -> http::Authorize {
        Arc::new(move |headers, scope| {
            tokens.check(headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()), scope)
        })
    };
    HttpSettings { max_body_bytes: config.max_message, authorize: tokens.map(authorize), ..HttpSettings::default() }
}

/// Waits until a flag is set.
async fn set(mut flag: watch::Receiver<bool>) {
    let _ = flag.wait_for(|set| *set).await;
}

/// Waits until no frame is being asked about, and clients have had time to go.
async fn idle(app: &App) {
    let mut since = None;
    while since.is_none_or(|since: Instant| since.elapsed() < GOODBYE) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        since = if app.requests().open() == 0 { since.or_else(|| Some(Instant::now())) } else { None };
    }
}

/// A service that takes and gives gzip and zstd.
macro_rules! compressed {
    ($service:expr) => {
        $service
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd)
            .send_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Zstd)
    };
}

/// Answers are compressed as their request was, or not at all: many clients say by default that they would take gzip, and
/// few on a fast network want to wait for it.
fn compress_like_request(request: &mut Request) {
    let headers = request.headers_mut();
    let encoding = headers.get("grpc-encoding").cloned();
    if let Some(accepted) = headers.remove("grpc-accept-encoding")
        && let (Ok(accepted), Some(encoding)) = (accepted.to_str(), encoding)
        && accepted.split(',').any(|one| one.trim() == encoding)
    {
        headers.insert("grpc-accept-encoding", encoding);
    }
}

/// What is done to every call as its headers come.
fn prepare(receiving: Receiving) -> impl Fn(Request) -> Request + Clone {
    move |mut request| {
        compress_like_request(&mut request);
        deadline::note(&mut request);
        request.map(|body| tonic::body::Body::new(receiving.watch(body)))
    }
}

type Request = tonic::codegen::http::Request<tonic::body::Body>;
/// What every request goes through, the outermost last.
type Layers<F> = Stack<MapRequestLayer<F>, Stack<Auth, Identity>>;

fn services(
    app: &Arc<App>,
    config: &Config,
    auth: Auth,
) -> Result<Router<Layers<impl Fn(Request) -> Request + Clone + use<>>>> {
    let reflection = |error: tonic_reflection::server::Error| Error::Internal(format!("reflection: {error}"));
    let describe = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let mut server = tonic::transport::Server::builder()
        .max_concurrent_streams(config.max_streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_SIZE)
        .http2_keepalive_interval(config.keepalive)
        .http2_keepalive_timeout(config.keepalive.map(|interval| interval.min(PING_ANSWER)))
        .layer(auth)
        .layer(MapRequestLayer::new(prepare(Receiving::new(app.engine().metrics().registry())?)));
    if let Some(age) = config.max_connection_age {
        server = server.max_connection_age(age).max_connection_age_grace(config.drain);
    }
    let detection = Detection::new(Arc::clone(app), config.stream_window, config.when_full);
    let detection = compressed!(DetectionServiceServer::new(detection))
        .max_decoding_message_size(config.max_message)
        .max_encoding_message_size(config.max_message);
    let oip = Oip::new(Arc::clone(app), config.stream_window, config.when_full);
    let oip = compressed!(GrpcInferenceServiceServer::new(oip))
        .max_decoding_message_size(config.max_message)
        .max_encoding_message_size(config.max_message);
    let models = compressed!(ModelServiceServer::new(Models::new(Arc::clone(app))));
    Ok(server
        .add_service(detection)
        .add_service(models)
        .add_service(oip)
        .add_service(describe().build_v1().map_err(reflection)?)
        .add_service(describe().build_v1alpha().map_err(reflection)?))
}

/// Keeps `grpc.health.v1` in line: the server under the empty name and its services' names, each model under its own.
async fn report_health(app: Arc<App>, mut reporter: HealthReporter) {
    const SERVICES: [&str; 4] =
        ["", "uflow.v1.DetectionService", "uflow.v1.ModelService", "inference.GRPCInferenceService"];
    let (mut changes, mut started, mut phase) = (app.registry().changes(), app.registry().started(), app.phase());
    let mut known: Vec<String> = Vec::new();
    loop {
        let serving = |yes: bool| if yes { ServingStatus::Serving } else { ServingStatus::NotServing };
        let ready = app.is_ready();
        for service in SERVICES {
            reporter.set_service_status(service, serving(ready)).await;
        }
        let leaving = app.is_leaving();
        let mut names: Vec<String> = Vec::new();
        for status in app.registry().list() {
            if names.last() != Some(&status.name) {
                let takes_frames = app.registry().get(&status.name, 0).is_ok() && !leaving;
                reporter.set_service_status(&status.name, serving(takes_frames)).await;
                names.push(status.name);
            }
        }
        for gone in known.iter().filter(|name| !names.contains(name)) {
            reporter.clear_service_status(gone).await;
        }
        known = names;
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            changed = started.changed() => if changed.is_err() { return },
            changed = phase.changed() => if changed.is_err() { return },
        }
    }
}

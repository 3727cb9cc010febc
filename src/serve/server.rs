//! The server: ports, services, health, and shutdown.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use prometheus::{IntGaugeVec, Opts};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tonic::{codec::CompressionEncoding, transport::server::Router};
use tonic_health::server::health_reporter;
use tower::{
    layer::util::{Identity, Stack},
    util::MapRequestLayer,
};

use super::{
    app::App,
    auth::{Auth, Gate},
    config::{Address, Config},
    deadline, descriptors,
    drift::{Drift, Webhook},
    health,
    http::{self, HttpSettings},
    incoming::{Incoming, Patience},
    inflate::Inflate,
    oip::Oip,
    ports::{InUse, serve_http},
    proto::{
        FILE_DESCRIPTOR_SET,
        inference::grpc_inference_service_server::GrpcInferenceServiceServer,
        v1::{detection_service_server::DetectionServiceServer, model_service_server::ModelServiceServer},
    },
    receive::Receiving,
    registry::Registry,
    secrets::Secrets,
    shared_memory::{Access, SharedMemory},
    store::{ForCheck, Source},
    tidy,
    tls::Tls,
    trace::Traces,
    uflow_v1::{Detection, Models},
};
use crate::{
    Error, Reason, Result,
    engine::{Engine, register},
    package::Package,
    pipeline::Verification,
    runtime::Runtime,
};

/// HTTP/2 windows: a few large frames, so that round trips do not limit a stream.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Largest HTTP/2 frame. A camera's picture then takes a few frames instead of hundreds of the default 16 KiB.
const FRAME_SIZE: u32 = 256 << 10;
/// How long a client may take to answer an HTTP/2 ping, unless pings are more frequent.
const PING_ANSWER: Duration = Duration::from_secs(20);
/// How long a body on the HTTP port may make no progress in either direction. HTTP/2's pings find idle clients of the gRPC port.
const HTTP_IDLE: Duration = Duration::from_secs(60);
/// How long connections may stay open after the last frame is answered, so that clients can read their last answers. Calls
/// without an end of their own, such as a health watch, are then cut off.
const GOODBYE: Duration = Duration::from_secs(2);

/// A running server.
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    config: Config,
    grpc_address: SocketAddr,
    http_address: SocketAddr,
    /// Stops accepting, and tells clients to close their connections.
    stop: watch::Sender<bool>,
    grpc: JoinHandle<Result<(), tonic::transport::Error>>,
    http: JoinHandle<()>,
    /// Tasks that end with the server.
    helpers: Vec<JoinHandle<()>>,
}

/// Checks everything that [`Server::start`] needs without taking a port: reads secrets, loads and warms up each model that
/// would be served, and verifies this machine with its golden frames.
///
/// # Errors
/// What would keep the server from starting, and the first package that cannot be loaded or whose golden frames do not agree.
pub fn check(runtime: &Runtime, config: &Config) -> Result<Checked> {
    let secrets = Secrets::load(config)?;
    let ForCheck { listing, passed_over, .. } = &ForCheck::open(config)?;
    let engine = Engine::new(runtime, secrets.engine_options(config))?;
    // All of them, as the server would hold them.
    let (mut models, mut loaded) = (Vec::new(), Vec::new());
    for (name, versions) in listing {
        for (&version, found) in versions.iter().rev().take(config.versions.most()) {
            let package = Package::open(&found.path)?;
            let wrong = |error| match error {
                error @ Error::Package { .. } => error,
                error => Error::package(&found.path, Reason::of(error)),
            };
            let model = engine.load(&package, name, version).map_err(wrong)?;
            let verified = model.verify(None).map_err(wrong)?;
            verified.as_ref().map_or(Ok(()), Verification::check).map_err(wrong)?;
            let golden = verified.map_or(0, |verified| verified.frames.len());
            models.push(CheckedModel { name: name.clone(), version, golden });
            loaded.push(model);
        }
    }
    Ok(Checked { models, passed_over: passed_over.clone() })
}

/// The result of [`check`].
#[derive(Clone, Debug)]
pub struct Checked {
    /// The models that would be served.
    pub models: Vec<CheckedModel>,
    /// Folders and packages in the repository that would not be served.
    pub passed_over: Vec<PathBuf>,
}

/// A model that [`check`] loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedModel {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// How many golden frames its package has; all of them agree.
    pub golden: usize,
}

impl Server {
    /// Takes the ports and starts to load models. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// A port in use, an invalid file, an option outside its range.
    pub async fn start(runtime: &Runtime, config: Config) -> Result<Self> {
        let secrets = Secrets::load(&config)?;
        let Source { repository, feed, filler } = Source::open(&config).await?;
        let traces = config.otlp.as_deref().map(Traces::to).transpose()?;
        let engine = Arc::new(Engine::new(runtime, secrets.engine_options(&config))?);
        let (grpc, http) = listen(&config, &secrets, &engine).await?;
        let registry = Registry::start_fed(Arc::clone(&engine), repository, config.control, config.versions, feed)?;
        let filling = Source::keep_filled(filler, &registry, engine.metrics().registry())?;
        let webhook = config.drift_webhook.as_deref().map(Webhook::to).transpose()?;
        let (webhook, sending) = webhook.unzip();
        let drift = Drift::new(config.drift_run_length, webhook, engine.metrics().registry())?;
        let app = App::new(engine, registry, Arc::clone(&drift), traces)?
            .with_largest_answer(config.max_message)
            .with_ready_when_empty(config.ready_when_empty);
        let app = Arc::new(app);

        let (reporter, health_service) = health_reporter();
        let (stop, stopping) = watch::channel(false);
        let (grpc_address, http_address) = (grpc.address(), http.address());
        let gate = |tokens| Gate::new(tokens, app.engine().metrics().registry()).map(Arc::new);
        let gate = secrets.tokens.clone().map(gate).transpose()?;
        let http_settings =
            HttpSettings { max_body_bytes: config.max_message, gate: gate.clone(), ..HttpSettings::default() };
        let access = match (config.allow_shared_memory, secrets.tokens.is_some()) {
            (false, _) => Access::Off,
            (true, false) => Access::Loopback,
            (true, true) => Access::Anywhere,
        };
        let oip = Oip::new(Arc::clone(&app), config.stream_window, config.when_full)
            .with_shared_memory(SharedMemory::new(access));
        let rest = http::router(oip.clone(), http_settings);
        let router = services(&app, oip, &config, Auth::new(gate))?.add_service(health_service);
        warn_if_open(&config, grpc_address, http_address);
        let mut helpers = vec![
            tokio::spawn(health::report(Arc::clone(&app), reporter).await),
            tokio::spawn(tidy::after_work(Arc::clone(app.engine()))),
            tokio::spawn(drift.follow(Arc::clone(&app))),
        ];
        helpers.extend(sending);
        helpers.extend(filling);
        helpers.extend(secrets.tokens.clone().map(|tokens| tokio::spawn(tokens.watch())));
        helpers.push(tokio::spawn(secrets.watch(config.clone())));
        let grpc = tokio::spawn(router.serve_with_incoming_shutdown(grpc, set(stopping.clone())));
        let http = tokio::spawn(serve_http(http, rest, config.head, stopping));
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

    /// Waits until every model that the repository had at the start is ready or has failed.
    pub async fn loaded(&self) {
        let _ = self.app.registry().started().wait_for(|started| *started).await;
    }

    /// Shuts the server down: reports NOT_SERVING, after the configured delay takes no new frames, and answers accepted frames
    /// within the configured time. Returns whether all were answered.
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
        // A package that is being loaded is loaded to its end, which may take long.
        let app = Arc::clone(&self.app);
        let closed = tokio::task::spawn_blocking(move || app.registry().close());
        let _ = tokio::time::timeout(self.config.drain, closed).await;
        drained
    }
}

/// Takes both ports. The limit of open files bounds their connections.
async fn listen(config: &Config, secrets: &Secrets, engine: &Engine) -> Result<(Incoming, Incoming)> {
    let wanted = config.max_connections;
    let most = tokio::task::spawn_blocking(move || descriptors::connections(wanted)).await;
    let most =
        most.map_err(|error| Error::internal(Reason::because("file descriptors cannot be counted", error)))??;
    let metrics = engine.metrics().registry();
    let opts = Opts::new("uflow_connections", "Connections that are open, by port.");
    let open = register(metrics, IntGaugeVec::new(opts, &["port"]))?;
    let opts = Opts::new("uflow_connections_limit", "Most connections that may be open, by port.");
    let limit = register(metrics, IntGaugeVec::new(opts, &["port"]))?;
    let port = async |name: &str,
                      address: &Address,
                      tls: &Option<Arc<Tls>>,
                      (idle, life): (Option<Duration>, Option<Duration>)| {
        let failed = |error| Error::io("listen on", Path::new(&address.to_string()))(error);
        let listener = TcpListener::bind((address.host(), address.port())).await.map_err(failed)?;
        limit.with_label_values(&[name]).set(most as i64);
        let patience = Patience { head: config.head, idle, may_close_used: idle.is_some(), life };
        Incoming::accept(listener, tls.clone(), most, patience, open.with_label_values(&[name])).map_err(failed)
    };
    let life = config.max_connection_age.map(|age| age.saturating_add(config.drain));
    Ok((
        port("grpc", &config.grpc, &secrets.grpc_tls, (None, life)).await?,
        port("http", &config.http, &secrets.http_tls, (Some(HTTP_IDLE), None)).await?,
    ))
}

/// Warns about addresses that other machines can reach without credentials or encryption.
fn warn_if_open(config: &Config, grpc: SocketAddr, http: SocketAddr) {
    for (port, address, has_tls) in
        [("grpc", grpc, config.tls.is_some()), ("http", http, config.tls.is_some() && config.http_tls)]
    {
        if address.ip().is_loopback() {
            continue;
        }
        if config.tokens.is_none() && config.tls.as_ref().is_none_or(|tls| tls.client_ca.is_none() || !has_tls) {
            tracing::warn!(
                port, %address,
                "every machine that reaches this address may use the server; set --tokens or --tls-client-ca, or listen on 127.0.0.1"
            );
        }
        if !has_tls {
            tracing::warn!(
                port, %address,
                "frames, answers and tokens cross the network unencrypted; set --tls-cert and --tls-key, or listen on 127.0.0.1"
            );
        }
    }
}

/// Waits until a flag is set.
async fn set(mut flag: watch::Receiver<bool>) {
    let _ = flag.wait_for(|set| *set).await;
}

/// Waits until no frame is unanswered and clients have had time to close their connections.
async fn idle(app: &App) {
    let mut since = None;
    while since.is_none_or(|since: Instant| since.elapsed() < GOODBYE) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        since = if app.requests().open() == 0 { since.or_else(|| Some(Instant::now())) } else { None };
    }
}

/// Lets a service receive and send deflate, gzip and zstd.
macro_rules! compressed {
    ($service:expr) => {
        $service
            .accept_compressed(CompressionEncoding::Deflate)
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd)
            .send_compressed(CompressionEncoding::Deflate)
            .send_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Zstd)
    };
}

/// Answers use the compression of their request. Many clients accept gzip by default, but compression would slow them down on a
/// fast network.
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

/// Prepares every call when its headers arrive.
fn prepare(receiving: Receiving, largest: usize) -> impl Fn(Request) -> Request + Clone {
    let inflate = Inflate::new(receiving.clone(), largest);
    move |mut request| {
        compress_like_request(&mut request);
        deadline::note(&mut request);
        let (mut head, body) = request.into_parts();
        let body = inflate.body(&mut head.headers, receiving.watch(body));
        Request::from_parts(head, tonic::body::Body::new(body))
    }
}

type Request = tonic::codegen::http::Request<tonic::body::Body>;
/// The layers around every service, the outermost last.
type Layers<F> = Stack<MapRequestLayer<F>, Stack<Auth, Stack<InUse, Identity>>>;

fn services(
    app: &Arc<App>,
    oip: Oip,
    config: &Config,
    auth: Auth,
) -> Result<Router<Layers<impl Fn(Request) -> Request + Clone + use<>>>> {
    let reflection = |error: tonic_reflection::server::Error| Error::internal(Reason::because("reflection", error));
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
        .layer(InUse)
        .layer(auth)
        .layer(MapRequestLayer::new(prepare(Receiving::new(app.engine().metrics().registry())?, config.max_message)));
    // With a grace period, tonic 0.14 does not ask the connection to end and cuts it: its life is limited where it is accepted.
    if let Some(age) = config.max_connection_age {
        server = server.max_connection_age(age);
    }
    let detection = Detection::new(Arc::clone(app), config.stream_window, config.when_full);
    let detection = compressed!(DetectionServiceServer::new(detection))
        .max_decoding_message_size(config.max_message)
        .max_encoding_message_size(config.max_message);
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

//! The HTTP port: metrics, health, and detection for curl and small gateways.
//!
//! `ROUTES` is all of it: the router, the index at `/` and the check of `openapi.json` are made from it. Every error is JSON,
//! `{"error": "text", "code": "NOT_FOUND"}`, also that of an unknown path or method. Nothing here blocks the event loop:
//! answers are encoded on the engine's threads.

mod answer;
mod detect;
mod error;
mod health;
mod oip;
mod process;
mod query;
mod target;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use tokio::sync::Semaphore;
use tonic::Code;

use self::error::Problem;
use super::{
    app::App,
    auth::{Access, Gate, Scope},
    origin::{Origin, REQUEST_ID},
};
use crate::Error;

/// What the HTTP port allows.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Most bytes of a request's body.
    pub max_body_bytes: usize,
    /// Most bodies that are received at the same time; one more is refused.
    pub max_uploads: usize,
    /// Longest time that a body may take to arrive.
    pub body_timeout: Duration,
    /// Checks tokens. Without it everybody may do everything. Health is never protected.
    pub gate: Option<Arc<Gate>>,
}

impl Default for HttpSettings {
    /// 64 MiB, 64 bodies, half a minute, no protection.
    fn default() -> Self {
        Self { max_body_bytes: 64 << 20, max_uploads: 64, body_timeout: Duration::from_secs(30), gate: None }
    }
}

/// What handlers share.
#[derive(Debug)]
struct Server {
    app: Arc<App>,
    settings: HttpSettings,
    /// Bodies that may still be received.
    uploads: Semaphore,
}

/// One operation.
struct Route {
    method: &'static str,
    path: &'static str,
    /// What it takes to be allowed; `None` is open to all.
    scope: Option<Scope>,
    about: &'static str,
    handler: fn() -> MethodRouter<Arc<Server>>,
}

const fn route(
    (method, path): (&'static str, &'static str),
    scope: Option<Scope>,
    about: &'static str,
    handler: fn() -> MethodRouter<Arc<Server>>,
) -> Route {
    Route { method, path, scope, about, handler }
}

const INFERENCE: Option<Scope> = Some(Scope::Inference);

/// Every operation, one a path. `GET` answers `HEAD` too.
const ROUTES: [Route; 16] = [
    route(("GET", "/"), None, "this list", || get(index)),
    route(("GET", "/openapi.json"), None, "its OpenAPI description", || get(openapi)),
    route(("GET", "/healthz"), None, "whether the server lives", || get(health::live)),
    route(("GET", "/readyz"), None, "whether it takes frames, and its models", || get(health::ready)),
    route(("GET", "/metrics"), Some(Scope::Metrics), "figures for Prometheus", || get(metrics)),
    route(("POST", "/v1/models/{model}/detect"), INFERENCE, "image in, detection out", || post(detect::detect)),
    route(
        ("POST", "/v1/models/{model}/versions/{version}/detect"),
        INFERENCE,
        "the same with one version of the model",
        || post(detect::detect),
    ),
    route(("GET", "/v2"), INFERENCE, "Open Inference Protocol: the server", || get(oip::server)),
    route(("GET", "/v2/health/live"), None, "whether the server lives", || get(oip::live)),
    route(("GET", "/v2/health/ready"), None, "whether it takes frames", || get(oip::ready)),
    route(("GET", "/v2/models/{model}"), INFERENCE, "a model's tensors", || get(oip::model)),
    route(("GET", "/v2/models/{model}/versions/{version}"), INFERENCE, "a version's tensors", || get(oip::model)),
    route(("GET", "/v2/models/{model}/ready"), INFERENCE, "whether a model takes frames", || get(oip::model_ready)),
    route(("GET", "/v2/models/{model}/versions/{version}/ready"), INFERENCE, "whether a version takes frames", || {
        get(oip::model_ready)
    }),
    route(("POST", "/v2/models/{model}/infer"), INFERENCE, "not here: over gRPC only", || post(oip::infer)),
    route(("POST", "/v2/models/{model}/versions/{version}/infer"), INFERENCE, "not here: over gRPC only", || {
        post(oip::infer)
    }),
];

/// The HTTP port's service on the shared state.
pub fn router(app: Arc<App>, settings: HttpSettings) -> Router {
    let engine = app.engine();
    if let Err(error) = process::register(engine) {
        tracing::error!(%error, "figures of the process are missing from /metrics");
    }
    let uploads = Semaphore::new(settings.max_uploads.min(Semaphore::MAX_PERMITS));
    let server = Arc::new(Server { app, settings, uploads });
    let mut router = Router::new();
    for route in &ROUTES {
        let mut handler = (route.handler)();
        if let Some(scope) = route.scope {
            handler = handler.route_layer(middleware::from_fn_with_state((Arc::clone(&server), scope), authorize));
        }
        router = router.route(route.path, handler);
    }
    let router = router.fallback(no_such_path).method_not_allowed_fallback(no_such_method).with_state(server);
    router.layer(middleware::from_fn(identify))
}

/// Notes where a request comes from, and answers with its id.
async fn identify(mut request: Request, next: Next) -> Response {
    let origin = Origin::of(request.headers(), request.extensions());
    let id = origin.header();
    request.extensions_mut().insert(origin);
    let mut response = next.run(request).await;
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

async fn authorize(
    State((server, scope)): State<(Arc<Server>, Scope)>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if let Some(gate) = &server.settings.gate {
        let origin = Origin::of(request.headers(), request.extensions());
        gate.check(request.uri().path(), Some(Access::Needs(scope)), request.headers(), &origin)?;
    }
    Ok(next.run(request).await)
}

async fn index() -> String {
    listing()
}

fn listing() -> String {
    let lines = ROUTES.iter().map(|route| format!("{:<5}{:<51}{}\n", route.method, route.path, route.about));
    format!("uflow {}\n\n{}", crate::VERSION, lines.collect::<String>())
}

async fn openapi() -> Response {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, JSON)], include_str!("openapi.json")).into_response()
}

async fn metrics(State(server): State<Arc<Server>>) -> Result<Response, Problem> {
    const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    // Some figures are read from files of the system.
    let text = tokio::task::spawn_blocking(move || server.app.engine().metrics().text()).await;
    let text = text.map_err(|error| Error::Internal(format!("the figures cannot be read: {error}")))?;
    Ok(([(header::CONTENT_TYPE, TEXT)], text).into_response())
}

async fn no_such_path(uri: Uri) -> Problem {
    let text = format!("there is no {} here; GET / lists what there is", path(&uri));
    Problem::new(StatusCode::NOT_FOUND, Code::NotFound, text)
}

async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let method = method.as_str().chars().take(20).collect::<String>();
    let text = format!("{} does not take {method}; the header Allow says what it does", path(&uri));
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, text)
}

/// A path, fit to be shown.
fn path(uri: &Uri) -> String {
    format!("`{}`", uri.path().chars().take(100).collect::<String>().escape_debug())
}

//! The HTTP port: metrics, health, detection for curl and small gateways, and the Open Inference Protocol over REST.
//!
//! Each handler is annotated with its path and with what it takes and gives. The router, the index at `/` and the OpenAPI
//! description at `/openapi.json` are made from the annotations. Every error is JSON, `{"error": "text", "code": "NOT_FOUND"}`,
//! also that of an unknown path or method. Nothing here blocks the event loop: answers are encoded on the engine's threads.

mod annotated;
mod answer;
mod body;
mod compress;
mod detect;
mod document;
mod drift;
mod error;
mod health;
mod models;
mod multipart;
mod oip;
mod process;
mod query;
mod several;
mod target;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use tokio::sync::Semaphore;
use tonic::Code;
use utoipa::OpenApi as _;
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouter},
    routes,
};

use self::{
    document::{Document, TokenErrors},
    error::Problem,
};
use super::{
    app::App,
    auth::{Access, Gate, Scope},
    oip::Oip,
    origin::{Origin, REQUEST_ID},
};
use crate::{Error, Reason};

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
struct Server {
    app: Arc<App>,
    /// The Open Inference Protocol's service, which the gRPC port shares.
    oip: Oip,
    settings: HttpSettings,
    /// Bodies that may still be received.
    uploads: Semaphore,
    /// Memory for drawing pictures.
    drawing: annotated::Memory,
    /// The OpenAPI description.
    description: OnceLock<utoipa::openapi::OpenApi>,
}

/// Every route; `GET` answers `HEAD` too.
fn routes(server: &Arc<Server>) -> OpenApiRouter<Arc<Server>> {
    let guarded = |scope, (schemas, paths, router): UtoipaMethodRouter<Arc<Server>>| {
        let guard = middleware::from_fn_with_state((Arc::clone(server), scope), authorize);
        (schemas, paths, router.route_layer(guard))
    };
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(index))
        .routes(routes!(openapi))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(oip::live))
        .routes(routes!(oip::ready))
        .routes(guarded(Scope::Metrics, routes!(metrics)))
        .routes(guarded(Scope::Inference, routes!(models::list)))
        .routes(guarded(Scope::Inference, routes!(drift::drift)))
        .routes(guarded(Scope::Inference, routes!(drift::drift_version)))
        .routes(guarded(Scope::Control, routes!(drift::clear)))
        .routes(guarded(Scope::Control, routes!(drift::clear_version)))
        .routes(guarded(Scope::Inference, routes!(detect::detect)))
        .routes(guarded(Scope::Inference, routes!(detect::detect_version)))
        .routes(guarded(Scope::Inference, routes!(oip::server)))
        .routes(guarded(Scope::Inference, routes!(oip::model)))
        .routes(guarded(Scope::Inference, routes!(oip::model_version)))
        .routes(guarded(Scope::Inference, routes!(oip::model_ready)))
        .routes(guarded(Scope::Inference, routes!(oip::model_version_ready)))
        .routes(guarded(Scope::Inference, routes!(oip::config::config)))
        .routes(guarded(Scope::Inference, routes!(oip::config::version_config)))
        .routes(guarded(Scope::Inference, routes!(oip::stats::all)))
        .routes(guarded(Scope::Inference, routes!(oip::stats::model)))
        .routes(guarded(Scope::Inference, routes!(oip::stats::version)))
        .routes(guarded(Scope::Inference, routes!(oip::infer::infer)))
        .routes(guarded(Scope::Inference, routes!(oip::infer::infer_version)))
        .routes(guarded(Scope::Inference, routes!(oip::repository::index)))
        .routes(guarded(Scope::Control, routes!(oip::repository::load)))
        .routes(guarded(Scope::Control, routes!(oip::repository::unload)))
        .routes(guarded(Scope::Inference, routes!(oip::shared_memory::status)))
        .routes(guarded(Scope::Inference, routes!(oip::shared_memory::region_status)))
        .routes(guarded(Scope::Control, routes!(oip::shared_memory::register)))
        .routes(guarded(Scope::Control, routes!(oip::shared_memory::unregister)))
        .routes(guarded(Scope::Control, routes!(oip::shared_memory::unregister_all)))
}

/// The HTTP port's service on the state that it shares with the gRPC port.
pub fn router(oip: Oip, settings: HttpSettings) -> Router {
    let app = Arc::clone(oip.app());
    let engine = app.engine();
    if let Err(error) = process::register(engine) {
        tracing::error!(%error, "figures of the process are missing from /metrics");
    }
    let uploads = Semaphore::new(settings.max_uploads.min(Semaphore::MAX_PERMITS));
    let drawing = annotated::Memory::new(app.engine().options());
    let server = Arc::new(Server { app, oip, settings, uploads, drawing, description: OnceLock::new() });
    let (router, description) = routes(&server).split_for_parts();
    server.description.get_or_init(|| description);
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
    if scope == Scope::Control {
        let origin = Origin::of(request.headers(), request.extensions());
        let client = origin.client().map(tracing::field::display);
        tracing::info!(method = request.uri().path(), client, request_id = origin.request_id(), "model control");
    }
    Ok(next.run(request).await)
}

/// The routes
#[utoipa::path(get, path = "/", operation_id = "index", tag = "server",
    responses((status = 200, description = "A line for each route.", body = String, content_type = "text/plain")))]
async fn index(State(server): State<Arc<Server>>) -> String {
    let mut text = format!("uflow {}\n\n", crate::VERSION);
    for (path, item) in server.description.get().into_iter().flat_map(|description| &description.paths.paths) {
        for (method, operation) in [("GET", &item.get), ("POST", &item.post)] {
            let summary = operation.as_ref().and_then(|operation| operation.summary.as_deref());
            text.extend(summary.map(|summary| format!("{method:<5}{path:<53}{summary}\n")));
        }
    }
    text
}

/// The OpenAPI description of this port
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi", tag = "server",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object, content_type = "application/json")))]
async fn openapi(State(server): State<Arc<Server>>) -> Response {
    Json(server.description.get()).into_response()
}

/// Metrics for Prometheus
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "server",
    responses(
        (status = 200, description = "Prometheus' text format, version 0.0.4.", body = String, content_type = "text/plain"),
        TokenErrors,
    ),
    security(("bearer" = []), ()))]
async fn metrics(State(server): State<Arc<Server>>) -> Result<Response, Problem> {
    const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    // Some figures are read from files of the system.
    let text = tokio::task::spawn_blocking(move || server.app.engine().metrics().text()).await;
    let text = text.map_err(|error| Error::internal(Reason::because("the figures cannot be read", error)))?;
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

//! Whether the server lives, and whether frames should be sent to it.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::Server;
use crate::serve::registry::Status;

/// Whether the server takes frames, and what its models are doing.
#[derive(Debug, Serialize, ToSchema)]
struct Readiness {
    /// Whether frames should be sent here.
    ready: bool,
    /// What the server is doing: `starting`, `running` or `stopping`.
    server: &'static str,
    /// Why the server is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Every version of every model. Where the server has tokens, only a request with a token learns of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    models: Option<Vec<Model>>,
}

/// A version of a model. The reason of its state may name files of the server, so it is told over gRPC only.
#[derive(Debug, Serialize, ToSchema)]
struct Model {
    /// Name of the model.
    name: String,
    /// The version.
    version: u32,
    /// What the version is doing: `available`, `loading`, `ready`, `unloading` or `failed`.
    state: &'static str,
    /// Whether requests without a version go to it.
    current: bool,
}

/// Whether the server lives
///
/// Never protected.
#[utoipa::path(get, path = "/healthz", operation_id = "healthz", tag = "health",
    responses((status = 200, description = "`ok`.", body = String, content_type = "text/plain")))]
pub(super) async fn live() -> &'static str {
    "ok"
}

/// Whether the server takes frames, and its models
///
/// Never protected. Where the server has tokens, only a request with a token learns of the models.
#[utoipa::path(get, path = "/readyz", operation_id = "readyz", tag = "health",
    responses(
        (status = 200, description = "The server takes frames.", body = Readiness),
        (status = 503, description = "The server takes no frames; `reason` says why.", body = Readiness),
    ))]
pub(super) async fn ready(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    let app = &server.app;
    // Asked first: a server that is not ready, and had not started when it was asked, is starting.
    let started = *app.registry().started().borrow();
    let reason = app.not_ready();
    let ready = reason.is_none();
    let state = match (ready, app.is_leaving(), started) {
        (true, ..) | (false, false, true) => "running",
        (false, true, _) => "stopping",
        (false, false, false) => "starting",
    };
    let knows = server.settings.gate.as_ref().is_none_or(|gate| gate.knows(&headers));
    let models = knows.then(|| app.registry().list().into_iter().map(model).collect());
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, server: state, reason, models })).into_response()
}

fn model(status: Status) -> Model {
    Model { name: status.name, version: status.version, state: status.state.name(), current: status.current }
}

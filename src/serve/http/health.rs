//! Whether the server lives, and whether frames should be sent to it.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::Server;
use crate::serve::registry::{self, Status};

/// The body of `/readyz`.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    server: &'static str,
    models: Vec<Model>,
}

/// A version of a model. Why it is as it is may name files of the server, so that is not told to all comers.
#[derive(Debug, Serialize)]
struct Model {
    name: String,
    version: u32,
    state: &'static str,
    current: bool,
}

pub(super) async fn live() -> &'static str {
    "ok"
}

pub(super) async fn ready(State(server): State<Arc<Server>>) -> Response {
    let app = &server.app;
    // Asked first: a server that is not ready and had not started then is not ready for that reason.
    let started = *app.registry().started().borrow();
    let ready = app.is_ready();
    let state = match (ready, app.is_leaving(), started) {
        (true, ..) | (false, false, true) => "running",
        (false, true, _) => "stopping",
        (false, false, false) => "starting",
    };
    let models = app.registry().list().into_iter().map(model).collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, server: state, models })).into_response()
}

fn model(status: Status) -> Model {
    let state = match status.state {
        registry::State::Available => "available",
        registry::State::Loading => "loading",
        registry::State::Ready => "ready",
        registry::State::Unloading => "unloading",
        registry::State::Failed => "failed",
    };
    Model { name: status.name, version: status.version, state, current: status.current }
}

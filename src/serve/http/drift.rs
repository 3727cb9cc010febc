//! How the lines of the models are doing, and the end of alarms.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Server,
    body::json,
    document::{BodyErrors, ModelErrors},
    error::Problem,
    target::{Model, Target, Version},
};
use crate::serve::drift::DriftReport;

/// How alarms end.
#[derive(Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = DriftClear)]
pub(super) struct Clear {
    /// Whether the frames since the change began are good: a false alarm, or a change that is wanted. They are then learned. Else the
    /// cause was removed, and they stay forgotten.
    learn: bool,
}

/// Whether a model's line has drifted
#[utoipa::path(get, path = "/v1/models/{model}/drift", operation_id = "drift", tag = "detection", params(Model),
    responses((status = 200, description = "Evidence and alarms.", body = DriftReport), ModelErrors),
    security(("bearer" = []), ()))]
pub(super) async fn drift(State(server): State<Arc<Server>>, target: Target) -> Result<Json<DriftReport>, Problem> {
    let model = server.app.registry().get(&target.model, target.version)?;
    Ok(Json(server.app.drift().report(&model)))
}

/// Whether a version's line has drifted
#[utoipa::path(get, path = "/v1/models/{model}/versions/{version}/drift", operation_id = "driftVersion",
    tag = "detection", params(Model, Version),
    responses((status = 200, description = "Evidence and alarms.", body = DriftReport), ModelErrors),
    security(("bearer" = []), ()))]
pub(super) async fn drift_version(server: State<Arc<Server>>, target: Target) -> Result<Json<DriftReport>, Problem> {
    drift(server, target).await
}

/// End the alarms of a model
///
/// After their cause was removed, or where they are false (`{"learn": true}`). The tests then begin from zero.
#[utoipa::path(post, path = "/v1/models/{model}/drift/clear", operation_id = "driftClear", tag = "detection",
    params(Model), request_body(description = "May be left out.", content((Clear = "application/json"))),
    responses((status = 200, description = "No alarm is raised.", body = DriftReport), BodyErrors, ModelErrors),
    security(("bearer" = []), ()))]
pub(super) async fn clear(
    State(server): State<Arc<Server>>,
    target: Target,
    request: Request,
) -> Result<Json<DriftReport>, Problem> {
    let model = server.app.registry().get(&target.model, target.version)?;
    let Clear { learn } = json(&server, request).await?;
    Ok(Json(server.app.drift().clear(&model, learn)?))
}

/// End the alarms of a version
///
/// As without a version.
#[utoipa::path(post, path = "/v1/models/{model}/versions/{version}/drift/clear", operation_id = "driftClearVersion",
    tag = "detection", params(Model, Version),
    request_body(description = "May be left out.", content((Clear = "application/json"))),
    responses((status = 200, description = "No alarm is raised.", body = DriftReport), BodyErrors, ModelErrors),
    security(("bearer" = []), ()))]
pub(super) async fn clear_version(
    server: State<Arc<Server>>,
    target: Target,
    request: Request,
) -> Result<Json<DriftReport>, Problem> {
    clear(server, target, request).await
}

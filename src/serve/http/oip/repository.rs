//! The repository: what it has, and loading and unloading. The gRPC service does the work.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json,
    extract::{Request, State},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::ask;
use crate::{
    Error, Result,
    serve::{
        http::{
            Server,
            body::json,
            document::{BodyErrors, ControlErrors},
            error::Problem,
            target::{Model, Target},
        },
        origin::Origin,
        proto::inference::{
            ModelRepositoryParameter, RepositoryIndexRequest, RepositoryModelLoadRequest, RepositoryModelUnloadRequest,
            grpc_inference_service_server::GrpcInferenceService as _, model_repository_parameter::ParameterChoice,
            repository_index_response::ModelIndex,
        },
        shown::{self, shown},
    },
};

/// Which models are listed.
#[derive(Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::serve::http) struct IndexRequest {
    /// Only those that take frames.
    ready: bool,
}

/// A version of a model.
#[derive(Serialize, ToSchema)]
pub(in crate::serve::http) struct IndexEntry {
    /// Name of the model.
    name: String,
    /// The version.
    version: String,
    /// `LOADING`, `READY`, `UNLOADING` or `UNAVAILABLE`; empty if it was never loaded.
    state: String,
    /// Why it is not ready.
    reason: String,
}

impl From<ModelIndex> for IndexEntry {
    fn from(ModelIndex { name, version, state, reason }: ModelIndex) -> Self {
        Self { name, version, state, reason }
    }
}

/// How a model is loaded or unloaded.
#[derive(Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::serve::http) struct ControlRequest {
    /// Only `unload_dependents`, for unloading, which has no effect.
    #[schema(value_type = Object)]
    parameters: HashMap<String, Value>,
}

impl ControlRequest {
    fn parameters(self) -> Result<HashMap<String, ModelRepositoryParameter>> {
        let parameter = |(name, value): (String, Value)| {
            let choice = match value {
                Value::Bool(value) => ParameterChoice::BoolParam(value),
                Value::String(text) => ParameterChoice::StringParam(text),
                Value::Number(number) if number.is_i64() => {
                    ParameterChoice::Int64Param(number.as_i64().unwrap_or_default())
                }
                other => {
                    let (name, value) = (shown(&name), shown::value(&other));
                    let reason = format!("`{name}` is {value}; give true, false, an integer or a text");
                    return Err(Error::parameter("parameters", reason));
                }
            };
            Ok((name, ModelRepositoryParameter { parameter_choice: Some(choice) }))
        };
        self.parameters.into_iter().map(parameter).collect()
    }
}

/// The models of the repository
#[utoipa::path(post, path = "/v2/repository/index", operation_id = "oipIndex", tag = "open inference protocol",
    request_body(description = "May be left out.", content((IndexRequest = "application/json"))),
    responses((status = 200, description = "Every version of every model.", body = Vec<IndexEntry>), BodyErrors),
    security(("bearer" = []), ()))]
pub(in crate::serve::http) async fn index(
    State(server): State<Arc<Server>>,
    request: Request,
) -> Result<Json<Vec<IndexEntry>>, Problem> {
    let origin = Origin::of(request.headers(), request.extensions());
    let IndexRequest { ready } = json(&server, request).await?;
    let request = ask(RepositoryIndexRequest { repository_name: String::new(), ready }, origin);
    let found = server.oip.repository_index(request).await?.into_inner();
    Ok(Json(found.models.into_iter().map(IndexEntry::from).collect()))
}

/// Load a model
///
/// From the repository, or again if its files have changed. Answers when the model is ready. The server must allow it
/// (`--model-control explicit`).
#[utoipa::path(post, path = "/v2/repository/models/{model}/load", operation_id = "oipLoad",
    tag = "open inference protocol", params(Model),
    request_body(description = "May be left out.", content((ControlRequest = "application/json"))),
    responses((status = 200, description = "The model is ready.", body = Object), ControlErrors),
    security(("bearer" = []), ()))]
pub(in crate::serve::http) async fn load(
    State(server): State<Arc<Server>>,
    target: Target,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let origin = Origin::of(request.headers(), request.extensions());
    server.app.check_model_control()?;
    let parameters = json::<ControlRequest>(&server, request).await?.parameters()?;
    let message = RepositoryModelLoadRequest { repository_name: String::new(), model_name: target.model, parameters };
    server.oip.repository_model_load(ask(message, origin)).await?;
    Ok(Json(Value::Object(Default::default())))
}

/// Unload a model
///
/// The server must allow it (`--model-control explicit`).
#[utoipa::path(post, path = "/v2/repository/models/{model}/unload", operation_id = "oipUnload",
    tag = "open inference protocol", params(Model),
    request_body(description = "May be left out.", content((ControlRequest = "application/json"))),
    responses((status = 200, description = "The model takes no more frames.", body = Object), ControlErrors),
    security(("bearer" = []), ()))]
pub(in crate::serve::http) async fn unload(
    State(server): State<Arc<Server>>,
    target: Target,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let origin = Origin::of(request.headers(), request.extensions());
    server.app.check_model_control()?;
    let parameters = json::<ControlRequest>(&server, request).await?.parameters()?;
    let message = RepositoryModelUnloadRequest { repository_name: String::new(), model_name: target.model, parameters };
    server.oip.repository_model_unload(ask(message, origin)).await?;
    Ok(Json(Value::Object(Default::default())))
}

//! The Open Inference Protocol's REST: health and metadata. Inference is served over gRPC.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tonic::{Code, Status};
use utoipa::ToSchema;

use super::{
    Server,
    document::{ModelErrors, TokenErrors},
    error::Problem,
    target::{Model, Target, Version},
};
use crate::serve::{oip, proto::inference::model_metadata_response::TensorMetadata};

/// The server.
#[derive(Serialize, ToSchema)]
struct ServerMetadata {
    /// Name of the server.
    name: String,
    /// Version of the server.
    version: String,
    /// Extensions of the protocol over REST: none.
    extensions: Vec<String>,
}

/// Whether the server lives.
#[derive(Serialize, ToSchema)]
pub(super) struct ServerLive {
    /// Always true.
    live: bool,
}

/// Whether the server takes frames.
#[derive(Serialize, ToSchema)]
struct ServerReady {
    /// Whether frames should be sent here.
    ready: bool,
}

/// A model's tensors.
#[derive(Serialize, ToSchema)]
pub(super) struct ModelMetadata {
    /// Name of the model.
    name: String,
    /// Versions that take frames.
    versions: Vec<String>,
    /// What runs the model.
    platform: String,
    /// What the model takes; a request has one of them.
    inputs: Vec<Tensor>,
    /// What the model gives.
    outputs: Vec<Tensor>,
}

/// A tensor.
#[derive(Serialize, ToSchema)]
struct Tensor {
    /// Name of the tensor.
    name: String,
    /// Type of its elements: `BOOL`, `UINT8`, `FP32` or `BYTES`.
    datatype: String,
    /// Its sizes; -1 is any.
    shape: Vec<i64>,
}

impl From<TensorMetadata> for Tensor {
    fn from(TensorMetadata { name, datatype, shape }: TensorMetadata) -> Self {
        Self { name, datatype, shape }
    }
}

/// A model that takes frames.
#[derive(Serialize, ToSchema)]
pub(super) struct ModelReady {
    /// Name of the model.
    name: String,
    /// Always true; a model that takes no frames is an error.
    ready: bool,
}

/// The server
#[utoipa::path(get, path = "/v2", operation_id = "oipServer", tag = "open inference protocol",
    responses((status = 200, description = "Name and version.", body = ServerMetadata), TokenErrors),
    security(("bearer" = []), ()))]
pub(super) async fn server() -> Response {
    let server = oip::server();
    // REST has no extensions; the gRPC service has them.
    Json(ServerMetadata { name: server.name, version: server.version, extensions: Vec::new() }).into_response()
}

/// Whether the server lives
///
/// Never protected.
#[utoipa::path(get, path = "/v2/health/live", operation_id = "oipLive", tag = "open inference protocol",
    responses((status = 200, description = "The server lives.", body = ServerLive)))]
pub(super) async fn live() -> Json<ServerLive> {
    Json(ServerLive { live: true })
}

/// Whether the server takes frames
///
/// Never protected.
#[utoipa::path(get, path = "/v2/health/ready", operation_id = "oipReady", tag = "open inference protocol",
    responses(
        (status = 200, description = "The server takes frames.", body = ServerReady),
        (status = 503, description = "The server takes no frames.", body = ServerReady),
    ))]
pub(super) async fn ready(State(server): State<Arc<Server>>) -> Response {
    let ready = server.app.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(ServerReady { ready })).into_response()
}

/// A model's tensors
#[utoipa::path(get, path = "/v2/models/{model}", operation_id = "oipModel", tag = "open inference protocol",
    params(Model),
    responses((status = 200, description = "Metadata of the model.", body = ModelMetadata), ModelErrors),
    security(("bearer" = []), ()))]
pub(super) async fn model(State(server): State<Arc<Server>>, target: Target) -> Result<Json<ModelMetadata>, Problem> {
    let registry = server.app.registry();
    let model = registry.get(&target.model, target.version)?;
    let all = registry.list().into_iter();
    let versions = all
        .filter(|status| status.name == model.name() && status.model.is_some())
        .map(|status| status.version)
        .collect();
    let metadata = oip::metadata(&model, versions);
    Ok(Json(ModelMetadata {
        name: metadata.name,
        versions: metadata.versions,
        platform: metadata.platform,
        inputs: metadata.inputs.into_iter().map(Tensor::from).collect(),
        outputs: metadata.outputs.into_iter().map(Tensor::from).collect(),
    }))
}

/// A version's tensors
#[utoipa::path(get, path = "/v2/models/{model}/versions/{version}", operation_id = "oipModelVersion",
    tag = "open inference protocol", params(Model, Version),
    responses((status = 200, description = "Metadata of the version.", body = ModelMetadata), ModelErrors),
    security(("bearer" = []), ()))]
pub(super) async fn model_version(server: State<Arc<Server>>, target: Target) -> Result<Json<ModelMetadata>, Problem> {
    model(server, target).await
}

/// Whether a model takes frames
#[utoipa::path(get, path = "/v2/models/{model}/ready", operation_id = "oipModelReady", tag = "open inference protocol",
    params(Model),
    responses((status = 200, description = "The model takes frames.", body = ModelReady), ModelErrors),
    security(("bearer" = []), ()))]
pub(super) async fn model_ready(
    State(server): State<Arc<Server>>,
    target: Target,
) -> Result<Json<ModelReady>, Problem> {
    let model = server.app.registry().get(&target.model, target.version)?;
    Ok(Json(ModelReady { name: model.name().to_owned(), ready: true }))
}

/// Whether a version takes frames
#[utoipa::path(get, path = "/v2/models/{model}/versions/{version}/ready", operation_id = "oipModelVersionReady",
    tag = "open inference protocol", params(Model, Version),
    responses((status = 200, description = "The version takes frames.", body = ModelReady), ModelErrors),
    security(("bearer" = []), ()))]
pub(super) async fn model_version_ready(
    server: State<Arc<Server>>,
    target: Target,
) -> Result<Json<ModelReady>, Problem> {
    model_ready(server, target).await
}

/// Not served over REST
#[utoipa::path(post, path = "/v2/models/{model}/infer", operation_id = "oipInfer", tag = "open inference protocol",
    params(Model),
    responses((status = 501, description = "Inference with tensors is served over gRPC only.", body = super::error::Error),
        ModelErrors),
    security(("bearer" = []), ()))]
pub(super) async fn infer(State(server): State<Arc<Server>>, target: Target) -> Problem {
    let model = match server.app.registry().get(&target.model, target.version) {
        Ok(model) => model,
        Err(error) => return error.into(),
    };
    let text = format!(
        "inference with tensors is served over gRPC (inference.GRPCInferenceService) only; to send an image over HTTP, \
         POST it to /v1/models/{}/detect",
        model.name()
    );
    Status::new(Code::Unimplemented, text).into()
}

/// Not served over REST
#[utoipa::path(post, path = "/v2/models/{model}/versions/{version}/infer", operation_id = "oipInferVersion",
    tag = "open inference protocol", params(Model, Version),
    responses((status = 501, description = "Inference with tensors is served over gRPC only.", body = super::error::Error),
        ModelErrors),
    security(("bearer" = []), ()))]
pub(super) async fn infer_version(server: State<Arc<Server>>, target: Target) -> Problem {
    infer(server, target).await
}

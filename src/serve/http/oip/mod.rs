//! The Open Inference Protocol over REST, with Triton's extensions: the routes of the protocol's gRPC service, as HTTP has them.
//!
//! ```text
//! JSON ─► the gRPC service's message ─► the gRPC service ─► its answer ─► JSON
//! ```
//!
//! So both are one implementation. Here are the routes for health and metadata; each other subject has a file.

mod answer;
pub(super) mod config;
mod elements;
pub(super) mod infer;
mod json;
pub(super) mod repository;
pub(super) mod shared_memory;
pub(super) mod stats;

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Server,
    document::{ModelErrors, TokenErrors},
    error::Problem,
    target::{Model, Target, Version},
};
use crate::serve::{
    origin::Origin,
    proto::inference::{
        ModelMetadataRequest, ServerMetadataRequest, grpc_inference_service_server::GrpcInferenceService as _,
        model_metadata_response::TensorMetadata,
    },
};

pub(super) use self::answer::InferResponse;

/// A call of the gRPC service, for a request that came over HTTP.
fn ask<T>(message: T, origin: Origin) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.extensions_mut().insert(origin);
    request
}

/// The server.
#[derive(Serialize, ToSchema)]
pub(super) struct ServerMetadata {
    /// Name of the server.
    name: String,
    /// Version of the server.
    version: String,
    /// Extensions of the protocol, by Triton's names.
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
    /// What the model takes.
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
pub(super) async fn server(
    State(server): State<Arc<Server>>,
    request: Request,
) -> Result<Json<ServerMetadata>, Problem> {
    let origin = Origin::of(request.headers(), request.extensions());
    let found = server.oip.server_metadata(ask(ServerMetadataRequest {}, origin)).await?.into_inner();
    Ok(Json(ServerMetadata { name: found.name, version: found.version, extensions: found.extensions }))
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
pub(super) async fn model(
    State(server): State<Arc<Server>>,
    target: Target,
    request: Request,
) -> Result<Json<ModelMetadata>, Problem> {
    let origin = Origin::of(request.headers(), request.extensions());
    let model = server.app.registry().get(&target.model, target.version)?;
    let message = ModelMetadataRequest { name: model.name().to_owned(), version: model.version().to_string() };
    let metadata = server.oip.model_metadata(ask(message, origin)).await?.into_inner();
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
pub(super) async fn model_version(
    server: State<Arc<Server>>,
    target: Target,
    request: Request,
) -> Result<Json<ModelMetadata>, Problem> {
    model(server, target, request).await
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

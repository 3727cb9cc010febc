//! The Open Inference Protocol's REST: health and metadata. Inference is what its gRPC service is for.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;
use tonic::{Code, Status};

use super::{Server, error::Problem, target::Target};
use crate::serve::{oip, proto::inference::model_metadata_response::TensorMetadata};

pub(super) async fn server() -> Response {
    let server = oip::server();
    // The extensions are the gRPC service's: over REST there are none.
    Json(json!({ "name": server.name, "version": server.version, "extensions": [] })).into_response()
}

pub(super) async fn live() -> Response {
    Json(json!({ "live": true })).into_response()
}

pub(super) async fn ready(State(server): State<Arc<Server>>) -> Response {
    let ready = server.app.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": ready }))).into_response()
}

pub(super) async fn model(State(server): State<Arc<Server>>, target: Target) -> Result<Response, Problem> {
    let registry = server.app.registry();
    let model = registry.get(&target.model, target.version)?;
    let all = registry.list().into_iter();
    let versions = all
        .filter(|status| status.name == model.name() && status.model.is_some())
        .map(|status| status.version)
        .collect();
    let metadata = oip::metadata(&model, versions);
    let tensors = |tensors: &[TensorMetadata]| -> Vec<_> {
        let tensor = |t: &TensorMetadata| json!({ "name": t.name, "datatype": t.datatype, "shape": t.shape });
        tensors.iter().map(tensor).collect()
    };
    Ok(Json(json!({
        "name": metadata.name,
        "versions": metadata.versions,
        "platform": metadata.platform,
        "inputs": tensors(&metadata.inputs),
        "outputs": tensors(&metadata.outputs),
    }))
    .into_response())
}

pub(super) async fn model_ready(State(server): State<Arc<Server>>, target: Target) -> Result<Response, Problem> {
    let model = server.app.registry().get(&target.model, target.version)?;
    Ok(Json(json!({ "name": model.name(), "ready": true })).into_response())
}

pub(super) async fn infer(State(server): State<Arc<Server>>, target: Target) -> Result<Response, Problem> {
    let model = server.app.registry().get(&target.model, target.version)?;
    let text = format!(
        "inference with tensors is served over gRPC (inference.GRPCInferenceService) only; to send an image over HTTP, \
         POST it to /v1/models/{}/detect",
        model.name()
    );
    Err(Status::new(Code::Unimplemented, text).into())
}

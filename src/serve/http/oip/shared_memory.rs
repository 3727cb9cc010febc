//! Regions of system shared memory. The gRPC service does the work.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawPathParams, Request, State},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::ask;
use crate::{
    Error,
    serve::{
        http::{Server, body::json, document::SharedMemoryErrors, error::Problem},
        origin::Origin,
        proto::inference::{
            SystemSharedMemoryRegisterRequest, SystemSharedMemoryStatusRequest, SystemSharedMemoryUnregisterRequest,
            grpc_inference_service_server::GrpcInferenceService as _,
        },
    },
};

/// `{region}` of a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes what `region` reads")]
struct RegionName {
    /// Name of the region.
    region: String,
}

/// A part of a shared memory object.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::serve::http) struct RegisterRequest {
    /// Name of the POSIX shared memory object (`shm_open`), with or without the slash in front.
    key: String,
    /// Where the region starts in the object, in bytes.
    #[serde(default)]
    offset: u64,
    /// Size of the region, in bytes.
    byte_size: u64,
}

/// A region.
#[derive(Serialize, ToSchema)]
#[schema(as = SharedMemoryRegion)]
pub(in crate::serve::http) struct Region {
    /// Name of the region.
    name: String,
    /// Name of the shared memory object.
    key: String,
    /// Where the region starts in the object, in bytes.
    offset: u64,
    /// Size of the region, in bytes.
    byte_size: u64,
}

fn region(params: &RawPathParams) -> String {
    params.iter().find(|(name, _)| *name == "region").map(|(_, value)| value.to_owned()).unwrap_or_default()
}

/// The regions of shared memory
#[utoipa::path(get, path = "/v2/systemsharedmemory/status", operation_id = "oipRegions", tag = "shared memory",
    responses((status = 200, description = "All regions.", body = Vec<Region>), SharedMemoryErrors),
    security(("bearer" = []), ()))]
pub(in crate::serve::http) async fn status(
    State(server): State<Arc<Server>>,
    request: Request,
) -> Result<Json<Vec<Region>>, Problem> {
    of(&server, String::new(), Origin::of(request.headers(), request.extensions())).await
}

/// A region of shared memory
#[utoipa::path(get, path = "/v2/systemsharedmemory/region/{region}/status", operation_id = "oipRegion",
    tag = "shared memory", params(RegionName),
    responses((status = 200, description = "The region.", body = Vec<Region>), SharedMemoryErrors),
    security(("bearer" = []), ()))]
pub(in crate::serve::http) async fn region_status(
    State(server): State<Arc<Server>>,
    params: RawPathParams,
    request: Request,
) -> Result<Json<Vec<Region>>, Problem> {
    of(&server, region(&params), Origin::of(request.headers(), request.extensions())).await
}

async fn of(server: &Server, name: String, origin: Origin) -> Result<Json<Vec<Region>>, Problem> {
    let found = server.oip.system_shared_memory_status(ask(SystemSharedMemoryStatusRequest { name }, origin)).await?;
    let regions = found.into_inner().regions.into_values();
    let mut regions: Vec<_> = regions
        .map(|status| Region { name: status.name, key: status.key, offset: status.offset, byte_size: status.byte_size })
        .collect();
    regions.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Json(regions))
}

/// Register a region of shared memory
///
/// The server must allow it (`--allow-shared-memory`).
#[utoipa::path(post, path = "/v2/systemsharedmemory/region/{region}/register", operation_id = "oipRegister",
    tag = "shared memory", params(RegionName),
    request_body(content((RegisterRequest = "application/json"))),
    responses((status = 200, description = "The region is registered.", body = Object), SharedMemoryErrors),
    security(("bearer" = []), ()))]
pub(in crate::serve::http) async fn register(
    State(server): State<Arc<Server>>,
    params: RawPathParams,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let origin = Origin::of(request.headers(), request.extensions());
    let RegisterRequest { key, offset, byte_size } = json(&server, request).await?;
    let message = SystemSharedMemoryRegisterRequest { name: region(&params), key, offset, byte_size };
    server.oip.system_shared_memory_register(ask(message, origin)).await?;
    Ok(Json(Value::Object(Default::default())))
}

/// Forget a region of shared memory
#[utoipa::path(post, path = "/v2/systemsharedmemory/region/{region}/unregister", operation_id = "oipUnregister",
    tag = "shared memory", params(RegionName),
    responses((status = 200, description = "The server does not use the region any more.", body = Object),
        SharedMemoryErrors),
    security(("bearer" = []), ()))]
pub(in crate::serve::http) async fn unregister(
    State(server): State<Arc<Server>>,
    params: RawPathParams,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let name = region(&params);
    if name.is_empty() {
        return Err(Error::parameter("region", "it has no name").into());
    }
    forget(&server, name, Origin::of(request.headers(), request.extensions())).await
}

/// Forget all regions of shared memory
#[utoipa::path(post, path = "/v2/systemsharedmemory/unregister", operation_id = "oipUnregisterAll",
    tag = "shared memory",
    responses((status = 200, description = "The server uses no region any more.", body = Object), SharedMemoryErrors),
    security(("bearer" = []), ()))]
pub(in crate::serve::http) async fn unregister_all(
    State(server): State<Arc<Server>>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    forget(&server, String::new(), Origin::of(request.headers(), request.extensions())).await
}

async fn forget(server: &Server, name: String, origin: Origin) -> Result<Json<Value>, Problem> {
    server.oip.system_shared_memory_unregister(ask(SystemSharedMemoryUnregisterRequest { name }, origin)).await?;
    Ok(Json(Value::Object(Default::default())))
}

//! Counts and times of requests, over both protocols together: those of gRPC and of REST.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::ask;
use crate::serve::{
    http::{
        Server,
        document::{ModelErrors, TokenErrors},
        error::Problem,
        target::{Model, Target, Version},
    },
    origin::Origin,
    proto::inference::{
        InferBatchStatistics, ModelStatistics, ModelStatisticsRequest, StatisticDuration,
        grpc_inference_service_server::GrpcInferenceService as _,
    },
};

/// Counts and times of models.
#[derive(Serialize, ToSchema)]
pub(in crate::serve::http) struct Statistics {
    /// One entry for each version of each model that takes frames.
    model_stats: Vec<ModelStats>,
}

/// Counts and times of a version since it was loaded.
#[derive(Serialize, ToSchema)]
struct ModelStats {
    /// Name of the model.
    name: String,
    /// The version.
    version: String,
    /// Time of the last request, in milliseconds since 1970-01-01 UTC.
    last_inference: u64,
    /// Images that were processed.
    inference_count: u64,
    /// Runs, each on one batch.
    execution_count: u64,
    /// Times of requests.
    inference_stats: InferenceStats,
    /// Times of batches, by size.
    batch_stats: Vec<BatchStats>,
}

/// Times of requests.
#[derive(Serialize, ToSchema)]
struct InferenceStats {
    /// Requests that succeeded.
    success: DurationStats,
    /// Requests that failed.
    fail: DurationStats,
    /// Time in queues.
    queue: DurationStats,
    /// Preparation of the network's input.
    compute_input: DurationStats,
    /// Time in the network.
    compute_infer: DurationStats,
    /// Preparation of the answer.
    compute_output: DurationStats,
    /// Always 0.
    cache_hit: DurationStats,
    /// Always 0.
    cache_miss: DurationStats,
}

/// Times of batches of one size.
#[derive(Serialize, ToSchema)]
struct BatchStats {
    /// Images in the batch.
    batch_size: u64,
    /// Preparation of the network's input.
    compute_input: DurationStats,
    /// Time in the network.
    compute_infer: DurationStats,
    /// Preparation of the answers.
    compute_output: DurationStats,
}

/// A sum of durations.
#[derive(Serialize, ToSchema)]
struct DurationStats {
    /// Durations in the sum.
    count: u64,
    /// The sum, in nanoseconds.
    ns: u64,
}

impl From<Option<StatisticDuration>> for DurationStats {
    fn from(duration: Option<StatisticDuration>) -> Self {
        let StatisticDuration { count, ns } = duration.unwrap_or_default();
        Self { count, ns }
    }
}

impl From<InferBatchStatistics> for BatchStats {
    fn from(stats: InferBatchStatistics) -> Self {
        Self {
            batch_size: stats.batch_size,
            compute_input: stats.compute_input.into(),
            compute_infer: stats.compute_infer.into(),
            compute_output: stats.compute_output.into(),
        }
    }
}

impl From<ModelStatistics> for ModelStats {
    fn from(stats: ModelStatistics) -> Self {
        let times = stats.inference_stats.unwrap_or_default();
        Self {
            name: stats.name,
            version: stats.version,
            last_inference: stats.last_inference,
            inference_count: stats.inference_count,
            execution_count: stats.execution_count,
            inference_stats: InferenceStats {
                success: times.success.into(),
                fail: times.fail.into(),
                queue: times.queue.into(),
                compute_input: times.compute_input.into(),
                compute_infer: times.compute_infer.into(),
                compute_output: times.compute_output.into(),
                cache_hit: times.cache_hit.into(),
                cache_miss: times.cache_miss.into(),
            },
            batch_stats: stats.batch_stats.into_iter().map(BatchStats::from).collect(),
        }
    }
}

async fn of(server: &Server, name: String, version: u32, origin: Origin) -> Result<Json<Statistics>, Problem> {
    let version = if version == 0 { String::new() } else { version.to_string() };
    let found = server.oip.model_statistics(ask(ModelStatisticsRequest { name, version }, origin)).await?;
    let model_stats = found.into_inner().model_stats.into_iter().map(ModelStats::from).collect();
    Ok(Json(Statistics { model_stats }))
}

/// Counts and times of all models
#[utoipa::path(get, path = "/v2/models/stats", operation_id = "oipStats", tag = "open inference protocol",
    responses((status = 200, description = "Of every model that takes frames.", body = Statistics), TokenErrors),
    security(("bearer" = []), ()))]
pub(in crate::serve::http) async fn all(
    State(server): State<Arc<Server>>,
    request: Request,
) -> Result<Json<Statistics>, Problem> {
    of(&server, String::new(), 0, Origin::of(request.headers(), request.extensions())).await
}

/// Counts and times of a model
#[utoipa::path(get, path = "/v2/models/{model}/stats", operation_id = "oipModelStats", tag = "open inference protocol",
    params(Model),
    responses((status = 200, description = "Of each of its versions.", body = Statistics), ModelErrors),
    security(("bearer" = []), ()))]
pub(in crate::serve::http) async fn model(
    State(server): State<Arc<Server>>,
    target: Target,
    request: Request,
) -> Result<Json<Statistics>, Problem> {
    // An empty name would mean all models.
    server.app.registry().get(&target.model, target.version)?;
    let origin = Origin::of(request.headers(), request.extensions());
    of(&server, target.model, target.version, origin).await
}

/// Counts and times of a version
#[utoipa::path(get, path = "/v2/models/{model}/versions/{version}/stats", operation_id = "oipModelVersionStats",
    tag = "open inference protocol", params(Model, Version),
    responses((status = 200, description = "Of the version.", body = Statistics), ModelErrors),
    security(("bearer" = []), ()))]
pub(in crate::serve::http) async fn version(
    server: State<Arc<Server>>,
    target: Target,
    request: Request,
) -> Result<Json<Statistics>, Problem> {
    model(server, target, request).await
}

//! A model's configuration, in the words of Triton's `ModelConfig`.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Request, State},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::ask;
use crate::{
    Error,
    serve::{
        http::{
            Server,
            document::ModelErrors,
            error::Problem,
            target::{Model, Target, Version},
        },
        origin::Origin,
        proto::inference::{
            ModelConfig, ModelConfigRequest, ModelInstanceGroup,
            grpc_inference_service_server::GrpcInferenceService as _, model_config::SchedulingChoice,
            model_version_policy::PolicyChoice,
        },
    },
};

/// A model's configuration. Shapes are without the batch axis.
#[derive(Serialize, ToSchema)]
pub(in crate::serve::http) struct Config {
    /// Name of the model.
    name: String,
    /// What runs the model.
    platform: String,
    /// What runs the model.
    backend: String,
    /// Which versions are served.
    version_policy: VersionPolicy,
    /// Most images in a request.
    max_batch_size: i32,
    /// The declared input.
    input: Vec<ConfigTensor>,
    /// The declared outputs.
    output: Vec<ConfigTensor>,
    /// Batches are made of the images of all requests.
    dynamic_batching: Batching,
    /// Where the model runs.
    instance_group: Vec<InstanceGroup>,
    /// Tensors beyond the declared ones, in words.
    #[schema(value_type = Object)]
    parameters: BTreeMap<String, ConfigParameter>,
    /// A request has one answer.
    model_transaction_policy: TransactionPolicy,
}

/// Which versions are served: all, or the latest.
#[derive(Serialize, ToSchema)]
struct VersionPolicy {
    /// Empty where all are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    all: Option<BTreeMap<String, String>>,
    /// Where the latest are.
    #[serde(skip_serializing_if = "Option::is_none")]
    latest: Option<LatestVersions>,
}

/// The latest versions.
#[derive(Serialize, ToSchema)]
struct LatestVersions {
    /// How many.
    num_versions: u32,
}

/// A tensor.
#[derive(Serialize, ToSchema)]
struct ConfigTensor {
    /// Name of the tensor.
    name: String,
    /// Type of its elements.
    data_type: &'static str,
    /// Order of an image's axes.
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'static str>,
    /// Its sizes; -1 is any.
    dims: Vec<i64>,
}

/// How batches are made.
#[derive(Serialize, ToSchema)]
struct Batching {
    /// Most images in a batch.
    preferred_batch_size: Vec<i32>,
    /// Longest wait for further images.
    max_queue_delay_microseconds: u64,
    /// Whether answers keep the order of requests.
    preserve_ordering: bool,
    /// Priorities; 1 goes first.
    priority_levels: u64,
    /// The priority of requests that name none.
    default_priority_level: u64,
}

/// Where the model runs.
#[derive(Serialize, ToSchema)]
struct InstanceGroup {
    /// The device.
    name: String,
    /// `KIND_CPU` or `KIND_GPU`.
    kind: &'static str,
    /// Instances.
    count: i32,
    /// GPUs.
    gpus: Vec<i32>,
}

/// A text.
#[derive(Serialize)]
struct ConfigParameter {
    string_value: String,
}

/// How requests are answered.
#[derive(Serialize, ToSchema)]
struct TransactionPolicy {
    /// Whether a request may have several answers.
    decoupled: bool,
}

impl Config {
    fn of(config: ModelConfig) -> Option<Self> {
        let SchedulingChoice::DynamicBatching(batching) = config.scheduling_choice? else { return None };
        let (all, latest) = match config.version_policy?.policy_choice? {
            PolicyChoice::All(_) => (Some(BTreeMap::new()), None),
            PolicyChoice::Latest(latest) => (None, Some(LatestVersions { num_versions: latest.num_versions })),
            PolicyChoice::Specific(_) => return None,
        };
        let input = config.input.into_iter().map(|input| ConfigTensor {
            data_type: input.data_type().as_str_name(),
            format: Some(input.format().as_str_name()),
            name: input.name,
            dims: input.dims,
        });
        let output = config.output.into_iter().map(|output| ConfigTensor {
            data_type: output.data_type().as_str_name(),
            format: None,
            name: output.name,
            dims: output.dims,
        });
        let group = |group: ModelInstanceGroup| InstanceGroup {
            kind: group.kind().as_str_name(),
            name: group.name,
            count: group.count,
            gpus: group.gpus,
        };
        let parameters = config.parameters.into_iter();
        Some(Self {
            name: config.name,
            platform: config.platform,
            backend: config.backend,
            version_policy: VersionPolicy { all, latest },
            max_batch_size: config.max_batch_size,
            input: input.collect(),
            output: output.collect(),
            dynamic_batching: Batching {
                preferred_batch_size: batching.preferred_batch_size,
                max_queue_delay_microseconds: batching.max_queue_delay_microseconds,
                preserve_ordering: batching.preserve_ordering,
                priority_levels: batching.priority_levels,
                default_priority_level: batching.default_priority_level,
            },
            instance_group: config.instance_group.into_iter().map(group).collect(),
            parameters: parameters
                .map(|(name, parameter)| (name, ConfigParameter { string_value: parameter.string_value }))
                .collect(),
            model_transaction_policy: TransactionPolicy {
                decoupled: config.model_transaction_policy.is_some_and(|policy| policy.decoupled),
            },
        })
    }
}

/// A model's configuration
#[utoipa::path(get, path = "/v2/models/{model}/config", operation_id = "oipConfig", tag = "open inference protocol",
    params(Model),
    responses((status = 200, description = "Triton's configuration of the model.", body = Config), ModelErrors),
    security(("bearer" = []), ()))]
pub(in crate::serve::http) async fn config(
    State(server): State<Arc<Server>>,
    target: Target,
    request: Request,
) -> Result<Json<Config>, Problem> {
    let origin = Origin::of(request.headers(), request.extensions());
    // Finds the model with the errors of the other routes.
    let model = server.app.registry().get(&target.model, target.version)?;
    let message = ModelConfigRequest { name: model.name().to_owned(), version: model.version().to_string() };
    let found = server.oip.model_config(ask(message, origin)).await?.into_inner().config;
    let config = found.and_then(Config::of).ok_or_else(|| Error::internal("the configuration is not complete"))?;
    Ok(Json(config))
}

/// A version's configuration
#[utoipa::path(get, path = "/v2/models/{model}/versions/{version}/config", operation_id = "oipVersionConfig",
    tag = "open inference protocol", params(Model, Version),
    responses((status = 200, description = "Triton's configuration of the version.", body = Config), ModelErrors),
    security(("bearer" = []), ()))]
pub(in crate::serve::http) async fn version_config(
    server: State<Arc<Server>>,
    target: Target,
    request: Request,
) -> Result<Json<Config>, Problem> {
    config(server, target, request).await
}

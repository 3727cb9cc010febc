//! The models that the server has: `uflow.v1.ModelService/ListModels` as JSON.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Server, document::TokenErrors, error::Problem};
use crate::serve::{
    proto::v1::{ListModelsRequest, Model, ModelDescription, ModelState, model_service_server::ModelService as _},
    uflow_v1::Models,
};

/// The models that the server has.
#[derive(Serialize, ToSchema)]
pub(super) struct ModelList {
    /// Every version of every model, by name and version.
    models: Vec<ListedModel>,
}

/// A version of a model.
#[derive(Serialize, ToSchema)]
struct ListedModel {
    /// Name of the model.
    name: String,
    /// The version.
    version: u32,
    /// What the version is doing: `available`, `loading`, `ready`, `unloading` or `failed`.
    state: &'static str,
    /// Why it is not ready, or not replaced by a newer package.
    reason: String,
    /// Whether requests without a version go to it.
    current: bool,
    /// Since when it is in this state.
    since: Option<String>,
    /// What it decides, while it takes frames.
    description: Option<Description>,
}

/// What a model decides, and on what.
#[derive(Serialize, ToSchema)]
struct Description {
    /// How the package decides by default, in words.
    decision: Vec<String>,
    /// False alarms expected per image.
    epsilon: f64,
    /// Share of good images that may be rejected, if the package decides by it.
    reject_rate: Option<f64>,
    /// Whether the threshold at that rate is extrapolated.
    reject_extrapolated: bool,
    /// Good images that reject rates and p-values stand on.
    good_images: u32,
    /// The fair threshold on `score_max`, if the package has one.
    fair_threshold: Option<f32>,
    /// Width of the network's input.
    input_width: u32,
    /// Height of the network's input.
    input_height: u32,
    /// Name of the backbone.
    backbone: String,
    /// The device.
    device: String,
    /// When the model was fitted.
    created: String,
}

impl From<Model> for ListedModel {
    fn from(model: Model) -> Self {
        let state = match model.state() {
            ModelState::Unspecified => "",
            ModelState::Available => "available",
            ModelState::Loading => "loading",
            ModelState::Ready => "ready",
            ModelState::Unloading => "unloading",
            ModelState::Failed => "failed",
        };
        Self {
            name: model.name,
            version: model.version,
            state,
            reason: model.reason,
            current: model.current,
            since: model.since.map(|since| since.to_string()),
            description: model.description.map(Description::from),
        }
    }
}

impl From<ModelDescription> for Description {
    fn from(model: ModelDescription) -> Self {
        Self {
            decision: model.decision,
            epsilon: model.epsilon,
            reject_rate: model.reject_rate,
            reject_extrapolated: model.reject_extrapolated,
            good_images: model.good_images,
            fair_threshold: model.fair_threshold,
            input_width: model.input_width,
            input_height: model.input_height,
            backbone: model.backbone,
            device: model.device,
            created: model.created,
        }
    }
}

/// The models that the server has
#[utoipa::path(get, path = "/v1/models", operation_id = "models", tag = "detection",
    responses((status = 200, description = "Every version of every model.", body = ModelList), TokenErrors),
    security(("bearer" = []), ()))]
pub(super) async fn list(State(server): State<Arc<Server>>, _: Request) -> Result<Json<ModelList>, Problem> {
    let models = Models::new(Arc::clone(&server.app));
    let found = models.list_models(tonic::Request::new(ListModelsRequest {})).await?.into_inner();
    Ok(Json(ModelList { models: found.models.into_iter().map(ListedModel::from).collect() }))
}

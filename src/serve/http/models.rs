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
    proto::v1::{
        self as proto, DriftKind, ListModelsRequest, Model, ModelDescription, ModelState,
        model_service_server::ModelService as _,
    },
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
    /// Width of the score and log₁₀NFA maps: that of the network's input, unless the model cuts frames into tiles.
    input_width: u32,
    /// Height of the score and log₁₀NFA maps.
    input_height: u32,
    /// Name of the backbone.
    backbone: String,
    /// The device.
    device: String,
    /// When the model was fitted.
    created: String,
    /// Whether the drift of its line is watched; `/v1/models/NAME/drift` says more.
    drift_watched: bool,
    /// Kinds of drift whose alarm is raised: `shift`, `calm` or `defects`.
    drift_alarms: Vec<&'static str>,
    /// The smallest defects that the model finds, if `uflow limits` measured them.
    limits: Option<DetectionLimits>,
}

fn drift_kind(kind: DriftKind) -> &'static str {
    match kind {
        DriftKind::Unspecified => "",
        DriftKind::Shift => "shift",
        DriftKind::Calm => "calm",
        DriftKind::Defects => "defects",
    }
}

/// The smallest defects that a model finds, measured with synthetic defects on good images. Sizes are in pixels of the source image.
#[derive(Serialize, ToSchema)]
struct DetectionLimits {
    /// Good images that carried the defects.
    images: u32,
    /// Those of them that the model flags as they are.
    good_flagged: u32,
    /// Images with a defect of zero contrast.
    control_images: u32,
    /// Those of them that the model flags.
    control_flagged: u32,
    /// Smallest size that was tried.
    smallest_tried_px: f64,
    /// Largest size that was tried.
    largest_tried_px: f64,
    /// The part's own contrast, in gray levels of 255.
    contrast_levels: f64,
    /// Size of a pixel on the part in millimetres, if it was given.
    pixel_size_mm: Option<f64>,
    /// Each kind of defect at each contrast.
    kinds: Vec<KindLimit>,
}

/// The detectable size of one kind of defect at one contrast.
#[derive(Serialize, ToSchema)]
struct KindLimit {
    /// The kind, such as `scratch`.
    kind: String,
    /// Contrast as a part of the part's own.
    contrast: f64,
    /// Defects of this kind and contrast.
    defects: u32,
    /// Those of them that were found.
    found: u32,
    /// Size that is found with a probability of 90%.
    a90_px: Option<f64>,
    /// a90/95: size that is found with a probability of at least 90%, with 95% confidence.
    a90_95_px: Option<f64>,
}

impl From<proto::DetectionLimits> for DetectionLimits {
    fn from(limits: proto::DetectionLimits) -> Self {
        let kind = |kind: proto::KindLimit| {
            let proto::KindLimit { kind, contrast, defects, found, a90_px, a90_95_px } = kind;
            KindLimit { kind, contrast, defects, found, a90_px, a90_95_px }
        };
        Self {
            images: limits.images,
            good_flagged: limits.good_flagged,
            control_images: limits.control_images,
            control_flagged: limits.control_flagged,
            smallest_tried_px: limits.smallest_tried_px,
            largest_tried_px: limits.largest_tried_px,
            contrast_levels: limits.contrast_levels,
            pixel_size_mm: limits.pixel_size_mm,
            kinds: limits.kinds.into_iter().map(kind).collect(),
        }
    }
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
            drift_watched: model.drift.as_ref().is_some_and(|drift| drift.watched),
            drift_alarms: model
                .drift
                .iter()
                .flat_map(|drift| &drift.alarms)
                .map(|alarm| drift_kind(alarm.kind()))
                .collect(),
            limits: model.limits.map(DetectionLimits::from),
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

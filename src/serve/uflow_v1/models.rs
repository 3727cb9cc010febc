//! `uflow.v1.ModelService`: lists, loads and unloads models.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::drift;
use crate::{
    Result,
    engine::Model,
    latents::ScaleShape,
    package::{DetectionLimits, KindLimit},
    segment::DecisionOptions,
    serve::{
        app::App,
        proto::v1::{self as proto, model_service_server::ModelService},
        registry::{ModelState, Status as ModelStatus},
    },
};

/// The service.
#[derive(Clone, Debug)]
pub struct Models {
    app: Arc<App>,
}

impl Models {
    /// On the shared state.
    pub fn new(app: Arc<App>) -> Self {
        Self { app }
    }

    fn message(&self, status: ModelStatus) -> proto::Model {
        let device = self.app.engine().options().session.device.to_string();
        let state = match status.state {
            ModelState::Available => proto::ModelState::Available,
            ModelState::Loading => proto::ModelState::Loading,
            ModelState::Ready => proto::ModelState::Ready,
            ModelState::Unloading => proto::ModelState::Unloading,
            ModelState::Failed => proto::ModelState::Failed,
        };
        proto::Model {
            name: status.name,
            version: status.version,
            state: state.into(),
            reason: status.reason,
            current: status.current,
            since: Some(status.since.into()),
            description: status.model.map(|model| {
                let drift = drift::message(self.app.drift().report(&model));
                proto::ModelDescription { drift: Some(drift), ..description(&model, device) }
            }),
        }
    }
}

/// All but the drift, which the model itself does not know.
fn description(model: &Model, device: String) -> proto::ModelDescription {
    let manifest = model.manifest();
    // What a package cannot decide by is told when it is loaded.
    let reject = manifest.rule(&DecisionOptions::default()).ok().and_then(|rule| rule.reject);
    let shape = |shape: &ScaleShape| proto::ScaleShape {
        channels: shape.channels as u32,
        height: shape.height as u32,
        width: shape.width as u32,
    };
    proto::ModelDescription {
        flow_sha256: manifest.flow.sha256.clone(),
        backbone: manifest.backbone.name.clone(),
        backbone_sha256: manifest.backbone.sha256.clone(),
        input_width: manifest.input.map_size().0,
        input_height: manifest.input.map_size().1,
        scales: manifest.latents().iter().map(shape).collect(),
        epsilon: manifest.detection.epsilon(),
        fair_threshold: manifest.scores.as_ref().map(|scores| scores.fair_threshold),
        created: manifest.created.clone(),
        device,
        warm_up_ms: model.warm_up().as_secs_f64() * 1e3,
        reject_rate: reject.map(|reject| reject.rate),
        good_images: manifest.rejection.as_ref().map_or(0, |rejection| rejection.images() as u32),
        reject_extrapolated: reject.is_some_and(|reject| reject.is_extrapolated()),
        decision: manifest.decision_in_words().unwrap_or_default(),
        drift: None,
        limits: manifest.limits.as_ref().map(limits),
    }
}

fn limits(limits: &DetectionLimits) -> proto::DetectionLimits {
    let kind = |kind: &KindLimit| proto::KindLimit {
        kind: kind.kind.clone(),
        contrast: kind.contrast,
        defects: kind.defects as u32,
        found: kind.found as u32,
        a90_px: kind.a90_px,
        a90_95_px: kind.a90_95_px,
    };
    proto::DetectionLimits {
        images: limits.images as u32,
        good_flagged: limits.good_flagged as u32,
        control_images: limits.control_images as u32,
        control_flagged: limits.control_flagged as u32,
        smallest_tried_px: limits.tried_px[0],
        largest_tried_px: limits.tried_px[1],
        contrast_levels: limits.contrast_levels,
        pixel_size_mm: limits.pixel_size_mm,
        kinds: limits.kinds.iter().map(kind).collect(),
    }
}

#[tonic::async_trait]
impl ModelService for Models {
    async fn list_models(
        &self,
        _: Request<proto::ListModelsRequest>,
    ) -> Result<Response<proto::ListModelsResponse>, Status> {
        let models = self.app.registry().list().into_iter().map(|status| self.message(status)).collect();
        Ok(Response::new(proto::ListModelsResponse { models }))
    }

    async fn get_model(
        &self,
        request: Request<proto::GetModelRequest>,
    ) -> Result<Response<proto::GetModelResponse>, Status> {
        let proto::GetModelRequest { model, version } = request.into_inner();
        let status = self.app.registry().status(&model, version)?;
        Ok(Response::new(proto::GetModelResponse { model: Some(self.message(status)) }))
    }

    async fn load_model(
        &self,
        request: Request<proto::LoadModelRequest>,
    ) -> Result<Response<proto::LoadModelResponse>, Status> {
        self.app.check_model_control()?;
        let proto::LoadModelRequest { model, version } = request.into_inner();
        let status = self.app.registry().load(&model, version).await?;
        Ok(Response::new(proto::LoadModelResponse { model: Some(self.message(status)) }))
    }

    async fn unload_model(
        &self,
        request: Request<proto::UnloadModelRequest>,
    ) -> Result<Response<proto::UnloadModelResponse>, Status> {
        self.app.check_model_control()?;
        let proto::UnloadModelRequest { model, version } = request.into_inner();
        self.app.registry().unload(&model, version).await?;
        Ok(Response::new(proto::UnloadModelResponse {}))
    }
}

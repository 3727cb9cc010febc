//! `inference.GRPCInferenceService`: its calls.

use std::collections::HashMap;

use tonic::{Request, Response, Status, Streaming};

use super::{Oip, describe, infer, parameters, request, version};
use crate::{
    Error, Reason, Result,
    serve::{
        app::WhenFull,
        deadline::of_call,
        ordered::{Answers, in_order, stream},
        proto::inference::{
            ModelConfigRequest, ModelConfigResponse, ModelInferRequest, ModelInferResponse, ModelMetadataRequest,
            ModelMetadataResponse, ModelReadyRequest, ModelReadyResponse, ModelRepositoryParameter,
            ModelStatisticsRequest, ModelStatisticsResponse, ModelStreamInferResponse, RepositoryIndexRequest,
            RepositoryIndexResponse, RepositoryModelLoadRequest, RepositoryModelLoadResponse,
            RepositoryModelUnloadRequest, RepositoryModelUnloadResponse, ServerLiveRequest, ServerLiveResponse,
            ServerMetadataRequest, ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
            SystemSharedMemoryRegisterRequest, SystemSharedMemoryRegisterResponse, SystemSharedMemoryStatusRequest,
            SystemSharedMemoryStatusResponse, SystemSharedMemoryUnregisterRequest,
            SystemSharedMemoryUnregisterResponse, grpc_inference_service_server::GrpcInferenceService,
            system_shared_memory_status_response::RegionStatus,
        },
        shared_memory,
        shown::shown,
    },
};

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl GrpcInferenceService for Oip {
    type ModelStreamInferStream = Answers<ModelStreamInferResponse>;

    async fn server_live(&self, _: Request<ServerLiveRequest>) -> Answer<ServerLiveResponse> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<ServerReadyRequest>) -> Answer<ServerReadyResponse> {
        Ok(Response::new(ServerReadyResponse { ready: self.app.is_ready() }))
    }

    async fn server_metadata(&self, _: Request<ServerMetadataRequest>) -> Answer<ServerMetadataResponse> {
        Ok(Response::new(self.server()))
    }

    /// An unknown model is not ready.
    async fn model_ready(&self, request: Request<ModelReadyRequest>) -> Answer<ModelReadyResponse> {
        let ModelReadyRequest { name, version } = request.into_inner();
        let ready = self.app.registry().get(&name, self::version(&version)?).is_ok();
        Ok(Response::new(ModelReadyResponse { ready }))
    }

    async fn model_metadata(&self, request: Request<ModelMetadataRequest>) -> Answer<ModelMetadataResponse> {
        let ModelMetadataRequest { name, version } = request.into_inner();
        let registry = self.app.registry();
        let model = registry.get(&name, self::version(&version)?)?;
        let all = registry.list().into_iter();
        let versions = all.filter(|status| status.name == name && status.model.is_some()).map(|status| status.version);
        Ok(Response::new(describe::metadata(&model, versions.collect())))
    }

    async fn model_config(&self, request: Request<ModelConfigRequest>) -> Answer<ModelConfigResponse> {
        let ModelConfigRequest { name, version } = request.into_inner();
        let model = self.app.registry().get(&name, self::version(&version)?)?;
        Ok(Response::new(ModelConfigResponse { config: Some(self.config(&model)) }))
    }

    async fn model_statistics(&self, request: Request<ModelStatisticsRequest>) -> Answer<ModelStatisticsResponse> {
        let ModelStatisticsRequest { name, version } = request.into_inner();
        let version = self::version(&version)?;
        let registry = self.app.registry();
        if !name.is_empty() {
            registry.get(&name, version)?;
        }
        let all = registry.list().into_iter();
        let asked = all
            .filter(|status| (name.is_empty() || status.name == name) && (version == 0 || status.version == version));
        let model_stats = asked.filter_map(|status| Some(self.statistics.of(&status.model?))).collect();
        Ok(Response::new(ModelStatisticsResponse { model_stats }))
    }

    async fn repository_index(&self, request: Request<RepositoryIndexRequest>) -> Answer<RepositoryIndexResponse> {
        let RepositoryIndexRequest { repository_name, ready } = request.into_inner();
        the_only(&repository_name)?;
        let all = self.app.registry().list().into_iter();
        let models = all.filter(|status| !ready || status.model.is_some()).map(describe::index).collect();
        Ok(Response::new(RepositoryIndexResponse { models }))
    }

    async fn repository_model_load(
        &self,
        request: Request<RepositoryModelLoadRequest>,
    ) -> Answer<RepositoryModelLoadResponse> {
        self.app.check_model_control()?;
        let RepositoryModelLoadRequest { repository_name, model_name, parameters } = request.into_inner();
        the_only(&repository_name)?;
        only(&[], &parameters)?;
        self.app.registry().load(&model_name, 0).await?;
        Ok(Response::new(RepositoryModelLoadResponse {}))
    }

    /// `unload_dependents` changes nothing: no model depends on another.
    async fn repository_model_unload(
        &self,
        request: Request<RepositoryModelUnloadRequest>,
    ) -> Answer<RepositoryModelUnloadResponse> {
        self.app.check_model_control()?;
        let RepositoryModelUnloadRequest { repository_name, model_name, parameters } = request.into_inner();
        the_only(&repository_name)?;
        only(&["unload_dependents"], &parameters)?;
        self.app.registry().unload(&model_name, 0).await?;
        Ok(Response::new(RepositoryModelUnloadResponse {}))
    }

    async fn system_shared_memory_status(
        &self,
        request: Request<SystemSharedMemoryStatusRequest>,
    ) -> Answer<SystemSharedMemoryStatusResponse> {
        self.may_share(&request)?;
        let regions = self.shared.status(&request.into_inner().name)?.into_iter().map(|status| {
            let shared_memory::RegionStatus { name, key, offset, byte_size } = status;
            (name.clone(), RegionStatus { name, key, offset, byte_size })
        });
        Ok(Response::new(SystemSharedMemoryStatusResponse { regions: regions.collect() }))
    }

    async fn system_shared_memory_register(
        &self,
        request: Request<SystemSharedMemoryRegisterRequest>,
    ) -> Answer<SystemSharedMemoryRegisterResponse> {
        self.may_share(&request)?;
        let SystemSharedMemoryRegisterRequest { name, key, offset, byte_size } = request.into_inner();
        let shared = self.shared.clone();
        blocking(move || shared.register(&name, &key, offset, byte_size)).await??;
        Ok(Response::new(SystemSharedMemoryRegisterResponse {}))
    }

    async fn system_shared_memory_unregister(
        &self,
        request: Request<SystemSharedMemoryUnregisterRequest>,
    ) -> Answer<SystemSharedMemoryUnregisterResponse> {
        self.may_share(&request)?;
        let (shared, name) = (self.shared.clone(), request.into_inner().name);
        blocking(move || shared.unregister(&name)).await?;
        Ok(Response::new(SystemSharedMemoryUnregisterResponse {}))
    }

    async fn model_infer(&self, request: Request<ModelInferRequest>) -> Answer<ModelInferResponse> {
        let call = of_call(&request);
        let started = self.start(request.into_inner(), call, WhenFull::Refuse).await?;
        Ok(Response::new(started.answer().await?))
    }

    async fn model_stream_infer(
        &self,
        request: Request<Streaming<ModelInferRequest>>,
    ) -> Answer<Self::ModelStreamInferStream> {
        let call = of_call(&request);
        let service = self.clone();
        let start = move |request: ModelInferRequest, when_full| {
            let (service, call, id) = (service.clone(), call.clone(), request::id_for_errors(&request.id));
            let tell_final = parameters::tells_final(&request.parameters);
            async move {
                let started = service.start(request, call, when_full).await;
                async move {
                    let answer = match started {
                        Ok(started) => started.answer().await.map_err(Status::from),
                        Err(error) => Err(error.into()),
                    };
                    infer::in_band(id, tell_final, answer)
                }
            }
        };
        Ok(stream(in_order(&self.app, request.into_inner(), self.flow, start), self.flow))
    }
}

impl Oip {
    /// Whether the sender of a request may use shared memory.
    fn may_share<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let (_, origin) = of_call(request);
        self.shared.check(&origin).map_err(Status::permission_denied)
    }
}

/// Runs work that blocks.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::internal(Reason::of(error)))
}

/// Refuses the name of a repository: the server has one, without a name.
fn the_only(repository: &str) -> Result<()> {
    if repository.is_empty() {
        return Ok(());
    }
    let reason = format!("there is no repository `{}`; leave it empty", shown(repository));
    Err(Error::parameter("repository_name", reason))
}

/// The parameters of a request to the repository: only those that are named. Models are loaded as they are in the repository, so
/// neither their configuration nor their files can be sent along.
fn only(known: &[&str], parameters: &HashMap<String, ModelRepositoryParameter>) -> Result<()> {
    match parameters.keys().filter(|name| !known.contains(&name.as_str())).min() {
        None => Ok(()),
        Some(name) => {
            let has =
                if known.is_empty() { "no parameters".to_owned() } else { format!("parameters: {}", known.join(", ")) };
            let reason = format!(
                "`{}` is not a parameter of this call ({has}); models are loaded as the repository has them",
                shown(name)
            );
            Err(Error::parameter("parameters", reason))
        }
    }
}

//! Models, health and reflection.

use crate::server::{MODELS, Sample, channel, client, model_client, sample, start};
use std::time::Duration;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use uflow::serve::config::ModelControl;
use uflow::serve::proto::v1::{GetModelRequest, ListModelsRequest, LoadModelRequest, ModelState, UnloadModelRequest};

#[tokio::test(flavor = "multi_thread")]
async fn models_are_listed_and_only_loaded_by_clients_where_allowed() {
    let server = start(|_| {}).await;
    let mut models = model_client(&server).await;
    let listed = models.list_models(ListModelsRequest {}).await.unwrap().into_inner().models;
    assert_eq!(listed.iter().map(|model| model.name.as_str()).collect::<Vec<_>>(), MODELS);
    assert!(listed.iter().all(|model| model.state() == ModelState::Ready && model.current));
    let bolt = listed[0].description.as_ref().unwrap();
    assert_eq!((bolt.input_width, bolt.input_height, bolt.device.as_str()), (48, 32, "cpu"));
    assert_eq!(bolt.backbone_sha256, listed[1].description.as_ref().unwrap().backbone_sha256);
    let unload = UnloadModelRequest { model: "bolt".to_owned(), version: 0 };
    assert_eq!(models.unload_model(unload.clone()).await.unwrap_err().code(), Code::PermissionDenied);

    let server = start(|settings| settings.model_control = Some(ModelControl::Explicit)).await;
    let (mut models, mut client) = (model_client(&server).await, client(&server).await);
    let bolt = || Sample { model: "bolt", ..sample(0) }.request(0);
    let status = client.detect(bolt()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "model `bolt` version 1 is not loaded"));
    let load = LoadModelRequest { model: "bolt".to_owned(), version: 0 };
    let loaded = models.load_model(load.clone()).await.unwrap().into_inner().model.unwrap();
    assert_eq!((loaded.state(), loaded.version, loaded.current), (ModelState::Ready, 1, true));
    assert!(client.detect(bolt()).await.is_ok());
    let unknown = LoadModelRequest { model: "../../etc".to_owned(), version: 0 };
    assert_eq!(models.load_model(unknown).await.unwrap_err().code(), Code::NotFound);
    models.unload_model(unload).await.unwrap();
    assert_eq!(client.detect(bolt()).await.unwrap_err().code(), Code::Unavailable);
    let get = GetModelRequest { model: "bolt".to_owned(), version: 1 };
    let state = models.get_model(get).await.unwrap().into_inner().model.unwrap().state();
    assert!(matches!(state, ModelState::Available | ModelState::Unloading), "{state:?}");
    models.load_model(load).await.unwrap();
    assert!(client.detect(bolt()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn health_follows_the_server_and_its_models() {
    let server = start(|settings| {
        settings.model_control = Some(ModelControl::Explicit);
        settings.shutdown_delay_seconds = Some(0.5);
    })
    .await;
    let mut health = HealthClient::new(channel(&server).await);
    let mut models = model_client(&server).await;
    let mut check = async |service: &str| {
        let request = HealthCheckRequest { service: service.to_owned() };
        health.check(request).await.map(|response| response.into_inner().status()).map_err(|status| status.code())
    };
    assert_eq!(check("").await, Ok(ServingStatus::NotServing), "no model is loaded");
    assert_eq!(check("uflow.v1.DetectionService").await, Ok(ServingStatus::NotServing));
    assert_eq!(check("nothing").await, Err(Code::NotFound));
    assert_eq!(check("bolt").await, Ok(ServingStatus::NotServing));
    models.load_model(LoadModelRequest { model: "bolt".to_owned(), version: 0 }).await.unwrap();
    let mut status = check("bolt").await;
    for _ in 0..100 {
        if status == Ok(ServingStatus::Serving) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        status = check("bolt").await;
    }
    assert_eq!(status, Ok(ServingStatus::Serving));
    assert_eq!(check("").await, Ok(ServingStatus::Serving));
    assert_eq!(check("uflow.v1.DetectionService").await, Ok(ServingStatus::Serving));
    let stopping = tokio::spawn(server.stop());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(check("").await, Ok(ServingStatus::NotServing));
    assert_eq!(check("bolt").await, Ok(ServingStatus::NotServing));
    assert!(stopping.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_knows_the_services() {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let server = start(|_| {}).await;
    let mut reflection = ServerReflectionClient::new(channel(&server).await);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = reflection.server_reflection_info(tokio_stream::iter([request])).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(services)) = answers.next().await.unwrap().unwrap().message_response
    else {
        panic!("no list of services");
    };
    let names: Vec<_> = services.service.iter().map(|service| service.name.as_str()).collect();
    for name in ["uflow.v1.DetectionService", "uflow.v1.ModelService", "grpc.health.v1.Health"] {
        assert!(names.contains(&name), "{names:?}");
    }
}

//! What the server and its models say of themselves, and what changes them.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_server_and_its_models_describe_themselves() {
    let repo = Repo::new(&["bolt", "nut"]);
    let (_app, mut client) = start(&repo).await;
    assert!(client.server_live(ServerLiveRequest {}).await.unwrap().into_inner().live);
    assert!(client.server_ready(ServerReadyRequest {}).await.unwrap().into_inner().ready);
    for (name, version, ready) in [("bolt", "", true), ("bolt", "1", true), ("bolt", "2", false), ("rivet", "", false)]
    {
        let request = ModelReadyRequest { name: name.to_owned(), version: version.to_owned() };
        assert_eq!(client.model_ready(request).await.unwrap().into_inner().ready, ready, "{name} {version}");
    }
    let server = client.server_metadata(ServerMetadataRequest {}).await.unwrap().into_inner();
    assert_eq!((server.name.as_str(), server.version.as_str()), ("uflow", env!("CARGO_PKG_VERSION")));
    assert!(server.extensions.contains(&"statistics".to_owned()));
    assert!(!server.extensions.iter().any(|extension| extension.contains("shared_memory")));

    let request = ModelMetadataRequest { name: "bolt".to_owned(), version: String::new() };
    let metadata = client.model_metadata(request).await.unwrap().into_inner();
    assert_eq!((metadata.name.as_str(), metadata.versions), ("bolt", vec!["1".to_owned()]));
    let [image] = metadata.inputs.as_slice() else { panic!("one input: {:?}", metadata.inputs) };
    assert_eq!((image.name.as_str(), image.datatype.as_str()), ("image", "UINT8"));
    assert_eq!(image.shape, [-1; 4]);
    let outputs: Vec<_> =
        metadata.outputs.iter().map(|o| (o.name.as_str(), o.datatype.as_str(), o.shape.clone())).collect();
    let expected = [
        ("score", "FP32", vec![-1]),
        ("score_max", "FP32", vec![-1]),
        ("anomalous", "BOOL", vec![-1]),
        ("log10_nfa_min", "FP32", vec![-1]),
        ("p_value", "FP64", vec![-1]),
        ("regions", "BYTES", vec![-1]),
        ("mask", "UINT8", vec![-1; 3]),
        ("mask_png", "BYTES", vec![-1]),
        ("score_map", "FP32", vec![-1, 32, 48]),
        ("log10_nfa_map", "FP32", vec![-1, 32, 48]),
    ];
    assert_eq!(outputs, expected);

    let request = ModelConfigRequest { name: "nut".to_owned(), version: "1".to_owned() };
    let config = client.model_config(request).await.unwrap().into_inner().config.unwrap();
    assert_eq!((config.name.as_str(), config.max_batch_size), ("nut", 64));
    assert_eq!(
        (config.input[0].dims.as_slice(), config.input[0].data_type()),
        ([-1; 3].as_slice(), DataType::TypeUint8)
    );
    for (output, (name, _, shape)) in config.output.iter().zip(expected) {
        assert_eq!((output.name.as_str(), output.dims.as_slice()), (name, &shape[1..]), "without the batch axis");
    }
    assert!(!config.model_transaction_policy.unwrap().decoupled);
    assert!(matches!(config.scheduling_choice, Some(SchedulingChoice::DynamicBatching(_))));
    assert!(config.parameters.contains_key("encoded_image"));
    let request = ModelConfigRequest { name: "rivet".to_owned(), version: String::new() };
    assert_eq!(client.model_config(request).await.unwrap_err().code(), Code::NotFound);
}

async fn index(client: &mut Client<Channel>, ready: bool) -> Vec<(String, String, String)> {
    let request = RepositoryIndexRequest { ready, ..Default::default() };
    let models = client.repository_index(request).await.unwrap().into_inner().models;
    models.into_iter().map(|model| (model.name, model.version, model.state)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_tells_what_is_ready_and_control_is_refused() {
    let repo = Repo::new(&["bolt"]);
    std::fs::create_dir_all(repo.path("broken", 1)).unwrap();
    std::fs::write(repo.path("broken", 1).join("uflow.json"), "{}").unwrap();
    let (_app, mut client) = start(&repo).await;
    let entry = |name: &str, version: &str, state: &str| (name.to_owned(), version.to_owned(), state.to_owned());
    assert_eq!(index(&mut client, true).await, [entry("bolt", "1", "READY")]);
    assert_eq!(index(&mut client, false).await, [entry("bolt", "1", "READY"), entry("broken", "1", "UNAVAILABLE")]);
    let status =
        client.repository_index(RepositoryIndexRequest { repository_name: "x".to_owned(), ready: false }).await;
    assert_eq!(status.unwrap_err().code(), Code::InvalidArgument);
    let load = RepositoryModelLoadRequest { model_name: "bolt".to_owned(), ..Default::default() };
    let status = client.repository_model_load(load).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let unload = RepositoryModelUnloadRequest { model_name: "bolt".to_owned(), ..Default::default() };
    let status = client.repository_model_unload(unload).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(client.model_infer(small()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_loaded_and_unloaded_where_that_is_allowed() {
    let repo = Repo::new(&["bolt"]);
    let app = repo.app(Control::Explicit, EngineOptions::default()).await;
    let mut client = serve(&app).await;
    assert_eq!(index(&mut client, false).await[0].2, "", "never loaded");
    assert_eq!(client.model_infer(small()).await.unwrap_err().code(), Code::Unavailable);
    let load = RepositoryModelLoadRequest { model_name: "bolt".to_owned(), ..Default::default() };
    let parameters = HashMap::from([("config".to_owned(), ModelRepositoryParameter::default())]);
    let status = client.repository_model_load(RepositoryModelLoadRequest { parameters, ..load.clone() }).await;
    assert_eq!(status.unwrap_err().code(), Code::InvalidArgument);
    client.repository_model_load(load).await.unwrap();
    assert!(client.model_infer(small()).await.is_ok());
    let load = RepositoryModelLoadRequest { model_name: "nut".to_owned(), ..Default::default() };
    assert_eq!(client.repository_model_load(load).await.unwrap_err().code(), Code::NotFound);
    let unload = RepositoryModelUnloadRequest { model_name: "bolt".to_owned(), ..Default::default() };
    let parameters = HashMap::from([("unload_dependants".to_owned(), ModelRepositoryParameter::default())]);
    let status = client.repository_model_unload(RepositoryModelUnloadRequest { parameters, ..unload.clone() }).await;
    let status = status.unwrap_err();
    assert!(status.message().contains("`unload_dependants` is not a parameter of this call"), "{status}");
    client.repository_model_unload(unload).await.unwrap();
    assert_eq!(client.model_infer(small()).await.unwrap_err().code(), Code::Unavailable);
    assert!(index(&mut client, true).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_count_what_was_done() {
    let repo = Repo::new(&["bolt", "nut"]);
    let (_app, mut client) = start(&repo).await;
    let pixels: Vec<_> = (0..3).flat_map(|seed| models::good(seed, 48, 32, PixelFormat::Rgb8)).collect();
    for _ in 0..4 {
        let batch = request(tensor("image", "UINT8", &[3, 32, 48, 3]), Some(pixels.clone()));
        client.model_infer(batch).await.unwrap();
    }
    client.model_infer(small()).await.unwrap();
    let bad = request(tensor("image", "BYTES", &[1]), Some(prefixed(&[vec![1]])));
    client.model_infer(bad).await.unwrap_err();
    let all = client.model_statistics(ModelStatisticsRequest::default()).await.unwrap().into_inner().model_stats;
    let names: Vec<_> = all.iter().map(|model| (model.name.as_str(), model.version.as_str())).collect();
    assert_eq!(names, [("bolt", "1"), ("nut", "1")]);
    let [bolt, nut] = all.try_into().unwrap();
    let stats = bolt.inference_stats.unwrap();
    let count = |duration: Option<StatisticDuration>| duration.unwrap().count;
    assert_eq!((count(stats.success), count(stats.fail), bolt.inference_count), (5, 1, 13));
    assert!(bolt.last_inference > 1_600_000_000_000);
    assert!((5..=13).contains(&bolt.execution_count), "{}", bolt.execution_count);
    let stages = [stats.queue, stats.compute_input, stats.compute_infer, stats.compute_output];
    assert!(stages.iter().all(|stage| count(*stage) == 5));
    assert!(stages.iter().map(|stage| stage.unwrap().ns).sum::<u64>() <= stats.success.unwrap().ns);
    assert!(stats.compute_infer.unwrap().ns > 0 && stats.fail.unwrap().ns > 0);
    let by_batch: u64 = bolt.batch_stats.iter().map(|batch| count(batch.compute_infer)).sum();
    assert_eq!(by_batch, bolt.execution_count);
    assert_eq!((nut.inference_count, count(nut.inference_stats.unwrap().success)), (0, 0));
    let one = ModelStatisticsRequest { name: "nut".to_owned(), version: "1".to_owned() };
    assert_eq!(client.model_statistics(one).await.unwrap().into_inner().model_stats.len(), 1);
    let none = ModelStatisticsRequest { name: "rivet".to_owned(), version: String::new() };
    assert_eq!(client.model_statistics(none).await.unwrap_err().code(), Code::NotFound);
}

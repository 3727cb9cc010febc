//! What a frame is answered when its answer, its names or its stream are larger than the server allows.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio_stream::StreamExt;
use tonic::Code;
use uflow::serve::{
    Server,
    client::{Connection, Pace, run},
    config::{Config, Overload},
    proto::{
        inference::{
            ModelInferRequest,
            grpc_inference_service_client::GrpcInferenceServiceClient,
            model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
        },
        v1::{DetectRequest, DetectResponse, MaskFormat, Outputs, detect_request::Image, detect_response::Outcome},
    },
};

use crate::server::{channel, client, copy_of_repository, runtime, sample, settings, start};

/// A small file that becomes a picture of 1.4 million pixels.
fn large_picture() -> prost::bytes::Bytes {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::GrayImage::new(1200, 1200).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner().into()
}

fn with_mask(sequence: u64, mask: MaskFormat) -> DetectRequest {
    DetectRequest {
        image: Some(Image::Encoded(large_picture())),
        outputs: Some(Outputs { mask: mask.into(), ..Outputs::default() }),
        ..sample(1).request(sequence)
    }
}

async fn answers(server: &Server, requests: Vec<DetectRequest>) -> Vec<DetectResponse> {
    let answers = client(server).await.detect_stream(tokio_stream::iter(requests)).await.unwrap();
    answers.into_inner().map(|answer| answer.unwrap()).collect().await
}

fn code(answer: &DetectResponse) -> Code {
    match &answer.outcome {
        Some(Outcome::Detection(_)) => Code::Ok,
        Some(Outcome::Error(error)) => Code::from_i32(error.code),
        None => Code::Unknown,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_larger_than_a_message_is_an_error_of_its_frame_alone() {
    let server = start(|settings| settings.max_message_mib = Some(1)).await;
    let requests = [MaskFormat::Png, MaskFormat::Raw, MaskFormat::Rle, MaskFormat::Raw, MaskFormat::Unspecified];
    let requests = (0..).zip(requests).map(|(sequence, mask)| with_mask(sequence, mask));
    let answers = answers(&server, requests.collect()).await;
    assert_eq!(answers.iter().map(|answer| answer.sequence).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let codes: Vec<_> = answers.iter().map(code).collect();
    assert_eq!(codes, [Code::Ok, Code::InvalidArgument, Code::Ok, Code::InvalidArgument, Code::Ok]);
    let Some(Outcome::Error(error)) = &answers[1].outcome else { panic!("{:?}", answers[1]) };
    assert!(error.message.contains("KiB, and a message at most 1024 KiB; ask for masks as PNG"), "{}", error.message);

    let status = client(&server).await.detect(with_mask(1, MaskFormat::Raw)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(status.message().contains("ask for masks as PNG"), "{status}");
}

fn tensors(id: &str, outputs: &[&str]) -> ModelInferRequest {
    let picture = large_picture();
    let mut raw = (picture.len() as u32).to_le_bytes().to_vec();
    raw.extend_from_slice(&picture);
    ModelInferRequest {
        model_name: "nut".to_owned(),
        id: id.to_owned(),
        inputs: vec![InferInputTensor {
            name: "encoded_image".to_owned(),
            datatype: "BYTES".to_owned(),
            shape: vec![1],
            ..Default::default()
        }],
        outputs: (outputs.iter())
            .map(|name| InferRequestedOutputTensor { name: (*name).to_owned(), ..Default::default() })
            .collect(),
        raw_input_contents: vec![raw.into()],
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inference_larger_than_a_message_is_an_error_of_its_request_alone() {
    let server = start(|settings| settings.max_message_mib = Some(1)).await;
    let mut client = GrpcInferenceServiceClient::new(channel(&server).await).max_decoding_message_size(1 << 30);
    let requests = [
        tensors("a", &["score"]),
        tensors("b", &["mask", "score"]),
        tensors("c", &["mask_png"]),
        tensors(&"d".repeat(1 << 19), &["score"]),
    ];
    let answers = client.model_stream_infer(tokio_stream::iter(requests)).await.unwrap().into_inner();
    let answers: Vec<_> = answers.map(|answer| answer.unwrap()).collect().await;
    let failed: Vec<_> = answers.iter().map(|answer| !answer.error_message.is_empty()).collect();
    assert_eq!(failed, [false, true, false, true], "{answers:?}");
    let ids = answers.iter().map(|answer| answer.infer_response.as_ref().unwrap().id.clone());
    assert_eq!(ids.collect::<Vec<_>>(), ["a", "b", "c", &format!("{}…", "d".repeat(64))]);
    assert!(answers[1].error_message.contains("ask for masks as PNG"), "{}", answers[1].error_message);
    let png = &answers[2].infer_response.as_ref().unwrap().raw_output_contents[0];
    let mask = image::load_from_memory(&png[4..]).unwrap().into_luma8();
    assert_eq!(mask.dimensions(), (1200, 1200));

    let status = client.model_infer(tensors("b", &["mask"])).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_within_their_window_are_never_refused() {
    let server = start(|settings| {
        (settings.max_in_flight, settings.workers) = (Some(2), Some(1));
        (settings.stream_overload, settings.stream_window) = (Some(Overload::Refuse), Some(4));
    })
    .await;
    let window = client(&server).await.detect_stream(tokio_stream::empty()).await.unwrap();
    assert_eq!(window.metadata().get("uflow-stream-window").unwrap(), "4");
    let connection = Connection { server: format!("http://{}", server.grpc_address()), ..Connection::default() };
    let frames = Arc::new(|index: u64| (index < 400).then(|| Ok(sample(index % 60).request(index))));
    let pace = Pace { streams: 6, window: 4, rate: None };
    let report = run(&connection, pace, frames, Arc::new(|_, _, _| {})).await.unwrap();
    assert!(report.is_clean() && report.answered == 400, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_any_length_are_cut_off_in_errors() {
    let server = start(|_| {}).await;
    let long = "x".repeat(20_000);
    let shown = format!("there is no model `{}…`; there are bolt, nut, washer", "x".repeat(64));
    let request = DetectRequest { model: long.clone(), ..sample(1).request(7) };
    let status = client(&server).await.detect(request.clone()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::NotFound, shown.as_str()));
    let answer = answers(&server, vec![request]).await.remove(0);
    assert_eq!((code(&answer), answer.sequence), (Code::NotFound, 7));
    assert!(answer.model.len() < 300, "{}", answer.model.len());

    let mut client = GrpcInferenceServiceClient::new(channel(&server).await);
    let mut wrong: Vec<ModelInferRequest> = Vec::new();
    wrong.push(ModelInferRequest { model_name: long.clone(), ..tensors("", &[]) });
    wrong.push(ModelInferRequest { model_version: long.clone(), ..tensors("", &[]) });
    wrong.push(tensors("", &[&long]));
    let mut input = tensors("", &[]);
    input.inputs[0].name.clone_from(&long);
    wrong.push(input);
    let mut datatype = tensors("", &[]);
    datatype.inputs[0].datatype.clone_from(&long);
    wrong.push(datatype);
    for name in ["verdict", "epsilon", "uflow_x"] {
        let mut parameter = tensors("", &[]);
        let choice = uflow::serve::proto::inference::infer_parameter::ParameterChoice::StringParam(long.clone());
        let value = uflow::serve::proto::inference::InferParameter { parameter_choice: Some(choice) };
        parameter.parameters.insert(name.to_owned(), value);
        wrong.push(parameter);
    }
    let mut said = BTreeSet::new();
    for request in wrong {
        let status = client.model_infer(request).await.unwrap_err();
        assert!(status.message().len() < 1000, "{} bytes: {status}", status.message().len());
        said.insert(status.message().to_owned());
    }
    assert!(said.len() >= 7, "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn series_of_versions_that_have_gone_are_removed() {
    let repository = copy_of_repository();
    let mut settings = settings(repository.path().to_owned());
    settings.poll_seconds = Some(0.05);
    let server = Server::start(&runtime(), Config::new(settings).unwrap()).await.unwrap();
    server.loaded().await;
    assert!(client(&server).await.detect(sample(0).request(1)).await.is_ok());
    let text = || server.app().engine().metrics().text();
    let series = |version: &str| {
        let label = format!("version=\"{version}\"");
        // What the repository has is listed for as long as it is there; what was counted goes with the model.
        let counted = |line: &&str| line.contains("model=\"bolt\"") && !line.starts_with("uflow_model_");
        text().lines().filter(|line| counted(line) && line.contains(&label)).count()
    };
    assert!(series("1") > 50, "{}", text());
    crate::server::copy(&repository.path().join("bolt/1"), &repository.path().join("new"));
    std::fs::rename(repository.path().join("new"), repository.path().join("bolt/2")).unwrap();
    for _ in 0..600 {
        if series("2") > 0 && series("1") == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(series("2") > 50, "{}", text());
    assert_eq!(series("1"), 0, "{}", text());
    assert!(client(&server).await.detect(sample(0).request(1)).await.is_ok());
}

/// On one thread, which is held up by whoever waits on it.
#[tokio::test]
async fn a_server_that_ends_while_packages_load_does_not_hold_up_the_event_loop() {
    let repository = copy_of_repository();
    for version in 2..80 {
        let folder = repository.path().join("bolt").join(version.to_string());
        crate::server::copy(&repository.path().join("bolt/1"), &folder);
    }
    let mut settings = settings(repository.path().to_owned());
    (settings.versions, settings.drain_seconds) = (Some(0), Some(0.05));
    let server = Server::start(&runtime(), Config::new(settings).unwrap()).await.unwrap();
    let loaded = server.app().registry().started();
    server.stop().await;
    // What the server's tasks held is dropped now.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(!*loaded.borrow(), "the event loop has waited for every package");
}

//! The verdict by reject rate is the same through every interface: verdict, p-values and regions of the library, the command,
//! `uflow.v1`, the Open Inference Protocol and HTTP.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::Command,
};

use serde_json::Value;
use uflow::{
    frame::{Image, Limits, PixelFormat},
    package::{DetectionLimits, KindLimit, Package},
    pipeline::{Detection, Detector},
    runtime::SessionOptions,
    segment::{DecisionOptions, Verdict},
    serve::{
        Server,
        config::Config,
        proto::{
            inference::{
                InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse,
                grpc_inference_service_client::GrpcInferenceServiceClient,
                infer_parameter::ParameterChoice,
                model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
                model_infer_response::InferOutputTensor,
            },
            v1::{self, DetectRequest, detect_request, detect_response},
        },
    },
};

use crate::{
    networks::models,
    process::Process,
    server::{channel, client, model_client, runtime, settings},
};

const IMAGES: u64 = 24;

/// A model with every default, as `clip`, in a repository.
fn repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let backbone = models::backbone(folder.path(), 1);
    let mut fitted = models::fit_with(&runtime(), &backbone, "clip", (3, IMAGES), DecisionOptions::default());
    fitted.manifest.limits = Some(limits());
    fitted.write_to_repository(&folder.path().join("models"), 1).unwrap();
    folder
}

/// Detectable sizes as `uflow limits` keeps them: one that was measured, and one that was not reached.
fn limits() -> DetectionLimits {
    let kind = |kind: &str, found, a90: Option<f64>| KindLimit {
        kind: kind.to_owned(),
        contrast: 0.5,
        defects: 100,
        found,
        a90_px: a90,
        a90_95_px: a90.map(|size| 1.25 * size),
    };
    DetectionLimits {
        images: 40,
        good_flagged: 2,
        control_images: 30,
        control_flagged: 1,
        defects: 200,
        tried_px: [2.0, 64.0],
        contrast_levels: 84.5,
        pixel_size_mm: Some(0.125),
        kinds: vec![kind("scratch", 60, Some(16.0)), kind("stain", 3, None)],
    }
}

fn png(seed: u64, defective: bool) -> Vec<u8> {
    let make = if defective { models::bad } else { models::good };
    let mut file = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::from_raw(48, 32, make(seed, 48, 32, PixelFormat::Rgb8)).unwrap();
    picture.write_to(&mut file, image::ImageFormat::Png).unwrap();
    file.into_inner()
}

/// What is asked for: a rate, and a verdict where it is not the package's.
type Asked = (Option<f64>, Option<Verdict>);

/// What every interface tells.
#[derive(Debug, PartialEq)]
struct Told {
    anomalous: bool,
    log10_nfa_min: f32,
    p_value: Option<f64>,
    regions: Vec<(u32, Option<f64>)>,
}

impl Told {
    fn json(found: &Value) -> Self {
        let found: Detection = serde_json::from_value(found.clone()).unwrap();
        Self::detection(&found)
    }

    fn detection(found: &Detection) -> Self {
        Self {
            anomalous: found.anomalous,
            log10_nfa_min: found.log10_nfa_min,
            p_value: found.p_value,
            regions: found.regions.iter().map(|region| (region.area, region.p_value)).collect(),
        }
    }
}

fn by_command(package: &std::path::Path, file: &[u8], (rate, verdict): Asked) -> Told {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part.png");
    std::fs::write(&path, file).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_uflow"));
    command.arg("detect").arg("--model").arg(package).arg(&path).arg("--json");
    rate.map(|rate| command.arg("--reject-rate").arg(format!("{}%", rate * 100.0)));
    verdict.map(|verdict| command.arg("--verdict").arg(verdict.to_string()));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Told::json(&serde_json::from_slice(&output.stdout).unwrap())
}

fn by_http(address: SocketAddr, file: &[u8], (rate, verdict): Asked) -> Told {
    let mut query: Vec<String> = rate.iter().map(|rate| format!("reject_rate={}%25", rate * 100.0)).collect();
    query.extend(verdict.map(|verdict| format!("verdict={verdict}")));
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /v1/models/clip/detect?{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: image/png\r\nContent-Length: {}\r\n\r\n",
        query.join("&"),
        file.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(file).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Told::json(&serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap())
}

async fn by_uflow(server: &Server, file: &[u8], (reject_rate, verdict): Asked) -> Told {
    let verdict = verdict.map_or(v1::Verdict::Unspecified, |verdict| match verdict {
        Verdict::Reject => v1::Verdict::Reject,
        Verdict::Nfa => v1::Verdict::Nfa,
        other => panic!("{other} is not asked for"),
    });
    let options = v1::DetectOptions { reject_rate, verdict: verdict.into(), ..v1::DetectOptions::default() };
    let request = DetectRequest {
        model: "clip".to_owned(),
        image: Some(detect_request::Image::Encoded(file.to_vec().into())),
        options: Some(options),
        ..DetectRequest::default()
    };
    let answer = client(server).await.detect(request).await.unwrap().into_inner();
    let Some(detect_response::Outcome::Detection(found)) = answer.outcome else { panic!("{answer:?}") };
    assert_eq!(found.p_extrapolated, found.p_value.is_some_and(|p| p < 1.0 / (IMAGES + 1) as f64));
    Told {
        anomalous: found.anomalous,
        log10_nfa_min: found.log10_nfa_min,
        p_value: found.p_value,
        regions: found.regions.iter().map(|region| (region.area, region.p_value)).collect(),
    }
}

async fn by_oip(server: &Server, file: &[u8], (rate, verdict): Asked) -> Told {
    let output = |name: &str| InferRequestedOutputTensor { name: name.to_owned(), ..Default::default() };
    let mut request = ModelInferRequest {
        model_name: "clip".to_owned(),
        inputs: vec![InferInputTensor {
            name: "encoded_image".to_owned(),
            datatype: "BYTES".to_owned(),
            shape: vec![1],
            contents: Some(InferTensorContents { bytes_contents: vec![file.to_vec().into()], ..Default::default() }),
            ..Default::default()
        }],
        outputs: ["anomalous", "log10_nfa_min", "p_value", "regions"].map(output).to_vec(),
        ..Default::default()
    };
    let text = |text: String| InferParameter { parameter_choice: Some(ParameterChoice::StringParam(text)) };
    rate.map(|rate| request.parameters.insert("reject_rate".to_owned(), text(format!("{}%", rate * 100.0))));
    verdict.map(|verdict| request.parameters.insert("verdict".to_owned(), text(verdict.to_string())));
    let mut client = GrpcInferenceServiceClient::new(channel(server).await);
    let answer: ModelInferResponse = client.model_infer(request).await.unwrap().into_inner();
    let contents = |output: &InferOutputTensor| output.contents.clone().unwrap();
    let [anomalous, nfa, p_value, regions] = [0, 1, 2, 3].map(|index| contents(&answer.outputs[index]));
    let regions: Vec<uflow::segment::Region> = serde_json::from_slice(&regions.bytes_contents[0]).unwrap();
    Told {
        anomalous: anomalous.bool_contents[0],
        log10_nfa_min: nfa.fp32_contents[0],
        p_value: Some(p_value.fp64_contents[0]).filter(|p| !p.is_nan()),
        regions: regions.iter().map(|region| (region.area, region.p_value)).collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verdict_p_value_and_regions_are_the_same_everywhere() {
    let folder = repository();
    let models = folder.path().join("models");
    let path = models.join("clip/1");
    let package = Package::open(&path).unwrap();
    let server = Server::start(&runtime(), Config::new(settings(models)).unwrap()).await.unwrap();
    server.loaded().await;
    let mut detector = Detector::open(&runtime(), &package, &SessionOptions::default()).unwrap();

    let mut seen = [0, 0];
    let asked: [Asked; 5] = [
        (None, None),
        (Some(0.2), None),
        (Some(0.6), Some(Verdict::Reject)),
        (Some(0.2), Some(Verdict::Nfa)),
        (None, Some(Verdict::Nfa)),
    ];
    for (seed, defective) in [(900, false), (901, false), (902, false), (903, true)] {
        let file = png(seed, defective);
        let decoded = Image::decode(&file, "a part", &Limits::default()).unwrap();
        for asked in asked {
            let (reject_rate, verdict) = asked;
            let options = DecisionOptions { reject_rate, verdict, ..DecisionOptions::default() };
            let found = detector.detect(&decoded.frame(), &options).unwrap();
            let expected = Told::detection(&found);
            let p_value = found.p_value.expect("the package knows good images");
            if verdict != Some(Verdict::Nfa) {
                assert_eq!(found.anomalous, p_value <= reject_rate.unwrap_or(0.01), "{asked:?}: {found:?}");
                assert_eq!(found.anomalous, !found.regions.is_empty(), "{asked:?}: {found:?}");
                assert_eq!(found.anomalous, detector.mask().iter().any(|&pixel| pixel == 1));
                seen[usize::from(found.anomalous)] += 1;
            }
            assert_eq!(by_uflow(&server, &file, asked).await, expected, "uflow.v1, {asked:?}");
            assert_eq!(by_oip(&server, &file, asked).await, expected, "Open Inference Protocol, {asked:?}");
            assert_eq!(by_http(server.http_address(), &file, asked), expected, "HTTP, {asked:?}");
            assert_eq!(by_command(&path, &file, asked), expected, "the command, {asked:?}");
        }
    }
    assert!(seen[0] > 0 && seen[1] > 0, "good and anomalous frames are compared: {seen:?}");

    let request = v1::GetModelRequest { model: "clip".to_owned(), version: 0 };
    let described = model_client(&server).await.get_model(request).await.unwrap().into_inner();
    let described = described.model.unwrap().description.unwrap();
    assert_eq!((described.reject_rate, u64::from(described.good_images)), (Some(0.01), IMAGES));
    assert!(described.reject_extrapolated, "24 images are too few for 1%");
    assert_eq!(described.decision, package.manifest.decision_in_words().unwrap());
    let sizes = described.limits.unwrap();
    assert_eq!((sizes.images, sizes.good_flagged, sizes.control_images, sizes.control_flagged), (40, 2, 30, 1));
    assert_eq!((sizes.smallest_tried_px, sizes.largest_tried_px, sizes.pixel_size_mm), (2.0, 64.0, Some(0.125)));
    let [scratch, stain] = sizes.kinds.as_slice() else { panic!("{:?}", sizes.kinds) };
    assert_eq!((scratch.kind.as_str(), scratch.contrast, scratch.found), ("scratch", 0.5, 60));
    assert_eq!((scratch.a90_px, scratch.a90_95_px, stain.a90_95_px), (Some(16.0), Some(20.0), None));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_that_is_no_share_and_a_package_that_knows_no_good_images_are_refused() {
    let server = crate::server::start(|_| {}).await;
    let mut client = client(&server).await;
    for (reject_rate, told) in [(0.0, "reject_rate: must be a share"), (1.0, "reject_rate"), (0.01, "uflow calibrate")]
    {
        let request = DetectRequest {
            model: "bolt".to_owned(),
            image: Some(detect_request::Image::Encoded(png(1, false).into())),
            options: Some(v1::DetectOptions { reject_rate: Some(reject_rate), ..v1::DetectOptions::default() }),
            ..DetectRequest::default()
        };
        let status = client.detect(request).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert!(status.message().contains(told), "{reject_rate}: {}", status.message());
    }
    server.stop().await;
}

/// Who runs a server learns from its log that a threshold promises nothing.
#[test]
fn an_extrapolated_threshold_is_in_the_servers_log() {
    let folder = repository();
    let server = Process::start(&folder.path().join("models"), &["--log", "info"]);
    let line: Value = serde_json::from_str(&server.says("extrapolated")).unwrap();
    assert_eq!((line["level"].as_str(), line["model"].as_str()), (Some("WARN"), Some("clip")), "{line}");
    let said = line["message"].as_str().unwrap();
    assert!(said.contains("needs 99 good images, and the package knows 24") && said.contains("at least 4%"), "{said}");
}

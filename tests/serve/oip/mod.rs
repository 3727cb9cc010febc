//! The Open Inference Protocol over a real connection: the detector's numbers, in every form, and errors that say what is
//! wrong.

mod mutations;
mod numbers;
mod repo;
mod requests;
mod service;
mod stream;
mod tensors;

use std::{collections::HashMap, io::Cursor, sync::Arc, time::Duration};

use crate::networks::models;
use repo::Repo;
use tonic::{
    Code, Status,
    transport::{Channel, Server},
};
use uflow::{
    engine::EngineOptions,
    frame::{Frame, Image, Limits, PixelFormat},
    pipeline::{Detection, Detector},
    segment::DecisionOptions,
    segment::Region,
    serve::{
        app::{App, WhenFull},
        oip::Oip,
        proto::inference::{
            grpc_inference_service_client::GrpcInferenceServiceClient as Client,
            grpc_inference_service_server::GrpcInferenceServiceServer as Service,
            infer_parameter::ParameterChoice as Choice,
            model_config::SchedulingChoice,
            model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
            model_infer_response::InferOutputTensor,
            *,
        },
        registry::Control,
    },
};

const ALL: [&str; 10] = [
    "score",
    "score_max",
    "anomalous",
    "log10_nfa_min",
    "p_value",
    "regions",
    "mask",
    "mask_png",
    "score_map",
    "log10_nfa_map",
];
/// With the paper's count of tests no region of so small a map means anything at an ε of 1.
const EPSILON: f64 = 1e300;

async fn serve(app: &Arc<App>) -> Client<Channel> {
    let oip = Oip::new(Arc::clone(app), 8, WhenFull::Wait);
    Client::new(repo::serve(Server::builder().add_service(Service::new(oip))).await)
}

async fn start(repo: &Repo) -> (Arc<App>, Client<Channel>) {
    let app = repo.app(Control::Static, EngineOptions::default()).await;
    let client = serve(&app).await;
    (app, client)
}

fn tensor(name: &str, datatype: &str, shape: &[i64]) -> InferInputTensor {
    let (name, datatype) = (name.to_owned(), datatype.to_owned());
    InferInputTensor { name, datatype, shape: shape.to_vec(), ..Default::default() }
}

fn request(tensor: InferInputTensor, raw: Option<Vec<u8>>) -> ModelInferRequest {
    ModelInferRequest {
        model_name: "bolt".to_owned(),
        id: "7".to_owned(),
        inputs: vec![tensor],
        raw_input_contents: raw.into_iter().map(Into::into).collect(),
        ..Default::default()
    }
}

/// A good rgb8 frame of 3 × 2 pixels.
fn small() -> ModelInferRequest {
    request(tensor("image", "UINT8", &[1, 2, 3, 3]), Some(models::good(3, 3, 2, PixelFormat::Rgb8)))
}

fn with(mut request: ModelInferRequest, outputs: &[&str], parameters: &[(&str, Choice)]) -> ModelInferRequest {
    let output = |name: &&str| InferRequestedOutputTensor { name: (*name).to_owned(), ..Default::default() };
    request.outputs = outputs.iter().map(output).collect();
    let parameter = |(name, choice): &(&str, Choice)| {
        ((*name).to_owned(), InferParameter { parameter_choice: Some(choice.clone()) })
    };
    request.parameters = parameters.iter().map(parameter).collect();
    request
}

fn epsilon(request: ModelInferRequest) -> ModelInferRequest {
    with(request, &ALL, &[("epsilon", Choice::DoubleParam(EPSILON))])
}

fn typed(tensor: InferInputTensor, contents: InferTensorContents) -> ModelInferRequest {
    request(InferInputTensor { contents: Some(contents), ..tensor }, None)
}

fn uints(values: impl IntoIterator<Item = u32>) -> InferTensorContents {
    InferTensorContents { uint_contents: values.into_iter().collect(), ..Default::default() }
}

/// Elements of BYTES as raw contents.
fn prefixed(elements: &[Vec<u8>]) -> Vec<u8> {
    elements.iter().flat_map(|bytes| [&(bytes.len() as u32).to_le_bytes(), bytes.as_slice()].concat()).collect()
}

fn png(seed: u64, width: u32, height: u32) -> Vec<u8> {
    let pixels = models::bad(seed, width, height, PixelFormat::Rgb8);
    let mut png = Cursor::new(Vec::new());
    image::RgbImage::from_raw(width, height, pixels).unwrap().write_to(&mut png, image::ImageFormat::Png).unwrap();
    png.into_inner()
}

/// All outputs of one answer as numbers, whichever way they came.
#[derive(Debug)]
struct Outputs {
    shapes: HashMap<String, Vec<i64>>,
    score: Vec<f32>,
    score_max: Vec<f32>,
    anomalous: Vec<bool>,
    log10_nfa_min: Vec<f32>,
    regions: Vec<Vec<Region>>,
    mask: Vec<u8>,
    score_map: Vec<f32>,
    log10_nfa_map: Vec<f32>,
}

impl Outputs {
    fn of(response: &ModelInferResponse, raw: bool) -> Self {
        assert_eq!(response.raw_output_contents.len(), if raw { response.outputs.len() } else { 0 });
        let find = |name: &str| -> (InferOutputTensor, Vec<u8>) {
            let index = response.outputs.iter().position(|output| output.name == name).unwrap();
            let bytes = if raw { response.raw_output_contents[index].to_vec() } else { Vec::new() };
            assert_eq!(response.outputs[index].contents.is_none(), raw);
            (response.outputs[index].clone(), bytes)
        };
        let floats = |name: &str| -> Vec<f32> {
            let (output, bytes) = find(name);
            assert_eq!(output.datatype, "FP32");
            let of_raw = bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
            output.contents.map_or(of_raw, |contents| contents.fp32_contents)
        };
        let (anomalous, bytes) = find("anomalous");
        assert_eq!(anomalous.datatype, "BOOL");
        let of_raw = bytes.iter().map(|&byte| byte == 1).collect();
        let anomalous = anomalous.contents.map_or(of_raw, |contents| contents.bool_contents);
        let (mask, bytes) = find("mask");
        assert_eq!(mask.datatype, "UINT8");
        let of_typed = |contents: InferTensorContents| contents.uint_contents.iter().map(|&x| x as u8).collect();
        let mask = mask.contents.map_or(bytes, of_typed);
        Self {
            shapes: response.outputs.iter().map(|output| (output.name.clone(), output.shape.clone())).collect(),
            score: floats("score"),
            score_max: floats("score_max"),
            anomalous,
            log10_nfa_min: floats("log10_nfa_min"),
            regions: regions(find("regions")),
            mask,
            score_map: floats("score_map"),
            log10_nfa_map: floats("log10_nfa_map"),
        }
    }
}

fn regions((output, mut raw): (InferOutputTensor, Vec<u8>)) -> Vec<Vec<Region>> {
    assert_eq!(output.datatype, "BYTES");
    let mut documents: Vec<Vec<u8>> =
        output.contents.iter().flat_map(|contents| &contents.bytes_contents).map(|bytes| bytes.to_vec()).collect();
    while !raw.is_empty() {
        let length = u32::from_le_bytes(raw[..4].try_into().unwrap()) as usize;
        documents.push(raw[4..4 + length].to_vec());
        raw.drain(..4 + length);
    }
    documents.iter().map(|json| serde_json::from_slice(json).unwrap()).collect()
}

fn detect(detector: &mut Detector, pixels: &[u8], width: u32, height: u32, format: PixelFormat) -> Detection {
    let options = DecisionOptions { epsilon: Some(EPSILON), ..DecisionOptions::default() };
    detector.detect(&Frame::packed(pixels, width, height, format).unwrap(), &options).unwrap()
}

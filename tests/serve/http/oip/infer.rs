//! Inference over REST: the numbers of gRPC to the bit, however the tensors travel.

use std::io::Read as _;

use tonic::Request;
use uflow::{
    frame::{Frame, Limits, PixelFormat},
    segment::{DecisionOptions, Region, RegionOfInterest, Roi},
    serve::proto::inference::{
        InferParameter, ModelInferRequest,
        grpc_inference_service_server::GrpcInferenceService as _,
        infer_parameter::ParameterChoice,
        model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
    },
};

use super::*;
use crate::http::png;

const INFER: &str = "/v2/models/nut/infer";
const ALL: [&str; 12] = [
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
    "latents_0",
    "latents_1",
];

fn outputs(binary: bool) -> Value {
    ALL.iter().map(|name| json!({ "name": name, "parameters": { "binary_data": binary } })).collect()
}

/// What gRPC answers, by output.
fn over_grpc(server: &Server, datatype: &str, shape: &[i64], raw: Vec<u8>) -> HashMap<String, Vec<u8>> {
    let input = InferInputTensor {
        name: "image".to_owned(),
        datatype: datatype.to_owned(),
        shape: shape.to_vec(),
        ..Default::default()
    };
    let epsilon = InferParameter { parameter_choice: Some(ParameterChoice::DoubleParam(1e100)) };
    let output = |name: &&str| InferRequestedOutputTensor { name: (*name).to_owned(), ..Default::default() };
    let request = ModelInferRequest {
        model_name: "nut".to_owned(),
        parameters: [("epsilon".to_owned(), epsilon)].into(),
        inputs: vec![input],
        outputs: ALL.iter().map(output).collect(),
        raw_input_contents: vec![raw.into()],
        ..Default::default()
    };
    let answer = server._runtime.block_on(server.oip.model_infer(Request::new(request))).unwrap().into_inner();
    let names = answer.outputs.into_iter().map(|output| output.name);
    names.zip(answer.raw_output_contents.into_iter().map(|raw| raw.to_vec())).collect()
}

/// Elements as lists within lists.
fn nested(values: &[u64], shape: &[usize]) -> Value {
    match shape {
        [] => json!(values[0]),
        [_, inner @ ..] => {
            let size = inner.iter().product();
            values.chunks(size).map(|chunk| nested(chunk, inner)).collect()
        }
    }
}

#[test]
fn every_form_has_the_numbers_of_grpc_to_the_bit() {
    let models = Models::new();
    let server = Server::start(&models);
    let mut regions = 0;
    for (datatype, format, channels) in [
        ("UINT8", PixelFormat::Gray8, 1),
        ("UINT8", PixelFormat::Rgb8, 3),
        ("UINT8", PixelFormat::Rgba8, 4),
        ("UINT16", PixelFormat::Gray16, 1),
    ] {
        let pixels = models::bad(5, 31, 22, format);
        let shape = [1, 22, 31, channels];
        let expected = over_grpc(&server, datatype, &shape.map(|size| size as i64), pixels.clone());
        regions += serde_json::from_slice::<Value>(&expected["regions"][4..]).unwrap().as_array().unwrap().len();
        let values: Vec<u64> = match datatype {
            "UINT8" => pixels.iter().map(|&byte| u64::from(byte)).collect(),
            _ => pixels.chunks(2).map(|pair| u64::from(u16::from_ne_bytes([pair[0], pair[1]]))).collect(),
        };
        let request = |data: Option<Value>, parameters: Value, binary: bool| {
            let mut input = json!({ "name": "image", "datatype": datatype, "shape": shape, "parameters": parameters });
            input.as_object_mut().unwrap().extend(data.map(|data| ("data".to_owned(), data)));
            json!({ "id": "7", "parameters": { "epsilon": 1e100 }, "inputs": [input], "outputs": outputs(binary) })
        };
        let size = json!({ "binary_data_size": pixels.len() });
        for found in [
            server.send("POST", INFER, &[], request(Some(json!(values)), json!({}), false).to_string().as_bytes()),
            server.send(
                "POST",
                INFER,
                &[],
                request(Some(nested(&values, &shape)), json!({}), true).to_string().as_bytes(),
            ),
            send(&server, INFER, &request(None, size.clone(), true), &pixels),
            send(&server, "/v2/models/nut/versions/2/infer", &request(None, size, false), &pixels),
        ] {
            assert_eq!(raw_outputs(&found), expected, "{datatype} {channels}");
        }
    }
    assert!(regions > 0, "some of the frames must have regions, or they are not compared");
}

#[test]
fn image_files_come_as_base64_as_binary_data_or_alone() {
    let models = Models::new();
    let server = Server::start(&models);
    let file = bad_png(3);
    let prefixed = [(file.len() as u32).to_le_bytes().as_slice(), &file].concat();
    let expected = over_grpc(&server, "BYTES", &[1], prefixed.clone());
    let request = |name: &str, more: Value| {
        let mut input = json!({ "name": name, "datatype": "BYTES", "shape": [1] });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "parameters": { "epsilon": 1e100 }, "inputs": [input], "outputs": outputs(true) })
    };
    let base64 = json!({ "parameters": { "content_type": "base64" }, "data": [BASE64_STANDARD.encode(&file)] });
    let binary = json!({ "parameters": { "binary_data_size": prefixed.len() } });
    for name in ["image", "encoded_image"] {
        let found = server.send("POST", INFER, &[], request(name, base64.clone()).to_string().as_bytes());
        assert_eq!(raw_outputs(&found), expected);
        assert_eq!(raw_outputs(&send(&server, INFER, &request(name, binary.clone()), &prefixed)), expected);
    }
    // Without JSON the package's ε counts, and the small outputs are answered.
    let alone = server.send("POST", INFER, &[("Inference-Header-Content-Length", "0")], &file);
    let found = raw_outputs(&alone);
    assert_eq!(found.len(), 6);
    for name in ["score", "score_max", "log10_nfa_min"] {
        assert_eq!(found[name], expected[name], "{name}");
    }
    // A text is its own bytes: this one is an image too.
    let text = json!({ "data": ["P2\n2 2\n255\n0 255 255 0\n"] });
    let found = server.send("POST", INFER, &[], request("image", text).to_string().as_bytes());
    assert_eq!(raw_outputs(&found)["mask"].len(), 4);
}

#[test]
fn an_answer_says_what_it_is_of() {
    let models = Models::new();
    let server = Server::start(&models);
    let input = json!({ "name": "image", "datatype": "UINT8", "shape": [2, 1, 1, 1], "data": [1, 2] });
    let ask = |more: Value| {
        let mut request = json!({ "inputs": [input] });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let found = server.send("POST", "/v2/models/bolt/infer", &[], request.to_string().as_bytes());
        assert_eq!(found.status, 200, "{}", String::from_utf8_lossy(&found.body));
        found
    };
    let found = ask(json!({ "id": "a", "model_name": "bolt", "parameters": { "sequence_id": 3 } })).json();
    assert_eq!(
        (&found["model_name"], &found["model_version"], &found["id"]),
        (&json!("bolt"), &json!("3"), &json!("a"))
    );
    let names: Vec<_> = found["outputs"].as_array().unwrap().iter().map(|output| &output["name"]).collect();
    assert_eq!(names, ALL[..6].iter().collect::<Vec<_>>());
    let nothing = ask(json!({})).json();
    assert!(nothing.get("id").is_none() && nothing.get("parameters").is_none(), "{nothing}");
    assert_eq!(nothing["outputs"][0]["shape"], json!([2]));
    // An output's own wish comes before that of the request.
    let wishes = json!([{ "name": "score" }, { "name": "anomalous", "parameters": { "binary_data": false } }]);
    let mixed = ask(json!({ "parameters": { "binary_data_output": true }, "outputs": wishes }));
    let head: usize = mixed.header("inference-header-content-length").unwrap().parse().unwrap();
    assert_eq!(mixed.body.len() - head, 8, "two scores");
    assert_eq!(raw_outputs(&mixed)["anomalous"].len(), 2);
    let last = ask(json!({ "parameters": { "triton_enable_empty_final_response": true } })).json();
    assert_eq!(last["parameters"], json!({ "triton_final_response": true }));
}

/// Regions as the command writes them.
fn written(regions: &[Region]) -> Value {
    serde_json::from_str(&serde_json::to_string(regions).unwrap()).unwrap()
}

#[test]
fn a_region_of_interest_is_that_of_the_detector() {
    let models = Models::new();
    let server = Server::start(&models);
    let mut detector = models.detector("nut/2");
    let pixels = models::bad(5, 61, 43, PixelFormat::Rgb8);
    let half: Vec<u8> = (0..61 * 43).map(|index| if index % 61 < 30 { 1 } else { 0 }).collect();
    let file = png(&half.iter().flat_map(|&inside| [255 * inside; 3]).collect::<Vec<_>>(), 61, 43);
    let roi = Some(RegionOfInterest::from(Roi::decode(&file, "roi", &Limits::default()).unwrap()));
    let frame = Frame::packed(&pixels, 61, 43, PixelFormat::Rgb8).unwrap();
    let options = DecisionOptions { epsilon: Some(1e100), roi, ..DecisionOptions::default() };
    let expected = written(&detector.detect(&frame, &options).unwrap().regions);
    let whole = DecisionOptions { roi: None, ..options };
    let without = written(&detector.detect(&frame, &whole).unwrap().regions);
    assert_ne!(expected, without);
    let image = json!({ "name": "image", "datatype": "UINT8", "shape": [43, 61, 3], "parameters": { "binary_data_size": pixels.len() } });
    let outputs = json!([{ "name": "regions" }]);
    let ask = |inputs: Vec<Value>, binary: &[u8]| {
        let request = json!({ "parameters": { "epsilon": 1e100 }, "inputs": inputs, "outputs": outputs });
        let found = send(&server, INFER, &request, binary);
        assert_eq!(found.status, 200, "{}", String::from_utf8_lossy(&found.body));
        serde_json::from_str::<Value>(found.json()["outputs"][0]["data"][0].as_str().unwrap()).unwrap()
    };
    assert_eq!(ask(vec![image.clone()], &pixels), without);
    let base64 = json!({ "name": "roi", "datatype": "BYTES", "shape": [1], "parameters": { "content_type": "base64" },
        "data": [BASE64_STANDARD.encode(&file)] });
    assert_eq!(ask(vec![image.clone(), base64.clone()], &pixels), expected);
    assert_eq!(ask(vec![base64, image.clone()], &pixels), expected, "in any order");
    let mask = json!({ "name": "roi", "datatype": "UINT8", "shape": [43, 61], "data": half });
    assert_eq!(ask(vec![image.clone(), mask], &pixels), expected);
    let binary = json!({ "name": "roi", "datatype": "UINT8", "shape": [1, 43, 61], "parameters": { "binary_data_size": half.len() } });
    assert_eq!(ask(vec![image, binary], &[pixels.as_slice(), &half].concat()), expected);
}

#[test]
fn the_reject_rate_is_that_of_detect() {
    let models = Models::new();
    let server = Server::start(&models);
    let file = bad_png(2);
    for rate in ["20%", "0.5"] {
        let path = format!("/v1/models/nut/detect?reject_rate={}", rate.replace('%', "%25"));
        let expected = server.post(&path, &file).json();
        let input = json!({ "name": "image", "datatype": "BYTES", "shape": [1], "parameters": { "content_type": "base64" },
            "data": [BASE64_STANDARD.encode(&file)] });
        let request = json!({ "parameters": { "reject_rate": rate }, "inputs": [input] });
        let found = server.send("POST", INFER, &[], request.to_string().as_bytes());
        let Some(anomalous) = expected.get("anomalous") else {
            // The package knows too few good images: both say so.
            assert_eq!((found.status, &found.json()), (400, &expected));
            continue;
        };
        let found = found.json();
        assert_eq!(&found["outputs"][2]["data"][0], anomalous);
        assert_eq!(found["outputs"][4]["data"][0], expected["p_value"]);
    }
}

#[test]
fn bodies_and_answers_are_compressed_for_those_who_ask() {
    let models = Models::new();
    let server = Server::start(&models);
    let pixels = models::bad(5, 61, 43, PixelFormat::Rgb8);
    let request = json!({
        "inputs": [{ "name": "image", "datatype": "UINT8", "shape": [43, 61, 3], "parameters": { "binary_data_size": pixels.len() } }],
        "outputs": [{ "name": "mask" }, { "name": "score_map", "parameters": { "binary_data": true } }],
    })
    .to_string();
    let head = request.len().to_string();
    let body = [request.as_bytes(), &pixels].concat();
    let plain = server.send("POST", INFER, &[("Inference-Header-Content-Length", &head)], &body);
    let expected = raw_outputs(&plain);
    for (name, compressed) in crate::http::errors::compressed(&body) {
        let headers = [
            ("Inference-Header-Content-Length", head.as_str()),
            ("Content-Encoding", name),
            ("Accept-Encoding", "gzip, deflate"),
        ];
        let mut found = server.send("POST", INFER, &headers, &compressed);
        assert_eq!((found.status, found.header("content-encoding")), (200, Some(name)));
        assert!(found.body.len() < plain.body.len());
        found.body = decompressed(name, &found.body);
        assert_eq!(raw_outputs(&found), expected);
        // Asked for alone.
        let found = server.send("POST", INFER, &[headers[0], ("Accept-Encoding", name)], &body);
        assert_eq!(found.header("content-encoding"), Some(name));
        assert_eq!(decompressed(name, &found.body), plain.body);
        // As libraries list what they know.
        let found = server.send("POST", INFER, &[headers[0], headers[2]], &body);
        assert_eq!((found.header("content-encoding"), &found.body), (None, &plain.body));
    }
}

fn decompressed(name: &str, body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    match name {
        "gzip" => flate2::read::GzDecoder::new(body).read_to_end(&mut whole).unwrap(),
        _ => flate2::read::ZlibDecoder::new(body).read_to_end(&mut whole).unwrap(),
    };
    whole
}

//! The Open Inference Protocol's REST.

mod infer;
mod limits;
mod malformed;
mod repository;
mod shared_memory;

use std::collections::HashMap;

use base64::{Engine as _, prelude::*};
use serde_json::{Value, json};

use super::{Models, Server, Setup, bad_png, client::Response, models};

/// A request with binary data behind its JSON.
fn send(server: &Server, path: &str, json: &Value, binary: &[u8]) -> Response {
    let text = json.to_string();
    let head = text.len().to_string();
    let body = [text.as_bytes(), binary].concat();
    server.send("POST", path, &[("Inference-Header-Content-Length", &head)], &body)
}

/// Raw contents of every output of an answer, whether they came as JSON or as binary data.
fn raw_outputs(found: &Response) -> HashMap<String, Vec<u8>> {
    assert_eq!(found.status, 200, "{}", String::from_utf8_lossy(&found.body));
    let head = found.header("inference-header-content-length").map(|text| text.parse::<usize>().unwrap());
    let kind = if head.is_some() { "application/octet-stream" } else { "application/json" };
    assert_eq!(found.header("content-type"), Some(kind));
    let (text, mut binary) = found.body.split_at(head.unwrap_or(found.body.len()));
    let answer: Value = serde_json::from_slice(text).unwrap();
    let mut all = HashMap::new();
    for output in answer["outputs"].as_array().unwrap() {
        let raw = match output["parameters"]["binary_data_size"].as_u64() {
            Some(size) => {
                assert!(output.get("data").is_none(), "{output}");
                let (raw, rest) = binary.split_at(size as usize);
                binary = rest;
                raw.to_vec()
            }
            None => raw_of(output),
        };
        all.insert(output["name"].as_str().unwrap().to_owned(), raw);
    }
    assert!(binary.is_empty(), "{} bytes are of no output", binary.len());
    all
}

/// Raw contents of elements in JSON.
fn raw_of(output: &Value) -> Vec<u8> {
    let element = |value: &Value| match output["datatype"].as_str().unwrap() {
        "BOOL" => vec![u8::from(value.as_bool().unwrap())],
        "UINT8" => vec![u8::try_from(value.as_u64().unwrap()).unwrap()],
        "FP32" => (value.as_f64().unwrap() as f32).to_le_bytes().to_vec(),
        "FP64" => value.as_f64().unwrap_or(f64::NAN).to_le_bytes().to_vec(),
        "BYTES" => {
            let text = value.as_str().unwrap();
            let is_base64 = output["name"] == "mask_png";
            let bytes = if is_base64 { BASE64_STANDARD.decode(text).unwrap() } else { text.as_bytes().to_vec() };
            [(bytes.len() as u32).to_le_bytes().as_slice(), &bytes].concat()
        }
        other => panic!("{other}"),
    };
    output["data"].as_array().unwrap().iter().flat_map(element).collect()
}

/// The protocol's errors: the message itself, with the code beside it.
fn assert_error(found: &Response, status: u16, code: &str, says: &str) {
    let json = found.json();
    assert_eq!((found.status, &json["code"]), (status, &code.into()), "{json}");
    assert!(json["error"].as_str().unwrap().contains(says), "{json}");
}

#[test]
fn the_server_and_its_models_are_described() {
    let models = Models::new();
    let server = Server::start(&models);
    let found = server.get("/v2").json();
    let extensions = [
        "binary_tensor_data",
        "model_configuration",
        "model_repository",
        "parameters",
        "schedule_policy",
        "statistics",
    ];
    assert_eq!(found, json!({ "name": "uflow", "version": uflow::VERSION, "extensions": extensions }));
    let expected = json!({
        "name": "bolt",
        "versions": ["1", "3"],
        "platform": "uflow",
        "inputs": [{ "name": "image", "datatype": "UINT8", "shape": [-1, -1, -1, -1] }],
        "outputs": [
            { "name": "score", "datatype": "FP32", "shape": [-1] },
            { "name": "score_max", "datatype": "FP32", "shape": [-1] },
            { "name": "anomalous", "datatype": "BOOL", "shape": [-1] },
            { "name": "log10_nfa_min", "datatype": "FP32", "shape": [-1] },
            { "name": "p_value", "datatype": "FP64", "shape": [-1] },
            { "name": "regions", "datatype": "BYTES", "shape": [-1] },
            { "name": "mask", "datatype": "UINT8", "shape": [-1, -1, -1] },
            { "name": "mask_png", "datatype": "BYTES", "shape": [-1] },
            { "name": "score_map", "datatype": "FP32", "shape": [-1, 32, 48] },
            { "name": "log10_nfa_map", "datatype": "FP32", "shape": [-1, 32, 48] },
        ],
    });
    assert_eq!(server.get("/v2/models/bolt").json(), expected);
    assert_eq!(server.get("/v2/models/bolt/versions/1").json(), expected);
    for path in ["/v2/models/bolt/ready", "/v2/models/bolt/versions/1/ready"] {
        assert_eq!(server.get(path).json(), json!({ "name": "bolt", "ready": true }));
    }
}

#[test]
fn errors_are_the_protocol_s() {
    let models = Models::new();
    super::break_package(&models.repository().join("gear/1"));
    let server = Server::start(&models);
    for tail in ["", "/ready"] {
        assert_error(&server.get(&format!("/v2/models/none{tail}")), 404, "NOT_FOUND", "there is no model `none`");
        assert_error(&server.get(&format!("/v2/models/nut/versions/9{tail}")), 404, "NOT_FOUND", "no version 9");
        assert_error(&server.get(&format!("/v2/models/gear{tail}")), 503, "UNAVAILABLE", "could not be loaded");
    }
    // Triton's HTTP client takes `error` for a text wherever it finds one.
    assert_error(&server.get("/v2/nothing"), 404, "NOT_FOUND", "there is no `/v2/nothing` here");
    assert_error(&server.get("/v2/models/nut/versions/v2"), 400, "INVALID_ARGUMENT", "`v2` is not a version");
    assert_error(&server.post("/v2/models/nut", b""), 405, "UNIMPLEMENTED", "does not take POST");
    let tokens = "inference-0123456\n";
    let guarded = Server::with(&models, super::Setup { tokens, ..super::Setup::default() });
    assert_error(&guarded.get("/v2/models/nut"), 401, "UNAUTHENTICATED", "a token is needed");
    assert_error(&server.post("/v2/models/none/infer", b"{}"), 404, "NOT_FOUND", "there is no model `none`");
}

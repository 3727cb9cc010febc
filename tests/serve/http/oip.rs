//! The Open Inference Protocol's REST.

use serde_json::json;

use super::{Models, Server, client::Response};

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
    assert_eq!(found, json!({ "name": "uflow", "version": uflow::VERSION, "extensions": [] }));
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
    for path in ["/v2/models/nut/infer", "/v2/models/nut/versions/2/infer"] {
        assert_error(&server.post(path, b"{}"), 501, "UNIMPLEMENTED", "POST it to /v1/models/nut/detect");
    }
    assert_error(&server.post("/v2/models/none/infer", b"{}"), 404, "NOT_FOUND", "there is no model `none`");
}

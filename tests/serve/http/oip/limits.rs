//! The limits of `detect` apply to tensors.

use std::{io::Write as _, time::Duration};

use uflow::{engine::EngineOptions, frame::Limits, serve::http::HttpSettings};

use super::{
    super::{client::read, errors::compressed},
    *,
};

const INFER: &str = "/v2/models/bolt/infer";

fn limited(models: &Models, http: HttpSettings) -> Server {
    Server::with(models, Setup { http, ..Setup::default() })
}

#[test]
fn a_body_is_bounded_in_size_before_and_after_it_is_decompressed() {
    let models = Models::new();
    let server = limited(&models, HttpSettings { max_body_bytes: 1 << 20, ..HttpSettings::default() });
    let says = "size of the body is over the limit: 1048577 > 1048576 bytes";
    let mut stream = server.open("POST", INFER, &[("Content-Length", "1048577")]);
    assert_error(&read(&mut stream, "POST"), 413, "INVALID_ARGUMENT", says);
    for (name, body) in compressed(&vec![b' '; 64 << 20]) {
        let found = server.send("POST", INFER, &[("Content-Encoding", name)], &body);
        assert_error(&found, 413, "INVALID_ARGUMENT", says);
    }
    // The repository's and the regions' routes have the same limit.
    for path in ["/v2/repository/index", "/v2/systemsharedmemory/region/x/register"] {
        let mut stream = server.open("POST", path, &[("Content-Length", "1048577")]);
        assert_error(&read(&mut stream, "POST"), 413, "INVALID_ARGUMENT", says);
    }
}

#[test]
fn a_body_has_a_place_and_a_time() {
    let models = Models::new();
    let http = HttpSettings { max_uploads: 0, ..HttpSettings::default() };
    let server = limited(&models, http);
    assert_error(&server.post(INFER, b"{}"), 429, "RESOURCE_EXHAUSTED", "0 bodies are being received");
    let http = HttpSettings { body_timeout: Duration::from_millis(50), ..HttpSettings::default() };
    let server = limited(&models, http);
    let mut stream = server.open("POST", INFER, &[("Content-Length", "100")]);
    stream.write_all(b"{\"inp").unwrap();
    assert_error(&read(&mut stream, "POST"), 504, "DEADLINE_EXCEEDED", "while its body was received");
}

#[test]
fn an_answer_and_an_image_are_bounded_too() {
    let models = Models::new();
    let limits = Limits { max_pixels: 61 * 43 - 1, ..Limits::default() };
    let engine = EngineOptions { limits, ..EngineOptions::default() };
    let server = Server::with(&models, Setup { engine, ..Setup::default() });
    let found = server.send("POST", INFER, &[("Inference-Header-Content-Length", "0")], &bad_png(1));
    assert_error(&found, 413, "INVALID_ARGUMENT", "pixels");
    // Numbers take more room in JSON than in a tensor.
    let server = Server::with(&models, Setup { largest_answer: Some(10_000), ..Setup::default() });
    let ask = |binary: bool| {
        let pixels = models::bad(1, 48, 32, uflow::frame::PixelFormat::Rgb8);
        let request = json!({
            "inputs": [{ "name": "image", "datatype": "UINT8", "shape": [32, 48, 3], "parameters": { "binary_data_size": pixels.len() } }],
            "outputs": [{ "name": "log10_nfa_map", "parameters": { "binary_data": binary } }],
        });
        send(&server, INFER, &request, &pixels)
    };
    assert_eq!(ask(true).status, 200);
    assert_error(&ask(false), 400, "INVALID_ARGUMENT", "the answer has 10 KiB, and a message at most 9 KiB");
}

#[test]
fn a_time_limit_is_kept() {
    let models = Models::new();
    let server = Server::start(&models);
    let input = json!({ "name": "image", "datatype": "UINT8", "shape": [1, 1, 1, 1], "data": [1] });
    let request = json!({ "parameters": { "timeout": 1 }, "inputs": [input] }).to_string();
    let found = server.send("POST", INFER, &[], request.as_bytes());
    assert_error(&found, 504, "DEADLINE_EXCEEDED", "the time limit passed");
}

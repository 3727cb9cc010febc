//! Everything that can go wrong, its status, its code and what it says.

use std::{
    io::Write,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use uflow::{
    Result,
    engine::{Answer, EngineOptions, Request, ResponseSink, Source},
    frame::Limits,
    serve::{http::HttpSettings, registry::Control},
};

use super::{
    Models, Server, Setup, bad_png, break_package,
    client::{Response, read},
};

const DETECT: &str = "/v1/models/bolt/detect";

fn assert_error(response: &Response, status: u16, code: &str, says: &str) {
    let (found, message) = response.error();
    assert_eq!((response.status, found.as_str()), (status, code), "{message}");
    assert!(message.contains(says), "{message:?} does not say {says:?}");
}

#[test]
fn what_is_wrong_with_a_request_is_said() {
    let models = Models::new();
    let server = Server::start(&models);
    let file = bad_png(1);
    let cases: [(&str, &[u8], u16, &str, &str); 18] = [
        ("/v1/models//detect", &file, 404, "NOT_FOUND", "there is no model ``"),
        ("/v1/models/gear/detect", &file, 404, "NOT_FOUND", "there is no model `gear`; there are bolt, nut"),
        ("/v1/models/..%2Fbolt/detect", &file, 404, "NOT_FOUND", "there is no model `../bolt`"),
        ("/v1/models/bolt/versions/2/detect", &file, 404, "NOT_FOUND", "no version 2; there are 1, 3"),
        ("/v1/models/bolt/versions/0/detect", &file, 400, "INVALID_ARGUMENT", "version: `0` is not a version"),
        ("/v1/models/bolt/versions/v1/detect", &file, 400, "INVALID_ARGUMENT", "version: `v1` is not a version"),
        ("/v1/models/%FF/detect", &file, 400, "INVALID_ARGUMENT", "path: "),
        (
            "/v1/models/bolt/detect?epsilom=1",
            &file,
            400,
            "INVALID_ARGUMENT",
            "expected one of `epsilon`, `reject_rate`, `verdict`,",
        ),
        ("/v1/models/bolt/detect?epsilon=-1", &file, 400, "INVALID_ARGUMENT", "epsilon: must be a number above 0"),
        ("/v1/models/bolt/detect?score_threshold=1.5", &file, 400, "INVALID_ARGUMENT", "must be from 0 to 1, not 1.5"),
        ("/v1/models/bolt/detect?score_threshold=nan", &file, 400, "INVALID_ARGUMENT", "must be from 0 to 1, not NaN"),
        ("/v1/models/bolt/detect?epsilon=nan", &file, 400, "INVALID_ARGUMENT", "epsilon: "),
        ("/v1/models/bolt/detect?time_limit_ms=0", &file, 400, "INVALID_ARGUMENT", "it must be above 0"),
        ("/v1/models/bolt/detect?roi=AAAA", &file, 400, "INVALID_ARGUMENT", "the region of interest"),
        ("/v1/models/bolt/detect", b"no image", 400, "INVALID_ARGUMENT", "the encoded frame: cannot be decoded"),
        ("/v1/models/bolt/detect", b"", 400, "INVALID_ARGUMENT", "the body is empty"),
        ("/v1/models/bolt/detect?width=9&height=9&format=rgb8", &[0; 9], 400, "INVALID_ARGUMENT", "needs 243 bytes"),
        ("/v1/models/bolt/detect?width=9", &[0; 9], 400, "INVALID_ARGUMENT", "raw pixels need all three"),
    ];
    for (path, body, status, code, says) in cases {
        assert_error(&server.post(path, body), status, code, says);
    }
    let typed = |name, value| server.send("POST", DETECT, &[(name, value)], &file);
    assert_error(
        &typed("Content-Type", "application/json"),
        400,
        "INVALID_ARGUMENT",
        "`application/json` is not accepted",
    );
    assert_error(&typed("Content-Type", "text/html"), 400, "INVALID_ARGUMENT", "send the image's bytes as image/*");
    assert_error(
        &typed("Content-Type", "multipart/form-data; boundary=x"),
        400,
        "INVALID_ARGUMENT",
        "it has no boundary",
    );
    assert_error(&typed("Content-Encoding", "br"), 400, "INVALID_ARGUMENT", "send the body as it is, or as gzip or");
    assert_error(&typed("Content-Encoding", "gzip"), 400, "INVALID_ARGUMENT", "cannot be decompressed as gzip");
    let text = server.get("/metrics").text().to_owned();
    for line in [
        "uflow_requests_total{code=\"INVALID_ARGUMENT\",model=\"\",protocol=\"http\"} ",
        "uflow_requests_total{code=\"NOT_FOUND\",model=\"\",protocol=\"http\"} 4",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert_eq!(server.post(DETECT, &file).status, 200, "the server goes on");
}

#[test]
fn unknown_paths_and_methods_are_answered_in_json() {
    let models = Models::new();
    let server = Server::start(&models);
    for path in ["/nothing", "/v1/models/bolt", "/v2/models/bolt/versions/1/nothing", "/metrics/"] {
        assert_error(&server.get(path), 404, "NOT_FOUND", &format!("there is no `{path}` here"));
    }
    for (method, path, allow) in [
        ("GET", DETECT, "POST"),
        ("PUT", DETECT, "POST"),
        ("POST", "/healthz", "GET,HEAD"),
        ("DELETE", "/v2/models/bolt", "GET,HEAD"),
        ("BREW", "/metrics", "GET,HEAD"),
    ] {
        let found = server.send(method, path, &[], b"");
        assert_error(&found, 405, "UNIMPLEMENTED", &format!("does not take {method}"));
        assert_eq!(found.header("allow"), Some(allow));
    }
    for (path, status) in [("/healthz", 200), ("/metrics", 200), ("/nothing", 404), (DETECT, 405)] {
        let found = server.send("HEAD", path, &[], b"");
        assert_eq!((found.status, found.body.len()), (status, 0), "{path}");
    }
}

/// A body in the zlib format, which HTTP calls deflate, and as gzip.
pub(super) fn compressed(body: &[u8]) -> [(&'static str, Vec<u8>); 2] {
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    zlib.write_all(body).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(body).unwrap();
    [("deflate", zlib.finish().unwrap()), ("gzip", gzip.finish().unwrap())]
}

#[test]
fn a_compressed_body_is_the_same_up_to_the_limit() {
    let models = Models::new();
    let file = bad_png(1);
    let http = HttpSettings { max_body_bytes: 1 << 20, ..HttpSettings::default() };
    let server = Server::with(&models, Setup { http, ..Setup::default() });
    let score = |found: Response| found.json()["score"].as_f64().unwrap();
    let plain = score(server.post(DETECT, &file));
    for (name, body) in compressed(&file) {
        assert_eq!(score(server.send("POST", DETECT, &[("Content-Encoding", name)], &body)), plain, "{name}");
    }
    for (name, body) in compressed(&vec![0; 64 << 20]) {
        assert!(body.len() < 1 << 20, "{name}: the bomb is small");
        let found = server.send("POST", DETECT, &[("Content-Encoding", name)], &body);
        assert_error(&found, 413, "INVALID_ARGUMENT", "size of the body is over the limit: 1048577 > 1048576 bytes");
    }
}

#[test]
fn a_body_is_taken_up_to_the_limit_and_not_beyond() {
    let models = Models::new();
    let file = bad_png(1);
    let http = HttpSettings { max_body_bytes: file.len(), ..HttpSettings::default() };
    let server = Server::with(&models, Setup { http, ..Setup::default() });
    assert_eq!(server.post(DETECT, &file).status, 200);

    // Refused by what is announced, before a byte of it was sent.
    let length = (file.len() + 1).to_string();
    let mut stream = server.open("POST", DETECT, &[("Content-Length", &length)]);
    let says = format!("size of the body is over the limit: {length} > {} bytes", file.len());
    assert_error(&read(&mut stream, "POST"), 413, "INVALID_ARGUMENT", &says);

    // Refused by what comes.
    let mut stream = server.open("POST", DETECT, &[("Transfer-Encoding", "chunked")]);
    write!(stream, "{:x}\r\n", file.len()).unwrap();
    stream.write_all(&file).unwrap();
    stream.write_all(b"\r\n1\r\nx\r\n").unwrap();
    assert_error(&read(&mut stream, "POST"), 413, "INVALID_ARGUMENT", &says);

    let mut stream = server.open("POST", DETECT, &[("Transfer-Encoding", "chunked")]);
    for part in file.chunks(100) {
        write!(stream, "{:x}\r\n", part.len()).unwrap();
        stream.write_all(part).unwrap();
        stream.write_all(b"\r\n").unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    assert_eq!(read(&mut stream, "POST").status, 200);
}

#[test]
fn an_image_of_too_many_pixels_is_too_large_as_well() {
    let models = Models::new();
    let limits = Limits { max_pixels: 61 * 43 - 1, ..Limits::default() };
    let engine = EngineOptions { limits, ..EngineOptions::default() };
    let server = Server::with(&models, Setup { engine, ..Setup::default() });
    assert_error(&server.post(DETECT, &bad_png(1)), 413, "INVALID_ARGUMENT", "pixels");
    let raw = format!("{DETECT}?width=61&height=43&format=gray8");
    assert_error(&server.post(&raw, &[0; 61 * 43]), 413, "INVALID_ARGUMENT", "size of the frame");
}

#[test]
fn bodies_are_received_so_many_at_a_time_and_for_so_long() {
    let models = Models::new();
    let http = HttpSettings { max_uploads: 1, ..HttpSettings::default() };
    let server = Server::with(&models, Setup { http, ..Setup::default() });
    let file = bad_png(1);
    let length = file.len().to_string();
    let open = || {
        let mut slow = server.open("POST", DETECT, &[("Content-Length", &length)]);
        slow.write_all(&file[..10]).unwrap();
        slow
    };
    let mut slow = open();
    let mut tries = 0;
    let refused = loop {
        // Until the slow one has the place: its head may be on its way yet, or have come while another body had it.
        let answer = server.post(DETECT, &file);
        if answer.status != 200 {
            break answer;
        }
        tries += 1;
        if tries % 20 == 0 {
            slow = open();
        }
    };
    assert_error(&refused, 429, "RESOURCE_EXHAUSTED", "1 bodies are being received");
    assert_eq!(refused.header("retry-after"), Some("1"));
    slow.write_all(&file[10..]).unwrap();
    assert_eq!(read(&mut slow, "POST").status, 200, "the slow one is served all the same");
    assert_eq!(server.post(DETECT, &file).status, 200);
}

#[test]
fn a_body_that_does_not_arrive_in_time_is_given_up() {
    let models = Models::new();
    let http = HttpSettings { body_timeout: Duration::from_millis(50), ..HttpSettings::default() };
    let server = Server::with(&models, Setup { http, ..Setup::default() });
    let mut stream = server.open("POST", DETECT, &[("Content-Length", "100")]);
    stream.write_all(b"some").unwrap();
    assert_error(&read(&mut stream, "POST"), 504, "DEADLINE_EXCEEDED", "while its body was received");
    let server = Server::start(&models);
    let mut stream = server.open("POST", &format!("{DETECT}?time_limit_ms=30"), &[("Content-Length", "100")]);
    stream.write_all(b"some").unwrap();
    assert_error(&read(&mut stream, "POST"), 504, "DEADLINE_EXCEEDED", "while its body was received");
}

/// Holds the engine's only worker until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

impl ResponseSink for Gate {
    fn waits(&self) -> bool {
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |open| !*open).unwrap());
        true
    }

    fn answer(self: Box<Self>, _: Result<Answer>) {}
}

/// Opens the gate when the test ends, however it ends.
struct Held(Gate);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// A server whose engine stands still.
fn held(models: &Models, max_in_flight: usize) -> (Server, Held) {
    let engine = EngineOptions { workers: 1, max_in_flight, ..EngineOptions::default() };
    let server = Server::with(models, Setup { engine, ..Setup::default() });
    let gate = Gate::default();
    let model = server.app.registry().get("nut", 0).unwrap();
    let request = Request::new(model, Source::Encoded(bad_png(1).into()));
    assert!(server.app.engine().submit(request, gate.clone()).is_ok());
    (server, Held(gate))
}

#[test]
fn a_full_server_refuses_at_once() {
    let models = Models::new();
    let (server, gate) = held(&models, 1);
    let found = server.post(DETECT, &bad_png(1));
    assert_error(&found, 429, "RESOURCE_EXHAUSTED", "no room for another frame: at most 1 frames");
    assert_eq!(found.header("retry-after"), Some("1"));
    gate.0.open();
    server.until("the engine is empty", || server.app.engine().metrics().in_flight() == 0);
    assert_eq!(server.post(DETECT, &bad_png(1)).status, 200);
}

#[test]
fn a_frame_whose_time_is_over_is_given_up() {
    let models = Models::new();
    let (server, gate) = held(&models, 8);
    let mut stream = server.open("POST", &format!("{DETECT}?time_limit_ms=1000"), &[("Content-Length", "8")]);
    stream.write_all(b"no image").unwrap();
    server.until("the frame is in the engine", || server.app.engine().metrics().in_flight() == 2);
    std::thread::sleep(Duration::from_secs(1));
    gate.0.open();
    assert_error(&read(&mut stream, "POST"), 504, "DEADLINE_EXCEEDED", "the time limit passed");
}

#[test]
fn a_client_that_goes_away_cancels_its_frame() {
    let models = Models::new();
    let (server, gate) = held(&models, 8);
    let file = bad_png(1);
    let length = file.len().to_string();
    let mut stream = server.open("POST", DETECT, &[("Content-Length", &length)]);
    stream.write_all(&file).unwrap();
    server.until("the frame is in the engine", || server.app.engine().metrics().in_flight() == 2);
    drop(stream);
    let cancelled = "uflow_requests_total{code=\"CANCELLED\",model=\"bolt\",protocol=\"http\"} 1";
    server.until("the request is cancelled", || server.app.engine().metrics().text().contains(cancelled));
    gate.0.open();
    server.until("the engine is empty", || server.app.engine().metrics().in_flight() == 0);
    let text = server.app.engine().metrics().text();
    assert!(text.contains("uflow_frames_total{model=\"bolt\",outcome=\"cancelled\",version=\"3\"} 1"), "{text}");
    assert_eq!(server.post(DETECT, &file).status, 200);
}

#[test]
fn a_model_that_takes_no_frames_is_unavailable() {
    let models = Models::new();
    break_package(&models.repository().join("gear/1"));
    let server = Server::with(&models, Setup { control: Control::Static, ..Setup::default() });
    let found = server.post("/v1/models/gear/detect", &bad_png(1));
    assert_error(&found, 503, "UNAVAILABLE", "model `gear` version 1 could not be loaded: package");
    assert_eq!(found.header("retry-after"), Some("1"));
    let server = Server::with(&models, Setup { control: Control::Explicit, ..Setup::default() });
    assert_error(&server.post(DETECT, &bad_png(1)), 503, "UNAVAILABLE", "is not loaded");
}

//! `uflow serve` and `uflow client` as processes: configuration, signals, and a model swap, under load.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Output,
    time::Duration,
};

use crate::networks::models;
use crate::process::{Process, uflow, until};
use crate::server::{copy_of_repository, runtime, sample};
use serde_json::Value;
use tokio_stream::StreamExt;
use tonic::{Code, transport::Endpoint};
use uflow::serve::proto::v1::{
    DetectRequest, PixelFormat, RawImage, detect_request::Image, detect_response::Outcome,
    detection_service_client::DetectionServiceClient,
};

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn client(server: &Process, options: &[&str]) -> Output {
    uflow().args(["client", "--server", &format!("http://{}", server.grpc)]).args(options).output().unwrap()
}

fn check(models: &Path, options: &[&str], variables: &[(&str, &str)]) -> Output {
    uflow()
        .args(["serve", "--check", "--models"])
        .arg(models)
        .args(options)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

#[test]
fn options_are_stronger_than_variables_and_these_than_the_file() {
    let repository = copy_of_repository();
    let file = repository.path().join("uflow.toml");
    std::fs::write(&file, "max_batch = 2\nmax_in_flight = 20\nstream_window = 3\nlog = \"warn\"\n").unwrap();
    let file = file.to_str().unwrap();
    let variables = [("UFLOW_MAX_IN_FLIGHT", "30"), ("UFLOW_STREAM_WINDOW", "4")];
    let options = ["--config", file, "--stream-window", "5"];
    let found = check(repository.path(), &options, &variables);
    assert!(found.status.success(), "{}", text(&found.stderr));
    let settings: toml::Table = text(&found.stdout).parse().unwrap();
    for (key, value) in [("max_batch", 2), ("max_in_flight", 30), ("stream_window", 5), ("max_message_mib", 64)] {
        assert_eq!(settings[key].as_integer(), Some(value), "{key}");
    }
    assert!(text(&found.stdout).contains("# model bolt, version 1: loads"), "{}", text(&found.stdout));

    // What it prints is a file that gives the same again.
    let again = repository.path().join("again.toml");
    std::fs::write(&again, &found.stdout).unwrap();
    let found = check(repository.path(), &["--config", again.to_str().unwrap(), "--json"], &[]);
    let json: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!((&json["settings"]["stream_window"], &json["settings"]["max_in_flight"]), (&5.into(), &30.into()));
    assert_eq!(json["models"].as_array().unwrap().len(), 3);
}

#[test]
fn a_check_names_what_is_wrong() {
    let repository = copy_of_repository();
    let wrong = |options: &[&str]| {
        let found = check(repository.path(), options, &[]);
        assert!(matches!(found.status.code(), Some(1 | 2)), "{options:?}: {:?}", found.status);
        text(&found.stderr).to_owned()
    };
    let file = repository.path().join("uflow.toml");
    std::fs::write(&file, "max_batch = 2\nmax_bach = 3\n").unwrap();
    let said = wrong(&["--config", file.to_str().unwrap()]);
    assert!(said.contains("max_bach") && said.contains('2'), "{said}");
    assert!(wrong(&["--max-batch", "0"]).contains("max_batch"));
    assert!(wrong(&["--tls-cert", "none.pem"]).contains("tls_key"));
    assert!(wrong(&["--log", "uflow=loud"]).contains("log"));
    assert!(wrong(&["--otlp", "nonsense"]).contains("otlp: `nonsense`"));
    assert!(wrong(&["--name", "m"]).contains("is not a package"));
    let missing = check(&repository.path().join("none"), &[], &[]);
    assert!(text(&missing.stderr).contains("does not exist"), "{}", text(&missing.stderr));
    // A package that is damaged, and a folder that is none.
    std::fs::create_dir_all(repository.path().join("screw/latest")).unwrap();
    let found = check(repository.path(), &[], &[]);
    assert!(text(&found.stdout).contains("passed over"), "{}", text(&found.stdout));
    let flow = repository.path().join("nut/1/flow.onnx");
    std::fs::write(&flow, b"damaged").unwrap();
    assert!(wrong(&[]).contains("nut/1"), "{}", wrong(&[]));
}

#[test]
fn one_package_is_served_under_a_name_as_kserve_mounts_it() {
    let repository = copy_of_repository();
    let mut server = Process::start(&repository.path().join("bolt/1"), &["--name", "m-16"]);
    let (status, found) = server.get("/v2/models/m-16");
    assert_eq!((status, serde_json::from_str::<Value>(&found).unwrap()["name"].as_str()), (200, Some("m-16")));
    assert!(client(&server, &["--model", "m-16", "--camera", "48x32", "--frames", "20"]).status.success());
    server.signal();
    assert_eq!(server.ends(Duration::from_secs(20)), Some(0));
}

/// A new version of `bolt`, to be moved into place in one step.
fn prepare(repository: &Path) -> (tempfile::TempDir, impl Fn()) {
    let staging = tempfile::tempdir_in(repository).unwrap();
    let backbone = models::backbone(staging.path(), 1);
    models::fit(&runtime(), &backbone, "bolt", 11).write_to_repository(&staging.path().join("new"), 2).unwrap();
    let (from, to) = (staging.path().join("new/bolt/2"), repository.join("bolt/2"));
    (staging, move || std::fs::rename(&from, &to).unwrap())
}

#[test]
fn a_swap_under_full_load_fails_no_frame() {
    let repository = copy_of_repository();
    let (_staging, deploy) = prepare(repository.path());
    let options = ["--poll-seconds", "0.05", "--stream-overload", "wait", "--log", "info"];
    let server = Process::start(repository.path(), &options);
    let address = format!("http://{}", server.grpc);
    let client = std::thread::spawn(move || {
        let options = ["--model", "bolt,nut", "--camera", "96x64", "--frames", "6000", "--streams", "4", "--json"];
        uflow().args(["client", "--server", &address]).args(options).output().unwrap()
    });
    let frames = |server: &Process| -> f64 {
        let metrics = server.get("/metrics").1;
        let line = metrics.lines().find(|line| line.starts_with("uflow_requests_total{code=\"OK\",model=\"bolt\""));
        line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    };
    until("the load has begun", || frames(&server) > 200.0);
    deploy();
    loop {
        let line = server.next("model is ready");
        if (line["model"].as_str(), line["version"].as_u64()) == (Some("bolt"), Some(2)) {
            break;
        }
    }
    let at_swap = frames(&server);
    let found = client.join().unwrap();
    assert!(found.status.success(), "{}{}", text(&found.stdout), text(&found.stderr));
    let report: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(
        (&report["sent"], &report["answered"], &report["lost"], &report["out_of_order"]),
        (&6000.into(), &6000.into(), &0.into(), &0.into())
    );
    assert!(at_swap < 2990.0, "the swap came after the load: {at_swap} frames were through");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_full_load_answers_what_was_accepted_and_exits_with_0() {
    let repository = copy_of_repository();
    let mut server = Process::start(repository.path(), &["--stream-overload", "wait", "--log", "info"]);
    let mut streams = Vec::new();
    let (busy, mut under_load) = tokio::sync::mpsc::channel(64);
    for _ in 0..4 {
        let channel = Endpoint::from_shared(format!("http://{}", server.grpc)).unwrap().connect().await.unwrap();
        let requests = tokio_stream::iter((0..).map(|sequence| sample(sequence % 60).request(sequence)));
        let mut answers = DetectionServiceClient::new(channel).detect_stream(requests).await.unwrap().into_inner();
        let busy = busy.clone();
        streams.push(tokio::spawn(async move {
            let mut answered = 0;
            loop {
                match answers.next().await {
                    Some(Ok(answer)) => {
                        assert_eq!(answer.sequence, answered);
                        assert!(matches!(answer.outcome, Some(Outcome::Detection(_))), "{answer:?}");
                        answered += 1;
                        if answered == 100 {
                            busy.send(()).await.unwrap();
                        }
                    }
                    Some(Err(status)) => {
                        assert_eq!(status.code(), Code::Unavailable, "{status}");
                        return answered;
                    }
                    None => panic!("the stream ended without a word"),
                }
            }
        }));
    }
    for _ in 0..streams.len() {
        under_load.recv().await.unwrap();
    }
    server.signal();
    for stream in streams {
        assert!(stream.await.unwrap() >= 100);
    }
    assert_eq!(server.ends(Duration::from_secs(20)), Some(0));
    server.next("stopped");
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let repository = copy_of_repository();
    let mut server = Process::start(repository.path(), &["--shutdown-delay-seconds", "300"]);
    server.signal();
    until("the server drains", || server.status("/readyz") == Some(503));
    assert_eq!(server.get("/healthz").0, 200);
    // Frames are still taken while load balancers learn of it.
    assert!(client(&server, &["--model", "bolt", "--camera", "48x32", "--frames", "5"]).status.success());
    server.signal();
    assert_eq!(server.ends(Duration::from_secs(5)), Some(1));
}

#[test]
fn the_client_counts_what_it_sends_and_says_what_failed() {
    let repository = copy_of_repository();
    let server = Process::start(repository.path(), &[]);
    let folder = tempfile::tempdir().unwrap();
    for seed in [0, 20, 40] {
        std::fs::write(folder.path().join(format!("{seed}.png")), sample(seed).png()).unwrap();
    }
    std::fs::write(folder.path().join("bad.png"), b"no picture").unwrap();
    let found = client(&server, &["--model", "bolt", folder.path().to_str().unwrap()]);
    let said = text(&found.stdout);
    assert_eq!(found.status.code(), Some(1), "{said}");
    assert!(said.contains("4 frames sent, 4 answered, 0 lost, 0 out of order"), "{said}");
    assert!(said.contains("bad.png: ") && said.contains("cannot be decoded"), "{said}");
    assert!(said.contains("1 answered INVALID_ARGUMENT"), "{said}");

    let found = client(&server, &["--model", "none", "--camera", "48x32", "--frames", "3"]);
    assert_eq!(found.status.code(), Some(1));
    assert!(text(&found.stdout).contains("3 answered NOT_FOUND"), "{}", text(&found.stdout));

    let found =
        uflow().args(["client", "--server", "http://127.0.0.1:1", "--model", "bolt", "--camera", "48x32"]).output();
    let found = found.unwrap();
    assert_eq!(found.status.code(), Some(1));
    assert!(text(&found.stderr).contains("127.0.0.1:1"), "{}", text(&found.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_plainly_have_fewer_bits_are_logged_once() {
    let repository = copy_of_repository();
    let server = Process::start(repository.path(), &[]);
    let channel = Endpoint::from_shared(format!("http://{}", server.grpc)).unwrap().connect().await.unwrap();
    let mut client = DetectionServiceClient::new(channel);
    for frame in 0..40 {
        let sample = |pixel: u16| (pixel * 37 + frame) % 1024;
        let pixels: Vec<u8> = (0..48 * 32).flat_map(|pixel| sample(pixel).to_ne_bytes()).collect();
        let format = PixelFormat::Gray16.into();
        let raw = RawImage { pixels: pixels.into(), width: 48, height: 32, stride: 0, format };
        let request = DetectRequest { image: Some(Image::Raw(raw)), ..sample_of("nut") };
        client.detect(request).await.unwrap();
    }
    let line: Value = serde_json::from_str(&server.says("16-bit images reach only 1023 of 65535")).unwrap();
    assert_eq!((line["level"].as_str(), line["model"].as_str()), (Some("WARN"), Some("nut")), "{line}");
    let told = server.log().into_iter().filter(|line| line.contains("reach only")).count();
    assert_eq!(told, 1, "{:?}", server.log());
}

/// A request to a model.
fn sample_of(model: &str) -> DetectRequest {
    DetectRequest { model: model.to_owned(), ..sample(20).request(1) }
}

#[tokio::test(flavor = "multi_thread")]
async fn request_lines_tell_who_asked_and_refused_ones_why() {
    let repository = copy_of_repository();
    let tokens = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(tokens.path(), "camera-token-0001\n").unwrap();
    let server =
        Process::start(repository.path(), &["--log", "uflow=debug", "--tokens", tokens.path().to_str().unwrap()]);
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let headers = [
        ("authorization", "Bearer camera-token-0001"),
        ("x-request-id", "order-4711"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    let channel = Endpoint::from_shared(format!("http://{}", server.grpc)).unwrap().connect().await.unwrap();
    let mut client = DetectionServiceClient::new(channel);
    let mut request = tonic::Request::new(sample(20).request(1));
    for (name, value) in headers {
        request.metadata_mut().insert(name, value.parse().unwrap());
    }
    client.detect(request).await.unwrap();
    let post = |headers: &[(&str, &str)]| {
        let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let body = sample(20).png();
        let mut stream = TcpStream::connect(server.http).unwrap();
        let head = format!("POST /v1/models/bolt/detect HTTP/1.1\r\nHost: uflow\r\nConnection: close\r\n{lines}");
        write!(stream, "{head}Content-Length: {}\r\n\r\n", body.len()).unwrap();
        stream.write_all(&body).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer)[9..12].parse::<u16>().unwrap()
    };
    assert_eq!(post(&headers), 200);
    for protocol in ["uflow.v1", "http"] {
        let line = server.next("request");
        assert_eq!((line["protocol"].as_str(), line["code"].as_str()), (Some(protocol), Some("OK")), "{line}");
        assert_eq!((line["request_id"].as_str(), line["trace_id"].as_str()), (Some("order-4711"), Some(trace)));
        let client: SocketAddr = line["client"].as_str().unwrap().parse().unwrap();
        assert!(client.ip().is_loopback() && client.port() > 0, "{line}");
    }

    assert_eq!(post(&headers[1..]), 401);
    let status = client.detect(sample(20).request(2)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    for (request, id) in [("/v1/models/bolt/detect", Some("order-4711")), ("/uflow.v1.DetectionService/Detect", None)] {
        let line = server.next("request refused");
        assert_eq!((line["request"].as_str(), line["reason"].as_str()), (Some(request), Some("no_token")), "{line}");
        assert!(id.is_none_or(|id| line["request_id"] == id) && line["client"].is_string(), "{line}");
    }
    // A thousand more leave a few lines.
    for _ in 0..1000 {
        client.detect(sample(20).request(2)).await.unwrap_err();
    }
    server.signal();
    server.next("stopped");
    let lines = server.log();
    let refused = lines.iter().filter(|line| line.contains("\"request refused\""));
    assert!(refused.count() < 200);
}

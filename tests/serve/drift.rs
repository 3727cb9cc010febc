//! Drift over real connections: frames that become brighter raise an alarm in the log, the metrics, the webhook and over HTTP.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use serde_json::{Value, json};
use uflow::{
    frame::PixelFormat,
    segment::DecisionOptions,
    serve::proto::v1::{Drift, DriftKind, GetModelRequest, model_service_client::ModelServiceClient},
};

use crate::{
    networks::models,
    process::{Process, uflow, until},
    server::runtime,
};

const LONG: Duration = Duration::from_secs(120);

/// `clip` knows 40 good images; `bolt` decides as the paper does and knows none.
fn repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let backbone = models::backbone(folder.path(), 1);
    let clip = models::fit_with(&runtime(), &backbone, "clip", (3, 40), DecisionOptions::default());
    clip.write_to_repository(&folder.path().join("models"), 1).unwrap();
    models::fit(&runtime(), &backbone, "bolt", 5).write_to_repository(&folder.path().join("models"), 1).unwrap();
    folder
}

/// A good frame with its brightness multiplied.
fn png(seed: u64, exposure: f32) -> Vec<u8> {
    let mut pixels = models::good(10_000 + seed, 48, 32, PixelFormat::Rgb8);
    pixels.iter_mut().for_each(|pixel| *pixel = (f32::from(*pixel) * exposure).round().min(255.0) as u8);
    let mut file = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::from_raw(48, 32, pixels).unwrap();
    picture.write_to(&mut file, image::ImageFormat::Png).unwrap();
    file.into_inner()
}

/// A connection that stays open.
struct Client(BufReader<TcpStream>);

impl Client {
    fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        Self(BufReader::new(stream))
    }

    fn ask(&mut self, line: &str, head: &str, body: &[u8]) -> (u16, Value) {
        let length = body.len();
        let request = format!("{line} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{head}\r\n");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        self.0.get_mut().write_all(body).unwrap();
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            let line = line.trim_end().to_ascii_lowercase();
            match line.split_once(": ") {
                Some(("content-length", value)) => length = value.parse().unwrap(),
                Some(_) => {}
                None if line.is_empty() => break,
                None => status = line.split(' ').nth(1).unwrap().parse().unwrap(),
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    fn get(&mut self, path: &str) -> Value {
        let (status, body) = self.ask(&format!("GET {path}"), "", b"");
        assert_eq!(status, 200, "{body}");
        body
    }

    fn detect(&mut self, query: &str, id: &str, frame: &[u8]) {
        let head = format!("Content-Type: image/png\r\nx-request-id: {id}\r\n");
        let (status, body) = self.ask(&format!("POST /v1/models/clip/detect{query}"), &head, frame);
        assert_eq!(status, 200, "{body}");
    }
}

/// A webhook that fails at first: it gives the status of each answer and the request's body.
fn webhook() -> (String, Receiver<(u16, String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/line/3?key=secret", listener.local_addr().unwrap());
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut length, mut first) = (0, String::new());
            stream.read_line(&mut first).unwrap();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                if line.trim_end().is_empty() {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                    length = value.trim_end().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let status = if number == 0 { 503 } else { 204 };
            write!(stream.get_mut(), "HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
            sender.send((status, first.trim_end().to_owned(), serde_json::from_slice(&body).unwrap())).unwrap();
        }
    });
    (address, receiver)
}

fn metric(server: &Process, series: &str) -> f64 {
    let (_, text) = server.get("/metrics");
    let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
    line.unwrap_or_else(|| panic!("no {series} in {text}")).rsplit_once(' ').unwrap().1.parse().unwrap()
}

/// What the model's description says of drift.
fn drift_by_grpc(server: &Process) -> Drift {
    let address = format!("http://{}", server.grpc);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(async {
        let mut client = ModelServiceClient::connect(address).await.unwrap();
        client.get_model(GetModelRequest { model: "clip".to_owned(), version: 0 }).await.unwrap()
    });
    answer.into_inner().model.unwrap().description.unwrap().drift.unwrap()
}

#[test]
fn brighter_frames_raise_an_alarm_that_every_interface_tells() {
    let folder = repository();
    let (address, told) = webhook();
    let options = ["--drift-run-length", "10000", "--drift-webhook", &address];
    let server = Process::start(&folder.path().join("models"), &options);
    let mut client = Client::to(server.http);

    for seed in 0..150 {
        client.detect("", &format!("good-{seed}"), &png(seed, 1.0));
    }
    until("the last frame is fed", || client.get("/v1/models/clip/drift")["frames"] == 150);
    let before = client.get("/v1/models/clip/drift");
    assert_eq!((&before["watched"], &before["alarms"], &before["good_images"]), (&json!(true), &json!([]), &json!(40)));
    assert_eq!(metric(&server, "uflow_drift_alarm{kind=\"shift\",model=\"clip\",version=\"1\"}"), 0.0);
    // Frames that are judged in another way than the good images do not count; a verdict of their own changes nothing.
    client.detect("?tests=paper&verdict=nfa", "foreign", &png(0, 1.6));
    client.detect("?verdict=nfa", "by-nfa", &png(0, 1.0));
    until("the frame is fed", || client.get("/v1/models/clip/drift")["frames"] == 151);

    let mut sent = 0;
    while client.get("/v1/models/clip/drift")["alarms"] == json!([]) {
        client.detect("", &format!("bright-{sent}"), &png(1000 + sent, 1.6));
        sent += 1;
        assert!(sent < 150, "no alarm: {}", client.get("/v1/models/clip/drift"));
    }
    let after = client.get("/v1/models/clip/versions/1/drift");
    let alarm = &after["alarms"][0];
    assert_eq!((&alarm["kind"], &after["alarms_total"]["shift"]), (&json!("shift"), &json!(1)));
    assert!(alarm["since_frame_number"].as_u64().unwrap() > 90, "{alarm}");
    let frames = alarm["frames"].as_array().unwrap();
    let bright = frames.iter().filter(|frame| frame["request_id"].as_str().unwrap().starts_with("bright-")).count();
    assert!((1..=10).contains(&frames.len()) && 2 * bright > frames.len(), "{frames:?}");
    assert!(frames.iter().all(|frame| frame["p_value"].as_f64().unwrap() <= 1.0 && frame["time"].as_str().is_some()));

    let described = client.get("/v1/models");
    let clip = described["models"].as_array().unwrap().iter().find(|model| model["name"] == "clip").unwrap();
    assert_eq!(clip["description"]["drift_alarms"], json!(["shift"]));
    let by_grpc = drift_by_grpc(&server);
    assert_eq!((by_grpc.watched, by_grpc.run_length, by_grpc.evidence.len()), (true, 10_000, 3));
    assert_eq!((by_grpc.alarms[0].kind(), by_grpc.evidence[0].alarms_total), (DriftKind::Shift, 1));
    for (grpc, http) in by_grpc.alarms[0].frames.iter().zip(frames) {
        assert_eq!((&json!(grpc.request_id), &json!(grpc.p_value)), (&http["request_id"], &http["p_value"]));
        assert_eq!(json!(grpc.time.unwrap().to_string()), http["time"]);
    }

    let (first, second) = (told.recv_timeout(LONG).unwrap(), told.recv_timeout(LONG).unwrap());
    assert_eq!((first.0, second.0), (503, 204), "a notice that was not taken is sent again");
    assert_eq!((&first.1, &first.2), (&second.1, &second.2));
    assert!(first.1.starts_with("POST /line/3?key=secret "), "{}", first.1);
    let notice = &second.2;
    assert_eq!((&notice["event"], &notice["model"], &notice["version"]), (&json!("alarm"), &json!("clip"), &json!(1)));
    assert_eq!((&notice["kind"], &notice["frames"]), (&alarm["kind"], &alarm["frames"]));
    assert_eq!(notice["run_length"], 10_000);

    let line: Value = serde_json::from_str(&server.says("drift: all frames are more unusual")).unwrap();
    assert_eq!((&line["level"], &line["model"], &line["kind"]), (&json!("WARN"), &json!("clip"), &json!("shift")));
    let in_log: Value = serde_json::from_str(line["frames"].as_str().unwrap()).unwrap();
    assert_eq!(&in_log, &alarm["frames"]);
    assert_eq!(metric(&server, "uflow_drift_alarm{kind=\"shift\",model=\"clip\",version=\"1\"}"), 1.0);
    assert_eq!(metric(&server, "uflow_drift_alarms_total{kind=\"shift\",model=\"clip\",version=\"1\"}"), 1.0);
    until("the notice is counted", || metric(&server, "uflow_drift_webhooks_total{outcome=\"sent\"}") == 1.0);
    assert!(server.log().iter().all(|line| !line.contains("secret")), "the address may hold a secret");

    let (status, cleared) = client.ask("POST /v1/models/clip/drift/clear", "", b"{\"learn\": true}");
    assert_eq!((status, &cleared["alarms"], &cleared["alarms_total"]["shift"]), (200, &json!([]), &json!(1)));
    assert_eq!(metric(&server, "uflow_drift_alarm{kind=\"shift\",model=\"clip\",version=\"1\"}"), 0.0);
    assert_eq!(client.ask("POST /v1/models/clip/drift/clear", "", b"{\"lern\": true}").0, 400);
}

#[test]
fn a_model_that_cannot_be_watched_says_why() {
    let folder = repository();
    let server = Process::start(&folder.path().join("models"), &[]);
    let line: Value = serde_json::from_str(&server.says("drift is not watched")).unwrap();
    assert_eq!((&line["level"], &line["model"]), (&json!("WARN"), &json!("bolt")), "{line}");
    let mut client = Client::to(server.http);
    let bolt = client.get("/v1/models/bolt/drift");
    assert_eq!(bolt["watched"], false);
    assert!(bolt["reason"].as_str().unwrap().contains("uflow calibrate"), "{bolt}");
    assert_eq!(client.ask("POST /v1/models/bolt/drift/clear", "", b"").0, 400);
    assert_eq!(client.ask("GET /v1/models/gear/drift", "", b"").0, 404);
    assert_eq!(metric(&server, "uflow_drift_watched{model=\"bolt\",version=\"1\"}"), 0.0);
    assert_eq!(metric(&server, "uflow_drift_watched{model=\"clip\",version=\"1\"}"), 1.0);
    assert_eq!(metric(&server, "uflow_drift_run_length_frames"), 1e6);
}

#[test]
fn it_can_be_turned_off_and_wrong_settings_are_named() {
    let folder = repository();
    let server = Process::start(&folder.path().join("models"), &["--drift-run-length", "0"]);
    let clip = Client::to(server.http).get("/v1/models/clip/drift");
    assert_eq!(clip["watched"], false);
    assert!(clip["reason"].as_str().unwrap().contains("--drift-run-length 0"), "{clip}");
    for (option, value) in [("--drift-run-length", "7"), ("--drift-webhook", "ftp://hooks/secret")] {
        let output = uflow().args(["serve", "--models", "m", option, value]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(&option[2..].replace('-', "_")), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

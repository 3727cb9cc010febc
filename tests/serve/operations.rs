//! What operators use: the alerts and the dashboard name only metrics and labels that a running server has, and the guide names them all.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
};

use serde_json::Value;

use crate::{networks::models, process::Process, store::Bucket};

const TOKEN: &str = "0123456789abcdef";

/// The names of the labels of each sample, by the sample's name.
type Labels = BTreeMap<String, BTreeSet<String>>;

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The status and the body of a request.
fn ask(server: &Process, what: &str, head: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(server.http).unwrap();
    let length = body.len();
    write!(stream, "{what} HTTP/1.1\r\nHost: uflow\r\nConnection: close\r\nContent-Length: {length}\r\n{head}\r\n")
        .unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// With so few images one is held out, and one score deviates by nothing; then there is no drift of scores. And tests of drift need more
/// good images.
fn let_drift_be_watched(manifest: &Path) {
    let mut json: Value = serde_json::from_str(&fs::read_to_string(manifest).unwrap()).unwrap();
    json["scores"]["std"] = 0.01.into();
    let lowest: Vec<i32> = (-20..0).collect();
    json["rejection"] = serde_json::json!({
        "images": 20, "origin": "calibrated", "tests": "paper", "bound": "chernoff", "lowest": lowest,
    });
    fs::write(manifest, json.to_string()).unwrap();
}

/// All samples of a server that has seen a frame, a request without a token, and so has every metric.
fn served() -> (Labels, BTreeSet<String>) {
    let tokens = tempfile::NamedTempFile::new().unwrap();
    fs::write(tokens.path(), format!("{TOKEN} inference metrics\n")).unwrap();
    let options = ["--tokens", tokens.path().to_str().unwrap()];
    // From a bucket, as the store has metrics too.
    let bucket = Bucket::new();
    let_drift_be_watched(&bucket.models().join("bolt/1/uflow.json"));
    let server = bucket.serve(&options);
    let bearer = format!("authorization: Bearer {TOKEN}\r\n");
    let mut frame = std::io::Cursor::new(Vec::new());
    let pixels = models::bad(1, 61, 43, uflow::frame::PixelFormat::Rgb8);
    image::RgbImage::from_raw(61, 43, pixels).unwrap().write_to(&mut frame, image::ImageFormat::Png).unwrap();
    assert_eq!(ask(&server, "POST /v1/models/bolt/detect", &bearer, frame.get_ref()).0, 200);
    assert_eq!(ask(&server, "GET /metrics", "", b"").0, 401);
    let (status, text) = ask(&server, "GET /metrics", &bearer, b"");
    assert_eq!(status, 200);
    let mut samples = Labels::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && line.contains(' ')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
        samples.entry(name.to_owned()).or_default().extend(labels);
    }
    let families = text.lines().filter_map(|line| Some(line.strip_prefix("# TYPE ")?.split_once(' ')?.0.to_owned()));
    (samples, families.collect())
}

fn is_part_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The metrics that a text names, each with what follows it.
fn named(text: &str) -> Vec<(&str, &str)> {
    let starts = ["uflow_", "process_"].into_iter().flat_map(|prefix| text.match_indices(prefix));
    let whole = starts.filter(|(at, _)| !text[..*at].ends_with(is_part_of_name));
    whole
        .map(|(at, _)| {
            let end = text[at..].find(|c| !is_part_of_name(c)).map_or(text.len(), |length| at + length);
            (&text[at..end], &text[end..])
        })
        .collect()
}

/// The labels of a selector, `{instance=~"$instance",outcome!="ok"}`, at the start of a text.
fn selected(after: &str) -> Vec<&str> {
    let Some((inside, _)) = after.strip_prefix('{').and_then(|rest| rest.split_once('}')) else { return Vec::new() };
    inside.split(',').filter_map(|matcher| Some(matcher.split_once(['=', '!'])?.0)).collect()
}

/// Prometheus itself adds these.
const ADDED: [&str; 2] = ["instance", "job"];

fn check(expression: &str, samples: &Labels) {
    for (name, after) in named(expression) {
        let labels = samples.get(name).unwrap_or_else(|| panic!("the server has no `{name}`, as in: {expression}"));
        for label in selected(after).into_iter().filter(|label| !ADDED.contains(label)) {
            assert!(labels.contains(label), "`{name}` has no label `{label}`, as in: {expression}");
        }
    }
}

/// Every expression of a panel, and every query for a variable.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str() {
                    Some(text) if key == "expr" || key == "query" => found.push(text.to_owned()),
                    _ => expressions(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[test]
fn alerts_dashboard_and_page_name_the_metrics_that_there_are() {
    let (samples, families) = served();
    let alerts = file("deploy/prometheus/uflow-alerts.yaml");
    assert!(named(&alerts).len() > 20, "{alerts}");
    check(&alerts, &samples);

    let dashboard: Value = serde_json::from_str(&file("deploy/grafana/uflow.json")).unwrap();
    let mut found = Vec::new();
    expressions(&dashboard, &mut found);
    assert!(found.len() > 20, "{found:?}");
    found.iter().for_each(|expression| check(expression, &samples));

    let page = file("docs/src/operating.md");
    let in_tables: BTreeSet<String> = page
        .lines()
        .filter(|line| line.starts_with("| `uflow_") || line.starts_with("| `process_"))
        .filter(|line| line.matches('|').count() > 4)
        .flat_map(|line| named(line.split('|').nth(1).unwrap()))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert_eq!(
        in_tables, families,
        "the tables of docs/src/operating.md have every metric of the server, and no other"
    );
}

#[test]
fn the_names_and_labels_in_an_expression_are_found() {
    let expression = "sum(rate(uflow_a_total{x=~\"$x\",y!=\"ok\"}[5m])) / process_b > my_uflow_c";
    let found: Vec<_> = named(expression).into_iter().map(|(name, after)| (name, selected(after))).collect();
    assert_eq!(found, [("uflow_a_total", vec!["x", "y"]), ("process_b", vec![])]);
}

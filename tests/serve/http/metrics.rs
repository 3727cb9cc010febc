//! `/metrics`: Prometheus' text format, read strictly, and its figures.

use std::collections::{BTreeMap, BTreeSet};

use super::{Models, Server, Setup, bad_png};

/// Values by series (name and labels as written).
type Series = BTreeMap<String, f64>;

/// Prometheus' text format, version 0.0.4: each family once, HELP and TYPE before its samples, no sample twice.
fn parse(text: &str) -> (Series, BTreeMap<String, String>) {
    assert!(text.ends_with('\n'));
    let (mut series, mut kinds, mut helped) = (Series::new(), BTreeMap::new(), BTreeSet::new());
    let mut family: Option<(String, String)> = None;
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(is_name(name) && !help.is_empty(), "{line}");
            assert!(helped.insert(name.to_owned()), "{name} has two HELP lines");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(helped.contains(name) && ["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} has two TYPE lines");
            family = Some((name.to_owned(), kind.to_owned()));
        } else {
            let (labelled, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = labelled.split_once('{').unwrap_or((labelled, "}"));
            check_labels(labels);
            let (of, kind) = family.as_ref().unwrap();
            let suffix = name.strip_prefix(of.as_str()).unwrap_or_else(|| panic!("{line} is not of {of}"));
            match kind.as_str() {
                "histogram" => assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line}"),
                _ => assert_eq!(suffix, "", "{line}"),
            }
            assert!(is_name(name), "{line}");
            let value: f64 = value.parse().unwrap();
            assert!(kind != "counter" || value >= 0.0, "{line}");
            assert!(series.insert(labelled.to_owned(), value).is_none(), "{labelled} comes twice");
        }
    }
    check_histograms(&series, &kinds);
    (series, kinds)
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
}

/// `a="x",b="y"}`.
fn check_labels(mut rest: &str) {
    let mut names = BTreeSet::new();
    while rest != "}" {
        let (name, value) = rest.split_once("=\"").unwrap();
        assert!(is_name(name) && names.insert(name), "{rest}");
        let mut escaped = false;
        let end = value.char_indices().find(|&(_, c)| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let after = &value[end.unwrap().0 + 1..];
        rest = after.strip_prefix(',').unwrap_or(after);
    }
}

/// Buckets grow, and the last is the count.
fn check_histograms(series: &Series, kinds: &BTreeMap<String, String>) {
    let mut buckets: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for (name, &count) in series {
        let Some((family, labels)) = name.split_once("_bucket{") else { continue };
        assert_eq!(kinds[family], "histogram");
        let (before, bound) = labels.rsplit_once("le=\"").unwrap();
        let bound = bound.strip_suffix("\"}").unwrap();
        let labels = before.strip_suffix(',').unwrap_or(before);
        let of = if labels.is_empty() { format!("{family}_count") } else { format!("{family}_count{{{labels}}}") };
        buckets.entry(of).or_default().push((bound.parse().unwrap(), count));
    }
    assert!(!buckets.is_empty());
    for (of, mut buckets) in buckets {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.is_sorted_by(|a, b| a.1 <= b.1), "{of}: {buckets:?}");
        let last = buckets.last().unwrap();
        assert_eq!((last.0, last.1), (f64::INFINITY, series[&of]), "{of}");
    }
}

fn scrape(server: &Server) -> (Series, BTreeMap<String, String>) {
    let found = server.get("/metrics");
    assert_eq!(found.status, 200);
    assert_eq!(found.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    parse(found.text())
}

#[test]
fn figures_are_well_formed_and_move_as_frames_are_served() {
    let models = Models::new();
    let server = Server::start(&models);
    let (before, _) = scrape(&server);
    for seed in 0..5 {
        assert_eq!(server.post("/v1/models/nut/detect", &bad_png(seed)).status, 200);
    }
    assert_eq!(server.post("/v1/models/nut/detect", b"no image").status, 400);
    assert_eq!(server.post("/v1/models/gear/detect", b"no image").status, 404);
    let (after, kinds) = scrape(&server);
    let now = |name: &str| *after.get(name).unwrap_or_else(|| panic!("no {name} in {after:#?}"));
    let moved = |name: &str| now(name) - before.get(name).copied().unwrap_or(0.0);
    for (name, by) in [
        ("uflow_requests_total{code=\"OK\",model=\"nut\",protocol=\"http\"}", 5.0),
        ("uflow_requests_total{code=\"INVALID_ARGUMENT\",model=\"nut\",protocol=\"http\"}", 1.0),
        ("uflow_requests_total{code=\"NOT_FOUND\",model=\"\",protocol=\"http\"}", 1.0),
        ("uflow_request_seconds_count{protocol=\"http\"}", 7.0),
        ("uflow_frames_total{model=\"nut\",outcome=\"ok\",version=\"2\"}", 5.0),
        ("uflow_frames_total{model=\"nut\",outcome=\"failed\",version=\"2\"}", 1.0),
        ("uflow_frame_seconds_count{model=\"nut\",version=\"2\"}", 5.0),
        ("uflow_image_score_count{model=\"nut\",version=\"2\"}", 5.0),
        ("uflow_batch_frames_count", 5.0),
    ] {
        assert_eq!(moved(name), by, "{name}");
    }
    assert_eq!(kinds["uflow_image_score_drift"], "gauge");
    let drift = "uflow_image_score_drift{model=\"nut\",version=\"2\"}";
    assert!(now(drift) != 0.0 && now(drift) != before[drift], "defects move the scores: {}", now(drift));
    assert_eq!((after["uflow_in_flight_frames"], after["uflow_backbones"]), (0.0, 1.0));
}

#[test]
fn the_build_and_the_process_are_described() {
    let models = Models::new();
    let server = Server::start(&models);
    let (figures, kinds) = scrape(&server);
    let info = format!(
        "uflow_build_info{{commit=\"{}\",device=\"cpu\",onnxruntime=\"{}\",version=\"{}\"}}",
        uflow::COMMIT,
        models.runtime.version(),
        uflow::VERSION
    );
    assert_eq!(figures[&info], 1.0);
    if cfg!(target_os = "linux") {
        assert_eq!(
            (kinds["process_cpu_seconds_total"].as_str(), kinds["process_threads"].as_str()),
            ("counter", "gauge")
        );
        assert!(figures["process_cpu_seconds_total"] >= 0.0 && figures["process_threads"] > 2.0);
        assert!(figures["process_start_time_seconds"] > 1.6e9);
        assert!(figures["process_resident_memory_bytes"] > 1e7);
        assert!(figures["process_open_fds"] > 3.0 && figures["process_max_fds"] >= figures["process_open_fds"]);
        let second = scrape(&server).0;
        assert!(second["process_cpu_seconds_total"] >= figures["process_cpu_seconds_total"]);
    }
}

#[test]
fn a_second_router_on_the_same_state_changes_nothing() {
    let models = Models::new();
    let server = Server::with(&models, Setup::default());
    let families = |server: &Server| scrape(server).1.into_keys().collect::<Vec<_>>();
    let before = families(&server);
    let oip = uflow::serve::oip::Oip::new(std::sync::Arc::clone(&server.app), 8, uflow::serve::app::WhenFull::Wait);
    let _ = uflow::serve::http::router(oip, Setup::default().http);
    assert_eq!(families(&server), before);
}

#[test]
fn the_models_are_told_with_their_state_and_their_networks_and_go_without_a_trace() {
    let models = Models::new();
    super::break_package(&models.repository().join("gear/1"));
    let control = uflow::serve::registry::Control::Poll(std::time::Duration::from_millis(20));
    let versions = uflow::serve::registry::Versions::Latest(1);
    let server = Server::with(&models, Setup { control, versions, ..Setup::default() });
    let (figures, kinds) = scrape(&server);
    let of = |name: &str, labels: &str| figures.get(&format!("{name}{{{labels}}}")).copied();
    let (bolt_1, bolt_3, gear) =
        (r#"model="bolt",version="1""#, r#"model="bolt",version="3""#, r#"model="gear",version="1""#);
    for (labels, ready, state) in [(bolt_1, 0.0, "available"), (bolt_3, 1.0, "ready"), (gear, 0.0, "failed")] {
        assert_eq!(of("uflow_model_ready", labels), Some(ready), "{labels}");
        let (model, version) = labels.split_once(',').unwrap();
        for other in ["available", "loading", "ready", "unloading", "failed"] {
            let found = of("uflow_model_state", &format!("{model},state=\"{other}\",{version}"));
            assert_eq!(found, Some(f64::from(u8::from(other == state))), "{labels} {other}");
        }
    }
    let loads = |outcome: &str, model: &str, version: u32| {
        of("uflow_model_loads_total", &format!("model=\"{model}\",outcome=\"{outcome}\",version=\"{version}\""))
    };
    assert_eq!((loads("ok", "bolt", 3), loads("failed", "bolt", 3)), (Some(1.0), Some(0.0)));
    assert!(loads("ok", "gear", 1) == Some(0.0) && loads("failed", "gear", 1).unwrap() >= 1.0);
    assert_eq!(kinds["uflow_model_loads_total"], "counter");
    assert!(of("uflow_model_last_load_timestamp_seconds", bolt_3).unwrap() > 1.6e9);
    assert_eq!(of("uflow_model_last_load_timestamp_seconds", gear), None);
    let model = server.app.registry().get("bolt", 3).unwrap();
    let (flow, backbone) = (&model.manifest().flow.sha256, &model.manifest().backbone);
    let info = format!(
        "backbone=\"{}\",backbone_sha256=\"{}\",flow_sha256=\"{flow}\",{bolt_3}",
        backbone.name, backbone.sha256
    );
    assert_eq!(of("uflow_model_info", &info), Some(1.0));
    drop(model);

    std::fs::remove_dir_all(models.repository().join("bolt")).unwrap();
    server.until("the model is gone", || server.app.registry().status("bolt", 0).is_err());
    let (after, _) = scrape(&server);
    let left: Vec<_> = after.keys().filter(|name| name.starts_with("uflow_model_") && name.contains("bolt")).collect();
    assert!(left.is_empty(), "{left:?}");
}

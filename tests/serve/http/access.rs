//! Who may do what.

use super::{Models, Server, Setup, bad_png};

/// Tokens named after what they are for.
fn protected(models: &Models) -> Server {
    let tokens = "inference-0123456 inference\ncontrol-012345678 control\nmetrics-012345678 metrics\n";
    Server::with(models, Setup { tokens, ..Setup::default() })
}

fn bearer(scope: &str) -> String {
    let token = match scope {
        "inference" => "inference-0123456",
        "control" => "control-012345678",
        _ => "metrics-012345678",
    };
    format!("Bearer {token}")
}

#[test]
fn health_is_open_and_the_rest_needs_its_own_token() {
    let models = Models::new();
    let server = protected(&models);
    for path in ["/", "/openapi.json", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    let file = bad_png(1);
    for (method, path, scope, ok) in [
        ("GET", "/metrics", "metrics", 200),
        ("POST", "/v1/models/bolt/detect", "inference", 200),
        ("POST", "/v1/models/bolt/versions/1/detect", "inference", 200),
        ("GET", "/v2", "inference", 200),
        ("GET", "/v2/models/bolt", "inference", 200),
        ("GET", "/v2/models/bolt/ready", "inference", 200),
        ("GET", "/v2/models/bolt/versions/1", "inference", 200),
        ("GET", "/v2/models/bolt/versions/1/ready", "inference", 200),
        ("POST", "/v2/models/bolt/infer", "inference", 400),
        ("POST", "/v2/models/bolt/versions/1/infer", "inference", 400),
        ("GET", "/v2/models/bolt/config", "inference", 200),
        ("GET", "/v2/models/bolt/versions/1/config", "inference", 200),
        ("GET", "/v2/models/stats", "inference", 200),
        ("GET", "/v2/models/bolt/stats", "inference", 200),
        ("GET", "/v2/models/bolt/versions/1/stats", "inference", 200),
        ("GET", "/v1/models", "inference", 200),
        ("POST", "/v2/repository/index", "inference", 400),
        ("POST", "/v2/repository/models/bolt/load", "control", 403),
        ("POST", "/v2/repository/models/bolt/unload", "control", 403),
        ("GET", "/v2/systemsharedmemory/status", "inference", 403),
        ("GET", "/v2/systemsharedmemory/region/r/status", "inference", 403),
        ("POST", "/v2/systemsharedmemory/region/r/register", "control", 400),
        ("POST", "/v2/systemsharedmemory/region/r/unregister", "control", 403),
        ("POST", "/v2/systemsharedmemory/unregister", "control", 403),
    ] {
        let body: &[u8] = if method == "POST" { &file } else { b"" };
        let found = server.send(method, path, &[], body);
        assert_eq!((found.status, found.header("www-authenticate")), (401, Some("Bearer")), "{path}");
        let (code, message) = found.error();
        assert_eq!(code, "UNAUTHENTICATED");
        assert!(message.starts_with("a token is needed: send the header `authorization: Bearer"), "{message}");
        for token in ["inference", "control", "metrics"] {
            let found = server.send(method, path, &[("Authorization", &bearer(token))], body);
            assert_eq!(found.status, if token == scope { ok } else { 403 }, "{path} with the token for {token}");
            if token != scope {
                assert_eq!(found.error().0, "PERMISSION_DENIED");
            }
        }
    }
}

#[test]
fn a_body_is_not_received_from_those_who_may_not_send_one() {
    let models = Models::new();
    let server = protected(&models);
    let mut stream = server.open("POST", "/v1/models/bolt/detect", &[("Content-Length", "1000")]);
    assert_eq!(super::client::read(&mut stream, "POST").status, 401);
}

#[test]
fn only_those_with_a_token_learn_which_models_there_are() {
    let models = Models::new();
    let server = protected(&models);
    for headers in [vec![], vec![("Authorization", "Bearer not-a-known-token")]] {
        let found = server.send("GET", "/readyz", &headers, b"");
        assert_eq!(found.status, 200);
        assert_eq!(found.json(), serde_json::json!({ "ready": true, "server": "running" }));
    }
    for scope in ["inference", "control", "metrics"] {
        let found = server.send("GET", "/readyz", &[("Authorization", &bearer(scope))], b"");
        assert_eq!(found.json()["models"].as_array().unwrap().len(), 3, "{scope}");
    }
}

#[test]
fn what_is_refused_is_counted_by_reason() {
    let models = Models::new();
    let server = protected(&models);
    let send = |path: &str, token: Option<&str>| {
        let headers: Vec<_> = token.map(|token| ("Authorization", token)).into_iter().collect();
        server.send("GET", path, &headers, b"").status
    };
    assert_eq!(send("/v2", None), 401);
    assert_eq!(send("/v2", Some("Bearer not-a-known-token")), 401);
    assert_eq!(send("/v2", Some(&bearer("metrics"))), 403);
    assert_eq!(send("/v2", Some(&bearer("inference"))), 200);
    let text = server.app.engine().metrics().text();
    for line in [
        "uflow_requests_refused_total{reason=\"no_token\"} 1",
        "uflow_requests_refused_total{reason=\"unknown_token\"} 1",
        "uflow_requests_refused_total{reason=\"wrong_scope\"} 1",
        "uflow_tokens 3",
        "uflow_token_file_ok 1",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[test]
fn every_answer_carries_the_id_of_its_request() {
    let models = Models::new();
    let server = protected(&models);
    for (path, status) in [("/healthz", 200), ("/v2", 401), ("/nothing", 404), ("/v1/models/bolt/detect", 405)] {
        let found = server.send("GET", path, &[("X-Request-Id", "order-4711")], b"");
        assert_eq!((found.status, found.header("x-request-id")), (status, Some("order-4711")), "{path}");
        let (one, two) = (server.get(path), server.get(path));
        assert!(one.header("x-request-id").is_some_and(|id| id.len() > 16), "{path}");
        assert_ne!(one.header("x-request-id"), two.header("x-request-id"), "{path}");
    }
}

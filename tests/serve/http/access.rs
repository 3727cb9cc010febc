//! Who may do what.

use std::sync::Arc;

use tonic::Status;
use uflow::serve::{auth::Scope, http::HttpSettings};

use super::{Models, Server, Setup, bad_png};

/// Tokens named after what they are for.
fn protected(models: &Models) -> Server {
    let authorize: uflow::serve::http::Authorize = Arc::new(|headers, scope| {
        let Some(token) = headers.get("authorization") else {
            return Err(Status::unauthenticated("send a token"));
        };
        let wanted = match scope {
            Scope::Inference => "Bearer inference",
            Scope::Control => "Bearer control",
            Scope::Metrics => "Bearer metrics",
        };
        if token == wanted { Ok(()) } else { Err(Status::permission_denied(format!("not for {scope:?}"))) }
    });
    let http = HttpSettings { authorize: Some(authorize), ..HttpSettings::default() };
    Server::with(models, Setup { http, ..Setup::default() })
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
        ("POST", "/v2/models/bolt/infer", "inference", 501),
        ("POST", "/v2/models/bolt/versions/1/infer", "inference", 501),
    ] {
        let body: &[u8] = if method == "POST" { &file } else { b"" };
        let found = server.send(method, path, &[], body);
        assert_eq!((found.status, found.header("www-authenticate")), (401, Some("Bearer")), "{path}");
        assert_eq!(found.error(), ("UNAUTHENTICATED".to_owned(), "send a token".to_owned()));
        for token in ["inference", "control", "metrics"] {
            let found = server.send(method, path, &[("Authorization", &format!("Bearer {token}"))], body);
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

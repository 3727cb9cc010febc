//! Liveness and readiness.

use serde_json::{Value, json};
use uflow::{runtime::Runtime, serve::registry::Control};

use super::{Models, Server, Setup, break_package};

/// Status and body of `/readyz`; the Open Inference Protocol's route agrees with it.
fn readiness(server: &Server) -> (u16, Value) {
    let found = server.get("/readyz");
    let json = found.json();
    assert_eq!(json["ready"], found.status == 200);
    (found.status, json)
}

fn state(json: &Value, name: &str, version: u32) -> (String, bool) {
    let models = json["models"].as_array().unwrap();
    let model = models.iter().find(|model| model["name"] == name && model["version"] == version).unwrap();
    (model["state"].as_str().unwrap().to_owned(), model["current"].as_bool().unwrap())
}

fn load(server: &Server, name: &str) {
    tokio::runtime::Runtime::new().unwrap().block_on(server.app.registry().load(name, 0)).unwrap();
}

fn unload(server: &Server, name: &str) {
    tokio::runtime::Runtime::new().unwrap().block_on(server.app.registry().unload(name, 0)).unwrap();
}

#[test]
fn a_server_lives_from_its_start_and_is_ready_when_its_models_are() {
    let models = Models::new();
    let server = Server::starting(&models, Setup::default());
    loop {
        let live = server.get("/healthz");
        assert_eq!((live.status, live.text()), (200, "ok"));
        let (status, json) = readiness(&server);
        let state = json["server"].as_str().unwrap().to_owned();
        match status {
            503 => assert_eq!(state, "starting"),
            _ => assert_eq!((status, state.as_str()), (200, "running")),
        }
        if status == 200 {
            break;
        }
    }
    let (_, json) = readiness(&server);
    let ready = |current| ("ready".to_owned(), current);
    assert_eq!(state(&json, "bolt", 1), ready(false));
    assert_eq!(state(&json, "bolt", 3), ready(true));
    assert_eq!(state(&json, "nut", 2), ready(true));
    assert_eq!(server.get("/v2/health/ready").json(), json!({ "ready": true }));

    server.app.drain();
    let (status, json) = readiness(&server);
    assert_eq!((status, &json["server"]), (503, &"stopping".into()));
    let found = server.get("/v2/health/ready");
    assert_eq!((found.status, found.json()), (503, json!({ "ready": false })));
    assert_eq!(server.get("/v2/health/live").json(), json!({ "live": true }));
    assert_eq!(server.get("/healthz").status, 200, "a server that stops lives until it has stopped");
}

#[test]
fn models_are_seen_coming_and_going() {
    let models = Models::new();
    let server = Server::with(&models, Setup { control: Control::Explicit, ..Setup::default() });
    let (status, json) = readiness(&server);
    assert_eq!((status, state(&json, "nut", 2)), (503, ("available".to_owned(), false)));
    assert!(json["reason"].as_str().unwrap().starts_with("no model is loaded"), "{json}");
    load(&server, "nut");
    assert_eq!(state(&readiness(&server).1, "nut", 2), ("ready".to_owned(), true));
    let held = server.app.registry().get("nut", 0).unwrap();
    unload(&server, "nut");
    let (status, json) = readiness(&server);
    assert_eq!((status, state(&json, "nut", 2)), (503, ("unloading".to_owned(), false)));
    drop(held);
    server.until("it is unloaded", || state(&readiness(&server).1, "nut", 2).0 == "available");
    assert_eq!(readiness(&server).0, 503);
}

#[test]
fn a_server_without_a_model_is_ready_only_where_that_is_wanted() {
    let (models, runtime) = (Models::new(), Runtime::load(None).unwrap());
    let empty = tempfile::tempdir().unwrap();
    let control = Control::Explicit;
    for (repository, control, reason) in [
        (empty.path(), Control::Static, "the model repository has no <model>/<version>/uflow.json"),
        (empty.path(), control, "no model is loaded; clients load models with LoadModel"),
        (&models.repository(), control, "no model is loaded; clients load models with LoadModel"),
    ] {
        for ready_when_empty in [false, true] {
            let server = Server::of(&runtime, repository, Setup { control, ready_when_empty, ..Setup::default() });
            server.until("it has looked", || *server.app.registry().started().borrow());
            let (status, json) = readiness(&server);
            let expected = if ready_when_empty { (200, None) } else { (503, Some(reason)) };
            assert_eq!((status, json["reason"].as_str()), expected, "{json}");
            assert_eq!(json["server"], "running");
            assert_eq!(server.get("/v2/health/ready").json()["ready"], ready_when_empty);
        }
    }
}

#[test]
fn a_server_all_of_whose_models_failed_is_not_ready_and_tells_no_paths() {
    let folder = tempfile::tempdir().unwrap();
    break_package(&folder.path().join("gear/1"));
    let setup = Setup { ready_when_empty: true, ..Setup::default() };
    let server = Server::of(&Runtime::load(None).unwrap(), folder.path(), setup);
    server.until("it has looked", || *server.app.registry().started().borrow());
    let found = server.get("/readyz");
    assert_eq!((found.status, state(&found.json(), "gear", 1).0.as_str()), (503, "failed"));
    assert!(!found.text().contains(folder.path().to_str().unwrap()), "{}", found.text());
}

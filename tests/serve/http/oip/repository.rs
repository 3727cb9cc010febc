//! The repository, configurations and statistics over REST.

use uflow::serve::registry::Control;

use super::*;

fn post(server: &Server, path: &str, body: Value) -> Response {
    server.send("POST", path, &[("Content-Type", "application/json")], body.to_string().as_bytes())
}

#[test]
fn the_index_lists_what_there_is() {
    let models = Models::new();
    crate::http::break_package(&models.repository().join("gear/1"));
    let server = Server::start(&models);
    let states = |found: Response| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let entries = found.json();
        entries.as_array().unwrap().iter().map(|entry| (text(&entry["name"]), text(&entry["state"]))).collect()
    };
    let entry = |name: &str, state: &str| (name.to_owned(), state.to_owned());
    let ready = [entry("bolt", "READY"), entry("bolt", "READY"), entry("nut", "READY")];
    let all = [&ready[..2], &[entry("gear", "UNAVAILABLE")], &ready[2..]].concat();
    assert_eq!(states(server.send("POST", "/v2/repository/index", &[], b"")), all);
    assert_eq!(states(post(&server, "/v2/repository/index", json!({ "ready": false }))), all);
    assert_eq!(states(post(&server, "/v2/repository/index", json!({ "ready": true }))), ready);
    for (body, says) in [
        (json!({ "ready": 1 }), "invalid type: integer `1`, expected a boolean"),
        (json!({ "only": true }), "unknown field `only`"),
        (json!([1]), "body: it is not the JSON that this path takes"),
    ] {
        assert_error(&post(&server, "/v2/repository/index", body), 400, "INVALID_ARGUMENT", says);
    }
}

#[test]
fn models_are_loaded_and_unloaded_where_that_is_allowed() {
    let models = Models::new();
    let server = Server::start(&models);
    let refused = post(&server, "/v2/repository/models/nut/load", json!({}));
    assert_error(&refused, 403, "PERMISSION_DENIED", "start it with --model-control explicit");
    let server =
        Server::with(&models, Setup { control: Control::Explicit, ready_when_empty: true, ..Setup::default() });
    assert_error(&server.get("/v2/models/nut/config"), 503, "UNAVAILABLE", "is not loaded");
    assert_eq!(post(&server, "/v2/repository/models/nut/load", json!({})).json(), json!({}));
    assert_eq!(server.get("/v2/models/nut/config").json()["name"], "nut");
    for (path, body, status, says) in [
        ("gear/load", json!({}), 404, "there is no model `gear`"),
        ("nut/load", json!({ "parameters": { "config": "{}" } }), 400, "`config` is not a parameter of this call"),
        ("nut/load", json!({ "parameters": { "file:1/uflow.json": "e30=" } }), 400, "is not a parameter of this call"),
        (
            "nut/unload",
            json!({ "parameters": { "unload_dependents": [] } }),
            400,
            "`unload_dependents` is []; give true",
        ),
        ("nut/unload", json!({ "unload_dependents": true }), 400, "unknown field `unload_dependents`"),
    ] {
        let found = post(&server, &format!("/v2/repository/models/{path}"), body);
        assert_error(&found, status, if status == 404 { "NOT_FOUND" } else { "INVALID_ARGUMENT" }, says);
    }
    let unload = json!({ "parameters": { "unload_dependents": false } });
    assert_eq!(post(&server, "/v2/repository/models/nut/unload", unload).json(), json!({}));
    assert_error(&server.get("/v2/models/nut"), 503, "UNAVAILABLE", "is not loaded");
}

#[test]
fn a_configuration_is_triton_s() {
    let models = Models::new();
    let server = Server::start(&models);
    let found = server.get("/v2/models/bolt/config").json();
    assert_eq!(found, server.get("/v2/models/bolt/versions/3/config").json());
    assert_eq!(
        found["input"],
        json!([{ "name": "image", "data_type": "TYPE_UINT8", "format": "FORMAT_NHWC", "dims": [-1, -1, -1] }])
    );
    assert_eq!(found["output"][8], json!({ "name": "score_map", "data_type": "TYPE_FP32", "dims": [32, 48] }));
    assert_eq!((&found["max_batch_size"], &found["version_policy"]), (&json!(64), &json!({ "all": {} })));
    assert_eq!(found["model_transaction_policy"], json!({ "decoupled": false }));
    assert_eq!(found["dynamic_batching"]["priority_levels"], 2);
    assert_eq!(found["instance_group"][0]["kind"], "KIND_CPU");
    let names: Vec<_> = found["parameters"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["encoded_image", "image_uint16", "latents_0", "latents_1", "roi"]);
    for path in ["/v2/models/none/config", "/v2/models/nut/versions/9/config", "/v2/models/none/stats"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
}

#[test]
fn statistics_count_both_protocols() {
    let models = Models::new();
    let server = Server::start(&models);
    let input = json!({ "name": "image", "datatype": "UINT8", "shape": [2, 1, 1, 1], "data": [1, 2] });
    for _ in 0..3 {
        assert_eq!(post(&server, "/v2/models/bolt/infer", json!({ "inputs": [input] })).status, 200);
    }
    let bad = json!({ "name": "image", "datatype": "BYTES", "shape": [1], "data": ["x"] });
    assert_eq!(post(&server, "/v2/models/bolt/versions/1/infer", json!({ "inputs": [bad] })).status, 400);
    let all = server.get("/v2/models/stats").json();
    let of: Vec<_> =
        all["model_stats"].as_array().unwrap().iter().map(|stats| (&stats["name"], &stats["version"])).collect();
    assert_eq!(of, [(&json!("bolt"), &json!("1")), (&json!("bolt"), &json!("3")), (&json!("nut"), &json!("2"))]);
    let [failed, answered] = [1, 3].map(|version| {
        let one = server.get(&format!("/v2/models/bolt/versions/{version}/stats")).json();
        assert_eq!(one["model_stats"].as_array().unwrap().len(), 1);
        one["model_stats"][0].clone()
    });
    assert_eq!((&failed["inference_stats"]["fail"]["count"], &failed["inference_count"]), (&json!(1), &json!(0)));
    assert_eq!(
        (&answered["inference_stats"]["success"]["count"], &answered["inference_count"]),
        (&json!(3), &json!(6))
    );
    assert!(answered["inference_stats"]["compute_infer"]["ns"].as_u64().unwrap() > 0);
    let batches: u64 = answered["batch_stats"]
        .as_array()
        .unwrap()
        .iter()
        .map(|batch| batch["compute_infer"]["count"].as_u64().unwrap())
        .sum();
    assert_eq!(answered["execution_count"], batches);
    assert_eq!(server.get("/v2/models/bolt/stats").json()["model_stats"].as_array().unwrap().len(), 2);
}

//! The description is valid, and is of the routes there are.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Models, Server, bad_png};

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("{value} is not an object"))
}

/// Follows a reference, which must be to a component.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let Some(reference) = value.get("$ref") else { return value };
    let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
    assert!(pointer.starts_with("/components/"), "{reference}");
    document.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

/// Every reference and every component that is used.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_str().filter(|_| name == "$ref") {
                    Some(reference) => drop(found.insert(reference.to_owned())),
                    None => references(field, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// A schema of the part of JSON Schema that is used here.
fn check_schema(document: &Value, schema: &Value, at: &str) {
    if schema.get("$ref").is_some() {
        assert!(resolve(document, schema).is_object(), "{at}");
        return;
    }
    if let Some(kind) = schema.get("type") {
        let kinds = ["object", "array", "string", "number", "integer", "boolean"];
        assert!(kinds.contains(&kind.as_str().unwrap()), "{at}: {kind}");
    } else {
        assert!(schema.get("oneOf").is_some() || schema.get("const").is_some(), "{at} says nothing");
    }
    let properties = schema.get("properties").map(object);
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        assert!(properties.unwrap().contains_key(name.as_str().unwrap()), "{at}: {name} is required and not described");
    }
    for (name, property) in properties.into_iter().flatten() {
        check_schema(document, property, &format!("{at}.{name}"));
    }
    if let Some(items) = schema.get("items") {
        check_schema(document, items, &format!("{at}[]"));
    }
    for choice in schema.get("oneOf").and_then(Value::as_array).into_iter().flatten() {
        check_schema(document, choice, at);
    }
}

fn check_operation(document: &Value, path: &str, operation: &Value, ids: &mut BTreeSet<String>) {
    assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{path}");
    assert!(!operation["summary"].as_str().unwrap().is_empty());
    let parameters: Vec<_> = operation.get("parameters").and_then(Value::as_array).into_iter().flatten().collect();
    let mut in_path = BTreeSet::new();
    for parameter in parameters.into_iter().map(|parameter| resolve(document, parameter)) {
        check_schema(document, &parameter["schema"], path);
        if parameter["in"] == "path" {
            assert_eq!(parameter["required"], true);
            in_path.insert(format!("{{{}}}", parameter["name"].as_str().unwrap()));
        } else {
            assert_eq!(parameter["in"], "query");
        }
    }
    let named: BTreeSet<_> = path.split('/').filter(|part| part.starts_with('{')).map(str::to_owned).collect();
    assert_eq!(in_path, named, "{path}");
    let responses = object(&operation["responses"]);
    assert!(!responses.is_empty(), "{path}");
    let body = operation.get("requestBody");
    for (status, response) in responses {
        let status: u16 = status.parse().unwrap();
        assert!((200..600).contains(&status));
        let response = resolve(document, response);
        assert!(!response["description"].as_str().unwrap().is_empty());
        object(&response["content"]).values().for_each(|content| check_schema(document, &content["schema"], path));
    }
    for content in body.into_iter().flat_map(|body| object(&body["content"]).values()) {
        check_schema(document, &content["schema"], path);
    }
}

#[test]
fn the_description_is_valid() {
    let models = Models::new();
    let document = Server::start(&models).get("/openapi.json").json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    let mut ids = BTreeSet::new();
    for (path, item) in object(&document["paths"]) {
        for (method, operation) in object(item) {
            assert!(["get", "post"].contains(&method.as_str()), "{path}: {method}");
            check_operation(&document, path, operation, &mut ids);
        }
    }
    for (name, schema) in object(&document["components"]["schemas"]) {
        check_schema(&document, schema, name);
    }
    let mut used = BTreeSet::new();
    references(&document, &mut used);
    for kind in ["parameters", "responses", "schemas"] {
        for name in object(&document["components"][kind]).keys() {
            assert!(used.contains(&format!("#/components/{kind}/{name}")), "nothing uses {kind}/{name}");
        }
    }
    for reference in used {
        assert!(resolve(&document, &serde_json::json!({ "$ref": reference })).is_object());
    }
}

/// `METHOD path` of every route, from the index that is made of the router's own table.
fn routes(server: &Server) -> BTreeSet<(String, String)> {
    let index = server.get("/");
    assert_eq!(index.header("content-type"), Some("text/plain; charset=utf-8"));
    let lines = index.text().lines().filter(|line| line.starts_with("GET ") || line.starts_with("POST "));
    lines
        .map(|line| {
            let mut words = line.split_ascii_whitespace().map(str::to_owned);
            (words.next().unwrap(), words.next().unwrap())
        })
        .collect()
}

#[test]
fn every_route_is_described_and_everything_described_is_a_route() {
    let models = Models::new();
    let server = Server::start(&models);
    let document = server.get("/openapi.json").json();
    let mut described = BTreeSet::new();
    for (path, item) in object(&document["paths"]) {
        described.extend(object(item).keys().map(|method| (method.to_ascii_uppercase(), path.clone())));
    }
    assert_eq!(described, routes(&server));
    for (method, path) in &described {
        let operation = &document["paths"][path][method.to_ascii_lowercase()];
        let real = path.replace("{model}", "bolt").replace("{version}", "1");
        let body = if method == "POST" { bad_png(1) } else { Vec::new() };
        let found = server.send(method, &real, &[], &body);
        let response = operation["responses"].get(found.status.to_string());
        let response = resolve(&document, response.unwrap_or_else(|| panic!("{path}: {} is new", found.status)));
        let kind = found.header("content-type").unwrap().split(';').next().unwrap();
        assert!(object(&response["content"]).contains_key(kind), "{path}: {kind}");
        assert!([200, 501].contains(&found.status), "{path}: {}", found.status);
    }
}

#[test]
fn the_parameters_described_are_those_there_are() {
    let models = Models::new();
    let server = Server::start(&models);
    let document = server.get("/openapi.json").json();
    let (_, message) = server.post("/v1/models/bolt/detect?none=1", b"x").error();
    let known: BTreeSet<_> = message.rsplit_once("there are ").unwrap().1.split(", ").map(str::to_owned).collect();
    for path in ["/v1/models/{model}/detect", "/v1/models/{model}/versions/{version}/detect"] {
        let parameters = document["paths"][path]["post"]["parameters"].as_array().unwrap();
        let described = parameters.iter().map(|parameter| resolve(&document, parameter));
        let described: BTreeSet<_> = described
            .filter(|parameter| parameter["in"] == "query")
            .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(described, known);
    }
}

#[test]
fn an_answer_has_the_fields_described() {
    let models = Models::new();
    let server = Server::start(&models);
    let document = server.get("/openapi.json").json();
    let query = "epsilon=1e100&mask=png&score_map=png&log10_nfa_map=f16";
    let answer = server.post(&format!("/v1/models/nut/detect?{query}"), &bad_png(6)).json();
    let schemas = &document["components"]["schemas"];
    let same = |value: &Value, schema: &str| {
        let names = |value: &Value| object(value).keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(names(value), names(&schemas[schema]["properties"]), "{schema}");
    };
    same(&answer, "Detection");
    same(&answer["timings_ms"], "Timings");
    same(&answer["regions"][0], "Region");
    same(&answer["mask"], "PngMask");
    same(&answer["score_map"], "Map");
    assert!(server.get("/readyz").json().get("models").is_some());
    same(&server.get("/v2/models/nut").json(), "ModelMetadata");
    same(&server.post("/v1/models/none/detect", b"x").json(), "Error");
    same(&server.get("/v2/models/none").json(), "Error");
}

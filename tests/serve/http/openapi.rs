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

/// The schema itself where it is a reference, or one of a reference and null.
fn referred<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let choices = schema.get("oneOf").and_then(Value::as_array);
    match choices.and_then(|choices| choices.iter().find(|choice| choice.get("$ref").is_some())) {
        Some(reference) => resolve(document, reference),
        None => resolve(document, schema),
    }
}

/// Whether an object has the fields that a schema requires.
fn has_required(schema: &Value, value: &Value) -> bool {
    schema["required"].as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some())
}

/// Holds a value against a schema: its type, and for objects that their fields are those that are described.
fn check_value(document: &Value, value: &Value, schema: &Value, at: &str) {
    let schema = resolve(document, schema);
    if let Some(choices) = schema.get("oneOf").and_then(Value::as_array) {
        let fits = |choice: &&Value| {
            let choice = resolve(document, choice);
            match (value.get("format"), choice.pointer("/properties/format/enum/0")) {
                (Some(format), Some(name)) => format == name,
                _ if choice.get("required").is_some() && value.is_object() => has_required(choice, value),
                _ => value.is_null() == (choice["type"] == "null"),
            }
        };
        let choice = choices.iter().find(fits).unwrap_or_else(|| panic!("{at}: {value} is none of {choices:?}"));
        return check_value(document, value, choice, at);
    }
    let kinds: Vec<_> = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().map(|kind| kind.as_str().unwrap()).collect(),
        kind => vec![kind.as_str().unwrap_or_else(|| panic!("{at}: no type in {schema}"))],
    };
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() || !kinds.contains(&"integer") => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(kinds.contains(&found), "{at}: {value} is not {kinds:?}");
    if let Some(properties) = schema.get("properties") {
        for (name, value) in object(value) {
            let property = object(properties).get(name).unwrap_or_else(|| panic!("{at}.{name} is not described"));
            check_value(document, value, property, &format!("{at}.{name}"));
        }
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            assert!(value.get(name.as_str().unwrap()).is_some(), "{at}.{name} is missing");
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        check_value(document, item, &schema["items"], &format!("{at}[{index}]"));
    }
}

/// A schema of the part of JSON Schema that is used here.
fn check_schema(document: &Value, schema: &Value, at: &str) {
    if schema.get("$ref").is_some() {
        assert!(resolve(document, schema).is_object(), "{at}");
        return;
    }
    if let Some(kind) = schema.get("type") {
        let known = ["object", "array", "string", "number", "integer", "boolean", "null"];
        let kinds = kind.as_array().map_or_else(|| vec![kind], |kinds| kinds.iter().collect());
        assert!(kinds.iter().all(|kind| known.contains(&kind.as_str().unwrap())), "{at}: {kind}");
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
            assert!(["header", "query"].contains(&parameter["in"].as_str().unwrap()), "{parameter}");
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
    for name in object(&document["components"]["schemas"]).keys() {
        assert!(used.contains(&format!("#/components/schemas/{name}")), "nothing uses {name}");
    }
    for reference in used {
        assert!(resolve(&document, &serde_json::json!({ "$ref": reference })).is_object());
    }
}

/// `METHOD path` of every operation that is described.
fn described(document: &Value) -> BTreeSet<(String, String)> {
    let mut described = BTreeSet::new();
    for (path, item) in object(&document["paths"]) {
        described.extend(object(item).keys().map(|method| (method.to_ascii_uppercase(), path.clone())));
    }
    described
}

/// Sends what the route takes: an image, tensors, a region, or nothing.
fn ask(server: &Server, method: &str, path: &str) -> super::client::Response {
    let body = match path.rsplit('/').next().unwrap() {
        "detect" => bad_png(1),
        "infer" => br#"{"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 1, 1], "data": [1]}]}"#.to_vec(),
        "register" => br#"{"key": "/none", "byte_size": 1}"#.to_vec(),
        _ => Vec::new(),
    };
    server.send(method, path, &[], &body)
}

/// Holds an answer against what its operation describes, and gives the schema of its body if that is JSON.
fn check_answer(document: &Value, (method, path): (&str, &str), found: &super::client::Response) {
    let operation = &document["paths"][path][method.to_ascii_lowercase()];
    let response = operation["responses"].get(found.status.to_string());
    let response = resolve(document, response.unwrap_or_else(|| panic!("{path}: {} is new", found.status)));
    let kind = found.header("content-type").unwrap().split(';').next().unwrap();
    let content = object(&response["content"]).get(kind).unwrap_or_else(|| panic!("{path}: {kind} is new"));
    if kind == "application/json" && path != "/openapi.json" {
        check_value(document, &found.json(), &content["schema"], path);
    }
}

#[test]
fn every_route_answers_as_described() {
    let models = Models::new();
    let server = Server::start(&models);
    let document = server.get("/openapi.json").json();
    let described = described(&document);
    assert_eq!(described.len(), 34);
    let index = server.get("/");
    assert_eq!(index.header("content-type"), Some("text/plain; charset=utf-8"));
    let lines = index.text().lines().filter(|line| line.starts_with("GET ") || line.starts_with("POST "));
    let listed = lines.map(|line| {
        let mut words = line.split_ascii_whitespace().map(str::to_owned);
        (words.next().unwrap(), words.next().unwrap())
    });
    assert_eq!(listed.collect::<BTreeSet<_>>(), described);
    for (method, path) in &described {
        for (model, version) in [("bolt", "1"), ("none", "1"), ("bolt", "x")] {
            let real = path.replace("{model}", model).replace("{version}", version).replace("{region}", "r");
            let found = ask(&server, method, &real);
            check_answer(&document, (method, path), &found);
            // Not allowed here: shared memory, and loading models.
            let is_refused = path.contains("systemsharedmemory") || path.contains("/repository/models/");
            // The model knows no good images: there is no drift to clear.
            let is_unwatched = path.ends_with("/drift/clear");
            let expected = if is_refused {
                403
            } else if is_unwatched {
                400
            } else {
                200
            };
            assert!(model != "bolt" || version != "1" || found.status == expected, "{path}: {}", found.status);
        }
    }
}

#[test]
fn a_route_that_needs_a_token_says_so() {
    let models = Models::new();
    let tokens = "inference-0123456\n";
    let server = Server::with(&models, super::Setup { tokens, ..super::Setup::default() });
    let document = server.get("/openapi.json").json();
    for (method, path) in described(&document) {
        let found =
            ask(&server, &method, &path.replace("{model}", "bolt").replace("{version}", "1").replace("{region}", "r"));
        check_answer(&document, (&method, &path), &found);
        let operation = &document["paths"][&path][method.to_ascii_lowercase()];
        assert_eq!(operation.get("security").is_some(), found.status == 401, "{path}");
    }
}

#[test]
fn the_parameters_described_are_those_there_are() {
    let models = Models::new();
    let server = Server::start(&models);
    let document = server.get("/openapi.json").json();
    let (_, message) = server.post("/v1/models/bolt/detect?none=1", b"x").error();
    let known = message.rsplit_once("expected one of ").unwrap().1.split(", ");
    let known: BTreeSet<_> = known.map(|name| name.trim_matches('`').to_owned()).collect();
    assert_eq!(known.len(), 18);
    for path in ["/v1/models/{model}/detect", "/v1/models/{model}/versions/{version}/detect"] {
        let parameters = document["paths"][path]["post"]["parameters"].as_array().unwrap();
        let in_query = parameters.iter().filter(|parameter| parameter["in"] == "query");
        let described: BTreeSet<_> = in_query.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect();
        assert_eq!(described, known);
    }
    let parameters = document["paths"]["/v1/models/{model}/detect"]["post"]["parameters"].as_array().unwrap();
    let of = |name: &str| &parameters.iter().find(|parameter| parameter["name"] == name).unwrap()["schema"];
    assert!(of("verdict").to_string().contains(r#"["nfa","score","both","either","reject"]"#), "{}", of("verdict"));
    assert!(of("format").to_string().contains(r#""bgra8""#), "{}", of("format"));
}

#[test]
fn an_answer_has_the_fields_described() {
    let models = Models::new();
    let server = Server::start(&models);
    let document = server.get("/openapi.json").json();
    let schemas = &document["components"]["schemas"];
    for query in ["mask=png&score_map=png&log10_nfa_map=f16", "mask=rle&score_map=f32", ""] {
        let answer = server.post(&format!("/v1/models/nut/detect?epsilon=1e100&{query}"), &bad_png(6)).json();
        check_value(&document, &answer, &schemas["Detection"], "detection");
        assert!(!answer["regions"].as_array().unwrap().is_empty());
    }
    let several = b"--x\r\n\r\nno image\r\n--x--";
    let headers = [("Content-Type", "multipart/mixed; boundary=x")];
    let answer = server.send("POST", "/v1/models/nut/detect", &headers, several).json();
    check_value(&document, &answer, &schemas["Detections"], "detections");
    // Every field that is described is there when all is asked for.
    let all = server.post("/v1/models/nut/detect?epsilon=1e100&mask=png&score_map=png&log10_nfa_map=f16", &bad_png(6));
    let all = all.json();
    let names = |value: &Value| object(value).keys().cloned().collect::<BTreeSet<_>>();
    for (value, schema) in [
        (&all, "Detection"),
        (&all["timings_ms"], "Timings"),
        (&all["regions"][0], "Region"),
        (&all["score_map"], "Map"),
        (&server.get("/v2/models/nut").json(), "ModelMetadata"),
        (&server.post("/v1/models/none/detect", b"x").json(), "Error"),
    ] {
        assert_eq!(names(value), names(&referred(&document, &schemas[schema])["properties"]), "{schema}");
    }
}

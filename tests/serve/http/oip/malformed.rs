//! Requests that are wrong, in ways that are listed and in ways nobody thought of.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

const INFER: &str = "/v2/models/nut/infer";

/// A good input with some fields changed; null removes one.
fn input(changes: Value) -> Value {
    let mut input = json!({ "name": "image", "datatype": "UINT8", "shape": [1, 2, 3, 1], "data": [1, 2, 3, 4, 5, 6] });
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(input.as_object_mut().unwrap().remove(name)),
            value => input[name] = value.clone(),
        }
    }
    input
}

fn request(changes: Value) -> Value {
    json!({ "inputs": [input(changes)] })
}

fn cases() -> Vec<(Value, &'static str)> {
    let whole = |changes: Value| {
        let mut request = request(json!({}));
        request.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        request
    };
    vec![
        (json!({}), "missing field `inputs`"),
        (json!([]), "body: it is not an inference request in JSON"),
        (whole(json!({ "input": [] })), "unknown field `input`, expected one of `id`, `model_name`"),
        (whole(json!({ "id": 7 })), "invalid type: integer `7`, expected a string"),
        (whole(json!({ "model_name": "bolt" })), "model_name: the body says `bolt` and the path says `nut`"),
        (whole(json!({ "model_version": "9" })), "model_version: the body says `9`"),
        (json!({ "inputs": [] }), "inputs: no input is given"),
        (request(json!({ "name": "pixels" })), "inputs: there is no input `pixels`"),
        (request(json!({ "dtype": "UINT8" })), "unknown field `dtype`, expected one of `name`, `shape`, `datatype`"),
        (request(json!({ "shape": null })), "missing field `shape`"),
        (request(json!({ "shape": [1, 2, 3, 1.5] })), "invalid type: floating point `1.5`, expected i64"),
        (request(json!({ "shape": [1, 2, 3, 18_446_744_073_709_551_615_u64] })), "expected i64"),
        (request(json!({ "shape": [1, -2, 3, 1] })), "sizes are 1 to"),
        (
            request(json!({ "shape": [9, 2, 3, 1] })),
            "inputs: `image` has 6 bytes of pixels; UINT8 of the shape [9, 2, 3, 1] has 54",
        ),
        (request(json!({ "datatype": "FP32" })), "inputs: `image` has the datatype `FP32`; give one of"),
        (request(json!({ "datatype": "INT8" })), "inputs: `image` has the datatype `INT8`; give one of"),
        (request(json!({ "data": null })), "inputs: `image` has no elements: give `data`, or binary_data_size"),
        (request(json!({ "data": 7 })), "inputs: `data` of `image`: it is not a list"),
        (request(json!({ "data": "AAEC" })), "inputs: `data` of `image`: it is not a list"),
        (request(json!({ "data": [1, 2, 256, 4, 5, 6] })), "element 2 is 256, not a whole number of 0 to 255"),
        (request(json!({ "data": [1, 2, -1, 4, 5, 6] })), "element 2 is -1, not a whole number of 0 to 255"),
        (request(json!({ "data": [1.5, 2, 3, 4, 5, 6] })), "element 0 is 1.5, not a whole number"),
        (request(json!({ "data": [1e300, 2, 3, 4, 5, 6] })), "not a whole number of 0 to 255"),
        (request(json!({ "data": [true, 2, 3, 4, 5, 6] })), "element 0 is true, not a whole number"),
        (request(json!({ "data": [null, 2, 3, 4, 5, 6] })), "inputs: `data` of `image`: invalid type: null"),
        (request(json!({ "data": [{}, 2, 3, 4, 5, 6] })), "inputs: `data` of `image`: invalid type: map"),
        (
            request(json!({ "datatype": "UINT16", "data": [1, 2, 65536, 4, 5, 6] })),
            "element 2 is 65536, not a whole number of 0 to 65535",
        ),
        (
            request(json!({ "data": [[1, 2, 3], [4, 5, 6]] })),
            "a list of 3 at depth 1 does not fit the shape [1, 2, 3, 1]",
        ),
        (request(json!({ "data": [[[1, 2, 3]], 4] })), "does not fit the shape"),
        (request(json!({ "data": [1, [2], 3, 4, 5, 6] })), "a list of 1 at depth 1 does not fit the shape"),
        (request(json!({ "data": [] })), "inputs: `image` has 0 bytes of pixels"),
        (request(json!({ "parameters": { "binary_data_size": 6 } })), "inputs: `image` has its elements twice"),
        (
            request(json!({ "data": null, "parameters": { "binary_data_size": 6 } })),
            "binary data needs the header Inference-Header-Content-Length",
        ),
        (
            request(json!({ "parameters": { "binary_data_size": -1 } })),
            "binary_data_size of `image` is not an integer from 0",
        ),
        (request(json!({ "parameters": { "content_type": "base64" } })), "content_type of `image` is `base64`; only"),
        (
            request(json!({ "parameters": { "content_type": "np" } })),
            "content_type of `image` is `np`; only `base64` is known",
        ),
        (
            request(json!({ "parameters": { "gamma": 1 } })),
            "inputs: there is no parameter `gamma`; `image` has no parameters",
        ),
        (
            request(json!({ "parameters": { "gamma": [1] } })),
            "inputs: the parameter `gamma` is [1]; give true, false, a number or a text",
        ),
        (request(json!({ "parameters": { "shared_memory_region": "x" } })), "inputs: `image` has its elements twice"),
        (
            request(
                json!({ "data": null, "parameters": { "shared_memory_region": "x", "shared_memory_byte_size": 6 } }),
            ),
            "inputs: `image` is in shared memory: this server does not use shared memory",
        ),
        (
            request(json!({ "name": "encoded_image", "datatype": "BYTES", "shape": [1], "data": ["!"],
                "parameters": { "content_type": "base64" } })),
            "inputs: `data` of `encoded_image`: element 0 is not base64",
        ),
        (
            request(json!({ "name": "encoded_image", "datatype": "BYTES", "shape": [2], "data": ["x"] })),
            "inputs: `encoded_image` has 1 elements; the shape [2] has 2",
        ),
        (request(json!({ "datatype": "BYTES", "shape": [1], "data": [7] })), "element 0 is 7, not a text"),
        (request(json!({ "datatype": "BYTES", "shape": [1], "data": ["x"] })), "the encoded frame: cannot be decoded"),
        (json!({ "inputs": [input(json!({})), input(json!({}))] }), "inputs: `image` is given twice"),
        (
            json!({ "inputs": [input(json!({ "name": "roi" }))] }),
            "inputs: `roi` is UINT8 of the shape [1, 2, 3, 1]; give BYTES [1] with an image file, or UINT8 [height, width]",
        ),
        (
            json!({ "inputs": [input(json!({ "name": "roi", "shape": [2, 3] }))] }),
            "inputs: no image is given; give one of `image`",
        ),
        (
            json!({ "inputs": [input(json!({})), input(json!({ "name": "roi", "shape": [2, 2] }))] }),
            "inputs: `roi` has 6 bytes, which are not UINT8 of the shape [2, 2]",
        ),
        (
            json!({ "inputs": [input(json!({})), input(json!({ "name": "roi", "shape": [2, 3], "data": [0, 0, 0, 0, 0, 0] }))] }),
            "the mask leaves nothing to look at",
        ),
        (
            json!({ "inputs": [input(json!({})), input(json!({ "name": "roi", "datatype": "BYTES", "shape": [1], "data": [""] }))] }),
            "inputs: `roi` is empty; send an image file",
        ),
        (whole(json!({ "outputs": [{ "name": "heat" }] })), "outputs: there is no output `heat`; there are score,"),
        (
            whole(json!({ "outputs": [{ "name": "latents_2" }] })),
            "outputs: there is no output `latents_2`; the model has 2 scales",
        ),
        (
            whole(json!({ "outputs": [{ "name": "latents_00" }] })),
            "outputs: there is no output `latents_00`; there are score,",
        ),
        (
            whole(json!({ "outputs": [{ "name": "score" }, { "name": "score" }] })),
            "outputs: `score` is asked for twice",
        ),
        (whole(json!({ "outputs": [{ "name": "score", "datatype": "FP32" }] })), "unknown field `datatype`"),
        (
            whole(json!({ "outputs": [{ "name": "score", "parameters": { "binary_data": 1 } }] })),
            "outputs: binary_data is 1; give true or false",
        ),
        (
            whole(json!({ "outputs": [{ "name": "score", "parameters": { "classification": 3 } }] })),
            "outputs: there is no parameter `classification`",
        ),
        (whole(json!({ "parameters": { "Epsilon": 1 } })), "parameters: there is no parameter `Epsilon`"),
        (whole(json!({ "parameters": { "epsilon": {} } })), "parameters: the parameter `epsilon` is {}; give"),
        (whole(json!({ "parameters": { "epsilon": "much" } })), "epsilon: it is the text `much`"),
        (whole(json!({ "parameters": { "min_area": -1 } })), "min_area: it is the integer -1; give an integer from 0"),
        (
            whole(json!({ "parameters": { "timeout": 18_446_744_073_709_551_616_f64 } })),
            "timeout: it is the number 18446744073709552000; give an integer from 0",
        ),
        (
            whole(json!({ "parameters": { "binary_data_output": "yes" } })),
            "parameters: binary_data_output is `yes`; give true",
        ),
    ]
}

#[test]
fn what_is_wrong_with_a_request_is_said() {
    let models = Models::new();
    let server = Server::start(&models);
    let cases = cases();
    for (request, says) in &cases {
        let found = server.send("POST", INFER, &[], request.to_string().as_bytes());
        assert_error(&found, 400, "INVALID_ARGUMENT", says);
    }
    for body in [b"".as_slice(), b"{", b"\xff", &[b'['; 100_000], br#"{"inputs": [], "inputs": []}"#] {
        assert_error(
            &server.send("POST", INFER, &[], body),
            400,
            "INVALID_ARGUMENT",
            "body: it is not an inference request",
        );
    }
    assert_eq!(
        server.send("POST", INFER, &[], request(json!({})).to_string().as_bytes()).status,
        200,
        "the server goes on"
    );
}

#[test]
fn binary_data_must_be_as_long_as_it_is_said_to_be() {
    let models = Models::new();
    let server = Server::start(&models);
    let binary = |size: u64| request(json!({ "data": null, "parameters": { "binary_data_size": size } }));
    for (request, behind, says) in [
        (binary(6), 5, "inputs: `image` has 6 bytes of binary data, and 5 are left behind the JSON"),
        (binary(6), 7, "inputs: 1 bytes of binary data belong to no input; set binary_data_size"),
        (binary(5), 5, "inputs: `image` has 5 bytes of pixels"),
        (binary(0), 0, "inputs: `image` has 0 bytes of pixels"),
        (binary(u64::MAX), 6, "inputs: `image` has 18446744073709551615 bytes of binary data, and 6 are left"),
        (request(json!({})), 6, "inputs: 6 bytes of binary data belong to no input"),
    ] {
        assert_error(&send(&server, INFER, &request, &vec![1; behind]), 400, "INVALID_ARGUMENT", says);
    }
    let text = binary(6).to_string();
    let whole = [text.as_bytes(), &[1; 6]].concat();
    let head = |head: &str| server.send("POST", INFER, &[("Inference-Header-Content-Length", head)], &whole);
    assert_eq!(head(&text.len().to_string()).status, 200);
    for (length, says) in [
        ("100000", "Inference-Header-Content-Length: it is 100000, and the body has"),
        ("-1", "Inference-Header-Content-Length: `-1` is not accepted; give the bytes of the JSON"),
        ("+5", "Inference-Header-Content-Length: `+5` is not accepted"),
        ("99999999999999999999999", "is not accepted; give the bytes of the JSON"),
        ("", "is not accepted; give the bytes of the JSON"),
        ("5", "body: it is not an inference request in JSON"),
        ("0", "the encoded frame: cannot be decoded"),
    ] {
        assert_error(&head(length), 400, "INVALID_ARGUMENT", says);
    }
    let missing = server.send("POST", INFER, &[], &whole);
    assert_error(&missing, 400, "INVALID_ARGUMENT", "trailing characters");
    assert_error(
        &server.send("POST", "/v2/models/none/infer", &[], b"{}"),
        404,
        "NOT_FOUND",
        "there is no model `none`",
    );
}

#[test]
fn requests_that_are_wrong_are_counted_once() {
    let models = Models::new();
    let server = Server::start(&models);
    let wrong =
        [json!({ "inputs": [] }), json!({}), request(json!({ "datatype": "BYTES", "shape": [1], "data": ["x"] }))];
    for request in &wrong {
        assert_eq!(server.send("POST", INFER, &[], request.to_string().as_bytes()).status, 400);
    }
    let text = server.app.engine().metrics().text();
    for line in [
        "uflow_requests_total{code=\"INVALID_ARGUMENT\",model=\"\",protocol=\"oip\"} 2",
        "uflow_requests_total{code=\"INVALID_ARGUMENT\",model=\"nut\",protocol=\"oip\"} 1",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

struct Fixture {
    server: Server,
    _models: Models,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let models = Models::new();
    Fixture { server: Server::start(&models), _models: models }
});

/// Values that a field may have and should not.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e3..1e3).prop_map(Value::from),
        (0..300_u32).prop_map(Value::from),
        "[a-zA-Z0-9+/=_]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(("[a-z_]{1,10}", inner), 0..4).prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

/// Where a value goes.
fn place() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "/id",
        "/inputs",
        "/inputs/0",
        "/inputs/0/name",
        "/inputs/0/datatype",
        "/inputs/0/shape",
        "/inputs/0/shape/0",
        "/inputs/0/data",
        "/inputs/0/data/3",
        "/inputs/0/parameters",
        "/inputs/1/data",
        "/outputs",
        "/outputs/0/name",
        "/outputs/0/parameters",
        "/parameters",
        "/parameters/epsilon",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_is_sent_is_answered(
        changes in prop::collection::vec((place(), value()), 1..4),
        cut in prop::option::of((0..700_usize, any::<u8>())),
        head in prop::option::of(0..700_usize),
        tail in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut request = json!({
            "id": "1",
            "inputs": [input(json!({ "parameters": {} })), input(json!({ "name": "roi", "shape": [2, 3] }))],
            "outputs": [{ "name": "score", "parameters": {} }],
            "parameters": { "epsilon": 1 },
        });
        for (place, value) in changes {
            if let Some(found) = request.pointer_mut(place) {
                *found = value;
            }
        }
        let mut body = request.to_string().into_bytes();
        if let Some((at, byte)) = cut && at < body.len() {
            body[at] = byte;
        }
        body.extend_from_slice(&tail);
        let head = head.map(|head| head.to_string());
        let headers: Vec<_> = head.iter().map(|head| ("Inference-Header-Content-Length", head.as_str())).collect();
        let found = FIXTURE.server.send("POST", INFER, &headers, &body);
        prop_assert!([200, 400, 413, 504].contains(&found.status), "{} {}", found.status, String::from_utf8_lossy(&found.body));
        if found.status != 200 {
            prop_assert!(!found.error().1.is_empty());
        }
        prop_assert!(FIXTURE.server.app.engine().metrics().text().contains("\nuflow_panics_total 0\n"));
    }
}

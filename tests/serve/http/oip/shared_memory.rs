//! System shared memory: the numbers of the same tensors, and what a client must not be able to do.

use std::{
    fs::{self, File},
    net::SocketAddr,
    os::unix::fs::{FileExt as _, symlink},
    path::{Path, PathBuf},
};

use axum::extract::ConnectInfo;
use tonic::{Code, Request};
use uflow::{
    frame::PixelFormat,
    serve::{
        proto::inference::{
            InferParameter, ModelInferRequest, SystemSharedMemoryRegisterRequest, SystemSharedMemoryStatusRequest,
            SystemSharedMemoryUnregisterRequest,
            grpc_inference_service_server::GrpcInferenceService as _,
            infer_parameter::ParameterChoice,
            model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
        },
        shared_memory::{Access, SharedMemory},
    },
};

use super::*;

const INFER: &str = "/v2/models/nut/infer";

/// An object under `/dev/shm`, removed at the end.
struct Object {
    key: String,
    path: PathBuf,
    file: File,
}

impl Object {
    fn new(name: &str, size: u64) -> Self {
        let name = format!("uflow-test-{}-{name}", std::process::id());
        let path = Path::new("/dev/shm").join(&name);
        let _ = fs::remove_file(&path);
        let file = File::options().create_new(true).read(true).write(true).open(&path).unwrap();
        file.set_len(size).unwrap();
        Self { key: format!("/{name}"), path, file }
    }

    fn write(&self, offset: u64, bytes: &[u8]) {
        self.file.write_all_at(bytes, offset).unwrap();
    }

    fn read(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset).unwrap();
        bytes
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn sharing(models: &Models) -> Server {
    Server::with(models, Setup { shared_memory: Access::Loopback, ..Setup::default() })
}

fn register(server: &Server, name: &str, key: &str, offset: u64, byte_size: u64) -> Response {
    let body = json!({ "key": key, "offset": offset, "byte_size": byte_size }).to_string();
    server.send("POST", &format!("/v2/systemsharedmemory/region/{name}/register"), &[], body.as_bytes())
}

fn unregister(server: &Server, name: &str) {
    let path = format!("/v2/systemsharedmemory/region/{name}/unregister");
    assert_eq!(server.send("POST", &path, &[], b"").json(), json!({}));
}

fn place(region: &str, offset: u64, byte_size: u64) -> Value {
    json!({ "shared_memory_region": region, "shared_memory_offset": offset, "shared_memory_byte_size": byte_size })
}

fn image(parameters: Value) -> Value {
    json!({ "name": "image", "datatype": "UINT8", "shape": [43, 61, 3], "parameters": parameters })
}

fn infer(server: &Server, inputs: Value, outputs: Value) -> Response {
    let request = json!({ "parameters": { "epsilon": 1e100 }, "inputs": inputs, "outputs": outputs });
    server.send("POST", INFER, &[], request.to_string().as_bytes())
}

#[test]
fn a_frame_in_shared_memory_has_the_same_numbers_and_outputs_go_there() {
    let models = Models::new();
    let server = sharing(&models);
    assert!(server.get("/v2").json()["extensions"].as_array().unwrap().contains(&json!("system_shared_memory")));
    let pixels = models::bad(5, 61, 43, PixelFormat::Rgb8);
    let size = pixels.len() as u64;
    let object = Object::new("frames", 4096 + size + 20_000);
    object.write(4096 + 7, &pixels);
    assert_eq!(register(&server, "camera", &object.key, 4096, size + 20_000).json(), json!({}));
    let wanted = json!([{ "name": "score" }, { "name": "regions" }, { "name": "mask" }]);
    let request = json!({ "parameters": { "epsilon": 1e100 }, "inputs": [image(json!({ "binary_data_size": size }))], "outputs": wanted });
    let expected = raw_outputs(&send(&server, INFER, &request, &pixels));
    let found = infer(&server, json!([image(place("camera", 7, size))]), wanted);
    assert_eq!(raw_outputs(&found), expected);

    // Into it: the mask and a score, beside one output in the answer.
    let (mask, at) = (61 * 43, size + 100);
    let outputs = json!([
        { "name": "mask", "parameters": place("camera", at, mask) },
        { "name": "score", "parameters": place("camera", at + mask, 8) },
        { "name": "regions" },
    ]);
    let found = infer(&server, json!([image(place("camera", 7, size))]), outputs).json();
    let written = |index: usize| &found["outputs"][index];
    assert_eq!(written(0)["parameters"], place("camera", at, mask), "{found}");
    assert_eq!(written(1)["parameters"]["shared_memory_byte_size"], 4, "what was written, not what there was room for");
    assert!(written(0).get("data").is_none() && written(1).get("data").is_none());
    assert_eq!(object.read(4096 + at, mask as usize), expected["mask"]);
    assert_eq!(object.read(4096 + at + mask, 4), expected["score"]);
    assert_eq!(raw_of(written(2)), expected["regions"]);

    // A file, and a region of interest beside a frame in shared memory.
    let file = bad_png(3);
    let prefixed = [(file.len() as u32).to_le_bytes().as_slice(), &file].concat();
    object.write(4096, &prefixed);
    let encoded = json!({ "name": "encoded_image", "datatype": "BYTES", "shape": [1], "parameters": place("camera", 0, prefixed.len() as u64) });
    let roi = json!({ "name": "roi", "datatype": "UINT8", "shape": [1, 2], "data": [0, 1] });
    for inputs in [json!([encoded, roi]), json!([roi, encoded])] {
        assert_eq!(infer(&server, inputs, json!([{ "name": "score" }])).status, 200);
    }
    unregister(&server, "camera");
    assert_error(&infer(&server, json!([image(place("camera", 7, size))]), json!([])), 404, "NOT_FOUND", "no shared memory region `camera`");
}

#[test]
fn the_regions_are_those_of_both_protocols() {
    let models = Models::new();
    let server = sharing(&models);
    let object = Object::new("both", 1000);
    let status = |path: &str| server.get(&format!("/v2/systemsharedmemory{path}/status"));
    assert_eq!(status("").json(), json!([]));
    assert_error(&status("/region/a"), 404, "NOT_FOUND", "there is no shared memory region `a`; register it first");
    assert_eq!(register(&server, "a", &object.key, 10, 90).status, 200);
    let b = SystemSharedMemoryRegisterRequest { name: "b".to_owned(), key: object.key.clone(), offset: 0, byte_size: 1000 };
    server._runtime.block_on(server.oip.system_shared_memory_register(local_request(b.clone()))).unwrap();
    let again = server._runtime.block_on(server.oip.system_shared_memory_register(local_request(b))).unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);
    let a = json!({ "name": "a", "key": object.key, "offset": 10, "byte_size": 90 });
    assert_eq!(status("").json(), json!([a, { "name": "b", "key": object.key, "offset": 0, "byte_size": 1000 }]));
    assert_eq!(status("/region/a").json(), json!([a]));
    let all = local_request(SystemSharedMemoryStatusRequest::default());
    let all = server._runtime.block_on(server.oip.system_shared_memory_status(all)).unwrap().into_inner().regions;
    assert_eq!(all["b"].byte_size, 1000);
    // Names that are not there are left alone, as Triton does.
    unregister(&server, "none");
    let one = local_request(SystemSharedMemoryUnregisterRequest { name: "a".to_owned() });
    server._runtime.block_on(server.oip.system_shared_memory_unregister(one)).unwrap();
    assert_eq!(status("").json().as_array().unwrap().len(), 1);
    assert_eq!(server.send("POST", "/v2/systemsharedmemory/unregister", &[], b"").json(), json!({}));
    assert_eq!(status("").json(), json!([]));
}

/// A gRPC call from an address.
fn call_from<T>(message: T, address: &str) -> Request<T> {
    let mut request = Request::new(message);
    let address: SocketAddr = address.parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(address));
    request
}

/// A gRPC call from this host.
fn local_request<T>(message: T) -> Request<T> {
    call_from(message, "127.0.0.1:9")
}

#[test]
fn what_is_no_object_is_refused() {
    let models = Models::new();
    let server = sharing(&models);
    let object = Object::new("refused", 1000);
    let name = object.key.trim_start_matches('/').to_owned();
    let beside = |name: &str| Path::new("/dev/shm").join(format!("uflow-test-{}-{name}", std::process::id()));
    let (link, folder, pipe) = (beside("link"), beside("folder"), beside("pipe"));
    symlink("/etc/passwd", &link).unwrap();
    fs::create_dir(&folder).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let key = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let kind = "is not a shared memory object but a link, a folder or a device";
    let not_a_name = "is not the name of a shared memory object";
    let cases = [
        (key(&link), 0, 10, kind),
        (key(&folder), 0, 10, kind),
        (key(&pipe), 0, 10, kind),
        (String::new(), 0, 10, not_a_name),
        ("/".to_owned(), 0, 10, not_a_name),
        (".".to_owned(), 0, 10, not_a_name),
        ("/..".to_owned(), 0, 10, not_a_name),
        ("../../etc/passwd".to_owned(), 0, 10, not_a_name),
        ("/etc/passwd".to_owned(), 0, 10, not_a_name),
        (format!("//{name}"), 0, 10, not_a_name),
        (format!("{}/x", key(&folder)), 0, 10, not_a_name),
        (format!("{name}\0"), 0, 10, not_a_name),
        ("x".repeat(256), 0, 10, not_a_name),
        (format!("{name}-none"), 0, 10, "cannot be opened: No such file"),
        (name.clone(), 0, 0, "0 bytes from offset 0 are not a region"),
        (name.clone(), 0, 1001, "has 1000 bytes; 1001 bytes from offset 0 need 1001. Set its size"),
        (name.clone(), 1, 1000, "1000 bytes from offset 1 need 1001"),
        (name.clone(), 1001, 1, "1 bytes from offset 1001 need 1002"),
        (name.clone(), u64::MAX, 1, "are not a region"),
        (name.clone(), 1, u64::MAX, "are not a region"),
        (name.clone(), 1 << 63, 1, "are not a region"),
    ];
    for (key, offset, byte_size, says) in cases {
        assert_error(&register(&server, "r", &key, offset, byte_size), 400, "INVALID_ARGUMENT", says);
    }
    let long = "x".repeat(256);
    assert_error(&register(&server, &long, &name, 0, 1), 400, "INVALID_ARGUMENT", "a region has a name of 1 to 255 bytes");
    for body in ["", "{}", r#"{"key": "x"}"#, r#"{"key": "x", "byte_size": -1}"#, r#"{"key": "x", "byte_size": 1, "mode": 1}"#] {
        let found = server.send("POST", "/v2/systemsharedmemory/region/r/register", &[], body.as_bytes());
        assert_error(&found, 400, "INVALID_ARGUMENT", "body: it is not the JSON that this path takes");
    }
    assert_eq!(server.get("/v2/systemsharedmemory/status").json(), json!([]), "nothing was registered");
    assert_eq!(register(&server, "r", &name, 0, 1000).status, 200, "without the slash too");
    assert_error(&register(&server, "r", &name, 0, 1), 409, "ALREADY_EXISTS", "the region `r` is registered already");
    fs::remove_file(&link).unwrap();
    fs::remove_file(&pipe).unwrap();
    fs::remove_dir(&folder).unwrap();
}

#[test]
fn a_part_outside_its_region_is_refused() {
    let models = Models::new();
    let server = sharing(&models);
    let object = Object::new("outside", 20_000);
    assert_eq!(register(&server, "r", &object.key, 0, 10_000).status, 200);
    let size = 61 * 43 * 3;
    let byte_size = "shared_memory_byte_size: ";
    for (parameters, status, says) in [
        (place("r", 10_000 - size + 1, size), 400, "are not a part of the region `r`, which has 10000 bytes"),
        (place("r", 0, 10_001), 400, "10001 bytes from offset 0 are not a part of the region"),
        (place("r", u64::MAX, 2), 400, byte_size),
        (place("r", 2, u64::MAX), 400, byte_size),
        (place("r", 0, 0), 400, "0 bytes from offset 0"),
        (place("r", 0, size - 1), 400, "inputs: `image` has 7868 bytes of pixels"),
        (place("s", 0, size), 404, "there is no shared memory region `s`"),
        (place("../r", 0, size), 404, "there is no shared memory region `../r`"),
        (json!({ "shared_memory_region": "r" }), 400, "`image` needs shared_memory_byte_size beside shared_memory_region"),
        (json!({ "shared_memory_region": 7, "shared_memory_byte_size": size }), 400, "`image` needs shared_memory_region, as string_param"),
        (json!({ "shared_memory_region": "r", "shared_memory_byte_size": "9" }), 400, "shared_memory_byte_size of `image` is not an integer from 0"),
        (json!({ "shared_memory_region": "r", "shared_memory_byte_size": size, "shared_memory_offset": -1 }), 400, "shared_memory_offset of `image` is not an integer from 0"),
    ] {
        let found = infer(&server, json!([image(parameters)]), json!([]));
        assert_error(&found, status, if status == 404 { "NOT_FOUND" } else { "INVALID_ARGUMENT" }, says);
    }
    let without = json!({ "shared_memory_byte_size": size });
    let found = infer(&server, json!([image(without.clone())]), json!([]));
    assert_error(&found, 400, "INVALID_ARGUMENT", "`image` has no elements");
    // An output that has too little room leaves the memory as it was.
    let outputs = json!([
        { "name": "score", "parameters": place("r", 9000, 4) },
        { "name": "mask", "parameters": place("r", 0, 61 * 43 - 1) },
    ]);
    object.write(9000, &[7; 4]);
    let found = infer(&server, json!([image(place("r", 0, size))]), outputs);
    assert_error(&found, 400, "INVALID_ARGUMENT", "`mask` has 2623 bytes, and 2622 are set aside for it in shared memory");
    assert_eq!(object.read(9000, 4), [7; 4]);
}

#[test]
fn an_object_that_changes_behind_its_region_is_an_error() {
    let models = Models::new();
    let server = sharing(&models);
    let size = 61 * 43 * 3;
    let object = Object::new("changes", size);
    let inputs = || json!([image(place("r", 0, size))]);
    assert_eq!(register(&server, "r", &object.key, 0, size).status, 200);
    assert_eq!(infer(&server, inputs(), json!([])).status, 200);
    // Truncated: neither read nor written, and it does not grow.
    object.file.set_len(size - 1).unwrap();
    assert_error(&infer(&server, inputs(), json!([])), 400, "INVALID_ARGUMENT", "`r` was truncated: its object has 7868 bytes");
    let pixels = json!([{ "name": "image", "datatype": "UINT8", "shape": [1, 1, 1], "data": [1] }]);
    let into = json!([{ "name": "score", "parameters": place("r", size - 4, 4) }]);
    assert_error(&infer(&server, pixels.clone(), into.clone()), 400, "INVALID_ARGUMENT", "`r` was truncated");
    assert_eq!(object.file.metadata().unwrap().len(), size - 1);
    object.file.set_len(size).unwrap();
    assert_eq!(infer(&server, inputs(), into.clone()).status, 200, "as large as before, it is in order again");
    // Removed by name, it is still the object that was registered.
    fs::remove_file(&object.path).unwrap();
    assert_eq!(infer(&server, inputs(), json!([])).status, 200);
    // Replaced, the name is that of another object.
    let other = Object::new("changes", size);
    assert_error(&infer(&server, inputs(), json!([])), 400, "INVALID_ARGUMENT", "`r` is of an object that was replaced");
    fs::remove_file(&other.path).unwrap();
    symlink("/etc/passwd", &other.path).unwrap();
    assert_error(&infer(&server, inputs(), json!([])), 400, "INVALID_ARGUMENT", "`r` is of an object that was replaced");
    unregister(&server, "r");
    assert_eq!(register(&server, "r", &other.key, 0, size).status, 400, "a link is not followed");
}

#[test]
fn nothing_is_written_to_a_region_after_it_was_unregistered() {
    let shared = SharedMemory::new(Access::Anywhere);
    let object = Object::new("gone", 100);
    shared.register("r", &object.key, 10, 50).unwrap();
    let window = shared.window("r", 5, 4).unwrap();
    window.write("x", &[1, 2, 3, 4]).unwrap();
    assert_eq!(object.read(14, 6), [0, 1, 2, 3, 4, 0]);
    assert_eq!(window.read(4).unwrap(), [1, 2, 3, 4].as_slice());
    let limit = window.read(3).unwrap_err().to_string();
    assert_eq!(limit, "size of the tensor in shared memory is over the limit: 4 > 3 bytes");
    shared.unregister("");
    for error in [window.write("x", &[9; 4]).unwrap_err(), window.read(4).unwrap_err()] {
        assert!(error.to_string().contains("`r` was unregistered while a request used it"), "{error}");
    }
    assert_eq!(object.read(14, 6), [0, 1, 2, 3, 4, 0]);
    // The name can be used again, and the old part stays closed.
    shared.register("r", &object.key, 0, 100).unwrap();
    assert!(window.read(4).is_err() && shared.window("r", 0, 100).is_ok());
}

#[test]
fn there_are_so_many_regions_and_no_more() {
    let shared = SharedMemory::new(Access::Anywhere);
    let object = Object::new("many", 100);
    let mut count = 0;
    let refused = loop {
        match shared.register(&count.to_string(), &object.key, 0, 1) {
            Ok(()) => count += 1,
            Err(status) => break status,
        }
    };
    assert_eq!((refused.code(), count), (Code::ResourceExhausted, 256));
    shared.unregister("7");
    shared.register("again", &object.key, 0, 1).unwrap();
}

/// A request over gRPC with an input and an output in shared memory, from an address.
fn from(address: &str) -> Request<ModelInferRequest> {
    let parameter = |choice| InferParameter { parameter_choice: Some(choice) };
    let parameters = |offset: i64, size: i64| {
        [
            ("shared_memory_region".to_owned(), parameter(ParameterChoice::StringParam("r".to_owned()))),
            ("shared_memory_offset".to_owned(), parameter(ParameterChoice::Int64Param(offset))),
            ("shared_memory_byte_size".to_owned(), parameter(ParameterChoice::Int64Param(size))),
        ]
    };
    let input = InferInputTensor {
        name: "image".to_owned(),
        datatype: "UINT8".to_owned(),
        shape: vec![1, 2, 3, 1],
        parameters: parameters(0, 6).into(),
        ..Default::default()
    };
    let output = InferRequestedOutputTensor { name: "score".to_owned(), parameters: parameters(8, 4).into() };
    let message = ModelInferRequest {
        model_name: "nut".to_owned(),
        inputs: vec![input],
        outputs: vec![output],
        ..Default::default()
    };
    call_from(message, address)
}

#[test]
fn only_those_may_share_whom_the_operator_allows() {
    let models = Models::new();
    let object = Object::new("allowed", 100);
    for (access, address, is_allowed) in [
        (Access::Off, "127.0.0.1:9", false),
        (Access::Loopback, "127.0.0.1:9", true),
        (Access::Loopback, "[::1]:9", true),
        (Access::Loopback, "[::ffff:127.0.0.1]:9", true),
        (Access::Loopback, "192.0.2.7:9", false),
        (Access::Loopback, "[::ffff:192.0.2.7]:9", false),
        (Access::Anywhere, "192.0.2.7:9", true),
    ] {
        let server = Server::with(&models, Setup { shared_memory: access, ..Setup::default() });
        let (name, key) = ("r".to_owned(), object.key.clone());
        let region = SystemSharedMemoryRegisterRequest { name, key, offset: 0, byte_size: 100 };
        let register = server.oip.system_shared_memory_register(call_from(region, address));
        let registered = server._runtime.block_on(register);
        let answered = server._runtime.block_on(server.oip.model_infer(from(address)));
        if is_allowed {
            registered.unwrap();
            let answer = answered.unwrap().into_inner();
            assert_eq!((answer.raw_output_contents.len(), answer.raw_output_contents[0].len()), (1, 0), "the places stay in order");
            let score = f32::from_le_bytes(object.read(8, 4).try_into().unwrap());
            assert!(score.is_finite() && score != 0.0, "{score}");
            object.write(8, &[0; 4]);
        } else {
            let status = registered.unwrap_err();
            assert_eq!(status.code(), Code::PermissionDenied, "{status}");
            let status = answered.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{status}");
            assert!(status.message().contains("is in shared memory: "), "{status}");
        }
    }
}

#[test]
fn tokens_decide_who_may_register() {
    let models = Models::new();
    let tokens = "inference-0123456 inference\ncontrol-012345678 control\n";
    let server = Server::with(&models, Setup { tokens, shared_memory: Access::Anywhere, ..Setup::default() });
    let object = Object::new("tokens", 100);
    let body = json!({ "key": object.key, "byte_size": 100 }).to_string();
    let send = |method: &str, path: &str, token: &str| {
        let bearer = format!("Bearer {token}");
        server.send(method, &format!("/v2/systemsharedmemory{path}"), &[("Authorization", &bearer)], body.as_bytes())
    };
    let refused = send("POST", "/region/r/register", "inference-0123456");
    assert_error(&refused, 403, "PERMISSION_DENIED", "the token is not good for control");
    assert_eq!(send("POST", "/region/r/register", "control-012345678").status, 200);
    assert_eq!(send("GET", "/region/r/status", "inference-0123456").json()[0]["byte_size"], 100);
    assert_eq!(send("POST", "/region/r/unregister", "inference-0123456").status, 403);
    assert_eq!(send("POST", "/unregister", "inference-0123456").status, 403);
}

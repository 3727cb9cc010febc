//! System shared memory: the numbers of the same tensors, and the regions of both protocols.

mod access;
mod attacks;

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
    assert_eq!(written(0), &json!({ "name": "mask", "datatype": "UINT8", "shape": [1, 43, 61] }), "{found}");
    assert_eq!(written(1), &json!({ "name": "score", "datatype": "FP32", "shape": [1] }));
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
    assert_error(
        &infer(&server, json!([image(place("camera", 7, size))]), json!([])),
        404,
        "NOT_FOUND",
        "no shared memory region `camera`",
    );
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
    let b =
        SystemSharedMemoryRegisterRequest { name: "b".to_owned(), key: object.key.clone(), offset: 0, byte_size: 1000 };
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

//! Who may use shared memory.

use super::*;

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
            assert_eq!(
                (answer.raw_output_contents.len(), answer.raw_output_contents[0].len()),
                (1, 0),
                "the places stay in order"
            );
            assert_eq!(
                answer.outputs[0].parameters["shared_memory_byte_size"].parameter_choice,
                Some(ParameterChoice::Int64Param(4)),
                "what was written"
            );
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

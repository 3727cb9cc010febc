//! Networks that name files outside the package.

use super::{Fixture, manifest, network};
use prost::Message;
use std::fs;
use uflow::onnx;
use uflow::onnx::{GraphProto, ModelProto, StringStringEntryProto, TensorProto};
use uflow::package::{FileSource, Files, write, write_repository_backbone};

/// A tensor whose values lie in `location`.
fn external_tensor(location: &str) -> TensorProto {
    let entry = |key: &str, value: &str| StringStringEntryProto { key: key.to_owned(), value: value.to_owned() };
    TensorProto {
        name: "weights".to_owned(),
        external_data: vec![entry("offset", "0"), entry("location", location)],
        data_location: 1,
        ..Default::default()
    }
}

/// A protobuf field that holds a message.
fn field(number: u32, message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(u64::from(number << 3 | 2), &mut bytes);
    prost::encoding::encode_varint(message.len() as u64, &mut bytes);
    bytes.extend(message);
    bytes
}

/// ONNX models with an external tensor, in every place where one can be.
fn external_models(location: &str) -> Vec<Vec<u8>> {
    let tensor = external_tensor(location);
    let graph = |graph: GraphProto| ModelProto { graph: Some(graph), ..Default::default() }.encode_to_vec();
    let attribute = |attribute: onnx::AttributeProto| {
        let node = onnx::NodeProto { attribute: vec![attribute], ..Default::default() };
        GraphProto { node: vec![node], ..Default::default() }
    };
    let initializer = GraphProto { initializer: vec![tensor.clone()], ..Default::default() };
    let mut without_flag = tensor.clone();
    without_flag.data_location = 0;
    let bytes = tensor.encode_to_vec();
    let sparse = field(1, &bytes);
    let empty = graph(GraphProto::default());
    let and = |extra: Vec<u8>| [empty.clone(), extra].concat();
    vec![
        graph(initializer.clone()),
        graph(GraphProto { initializer: vec![without_flag], ..Default::default() }),
        graph(attribute(onnx::AttributeProto { t: Some(tensor.clone()), ..Default::default() })),
        graph(attribute(onnx::AttributeProto { tensors: vec![tensor], ..Default::default() })),
        graph(attribute(onnx::AttributeProto { g: Some(initializer.clone()), ..Default::default() })),
        graph(attribute(onnx::AttributeProto { graphs: vec![initializer], ..Default::default() })),
        and(field(7, &field(15, &sparse))),
        and(field(7, &field(15, &field(2, &bytes)))),
        and(field(7, &field(1, &field(5, &field(22, &sparse))))),
        and(field(7, &field(1, &field(5, &field(23, &sparse))))),
        and(field(20, &field(1, &field(5, &bytes)))),
        and(field(20, &field(2, &field(5, &bytes)))),
        and(field(25, &field(7, &field(5, &field(5, &bytes))))),
        and(field(25, &field(11, &field(5, &bytes)))),
    ]
}

#[test]
fn external_data_are_refused_wherever_they_are_named() {
    let (fixture, path) = Fixture::written("model");
    for location in ["../../etc/weights.bin", "/etc/weights.bin", "beside.bin", "*/_ORT_MEM_ADDR_/*"] {
        for (place, model) in external_models(location).into_iter().enumerate() {
            for (flow, backbone, name) in
                [(&model, &network("b"), "flow.onnx"), (&network("f"), &model, "backbone.onnx")]
            {
                let mut changed = manifest(flow, backbone);
                changed.detection.roi = None;
                fs::write(path.join("uflow.json"), changed.to_json().unwrap()).unwrap();
                fs::write(path.join("flow.onnx"), flow).unwrap();
                fs::write(path.join("backbone.onnx"), backbone).unwrap();
                let expected = format!(
                    "{name}: keeps weights in another file, `{location}`; a network in a package must hold its own \
                     (save it without external data)"
                );
                assert_eq!(fixture.refusal(&path), expected, "place {place}");
                let files = Files { flow, backbone: Some(FileSource::Bytes(backbone)), roi: None, golden: &[] };
                let error = write(fixture.path("new"), &changed, &files).unwrap_err();
                assert!(error.to_string().ends_with(&expected), "{error}");
            }
        }
    }
    let error = write_repository_backbone(fixture.path("models"), &external_models("x.bin")[0]).unwrap_err();
    assert!(error.to_string().contains("keeps weights in another file, `x.bin`"), "{error}");
    assert_eq!(fixture.names(), ["model"]);
}

#[test]
fn deeply_nested_graphs_end_in_an_error() {
    let mut graph = field(5, b"");
    for _ in 0..2000 {
        graph = field(1, &field(5, &field(6, &graph)));
    }
    let fixture = Fixture::new();
    let error = write_repository_backbone(fixture.path("models"), &field(7, &graph)).unwrap_err();
    assert!(error.to_string().contains("messages nest deeper than 100 at byte "), "{error}");
}

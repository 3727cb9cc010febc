//! Parts of a backbone: `fit --strides`.

use ndarray::Array4;
use uflow::{
    backbone::{BackboneFile, BackboneMeta, Conversion, Known, NetworkSource},
    onnx::{Dim, GraphBuilder, ModelProto, TensorProto},
    runtime::{Backbone, Runtime, SessionOptions},
    train::fit::BackboneChoice,
};

use prost::Message as _;

use crate::networks::{META, TinyBackbone, difference, images, models};

fn tiny() -> (tempfile::TempDir, BackboneFile) {
    let folder = tempfile::tempdir().unwrap();
    let file = BackboneFile::File(models::backbone(folder.path(), 1));
    (folder, file)
}

fn features(source: NetworkSource<'_>, images: &Array4<f32>) -> (BackboneMeta, Vec<Array4<f32>>) {
    let backbone = Backbone::load(&Runtime::load(None).unwrap(), source, &SessionOptions::default()).unwrap();
    (backbone.meta().clone(), backbone.features(images.view()).unwrap())
}

fn graph(bytes: &[u8]) -> (usize, usize, usize) {
    let graph = ModelProto::decode(bytes).unwrap().graph.unwrap();
    (graph.node.len(), graph.initializer.len(), graph.output.len())
}

#[test]
fn a_part_has_the_same_maps_and_nothing_that_only_others_need() {
    let (_folder, file) = tiny();
    let images = images(5, 2, 20, 28);
    let (whole, maps) = features(file.source(), &images);
    // The coarse map is computed from the fine one; the fine one needs nothing of the coarse.
    for (strides, scale, size) in [([2], 0, (1, 2, 1)), ([4], 1, (3, 4, 1))] {
        let part = file.clone().with_strides(&strides).unwrap();
        let (meta, found) = features(part.source(), &images);
        let outputs = vec![whole.outputs[scale].clone()];
        assert_eq!(meta, BackboneMeta { outputs, strides: strides.to_vec(), ..whole.clone() });
        assert_eq!(found.len(), 1);
        assert!(difference(found[0].view(), maps[scale].view()) < 1e-6);
        let BackboneFile::Part(bytes) = &part else { panic!("{part:?}") };
        assert_eq!(graph(bytes), size);
        assert_eq!(file.clone().with_strides(&strides).unwrap(), part, "the same choice gives the same bytes");
    }
    assert_eq!(file.clone().with_strides(&[2, 4]).unwrap(), file, "all strides are the backbone itself");
}

#[test]
fn strides_that_are_not_there_are_refused() {
    let (_folder, file) = tiny();
    for strides in [&[3][..], &[4, 2], &[2, 2], &[2, 4, 8], &[]] {
        let message = file.clone().with_strides(strides).unwrap_err().to_string();
        assert!(message.contains("--strides") && message.contains("`tiny`, finest first: 2, 4"), "{message}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("external.onnx");
    let mut model = TinyBackbone::new(1).model(META, Dim::Named("h"), Dim::Named("w"));
    let entry = |key: &str, value: &str| uflow::onnx::StringStringEntryProto { key: key.into(), value: value.into() };
    let external = TensorProto {
        name: "more".into(),
        external_data: vec![entry("location", "weights.bin")],
        data_location: 1,
        ..Default::default()
    };
    model.graph.as_mut().unwrap().initializer.push(external);
    std::fs::write(&path, model.encode_to_vec()).unwrap();
    std::fs::write(folder.path().join("weights.bin"), b"").unwrap();
    let message = BackboneFile::File(path).with_strides(&[2]).unwrap_err().to_string();
    assert!(message.contains("weights in another file, `weights.bin`"), "{message}");
}

/// What is kept stays byte for byte, fields that this crate does not know included.
#[test]
fn unknown_fields_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("unknown.onnx");
    let mut graph = GraphBuilder::new("g");
    graph.input("image", &[Dim::Named("batch"), Dim::Fixed(3), Dim::Named("h"), Dim::Named("w")]);
    for output in ["fine", "coarse"] {
        graph.node("Identity", &["image"], output, vec![]);
        graph.output(output, &[Dim::Named("batch"), Dim::Fixed(3), Dim::Named("h"), Dim::Named("w")]);
    }
    // Field 100 of the model: the text `kept`.
    let unknown = b"\xa2\x06\x04kept";
    let mut bytes = graph.finish(&[("uflow.backbone", META), ("other", "value")]).encode_to_vec();
    bytes.extend(unknown);
    std::fs::write(&path, bytes).unwrap();
    let BackboneFile::Part(bytes) = BackboneFile::File(path).with_strides(&[2]).unwrap() else { panic!("no part") };
    assert!(bytes.ends_with(unknown));
    let model = ModelProto::decode(bytes).unwrap();
    assert!(model.metadata_props.iter().any(|entry| entry.key == "other" && entry.value == "value"));
    assert_eq!(model.graph.unwrap().node.len(), 1);
}

#[test]
fn a_part_of_a_converted_network_gives_the_maps_of_a_network_converted_in_part() {
    let Some(wheel) = super::wheel("efficientnet-lite0") else { return };
    let known = Known::named("efficientnet-lite0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whole.onnx");
    std::fs::write(&path, known.convert(&wheel, &Conversion::default()).unwrap()).unwrap();
    let part = BackboneChoice::File(path).find().unwrap().with_strides(&[8, 16]).unwrap();
    let converted = known.convert(&wheel, &Conversion { strides: vec![8, 16], input_size: None }).unwrap();
    let BackboneFile::Part(bytes) = &part else { panic!("no part") };
    assert_eq!(graph(bytes), graph(&converted));
    let images = images(9, 1, 64, 64);
    let (_, part) = features(part.source(), &images);
    let (_, converted) = features(NetworkSource::Bytes(&converted), &images);
    assert_eq!(part.len(), 2);
    for (part, converted) in part.iter().zip(&converted) {
        assert!(difference(part.view(), converted.view()) < 1e-5);
    }
}

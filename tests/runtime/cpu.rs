//! Backbones and flows on ONNX Runtime's CPU kernels: right values, same bits, and every way to be wrong said.

use std::{fs, path::Path, sync::Arc};

use crate::networks::{self, META, TinyBackbone, TinyFlow, difference, energies, images, scales};
use ndarray::{Array4, Axis};
use prost::Message;
use uflow::{
    Error,
    backbone::{BackboneMeta, NetworkSource},
    latents::ScaleShape,
    onnx::{Dim, GraphBuilder, ModelProto, StringStringEntryProto, TensorProto},
    preprocess::Resize,
    runtime::{Backbone, Device, Network, Precision, Runtime, SessionOptions, cpu_quota},
};

const CPU: SessionOptions = SessionOptions { device: Device::Cpu, precision: Precision::Fp32, threads: None };

fn runtime() -> Runtime {
    Runtime::load(None).unwrap()
}

fn load(bytes: &[u8]) -> Result<Backbone, Error> {
    Backbone::load(&runtime(), NetworkSource::Bytes(bytes), &CPU)
}

fn backbone(seed: u64) -> Arc<Backbone> {
    Arc::new(load(&TinyBackbone::new(seed).onnx()).unwrap())
}

fn network(seed: u64, height: usize, width: usize) -> Network {
    let scales = scales(height, width);
    Network::load(&runtime(), backbone(seed), &TinyFlow::new(seed).onnx(&scales), &scales, &CPU).unwrap()
}

fn message<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => panic!("no error"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn energies_and_latents_are_those_of_plain_loops() {
    for (height, width, batch) in [(12, 20, 1), (13, 7, 3), (4, 4, 2)] {
        let mut network = network(1, height, width);
        let x = images(7, batch, height, width);
        let latents = TinyFlow::new(1).latents(&TinyBackbone::new(1).features(x.view()));
        let output = network.run(x.view(), true).unwrap();
        assert_eq!((output.batch(), output.scales()), (batch, 2));
        for (scale, (z, u)) in latents.iter().zip(energies(&latents)).enumerate() {
            assert!(difference(output.latents(scale).unwrap(), z.view()) < 1e-5);
            assert!(difference(output.energy(scale), u.view()) < 1e-5);
        }
        let output = network.run(x.view(), false).unwrap();
        assert!(output.latents(0).is_none() && output.latents(2).is_none());
        assert!(difference(output.energy(1), energies(&latents)[1].view()) < 1e-5);
    }
}

#[test]
fn batches_of_changing_size_and_any_layout_give_the_same_energies() {
    let mut network = network(2, 12, 20);
    let x = images(3, 4, 12, 20);
    let whole: Vec<_> = (0..2).map(|scale| network.run(x.view(), false).unwrap().energy(scale).to_owned()).collect();
    for batch in [2, 1, 4, 3] {
        let output = network.run(x.slice(ndarray::s![..batch, .., .., ..]), false).unwrap();
        for (scale, whole) in whole.iter().enumerate() {
            let expected = whole.slice_axis(Axis(0), ndarray::Slice::from(..batch));
            assert!(difference(output.energy(scale), expected) < 1e-6);
        }
    }
    let mut channels_last = Array4::zeros((4, 12, 20, 3));
    channels_last.assign(&x.view().permuted_axes([0, 2, 3, 1]));
    let output = network.run(channels_last.view().permuted_axes([0, 3, 1, 2]), false).unwrap();
    assert_eq!(output.energy(0), whole[0]);
}

#[test]
fn the_same_image_gives_the_same_bits() {
    let (height, width) = (96, 128);
    let x = images(11, 1, height, width);
    let mut first = network(5, height, width);
    let mut second = network(5, height, width);
    let bits = |network: &mut Network| -> Vec<u32> {
        let output = network.run(x.view(), true).unwrap();
        let energies = (0..2).flat_map(|scale| output.energy(scale).iter().map(|u| u.to_bits()).collect::<Vec<_>>());
        energies.chain(output.latents(0).unwrap().iter().map(|z| z.to_bits())).collect()
    };
    let expected = bits(&mut first);
    for _ in 0..30 {
        assert_eq!(bits(&mut first), expected);
        assert_eq!(bits(&mut second), expected);
    }
}

#[test]
fn one_backbone_serves_networks_on_several_threads() {
    let shared = backbone(6);
    let x = images(8, 2, 12, 20);
    let features = TinyBackbone::new(6).features(x.view());
    std::thread::scope(|scope| {
        for seed in 20..26 {
            let (shared, x, features) = (Arc::clone(&shared), &x, &features);
            scope.spawn(move || {
                let scales = scales(12, 20);
                let flow = TinyFlow::new(seed);
                let mut network = Network::load(&runtime(), shared, &flow.onnx(&scales), &scales, &CPU).unwrap();
                let expected = energies(&flow.latents(features));
                for _ in 0..20 {
                    let output = network.run(x.view(), false).unwrap();
                    assert!(difference(output.energy(0), expected[0].view()) < 1e-5);
                    assert!(difference(output.energy(1), expected[1].view()) < 1e-5);
                }
            });
        }
    });
    assert_eq!(Arc::strong_count(&shared), 1);
}

#[test]
fn features_and_their_shapes() {
    let backbone = backbone(9);
    assert_eq!(backbone.nodes_on_cpu(), Some(0));
    assert_eq!(backbone.meta().input_size, [12, 20]);
    let shape = |channels, height, width| ScaleShape { channels, height, width };
    assert_eq!(backbone.feature_shapes(13, 7).unwrap(), [shape(4, 7, 4), shape(6, 4, 2)]);
    assert_eq!(backbone.feature_shapes(13, 7).unwrap(), [shape(4, 7, 4), shape(6, 4, 2)]);
    let x = images(1, 2, 13, 7);
    for (map, expected) in backbone.features(x.view()).unwrap().iter().zip(TinyBackbone::new(9).features(x.view())) {
        assert!(difference(map.view(), expected.view()) < 1e-5);
    }
}

#[test]
fn own_threads_give_the_same_values_as_the_shared_pool() {
    let scales = scales(12, 20);
    let x = images(4, 1, 12, 20);
    let mut shared = network(3, 12, 20);
    for threads in [1, 2, 3] {
        let options = SessionOptions { threads: Some(threads), ..CPU };
        let source = TinyBackbone::new(3).onnx();
        let backbone = Backbone::load(&runtime(), NetworkSource::Bytes(&source), &options).unwrap();
        let mut own =
            Network::load(&runtime(), Arc::new(backbone), &TinyFlow::new(3).onnx(&scales), &scales, &options).unwrap();
        let expected = shared.run(x.view(), false).unwrap().energy(0).to_owned();
        assert!(difference(own.run(x.view(), false).unwrap().energy(0), expected.view()) < 1e-6);
    }
    let error = Backbone::load(&runtime(), NetworkSource::Bytes(b"x"), &SessionOptions { threads: Some(0), ..CPU });
    assert!(matches!(error, Err(Error::Network { .. } | Error::Parameter { .. })));
    assert!((1..=1024).contains(&cpu_quota()));
}

#[test]
fn a_network_of_a_fixed_size_takes_no_other() {
    let model = TinyBackbone::new(1).model(META, Dim::Fixed(12), Dim::Fixed(20)).encode_to_vec();
    let backbone = load(&model).unwrap();
    assert!(backbone.feature_shapes(12, 20).is_ok());
    let text = message(backbone.features(images(1, 1, 12, 24).view()));
    assert_eq!(text, "network backbone: the input accepts only images of (?, 3, 12, 20), not 12 × 24 (height × width)");
}

#[test]
fn images_of_the_wrong_shape_are_refused() {
    let mut network = network(1, 12, 20);
    for shape in [(0, 3, 12, 20), (1, 1, 12, 20), (1, 3, 0, 20)] {
        let text = message(network.run(Array4::zeros(shape).view(), false));
        assert!(text.starts_with("images: the shape ") && text.contains(&format!("{shape:?}")), "{text}");
    }
    let text = message(network.run(images(1, 1, 24, 20).view(), false));
    assert_eq!(
        text,
        "network backbone: the output `fine` (scale 0) has the shape (1, 4, 12, 10); (1, 4, 6, 10) is expected"
    );
}

#[test]
fn values_that_are_not_finite_are_errors_and_leave_no_output_behind() {
    let mut network = network(1, 12, 20);
    let mut x = images(1, 2, 12, 20);
    assert_eq!(network.run(x.view(), true).unwrap().batch(), 2);
    x[(1, 0, 0, 0)] = f32::NAN;
    let text = message(network.run(x.view(), true));
    assert!(text.starts_with("energies of scale 0: ") && text.ends_with(" of 120 values are not finite"), "{text}");
    x[(1, 0, 0, 0)] = f32::INFINITY;
    assert!(matches!(network.run(x.view(), false), Err(Error::NonFinite { .. })));
    let text = message(network.backbone().features(x.view()));
    assert!(text.starts_with("features of scale 0 (backbone `tiny`): "), "{text}");
    x[(1, 0, 0, 0)] = 0.0;
    assert_eq!(network.run(x.view(), false).unwrap().batch(), 2);
}

#[test]
fn corrupt_and_truncated_networks_are_refused() {
    let scales = scales(12, 20);
    let flow = TinyFlow::new(1).onnx(&scales);
    let shared = backbone(1);
    let load_flow = |bytes: &[u8]| Network::load(&runtime(), Arc::clone(&shared), bytes, &scales, &CPU);
    // Cut anywhere: only trailing metadata may go unnoticed, and then the description is missing.
    let whole = TinyBackbone::new(1).onnx();
    for cut in (1..whole.len()).step_by(37) {
        let text = message(load(&whole[..cut]));
        assert!(text.starts_with("network backbone: "), "{text}");
    }
    for cut in (1..flow.len() - 40).step_by(53) {
        let text = message(load_flow(&flow[..cut]));
        assert!(text.starts_with("network flow: "), "{text}");
    }
    assert_eq!(message(load(b"")), "network backbone: is empty");
    assert!(message(load(b"this is a text file, not a network")).contains("is not an ONNX model"));
    let noise: Vec<u8> = networks::numbers(5, 4000).iter().map(|x| (x * 255.0) as i8 as u8).collect();
    assert!(matches!(load_flow(&noise).map(drop), Err(Error::Network { .. })));
    // Whole as a message, wrong as a network.
    let mut unknown = ModelProto::decode(&*flow).unwrap();
    unknown.graph.as_mut().unwrap().node[0].op_type = "NoSuchOperator".to_owned();
    let text = message(load_flow(&unknown.encode_to_vec()));
    assert!(
        text.starts_with("network flow: ONNX Runtime refuses the network: ") && text.contains("NoSuchOperator"),
        "{text}"
    );
}

#[test]
fn missing_files_and_folders_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let load = |path: &Path| message(Backbone::load(&runtime(), NetworkSource::Path(path), &CPU));
    let text = load(&folder.path().join("none.onnx"));
    assert!(text.starts_with("cannot open ") && text.contains("none.onnx"), "{text}");
    assert!(load(folder.path()).contains("is not a file"));
}

#[test]
fn a_backbone_is_its_own_description() {
    let onnx = TinyBackbone::new(1).onnx();
    let meta = BackboneMeta::read(NetworkSource::Bytes(&onnx)).unwrap();
    assert_eq!((meta.name.as_str(), meta.resize), ("tiny", Resize::Bilinear));
    assert_eq!(meta.outputs, ["fine", "coarse"]);
    assert_eq!(meta.trained_on.as_deref(), Some("nothing"));
    let again: BackboneMeta = serde_json::from_str(&serde_json::to_string(&meta).unwrap()).unwrap();
    assert_eq!(again, meta);

    let with = |from: &str, to: &str| {
        let text = META.replace(from, to);
        assert_ne!(text, META, "{from}");
        message(load(&TinyBackbone::new(1).model(&text, Dim::Named("h"), Dim::Named("w")).encode_to_vec()))
    };
    let wrong = [
        ("\"tiny\"", "\" \"", "`name` is empty"),
        ("0.25, 0.25, 0.25", "0.25, 0, 0.25", "`std` is [0.25, 0.0, 0.25], not three numbers above zero"),
        ("0.5, 0.5, 0.5", "0.5, 0.5", "invalid length 2"),
        ("0.5, 0.5, 0.5", "1e300, 0.5, 0.5", "number out of range"),
        ("[12, 20]", "[12, 0]", "`input_size` is [12, 0], each side must be 1 to 8192"),
        ("[\"fine\", \"coarse\"]", "[]", "`outputs` names no output"),
        ("[\"fine\", \"coarse\"]", "[\"fine\", \"fine\"]", "`outputs` names `fine` twice"),
        (
            "\"outputs\"",
            "\"resize\": \"nonsense\", \"outputs\"",
            "`resize`: unknown variant `nonsense`, expected `bilinear` or `bicubic`",
        ),
        ("[2, 4]", "[2]", "1 `strides` for 2 `outputs`"),
        ("[2, 4]", "[4, 2]", "`strides` are [4, 2], they must increase: finest scale first"),
        ("[2, 4]", "[0, 2]", "`strides` are [0, 2]"),
        ("\"strides\": [2, 4],", "", "missing field `strides`"),
    ];
    for (from, to, expected) in wrong {
        let text = with(from, to);
        assert!(
            text.starts_with("network backbone: the ONNX metadata `uflow.backbone`: ") && text.contains(expected),
            "{text}"
        );
    }
    assert!(
        with("\"fine\", ", "\"medium\", ").ends_with("the output `medium` is missing; the network has coarse, fine")
    );
    let square = META.replace("[12, 20]", "64");
    let model = TinyBackbone::new(1).model(&square, Dim::Named("h"), Dim::Named("w")).encode_to_vec();
    assert_eq!(load(&model).unwrap().meta().input_size, [64, 64]);
    let mut bare = ModelProto::decode(&*onnx).unwrap();
    bare.metadata_props.clear();
    assert!(message(load(&bare.encode_to_vec())).contains("the ONNX metadata has no key `uflow.backbone`"));
}

#[test]
fn backbones_with_other_inputs_or_ranks_are_refused() {
    let build = |inputs: &[(&str, &[Dim<'_>])], op: &str| {
        let mut graph = GraphBuilder::new("g");
        inputs.iter().for_each(|(name, dims)| graph.input(name, dims));
        let names: Vec<_> = inputs.iter().map(|(name, _)| *name).collect();
        graph.node(op, &names, "fine", vec![]);
        graph.output("fine", inputs[0].1);
        let meta = META.replace("\"fine\", \"coarse\"", "\"fine\"").replace("[2, 4]", "[1]");
        message(load(&graph.finish(&[("uflow.backbone", &meta)]).encode_to_vec()))
    };
    let (batch, side) = (Dim::Named("batch"), Dim::Fixed(8));
    let text = build(&[("a", &[batch, Dim::Fixed(3), side, side]), ("b", &[batch, Dim::Fixed(3), side, side])], "Add");
    assert!(text.ends_with("the network has 2 inputs; one is needed, the images"), "{text}");
    let text = build(&[("a", &[batch, Dim::Fixed(1), side, side])], "Relu");
    assert!(text.ends_with("the input `a` has the shape (?, 1, 8, 8); (batch, 3, height, width) is needed"), "{text}");
    let text = build(&[("a", &[batch, Dim::Fixed(3)])], "Relu");
    assert!(text.contains("(batch, 3, height, width) is needed"), "{text}");
}

#[test]
fn flows_that_are_not_what_the_manifest_says_are_refused() {
    let right = scales(12, 20);
    let shared = backbone(1);
    let load = |bytes: &[u8], scales: &[(ScaleShape, ScaleShape)], options: &SessionOptions| {
        message(Network::load(&runtime(), Arc::clone(&shared), bytes, scales, options))
    };
    let flow = TinyFlow::new(1).onnx(&right);
    let rename = |from: &str, to: &str| {
        let mut model = ModelProto::decode(&*flow).unwrap();
        let graph = model.graph.as_mut().unwrap();
        let names = graph.node.iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output));
        let ports = graph.input.iter_mut().chain(&mut graph.output).map(|port| &mut port.name);
        names.chain(ports).filter(|name| *name == from).for_each(|name| *name = to.to_owned());
        load(&model.encode_to_vec(), &right, &CPU)
    };
    assert_eq!(rename("feature1", "x"), "network flow: the input `feature1` is missing; the network has feature0, x");
    assert!(rename("energy0", "u").starts_with("network flow: the output `energy0` is missing; the network has u, "));
    assert!(rename("latent1", "z").starts_with("network flow: the output `latent1` is missing; the network has "));

    let mut other = right.clone();
    other[1].0.width += 1;
    assert_eq!(
        load(&flow, &other, &CPU),
        "network flow: the input `feature1` has the shape (?, 6, 3, 5); (?, 6, 3, 6) is expected"
    );
    let mut other = right.clone();
    other[0].1.channels = 9;
    assert_eq!(
        load(&flow, &other, &CPU),
        "network flow: the output `latent0` has the shape (?, 5, 6, 10); (?, 9, 6, 10) is expected"
    );
    assert_eq!(load(&flow, &right[..1], &CPU), "network flow: the model has 1 scales, but the backbone `tiny` has 2");
    let one = TinyFlow::new(1).onnx(&right[..1]);
    assert_eq!(load(&one, &right, &CPU), "network flow: the flow has 1 inputs; 2 are needed, one per scale");
    let text = load(&flow, &right, &SessionOptions { device: Device::Cuda(1), ..CPU });
    assert_eq!(text, "device `cuda:1`: the backbone runs on `cpu`; a flow must use the same device");
}

#[test]
fn inputs_may_come_in_any_order() {
    let right = scales(12, 20);
    let mut model = TinyFlow::new(1).model(&right);
    model.graph.as_mut().unwrap().input.reverse();
    let mut network = Network::load(&runtime(), backbone(1), &model.encode_to_vec(), &right, &CPU).unwrap();
    let x = images(2, 1, 12, 20);
    let expected = energies(&TinyFlow::new(1).latents(&TinyBackbone::new(1).features(x.view())));
    assert!(difference(network.run(x.view(), false).unwrap().energy(1), expected[1].view()) < 1e-5);
}

/// A backbone whose first weight lies in the file of this name.
fn external(location: &str) -> ModelProto {
    let mut model = ModelProto::decode(&*TinyBackbone::new(1).onnx()).unwrap();
    let weight = &mut model.graph.as_mut().unwrap().initializer[0];
    let entry = |key: &str, value: &str| StringStringEntryProto { key: key.to_owned(), value: value.to_owned() };
    *weight = TensorProto {
        external_data: vec![entry("location", location)],
        data_location: 1,
        raw_data: Default::default(),
        ..weight.clone()
    };
    model
}

#[test]
fn weights_outside_the_models_folder_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("package");
    fs::create_dir(&folder).unwrap();
    let weight = TinyBackbone::new(1).fine.weight;
    let raw: Vec<u8> = weight.iter().flat_map(|x| x.to_le_bytes()).collect();
    for file in [root.path().join("outside.bin"), folder.join("inside.bin")] {
        fs::write(file, &raw).unwrap();
    }
    let load_file = |location: &str| {
        let path = folder.join("backbone.onnx");
        fs::write(&path, external(location).encode_to_vec()).unwrap();
        Backbone::load(&runtime(), NetworkSource::Path(&path), &CPU)
    };
    let outside = root.path().join("outside.bin");
    for location in ["../outside.bin", "a/../../outside.bin", outside.to_str().unwrap(), ""] {
        let text = message(load_file(location));
        assert!(
            text.contains("is not a plain relative path; external data must lie in the model's own folder"),
            "{text}"
        );
    }
    assert!(message(load_file("missing.bin")).contains("its weights point to `missing.bin`, which cannot be found"));
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&outside, folder.join("link.bin")).unwrap();
        assert!(message(load_file("link.bin")).ends_with("which is a link out of the model's folder"));
    }
    let x = images(1, 1, 12, 20);
    let features = load_file("inside.bin").unwrap().features(x.view()).unwrap();
    assert!(difference(features[0].view(), TinyBackbone::new(1).features(x.view())[0].view()) < 1e-5);

    let text = message(load(&external("inside.bin").encode_to_vec()));
    assert!(text.contains("cannot be followed from a model in memory"), "{text}");
    let text =
        message(Network::load(&runtime(), backbone(1), &external("inside.bin").encode_to_vec(), &scales(12, 20), &CPU));
    assert!(text.starts_with("network flow: its weights point to `inside.bin`"), "{text}");
}

#[test]
fn devices_that_are_not_there_say_so() {
    let runtime = runtime();
    let source = TinyBackbone::new(1).onnx();
    let load = |device, precision| {
        message(Backbone::load(
            &runtime,
            NetworkSource::Bytes(&source),
            &SessionOptions { device, precision, threads: None },
        ))
    };
    for (device, provider) in [
        (Device::OpenVino, "OpenVINOExecutionProvider"),
        (Device::Cuda(0), "CUDAExecutionProvider"),
        (Device::TensorRt(1), "TensorrtExecutionProvider"),
    ] {
        let text = load(device, Precision::Fp32);
        let expected = format!(
            "device `{device}`: ONNX Runtime {} in {} was built without {provider}; ",
            runtime.version(),
            runtime.path().display()
        );
        assert!(text.starts_with(&expected) && text.contains("`uflow_engine_options_set_onnxruntime`"), "{text}");
    }
    assert!(load(Device::Cpu, Precision::Bf16).starts_with("device `cpu`: has no precision bf16: "));
    assert!(load(Device::TensorRt(0), Precision::Int8).starts_with("device `tensorrt`: has no precision int8: "));
}

#[test]
fn the_runtime_is_one_per_process() {
    let runtime = runtime();
    let again = Runtime::load(Some(runtime.path())).unwrap();
    assert_eq!((again.path(), again.version()), (runtime.path(), runtime.version()));
    assert!(Runtime::load(runtime.path().parent()).is_ok(), "its folder names it too");
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("libother.so");
    fs::write(&other, b"").unwrap();
    let text = message(Runtime::load(Some(&other)));
    assert!(text.contains("is already loaded from ") && text.contains("libother.so in another process"), "{text}");
    assert_eq!(runtime.version().split('.').count(), 3, "{}", runtime.version());
}

//! OpenVINO against plain loops and against ONNX Runtime's CPU kernels. OpenVINO has its own build of ONNX Runtime and a process loads
//! one build, so each test runs in a process of its own. Without that build (`tools/fetch_onnxruntime.sh openvino`) the tests are
//! skipped and say so.

use std::{path::Path, sync::Arc};

use crate::networks::{META, TinyBackbone, TinyFlow, difference, energies, images, scales};
use prost::Message;
use uflow::{
    Error,
    backbone::NetworkSource,
    onnx::{Dim, int, ints},
    runtime::{Backbone, Device, Network, Precision, Runtime, SessionOptions},
};

fn runtime() -> Option<Runtime> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".onnxruntime/openvino");
    if !folder.join("libonnxruntime_providers_openvino.so").is_file() {
        eprintln!("SKIPPED: no OpenVINO in {}; `tools/fetch_onnxruntime.sh openvino` fetches it", folder.display());
        return None;
    }
    Some(Runtime::load(Some(&folder)).unwrap())
}

fn options(device: Device, precision: Precision) -> SessionOptions {
    SessionOptions { device, precision, threads: None }
}

fn network(runtime: &Runtime, options: &SessionOptions, height: usize, width: usize) -> Result<Network, Error> {
    let scales = scales(height, width);
    let source = TinyBackbone::new(1).onnx();
    let backbone = Arc::new(Backbone::load(runtime, NetworkSource::Bytes(&source), options)?);
    Network::load(runtime, backbone, &TinyFlow::new(1).onnx(&scales), &scales, options)
}

#[test]
fn fp32_equals_the_cpu_and_every_node_is_taken() {
    alone!();
    let Some(runtime) = runtime() else { return };
    assert!(runtime.version().starts_with("1.24"), "{}", runtime.version());
    let (height, width) = (96, 128);
    let mut cpu = network(&runtime, &options(Device::Cpu, Precision::Fp32), height, width).unwrap();
    let mut openvino = network(&runtime, &options(Device::OpenVino, Precision::Fp32), height, width).unwrap();
    assert_eq!(openvino.nodes_on_cpu(), Some(0));
    assert_eq!(cpu.nodes_on_cpu(), Some(0));
    assert!(openvino.backbone().placement().unwrap()["OpenVINOExecutionProvider"] >= 1);
    assert!(cpu.backbone().placement().is_none());
    for batch in [1, 3, 2, 1] {
        let x = images(batch as u64, batch, height, width);
        let plain = energies(&TinyFlow::new(1).latents(&TinyBackbone::new(1).features(x.view())));
        let expected = cpu.run(x.view(), true).unwrap();
        let output = openvino.run(x.view(), true).unwrap();
        for (scale, plain) in plain.iter().enumerate() {
            assert!(difference(output.energy(scale), plain.view()) < 1e-5);
            assert!(difference(output.energy(scale), expected.energy(scale)) < 1e-5);
            assert!(difference(output.latents(scale).unwrap(), expected.latents(scale).unwrap()) < 1e-5);
        }
    }
}

#[test]
fn bf16_is_near_fp32_and_is_not_fp32() {
    alone!();
    let Some(runtime) = runtime() else { return };
    let (height, width) = (96, 128);
    let mut low = match network(&runtime, &options(Device::OpenVino, Precision::Bf16), height, width) {
        Ok(network) => network,
        Err(error) => {
            assert_eq!(
                error.to_string(),
                "device `openvino`: has no precision bf16 here: this CPU lacks the AVX512_BF16 instructions"
            );
            eprintln!("SKIPPED: {error}");
            return;
        }
    };
    let mut full = network(&runtime, &options(Device::OpenVino, Precision::Fp32), height, width).unwrap();
    let x = images(5, 2, height, width);
    let expected = full.run(x.view(), false).unwrap();
    let output = low.run(x.view(), false).unwrap();
    for scale in 0..2 {
        let difference = difference(output.energy(scale), expected.energy(scale));
        assert!((1e-4..3e-2).contains(&difference), "scale {scale}: {difference}");
    }
}

#[test]
fn nodes_it_leaves_to_the_cpu_are_counted() {
    alone!();
    let Some(runtime) = runtime() else { return };
    let mut model = TinyBackbone::new(1).model(META, Dim::Named("h"), Dim::Named("w"));
    // |x| as a pooling that OpenVINO does not have.
    let graph = model.graph.as_mut().unwrap();
    let relu = graph.node.iter_mut().find(|node| node.op_type == "Relu").unwrap();
    relu.op_type = "LpPool".to_owned();
    relu.attribute = vec![ints("kernel_shape", &[1, 1]), int("p", 1)];
    let bytes = model.encode_to_vec();
    let options = options(Device::OpenVino, Precision::Fp32);
    let backbone = Backbone::load(&runtime, NetworkSource::Bytes(&bytes), &options).unwrap();
    // The pooling, and what OpenVINO does not find worth a graph of its own beside it.
    let left = backbone.nodes_on_cpu().unwrap();
    assert!(left >= 1, "{:?}", backbone.placement());
    assert_eq!(backbone.placement().unwrap()["CPUExecutionProvider"], left);
    let x = images(3, 1, 12, 20);
    let fine = TinyBackbone::new(1).fine.apply(x.view());
    let coarse = TinyBackbone::new(1).coarse.apply(fine.mapv(f32::abs).view());
    assert!(difference(backbone.features(x.view()).unwrap()[1].view(), coarse.view()) < 1e-5);
    let right = scales(12, 20);
    let flow = TinyFlow::new(1).onnx(&right);
    let network = Network::load(&runtime, Arc::new(backbone), &flow, &right, &options).unwrap();
    assert_eq!(network.nodes_on_cpu(), Some(left));
}

#[test]
fn its_own_precisions_and_providers_only() {
    alone!();
    let Some(runtime) = runtime() else { return };
    let refused = |device, precision| network(&runtime, &options(device, precision), 12, 20).unwrap_err().to_string();
    assert!(refused(Device::OpenVino, Precision::Fp16).starts_with("device `openvino`: has no precision fp16: "));
    assert!(refused(Device::OpenVino, Precision::Int8).starts_with("device `openvino`: has no precision int8: "));
    assert!(refused(Device::Cuda(0), Precision::Fp32).contains("was built without CUDAExecutionProvider"));
    let error = network(&runtime, &options(Device::OpenVino, Precision::Fp32), 12, 20).map(|mut network| {
        let mut x = images(1, 1, 12, 20);
        x[(0, 0, 0, 0)] = f32::NAN;
        network.run(x.view(), false).map(drop).unwrap_err().to_string()
    });
    assert!(error.unwrap().starts_with("energies of scale 0: "));
}

//! The exported flow in ONNX Runtime gives the trainer's own latents and energies, for any batch and normalisation.

use crate::onnxruntime::environment;
use ndarray::{Array3, Array4, Axis, s};
use ort::{session::Session, value::TensorRef};
use prost::Message;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use uflow::{
    flow::{Architecture, Flow, Normalisation, Topology},
    latents::{ScaleShape, energy},
};

fn normalisation(kind: usize, shape: &ScaleShape, random: &mut ChaCha8Rng) -> Normalisation {
    let mut values = |count: usize, low: f32, high: f32| (0..count).map(|_| random.random_range(low..high)).collect();
    match kind {
        0 => Normalisation::Identity,
        1 => Normalisation::Standardise {
            mean: values(shape.channels, -3.0, 3.0),
            inverse_deviation: values(shape.channels, 0.2, 5.0),
        },
        2 => Normalisation::LayerNorm { affine: None },
        4 => Normalisation::Whiten {
            mean: values(shape.channels, -3.0, 3.0),
            matrix: values(shape.channels * shape.channels, -0.5, 0.5),
        },
        _ => Normalisation::LayerNorm { affine: Some((values(shape.len(), 0.5, 1.5), values(shape.len(), -0.5, 0.5))) },
    }
}

fn check(features: &[(usize, usize, usize)], steps: usize, kinds: &[usize]) {
    let mut random = ChaCha8Rng::seed_from_u64(17);
    let features: Vec<ScaleShape> =
        features.iter().map(|&(channels, height, width)| ScaleShape { channels, height, width }).collect();
    let kinds = features.iter().zip(kinds.iter().cycle());
    let normalisations = kinds.map(|(shape, &kind)| normalisation(kind, shape, &mut random)).collect();
    let architecture = Architecture::with_steps(features.clone(), steps, vec![3, 1]).unwrap();
    let mut flow = Flow::<f32>::new(architecture, normalisations, 5).unwrap();
    // Far from the identity, yet with latents of the size of the features.
    let widest = features.iter().map(|shape| shape.channels).max().unwrap() as f32;
    let spread = 0.1 * (8.0 / widest).min(1.0);
    for parameter in flow.parameters_mut() {
        *parameter += random.random_range(-spread..spread);
    }
    check_flow(&flow, &mut random);
    check_read(&flow, &mut random);
}

/// The flow that is read back from the exported model gives the same latents and log-determinant.
fn check_read(flow: &Flow, random: &mut ChaCha8Rng) {
    let read = Flow::from_onnx(&flow.to_onnx()).unwrap();
    assert_eq!(read.architecture(), flow.architecture());
    let maps: Vec<Array3<f32>> = (flow.architecture().features.iter())
        .map(|shape| {
            let dims = (shape.channels, shape.height, shape.width);
            Array3::from_shape_simple_fn(dims, || random.random_range(-2.0..2.0))
        })
        .collect();
    let views: Vec<_> = maps.iter().map(|map| map.view()).collect();
    let ((expected, log_det), (found, read_log_det)) = (flow.forward(&views).unwrap(), read.forward(&views).unwrap());
    let values = flow.architecture().values() as f64;
    assert!((log_det - read_log_det).abs() <= 1e-5 * values, "log-determinant: {read_log_det}, not {log_det}");
    for (scale, (expected, found)) in expected.iter().zip(&found).enumerate() {
        let largest = expected.iter().fold(1.0f32, |largest, value| largest.max(value.abs()));
        let difference = expected.iter().zip(found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference <= 1e-4 * largest, "latents of scale {scale}: {difference} of {largest} off");
    }
}

#[test]
fn a_model_that_was_not_exported_so_is_refused() {
    let shape = ScaleShape { channels: 4, height: 4, width: 4 };
    let flow = Flow::<f32>::new(Architecture::new(vec![shape]).unwrap(), vec![Normalisation::Identity], 1).unwrap();
    let refused = |change: &dyn Fn(&mut uflow::onnx::ModelProto)| {
        let mut model = flow.to_onnx();
        change(&mut model);
        Flow::from_onnx(&model).unwrap_err().to_string()
    };
    let no_metadata = refused(&|model| model.metadata_props.clear());
    assert!(no_metadata.contains("does not say its architecture"), "{no_metadata}");
    let no_weights = refused(&|model| {
        model.graph.as_mut().unwrap().initializer.retain(|tensor| tensor.name != "s0.0/w1");
    });
    assert!(no_weights.contains("has no s0.0/w1") && no_weights.contains("uflow fit"), "{no_weights}");
}

/// The exported model against the flow itself.
fn check_flow(flow: &Flow, random: &mut ChaCha8Rng) {
    let features = &flow.architecture().features;
    let mut session = Session::builder(environment())
        .unwrap()
        .commit_from_memory(&flow.to_onnx().encode_to_vec())
        .expect("a valid model");
    let names: Vec<_> = session.outputs().iter().map(|output| output.name().to_owned()).collect();
    let expected = ["energy", "latent"].iter().flat_map(|kind| (0..features.len()).map(move |s| format!("{kind}{s}")));
    assert_eq!(names, expected.collect::<Vec<_>>());

    for batch in [1, 3] {
        let maps: Vec<Array4<f32>> = features
            .iter()
            .map(|shape| {
                let dims = (batch, shape.channels, shape.height, shape.width);
                Array4::from_shape_simple_fn(dims, || random.random_range(-2.0..2.0))
            })
            .collect();
        let named = maps
            .iter()
            .enumerate()
            .map(|(scale, map)| (format!("feature{scale}"), TensorRef::from_array_view(map.view()).unwrap()));
        let outputs = session.run(named.collect::<Vec<_>>()).unwrap();
        for image in 0..batch {
            let views: Vec<_> = maps.iter().map(|map| map.index_axis(Axis(0), image)).collect();
            let (latents, _) = flow.forward(&views).unwrap();
            for (scale, latent) in latents.iter().enumerate() {
                let found = outputs[format!("latent{scale}").as_str()].try_extract_array::<f32>().unwrap();
                let found = found.slice(s![image, .., .., ..]);
                assert_eq!(found.shape(), latent.shape());
                let largest = latent.iter().fold(1.0f32, |largest, value| largest.max(value.abs()));
                for (found, latent) in found.iter().zip(latent) {
                    assert!(
                        (found - latent).abs() <= 1e-4 * largest,
                        "latents of scale {scale}: {found}, not {latent}"
                    );
                }
                let own = energy(latent.view());
                let found = outputs[format!("energy{scale}").as_str()].try_extract_array::<f32>().unwrap();
                let found = found.slice(s![image, .., ..]);
                assert_eq!(found.shape(), own.shape());
                let largest = own.iter().fold(1.0f32, |largest, value| largest.max(*value));
                for (found, own) in found.iter().zip(&own) {
                    assert!((found - own).abs() <= 2e-4 * largest, "energies of scale {scale}: {found}, not {own}");
                }
            }
        }
    }
}

#[test]
fn one_scale() {
    alone!();
    check(&[(6, 5, 7)], 4, &[1]);
    check(&[(7, 3, 4)], 1, &[0]);
    check(&[(2, 1, 1)], 3, &[1]);
}

#[test]
fn three_scales_with_odd_channels() {
    alone!();
    for kind in 0..5 {
        check(&[(5, 8, 4), (7, 4, 2), (17, 2, 1)], 4, &[kind]);
    }
    check(&[(5, 8, 12), (7, 4, 6), (17, 2, 3)], 3, &[1, 2, 3]);
    check(&[(5, 8, 12), (7, 4, 6), (17, 2, 3)], 3, &[4, 0, 4]);
}

#[test]
fn four_scales_and_one_with_fewer_channels_than_come_up() {
    alone!();
    check(&[(1, 4, 4), (80, 2, 2)], 2, &[1]);
    check(&[(2, 8, 8), (2, 4, 4), (3, 2, 2), (80, 1, 1)], 2, &[1]);
}

#[test]
fn the_size_of_a_real_model() {
    alone!();
    check(&[(48, 32, 32), (96, 16, 16), (192, 8, 8)], 4, &[1]);
}

#[test]
fn rotations_another_clamp_and_other_hidden_widths() {
    alone!();
    let mut random = ChaCha8Rng::seed_from_u64(3);
    for rotated in [|_| true, |index| index % 2 == 1, |index| index == 0, |_| false] {
        let features = [(5, 8, 4), (7, 4, 2), (17, 2, 1)];
        let features: Vec<ScaleShape> =
            features.iter().map(|&(channels, height, width)| ScaleShape { channels, height, width }).collect();
        let normalisations = features.iter().map(|shape| normalisation(3, shape, &mut random)).collect();
        let mut architecture = Architecture::with_steps(features, 4, vec![3, 1]).unwrap();
        architecture.clamp = 1.3;
        architecture.hidden = vec![2, 11, 6];
        let flow = crate::flows::imported(architecture, normalisations, 6, 0.1, rotated);
        check_flow(&flow, &mut random);
        if [0, 1].into_iter().any(rotated) {
            let refused = Flow::from_onnx(&flow.to_onnx()).unwrap_err().to_string();
            assert!(refused.contains("the flow has rotations"), "{refused}");
        } else {
            check_read(&flow, &mut random);
        }
    }
}

#[test]
fn parallel_stages() {
    alone!();
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let features = [(5, 8, 4), (7, 4, 2), (17, 2, 1)];
    let features: Vec<ScaleShape> =
        features.iter().map(|&(channels, height, width)| ScaleShape { channels, height, width }).collect();
    let normalisations = features.iter().map(|shape| normalisation(1, shape, &mut random)).collect();
    let architecture = Architecture::connected(features, 4, vec![3, 1], Topology::Parallel).unwrap();
    let flow = crate::flows::imported(architecture, normalisations, 7, 0.1, |_| false);
    check_flow(&flow, &mut random);
    check_read(&flow, &mut random);
}

#[test]
fn parallel_stages_without_steps() {
    alone!();
    let mut random = ChaCha8Rng::seed_from_u64(8);
    let features = [(5, 8, 4), (2, 4, 2)];
    let features: Vec<ScaleShape> =
        features.iter().map(|&(channels, height, width)| ScaleShape { channels, height, width }).collect();
    assert!(Architecture::with_steps(features.clone(), 0, vec![3, 1]).is_err(), "a U needs steps");
    let normalisations = features.iter().map(|shape| normalisation(4, shape, &mut random)).collect();
    let architecture = Architecture::connected(features, 0, vec![3, 1], Topology::Parallel).unwrap();
    let flow = Flow::new(architecture, normalisations, 7).unwrap();
    check_flow(&flow, &mut random);
    check_read(&flow, &mut random);
}

#[test]
fn no_dense_permutations() {
    let shape = ScaleShape { channels: 64, height: 4, width: 4 };
    let flow = Flow::<f32>::new(Architecture::new(vec![shape]).unwrap(), vec![Normalisation::Identity], 1).unwrap();
    let graph = flow.to_onnx().graph.unwrap();
    let count = |op: &str| graph.node.iter().filter(|node| node.op_type == op).count();
    assert_eq!((count("Conv"), count("Gather")), (8, 7));
}

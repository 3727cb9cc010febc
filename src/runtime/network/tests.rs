//! The path of devices with their own memory, run in the host's; and what a run costs beside ONNX Runtime's own part.

use ndarray::Array4;

use super::*;
use crate::onnx::{Dim, GraphBuilder, int};
use prost::Message as _;

const SHAPE: ScaleShape = ScaleShape { channels: 3, height: 4, width: 6 };

/// A backbone of two scales, x and 2x; the flow adds `shift` to both.
fn model(flow: Option<f32>) -> Vec<u8> {
    let mut graph = GraphBuilder::new("g");
    let dims = [Dim::Named("batch"), Dim::Fixed(3), Dim::Fixed(4), Dim::Fixed(6)];
    let two = graph.floats("two", &[1], &[2.0]);
    let Some(shift) = flow else {
        graph.input("x", &dims);
        graph.node("Identity", &["x"], "a", vec![]);
        graph.node("Mul", &["x", &two], "b", vec![]);
        ["a", "b"].iter().for_each(|name| graph.output(name, &dims));
        let meta = r#"{"name": "t", "mean": [0, 0, 0], "std": [1, 1, 1], "input_size": 4, "outputs": ["a", "b"], "strides": [1, 2]}"#;
        return graph.finish(&[("uflow.backbone", meta)]).encode_to_vec();
    };
    let shift = graph.floats("shift", &[1], &[shift]);
    let axes = graph.integers("axes", &[1], &[1]);
    for scale in 0..2 {
        let (feature, latent, energy) = (format!("feature{scale}"), format!("latent{scale}"), format!("energy{scale}"));
        graph.input(&feature, &dims);
        graph.node("Add", &[&feature, &shift], &latent, vec![]);
        let square = graph.node("Mul", &[&latent, &latent], &format!("square{scale}"), vec![]);
        graph.node("ReduceSum", &[&square, &axes], &energy, vec![int("keepdims", 0)]);
        graph.output(&energy, &[dims[0], dims[2], dims[3]]);
        graph.output(&latent, &dims);
    }
    graph.finish(&[]).encode_to_vec()
}

/// The path of devices with their own memory, run in the host's.
#[test]
fn bound_features_give_the_same_bits_and_are_not_shared() {
    let runtime = Runtime::load(None).unwrap();
    let options = SessionOptions::default();
    let backbone = Arc::new(Backbone::load(&runtime, NetworkSource::Bytes(&model(None)), &options).unwrap());
    let network = |shift| {
        Network::load(&runtime, Arc::clone(&backbone), &model(Some(shift)), &[(SHAPE, SHAPE); 2], &options).unwrap()
    };
    let (mut plain, mut first, mut second) = (network(0.5), network(0.5), network(-3.0));
    first.bind(MemoryInfo::default()).unwrap();
    second.bind(MemoryInfo::default()).unwrap();
    for (round, (batch, latents)) in
        [(1, false), (1, true), (3, true), (2, false), (2, false), (1, true)].into_iter().enumerate()
    {
        let x = Array4::from_shape_fn((batch, 3, 4, 6), |(b, c, i, j)| {
            (round * 1000 + b * 100 + c * 30 + i * 6 + j) as f32
        });
        let expected = plain.run(x.view(), latents).unwrap();
        let bound = first.run(x.view(), latents).unwrap();
        // Another network's run on other images must leave this one's results alone.
        let other = second.run((&x + 7.0).view(), latents).unwrap();
        for scale in 0..2 {
            assert_eq!(bound.energy(scale), expected.energy(scale));
            assert_eq!(bound.latents(scale), expected.latents(scale));
            assert_eq!(bound.latents(scale).is_some(), latents);
            let factor = [1.0, 2.0][scale];
            let energy = (&x + 7.0).mapv(|x| (factor * x - 3.0).powi(2)).sum_axis(Axis(1));
            assert_eq!(other.energy(scale), energy);
        }
    }
}

#[test]
fn a_bound_network_goes_on_after_an_error() {
    let runtime = Runtime::load(None).unwrap();
    let options = SessionOptions::default();
    let backbone = Arc::new(Backbone::load(&runtime, NetworkSource::Bytes(&model(None)), &options).unwrap());
    let mut network = Network::load(&runtime, backbone, &model(Some(0.0)), &[(SHAPE, SHAPE); 2], &options).unwrap();
    network.bind(MemoryInfo::default()).unwrap();
    let mut x = Array4::ones((1, 3, 4, 6));
    assert_eq!(network.run(x.view(), false).unwrap().energy(1)[(0, 0, 0)], 12.0);
    x[(0, 0, 0, 0)] = f32::NAN;
    assert!(matches!(network.run(x.view(), false), Err(Error::NonFinite { .. })));
    assert!(network.run(Array4::ones((1, 3, 5, 6)).view(), false).is_err());
    x[(0, 0, 0, 0)] = 1.0;
    assert_eq!(network.run(x.view(), false).unwrap().energy(1)[(0, 0, 0)], 12.0);
}

/// What [`Network::run`] adds to the two bare runs of ONNX Runtime: `cargo test --release --lib overhead -- --ignored
/// --nocapture`. A measurement, so nothing is asserted about the time.
#[test]
#[ignore = "a measurement"]
fn overhead_over_bare_sessions() {
    let runtime = Runtime::load(None).unwrap();
    let options = SessionOptions { threads: Some(1), ..SessionOptions::default() };
    let backbone = Arc::new(Backbone::load(&runtime, NetworkSource::Bytes(&model(None)), &options).unwrap());
    let mut network = Network::load(&runtime, backbone, &model(Some(0.5)), &[(SHAPE, SHAPE); 2], &options).unwrap();
    let images = Array4::<f32>::ones((1, 3, 4, 6));
    let mut bare_backbone =
        session::open(&runtime, &NetworkSource::Bytes(&model(None)), "bare", &options).unwrap().session;
    let mut bare_flow =
        session::open(&runtime, &NetworkSource::Bytes(&model(Some(0.5))), "bare", &options).unwrap().session;
    let mut bare = || {
        let input = SessionInputValue::from(ort::value::TensorRef::from_array_view(&images).unwrap());
        let features: Vec<_> = bare_backbone.run([input]).unwrap().into_iter().map(|(_, value)| value).collect();
        drop(bare_flow.run([SessionInputValue::from(&features[0]), SessionInputValue::from(&features[1])]).unwrap());
    };
    let median = |run: &mut dyn FnMut()| {
        let mut times: Vec<_> = (0..5_000)
            .map(|_| {
                let start = std::time::Instant::now();
                run();
                start.elapsed().as_nanos()
            })
            .collect();
        times.sort_unstable();
        times[times.len() / 2] as f64 / 1e3
    };
    let (bare, ours) = (
        median(&mut bare),
        median(&mut || {
            network.run(images.view(), false).unwrap();
        }),
    );
    println!("two bare runs {bare:.1} µs, Network::run {ours:.1} µs, difference {:.1} µs", ours - bare);
}

//! Converted networks against PyTorch: `tools/golden_backbone.py` made the values.

use ndarray::Array4;
use prost::Message as _;
use serde::Deserialize;
use uflow::{
    backbone::{BackboneMeta, Conversion, Known, NetworkSource},
    onnx::{Dim, GraphBuilder, ModelProto},
    runtime::{Backbone, Runtime, SessionOptions},
};

/// Largest allowed difference, relative to a map's largest magnitude.
const WITHIN: f64 = 1e-4;

#[derive(Deserialize)]
struct Case {
    height: usize,
    width: usize,
    maps: Vec<Map>,
}

#[derive(Deserialize)]
struct Map {
    shape: [usize; 3],
    largest: f64,
    mean: f64,
    values: Vec<f64>,
}

fn golden(name: &str) -> Vec<Case> {
    let mut all: serde_json::Value = serde_json::from_str(include_str!("../golden/backbone.json")).unwrap();
    serde_json::from_value(all[name].take()).unwrap()
}

/// The made-up image of the script, normalised as the file says.
fn image(meta: &BackboneMeta, height: usize, width: usize) -> Array4<f32> {
    Array4::from_shape_fn((1, 3, height, width), |(_, c, y, x)| {
        let pixel = (3 * x + 5 * y + 53 * c + 7 * ((x * y) % 29)) % 256;
        (pixel as f32 / 255.0 - meta.mean[c]) / meta.std[c]
    })
}

fn agrees_with_pytorch(name: &str) {
    let Some(wheel) = super::wheel(name) else { return };
    let known = Known::named(name).unwrap();
    let bytes = known.convert(&wheel, &Conversion::default()).unwrap();
    let source = NetworkSource::Bytes(&bytes);
    let backbone = Backbone::load(&Runtime::load(None).unwrap(), source, &SessionOptions::default()).unwrap();
    let meta = backbone.meta();
    assert_eq!((meta.name.as_str(), meta.strides.as_slice()), (name, known.strides));
    for case in golden(name) {
        let maps = backbone.features(image(meta, case.height, case.width).view()).unwrap();
        assert_eq!(maps.len(), case.maps.len());
        for (scale, (map, expected)) in maps.iter().zip(&case.maps).enumerate() {
            let (_, channels, height, width) = map.dim();
            assert_eq!([channels, height, width], expected.shape);
            assert_eq!(channels, known.channels[scale]);
            let flat = map.as_slice().unwrap();
            let kept = expected.values.len();
            let got = (0..kept).map(|index| f64::from(flat[index * flat.len() / kept]));
            let worst = got.zip(&expected.values).fold(0.0_f64, |worst, (got, value)| worst.max((got - value).abs()));
            let largest = flat.iter().fold(0.0_f64, |largest, value| largest.max(f64::from(value.abs())));
            let mean = flat.iter().map(|&value| f64::from(value)).sum::<f64>() / flat.len() as f64;
            let differences = [worst, (largest - expected.largest).abs(), (mean - expected.mean).abs()];
            eprintln!("{name} {}×{} scale {scale}: {differences:?} of {}", case.height, case.width, expected.largest);
            assert!(
                differences.iter().all(|difference| *difference <= WITHIN * expected.largest),
                "{name} at {}×{}, scale {scale}: {differences:?}, the largest value is {}",
                case.height,
                case.width,
                expected.largest
            );
        }
    }
}

#[test]
fn lite0_agrees_with_pytorch() {
    agrees_with_pytorch("efficientnet-lite0");
}

#[test]
fn lite1_agrees_with_pytorch() {
    agrees_with_pytorch("efficientnet-lite1");
}

#[test]
fn lite2_agrees_with_pytorch() {
    agrees_with_pytorch("efficientnet-lite2");
}

/// The network with the outputs of these blocks (value, channels, stride) as its maps.
fn at_blocks(network: &[u8], blocks: &[(&str, usize, usize)]) -> Vec<u8> {
    let mut outputs = GraphBuilder::new("outputs");
    for &(value, channels, stride) in blocks {
        let [height, width] = ["height", "width"].map(|side| format!("{side}{stride}"));
        outputs.output(value, &[Dim::Named("batch"), Dim::Fixed(channels), Dim::Named(&height), Dim::Named(&width)]);
    }
    let mut model = ModelProto::decode(network).unwrap();
    model.graph.as_mut().unwrap().output = outputs.finish(&[]).graph.unwrap().output;
    let described = model.metadata_props.iter_mut().find(|entry| entry.key == BackboneMeta::KEY).unwrap();
    let mut meta: serde_json::Value = serde_json::from_str(&described.value).unwrap();
    meta["outputs"] = blocks.iter().map(|block| block.0).collect();
    meta["strides"] = blocks.iter().map(|block| block.2).collect();
    described.value = meta.to_string();
    model.encode_to_vec()
}

/// A pyramid is the plain network, which agrees with PyTorch, on the image and on its half.
#[test]
fn a_pyramid_is_the_network_at_two_sizes() {
    let Some(wheel) = super::wheel("efficientnet-lite0") else { return };
    let runtime = Runtime::load(None).unwrap();
    let converted = |name| Known::named(name).unwrap().convert(&wheel, &Conversion::default()).unwrap();
    let load =
        |bytes: &[u8]| Backbone::load(&runtime, NetworkSource::Bytes(bytes), &SessionOptions::default()).unwrap();
    let plain = converted("efficientnet-lite0");
    let whole = load(&at_blocks(&plain, &[("feature1", 40, 8), ("block7", 80, 16)]));
    let halved = load(&at_blocks(&plain, &[("feature2", 112, 16), ("block12", 192, 32)]));
    let pyramid = load(&converted("efficientnet-lite0-pyramid"));
    assert_eq!(pyramid.meta().strides, [8, 16, 32, 64]);
    let (height, width) = (128, 192);
    let image = image(pyramid.meta(), height, width);
    let half = Array4::from_shape_fn((1, 3, height / 2, width / 2), |(_, c, y, x)| {
        let sum: f32 = [(0, 0), (0, 1), (1, 0), (1, 1)]
            .map(|(down, across)| image[[0, c, 2 * y + down, 2 * x + across]])
            .iter()
            .sum();
        sum / 4.0
    });
    let maps = pyramid.features(image.view()).unwrap();
    let shapes: Vec<_> = maps.iter().map(|map| map.dim()).collect();
    assert_eq!(shapes, [(1, 40, 16, 24), (1, 80, 8, 12), (1, 112, 4, 6), (1, 192, 2, 3)]);
    let expected = [whole.features(image.view()).unwrap(), halved.features(half.view()).unwrap()].concat();
    for (scale, (map, expected)) in maps.iter().zip(&expected).enumerate() {
        let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let worst = map.iter().zip(expected).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
        assert!(worst <= 1e-5 * largest, "scale {scale}: {worst} of {largest}");
    }
}

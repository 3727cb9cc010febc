//! Converted networks against PyTorch: `tools/golden_backbone.py` made the values.

use ndarray::Array4;
use serde::Deserialize;
use uflow::{
    backbone::{BackboneMeta, Conversion, Known, NetworkSource},
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

/// A pyramid is the same network on the image and on its half: strides 8 and 16 are those of the plain network, stride 32 is stride 16 of the
/// halved image.
#[test]
fn a_pyramid_is_the_network_at_two_sizes() {
    let Some(wheel) = super::wheel("efficientnet-lite0") else { return };
    let runtime = Runtime::load(None).unwrap();
    let [pyramid, plain] = ["efficientnet-lite0-pyramid", "efficientnet-lite0"].map(|name| {
        let bytes = Known::named(name).unwrap().convert(&wheel, &Conversion::default()).unwrap();
        Backbone::load(&runtime, NetworkSource::Bytes(&bytes), &SessionOptions::default()).unwrap()
    });
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
    assert_eq!(shapes, [(1, 40, 16, 24), (1, 112, 8, 12), (1, 112, 4, 6), (1, 192, 2, 3)]);
    let (whole, halved) = (plain.features(image.view()).unwrap(), plain.features(half.view()).unwrap());
    for (scale, expected) in [(0, &whole[1]), (1, &whole[2]), (2, &halved[2])] {
        let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let worst = maps[scale].iter().zip(expected).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
        assert!(worst <= 1e-5 * largest, "scale {scale}: {worst} of {largest}");
    }
    // Not a map that the other scales have already.
    assert!(maps[3].iter().all(|value| value.is_finite()) && maps[3].iter().any(|value| value.abs() > 0.1));
}

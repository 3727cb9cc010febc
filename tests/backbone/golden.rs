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

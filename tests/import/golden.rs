//! Checkpoints that PyTorch saved, made with FrEIA by `tools/golden_checkpoints.py`: the imported flow gives PyTorch's latents,
//! computed here and in ONNX Runtime, whatever the format, the names, the precision and the hyper-parameters beside them.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use crate::onnxruntime::environment;
use ndarray::{Array3, ArrayD, Axis, Ix3};
use ndarray_npy::NpzReader;
use ort::{session::Session, value::TensorRef};
use prost::Message;
use uflow::{
    flow::{Mixing, Normalisation},
    import::{Checkpoint, ClampSource, RecogniseOptions, Recognised},
    latents::ScaleShape,
};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/checkpoints").join(name)
}

/// Features and latents, finest first.
fn arrays(name: &str) -> [Vec<Array3<f32>>; 2] {
    let mut npz = NpzReader::new(File::open(golden(&format!("{name}.npz"))).unwrap()).unwrap();
    ["feature", "latent"].map(|kind| {
        let read = |scale: usize| npz.by_name::<_, _>(&format!("{kind}{scale}.npy")).ok();
        (0..).map_while(read).map(|array: ArrayD<f32>| array.into_dimensionality::<Ix3>().unwrap()).collect()
    })
}

fn shapes(maps: &[Array3<f32>]) -> Vec<ScaleShape> {
    let shape = |map: &Array3<f32>| ScaleShape { channels: map.dim().0, height: map.dim().1, width: map.dim().2 };
    maps.iter().map(shape).collect()
}

fn worst(found: &Array3<f32>, expected: &Array3<f32>) -> f32 {
    assert_eq!(found.dim(), expected.dim());
    (found - expected).iter().fold(0.0, |worst: f32, difference| {
        assert!(difference.is_finite());
        worst.max(difference.abs())
    })
}

/// Imports a checkpoint and compares its latents; they are within 1e-4 of PyTorch's.
fn check(file: &str, options: &RecogniseOptions) -> Recognised {
    let name = file.rsplit_once('.').unwrap().0;
    let [features, latents] = arrays(name);
    assert!(!features.is_empty() && features.len() == latents.len());
    let mut checkpoint = Checkpoint::open(golden(file)).unwrap();
    let recognised = checkpoint.recognise(&shapes(&features), options).unwrap();
    let views: Vec<_> = features.iter().map(|map| map.view()).collect();
    let (found, _) = recognised.flow.forward(&views).unwrap();
    for (scale, (found, expected)) in found.iter().zip(&latents).enumerate() {
        let worst = worst(found, expected);
        println!("{file}: scale {scale} differs by {worst:.1e}");
        assert!(worst <= 1e-4, "{file}: latents of scale {scale} differ by {worst:e}");
    }
    let model = recognised.flow.to_onnx().encode_to_vec();
    let mut session = Session::builder(environment()).unwrap().commit_from_memory(&model).unwrap();
    let batches: Vec<_> = features.iter().map(|map| map.clone().insert_axis(Axis(0))).collect();
    let named = batches
        .iter()
        .enumerate()
        .map(|(scale, map)| (format!("feature{scale}"), TensorRef::from_array_view(map.view()).unwrap()));
    let outputs = session.run(named.collect::<Vec<_>>()).unwrap();
    for (scale, expected) in latents.iter().enumerate() {
        let found = outputs[format!("latent{scale}").as_str()].try_extract_array::<f32>().unwrap();
        let found = found.index_axis(Axis(0), 0).to_owned().into_dimensionality::<Ix3>().unwrap();
        let worst = worst(&found, expected);
        println!("{file}: scale {scale} of the exported flow differs by {worst:.1e}");
        assert!(worst <= 1e-4, "{file}: exported latents of scale {scale} differ by {worst:e}");
    }
    recognised
}

fn plain(file: &str) -> Recognised {
    check(file, &RecogniseOptions::default())
}

#[test]
fn one_scale() {
    let hard = plain("one_scale_hard.pt").facts;
    assert_eq!((hard.prefix.as_str(), hard.scales, hard.steps), ("flow.module_list.", 1, 4));
    assert_eq!((hard.kernels, hard.permutations, hard.rotations), (vec![3, 1, 3, 1], 4, 0));
    assert_eq!((hard.clamp, hard.clamp_from, hard.hidden), (2.0, ClampSource::Published, vec![4]));
    assert_eq!((hard.layer_norms, hard.unused.len(), hard.warnings.len()), (vec![None], 0, 0));
    let soft = plain("one_scale_soft.pt").facts;
    assert_eq!((soft.steps, soft.permutations, soft.rotations), (3, 0, 3));
}

#[test]
fn learned_permutations() {
    let facts = plain("one_scale_learned.pt").facts;
    assert_eq!((facts.steps, facts.permutations, facts.rotations), (2, 0, 2));
}

#[test]
fn two_scales() {
    let hard = plain("two_scales_hard.pt").facts;
    assert_eq!((hard.scales, hard.steps, hard.permutations), (2, 4, 8));
    let soft = plain("two_scales_soft.ckpt");
    assert_eq!((soft.facts.rotations, soft.facts.clamp_from), (6, ClampSource::HyperParameters));
    // Half as many hidden channels as the subnetworks' inputs have.
    assert_eq!(soft.facts.hidden, [1, 2]);
    assert_eq!(soft.flow.architecture().hidden, [1, 2]);
}

#[test]
fn three_scales_with_odd_channels_layer_norms_and_another_clamp() {
    let Recognised { flow, facts } = plain("three_scales_hard.ckpt");
    assert_eq!((facts.scales, facts.steps, facts.permutations), (3, 3, 9));
    assert_eq!((facts.clamp, facts.clamp_from), (1.3, ClampSource::HyperParameters));
    assert_eq!(facts.prefix, "model.flow.module_list.");
    let norm = |scale| Some(format!("model.feature_extractor.feature_normalizations.{scale}"));
    assert_eq!(facts.layer_norms, [norm(0), norm(1), norm(2)]);
    let affine = |n: &Normalisation| matches!(n, Normalisation::LayerNorm { affine: Some(_) });
    assert!(flow.normalisations().iter().all(affine));
    let unused: Vec<_> = facts.unused.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(unused, [("image_threshold", 1), ("model.feature_extractor", 2)]);
    assert!(matches!(flow.step_weights(2, 0).unwrap().mixing, Mixing::Permutation(_)));
    let soft = plain("three_scales_soft.ckpt").facts;
    assert_eq!((soft.scales, soft.rotations), (3, 9));
}

#[test]
fn other_precisions_are_converted() {
    for file in ["bfloat16.pt", "float16.pt", "float64.pt"] {
        plain(file);
    }
}

#[test]
fn a_given_clamp_goes_before_the_files_own() {
    let [features, latents] = arrays("three_scales_hard");
    let mut checkpoint = Checkpoint::open(golden("three_scales_hard.ckpt")).unwrap();
    let options = RecogniseOptions { clamp: Some(2.0), prefix: None };
    let recognised = checkpoint.recognise(&shapes(&features), &options).unwrap();
    assert_eq!((recognised.facts.clamp, recognised.facts.clamp_from), (2.0, ClampSource::Given));
    let views: Vec<_> = features.iter().map(|map| map.view()).collect();
    let (found, _) = recognised.flow.forward(&views).unwrap();
    assert!(worst(&found[0], &latents[0]) > 1e-2, "the clamp changed nothing");
    let same = RecogniseOptions { clamp: Some(1.3), prefix: Some("model.flow.module_list".to_owned()) };
    check("three_scales_hard.ckpt", &same);
}

#[test]
fn every_golden_file_is_tested() {
    let folder = std::fs::read_dir(golden("")).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.ends_with(".npz")).count(), 10, "golden files, by tools/golden_checkpoints.py");
}

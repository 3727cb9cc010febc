//! `uflow import` as users run it: a golden checkpoint of three scales, on a small backbone that fits.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::{backbones::PHOTONET, networks::Conv};
use image::{Rgb, RgbImage};
use prost::Message;
use serde_json::Value;
use uflow::{
    import::{Checkpoint, RecogniseOptions},
    latents::ScaleShape,
    onnx::{Dim, GraphBuilder},
    package::Package,
};

const META: &str = r#"{"name": "small", "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "input_size": 32,
    "outputs": ["f0", "f1", "f2"], "strides": [4, 8, 16]}"#;
/// Channels of the golden checkpoint's features.
const CHANNELS: [usize; 3] = [5, 7, 17];

fn convolutions() -> [Conv; 3] {
    [Conv::new(1, 3, 5, 3, 4), Conv::new(2, 5, 7, 3, 2), Conv::new(3, 7, 17, 3, 2)]
}

fn backbone(path: &Path) -> PathBuf {
    let mut graph = GraphBuilder::new("small");
    let dims = |channels| [Dim::Named("batch"), Dim::Fixed(channels), Dim::Named("h"), Dim::Named("w")];
    graph.input("image", &dims(3));
    let mut input = "image".to_owned();
    for (scale, conv) in convolutions().iter().enumerate() {
        let output = format!("f{scale}");
        conv.node(&mut graph, &input, &output);
        graph.output(&output, &[Dim::Named("batch"), Dim::Fixed(CHANNELS[scale]), Dim::Named("y"), Dim::Named("x")]);
        input = output;
    }
    std::fs::write(path, graph.finish(&[("uflow.backbone", META)]).encode_to_vec()).unwrap();
    path.to_owned()
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/checkpoints").join(name)
}

fn picture(path: &Path, seed: u32) -> PathBuf {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let picture = RgbImage::from_fn(32, 32, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Rgb([(state >> 24) as u8, (state >> 16) as u8, (state >> 8) as u8])
    });
    picture.save(path).unwrap();
    path.to_owned()
}

fn uflow(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_uflow")).args(args).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs `uflow import` on the golden checkpoint with further arguments; the package's path and the output.
fn import(folder: &Path, further: &[&str]) -> (PathBuf, Output) {
    let (backbone, out) = (backbone(&folder.join("small.onnx")), folder.join("bracket.uflow"));
    let checkpoint = golden("three_scales_hard.ckpt");
    let mut args = vec!["import", text(&checkpoint), "--backbone", text(&backbone), "-o", text(&out)];
    args.extend(further);
    let output = uflow(&args);
    (out, output)
}

#[test]
fn a_package_that_detects() {
    let folder = tempfile::tempdir().unwrap();
    let (out, output) = import(folder.path(), &["--epsilon", "0.5"]);
    let said = stdout(&output);
    for words in [
        "3 scales of 3 steps from `model.flow.module_list.`",
        "hard permutations",
        "clamp 1.3 (from the checkpoint's hyper-parameters)",
        "LayerNorms (model.feature_extractor.feature_normalizations.0",
        "only its shapes were checked",
        "image_threshold (1), model.feature_extractor (2)",
    ] {
        assert!(said.contains(words), "no `{words}` in: {said}");
    }
    let manifest = Package::open(&out).unwrap().manifest;
    assert_eq!((manifest.name.as_str(), manifest.backbone.name.as_str()), ("bracket", "small"));
    assert!(manifest.training.is_none() && manifest.scores.is_none());
    assert_eq!((manifest.input.width, manifest.input.std, manifest.detection.epsilon), (32, [0.25; 3], Some(0.5)));
    assert_eq!(manifest.scales[2].features, ScaleShape { channels: 17, height: 2, width: 2 });
    let image = picture(&folder.path().join("a.png"), 1);
    stdout(&uflow(&["detect", "--model", text(&out), text(&image)]));
    assert!(stdout(&uflow(&["info", text(&out)])).contains("backbone   small"));
}

#[test]
fn compare_prints_the_latents_statistics() {
    let folder = tempfile::tempdir().unwrap();
    let image = picture(&folder.path().join("a.png"), 2);
    let (_, output) = import(folder.path(), &["--compare", text(&image), "--json"]);
    let line: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&line["event"], &line["flow"]["clamp_from"]), (&"imported".into(), &"hyper-parameters".into()));
    assert_eq!((&line["flow"]["steps"], &line["flow"]["clamp"]), (&3.into(), &1.3.into()));
    assert_eq!(line["compare"].as_array().unwrap().len(), 1);
    assert_eq!(line["compare"][0]["path"], text(&image));

    // The same by the flow itself, on features by plain loops.
    let picture = image::open(&image).unwrap().to_rgb8();
    let mut map = ndarray::Array4::from_shape_fn((1, 3, 32, 32), |(_, channel, y, x)| {
        (f32::from(picture.get_pixel(x as u32, y as u32)[channel]) / 255.0 - 0.5) / 0.25
    });
    let mut features = Vec::new();
    for conv in convolutions() {
        map = conv.apply(map.view());
        features.push(map.index_axis(ndarray::Axis(0), 0).to_owned());
    }
    let shape =
        |map: &ndarray::Array3<f32>| ScaleShape { channels: map.dim().0, height: map.dim().1, width: map.dim().2 };
    let shapes: Vec<_> = features.iter().map(shape).collect();
    let mut checkpoint = Checkpoint::open(golden("three_scales_hard.ckpt")).unwrap();
    let flow = checkpoint.recognise(&shapes, &RecogniseOptions::default()).unwrap().flow;
    let (latents, _) = flow.forward(&features.iter().map(|map| map.view()).collect::<Vec<_>>()).unwrap();
    for (scale, latents) in latents.iter().enumerate() {
        let found = &line["compare"][0]["scales"][scale];
        let number = |name: &str| found[name].as_f64().unwrap();
        let mean = f64::from(latents.mean().unwrap());
        let variance = latents.iter().map(|z| (f64::from(*z) - mean).powi(2)).sum::<f64>() / latents.len() as f64;
        let largest = latents.iter().fold(f32::NEG_INFINITY, |largest, z| largest.max(*z));
        assert!((number("mean") - mean).abs() < 1e-3, "{found}, not {mean}");
        assert!((number("variance") / variance - 1.0).abs() < 1e-3, "{found}, not {variance}");
        assert!((number("max") - f64::from(largest)).abs() < 1e-2, "{found}, not {largest}");
    }
    let said = stdout(&import(folder.path(), &["--compare", text(&image)]).1);
    assert!(said.contains("latents 2  mean") && said.contains("a.png: highest score"), "{said}");
}

#[test]
fn good_images_give_scores_and_a_warning_where_latents_are_not_white() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good");
    std::fs::create_dir(&good).unwrap();
    (0..3).for_each(|seed| drop(picture(&good.join(format!("{seed}.png")), seed)));
    let (out, output) = import(folder.path(), &["--good", text(&good), "--name", "other"]);
    // A random flow on a random backbone: nothing is white.
    assert!(stderr(&output).contains("not 0.8 to 1.25"), "{}", stderr(&output));
    assert!(stdout(&output).contains("latent variance on 3 good images"));
    let manifest = Package::open(&out).unwrap().manifest;
    let scores = manifest.scores.unwrap();
    assert_eq!((manifest.name.as_str(), scores.images), ("other", 3));
    assert!(scores.min <= scores.mean && scores.mean <= scores.max && scores.fair_threshold <= scores.max);
    let info = stdout(&uflow(&["info", text(&out)]));
    assert!(info.contains("on 3 good images") && !info.contains("training"), "{info}");
}

#[test]
fn wrong_use_is_2_and_what_fails_is_1() {
    let folder = tempfile::tempdir().unwrap();
    let usage: [&[&str]; 4] = [&["--clamp", "0"], &["--clamp", "NaN"], &["--input-size", "0"], &["--name", "../evil"]];
    for further in usage {
        let (out, output) = import(folder.path(), further);
        assert_eq!(output.status.code(), Some(2), "{further:?}: {}", stderr(&output));
        assert!(!out.exists());
    }
    assert_eq!(uflow(&["import", "model.ckpt", "-o", "out.uflow"]).status.code(), Some(2));
    let failures: [(&[&str], &str); 5] = [
        (&["--input-size", "64"], "features of 5×8×8, but the backbone gives 5×16×16"),
        (&["--prefix", "other"], "no flow's names begin with `other`"),
        (&["--good", "nowhere"], "not a folder"),
        (&["--compare", "nowhere.png"], "nowhere.png"),
        (&["--json", "--prefix", "other"], "{\"error\":"),
    ];
    for (further, words) in failures {
        let (out, output) = import(folder.path(), further);
        assert_eq!(output.status.code(), Some(1), "{further:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{further:?}: {}", stderr(&output));
        assert!(!out.exists());
    }
    let out = folder.path().join("out.uflow");
    let checkpoint = golden("three_scales_hard.ckpt");
    let on_photonet = uflow(&["import", text(&checkpoint), "--backbone", PHOTONET, "-o", text(&out)]);
    assert_eq!(on_photonet.status.code(), Some(1));
    assert!(stderr(&on_photonet).contains("trained on another backbone"), "{}", stderr(&on_photonet));
    let text_file = folder.path().join("text.ckpt");
    std::fs::write(&text_file, "no checkpoint").unwrap();
    let output = uflow(&["import", text(&text_file), "--backbone", PHOTONET, "-o", text(&out)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("text.ckpt: the file is not a checkpoint"), "{}", stderr(&output));
    assert!(!out.exists());
}

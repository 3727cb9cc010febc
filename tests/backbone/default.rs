//! The default backbone in the commands that fit, and photonet, which is a backbone like the others.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use uflow::{
    backbone::DEFAULT,
    frame::{Frame, PixelFormat},
    package::{Package, sha256},
    runtime::Runtime,
    train::fit::{BackboneChoice, FitOptions, Fitter, Pushed},
};

use crate::{
    backbones::{PHOTONET, default_folder},
    cli::{User, says, stderr, stdout, text},
    networks::models,
};

/// Options that keep a fit short.
const SHORT: [&str; 8] = ["--input-size", "64", "--epochs", "1", "--tests", "paper", "--verdict", "nfa"];

fn fit(user: &User, out: &str, more: &[&str]) -> Command {
    let good = user.good_images();
    let out = user.path(out);
    user.command(&[&["fit", "--good", text(&good), "--out", text(&out)], &SHORT[..], more].concat())
}

/// What `detect` says of an image, but for the times.
fn detect(user: &User, package: &Path) -> Value {
    let image = user.path("sets/parts/test/bad/0.png");
    let said = stdout(&user.uflow(&["detect", "--json", "--model", text(package), text(&image)]));
    let mut line: Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    line.as_object_mut().unwrap().remove("timings_ms");
    line
}

/// The package goes to a machine without a backbone.
fn alone(user: &User, package: &str) -> PathBuf {
    let copy = user.path("elsewhere").join(package);
    fs::create_dir_all(copy.parent().unwrap()).unwrap();
    fs::copy(user.path(package), &copy).unwrap();
    assert_eq!(fs::read_dir(user.path("backbones")).unwrap().count(), 0);
    copy
}

#[test]
fn a_fit_takes_the_default_backbone_and_its_package_needs_none() {
    let Some(folder) = default_folder() else { return };
    let user = User::new();
    let output = fit(&user, "part.uflow", &[]).env("UFLOW_BACKBONES", folder).output().unwrap();
    stdout(&output);
    let manifest = Package::open(user.path("part.uflow")).unwrap().manifest;
    assert_eq!(manifest.backbone.name, DEFAULT);
    let info = stdout(&user.uflow(&["info", text(&user.path("part.uflow"))]));
    says(&info, &["backbone   efficientnet-lite0-pyramid\n", "licence of its weights: Apache-2.0\n"]);
    assert_eq!(manifest.backbone.sha256, sha256(&fs::read(uflow::backbone::file_in(folder, DEFAULT)).unwrap()));
    assert!(detect(&user, &alone(&user, "part.uflow"))["score"].is_number());
}

/// Images of 48×32 pixels are not squeezed into a square.
#[test]
fn the_input_has_the_shape_of_the_images() {
    let Some(folder) = default_folder() else { return };
    let user = User::new();
    let (good, out) = (user.good_images(), user.path("part.uflow"));
    let fit = ["fit", "--good", text(&good), "--out", text(&out), "--strides", "32,64", "--epochs", "1"];
    for (more, expected) in [(&[][..], (512, 320)), (&["--input-size", "128x64"], (128, 64))] {
        let options = [&fit[..], &["--tests", "paper", "--verdict", "nfa"], more].concat();
        stdout(&user.command(&options).env("UFLOW_BACKBONES", folder).output().unwrap());
        let input = Package::open(&out).unwrap().manifest.input;
        assert_eq!((input.width, input.height), expected);
    }
    let wrong = user.uflow(&[&fit[..], &["--input-size", "128x"]].concat());
    assert_eq!(wrong.status.code(), Some(2));
    says(&stderr(&wrong), &["`128x` is not a size", "320x704"]);
}

/// Frame by frame, the first that is added decides; one that is left out, as from a covered lens, does not.
#[test]
fn only_a_frame_that_is_added_shapes_the_input() {
    let Some(folder) = default_folder() else { return };
    let backbone = BackboneChoice::File(uflow::backbone::file_in(folder, DEFAULT));
    let options = FitOptions { backbone, ..FitOptions::new("part") };
    let mut fitter = Fitter::new(&Runtime::load(None).unwrap(), options).unwrap();
    let mut push = |pixels: &[u8], (width, height)| {
        let pushed = fitter.push(&Frame::packed(pixels, width, height, PixelFormat::Rgb8).unwrap()).unwrap();
        (pushed, fitter.input().width, fitter.input().height)
    };
    assert_eq!(push(&[7; 3 * 96 * 32], (96, 32)).0, Pushed::Uniform);
    let good = |seed, width, height| models::good(seed, width, height, PixelFormat::Rgb8);
    assert_eq!(push(&good(1, 32, 48), (32, 48)), (Pushed::Added, 320, 512));
    assert_eq!(push(&good(2, 96, 32), (96, 32)), (Pushed::Added, 320, 512), "later frames change nothing");
}

/// Every command that would fit on it says where it looked and what to do, before it works.
#[test]
fn without_the_default_backbone_commands_say_what_to_do() {
    let user = User::new();
    let advice = |output: &Output| {
        assert_eq!(output.status.code(), Some(1), "{}", stderr(output));
        let folder = user.path("backbones");
        says(
            &stderr(output),
            &["there is no backbone `efficientnet-lite0-pyramid`", text(&folder), "(beside the program)"],
        );
        says(&stderr(output), &["Fetch it: uflow backbone fetch efficientnet-lite0-pyramid\n", "make backbones"]);
    };
    advice(&fit(&user, "part.uflow", &[]).output().unwrap());
    let (data, out) = (user.path("sets"), user.path("out"));
    let all = ["evaluate", "--all-categories", "--data", text(&data), "--out", text(&out), "--layout", "mvtec"];
    advice(&user.uflow(&all));
    let out = user.path("demo");
    advice(&user.uflow(&["demo", "--out", text(&out)]));
    assert!(!out.exists(), "the demo made pictures first");
    let output = fit(&user, "part.uflow", &["--backbone", "photonet"]).output().unwrap();
    says(
        &stderr(&output),
        &["uflow backbone fetch photonet --file assets/photonet.onnx", "make backbones BACKBONES=photonet"],
    );
}

#[test]
fn the_demo_runs_on_the_default_backbone() {
    let Some(folder) = default_folder() else { return };
    let user = User::new();
    let out = user.path("demo");
    let mut command =
        user.command(&["--json", "demo", "--products", "printed-grid", "--train", "8", "--out", text(&out)]);
    let output = command.env("UFLOW_BACKBONES", folder).output().unwrap();
    let said = stdout(&output);
    let outcome: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert!(outcome["products"]["printed_grid"]["total"].is_object(), "{outcome}");
    assert!(out.join("report.html").is_file());
    assert_eq!(Package::open(out.join("models/printed_grid/1")).unwrap().manifest.backbone.name, DEFAULT);
}

/// photonet is taken from the source when it is asked for. Packages that hold it decide without it.
#[test]
fn photonet_is_fetched_from_its_file() {
    let user = User::new();
    let fetch = ["backbone", "fetch", "photonet", "--file", PHOTONET];
    says(&stdout(&user.uflow(&fetch)), &["photonet.onnx: written", "licence: non-commercial research"]);
    says(&stdout(&user.uflow(&fetch)), &["photonet.onnx: is there already"]);
    let stored = user.path("backbones/photonet.onnx");
    assert_eq!(fs::read(&stored).unwrap(), fs::read(PHOTONET).unwrap());
    says(&stdout(&user.uflow(&["backbone", "list"])), &[&format!("photonet: {}", text(&stored))]);

    stdout(&fit(&user, "part.uflow", &["--backbone", "photonet"]).output().unwrap());
    let before = detect(&user, &user.path("part.uflow"));
    fs::remove_file(&stored).unwrap();
    let after = detect(&user, &alone(&user, "part.uflow"));
    assert_eq!(before, after);

    fs::write(&stored, b"another").unwrap();
    let output = user.uflow(&fetch);
    assert_eq!(output.status.code(), Some(1));
    says(&stderr(&output), &["--force replaces it"]);
    let other = user.uflow(&["backbone", "fetch", "photonet", "--file", text(&stored), "--force"]);
    says(&stderr(&other), &["damaged or another file", "assets/photonet.onnx of U-Flow's source"]);
    assert_eq!(fs::read(&stored).unwrap(), b"another");
}

/// No backbone is part of the program.
#[test]
fn the_program_holds_no_backbone() {
    let program = fs::read(env!("CARGO_BIN_EXE_uflow")).unwrap();
    let photonet = fs::read(PHOTONET).unwrap();
    let part = &photonet[photonet.len() / 2..][..64];
    assert!(!program.windows(part.len()).any(|window| window == part));
}

//! Golden frames: `uflow verify`, `uflow package golden`, and what `uflow fit` keeps.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use uflow::{
    frame::PixelFormat,
    package::{Golden, Package},
};

use super::{
    command::{stderr, text, uflow},
    networks::models,
    sign::package,
};

const SIZE: (u32, u32) = (48, 32);

fn stdout(arguments: &[&str]) -> String {
    let output = uflow(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let output = uflow(&[arguments, &["--json"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)))
}

fn picture(path: &Path, seed: u64, make: fn(u64, u32, u32, PixelFormat) -> Vec<u8>) -> PathBuf {
    let pixels = make(seed, SIZE.0, SIZE.1, PixelFormat::Rgb8);
    image::RgbImage::from_raw(SIZE.0, SIZE.1, pixels).unwrap().save(path).unwrap();
    path.to_owned()
}

fn golden(path: &Path) -> Golden {
    Package::open(path).unwrap().manifest.golden.unwrap()
}

/// Changes what a package expects.
fn expect(path: &Path, change: impl FnOnce(&mut Golden)) {
    let package = Package::open(path).unwrap();
    let mut golden = package.manifest.golden.clone().unwrap();
    change(&mut golden);
    package.write_with_golden(path, Some((golden, &package.golden))).unwrap();
}

#[test]
fn a_package_agrees_with_the_machine_that_made_it() {
    let folder = tempfile::tempdir().unwrap();
    let bolt = package(folder.path(), "bolt.uflow");
    let said = stdout(&["verify", text(&bolt)]);
    for words in ["made by  uflow ", "here     uflow ", "cpu fp32", "golden/2.png", "all 3 golden frames agree"] {
        assert!(said.contains(words), "no `{words}` in {said}");
    }
    assert!(said.lines().all(|line| line.chars().count() <= 100), "{said}");
    let found = json(&["verify", text(&bolt)]);
    assert_eq!((&found["agrees"], found["verification"]["frames"].as_array().unwrap().len()), (&true.into(), 3));
    assert!(found["difference"].as_f64().unwrap() <= 1e-6, "{found}");
    assert_eq!(found["verification"]["made"], found["verification"]["here"]);
    assert_eq!(found["verification"]["tolerance"], 0.001);
    assert!(stdout(&["info", text(&bolt)]).contains("golden     3 frames for `uflow verify`"));
}

#[test]
fn each_difference_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let bolt = package(folder.path(), "bolt");
    let differs = |what: &str| {
        let output = uflow(&["verify", text(&bolt)]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{what}: {said}{}", stderr(&output));
        assert_eq!(said.matches("  differs").count(), 1, "{what}: {said}");
        assert!(said.contains("does not agree: largest difference"), "{what}: {said}");
        said
    };
    let before = golden(&bolt);
    expect(&bolt, |golden| golden.frames[0].expected.score += 0.01 * before.frames[0].expected.score.abs().max(1.0));
    differs("the score");
    assert!(uflow(&["verify", text(&bolt), "--tolerance", "0.1"]).status.success(), "the tolerance is the caller's");
    expect(&bolt, |golden| {
        golden.frames.clone_from(&before.frames);
        golden.frames[1].expected.quantiles[4] = 1.0;
    });
    differs("the score map");
    expect(&bolt, |golden| {
        golden.frames.clone_from(&before.frames);
        golden.frames[2].expected.anomalous = !before.frames[2].expected.anomalous;
    });
    let said = differs("the verdict");
    assert!(said.contains(", here "), "{said}");
    // Another picture in the place of a golden one, its hash too.
    let package = Package::open(&bolt).unwrap();
    let mut pictures = package.golden.clone();
    let bad = picture(&folder.path().join("bad.png"), 7, models::bad);
    pictures[1] = fs::read(bad).unwrap().into();
    let mut golden = before.clone();
    golden.frames[1].sha256 = uflow::package::sha256(&pictures[1]);
    package.write_with_golden(&bolt, Some((golden, &pictures))).unwrap();
    differs("the picture");

    let output = uflow(&["verify", text(&bolt), "--tolerance", "0"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn golden_frames_are_replaced_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let bolt = package(folder.path(), "bolt");
    let good = picture(&folder.path().join("good.png"), 77, models::good);
    let bad = picture(&folder.path().join("bad.png"), 78, models::bad);
    let out = folder.path().join("out.uflow");
    let said = stdout(&["package", "golden", text(&bolt), text(&good), text(&bad), "--out", text(&out)]);
    assert!(said.contains("out.uflow: 2 golden frames"), "{said}");
    assert_eq!((golden(&bolt).frames.len(), golden(&out).frames.len()), (3, 2));
    let [first, second] = golden(&out).frames.try_into().unwrap();
    assert!(second.expected.score > first.expected.score, "the defect");
    // 8 bits that fit into the input stay as they are, and so does what detect finds.
    let detected = json(&["detect", "--model", text(&out), text(&bad)]);
    assert!((detected["score"].as_f64().unwrap() - f64::from(second.expected.score)).abs() < 1e-4, "{detected}");
    assert!(stdout(&["verify", text(&out)]).contains("all 2 golden frames agree"));

    assert!(stdout(&["package", "golden", text(&out), "--none"]).contains("0 golden frames"));
    let output = uflow(&["verify", text(&out)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("has no golden frames; put some in"), "{}", stderr(&output));
    assert!(stdout(&["info", text(&out)]).contains("no golden frames"));
    for wrong in [&["package", "golden", text(&bolt)][..], &["package", "golden", text(&bolt), text(&bad), "--none"]] {
        assert_eq!(uflow(wrong).status.code(), Some(2), "{wrong:?}");
    }
    let many: Vec<&str> = [&["package", "golden", text(&bolt)][..], &[text(&good); 17]].concat();
    assert!(stderr(&uflow(&many)).contains("at most 16 golden frames"));
    let missing = uflow(&["package", "golden", text(&bolt), "none.png"]);
    assert!(missing.status.code() == Some(1) && stderr(&missing).contains("none.png"), "{}", stderr(&missing));
}

#[test]
fn another_decision_is_measured_anew_and_another_name_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let bolt = package(folder.path(), "bolt");
    let before = golden(&bolt);
    assert!(before.frames.iter().all(|frame| !frame.expected.anomalous));
    stdout(&["package", "set", text(&bolt), "--name", "bolt-m8"]);
    assert_eq!(golden(&bolt), before);
    // At this ε every one of the small pictures has a region.
    stdout(&["package", "set", text(&bolt), "--epsilon", "1e230"]);
    let after = golden(&bolt);
    assert!(after.frames.iter().all(|frame| frame.expected.anomalous), "{after:?}");
    assert_eq!(after.frames[0].sha256, before.frames[0].sha256, "the same pictures");
    assert!(stdout(&["verify", text(&bolt)]).contains("all 3 golden frames agree"));
    let half = image::GrayImage::from_fn(SIZE.0, SIZE.1, |x, _| image::Luma([if x < 24 { 255 } else { 0 }]));
    half.save(folder.path().join("roi.png")).unwrap();
    stdout(&["package", "set", text(&bolt), "--roi", text(&folder.path().join("roi.png"))]);
    assert_ne!(golden(&bolt).frames[0].expected, after.frames[0].expected, "inside the region");
    stdout(&["verify", text(&bolt)]);
}

#[test]
fn fit_keeps_as_many_as_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good");
    fs::create_dir(&good).unwrap();
    for seed in 0..12 {
        picture(&good.join(format!("{seed:02}.png")), seed, models::good);
    }
    let backbone = models::backbone(folder.path(), 1);
    let fit = |frames: &str| {
        let out = folder.path().join(format!("{frames}.uflow"));
        let output = uflow(&[
            "fit",
            "--good",
            text(&good),
            "--out",
            text(&out),
            "--backbone",
            text(&backbone),
            "--input-size",
            "48x32",
            "--epochs",
            "2",
            "--tests",
            "paper",
            "--golden",
            frames,
        ]);
        (output, out)
    };
    for frames in [0, 2] {
        let (output, out) = fit(&frames.to_string());
        assert!(output.status.success(), "{}", stderr(&output));
        let package = Package::open(&out).unwrap();
        assert_eq!((package.golden.len(), package.manifest.golden.is_some()), (frames, frames > 0));
    }
    stdout(&["verify", text(&folder.path().join("2.uflow"))]);
    // A fit whose features were kept reads the pictures all the same.
    let (out, features) = (folder.path().join("again.uflow"), folder.path().join("features"));
    for _ in 0..2 {
        stdout(&[
            "fit",
            "--good",
            text(&good),
            "--out",
            text(&out),
            "--backbone",
            text(&backbone),
            "--input-size",
            "48x32",
            "--epochs",
            "2",
            "--tests",
            "paper",
            "--features",
            text(&features),
        ]);
        assert_eq!(golden(&out).frames.len(), 3);
    }
    stdout(&["verify", text(&out)]);
    let (output, _) = fit("17");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("a package holds at most 16"), "{}", stderr(&output));
}

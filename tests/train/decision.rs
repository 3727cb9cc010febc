//! How a package's decision is changed: `uflow package set`, and `uflow calibrate --out`.

use std::path::{Path, PathBuf};

use serde_json::Value;
use uflow::{
    frame::PixelFormat,
    package::Package,
    runtime::Runtime,
    segment::{TestCount, Verdict},
};

use crate::{
    command::{stderr, stdout, text, uflow},
    networks::models,
};

const SIZE: (u32, u32) = (48, 32);

/// A package without a null, in a folder of its own.
fn package(folder: &Path) -> PathBuf {
    let path = folder.join("bolt");
    let fitted = models::fit(&Runtime::load(None).unwrap(), &models::backbone(folder, 1), "bolt", 1);
    fitted.write(&path).unwrap();
    path
}

fn pictures(folder: &Path, count: u64) -> PathBuf {
    let good = folder.join("good");
    std::fs::create_dir(&good).unwrap();
    for seed in 0..count {
        let pixels = models::good(5000 + seed, SIZE.0, SIZE.1, PixelFormat::Rgb8);
        image::RgbImage::from_raw(SIZE.0, SIZE.1, pixels).unwrap().save(good.join(format!("{seed:02}.png"))).unwrap();
    }
    good
}

#[test]
fn set_changes_what_is_given_and_info_says_it_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = package(folder.path());
    let before = Package::open(&path).unwrap();
    assert!(stdout(&["info", text(&path)]).contains("an image is anomalous where a region has NFA < ε = 1"));

    let out = folder.path().join("strict.uflow");
    stdout(&["package", "set", text(&path), "--epsilon", "0.25", "--out", text(&out)]);
    assert_eq!(Package::open(&path).unwrap().manifest, before.manifest, "the package itself stays");
    let strict = Package::open(&out).unwrap();
    assert_eq!(
        (strict.manifest.detection.epsilon, strict.manifest.detection.verdict),
        (Some(0.25), Some(Verdict::Nfa))
    );
    assert_eq!((strict.flow, &strict.manifest.backbone), (before.flow.clone(), &before.manifest.backbone));

    let name = "bolt-m8";
    let line = stdout(&[
        "package",
        "set",
        text(&path),
        "--name",
        name,
        "--verdict",
        "either",
        "--score-threshold",
        "0.75",
        "--min-area",
        "9",
        "--json",
    ]);
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&line["event"], &line["name"], &line["detection"]["min_area"]),
        (&"changed".into(), &name.into(), &9.into())
    );
    let changed = Package::open(&path).unwrap().manifest;
    assert_eq!((changed.name.as_str(), changed.detection.score_threshold), (name, Some(0.75)));
    assert_eq!((changed.detection.verdict, changed.detection.epsilon), (Some(Verdict::Either), Some(1.0)));
    let said = stdout(&["info", text(&path)]);
    for words in
        ["or its score_max is above 0.75 (set in the package)", "regions of at least 9 pixels count", "tests: paper"]
    {
        assert!(said.contains(words), "no `{words}` in {said}");
    }
    stdout(&["package", "set", text(&path), "--no-score-threshold"]);
    assert!(stdout(&["info", text(&path)]).contains("(the fair threshold)"));
}

#[test]
fn set_gives_and_takes_a_region_of_interest() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mask) = (package(folder.path()), folder.path().join("mask.png"));
    let half = image::GrayImage::from_fn(SIZE.0, SIZE.1, |x, _| image::Luma([if x < 24 { 255 } else { 0 }]));
    half.save(&mask).unwrap();
    let said = stdout(&["package", "set", text(&path), "--roi", text(&mask)]);
    assert!(said.contains("inside the region of interest"), "{said}");
    assert!(Package::open(&path).unwrap().roi.is_some());
    // Another change keeps the region.
    stdout(&["package", "set", text(&path), "--epsilon", "2"]);
    assert!(Package::open(&path).unwrap().roi.is_some());
    let said = stdout(&["package", "set", text(&path), "--no-roi"]);
    assert!(said.contains("in the whole image"), "{said}");
    let package = Package::open(&path).unwrap();
    assert!(package.roi.is_none() && package.manifest.detection.roi.is_none());
    assert_eq!(package.manifest.detection.epsilon, Some(2.0));
}

#[test]
fn a_change_that_cannot_be_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = package(folder.path());
    let before = Package::open(&path).unwrap().manifest;
    for (options, told) in [
        (&[][..], "there is nothing to change"),
        (&["--epsilon", "0"], "epsilon"),
        (&["--score-threshold", "1.5"], "score_threshold"),
        (&["--name", "a/b"], "name"),
        (&["--tests", "sized"], "uflow calibrate"),
        (&["--roi", "mask.png", "--no-roi"], "--no-roi"),
    ] {
        let args: Vec<&str> = ["package", "set", text(&path)].into_iter().chain(options.iter().copied()).collect();
        let output = uflow(&args);
        assert_eq!(output.status.code(), Some(2), "{options:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(told), "{options:?}: {}", stderr(&output));
    }
    assert_eq!(Package::open(&path).unwrap().manifest, before);
}

#[test]
fn a_shared_backbone_stays_shared_in_its_repository_and_goes_along_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let fitted = models::fit(&Runtime::load(None).unwrap(), &models::backbone(folder.path(), 1), "bolt", 1);
    let path = fitted.write_to_repository(&folder.path().join("models"), 1).unwrap();
    stdout(&["package", "set", text(&path), "--epsilon", "0.5"]);
    assert_eq!(Package::open(&path).unwrap().manifest.backbone.file, None);
    for name in ["alone.uflow", "folder/alone"] {
        let out = folder.path().join(name);
        stdout(&["package", "set", text(&path), "--epsilon", "0.5", "--out", text(&out)]);
        assert!(Package::open(&out).unwrap().manifest.backbone.file.is_some(), "{name}");
    }
    let next = folder.path().join("models/bolt/2");
    stdout(&["package", "set", text(&path), "--epsilon", "0.5", "--out", text(&next)]);
    assert_eq!(Package::open(&next).unwrap().manifest.backbone.file, None);
}

#[test]
fn calibrate_keeps_the_decision_that_was_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let (path, good) = (package(folder.path()), pictures(folder.path(), 12));
    let black = image::RgbImage::new(SIZE.0, SIZE.1);
    black.save(good.join("black.png")).unwrap();
    assert!(Package::open(&path).unwrap().manifest.calibration.is_none());
    let out = folder.path().join("calibrated.uflow");
    let output = uflow(&[
        "calibrate",
        text(&path),
        "--good",
        text(&good),
        "--tests",
        "sized",
        "--epsilon",
        "0.5",
        "--out",
        text(&out),
        "--json",
    ]);
    // 0 or 1 by what is found; both write the package.
    assert!(output.status.code().is_some_and(|code| code < 2), "{}", stderr(&output));
    assert!(stderr(&output).contains("have one value in all pixels") && stderr(&output).contains("black.png"));
    let manifest = Package::open(&out).unwrap().manifest;
    assert_eq!((manifest.detection.tests, manifest.detection.epsilon), (Some(TestCount::PerSize), Some(0.5)));
    assert_eq!(manifest.calibration.unwrap().images, 12);
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["images"], &lines[1]["event"]), (&12.into(), &"written".into()));
    let ways = lines[0]["alternatives"].as_array().unwrap();
    assert_eq!(ways.iter().filter(|way| way["of_package"] == true).count(), 2);
    let found = uflow(&["detect", "--model", text(&out), text(&good.join("00.png"))]);
    assert!(found.status.success(), "{}", stderr(&found));
}

#[test]
fn too_few_distinct_images_calibrate_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, good) = (package(folder.path()), pictures(folder.path(), 5));
    for copy in 0..20 {
        std::fs::copy(good.join("00.png"), good.join(format!("copy{copy}.png"))).unwrap();
    }
    let output = uflow(&["calibrate", text(&path), "--good", text(&good)]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(
        said.contains("5 usable good images are too few: at least 8") && said.contains("20 of the good images"),
        "{said}"
    );
}

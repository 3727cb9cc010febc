//! `uflow limits` on a real model: what it measures, where the result is kept, and when it leaves the package again.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use uflow::package::Package;

use super::command::{bracket, json_lines, stderr, text, texture, uflow};

/// New good pictures of the product.
fn lot(folder: &Path) -> PathBuf {
    let lot = folder.join("lot");
    fs::create_dir(&lot).unwrap();
    for seed in 300..312 {
        texture(seed).save(lot.join(format!("{seed}.png"))).unwrap();
    }
    lot
}

fn limits(package: &Path, good: &Path, more: &[&str]) -> std::process::Output {
    let few = ["--defect", "hole", "--defect", "foreign-patch", "--contrast", "1", "--defects", "24"];
    uflow(&[&["limits", "--model", text(package), "--good", text(good)], &few[..], more].concat())
}

#[test]
fn the_smallest_defects_are_measured_reported_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (lot, (package, _)) = (lot(folder.path()), bracket());
    let (page, out) = (folder.path().join("limits.html"), folder.path().join("measured.uflow"));
    let before = fs::read(&package).unwrap();
    let more = ["--json", "--pixel-size", "0.05", "--report", text(&page), "--out", text(&out)];
    let output = limits(&package, &lot, &more);
    assert!(output.status.success(), "{}", stderr(&output));
    let report = &json_lines(&output)[0];
    assert_eq!((&report["images"]["used"], &report["images"]["known"]), (&Value::from(12), &Value::from(true)));
    let kinds = report["kinds"].as_array().unwrap();
    assert_eq!(kinds.iter().map(|kind| kind["kind"].as_str().unwrap()).collect::<Vec<_>>(), ["hole", "foreign-patch"]);
    let hole = &kinds[0];
    assert_eq!((&hole["defects"], &hole["contrast"]), (&Value::from(24), &Value::from(1.0)));
    assert!(hole["found"].as_u64().unwrap() > 0, "a large hole is found: {hole}");
    assert!(hole["change_levels"].as_f64().unwrap() > 20.0, "{hole}");
    let (first, last) = (&hole["curve"][0], &hole["curve"][24]);
    assert!(first["pod"].as_f64() <= last["pod"].as_f64(), "{hole}");
    let control = &report["control"];
    assert_eq!(control["images"], 12);
    assert!(control["flagged"].as_u64() <= control["flagged_without"].as_u64(), "the pasting is found: {control}");
    let seams = &report["seams"];
    assert_eq!((&seams["images"], &seams["flagged_without"]), (&control["images"], &control["flagged_without"]));
    assert_eq!(report["places"]["cells"].as_array().unwrap().len(), 64);
    assert_eq!(report["surroundings"].as_array().unwrap().len(), 4);

    // The same command gives the same result to the byte, whether it is kept or not.
    let again = limits(&package, &lot, &["--json", "--pixel-size", "0.05", "--no-write"]);
    assert_eq!(String::from_utf8_lossy(&again.stdout), String::from_utf8_lossy(&output.stdout));
    assert_eq!(fs::read(&package).unwrap(), before, "the package stays as it is with --out and --no-write");

    let kept = Package::open(&out).unwrap().manifest.limits.unwrap();
    assert_eq!((kept.images, kept.defects, kept.pixel_size_mm), (12, 48, Some(0.05)));
    assert_eq!(kept.kinds[0].a90_95_px, hole["a90_95_px"].as_f64());
    let page = fs::read_to_string(&page).unwrap();
    for words in ["a90/95", "Probability of detection", "<svg", "data:image/jpeg;base64,", "Foreign patch"] {
        assert!(page.contains(words), "no `{words}` on the page");
    }
    let info = uflow(&["info", text(&out)]);
    let said = String::from_utf8(info.stdout).unwrap();
    assert!(said.contains("a90/95 in pixels of the image, from 48 defects on 12 good images"), "{said}");
    assert!(said.contains("hole: ") && said.lines().all(|line| line.chars().count() <= 100), "{said}");

    // Another decision: the sizes leave the package. Another name: they stay.
    let renamed = uflow(&["package", "set", text(&out), "--name", "bracket-2"]);
    assert!(renamed.status.success(), "{}", stderr(&renamed));
    assert_eq!(Package::open(&out).unwrap().manifest.limits, Some(kept));
    let changed = uflow(&["package", "set", text(&out), "--epsilon", "0.01"]);
    assert!(
        stderr(&changed).contains("the detectable sizes were measured by the former decision"),
        "{}",
        stderr(&changed)
    );
    assert_eq!(Package::open(&out).unwrap().manifest.limits, None);
}

#[test]
fn images_of_the_training_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let (lot, (package, good)) = (lot(folder.path()), bracket());
    let refused = limits(&package, &good, &["--no-write"]);
    assert_eq!(refused.status.code(), Some(2));
    let error = stderr(&refused);
    assert!(
        error.contains("14 of the 16 good images were used to train this model") && error.contains("2 are too few"),
        "{error}"
    );
    for name in ["00.png", "01.png", "02.png", "03.png"] {
        fs::copy(good.join(name), lot.join(name)).unwrap();
    }
    let mixed = limits(&package, &lot, &["--no-write", "--json"]);
    assert!(mixed.status.success(), "{}", stderr(&mixed));
    let images = &json_lines(&mixed)[0]["images"];
    let count = |name: &str| images[name].as_u64().unwrap();
    assert_eq!(count("used") + count("trained_on"), 16);
    assert!(count("trained_on") >= 2 && count("trained_on") + count("held_out") == 4, "{images}");
    assert!(stderr(&mixed).contains("images that the model was trained on are left out"), "{}", stderr(&mixed));
}

#[test]
fn wrong_options_are_refused_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let lot = lot(folder.path());
    let fails = |more: &[&str]| {
        let output = uflow(&[&["limits", "--model", "nowhere.uflow", "--good", text(&lot)], more].concat());
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        stderr(&output)
    };
    assert!(fails(&["--pixel-size", "0"]).contains("must be above 0: millimetres of a pixel"));
    assert!(fails(&["--contrast", "1.5"]).contains("must be numbers above 0, at most 1"));
    assert!(fails(&["--defects", "3"]).contains("give 20 or more"));
    assert!(fails(&["--defect", "dragon"]).contains("`dragon` is not one of scratch, hole"));
    assert!(fails(&["--out", "a.uflow", "--no-write"]).contains("cannot be used with"));
}

//! `uflow update`: a package learns on from new pictures, and is written if it is not worse.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use serde_json::Value;
use uflow::package::Package;

use super::{
    backbones::PHOTONET,
    command::{defective, json_lines, stderr, text, texture, uflow},
};

/// A package on 24 pictures with its features beside it, made once, and folders of pictures.
struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn update(&self, arguments: &[&str]) -> std::process::Output {
        let package = self.path("bolt.uflow");
        uflow(&[&["update", text(&package)], arguments, &["--epochs", "2", "--json"]].concat())
    }
}

fn pictures(folder: &Path, seeds: std::ops::Range<u32>, make: fn(u32) -> image::RgbImage) {
    fs::create_dir_all(folder).unwrap();
    for seed in seeds {
        make(seed).save(folder.join(format!("{seed}.png"))).unwrap();
    }
}

fn scene() -> &'static Scene {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    SCENE.get_or_init(|| {
        let scene = Scene { folder: tempfile::tempdir().unwrap() };
        pictures(&scene.path("old"), 0..24, texture);
        pictures(&scene.path("new"), 100..112, texture);
        let (old, out) = (scene.path("old"), scene.path("bolt.uflow"));
        let fit = ["fit", "--good", text(&old), "--out", text(&out), "--input-size", "128", "--epochs", "3"];
        let output = uflow(&[&fit[..], &["--keep-features", "--reject-rate", "5%", "--backbone", PHOTONET]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        scene
    })
}

/// The last line of the output, which is about the whole run.
fn last(output: &std::process::Output) -> Value {
    json_lines(output).pop().unwrap_or_else(|| panic!("{}", stderr(output)))
}

#[test]
fn a_model_learns_on_from_the_features_beside_it() {
    let scene = scene();
    let (new, out) = (scene.path("new"), scene.path("bolt-2.uflow"));
    let output = scene.update(&["--good", text(&new), "--out", text(&out), "--keep-features"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let found = last(&output);
    assert_eq!(found["event"], "updated", "{found}");
    let gate = &found["gate"];
    let old_held_out = Package::open(scene.path("bolt.uflow")).unwrap().manifest.training.unwrap().held_out;
    assert_eq!(gate["reject"]["new"]["images"], 12, "every new picture judges a flow: {gate}");
    assert_eq!(gate["reject"]["old"]["images"], old_held_out, "{gate}");
    assert!(gate["defects"].is_null(), "the old pictures are not there, and three new ones are too few: {gate}");

    let before = Package::open(scene.path("bolt.uflow")).unwrap();
    let after = Package::open(&out).unwrap();
    assert_ne!(before.flow, after.flow);
    assert_eq!(before.backbone.sha256, after.backbone.sha256);
    let training = after.manifest.training.unwrap();
    assert_eq!(training.images + training.held_out, 36);
    // The brightness of the old pictures comes from the features beside the package.
    for package in [&before.manifest.rejection, &after.manifest.rejection] {
        let rejection = package.as_ref().unwrap();
        let brightness = rejection.brightness_above(0);
        assert_eq!(brightness.len(), rejection.images());
        assert!(brightness.iter().all(|value| (0.05..0.95).contains(value)), "{brightness:?}");
    }
    assert_eq!(after.manifest.detection.reject_rate, Some(0.05));
    // The features of all pictures are beside the new package, so it can learn on again.
    let again = scene.path("newer");
    pictures(&again, 200..208, texture);
    let third = scene.path("bolt-3.uflow");
    let arguments = ["update", text(&out), "--good", text(&again), "--out", text(&third), "--epochs", "1", "--json"];
    let output = uflow(&arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(last(&output)["gate"]["reject"]["new"]["images"], 8);
}

#[test]
fn with_the_old_pictures_the_models_are_compared_on_the_same_defects() {
    let scene = scene();
    let (new, old, out) = (scene.path("new"), scene.path("old"), scene.path("compared.uflow"));
    let output = scene.update(&["--good", text(&new), "--old", text(&old), "--out", text(&out)]);
    assert!(output.status.success(), "{}", stderr(&output));
    let defects = &last(&output)["gate"]["defects"];
    assert_eq!(defects["defects"], 7 * 30, "{defects}");
    assert!(defects["found_before"].as_u64() > Some(20) && defects["found_after"].as_u64() > Some(20), "{defects}");
}

#[test]
fn new_pictures_that_are_not_like_the_old_ones_do_not_pass_and_nothing_is_written() {
    let scene = scene();
    // A quarter of the "good" pictures have a defect: a flow that has not seen the one that it judges rejects it.
    let mixed = scene.path("mixed");
    pictures(&mixed, 300..303, defective);
    pictures(&mixed, 310..319, texture);
    let out = scene.path("refused.uflow");
    let output = scene.update(&["--good", text(&mixed), "--out", text(&out), "--keep-features"]);
    let found = last(&output);
    assert_eq!((found["event"].as_str(), output.status.code()), (Some("refused"), Some(1)), "{found}");
    assert!(!out.exists() && !scene.path("refused.uflow.features").exists());
}

#[test]
fn a_package_that_is_not_replaced_keeps_its_features() {
    let scene = scene();
    // A folder of its own: other tests have temporary files in the scene's.
    let folder = scene.path("in-place");
    fs::create_dir(&folder).unwrap();
    let (mixed, package) = (scene.path("mixed-in-place"), folder.join("bolt.uflow"));
    let features = folder.join("bolt.uflow.features");
    pictures(&mixed, 300..303, defective);
    pictures(&mixed, 310..319, texture);
    fs::copy(scene.path("bolt.uflow"), &package).unwrap();
    fs::copy(scene.path("bolt.uflow.features"), &features).unwrap();
    let before = [fs::read(&package).unwrap(), fs::read(&features).unwrap()];
    let update = ["update", text(&package), "--good", text(&mixed), "--out", text(&package), "--keep-features"];
    let output = uflow(&[&update[..], &["--epochs", "2", "--json"]].concat());
    assert_eq!((last(&output)["event"].as_str(), output.status.code()), (Some("refused"), Some(1)));
    assert!(before == [fs::read(&package).unwrap(), fs::read(&features).unwrap()], "both are as before");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "no temporary file is left");
}

#[test]
fn features_of_another_model_are_refused() {
    let scene = scene();
    let (other, package, new, out) =
        (scene.path("other"), scene.path("other.uflow"), scene.path("new"), scene.path("never.uflow"));
    pictures(&other, 500..524, texture);
    let fit = ["fit", "--good", text(&other), "--out", text(&package), "--input-size", "128", "--epochs", "1"];
    let output = uflow(&[&fit[..], &["--reject-rate", "5%", "--backbone", PHOTONET]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    fs::copy(scene.path("bolt.uflow.features"), scene.path("other.uflow.features")).unwrap();
    let output = uflow(&["update", text(&package), "--good", text(&new), "--out", text(&out)]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("which the model was not fitted to"), "{}", stderr(&output));
    assert!(!out.exists());
}

#[test]
fn what_cannot_be_updated_says_what_is_missing() {
    let scene = scene();
    let (new, old, out) = (scene.path("new"), scene.path("old"), scene.path("none.uflow"));
    let fails = |arguments: &[&str], code: i32, words: &str| {
        let output = uflow(&[arguments, &["--out", text(&out)]].concat());
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).contains(words), "no `{words}` in: {}", stderr(&output));
        assert!(!out.exists());
    };
    let package = scene.path("bolt.uflow");
    // A package without features beside it.
    let alone = scene.path("alone.uflow");
    fs::copy(&package, &alone).unwrap();
    fails(&["update", text(&alone), "--good", text(&new)], 2, "give their folder with --old DIR");
    fails(&["update", text(&package), "--good", text(&old)], 1, "0 of these images are new to the model");
    let nothing = scene.path("nothing");
    pictures(&nothing, 400..410, texture);
    fails(
        &["update", text(&alone), "--good", text(&new), "--old", text(&nothing)],
        1,
        "0 images that the model was trained on",
    );
    fails(&["update", text(&package), "--good", text(&new), "--worse", "5"], 2, "a share from 0 to 1");
}

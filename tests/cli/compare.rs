//! `uflow compare`: two packages on the same pictures.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::command::{defective, fixture, json_lines, stderr, text, texture, uflow};

/// A test set, and a copy of the shared package that rejects nothing.
struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["good", "bad", "masks"] {
            fs::create_dir_all(folder.path().join("set").join(name)).unwrap();
        }
        let at = |name: &str, seed: u32| folder.path().join(format!("set/{name}/{seed}.png"));
        for seed in 700..704 {
            texture(seed).save(at("good", seed)).unwrap();
            defective(seed).save(at("bad", seed)).unwrap();
            let inside = |x, y| (16..46).contains(&x) && (100..130).contains(&y);
            let mask = image::GrayImage::from_fn(256, 256, |x, y| image::Luma([255 * u8::from(inside(x, y))]));
            mask.save(at("masks", seed)).unwrap();
        }
        let scene = Self { folder };
        let blind = scene.path("blind.uflow");
        let set = ["package", "set", &scene.sharp(), "--min-area", "20000", "--out", text(&blind)];
        let output = uflow(&set);
        assert!(output.status.success(), "{}", stderr(&output));
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sharp(&self) -> String {
        text(&fixture().package()).to_owned()
    }

    fn compare(&self, arguments: &[&str]) -> std::process::Output {
        let blind = self.path("blind.uflow");
        uflow(&[&["compare", &self.sharp(), text(&blind)], arguments].concat())
    }
}

fn page(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn what_one_model_misses_is_counted_named_and_shown() {
    let scene = Scene::new();
    let (set, report) = (scene.path("set"), scene.path("page.html"));
    let output = scene.compare(&["--data", text(&set), "--report", text(&report)]);
    assert!(output.status.success(), "{}", stderr(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("A and B agree about all 4 good images."), "{said}");
    let sentence = "Of 4 defective images, B rejects 0 that A accepts, and accepts 4 that A rejects: this can be chance (p = 0.13)";
    assert!(said.contains(sentence), "{said}");
    assert!(said.contains("bad/702.png") && said.contains("A is right"), "{said}");
    let table: Vec<&str> = said.lines().filter(|line| line.contains("  ")).collect();
    assert!(table.len() > 5 && table.iter().all(|line| line.chars().count() <= 100), "{said}");

    let page = page(&report);
    assert_eq!(page.matches("<figure>").count(), 4 * 5, "an input, and two pictures of each model, of four images");
    for words in ["Where do they disagree?", "found by A", "score map of B", "bad/700.png", "McNemar"] {
        assert!(page.contains(words), "no `{words}` in the page");
    }

    let found = json_lines(&scene.compare(&["--data", text(&set), "--json"])).remove(0);
    assert_eq!(found["groups"][1]["only_a"], 4, "{found}");
    // The same network gives the same scores and maps; only the decisions differ.
    assert_eq!(found["image_auroc"]["difference"]["value"], 0.0, "{found}");
    assert_eq!(found["miou"]["images"], 4, "{found}");
    assert!(found["miou"]["a"].as_f64() > Some(0.1) && found["miou"]["a"] == found["miou"]["b"], "{found}");
    assert_eq!(found["disagreements"].as_array().unwrap().len(), 4);
}

#[test]
fn images_without_labels_are_compared_when_that_is_said() {
    let scene = Scene::new();
    let bad = scene.path("set/bad");
    let refused = scene.compare(&["--data", text(&bad)]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("--unlabelled"), "{}", stderr(&refused));
    let found = json_lines(&scene.compare(&["--data", text(&bad), "--unlabelled", "--json"])).remove(0);
    assert_eq!(found["groups"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!((&found["groups"][0]["name"], &found["groups"][0]["only_a"]), (&"unlabelled".into(), &4.into()));
    assert!(found["image_auroc"].is_null());
}

//! `uflow evaluate` and `uflow calibrate` as users run them, on small made-up products.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use serde_json::Value;

use super::backbones::PHOTONET;

/// A data set of two categories, made once.
struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().to_str().unwrap().to_owned();
        let products = "printed-grid,woven-cloth";
        let made = uflow(&["demo", "--data-only", "--out", &out, "--products", products, "--train", "16"]);
        assert!(made.status.success(), "{}", stderr(&made));
        // Two images of each kind are enough.
        for category in fs::read_dir(folder.path().join("data")).unwrap() {
            for kind in fs::read_dir(category.unwrap().path().join("test")).unwrap() {
                let mut images: Vec<_> =
                    fs::read_dir(kind.unwrap().path()).unwrap().map(|image| image.unwrap().path()).collect();
                images.sort();
                images.iter().skip(2).for_each(|image| fs::remove_file(image).unwrap());
            }
        }
        Fixture { folder }
    })
}

fn uflow(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_uflow")).args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs over the fixture's categories into `out`, with a small input and one epoch.
fn evaluate(out: &Path, more: &[&str]) -> Output {
    let data = fixture().path("data");
    let mut arguments = vec!["evaluate", "--data", data.to_str().unwrap(), "--out", out.to_str().unwrap()];
    // One flow a category is enough.
    arguments.extend(["--input-size", "128", "--epochs", "1", "--tests", "paper", "--backbone", PHOTONET]);
    arguments.extend(more);
    uflow(&arguments)
}

#[test]
fn a_data_set_is_evaluated_category_by_category_and_taken_up_again() {
    let out = fixture().path("all");
    let data = fixture().path("data");
    let names = uflow(&["evaluate", "--list-categories", "--data", data.to_str().unwrap()]);
    assert_eq!(stdout(&names), "printed_grid\nwoven_cloth\n");

    let cost = evaluate(&out, &["--all-categories", "--dry-run"]);
    assert!(cost.status.success() && stdout(&cost).contains("cost: at most"), "{}{}", stdout(&cost), stderr(&cost));
    assert!(!out.join("printed_grid").exists(), "a dry run fitted a model");

    let one = evaluate(&out, &["--category", "woven_cloth"]);
    assert!(one.status.success(), "{}", stderr(&one));
    let first = fs::read(out.join("woven_cloth/evaluation.json")).unwrap();
    let merged = uflow(&["evaluate", "--merge", out.to_str().unwrap(), "--data", data.to_str().unwrap()]);
    assert_eq!(merged.status.code(), Some(1));
    assert!(stderr(&merged).contains("no result for printed_grid"), "{}", stderr(&merged));

    // As after a kill between fit and test: the model stays, the result is made anew.
    fs::remove_file(out.join("woven_cloth/evaluation.json")).unwrap();
    let model = fs::metadata(out.join("woven_cloth/model.uflow")).unwrap().modified().unwrap();
    let all = evaluate(&out, &["--all-categories", "--paper"]);
    assert!(all.status.success(), "{}", stderr(&all));
    assert_eq!(fs::metadata(out.join("woven_cloth/model.uflow")).unwrap().modified().unwrap(), model);
    let [before, after] = [first, fs::read(out.join("woven_cloth/evaluation.json")).unwrap()]
        .map(|text| serde_json::from_slice::<Value>(&text).unwrap()["evaluation"]["total"].clone());
    assert_eq!(before, after);
    for name in ["printed_grid", "woven_cloth", "mean", "the paper has no results for"] {
        assert!(stdout(&all).contains(name), "no {name} in\n{}", stdout(&all));
    }
    assert!(!out.join("features").exists(), "features were left behind");
    for file in [
        "report.html",
        "metrics.csv",
        "images.csv",
        "regions.csv",
        "regions.coco.json",
        "false_alarms.csv",
        "metrics.md",
        "metrics.json",
    ] {
        for folder in [&out, &out.join("printed_grid")] {
            assert!(folder.join(file).is_file(), "{file} is missing in {}", folder.display());
        }
    }
    assert!(out.join("paper.md").is_file());
    let coco = |folder: &Path| -> Value {
        serde_json::from_slice(&fs::read(folder.join("regions.coco.json")).unwrap()).unwrap()
    };
    let count = |coco: &Value, name: &str| coco[name].as_array().unwrap().len();
    let (all_regions, own) = (coco(&out), ["printed_grid", "woven_cloth"].map(|name| coco(&out.join(name))));
    for name in ["images", "annotations"] {
        assert_eq!(count(&all_regions, name), count(&own[0], name) + count(&own[1], name), "{name}");
    }
    assert_eq!(count(&own[0], "images"), 10);
    let rows = fs::read_to_string(out.join("metrics.csv")).unwrap();
    assert_eq!(rows.lines().count(), 1 + 2 * 5, "{rows}");
    let cells: Vec<usize> = rows.lines().map(|row| row.split(',').count()).collect();
    assert!(cells.iter().all(|&count| count == cells[0]), "{rows}");
    let common = fs::read_to_string(out.join("report.html")).unwrap();
    for part in [
        "<a href=\"printed_grid/report.html\">printed grid</a>",
        "<h2>Comparison with the paper</h2>",
        "the paper has no results for `printed_grid`",
    ] {
        assert!(common.contains(part), "no {part}");
    }
    assert_eq!(common.matches("<dt>uflow</dt>").count(), 1);
    let page = fs::read_to_string(out.join("printed_grid/report.html")).unwrap();
    assert!(
        page.contains("AUPRO") && page.matches("<img ").count() >= 5 && page.contains("Evaluation of printed_grid")
    );
    assert!(page.contains("<dt>decision</dt><dd>an image is anomalous "), "it says how the model decides");

    let again = evaluate(&out, &["--all-categories"]);
    assert!(stderr(&again).contains("2 categories, 2 already done"), "{}", stderr(&again));
    let other = evaluate(&out, &["--all-categories", "--seed", "5"]);
    assert_eq!(other.status.code(), Some(1));
    assert!(stderr(&other).contains("training.seed = 0, but this run has 5"), "{}", stderr(&other));
    let unknown = evaluate(&out, &["--category", "screw"]);
    assert!(
        stderr(&unknown).contains("has no category `screw`; it has printed_grid, woven_cloth"),
        "{}",
        stderr(&unknown)
    );
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() { copy(&from, &to) } else { fs::copy(&from, &to).map(drop).unwrap() }
    }
}

#[test]
fn skipped_files_of_every_category_are_named() {
    let root = tempfile::tempdir().unwrap();
    let (data, out) = (root.path().join("data"), root.path().join("out").display().to_string());
    for (name, file) in [("grid", "test/good/notes.txt"), ("weave", "train/good/late.heic")] {
        copy(&fixture().path("data/printed_grid"), &data.join(name));
        fs::write(data.join(name).join(file), "x").unwrap();
    }
    let data = data.display().to_string();
    let run = |more: &[&str]| {
        let common = ["evaluate", "--data", &data, "--out", &out, "--input-size", "128", "--epochs", "1", "--dry-run"];
        let found = uflow(&[&common[..], &["--backbone", PHOTONET], more].concat());
        assert!(found.status.success(), "{}", stderr(&found));
        stderr(&found)
    };
    let all = run(&["--all-categories"]);
    assert!(all.contains("grid/test/good/notes.txt") && all.contains("weave/train/good/late.heic"), "{all}");
    let one = run(&["--category", "weave"]);
    assert!(!one.contains("notes.txt") && one.contains("weave/train/good/late.heic"), "{one}");
}

#[test]
fn one_model_is_reported_compared_and_calibrated() {
    let out = fixture().path("one");
    let fitted = evaluate(&out, &["--category", "printed_grid", "--keep-features"]);
    assert!(fitted.status.success(), "{}", stderr(&fitted));
    assert_eq!(fs::read_dir(out.join("features")).unwrap().count(), 1);
    let model = out.join("printed_grid/model.uflow").display().to_string();
    let data = fixture().path("data/printed_grid").display().to_string();
    let report = fixture().path("report").display().to_string();
    let run = |more: &[&str]| {
        let mut arguments = vec!["--json", "evaluate", "--model", &model, "--data", &data];
        arguments.extend(more);
        let output = uflow(&arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_str::<Value>(stdout(&output).lines().next().unwrap()).unwrap()
    };
    let whole = run(&["--out", &report]);
    let page = || fs::read_to_string(Path::new(&report).join("report.html")).unwrap();
    assert!(page().contains("<dt>decision</dt><dd>an image is anomalous "));
    assert!(whole["latency"].as_array().unwrap().iter().any(|stage| stage["stage"] == "total"));
    assert_eq!(whole["false_alarms"].as_array().unwrap().len(), 8);
    let block = run(&["--segmentation", "block", "--out", &report]);
    assert!(!page().contains("<dt>decision</dt>"), "a comparison decides in no package's words");
    assert_eq!(block["total"]["pixel_auroc"], whole["total"]["pixel_auroc"]);
    assert_ne!(block["images"][0]["log10_nfa_min"], whole["images"][0]["log10_nfa_min"]);
    let scale = run(&["--only-scale", "0"]);
    assert_ne!(scale["total"]["pixel_auroc"], whole["total"]["pixel_auroc"]);
    assert!(scale["total"]["at_fair"].is_null(), "the fair threshold is of all scales");
    let all_scales = run(&["--only-scale", "0,1"]);
    let scores =
        |of: &Value| of["images"].as_array().unwrap().iter().map(|image| image["score"].clone()).collect::<Vec<_>>();
    assert_eq!(scores(&all_scales), scores(&whole));
    let none = uflow(&["evaluate", "--model", &model, "--data", &data, "--only-scale", "7"]);
    assert!(stderr(&none).contains("no scale 7"), "{}", stderr(&none));
    let both = uflow(&["evaluate", "--model", &model, "--data", &data, "--only-scale", "0", "--tests", "sized"]);
    assert!(stderr(&both).contains("can only be used with --tests paper"), "{}", stderr(&both));

    let good = fixture().path("data/printed_grid/train/good").display().to_string();
    let calibrated = uflow(&["--json", "calibrate", "--model", &model, "--good", &good]);
    let found: Value = serde_json::from_slice(&calibrated.stdout).unwrap();
    assert_eq!((&found["images"], found["scales"].as_array().unwrap().len()), (&16.into(), 2));
    let sentence = found["decision"]["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("`printed_grid` rejects an image if") && sentence.contains("of these 16 good images"));
    assert_eq!(found["decision"]["images"].as_array().unwrap().len(), 16);
    let kept = found["verdict"]["promise"] == "kept";
    assert_eq!(calibrated.status.code(), Some(i32::from(!kept)));
    let few = uflow(&["calibrate", "--model", &model, "--good", &format!("{data}/test/good")]);
    assert!(stderr(&few).contains("2 usable good images are too few"), "{}", stderr(&few));
}

#[test]
fn the_data_is_read_before_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let output = uflow(&["evaluate", "--model", "x.uflow", "--data", folder.path().to_str().unwrap()]);
    assert!(stderr(&output).contains("is not a test set"), "{}", stderr(&output));
    let nothing = uflow(&["evaluate", "--data", "x"]);
    assert_eq!(nothing.status.code(), Some(2));
    let both = uflow(&["evaluate", "--data", "x", "--out", "y", "--model", "m", "--all-categories"]);
    assert_eq!(both.status.code(), Some(2));
}

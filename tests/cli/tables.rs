//! What the command prints as a table fits a terminal of 100 columns, with names as long as they may be.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use image::{GrayImage, Luma};

use super::backbones::PHOTONET;

const COLUMNS: usize = 100;

fn uflow(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_uflow")).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(!output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Writes pictures of stripes, with a bright patch where they are to be defective.
fn pictures(folder: &Path, count: u8, defective: bool) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    for picture in 0..count {
        let pixels = GrayImage::from_fn(64, 64, |x, y| {
            let patch = defective && (20..40).contains(&x) && (20..40).contains(&y);
            Luma([if patch { 250 } else { ((x * 4 + y * u32::from(picture % 5)) % 60) as u8 + picture }])
        });
        pixels.save(folder.join(format!("{picture:02}.png"))).unwrap();
    }
    folder.to_owned()
}

/// Every line, but those that name a file or hold a sentence.
fn fits(command: &str, lines: &str) {
    for line in lines.lines() {
        assert!(line.chars().count() <= COLUMNS, "uflow {command}: {} columns: {line}", line.chars().count());
    }
}

#[test]
fn tables_fit_100_columns() {
    let root = tempfile::tempdir().unwrap();
    let name = "spindle_housing_left-".repeat(6) + "ab";
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let data = root.path().join("data").join(&name);
    let good = pictures(&data.join("train/good"), 12, false);
    pictures(&data.join("test/good"), 10, false);
    pictures(&data.join("test").join(&name), 2, true);
    let package = text(&root.path().join("model.uflow"));
    let fit = [
        "fit",
        "--good",
        &text(&good),
        "--out",
        &package,
        "--name",
        &name,
        "--epochs",
        "1",
        "--input-size",
        "64",
        "--tests",
        "paper",
        "--backbone",
        PHOTONET,
    ];
    let fitted = uflow(&fit);
    assert!(fitted.status.success(), "{}", String::from_utf8_lossy(&fitted.stderr));

    fits("info", &stdout(&uflow(&["info", &package])));

    let evaluated = stdout(&uflow(&["evaluate", "--model", &package, "--data", &text(&data)]));
    assert!(evaluated.contains("spindle_housing") && evaluated.contains('…'), "{evaluated}");
    fits("evaluate", &evaluated);

    let all = ["evaluate", "--all-categories", "--data", &text(&root.path().join("data"))];
    let out = text(&root.path().join("out"));
    let options = ["--out", &out, "--epochs", "1", "--input-size", "64", "--paper", "--backbone", PHOTONET];
    let all = stdout(&uflow(&[&all[..], &options].concat()));
    let (table, _) = all.split_once("the paper").unwrap();
    let tables: Vec<&str> = table.lines().filter(|line| !line.contains(&out) && !line.starts_with(&name)).collect();
    fits("evaluate --all-categories", &tables.join("\n"));

    let bench = stdout(&uflow(&["bench", "--model", &package, "--repeat", "1", "--batch", "1,2", "--compare", "cpu"]));
    let lines: Vec<&str> = bench.lines().filter(|line| !line.starts_with("ONNX Runtime")).collect();
    fits("bench", &lines.join("\n"));

    let calibrated = stdout(&uflow(&["calibrate", "--model", &package, "--good", &text(&data.join("test/good"))]));
    let table: Vec<&str> = calibrated.lines().filter(|line| line.starts_with("  ")).collect();
    fits("calibrate", &table.join("\n"));
}

//! The `uflow` command as users run it: a real model is fitted once on small made-up pictures, then used.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use image::{Rgb, RgbImage};
use serde_json::Value;

use super::backbones::PHOTONET;

const SIDE: u32 = 256;
/// The flow and the decision of the shared package: the U outlines the defect of these pictures from 16 good ones.
const FLOW: [&str; 8] = ["--tests", "paper", "--flow", "u", "--normalisation", "standardise", "--backbone", PHOTONET];

/// A folder with good pictures and a package fitted on them, made once for all tests.
pub(super) struct Fixture {
    folder: tempfile::TempDir,
    lines: Vec<Value>,
}

impl Fixture {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn package(&self) -> PathBuf {
        self.path("bracket.uflow")
    }
}

pub(super) fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let good = folder.path().join("good");
        std::fs::create_dir(&good).unwrap();
        for seed in 0..16 {
            texture(seed).save(good.join(format!("{seed:02}.png"))).unwrap();
        }
        let out = folder.path().join("bracket.uflow");
        let fit = ["fit", "--good", text(&good), "--out", text(&out), "--input-size", "256", "--epochs", "6", "--json"];
        let output = uflow(&[&fit[..], &FLOW].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        Fixture { lines: json_lines(&output), folder }
    })
}

/// A woven texture with noise, different for each seed.
pub(super) fn texture(seed: u32) -> RgbImage {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    RgbImage::from_fn(SIDE, SIDE, |x, y| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let weave = if (x / 4 + y / 4) % 2 == 0 { 110 } else { 140 };
        let value = (weave + (state >> 28) + seed % 5) as u8;
        Rgb([value, value, value - 20])
    })
}

/// The texture with a bright patch in its left half.
pub(super) fn defective(seed: u32) -> RgbImage {
    let mut picture = texture(seed);
    for y in 100..130 {
        for x in 16..46 {
            picture.put_pixel(x, y, Rgb([250, 60, 40]));
        }
    }
    picture
}

pub(super) fn uflow(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_uflow")).args(args).output().unwrap()
}

pub(super) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(super) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(super) fn json_lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The shared package, and the folder of good pictures that it was fitted to.
pub(super) fn bracket() -> (PathBuf, PathBuf) {
    (fixture().package(), fixture().path("good"))
}

pub(super) fn detect(args: &[&str]) -> Output {
    let package = fixture().package();
    let mut all = vec!["detect", "--model", text(&package), "--json"];
    all.extend(args);
    uflow(&all)
}

#[test]
fn fit_tells_every_epoch_and_what_it_made() {
    let lines = &fixture().lines;
    let epochs = lines.iter().filter(|line| line["event"] == "epoch").count();
    assert_eq!(epochs, 7, "one before the first epoch and one after each");
    let fitted = lines.last().unwrap();
    assert_eq!(fitted["event"], "fitted");
    assert_eq!(fitted["summary"]["images"], 14);
    assert!(fitted["scores"]["fair_threshold"].as_f64().unwrap() > 0.0);

    let info = uflow(&["info", text(&fixture().package()), "--json"]);
    let manifest = &json_lines(&info)[0];
    assert_eq!(manifest["name"], "bracket");
    assert_eq!(manifest["input"]["width"], 256);
    assert_eq!(manifest["training"]["held_out"], 2);
}

#[test]
fn nothing_is_left_in_the_user_s_folders() {
    // ONNX Runtime 1.32 keeps a database of events under ~/.cache unless it is told not to.
    let (home, picture) = (tempfile::tempdir().unwrap(), fixture().path("good/00.png"));
    let output = Command::new(env!("CARGO_BIN_EXE_uflow"))
        .args(["detect", "--model", text(&fixture().package()), text(&picture)])
        .env("HOME", home.path())
        .env_remove("XDG_CACHE_HOME")
        .env_remove("ORT_DISABLE_TELEMETRY")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn the_same_seed_gives_the_same_package() {
    let fixture = fixture();
    let again = fixture.path("again.uflow");
    let good = fixture.path("good");
    let args =
        ["fit", "--good", text(&good), "--out", text(&again), "--input-size", "256", "--epochs", "6", "--threads", "1"];
    let args = [&args[..], &FLOW].concat();
    let output = uflow(&args);
    assert!(output.status.success(), "{}", stderr(&output));
    let hash = |package: &Path| json_lines(&uflow(&["info", text(package), "--json"]))[0]["flow"]["sha256"].clone();
    assert_eq!(hash(&fixture.package()), hash(&again), "one thread or several, the flow is the same");
}

#[test]
fn detect_scores_a_defect_above_good_pictures_and_outlines_it() {
    let fixture = fixture();
    let (good, bad) = (fixture.path("unseen.png"), fixture.path("bad.png"));
    texture(100).save(&good).unwrap();
    defective(101).save(&bad).unwrap();
    let out = fixture.path("marked");
    let output = detect(&[text(&good), text(&bad), "--out", text(&out), "--maps", "--epsilon", "1e6"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = json_lines(&output);
    let score = |line: &Value| line["score"].as_f64().unwrap();
    assert!(score(&lines[1]) >= score(&lines[0]), "{lines:?}");
    assert_eq!(score(&lines[1]), -lines[1]["log10_nfa_min"].as_f64().unwrap());
    assert!(score_of(&lines[1]) > score_of(&lines[0]), "{lines:?}");
    for key in ["path", "anomalous", "p_value", "log10_nfa_min", "regions", "timings_ms"] {
        assert!(lines[0].get(key).is_some(), "{key} is missing in {}", lines[0]);
    }
    let mask = image::open(out.join("bad.mask.png")).unwrap();
    assert_eq!((mask.width(), mask.height()), (SIDE, SIDE));
    assert!(out.join("bad.overlay.png").exists());
    let score: ndarray::Array2<f32> = ndarray_npy::read_npy(out.join("bad.score.npy")).unwrap();
    let log10_nfa: ndarray::Array2<f32> = ndarray_npy::read_npy(out.join("bad.log10_nfa.npy")).unwrap();
    assert_eq!((score.dim(), log10_nfa.dim()), ((256, 256), (256, 256)));
    let peak = score.indexed_iter().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
    assert!((70..160).contains(&peak.0) && peak.1 < 80, "the score peaks at the patch, not at {peak:?}");
    let largest = f64::from(score.iter().copied().fold(0.0, f32::max));
    assert!((largest - score_of(&lines[1])).abs() < 1e-6, "score_max is the map's maximum");
}

#[test]
fn tests_are_counted_by_size_once_the_null_is_calibrated() {
    let fixture = fixture();
    let (good, bad) = (fixture.path("unseen-2.png"), fixture.path("bad-2.png"));
    texture(102).save(&good).unwrap();
    defective(103).save(&bad).unwrap();
    let refused = detect(&[text(&bad), "--tests", "sized"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("uflow calibrate --model PKG --good DIR --out NEW"), "{}", stderr(&refused));
    let unseen = fixture.path("unseen");
    std::fs::create_dir(&unseen).unwrap();
    for seed in 200..212 {
        texture(seed).save(unseen.join(format!("{seed}.png"))).unwrap();
    }
    let (package, out, page) = (fixture.package(), fixture.path("calibrated.uflow"), fixture.path("diagnosis.html"));
    let arguments = [
        "--json",
        "calibrate",
        "--model",
        text(&package),
        "--good",
        text(&unseen),
        "--out",
        text(&out),
        "--report",
        text(&page),
    ];
    let calibrated = uflow(&arguments);
    assert!(stderr(&calibrated).contains("12 good images, fewer than 30"), "{}", stderr(&calibrated));
    assert_eq!(json_lines(&calibrated)[0]["images"], 12);
    let rejection = uflow::package::Package::open(&out).unwrap().manifest.rejection.unwrap();
    assert_eq!(rejection.brightness_above(0).len(), 12, "the light of good images is kept");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("Autocorrelation of U") && page.contains("tail index") && !page.contains("{{"));
    let run = |tests: &str, epsilon: &str| {
        let output = uflow(&[
            "detect",
            "--model",
            text(&out),
            "--json",
            "--tests",
            tests,
            "--verdict",
            "nfa",
            "--epsilon",
            epsilon,
            text(&good),
            text(&bad),
        ]);
        assert!(output.status.success(), "{}", stderr(&output));
        json_lines(&output)
    };
    let lines = run("sized", "0.1");
    let nfa = |line: &Value| line["log10_nfa_min"].as_f64().unwrap();
    assert!(nfa(&lines[1]) < -1.0 && nfa(&lines[1]) < nfa(&lines[0]), "{lines:?}");
    assert!(lines[1]["anomalous"].as_bool().unwrap() && !lines[1]["regions"].as_array().unwrap().is_empty());
    assert_ne!(nfa(&run("paper", "0.1")[1]), nfa(&lines[1]));
    let info = uflow(&["info", text(&out)]);
    assert!(String::from_utf8_lossy(&info.stdout).contains("calibrated on 12 good images"));
}

#[test]
fn a_sized_package_is_calibrated_on_every_one_of_few_good_images() {
    let fixture = fixture();
    let (good, out) = (fixture.path("good"), fixture.path("sized.uflow"));
    let fit = ["fit", "--good", text(&good), "--out", text(&out), "--input-size", "128", "--epochs", "2"];
    let output = uflow(&[&fit[..], &["--tests", "sized", "--backbone", PHOTONET]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("16 good images, fewer than 30"), "{}", stderr(&output));
    let info = uflow(&["info", text(&out)]);
    let info = String::from_utf8_lossy(&info.stdout);
    assert!(info.contains("calibrated on 16 good images"), "{info}");
    // Its default is what it was fitted for.
    let lines = |tests: &[&str]| {
        let package = ["detect", "--json", "--model", text(&out)];
        json_lines(&uflow(&[&package[..], tests, &[text(&good.join("00.png"))]].concat()))[0]["log10_nfa_min"].clone()
    };
    assert_eq!(lines(&[]), lines(&["--tests", "sized"]));
    assert_ne!(lines(&[]), lines(&["--tests", "paper", "--verdict", "nfa"]));
}

fn score_of(line: &Value) -> f64 {
    line["score_max"].as_f64().unwrap()
}

#[test]
fn a_defect_outside_the_region_of_interest_does_not_count() {
    let fixture = fixture();
    let (good, bad, roi) = (fixture.path("roi_good.png"), fixture.path("roi_bad.png"), fixture.path("roi.png"));
    texture(200).save(&good).unwrap();
    defective(201).save(&bad).unwrap();
    image::GrayImage::from_fn(SIDE, SIDE, |x, _| image::Luma([if x >= 176 { 255 } else { 0 }])).save(&roi).unwrap();
    let scores: Vec<f64> = json_lines(&detect(&[text(&good), text(&bad)])).iter().map(score_of).collect();
    let threshold = ((scores[0] + scores[1]) / 2.0).to_string();
    let by_score = ["--verdict", "score", "--score-threshold", threshold.as_str(), text(&bad)];
    let whole = json_lines(&detect(&by_score));
    assert_eq!(whole[0]["anomalous"], true, "{whole:?}");
    let inside = json_lines(&detect(&[&["--roi", text(&roi)], &by_score[..]].concat()));
    assert_eq!(inside[0]["anomalous"], false, "{inside:?}");
    let failing =
        uflow(&[&["detect", "--model", text(&fixture.package()), "--fail-on-anomaly"], &by_score[..]].concat());
    assert_eq!(failing.status.code(), Some(1));
}

#[test]
fn one_bad_file_among_many_is_named_and_the_rest_go_on() {
    let fixture = fixture();
    let folder = fixture.path("mixed");
    std::fs::create_dir_all(folder.join("sub")).unwrap();
    texture(300).save(folder.join("a.png")).unwrap();
    std::fs::write(folder.join("broken.png"), b"\x89PNG\r\n\x1a\nnot really").unwrap();
    texture(301).save(folder.join("sub/c.png")).unwrap();
    let output = detect(&[text(&folder)]);
    assert_eq!(output.status.code(), Some(1));
    let lines = json_lines(&output);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[1]["error"].as_str().unwrap().contains("broken.png"), "{}", lines[1]);
    assert!(lines[0]["score"].is_number() && lines[2]["score"].is_number());
    let message = stderr(&output);
    assert_eq!(message.matches("broken.png").count(), 1, "a message names its file once: {message}");
}

#[test]
fn standard_input_takes_one_image() {
    let mut bytes = std::io::Cursor::new(Vec::new());
    texture(400).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    let package = fixture().package();
    let mut child = Command::new(env!("CARGO_BIN_EXE_uflow"))
        .args(["detect", "--model", text(&package), "--json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes.get_ref()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(json_lines(&output)[0]["path"], "-");
}

#[test]
fn results_are_the_same_bits_from_run_to_run() {
    let path = fixture().path("same.png");
    defective(500).save(&path).unwrap();
    let strip = |mut line: Value| {
        line.as_object_mut().unwrap().remove("timings_ms");
        line.to_string()
    };
    let once = || strip(json_lines(&detect(&[text(&path)])).remove(0));
    assert_eq!(once(), once());
}

#[test]
fn a_changed_package_is_refused() {
    let fixture = fixture();
    let mut bytes = std::fs::read(fixture.package()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let changed = fixture.path("changed.uflow");
    std::fs::write(&changed, bytes).unwrap();
    let output = uflow(&["info", text(&changed)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("changed.uflow"), "{}", stderr(&output));
}

/// Each value outside its range, in each command that takes it: refused with the words of `DecisionOptions::check`, before the
/// model or a single image is read.
#[test]
fn decision_options_are_checked_before_work_starts() {
    let nowhere = fixture().path("nowhere");
    let (nothing, good) = (text(&nowhere), fixture().path("good"));
    let commands: [&[&str]; 5] = [
        &["detect", "--model", nothing, text(&good)],
        &["fit", "--good", nothing, "--out", nothing],
        &["import", nothing, "--backbone", nothing, "--out", nothing],
        &["evaluate", "--model", nothing, "--data", nothing],
        &["evaluate", "--all-categories", "--data", nothing, "--out", nothing],
    ];
    let epsilon = "epsilon: must be a number above 0";
    let threshold = "score_threshold: must be from 0 to 1";
    for (option, told) in [
        ("--epsilon=0", epsilon),
        ("--epsilon=-1", epsilon),
        ("--epsilon=nan", epsilon),
        ("--epsilon=inf", epsilon),
        ("--score-threshold=1.5", threshold),
        ("--score-threshold=-0.1", threshold),
        ("--score-threshold=nan", threshold),
    ] {
        for command in commands {
            let output = uflow(&[command, &[option]].concat());
            assert_eq!(output.status.code(), Some(2), "{command:?} {option}");
            assert!(stderr(&output).contains(told), "{command:?} {option}: {}", stderr(&output));
        }
    }
    assert!(!nowhere.exists());
    let segment = ["segment", "--latents", nothing, "--size", "8,8", "--out", nothing, "--epsilon=0"];
    assert!(stderr(&uflow(&segment)).contains(epsilon));
}

/// A limit of 0 would refuse every image, one by one.
#[test]
fn a_limit_that_no_image_can_meet_is_refused_at_once() {
    let output = detect(&["--max-pixels", "0", text(&fixture().path("good/00.png"))]);
    let complained = stderr(&output);
    assert!(!output.status.success() && output.stdout.is_empty(), "{complained}");
    assert!(complained.contains("max_pixels: must be at least 1"), "{complained}");
    assert!(!complained.contains("00.png"), "{complained}");
}

#[test]
fn a_mask_of_another_shape_is_refused_and_not_stretched() {
    let fixture = fixture();
    let roi = fixture.path("strip.png");
    image::GrayImage::from_pixel(1000, 10, image::Luma([255])).save(&roi).unwrap();
    let image = fixture.path("good/00.png");
    let output = detect(&["--roi", text(&roi), text(&image)]);
    assert_eq!(output.status.code(), Some(1));
    let told = format!("the mask is 1000×10 and the frame {SIDE}×{SIDE}");
    assert!(stderr(&output).contains(&told), "{}", stderr(&output));
    let (good, out) = (fixture.path("good"), fixture.path("strip.uflow"));
    let fit = ["fit", "--good", text(&good), "--out", text(&out), "--roi", text(&roi), "--backbone", PHOTONET];
    let output = uflow(&fit);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&told) && stderr(&output).contains(".png"), "{}", stderr(&output));
    assert!(!out.exists());
}

#[test]
fn wrong_use_is_told_with_exit_code_2() {
    let package = fixture().package();
    let image = fixture().path("good/00.png");
    for (args, told) in [
        (vec!["detect", "--model", text(&package)], "IMAGE"),
        (vec!["detect", "--model", text(&package), "--epsilon", "0", text(&image)], "epsilon"),
        (vec!["detect", "--model", text(&package), "--epsilon=-1", text(&image)], "epsilon"),
        (vec!["detect", "--model", text(&package), "--device", "tpu", text(&image)], "tpu"),
        (vec!["frobnicate"], "frobnicate"),
    ] {
        let output = uflow(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(told), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn too_few_or_too_many_unreadable_images_end_a_fit() {
    let fixture = fixture();
    let few = fixture.path("few");
    std::fs::create_dir_all(&few).unwrap();
    for seed in 0..5 {
        texture(seed).save(few.join(format!("{seed}.png"))).unwrap();
    }
    let out = fixture.path("few.uflow");
    let fit = ["fit", "--good", text(&few), "--out", text(&out), "--input-size", "256", "--backbone", PHOTONET];
    let output = uflow(&fit);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("too few"), "{}", stderr(&output));
    for seed in 5..12 {
        texture(seed).save(few.join(format!("{seed}.png"))).unwrap();
    }
    std::fs::write(few.join("torn.png"), b"nothing").unwrap();
    let output = uflow(&fit);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("torn.png") && stderr(&output).contains("1%"), "{}", stderr(&output));
    assert!(!out.exists(), "nothing is written when a fit fails");
}

#[test]
fn a_fit_that_could_not_be_written_does_not_begin() {
    let fixture = fixture();
    let (good, taken) = (fixture.path("good"), fixture.path("taken"));
    std::fs::create_dir_all(&taken).unwrap();
    std::fs::write(taken.join("precious.txt"), b"mine").unwrap();
    let output = uflow(&["fit", "--good", text(&good), "--out", text(&taken), "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("not replaced"), "{}", stderr(&output));
    assert!(output.stdout.is_empty(), "no epoch was run");
    assert!(taken.join("precious.txt").exists());
}

#[test]
fn a_missing_runtime_names_every_place_and_the_command_that_helps() {
    let package = fixture().package();
    let image = fixture().path("good/00.png");
    let output =
        uflow(&["detect", "--model", text(&package), "--onnxruntime", "/nowhere/libonnxruntime.so", text(&image)]);
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    assert!(told.contains("/nowhere/libonnxruntime.so") && told.contains("make onnxruntime"), "{told}");
}

#[test]
fn completions_and_version() {
    assert!(String::from_utf8_lossy(&uflow(&["completions", "bash"]).stdout).contains("_uflow"));
    let version = json_lines(&uflow(&["--version", "--json"])).remove(0);
    assert_eq!(version["uflow"], uflow::VERSION);
    assert!(version["onnxruntime"].as_str().unwrap().starts_with("1."), "{version}");
}

#[test]
fn evaluate_reads_good_and_bad_folders() {
    let fixture = fixture();
    let data = fixture.path("set");
    for name in ["good", "bad"] {
        std::fs::create_dir_all(data.join(name)).unwrap();
    }
    for seed in 600..604 {
        texture(seed).save(data.join(format!("good/{seed}.png"))).unwrap();
        defective(seed).save(data.join(format!("bad/{seed}.png"))).unwrap();
    }
    let output = uflow(&["evaluate", "--model", text(&fixture.package()), "--data", text(&data), "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let evaluation = json_lines(&output).remove(0);
    assert_eq!(evaluation["total"]["image_auroc_score_max"], 1.0, "{evaluation}");
}

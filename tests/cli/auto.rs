//! `uflow fit --auto`: settings are searched, a search that was killed goes on, and what cannot be searched is told.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use uflow::package::Package;

use super::{
    backbones::PHOTONET,
    command::{json_lines, stderr, text, texture, uflow},
    networks::models,
};

/// Small good pictures of a product.
fn good(folder: &Path, count: u32) {
    sized(folder, count, (64, 64));
}

fn sized(folder: &Path, count: u32, (width, height): (u32, u32)) {
    let good = folder.join("good");
    fs::create_dir(&good).unwrap();
    for seed in 0..count {
        let part = image::imageops::crop_imm(&texture(seed), 0, 0, width, height).to_image();
        part.save(good.join(format!("{seed:02}.png"))).unwrap();
    }
}

/// `uflow fit --auto` with a small input, without backbones beside the one that is named.
fn fit(folder: &Path, arguments: &[&str]) -> Command {
    fit_at(folder, &[&["--input-size", "64"], arguments].concat())
}

fn fit_at(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_uflow"));
    let (good, out) = (folder.join("good"), folder.join("part.uflow"));
    command.args(["fit", "--auto", "--json", "--good", text(&good), "--out", text(&out)]);
    command.args(["--epochs", "2", "--reject-rate", "10%"]).args(arguments);
    command.env("UFLOW_BACKBONES", folder.join("backbones"));
    command
}

fn candidates(lines: &[Value]) -> Vec<&Value> {
    lines.iter().filter(|line| line["event"] == "candidate").map(|line| &line["candidate"]).collect()
}

fn words<'a>(candidates: &[&'a Value]) -> Vec<&'a str> {
    candidates.iter().map(|candidate| candidate["change"].as_str().unwrap()).collect()
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

#[test]
fn settings_are_searched_and_those_that_are_set_are_held() {
    let folder = tempfile::tempdir().unwrap();
    good(folder.path(), 34);
    let page = folder.path().join("page.html");
    let output = run(&mut fit(folder.path(), &["--backbone", PHOTONET, "--report", text(&page)]));
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = json_lines(&output);
    let tried = candidates(&lines);
    assert_eq!(words(&tried)[0], "as given");
    assert!(
        words(&tried).contains(&"without stride 16") && words(&tried).contains(&"noise 0.1"),
        "{:?}",
        words(&tried)
    );
    assert!(tried.iter().all(|tried| tried["input"] == serde_json::json!([64, 64])), "the size is held: {tried:?}");
    assert!(tried.iter().all(|tried| tried["outcome"] == "judged"), "{tried:?}");
    let fitted = lines.last().unwrap();
    let search = &fitted["search"];
    assert_eq!((&search["images"], &search["defects"]), (&Value::from(9), &Value::from(280)));
    assert_eq!(search["trained"], 25);
    // The rule, by what the table says.
    for row in search["rows"].as_array().unwrap().iter().skip(1) {
        let beyond = row["difference"]["bounds"][0].as_f64().unwrap() > 0.0;
        assert_eq!(row["replaced"], beyond, "{row}");
    }
    // The package has the settings that were kept, and was fitted to all images.
    let kept = &search["rows"][search["kept"].as_u64().unwrap() as usize];
    let manifest = Package::open(folder.path().join("part.uflow")).unwrap().manifest;
    let training = manifest.training.unwrap();
    assert_eq!(training.images + training.held_out, 34);
    assert_eq!(Some(training.noise), kept["noise"].as_f64());
    assert_eq!(manifest.scales.len(), kept["strides"].as_array().unwrap().len());
    let record = training.search.unwrap();
    assert_eq!((record.tried, record.images, record.defects), (tried.len(), 9, 280));
    assert!(fs::read_to_string(&page).unwrap().contains("The search for settings"));
    let info = uflow(&["info", text(&folder.path().join("part.uflow"))]);
    let said = String::from_utf8(info.stdout).unwrap();
    assert!(said.contains(&format!("settings searched: {} tried", tried.len())), "{said}");
    assert!(!folder.path().join("part.uflow.auto").exists(), "the folder beside the package is removed");
}

/// A search that was killed goes on: what was judged is not fitted again, and the choice is the same.
#[test]
fn a_search_that_was_killed_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    good(folder.path(), 24);
    let dir = folder.path().join("search");
    let arguments = ["--backbone", PHOTONET, "--noise", "0.05", "--auto-dir", text(&dir)];
    let mut child = fit(folder.path(), &arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut before = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        before.extend((line["event"] == "candidate").then_some(line));
        if before.len() == 2 {
            child.kill().unwrap();
            break;
        }
    }
    child.wait().unwrap();
    assert!(!folder.path().join("part.uflow").exists());

    let features =
        || -> Vec<PathBuf> { fs::read_dir(dir.join("features")).unwrap().map(|entry| entry.unwrap().path()).collect() };
    assert_eq!(features().len(), 1, "a part of the strides takes the features of all");
    let output = run(&mut fit(folder.path(), &arguments));
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = json_lines(&output);
    let after = candidates(&lines);
    assert_eq!(words(&after), ["as given", "without stride 16", "without stride 32"], "the noise is held");
    for (number, line) in before.iter().enumerate() {
        assert_eq!(after[number]["resumed"], true);
        for same in ["auroc", "found", "seconds", "difference", "replaced"] {
            assert_eq!(after[number][same], line["candidate"][same], "{same} of {number}");
        }
    }
    assert_eq!(after[2]["resumed"], false);
    assert!(stderr(&output).contains("the search goes on: 2 candidates"), "{}", stderr(&output));
    assert!(dir.join("search.json").is_file(), "a folder that is named stays");
    for row in &after[..3] {
        assert!(Path::new(row["package"].as_str().unwrap()).is_file(), "the candidates are kept there");
    }

    // Other options: it begins anew and says so. A damaged record: it says what to do.
    let output = run(&mut fit(folder.path(), &[&arguments[..], &["--seed", "3", "--auto-time", "1s"]].concat()));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("the search begins anew"), "{}", stderr(&output));
    let lines = json_lines(&output);
    let short = candidates(&lines);
    assert_eq!(short[0]["outcome"], "judged", "the settings as given are always judged");
    assert_eq!(short[2]["outcome"], "not-tried", "the time has ended: {short:?}");
    fs::write(dir.join("search.json"), "{").unwrap();
    let output = run(&mut fit(folder.path(), &arguments));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("remove it to begin anew"), "{}", stderr(&output));
}

/// Ctrl-C ends the search, also while defects are looked at, and what was judged stays.
#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_search_and_keeps_what_was_judged() {
    let folder = tempfile::tempdir().unwrap();
    good(folder.path(), 24);
    let dir = folder.path().join("search");
    let with_json = fit(folder.path(), &["--backbone", PHOTONET, "--auto-dir", text(&dir)]);
    // Progress is shown without --json only.
    let mut plain = Command::new(env!("CARGO_BIN_EXE_uflow"));
    plain.args(with_json.get_args().filter(|argument| *argument != "--json"));
    plain.env("UFLOW_BACKBONES", folder.path().join("backbones"));
    let mut child = plain.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let first = lines.by_ref().find(|line| line.starts_with("1: defects")).unwrap();
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{first} {rest:?}");
    assert!(rest.iter().any(|line| line.contains("what was judged is in")), "{rest:?}");
    assert!(!rest.iter().any(|line| line.starts_with("2: ")), "no further candidate: {rest:?}");
    assert!(dir.join("search.json").is_file() && !folder.path().join("part.uflow").exists());
}

/// Images that are turned by 90 degrees need a square input, and long ones get it at every size.
#[test]
fn turned_long_images_have_a_square_input_at_every_size() {
    let folder = tempfile::tempdir().unwrap();
    sized(folder.path(), 16, (96, 48));
    let held = ["--backbone", PHOTONET, "--strides", "32", "--noise", "0.05", "--augment", "rotate"];
    let output = run(&mut fit_at(folder.path(), &held));
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = json_lines(&output);
    let sizes: Vec<_> = candidates(&lines).iter().map(|tried| tried["input"].to_string()).collect();
    assert_eq!(sizes, ["[160,160]", "[128,128]", "[192,192]"]);
    assert!(candidates(&lines).iter().all(|tried| tried["outcome"] == "judged"), "{lines:?}");
}

/// A backbone whose path is not valid text is found again, and one that cannot take the settings is a row with its reason.
#[cfg(unix)]
#[test]
fn other_backbones_are_tried_with_what_is_set() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = tempfile::tempdir().unwrap();
    good(folder.path(), 24);
    let odd = folder.path().join(std::ffi::OsStr::from_bytes(b"back\xffbones"));
    fs::create_dir(&odd).unwrap();
    models::backbone(&odd, 1);
    fs::copy(PHOTONET, odd.join("efficientnet-lite0-pyramid.onnx")).unwrap();
    let search = |arguments: &[&str]| {
        let output = run(fit(folder.path(), arguments).env("UFLOW_BACKBONES", &odd));
        assert!(output.status.success(), "{}", stderr(&output));
        json_lines(&output)
    };
    let lines = search(&["--noise", "0.05"]);
    let tried = candidates(&lines);
    let other = tried.last().unwrap();
    assert_eq!(
        (other["change"].as_str(), other["outcome"].as_str()),
        (Some("backbone tiny1"), Some("judged")),
        "{other}"
    );
    assert_eq!(other["input"], serde_json::json!([64, 64]), "the size is held with another backbone too");
    let lines = search(&["--noise", "0.05", "--strides", "16"]);
    let tried = candidates(&lines);
    assert_eq!((tried.len(), &tried[0]["strides"]), (2, &serde_json::json!([16])));
    assert_eq!(tried[1]["outcome"], "not-tried", "{tried:?}");
    assert!(tried[1]["reason"].as_str().unwrap().contains("no stride 16"), "{tried:?}");
}

#[test]
fn what_cannot_be_searched_says_what_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    good(folder.path(), 15);
    let fails = |arguments: &[&str], code: i32, words: &str| {
        let output = run(&mut fit(folder.path(), &[&["--backbone", PHOTONET], arguments].concat()));
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).contains(words), "no `{words}` in: {}", stderr(&output));
        assert!(!folder.path().join("part.uflow").exists());
    };
    fails(&[], 1, "at least 16 are needed");
    fails(&["--auto-time", "none"], 2, "a search needs a limit of time");
    fails(&["--strides", "3"], 2, "--strides");
    let without = Command::new(env!("CARGO_BIN_EXE_uflow"))
        .args(["fit", "--good", "x", "--out", "y.uflow", "--auto-time", "3min"])
        .output()
        .unwrap();
    assert_eq!(without.status.code(), Some(2));
    assert!(stderr(&without).contains("--auto"), "{}", stderr(&without));
}

//! `uflow check` on the demo's pictures with faults put in, and what `uflow fit` does about doubtful images.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use image::{RgbImage, imageops};
use serde_json::Value;
use uflow::demo::{
    Defect, Product,
    picture::{Picture, picture},
};

use super::{
    backbones::PHOTONET,
    command::{json_lines, stderr, text, uflow},
};

/// Good pictures before the faults are put in.
const GOOD: u64 = 40;
/// The faults: the file and what it must be called.
const FAULTS: [(&str, &str); 6] = [
    ("10.png", "blurred"),
    ("13.png", "overexposed"),
    ("17.png", "underexposed"),
    ("21.png", "defective"),
    ("26.png", "other-product"),
    ("90.png", "near-duplicate"),
];

fn plain(product: Product, seed: u64, defect: Option<(Defect, f32)>) -> RgbImage {
    let Picture { image, .. } = picture(product, seed, defect);
    image
}

fn lit(image: &RgbImage, gain: f32) -> RgbImage {
    let mut lit = image.clone();
    lit.iter_mut().for_each(|sample| *sample = (f32::from(*sample) * gain).min(255.0) as u8);
    lit
}

/// A folder of good pictures with one picture of each fault.
fn faulty() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let save = |image: &RgbImage, name: &str| image.save(folder.path().join(name)).unwrap();
        let good = |seed: u64| plain(Product::ALL[0], seed, None);
        (0..GOOD).for_each(|seed| save(&good(seed), &format!("{seed:02}.png")));
        save(&imageops::blur(&good(10), 2.0), "10.png");
        save(&lit(&good(13), 2.5), "13.png");
        save(&lit(&good(17), 0.3), "17.png");
        save(&plain(Product::ALL[0], 21, Some((Defect::ALL[0], 1.0))), "21.png");
        save(&plain(Product::ALL[1], 26, None), "26.png");
        let mut copy = good(5);
        copy.iter_mut().enumerate().for_each(|(at, sample)| *sample = sample.saturating_add((at * 7 % 5) as u8));
        save(&copy, "90.png");
        folder
    });
    folder.path()
}

const FAST: [&str; 4] = ["--backbone", PHOTONET, "--input-size", "256"];

/// Kind and file name of each finding.
fn kinds(found: &Value) -> Vec<(String, String)> {
    let of = |finding: &Value| {
        let name = Path::new(finding["image"].as_str().unwrap()).file_name().unwrap().to_str().unwrap().to_owned();
        (name, finding["kind"].as_str().unwrap().to_owned())
    };
    found["findings"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn each_fault_is_named_with_its_kind_and_clean_images_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let [page, list] = ["check.html", "doubtful.txt"].map(|name| folder.path().join(name));
    let arguments = ["check", "--good", text(faulty()), "--json", "--report", text(&page), "--list", text(&list)];
    let output = uflow(&[&arguments[..], &FAST].concat());
    assert_eq!(output.status.code(), Some(1), "something is named: {}", stderr(&output));
    let lines = json_lines(&output);
    let found = lines.last().unwrap();
    let kinds = kinds(found);
    for (name, kind) in FAULTS {
        assert!(kinds.contains(&(name.to_owned(), kind.to_owned())), "{name} is not called {kind}: {kinds:?}");
    }
    let clean = kinds.iter().filter(|(name, _)| FAULTS.iter().all(|(fault, _)| fault != name)).count();
    assert!(clean <= 1, "{clean} clean images are named: {kinds:?}");
    let order: Vec<usize> = kinds.iter().map(|(_, kind)| ORDER.iter().position(|of| of == kind).unwrap()).collect();
    assert!(order.is_sorted(), "the most serious first: {kinds:?}");
    for finding in found["findings"].as_array().unwrap() {
        assert!(
            finding["unit"].as_str().unwrap().len() > 3 && finding["strength"].as_f64().unwrap() >= 1.0,
            "{finding}"
        );
    }
    assert!(
        found["notes"][0].as_str().unwrap().contains("41 good images are too few for a reject rate of 1%: 99"),
        "{found}"
    );

    let html = fs::read_to_string(&page).unwrap();
    for words in ["Looks blurred (1)", "Looks like another product", "90.png", "data:image/jpeg;base64,"] {
        assert!(html.contains(words), "the page has no `{words}`");
    }
    let list = fs::read_to_string(&list).unwrap();
    let named: Vec<&str> = list.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(named.len(), found["doubtful"].as_array().unwrap().len());
    assert!(named.iter().all(|line| Path::new(line).is_file()), "{list}");
}

/// Kinds by seriousness.
const ORDER: [&str; 7] =
    ["other-product", "defective", "overexposed", "underexposed", "blurred", "other-size", "near-duplicate"];

#[test]
fn the_text_fits_a_terminal_and_says_what_to_do() {
    let output = uflow(&[&["check", "--good", text(faulty()), "--reject-rate", "10%"][..], &FAST].concat());
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    for words in ["images are doubtful", "1 looks blurred", "Check focus", "most unusual images by held-out evidence"] {
        assert!(said.contains(words), "no `{words}` in {said}");
    }
    assert!(!said.contains("note:"), "41 images are enough for 10%: {said}");
}

#[test]
fn a_good_set_is_not_doubtful() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..30 {
        let image = plain(Product::ALL[1], 1000 + seed, None);
        image.save(folder.path().join(format!("{seed:02}.png"))).unwrap();
    }
    let output = uflow(&[&["check", "--good", text(folder.path()), "--reject-rate", "5%"][..], &FAST].concat());
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}{}", stderr(&output));
    assert!(said.contains("none of 30 images is doubtful"), "{said}");
}

#[test]
fn wrong_folders_are_named() {
    let nowhere = PathBuf::from("/nowhere/good");
    let output = uflow(&["check", "--good", text(&nowhere)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("/nowhere/good") && stderr(&output).contains("is not a folder"),
        "{}",
        stderr(&output)
    );
}

/// Options of a quick fit.
const QUICK: [&str; 10] =
    ["--backbone", PHOTONET, "--input-size", "256", "--steps", "0", "--golden", "0", "--reject-rate", "20%"];

fn fitted(arguments: &[&str]) -> (Value, String) {
    let output = uflow(&[arguments, &QUICK, &["--json"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    (json_lines(&output).pop().unwrap(), stderr(&output))
}

fn names(of: &Value) -> Vec<String> {
    let name = |of: &Value| Path::new(of["image"].as_str().unwrap()).file_name().unwrap().to_str().unwrap().to_owned();
    of.as_array().unwrap().iter().map(name).collect()
}

#[test]
fn fit_names_doubtful_images_and_leaves_out_what_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let [out, list, page] = ["p.uflow", "list.txt", "fit.html"].map(|name| folder.path().join(name));
    let (plain, _) = fitted(&["fit", "--good", text(faulty()), "--out", text(&out), "--report", text(&page)]);
    assert_eq!(plain["dropped"].as_array().unwrap().len(), 0);
    let named = kinds(&plain);
    for (name, kind) in FAULTS {
        assert!(named.contains(&(name.to_owned(), kind.to_owned())), "{name} is not called {kind}: {named:?}");
    }
    let warnings = plain["warnings"].to_string();
    assert!(warnings.contains("good images look doubtful") && warnings.contains("21.png (defective)"), "{warnings}");
    assert!(fs::read_to_string(&page).unwrap().contains("Looks blurred (1)"));

    fs::write(&list, "# one by name, one by path\n10.png\n".to_owned() + text(&faulty().join("26.png"))).unwrap();
    let excluded = ["fit", "--good", text(faulty()), "--out", text(&out), "--exclude", text(&list)];
    let (without, _) = fitted(&excluded);
    let used = |fitted: &Value| {
        fitted["summary"]["images"].as_u64().unwrap() + fitted["summary"]["held_out"].as_array().unwrap().len() as u64
    };
    assert_eq!((used(&plain), used(&without)), (GOOD + 1, GOOD - 1), "{without}");
    assert!(kinds(&without).iter().all(|(name, _)| name != "10.png" && name != "26.png"), "{without}");

    // What is of another product or looks defective, the most unusual first: not what is only blurred, dark, or there twice.
    let dropping = |most| fitted(&["fit", "--good", text(faulty()), "--out", text(&out), "--drop-doubtful", most]).0;
    let one = dropping("1");
    assert_eq!((names(&one["dropped"]), used(&one)), (vec!["26.png".to_owned()], GOOD), "{one}");
    let dropped = dropping("9");
    let gone = names(&dropped["dropped"]);
    assert!(gone[0] == "26.png" && gone.contains(&"21.png".to_owned()), "{dropped}");
    assert!(["17.png", "90.png"].iter().all(|stays| !gone.contains(&(*stays).to_owned())), "{dropped}");
    assert_eq!(used(&dropped), GOOD + 1 - gone.len() as u64, "{dropped}");
    assert!(dropped["warnings"].to_string().contains("left out before training"), "{dropped}");
    let info = uflow(&["info", text(&out), "--json"]);
    assert_eq!(names(&json_lines(&info)[0]["training"]["dropped"]), gone);
}

#[test]
fn a_list_that_names_no_image_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [out, list] = ["p.uflow", "list.txt"].map(|name| folder.path().join(name));
    fs::write(&list, "10.png\nnot-here.png\n").unwrap();
    let output = uflow(&["fit", "--good", text(faulty()), "--out", text(&out), "--exclude", text(&list)]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("line 2: `not-here.png`") && said.contains("list.txt"), "{said}");
    assert!(!out.exists(), "nothing is written");
}

/// A page has pictures of files whose names are no UTF-8.
#[cfg(unix)]
#[test]
fn any_name_can_be_shown() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good");
    fs::create_dir(&good).unwrap();
    for seed in 0..20 {
        let name = [format!("{seed:02} ").as_bytes(), b"\xE4.png"].concat();
        plain(Product::ALL[0], seed, None)
            .save_with_format(good.join(std::ffi::OsStr::from_bytes(&name)), image::ImageFormat::Png)
            .unwrap();
    }
    let page = folder.path().join("check.html");
    let output = uflow(&[&["check", "--good", text(&good), "--report", text(&page)], &FAST[..]].concat());
    assert!(page.is_file(), "{}", stderr(&output));
}

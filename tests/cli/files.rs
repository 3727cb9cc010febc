//! Which files `uflow` looks at, and how it reads them.

use std::{io::Cursor, path::Path};

use image::{ImageBuffer, Luma};
use tiff::encoder::{TiffEncoder, colortype};

use super::{
    backbones::PHOTONET,
    command::{defective, detect, json_lines, stderr, text, texture, uflow},
};

fn paths(lines: &[serde_json::Value]) -> Vec<&str> {
    lines.iter().filter(|line| line["score"].is_number()).map(|line| line["path"].as_str().unwrap()).collect()
}

/// A defect on page 2 of a file is found, and said to be on page 2.
#[test]
fn every_page_of_a_tiff_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stack.tif");
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut bytes).unwrap();
    for page in [texture(40), defective(41)] {
        encoder.write_image::<colortype::RGB8>(page.width(), page.height(), page.as_raw()).unwrap();
    }
    std::fs::write(&path, bytes.into_inner()).unwrap();
    let out = folder.path().join("out");
    let output = detect(&[text(&path), "--out", text(&out)]);
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = json_lines(&output);
    assert_eq!(paths(&lines), [format!("{}#1", path.display()), format!("{}#2", path.display())]);
    assert!(lines[1]["score_max"].as_f64() > lines[0]["score_max"].as_f64());
    assert!(out.join("stack#1.overlay.png").is_file() && out.join("stack#2.mask.png").is_file());
}

#[test]
fn what_detect_wrote_is_not_looked_at_by_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..2 {
        texture(50 + seed).save(folder.path().join(format!("{seed}.png"))).unwrap();
    }
    std::fs::write(folder.path().join("notes.txt"), b"x").unwrap();
    let run = || json_lines(&detect(&[text(folder.path()), "--out", text(folder.path())]));
    assert_eq!(paths(&run()).len(), 2);
    let again = run();
    assert_eq!(paths(&again).len(), 2);
    let skipped: Vec<_> = again.iter().filter(|line| line["event"] == "skipped").collect();
    assert_eq!(skipped.len(), 5, "two overlays, two masks, a text: {skipped:?}");
}

#[cfg(unix)]
#[test]
fn names_that_are_not_utf_8_have_results_of_their_own() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = tempfile::tempdir().unwrap();
    for name in [b"part\xff.png", b"part\xfe.png"] {
        let saved = folder.path().join("saved.png");
        texture(60).save(&saved).unwrap();
        std::fs::rename(&saved, folder.path().join(std::ffi::OsStr::from_bytes(name))).unwrap();
    }
    let out = tempfile::tempdir().unwrap();
    assert!(detect(&[text(folder.path()), "--out", text(out.path())]).status.success());
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 4, "an overlay and a mask of each");
}

/// A gray texture in 16-bit samples, of which `bits` are used.
fn deep(seed: u32, bits: u32, path: &Path) {
    let picture = texture(seed);
    let image: ImageBuffer<Luma<u16>, Vec<u16>> = ImageBuffer::from_fn(picture.width(), picture.height(), |x, y| {
        let value = u32::from(picture.get_pixel(x, y).0[0]);
        Luma([(value << (bits - 8) | value >> (16 - bits).min(8)) as u16])
    });
    image.save(path).unwrap();
}

/// Ten bits in 16-bit files are told, kept in the package, and full 16-bit frames are then refused.
#[test]
fn significant_bits_are_told_kept_and_held_to() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("good")).unwrap();
    (0..12).for_each(|seed| deep(seed, 10, &at(&format!("good/{seed:02}.png"))));
    let (good, package) = (at("good"), at("deep.uflow"));
    let fit = |more: &[&str]| {
        let first = [
            "fit",
            "--good",
            text(&good),
            "--out",
            text(&package),
            "--input-size",
            "128",
            "--epochs",
            "1",
            "--tests",
            "paper",
            "--backbone",
            PHOTONET,
        ];
        uflow(&[&first, more].concat())
    };
    let refused = fit(&[]);
    let error = stderr(&refused);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        error.contains("of 65535: they seem to hold 10 significant bits") && error.contains("`--bits 10`"),
        "{error}"
    );
    let fitted = fit(&["--bits", "10"]);
    assert!(fitted.status.success(), "{}", stderr(&fitted));
    let info = uflow(&["info", text(&package), "--json"]);
    assert_eq!(json_lines(&info)[0]["input"]["significant_bits"], 10);
    let run = |path: &Path, more: &[&str]| {
        uflow(&[&["detect", "--model", text(&package), "--json", text(path)], more].concat())
    };
    let score = |output| json_lines(&output)[0]["score_max"].as_f64();
    deep(30, 16, &at("full.png"));
    let error = stderr(&run(&at("full.png"), &[]));
    assert!(error.contains("but 10 significant bits reach only 1023"), "{error}");
    // The same picture in 16 bits, said to be so, looks like the ten bits that the package knows.
    deep(30, 10, &at("ten.png"));
    let (full, ten) = (score(run(&at("full.png"), &["--bits", "16"])), score(run(&at("ten.png"), &[])));
    assert!((full.unwrap() - ten.unwrap()).abs() < 0.02, "{full:?} {ten:?}");
    let warned = stderr(&run(&at("ten.png"), &["--bits", "16"]));
    assert!(warned.contains("they seem to hold 10 significant bits"), "{warned}");
}

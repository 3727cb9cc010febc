//! `uflow segment`: arrays in, arrays out, and what it says about files that are not latents.

use std::fs::File;
use std::path::{Path, PathBuf};

use clap::Parser;
use ndarray::{Array2, Array3};
use ndarray_npy::{NpzReader, NpzWriter};
use uflow::cli::segment::{Args, segment};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/segment").join(name)
}

fn parse(latents: &Path, out: &Path, more: &[&str]) -> Result<Args, clap::Error> {
    let fixed = ["segment", "--latents", latents.to_str().unwrap(), "--out", out.to_str().unwrap()];
    Ok(Command::try_parse_from(fixed.iter().chain(more))?.args)
}

#[test]
fn writes_the_maps_of_the_python_reference() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("maps.npz");
    for (bound, key) in [("chernoff", "log10_nfa"), ("exact", "log10_nfa_exact")] {
        let more = ["--size", "112,112", "--bound", bound, "--epsilon", "1e-3", "--repeat", "3"];
        let report = segment(&parse(&golden("two_scales.npz"), &out, &more).unwrap()).unwrap();
        let mut found = NpzReader::new(File::open(&out).unwrap()).unwrap();
        let mut expected = NpzReader::new(File::open(golden("two_scales.npz")).unwrap()).unwrap();
        let log10_nfa: Array2<f32> = found.by_name("log10_nfa").unwrap();
        let reference: Array2<f32> = expected.by_name(key).unwrap();
        assert!(log10_nfa.iter().zip(&reference).all(|(a, b)| (a - b).abs() < 1e-3));
        let score: Array2<f32> = found.by_name("score").unwrap();
        let reference: Array2<f32> = expected.by_name("score").unwrap();
        assert!(score.iter().zip(&reference).all(|(a, b)| (a - b).abs() < 1e-6));
        let mask: Array2<u8> = found.by_name("mask").unwrap();
        assert_eq!(mask, log10_nfa.mapv(|value| u8::from(value < -3.0)));
        assert!(report.anomalous && report.mask_pixels == mask.iter().filter(|&&value| value == 1).count());
        assert_eq!((report.scales.len(), report.timings_ms.repeat), (2, 3));
        assert!(report.timings_ms.min > 0.0 && report.timings_ms.min <= report.timings_ms.max);
    }
}

#[test]
fn says_what_is_wrong_with_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let write = |name: &str, arrays: &[&str]| {
        let mut archive = NpzWriter::new(File::create(file(name)).unwrap());
        for array in arrays {
            archive.add_array(*array, &Array3::<f32>::from_elem((2, 3, 3), f32::NAN)).unwrap();
        }
        archive.finish().unwrap();
    };
    write("gap.npz", &["z0", "z2"]);
    write("other.npz", &["features"]);
    write("nan.npz", &["z0"]);
    std::fs::write(file("text.npz"), "not a zip").unwrap();
    let mut archive = NpzWriter::new(File::create(file("double.npz")).unwrap());
    archive.add_array("z0", &Array2::<f64>::zeros((3, 3))).unwrap();
    archive.finish().unwrap();
    let mut archive = NpzWriter::new(File::create(file("coarsest.npz")).unwrap());
    archive.add_array("z0", &Array3::<f32>::zeros((2, 3, 3))).unwrap();
    archive.add_array("z1", &Array3::<f32>::zeros((2, 6, 6))).unwrap();
    archive.finish().unwrap();
    let cases = [
        ("coarsest.npz", "scales must be given finest first, but scale 1 is 6×6"),
        ("missing.npz", "cannot open"),
        ("text.npz", "is not an .npz file"),
        ("gap.npz", "has z2 but not z1"),
        ("other.npz", "has no array z0 (it has: features)"),
        ("double.npz", "array z0 is not (C,H,W) float32"),
        ("nan.npz", "energies (sums of squared latents) of scale 0: 9 of 9 values are not finite"),
    ];
    for (name, expected) in cases {
        let args = parse(&file(name), &file("out.npz"), &["--size", "6,6"]).unwrap();
        let message = format!("{:#}", segment(&args).unwrap_err());
        assert!(message.contains(expected), "{name}: {message}");
        assert!(!file("out.npz").exists());
    }
}

#[test]
fn refuses_options_outside_their_range() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.npz");
    let calm = golden("calm.npz");
    for more in [
        &["--size", "6"][..],
        &["--size", "0,6"],
        &["--size", "6,6", "--bound", "tight"],
        &["--size", "6,6", "--repeat", "0"],
        &[],
    ] {
        assert!(parse(&calm, &out, more).is_err(), "{more:?}");
    }
    let args = parse(&calm, &out, &["--size", "6,6", "--epsilon=-1"]).unwrap();
    assert!(segment(&args).unwrap_err().to_string().contains("must be a number above 0"));
}

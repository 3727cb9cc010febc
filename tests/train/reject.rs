//! Good images set the threshold at the reject rate: when a model is fitted, and when it is calibrated.

use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use uflow::{
    frame::PixelFormat,
    package::{Manifest, Package},
    runtime::Runtime,
    segment::{
        Bound, CalibratedNull, DecisionOptions, Measurement, NullOf, Rejection, RejectionOrigin, TestCount, Verdict,
    },
};

use crate::{
    command::{stderr, stdout, text, uflow},
    networks::models,
    null::{SHAPES, flat, image, sized, views},
};

/// The null of the detector knows all good images, that of each good image the others only. On noise that no theory describes, the
/// share of new images that is flagged is nevertheless that of the rate.
#[test]
fn a_null_of_the_other_images_keeps_the_rate() {
    let (draws, images, new, rate) = (24, 49, 60, 0.1);
    let mut shares = Vec::new();
    for draw in 0..draws {
        let mut random = ChaCha8Rng::seed_from_u64(1000 + draw);
        let mut noise = || image(&mut random, 1, 0.1);
        let good: Vec<_> = (0..images).map(|_| flat(&noise())).collect();
        let measurement = Measurement { shapes: &SHAPES, maps: (64, 64), roi: None, bound: Bound::Chernoff };
        let lowest = measurement.lowest(&good, NullOf::OtherParts).unwrap();
        assert_eq!(lowest.len(), images);
        let rejection = Rejection::new(&lowest, RejectionOrigin::HeldOut, TestCount::PerSize, Bound::Chernoff).unwrap();
        let threshold = rejection.threshold(rate).unwrap();
        assert!(threshold.promise().unwrap().expected == rate);
        let null = CalibratedNull::estimate(&SHAPES, None, &good).unwrap();
        let mut segmenter = sized(Some(&null));
        let flagged = (0..new).filter(|_| {
            let found = segmenter.run(&views(&noise()), Bound::Chernoff).unwrap().lowest();
            found.is_some_and(|lowest| lowest < threshold.log10_nfa)
        });
        shares.push(flagged.count() as f64 / new as f64);
        // With one null for all, measured on the images that it knows, the good images look calmer than new ones.
        if draw == 0 {
            let known = measurement.lowest(&good, NullOf::Others(&null)).unwrap();
            assert_ne!(known, lowest);
        }
    }
    let mean = shares.iter().sum::<f64>() / draws as f64;
    // Beta(5, 45) and 60 trials have a deviation of 0.057 for one draw.
    let error = (0.1 * 0.9 / 50.0 + 0.1 * 0.9 / new as f64).sqrt() / (draws as f64).sqrt();
    assert!((mean - rate).abs() < 4.0 * error, "{mean} ± {error} at {rate}: {shares:?}");
}

fn package(folder: &Path, images: u64, detection: DecisionOptions) -> PathBuf {
    let backbone = models::backbone(folder, 1);
    let fitted = models::fit_with(&Runtime::load(None).unwrap(), &backbone, "clip", (1, images), detection);
    let path = folder.join("clip");
    fitted.write(&path).unwrap();
    path
}

fn pictures(folder: &Path, name: &str, count: u64, first: u64) -> PathBuf {
    let good = folder.join(name);
    std::fs::create_dir(&good).unwrap();
    for seed in first..first + count {
        let pixels = models::good(seed, 48, 32, PixelFormat::Rgb8);
        image::RgbImage::from_raw(48, 32, pixels).unwrap().save(good.join(format!("{seed}.png"))).unwrap();
    }
    good
}

fn manifest(path: &Path) -> Manifest {
    Package::open(path).unwrap().manifest
}

#[test]
fn a_fitted_package_rejects_one_percent_and_says_on_how_many_images_that_stands() {
    let folder = tempfile::tempdir().unwrap();
    let backbone = models::backbone(folder.path(), 1);
    let runtime = Runtime::load(None).unwrap();
    let fitted = models::fit_with(&runtime, &backbone, "clip", (1, 20), DecisionOptions::default());
    let found = &fitted.manifest;
    assert_eq!(
        (found.detection.tests, found.detection.verdict, found.detection.reject_rate, found.detection.epsilon),
        (Some(TestCount::PerSize), Some(Verdict::Reject), Some(0.01), Some(1.0))
    );
    let rejection = found.rejection.as_ref().unwrap();
    assert_eq!((rejection.images(), rejection.origin()), (20, RejectionOrigin::CrossFitted));
    let extrapolated =
        "a reject rate of 1% needs 99 good images, and the package knows 20: its threshold is extrapolated";
    assert!(fitted.warnings().iter().any(|warning| warning.contains(extrapolated)), "{:?}", fitted.warnings());
    let path = folder.path().join("clip.uflow");
    fitted.write(&path).unwrap();
    assert_eq!(&manifest(&path), found);
    let said = stdout(&["info", text(&path)]);
    for words in [
        "an image is anomalous if at most 1% of good images look as unusual: log10 NFA < ",
        "extrapolated from 20 good images held out by cross-fitting;",
        "99 good images are needed for 1% without extrapolation",
        "an anomalous image shows its regions with NFA < ε = 1, and those",
    ] {
        assert!(said.contains(words), "no `{words}` in {said}");
    }
    // At a rate that 20 images can keep, the promise is told in full.
    let said = stdout(&["package", "set", text(&path), "--reject-rate", "10%"]);
    for words in [
        "at most 10% of good images",
        "from 20 good images held out by cross-fitting: at most 9.5% expected,",
        "between 1.2% and 25% with 95% confidence",
    ] {
        assert!(said.contains(words), "no `{words}` in {said}");
    }
    let good = pictures(folder.path(), "one", 1, 700);
    let output = uflow(&["detect", "--model", text(&path), "--reject-rate", "0.001", text(&good)]);
    assert!(stderr(&output).contains("needs 999 good images") && stderr(&output).contains("extrapolated"));
}

#[test]
fn with_the_papers_count_a_package_decides_as_the_paper_and_knows_good_images_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let paper = DecisionOptions { tests: Some(TestCount::Paper), ..DecisionOptions::default() };
    let found = manifest(&package(folder.path(), 40, paper.clone()));
    assert_eq!((found.detection.verdict, found.detection.reject_rate), (Some(Verdict::Nfa), None));
    let rejection = found.rejection.unwrap();
    assert_eq!((rejection.images(), rejection.origin()), (4, RejectionOrigin::HeldOut));
    assert_eq!(rejection.measured_with(), (TestCount::Paper, Bound::Chernoff));
    let folder = tempfile::tempdir().unwrap();
    let asked = DecisionOptions { reject_rate: Some(0.2), ..paper };
    let found = manifest(&package(folder.path(), 40, asked));
    assert_eq!((found.detection.verdict, found.detection.reject_rate), (Some(Verdict::Reject), Some(0.2)));
}

#[test]
fn calibrate_sets_the_threshold_on_new_good_images_and_keeps_the_null() {
    let folder = tempfile::tempdir().unwrap();
    let paper = DecisionOptions { tests: Some(TestCount::Paper), ..DecisionOptions::default() };
    let old = package(folder.path(), 12, paper);
    assert!(manifest(&old).calibration.is_none() && manifest(&old).rejection.is_none());
    let first = pictures(folder.path(), "first", 30, 3000);
    let (out, again) = (folder.path().join("first.uflow"), folder.path().join("again.uflow"));
    let said = stdout(&["calibrate", text(&old), "--good", text(&first), "--reject-rate", "5%", "--out", text(&out)]);
    assert!(said.contains("from 30 good images shown to `uflow calibrate`: at most 3.2% expected,"), "{said}");
    let made = manifest(&out);
    assert_eq!(
        (made.detection.verdict, made.detection.reject_rate, made.detection.tests),
        (Some(Verdict::Reject), Some(0.05), Some(TestCount::PerSize))
    );
    assert_eq!(made.calibration.as_ref().unwrap().images, 30);
    // Of the very images that set the threshold, as many are flagged as it says; the report counts them.
    let report = stdout(&["calibrate", text(&out), "--good", text(&first), "--json", "--out", text(&again)]);
    let report: serde_json::Value = serde_json::from_str(report.lines().next().unwrap()).unwrap();
    let way = &report["alternatives"][0];
    assert_eq!(way["threshold"]["reject_rate"]["rate"], 0.05, "{way}");
    let kept = manifest(&again);
    assert_eq!((kept.calibration.as_ref(), kept.detection.reject_rate), (made.calibration.as_ref(), Some(0.05)));
    assert_ne!(kept.rejection, made.rejection, "the null knows these images now, so they look calmer");

    let second = pictures(folder.path(), "second", 25, 4000);
    let args =
        ["calibrate", text(&out), "--good", text(&second), "--new-null", "--verdict", "nfa", "--out", text(&again)];
    stdout(&args);
    let anew = manifest(&again);
    assert_eq!((anew.calibration.as_ref().unwrap().images, anew.detection.verdict), (25, Some(Verdict::Nfa)));
    assert_eq!(anew.rejection.as_ref().unwrap().images(), 25);
    let output = uflow(&["calibrate", text(&out), "--good", text(&second), "--new-null"]);
    assert_eq!(output.status.code(), Some(2), "--new-null needs --out");
}

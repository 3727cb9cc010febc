//! Manifests: the range of every field, and what older manifests mean.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use uflow::{
    package::{Manifest, timestamp},
    segment::{Bound, DecisionOptions, TestCount, Verdict},
};

use crate::mutations::same_meaning;

pub(super) fn full() -> Value {
    json!({
        "format": 1,
        "name": "capacitor",
        "version": "7",
        "created": "2026-03-14T15:09:26Z",
        "uflow": "0.1.0",
        "input": {
            "width": 448, "height": 448,
            "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
            "resize": "bilinear"
        },
        "backbone": { "name": "compact", "sha256": "ab".repeat(32), "file": "backbone.onnx" },
        "flow": { "sha256": "01".repeat(32), "file": "flow.onnx" },
        "scales": [
            { "features": { "channels": 64, "height": 112, "width": 112 }, "latents": { "channels": 84, "height": 112, "width": 112 } },
            { "features": { "channels": 128, "height": 56, "width": 56 }, "latents": { "channels": 80, "height": 56, "width": 56 } },
            { "features": { "channels": 256, "height": 28, "width": 28 }, "latents": { "channels": 128, "height": 28, "width": 28 } }
        ],
        "training": {
            "images": 270, "held_out": 30, "augmentation": "none", "epochs": 25, "best_epoch": 21, "seed": 4294967296_u64,
            "learning_rate": 0.001, "weight_decay": 1e-5, "noise": 0.1, "steps": 4, "held_out_nll": -123.5,
            "latent_variance": [0.97, 1.01, 1.1],
            "seen": { "trained": "AAAAAAAAAAAAAAAB", "held_out": "" }
        },
        "scores": {
            "images": 30, "mean": 0.31, "std": 0.02, "min": 0.25, "max": 0.4,
            "quantiles": [[0.5, 0.3], [0.95, 0.37], [0.99, 0.39]], "fair_threshold": 0.42
        },
        "golden": {
            "made": { "uflow": "0.1.0", "onnxruntime": "1.32.0", "device": "cpu", "precision": "fp32", "cpu": "x86_64" },
            "frames": [{
                "file": "golden/0.png", "sha256": "cd".repeat(32),
                "expected": {
                    "score": -1.25, "score_max": 0.5, "anomalous": false, "p_value": 0.25,
                    "quantiles": [0.0625, 0.125, 0.25, 0.375, 0.4375]
                }
            }]
        },
        "limits": {
            "images": 40, "good_flagged": 1, "control_images": 40, "control_flagged": 1, "defects": 200,
            "tried_px": [2.0, 179.5], "contrast_levels": 84.5, "pixel_size_mm": 0.0625,
            "kinds": [
                { "kind": "scratch", "contrast": 0.5, "defects": 100, "found": 60, "a90_px": 20.5, "a90_95_px": 25.25 },
                { "kind": "missing-texture", "contrast": 1.0, "defects": 100, "found": 0 }
            ]
        },
        "detection": {
            "epsilon": 1.0, "verdict": "either", "score_threshold": 0.45, "min_area": 12, "bound": "chernoff", "roi": "roi.png"
        }
    })
}

/// A small model whose tests are counted by size, on a calibrated null, and that rejects 5% of good images.
pub(super) fn calibrated() -> Value {
    let mut manifest = full();
    let shape = |channels, height, width| json!({ "channels": channels, "height": height, "width": width });
    manifest["scales"] = json!([
        { "features": shape(2, 2, 4), "latents": shape(3, 2, 4) },
        { "features": shape(8, 1, 2), "latents": shape(4, 1, 2) }
    ]);
    manifest["training"]["latent_variance"] = json!([0.97, 1.01]);
    manifest["detection"]["tests"] = json!("sized");
    manifest["detection"]["verdict"] = json!("reject");
    manifest["detection"]["reject_rate"] = json!(0.05);
    manifest["rejection"] = json!({
        "images": 30, "origin": "cross_fitted", "tests": "sized", "bound": "chernoff", "lowest": [-1.75, -0.5, -0.5, 0.25]
    });
    manifest["calibration"] = json!({
        "images": 30,
        "scales": [
            {
                "location": [-0.1, -0.05, -0.05, -0.1, 0.0, 0.02, 0.02, 0.0], "pixels": 8, "deviation": 0.3,
                "correlated_pixels": 1.5, "rates": [[-3.0, -1.5], [-1.5, -0.4], [0.5, 1.0]], "tail_slope": 0.8
            },
            {
                "location": [0.0, 0.1], "pixels": 2, "deviation": 0.25, "correlated_pixels": 1.0,
                "rates": [[0.0, -1.5]], "tail_slope": 1.0
            }
        ]
    });
    manifest
}

pub(super) fn load(manifest: &Value) -> Result<Manifest, String> {
    load_text(&manifest.to_string())
}

fn load_text(text: &str) -> Result<Manifest, String> {
    Manifest::from_json(text.as_bytes()).map_err(|error| {
        let message = error.to_string();
        message.strip_prefix("package uflow.json: ").expect("the file is named").to_owned()
    })
}

#[test]
fn a_manifest_is_what_it_was_written_from() {
    let manifest = load(&full()).unwrap();
    let text = manifest.to_json().unwrap();
    assert_eq!(load_text(&text).unwrap(), manifest);
    assert!(same_meaning(&serde_json::from_str(&text).unwrap(), &full()));
    assert_eq!(manifest.scales[1].latents.channels, 80);
    assert_eq!(manifest.training.unwrap().seed, 1 << 32);
    let sized = load(&calibrated()).unwrap();
    assert_eq!(load_text(&sized.to_json().unwrap()).unwrap(), sized);
}

#[test]
fn a_manifest_from_before_nulls_were_calibrated_loads_and_counts_as_the_paper() {
    assert!(full().get("calibration").is_none() && full()["detection"].get("tests").is_none());
    let manifest = load(&full()).unwrap();
    assert_eq!((manifest.calibration.as_ref(), manifest.detection.tests), (None, None));
    let written = manifest.to_json().unwrap();
    for later in ["calibration", "tests", "rejection", "reject_rate"] {
        assert!(!written.contains(later), "an older uflow could not read {written}");
    }
}

/// Neither the reject rate nor the count by size decides for packages that do not say so.
#[test]
fn a_manifest_from_before_reject_rates_decides_as_before() {
    for calibration in [None, Some(calibrated()["calibration"].clone())] {
        let mut manifest = calibrated();
        manifest.as_object_mut().unwrap().remove("rejection");
        manifest["calibration"] = calibration.unwrap_or_default();
        manifest["detection"] = json!({ "epsilon": 0.5 });
        let rule = load(&manifest).unwrap().rule(&DecisionOptions::default()).unwrap();
        assert_eq!((rule.verdict, rule.tests, rule.bound), (Verdict::Nfa, TestCount::Paper, Bound::Chernoff));
        assert_eq!((rule.epsilon, rule.reject, rule.p_value(Some(-3.0))), (0.5, None, None));
        assert_eq!(rule.level(Some(-3.0), 9.0), 0.5_f64.log10() as f32);
    }
    let rule = load(&calibrated()).unwrap().rule(&DecisionOptions::default()).unwrap();
    let reject = rule.reject.unwrap();
    assert_eq!((rule.verdict, reject.rate, reject.log10_nfa), (Verdict::Reject, 0.05, -1.75));
    assert_eq!(rule.p_value(Some(-0.5)).unwrap().value, 4.0 / 31.0);
}

#[test]
fn optional_fields_may_be_absent_or_null() {
    for null in [false, true] {
        let mut manifest = full();
        for pointer in
            ["/version", "/training/seen", "/training", "/scores", "/limits", "/backbone/file", "/detection/roi"]
        {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            let parent = manifest.pointer_mut(parent).unwrap().as_object_mut().unwrap();
            if null {
                parent.insert(key.to_owned(), Value::Null)
            } else {
                parent.remove(key)
            };
        }
        let manifest = load(&manifest).unwrap();
        assert_eq!((manifest.version, manifest.training, manifest.scores), (None, None, None));
        assert_eq!((manifest.backbone.file, manifest.detection.roi, manifest.limits), (None, None, None));
    }
}

/// The message for the full manifest with one value changed.
fn refusal(pointer: &str, value: Value) -> String {
    refusal_of(full(), pointer, value)
}

fn refusal_of(mut manifest: Value, pointer: &str, value: Value) -> String {
    *manifest.pointer_mut(pointer).unwrap() = value;
    load(&manifest).map(|_| pointer.to_owned()).expect_err("is refused")
}

#[test]
fn the_format_decides_first() {
    let newer = "format: 2 is newer than this version of uflow reads (1); use a newer uflow";
    assert_eq!(refusal("/format", json!(2)), newer);
    assert_eq!(load_text(r#"{"format": 2, "something": "else"}"#).unwrap_err(), newer);
    assert_eq!(load_text("{}").unwrap_err(), "format: is missing; this is not a manifest of a U-Flow package");
    for wrong in [json!(0), json!("1"), json!(1.5), json!([1])] {
        assert_eq!(refusal("/format", wrong.clone()), format!("format: {wrong} is not a known format; it must be 1"));
    }
    assert!(load_text("").unwrap_err().contains("EOF"));
    assert!(load_text(&format!("{} {{}}", full())).unwrap_err().contains("trailing"));
}

#[test]
fn every_field_has_its_message() {
    let hash = "0123456789ABCDEF".repeat(4);
    let bad_hash = |field: &str| format!("{field}: `{hash}` is not a SHA-256 (64 lower-case hexadecimal digits)");
    let cases = [
        (
            "/name",
            json!("a/b"),
            "name: \"a/b\" may not start with a dot or contain slashes or control characters".to_owned(),
        ),
        ("/name", json!(" "), "name: it is empty".to_owned()),
        ("/version", json!("x".repeat(129)), "version: it has 129 bytes, at most 128 are allowed".to_owned()),
        (
            "/created",
            json!("2026-02-29T00:00:00Z"),
            "created: `2026-02-29T00:00:00Z` is not a time by RFC 3339, such as 2026-03-14T15:09:26Z".to_owned(),
        ),
        ("/input/width", json!(0), "input.width: 0 is not within 1 to 8192".to_owned()),
        ("/input/height", json!(9000), "input.height: 9000 is not within 1 to 8192".to_owned()),
        ("/input/std/2", json!(0), "input.std: [0.229, 0.224, 0.0] must be positive".to_owned()),
        ("/backbone/sha256", json!(hash), bad_hash("backbone.sha256")),
        ("/flow/sha256", json!(hash), bad_hash("flow.sha256")),
        (
            "/flow/file",
            json!("../flow.onnx"),
            "flow.file: `../flow.onnx` must be a path inside the package (relative, without `.` and `..`)".to_owned(),
        ),
        (
            "/backbone/file",
            json!("/b.onnx"),
            "backbone.file: `/b.onnx` must be a path inside the package (relative, without `.` and `..`)".to_owned(),
        ),
        (
            "/detection/roi",
            json!("C:roi.png"),
            "detection.roi: \"C:roi.png\" may not contain backslashes, colons or control characters".to_owned(),
        ),
        ("/detection/roi", json!("Flow.onnx"), "detection.roi: `Flow.onnx` is in the way of flow.file".to_owned()),
        ("/flow/file", json!("uflow.json/x"), "flow.file: `uflow.json/x` is in the way of the manifest".to_owned()),
        ("/scales", json!([]), "scales: 0 scales; there must be 1 to 8".to_owned()),
        ("/scales/0/features/channels", json!(0), "scales[0].features.channels: 0 is not within 1 to 65536".to_owned()),
        ("/scales/1/latents/width", json!(449), "scales[1].latents.width: 449 is not within 1 to 448".to_owned()),
        (
            "/scales/1/latents/width",
            json!(55),
            "scales[1].latents: (56, 55) differs from the features' height and width".to_owned(),
        ),
        (
            "/scales/2",
            full()["scales"][1].clone(),
            "scales[2].features: (56, 56) must be half of the finer scale's (56, 56) (height, width)".to_owned(),
        ),
        (
            "/scales/2/latents/channels",
            json!(129),
            "scales: 1405712 latents in all from 1404928 features; a flow keeps their number".to_owned(),
        ),
        ("/training/images", json!(0), "training.images: 0 must be at least 1".to_owned()),
        ("/training/best_epoch", json!(26), "training.best_epoch: 26 is not one of the 25 epochs".to_owned()),
        ("/training/noise", json!(-0.5), "training.noise: -0.5 must not be negative".to_owned()),
        (
            "/training/latent_variance",
            json!([1.0]),
            "training.latent_variance: [1.0] must be 3 numbers of at least 0, one a scale".to_owned(),
        ),
        (
            "/training/seen/trained",
            json!("AAAAAAABAAAAAAAA"),
            "training.seen.trained: the digests are not in ascending order".to_owned(),
        ),
        ("/training/seen/held_out", json!("AAAA"), "training.seen.held_out: has 3 bytes, not a multiple of 6".to_owned()),
        ("/limits/good_flagged", json!(41), "limits.good_flagged: must not exceed images".to_owned()),
        ("/limits/tried_px", json!([3, 2]), "limits.tried_px: must be two positive sizes, ascending".to_owned()),
        ("/limits/pixel_size_mm", json!(0), "limits.pixel_size_mm: must be positive".to_owned()),
        ("/limits/kinds", json!([]), "limits.kinds: must have 1 to 256 entries".to_owned()),
        ("/limits/kinds/1/found", json!(101), "limits.kinds[1].found: must not exceed defects".to_owned()),
        ("/limits/kinds/0/a90_95_px", json!(-1), "limits.kinds[0].a90_95_px: must be positive".to_owned()),
        ("/limits/kinds/0/kind", json!(""), "limits.kinds[0].kind: it is empty".to_owned()),
        ("/scores/std", json!(-0.5), "scores.std: -0.5 is not within 0 to 1".to_owned()),
        ("/scores/min", json!(0.5), "scores.min: 0.5 is above scores.max, 0.4".to_owned()),
        (
            "/scores/max",
            json!(0.31),
            "scores.quantiles: [(0.5, 0.3), (0.95, 0.37), (0.99, 0.39)] must be ascending pairs of a probability and a score within scores.min \
             and max, 0.25..=0.31"
                .to_owned(),
        ),
        ("/scores/mean", json!(0.5), "scores.mean: 0.5 is not within scores.min and max, 0.25..=0.4".to_owned()),
        (
            "/scores/quantiles",
            json!([[0.5, 0.3], [0.5, 0.35]]),
            "scores.quantiles: [(0.5, 0.3), (0.5, 0.35)] must be ascending pairs of a probability and a score within scores.min and max, 0.25..=0.4"
                .to_owned(),
        ),
        ("/detection/epsilon", json!(0), "detection.epsilon: must be a number above 0 (false alarms expected per image; 1 is the default), not 0".to_owned()),
        (
            "/detection/score_threshold",
            json!(1.5),
            "detection.score_threshold: must be from 0 to 1, not 1.5".to_owned(),
        ),
    ];
    for (pointer, value, message) in cases {
        assert_eq!(refusal(pointer, value), message);
    }
    let mut undecidable = full();
    undecidable["scores"] = Value::Null;
    undecidable["detection"]["score_threshold"] = Value::Null;
    assert_eq!(
        load(&undecidable).unwrap_err(),
        "detection.score_threshold: verdict `either` needs a score threshold; neither the call nor the package has one, and the package has no scores of good images"
    );
}

#[test]
fn a_calibration_that_cannot_be_is_refused() {
    let cases = [
        ("/calibration/images", json!(2), "calibration.images: 2 must be at least 3"),
        ("/calibration/scales/1/location", json!([0.0]), "calibration.scales[1].location: not 2 numbers"),
        ("/calibration/scales/1/pixels", json!(3), "calibration.scales[1].pixels: 3 is not within 1 to 2"),
        ("/calibration/scales/0/deviation", json!(0), "calibration.scales[0].deviation: 0 must be above 0"),
        (
            "/calibration/scales/0/correlated_pixels",
            json!(0.5),
            "calibration.scales[0].correlated_pixels: 0.5 must be at least 1",
        ),
        ("/calibration/scales/0/tail_slope", json!(-1), "calibration.scales[0].tail_slope: -1 must be above 0"),
        ("/calibration/scales/0/rates/1/0", json!(-4), "calibration.scales[0].rates: must be finite and increase"),
        ("/calibration/scales/0/rates", json!([]), "calibration.scales[0].rates: must be finite and increase"),
        ("/calibration/scales", json!([]), "calibration.scales: 0 for a model of 2"),
    ];
    for (pointer, value, message) in cases {
        assert_eq!(refusal_of(calibrated(), pointer, value), message);
    }
    for (pointer, value, message) in [
        ("/rejection/images", json!(3), "rejection: images: 3 are fewer than the 4 that have a value"),
        ("/rejection/lowest/3", json!(-0.75), "rejection: lowest: must be finite numbers in ascending order"),
        (
            "/rejection/tests",
            json!("paper"),
            "detection.verdict: the package of `capacitor` measured its good images with tests = paper",
        ),
        ("/rejection", json!(null), "detection.verdict: verdict `reject` needs good images"),
        ("/detection/reject_rate", json!(1), "detection.reject_rate: must be a share above 0 and below 1"),
    ] {
        let found = refusal_of(calibrated(), pointer, value);
        assert!(found.starts_with(message), "{found}");
    }
    let none = refusal_of(calibrated(), "/calibration", json!(null));
    assert!(none.starts_with("detection.tests: `sized` needs a null hypothesis calibrated on good images"), "{none}");
}

#[test]
fn wrong_types_and_unknown_fields_are_located() {
    let start = |pointer, value, start: &str| {
        let message = refusal(pointer, value);
        assert!(message.starts_with(start), "{message}");
    };
    start("/input/width", json!("448"), "input.width: invalid type: string \"448\", expected u32 at line 1");
    start("/input/mean", json!([1.0]), "input.mean: invalid length 1, expected an array of length 3");
    start("/input/mean/1", json!(1e300), "input.mean[1]: number out of range");
    start("/scales/1/features/height", json!(null), "scales[1].features.height: invalid type: null, expected usize");
    start(
        "/detection/bound",
        json!("guess"),
        "detection.bound: unknown variant `guess`, expected `chernoff` or `exact`",
    );
    start(
        "/input/resize",
        json!("nearest"),
        "input.resize: unknown variant `nearest`, expected `bilinear` or `bicubic`",
    );
    let mut before = full();
    before["input"].as_object_mut().unwrap().remove("resize");
    assert_eq!(load(&before).unwrap().input.resize, uflow::preprocess::Resize::Bilinear);
    start("/flow", json!({"file": "flow.onnx"}), "flow: missing field `sha256`");
    let mut unknown = full();
    unknown["scales"][0]["features"]["depth"] = json!(3);
    let message = load(&unknown).unwrap_err();
    assert!(
        message.starts_with("scales[0].features.depth: unknown field `depth`, expected one of `channels`"),
        "{message}"
    );
    let twice = full().to_string().replacen("\"name\":", "\"name\":\"other\",\"name\":", 1);
    assert!(load_text(&twice).unwrap_err().contains("duplicate field `name`"));
}

#[test]
fn times_are_rfc_3339() {
    let valid = |text: &str| {
        let mut manifest = full();
        manifest["created"] = json!(text);
        load(&manifest).is_ok()
    };
    for text in [
        "2026-03-14T15:09:26Z",
        "2024-02-29t23:59:60z",
        "2026-03-14T15:09:26.535897932+05:30",
        "2000-02-29T00:00:00-23:59",
    ] {
        assert!(valid(text), "{text}");
    }
    for text in [
        "",
        "2026-03-14",
        "2026-03-14 15:09:26Z",
        "2026-03-14T15:09:26",
        "2026-13-14T15:09:26Z",
        "2026-04-31T15:09:26Z",
        "1900-02-29T15:09:26Z",
        "2026-03-14T24:09:26Z",
        "2026-03-14T15:60:26Z",
        "2026-03-14T15:09:26.Z",
        "2026-03-14T15:09:26+5:30",
        "2026-03-14T15:09:26Zx",
        "2026-03-14T15:09:26+05:30x",
        "2026-03-14T15:09:2é",
        "+026-03-14T15:09:26Z",
    ] {
        assert!(!valid(text), "{text}");
    }
    let at = |seconds| timestamp(UNIX_EPOCH + Duration::from_secs(seconds));
    assert_eq!(at(0), "1970-01-01T00:00:00Z");
    assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
    assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
    assert_eq!(at(951_868_800), "2000-03-01T00:00:00Z");
    assert_eq!(at(1_773_500_966), "2026-03-14T15:09:26Z");
    assert_eq!(at(4_107_542_399), "2100-02-28T23:59:59Z");
    assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00Z");
}

//! What `detect` answers is what a detector says of the same bytes.

use base64::{Engine as _, prelude::*};
use half::f16;
use serde_json::Value;
use uflow::{
    frame::{Frame, Image, Limits, PixelFormat},
    pipeline::{Detection, Detector},
    segment::{Bound, DecisionOptions, RegionOfInterest, Roi, Verdict},
};

use super::{Models, Server, bad_png, models, png};

/// With the paper's count of tests no region of so small a map means anything at an ε of 1, and all of it at ε above 10²³³.
const LENIENT: &str = "epsilon=1e100";

fn lenient() -> DecisionOptions {
    DecisionOptions { epsilon: Some(1e100), ..DecisionOptions::default() }
}

fn expected(detector: &mut Detector, file: &[u8], options: &DecisionOptions) -> Detection {
    let image = Image::decode(file, "the test's file", &Limits::default()).unwrap();
    detector.detect(&image.frame(), options).unwrap()
}

/// Every field but the times, in the digits that the command writes.
fn assert_same(found: &Value, expected: &Detection) {
    let line: Value = serde_json::from_str(&serde_json::to_string(expected).unwrap()).unwrap();
    for (name, value) in line.as_object().unwrap() {
        if name == "timings_ms" {
            let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(&found[name]), names(value));
        } else {
            assert_eq!(&found[name], value, "{name}");
        }
    }
    let back: Detection = serde_json::from_value(found.clone()).unwrap();
    assert_eq!(back.score.to_bits(), expected.score.to_bits());
    assert_eq!(back.log10_nfa_min.to_bits(), expected.log10_nfa_min.to_bits());
    assert_eq!(back.regions, expected.regions);
}

#[test]
fn encoded_images_get_the_detector_s_numbers_bit_for_bit() {
    let models = Models::new();
    let server = Server::start(&models);
    let mut regions = 0;
    for (path, package) in [
        ("bolt", "bolt/3"),
        ("bolt/versions/1", "bolt/1"),
        ("bolt/versions/3", "bolt/3"),
        ("nut", "nut/2"),
        ("n%75t", "nut/2"),
    ] {
        let mut detector = models.detector(package);
        for seed in 0..4 {
            let file = bad_png(seed);
            let found = server.post(&format!("/v1/models/{path}/detect?{LENIENT}"), &file);
            assert_eq!(found.status, 200, "{}", found.text());
            let found = found.json();
            assert_same(&found, &expected(&mut detector, &file, &lenient()));
            let (name, version) = package.split_once('/').unwrap();
            assert_eq!(
                (&found["model"], &found["version"]),
                (&Value::from(name), &Value::from(version.parse::<u32>().unwrap()))
            );
            assert_eq!((&found["width"], &found["height"]), (&Value::from(61), &Value::from(43)));
            assert_eq!((&found["mask"], &found["score_map"]), (&Value::Null, &Value::Null));
            regions += found["regions"].as_array().unwrap().len();
        }
    }
    assert!(regions > 0, "some of the frames must have regions, or they are not compared");
}

#[test]
fn the_type_of_the_content_may_be_any_that_bytes_have() {
    let models = Models::new();
    let server = Server::start(&models);
    let file = bad_png(1);
    let path = "/v1/models/bolt/detect";
    let first = server.send("POST", path, &[], &file).json();
    for kind in
        ["image/png", "image/jpeg", "IMAGE/X-ANY; a=b", "application/octet-stream", "application/x-www-form-urlencoded"]
    {
        let found = server.send("POST", path, &[("Content-Type", kind)], &file);
        assert_eq!(found.status, 200, "{kind}: {}", found.text());
        assert_eq!(found.json()["score"], first["score"]);
    }
}

#[test]
fn raw_pixels_of_every_format_and_stride() {
    let models = Models::new();
    let server = Server::start(&models);
    let mut detector = models.detector("nut/2");
    for (seed, format) in PixelFormat::ALL.into_iter().enumerate() {
        let packed = models::bad(seed as u64, 37, 29, format);
        let frame = Frame::packed(&packed, 37, 29, format).unwrap();
        let expected = detector.detect(&frame, &lenient()).unwrap();
        let row = 37 * format.bytes_per_pixel();
        let padded: Vec<u8> = packed.chunks(row).flat_map(|row| [row, &[7; 5]].concat()).collect();
        let layout = format!("width=37&height=29&format={format}");
        for (layout, body) in [
            (layout.clone(), &packed),
            (format!("{layout}&stride=0"), &packed),
            (format!("{layout}&stride={}", row + 5), &padded),
        ] {
            let path = format!("/v1/models/nut/detect?{LENIENT}&{layout}");
            let found = server.send("POST", &path, &[("Content-Type", "application/octet-stream")], body);
            assert_eq!(found.status, 200, "{layout}: {}", found.text());
            assert_same(&found.json(), &expected);
            assert_eq!(found.json()["timings_ms"]["decode"], 0.0);
        }
    }
}

#[test]
fn every_option_changes_what_it_should() {
    let models = Models::new();
    let server = Server::start(&models);
    let mut detector = models.detector("nut/2");
    let half: Vec<u8> = (0..61 * 43).flat_map(|index| [if index % 61 < 30 { 255 } else { 0 }; 3]).collect();
    let roi_file = png(&half, 61, 43);
    let roi = RegionOfInterest::from(Roi::decode(&roi_file, "roi", &Limits::default()).unwrap());
    let plain = DecisionOptions::default;
    let cases = [
        (String::new(), plain()),
        ("epsilon=0.001".to_owned(), DecisionOptions { epsilon: Some(0.001), ..plain() }),
        (LENIENT.to_owned(), lenient()),
        (format!("{LENIENT}&min_area=1000000"), DecisionOptions { min_area: Some(1_000_000), ..lenient() }),
        ("bound=exact".to_owned(), DecisionOptions { bound: Some(Bound::Exact), ..plain() }),
        (
            format!("{LENIENT}&roi={}", BASE64_URL_SAFE.encode(&roi_file)),
            DecisionOptions { roi: Some(roi.clone()), ..lenient() },
        ),
        (
            format!("{LENIENT}&roi={}", BASE64_URL_SAFE_NO_PAD.encode(&roi_file)),
            DecisionOptions { roi: Some(roi), ..lenient() },
        ),
        (
            "verdict=score&score_threshold=0.0001".to_owned(),
            DecisionOptions { verdict: Some(Verdict::Score), score_threshold: Some(0.0001), ..plain() },
        ),
        (
            "verdict=both&score_threshold=0.0001".to_owned(),
            DecisionOptions { verdict: Some(Verdict::Both), score_threshold: Some(0.0001), ..plain() },
        ),
        (
            "verdict=either&score_threshold=0.0001".to_owned(),
            DecisionOptions { verdict: Some(Verdict::Either), score_threshold: Some(0.0001), ..plain() },
        ),
        ("priority=high&time_limit_ms=60000".to_owned(), plain()),
    ];
    let file = bad_png(5);
    let mut seen = Vec::new();
    for (query, options) in cases {
        let found = server.post(&format!("/v1/models/nut/detect?{query}"), &file);
        assert_eq!(found.status, 200, "{query}: {}", found.text());
        let mut found = found.json();
        assert_same(&found, &expected(&mut detector, &file, &options));
        found.as_object_mut().unwrap().remove("timings_ms");
        seen.push(found.to_string());
    }
    seen.sort();
    seen.dedup();
    assert!(seen.len() >= 5, "the options make a difference: {} answers", seen.len());
}

#[test]
fn masks_and_maps_come_in_every_format() {
    let models = Models::new();
    let server = Server::start(&models);
    let mut detector = models.detector("nut/2");
    let file = bad_png(6);
    let detection = expected(&mut detector, &file, &lenient());
    assert!(!detection.regions.is_empty());
    let ask = |outputs: &str| {
        let found = server.post(&format!("/v1/models/nut/detect?{LENIENT}&{outputs}"), &file);
        assert_eq!(found.status, 200, "{outputs}: {}", found.text());
        found.json()
    };
    let bytes = |value: &Value| BASE64_STANDARD.decode(value["data"].as_str().unwrap()).unwrap();
    let mask: Vec<u8> = detector.mask().iter().copied().collect();
    assert!(mask.contains(&0) && mask.contains(&1));

    let found = ask("mask=png");
    assert_same(&found, &detection);
    let found = &found["mask"];
    assert_eq!((&found["format"], &found["width"], &found["height"]), (&"png".into(), &61.into(), &43.into()));
    let picture = image::load_from_memory(&bytes(found)).unwrap().into_luma8();
    assert_eq!(picture.dimensions(), (61, 43));
    assert_eq!(picture.into_raw(), mask.iter().map(|&pixel| pixel * 255).collect::<Vec<_>>());

    let found = ask("mask=rle")["mask"].take();
    assert_eq!(found["format"], "rle");
    let runs = found["runs"].as_array().unwrap().iter().map(|run| run.as_u64().unwrap() as usize);
    let rebuilt: Vec<u8> = runs.enumerate().flat_map(|(at, run)| std::iter::repeat_n((at % 2) as u8, run)).collect();
    assert_eq!(rebuilt, mask);

    let maps = detector.maps().unwrap();
    for (name, map) in [("score_map", maps.score), ("log10_nfa_map", maps.log10_nfa)] {
        let [f32s, f16s, pngs] = ["f32", "f16", "png"].map(|format| ask(&format!("{name}={format}"))[name].take());
        let numbers: Vec<f32> = bytes(&f32s).chunks(4).map(|c| f32::from_le_bytes(c.try_into().unwrap())).collect();
        assert_eq!(numbers, map.iter().copied().collect::<Vec<_>>());
        let halves: Vec<f16> = bytes(&f16s).chunks(2).map(|c| f16::from_le_bytes(c.try_into().unwrap())).collect();
        assert_eq!(halves, map.iter().map(|&value| f16::from_f32(value)).collect::<Vec<_>>());
        let (low, high) = (pngs["minimum"].as_f64().unwrap(), pngs["maximum"].as_f64().unwrap());
        let picture = image::load_from_memory(&bytes(&pngs)).unwrap().into_luma16();
        assert_eq!(picture.dimensions(), (map.ncols() as u32, map.nrows() as u32));
        for (&level, &value) in picture.as_raw().iter().zip(map) {
            let back = low + f64::from(level) / 65_535.0 * (high - low);
            assert!((back - f64::from(value)).abs() <= (high - low) / 65_535.0 + 1e-4, "{back} {value}");
        }
    }
}

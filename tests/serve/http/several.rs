//! Several images in one request, the picture of the regions as an answer, and the list of models.

use std::path::Path;

use serde_json::{Value, json};
use uflow::{
    frame::PixelFormat,
    package::{DetectionLimits, KindLimit, Manifest, Package},
    render::{OUTLINE, draw_outlines},
    serve::registry::Control,
};

use super::{Models, Server, Setup, bad_png, client::Response, models, png};

const DETECT: &str = "/v1/models/bolt/detect?epsilon=1e100";
const BOUNDARY: &str = "a-boundary";

/// Headers and content of a part.
type Part<'a> = (&'a str, &'a [u8]);

/// A body of parts.
fn multipart(parts: &[Part<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for (headers, content) in parts {
        let end = if headers.is_empty() { "" } else { "\r\n" };
        body.extend_from_slice(format!("--{BOUNDARY}\r\n{headers}{end}\r\n").as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

fn send(server: &Server, path: &str, kind: &str, parts: &[Part<'_>]) -> Response {
    let kind = format!("multipart/{kind}; boundary={BOUNDARY}");
    server.send("POST", path, &[("Content-Type", &kind)], &multipart(parts))
}

fn without_times(mut found: Value) -> Value {
    found.as_object_mut().unwrap().remove("timings_ms").unwrap();
    found
}

#[test]
fn each_image_has_its_detection_in_the_order_of_the_parts() {
    let models = Models::new();
    let server = Server::start(&models);
    let files: Vec<_> = (0..3).map(bad_png).collect();
    let field = |name: &str| {
        format!("Content-Disposition: form-data; name=\"image\"; filename=\"{name}\"\r\nContent-Type: image/png")
    };
    let (a, b) = (field("a.png"), field("line 3/b.png"));
    for (kind, parts, names) in [
        (
            "form-data",
            [
                (a.as_str(), &files[0][..]),
                (b.as_str(), &files[1]),
                ("Content-Disposition: form-data; name=third", &files[2]),
            ],
            ["a.png", "line 3/b.png", "third"],
        ),
        (
            "mixed",
            [
                ("Content-Type: image/png", &files[0][..]),
                ("", &files[1]),
                ("Content-Type: application/octet-stream", &files[2]),
            ],
            ["0", "1", "2"],
        ),
    ] {
        let found = send(&server, DETECT, kind, &parts);
        assert_eq!(found.status, 200, "{}", found.text());
        let found = found.json();
        let images = found["images"].as_array().unwrap();
        assert_eq!(images.iter().map(|image| image["name"].as_str().unwrap()).collect::<Vec<_>>(), names);
        for (image, file) in images.iter().zip(&files) {
            let alone = server.post(DETECT, file).json();
            let (together, alone) = (without_times(image["detection"].clone()), without_times(alone));
            // A batch may change the last digits.
            assert_eq!((&together["model"], &together["width"]), (&alone["model"], &alone["width"]));
            let score = |found: &Value| found["score_max"].as_f64().unwrap();
            assert!((score(&together) - score(&alone)).abs() <= 1e-5, "{together} {alone}");
            assert_eq!(together["regions"].as_array().unwrap().len(), alone["regions"].as_array().unwrap().len());
        }
    }
}

#[test]
fn an_image_that_fails_is_an_error_in_its_place() {
    let models = Models::new();
    let server = Server::start(&models);
    let file = bad_png(1);
    let found = send(&server, DETECT, "form-data", &[("", &file), ("", b"no image"), ("", b""), ("", &file)]).json();
    let images = found["images"].as_array().unwrap();
    assert_eq!(images.iter().map(|image| image.get("error").is_some()).collect::<Vec<_>>(), [false, true, true, false]);
    assert_eq!(images[1]["error"]["code"], "INVALID_ARGUMENT");
    assert!(images[1]["error"]["error"].as_str().unwrap().contains("cannot be decoded"), "{found}");
    assert!(images[2]["error"]["error"].as_str().unwrap().contains("the body is empty"), "{found}");
}

#[test]
fn a_part_may_be_the_region_of_interest_and_raw_pixels_are_parts_too() {
    let models = Models::new();
    let server = Server::start(&models);
    let file = bad_png(5);
    let half: Vec<u8> = (0..61 * 43).flat_map(|index| [if index % 61 < 30 { 255 } else { 0 }; 3]).collect();
    let roi = png(&half, 61, 43);
    let part = "Content-Disposition: form-data; name=\"roi\"";
    let found = send(&server, DETECT, "form-data", &[("", &file), (part, &roi)]).json();
    use base64::Engine as _;
    let text = base64::prelude::BASE64_URL_SAFE.encode(&roi);
    let expected = server.post(&format!("{DETECT}&roi={text}"), &file).json();
    assert_eq!(without_times(found["images"][0]["detection"].clone()), without_times(expected));
    let pixels = models::bad(1, 37, 29, PixelFormat::Gray8);
    let raw = format!("{DETECT}&width=37&height=29&format=gray8");
    let found = send(&server, &raw, "mixed", &[("", &pixels)]).json();
    let expected = server.post(&raw, &pixels).json();
    assert_eq!(without_times(found["images"][0]["detection"].clone()), without_times(expected));
}

#[test]
fn what_is_wrong_with_the_parts_is_said() {
    let models = Models::new();
    let server = Server::start(&models);
    let file = bad_png(1);
    let roi = "Content-Disposition: form-data; name=\"roi\"";
    let many: Vec<_> = std::iter::repeat_n(("", &b"x"[..]), 66).collect();
    let cases: [(&[Part<'_>], &str); 7] = [
        (&[], "body: it has 0 images; a request has 1 to 64"),
        (&[(roi, &file)], "body: it has 0 images"),
        (&[("", &file), (roi, &file), (roi, &file)], "body: it has 2 parts with the name `roi`"),
        (&[("", &file), (roi, b"")], "body: the region of interest is empty"),
        (&[("Content-Type: text/plain", b"hello")], "body: part 0 is `text/plain`; send images as image/*"),
        (&many[..65], "body: it has 65 images; a request has 1 to 64"),
        (&many, "body: it has more than 65 parts"),
    ];
    for (parts, says) in cases {
        let (code, message) = send(&server, DETECT, "form-data", parts).error();
        assert_eq!(code, "INVALID_ARGUMENT");
        assert!(message.starts_with(says), "{message}");
    }
    for kind in ["multipart/related; boundary=x", "multipart/form-data", "multipart/mixed; x=y"] {
        let (_, message) = server.send("POST", DETECT, &[("Content-Type", kind)], b"--x--").error();
        assert!(message.contains("send multipart/form-data or multipart/mixed with a boundary"), "{message}");
    }
    let picture = [("Content-Type", "multipart/mixed; boundary=x"), ("Accept", "image/png")];
    let (_, message) = server.send("POST", DETECT, &picture, b"--x--").error();
    assert!(message.starts_with("Accept: image/png is for one image"), "{message}");
}

#[test]
fn a_picture_has_the_regions_outlined() {
    let models = Models::new();
    let server = Server::start(&models);
    let pixels = models::bad(5, 61, 43, PixelFormat::Rgb8);
    let file = png(&pixels, 61, 43);
    let detection = server.post(DETECT, &file).json();
    let outlines: Vec<Vec<Vec<[u32; 2]>>> = detection["regions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|region| serde_json::from_value(region["outline"].clone()).unwrap())
        .collect();
    assert!(!outlines.is_empty());
    let mut expected = image::RgbImage::from_raw(61, 43, pixels.clone()).unwrap();
    draw_outlines(&mut expected, &outlines, OUTLINE);
    assert!(expected.pixels().any(|pixel| pixel.0 == OUTLINE));
    let raw = format!("{DETECT}&width=61&height=43&format=rgb8");
    for (path, body) in [(DETECT, &file), (raw.as_str(), &pixels)] {
        let found = server.send("POST", path, &[("Accept", "image/png")], body);
        assert_eq!((found.status, found.header("content-type")), (200, Some("image/png")));
        assert_eq!(found.header("uflow-anomalous"), Some(detection["anomalous"].to_string().as_str()));
        assert_eq!(
            found.header("uflow-score").unwrap().parse::<f32>().unwrap(),
            detection["score"].as_f64().unwrap() as f32
        );
        assert_eq!(found.header("uflow-regions"), Some(outlines.len().to_string().as_str()));
        let drawn = image::load_from_memory(&found.body).unwrap().into_rgb8();
        assert!(drawn == expected, "the picture is the image with the outlines");
    }
    let masks = format!("{DETECT}&mask=png");
    let (_, message) = server.send("POST", &masks, &[("Accept", "image/png")], &file).error();
    assert!(message.starts_with("Accept: image/png has no room for masks and maps"), "{message}");
    let broken = server.send("POST", DETECT, &[("Accept", "image/png")], b"no image");
    assert_eq!((broken.status, broken.error().0.as_str()), (400, "INVALID_ARGUMENT"), "errors are JSON");
}

/// Gives a package detectable sizes.
fn measured(path: &Path) {
    let package = Package::open(path).unwrap();
    let kind = KindLimit {
        kind: "hole".to_owned(),
        contrast: 1.0,
        defects: 100,
        found: 80,
        a90_px: Some(8.0),
        a90_95_px: None,
    };
    let limits = DetectionLimits {
        images: 40,
        good_flagged: 0,
        control_images: 40,
        control_flagged: 0,
        defects: 100,
        tried_px: [2.0, 64.0],
        contrast_levels: 100.0,
        pixel_size_mm: None,
        kinds: vec![kind],
    };
    let manifest = Manifest { limits: Some(limits), ..package.manifest.clone() };
    package.write_changed(path, &manifest, package.roi.as_deref()).unwrap();
}

#[test]
fn the_models_are_listed_with_what_they_decide() {
    let models = Models::new();
    super::break_package(&models.repository().join("gear/1"));
    measured(&models.repository().join("bolt/3"));
    let server = Server::start(&models);
    let found = server.get("/v1/models").json();
    let listed = found["models"].as_array().unwrap();
    let of = |model: &Value| {
        (model["name"].clone(), model["version"].clone(), model["state"].clone(), model["current"].clone())
    };
    let row = |name: &str, version: u32, state: &str, current: bool| {
        (json!(name), json!(version), json!(state), json!(current))
    };
    assert_eq!(
        listed.iter().map(of).collect::<Vec<_>>(),
        [
            row("bolt", 1, "ready", false),
            row("bolt", 3, "ready", true),
            row("gear", 1, "failed", false),
            row("nut", 2, "ready", true)
        ]
    );
    assert!(listed[2]["reason"].as_str().unwrap().contains("package") && listed[2]["description"].is_null(), "{found}");
    let description = &listed[0]["description"];
    assert_eq!((&description["input_width"], &description["input_height"]), (&json!(48), &json!(32)));
    assert!(!description["decision"].as_array().unwrap().is_empty());
    assert!(description["limits"].is_null(), "{found}");
    let limits = &listed[1]["description"]["limits"];
    assert_eq!((&limits["images"], &limits["largest_tried_px"]), (&json!(40), &json!(64.0)), "{found}");
    let hole =
        json!({ "kind": "hole", "contrast": 1.0, "defects": 100, "found": 80, "a90_px": 8.0, "a90_95_px": null });
    assert_eq!(limits["kinds"], json!([hole]));
    let empty = Setup { control: Control::Explicit, ready_when_empty: true, ..Setup::default() };
    let found = Server::with(&models, empty).get("/v1/models").json();
    assert!(found["models"].as_array().unwrap().iter().all(|model| model["state"] == "available"), "{found}");
}

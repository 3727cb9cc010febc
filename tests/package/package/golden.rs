//! Golden frames as files of a package.

use std::{fs, io::Cursor, path::PathBuf};

use prost::bytes::Bytes;
use uflow::{
    frame::{Frame, Image, Limits, PixelFormat},
    package::{
        FileSource, Files, Golden, GoldenFrame, GoldenResult, Machine, Manifest, Package, golden_picture, sha256, write,
    },
    preprocess::Preprocess,
};

use super::Fixture;

pub(super) fn pictures() -> Vec<Bytes> {
    let picture = |value| {
        let mut png = Cursor::new(Vec::new());
        let picture = image::GrayImage::from_fn(9, 7, |x, y| image::Luma([(x * y) as u8 + value]));
        picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
        png.into_inner().into()
    };
    vec![picture(1), picture(2)]
}

pub(super) fn golden(pictures: &[Bytes]) -> Golden {
    let [uflow, onnxruntime, device, precision, cpu] = ["0.1.0", "1.32.0", "cpu", "fp32", "x86_64"].map(str::to_owned);
    let frame = |(index, png): (usize, &Bytes)| GoldenFrame {
        file: Golden::file(index),
        sha256: sha256(png),
        expected: GoldenResult {
            score: -1.5,
            score_max: 0.75,
            anomalous: index == 1,
            p_value: None,
            quantiles: [0.1, 0.2, 0.3, 0.4, 0.5],
        },
    };
    let frames = pictures.iter().enumerate().map(frame).collect();
    Golden { made: Machine { uflow, onnxruntime, device, precision, cpu }, frames }
}

impl Fixture {
    /// The fixture's package with two golden frames, and its pictures.
    pub(super) fn with_golden(name: &str) -> (Self, PathBuf, Vec<Bytes>) {
        let (mut fixture, pictures) = (Self::new(), pictures());
        fixture.manifest.golden = Some(golden(&pictures));
        let path = fixture.path(name);
        write(&path, &fixture.manifest, &Files { golden: &pictures, ..fixture.files() }).unwrap();
        (fixture, path, pictures)
    }
}

#[test]
fn golden_frames_come_back_and_go() {
    for name in ["model", "model.uflow"] {
        let (fixture, path, pictures) = Fixture::with_golden(name);
        let package = Package::open(&path).unwrap();
        assert_eq!((&package.golden, &package.manifest), (&pictures, &fixture.manifest));
        // A changed package keeps them.
        let renamed = Manifest { name: "other".to_owned(), ..package.manifest.clone() };
        let changed = fixture.path(&format!("changed-{name}"));
        package.write_changed(&changed, &renamed, package.roi.as_deref()).unwrap();
        let changed = Package::open(&changed).unwrap();
        assert_eq!((&changed.golden, &changed.manifest.golden), (&pictures, &fixture.manifest.golden));
        // One of them in their place, then none.
        let one = golden(&pictures[1..]);
        package.write_with_golden(&path, Some((one.clone(), &pictures[1..]))).unwrap();
        let package = Package::open(&path).unwrap();
        assert_eq!((package.golden.as_slice(), &package.manifest.golden), (&pictures[1..], &Some(one)));
        package.write_with_golden(&path, None).unwrap();
        let package = Package::open(&path).unwrap();
        assert!(package.golden.is_empty() && package.manifest.golden.is_none());
        assert!(package.roi.is_some(), "nothing else changed");
        assert!(!path.join("golden").exists());
    }
}

#[test]
fn a_changed_or_missing_golden_frame_is_described() {
    let (fixture, path, pictures) = Fixture::with_golden("model");
    let file = path.join("golden/1.png");
    fs::write(&file, &pictures[0]).unwrap();
    let said = fixture.refusal(&path);
    let expected = format!("golden/1.png: was changed or is damaged: its SHA-256 is {}", sha256(&pictures[0]));
    assert!(said.starts_with(&expected), "{said}");
    fs::write(&file, &pictures[1][..40]).unwrap();
    assert!(fixture.refusal(&path).starts_with("golden/1.png: was changed or is damaged"));
    fs::write(&file, vec![0; (1 << 24) + 1]).unwrap();
    assert_eq!(fixture.refusal(&path), "golden/1.png: has 16777217 bytes, at most 16777216 are allowed");
    fs::remove_file(&file).unwrap();
    assert_eq!(fixture.refusal(&path), "golden/1.png: is missing, though the manifest names it");
}

#[test]
fn frames_that_do_not_fit_the_manifest_are_not_written() {
    let (fixture, pictures) = (Fixture::new(), pictures());
    let refusal = |golden: Option<Golden>, pictures: &[Bytes]| {
        let manifest = Manifest { golden, ..fixture.manifest.clone() };
        let files = Files { golden: pictures, ..fixture.files() };
        write(fixture.path("model"), &manifest, &files).unwrap_err().to_string()
    };
    let two = golden(&pictures);
    assert!(refusal(None, &pictures).contains("the manifest names 0 frames, 2 were given"));
    assert!(refusal(Some(two.clone()), &pictures[1..]).contains("the manifest names 2 frames, 1 were given"));
    let exchanged = [pictures[1].clone(), pictures[0].clone()];
    assert!(refusal(Some(two.clone()), &exchanged).contains("golden/0.png: was changed"));
    let not_a_picture = [Bytes::from_static(b"GIF89a"), pictures[1].clone()];
    assert!(refusal(Some(golden(&not_a_picture)), &not_a_picture).ends_with("golden/0.png: is not a PNG"));
    let mut same_file = two.clone();
    same_file.frames[1].file = "GOLDEN/0.png".to_owned();
    assert!(refusal(Some(same_file), &pictures).contains("golden.frames.file: `GOLDEN/0.png` is in the way of"));
    for name in ["uflow.sig", "uflow.json", "roi.png"] {
        let mut taken = two.clone();
        taken.frames[1].file = name.to_owned();
        assert!(refusal(Some(taken), &pictures).contains(&format!("`{name}` is in the way of")), "{name}");
    }
    let many: Vec<Bytes> = std::iter::repeat_n(pictures[0].clone(), 17).collect();
    assert!(refusal(Some(golden(&many)), &many).contains("golden.frames: 17 frames; there must be 1 to 16"));
    assert!(fixture.names().is_empty(), "{:?}", fixture.names());
}

#[test]
fn every_field_of_a_golden_frame_has_its_range() {
    let (fixture, pictures) = (Fixture::new(), pictures());
    let refusal = |change: fn(&mut GoldenFrame)| {
        let mut golden = golden(&pictures);
        change(&mut golden.frames[0]);
        let manifest = Manifest { golden: Some(golden), ..fixture.manifest.clone() };
        let said = manifest.to_json().unwrap_err().to_string();
        said.strip_prefix("package uflow.json: golden.frames[0].").unwrap_or_else(|| panic!("{said}")).to_owned()
    };
    assert_eq!(refusal(|frame| frame.expected.score = f32::INFINITY), "expected.score: inf must be finite");
    assert_eq!(refusal(|frame| frame.expected.score_max = 1.5), "expected.score_max: 1.5 is not within 0 to 1");
    assert_eq!(refusal(|frame| frame.expected.p_value = Some(-0.5)), "expected.p_value: -0.5 is not within 0 to 1");
    assert!(refusal(|frame| frame.expected.quantiles[2] = 0.05).starts_with("expected.quantiles: "));
    assert!(refusal(|frame| frame.sha256 = "00".to_owned()).starts_with("sha256: `00` is not a SHA-256"));
}

#[test]
fn a_picture_fits_into_the_input_and_a_small_one_stays_as_it_is() {
    let input = Preprocess::imagenet(20, 10);
    let picture = |pixels: &[u8], width, height, format| {
        let png = golden_picture(&Frame::packed(pixels, width, height, format).unwrap(), &input).unwrap();
        Image::decode(&png, "golden", &Limits::default()).unwrap()
    };
    let colour: Vec<u8> = (0..8 * 6 * 3).map(|value| (value * 7 % 251) as u8).collect();
    let small = picture(&colour, 8, 6, PixelFormat::Rgb8);
    assert_eq!((small.frame().format(), small.frame().data()), (PixelFormat::Rgb8, colour.as_slice()));
    let gray: Vec<u8> = (0..60).collect();
    let small = picture(&gray, 10, 6, PixelFormat::Gray8);
    assert_eq!((small.frame().format(), small.frame().data()), (PixelFormat::Gray8, gray.as_slice()));
    // 40×40 into 20×10: the height decides.
    let large = picture(&[77; 40 * 40 * 3], 40, 40, PixelFormat::Rgb8);
    assert_eq!((large.width(), large.height(), large.frame().format()), (10, 10, PixelFormat::Gray8));
    assert!(large.frame().data().iter().all(|&value| value == 77));
    // 16 bits become 8.
    let deep: Vec<u8> = [0_u16, 257 * 3, 65535, 257 * 200].iter().flat_map(|value| value.to_le_bytes()).collect();
    let deep = picture(&deep, 4, 1, PixelFormat::Gray16);
    assert_eq!(deep.frame().data(), [0, 3, 255, 200]);
}

#[test]
fn a_package_without_golden_frames_has_none_in_its_text() {
    let (fixture, path) = Fixture::written("model");
    assert!(!fs::read_to_string(path.join("uflow.json")).unwrap().contains("golden"));
    let files = Files { backbone: Some(FileSource::Bytes(&fixture.backbone)), ..fixture.files() };
    assert!(files.golden.is_empty());
}

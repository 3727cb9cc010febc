//! Detection through the C interface: the numbers of the Rust one to the bit, from Rust and from a C program; misuse.

#![allow(clippy::unwrap_used, clippy::undocumented_unsafe_blocks)] // helpers of tests; every pointer is a local's or NULL

#[path = "../../tests/networks/mod.rs"]
mod networks;

use std::{
    ffi::{CStr, CString},
    mem,
    process::Command,
    ptr,
};

use networks::models;
use uflow::{
    detector::{DetectOptions, Detection, Detector},
    frame::{Frame, PixelFormat},
    package::Package,
    runtime::{Runtime, SessionOptions},
};
use uflow_ffi::{uflow_status_code::*, *};

const SIZE: (u32, u32) = (61, 43);
/// No region of so small a map means anything at an ε of 1; at this one many do.
const EPSILON: f64 = 1e230;

struct Fixture {
    folder: tempfile::TempDir,
    engine: *mut uflow_engine,
    model: *mut uflow_model,
    detector: *mut uflow_detector,
    options: *mut uflow_options,
    result: *mut uflow_result,
}

fn ok(status: *mut uflow_status) {
    assert!(status.is_null(), "{}", unsafe { CStr::from_ptr(uflow_status_get_message(status)) }.to_string_lossy());
}

/// The code and the message of a failure.
fn failure(status: *mut uflow_status) -> (uflow_status_code, String) {
    assert!(!status.is_null(), "no failure");
    unsafe {
        let message = CStr::from_ptr(uflow_status_get_message(status)).to_str().unwrap().to_owned();
        let code = uflow_status_get_code(status);
        uflow_status_free(status);
        (code, message)
    }
}

impl Fixture {
    fn new() -> Self {
        let runtime = Runtime::load(None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let backbone = models::backbone(folder.path(), 1);
        let path = folder.path().join("bolt");
        models::fit(&runtime, &backbone, "bolt", 1).write(&path).unwrap();
        let path = CString::new(path.to_str().unwrap()).unwrap();
        let mut fixture = Self {
            folder,
            engine: ptr::null_mut(),
            model: ptr::null_mut(),
            detector: ptr::null_mut(),
            options: ptr::null_mut(),
            result: ptr::null_mut(),
        };
        unsafe {
            ok(uflow_engine_new(ptr::null(), &raw mut fixture.engine));
            ok(uflow_engine_load(fixture.engine, path.as_ptr(), &raw mut fixture.model));
            ok(uflow_detector_new(fixture.model, &raw mut fixture.detector));
            ok(uflow_options_new(&raw mut fixture.options));
            ok(uflow_options_set_epsilon(fixture.options, EPSILON));
            ok(uflow_result_new(&raw mut fixture.result));
        }
        fixture
    }

    fn detect(&self, image: &uflow_image) -> *mut uflow_status {
        unsafe { uflow_detector_detect(self.detector, image, self.options, self.result) }
    }

    fn summary(&self) -> uflow_summary {
        let mut summary: uflow_summary = unsafe { mem::zeroed() };
        summary.struct_size = size_of::<uflow_summary>();
        ok(unsafe { uflow_result_get_summary(self.result, &raw mut summary) });
        summary
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        unsafe {
            uflow_result_free(self.result);
            uflow_options_free(self.options);
            // In an order that no caller should need to know of.
            uflow_engine_free(self.engine);
            uflow_model_free(self.model);
            uflow_detector_free(self.detector);
        }
    }
}

fn image(pixels: &[u8], format: uflow_format) -> uflow_image {
    let (width, height) = SIZE;
    let format = format as u32;
    uflow_image {
        struct_size: size_of::<uflow_image>(),
        data: pixels.as_ptr(),
        size: pixels.len(),
        stride: 0,
        width,
        height,
        format,
    }
}

#[test]
fn the_numbers_are_the_detector_s_to_the_bit() {
    let fixture = Fixture::new();
    let package = Package::open(fixture.folder.path().join("bolt")).unwrap();
    let mut detector = Detector::open(&Runtime::load(None).unwrap(), &package, &SessionOptions::default()).unwrap();
    let options = DetectOptions { epsilon: Some(EPSILON), ..DetectOptions::default() };
    ok(unsafe { uflow_detector_keep_maps(fixture.detector, 7) });
    let mut regions = 0;
    for (seed, format, number) in [
        (1, PixelFormat::Rgb8, uflow_format::UFLOW_FORMAT_RGB8),
        (2, PixelFormat::Gray16, uflow_format::UFLOW_FORMAT_GRAY16),
    ] {
        let pixels = models::bad(seed, SIZE.0, SIZE.1, format);
        let frame = Frame::packed(&pixels, SIZE.0, SIZE.1, format).unwrap();
        let expected: Detection = detector.detect(&frame, &options).unwrap();
        ok(fixture.detect(&image(&pixels, number)));
        let summary = fixture.summary();
        assert_eq!(
            (summary.score, summary.log10_nfa_min, summary.anomalous == 1, summary.regions as usize),
            (expected.score, expected.log10_nfa_min, expected.anomalous, expected.regions.len())
        );
        assert_eq!((summary.width, summary.height), SIZE);
        for (index, expected) in expected.regions.iter().enumerate() {
            let mut region: uflow_region = unsafe { mem::zeroed() };
            region.struct_size = size_of::<uflow_region>();
            ok(unsafe { uflow_result_get_region(fixture.result, index as u32, &raw mut region) });
            assert_eq!([region.x, region.y, region.width, region.height], expected.bbox);
            assert_eq!((region.area, region.log10_nfa_min), (expected.area, expected.log10_nfa_min));
            for (ring, expected) in expected.outline.iter().enumerate() {
                let (mut count, mut points) = (0, vec![uflow_point { x: 0, y: 0 }; expected.len()]);
                let outline = |points: *mut uflow_point, capacity, count: *mut usize| unsafe {
                    uflow_result_get_outline(fixture.result, index as u32, ring as u32, points, capacity, count)
                };
                ok(outline(ptr::null_mut(), 0, &raw mut count));
                assert_eq!(count, expected.len());
                let (code, _) = failure(outline(points.as_mut_ptr(), expected.len() - 1, &raw mut count));
                assert_eq!(code, UFLOW_STATUS_BUFFER_TOO_SMALL);
                ok(outline(points.as_mut_ptr(), points.len(), &raw mut count));
                assert!(points.iter().zip(expected).all(|(point, &[x, y])| (point.x, point.y) == (x, y)));
            }
            regions += 1;
        }
        let mut mask = vec![9; (SIZE.0 * SIZE.1) as usize];
        ok(unsafe { uflow_result_copy_mask(fixture.result, mask.as_mut_ptr(), mask.len()) });
        assert!(mask.iter().eq(detector.mask().iter()));
        let maps = detector.maps().unwrap();
        let mut map = vec![9.0; maps.score.len()];
        ok(unsafe { uflow_result_copy_score_map(fixture.result, map.as_mut_ptr(), map.len()) });
        assert!(map.iter().eq(maps.score.iter()));
        ok(unsafe { uflow_result_copy_log10_nfa_map(fixture.result, map.as_mut_ptr(), map.len()) });
        assert!(map.iter().eq(maps.log10_nfa.iter()));
        let (mut score, mut anomalous) = (9.0, 9);
        ok(unsafe {
            uflow_detector_score(
                fixture.detector,
                &image(&pixels, number),
                fixture.options,
                &raw mut score,
                &raw mut anomalous,
            )
        });
        assert_eq!((score, anomalous == 1), (expected.score, expected.anomalous));
    }
    assert!(regions > 0, "nothing was found to compare");
}

#[test]
fn a_failure_says_why_and_leaves_the_result_alone() {
    let fixture = Fixture::new();
    let (code, said) = failure(unsafe { uflow_result_get_region(fixture.result, 0, ptr::null_mut()) });
    assert_eq!((code, said.as_str()), (UFLOW_STATUS_INVALID_ARGUMENT, "region: is NULL"));
    let pixels = models::bad(1, SIZE.0, SIZE.1, PixelFormat::Rgb8);
    let good = image(&pixels, uflow_format::UFLOW_FORMAT_RGB8);
    ok(fixture.detect(&good));
    let before = fixture.summary().score;
    let cases = [
        (uflow_image { struct_size: 8, ..good }, UFLOW_STATUS_INVALID_ARGUMENT, "struct_size is 8"),
        (uflow_image { data: ptr::null(), ..good }, UFLOW_STATUS_INVALID_ARGUMENT, "image.data: is NULL"),
        (uflow_image { format: 0, ..good }, UFLOW_STATUS_INVALID_ARGUMENT, "0 is no UFLOW_FORMAT"),
        (uflow_image { format: 99, ..good }, UFLOW_STATUS_INVALID_ARGUMENT, "99 is no UFLOW_FORMAT"),
        (uflow_image { width: 0, ..good }, UFLOW_STATUS_INVALID_IMAGE, "invalid frame"),
        (uflow_image { width: u32::MAX, height: u32::MAX, ..good }, UFLOW_STATUS_INVALID_IMAGE, "invalid frame"),
        (uflow_image { size: good.size - 1, ..good }, UFLOW_STATUS_INVALID_IMAGE, "invalid frame"),
        (uflow_image { stride: 7, ..good }, UFLOW_STATUS_INVALID_IMAGE, "invalid frame"),
        (uflow_image { stride: usize::MAX, ..good }, UFLOW_STATUS_INVALID_IMAGE, "invalid frame"),
        (uflow_image { size: usize::MAX, ..good }, UFLOW_STATUS_INVALID_ARGUMENT, "do not fit into memory"),
        (uflow_image { format: 7, ..good }, UFLOW_STATUS_UNDECODABLE, "cannot be decoded"),
    ];
    for (image, code, says) in cases {
        let (found, said) = failure(fixture.detect(&image));
        assert!(found == code && said.contains(says), "{image:?}: {found:?} {said}");
        assert_eq!(fixture.summary().score, before);
    }
    unsafe {
        for status in [
            uflow_options_set_epsilon(fixture.options, f64::NAN),
            uflow_options_set_epsilon(fixture.options, 0.0),
            uflow_options_set_verdict(fixture.options, 9),
            uflow_options_set_bound(fixture.options, 0),
            uflow_options_set_score_threshold(fixture.options, 1.5),
            uflow_options_set_roi(fixture.options, pixels.as_ptr(), 0, 3, 0),
            uflow_options_set_roi(fixture.options, pixels.as_ptr(), u32::MAX, u32::MAX, usize::MAX),
            uflow_detector_keep_maps(fixture.detector, 8),
            uflow_detector_detect(ptr::null_mut(), &raw const good, ptr::null(), fixture.result),
            uflow_detector_detect(fixture.detector, ptr::null(), ptr::null(), fixture.result),
            uflow_detector_detect(fixture.detector, &raw const good, ptr::null(), ptr::null_mut()),
            uflow_detector_detect(fixture.detector, (&raw const good).byte_add(1), ptr::null(), fixture.result),
            uflow_engine_load(fixture.engine, c"\xff".as_ptr(), ptr::dangling_mut()),
            uflow_engine_new(ptr::null(), ptr::null_mut()),
        ] {
            assert_eq!(failure(status).0, UFLOW_STATUS_INVALID_ARGUMENT);
        }
        let mut untouched: *mut uflow_model = ptr::dangling_mut();
        let (code, said) = failure(uflow_engine_load(fixture.engine, c"/none".as_ptr(), &raw mut untouched));
        assert!(matches!(code, UFLOW_STATUS_IO | UFLOW_STATUS_PACKAGE) && said.contains("/none"), "{code:?} {said}");
        assert_eq!(untouched, ptr::dangling_mut(), "an output is written on success alone");
        let (code, said) = failure(uflow_result_copy_mask(fixture.result, ptr::null_mut(), 0));
        assert!(code == UFLOW_STATUS_NOT_FOUND && said.contains("uflow_detector_keep_maps"), "{said}");
        // NULL is nothing to free.
        uflow_engine_free(ptr::null_mut());
        uflow_model_free(ptr::null_mut());
        uflow_detector_free(ptr::null_mut());
        uflow_result_free(ptr::null_mut());
        uflow_options_free(ptr::null_mut());
        uflow_status_free(ptr::null_mut());
        uflow_text_free(ptr::null_mut());
        uflow_engine_options_free(ptr::null_mut());
    }
}

#[test]
fn a_c_program_says_what_the_detector_finds() {
    let fixture = Fixture::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let libraries = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let program = fixture.folder.path().join("detect");
    let built = Command::new("gcc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"])
        .arg(root.join("include"))
        .arg(root.join("examples/c/detect.c"))
        .arg("-L")
        .arg(&libraries)
        .arg("-luflow_ffi")
        .arg(format!("-Wl,-rpath,{}", libraries.display()))
        .arg("-o")
        .arg(&program)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let pixels = models::bad(1, SIZE.0, SIZE.1, PixelFormat::Rgb8);
    let picture = fixture.folder.path().join("bad.png");
    image::RgbImage::from_raw(SIZE.0, SIZE.1, pixels.clone()).unwrap().save(&picture).unwrap();
    let run =
        |package: &str| Command::new(&program).arg(fixture.folder.path().join(package)).arg(&picture).output().unwrap();
    let found = run("bolt");
    let said = String::from_utf8(found.stdout).unwrap();
    assert!(matches!(found.status.code(), Some(0 | 3)), "{}", String::from_utf8_lossy(&found.stderr));
    let package = Package::open(fixture.folder.path().join("bolt")).unwrap();
    let mut detector = Detector::open(&Runtime::load(None).unwrap(), &package, &SessionOptions::default()).unwrap();
    let frame = Frame::packed(&pixels, SIZE.0, SIZE.1, PixelFormat::Rgb8).unwrap();
    let expected = detector.detect(&frame, &DetectOptions::default()).unwrap();
    let score: f32 = said.split("score ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let log10_nfa: f32 = said.split("log10_nfa ").nth(1).unwrap().trim().lines().next().unwrap().parse().unwrap();
    assert_eq!((score, log10_nfa), (expected.score, expected.log10_nfa_min));
    let missing = run("none");
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("none"));
}

#[test]
fn engine_options_are_checked_as_they_are_set() {
    let mut options = ptr::null_mut();
    unsafe {
        ok(uflow_engine_options_new(&raw mut options));
        for (status, says) in [
            (uflow_engine_options_set_device(options, c"gpu".as_ptr()), "gpu"),
            (uflow_engine_options_set_device(options, ptr::null()), "device: is NULL"),
            (uflow_engine_options_set_device(ptr::null_mut(), c"cpu".as_ptr()), "options: is NULL"),
            (uflow_engine_options_set_precision(options, c"fp33".as_ptr()), "fp33"),
            (uflow_engine_options_set_onnxruntime(options, c"\xff".as_ptr()), "UTF-8"),
            (uflow_engine_options_set_workers(options, 0), "workers"),
            (uflow_engine_options_set_batching(options, 0, 2.0), "max_batch"),
            (uflow_engine_options_set_batching(options, 8, f64::NAN), "max_delay_ms: NaN"),
            (uflow_engine_options_set_max_in_flight(options, 0), "max_in_flight"),
        ] {
            let (code, said) = failure(status);
            assert!(said.contains(says), "{code:?} {said}");
        }
        ok(uflow_engine_options_set_device(options, c"cpu".as_ptr()));
        ok(uflow_engine_options_set_precision(options, c"fp32".as_ptr()));
        ok(uflow_engine_options_set_threads(options, 1));
        ok(uflow_engine_options_set_workers(options, 1));
        ok(uflow_engine_options_set_batching(options, 2, 0.5));
        ok(uflow_engine_options_set_max_in_flight(options, 3));
        ok(uflow_engine_options_set_limits(options, 1000, 1000));
        let (mut engine, mut text) = (ptr::null_mut(), ptr::null_mut());
        ok(uflow_engine_new(options, &raw mut engine));
        ok(uflow_engine_metrics(engine, &raw mut text));
        let metrics = CStr::from_ptr(uflow_text_data(text)).to_str().unwrap();
        assert_eq!(metrics.len(), uflow_text_size(text));
        assert!(metrics.contains("\nuflow_in_flight_frames_limit 3\n"), "{metrics}");
        uflow_text_free(text);
        uflow_engine_free(engine);
        uflow_engine_options_free(options);
    }
}

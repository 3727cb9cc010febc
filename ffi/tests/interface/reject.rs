//! The verdict by reject rate through the C interface: the numbers of the Rust one to the bit.

use std::{ffi::CStr, mem, ptr};

use crate::fixture::{self, SIZE, failure, image, made, networks::models, ok, path_text, summary};
use uflow::{
    frame::{Frame, PixelFormat},
    package::Package,
    pipeline::Detector,
    runtime::{Runtime, SessionOptions},
    segment::{DecisionOptions, Verdict},
};
use uflow_ffi::*;

const IMAGES: u64 = 16;

fn info(options: *mut uflow_options) -> uflow_options_info {
    let mut info: uflow_options_info = unsafe { mem::zeroed() };
    info.struct_size = size_of::<uflow_options_info>();
    ok(unsafe { uflow_options_get_info(options, &raw mut info) });
    info
}

#[test]
fn rate_verdict_and_p_values_are_the_detector_s() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), Runtime::load(None).unwrap());
    let path = folder.path().join("clip");
    let backbone = models::backbone(folder.path(), 1);
    models::fit_with(&runtime, &backbone, "clip", (2, IMAGES), DecisionOptions::default()).write(&path).unwrap();
    let package = Package::open(&path).unwrap();
    let mut rust = Detector::open(&runtime, &package, &SessionOptions::default()).unwrap();
    let text = path_text(&path);
    unsafe {
        let engine = made(|out| uflow_engine_new(ptr::null(), out));
        let model = made(|out| uflow_engine_load(engine, text.as_ptr(), out));
        let detector = made(|out| uflow_detector_new(model, out));
        let (options, result) = (made(|out| uflow_options_new(out)), made(|out| uflow_result_new(out)));

        let mut described: uflow_model_info = mem::zeroed();
        described.struct_size = size_of::<uflow_model_info>();
        ok(uflow_model_get_info(model, &raw mut described));
        assert_eq!((described.verdict, described.reject_rate), (uflow_verdict::UFLOW_VERDICT_REJECT as u32, 0.01));
        assert_eq!((u64::from(described.good_images), described.reject_extrapolated), (IMAGES, 1));
        let words = CStr::from_ptr(described.decision).to_str().unwrap();
        assert_eq!(words, package.manifest.decision_in_words().unwrap().join("\n"));

        assert!(info(options).reject_rate.is_nan());
        let mut seen = [0, 0];
        for (rate, verdict) in
            [(None, None), (Some(0.25), None), (Some(0.5), Some(Verdict::Reject)), (None, Some(Verdict::Nfa))]
        {
            ok(uflow_options_reset(options));
            if let Some(rate) = rate {
                ok(uflow_options_set_reject_rate(options, rate));
                assert_eq!(info(options).reject_rate, rate);
            }
            if let Some(verdict) = verdict {
                let number = if verdict == Verdict::Nfa {
                    uflow_verdict::UFLOW_VERDICT_NFA
                } else {
                    uflow_verdict::UFLOW_VERDICT_REJECT
                };
                ok(uflow_options_set_verdict(options, number as u32));
            }
            let asked = DecisionOptions { reject_rate: rate, verdict, ..DecisionOptions::default() };
            for seed in 0..4 {
                let make = if seed == 0 { models::bad } else { models::good };
                let pixels = make(800 + seed, SIZE.0, SIZE.1, PixelFormat::Rgb8);
                let expected =
                    rust.detect(&Frame::packed(&pixels, SIZE.0, SIZE.1, PixelFormat::Rgb8).unwrap(), &asked).unwrap();
                let picture = image(&pixels, uflow_format::UFLOW_FORMAT_RGB8);
                ok(uflow_detector_detect(detector, &raw const picture, options, result));
                let found = summary(result);
                assert_eq!((found.anomalous == 1, found.log10_nfa_min), (expected.anomalous, expected.log10_nfa_min));
                assert_eq!(
                    (Some(found.p_value), found.p_extrapolated == 1),
                    (expected.p_value, expected.p_extrapolated)
                );
                assert_eq!(found.regions as usize, expected.regions.len());
                for (index, expected) in expected.regions.iter().enumerate() {
                    let mut region: uflow_region = mem::zeroed();
                    region.struct_size = size_of::<uflow_region>();
                    ok(uflow_result_get_region(result, index as u32, &raw mut region));
                    assert_eq!(Some(region.p_value), expected.p_value);
                }
                seen[usize::from(expected.anomalous)] += 1;
            }
        }
        assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");

        for rate in [0.0, 1.0, -0.1, f64::NAN] {
            let (code, message) = failure(uflow_options_set_reject_rate(options, rate));
            assert_eq!(code, uflow_status_code::UFLOW_STATUS_INVALID_ARGUMENT);
            assert!(message.contains("reject_rate: must be a share"), "{message}");
        }
        uflow_result_free(result);
        uflow_options_free(options);
        uflow_detector_free(detector);
        uflow_model_free(model);
        uflow_engine_free(engine);
    }
}

#[test]
fn a_package_without_good_images_has_no_p_value_and_refuses_a_rate() {
    let fixture = fixture::Fixture::new();
    let pixels = models::good(1, SIZE.0, SIZE.1, PixelFormat::Rgb8);
    let picture = image(&pixels, uflow_format::UFLOW_FORMAT_RGB8);
    ok(fixture.detect(&picture));
    assert!(fixture.summary().p_value.is_nan());
    ok(unsafe { uflow_options_set_reject_rate(fixture.options, 0.01) });
    let (code, message) = failure(fixture.detect(&picture));
    assert_eq!(code, uflow_status_code::UFLOW_STATUS_INVALID_ARGUMENT);
    assert!(message.contains("uflow calibrate"), "{message}");
}

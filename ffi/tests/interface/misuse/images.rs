//! Images: wrong sizes, formats and pointers in every function that takes one.

use super::{ARGUMENT, RGB, all_fail, null, trainer};
use crate::fixture::{Fixture, bad, image, made, ok, path_text};
use std::{mem, ptr};
use uflow_ffi::{uflow_status_code::*, *};

#[test]
fn images() {
    let fixture = Fixture::new();
    let pixels = bad(1);
    let good = image(&pixels, RGB);
    ok(fixture.detect(&good));
    let before = fixture.summary().score;
    let trainer_folder = tempfile::tempdir().unwrap();
    let trainer = trainer(&fixture, trainer_folder.path());
    let stream = made(|out| unsafe { uflow_stream_new(fixture.model, ptr::null(), out) });
    let results = [fixture.result];
    let mut info: uflow_image_info = unsafe { mem::zeroed() };
    unsafe {
        all_fail([
            (uflow_image_get_info(&raw const good, null()), ARGUMENT, "info: is NULL"),
            (uflow_image_get_info(&raw const good, &raw mut info), ARGUMENT, "info: struct_size is 0"),
        ]);
        info.struct_size = size_of::<uflow_image_info>();
        all_fail([(uflow_image_get_info(ptr::null(), &raw mut info), ARGUMENT, "image: is NULL")]);
    }
    let frame = UFLOW_STATUS_INVALID_IMAGE;
    let cases = [
        (uflow_image { struct_size: 8, ..good }, ARGUMENT, "image: struct_size is 8"),
        (uflow_image { data: ptr::null(), ..good }, ARGUMENT, "image.data: is NULL"),
        (uflow_image { format: 0, ..good }, ARGUMENT, "image.format: 0 is not a UFLOW_FORMAT"),
        (uflow_image { format: 99, ..good }, ARGUMENT, "image.format: 99 is not a UFLOW_FORMAT"),
        (uflow_image { width: 0, ..good }, frame, "width and height must be at least 1"),
        (uflow_image { height: 0, ..good }, frame, "width and height must be at least 1"),
        (uflow_image { width: u32::MAX, height: u32::MAX, ..good }, frame, "invalid frame"),
        (uflow_image { size: good.size - 1, ..good }, frame, "the buffer has 7868"),
        (uflow_image { size: 0, ..good }, frame, "the buffer has 0"),
        (uflow_image { stride: 7, ..good }, frame, "the stride of 7 bytes is shorter"),
        (uflow_image { stride: usize::MAX, ..good }, frame, "larger than the address space"),
        (uflow_image { size: usize::MAX, ..good }, ARGUMENT, "do not fit into memory"),
        (uflow_image { significant_bits: 17, ..good }, ARGUMENT, "image.significant_bits: 17 is not 0 to 16"),
        (uflow_image { struct_size: 52, ..good }, ARGUMENT, "image: struct_size is 52"),
        (uflow_image { struct_size: 1 << 20, ..good }, ARGUMENT, "image: struct_size is 1048576"),
        (uflow_image { format: 7, ..good }, UFLOW_STATUS_UNDECODABLE, "cannot be decoded"),
        (uflow_image { format: 7, size: 0, ..good }, UFLOW_STATUS_UNDECODABLE, "cannot be decoded"),
    ];
    for (image, code, says) in cases {
        let image: *const uflow_image = &raw const image;
        let (mut score, mut anomalous) = (9.0, 9);
        unsafe {
            all_fail([
                (uflow_detector_detect(fixture.detector, image, fixture.options, fixture.result), code, says),
                (
                    uflow_detector_detect_into(fixture.detector, image, fixture.options, ptr::null(), fixture.result),
                    code,
                    says,
                ),
                (
                    uflow_detector_detect_batch(fixture.detector, image, 1, fixture.options, results.as_ptr()),
                    code,
                    says,
                ),
                (
                    uflow_detector_score(fixture.detector, image, fixture.options, &raw mut score, &raw mut anomalous),
                    code,
                    says,
                ),
                (uflow_trainer_add(trainer, image), code, says),
                (uflow_image_get_info(image, &raw mut info), code, says),
            ]);
            // A stream looks at encoded bytes later.
            if code != UFLOW_STATUS_UNDECODABLE {
                all_fail([(uflow_stream_submit(stream, image, fixture.options, null(), 0), code, says)]);
            }
        }
        assert_eq!((fixture.summary().score, score, anomalous), (before, 9.0, 9));
    }
    unsafe {
        assert_eq!((uflow_trainer_frames(trainer), uflow_stream_pending(stream)), (0, 0));
        uflow_stream_free(stream);
        uflow_trainer_free(trainer);
    }
}

#[test]
fn images_over_the_limit() {
    let fixture = Fixture::new();
    let options = made(|out| unsafe { uflow_engine_options_new(out) });
    let package = path_text(&fixture.package());
    let pixels = bad(1);
    unsafe {
        ok(uflow_engine_options_set_limits(options, 1000, 1000));
        let engine = made(|out| uflow_engine_new(options, out));
        let model = made(|out| uflow_engine_load(engine, package.as_ptr(), out));
        let detector = made(|out| uflow_detector_new(model, out));
        let picture = image(&pixels, RGB);
        let file = uflow_image { format: 7, ..picture };
        let detect = |picture: &uflow_image| {
            uflow_detector_detect(detector, ptr::from_ref(picture), fixture.options, fixture.result)
        };
        all_fail([
            (detect(&picture), UFLOW_STATUS_OVER_LIMIT, "2623 > 1000 pixels"),
            (detect(&file), UFLOW_STATUS_OVER_LIMIT, "1000"),
        ]);
        uflow_detector_free(detector);
        uflow_model_free(model);
        uflow_engine_free(engine);
        uflow_engine_options_free(options);
    }
}

//! Detectors and segmenters: what they get besides the image.

use super::{ARGUMENT, RGB, all_fail, misaligned, null};
use crate::fixture;
use crate::fixture::{Fixture, SIZE, bad, image, made, ok};
use std::ptr;
use uflow_ffi::{uflow_status_code::*, *};

#[test]
fn detectors() {
    let fixture = Fixture::new();
    let pixels = bad(1);
    let picture = image(&pixels, RGB);
    let (good, result) = (&raw const picture, fixture.result);
    let mut untouched: *mut uflow_detector = ptr::dangling_mut();
    let (mut mask, mut map) = (vec![9_u8; pixels.len()], vec![9.0_f32; 48 * 32]);
    let none = uflow_buffers {
        struct_size: size_of::<uflow_buffers>(),
        mask: null(),
        mask_capacity: 0,
        mask_width: SIZE.0,
        mask_height: SIZE.1,
        score_map: null(),
        score_map_capacity: 0,
        log10_nfa_map: null(),
        log10_nfa_map_capacity: 0,
        map_width: 48,
        map_height: 32,
    };
    let (small, pixels_of) = (UFLOW_STATUS_BUFFER_TOO_SMALL, (SIZE.0 * SIZE.1) as usize);
    unsafe {
        all_fail([
            (uflow_detector_new(ptr::null(), &raw mut untouched), ARGUMENT, "model: is NULL"),
            (uflow_detector_new(fixture.model, null()), ARGUMENT, "detector: is NULL"),
            (uflow_detector_detect(null(), good, ptr::null(), result), ARGUMENT, "detector: is NULL"),
            (uflow_detector_detect(fixture.detector, ptr::null(), ptr::null(), result), ARGUMENT, "image: is NULL"),
            (uflow_detector_detect(fixture.detector, good, ptr::null(), null()), ARGUMENT, "result: is NULL"),
            (
                uflow_detector_detect(fixture.detector, good.byte_add(1), ptr::null(), result),
                ARGUMENT,
                "image: is not aligned",
            ),
            (uflow_detector_detect(fixture.detector, good, misaligned(), result), ARGUMENT, "options: is not aligned"),
            (
                uflow_detector_score(fixture.detector, good, ptr::null(), misaligned(), null()),
                ARGUMENT,
                "score: is not aligned",
            ),
        ]);
        ok(uflow_detector_score(fixture.detector, good, ptr::null(), null(), null()));
        let into = |buffers: uflow_buffers| {
            uflow_detector_detect_into(fixture.detector, good, ptr::null(), &raw const buffers, result)
        };
        all_fail([
            (into(uflow_buffers { struct_size: 3, ..none }), ARGUMENT, "buffers: struct_size is 3"),
            (
                into(uflow_buffers { mask: mask.as_mut_ptr(), mask_capacity: pixels_of - 1, ..none }),
                small,
                "buffers.mask: has room for 2622 values, and 2623 are needed",
            ),
            (
                // The same number of bytes in another shape.
                into(uflow_buffers {
                    mask: mask.as_mut_ptr(),
                    mask_capacity: mask.len(),
                    mask_width: SIZE.1,
                    mask_height: SIZE.0,
                    ..none
                }),
                ARGUMENT,
                "buffers.mask: is 43×61 (mask_width × mask_height), and the image is 61×43",
            ),
            (
                into(uflow_buffers {
                    score_map: map.as_mut_ptr(),
                    score_map_capacity: map.len(),
                    map_width: 0,
                    map_height: 0,
                    ..none
                }),
                ARGUMENT,
                "buffers.score_map: is 0×0 (map_width × map_height), and the network's input is 48×32",
            ),
            (
                into(uflow_buffers { score_map: map.as_mut_ptr(), score_map_capacity: 48 * 32 - 1, ..none }),
                small,
                "buffers.score_map",
            ),
            (
                into(uflow_buffers { log10_nfa_map: map.as_mut_ptr(), log10_nfa_map_capacity: 0, ..none }),
                small,
                "buffers.log10_nfa_map",
            ),
            (
                into(uflow_buffers { log10_nfa_map: misaligned(), log10_nfa_map_capacity: 48 * 32, ..none }),
                ARGUMENT,
                "buffers.log10_nfa_map: is not aligned",
            ),
        ]);
        assert!(mask.iter().all(|&byte| byte == 9) && map.iter().all(|&value| value == 9.0));
        let batch = |images, count, results: &[*mut uflow_result]| {
            uflow_detector_detect_batch(fixture.detector, images, count, ptr::null(), results.as_ptr())
        };
        let mut sizes = [picture, picture];
        sizes[1].struct_size += 8;
        all_fail([
            (batch(good, 0, &[result]), ARGUMENT, "count: 0 is not 1 to 1024"),
            (batch(good, 1025, &[result]), ARGUMENT, "count: 1025 is not 1 to 1024"),
            (batch(ptr::null(), 1, &[result]), ARGUMENT, "images: is NULL"),
            (batch(good, 1, &[null()]), ARGUMENT, "results[0]: is NULL"),
            (batch([picture; 2].as_ptr(), 2, &[result, null()]), ARGUMENT, "results[1]: is NULL"),
            (batch([picture; 2].as_ptr(), 2, &[result, result]), ARGUMENT, "results[1]: is the same as results[0]"),
            (
                uflow_detector_detect_batch(fixture.detector, good, 1, ptr::null(), ptr::null()),
                ARGUMENT,
                "results: is NULL",
            ),
        ]);
        let second = made(|out| uflow_result_new(out));
        let nothing = [picture, uflow_image { data: ptr::null(), ..picture }];
        all_fail([
            (
                batch(sizes.as_ptr(), 2, &[result, second]),
                ARGUMENT,
                "images[1]: struct_size: is 56, and images[0] has 48",
            ),
            (batch(nothing.as_ptr(), 2, &[result, second]), ARGUMENT, "images[1]: image.data: is NULL"),
        ]);
        // Priority and time limit are for streams: they must not be ignored.
        ok(uflow_options_set_time_limit(fixture.options, 5));
        let queued = [
            uflow_detector_detect(fixture.detector, good, fixture.options, result),
            uflow_detector_score(fixture.detector, good, fixture.options, null(), null()),
            uflow_detector_detect_batch(fixture.detector, good, 1, fixture.options, [result].as_ptr()),
        ];
        all_fail(queued.map(|status| (status, ARGUMENT, "options.time_limit: only a frame of a stream can have one")));
        uflow_result_free(second);
    }
    assert_eq!(untouched, ptr::dangling_mut());
}

#[test]
fn a_roi_that_leaves_nothing_of_the_maps() {
    let fixture = Fixture::new();
    let pixels = bad(1);
    let (width, height) = (20 * SIZE.0, 20 * SIZE.1);
    let mut mask = vec![0_u8; (width * height) as usize];
    mask[0] = 1;
    ok(unsafe { uflow_options_set_roi(fixture.options, mask.as_ptr(), mask.len(), width, height, 0) });
    all_fail([(fixture.detect(&image(&pixels, RGB)), ARGUMENT, "too small or thin")]);
    // A region of another aspect ratio is refused, not stretched.
    mask.fill(1);
    ok(unsafe { uflow_options_set_roi(fixture.options, mask.as_ptr(), mask.len(), 1000, 10, 0) });
    all_fail([(fixture.detect(&image(&pixels, RGB)), ARGUMENT, "the mask is 1000×10 and the frame 61×43")]);
}

#[test]
fn segmenters() {
    let result = made(|out| unsafe { uflow_result_new(out) });
    let segmenter = made(|out| unsafe { uflow_segmenter_new(64, 64, out) });
    let options = made(|out| unsafe { uflow_options_new(out) });
    let mut z = vec![0.5_f32; 4 * 8 * 8];
    let struct_size = size_of::<uflow_latents>();
    let data = z.as_ptr();
    let good = uflow_latents { struct_size, data, size: z.len(), channels: 4, height: 8, width: 8, reserved: 0 };
    let mut untouched: *mut uflow_segmenter = ptr::dangling_mut();
    unsafe {
        let run = |latents: uflow_latents, scales| {
            let latents = [latents; 2];
            uflow_segment_latents(segmenter, latents.as_ptr(), scales, options, 0, 0, ptr::null(), result)
        };
        all_fail([
            (
                uflow_segmenter_new(0, 64, &raw mut untouched),
                ARGUMENT,
                "size: 0×64 (width × height) is not 1 to 8192 a side",
            ),
            (
                uflow_segmenter_new(u32::MAX, u32::MAX, &raw mut untouched),
                ARGUMENT,
                "(width × height) is not 1 to 8192 a side",
            ),
            (uflow_segmenter_new(8193, 1, &raw mut untouched), ARGUMENT, "(width × height) is not 1 to 8192 a side"),
            (uflow_segmenter_new(64, 64, null()), ARGUMENT, "segmenter: is NULL"),
            (run(good, 0), ARGUMENT, "scales: 0 is not 1 to 16"),
            (run(good, 17), ARGUMENT, "scales: 17 is not 1 to 16"),
            (run(uflow_latents { struct_size: 1, ..good }, 1), ARGUMENT, "latents[0]: latents: struct_size is 1"),
            (run(uflow_latents { data: ptr::null(), ..good }, 2), ARGUMENT, "latents[0]: latents.data: is NULL"),
            (run(uflow_latents { data: misaligned(), ..good }, 1), ARGUMENT, "latents.data: is not aligned"),
            (run(uflow_latents { size: 255, ..good }, 1), ARGUMENT, "255 numbers are too few for 4×8×8"),
            (run(uflow_latents { reserved: 1, ..good }, 1), ARGUMENT, "latents.reserved: is 1"),
            (run(uflow_latents { channels: 0, ..good }, 1), ARGUMENT, "scale 0 has no channels"),
            (run(uflow_latents { height: u32::MAX, width: u32::MAX, ..good }, 1), ARGUMENT, "too few"),
            (
                uflow_segment_latents(null(), &raw const good, 1, options, 0, 0, ptr::null(), result),
                ARGUMENT,
                "segmenter: is NULL",
            ),
            (
                uflow_segment_latents(segmenter, ptr::null(), 1, options, 0, 0, ptr::null(), result),
                ARGUMENT,
                "latents: is NULL",
            ),
            (
                uflow_segment_latents(segmenter, &raw const good, 1, options, 0, 0, ptr::null(), null()),
                ARGUMENT,
                "result: is NULL",
            ),
            (
                uflow_segment_latents(segmenter, &raw const good, 1, options, 5, 0, ptr::null(), result),
                ARGUMENT,
                "size",
            ),
        ]);
        ok(uflow_options_set_verdict(options, uflow_verdict::UFLOW_VERDICT_SCORE as u32));
        all_fail([(run(good, 1), ARGUMENT, "needs a score threshold")]);
        ok(uflow_options_set_verdict(options, uflow_verdict::UFLOW_VERDICT_NFA as u32));
        ok(run(good, 1));
        let before = fixture::summary(result).score;
        z[7] = f32::NAN;
        let broken = uflow_latents { data: z.as_ptr(), ..good };
        all_fail([(run(broken, 1), UFLOW_STATUS_NON_FINITE, "not finite")]);
        assert_eq!(fixture::summary(result).score, before);
        assert_eq!(untouched, ptr::dangling_mut());
        uflow_options_free(options);
        uflow_segmenter_free(segmenter);
        uflow_result_free(result);
    }
}

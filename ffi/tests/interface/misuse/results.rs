//! Results and structs of other versions.

use super::{ARGUMENT, RGB, all_fail, misaligned, null};
use crate::fixture;
use crate::fixture::{Fixture, bad, image, made, ok};
use std::{mem, ptr};
use uflow_ffi::{uflow_status_code::*, *};

#[test]
fn results() {
    let fixture = Fixture::new();
    let result = fixture.result;
    let mut summary: uflow_summary = unsafe { mem::zeroed() };
    let mut region: uflow_region = unsafe { mem::zeroed() };
    let (mut points, mut count): (*const uflow_point, usize) = (ptr::dangling(), 9);
    let (mut bytes, mut floats): (*const u8, *const f32) = (ptr::dangling(), ptr::dangling());
    let mut latents: uflow_latents = unsafe { mem::zeroed() };
    let missing = UFLOW_STATUS_NOT_FOUND;
    unsafe {
        all_fail([
            (uflow_result_new(null()), ARGUMENT, "result: is NULL"),
            (uflow_result_copy(ptr::null(), result), ARGUMENT, "from: is NULL"),
            (uflow_result_copy(result, null()), ARGUMENT, "to: is NULL"),
            (uflow_result_get_summary(result, &raw mut summary), ARGUMENT, "summary: struct_size is 0"),
            (uflow_result_get_region(result, 0, &raw mut region), ARGUMENT, "region: struct_size is 0"),
        ]);
        summary.struct_size = size_of::<uflow_summary>();
        region.struct_size = size_of::<uflow_region>();
        all_fail([
            (uflow_result_get_summary(result, &raw mut summary), ARGUMENT, "result: is empty"),
            (uflow_result_get_summary(null(), &raw mut summary), ARGUMENT, "result: is NULL"),
            (uflow_result_get_summary(result, null()), ARGUMENT, "summary: is NULL"),
            (uflow_result_get_region(result, 0, &raw mut region), ARGUMENT, "result: is empty"),
            (uflow_result_get_mask(result, &raw mut bytes, null(), null()), ARGUMENT, "result: is empty"),
        ]);
        ok(fixture.detect(&image(&bad(1), RGB)));
        let regions = fixture.summary().regions;
        assert!(regions > 0);
        all_fail([
            (uflow_result_get_region(result, regions, &raw mut region), missing, "there is no region"),
            (uflow_result_get_region(result, 0, null()), ARGUMENT, "region: is NULL"),
            (uflow_result_get_outline(result, regions, 0, &raw mut points, &raw mut count), missing, "no region"),
            (uflow_result_get_outline(result, 0, 999, &raw mut points, &raw mut count), missing, "no ring 999"),
            (uflow_result_get_outline(result, 0, 0, null(), &raw mut count), ARGUMENT, "points: is NULL"),
            (uflow_result_get_outline(result, 0, 0, &raw mut points, null()), ARGUMENT, "count: is NULL"),
            (
                uflow_result_get_mask(result, &raw mut bytes, null(), null()),
                missing,
                "the result has no mask; ask for it with uflow_options_set_maps",
            ),
            (uflow_result_get_score_map(result, &raw mut floats, null(), null()), missing, "score map"),
            (uflow_result_get_log10_nfa_map(result, &raw mut floats, null(), null()), missing, "log10_nfa map"),
            (uflow_result_get_score_map(result, null(), null(), null()), ARGUMENT, "pixels: is NULL"),
            (uflow_result_get_log10_nfa_map(null(), &raw mut floats, null(), null()), ARGUMENT, "result: is NULL"),
            (uflow_result_get_mask(result, &raw mut bytes, misaligned(), null()), ARGUMENT, "width: is not aligned"),
            (uflow_result_get_latents(result, 0, null()), ARGUMENT, "latents: is NULL"),
            (uflow_result_get_latents(result, 0, &raw mut latents), ARGUMENT, "latents: struct_size is 0"),
        ]);
        latents.struct_size = size_of::<uflow_latents>();
        all_fail([
            (uflow_result_get_latents(null(), 0, &raw mut latents), ARGUMENT, "result: is NULL"),
            (uflow_result_get_latents(result, 0, &raw mut latents), missing, "the result has no latents; ask for them"),
        ]);
    }
    assert_eq!((region.area, count, points, bytes, floats), (0, 9, ptr::dangling(), ptr::dangling(), ptr::dangling()));
}

#[test]
fn a_struct_of_an_older_and_of_a_newer_header() {
    let fixture = Fixture::new();
    ok(fixture.detect(&image(&bad(1), RGB)));
    // Bytes beyond the library's struct belong to a newer header and do not change.
    #[repr(C)]
    struct Newer {
        known: uflow_summary,
        more: [u64; 4],
    }
    let mut newer: Newer = unsafe { mem::zeroed() };
    newer.known.struct_size = size_of::<Newer>();
    newer.more = [7; 4];
    ok(unsafe { uflow_result_get_summary(fixture.result, (&raw mut newer).cast()) });
    assert_eq!((newer.known.struct_size, newer.more), (size_of::<Newer>(), [7; 4]));
    assert_eq!(newer.known.score, fixture.summary().score);
    // A newer image begins as this one does.
    #[repr(C)]
    struct NewerImage {
        known: uflow_image,
        more: [u64; 2],
    }
    let pixels = bad(1);
    let mut newer = [(); 2].map(|()| NewerImage { known: image(&pixels, RGB), more: [0; 2] });
    newer.iter_mut().for_each(|image| image.known.struct_size = size_of::<NewerImage>());
    let results = [(); 2].map(|()| made(|out| unsafe { uflow_result_new(out) }));
    let batch = |newer: &[NewerImage; 2]| unsafe {
        uflow_detector_detect_batch(fixture.detector, newer.as_ptr().cast(), 2, fixture.options, results.as_ptr())
    };
    ok(batch(&newer));
    // A field that is set and that the library does not know must be an error.
    newer[1].more[1] = 1;
    all_fail([(batch(&newer), ARGUMENT, "a field set that this version of the library does not know")]);
    for result in results {
        assert!((fixture::summary(result).score - fixture.summary().score).abs() <= 1e-5);
        unsafe { uflow_result_free(result) };
    }
}

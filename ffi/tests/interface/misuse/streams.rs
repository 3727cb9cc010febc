//! Streams and their options.

use super::{ARGUMENT, RGB, all_fail, misaligned, null};
use crate::fixture::{Fixture, bad, image, made, ok};
use std::{mem, ptr};
use uflow_ffi::{uflow_status_code::*, *};

#[test]
fn streams() {
    let fixture = Fixture::new();
    let pixels = bad(1);
    let picture = image(&pixels, RGB);
    let options = made(|out| unsafe { uflow_stream_options_new(out) });
    let stream = made(|out| unsafe { uflow_stream_new(fixture.model, options, out) });
    let mut status: *mut uflow_status = ptr::dangling_mut();
    let mut frame: uflow_frame = unsafe { mem::zeroed() };
    frame.struct_size = size_of::<uflow_frame>();
    frame.id = 77;
    let mut untouched: *mut uflow_stream = ptr::dangling_mut();
    unsafe extern "C" fn ignore(
        _: *mut std::ffi::c_void,
        _: *const uflow_frame,
        _: *const uflow_status,
        _: *const uflow_result,
    ) {
    }
    unsafe {
        all_fail([
            (uflow_stream_options_new(null()), ARGUMENT, "options: is NULL"),
            (uflow_stream_options_set_capacity(options, 0), ARGUMENT, "capacity: must be at least 1"),
            (uflow_stream_options_set_time_limit(null(), 1), ARGUMENT, "options: is NULL"),
            (uflow_stream_options_reset(null()), ARGUMENT, "options: is NULL"),
            (uflow_stream_options_get_info(options, null()), ARGUMENT, "info: is NULL"),
            (uflow_stream_options_set_result_callback(null(), None, null()), ARGUMENT, "options: is NULL"),
            (uflow_stream_options_set_release_callback(null(), None, null()), ARGUMENT, "options: is NULL"),
            (uflow_stream_new(ptr::null(), options, &raw mut untouched), ARGUMENT, "model: is NULL"),
            (uflow_stream_new(fixture.model, options, null()), ARGUMENT, "stream: is NULL"),
            (
                {
                    let wide = made(|out| uflow_stream_options_new(out));
                    ok(uflow_stream_options_set_capacity(wide, 65));
                    let status = uflow_stream_new(fixture.model, wide, &raw mut untouched);
                    uflow_stream_options_free(wide);
                    status
                },
                ARGUMENT,
                "capacity: 65 frames, but the engine takes only 64",
            ),
            (uflow_stream_submit(ptr::null(), &raw const picture, ptr::null(), null(), 0), ARGUMENT, "stream: is NULL"),
            (uflow_stream_submit(stream, ptr::null(), ptr::null(), null(), 0), ARGUMENT, "image: is NULL"),
            (
                uflow_stream_submit(
                    stream,
                    &raw const picture,
                    ptr::null(),
                    &uflow_frame { struct_size: 8, ..frame },
                    0,
                ),
                ARGUMENT,
                "frame: struct_size is 8",
            ),
            (
                uflow_stream_next(ptr::null(), 0, &raw mut frame, fixture.result, &raw mut status),
                ARGUMENT,
                "stream: is NULL",
            ),
            (uflow_stream_next(stream, 0, &raw mut frame, null(), &raw mut status), ARGUMENT, "result: is NULL"),
            (uflow_stream_next(stream, 0, &raw mut frame, fixture.result, null()), ARGUMENT, "frame_status: is NULL"),
            (
                uflow_stream_next(stream, 0, &raw mut frame, fixture.result, &raw mut status),
                UFLOW_STATUS_TIMED_OUT,
                "no frame is finished yet",
            ),
            (uflow_stream_close(ptr::null()), ARGUMENT, "stream: is NULL"),
            (uflow_stream_cancel(ptr::null()), ARGUMENT, "stream: is NULL"),
            (uflow_stream_flush(ptr::null(), 0), ARGUMENT, "stream: is NULL"),
        ]);
        ok(uflow_stream_options_set_result_callback(options, Some(ignore), misaligned()));
        ok(uflow_stream_options_set_time_limit(options, 9));
        let mut info: uflow_stream_options_info = mem::zeroed();
        info.struct_size = size_of::<uflow_stream_options_info>();
        all_fail([(uflow_stream_options_get_info(null(), &raw mut info), ARGUMENT, "options: is NULL")]);
        ok(uflow_stream_options_get_info(options, &raw mut info));
        assert!(info.result_callback.is_some() && info.release_callback.is_none());
        assert_eq!((info.capacity, info.time_limit_ms, info.result_user_data), (8, 9, misaligned()));
        let called = made(|out| uflow_stream_new(fixture.model, options, out));
        all_fail([(
            uflow_stream_next(called, 0, &raw mut frame, fixture.result, &raw mut status),
            ARGUMENT,
            "its results go to the result callback",
        )]);
        // Options that the model does not support are refused before the frame is taken.
        ok(uflow_options_set_verdict(fixture.options, uflow_verdict::UFLOW_VERDICT_SCORE as u32));
        ok(uflow_stream_submit(stream, &raw const picture, fixture.options, null(), 0));
        assert_eq!(uflow_stream_pending(stream), 1, "the fair threshold is the package's");
        uflow_stream_free(called);
        uflow_stream_free(stream);
        ok(uflow_stream_options_reset(options));
        ok(uflow_stream_options_get_info(options, &raw mut info));
        assert!(info.result_callback.is_none() && info.time_limit_ms == 0);
        uflow_stream_options_free(options);
    }
    assert_eq!((status, frame.id, untouched), (ptr::dangling_mut(), 77, ptr::dangling_mut()));
}

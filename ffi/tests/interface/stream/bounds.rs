//! Limits: places in a stream and in its engine, time.

use super::{Event, RGB, Told, found, frame, options, released, stream};
use crate::fixture::{Fixture, bad, failure, image, made, ok};
use std::ptr;
use uflow_ffi::{uflow_status_code::*, *};

#[test]
fn a_full_stream_says_so_and_leaves_the_frame_with_the_caller() {
    let fixture = Fixture::new();
    let pixels = bad(1);
    let picture = image(&pixels, RGB);
    let told = Told::default();
    let stream = stream(&fixture, |options| unsafe {
        ok(uflow_stream_options_set_capacity(options, 2));
        ok(uflow_stream_options_set_release_callback(options, Some(released), told.user_data()));
    });
    let submit = |number, timeout| unsafe {
        uflow_stream_submit(stream, &raw const picture, ptr::null(), &frame(number), timeout)
    };
    ok(submit(0, 0));
    ok(submit(1, 0));
    ok(unsafe { uflow_stream_flush(stream, UFLOW_WAIT_FOREVER) });
    for timeout in [0, 20] {
        let (code, said) = failure(submit(2, timeout));
        assert!(code == UFLOW_STATUS_OVERLOADED && said.contains("2 frames"), "{said}");
    }
    assert_eq!(told.released(), [0, 1], "not the one that was not taken");
    // A place becomes free while somebody waits for it.
    std::thread::scope(|scope| {
        struct Stream(*mut uflow_stream, *mut uflow_result);
        unsafe impl Send for Stream {}
        let shared = Stream(stream, fixture.result);
        scope.spawn(move || {
            let shared = shared;
            std::thread::sleep(std::time::Duration::from_millis(30));
            let mut status = ptr::null_mut();
            ok(unsafe { uflow_stream_next(shared.0, 0, ptr::null_mut(), shared.1, &raw mut status) });
            ok(status);
        });
        ok(submit(3, UFLOW_WAIT_FOREVER));
    });
    unsafe { uflow_stream_free(stream) };
    assert_eq!(told.released(), [0, 1, 3]);
}

#[test]
fn streams_share_the_places_of_their_engine() {
    let fixture = Fixture::new();
    let wide = options(|options| ok(unsafe { uflow_stream_options_set_capacity(options, 60) }));
    let first = made(|out| unsafe { uflow_stream_new(fixture.model, wide, out) });
    let mut second = ptr::null_mut();
    let (code, said) = failure(unsafe { uflow_stream_new(fixture.model, ptr::null(), &raw mut second) });
    assert!(code == UFLOW_STATUS_OVERLOADED && said.contains("60 of the 64"), "{said}");
    assert!(second.is_null());
    unsafe { uflow_stream_free(first) };
    let second = made(|out| unsafe { uflow_stream_new(fixture.model, ptr::null(), out) });
    unsafe {
        uflow_stream_free(second);
        uflow_stream_options_free(wide);
    }
}

#[test]
fn a_time_limit_that_passed_is_a_frame_s_result() {
    let fixture = Fixture::new();
    let big = vec![100; 12_000 * 12_000];
    let mut picture = image(&big, uflow_format::UFLOW_FORMAT_GRAY8);
    (picture.width, picture.height) = (12_000, 12_000);
    let told = Told::default();
    let stream = stream(&fixture, |options| unsafe {
        ok(uflow_stream_options_set_time_limit(options, 1));
        ok(uflow_stream_options_set_result_callback(options, Some(found), told.user_data()));
    });
    ok(unsafe { uflow_stream_submit(stream, &raw const picture, ptr::null(), &frame(1), 0) });
    ok(unsafe { uflow_stream_flush(stream, UFLOW_WAIT_FOREVER) });
    // A frame's own time limit replaces the stream's.
    unsafe {
        ok(uflow_options_set_time_limit(fixture.options, 3_600_000));
        ok(uflow_options_set_priority(fixture.options, uflow_priority::UFLOW_PRIORITY_HIGH as u32));
        ok(uflow_stream_submit(stream, &raw const picture, fixture.options, &frame(2), 0));
        ok(uflow_stream_flush(stream, UFLOW_WAIT_FOREVER));
    }
    let results = told.results();
    assert!(
        matches!(&results[..], [Event::Failed(1, code, _), Event::Found(2, _)] if *code == UFLOW_STATUS_TIMED_OUT as u32),
        "{results:?}"
    );
    unsafe { uflow_stream_free(stream) };
}

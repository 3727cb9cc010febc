//! Callbacks that call the library.

use super::{Event, RGB, Told, frame, number, stream};
use crate::fixture::{Fixture, bad, failure, image, ok};
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::Ordering;
use uflow_ffi::{uflow_status_code::*, *};

/// Submits the next frame. There is no place for that frame while this one is processed.
unsafe extern "C" fn submits(
    user_data: *mut c_void,
    frame: *const uflow_frame,
    _: *const uflow_status,
    _: *const uflow_result,
) {
    let told: &Told = unsafe { &*user_data.cast() };
    let pixels = bad(1);
    let picture = image(&pixels, RGB);
    let stream = told.stream.load(Ordering::SeqCst);
    let status =
        unsafe { uflow_stream_submit(stream, &raw const picture, ptr::null(), ptr::null(), UFLOW_WAIT_FOREVER) };
    let (code, said) = failure(status);
    Told::add(user_data, Event::Failed(number(frame), code as u32, said));
}

#[test]
fn a_callback_that_hands_over_does_not_wait_for_itself() {
    let fixture = Fixture::new();
    let pixels = bad(1);
    let picture = image(&pixels, RGB);
    let told = Told::default();
    let stream = stream(&fixture, |options| unsafe {
        ok(uflow_stream_options_set_capacity(options, 1));
        ok(uflow_stream_options_set_result_callback(options, Some(submits), told.user_data()));
    });
    told.stream.store(stream, Ordering::SeqCst);
    ok(unsafe { uflow_stream_submit(stream, &raw const picture, ptr::null(), &frame(1), 0) });
    ok(unsafe { uflow_stream_flush(stream, UFLOW_WAIT_FOREVER) });
    let results = told.results();
    assert!(
        matches!(&results[..], [Event::Failed(1, code, _)] if *code == UFLOW_STATUS_OVERLOADED as u32),
        "{results:?}"
    );
    unsafe { uflow_stream_free(stream) };
}

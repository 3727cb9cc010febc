//! Cancelling, flushing and freeing.

use super::{Event, RGB, Told, found, frame, number, options, released, stream};
use crate::fixture;
use crate::fixture::{Fixture, bad, failure, image, made, ok};
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use uflow_ffi::{uflow_status_code::*, *};

/// Whether the callback below may go on.
static GO: AtomicUsize = AtomicUsize::new(0);

/// Holds the engine's only worker until `GO` is set.
unsafe extern "C" fn released_when_told(user_data: *mut c_void, frame: *const uflow_frame) {
    while GO.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    Told::add(user_data, Event::Released(number(frame)));
}

#[test]
fn cancelled_frames_have_their_results_and_later_ones_go_on() {
    let fixture = Fixture::new();
    let pixels = bad(1);
    let picture = image(&pixels, RGB);
    let told = Told::default();
    let package = fixture::path_text(&fixture.package());
    let (engine, model) = unsafe {
        let options = made(|out| uflow_engine_options_new(out));
        ok(uflow_engine_options_set_workers(options, 1));
        let engine = made(|out| uflow_engine_new(options, out));
        uflow_engine_options_free(options);
        (engine, made(|out| uflow_engine_load(engine, package.as_ptr(), out)))
    };
    let options = options(|options| unsafe {
        ok(uflow_stream_options_set_result_callback(options, Some(found), told.user_data()));
        ok(uflow_stream_options_set_release_callback(options, Some(released_when_told), told.user_data()));
    });
    let stream = made(|out| unsafe { uflow_stream_new(model, options, out) });
    let submit = |number| {
        ok(unsafe { uflow_stream_submit(stream, &raw const picture, ptr::null(), &frame(number), 0) });
    };
    (0..6).for_each(submit);
    ok(unsafe { uflow_stream_cancel(stream) });
    submit(6);
    GO.store(1, Ordering::SeqCst);
    ok(unsafe { uflow_stream_flush(stream, UFLOW_WAIT_FOREVER) });
    let results = told.results();
    assert_eq!(results.len(), 7);
    for (number, result) in results.iter().enumerate() {
        match result {
            Event::Found(of, _) => assert!(*of == number && number == 6, "{results:?}"),
            Event::Failed(of, code, _) => {
                assert!(*of == number && number < 6 && *code == UFLOW_STATUS_CANCELLED as u32, "{results:?}");
            }
            Event::Released(_) => unreachable!(),
        }
    }
    assert!(told.released().into_iter().eq(0..7));
    unsafe {
        uflow_stream_free(stream);
        uflow_stream_options_free(options);
        uflow_model_free(model);
        uflow_engine_free(engine);
    }
}

#[test]
fn a_flush_ends_beside_a_thread_that_goes_on_handing_over() {
    struct Shared(*mut uflow_stream);
    unsafe impl Sync for Shared {}

    let fixture = Fixture::new();
    let pixels = bad(1);
    let told = Told::default();
    let shared = Shared(stream(&fixture, |options| unsafe {
        ok(uflow_stream_options_set_result_callback(options, Some(found), told.user_data()));
    }));
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (shared, pixels, ended) = (&shared, &pixels, &ended);
        scope.spawn(move || {
            let picture = image(pixels, RGB);
            while !ended.load(Ordering::SeqCst) {
                ok(unsafe {
                    uflow_stream_submit(shared.0, &raw const picture, ptr::null(), &frame(0), UFLOW_WAIT_FOREVER)
                });
            }
        });
        for _ in 0..20 {
            ok(unsafe { uflow_stream_flush(shared.0, UFLOW_WAIT_FOREVER) });
        }
        ended.store(true, Ordering::SeqCst);
    });
    unsafe { uflow_stream_free(shared.0) };
}

/// How often the callback below was called, and how often it returned.
static CALLED: AtomicUsize = AtomicUsize::new(0);
static THROUGH: AtomicUsize = AtomicUsize::new(0);

/// Makes calls that would wait for this callback, then frees the stream. Every frame has been released by then.
unsafe extern "C" fn frees(
    user_data: *mut c_void,
    _: *const uflow_frame,
    _: *const uflow_status,
    _: *const uflow_result,
) {
    let told: &Told = unsafe { &*user_data.cast() };
    CALLED.fetch_add(1, Ordering::SeqCst);
    // Until all frames are inside.
    let stream = loop {
        let stream = told.stream.load(Ordering::SeqCst);
        if !stream.is_null() {
            break stream;
        }
        std::thread::yield_now();
    };
    unsafe {
        assert_eq!(failure(uflow_stream_flush(stream, UFLOW_WAIT_FOREVER)).0, UFLOW_STATUS_BUSY);
        uflow_stream_free(stream);
    }
    assert!(told.released().into_iter().eq(0..5), "{:?}", told.released());
    THROUGH.fetch_add(1, Ordering::SeqCst);
}

#[test]
fn a_stream_can_be_freed_at_any_time() {
    let fixture = Fixture::new();
    let pixels = bad(1);
    let picture = image(&pixels, RGB);
    // The stream is freed with frames inside, with and without a callback, before and after its model and engine.
    for callback in [None, Some(found as unsafe extern "C" fn(_, _, _, _))] {
        let told = Told::default();
        let stream = stream(&fixture, |options| unsafe {
            ok(uflow_stream_options_set_result_callback(options, callback, told.user_data()));
            ok(uflow_stream_options_set_release_callback(options, Some(released), told.user_data()));
        });
        for number in 0..8 {
            ok(unsafe { uflow_stream_submit(stream, &raw const picture, ptr::null(), &frame(number), 0) });
        }
        unsafe { uflow_stream_free(stream) };
        assert!(told.released().into_iter().eq(0..8), "every buffer came back");
    }
    // The stream is freed by its own callback, with frames inside.
    let told = Told::default();
    let stream = stream(&fixture, |options| unsafe {
        ok(uflow_stream_options_set_result_callback(options, Some(frees), told.user_data()));
        ok(uflow_stream_options_set_release_callback(options, Some(released), told.user_data()));
    });
    for number in 0..5 {
        ok(unsafe { uflow_stream_submit(stream, &raw const picture, ptr::null(), &frame(number), 0) });
    }
    told.stream.store(stream, Ordering::SeqCst);
    while THROUGH.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    assert_eq!(CALLED.load(Ordering::SeqCst), 1);
}

#[test]
fn an_engine_that_was_freed_goes_on_for_its_stream() {
    let mut fixture = Fixture::new();
    let pixels = bad(1);
    let picture = image(&pixels, RGB);
    let stream = made(|out| unsafe { uflow_stream_new(fixture.model, ptr::null(), out) });
    unsafe {
        uflow_engine_free(std::mem::replace(&mut fixture.engine, ptr::null_mut()));
        uflow_model_free(std::mem::replace(&mut fixture.model, ptr::null_mut()));
        ok(uflow_stream_submit(stream, &raw const picture, ptr::null(), &frame(0), 0));
        let mut status = ptr::null_mut();
        ok(uflow_stream_next(stream, UFLOW_WAIT_FOREVER, ptr::null_mut(), fixture.result, &raw mut status));
        ok(status);
        uflow_stream_free(stream);
    }
}

//! Results: by callback, on request, with maps and latents.

use super::{Event, RGB, Told, found, frame, number, released, scores, stream};
use crate::fixture;
use crate::fixture::{Fixture, bad, failure, image, made, ok, summary};
use std::ptr;
use uflow_ffi::{uflow_status_code::*, *};

#[test]
fn results_come_by_callback_in_order_each_after_its_release() {
    let fixture = Fixture::new();
    let images: Vec<Vec<u8>> = (0..7).map(bad).collect();
    let expected = scores(&fixture, &images);
    let told = Told::default();
    let stream = stream(&fixture, |options| unsafe {
        ok(uflow_stream_options_set_capacity(options, 5));
        ok(uflow_stream_options_set_result_callback(options, Some(found), told.user_data()));
        ok(uflow_stream_options_set_release_callback(options, Some(released), told.user_data()));
    });
    const FRAMES: usize = 300;
    for number in 0..FRAMES {
        let mut picture = image(&images[number % images.len()], RGB);
        if number % 50 == 49 {
            picture.format = uflow_format::UFLOW_FORMAT_ENCODED as u32;
        }
        ok(unsafe {
            uflow_stream_submit(stream, &raw const picture, fixture.options, &frame(number), UFLOW_WAIT_FOREVER)
        });
        assert!(unsafe { uflow_stream_pending(stream) } <= 5);
    }
    ok(unsafe { uflow_stream_flush(stream, UFLOW_WAIT_FOREVER) });
    assert_eq!(unsafe { uflow_stream_pending(stream) }, 0);
    let results = told.results();
    assert_eq!(results.len(), FRAMES);
    for (number, result) in results.iter().enumerate() {
        match result {
            Event::Found(of, score) => {
                let expected = expected[number % images.len()];
                let within = 1e-6 * expected.abs().max(10.0);
                assert!(*of == number && (score - expected).abs() <= within, "{number}: {result:?}");
            }
            Event::Failed(of, code, said) => {
                let undecodable = *code == UFLOW_STATUS_UNDECODABLE as u32 && said.contains("cannot be decoded");
                assert!(*of == number && number % 50 == 49 && undecodable, "{number}: {result:?}");
            }
            Event::Released(_) => unreachable!(),
        }
    }
    assert!(told.released().into_iter().eq(0..FRAMES), "each once");
    let events = told.events.lock().unwrap();
    let mut given_back = vec![false; FRAMES];
    for event in &*events {
        match event {
            Event::Released(number) => given_back[*number] = true,
            Event::Found(number, _) | Event::Failed(number, ..) => assert!(given_back[*number], "{event:?} came first"),
        }
    }
    drop(events);
    unsafe { uflow_stream_free(stream) };
}

#[test]
fn results_on_request_with_maps_and_statuses() {
    let fixture = Fixture::new();
    let images: Vec<Vec<u8>> = (0..3).map(bad).collect();
    let expected = scores(&fixture, &images);
    ok(unsafe { uflow_options_set_maps(fixture.options, 7) });
    let stream = made(|out| unsafe { uflow_stream_new(fixture.model, ptr::null(), out) });
    let (mut which, mut frame_status) = (frame(0), ptr::null_mut());
    let mut next = |timeout| unsafe {
        let status = uflow_stream_next(stream, timeout, &raw mut which, fixture.result, &raw mut frame_status);
        (status, which, frame_status)
    };
    assert_eq!(failure(next(10).0).0, UFLOW_STATUS_TIMED_OUT, "nothing has come");
    for (number, pixels) in images.iter().enumerate() {
        let picture = image(pixels, RGB);
        ok(unsafe { uflow_stream_submit(stream, &raw const picture, fixture.options, &frame(number), 0) });
    }
    let junk = uflow_image { format: uflow_format::UFLOW_FORMAT_ENCODED as u32, ..image(&images[0], RGB) };
    ok(unsafe { uflow_stream_submit(stream, &raw const junk, ptr::null(), &frame(99), 0) });
    for (number, expected) in expected.iter().enumerate() {
        let (status, which, frame_status) = next(UFLOW_WAIT_FOREVER);
        ok(status);
        ok(frame_status);
        assert_eq!(self::number(&raw const which), number);
        assert!((fixture.summary().score - expected).abs() <= 1e-5);
        let mut pixels = ptr::null();
        ok(unsafe { uflow_result_get_mask(fixture.result, &raw mut pixels, ptr::null_mut(), ptr::null_mut()) });
    }
    let before = fixture.summary().score;
    let (status, which, frame_status) = next(UFLOW_WAIT_FOREVER);
    ok(status);
    assert_eq!((number(&raw const which), failure(frame_status).0), (99, UFLOW_STATUS_UNDECODABLE));
    assert_eq!(fixture.summary().score, before);
    // After closing, the frames inside are delivered and no frame is accepted.
    let picture = image(&images[0], RGB);
    ok(unsafe { uflow_stream_submit(stream, &raw const picture, fixture.options, &frame(5), 0) });
    ok(unsafe { uflow_stream_close(stream) });
    let status =
        unsafe { uflow_stream_submit(stream, &raw const picture, fixture.options, &frame(6), UFLOW_WAIT_FOREVER) };
    assert_eq!(failure(status).0, UFLOW_STATUS_UNAVAILABLE);
    let (status, which, frame_status) = next(UFLOW_WAIT_FOREVER);
    ok(status);
    ok(frame_status);
    assert_eq!(number(&raw const which), 5);
    assert_eq!(failure(next(UFLOW_WAIT_FOREVER).0).0, UFLOW_STATUS_NOT_FOUND, "nothing will come");
    unsafe { uflow_stream_free(stream) };
}

#[test]
fn latents_of_a_frame_segment_as_the_model_does() {
    let fixture = Fixture::new();
    let pixels = bad(1);
    let picture = image(&pixels, RGB);
    let stream = made(|out| unsafe { uflow_stream_new(fixture.model, ptr::null(), out) });
    let (mut status, none) = (ptr::null_mut(), ptr::null_mut());
    unsafe {
        ok(uflow_options_set_maps(fixture.options, uflow_maps::UFLOW_MAPS_LATENTS as u32));
        ok(uflow_stream_submit(stream, &raw const picture, fixture.options, ptr::null(), 0));
        ok(uflow_stream_next(stream, UFLOW_WAIT_FOREVER, none, fixture.result, &raw mut status));
        ok(status);
    }
    let found = fixture.summary();
    assert_eq!((found.latents, found.batch_size), (2, 1));
    let latents: Vec<uflow_latents> = (0..found.latents)
        .map(|scale| unsafe {
            let mut latents: uflow_latents = std::mem::zeroed();
            latents.struct_size = size_of::<uflow_latents>();
            ok(uflow_result_get_latents(fixture.result, scale, &raw mut latents));
            latents
        })
        .collect();
    let (segmenter, again, options) = unsafe {
        let options = made(|out| uflow_options_new(out));
        ok(uflow_options_set_epsilon(options, fixture::EPSILON));
        (made(|out| uflow_segmenter_new(48, 32, out)), made(|out| uflow_result_new(out)), options)
    };
    let (width, height) = fixture::SIZE;
    ok(unsafe {
        let (data, count) = (latents.as_ptr(), latents.len());
        uflow_segment_latents(segmenter, data, count, options, width, height, ptr::null(), again)
    });
    let expected = summary(again);
    assert!(
        (found.score - expected.score).abs() < 1e-5 && found.anomalous == expected.anomalous,
        "{found:?} {expected:?}"
    );
    unsafe {
        uflow_options_free(options);
        uflow_segmenter_free(segmenter);
        uflow_result_free(again);
        uflow_stream_free(stream);
    }
}

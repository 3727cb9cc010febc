//! Frames of a stream: order, bounds, release, what comes back with them, results by callback and on request, endings.

use std::{
    ffi::c_void,
    process::Command,
    ptr,
    sync::{
        Mutex,
        atomic::{AtomicPtr, AtomicUsize, Ordering},
    },
};

use crate::fixture::{self, Fixture, bad, build, failure, image, libraries, made, message, ok, root, summary};
use uflow_ffi::{uflow_status_code::*, *};

const RGB: uflow_format = uflow_format::UFLOW_FORMAT_RGB8;

/// What callbacks were told, in order.
#[derive(Default)]
struct Told {
    events: Mutex<Vec<Event>>,
    stream: AtomicPtr<uflow_stream>,
}

#[derive(Clone, Debug, PartialEq)]
enum Event {
    Released(usize),
    Found(usize, f32),
    Failed(usize, u32, String),
}

impl Told {
    fn add(user_data: *mut c_void, event: Event) {
        let told: &Self = unsafe { &*user_data.cast() };
        told.events.lock().unwrap().push(event);
    }

    fn user_data(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }

    fn results(&self) -> Vec<Event> {
        let is_result = |event: &&Event| !matches!(event, Event::Released(_));
        self.events.lock().unwrap().iter().filter(is_result).cloned().collect()
    }

    fn released(&self) -> Vec<usize> {
        let mut numbers: Vec<usize> = self
            .events
            .lock()
            .unwrap()
            .iter()
            .filter_map(|event| if let Event::Released(number) = event { Some(*number) } else { None })
            .collect();
        numbers.sort_unstable();
        numbers
    }
}

/// The number of a frame that [`frame`] made; the rest of it came back with it.
fn number(frame: *const uflow_frame) -> usize {
    let frame = unsafe { &*frame };
    let number = frame.id as usize;
    assert_eq!(
        (frame.struct_size, frame.timestamp, frame.buffer.addr()),
        (size_of::<uflow_frame>(), frame.id + 1_000, number + 1)
    );
    number
}

unsafe extern "C" fn released(user_data: *mut c_void, frame: *const uflow_frame) {
    Told::add(user_data, Event::Released(number(frame)));
}

unsafe extern "C" fn found(
    user_data: *mut c_void,
    frame: *const uflow_frame,
    status: *const uflow_status,
    result: *const uflow_result,
) {
    assert!(status.is_null() != result.is_null());
    let event = match status.is_null() {
        true => Event::Found(number(frame), summary(result).score),
        false => {
            let code = unsafe { uflow_status_get_code(status) };
            Event::Failed(number(frame), code as u32, message(status))
        }
    };
    Told::add(user_data, event);
}

fn frame(number: usize) -> uflow_frame {
    let id = number as u64;
    let buffer = ptr::without_provenance_mut(number + 1);
    uflow_frame { struct_size: size_of::<uflow_frame>(), id, timestamp: id + 1_000, buffer }
}

fn options(change: impl FnOnce(*mut uflow_stream_options)) -> *mut uflow_stream_options {
    let options = made(|out| unsafe { uflow_stream_options_new(out) });
    change(options);
    options
}

fn stream(fixture: &Fixture, change: impl FnOnce(*mut uflow_stream_options)) -> *mut uflow_stream {
    let options = options(change);
    let stream = made(|out| unsafe { uflow_stream_new(fixture.model, options, out) });
    unsafe { uflow_stream_options_free(options) };
    stream
}

fn scores(fixture: &Fixture, images: &[Vec<u8>]) -> Vec<f32> {
    let score = |pixels: &Vec<u8>| {
        ok(fixture.detect(&image(pixels, RGB)));
        fixture.summary().score
    };
    images.iter().map(score).collect()
}

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
                let difference = (score - expected[number % images.len()]).abs();
                assert!(*of == number && difference <= 1e-5, "{number}: {result:?}");
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
    // Closed: what is inside comes, nothing more goes in.
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
    // A frame's own time limit comes before the stream's.
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

/// How often the callback below was called, and whether it is through.
static CALLED: AtomicUsize = AtomicUsize::new(0);
static THROUGH: AtomicUsize = AtomicUsize::new(0);

/// Asks for what would wait for itself, then frees the stream: by then every frame has been released.
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

/// Hands the next frame over, which has no place while this one is looked at.
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

/// Whether the callback below may go on.
static GO: AtomicUsize = AtomicUsize::new(0);

/// Keeps the engine's only worker until it is told to go on.
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

#[test]
fn a_stream_can_be_freed_at_any_time() {
    let fixture = Fixture::new();
    let pixels = bad(1);
    let picture = image(&pixels, RGB);
    // With frames inside, with and without a callback, before its model and engine and after them.
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
    // By its own callback, with frames inside.
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

#[test]
fn the_reject_gate_rejects_the_right_parts() {
    const SLOTS: usize = 60;
    let fixture = Fixture::new();
    let libraries = libraries();
    let (files, scores): (Vec<_>, Vec<f32>) = (0..7_u64)
        .map(|seed| {
            let (width, height) = fixture::SIZE;
            let pixels = match seed % 3 {
                0 => bad(seed),
                _ => fixture::networks::models::good(seed, width, height, uflow::frame::PixelFormat::Rgb8),
            };
            ok(fixture.detect(&image(&pixels, RGB)));
            let file = fixture.folder.path().join(format!("part{seed}.png"));
            ::image::RgbImage::from_raw(width, height, pixels).unwrap().save(&file).unwrap();
            (file, fixture.summary().score)
        })
        .unzip();
    // A package that calls the three highest scores anomalous.
    let mut sorted = scores.clone();
    sorted.sort_by(f32::total_cmp);
    assert!(sorted[3] < sorted[4], "{scores:?}");
    let threshold = f32::midpoint(sorted[3], sorted[4]);
    let anomalous: Vec<bool> = scores.iter().map(|&score| score > threshold).collect();
    let package = fixture.package();
    let manifest = std::fs::read_to_string(package.join("uflow.json")).unwrap();
    let changed =
        manifest.replace("\"verdict\": \"nfa\"", &format!("\"verdict\": \"score\", \"score_threshold\": {threshold}"));
    assert_ne!(changed, manifest, "{manifest}");
    std::fs::write(package.join("uflow.json"), changed).unwrap();
    let expected: Vec<usize> = (0..SLOTS).filter(|slot| anomalous[slot % anomalous.len()]).collect();

    let program = fixture.folder.path().join("reject_gate");
    build(&root().join("examples/c/reject_gate.c"), &program, libraries.path(), &["-lpthread"]);
    // Slow verdicts: with four buffers, every buffer holds a later part when its verdict comes.
    let output = Command::new(&program).arg(&package).args([&SLOTS.to_string(), "5"]).args(&files).output().unwrap();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && complained.is_empty(), "{said}{complained}");
    let slot = |line: &str| line.strip_prefix("rejected ").map(|slot| slot.parse::<usize>().unwrap());
    let rejected: Vec<usize> = said.lines().filter_map(slot).collect();
    assert_eq!(rejected, expected);
    assert!(said.ends_with(&format!("60 parts, {} rejected\n", expected.len())), "{said}");
    assert_eq!(Command::new(&program).output().unwrap().status.code(), Some(2));
}

#[test]
fn the_camera_example_gets_a_verdict_for_every_frame() {
    let fixture = Fixture::new();
    let libraries = libraries();
    let program = fixture.folder.path().join("camera_async");
    build(&root().join("examples/c/camera_async.c"), &program, libraries.path(), &[]);
    let run = |frames: &str| Command::new(&program).arg(fixture.package()).arg(frames).output().unwrap();
    let output = run("200");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("200 frames") && said.contains("200 verdicts") && said.contains("0 failed"), "{said}");
    assert!(!run("none").status.success());
}

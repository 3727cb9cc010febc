//! The log goes to the caller's function only, at the level that the caller asked for.

use std::{
    ffi::{CStr, c_char, c_void},
    ptr,
    sync::Mutex,
};

use crate::fixture::{self, Fixture, failure, made, ok};
use uflow_ffi::{uflow_log_level::*, uflow_status_code::*, *};

static LINES: Mutex<Vec<(usize, u32, String, String)>> = Mutex::new(Vec::new());

unsafe extern "C" fn line(user_data: *mut c_void, level: u32, target: *const c_char, message: *const c_char) {
    let text = |text| unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_owned();
    LINES.lock().unwrap().push((user_data.addr(), level, text(target), text(message)));
}

fn said() -> Vec<(usize, u32, String, String)> {
    std::mem::take(&mut LINES.lock().unwrap())
}

/// The whole process has one log, so the test runs in a process of its own.
#[test]
fn lines_of_the_level_and_of_more_severe_levels_come_until_the_log_is_off() {
    alone!();
    let load = || {
        let fixture = Fixture::new();
        let path = fixture::path_text(&fixture.package());
        let model = made(|out| unsafe { uflow_engine_load(fixture.engine, path.as_ptr(), out) });
        unsafe { uflow_model_free(model) };
    };
    let set = |level| unsafe { uflow_log_set_callback(Some(line), ptr::without_provenance_mut(7), level) };
    load();
    assert_eq!(said(), []);
    for level in [0, 6, u32::MAX] {
        assert_eq!(failure(set(level)).0, UFLOW_STATUS_INVALID_ARGUMENT);
    }
    ok(set(UFLOW_LOG_LEVEL_DEBUG as u32));
    load();
    let lines = said();
    assert!(lines.iter().all(|(user_data, level, ..)| *user_data == 7 && (1..=4).contains(level)), "{lines:?}");
    let loaded = lines.iter().find(|(.., message)| message.starts_with("model loaded"));
    let (_, level, target, message) = loaded.expect("a line about the model");
    assert_eq!((*level, target.as_str()), (UFLOW_LOG_LEVEL_DEBUG as u32, "uflow::engine"));
    assert!(message.contains(" model=bolt") && message.contains(" version=1"), "{message}");
    ok(set(UFLOW_LOG_LEVEL_ERROR as u32));
    load();
    assert_eq!(said(), []);
    ok(unsafe { uflow_log_set_callback(None, ptr::null_mut(), 0) });
    load();
    assert_eq!(said(), []);
}

/// Grey 16-bit samples that reach only 1023.
fn ten_bits() -> Vec<u8> {
    let pixels = fixture::SIZE.0 * fixture::SIZE.1;
    (0..pixels).flat_map(|pixel| ((pixel * 37 % 1024) as u16).to_ne_bytes()).collect()
}

#[test]
fn frames_that_plainly_have_fewer_bits_are_told_once_to_each_model() {
    alone!();
    ok(unsafe { uflow_log_set_callback(Some(line), ptr::null_mut(), UFLOW_LOG_LEVEL_WARNING as u32) });
    let pixels = ten_bits();
    let picture = fixture::image(&pixels, uflow_format::UFLOW_FORMAT_GRAY16);
    let told = || {
        let lines: Vec<_> = said().into_iter().filter(|(.., message)| message.contains("reach only")).collect();
        let found = lines.iter().map(|(_, level, _, message)| {
            assert!(message.starts_with("the values of 16 16-bit images reach only 1023 of 65535"), "{message}");
            assert!(message.contains(" model=bolt"), "{message}");
            *level
        });
        found.collect::<Vec<_>>()
    };
    let fixture = Fixture::new();
    for _ in 0..40 {
        ok(fixture.detect(&picture));
    }
    assert_eq!(told(), [UFLOW_LOG_LEVEL_WARNING as u32]);

    let fixture = Fixture::new();
    let stream = made(|out| unsafe { uflow_stream_new(fixture.model, ptr::null(), out) });
    let mut status = ptr::null_mut();
    unsafe {
        for _ in 0..40 {
            ok(uflow_stream_submit(stream, &raw const picture, ptr::null(), ptr::null(), 60_000));
            ok(uflow_stream_next(stream, 60_000, ptr::null_mut(), fixture.result, &raw mut status));
            ok(status);
        }
        uflow_stream_free(stream);
    }
    assert_eq!(told(), [UFLOW_LOG_LEVEL_WARNING as u32]);

    // Not if the caller says the number of bits.
    let fixture = Fixture::new();
    let picture = uflow_image { significant_bits: 10, ..picture };
    for _ in 0..40 {
        ok(fixture.detect(&picture));
    }
    assert_eq!(told(), Vec::<u32>::new());
    ok(unsafe { uflow_log_set_callback(None, ptr::null_mut(), 0) });
}

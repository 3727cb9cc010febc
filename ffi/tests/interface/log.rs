//! The log: to the caller's function, at the level that was asked for, and to nobody else.

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

/// The log is the process's.
#[test]
fn lines_of_the_level_and_graver_come_until_it_is_ended() {
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

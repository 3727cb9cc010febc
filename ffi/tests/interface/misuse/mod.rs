//! Every function is misused: NULL for every pointer, wrong sizes, formats, numbers and texts. The code is right, the message names the
//! mistake, and outputs do not change.

mod detectors;
mod images;
mod models;
mod options;
mod results;
mod streams;
mod trainers;

use crate::fixture;
use crate::fixture::{Fixture, failure, made, ok, path_text, root};
use std::collections::BTreeSet;
use std::ffi::CStr;
use std::{fs, ptr};
use uflow_ffi::{uflow_status_code::*, *};

const RGB: uflow_format = uflow_format::UFLOW_FORMAT_RGB8;

/// Expects these failures: what is called, its code, a part of its message.
fn all_fail<const N: usize>(cases: [(*mut uflow_status, uflow_status_code, &str); N]) {
    for (index, (status, code, says)) in cases.into_iter().enumerate() {
        let (found, said) = failure(status);
        assert!(found == code && said.contains(says), "case {index}: {found:?} {said}, not {code:?} {says}");
    }
}

/// NULL, in place of a handle or a struct.
fn null<T>() -> *mut T {
    ptr::null_mut()
}

/// A pointer that cannot be read or written. Outputs are checked last.
fn misaligned<T>() -> *mut T {
    ptr::without_provenance_mut(1)
}

const ARGUMENT: uflow_status_code = UFLOW_STATUS_INVALID_ARGUMENT;

#[test]
fn every_function_is_misused_here() {
    let header = fs::read_to_string(root().join("include/uflow.h")).unwrap();
    let (declared, _) = header.split_once("/* Initial values of structs").unwrap();
    let code: String = declared.lines().filter(|line| !line.trim_start().starts_with(['*', '/'])).collect();
    let functions: BTreeSet<&str> = code
        .match_indices('(')
        .filter_map(|(at, _)| code[..at].rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next())
        .filter(|name| name.starts_with("uflow_"))
        .collect();
    assert!(functions.len() > 80, "{functions:?}");
    let here: String = fs::read_dir(root().join("ffi/tests/interface/misuse"))
        .unwrap()
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    let missing: Vec<_> = functions.iter().filter(|name| !here.contains(&format!("{name}("))).collect();
    assert!(missing.is_empty(), "not misused in this folder: {missing:?}");
}

#[test]
fn null_is_nothing_to_free_and_has_nothing_to_say() {
    unsafe {
        uflow_engine_options_free(null());
        uflow_engine_free(null());
        uflow_model_free(null());
        uflow_options_free(null());
        uflow_detector_free(null());
        uflow_result_free(null());
        uflow_segmenter_free(null());
        uflow_stream_options_free(null());
        uflow_stream_free(null());
        uflow_fit_options_free(null());
        uflow_trainer_free(null());
        uflow_text_free(null());
        uflow_status_free(null());
        assert_eq!(uflow_status_get_code(null()), UFLOW_STATUS_OK);
        assert_eq!(CStr::from_ptr(uflow_status_get_message(null())), c"success");
        assert_eq!(CStr::from_ptr(uflow_status_code_name(9999)), c"UNKNOWN");
        assert_eq!(CStr::from_ptr(uflow_status_code_name(UFLOW_STATUS_POISONED as u32)), c"POISONED");
        assert_eq!(CStr::from_ptr(uflow_model_name(null())), c"");
        assert_eq!(CStr::from_ptr(uflow_text_data(null())), c"");
        assert_eq!(uflow_text_size(null()), 0);
        assert_eq!(uflow_stream_pending(null()), 0);
        assert_eq!(uflow_trainer_frames(null()), 0);
        assert_eq!(CStr::from_ptr(uflow_version()).to_str().unwrap(), env!("CARGO_PKG_VERSION"));
        assert_eq!(uflow_version_number(), 1000);
    }
}

fn fit_options(folder: &std::path::Path) -> *mut uflow_fit_options {
    let options = made(|out| unsafe { uflow_fit_options_new(c"bolt".as_ptr(), out) });
    let backbone = path_text(&fixture::networks::models::backbone(folder, 1));
    ok(unsafe { uflow_fit_options_set_backbone(options, backbone.as_ptr()) });
    ok(unsafe { uflow_fit_options_set_input_size(options, 48, 32) });
    options
}

fn trainer(fixture: &Fixture, folder: &std::path::Path) -> *mut uflow_trainer {
    let options = fit_options(folder);
    let trainer = made(|out| unsafe { uflow_trainer_new(fixture.engine, options, out) });
    unsafe { uflow_fit_options_free(options) };
    trainer
}

//! Options and the log callback.

use super::{ARGUMENT, all_fail, misaligned, null};
use crate::fixture::{failure, made, ok};
use std::ffi::CStr;
use std::{mem, ptr};
use uflow_ffi::{uflow_status_code::*, *};

#[test]
fn engine_options() {
    let options = made(|out| unsafe { uflow_engine_options_new(out) });
    unsafe {
        all_fail([
            (uflow_engine_options_new(null()), ARGUMENT, "options: is NULL"),
            (uflow_engine_options_new(misaligned()), ARGUMENT, "options: is not aligned"),
            (uflow_engine_options_set_device(options, c"gpu".as_ptr()), ARGUMENT, "gpu"),
            (uflow_engine_options_set_device(options, ptr::null()), ARGUMENT, "device: is NULL"),
            (uflow_engine_options_set_device(null(), c"cpu".as_ptr()), ARGUMENT, "options: is NULL"),
            (uflow_engine_options_set_precision(options, c"fp33".as_ptr()), ARGUMENT, "fp33"),
            (uflow_engine_options_set_precision(options, ptr::null()), ARGUMENT, "precision: is NULL"),
            (uflow_engine_options_set_onnxruntime(options, c"\xff".as_ptr()), ARGUMENT, "path: is not UTF-8"),
            (uflow_engine_options_set_threads(null(), 1), ARGUMENT, "options: is NULL"),
            (uflow_engine_options_set_workers(options, 0), ARGUMENT, "workers"),
            (uflow_engine_options_set_batching(options, 0, 2.0), ARGUMENT, "max_batch"),
            (uflow_engine_options_set_batching(options, 8, f64::NAN), ARGUMENT, "max_delay_ms: NaN"),
            (uflow_engine_options_set_max_in_flight(options, 0), ARGUMENT, "max_in_flight"),
            (uflow_engine_options_set_limits(null(), 1, 1), ARGUMENT, "options: is NULL"),
            (uflow_engine_options_set_limits(options, 0, 0), ARGUMENT, "max_pixels: must be at least 1"),
            (uflow_engine_options_set_limits(options, 1, 0), ARGUMENT, "max_bytes: must be at least 1"),
            (uflow_engine_options_set_threads(options, 1025), ARGUMENT, "threads: 1025 is not 0 to 1024"),
            (uflow_engine_options_set_memory(options, 0, 1), ARGUMENT, "max_frame_bytes"),
            (uflow_engine_options_set_memory(options, 1 << 20, 0), ARGUMENT, "max_work_bytes"),
            (uflow_engine_options_set_trusted_keys(options, ptr::null()), ARGUMENT, "path: is NULL"),
            (uflow_engine_options_set_trusted_keys(options, c"\xff".as_ptr()), ARGUMENT, "path: is not UTF-8"),
            (uflow_engine_options_set_trusted_keys(null(), c"".as_ptr()), ARGUMENT, "options: is NULL"),
            (uflow_engine_options_reset(null()), ARGUMENT, "options: is NULL"),
            (uflow_engine_options_get_info(options, null()), ARGUMENT, "info: is NULL"),
        ]);
        // A mistake does not change earlier settings.
        ok(uflow_engine_options_set_device(options, c"cpu".as_ptr()));
        ok(uflow_engine_options_set_precision(options, c"fp32".as_ptr()));
        ok(uflow_engine_options_set_threads(options, 1));
        ok(uflow_engine_options_set_workers(options, 1));
        ok(uflow_engine_options_set_batching(options, 2, 0.5));
        ok(uflow_engine_options_set_max_in_flight(options, 3));
        failure(uflow_engine_options_set_max_in_flight(options, u32::MAX));
        ok(uflow_engine_options_set_limits(options, 1000, 2000));
        ok(uflow_engine_options_set_memory(options, 3 << 20, 4 << 20));
        let mut info: uflow_engine_options_info = mem::zeroed();
        all_fail([(uflow_engine_options_get_info(options, &raw mut info), ARGUMENT, "info: struct_size is 0")]);
        info.struct_size = size_of::<uflow_engine_options_info>();
        all_fail([(uflow_engine_options_get_info(null(), &raw mut info), ARGUMENT, "options: is NULL")]);
        ok(uflow_engine_options_get_info(options, &raw mut info));
        let texts = [info.device, info.precision, info.onnxruntime, info.trusted_keys].map(|text| CStr::from_ptr(text));
        assert_eq!(texts, [c"cpu", c"fp32", c"", c""]);
        assert_eq!((info.threads, info.workers, info.max_batch, info.max_in_flight), (1, 1, 2, 3));
        assert_eq!((info.max_delay_ms, info.max_pixels, info.max_bytes), (0.5, 1000, 2000));
        assert_eq!((info.max_frame_bytes, info.max_work_bytes), (3 << 20, 4 << 20));
        let engine = made(|out| uflow_engine_new(options, out));
        let text = made(|out| uflow_engine_metrics(engine, out));
        let metrics = CStr::from_ptr(uflow_text_data(text)).to_str().unwrap();
        assert_eq!(metrics.len(), uflow_text_size(text));
        assert!(metrics.contains("\nuflow_in_flight_frames_limit 3\n"), "{metrics}");
        uflow_text_free(text);
        uflow_engine_free(engine);
        let mut untouched: *mut uflow_engine = ptr::dangling_mut();
        ok(uflow_engine_options_set_onnxruntime(options, c"/none".as_ptr()));
        // The path is not that of the loaded library.
        all_fail([
            (uflow_engine_new(options, &raw mut untouched), UFLOW_STATUS_LIBRARY, "/none"),
            (uflow_engine_new(misaligned(), &raw mut untouched), ARGUMENT, "options: is not aligned"),
            (uflow_engine_new(ptr::null(), null()), ARGUMENT, "engine: is NULL"),
        ]);
        assert_eq!(untouched, ptr::dangling_mut());
        ok(uflow_engine_options_reset(options));
        ok(uflow_engine_options_get_info(options, &raw mut info));
        assert_eq!((info.threads, info.max_batch, info.max_in_flight), (0, 8, 64));
        assert_eq!(CStr::from_ptr(info.onnxruntime), c"");
        uflow_engine_options_free(options);
    }
}

#[test]
fn options() {
    let options = made(|out| unsafe { uflow_options_new(out) });
    let mask = [1_u8; 4];
    unsafe {
        all_fail([
            (uflow_options_new(null()), ARGUMENT, "options: is NULL"),
            (uflow_options_set_reject_rate(options, 0.0), ARGUMENT, "must be a share above 0 and below 1"),
            (uflow_options_set_reject_rate(options, f64::NAN), ARGUMENT, "NaN"),
            (uflow_options_set_reject_rate(null(), 0.01), ARGUMENT, "options: is NULL"),
            (uflow_options_set_epsilon(options, f64::NAN), ARGUMENT, "NaN"),
            (uflow_options_set_epsilon(options, 0.0), ARGUMENT, "above 0"),
            (uflow_options_set_epsilon(null(), 1.0), ARGUMENT, "options: is NULL"),
            (uflow_options_set_verdict(options, 0), ARGUMENT, "0 is not a UFLOW_VERDICT"),
            (uflow_options_set_verdict(options, 9), ARGUMENT, "9 is not a UFLOW_VERDICT"),
            (uflow_options_set_bound(options, 0), ARGUMENT, "0 is not a UFLOW_BOUND"),
            (uflow_options_set_tests(options, 3), ARGUMENT, "3 is not a UFLOW_TESTS"),
            (uflow_options_set_score_threshold(options, 1.5), ARGUMENT, "must be from 0 to 1, not 1.5"),
            (uflow_options_set_score_threshold(options, f32::NAN), ARGUMENT, "must be from 0 to 1, not NaN"),
            (uflow_options_set_min_area(null(), 1), ARGUMENT, "options: is NULL"),
            (uflow_options_set_maps(options, 16), ARGUMENT, "16 is not a sum of UFLOW_MAPS"),
            (uflow_options_set_maps(misaligned(), 1), ARGUMENT, "options: is not aligned"),
            (uflow_options_set_priority(options, 0), ARGUMENT, "0 is not a UFLOW_PRIORITY"),
            (uflow_options_set_priority(null(), 1), ARGUMENT, "options: is NULL"),
            (uflow_options_set_time_limit(null(), 1), ARGUMENT, "options: is NULL"),
            (uflow_options_reset(null()), ARGUMENT, "options: is NULL"),
            (uflow_options_get_info(options, null()), ARGUMENT, "info: is NULL"),
            (uflow_options_clear_roi(null()), ARGUMENT, "options: is NULL"),
            (uflow_options_set_roi(options, ptr::null(), 4, 2, 2, 0), ARGUMENT, "mask: is NULL"),
            (uflow_options_set_roi(options, mask.as_ptr(), 4, 0, 3, 0), ARGUMENT, "mask: 0×3"),
            (uflow_options_set_roi(options, mask.as_ptr(), 4, 2, 2, 1), ARGUMENT, "rows 1 bytes apart"),
            (uflow_options_set_roi(options, mask.as_ptr(), 3, 2, 2, 0), ARGUMENT, "has 3 bytes, too few for 2×2"),
            (uflow_options_set_roi(options, mask.as_ptr(), 4, 2, 2, 3), ARGUMENT, "has 4 bytes, too few for 2×2"),
            (uflow_options_set_roi(options, mask.as_ptr(), 0, 2, 2, 0), ARGUMENT, "has 0 bytes, too few for 2×2"),
            (
                uflow_options_set_roi(options, mask.as_ptr(), usize::MAX, u32::MAX, u32::MAX, usize::MAX),
                ARGUMENT,
                "too few for",
            ),
            (uflow_options_set_roi(options, [0_u8; 4].as_ptr(), 4, 2, 2, 0), ARGUMENT, "every pixel is 0"),
        ]);
        let mut info: uflow_options_info = mem::zeroed();
        all_fail([(uflow_options_get_info(options, &raw mut info), ARGUMENT, "info: struct_size is 0")]);
        info.struct_size = size_of::<uflow_options_info>();
        all_fail([(uflow_options_get_info(null(), &raw mut info), ARGUMENT, "options: is NULL")]);
        // Nothing above was set.
        let unset = |info: &uflow_options_info| {
            assert!(info.epsilon.is_nan() && info.score_threshold.is_nan());
            assert_eq!([info.verdict, info.bound, info.tests, info.has_min_area, info.maps, info.roi], [0; 6]);
            assert_eq!((info.priority, info.time_limit_ms), (uflow_priority::UFLOW_PRIORITY_NORMAL as u32, 0));
        };
        ok(uflow_options_get_info(options, &raw mut info));
        unset(&info);
        ok(uflow_options_set_epsilon(options, 0.5));
        ok(uflow_options_set_score_threshold(options, 0.25));
        ok(uflow_options_set_verdict(options, 3));
        ok(uflow_options_set_bound(options, 2));
        ok(uflow_options_set_tests(options, 1));
        ok(uflow_options_set_min_area(options, 0));
        ok(uflow_options_set_maps(options, 15));
        ok(uflow_options_set_priority(options, 2));
        ok(uflow_options_set_time_limit(options, 40));
        ok(uflow_options_set_roi(options, mask.as_ptr(), 4, 2, 2, 0));
        ok(uflow_options_get_info(options, &raw mut info));
        assert_eq!((info.epsilon, info.score_threshold), (0.5, 0.25));
        assert_eq!([info.verdict, info.bound, info.tests, info.has_min_area, info.min_area], [3, 2, 1, 1, 0]);
        assert_eq!([info.maps, info.priority, info.time_limit_ms, info.roi], [15, 2, 40, 2]);
        ok(uflow_options_reset(options));
        ok(uflow_options_get_info(options, &raw mut info));
        unset(&info);
        uflow_options_free(options);
    }
}

#[test]
fn log() {
    unsafe extern "C" fn ignore(
        _: *mut std::ffi::c_void,
        _: u32,
        _: *const std::ffi::c_char,
        _: *const std::ffi::c_char,
    ) {
    }
    unsafe {
        all_fail([
            (uflow_log_set_callback(Some(ignore), null(), 0), ARGUMENT, "level: is UFLOW_LOG_LEVEL_OFF"),
            (uflow_log_set_callback(Some(ignore), null(), 6), ARGUMENT, "level: 6 is not a UFLOW_LOG_LEVEL"),
            (uflow_log_set_callback(None, null(), 6), ARGUMENT, "level: 6 is not a UFLOW_LOG_LEVEL"),
            (uflow_log_set_callback(None, null(), 3), ARGUMENT, "callback: is NULL"),
        ]);
        ok(uflow_log_set_callback(None, null(), 0));
    }
}

//! Every function is misused: NULL for every pointer, wrong sizes, formats, numbers and texts. The code is right, the message names the
//! mistake, and outputs do not change.

use std::{collections::BTreeSet, ffi::CStr, fs, mem, ptr};

use crate::fixture::{self, Fixture, SIZE, bad, failure, image, made, ok, path_text, root, text};
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

/// A pointer that nothing can be read or written through: outputs are looked at last.
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
    let here = include_str!("misuse.rs");
    let missing: Vec<_> = functions.iter().filter(|name| !here.contains(&format!("{name}("))).collect();
    assert!(missing.is_empty(), "not misused in this file: {missing:?}");
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
            (uflow_engine_options_reset(null()), ARGUMENT, "options: is NULL"),
            (uflow_engine_options_get_info(options, null()), ARGUMENT, "info: is NULL"),
        ]);
        // A mistake changes nothing, and earlier settings stay.
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
        let texts = [info.device, info.precision, info.onnxruntime].map(|text| CStr::from_ptr(text));
        assert_eq!(texts, [c"cpu", c"fp32", c""]);
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
        // Another library than the loaded one.
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
fn engines_and_models() {
    let fixture = Fixture::new();
    let package = path_text(&fixture.package());
    let folder = path_text(fixture.folder.path());
    let mut model: *mut uflow_model = ptr::dangling_mut();
    let mut metrics: *mut uflow_text = ptr::dangling_mut();
    let mut info: uflow_model_info = unsafe { mem::zeroed() };
    unsafe {
        let load = |path: &CStr, out| uflow_engine_load(fixture.engine, path.as_ptr(), out);
        all_fail([
            (uflow_engine_load(null(), package.as_ptr(), &raw mut model), ARGUMENT, "engine: is NULL"),
            (uflow_engine_load(fixture.engine, ptr::null(), &raw mut model), ARGUMENT, "path: is NULL"),
            (load(&package, null()), ARGUMENT, "model: is NULL"),
            (load(c"\xff", &raw mut model), ARGUMENT, "path: is not UTF-8"),
            (load(c"/none", &raw mut model), UFLOW_STATUS_PACKAGE, "/none"),
            (load(&folder, &raw mut model), UFLOW_STATUS_PACKAGE, "uflow.json"),
        ]);
        let version = |root: &CStr, name: &CStr, version, out| {
            uflow_engine_load_version(fixture.engine, root.as_ptr(), name.as_ptr(), version, out)
        };
        all_fail([
            (version(&folder, c"nut", 0, &raw mut model), UFLOW_STATUS_NOT_FOUND, "there is no model `nut`"),
            (version(c"/none", c"bolt", 0, &raw mut model), UFLOW_STATUS_DATA, "/none"),
            (version(&folder, c"\xff", 0, &raw mut model), ARGUMENT, "name: is not UTF-8"),
            (version(&folder, c"bolt", 0, null()), ARGUMENT, "model: is NULL"),
        ]);
        all_fail([
            (uflow_shutdown(), UFLOW_STATUS_BUSY, "still exists"),
            (uflow_engine_metrics(null(), &raw mut metrics), ARGUMENT, "engine: is NULL"),
            (uflow_engine_metrics(fixture.engine, null()), ARGUMENT, "text: is NULL"),
            (uflow_model_get_info(fixture.model, &raw mut info), ARGUMENT, "info: struct_size is 0"),
            (uflow_model_get_info(fixture.model, null()), ARGUMENT, "info: is NULL"),
        ]);
        info.struct_size = size_of::<uflow_model_info>();
        all_fail([(uflow_model_get_info(ptr::null(), &raw mut info), ARGUMENT, "model: is NULL")]);
        // A detector alone keeps ONNX Runtime, too.
        assert_eq!((model, metrics, info.input_width), (ptr::dangling_mut(), ptr::dangling_mut(), 0));
        ok(uflow_model_get_info(fixture.model, &raw mut info));
        assert_eq!((info.input_width, info.input_height, info.scales), (48, 32, 2));
        let manifest = uflow::package::Package::open(fixture.package()).unwrap().manifest;
        let texts = [info.device, info.flow_sha256, info.backbone, info.backbone_sha256];
        let texts = texts.map(|text| CStr::from_ptr(text).to_str().unwrap());
        let expected = ["cpu", &manifest.flow.sha256, &manifest.backbone.name, &manifest.backbone.sha256];
        assert_eq!(texts, expected);
        assert_eq!(info.calibration_images as usize, manifest.calibration.map_or(0, |null| null.images));
        assert_eq!((info.bound, info.has_roi), (uflow_bound::UFLOW_BOUND_CHERNOFF as u32, 0));
        assert_eq!(info.struct_size, size_of::<uflow_model_info>(), "it stays the caller's");
        assert_eq!(CStr::from_ptr(uflow_model_name(fixture.model)), c"bolt");
    }
}

#[test]
fn a_repository_s_models_by_version() {
    let fixture = Fixture::new();
    let root = fixture.folder.path().join("repository");
    for version in ["2", "10"] {
        let to = root.join("bolt").join(version);
        fs::create_dir_all(&to).unwrap();
        for file in fs::read_dir(fixture.package()).unwrap() {
            let file = file.unwrap().path();
            fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
        }
    }
    let root = path_text(&root);
    for (asked, expected) in [(0, 10), (2, 2), (10, 10)] {
        let model = made(|out| unsafe {
            uflow_engine_load_version(fixture.engine, root.as_ptr(), c"bolt".as_ptr(), asked, out)
        });
        let mut info: uflow_model_info = unsafe { mem::zeroed() };
        info.struct_size = size_of::<uflow_model_info>();
        ok(unsafe { uflow_model_get_info(model, &raw mut info) });
        assert_eq!(info.version, expected);
        unsafe { uflow_model_free(model) };
    }
    let mut model = null();
    let status =
        unsafe { uflow_engine_load_version(fixture.engine, root.as_ptr(), c"bolt".as_ptr(), 3, &raw mut model) };
    all_fail([(status, UFLOW_STATUS_NOT_FOUND, "there is no version 3 of model `bolt`")]);
}

#[test]
fn options() {
    let options = made(|out| unsafe { uflow_options_new(out) });
    let mask = [1_u8; 4];
    unsafe {
        all_fail([
            (uflow_options_new(null()), ARGUMENT, "options: is NULL"),
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
fn images() {
    let fixture = Fixture::new();
    let pixels = bad(1);
    let good = image(&pixels, RGB);
    ok(fixture.detect(&good));
    let before = fixture.summary().score;
    let trainer_folder = tempfile::tempdir().unwrap();
    let trainer = trainer(&fixture, trainer_folder.path());
    let stream = made(|out| unsafe { uflow_stream_new(fixture.model, ptr::null(), out) });
    let results = [fixture.result];
    let mut info: uflow_image_info = unsafe { mem::zeroed() };
    unsafe {
        all_fail([
            (uflow_image_get_info(&raw const good, null()), ARGUMENT, "info: is NULL"),
            (uflow_image_get_info(&raw const good, &raw mut info), ARGUMENT, "info: struct_size is 0"),
        ]);
        info.struct_size = size_of::<uflow_image_info>();
        all_fail([(uflow_image_get_info(ptr::null(), &raw mut info), ARGUMENT, "image: is NULL")]);
    }
    let frame = UFLOW_STATUS_INVALID_IMAGE;
    let cases = [
        (uflow_image { struct_size: 8, ..good }, ARGUMENT, "image: struct_size is 8"),
        (uflow_image { data: ptr::null(), ..good }, ARGUMENT, "image.data: is NULL"),
        (uflow_image { format: 0, ..good }, ARGUMENT, "image.format: 0 is not a UFLOW_FORMAT"),
        (uflow_image { format: 99, ..good }, ARGUMENT, "image.format: 99 is not a UFLOW_FORMAT"),
        (uflow_image { width: 0, ..good }, frame, "width and height must be at least 1"),
        (uflow_image { height: 0, ..good }, frame, "width and height must be at least 1"),
        (uflow_image { width: u32::MAX, height: u32::MAX, ..good }, frame, "invalid frame"),
        (uflow_image { size: good.size - 1, ..good }, frame, "the buffer has 7868"),
        (uflow_image { size: 0, ..good }, frame, "the buffer has 0"),
        (uflow_image { stride: 7, ..good }, frame, "the stride of 7 bytes is shorter"),
        (uflow_image { stride: usize::MAX, ..good }, frame, "larger than the address space"),
        (uflow_image { size: usize::MAX, ..good }, ARGUMENT, "do not fit into memory"),
        (uflow_image { significant_bits: 17, ..good }, ARGUMENT, "image.significant_bits: 17 is not 0 to 16"),
        (uflow_image { struct_size: 52, ..good }, ARGUMENT, "image: struct_size is 52"),
        (uflow_image { struct_size: 1 << 20, ..good }, ARGUMENT, "image: struct_size is 1048576"),
        (uflow_image { format: 7, ..good }, UFLOW_STATUS_UNDECODABLE, "cannot be decoded"),
        (uflow_image { format: 7, size: 0, ..good }, UFLOW_STATUS_UNDECODABLE, "cannot be decoded"),
    ];
    for (image, code, says) in cases {
        let image: *const uflow_image = &raw const image;
        let (mut score, mut anomalous) = (9.0, 9);
        unsafe {
            all_fail([
                (uflow_detector_detect(fixture.detector, image, fixture.options, fixture.result), code, says),
                (
                    uflow_detector_detect_into(fixture.detector, image, fixture.options, ptr::null(), fixture.result),
                    code,
                    says,
                ),
                (
                    uflow_detector_detect_batch(fixture.detector, image, 1, fixture.options, results.as_ptr()),
                    code,
                    says,
                ),
                (
                    uflow_detector_score(fixture.detector, image, fixture.options, &raw mut score, &raw mut anomalous),
                    code,
                    says,
                ),
                (uflow_trainer_add(trainer, image), code, says),
                (uflow_image_get_info(image, &raw mut info), code, says),
            ]);
            // A stream looks at encoded bytes later.
            if code != UFLOW_STATUS_UNDECODABLE {
                all_fail([(uflow_stream_submit(stream, image, fixture.options, null(), 0), code, says)]);
            }
        }
        assert_eq!((fixture.summary().score, score, anomalous), (before, 9.0, 9));
    }
    unsafe {
        assert_eq!((uflow_trainer_frames(trainer), uflow_stream_pending(stream)), (0, 0));
        uflow_stream_free(stream);
        uflow_trainer_free(trainer);
    }
}

#[test]
fn images_over_the_limit() {
    let fixture = Fixture::new();
    let options = made(|out| unsafe { uflow_engine_options_new(out) });
    let package = path_text(&fixture.package());
    let pixels = bad(1);
    unsafe {
        ok(uflow_engine_options_set_limits(options, 1000, 1000));
        let engine = made(|out| uflow_engine_new(options, out));
        let model = made(|out| uflow_engine_load(engine, package.as_ptr(), out));
        let detector = made(|out| uflow_detector_new(model, out));
        let picture = image(&pixels, RGB);
        let file = uflow_image { format: 7, ..picture };
        let detect = |picture: &uflow_image| {
            uflow_detector_detect(detector, ptr::from_ref(picture), fixture.options, fixture.result)
        };
        all_fail([
            (detect(&picture), UFLOW_STATUS_OVER_LIMIT, "2623 > 1000 pixels"),
            (detect(&file), UFLOW_STATUS_OVER_LIMIT, "1000"),
        ]);
        uflow_detector_free(detector);
        uflow_model_free(model);
        uflow_engine_free(engine);
        uflow_engine_options_free(options);
    }
}

#[test]
fn detectors() {
    let fixture = Fixture::new();
    let pixels = bad(1);
    let picture = image(&pixels, RGB);
    let (good, result) = (&raw const picture, fixture.result);
    let mut untouched: *mut uflow_detector = ptr::dangling_mut();
    let (mut mask, mut map) = (vec![9_u8; pixels.len()], vec![9.0_f32; 48 * 32]);
    let none = uflow_buffers {
        struct_size: size_of::<uflow_buffers>(),
        mask: null(),
        mask_capacity: 0,
        mask_width: SIZE.0,
        mask_height: SIZE.1,
        score_map: null(),
        score_map_capacity: 0,
        log10_nfa_map: null(),
        log10_nfa_map_capacity: 0,
        map_width: 48,
        map_height: 32,
    };
    let (small, pixels_of) = (UFLOW_STATUS_BUFFER_TOO_SMALL, (SIZE.0 * SIZE.1) as usize);
    unsafe {
        all_fail([
            (uflow_detector_new(ptr::null(), &raw mut untouched), ARGUMENT, "model: is NULL"),
            (uflow_detector_new(fixture.model, null()), ARGUMENT, "detector: is NULL"),
            (uflow_detector_detect(null(), good, ptr::null(), result), ARGUMENT, "detector: is NULL"),
            (uflow_detector_detect(fixture.detector, ptr::null(), ptr::null(), result), ARGUMENT, "image: is NULL"),
            (uflow_detector_detect(fixture.detector, good, ptr::null(), null()), ARGUMENT, "result: is NULL"),
            (
                uflow_detector_detect(fixture.detector, good.byte_add(1), ptr::null(), result),
                ARGUMENT,
                "image: is not aligned",
            ),
            (uflow_detector_detect(fixture.detector, good, misaligned(), result), ARGUMENT, "options: is not aligned"),
            (
                uflow_detector_score(fixture.detector, good, ptr::null(), misaligned(), null()),
                ARGUMENT,
                "score: is not aligned",
            ),
        ]);
        ok(uflow_detector_score(fixture.detector, good, ptr::null(), null(), null()));
        let into = |buffers: uflow_buffers| {
            uflow_detector_detect_into(fixture.detector, good, ptr::null(), &raw const buffers, result)
        };
        all_fail([
            (into(uflow_buffers { struct_size: 3, ..none }), ARGUMENT, "buffers: struct_size is 3"),
            (
                into(uflow_buffers { mask: mask.as_mut_ptr(), mask_capacity: pixels_of - 1, ..none }),
                small,
                "buffers.mask: has room for 2622 values, and 2623 are needed",
            ),
            (
                // As many bytes, of another shape.
                into(uflow_buffers {
                    mask: mask.as_mut_ptr(),
                    mask_capacity: mask.len(),
                    mask_width: SIZE.1,
                    mask_height: SIZE.0,
                    ..none
                }),
                ARGUMENT,
                "buffers.mask: is 43×61 (mask_width × mask_height), and the image is 61×43",
            ),
            (
                into(uflow_buffers {
                    score_map: map.as_mut_ptr(),
                    score_map_capacity: map.len(),
                    map_width: 0,
                    map_height: 0,
                    ..none
                }),
                ARGUMENT,
                "buffers.score_map: is 0×0 (map_width × map_height), and the network's input is 48×32",
            ),
            (
                into(uflow_buffers { score_map: map.as_mut_ptr(), score_map_capacity: 48 * 32 - 1, ..none }),
                small,
                "buffers.score_map",
            ),
            (
                into(uflow_buffers { log10_nfa_map: map.as_mut_ptr(), log10_nfa_map_capacity: 0, ..none }),
                small,
                "buffers.log10_nfa_map",
            ),
            (
                into(uflow_buffers { log10_nfa_map: misaligned(), log10_nfa_map_capacity: 48 * 32, ..none }),
                ARGUMENT,
                "buffers.log10_nfa_map: is not aligned",
            ),
        ]);
        assert!(mask.iter().all(|&byte| byte == 9) && map.iter().all(|&value| value == 9.0));
        let batch = |images, count, results: &[*mut uflow_result]| {
            uflow_detector_detect_batch(fixture.detector, images, count, ptr::null(), results.as_ptr())
        };
        let mut sizes = [picture, picture];
        sizes[1].struct_size += 8;
        all_fail([
            (batch(good, 0, &[result]), ARGUMENT, "count: 0 is not 1 to 1024"),
            (batch(good, 1025, &[result]), ARGUMENT, "count: 1025 is not 1 to 1024"),
            (batch(ptr::null(), 1, &[result]), ARGUMENT, "images: is NULL"),
            (batch(good, 1, &[null()]), ARGUMENT, "results[0]: is NULL"),
            (batch([picture; 2].as_ptr(), 2, &[result, null()]), ARGUMENT, "results[1]: is NULL"),
            (batch([picture; 2].as_ptr(), 2, &[result, result]), ARGUMENT, "results[1]: is the same as results[0]"),
            (
                uflow_detector_detect_batch(fixture.detector, good, 1, ptr::null(), ptr::null()),
                ARGUMENT,
                "results: is NULL",
            ),
        ]);
        let second = made(|out| uflow_result_new(out));
        let nothing = [picture, uflow_image { data: ptr::null(), ..picture }];
        all_fail([
            (
                batch(sizes.as_ptr(), 2, &[result, second]),
                ARGUMENT,
                "images[1]: struct_size: is 56, and images[0] has 48",
            ),
            (batch(nothing.as_ptr(), 2, &[result, second]), ARGUMENT, "images[1]: image.data: is NULL"),
        ]);
        // Priority and time limit are for streams: they must not be ignored.
        ok(uflow_options_set_time_limit(fixture.options, 5));
        let queued = [
            uflow_detector_detect(fixture.detector, good, fixture.options, result),
            uflow_detector_score(fixture.detector, good, fixture.options, null(), null()),
            uflow_detector_detect_batch(fixture.detector, good, 1, fixture.options, [result].as_ptr()),
        ];
        all_fail(queued.map(|status| (status, ARGUMENT, "options.time_limit: only a frame of a stream can have one")));
        uflow_result_free(second);
    }
    assert_eq!(untouched, ptr::dangling_mut());
}

#[test]
fn a_roi_that_leaves_nothing_of_the_maps() {
    let fixture = Fixture::new();
    let pixels = bad(1);
    let (width, height) = (20 * SIZE.0, 20 * SIZE.1);
    let mut mask = vec![0_u8; (width * height) as usize];
    mask[0] = 1;
    ok(unsafe { uflow_options_set_roi(fixture.options, mask.as_ptr(), mask.len(), width, height, 0) });
    all_fail([(fixture.detect(&image(&pixels, RGB)), ARGUMENT, "too small or thin")]);
    // Of another aspect ratio it is refused, and not stretched.
    mask.fill(1);
    ok(unsafe { uflow_options_set_roi(fixture.options, mask.as_ptr(), mask.len(), 1000, 10, 0) });
    all_fail([(fixture.detect(&image(&pixels, RGB)), ARGUMENT, "the mask is 1000×10 and the frame 61×43")]);
}

#[test]
fn results() {
    let fixture = Fixture::new();
    let result = fixture.result;
    let mut summary: uflow_summary = unsafe { mem::zeroed() };
    let mut region: uflow_region = unsafe { mem::zeroed() };
    let (mut points, mut count): (*const uflow_point, usize) = (ptr::dangling(), 9);
    let (mut bytes, mut floats): (*const u8, *const f32) = (ptr::dangling(), ptr::dangling());
    let mut latents: uflow_latents = unsafe { mem::zeroed() };
    let missing = UFLOW_STATUS_NOT_FOUND;
    unsafe {
        all_fail([
            (uflow_result_new(null()), ARGUMENT, "result: is NULL"),
            (uflow_result_copy(ptr::null(), result), ARGUMENT, "from: is NULL"),
            (uflow_result_copy(result, null()), ARGUMENT, "to: is NULL"),
            (uflow_result_get_summary(result, &raw mut summary), ARGUMENT, "summary: struct_size is 0"),
            (uflow_result_get_region(result, 0, &raw mut region), ARGUMENT, "region: struct_size is 0"),
        ]);
        summary.struct_size = size_of::<uflow_summary>();
        region.struct_size = size_of::<uflow_region>();
        all_fail([
            (uflow_result_get_summary(result, &raw mut summary), ARGUMENT, "result: is empty"),
            (uflow_result_get_summary(null(), &raw mut summary), ARGUMENT, "result: is NULL"),
            (uflow_result_get_summary(result, null()), ARGUMENT, "summary: is NULL"),
            (uflow_result_get_region(result, 0, &raw mut region), ARGUMENT, "result: is empty"),
            (uflow_result_get_mask(result, &raw mut bytes, null(), null()), ARGUMENT, "result: is empty"),
        ]);
        ok(fixture.detect(&image(&bad(1), RGB)));
        let regions = fixture.summary().regions;
        assert!(regions > 0);
        all_fail([
            (uflow_result_get_region(result, regions, &raw mut region), missing, "there is no region"),
            (uflow_result_get_region(result, 0, null()), ARGUMENT, "region: is NULL"),
            (uflow_result_get_outline(result, regions, 0, &raw mut points, &raw mut count), missing, "no region"),
            (uflow_result_get_outline(result, 0, 999, &raw mut points, &raw mut count), missing, "no ring 999"),
            (uflow_result_get_outline(result, 0, 0, null(), &raw mut count), ARGUMENT, "points: is NULL"),
            (uflow_result_get_outline(result, 0, 0, &raw mut points, null()), ARGUMENT, "count: is NULL"),
            (
                uflow_result_get_mask(result, &raw mut bytes, null(), null()),
                missing,
                "the result has no mask; ask for it with uflow_options_set_maps",
            ),
            (uflow_result_get_score_map(result, &raw mut floats, null(), null()), missing, "score map"),
            (uflow_result_get_log10_nfa_map(result, &raw mut floats, null(), null()), missing, "log10_nfa map"),
            (uflow_result_get_score_map(result, null(), null(), null()), ARGUMENT, "pixels: is NULL"),
            (uflow_result_get_log10_nfa_map(null(), &raw mut floats, null(), null()), ARGUMENT, "result: is NULL"),
            (uflow_result_get_mask(result, &raw mut bytes, misaligned(), null()), ARGUMENT, "width: is not aligned"),
            (uflow_result_get_latents(result, 0, null()), ARGUMENT, "latents: is NULL"),
            (uflow_result_get_latents(result, 0, &raw mut latents), ARGUMENT, "latents: struct_size is 0"),
        ]);
        latents.struct_size = size_of::<uflow_latents>();
        all_fail([
            (uflow_result_get_latents(null(), 0, &raw mut latents), ARGUMENT, "result: is NULL"),
            (uflow_result_get_latents(result, 0, &raw mut latents), missing, "the result has no latents; ask for them"),
        ]);
    }
    assert_eq!((region.area, count, points, bytes, floats), (0, 9, ptr::dangling(), ptr::dangling(), ptr::dangling()));
}

#[test]
fn a_struct_of_an_older_and_of_a_newer_header() {
    let fixture = Fixture::new();
    ok(fixture.detect(&image(&bad(1), RGB)));
    // What is beyond the library's struct belongs to a newer header, and stays as it was.
    #[repr(C)]
    struct Newer {
        known: uflow_summary,
        more: [u64; 4],
    }
    let mut newer: Newer = unsafe { mem::zeroed() };
    newer.known.struct_size = size_of::<Newer>();
    newer.more = [7; 4];
    ok(unsafe { uflow_result_get_summary(fixture.result, (&raw mut newer).cast()) });
    assert_eq!((newer.known.struct_size, newer.more), (size_of::<Newer>(), [7; 4]));
    assert_eq!(newer.known.score, fixture.summary().score);
    // A newer image begins as this one does.
    #[repr(C)]
    struct NewerImage {
        known: uflow_image,
        more: [u64; 2],
    }
    let pixels = bad(1);
    let mut newer = [(); 2].map(|()| NewerImage { known: image(&pixels, RGB), more: [0; 2] });
    newer.iter_mut().for_each(|image| image.known.struct_size = size_of::<NewerImage>());
    let results = [(); 2].map(|()| made(|out| unsafe { uflow_result_new(out) }));
    let batch = |newer: &[NewerImage; 2]| unsafe {
        uflow_detector_detect_batch(fixture.detector, newer.as_ptr().cast(), 2, fixture.options, results.as_ptr())
    };
    ok(batch(&newer));
    // What a newer program asks for must not be passed over in silence.
    newer[1].more[1] = 1;
    all_fail([(batch(&newer), ARGUMENT, "a field set that this version of the library does not know")]);
    for result in results {
        assert!((fixture::summary(result).score - fixture.summary().score).abs() <= 1e-5);
        unsafe { uflow_result_free(result) };
    }
}

#[test]
fn segmenters() {
    let result = made(|out| unsafe { uflow_result_new(out) });
    let segmenter = made(|out| unsafe { uflow_segmenter_new(64, 64, out) });
    let options = made(|out| unsafe { uflow_options_new(out) });
    let mut z = vec![0.5_f32; 4 * 8 * 8];
    let struct_size = size_of::<uflow_latents>();
    let data = z.as_ptr();
    let good = uflow_latents { struct_size, data, size: z.len(), channels: 4, height: 8, width: 8, reserved: 0 };
    let mut untouched: *mut uflow_segmenter = ptr::dangling_mut();
    unsafe {
        let run = |latents: uflow_latents, scales| {
            let latents = [latents; 2];
            uflow_segment_latents(segmenter, latents.as_ptr(), scales, options, 0, 0, ptr::null(), result)
        };
        all_fail([
            (
                uflow_segmenter_new(0, 64, &raw mut untouched),
                ARGUMENT,
                "size: 0×64 (width × height) is not 1 to 8192 a side",
            ),
            (
                uflow_segmenter_new(u32::MAX, u32::MAX, &raw mut untouched),
                ARGUMENT,
                "(width × height) is not 1 to 8192 a side",
            ),
            (uflow_segmenter_new(8193, 1, &raw mut untouched), ARGUMENT, "(width × height) is not 1 to 8192 a side"),
            (uflow_segmenter_new(64, 64, null()), ARGUMENT, "segmenter: is NULL"),
            (run(good, 0), ARGUMENT, "scales: 0 is not 1 to 16"),
            (run(good, 17), ARGUMENT, "scales: 17 is not 1 to 16"),
            (run(uflow_latents { struct_size: 1, ..good }, 1), ARGUMENT, "latents[0]: latents: struct_size is 1"),
            (run(uflow_latents { data: ptr::null(), ..good }, 2), ARGUMENT, "latents[0]: latents.data: is NULL"),
            (run(uflow_latents { data: misaligned(), ..good }, 1), ARGUMENT, "latents.data: is not aligned"),
            (run(uflow_latents { size: 255, ..good }, 1), ARGUMENT, "255 numbers are too few for 4×8×8"),
            (run(uflow_latents { reserved: 1, ..good }, 1), ARGUMENT, "latents.reserved: is 1"),
            (run(uflow_latents { channels: 0, ..good }, 1), ARGUMENT, "scale 0 has no channels"),
            (run(uflow_latents { height: u32::MAX, width: u32::MAX, ..good }, 1), ARGUMENT, "too few"),
            (
                uflow_segment_latents(null(), &raw const good, 1, options, 0, 0, ptr::null(), result),
                ARGUMENT,
                "segmenter: is NULL",
            ),
            (
                uflow_segment_latents(segmenter, ptr::null(), 1, options, 0, 0, ptr::null(), result),
                ARGUMENT,
                "latents: is NULL",
            ),
            (
                uflow_segment_latents(segmenter, &raw const good, 1, options, 0, 0, ptr::null(), null()),
                ARGUMENT,
                "result: is NULL",
            ),
            (
                uflow_segment_latents(segmenter, &raw const good, 1, options, 5, 0, ptr::null(), result),
                ARGUMENT,
                "size",
            ),
        ]);
        ok(uflow_options_set_verdict(options, uflow_verdict::UFLOW_VERDICT_SCORE as u32));
        all_fail([(run(good, 1), ARGUMENT, "needs a score threshold")]);
        ok(uflow_options_set_verdict(options, uflow_verdict::UFLOW_VERDICT_NFA as u32));
        ok(run(good, 1));
        let before = fixture::summary(result).score;
        z[7] = f32::NAN;
        let broken = uflow_latents { data: z.as_ptr(), ..good };
        all_fail([(run(broken, 1), UFLOW_STATUS_NON_FINITE, "not finite")]);
        assert_eq!(fixture::summary(result).score, before);
        assert_eq!(untouched, ptr::dangling_mut());
        uflow_options_free(options);
        uflow_segmenter_free(segmenter);
        uflow_result_free(result);
    }
}

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
        // Options that the model cannot do: before the frame is taken.
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

#[test]
fn trainers() {
    let fixture = Fixture::new();
    let folder = tempfile::tempdir().unwrap();
    let options = fit_options(folder.path());
    let mut untouched: *mut uflow_trainer = ptr::dangling_mut();
    let mut fit_untouched: *mut uflow_fit_options = ptr::dangling_mut();
    let mut words: *mut uflow_text = ptr::dangling_mut();
    let mut training: uflow_training = unsafe { mem::zeroed() };
    training.struct_size = size_of::<uflow_training>();
    unsafe {
        all_fail([
            (uflow_fit_options_new(ptr::null(), &raw mut fit_untouched), ARGUMENT, "name: is NULL"),
            (uflow_fit_options_new(c"a/b".as_ptr(), &raw mut fit_untouched), ARGUMENT, "name"),
            (uflow_fit_options_new(c".a".as_ptr(), &raw mut fit_untouched), ARGUMENT, "may not start with a dot"),
            (uflow_fit_options_new(c" ".as_ptr(), &raw mut fit_untouched), ARGUMENT, "name: it is empty"),
            (uflow_fit_options_new(c"\xff".as_ptr(), &raw mut fit_untouched), ARGUMENT, "name: is not UTF-8"),
            (uflow_fit_options_new(c"bolt".as_ptr(), null()), ARGUMENT, "options: is NULL"),
            (uflow_fit_options_set_backbone(options, ptr::null()), ARGUMENT, "path: is NULL"),
            (uflow_fit_options_set_input_size(options, 0, 5), ARGUMENT, "0×5 is not 1 to"),
            (uflow_fit_options_set_input_size(options, 60_000, 60_000), ARGUMENT, "60000×60000 is not 1 to"),
            (uflow_fit_options_set_input_size(options, u32::MAX, u32::MAX), ARGUMENT, "is not 1 to"),
            (uflow_fit_options_set_steps(options, 4_000_000_000), ARGUMENT, "4000000000 is not 1 to 64"),
            (uflow_fit_options_set_augmentation(options, 0), ARGUMENT, "0 is not a UFLOW_AUGMENTATION"),
            (uflow_fit_options_set_epochs(options, 0, 1), ARGUMENT, "epochs"),
            (uflow_fit_options_set_epochs(options, 1, 0), ARGUMENT, "patience"),
            (uflow_fit_options_set_optimizer(options, 0, 0.1, 0.0), ARGUMENT, "batch"),
            (uflow_fit_options_set_optimizer(options, 1, f64::NAN, 0.0), ARGUMENT, "learning rate"),
            (uflow_fit_options_set_optimizer(options, 1, 0.1, -1.0), ARGUMENT, "weight decay"),
            (uflow_fit_options_set_steps(options, 0), ARGUMENT, "steps"),
            (uflow_fit_options_set_noise(options, 2.0), ARGUMENT, "noise"),
            (uflow_fit_options_set_significant_bits(options, 17), ARGUMENT, "bits: 17 is not 0 to 16"),
            (uflow_fit_options_set_float_range(options, 1.0, 1.0), ARGUMENT, "range: 1:1 must be two finite numbers"),
            (uflow_fit_options_set_float_range(options, f32::NAN, 1.0), ARGUMENT, "range: NaN:1"),
            (uflow_fit_options_set_float_range(options, 0.0, f32::INFINITY), ARGUMENT, "range: 0:inf"),
            (uflow_fit_options_set_float_range(null(), 0.0, 1.0), ARGUMENT, "options: is NULL"),
            (uflow_fit_options_set_seed(null(), 1), ARGUMENT, "options: is NULL"),
            (uflow_fit_options_set_memory(null(), 1), ARGUMENT, "options: is NULL"),
            (uflow_fit_options_set_detection(options, ptr::null()), ARGUMENT, "detection: is NULL"),
            (uflow_fit_options_reset(null()), ARGUMENT, "options: is NULL"),
            (uflow_fit_options_get_info(options, null()), ARGUMENT, "info: is NULL"),
            (uflow_trainer_new(ptr::null(), options, &raw mut untouched), ARGUMENT, "engine: is NULL"),
            (uflow_trainer_new(fixture.engine, ptr::null(), &raw mut untouched), ARGUMENT, "options: is NULL"),
            (uflow_trainer_new(fixture.engine, options, null()), ARGUMENT, "trainer: is NULL"),
            (uflow_trainer_add(null(), ptr::null()), ARGUMENT, "trainer: is NULL"),
        ]);
        let missing = text("/none.onnx");
        ok(uflow_fit_options_set_backbone(options, missing.as_ptr()));
        ok(uflow_fit_options_set_seed(options, 12));
        ok(uflow_fit_options_set_float_range(options, -1.0, 4.5));
        let mut info: uflow_fit_options_info = mem::zeroed();
        info.struct_size = size_of::<uflow_fit_options_info>();
        all_fail([(uflow_fit_options_get_info(null(), &raw mut info), ARGUMENT, "options: is NULL")]);
        ok(uflow_fit_options_get_info(options, &raw mut info));
        assert_eq!([info.name, info.backbone].map(|text| CStr::from_ptr(text)), [c"bolt", c"/none.onnx"]);
        assert_eq!([info.input_width, info.input_height, info.epochs, info.patience, info.steps], [48, 32, 16, 4, 4]);
        assert_eq!((info.seed, info.batch, info.learning_rate, info.augmentation), (12, 8, 1e-3, 1));
        assert_eq!([info.float_low, info.float_high], [-1.0, 4.5]);
        let (code, said) = failure(uflow_trainer_new(fixture.engine, options, &raw mut untouched));
        assert!(code != ARGUMENT && said.contains("/none.onnx"), "{code:?} {said}");
        ok(uflow_fit_options_reset(options));
        ok(uflow_fit_options_get_info(options, &raw mut info));
        assert_eq!([info.name, info.backbone].map(|text| CStr::from_ptr(text)), [c"bolt", c""]);
        assert_eq!((info.seed, info.input_width), (0, 0));
        assert!(info.float_low.is_nan() && info.float_high.is_nan());
        uflow_fit_options_free(options);

        let trainer = trainer(&fixture, folder.path());
        all_fail([
            (uflow_trainer_add(trainer, ptr::null()), ARGUMENT, "image: is NULL"),
            (uflow_trainer_fit(null(), c"x".as_ptr(), None, null()), ARGUMENT, "trainer: is NULL"),
            (uflow_trainer_fit(trainer, ptr::null(), None, null()), ARGUMENT, "path: is NULL"),
            (
                uflow_trainer_get_training(trainer, &raw mut training),
                ARGUMENT,
                "no model was fitted yet; call uflow_trainer_fit first",
            ),
            (uflow_trainer_get_training(ptr::null(), &raw mut training), ARGUMENT, "trainer: is NULL"),
            (uflow_trainer_get_training(trainer, null()), ARGUMENT, "training: is NULL"),
            (
                uflow_trainer_warnings(trainer, &raw mut words),
                ARGUMENT,
                "no model was fitted yet; call uflow_trainer_fit first",
            ),
            (uflow_trainer_warnings(trainer, null()), ARGUMENT, "text: is NULL"),
        ]);
        uflow_trainer_free(trainer);
    }
    assert_eq!(
        (untouched, fit_untouched, words, training.images),
        (ptr::dangling_mut(), ptr::dangling_mut(), ptr::dangling_mut(), 0)
    );
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

//! Fitting through the C interface: the model that the Rust interface makes, progress, cancelling, going on.

use std::{ffi::c_void, mem, ptr, sync::Mutex};

use crate::fixture::{failure, image, made, networks::models, ok, path_text, text};
use uflow::{frame::PixelFormat, package::Package, runtime::Runtime};
use uflow_ffi::{uflow_status_code::*, *};

struct Fit {
    folder: tempfile::TempDir,
    engine: *mut uflow_engine,
    trainer: *mut uflow_trainer,
}

/// How the package counts its tests.
fn count_by(tests: uflow_tests, options: *mut uflow_fit_options) {
    let detection = made(|out| unsafe { uflow_options_new(out) });
    unsafe {
        ok(uflow_options_set_tests(detection, tests as u32));
        ok(uflow_fit_options_set_detection(options, detection));
        uflow_options_free(detection);
    }
}

impl Fit {
    fn new(change: impl FnOnce(*mut uflow_fit_options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let backbone = path_text(&models::backbone(folder.path(), 1));
        unsafe {
            let engine = made(|out| uflow_engine_new(ptr::null(), out));
            let options = made(|out| uflow_fit_options_new(c"bolt".as_ptr(), out));
            ok(uflow_fit_options_set_backbone(options, backbone.as_ptr()));
            ok(uflow_fit_options_set_input_size(options, 48, 32));
            ok(uflow_fit_options_set_epochs(options, 3, 4));
            ok(uflow_fit_options_set_seed(options, 1));
            // One flow is enough for what most tests look at.
            count_by(uflow_tests::UFLOW_TESTS_PAPER, options);
            change(options);
            let trainer = made(|out| uflow_trainer_new(engine, options, out));
            uflow_fit_options_free(options);
            Self { folder, engine, trainer }
        }
    }

    fn add(&self, frames: std::ops::Range<u64>) {
        for frame in frames {
            self.add_pixels(&models::good(100 + frame, 48, 32, PixelFormat::Rgb8), (48, 32));
        }
    }

    fn add_pixels(&self, pixels: &[u8], size: (u32, u32)) {
        let mut picture = image(pixels, uflow_format::UFLOW_FORMAT_RGB8);
        (picture.width, picture.height) = size;
        ok(unsafe { uflow_trainer_add(self.trainer, &raw const picture) });
    }

    fn warnings(&self) -> String {
        said(|out| unsafe { uflow_trainer_warnings(self.trainer, out) })
    }

    fn drop_doubtful(&self, most: u32) -> String {
        said(|out| unsafe { uflow_trainer_drop_doubtful(self.trainer, most, out) })
    }

    fn fit(&self, name: &str, callback: uflow_progress_callback, user_data: *mut c_void) -> *mut uflow_status {
        let path = path_text(&self.folder.path().join(name));
        unsafe { uflow_trainer_fit(self.trainer, path.as_ptr(), callback, user_data) }
    }

    fn training(&self) -> uflow_training {
        let mut training: uflow_training = unsafe { mem::zeroed() };
        training.struct_size = size_of::<uflow_training>();
        ok(unsafe { uflow_trainer_get_training(self.trainer, &raw mut training) });
        training
    }
}

fn said(make: impl FnOnce(*mut *mut uflow_text) -> *mut uflow_status) -> String {
    let words = made(make);
    let said = unsafe { std::ffi::CStr::from_ptr(uflow_text_data(words)) }.to_str().unwrap().to_owned();
    unsafe { uflow_text_free(words) };
    said
}

impl Drop for Fit {
    fn drop(&mut self) {
        unsafe {
            uflow_engine_free(self.engine);
            uflow_trainer_free(self.trainer);
        }
    }
}

#[derive(Default)]
struct Asked {
    calls: Mutex<Vec<uflow_progress>>,
    answer: Option<(usize, u32)>,
}

unsafe extern "C" fn progress(user_data: *mut c_void, progress: *const uflow_progress) -> u32 {
    let (asked, progress): (&Asked, &uflow_progress) = unsafe { (&*user_data.cast(), &*progress) };
    let mut calls = asked.calls.lock().unwrap();
    calls.push(*progress);
    match asked.answer {
        Some((call, answer)) if calls.len() > call => answer,
        _ => uflow_control::UFLOW_CONTROL_CONTINUE as u32,
    }
}

#[test]
fn the_model_is_the_rust_interface_s() {
    let fit = Fit::new(|_| {});
    fit.add(0..12);
    assert_eq!(unsafe { uflow_trainer_frames(fit.trainer) }, 12);
    let mut asked = Asked::default();
    ok(fit.fit("bolt.uflow", Some(progress), ptr::from_mut(&mut asked).cast()));
    let backbone = models::backbone(fit.folder.path(), 1);
    let expected = models::fit_default_flow(&Runtime::load(None).unwrap(), &backbone, "bolt", 1);
    let package = Package::open(fit.folder.path().join("bolt.uflow")).unwrap();
    assert_eq!(package.manifest.flow.sha256, expected.manifest.flow.sha256, "the same flow to the bit");
    assert_eq!(package.manifest.scores, expected.manifest.scores);
    let training = fit.training();
    assert_eq!((training.images, training.held_out), (11, 1));
    assert_eq!(training.epochs as usize, expected.summary.epochs);
    assert_eq!(training.held_out_nll, expected.summary.best.nll);
    assert_eq!(training.stop_reason, uflow_stop_reason::UFLOW_STOP_REASON_FINISHED as u32);
    let calls = asked.calls.into_inner().unwrap();
    // Before the first epoch, two steps in each of three, and after each.
    assert_eq!(calls.len(), 1 + 3 * (2 + 1), "{calls:?}");
    assert!(calls[0].loss.is_nan() && calls[0].held_out_nll.is_finite());
    assert!(calls[1].loss.is_finite() && calls[1].held_out_nll.is_nan());
    assert!(calls.iter().all(|call| call.struct_size == size_of::<uflow_progress>()));
    let expected: String = expected.warnings().iter().map(|warning| format!("{warning}\n")).collect();
    assert_eq!(fit.warnings(), expected);
}

#[test]
fn a_time_budget_ends_training_and_is_the_reason() {
    let fit = Fit::new(|options| ok(unsafe { uflow_fit_options_set_time_budget(options, 1e-9) }));
    fit.add(0..12);
    ok(fit.fit("bolt", None, ptr::null_mut()));
    assert_eq!(fit.training().stop_reason, uflow_stop_reason::UFLOW_STOP_REASON_TIME_BUDGET as u32);
    assert!(Package::open(fit.folder.path().join("bolt")).is_ok(), "the best model so far");
}

#[test]
fn frames_that_look_defective_are_left_out_on_demand() {
    let fit = Fit::new(|_| {});
    fit.add(0..7);
    assert_eq!(fit.drop_doubtful(3), "", "good frames stay");
    fit.add_pixels(&models::bad(5, 48, 32, PixelFormat::Rgb8), (48, 32));
    fit.add(7..30);
    assert_eq!(fit.drop_doubtful(0), "");
    ok(unsafe { uflow_trainer_drop_doubtful(fit.trainer, 0, ptr::null_mut()) });
    let dropped = fit.drop_doubtful(3);
    assert!(dropped.starts_with("frame 7: log10 NFA -") && dropped.lines().count() == 1, "{dropped}");
    assert_eq!(unsafe { uflow_trainer_frames(fit.trainer) }, 30);
    ok(fit.fit("bolt.uflow", None, ptr::null_mut()));
    let package = Package::open(fit.folder.path().join("bolt.uflow")).unwrap();
    let [gone] = &package.manifest.training.unwrap().dropped[..] else { panic!("one frame was left out") };
    assert_eq!(gone.image, "frame 7");
}

#[test]
fn cancelled_nothing_is_written_and_no_frame_is_lost() {
    let fit = Fit::new(|_| {});
    fit.add(0..12);
    for answer in [uflow_control::UFLOW_CONTROL_CANCEL as u32, 0, 77] {
        let mut asked = Asked { answer: Some((2, answer)), ..Asked::default() };
        let (code, _) = failure(fit.fit("bolt", Some(progress), ptr::from_mut(&mut asked).cast()));
        assert_eq!(code, UFLOW_STATUS_CANCELLED);
        assert_eq!(asked.calls.into_inner().unwrap().len(), 3, "the third call said so");
        assert!(!fit.folder.path().join("bolt").exists());
    }
    let mut asked = Asked { answer: Some((2, uflow_control::UFLOW_CONTROL_STOP as u32)), ..Asked::default() };
    ok(fit.fit("bolt", Some(progress), ptr::from_mut(&mut asked).cast()));
    assert_eq!(fit.training().stop_reason, uflow_stop_reason::UFLOW_STOP_REASON_ASKED as u32);
    assert!(Package::open(fit.folder.path().join("bolt")).is_ok(), "the best model so far");
    // More frames are added, and the model is fitted again.
    fit.add(12..16);
    ok(fit.fit("bolt", None, ptr::null_mut()));
    assert_eq!(fit.training().images + fit.training().held_out, 16);
}

/// Answers stop from the second flow on.
unsafe extern "C" fn stop_in_second_flow(_: *mut c_void, progress: *const uflow_progress) -> u32 {
    let progress = unsafe { &*progress };
    assert_eq!(progress.folds, 4);
    match progress.fold {
        0 | 1 => uflow_control::UFLOW_CONTROL_CONTINUE as u32,
        _ => uflow_control::UFLOW_CONTROL_STOP as u32,
    }
}

unsafe extern "C" fn cancel_in_second_flow(_: *mut c_void, progress: *const uflow_progress) -> u32 {
    match unsafe { (*progress).fold } {
        0 | 1 => uflow_control::UFLOW_CONTROL_CONTINUE as u32,
        _ => uflow_control::UFLOW_CONTROL_CANCEL as u32,
    }
}

#[test]
fn a_flow_that_was_stopped_is_no_part_of_the_null() {
    let fit = Fit::new(|options| count_by(uflow_tests::UFLOW_TESTS_SIZED, options));
    fit.add(0..12);
    // These frames are duplicates. They are left out without an error.
    fit.add(3..5);
    assert_eq!(unsafe { uflow_trainer_frames(fit.trainer) }, 12);
    let (code, _) = failure(fit.fit("bolt", Some(cancel_in_second_flow), ptr::null_mut()));
    assert_eq!(code, UFLOW_STATUS_CANCELLED);
    assert!(!fit.folder.path().join("bolt").exists());
    ok(fit.fit("bolt", Some(stop_in_second_flow), ptr::null_mut()));
    let training = fit.training();
    assert_eq!((training.null_images, training.null_images_planned), (6, 12));
    let package = Package::open(fit.folder.path().join("bolt")).unwrap();
    assert_eq!(package.manifest.calibration.unwrap().images, 6);
    let said = fit.warnings();
    for part in ["6 good images instead of 12", "frame 12 (as frame 3), frame 13 (as frame 4)"] {
        assert!(said.contains(part), "no `{part}` in: {said}");
    }
}

#[test]
fn cross_fitting_gives_a_null_that_stands_on_all_images() {
    let fit = Fit::new(|options| unsafe {
        ok(uflow_fit_options_set_cross_fit(options, 1));
    });
    fit.add(0..12);
    let mut asked = Asked::default();
    ok(fit.fit("bolt", Some(progress), ptr::from_mut(&mut asked).cast()));
    let calls = asked.calls.into_inner().unwrap();
    assert!(calls.iter().all(|call| call.folds == 4) && calls.iter().any(|call| call.fold == 3), "{calls:?}");
    assert_eq!((fit.training().null_images, fit.training().null_images_planned), (12, 12));
    assert_eq!(Package::open(fit.folder.path().join("bolt")).unwrap().manifest.calibration.unwrap().images, 12);

    // The warning about a small null names this function.
    let fit = Fit::new(|options| count_by(uflow_tests::UFLOW_TESTS_SIZED, options));
    fit.add(0..12);
    ok(fit.fit("bolt", None, ptr::null_mut()));
    assert!(fit.warnings().contains("`uflow_fit_options_set_cross_fit`"), "{}", fit.warnings());
}

#[test]
fn the_package_decides_as_it_was_told() {
    let fit = Fit::new(|options| unsafe {
        let detection = made(|out| uflow_options_new(out));
        ok(uflow_options_set_epsilon(detection, 0.25));
        ok(uflow_options_set_min_area(detection, 9));
        ok(uflow_options_set_verdict(detection, uflow_verdict::UFLOW_VERDICT_EITHER as u32));
        ok(uflow_options_set_roi(detection, [1_u8, 0].as_ptr(), 2, 2, 1, 0));
        ok(uflow_fit_options_set_detection(options, detection));
        uflow_options_free(detection);
        ok(uflow_fit_options_set_augmentation(options, uflow_augmentation::UFLOW_AUGMENTATION_FLIP as u32));
        ok(uflow_fit_options_set_optimizer(options, 4, 5e-4, 1e-4));
        ok(uflow_fit_options_set_noise(options, 0.1));
        ok(uflow_fit_options_set_memory(options, 4096));
    });
    fit.add(0..8);
    ok(fit.fit("bolt", None, ptr::null_mut()));
    let package = Package::open(fit.folder.path().join("bolt")).unwrap();
    let (detection, training) = (&package.manifest.detection, package.manifest.training.as_ref().unwrap());
    assert_eq!((detection.epsilon, detection.min_area), (Some(0.25), Some(9)));
    assert_eq!(detection.verdict, Some(uflow::segment::Verdict::Either));
    assert!(package.roi.is_some());
    assert_eq!((training.learning_rate, training.weight_decay, training.noise), (5e-4, 1e-4, 0.1));
    assert_eq!(training.augmentation, "flip");
}

#[test]
fn what_cannot_be_fitted_says_why() {
    let fit = Fit::new(|_| {});
    fit.add(0..7);
    let (code, said) = failure(fit.fit("bolt", None, ptr::null_mut()));
    assert!(code == UFLOW_STATUS_TRAINING && said.contains("7 good images are too few"), "{said}");
    std::fs::create_dir(fit.folder.path().join("taken")).unwrap();
    std::fs::write(fit.folder.path().join("taken/file"), "x").unwrap();
    let (code, said) = failure(fit.fit("taken", None, ptr::null_mut()));
    assert!(code == UFLOW_STATUS_PACKAGE && said.contains("taken"), "{said}");
    // A region of interest that leaves no pixel of the maps is refused before the first frame, not after training.
    let mut mask = vec![0_u8; 1000 * 1000];
    mask[0] = 1;
    let backbone = path_text(&models::backbone(fit.folder.path(), 1));
    let mut trainer = ptr::null_mut();
    unsafe {
        let (options, detection) =
            (made(|out| uflow_fit_options_new(c"bolt".as_ptr(), out)), made(|out| uflow_options_new(out)));
        ok(uflow_fit_options_set_backbone(options, backbone.as_ptr()));
        ok(uflow_fit_options_set_input_size(options, 48, 32));
        ok(uflow_options_set_roi(detection, mask.as_ptr(), mask.len(), 1000, 1000, 0));
        ok(uflow_fit_options_set_detection(options, detection));
        let (code, said) = failure(uflow_trainer_new(fit.engine, options, &raw mut trainer));
        assert!(code == UFLOW_STATUS_INVALID_ARGUMENT && said.contains("too small or thin"), "{said}");
        uflow_options_free(detection);
        uflow_fit_options_free(options);
    }
    let mut options = ptr::null_mut();
    let (code, _) = failure(unsafe { uflow_fit_options_new(text("../x").as_ptr(), &raw mut options) });
    assert!(code == UFLOW_STATUS_INVALID_ARGUMENT && options.is_null());
}

#[test]
fn frames_are_cut_into_tiles_and_maps_have_the_size_that_the_model_says() {
    let fit = Fit::new(|options| ok(unsafe { uflow_fit_options_set_tiles(options, 0, 0, 8) }));
    let pixels = |seed| models::good(seed, 130, 100, PixelFormat::Rgb8);
    (0..10).for_each(|seed| fit.add_pixels(&pixels(seed), (130, 100)));
    ok(fit.fit("tiles.uflow", None, ptr::null_mut()));
    let path = fit.folder.path().join("tiles.uflow");
    let tiles = Package::open(&path).unwrap().manifest.input.tiles.unwrap();
    // Whole cells of the coarsest scale, which are 4 pixels.
    assert_eq!((tiles.width, tiles.height, tiles.overlap), (132, 100, 8));
    unsafe {
        let model = made(|out| uflow_engine_load(fit.engine, path_text(&path).as_ptr(), out));
        let mut info: uflow_model_info = mem::zeroed();
        info.struct_size = size_of::<uflow_model_info>();
        ok(uflow_model_get_info(model, &raw mut info));
        assert_eq!((info.input_width, info.input_height), (132, 100));
        let detector = made(|out| uflow_detector_new(model, out));
        let (pixels, mut score_map) = (pixels(77), vec![f32::NAN; 132 * 100]);
        let mut picture = image(&pixels, uflow_format::UFLOW_FORMAT_RGB8);
        (picture.width, picture.height) = (130, 100);
        let mut buffers: uflow_buffers = mem::zeroed();
        buffers.struct_size = size_of::<uflow_buffers>();
        (buffers.score_map, buffers.score_map_capacity) = (score_map.as_mut_ptr(), score_map.len());
        (buffers.map_width, buffers.map_height) = (132, 100);
        let result = made(|out| uflow_result_new(out));
        ok(uflow_detector_detect_into(detector, &raw const picture, ptr::null(), &raw const buffers, result));
        assert!(score_map.iter().all(|value| (0.0..1.0).contains(value)));
        uflow_result_free(result);
        uflow_detector_free(detector);
        uflow_model_free(model);
    }
}

/// A TIFF of floating-point samples: 10 is black, 20 is white.
fn float_tiff(pixels: &[u8]) -> Vec<u8> {
    let samples = pixels.iter().map(|&value| 10.0 + f32::from(value) * 10.0 / 255.0).collect();
    let picture = ::image::DynamicImage::ImageRgb32F(::image::Rgb32FImage::from_raw(48, 32, samples).unwrap());
    let mut file = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut file, ::image::ImageFormat::Tiff).unwrap();
    file.into_inner()
}

#[test]
fn the_range_of_floating_point_samples_is_used_and_kept() {
    let encoded = |seed: u64| float_tiff(&models::good(100 + seed, 48, 32, PixelFormat::Rgb8));
    let without = Fit::new(|_| ());
    let file = encoded(0);
    let picture = image(&file, uflow_format::UFLOW_FORMAT_ENCODED);
    let (code, said) = failure(unsafe { uflow_trainer_add(without.trainer, &raw const picture) });
    assert!(code == UFLOW_STATUS_UNDECODABLE && said.contains("uflow_fit_options_set_float_range"), "{code:?} {said}");

    let fit = Fit::new(|options| ok(unsafe { uflow_fit_options_set_float_range(options, 10.0, 20.0) }));
    for seed in 0..10 {
        let file = encoded(seed);
        let picture = image(&file, uflow_format::UFLOW_FORMAT_ENCODED);
        ok(unsafe { uflow_trainer_add(fit.trainer, &raw const picture) });
    }
    ok(fit.fit("floats.uflow", None, ptr::null_mut()));
    let path = fit.folder.path().join("floats.uflow");
    let range = Package::open(&path).unwrap().manifest.input.float_range;
    assert_eq!(range.map(<[f32; 2]>::from), Some([10.0, 20.0]));
    unsafe {
        let model = made(|out| uflow_engine_load(fit.engine, path_text(&path).as_ptr(), out));
        let detector = made(|out| uflow_detector_new(model, out));
        let result = made(|out| uflow_result_new(out));
        let score = |picture: &uflow_image| {
            ok(uflow_detector_detect(detector, picture, ptr::null(), result));
            crate::fixture::summary(result).score
        };
        let pixels = models::bad(7, 48, 32, PixelFormat::Rgb8);
        let raw = uflow_image { width: 48, height: 32, ..image(&pixels, uflow_format::UFLOW_FORMAT_RGB8) };
        let (file, expected) = (float_tiff(&pixels), score(&raw));
        assert_eq!(score(&image(&file, uflow_format::UFLOW_FORMAT_ENCODED)), expected);
        uflow_result_free(result);
        uflow_detector_free(detector);
        uflow_model_free(model);
    }
}

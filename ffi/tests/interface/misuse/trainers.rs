//! Trainers and the options of a fit.

use super::{ARGUMENT, all_fail, fit_options, null, trainer};
use crate::fixture::{Fixture, failure, ok, text};
use std::ffi::CStr;
use std::{mem, ptr};
use uflow_ffi::*;

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
            (
                uflow_fit_options_set_tiles(options, 5, 0, 8),
                ARGUMENT,
                "width: 5 is not within 48 (the network's input) to 65536",
            ),
            (
                uflow_fit_options_set_tiles(options, 65_536, 65_536, 8),
                ARGUMENT,
                "at most 268435456 can be cut into tiles",
            ),
            (uflow_fit_options_set_steps(options, 4_000_000_000), ARGUMENT, "4000000000 is not 0 to 64"),
            (uflow_fit_options_set_augmentation(options, 0), ARGUMENT, "0 is not a UFLOW_AUGMENTATION"),
            (uflow_fit_options_set_epochs(options, 0, 1), ARGUMENT, "epochs"),
            (uflow_fit_options_set_epochs(options, 1, 0), ARGUMENT, "patience"),
            (
                uflow_fit_options_set_time_budget(options, 0.0),
                ARGUMENT,
                "time budget: 0 is not a number of seconds above 0",
            ),
            (uflow_fit_options_set_time_budget(options, -1.0), ARGUMENT, "time budget: -1 is not"),
            (uflow_fit_options_set_time_budget(options, f64::NAN), ARGUMENT, "time budget: NaN is not"),
            (uflow_fit_options_set_time_budget(options, 1e300), ARGUMENT, "or infinity for no limit"),
            (uflow_fit_options_set_time_budget(null(), 1.0), ARGUMENT, "options: is NULL"),
            (uflow_fit_options_set_optimizer(options, 0, 0.1, 0.0), ARGUMENT, "batch"),
            (uflow_fit_options_set_optimizer(options, 1, f64::NAN, 0.0), ARGUMENT, "learning rate"),
            (uflow_fit_options_set_optimizer(options, 1, 0.1, -1.0), ARGUMENT, "weight decay"),
            (uflow_fit_options_set_steps(options, 65), ARGUMENT, "steps"),
            (uflow_fit_options_set_noise(options, 2.0), ARGUMENT, "noise"),
            (uflow_fit_options_set_significant_bits(options, 17), ARGUMENT, "bits: 17 is not 0 to 16"),
            (uflow_fit_options_set_float_range(options, 1.0, 1.0), ARGUMENT, "range: 1:1 must be two finite numbers"),
            (uflow_fit_options_set_float_range(options, f32::NAN, 1.0), ARGUMENT, "range: NaN:1"),
            (uflow_fit_options_set_float_range(options, 0.0, f32::INFINITY), ARGUMENT, "range: 0:inf"),
            (uflow_fit_options_set_float_range(null(), 0.0, 1.0), ARGUMENT, "options: is NULL"),
            (uflow_fit_options_set_cross_fit(options, 2), ARGUMENT, "cross_fit: 2 is not 0 or 1"),
            (uflow_fit_options_set_cross_fit(null(), 1), ARGUMENT, "options: is NULL"),
            (
                uflow_fit_options_set_golden(options, 17),
                ARGUMENT,
                "golden: 17 golden frames; a package holds at most 16",
            ),
            (uflow_fit_options_set_golden(null(), 1), ARGUMENT, "options: is NULL"),
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
        ok(uflow_fit_options_set_cross_fit(options, 1));
        ok(uflow_fit_options_set_golden(options, 5));
        let mut info: uflow_fit_options_info = mem::zeroed();
        info.struct_size = size_of::<uflow_fit_options_info>();
        all_fail([(uflow_fit_options_get_info(null(), &raw mut info), ARGUMENT, "options: is NULL")]);
        ok(uflow_fit_options_get_info(options, &raw mut info));
        assert_eq!([info.name, info.backbone].map(|text| CStr::from_ptr(text)), [c"bolt", c"/none.onnx"]);
        assert_eq!([info.input_width, info.input_height, info.epochs, info.patience, info.steps], [48, 32, 200, 4, 4]);
        assert_eq!((info.seed, info.batch, info.learning_rate, info.augmentation), (12, 8, 1e-3, 1));
        assert_eq!(([info.float_low, info.float_high], info.cross_fit, info.golden), ([-1.0, 4.5], 1, 5));
        assert_eq!([info.tiles, info.tiles_width, info.tiles_height, info.tile_overlap], [0; 4]);
        ok(uflow_fit_options_set_tiles(options, 96, 64, 8));
        ok(uflow_fit_options_get_info(options, &raw mut info));
        assert_eq!([info.tiles, info.tiles_width, info.tiles_height, info.tile_overlap], [1, 96, 64, 8]);
        assert_eq!(info.time_budget, 120.0);
        for seconds in [90.5, f64::INFINITY] {
            ok(uflow_fit_options_set_time_budget(options, seconds));
            ok(uflow_fit_options_get_info(options, &raw mut info));
            assert_eq!(info.time_budget, seconds);
        }
        let (code, said) = failure(uflow_trainer_new(fixture.engine, options, &raw mut untouched));
        assert!(code != ARGUMENT && said.contains("/none.onnx"), "{code:?} {said}");
        let named = text("no-such-net");
        ok(uflow_fit_options_set_backbone(options, named.as_ptr()));
        ok(uflow_fit_options_get_info(options, &raw mut info));
        assert_eq!(CStr::from_ptr(info.backbone), c"no-such-net");
        let (code, said) = failure(uflow_trainer_new(fixture.engine, options, &raw mut untouched));
        assert_eq!(code, uflow_status_code::UFLOW_STATUS_NOT_FOUND, "{said}");
        assert!(
            said.contains("share/uflow/backbones (beside the library)") && said.contains("uflow backbone list"),
            "{said}"
        );
        ok(uflow_fit_options_reset(options));
        ok(uflow_fit_options_get_info(options, &raw mut info));
        assert_eq!([info.name, info.backbone].map(|text| CStr::from_ptr(text)), [c"bolt", c""]);
        assert_eq!((info.seed, info.input_width, info.cross_fit, info.golden), (0, 0, 0, 3));
        assert!(info.float_low.is_nan() && info.float_high.is_nan());
        uflow_fit_options_free(options);

        let trainer = trainer(&fixture, folder.path());
        all_fail([
            (uflow_trainer_add(trainer, ptr::null()), ARGUMENT, "image: is NULL"),
            (uflow_trainer_drop_doubtful(null(), 1, null()), ARGUMENT, "trainer: is NULL"),
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

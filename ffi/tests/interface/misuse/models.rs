//! Engines, packages, repositories.

use super::{ARGUMENT, all_fail, misaligned, null};
use crate::fixture::{Fixture, made, ok, path_text};
use std::ffi::CStr;
use std::{mem, ptr};
use uflow::package::Package;
use uflow_ffi::{uflow_status_code::*, *};

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
        all_fail([
            (uflow_model_get_info(ptr::null(), &raw mut info), ARGUMENT, "model: is NULL"),
            (uflow_model_verify(ptr::null(), 0.0, null()), ARGUMENT, "model: is NULL"),
            (uflow_model_verify(fixture.model, f64::NAN, null()), ARGUMENT, "tolerance: NaN is not a number above 0"),
            (uflow_model_verify(fixture.model, 0.0, misaligned()), ARGUMENT, "difference: is not aligned"),
        ]);
        assert_eq!((model, metrics, info.input_width), (ptr::dangling_mut(), ptr::dangling_mut(), 0));
        ok(uflow_model_get_info(fixture.model, &raw mut info));
        assert_eq!((info.input_width, info.input_height, info.scales), (48, 32, 2));
        let manifest = Package::open(fixture.package()).unwrap().manifest;
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
    let package = Package::open(fixture.package()).unwrap();
    for version in ["2", "10"] {
        package.write_changed(&root.join("bolt").join(version), &package.manifest, None).unwrap();
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

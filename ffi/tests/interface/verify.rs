//! Golden frames through the C interface.

use std::{fs, ptr};

use uflow::package::{Golden, Package};
use uflow_ffi::{uflow_status_code::*, *};

use crate::fixture::{Fixture, failure, made, ok, path_text};

/// The fixture's package under another name, its golden frames changed, as a model.
fn changed(fixture: &Fixture, name: &str, change: impl FnOnce(&mut Golden)) -> *mut uflow_model {
    let path = fixture.folder.path().join(name);
    let package = Package::open(fixture.package()).unwrap();
    let mut golden = package.manifest.golden.clone().unwrap();
    change(&mut golden);
    package.write_with_golden(&path, Some((golden, &package.golden))).unwrap();
    made(|out| unsafe { uflow_engine_load(fixture.engine, path_text(&path).as_ptr(), out) })
}

#[test]
fn golden_frames_agree_until_something_differs() {
    let fixture = Fixture::new();
    let mut difference = f64::NAN;
    unsafe {
        ok(uflow_model_verify(fixture.model, 0.0, &raw mut difference));
        assert!(difference <= 1e-6, "{difference}");
        ok(uflow_model_verify(fixture.model, 0.0, ptr::null_mut()));
        let (code, said) = failure(uflow_model_verify(fixture.model, -1.0, ptr::null_mut()));
        assert_eq!(code, UFLOW_STATUS_INVALID_ARGUMENT);
        assert!(said.contains("tolerance: -1"), "{said}");
        assert_eq!(failure(uflow_model_verify(ptr::null(), 0.0, ptr::null_mut())).0, UFLOW_STATUS_INVALID_ARGUMENT);

        let other = changed(&fixture, "other", |golden| golden.frames[1].expected.score += 0.25);
        let (code, said) = failure(uflow_model_verify(other, 0.0, &raw mut difference));
        assert_eq!(code, UFLOW_STATUS_NETWORK);
        assert!(said.contains("1 of 3 golden frames do not agree") && said.contains("golden/1.png"), "{said}");
        assert!(said.matches("ONNX Runtime").count() == 2, "both machines: {said}");
        assert!(difference > 1e-3, "{difference}");
        // The tolerance is the caller's.
        ok(uflow_model_verify(other, 1.0, ptr::null_mut()));
        uflow_model_free(other);

        let turned = changed(&fixture, "turned", |golden| {
            let expected = &mut golden.frames[0].expected;
            expected.anomalous = !expected.anomalous;
        });
        assert_eq!(
            failure(uflow_model_verify(turned, 1.0, ptr::null_mut())).0,
            UFLOW_STATUS_NETWORK,
            "verdicts must agree"
        );
        uflow_model_free(turned);
    }
}

#[test]
fn a_package_without_golden_frames_cannot_be_verified() {
    let fixture = Fixture::new();
    let path = fixture.folder.path().join("plain");
    Package::open(fixture.package()).unwrap().write_with_golden(&path, None).unwrap();
    assert!(!fs::exists(path.join("golden")).unwrap());
    let model = made(|out| unsafe { uflow_engine_load(fixture.engine, path_text(&path).as_ptr(), out) });
    let mut difference = -1.0;
    let (code, said) = failure(unsafe { uflow_model_verify(model, 0.0, &raw mut difference) });
    assert_eq!((code, difference), (UFLOW_STATUS_NOT_FOUND, -1.0));
    assert!(said.contains("the package of `bolt` has no golden frames"), "{said}");
    unsafe { uflow_model_free(model) };
}

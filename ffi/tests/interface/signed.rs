//! Engines that load signed packages only.

use std::{ffi::CStr, fs, mem, ptr};

use uflow::package::{Package, SigningKey};
use uflow_ffi::{uflow_status_code::*, *};

use crate::fixture::{Fixture, failure, made, ok, path_text};

#[test]
fn an_engine_with_trusted_keys_loads_what_they_signed() {
    let fixture = Fixture::new();
    let path = |name: &str| fixture.folder.path().join(name);
    let (key, other) = (SigningKey::create(&path("a.key")).unwrap(), SigningKey::create(&path("b.key")).unwrap());
    fs::write(path("trusted.pem"), key.public().to_pem()).unwrap();
    let (unsigned, keys) = (path_text(&fixture.package()), path_text(&path("trusted.pem")));
    let package = Package::open(fixture.package()).unwrap();
    for (name, key) in
        [("signed.uflow", &key), ("foreign.uflow", &other), ("models/bolt/1", &key), ("models/nut/1", &other)]
    {
        package.write_signed(&path(name), key).unwrap();
    }
    unsafe {
        let options = made(|out| uflow_engine_options_new(out));
        ok(uflow_engine_options_set_trusted_keys(options, keys.as_ptr()));
        let mut info: uflow_engine_options_info = mem::zeroed();
        info.struct_size = size_of::<uflow_engine_options_info>();
        ok(uflow_engine_options_get_info(options, &raw mut info));
        assert_eq!(CStr::from_ptr(info.trusted_keys), &*keys);
        let engine = made(|out| uflow_engine_new(options, out));

        let mut refused: *mut uflow_model = ptr::null_mut();
        let (code, said) = failure(uflow_engine_load(engine, unsigned.as_ptr(), &raw mut refused));
        assert_eq!((code, refused.is_null()), (UFLOW_STATUS_PACKAGE, true));
        assert!(said.contains("is not signed"), "{said}");
        let (code, said) =
            failure(uflow_engine_load(engine, path_text(&path("foreign.uflow")).as_ptr(), &raw mut refused));
        assert_eq!(code, UFLOW_STATUS_PACKAGE);
        assert!(said.contains(other.public().id()) && said.contains(key.public().id()), "{said}");
        let model = made(|out| uflow_engine_load(engine, path_text(&path("signed.uflow")).as_ptr(), out));
        let detector = made(|out| uflow_detector_new(model, out));

        let root = path_text(&path("models"));
        let version = |name: &CStr, out| uflow_engine_load_version(engine, root.as_ptr(), name.as_ptr(), 0, out);
        let from_repository = made(|out| version(c"bolt", out));
        let (code, said) = failure(version(c"nut", &raw mut refused));
        assert_eq!((code, refused.is_null()), (UFLOW_STATUS_PACKAGE, true));
        assert!(said.contains("which is not trusted"), "{said}");

        // A signed package that is changed.
        let manifest = path("models/bolt/1/uflow.json");
        fs::write(&manifest, fs::read_to_string(&manifest).unwrap() + " ").unwrap();
        let (code, said) = failure(version(c"bolt", &raw mut refused));
        assert_eq!(code, UFLOW_STATUS_PACKAGE);
        assert!(said.contains("was changed after it was signed"), "{said}");

        uflow_detector_free(detector);
        uflow_model_free(model);
        uflow_model_free(from_repository);
        uflow_engine_free(engine);

        // No keys again.
        ok(uflow_engine_options_set_trusted_keys(options, c"".as_ptr()));
        let engine = made(|out| uflow_engine_new(options, out));
        uflow_model_free(made(|out| uflow_engine_load(engine, unsigned.as_ptr(), out)));
        uflow_engine_free(engine);
        uflow_engine_options_free(options);
    }
}

#[test]
fn a_file_that_holds_no_public_key_keeps_an_engine_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let private = folder.path().join("private.key");
    SigningKey::create(&private).unwrap();
    let options = made(|out| unsafe { uflow_engine_options_new(out) });
    let mut engine: *mut uflow_engine = ptr::null_mut();
    let mut fails = |path: &std::path::Path| unsafe {
        ok(uflow_engine_options_set_trusted_keys(options, path_text(path).as_ptr()));
        let failed = failure(uflow_engine_new(options, &raw mut engine));
        assert!(engine.is_null());
        failed
    };
    let (code, said) = fails(&private);
    assert_eq!(code, UFLOW_STATUS_DATA);
    assert!(said.contains("private.key") && said.contains("is a private key"), "{said}");
    assert_eq!(fails(&folder.path().join("none")).0, UFLOW_STATUS_IO);
    unsafe { uflow_engine_options_free(options) };
}

//! The errors of the libraries that read packages reach the caller through the layers between.

use std::{error::Error as _, fs, io};

use uflow::{
    Error,
    frame::{Image, Limits},
    import::Checkpoint,
    package::{Manifest, Package},
};

fn source<E: std::error::Error + 'static>(error: &Error) -> &E {
    let source = error.source().unwrap_or_else(|| panic!("no source: {error}"));
    source.downcast_ref().unwrap_or_else(|| panic!("another source: {source:?}"))
}

#[test]
fn a_decoder_s_error_is_handed_on() {
    let mut png = io::Cursor::new(Vec::new());
    image::GrayImage::new(9, 9).write_to(&mut png, image::ImageFormat::Png).unwrap();
    let mut png = png.into_inner();
    png[17] ^= 1;
    let error = Image::decode(&png, "a.png", &Limits::default()).unwrap_err();
    assert!(matches!(source(&error), png::DecodingError::Format(_)), "{error}");
}

#[test]
fn a_reader_s_error_is_handed_on() {
    let error = Manifest::from_json(b"{\"format\": 1, \"name\": 3}").unwrap_err();
    assert!(source::<serde_json::Error>(&error).is_data(), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bolt.uflow");
    fs::write(&path, "not a zip").unwrap();
    let error = Package::open(&path).unwrap_err();
    assert!(matches!(source(&error), zip::result::ZipError::InvalidArchive(_)), "{error}");
    let error = Package::open(folder.path().join("nut.uflow")).unwrap_err();
    assert_eq!(source::<io::Error>(&error).kind(), io::ErrorKind::NotFound, "{error}");

    // Our own words have no cause.
    let error = Checkpoint::open(&path).map(drop).unwrap_err();
    assert!(matches!(error, Error::Data { .. }) && error.source().is_none(), "{error}");
}

//! What is written is read again, and a package is replaced only by a complete one.

use super::{Fixture, content, network};
use std::fs;
use std::path::Path;
use uflow::package::{Content, FileSource, Files, Manifest, Package, sha256, write, write_repository_backbone};

#[test]
fn a_folder_and_a_file_hold_the_same_package() {
    let fixture = Fixture::new();
    for name in ["capacitor", "capacitor.uflow", "new/parents/capacitor", "new/parents/capacitor.uflow"] {
        let path = fixture.path(name);
        write(&path, &fixture.manifest, &fixture.files()).unwrap();
        assert_eq!(path.is_file(), name.ends_with(".uflow"));
        let package = Package::open(&path).unwrap();
        assert_eq!(package.manifest, fixture.manifest);
        assert_eq!(package.flow, fixture.flow);
        assert_eq!(package.roi.as_deref(), Some(&fixture.roi[..]));
        assert_eq!(
            (&package.backbone.sha256, content(&package)),
            (&sha256(&fixture.backbone), fixture.backbone.clone())
        );
        assert_eq!(matches!(package.backbone.content, Content::File(_)), path.is_dir());
    }
    assert_eq!(fixture.names(), ["capacitor", "capacitor.uflow", "new"]);
}

#[test]
fn files_may_lie_in_folders_of_the_package() {
    let mut fixture = Fixture::new();
    fixture.manifest.flow.file = "networks/flow.onnx".to_owned();
    for name in ["deep", "deep.uflow"] {
        write(fixture.path(name), &fixture.manifest, &fixture.files()).unwrap();
        assert_eq!(Package::open(fixture.path(name)).unwrap().flow, fixture.flow);
    }
}

#[test]
fn the_same_package_gives_the_same_bytes() {
    let (fixture, path) = Fixture::written("a.uflow");
    write(fixture.path("b.uflow"), &fixture.manifest, &fixture.files()).unwrap();
    assert_eq!(fs::read(path).unwrap(), fs::read(fixture.path("b.uflow")).unwrap());
}

#[test]
fn a_backbone_can_be_copied_from_a_file() {
    let fixture = Fixture::new();
    let source = fixture.path("source.onnx");
    fs::write(&source, &fixture.backbone).unwrap();
    let files = Files { backbone: Some(FileSource::Path(&source)), ..fixture.files() };
    for name in ["copy", "copy.uflow"] {
        write(fixture.path(name), &fixture.manifest, &files).unwrap();
        assert_eq!(content(&Package::open(fixture.path(name)).unwrap()), fixture.backbone);
    }
}

#[test]
fn versions_in_a_repository_share_a_backbone() {
    let mut fixture = Fixture::new();
    fixture.manifest.backbone.file = None;
    let files = Files { backbone: None, ..fixture.files() };
    let root = fixture.path("models");
    let version = root.join("capacitor/1");
    write(&version, &fixture.manifest, &files).unwrap();
    let expected = root.canonicalize().unwrap().join(format!("backbones/{}.onnx", sha256(&fixture.backbone)));
    assert_eq!(
        fixture.refusal(&version),
        format!(
            "the backbone `compact` is neither in the package nor in the repository; copy it to {}, or save the package \
             with its backbone inside",
            expected.display()
        )
    );

    let first = write_repository_backbone(&root, &fixture.backbone).unwrap();
    assert!(matches!(first.content, Content::File(_)));
    let package = Package::open(&version).unwrap();
    assert!(matches!(&package.backbone.content, Content::File(path) if *path == expected));
    assert_eq!(package.backbone.sha256, first.sha256);

    // A damaged one is found by its hash, and written anew.
    fs::write(&expected, network("another")).unwrap();
    assert!(fixture.refusal(&version).contains("was changed or is damaged"));
    write_repository_backbone(&root, &fixture.backbone).unwrap();
    assert_eq!(content(&Package::open(&version).unwrap()), fixture.backbone);
    assert_eq!(fs::read_dir(root.join("backbones")).unwrap().count(), 1);

    let alone = fixture.path("alone.uflow");
    write(&alone, &fixture.manifest, &files).unwrap();
    assert!(fixture.refusal(&alone).ends_with("is not in this file; save the package with its backbone inside"));
}

#[test]
fn a_package_is_replaced_only_by_a_complete_one() {
    for name in ["model", "model.uflow"] {
        let (fixture, path) = Fixture::written(name);
        let newer = Manifest { version: Some("2".to_owned()), ..fixture.manifest.clone() };
        let wrong = Files { flow: b"not the flow", ..fixture.files() };
        write(&path, &newer, &wrong).unwrap_err();
        assert_eq!(Package::open(&path).unwrap().manifest, fixture.manifest);
        let gone = fixture.path("gone.onnx");
        write(&path, &newer, &Files { backbone: Some(FileSource::Path(&gone)), ..fixture.files() }).unwrap_err();
        assert_eq!(Package::open(&path).unwrap().manifest, fixture.manifest);
        write(&path, &newer, &fixture.files()).unwrap();
        assert_eq!(Package::open(&path).unwrap().manifest, newer);
        assert_eq!(fixture.names(), [name]);
    }
}

#[test]
fn only_packages_are_replaced() {
    let fixture = Fixture::new();
    let refusal = |path: &Path| write(path, &fixture.manifest, &fixture.files()).unwrap_err().to_string();
    let photos = fixture.path("photos");
    fs::create_dir(&photos).unwrap();
    write(&photos, &fixture.manifest, &fixture.files()).unwrap();
    fs::remove_file(photos.join("uflow.json")).unwrap();
    assert!(refusal(&photos).ends_with("is a folder with other content; it is not replaced"));
    assert!(photos.join("flow.onnx").is_file());
    let text = fixture.path("notes.txt");
    fs::write(&text, "keep me").unwrap();
    assert!(refusal(&text).ends_with("is a file; end the name in `.uflow` to write one file"));
    let folder = fixture.path("folder.uflow");
    fs::create_dir(&folder).unwrap();
    assert!(refusal(&folder).ends_with("is a folder; a name that ends in `.uflow` is for one file"));
}

#[test]
fn what_is_written_agrees_with_the_manifest() {
    let fixture = Fixture::new();
    let refusal = |manifest: &Manifest, files: &Files<'_>| {
        let message = write(fixture.path("x"), manifest, files).unwrap_err().to_string();
        assert!(!fixture.path("x").exists());
        message
    };
    let (manifest, files) = (&fixture.manifest, fixture.files());
    let flow = refusal(manifest, &Files { flow: &fixture.backbone, ..files });
    assert!(flow.contains(&format!(
        "flow.sha256: is {}, the given file's is {}",
        sha256(&fixture.flow),
        sha256(&fixture.backbone)
    )));
    let backbone = refusal(manifest, &Files { backbone: Some(FileSource::Bytes(&fixture.flow)), ..files });
    assert!(backbone.contains("backbone.sha256: is "));
    assert!(
        refusal(manifest, &Files { backbone: None, ..files }).ends_with("backbone.file: `backbone.onnx` was not given")
    );
    assert!(refusal(manifest, &Files { roi: None, ..files }).ends_with("detection.roi: `roi.png` was not given"));
    assert!(refusal(manifest, &Files { roi: Some(b"GIF89a"), ..files }).ends_with("roi.png: is not a PNG"));
    let mut none = manifest.clone();
    none.backbone.file = None;
    assert!(refusal(&none, &files).contains("backbone.file: a backbone was given"));
    let mut bad = manifest.clone();
    bad.input.width = 0;
    assert!(refusal(&bad, &files).ends_with("input.width: 0 is not within 1 to 8192"));
}

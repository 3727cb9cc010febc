//! Damaged folders and files.

use super::{Fixture, content, network};
use std::fs;
use std::io::Write;
use std::path::Path;
use uflow::Error;
use uflow::package::{Files, Package, sha256, write};

#[test]
fn damaged_folders_are_described() {
    let damage = |change: &dyn Fn(&Fixture, &Path)| {
        let (fixture, path) = Fixture::written("model");
        change(&fixture, &path);
        fixture.refusal(&path)
    };
    let remove = |name: &'static str| move |_: &Fixture, path: &Path| fs::remove_file(path.join(name)).unwrap();
    assert_eq!(damage(&remove("uflow.json")), "uflow.json: is missing; this is not a U-Flow package");
    assert_eq!(damage(&remove("flow.onnx")), "flow.onnx: is missing, though the manifest names it");
    assert_eq!(damage(&remove("backbone.onnx")), "backbone.onnx: is missing, though the manifest names it");
    assert_eq!(damage(&remove("roi.png")), "roi.png: is missing, though the manifest names it");

    let other = network("other");
    for name in ["flow.onnx", "backbone.onnx"] {
        let message = damage(&|_, path| fs::write(path.join(name), &other).unwrap());
        let start = format!("{name}: was changed or is damaged: its SHA-256 is {}, the manifest says ", sha256(&other));
        assert!(message.starts_with(&start), "{message}");
        let message = damage(&|_, path| {
            fs::remove_file(path.join(name)).unwrap();
            fs::create_dir(path.join(name)).unwrap();
        });
        assert_eq!(message, format!("{name}: is not a file"));
        let message =
            damage(&|fixture, path| fs::write(path.join(name), &fixture.flow[..fixture.flow.len() - 1]).unwrap());
        assert!(message.starts_with(&format!("{name}: is truncated")), "{message}");
        let message = damage(&|_, path| fs::write(path.join(name), b"").unwrap());
        assert_eq!(message, format!("{name}: is empty"));
    }
    let message = damage(&|fixture, path| fs::write(path.join("roi.png"), &fixture.roi[..20]).unwrap());
    assert!(message.starts_with("roi.png: cannot be decoded: "), "{message}");
    let message = damage(&|_, path| fs::write(path.join("uflow.json"), vec![b' '; 1 << 23]).unwrap());
    assert_eq!(message, "uflow.json: has 8388608 bytes, at most 4194304 are allowed");
    let fixture = Fixture::new();
    assert!(fixture.refusal(&fixture.path("nothing")).starts_with("cannot be opened: "));
}

#[cfg(unix)]
#[test]
fn links_may_not_lead_out() {
    use std::os::unix::fs::symlink;
    for name in ["uflow.json", "flow.onnx", "backbone.onnx", "roi.png"] {
        let (fixture, path) = Fixture::written("model");
        let outside = fixture.path("outside");
        fs::rename(path.join(name), &outside).unwrap();
        symlink("../outside", path.join(name)).unwrap();
        let message = fixture.refusal(&path);
        assert!(message.starts_with(&format!("{name}: is a link that leads out of ")), "{message}");
        // As Kubernetes mounts a volume: links within the package.
        fs::create_dir(path.join("..data")).unwrap();
        fs::rename(&outside, path.join("..data").join(name)).unwrap();
        fs::remove_file(path.join(name)).unwrap();
        symlink(Path::new("..data").join(name), path.join(name)).unwrap();
        Package::open(&path).unwrap();
        // A link to the package itself is no matter; writing through it keeps it.
        let link = fixture.path("link");
        symlink(&path, &link).unwrap();
        Package::open(&link).unwrap();
        write(&link, &fixture.manifest, &fixture.files()).unwrap();
        assert!(link.is_symlink() && !path.is_symlink());
        Package::open(&path).unwrap();
    }
    let (fixture, _) = Fixture::written("model");
    let mut shared = fixture.manifest.clone();
    shared.backbone.file = None;
    let root = fixture.path("models");
    write(root.join("model/1"), &shared, &Files { backbone: None, ..fixture.files() }).unwrap();
    let outside = fixture.path("outside.onnx");
    fs::write(&outside, &fixture.backbone).unwrap();
    fs::create_dir(root.join("backbones")).unwrap();
    symlink(&outside, root.join(format!("backbones/{}.onnx", sha256(&fixture.backbone)))).unwrap();
    assert!(fixture.refusal(&root.join("model/1")).contains("is a link that leads out of "));
}

/// A zip of stored entries, written by hand so that headers can lie.
fn zip(entries: &[(&str, &[u8])], change: impl Fn(&mut Vec<u8>, &mut Vec<u8>)) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in entries {
        let crc = data.iter().fold(u32::MAX, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1)))
        });
        let size = (data.len() as u32).to_le_bytes();
        let fields = [&[10, 0, 0, 0, 0, 0, 0, 0, 0x21, 0][..], &(!crc).to_le_bytes(), &size, &size].concat();
        let mut local = [b"PK\x03\x04", &fields[..], &(name.len() as u16).to_le_bytes(), &[0, 0]].concat();
        let offset = (file.len() as u32).to_le_bytes();
        let mut central =
            [b"PK\x01\x02\x0A\0", &fields[..], &(name.len() as u16).to_le_bytes(), &[0; 12], &offset].concat();
        change(&mut local, &mut central);
        file.extend([&local[..], name.as_bytes(), data].concat());
        directory.extend([&central[..], name.as_bytes()].concat());
    }
    let count = (entries.len() as u16).to_le_bytes();
    let (start, size) = ((file.len() as u32).to_le_bytes(), (directory.len() as u32).to_le_bytes());
    [file, directory, [b"PK\x05\x06\0\0\0\0", &count[..], &count, &size, &start, &[0, 0]].concat()].concat()
}

#[test]
fn damaged_files_are_described() {
    let fixture = Fixture::new();
    let path = fixture.path("model.uflow");
    let json = fixture.manifest.to_json().unwrap();
    let entries: [(&str, &[u8]); 4] = [
        ("uflow.json", json.as_bytes()),
        ("flow.onnx", &fixture.flow),
        ("backbone.onnx", &fixture.backbone),
        ("roi.png", &fixture.roi),
    ];
    let refusal = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        fixture.refusal(&path)
    };
    fs::write(&path, zip(&entries, |_, _| {})).unwrap();
    assert_eq!(Package::open(&path).unwrap().manifest, fixture.manifest, "the zip made here is one");

    assert!(refusal(b"").starts_with("is not a `.uflow` file (a zip with stored entries): "));
    assert!(refusal(b"not a zip").starts_with("is not a `.uflow` file (a zip with stored entries): "));
    assert_eq!(refusal(&zip(&entries[1..], |_, _| {})), "uflow.json: is missing; this is not a U-Flow package");
    assert_eq!(refusal(&zip(&entries[..1], |_, _| {})), "flow.onnx: is missing, though the manifest names it");
    let deflated = zip(&entries, |local, central| {
        local[8] = 8;
        central[10] = 8;
    });
    assert_eq!(
        refusal(&deflated),
        "uflow.json: is compressed; the entries of a `.uflow` file must be stored (`zip -0`)"
    );
    // Sizes that claim more than there is: the entry's own, and both, up to 4 GiB.
    let inflated = zip(&entries, |local, central| {
        local[22..26].copy_from_slice(&[0, 0, 0xF, 0]);
        central[24..28].copy_from_slice(&[0, 0, 0xF, 0]);
    });
    assert_eq!(refusal(&inflated), "uflow.json: is stored, but its two sizes differ");
    let huge = zip(&entries, |local, central| {
        local[18..26].copy_from_slice(&[0, 0, 0, 0x7F, 0, 0, 0, 0x7F]);
        central[20..28].copy_from_slice(&[0, 0, 0, 0x7F, 0, 0, 0, 0x7F]);
    });
    assert_eq!(refusal(&huge), "uflow.json: has 2130706432 bytes, at most 4194304 are allowed");
    let many: Vec<(String, &[u8])> = (0..1100).map(|i| (format!("{i}"), &b""[..])).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, data)| (name.as_str(), *data)).collect();
    assert_eq!(refusal(&zip(&many, |_, _| {})), "has 1100 entries, at most 1024 are allowed");
}

/// A byte of a package in one file changed: the same package, or an error. (Every fifth byte, for the time it takes.)
#[test]
fn no_changed_byte_goes_unnoticed() {
    let (fixture, path) = Fixture::written("model.uflow");
    let good = fs::read(&path).unwrap();
    let changed = fixture.path("changed.uflow");
    for at in (0..good.len()).step_by(5) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x11;
        fs::File::create(&changed).unwrap().write_all(&bytes).unwrap();
        match Package::open(&changed) {
            Ok(package) => {
                assert_eq!(package.manifest, fixture.manifest, "byte {at}");
                assert_eq!(package.flow, fixture.flow, "byte {at}");
                assert_eq!(content(&package), fixture.backbone, "byte {at}");
                assert_eq!(package.roi.as_deref(), Some(&fixture.roi[..]), "byte {at}");
            }
            Err(Error::Package { reason, .. }) => assert!(!reason.is_empty()),
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    for length in (0..good.len()).rev().step_by(11) {
        fs::write(&changed, &good[..length]).unwrap();
        assert!(Package::open(&changed).is_err(), "{length} bytes");
    }
}

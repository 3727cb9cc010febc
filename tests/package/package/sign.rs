//! Signatures: by keys from OpenSSL and from here; every file and field changed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use uflow::{
    Error,
    package::{Files, Manifest, Package, SigningKey, TrustedKeys, sha256, write, write_repository_backbone},
};

use super::Fixture;

pub(super) struct Keys {
    folder: tempfile::TempDir,
}

impl Keys {
    pub(super) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn make(&self, name: &str) -> SigningKey {
        SigningKey::create(&self.path(name)).unwrap()
    }

    /// Runs OpenSSL here; `None` where it is not installed.
    pub(super) fn openssl(&self, arguments: &[&str]) -> Option<Vec<u8>> {
        let Ok(output) = Command::new("openssl").args(arguments).current_dir(self.folder.path()).output() else {
            eprintln!("SKIPPED: openssl is not installed");
            return None;
        };
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Some(output.stdout)
    }
}

fn trusted(keys: &[&SigningKey]) -> TrustedKeys {
    TrustedKeys::from_pem(&keys.iter().map(|key| key.public().to_pem()).collect::<String>()).unwrap()
}

/// The reason for which a package is refused.
fn refused(path: &Path, keys: &TrustedKeys) -> String {
    match Package::open(path).unwrap().check_signed_by(keys).unwrap_err() {
        Error::Package { path: named, reason, .. } => {
            assert_eq!(named, path);
            reason
        }
        other => panic!("{other}"),
    }
}

fn signed(name: &str, key: &SigningKey) -> (Fixture, PathBuf) {
    let (fixture, path, _) = Fixture::with_golden(name);
    Package::open(&path).unwrap().write_signed(&path, key).unwrap();
    (fixture, path)
}

#[test]
fn a_signed_package_is_trusted_in_a_folder_and_in_a_file() {
    let keys = Keys::new();
    let (key, other) = (keys.make("a"), keys.make("b"));
    for name in ["model", "model.uflow"] {
        let (fixture, path, _) = Fixture::with_golden(name);
        let unsigned = Package::open(&path).unwrap();
        assert!(unsigned.signature.is_none());
        assert!(
            refused(&path, &trusted(&[&key])).starts_with("is not signed, and only packages with a trusted signature")
        );

        unsigned.write_signed(&path, &key).unwrap();
        let package = Package::open(&path).unwrap();
        package.check_signed_by(&trusted(&[&key])).unwrap();
        package.check_signed_by(&trusted(&[&other, &key])).unwrap();
        assert_eq!((&package.manifest, &package.golden), (&fixture.manifest, &unsigned.golden));
        assert_eq!(package.signature.unwrap().key_id, key.public().id());
        let said = refused(&path, &trusted(&[&other]));
        let (own, others) = (key.public().id(), other.public().id());
        assert!(
            said.starts_with(&format!("is signed by the key {own}, which is not trusted; the trusted key is {others}")),
            "{said}"
        );

        // Signing again replaces the signature; another place gets its own.
        let copy = fixture.path(&format!("copy-{name}"));
        Package::open(&path).unwrap().write_signed(&copy, &other).unwrap();
        Package::open(&copy).unwrap().check_signed_by(&trusted(&[&other])).unwrap();
        Package::open(&path).unwrap().check_signed_by(&trusted(&[&key])).unwrap();
    }
}

#[test]
fn a_changed_package_is_not_signed() {
    let keys = Keys::new();
    let key = keys.make("a");
    let (_fixture, path) = signed("model", &key);
    let package = Package::open(&path).unwrap();
    let renamed = Manifest { name: "other".to_owned(), ..package.manifest.clone() };
    package.write_changed(&path, &renamed, package.roi.as_deref()).unwrap();
    assert!(Package::open(&path).unwrap().signature.is_none() && !path.join("uflow.sig").exists());
}

/// Each file of a package, changed so that it can still be opened, and each byte of the signature.
#[test]
fn what_is_changed_after_signing_is_refused() {
    let keys = Keys::new();
    let key = keys.make("a");
    let trust = trusted(&[&key]);
    let changed = "the signature of the key";
    let after = |change: &dyn Fn(&Fixture, &Path)| {
        let (fixture, path) = signed("model", &key);
        change(&fixture, &path);
        match Package::open(&path) {
            Ok(package) => package.check_signed_by(&trust).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    };
    after(&|_, _| {}).unwrap();
    // The manifest's text counts, not its meaning.
    let edited = after(&|_, path| {
        let manifest = fs::read_to_string(path.join("uflow.json")).unwrap();
        fs::write(path.join("uflow.json"), manifest + "\n").unwrap();
    });
    assert!(edited.unwrap_err().contains(changed));
    let roi =
        after(&|_, path| image::GrayImage::from_pixel(4, 3, image::Luma([9])).save(path.join("roi.png")).unwrap());
    assert!(roi.unwrap_err().contains(changed));
    // Networks and golden frames have their hashes in the manifest: a new network needs a new manifest.
    let swapped = after(&|fixture, path| {
        let other = super::network("other");
        let mut manifest = fixture.manifest.clone();
        manifest.flow.sha256 = sha256(&other);
        fs::write(path.join("flow.onnx"), &other).unwrap();
        fs::write(path.join("uflow.json"), manifest.to_json().unwrap()).unwrap();
    });
    assert!(swapped.unwrap_err().contains(changed));
    for file in ["flow.onnx", "backbone.onnx", "golden/0.png", "golden/1.png"] {
        let damaged = after(&|_, path| {
            let mut bytes = fs::read(path.join(file)).unwrap();
            bytes.push(0);
            fs::write(path.join(file), bytes).unwrap();
        });
        assert!(damaged.unwrap_err().contains(file), "{file}");
    }
    let taken_away = after(&|fixture, path| {
        let mut manifest = fixture.manifest.clone();
        manifest.detection.roi = None;
        fs::write(path.join("uflow.json"), manifest.to_json().unwrap()).unwrap();
    });
    assert!(taken_away.unwrap_err().contains(changed));
    // A signature of another package by the same key.
    let moved = after(&|fixture, path| {
        let other = fixture.path("other");
        write(&other, &Manifest { name: "nut".to_owned(), golden: None, ..fixture.manifest.clone() }, &fixture.files())
            .unwrap();
        Package::open(&other).unwrap().write_signed(&other, &key).unwrap();
        fs::copy(other.join("uflow.sig"), path.join("uflow.sig")).unwrap();
    });
    assert!(moved.unwrap_err().contains(changed));
    // A file that the manifest does not name is not read, and is no part of the package.
    after(&|_, path| fs::write(path.join("notes.txt"), "checked by hand").unwrap()).unwrap();
}

/// L, the order of the base point, in little endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10,
];

#[test]
fn every_digit_of_a_signature_counts() {
    let keys = Keys::new();
    let key = keys.make("a");
    let (_fixture, path) = signed("model", &key);
    let trust = trusted(&[&key]);
    let file = path.join("uflow.sig");
    let content: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let good = content["signature"].as_str().unwrap().to_owned();
    for at in 0..good.len() {
        let mut digits = good.clone().into_bytes();
        digits[at] = if digits[at] == b'0' { b'1' } else { b'0' };
        let mut changed = content.clone();
        changed["signature"] = String::from_utf8(digits).unwrap().into();
        fs::write(&file, changed.to_string()).unwrap();
        assert!(refused(&path, &trust).contains("does not match"), "digit {at}");
    }
    // The same signature in another form: s + L in the place of s (RFC 8032, 5.1.7).
    let mut bytes: Vec<u8> = (0..64).map(|at| u8::from_str_radix(&good[2 * at..2 * at + 2], 16).unwrap()).collect();
    let mut carry = 0;
    for (byte, order) in bytes[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    let mut changed = content.clone();
    changed["signature"] = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
    fs::write(&file, changed.to_string()).unwrap();
    assert!(refused(&path, &trust).contains("does not match"));
    fs::write(&file, content.to_string()).unwrap();
    Package::open(&path).unwrap().check_signed_by(&trust).unwrap();
}

#[test]
fn a_damaged_signature_file_is_described() {
    let keys = Keys::new();
    let key = keys.make("a");
    let (fixture, path) = signed("model", &key);
    let file = path.join("uflow.sig");
    let good: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let said = |text: &str| {
        fs::write(&file, text).unwrap();
        fixture.refusal(&path).strip_prefix("uflow.sig: ").unwrap().to_owned()
    };
    let with = |field: &str, value: Value| {
        let mut changed = good.clone();
        changed[field] = value;
        changed.to_string()
    };
    assert!(said("").contains("is not the JSON object of a signature"));
    assert!(said("[1]").contains("is not the JSON object of a signature"));
    assert!(said("{}").contains("format: is missing"));
    let text = good.to_string();
    assert!(said(&text[..text.len() / 2]).contains("EOF"));
    assert!(said(&(text.clone() + "{}")).contains("trailing characters"));
    assert_eq!(said(&" ".repeat(5000)), "has 5000 bytes, at most 4096 are allowed");
    assert!(said(&with("format", json!(2))).starts_with("format: 2 is newer than this version"));
    assert!(said(&with("format", json!("1"))).starts_with("format: \"1\" is not a known format"));
    assert_eq!(said(&with("algorithm", json!("rsa"))), "algorithm: `rsa` is not known; it must be ed25519");
    assert!(said(&with("key_id", json!("AB"))).starts_with("key_id: `AB` is not a SHA-256"));
    assert!(
        said(&with("signature", json!("ab"))).starts_with("signature: `ab` is not 128 lower-case hexadecimal digits")
    );
    assert!(said(&with("more", json!(1))).contains("unknown field `more`"));
    for field in ["algorithm", "key_id", "signature"] {
        let mut without = good.clone();
        without.as_object_mut().unwrap().remove(field);
        assert!(said(&without.to_string()).contains(&format!("missing field `{field}`")), "{field}");
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(fixture.refusal(&path), "uflow.sig: is not a file");
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere_is_not_an_unsigned_package() {
    let keys = Keys::new();
    let (fixture, path) = signed("model", &keys.make("a"));
    fs::remove_file(path.join("uflow.sig")).unwrap();
    std::os::unix::fs::symlink("gone", path.join("uflow.sig")).unwrap();
    assert_eq!(fixture.refusal(&path), "uflow.sig: is a link to a file that is missing");
}

#[test]
fn a_shared_backbone_is_covered_by_its_hash() {
    let keys = Keys::new();
    let (key, fixture) = (keys.make("a"), Fixture::new());
    let root = fixture.path("models");
    write_repository_backbone(&root, &fixture.backbone).unwrap();
    let mut manifest = fixture.manifest.clone();
    manifest.backbone.file = None;
    let path = root.join("capacitor/1");
    write(&path, &manifest, &Files { backbone: None, ..fixture.files() }).unwrap();
    Package::open(&path).unwrap().write_signed(&path, &key).unwrap();
    let package = Package::open(&path).unwrap();
    package.check_signed_by(&trusted(&[&key])).unwrap();
    assert_eq!(package.manifest.backbone.file, None, "it is still shared");
}

#[test]
fn openssl_s_keys_sign_here_and_ours_are_openssl_s() {
    let keys = Keys::new();
    let Some(_) = keys.openssl(&["genpkey", "-algorithm", "ed25519", "-out", "made.key"]) else { return };
    keys.openssl(&["pkey", "-in", "made.key", "-pubout", "-out", "made.pub"]);
    let (fixture, path) = signed("model", &SigningKey::read(&keys.path("made.key")).unwrap());
    let trust = TrustedKeys::read(&keys.path("made.pub")).unwrap();
    Package::open(&path).unwrap().check_signed_by(&trust).unwrap();
    // The id is what OpenSSL and sha256sum give.
    let der = keys.openssl(&["pkey", "-pubin", "-in", "made.pub", "-outform", "DER"]).unwrap();
    let signature = Package::open(&path).unwrap().signature.unwrap();
    assert_eq!(signature.key_id, sha256(&der));

    // OpenSSL finds the same in a signature, from what the documentation says is signed.
    let line = |name: &str| format!("{}  {name}\n", sha256(&fs::read(path.join(name)).unwrap()));
    let message = format!("uflow package signature 1\n{}{}", line("roi.png"), line("uflow.json"));
    fs::write(keys.path("message"), &message).unwrap();
    let bytes: Vec<u8> =
        (0..64).map(|at| u8::from_str_radix(&signature.signature[2 * at..2 * at + 2], 16).unwrap()).collect();
    fs::write(keys.path("signature"), bytes).unwrap();
    let check =
        ["pkeyutl", "-verify", "-pubin", "-inkey", "made.pub", "-rawin", "-in", "message", "-sigfile", "signature"];
    keys.openssl(&check);

    // OpenSSL reads our key, and its public part is the same.
    let own = keys.make("own.key");
    let public = keys.openssl(&["pkey", "-in", "own.key", "-pubout"]).unwrap();
    assert_eq!(String::from_utf8(public).unwrap(), own.public().to_pem());
    drop(fixture);
}

#[test]
fn several_keys_with_text_between_them_are_all_trusted() {
    let keys = Keys::new();
    let (a, b) = (keys.make("a"), keys.make("b"));
    let text =
        format!("# plant 1\n{}\r\n# plant 2\n{}{}", a.public().to_pem(), b.public().to_pem(), a.public().to_pem());
    fs::write(keys.path("trusted.pem"), text.replace('\n', "\r\n")).unwrap();
    let trust = TrustedKeys::read(&keys.path("trusted.pem")).unwrap();
    assert_eq!(trust.keys(), [a.public().clone(), b.public().clone()]);
    for key in [&a, &b] {
        let (_fixture, path) = signed("model", key);
        Package::open(&path).unwrap().check_signed_by(&trust).unwrap();
    }
}

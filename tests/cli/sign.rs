//! `uflow package keygen`, `sign` and `verify`, and what other commands say of a signed package.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use uflow::{package::Package, runtime::Runtime};

use super::{
    command::{stderr, text, uflow},
    networks::models,
};

fn stdout(arguments: &[&str]) -> String {
    let output = uflow(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn fails(arguments: &[&str], code: i32) -> String {
    let output = uflow(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
    stderr(&output)
}

/// A tiny model's package.
pub(super) fn package(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    let fitted = models::fit(&Runtime::load(None).unwrap(), &models::backbone(folder, 1), "bolt", 1);
    fitted.write(&path).unwrap();
    path
}

#[test]
fn a_package_is_signed_verified_and_loses_its_signature_with_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let bolt = package(folder.path(), "bolt.uflow");
    let bolt = text(&bolt);
    let (plant, other) = (path("plant"), path("other"));
    let said = stdout(&["package", "keygen", "--out", &plant]);
    assert!(
        said.contains("plant.key: private key; keep it secret") && said.contains("plant.pub: public key "),
        "{said}"
    );
    let made: Value = serde_json::from_str(&stdout(&["package", "keygen", "--out", &other, "--json"])).unwrap();
    let (key, public) = (path("plant.key"), path("plant.pub"));
    let id = said.trim_end().rsplit(' ').next().unwrap();
    assert_eq!((id.len(), made["key_id"].as_str().unwrap().len()), (64, 64));

    // Nothing is overwritten.
    let before = fs::read(&key).unwrap();
    assert!(fails(&["package", "keygen", "--out", &plant], 1).contains("plant.pub: exists already"));
    fs::rename(&public, path("aside.pub")).unwrap();
    assert!(fails(&["package", "keygen", "--out", &plant], 1).contains("cannot create"));
    assert_eq!(fs::read(&key).unwrap(), before);
    assert!(!fs::exists(&public).unwrap(), "no public key without its private one");
    fs::rename(path("aside.pub"), &public).unwrap();

    assert!(stdout(&["info", bolt]).contains("signature  not signed"));
    assert!(fails(&["package", "verify", bolt, "--trusted-keys", &public], 1).contains("is not signed"));
    assert!(stdout(&["package", "sign", bolt, "--key", &key]).contains(&format!("signed by the key {id}")));
    assert!(stdout(&["info", bolt]).contains(&format!("signature  by the key {id}")));
    let info: Value = serde_json::from_str(&stdout(&["info", bolt, "--json"])).unwrap();
    assert_eq!((&info["signature"]["key_id"], &info["name"]), (&id.into(), &"bolt".into()));
    let said = stdout(&["package", "verify", bolt, "--trusted-keys", &public]);
    assert!(said.contains(&format!("signed by the trusted key {id}, and unchanged")), "{said}");
    let said = fails(&["package", "verify", bolt, "--trusted-keys", &path("other.pub")], 1);
    assert!(said.contains(id) && said.contains(made["key_id"].as_str().unwrap()), "{said}");

    // Another place, as JSON; the package itself stays.
    let out = path("signed");
    let signed: Value =
        serde_json::from_str(&stdout(&["package", "sign", bolt, "--key", &path("other.key"), "--out", &out, "--json"]))
            .unwrap();
    assert_eq!((&signed["event"], &signed["key_id"]), (&"signed".into(), &made["key_id"]));
    stdout(&["package", "verify", &out, "--trusted-keys", &path("other.pub"), "--json"]);
    assert_eq!(Package::open(bolt).unwrap().signature.unwrap().key_id, id);

    // A change drops the signature and says so.
    let output = uflow(&["package", "set", bolt, "--epsilon", "0.5"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let warning = format!("the package was signed by the key {id}; the changed one is not: sign it again");
    assert!(stderr(&output).contains(&warning), "{}", stderr(&output));
    assert!(fails(&["package", "verify", bolt, "--trusted-keys", &public], 1).contains("is not signed"));
    stdout(&["package", "sign", bolt, "--key", &key]);
    let line: Value = serde_json::from_str(&stdout(&["package", "golden", bolt, "--none", "--json"])).unwrap();
    assert!(line["warnings"][0].as_str().unwrap().contains("sign it again"), "{line}");
}

#[test]
fn a_changed_file_and_a_wrong_key_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let bolt = package(folder.path(), "bolt");
    stdout(&["package", "keygen", "--out", &path("plant")]);
    assert!(fails(&["package", "sign", text(&bolt), "--key", &path("plant.pub")], 1).contains("holds a public key"));
    assert!(fails(&["package", "sign", text(&bolt), "--key", &path("none")], 1).contains("none"));
    stdout(&["package", "sign", text(&bolt), "--key", &path("plant.key")]);
    let verify = ["package", "verify", text(&bolt), "--trusted-keys", &path("plant.pub")];
    stdout(&verify);
    let manifest = bolt.join("uflow.json");
    let edited = fs::read_to_string(&manifest).unwrap().replace("\"name\": \"bolt\"", "\"name\": \"nut\"");
    fs::write(&manifest, edited).unwrap();
    assert!(fails(&verify, 1).contains("was changed after it was signed"));
    let said = fails(&["package", "verify", text(&bolt), "--trusted-keys", &path("plant.key")], 1);
    assert!(said.contains("plant.key") && said.contains("is a private key"), "{said}");
}

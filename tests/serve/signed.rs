//! A server that loads signed packages only.

use std::{path::Path, time::Duration};

use uflow::{
    package::{Package, SigningKey},
    serve::{
        Server,
        config::{Config, Settings},
        registry::ModelState,
    },
};

use crate::{
    process::uflow,
    server::{self, MODELS, client, copy_of_repository, runtime, sample},
};

struct Signed {
    repository: tempfile::TempDir,
    keys: tempfile::TempDir,
    key: SigningKey,
    other: SigningKey,
}

impl Signed {
    /// A repository whose models are all signed, and the file of the key.
    fn new() -> Self {
        let (repository, keys) = (copy_of_repository(), tempfile::tempdir().unwrap());
        let make = |name: &str| SigningKey::create(&keys.path().join(name)).unwrap();
        let (key, other) = (make("a.key"), make("b.key"));
        std::fs::write(keys.path().join("trusted.pem"), key.public().to_pem()).unwrap();
        let signed = Self { repository, keys, key, other };
        MODELS.iter().for_each(|model| signed.sign(model, 1, 1, &signed.key));
        signed
    }

    fn trusted(&self) -> String {
        self.keys.path().join("trusted.pem").display().to_string()
    }

    /// Signs a version of a model as another version.
    fn sign(&self, model: &str, version: u32, as_version: u32, key: &SigningKey) {
        let path = |version: u32| self.repository.path().join(model).join(version.to_string());
        Package::open(path(version)).unwrap().write_signed(&path(as_version), key).unwrap();
    }

    fn check(&self, options: &[&str], variables: &[(&str, &str)]) -> Result<String, String> {
        let mut command = uflow();
        command.args(["serve", "--check", "--models"]).arg(self.repository.path()).args(options);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }
}

async fn start(models: &Path, change: impl FnOnce(&mut Settings)) -> Server {
    let mut settings = server::settings(models.to_owned());
    settings.poll_seconds = Some(0.05);
    change(&mut settings);
    let server = Server::start(&runtime(), Config::new(settings).unwrap()).await.unwrap();
    server.loaded().await;
    server
}

/// Waits, for a while, until something holds.
async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} did not come about");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_signed_model_serves_on_when_the_next_is_not_signed() {
    let signed = Signed::new();
    let server =
        start(signed.repository.path(), |settings| settings.trusted_keys = Some(signed.trusted().into())).await;
    let registry = server.app().registry();
    assert!(MODELS.iter().all(|model| registry.get(model, 1).is_ok()));
    let before = registry.get("bolt", 1).unwrap();

    // The same version, changed: no longer signed.
    let path = signed.repository.path().join("bolt/1");
    let package = Package::open(&path).unwrap();
    let mut manifest = package.manifest.clone();
    manifest.detection.epsilon = Some(2.0);
    package.write_changed(&path, &manifest, None).unwrap();
    let reason = |version| registry.status("bolt", version).map(|status| status.reason).unwrap_or_default();
    until("the refusal", || reason(1).contains("is not signed")).await;
    assert!(reason(1).contains("serves on"), "{}", reason(1));
    assert!(std::sync::Arc::ptr_eq(&registry.get("bolt", 1).unwrap(), &before));
    let request = server::Sample { model: "bolt", ..sample(1) }.request(1);
    client(&server).await.detect(request).await.unwrap();

    // A new version by a stranger.
    signed.sign("nut", 1, 2, &signed.other);
    let state = || registry.status("nut", 2).ok().map(|status| status.state);
    until("the other refusal", || state() == Some(ModelState::Failed)).await;
    let said = registry.status("nut", 2).unwrap().reason;
    assert!(said.contains(signed.other.public().id()) && said.contains(signed.key.public().id()), "{said}");
    assert_eq!(registry.get("nut", 0).unwrap().version(), 1);

    // Signed by the trusted key, both are loaded.
    signed.sign("nut", 2, 2, &signed.key);
    signed.sign("bolt", 1, 1, &signed.key);
    until("the signed version", || state() == Some(ModelState::Ready)).await;
    until("the signed change", || reason(1).is_empty()).await;
    assert_eq!(registry.get("bolt", 1).unwrap().manifest().detection.epsilon, Some(2.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_trusted_keys_signed_packages_are_served_as_all_others() {
    let signed = Signed::new();
    let server = start(signed.repository.path(), |_| {}).await;
    assert!(MODELS.iter().all(|model| server.app().registry().get(model, 1).is_ok()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_does_not_start_on_a_file_without_public_keys() {
    let signed = Signed::new();
    let mut settings = server::settings(signed.repository.path().to_owned());
    settings.trusted_keys = Some(signed.keys.path().join("a.key"));
    let error = Server::start(&runtime(), Config::new(settings).unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("a.key") && error.contains("is a private key"), "{error}");
}

#[test]
fn the_keys_come_from_the_command_line_a_variable_or_the_file() {
    let signed = Signed::new();
    let trusted = signed.trusted();
    let found = signed.check(&["--trusted-keys", &trusted], &[]).unwrap();
    assert!(found.contains("# model bolt, version 1: loads, and its 3 golden frames agree"), "{found}");
    assert!(found.contains(&format!("trusted_keys = \"{trusted}\"")), "{found}");

    let stranger = signed.keys.path().join("stranger.pem");
    std::fs::write(&stranger, signed.other.public().to_pem()).unwrap();
    let stranger = stranger.display().to_string();
    let said = signed.check(&[], &[("UFLOW_TRUSTED_KEYS", &stranger)]).unwrap_err();
    assert!(said.contains("is signed by the key") && said.matches("package ").count() >= 1, "{said}");
    let file = signed.keys.path().join("uflow.toml");
    std::fs::write(&file, format!("trusted_keys = \"{stranger}\"\n")).unwrap();
    let config = ["--config", file.to_str().unwrap()];
    assert!(signed.check(&config, &[]).unwrap_err().contains("which is not trusted"));
    signed.check(&config, &[("UFLOW_TRUSTED_KEYS", &trusted)]).unwrap();
    assert!(signed.check(&["--trusted-keys", "none.pem"], &[]).unwrap_err().contains("none.pem"));
}

#[test]
fn a_check_runs_the_golden_frames() {
    let signed = Signed::new();
    let path = signed.repository.path().join("washer/1");
    let package = Package::open(&path).unwrap();
    let mut golden = package.manifest.golden.clone().unwrap();
    golden.frames[2].expected.score += 0.5;
    package.write_with_golden(&path, Some((golden, &package.golden))).unwrap();
    let said = signed.check(&[], &[]).unwrap_err();
    assert!(said.contains("washer/1") && said.contains("1 of 3 golden frames do not agree"), "{said}");
    Package::open(&path).unwrap().write_with_golden(&path, None).unwrap();
    let found = signed.check(&["--json"], &[]).unwrap();
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    let frames = |name: &str| {
        let models = found["models"].as_array().unwrap();
        models.iter().find(|model| model["name"] == name).unwrap()["golden_frames"].clone()
    };
    assert_eq!((frames("bolt"), frames("washer")), (3.into(), 0.into()));
}

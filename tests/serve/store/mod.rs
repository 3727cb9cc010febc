//! Models from a bucket: a server in a process of its own, and an S3 server that it asks.

mod bucket;

use std::{fs, path::Path, process::Output};

use serde_json::Value;
use uflow::serve::proto::v1::{LoadModelRequest, model_service_client::ModelServiceClient};

pub use self::bucket::{Bucket, MODELS};
use crate::{
    models::deploy,
    process::{Process, until},
};

/// State and whether it is current, by version of a model.
fn versions(server: &Process, model: &str) -> Vec<(u64, String, bool)> {
    let (_, body) = server.get("/v1/models");
    let listed: Value = serde_json::from_str(&body).unwrap();
    let models = listed["models"].as_array().unwrap().iter().filter(|entry| entry["name"] == model);
    models
        .map(|entry| {
            let state = entry["state"].as_str().unwrap().to_lowercase();
            (entry["version"].as_u64().unwrap(), state, entry["current"].as_bool().unwrap())
        })
        .collect()
}

fn serves(server: &Process, model: &str, version: u64) -> bool {
    versions(server, model).iter().any(|(found, _, current)| *found == version && *current)
}

/// The value of a metric, labels included in its name.
fn metric(server: &Process, series: &str) -> Option<f64> {
    let (_, text) = server.get("/metrics");
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// Makes a version and puts its files into the bucket, the manifest last.
fn upload(bucket: &Bucket, model: &str, version: u32, seed: u64) {
    let staging = tempfile::tempdir().unwrap();
    crate::server::copy(&bucket.models(), staging.path());
    deploy(staging.path(), model, version, seed);
    put(&staging.path().join(format!("{model}/{version}")), &bucket.models().join(format!("{model}/{version}")));
}

fn put(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let manifest = "uflow.json";
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()).filter(|entry| entry.file_name() != manifest) {
        match entry.path().is_dir() {
            true => crate::server::copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
    fs::copy(from.join(manifest), to.join(manifest)).unwrap();
}

/// Removes a file and gives its content back.
fn take(path: &Path) -> Vec<u8> {
    let content = fs::read(path).unwrap();
    fs::remove_file(path).unwrap();
    content
}

#[test]
fn models_come_from_a_bucket_and_follow_it() {
    let bucket = Bucket::new();
    let server = bucket.serve(&[]);
    for model in ["bolt", "nut", "washer"] {
        assert!(serves(&server, model, 1), "{model}");
    }
    // Two models share one of two backbones.
    assert_eq!(fs::read_dir(bucket.mirror().join("backbones")).unwrap().count(), 2);
    let reads = || bucket.faults.reads.lock().unwrap().len();
    let (read, looks) = (reads(), metric(&server, "uflow_store_looks_total{outcome=\"ok\"}").unwrap());
    until("more looks", || metric(&server, "uflow_store_looks_total{outcome=\"ok\"}").unwrap() > looks + 2.0);
    assert_eq!(reads(), read, "nothing has changed, nothing is read");

    upload(&bucket, "bolt", 2, 11);
    until("version 2", || serves(&server, "bolt", 2));
    until("the end of the copy of version 1", || !bucket.mirror().join("bolt/1").exists());
    assert!(bucket.models().join("bolt/1").exists(), "the server changes nothing in the bucket");

    // In place: another flow, then the manifest that names it.
    let loads = "uflow_model_loads_total{model=\"nut\",outcome=\"ok\",version=\"1\"}";
    assert_eq!(metric(&server, loads), Some(1.0));
    let staging = tempfile::tempdir().unwrap();
    crate::server::copy(&bucket.models(), staging.path());
    deploy(staging.path(), "nut", 9, 12);
    put(&staging.path().join("nut/9"), &bucket.models().join("nut/1"));
    until("the changed package", || metric(&server, loads) == Some(2.0));

    fs::remove_dir_all(bucket.models().join("washer")).unwrap();
    until("the end of washer", || versions(&server, "washer").is_empty());
    until("the end of its copy", || !bucket.mirror().join("washer").exists());
    assert_eq!(fs::read_dir(bucket.mirror().join("backbones")).unwrap().count(), 1);
    assert_eq!(metric(&server, "uflow_store_failing_versions"), Some(0.0));
}

#[test]
fn an_upload_that_is_torn_is_not_loaded_and_the_version_before_serves_on() {
    let bucket = Bucket::new();
    let server = bucket.serve(&[]);
    upload(&bucket, "bolt", 3, 13);
    until("version 3", || serves(&server, "bolt", 3));

    // Version 4 begins with its manifest; the flow comes later, and first that of another version.
    let staging = tempfile::tempdir().unwrap();
    crate::server::copy(&bucket.models(), staging.path());
    deploy(staging.path(), "bolt", 4, 14);
    let package = staging.path().join("bolt/4");
    let flow = take(&package.join("flow.onnx"));
    crate::server::copy(&package, &bucket.models().join("bolt/4"));
    let said = server.says("flow.onnx: is missing in the bucket");
    assert!(said.contains("s3://plant/line3/models/bolt/4"), "{said}");
    assert_eq!(metric(&server, "uflow_store_failing_versions"), Some(1.0));
    fs::copy(bucket.models().join("bolt/3/flow.onnx"), bucket.models().join("bolt/4/flow.onnx")).unwrap();
    server.says("flow.onnx: was changed or is damaged");
    assert!(serves(&server, "bolt", 3));
    assert!(versions(&server, "bolt").iter().all(|(version, ..)| *version < 4), "{:?}", versions(&server, "bolt"));
    fs::write(bucket.models().join("bolt/4/flow.onnx"), flow).unwrap();
    until("version 4", || serves(&server, "bolt", 4));
    until("no failures", || metric(&server, "uflow_store_failing_versions") == Some(0.0));
}

#[test]
fn an_object_that_changes_while_it_is_read_is_read_again_later() {
    let bucket = Bucket::new();
    let server = bucket.serve(&[]);
    let staging = tempfile::tempdir().unwrap();
    crate::server::copy(&bucket.models(), staging.path());
    deploy(staging.path(), "nut", 2, 21);
    deploy(staging.path(), "nut", 3, 22);
    // The listing has the files of one package; what is read are those of another.
    let (to, other) = (bucket.models().join("nut/2"), staging.path().join("nut/3"));
    let (key, into) = ("line3/models/nut/2/uflow.json".to_owned(), to.clone());
    let change = Box::new(move || put(&other, &into));
    *bucket.faults.after_list.lock().unwrap() = Some((key, change));
    put(&staging.path().join("nut/2"), &to);
    server.says("the object was changed while it was read");
    until("version 2", || serves(&server, "nut", 2));
    let flow = |folder: &Path| fs::read(folder.join("flow.onnx")).unwrap();
    assert!(flow(&bucket.mirror().join("nut/2")) == flow(&staging.path().join("nut/3")), "the last one");
}

#[test]
fn a_store_that_is_down_stops_nothing_and_a_restart_begins_with_the_copies() {
    let mut bucket = Bucket::new();
    let server = bucket.serve(&[]);
    bucket.down();
    server.says("the object store of the models cannot be read; what is served stays");
    until("the figure", || metric(&server, "uflow_store_looks_total{outcome=\"failed\"}").is_some_and(|n| n > 0.0));
    assert!(serves(&server, "bolt", 1) && server.status("/readyz") == Some(200));
    let last = metric(&server, "uflow_store_last_look_timestamp_seconds").unwrap();
    drop(server);

    let server = bucket.serve(&[]);
    server.says("starting with the models that were copied before");
    assert!(serves(&server, "bolt", 1));
    assert!(metric(&server, "uflow_store_last_look_timestamp_seconds").unwrap() <= last + 1.0);
    upload(&bucket, "bolt", 2, 11);
    bucket.up();
    until("version 2", || serves(&server, "bolt", 2));
    server.says("the object store can be read again");
    assert!(metric(&server, "uflow_store_last_look_timestamp_seconds").unwrap() > last);
}

#[test]
fn without_copies_a_server_waits_for_the_store_and_is_not_ready() {
    let mut bucket = Bucket::new();
    bucket.down();
    let server = bucket.listen(&[]);
    server.says("no copy of the models is left from before");
    server.says("cannot be read");
    let (status, body) = server.get("/readyz");
    assert_eq!(status, 503);
    assert!(body.contains("the model repository has not been read yet"), "{body}");
    assert_eq!(metric(&server, "uflow_store_last_look_timestamp_seconds"), Some(0.0));
    bucket.up();
    server.until_ready();
    assert!(serves(&server, "washer", 1));
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// What a server says that ends at once.
fn refused(mut command: std::process::Command, models: &str, options: &[&str]) -> String {
    command.args(["serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--models", models]).args(options);
    let Output { status, stderr, .. } = command.output().unwrap();
    let said = text(stderr);
    assert!(!status.success(), "{said}");
    said
}

#[test]
fn a_store_that_refuses_the_server_keeps_it_from_starting_unless_it_has_copies() {
    let bucket = Bucket::new();
    let said = refused(bucket.command_with("wrong"), MODELS, &[]);
    assert!(said.contains("the store refuses this server: check its credentials"), "{said}");
    assert!(!said.contains("wrong"), "the secret is not shown: {said}");
    let said = refused(bucket.command(), "s3://another/models", &[]);
    assert!(said.contains("the bucket or the object does not exist"), "{said}");
    drop(bucket.serve(&[]));
    let ports = ("127.0.0.1:0", "127.0.0.1:0");
    let server = Process::listen(bucket.command_with("wrong"), ports, Path::new(MODELS), &["--poll-seconds", "0.1"]);
    server.until_ready();
    server.says("the store refuses this server");
}

#[test]
fn keys_that_lead_elsewhere_are_not_followed() {
    let bucket = Bucket::new();
    fs::create_dir_all(bucket.models().join("bolt/01-evil")).unwrap();
    fs::write(bucket.models().join("bolt/01-evil/uflow.json"), "{}").unwrap();
    let server = bucket.serve(&[]);
    server.says("passed over");
    for key in ["line3/models/../../../../tmp/evil", "line3/models//evil/1/uflow.json"] {
        *bucket.faults.key.lock().unwrap() = Some(key.to_owned());
        let said = server.says(key);
        assert!(said.contains("an object's key has an empty part"), "{said}");
        assert!(serves(&server, "bolt", 1));
    }
    *bucket.faults.key.lock().unwrap() = None;
    server.says("the object store can be read again");
    let found = fs::read_dir(bucket.mirror()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(found.into_iter().all(|name| !name.to_string_lossy().contains("evil")));
}

#[test]
fn a_check_copies_into_a_folder_of_its_own_and_signatures_count() {
    let bucket = Bucket::new();
    let check = |options: &[&str]| {
        let mut command = bucket.command();
        command.args(["serve", "--check", "--models", MODELS]).args(options).output().unwrap()
    };
    let Output { status, stdout, stderr } = check(&[]);
    assert!(status.success(), "{}", text(stderr));
    let said = text(stdout);
    assert!(said.contains("model bolt, version 1: loads") && said.contains(MODELS), "{said}");
    assert_eq!(fs::read_dir(bucket.cache.path().join("models")).unwrap().count(), 0, "the copies are gone");

    let key = uflow::package::SigningKey::create(&bucket.cache.path().join("a.key")).unwrap();
    let keys = bucket.cache.path().join("trusted.pem");
    fs::write(&keys, key.public().to_pem()).unwrap();
    let Output { status, stderr, .. } = check(&["--trusted-keys", keys.to_str().unwrap()]);
    assert!(!status.success());
    assert!(text(stderr).contains("is not signed"));
    fs::write(bucket.models().join("nut/1/flow.onnx"), "not a network").unwrap();
    let Output { status, stderr, .. } = check(&[]);
    let said = text(stderr);
    assert!(!status.success() && said.contains("s3://plant/line3/models/nut/1"), "{said}");
}

#[test]
fn a_client_loads_any_version_that_is_in_the_bucket() {
    let bucket = Bucket::new();
    upload(&bucket, "bolt", 2, 11);
    let server = bucket.listen(&["--model-control", "explicit", "--ready-when-empty"]);
    server.until_ready();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let load = |version: u32| {
        runtime.block_on(async {
            let mut client = ModelServiceClient::connect(format!("http://{}", server.grpc)).await.unwrap();
            let request = LoadModelRequest { model: "bolt".to_owned(), version };
            client.load_model(request).await.map(|answer| answer.into_inner().model.unwrap().version)
        })
    };
    assert_eq!(load(0).unwrap(), 2);
    assert_eq!(load(1).unwrap(), 1, "the version was not copied until it was asked for");
    // No pause: the bucket is read for the request.
    upload(&bucket, "bolt", 7, 12);
    assert_eq!(load(7).unwrap(), 7);
    assert_eq!(load(8).unwrap_err().code(), tonic::Code::NotFound);
}

#[test]
fn mistakes_are_explained() {
    let bucket = Bucket::new();
    let said = refused(bucket.command(), "ftp://plant/models", &[]);
    assert!(said.contains("s3://BUCKET/PREFIX"), "{said}");
    let mut command = bucket.command();
    let file = bucket.cache.path().join("file");
    fs::write(&file, "").unwrap();
    command.env("UFLOW_CACHE", &file);
    let said = refused(command, MODELS, &[]);
    assert!(said.contains("set UFLOW_CACHE to a folder that this server may write"), "{said}");
    let _server = bucket.serve(&[]);
    let said = refused(bucket.command(), MODELS, &[]);
    assert!(said.contains("another server fills this folder"), "{said}");
    let mut command = bucket.command();
    let output = command.args(["info", "s3://plant/line3/models/bolt/1"]).output().unwrap();
    let said = text(output.stderr);
    assert!(said.contains("copy the package to a folder first"), "{said}");
}

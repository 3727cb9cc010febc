//! Looks at a bucket in memory, and what is in the mirror after them.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex},
};

use object_store::{ObjectStoreExt as _, memory::InMemory, path::Path};
use prost::Message as _;
use serde_json::json;

use super::{
    address::Bucket,
    catalogue::{Catalogue, ListError},
    figures::StoreFigures,
    mirror::Mirror,
    sync::{Standings, Synchroniser},
};
use crate::{
    onnx::{self, GraphBuilder},
    package::{Package, Repository, sha256},
    serve::registry::Standing,
};

/// A bucket, a mirror, and what the registry would say.
struct Fixture {
    store: Arc<InMemory>,
    bucket: Bucket,
    folder: tempfile::TempDir,
    metrics: prometheus::Registry,
    synchroniser: Synchroniser,
    standing: Arc<Mutex<BTreeMap<u32, Standing>>>,
}

fn network(name: &str) -> Vec<u8> {
    let mut graph = GraphBuilder::new(name);
    graph.floats("weights", &[2, 3], &[0.5; 6]);
    graph.node("Identity", &["weights"], "out", vec![onnx::int("axis", 1)]);
    graph.finish(&[("who", name)]).encode_to_vec()
}

/// The files of a package. Its flow is named by `tag`.
fn package(tag: &str, shared: bool) -> BTreeMap<String, Vec<u8>> {
    let (flow, backbone) = (network(tag), network("backbone"));
    let file = (!shared).then_some("nets/backbone.onnx");
    let shape = json!({ "channels": 4, "height": 8, "width": 8 });
    let manifest = json!({
        "format": 1, "name": "bolt", "created": "2026-03-14T15:09:26Z", "uflow": "0.1.0",
        "input": { "width": 64, "height": 64, "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2], "resize": "bilinear" },
        "backbone": { "name": "tiny", "sha256": sha256(&backbone), "file": file },
        "flow": { "sha256": sha256(&flow), "file": "flow.onnx" },
        "scales": [{ "features": shape, "latents": shape }],
        "detection": { "epsilon": 1.0 }
    });
    let mut files =
        BTreeMap::from([("uflow.json".to_owned(), manifest.to_string().into_bytes()), ("flow.onnx".to_owned(), flow)]);
    files.extend(file.map(|file| (file.to_owned(), backbone)));
    files
}

impl Fixture {
    fn new(most: usize) -> Self {
        Self::at("plant/models", most)
    }

    fn at(prefix: &str, most: usize) -> Self {
        let (store, folder, metrics) =
            (Arc::new(InMemory::new()), tempfile::tempdir().unwrap(), prometheus::Registry::new());
        let bucket = Bucket {
            store: store.clone(),
            prefix: Path::parse(prefix).unwrap(),
            address: format!("s3://bucket/{prefix}"),
            identity: prefix.to_owned(),
        };
        let mirror = Mirror::open(folder.path()).unwrap();
        let figures = StoreFigures::new(&metrics).unwrap();
        let synchroniser = Synchroniser::new(bucket.clone(), mirror, figures, most, false);
        Self { store, bucket, folder, metrics, synchroniser, standing: Arc::default() }
    }

    async fn put(&self, key: &str, content: impl Into<Vec<u8>>) {
        self.store.put(&Path::parse(format!("plant/models/{key}")).unwrap(), content.into().into()).await.unwrap();
    }

    async fn delete(&self, key: &str) {
        self.store.delete(&Path::parse(format!("plant/models/{key}")).unwrap()).await.unwrap();
    }

    async fn upload(&self, version: u32, files: &BTreeMap<String, Vec<u8>>) {
        for (name, content) in files {
            self.put(&format!("bolt/{version}/{name}"), content.clone()).await;
        }
    }

    async fn catalogue(&self) -> Arc<Catalogue> {
        Arc::new(self.bucket.catalogue(None).await.unwrap())
    }

    async fn look(&mut self) {
        let catalogue = self.catalogue().await;
        self.apply(&catalogue).await;
    }

    async fn apply(&mut self, catalogue: &Arc<Catalogue>) {
        let standing = Arc::clone(&self.standing);
        let standing: Standings = Arc::new(move |_: &str, version| {
            standing.lock().unwrap().get(&version).copied().unwrap_or(Standing::Unknown)
        });
        self.synchroniser.apply(catalogue, &standing).await.unwrap();
    }

    fn stands(&self, version: u32, standing: Standing) {
        self.standing.lock().unwrap().insert(version, standing);
    }

    /// The versions that a registry would find in the mirror; each is whole.
    fn versions(&self) -> Vec<u32> {
        let listing = Repository::Folder(self.folder.path().to_owned()).scan().unwrap();
        let found = listing.get("bolt").into_iter().flatten();
        found
            .map(|(version, found)| {
                Package::open(&found.path).unwrap();
                *version
            })
            .collect()
    }

    /// The flow of a version in the mirror.
    fn flow(&self, version: u32) -> Vec<u8> {
        fs::read(self.folder.path().join(format!("bolt/{version}/flow.onnx"))).unwrap()
    }

    fn figure(&self, name: &str) -> f64 {
        let families = self.metrics.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let metric = &family.get_metric()[0];
        metric.get_gauge().get_value() + metric.get_counter().get_value()
    }
}

#[tokio::test]
async fn the_highest_version_is_copied_with_its_backbone_and_nothing_else() {
    let mut fixture = Fixture::new(1);
    fixture.upload(1, &package("one", false)).await;
    fixture.upload(2, &package("two", true)).await;
    fixture.put("bolt/2/notes.txt", "not of the package").await;
    fixture.put("bolt/2/..\\evil", "not of the package").await;
    let backbone = network("backbone");
    fixture.put(&format!("backbones/{}.onnx", sha256(&backbone)), backbone).await;
    fixture.put(&format!("backbones/{}.onnx", sha256(b"other")), "other").await;
    fixture.look().await;
    assert_eq!(fixture.versions(), [2]);
    let mut names: Vec<_> =
        fs::read_dir(fixture.folder.path().join("bolt/2")).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["flow.onnx", "uflow.json"]);
    assert_eq!(fs::read_dir(fixture.folder.path().join("backbones")).unwrap().count(), 1);
    assert_eq!(fixture.figure("uflow_store_failing_versions"), 0.0);
    assert!(fixture.figure("uflow_store_last_look_timestamp_seconds") > 1e9);

    let before = fixture.figure("uflow_store_bytes_total");
    fixture.look().await;
    assert_eq!(fixture.figure("uflow_store_bytes_total"), before, "nothing has changed, nothing is read");
}

#[tokio::test]
async fn of_a_changed_version_only_the_changed_files_are_read() {
    let mut fixture = Fixture::new(1);
    let (one, two) = (package("one", false), package("two", false));
    fixture.upload(1, &one).await;
    fixture.look().await;
    let before = fixture.figure("uflow_store_bytes_total");
    for name in ["flow.onnx", "uflow.json"] {
        fixture.put(&format!("bolt/1/{name}"), two[name].clone()).await;
    }
    fixture.look().await;
    assert_eq!((fixture.versions(), fixture.flow(1)), (vec![1], two["flow.onnx"].clone()));
    let read = fixture.figure("uflow_store_bytes_total") - before;
    assert_eq!(read, (two["flow.onnx"].len() + two["uflow.json"].len()) as f64);
}

#[tokio::test]
async fn an_upload_that_is_not_complete_is_not_taken_and_the_version_below_is() {
    let mut fixture = Fixture::new(1);
    fixture.upload(1, &package("one", false)).await;
    let mut torn = package("two", false);
    let flow = torn.insert("flow.onnx".to_owned(), network("of another version")).unwrap();
    let backbone = torn.remove("nets/backbone.onnx").unwrap();
    fixture.upload(2, &torn).await;
    fixture.look().await;
    assert_eq!(fixture.versions(), [1], "a file is missing");
    assert_eq!(fixture.figure("uflow_store_failing_versions"), 1.0);

    fixture.put("bolt/2/nets/backbone.onnx", backbone).await;
    fixture.look().await;
    assert_eq!(fixture.versions(), [1], "a hash is wrong");
    let error = fixture.synchroniser.first_error().unwrap().to_string();
    assert!(error.contains("s3://bucket/plant/models/bolt/2") && error.contains("flow.onnx"), "{error}");

    let mirror = Mirror::open(fixture.folder.path()).unwrap();
    let figures = StoreFigures::new(&prometheus::Registry::new()).unwrap();
    fixture.synchroniser = Synchroniser::new(fixture.bucket.clone(), mirror, figures, 1, false);
    fixture.look().await;
    assert_eq!(fixture.versions(), [1], "a server that starts anew");
    // No pause after an upload: it is not the same package any more.
    fixture.put("bolt/2/flow.onnx", flow).await;
    fixture.look().await;
    assert_eq!(fixture.versions(), [1, 2]);
    fixture.stands(2, Standing::Serves);
    fixture.look().await;
    assert_eq!(fixture.versions(), [2], "version 2 has taken over");
}

#[tokio::test]
async fn an_object_that_changes_after_the_listing_is_noticed() {
    let mut fixture = Fixture::new(1);
    fixture.upload(1, &package("one", false)).await;
    fixture.look().await;
    fixture.upload(1, &package("two", false)).await;
    let catalogue = fixture.catalogue().await;
    let three = package("three", false);
    fixture.put("bolt/1/flow.onnx", three["flow.onnx"].clone()).await;
    fixture.apply(&catalogue).await;
    assert_eq!(fixture.flow(1), package("one", false)["flow.onnx"], "the copy before stays");
    fixture.upload(1, &three).await;
    fixture.look().await;
    assert_eq!(fixture.flow(1), three["flow.onnx"]);
}

#[tokio::test]
async fn a_version_that_left_the_bucket_goes_after_two_looks() {
    let mut fixture = Fixture::new(1);
    fixture.upload(1, &package("one", false)).await;
    fixture.look().await;
    fixture.delete("bolt/1/uflow.json").await;
    fixture.look().await;
    assert_eq!(fixture.versions(), [1]);
    fixture.look().await;
    assert_eq!(fixture.versions(), [0; 0]);
    assert!(!fixture.folder.path().join("bolt").exists());
}

#[tokio::test]
async fn a_damaged_copy_is_made_again() {
    let mut fixture = Fixture::new(1);
    let one = package("one", false);
    fixture.upload(1, &one).await;
    fixture.look().await;
    let flow = fixture.folder.path().join("bolt/1/flow.onnx");
    fs::write(&flow, "damaged").unwrap();
    fixture.look().await;
    assert_eq!(fixture.flow(1), b"damaged", "nobody has noticed");
    fixture.stands(1, Standing::Failed);
    fixture.look().await;
    assert_eq!(fixture.flow(1), one["flow.onnx"]);
    // What is whole is not read again, although the server cannot load it.
    let read = fixture.figure("uflow_store_bytes_total");
    fixture.look().await;
    assert_eq!(fixture.figure("uflow_store_bytes_total"), read);
}

#[tokio::test]
async fn packages_that_lead_elsewhere_or_are_too_large_are_refused() {
    let mut fixture = Fixture::new(1);
    let mut outside = package("one", false);
    let text = String::from_utf8(outside["uflow.json"].clone()).unwrap();
    outside.insert("uflow.json".to_owned(), text.replace("nets/backbone.onnx", "../../2/backbone.onnx").into_bytes());
    fixture.upload(1, &outside).await;
    fixture.look().await;
    assert_eq!(fixture.versions(), [0; 0]);
    let large = Fixture::new(1);
    let mut signed = package("one", false);
    signed.insert("uflow.sig".to_owned(), vec![b' '; 4097]);
    large.upload(1, &signed).await;
    for (mut fixture, text) in [(fixture, "inside the package"), (large, "uflow.sig: has 4097 bytes, at most 4096")] {
        fixture.look().await;
        let error = fixture.synchroniser.first_error().unwrap().to_string();
        assert!(error.contains(text), "{error}");
        let left: Vec<_> = fs::read_dir(fixture.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().contains("stage")), "{left:?}");
    }
}

#[tokio::test]
async fn a_shared_backbone_is_checked_and_its_absence_is_explained() {
    let mut fixture = Fixture::new(1);
    fixture.upload(1, &package("one", true)).await;
    let key = format!("backbones/{}.onnx", sha256(&network("backbone")));
    fixture.put(&key, network("another")).await;
    fixture.look().await;
    assert_eq!(fixture.versions(), [0; 0]);
    assert!(!fixture.folder.path().join(&key).exists());
    fixture.delete(&key).await;
    fixture.synchroniser.ask("bolt", 1);
    fixture.look().await;
    let catalogue = fixture.catalogue().await;
    assert!(catalogue.backbones.is_empty());
    let error = fixture.synchroniser.first_error().unwrap().to_string();
    assert!(error.contains(&format!("upload it to s3://bucket/plant/models/{key}")), "{error}");
}

#[tokio::test]
async fn one_package_is_served_by_its_name() {
    let fixture = Fixture::at("plant/models/bolt/7", 1);
    fixture.upload(7, &package("one", false)).await;
    let catalogue = fixture.catalogue().await;
    assert_eq!(catalogue.models.keys().collect::<Vec<_>>(), ["7"]);
    let named = fixture.bucket.catalogue(Some("line3")).await.unwrap();
    assert!(named.get("line3", 1).is_some());
    let models = Fixture::new(1);
    models.upload(7, &package("one", false)).await;
    let Err(ListError::Content(error)) = models.bucket.catalogue(Some("line3")).await else {
        panic!("it is no package")
    };
    assert!(error.to_string().contains("without a name"), "{error}");
}

#[tokio::test]
async fn a_package_in_one_file_is_copied_as_it_is() {
    let mut fixture = Fixture::new(1);
    let (folder, files) = (tempfile::tempdir().unwrap(), package("one", false));
    let file = folder.path().join("bolt.uflow");
    let mut archive = zip::ZipWriter::new(fs::File::create(&file).unwrap());
    for (name, content) in &files {
        let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        archive.start_file(name.as_str(), stored).unwrap();
        std::io::Write::write_all(&mut archive, content).unwrap();
    }
    archive.finish().unwrap();
    fixture.put("bolt/3", fs::read(&file).unwrap()).await;
    fixture.look().await;
    assert_eq!(fixture.versions(), [3]);
    assert!(fixture.folder.path().join("bolt/3").is_file());
    fixture.put("bolt/3", "not a zip").await;
    fixture.look().await;
    assert_eq!(fixture.versions(), [3], "the copy before stays");
    fixture.put("washer.uflow", fs::read(&file).unwrap()).await;
    assert_eq!(fixture.catalogue().await.passed_over, ["washer.uflow"]);
    let single = Bucket { prefix: Path::parse("plant/models/washer.uflow").unwrap(), ..fixture.bucket.clone() };
    assert!(single.catalogue(None).await.unwrap().get("washer", 1).is_some());
}

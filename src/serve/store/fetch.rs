//! Copies one package from the bucket into a stage, and checks it there.
//!
//! The manifest comes first and says which files the package has; no other file is read. Each request names the entity tag that the listing
//! had, so a file that has changed since is noticed. Files that have not changed since the last copy are linked from there.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use object_store::GetOptions;
use prometheus::IntCounter;
use tempfile::TempDir;
use tokio::{fs::File, io::AsyncWriteExt as _, sync::Mutex, task::spawn_blocking};
use tokio_stream::StreamExt as _;

use super::{
    address::Bucket,
    catalogue::{Catalogue, Object, Remote},
    mirror::{self, Key, Mirror, Record},
};
use crate::{
    Error, Reason, Result,
    digest::sha256_reader,
    package::{
        BACKBONES_FOLDER, MANIFEST_FILE, MAX_ARCHIVE_BYTES, MAX_MANIFEST_BYTES, MAX_NETWORK_BYTES, MAX_SIGNATURE_BYTES,
        Manifest, Package, SIGNATURE_FILE,
    },
};

/// Time for one file: this much, and one second more for each so many bytes.
const FILE_TIME: Duration = Duration::from_secs(60);
const SLOWEST: u64 = 64 << 10;

/// Why a package was not copied.
#[derive(Debug)]
pub(super) enum FetchError {
    /// The store: another attempt may succeed.
    Store(Error),
    /// The package: it is not complete, or wrong.
    Package(Error),
    /// The disk.
    Disk(Error),
}

impl FetchError {
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Store(error) | Self::Package(error) | Self::Disk(error) => error,
        }
    }
}

/// What all fetches of a look share.
#[derive(Debug)]
pub(super) struct Fetcher {
    pub(super) bucket: Bucket,
    /// The mirror's folder.
    pub(super) root: PathBuf,
    pub(super) bytes: IntCounter,
    /// Held while a shared backbone is fetched: two models may need the same one.
    pub(super) backbone: Mutex<()>,
}

/// A complete package in a stage.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) stage: TempDir,
    pub(super) package: PathBuf,
    pub(super) record: Record,
    /// Bytes that came from the store.
    pub(super) bytes: u64,
}

/// A copy from before, whose files are used again where they have not changed.
#[derive(Clone, Debug)]
pub(super) struct Before {
    pub(super) record: Record,
    pub(super) path: PathBuf,
}

/// One fetch.
struct Fetch<'a> {
    fetcher: &'a Fetcher,
    name: String,
    package: PathBuf,
    before: Option<Before>,
    record: Record,
    bytes: u64,
    linked: bool,
}

impl Fetcher {
    /// Copies and checks a version.
    pub(super) async fn fetch(
        &self,
        catalogue: &Catalogue,
        key: &Key,
        remote: &Remote,
        before: Option<Before>,
    ) -> Result<Fetched, FetchError> {
        let has_before = before.is_some();
        match self.attempt(catalogue, key, remote, before).await {
            // What was copied before may be damaged.
            Err((FetchError::Package(_), true)) if has_before => self.attempt(catalogue, key, remote, None).await,
            other => other,
        }
        .map_err(|(error, _)| error)
    }

    /// One attempt. An error comes with whether files of the copy before were used.
    async fn attempt(
        &self,
        catalogue: &Catalogue,
        key: &Key,
        remote: &Remote,
        before: Option<Before>,
    ) -> Result<Fetched, (FetchError, bool)> {
        let stage = Mirror::stage(&self.root).map_err(|error| (FetchError::Disk(error), false))?;
        let package = stage.path().join(key.1.to_string());
        let name = self.bucket.shown(&format!("{}/{}", key.0, key.1));
        let mut fetch =
            Fetch { fetcher: self, name, package, before, record: Record::default(), bytes: 0, linked: false };
        let done = match remote {
            Remote::File(object) => fetch.file("", object, MAX_ARCHIVE_BYTES).await,
            Remote::Folder(_) => fetch.folder(catalogue, remote).await,
        };
        let done = match done {
            Ok(()) => fetch.check().await,
            Err(error) => Err(error),
        };
        let Fetch { package, record, bytes, linked, .. } = fetch;
        done.map(|()| Fetched { stage, package, record, bytes }).map_err(|error| (error, linked))
    }

    /// Fetches an object into a new file.
    async fn download(&self, object: &Object, path: &Path) -> Result<(), FetchError> {
        let store = |error| FetchError::Store(self.bucket.failed(error));
        let options = GetOptions::new().with_if_match(object.stamp.e_tag.clone());
        let copy = async {
            let answer = self.bucket.store.get_opts(&object.location, options).await.map_err(store)?;
            let disk = |error| FetchError::Disk(Error::io("write", path)(error));
            let mut file = File::create(path).await.map_err(disk)?;
            let (mut content, mut length) = (answer.into_stream(), 0);
            while let Some(bytes) = content.next().await {
                let bytes = bytes.map_err(store)?;
                length += bytes.len() as u64;
                if length > object.stamp.size {
                    break;
                }
                file.write_all(&bytes).await.map_err(disk)?;
                self.bytes.inc_by(bytes.len() as u64);
            }
            // So that a record never outlives what it stands for.
            file.sync_all().await.map_err(disk)?;
            Ok::<u64, FetchError>(length)
        };
        let limit = FILE_TIME + Duration::from_secs(object.stamp.size / SLOWEST);
        let unavailable = |reason: String| {
            let place = format_args!("the model repository {} cannot be read", self.bucket.address);
            FetchError::Store(Error::unavailable(Reason::from(reason).within(place)))
        };
        match tokio::time::timeout(limit, copy).await {
            Err(_) => Err(unavailable(format!("{} did not come within {} s", object.location, limit.as_secs()))),
            Ok(Ok(length)) if length != object.stamp.size => {
                Err(unavailable(format!("{} has changed its size while it was read", object.location)))
            }
            Ok(done) => done.map(drop),
        }
    }

    /// Sees to it that a shared backbone is in the mirror. Returns the bytes that came from the store.
    async fn shared_backbone(&self, catalogue: &Catalogue, name: &str, hash: &str) -> Result<u64, FetchError> {
        let _one_at_a_time = self.backbone.lock().await;
        let (path, object) = (mirror::backbone_path(&self.root, hash), catalogue.backbones.get(hash));
        let there = tokio::fs::metadata(&path).await.ok().map(|metadata| metadata.len());
        // Its name is the hash of its content, so it cannot change. One that was cut off on this disk is fetched again.
        if there.is_some_and(|there| object.is_none_or(|object| object.stamp.size == there)) {
            return Ok(0);
        }
        let wrong = |reason: String| FetchError::Package(Error::package(name, reason));
        let Some(object) = object else {
            return Err(wrong(format!(
                "its backbone is neither in the package nor in the repository; upload it to {}, or save the package with its backbone \
                 inside",
                self.bucket.shown(&format!("{BACKBONES_FOLDER}/{hash}.onnx"))
            )));
        };
        check_size(object, MAX_NETWORK_BYTES, &format!("{BACKBONES_FOLDER}/{hash}.onnx")).map_err(wrong)?;
        let stage = Mirror::stage(&self.root).map_err(FetchError::Disk)?;
        let staged = stage.path().join("backbone.onnx");
        self.download(object, &staged).await?;
        let (wanted, to) = (hash.to_owned(), path.clone());
        let moved = blocking(move || {
            let file = std::fs::File::open(&staged).map_err(Error::io("read", &staged))?;
            let (found, _) = sha256_reader(&mut std::io::BufReader::new(file)).map_err(Error::io("read", &staged))?;
            if found != wanted {
                return Ok(Some(found));
            }
            let folder = to.parent().unwrap_or(&to);
            std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
            std::fs::rename(&staged, &to).map_err(Error::io("move a backbone to", &to))?;
            drop(stage);
            Ok(None)
        });
        match moved.await.map_err(FetchError::Disk)? {
            None => Ok(object.stamp.size),
            Some(found) => Err(wrong(format!(
                "{BACKBONES_FOLDER}/{hash}.onnx was changed or is damaged: its SHA-256 is {found}; upload it again"
            ))),
        }
    }
}

impl Fetch<'_> {
    async fn folder(&mut self, catalogue: &Catalogue, remote: &Remote) -> Result<(), FetchError> {
        let Remote::Folder(files) = remote else { return Ok(()) };
        let wrong = |name: &str, reason: Reason| FetchError::Package(Error::package(name, reason));
        let missing = |name: &str, file: &str| {
            let reason =
                format!("{file}: is missing in the bucket, though the manifest names it; is it still being uploaded?");
            wrong(name, reason.into())
        };
        let manifest = files.get(MANIFEST_FILE).ok_or_else(|| missing(&self.name, MANIFEST_FILE))?;
        self.file(MANIFEST_FILE, manifest, MAX_MANIFEST_BYTES).await?;
        let path = self.package.join(MANIFEST_FILE);
        let text = tokio::fs::read(&path).await.map_err(|error| FetchError::Disk(Error::io("read", &path)(error)))?;
        let manifest = Manifest::parse(&text).map_err(|reason| wrong(&self.name, reason.within(MANIFEST_FILE)))?;
        for (name, limit) in manifest.files() {
            let object = files.get(name).ok_or_else(|| missing(&self.name, name))?;
            self.file(name, object, limit).await?;
        }
        if let Some(signature) = files.get(SIGNATURE_FILE) {
            self.file(SIGNATURE_FILE, signature, MAX_SIGNATURE_BYTES).await?;
        }
        if let Some(hash) = manifest.shared_backbone() {
            self.bytes += self.fetcher.shared_backbone(catalogue, &self.name, hash).await?;
            self.record.backbone = Some(hash.to_owned());
        }
        Ok(())
    }

    /// One file of the package; the package itself for the empty name.
    async fn file(&mut self, name: &str, object: &Object, limit: u64) -> Result<(), FetchError> {
        let wrong = |reason| FetchError::Package(Error::package(&self.name, reason));
        check_size(object, limit, if name.is_empty() { "the file" } else { name }).map_err(wrong)?;
        let path = if name.is_empty() { self.package.clone() } else { self.package.join(name) };
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder)
                .await
                .map_err(|error| FetchError::Disk(Error::io("create", folder)(error)))?;
        }
        self.record.files.insert(name.to_owned(), object.stamp.clone());
        let same = self.before.as_ref().filter(|before| {
            object.stamp.e_tag.is_some() && before.record.files.get(name).is_some_and(|stamp| stamp.is(&object.stamp))
        });
        if let Some(before) = same {
            let from = if name.is_empty() { before.path.clone() } else { before.path.join(name) };
            // A file system without links, or a copy that is gone: the file is fetched.
            if tokio::fs::hard_link(&from, &path).await.is_ok() {
                self.linked = true;
                return Ok(());
            }
        }
        self.bytes += object.stamp.size;
        self.fetcher.download(object, &path).await
    }

    /// Opens the package, which checks everything in it.
    async fn check(&self) -> Result<(), FetchError> {
        let (path, name) = (self.package.clone(), PathBuf::from(&self.name));
        let opened = blocking(move || Ok(Package::open(&path).map(drop))).await.map_err(FetchError::Disk)?;
        opened.map_err(|error| match error {
            Error::Package { reason, source, .. } => FetchError::Package(Error::Package { path: name, reason, source }),
            other => FetchError::Package(other),
        })
    }
}

fn check_size(object: &Object, limit: u64, name: &str) -> Result<(), String> {
    if object.stamp.size <= limit {
        return Ok(());
    }
    Err(format!("{name}: has {} bytes, at most {limit} are allowed", object.stamp.size))
}

/// Runs what reads and hashes files away from the event loop.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Error::internal(Reason::because("work on the model store", error))))
}

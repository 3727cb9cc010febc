//! The folder that holds copies of the packages in a bucket: a repository that the registry reads, with hidden files for what the bucket
//! said of each copy.
//!
//! ```text
//! <cache>/models/<bucket>-<hash of the address>/
//! ├── .lock                     held by the server that fills the folder
//! ├── .looked                   its time: when the bucket was last read
//! ├── .stage-…/                 packages that are not complete yet
//! ├── backbones/<sha256>.onnx
//! └── capacitor/
//!     ├── .3.json               the stamps of the objects that version 3 was copied from
//!     └── 3/                    the package
//! ```
//!
//! A copy counts only with its record, which is removed before the copy is changed and written after it is complete. So after a crash a
//! version is whole or fetched again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::catalogue::{Stamp, version};
use crate::{Error, Reason, Result, digest::sha256, files::write_whole, package::BACKBONES_FOLDER};

const LOCK: &str = ".lock";
const LOOKED: &str = ".looked";
const STAGE: &str = ".stage-";

/// What a copy was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Stamps of the package's files, by their paths in it; of a package in one file, that of the file under the empty name.
    pub(super) files: BTreeMap<String, Stamp>,
    /// The shared backbone that it needs.
    pub(super) backbone: Option<String>,
}

/// Model and version.
pub(super) type Key = (String, u32);

/// The folder. One process at a time has it.
#[derive(Debug)]
pub(super) struct Mirror {
    root: PathBuf,
    records: BTreeMap<Key, Record>,
    _lock: File,
}

/// The folder for a repository of this identity, in the folder of all caches.
pub(super) fn folder(cache: &Path, bucket: &str, identity: &str) -> PathBuf {
    let plain: String = bucket.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
    let plain = plain.trim_matches('-');
    cache.join("models").join(format!("{plain}-{}", &sha256(identity.as_bytes())[..12]))
}

impl Mirror {
    /// Opens a folder, creates it if it is not there, and removes what was not completed.
    ///
    /// # Errors
    /// A folder that cannot be written, or that another server uses.
    pub(super) fn open(root: &Path) -> Result<Self> {
        let unusable = |error: io::Error| {
            let reason = "packages from the object store are copied there; set UFLOW_CACHE to a folder that this server may write, with room \
                          for the models";
            Error::data(root, Reason::of(error).within(reason))
        };
        fs::create_dir_all(root).map_err(unusable)?;
        let lock = File::create(root.join(LOCK)).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let reason = "another server fills this folder; set UFLOW_CACHE to a folder of its own for each server on a machine";
                return Err(Error::data(root, reason));
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        let root = root.canonicalize().map_err(unusable)?;
        let mut mirror = Self { root, records: BTreeMap::new(), _lock: lock };
        mirror.read()?;
        Ok(mirror)
    }

    /// Reads the records; removes stages, and copies without a record.
    fn read(&mut self) -> Result<()> {
        for (model, folder) in entries(&self.root)? {
            if model.starts_with(STAGE) {
                fs::remove_dir_all(&folder).map_err(Error::io("remove", &folder))?;
            }
            if model.starts_with('.') || model == BACKBONES_FOLDER || !folder.is_dir() {
                continue;
            }
            for (name, path) in entries(&folder)? {
                let Some(version) = version(&name) else { continue };
                let record = fs::read(self.record_file(&model, version)).ok();
                match record.and_then(|text| serde_json::from_slice(&text).ok()) {
                    Some(record) => drop(self.records.insert((model.clone(), version), record)),
                    None => remove(&path)?,
                }
            }
        }
        Ok(())
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The complete copies.
    pub(super) fn records(&self) -> &BTreeMap<Key, Record> {
        &self.records
    }

    /// Where the copy of a version is, if there is one.
    pub(super) fn path(&self, (model, version): &Key) -> PathBuf {
        self.root.join(model).join(version.to_string())
    }

    fn record_file(&self, model: &str, version: u32) -> PathBuf {
        self.root.join(model).join(format!(".{version}.json"))
    }

    /// A folder in which a package is put together. Its shared backbone is found from there as from the package's place.
    pub(super) fn stage(root: &Path) -> Result<TempDir> {
        tempfile::Builder::new().prefix(STAGE).tempdir_in(root).map_err(Error::io("create a folder in", root))
    }

    /// Moves a complete package to its place. The one before, if any, goes with the stage.
    pub(super) fn install(&mut self, stage: &TempDir, package: &Path, key: &Key, record: Record) -> Result<()> {
        let (target, file) = (self.path(key), self.record_file(&key.0, key.1));
        let model = self.root.join(&key.0);
        fs::create_dir_all(&model).map_err(Error::io("create", &model))?;
        let text = serde_json::to_vec(&record).map_err(|error| Error::internal(Reason::of(error)))?;
        self.forget(key)?;
        match fs::rename(&target, stage.path().join("before")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::io("move", target)(error)),
            _ => {}
        }
        fs::rename(package, &target).map_err(Error::io("move a package to", &target))?;
        write_whole(&file, &text)?;
        self.records.insert(key.clone(), record);
        Ok(())
    }

    /// Removes the record of a copy, so that it is made again.
    pub(super) fn forget(&mut self, key: &Key) -> Result<()> {
        self.records.remove(key);
        remove(&self.record_file(&key.0, key.1))
    }

    /// Removes copies, models without a version, and backbones that no copy needs.
    pub(super) fn remove(&mut self, keys: &[Key]) -> Result<()> {
        for key in keys {
            self.forget(key)?;
            remove(&self.path(key))?;
            // It stays if there are other versions.
            let _ = fs::remove_dir(self.root.join(&key.0));
        }
        let used: BTreeSet<_> = self.records.values().filter_map(|record| record.backbone.as_deref()).collect();
        let backbones = self.root.join(BACKBONES_FOLDER);
        for (name, path) in entries(&backbones).unwrap_or_default() {
            if !name.strip_suffix(".onnx").is_some_and(|hash| used.contains(hash)) {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// Notes that the bucket was read now.
    pub(super) fn looked(&self) -> Result<()> {
        let path = self.root.join(LOOKED);
        let file = File::create(&path).map_err(Error::io("write", &path))?;
        file.set_modified(SystemTime::now()).map_err(Error::io("write", &path))
    }

    /// When the bucket was last read.
    pub(super) fn last_look(&self) -> Option<SystemTime> {
        fs::metadata(self.root.join(LOOKED)).and_then(|metadata| metadata.modified()).ok()
    }
}

/// Where a shared backbone is in a mirror.
pub(super) fn backbone_path(root: &Path, hash: &str) -> PathBuf {
    root.join(BACKBONES_FOLDER).join(format!("{hash}.onnx"))
}

/// The entries of a folder, by name.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let entry = entry.map_err(Error::io("read", folder))?;
        found.extend(entry.file_name().into_string().ok().map(|name| (name, entry.path())));
    }
    Ok(found)
}

/// Removes a file or a folder, if it is there.
fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(mirror: &mut Mirror, version: u32, backbone: Option<&str>) {
        let stage = Mirror::stage(mirror.root()).unwrap();
        let package = stage.path().join("package");
        fs::create_dir(&package).unwrap();
        fs::write(package.join("uflow.json"), version.to_string()).unwrap();
        let record = Record { backbone: backbone.map(str::to_owned), ..Record::default() };
        mirror.install(&stage, &package, &("bolt".to_owned(), version), record).unwrap();
    }

    #[test]
    fn a_copy_without_a_record_is_made_again_and_stages_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut mirror = Mirror::open(folder.path()).unwrap();
        put(&mut mirror, 1, None);
        put(&mut mirror, 2, None);
        fs::remove_file(folder.path().join("bolt/.2.json")).unwrap();
        fs::create_dir(folder.path().join(".stage-x")).unwrap();
        drop(mirror);
        let mirror = Mirror::open(folder.path()).unwrap();
        assert_eq!(mirror.records().keys().map(|(_, version)| *version).collect::<Vec<_>>(), [1]);
        assert!(!folder.path().join("bolt/2").exists() && !folder.path().join(".stage-x").exists());
    }

    #[test]
    fn a_package_takes_the_place_of_the_one_before_and_removal_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut mirror = Mirror::open(folder.path()).unwrap();
        put(&mut mirror, 1, Some("aa"));
        fs::write(folder.path().join("bolt/1/old"), "").unwrap();
        fs::create_dir(folder.path().join("backbones")).unwrap();
        fs::write(backbone_path(folder.path(), "aa"), "").unwrap();
        fs::write(backbone_path(folder.path(), "bb"), "").unwrap();
        put(&mut mirror, 1, Some("aa"));
        assert!(!folder.path().join("bolt/1/old").exists());
        mirror.remove(&[]).unwrap();
        assert!(backbone_path(folder.path(), "aa").exists() && !backbone_path(folder.path(), "bb").exists());
        mirror.remove(&[("bolt".to_owned(), 1)]).unwrap();
        assert!(!folder.path().join("bolt").exists() && !backbone_path(folder.path(), "aa").exists());
    }

    #[test]
    fn two_servers_do_not_fill_one_folder_and_a_folder_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mirror = Mirror::open(folder.path()).unwrap();
        assert!(mirror.last_look().is_none());
        mirror.looked().unwrap();
        assert!(mirror.last_look().is_some());
        let error = Mirror::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("another server") && error.contains("UFLOW_CACHE"), "{error}");
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Mirror::open(&file.join("below")).unwrap_err().to_string();
        assert!(error.contains("UFLOW_CACHE") && error.contains("file/below"), "{error}");
    }

    #[test]
    fn folders_of_different_stores_differ() {
        let name = |identity: &str| folder(Path::new("/c"), "s3://plant/models", identity);
        assert!(name("a").starts_with("/c/models") && name("a").to_string_lossy().contains("s3---plant-models-"));
        assert_ne!(name("a"), name("b"));
    }
}

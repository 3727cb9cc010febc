//! What is in the bucket: models, versions and shared backbones, by their keys.

use std::collections::{BTreeMap, BTreeSet};

use object_store::{ObjectMeta, ObjectStoreExt as _, path::Path};
use serde::{Deserialize, Serialize};
use tokio_stream::StreamExt as _;

use super::address::Bucket;
use crate::{
    Error, Result,
    package::{BACKBONES_FOLDER, MANIFEST_FILE, PACKAGE_SUFFIX, check_model_name, check_sha256, is_one_file},
};

/// Most objects of a repository. A listing holds them in memory.
const MOST_OBJECTS: usize = 100_000;

/// An object, as it was listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) location: Path,
    pub(super) stamp: Stamp,
}

/// What changes when an object's content changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    pub(super) size: u64,
    /// Entity tag, as the store writes it.
    pub(super) e_tag: Option<String>,
    /// Milliseconds since 1970. Tells changes apart if there is no tag.
    pub(super) modified: i64,
}

impl Stamp {
    /// Whether it is the stamp of the same content.
    pub(super) fn is(&self, other: &Self) -> bool {
        let same_time = self.modified == other.modified || (self.e_tag.is_some() && other.e_tag.is_some());
        self.size == other.size && self.e_tag == other.e_tag && same_time
    }
}

impl From<ObjectMeta> for Object {
    fn from(meta: ObjectMeta) -> Self {
        let stamp = Stamp { size: meta.size, e_tag: meta.e_tag, modified: meta.last_modified.timestamp_millis() };
        Self { location: meta.location, stamp }
    }
}

/// A package in the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Remote {
    /// Its files, by their paths in the package. There is a manifest among them.
    Folder(BTreeMap<String, Object>),
    /// A `.uflow` file.
    File(Object),
}

/// What a listing found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Catalogue {
    pub(super) models: BTreeMap<String, BTreeMap<u32, Remote>>,
    /// Shared backbones by hash.
    pub(super) backbones: BTreeMap<String, Object>,
    /// Names below the repository that are no packages.
    pub(super) passed_over: Vec<String>,
}

impl Catalogue {
    pub(super) fn get(&self, name: &str, version: u32) -> Option<&Remote> {
        self.models.get(name)?.get(&version)
    }
}

/// Why the bucket could not be listed.
#[derive(Debug)]
pub(super) enum ListError {
    /// The store did not answer, or refused.
    Store(object_store::Error),
    /// What is there cannot be a repository.
    Content(Error),
}

impl Bucket {
    /// Lists the bucket. `name` is what one package is served as.
    pub(super) async fn catalogue(&self, name: Option<&str>) -> Result<Catalogue, ListError> {
        if self.is_file() {
            let meta = self.store.head(&self.prefix).await.map_err(ListError::Store)?;
            return self.single(name, Remote::File(meta.into()));
        }
        let mut objects = BTreeMap::new();
        let mut listing = self.store.list(Some(&self.prefix));
        while let Some(meta) = listing.next().await {
            let object = Object::from(meta.map_err(ListError::Store)?);
            let key = object.location.as_ref();
            let relative = key.strip_prefix(self.prefix.as_ref()).unwrap_or(key).trim_start_matches('/').to_owned();
            objects.insert(relative, object);
            if objects.len() > MOST_OBJECTS {
                return Err(ListError::Content(Error::Limit {
                    what: format!("the number of objects in {}", self.address),
                    found: objects.len() as u64,
                    limit: MOST_OBJECTS as u64,
                    unit: "objects",
                }));
            }
        }
        if objects.contains_key(MANIFEST_FILE) {
            return self.single(name, Remote::Folder(objects));
        }
        if name.is_some() {
            let mut files = objects.into_iter().filter(|(key, _)| !key.contains('/') && !key.starts_with('.'));
            return match (files.next(), files.next()) {
                (Some((key, only)), None) if is_one_file(key.as_ref()) => self.single(name, Remote::File(only)),
                _ => Err(ListError::Content(Error::data(
                    &self.address,
                    format!(
                        "is to be served as one model, and is not a package: there is no {MANIFEST_FILE} in it, and no single \
                         .{PACKAGE_SUFFIX} file; a repository of models is served without a name"
                    ),
                ))),
            };
        }
        Ok(catalogue(objects))
    }

    fn single(&self, name: Option<&str>, package: Remote) -> Result<Catalogue, ListError> {
        let name = name.map_or_else(|| self.stem(), str::to_owned);
        check_model_name(&name).map_err(ListError::Content)?;
        let models = BTreeMap::from([(name, BTreeMap::from([(1, package)]))]);
        Ok(Catalogue { models, ..Catalogue::default() })
    }
}

/// Sorts objects, by their keys below the repository: `<model>/<version>/<file>`, `<model>/<version>` for a package in one file, and
/// `backbones/<sha256>.onnx`. Hidden names are left out, as in a folder.
fn catalogue(objects: BTreeMap<String, Object>) -> Catalogue {
    let mut found = Catalogue::default();
    let (mut folders, mut others) = (BTreeMap::<_, BTreeMap<String, Object>>::new(), BTreeSet::new());
    for (key, object) in objects {
        let mut parts = key.splitn(3, '/');
        let (Some(first), second, rest) = (parts.next(), parts.next(), parts.next()) else { continue };
        // A folder that a console makes is an object without content.
        let is_mark = object.stamp.size == 0 && rest.is_none();
        if is_mark || first.starts_with('.') || second.is_some_and(|second| second.starts_with('.')) {
            continue;
        }
        let Some(second) = second else {
            others.extend(is_one_file(first.as_ref()).then(|| first.to_owned()));
            continue;
        };
        if first == BACKBONES_FOLDER {
            let hash = second.strip_suffix(".onnx").filter(|hash| rest.is_none() && check_sha256(hash).is_ok());
            found.backbones.extend(hash.map(|hash| (hash.to_owned(), object)));
            continue;
        }
        if check_model_name(first).is_err() {
            others.insert(first.to_owned());
            continue;
        }
        match (version(second), rest) {
            (Some(version), Some(rest)) => {
                folders.entry((first.to_owned(), version)).or_default().insert(rest.to_owned(), object);
            }
            (Some(version), None) => {
                found.models.entry(first.to_owned()).or_default().insert(version, Remote::File(object));
            }
            (None, rest) => {
                let is_one = rest.is_some() || is_one_file(second.as_ref());
                others.extend(is_one.then(|| format!("{first}/{second}")));
            }
        }
    }
    for ((name, version), files) in folders {
        if files.contains_key(MANIFEST_FILE) {
            found.models.entry(name).or_default().insert(version, Remote::Folder(files));
        } else if !found.models.get(&name).is_some_and(|versions| versions.contains_key(&version)) {
            others.insert(format!("{name}/{version}"));
        }
    }
    found.passed_over = others.into_iter().collect();
    found
}

/// The number that a folder's name is, written as a version is.
pub(super) fn version(name: &str) -> Option<u32> {
    name.parse().ok().filter(|&version: &u32| version > 0 && version.to_string() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(keys: &[&str]) -> BTreeMap<String, Object> {
        let stamp = |key: &str| Stamp { size: u64::from(!key.ends_with('/')), e_tag: None, modified: 0 };
        let object = |key: &str| Object { location: Path::from(key), stamp: stamp(key) };
        keys.iter().map(|key| (key.trim_end_matches('/').to_owned(), object(key))).collect()
    }

    #[test]
    fn keys_are_sorted_as_a_folder_is() {
        let hash = "0123456789abcdef".repeat(4);
        let backbone = format!("backbones/{hash}.onnx");
        let found = catalogue(objects(&[
            "bolt/1/uflow.json",
            "bolt/1/golden/0.png",
            "bolt/10/uflow.json",
            "bolt/2",
            "bolt/07/uflow.json",
            "bolt/x/uflow.json",
            "bolt/3/flow.onnx",
            "bolt/4/",
            "bolt/.5/uflow.json",
            ".hidden/1/uflow.json",
            "backbones/1/uflow.json",
            "backbones/notes.txt",
            &backbone,
            "nut/2/uflow.json",
            "notes.txt",
            "bolt/notes.txt",
            "washer.uflow",
            "a\\..\\etc/1/uflow.json",
            "nut/2/..\\..\\evil",
            "nut/",
        ]));
        let models: Vec<_> = (found.models.iter())
            .map(|(name, versions)| (name.as_str(), versions.keys().copied().collect::<Vec<_>>()))
            .collect();
        assert_eq!(models, [("bolt", vec![1, 2, 10]), ("nut", vec![2])]);
        assert!(matches!(found.get("bolt", 2), Some(Remote::File(_))));
        let Some(Remote::Folder(files)) = found.get("bolt", 1) else { panic!("no folder") };
        assert_eq!(files.keys().collect::<Vec<_>>(), ["golden/0.png", "uflow.json"]);
        assert_eq!(found.backbones.keys().collect::<Vec<_>>(), [&hash]);
        assert_eq!(found.passed_over, ["a\\..\\etc", "bolt/07", "bolt/3", "bolt/x", "washer.uflow"]);
    }

    #[test]
    fn a_tag_decides_and_without_one_the_time() {
        let stamp = |tag: Option<&str>, modified| Stamp { size: 1, e_tag: tag.map(str::to_owned), modified };
        assert!(stamp(Some("a"), 1).is(&stamp(Some("a"), 2)), "an object that was written again with the same content");
        assert!(!stamp(Some("a"), 1).is(&stamp(Some("b"), 1)));
        assert!(stamp(None, 1).is(&stamp(None, 1)) && !stamp(None, 1).is(&stamp(None, 2)));
        assert!(!stamp(Some("a"), 1).is(&Stamp { size: 2, ..stamp(Some("a"), 1) }));
    }
}

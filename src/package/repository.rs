//! Which packages there are on disk: `<root>/<model>/<version>/uflow.json`, or one package under one name.
//!
//! Names that come from the network are looked up in what a scan found; they never become paths.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufReader, Read as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::Deserialize;

use super::text::check_sha256;
use super::{BACKBONES_FOLDER, MANIFEST_FILE, MAX_MANIFEST_BYTES, PACKAGE_SUFFIX, check_model_name, is_one_file};
use crate::{Error, Result};

/// Where packages come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repository {
    /// A folder of models, each a folder of versions.
    Folder(PathBuf),
    /// One package, served as version 1 of the model `name`.
    Package {
        /// The package.
        path: PathBuf,
        /// What it is served as.
        name: String,
    },
}

/// A package that a scan found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPackage {
    /// Where it is.
    pub path: PathBuf,
    /// Names, sizes and times of the package's files and of the shared backbone that its manifest names. It changes when one
    /// of them changes, comes or goes.
    pub fingerprint: Vec<(PathBuf, u64, Option<SystemTime>)>,
}

/// Packages by model and version.
pub type Listing = BTreeMap<String, BTreeMap<u32, FoundPackage>>;

impl Repository {
    /// A repository at `path`: of one package where `name` is given or `path` is a package itself, else of a folder.
    ///
    /// # Errors
    /// A path that does not exist, or a name that no model can have.
    pub fn open(path: &Path, name: Option<&str>) -> Result<Self> {
        let is_package = path.join(MANIFEST_FILE).is_file() || path.is_file();
        if !path.exists() {
            let reason =
                "does not exist; give the folder that holds <model>/<version>/uflow.json, or a package".to_owned();
            return Err(Error::data(path, reason));
        }
        if !is_package && name.is_none() {
            return Ok(Self::Folder(path.to_owned()));
        }
        let name = match name {
            Some(name) => name.to_owned(),
            None => path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default(),
        };
        check_model_name(&name)?;
        if fingerprint(&resolve_single(path)).is_none() {
            let reason = format!(
                "is to be served as the one model `{name}`, and is not a package: there is no {MANIFEST_FILE} in it, and no single \
                 .{PACKAGE_SUFFIX} file; a folder of models is served without a name"
            );
            return Err(Error::data(path, reason));
        }
        Ok(Self::Package { path: path.to_owned(), name })
    }

    /// What is there now. Folders that cannot be models (hidden ones, the backbones, names no model can have) are passed over.
    ///
    /// # Errors
    /// A root that cannot be read.
    pub fn scan(&self) -> Result<Listing> {
        let mut listing = Listing::new();
        match self {
            Self::Package { path, name } => {
                let path = self::resolve_single(path);
                if let Some(fingerprint) = fingerprint(&path) {
                    listing.entry(name.clone()).or_default().insert(1, FoundPackage { path, fingerprint });
                }
            }
            Self::Folder(root) => {
                for (name, folder) in entries(root)? {
                    if name == BACKBONES_FOLDER || check_model_name(&name).is_err() {
                        continue;
                    }
                    // A model that is being removed may be gone by now.
                    let versions: BTreeMap<u32, FoundPackage> =
                        entries(&folder).unwrap_or_default().into_iter().filter_map(version).collect();
                    if !versions.is_empty() {
                        listing.insert(name, versions);
                    }
                }
            }
        }
        Ok(listing)
    }

    /// Folders and packages beside those of `listing`, which nothing will serve: a name no model can have, a package that is
    /// not in a folder of its version.
    pub fn passed_over(&self, listing: &Listing) -> Vec<PathBuf> {
        let Self::Folder(root) = self else { return Vec::new() };
        let is_one = |path: &PathBuf| path.is_dir() || is_one_file(path);
        let mut passed_over = Vec::new();
        for (name, folder) in entries(root).unwrap_or_default() {
            match listing.get(&name) {
                _ if name == BACKBONES_FOLDER => {}
                None => passed_over.extend(is_one(&folder).then_some(folder)),
                Some(versions) => {
                    let known = |path: &PathBuf| versions.values().any(|found| found.path == *path);
                    let others = entries(&folder).unwrap_or_default().into_iter().map(|(_, path)| path);
                    passed_over.extend(others.filter(|path| is_one(path) && !known(path)));
                }
            }
        }
        passed_over
    }
}

/// KServe mounts a package at a folder whose only entry may be the package's file.
fn resolve_single(path: &Path) -> PathBuf {
    if path.is_dir() && !path.join(MANIFEST_FILE).exists() {
        let files: Vec<_> = entries(path).unwrap_or_default();
        if let [(_, only)] = files.as_slice()
            && is_one_file(only)
        {
            return only.clone();
        }
    }
    path.to_owned()
}

fn version((name, path): (String, PathBuf)) -> Option<(u32, FoundPackage)> {
    let version = name.parse().ok().filter(|&version: &u32| version > 0 && version.to_string() == name)?;
    let fingerprint = fingerprint(&path)?;
    Some((version, FoundPackage { path, fingerprint }))
}

/// As [`FoundPackage::fingerprint`]; `None` where there is no package.
fn fingerprint(path: &Path) -> Option<Vec<(PathBuf, u64, Option<SystemTime>)>> {
    let stamp = |path: PathBuf| {
        let metadata = fs::metadata(&path).ok()?;
        Some((path, metadata.len(), metadata.modified().ok()))
    };
    if path.is_file() {
        return Some(vec![stamp(path.to_owned())?]);
    }
    path.join(MANIFEST_FILE).is_file().then_some(())?;
    let files = entries(path).ok()?.into_iter().map(|(_, path)| path);
    let mut files: Vec<_> = files.chain(shared_backbone(path)).filter_map(stamp).collect();
    files.sort();
    Some(files)
}

/// Where the shared backbone of a package in a folder has to be, if its manifest names one: `<root>/backbones/<sha256>.onnx`.
fn shared_backbone(package: &Path) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Manifest {
        backbone: Reference,
    }
    #[derive(Deserialize)]
    struct Reference {
        sha256: String,
        file: Option<String>,
    }
    let file = fs::File::open(package.join(MANIFEST_FILE)).ok()?;
    // What is wrong with a manifest is said when the package is opened.
    let manifest: Manifest = serde_json::from_reader(BufReader::new(file).take(MAX_MANIFEST_BYTES)).ok()?;
    let Reference { sha256, file: None } = manifest.backbone else { return None };
    check_sha256(&sha256).ok()?;
    Some(package.parent()?.parent()?.join(BACKBONES_FOLDER).join(format!("{sha256}.onnx")))
}

/// The entries of a folder that are not hidden, by name.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let entry = entry.map_err(Error::io("read", folder))?;
        if let Some(name) = entry.file_name().to_str().filter(|name| !name.starts_with('.')) {
            found.push((name.to_owned(), entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(root: &Path, file: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "{}").unwrap();
    }

    #[test]
    fn a_scan_finds_numbered_versions_and_passes_over_the_rest() {
        let root = tempfile::tempdir().unwrap();
        for file in [
            "bolt/1/uflow.json",
            "bolt/10/uflow.json",
            "bolt/07/uflow.json",
            "bolt/0/uflow.json",
            "bolt/x/uflow.json",
            "bolt/3/other.json",
            "backbones/1/uflow.json",
            ".hidden/1/uflow.json",
            "nut/2/uflow.json",
            "notes.txt",
        ] {
            touch(root.path(), file);
        }
        let listing = Repository::open(root.path(), None).unwrap().scan().unwrap();
        let found: Vec<_> = listing
            .iter()
            .map(|(name, versions)| (name.as_str(), versions.keys().copied().collect::<Vec<_>>()))
            .collect();
        assert_eq!(found, [("bolt", vec![1, 10]), ("nut", vec![2])]);
        touch(root.path(), "washer.uflow");
        touch(root.path(), "a model/1/uflow.json");
        let passed_over = Repository::open(root.path(), None).unwrap().passed_over(&listing);
        let expected = ["a model", "bolt/0", "bolt/07", "bolt/3", "bolt/x", "washer.uflow"];
        assert_eq!(passed_over, expected.map(|path| root.path().join(path)));
    }

    #[test]
    fn a_fingerprint_changes_with_a_file() {
        let root = tempfile::tempdir().unwrap();
        touch(root.path(), "bolt/1/uflow.json");
        let repository = Repository::open(root.path(), None).unwrap();
        let before = repository.scan().unwrap();
        assert_eq!(repository.scan().unwrap(), before);
        fs::write(root.path().join("bolt/1/flow.onnx"), "x").unwrap();
        assert_ne!(repository.scan().unwrap(), before);
    }

    #[test]
    fn a_fingerprint_changes_with_the_shared_backbone() {
        let root = tempfile::tempdir().unwrap();
        touch(root.path(), "bolt/1/uflow.json");
        touch(root.path(), "nut/1/uflow.json");
        let sha256 = "0123456789abcdef".repeat(4);
        let manifest = format!(r#"{{"backbone": {{"name": "x", "sha256": "{sha256}"}}}}"#);
        fs::write(root.path().join("bolt/1/uflow.json"), manifest).unwrap();
        let repository = Repository::open(root.path(), None).unwrap();
        let without = repository.scan().unwrap();
        touch(root.path(), &format!("backbones/{sha256}.onnx"));
        let with = repository.scan().unwrap();
        assert_ne!(with["bolt"], without["bolt"], "the backbone came");
        assert_eq!(with["nut"], without["nut"], "nut does not use it");
        fs::write(root.path().join(format!("backbones/{sha256}.onnx")), "longer").unwrap();
        assert_ne!(repository.scan().unwrap()["bolt"], with["bolt"], "the backbone changed");
        let outside = r#"{"backbone": {"name": "x", "sha256": "../../secret"}}"#;
        fs::write(root.path().join("nut/1/uflow.json"), outside).unwrap();
        assert_eq!(repository.scan().unwrap()["nut"][&1].fingerprint.len(), 1, "a hash cannot be a path");
    }

    #[test]
    fn one_package_is_served_under_a_name() {
        let root = tempfile::tempdir().unwrap();
        touch(root.path(), "bracket/uflow.json");
        let package = root.path().join("bracket");
        let listing = Repository::open(&package, None).unwrap().scan().unwrap();
        assert_eq!(listing["bracket"].keys().collect::<Vec<_>>(), [&1]);
        let listing = Repository::open(&package, Some("line3")).unwrap().scan().unwrap();
        assert!(listing.contains_key("line3") && listing.len() == 1);
        touch(root.path(), "mounted/only.uflow");
        let listing = Repository::open(&root.path().join("mounted"), Some("line3")).unwrap().scan().unwrap();
        assert!(listing["line3"][&1].path.ends_with("only.uflow"));
        assert!(Repository::open(&root.path().join("nothing"), None).is_err());
    }
}

//! Data sets with several categories: finds the categories and stores the result of each on disk.
//!
//! An evaluation of a whole data set takes hours and may run on several machines. So each category's result is a file of its
//! own ([`Record`]) with the settings it was made with, written atomically at the end. A run that was killed continues with the missing
//! categories, machines can share the categories, and results with different settings are never merged.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    Dataset, Evaluation, ImageRegions, Layout,
    dataset::{data, detect},
    mask::Mask,
};
use crate::{Error, Reason, Result, digest::hex, files::write_whole};

/// Name of a category's result in its folder.
pub const RECORD_FILE: &str = "evaluation.json";

/// One category of a data set.
#[derive(Clone, Debug)]
pub struct Category {
    /// Its name: the name of its folder.
    pub name: String,
    /// Its images.
    pub data: Dataset,
}

impl Category {
    /// A short hash of the paths and sizes of all images and masks.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn fingerprint(&self) -> Result<String> {
        let mut hasher = Sha256::new();
        let tested = self
            .data
            .test
            .iter()
            .flat_map(|sample| [sample.path.as_path()].into_iter().chain(sample.masks.iter().map(Mask::path)));
        for path in self.data.train.iter().map(PathBuf::as_path).chain(tested) {
            let size = fs::metadata(path).map_err(Error::io("look at", path))?.len();
            let name = path.strip_prefix(&self.data.root).unwrap_or(path);
            hasher.update(format!("{} {size}\n", name.display()));
        }
        Ok(hex(&hasher.finalize()[..8]))
    }
}

/// Finds the categories below `root`, sorted by name: every folder that is laid out as a test set. Other folders are ignored.
///
/// # Errors
/// No category is found; [`Dataset::open`] refuses one; or one has no good images to learn from.
pub fn categories(root: &Path, layout: Option<Layout>) -> Result<Vec<Category>> {
    if !root.is_dir() {
        return Err(data(root, "is not a folder"));
    }
    let entries = fs::read_dir(root).map_err(Error::io("read", root))?;
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(Error::io("read", root))?;
    folders.retain(|folder| folder.is_dir());
    folders.sort();
    let mut found = Vec::new();
    for folder in folders {
        let Some(name) = folder.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
        if name.starts_with('.') || (layout.is_none() && detect(&folder).is_err()) {
            continue;
        }
        let set = match (Dataset::open(&folder, layout), layout) {
            (Ok(set), _) => set,
            // A folder beside the categories, such as VisA's `split_csv`.
            (Err(_), Some(_)) if detect(&folder).is_err() => continue,
            (Err(error), _) => return Err(error),
        };
        if set.train.is_empty() {
            let reason = "has no good images to learn from; use a layout with a `train` folder";
            return Err(data(&folder, reason));
        }
        found.push(Category { name, data: set });
    }
    if found.is_empty() {
        let reason = "has no categories (folders with the layout of MVTec AD, LOCO, AD 2, BTAD or VisA); to evaluate one \
                      category, give --model instead of --all-categories";
        return Err(data(root, reason));
    }
    Ok(found)
}

/// The settings of a result, as flat names and values.
pub type RunSettings = BTreeMap<String, String>;

/// A category's result.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The category's name.
    pub category: String,
    /// The settings it was made with.
    pub settings: RunSettings,
    /// Settings that may differ between categories: the images.
    pub images: String,
    /// Seconds for each step.
    pub seconds: BTreeMap<String, f64>,
    /// The metrics.
    pub evaluation: Evaluation,
    /// The regions of every image, in the order of evaluation.
    pub regions: Vec<ImageRegions>,
}

impl Record {
    /// Writes the record into the category's folder, atomically.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, folder: &Path) -> Result<()> {
        let json = serde_json::to_string(self).map_err(|error| data(folder, Reason::of(error)))?;
        write_whole(&folder.join(RECORD_FILE), json.as_bytes())
    }

    /// Reads the record in a category's folder; `None` if there is no result yet.
    ///
    /// # Errors
    /// [`Error::Data`] if the file is not a valid result; [`Error::Io`].
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(RECORD_FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        let record = serde_json::from_slice(&text);
        record
            .map(Some)
            .map_err(|error| data(&path, Reason::because("is not a result of this version of uflow", error)))
    }

    /// The first setting that differs: its name, its value here, its value there.
    pub fn difference(&self, settings: &RunSettings) -> Option<(String, String, String)> {
        let names = self.settings.keys().chain(settings.keys());
        let value = |of: &RunSettings, name: &str| of.get(name).cloned().unwrap_or_else(|| "nothing".to_owned());
        names.map(|name| (name.clone(), value(&self.settings, name), value(settings, name))).find(|(_, a, b)| a != b)
    }
}

/// Reads all results below these folders, sorted by category.
///
/// # Errors
/// There is no result; a category has two; or results have different settings (the error names the setting and the categories).
pub fn records(folders: &[PathBuf]) -> Result<Vec<(PathBuf, Record)>> {
    let mut found: Vec<(PathBuf, Record)> = Vec::new();
    for root in folders {
        for entry in fs::read_dir(root).map_err(Error::io("read", root))? {
            let folder = entry.map_err(Error::io("read", root))?.path();
            if let Some(record) = folder.is_dir().then(|| Record::read(&folder)).transpose()?.flatten() {
                found.push((folder, record));
            }
        }
    }
    found.sort_by(|a, b| a.1.category.cmp(&b.1.category));
    let Some((_, first)) = found.first() else {
        let names: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        return Err(data(Path::new(&names.join(", ")), format!("contains no result ({RECORD_FILE})")));
    };
    if let Some(pair) = found.windows(2).find(|pair| pair[0].1.category == pair[1].1.category) {
        let reason =
            format!("and {} are both results of `{}`; merge one of them", pair[1].0.display(), pair[0].1.category);
        return Err(data(&pair[0].0, reason));
    }
    for (folder, record) in &found {
        if let Some((name, there, here)) = record.difference(&first.settings) {
            let reason =
                format!("has {name} = {there}, but `{}` has {here}; merge only results of one run", first.category);
            return Err(data(folder, reason));
        }
    }
    Ok(found)
}

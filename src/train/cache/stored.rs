//! Features saved in a file between fits: computing them is the longest step before training, and training options do not change
//! them.
//!
//! The file is a line of JSON (the key, the shapes, how many versions each image has), then the values in half precision, in the order of the
//! cache and this machine's byte order. The file is written completely or not at all; a file with another key is not read.

use std::{
    fs::File,
    io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Write},
    path::Path,
};

use half::f16;
use serde::{Deserialize, Serialize};

use super::FeatureCache;
use crate::{Error, Result, latents::ScaleShape, package::ImageDigest};

/// The first line of the file.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Head {
    /// Version of the file's format.
    features: u32,
    little_endian: bool,
    key: String,
    shapes: Vec<ScaleShape>,
    /// Versions of each image.
    versions: Vec<usize>,
    /// What the images are called, in a file that says it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    images: Vec<StoredImage>,
}

/// An image whose features are in a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredImage {
    /// What it is called.
    pub name: String,
    /// Stands for its pixels.
    pub digest: ImageDigest,
    /// [`Frame::brightness`](crate::frame::Frame::brightness), where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brightness: Option<f32>,
}

const FORMAT: u32 = 1;

impl FeatureCache {
    /// Writes all features to `path`. `key` identifies everything that they depend on.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: &Path, key: &str) -> Result<()> {
        self.save_with(path, key, &[])
    }

    /// The same, with what each image is called.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save_with(&self, path: &Path, key: &str, images: &[StoredImage]) -> Result<()> {
        let failed = |error| Error::io("write", path)(error);
        let folder = crate::files::folder_of(path);
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        let head = Head { images: images.to_vec(), ..self.head(key) };
        let head = serde_json::to_string(&head).map_err(|error| failed(error.into()))?;
        writeln!(out, "{head}").map_err(failed)?;
        for version in self.images.iter().cloned().flatten() {
            out.write_all(bytemuck::cast_slice(self.version(version))).map_err(failed)?;
        }
        let file = out.into_inner().map_err(|error| failed(error.into_error()))?;
        let file = file.persist(path).map_err(|error| failed(error.error))?;
        crate::files::readable(&file).map_err(failed)
    }

    /// Loads the features that [`save`](Self::save) wrote to `path` with the same key. Returns false and loads nothing if there is no such
    /// file or it has another key. The cache must be empty.
    ///
    /// # Errors
    /// [`Error::Data`] for a file that is cut off or has values that are not finite; [`Error::Io`].
    pub fn restore(&mut self, path: &Path, key: &str) -> Result<bool> {
        Ok(self.restore_with(path, key)?.is_some())
    }

    /// The same, with what each image is called, where the file says it.
    ///
    /// # Errors
    /// As [`restore`](Self::restore).
    pub fn restore_with(&mut self, path: &Path, key: &str) -> Result<Option<Vec<StoredImage>>> {
        self.load(path, key, None)
    }

    /// Loads only these scales of the features in the file, by their places from the finest. The cache has the shapes of these scales.
    ///
    /// # Errors
    /// As [`restore`](Self::restore).
    pub fn restore_scales(&mut self, path: &Path, key: &str, scales: &[usize]) -> Result<bool> {
        Ok(self.load(path, key, Some(scales))?.is_some())
    }

    fn load(&mut self, path: &Path, key: &str, scales: Option<&[usize]>) -> Result<Option<Vec<StoredImage>>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", path)(error)),
        };
        let mut input = BufReader::with_capacity(1 << 20, file);
        let mut line = Vec::new();
        // A valid head has one number per image and is much shorter than this.
        (&mut input).take(1 << 26).read_until(b'\n', &mut line).map_err(Error::io("read", path))?;
        let Ok(head) = serde_json::from_slice::<Head>(&line) else { return Ok(None) };
        let (shapes, versions, images) = (head.shapes.clone(), head.versions.clone(), head.images.clone());
        let expected = Head { shapes, versions, images, ..self.head(key) };
        let all: Vec<usize> = (0..head.shapes.len()).collect();
        let scales = scales.unwrap_or(&all);
        let shapes: Option<Vec<ScaleShape>> = scales.iter().map(|&scale| head.shapes.get(scale).copied()).collect();
        if head != expected || shapes.as_ref() != Some(&self.shapes) || !self.is_empty() {
            return Ok(None);
        }
        let until = |scale: usize| head.shapes[..scale].iter().map(ScaleShape::len).sum::<usize>();
        let mut values = vec![f16::ZERO; until(head.shapes.len())];
        for &versions in &head.versions {
            for version in 0..versions {
                let broken = |reason: &str| {
                    Error::data(path, format!("{reason}; remove it, and the features are computed again"))
                };
                input.read_exact(bytemuck::cast_slice_mut(&mut values)).map_err(|_| broken("ends in the middle"))?;
                if values.iter().any(|value| !value.is_finite()) {
                    return Err(broken("has features that are not finite"));
                }
                let chosen: Vec<f16> =
                    scales.iter().flat_map(|&scale| &values[until(scale)..until(scale + 1)]).copied().collect();
                self.append_halves(&chosen)?;
                self.note(version == 0);
            }
        }
        Ok(Some(head.images))
    }

    fn head(&self, key: &str) -> Head {
        Head {
            features: FORMAT,
            little_endian: cfg!(target_endian = "little"),
            key: key.to_owned(),
            shapes: self.shapes.clone(),
            versions: (0..self.len()).map(|image| self.versions(image)).collect(),
            images: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    fn cache(budget: u64) -> FeatureCache {
        let shapes = [ScaleShape { channels: 2, height: 2, width: 3 }, ScaleShape { channels: 1, height: 1, width: 2 }];
        FeatureCache::new(&shapes, budget).unwrap()
    }

    fn maps(value: f32) -> Vec<Array3<f32>> {
        vec![Array3::from_elem((2, 2, 3), value), Array3::from_elem((1, 1, 2), -value)]
    }

    #[test]
    fn features_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/a.features");
        // In memory, in the temporary file, and from one to the other.
        for (before, after) in [(1 << 20, 1 << 20), (0, 1 << 20), (30, 0)] {
            let mut saved = cache(before);
            saved.push_all([maps(1.0), maps(2.0)].map(Ok)).unwrap();
            saved.push_all([maps(3.0), maps(4.0)].map(Ok)).unwrap();
            saved.save(&path, "key").unwrap();
            let mut found = cache(after);
            assert!(!found.restore(&path, "another key").unwrap() && found.is_empty());
            assert!(!found.restore(&folder.path().join("none"), "key").unwrap());
            assert!(found.restore(&path, "key").unwrap());
            assert_eq!((found.len(), found.versions(0), found.versions(1)), (2, 2, 2));
            let mut target = [0.0; 2];
            found.read(1, 1, 1, &mut target);
            assert_eq!(target, [-4.0; 2]);
            found.push_all([maps(5.0)].map(Ok)).unwrap();
            found.read(2, 0, 1, &mut target);
            assert_eq!(target, [-5.0; 2]);
        }
    }

    #[test]
    fn some_scales_of_a_file_are_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.features");
        let mut saved = cache(1 << 20);
        saved.push_all([maps(1.0), maps(2.0)].map(Ok)).unwrap();
        saved.push_all([maps(3.0), maps(4.0)].map(Ok)).unwrap();
        saved.save(&path, "key").unwrap();
        let coarse = || FeatureCache::new(&saved.shapes()[1..], 1 << 20).unwrap();
        let mut found = coarse();
        assert!(!found.restore(&path, "key").unwrap(), "the file has more scales");
        for (key, scales) in [("key", [0]), ("another key", [1]), ("key", [2])] {
            assert!(!found.restore_scales(&path, key, &scales).unwrap(), "{key} {scales:?}");
        }
        assert!(found.restore_scales(&path, "key", &[1]).unwrap());
        assert_eq!((found.len(), found.versions(1)), (2, 2));
        let mut target = [0.0; 2];
        found.read(1, 0, 0, &mut target);
        assert_eq!(target, [-3.0; 2]);
    }

    #[test]
    fn a_file_that_is_cut_or_broken_is_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.features");
        let mut saved = cache(1 << 20);
        saved.push_all([maps(1.0)].map(Ok)).unwrap();
        saved.save(&path, "key").unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let error = cache(1 << 20).restore(&path, "key").unwrap_err().to_string();
        assert!(error.contains("ends in the middle") && error.contains("remove it"), "{error}");
        let mut broken = bytes.clone();
        let last = broken.len() - 2;
        broken[last..].copy_from_slice(&f16::NAN.to_ne_bytes());
        std::fs::write(&path, &broken).unwrap();
        assert!(cache(1 << 20).restore(&path, "key").unwrap_err().to_string().contains("not finite"));
        std::fs::write(&path, b"no features").unwrap();
        assert!(!cache(1 << 20).restore(&path, "key").unwrap());
    }
}

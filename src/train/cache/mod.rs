//! Features of the training images, computed once and stored in half precision: in memory up to a budget, beyond that in a
//! temporary, memory-mapped file that is removed with the cache. Module `stored` saves them for the next fit.

mod stored;

pub use stored::StoredImage;

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    ops::Range,
    path::PathBuf,
};

use half::{f16, slice::HalfFloatSliceExt};
use ndarray::{Array3, ArrayView3};

use crate::{Error, Result, flow::shape_text, kernel::map_private_file, latents::ScaleShape};

/// Features of images, finest scale first, each image in one or more versions: for each of its tiles the tile itself and then its augmentations. An
/// image that is not cut is one tile.
#[derive(Debug)]
pub struct FeatureCache {
    shapes: Vec<ScaleShape>,
    /// Values of one version of one image.
    values: usize,
    /// How many versions fit the budget; later ones go to the file.
    in_memory: usize,
    memory: Vec<f16>,
    spill: Option<Spill>,
    /// For each image the numbers of its versions among all stored ones.
    images: Vec<Range<usize>>,
    /// Versions that are stored, those of removed images too.
    stored: usize,
    /// Tiles of an image.
    tiles: usize,
    folder: PathBuf,
}

/// Removes the values at these places.
pub(super) fn remove_at<T>(values: &mut Vec<T>, places: &[usize]) {
    let mut place = 0..;
    values.retain(|_| place.next().is_none_or(|place| !places.contains(&place)));
}

#[derive(Debug)]
struct Spill {
    file: File,
    map: Option<memmap2::Mmap>,
}

impl FeatureCache {
    /// An empty cache that holds at most `budget` bytes in memory.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there are no scales or one is empty.
    pub fn new(shapes: &[ScaleShape], budget: u64) -> Result<Self> {
        if shapes.is_empty() || shapes.iter().any(ScaleShape::is_empty) {
            return Err(Error::parameter("features", "at least one scale is needed, and none may be empty"));
        }
        let values: usize = shapes.iter().map(ScaleShape::len).sum();
        let bytes = (values * size_of::<f16>()) as u64;
        Ok(Self {
            shapes: shapes.to_vec(),
            values,
            in_memory: usize::try_from(budget / bytes).unwrap_or(usize::MAX),
            memory: Vec::new(),
            spill: None,
            images: Vec::new(),
            stored: 0,
            tiles: 1,
            folder: std::env::temp_dir(),
        })
    }

    /// Uses this folder for the temporary file instead of the system's folder.
    #[must_use]
    pub fn with_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self
    }

    /// For images that are cut into so many tiles.
    #[must_use]
    pub fn with_tiles(mut self, tiles: usize) -> Self {
        self.tiles = tiles.max(1);
        self
    }

    /// Tiles of an image.
    pub fn tiles(&self) -> usize {
        self.tiles
    }

    /// The version that is an image's tile, without augmentation.
    pub fn plain(&self, image: usize, tile: usize) -> usize {
        tile * (self.versions(image) / self.tiles)
    }

    /// Adds an image: its features, finest scale first, each (C, H, W).
    ///
    /// # Errors
    /// [`Error::Parameter`] for wrong shapes or values too large for half precision, [`Error::NonFinite`],
    /// [`Error::Io`] if the temporary file cannot be written.
    pub fn push(&mut self, features: &[ArrayView3<'_, f32>]) -> Result<()> {
        self.append(features)?;
        self.note(true);
        Ok(())
    }

    /// Adds another version of the image that was pushed last.
    ///
    /// # Errors
    /// As [`push`](Self::push); [`Error::Parameter`] if there is no image yet.
    pub fn push_version(&mut self, features: &[ArrayView3<'_, f32>]) -> Result<()> {
        if self.images.last().is_none_or(|last| last.end != self.stored) {
            return Err(Error::parameter("features", "there is no image yet that this could be a version of"));
        }
        self.append(features)?;
        self.note(false);
        Ok(())
    }

    /// Adds an image with all its versions; each is a map (C, H, W) per scale. If one version cannot be added, none is added.
    ///
    /// # Errors
    /// As [`push`](Self::push); the error of a version that could not be made.
    pub fn push_all(&mut self, versions: impl IntoIterator<Item = Result<Vec<Array3<f32>>>>) -> Result<()> {
        let before = self.stored;
        for (version, maps) in versions.into_iter().enumerate() {
            let added = maps.and_then(|maps| {
                let views: Vec<_> = maps.iter().map(|map| map.view()).collect();
                if version == 0 { self.push(&views) } else { self.push_version(&views) }
            });
            if let Err(error) = added {
                self.forget_from(before, version > 0)?;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Removes the versions from number `first` on, and the entry of their image if `entry`.
    fn forget_from(&mut self, first: usize, entry: bool) -> Result<()> {
        if entry {
            self.images.pop();
        }
        self.stored = first;
        self.memory.truncate(first.min(self.in_memory) * self.values);
        let Some(spill) = &mut self.spill else { return Ok(()) };
        let failed = |action| Error::io(action, self.folder.join("(temporary feature cache)"));
        let bytes = (first.saturating_sub(self.in_memory) * self.values * size_of::<f16>()) as u64;
        // The file must not be mapped while it is truncated.
        spill.map = None;
        spill.file.set_len(bytes).map_err(failed("cut"))?;
        spill.file.seek(SeekFrom::Start(bytes)).map_err(failed("wind"))?;
        if bytes > 0 {
            spill.map = Some(map_private_file(&spill.file).map_err(failed("map"))?);
        }
        Ok(())
    }

    /// Counts a version that was stored: the first of a new image, or one more of the last.
    fn note(&mut self, new: bool) {
        self.stored += 1;
        match self.images.last_mut() {
            Some(last) if !new => last.end = self.stored,
            _ => self.images.push(self.stored - 1..self.stored),
        }
    }

    /// Removes images by their numbers; later images move up. Their features stay stored, so no memory becomes free.
    pub fn remove(&mut self, images: &[usize]) {
        remove_at(&mut self.images, images);
    }

    /// Shapes of the features, finest first.
    pub fn shapes(&self) -> &[ScaleShape] {
        &self.shapes
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Versions of an image.
    pub fn versions(&self, image: usize) -> usize {
        self.images[image].len()
    }

    /// Bytes held in memory and in the temporary file.
    pub fn bytes(&self) -> [usize; 2] {
        let file = self.stored * self.values - self.memory.len();
        [self.memory.len(), file].map(|values| values * size_of::<f16>())
    }

    /// Copies one scale of one version of an image to `target`, C·H·W values.
    ///
    /// # Panics
    /// If there is no such image, version or scale, or `target` has another length.
    pub fn read(&self, image: usize, version: usize, scale: usize, target: &mut [f32]) {
        assert!(version < self.versions(image), "image {image} has no version {version}");
        let values = self.version(self.images[image].start + version);
        let before: usize = self.shapes[..scale].iter().map(ScaleShape::len).sum();
        values[before..before + self.shapes[scale].len()].convert_to_f32_slice(target);
    }

    /// The values of a version; versions are numbered over all images.
    fn version(&self, index: usize) -> &[f16] {
        let (values, index) = match &self.spill {
            Some(Spill { map: Some(map), .. }) if index >= self.in_memory => {
                (bytemuck::cast_slice(map), index - self.in_memory)
            }
            _ => (&self.memory[..], index),
        };
        &values[index * self.values..(index + 1) * self.values]
    }

    fn append(&mut self, features: &[ArrayView3<'_, f32>]) -> Result<()> {
        let halves = self.halves(features)?;
        self.append_halves(&halves)
    }

    /// Adds the values of a version.
    fn append_halves(&mut self, halves: &[f16]) -> Result<()> {
        if self.stored < self.in_memory {
            self.memory.extend_from_slice(halves);
            return Ok(());
        }
        let failed = |action| Error::io(action, self.folder.join("(temporary feature cache)"));
        let spill = match &mut self.spill {
            Some(spill) => spill,
            None => {
                let file = tempfile::tempfile_in(&self.folder).map_err(failed("create"))?;
                self.spill.insert(Spill { file, map: None })
            }
        };
        let written = spill.file.write_all(bytemuck::cast_slice(halves)).map_err(failed("write"));
        let added = written.and_then(|()| map_private_file(&spill.file).map_err(failed("map")));
        match added {
            Ok(map) => spill.map = Some(map),
            Err(error) => {
                // Partly written values are removed; otherwise all later versions would be read from the wrong place.
                self.forget_from(self.stored, false)?;
                return Err(error);
            }
        }
        Ok(())
    }

    fn halves(&self, features: &[ArrayView3<'_, f32>]) -> Result<Vec<f16>> {
        if features.len() != self.shapes.len() {
            let reason = format!("{} maps given, {} scales expected", features.len(), self.shapes.len());
            return Err(Error::parameter("features", reason));
        }
        let mut halves = Vec::with_capacity(self.values);
        for (scale, (map, shape)) in features.iter().zip(&self.shapes).enumerate() {
            let (channels, height, width) = map.dim();
            let found = ScaleShape { channels, height, width };
            if found != *shape {
                let reason = format!("scale {scale} is {}, not {}", shape_text(&found), shape_text(shape));
                return Err(Error::parameter("features", reason));
            }
            let bad = map.iter().filter(|value| !value.is_finite()).count();
            if bad > 0 {
                return Err(Error::NonFinite {
                    what: format!("features of scale {scale}"),
                    found: bad,
                    total: map.len(),
                });
            }
            let largest = map.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
            if f16::from_f32(largest).is_infinite() {
                let reason = format!(
                    "scale {scale} reaches ±{largest}, over the largest half-precision number (65504); scale the \
                     backbone's outputs down"
                );
                return Err(Error::parameter("features", reason));
            }
            halves.extend(map.iter().map(|value| f16::from_f32(*value)));
        }
        Ok(halves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maps(value: f32) -> Vec<Array3<f32>> {
        vec![Array3::from_elem((2, 3, 4), value), Array3::from_elem((1, 1, 2), value)]
    }

    #[test]
    fn removed_images_leave_the_others_as_they_were() {
        let shapes = [ScaleShape { channels: 2, height: 3, width: 4 }, ScaleShape { channels: 1, height: 1, width: 2 }];
        for budget in [1 << 20, 3 * 52, 0] {
            let mut cache = FeatureCache::new(&shapes, budget).unwrap();
            (0..5).for_each(|image| cache.push_all([maps(image as f32), maps(image as f32 + 0.5)].map(Ok)).unwrap());
            cache.remove(&[4, 1, 0]);
            assert!(cache.push_version(&[maps(9.0)[0].view(), maps(9.0)[1].view()]).is_err(), "of a removed image");
            cache.push_all([maps(7.0)].map(Ok)).unwrap();
            let mut target = vec![0.0; 24];
            let found: Vec<f32> = [(0, 0), (0, 1), (1, 1), (2, 0)]
                .map(|(image, version)| {
                    cache.read(image, version, 0, &mut target);
                    target[5]
                })
                .to_vec();
            assert_eq!((cache.len(), found), (3, vec![2.0, 2.5, 3.5, 7.0]), "budget {budget}");
        }
    }

    #[test]
    fn an_image_that_cannot_be_added_whole_leaves_nothing_behind() {
        let shapes = [ScaleShape { channels: 2, height: 3, width: 4 }, ScaleShape { channels: 1, height: 1, width: 2 }];
        // All in memory; the bad image in the file; all in the file.
        for budget in [1 << 20, 3 * 52, 0] {
            let mut cache = FeatureCache::new(&shapes, budget).unwrap();
            cache.push_all([maps(1.0), maps(2.0)].map(Ok)).unwrap();
            for broken in [vec![maps(f32::NAN), maps(3.0)], vec![maps(3.0), maps(f32::NAN)]] {
                assert!(matches!(cache.push_all(broken.into_iter().map(Ok)), Err(Error::NonFinite { .. })));
                assert_eq!((cache.len(), cache.versions(0)), (1, 2));
            }
            cache.push_all([maps(4.0), maps(5.0)].map(Ok)).unwrap();
            cache.push_all([maps(6.0)].map(Ok)).unwrap();
            assert_eq!((cache.len(), cache.versions(1), cache.versions(2)), (3, 2, 1));
            let mut target = vec![0.0; 24];
            for (image, version, value) in [(0, 0, 1.0), (0, 1, 2.0), (1, 0, 4.0), (1, 1, 5.0), (2, 0, 6.0)] {
                cache.read(image, version, 0, &mut target);
                assert!(target.iter().all(|&found| found == value), "budget {budget}: {target:?}");
            }
        }
    }
}

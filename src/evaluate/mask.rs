//! Ground truth: reading it, and bringing it to the size of the maps.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use ndarray::Array2;

use super::dataset::data;
use crate::{Error, Result};

/// Where an image's ground truth is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mask {
    /// A picture; a value other than 0 marks a defect.
    Picture(PathBuf),
    /// One frame of a NumPy array (frames, height, width) of bytes or booleans.
    Frame(PathBuf, usize),
}

impl From<PathBuf> for Mask {
    fn from(path: PathBuf) -> Self {
        Self::Picture(path)
    }
}

impl Mask {
    /// Its file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Picture(path) | Self::Frame(path, _) => path,
        }
    }

    /// Reads it; `size` is the image's (height, width), and its own.
    ///
    /// # Errors
    /// [`Error::Data`] for another size; [`Error::Decode`]; [`Error::Io`].
    pub fn read(&self, size: (usize, usize)) -> Result<Array2<bool>> {
        match self {
            Self::Picture(path) => read_mask(path, size),
            Self::Frame(path, index) => Frames::open(path)?.read(*index, size),
        }
    }
}

/// Reads a mask: true where any channel of a pixel is not 0 (alpha aside).
///
/// `size` is the image's (height, width); a mask of another size is an error. One that marks nothing is taken as it is
/// (published sets have such masks); the evaluation names its image.
pub fn read_mask(path: &Path, size: (usize, usize)) -> Result<Array2<bool>> {
    let decode =
        |error: &dyn std::fmt::Display| Error::Decode { name: path.display().to_string(), reason: error.to_string() };
    let reader = image::ImageReader::open(path).and_then(image::ImageReader::with_guessed_format);
    let mask = reader.map_err(Error::io("read", path))?.decode().map_err(|error| decode(&error))?.into_rgb16();
    let (width, height) = (mask.width() as usize, mask.height() as usize);
    if (height, width) != size {
        let reason = format!("is a mask of {width}×{height} pixels for an image of {}×{}", size.1, size.0);
        return Err(data(path, reason));
    }
    let marked: Vec<bool> = mask.pixels().map(|pixel| pixel.0 != [0, 0, 0]).collect();
    Array2::from_shape_vec(size, marked).map_err(|error| decode(&error))
}

/// Reads masks and lays them over each other: true where one of them is; `None` without any.
///
/// # Errors
/// As [`read_mask`].
pub fn read_masks(masks: &[Mask], size: (usize, usize)) -> Result<Option<Array2<bool>>> {
    let mut all: Option<Array2<bool>> = None;
    for mask in masks {
        let mask = mask.read(size)?;
        match &mut all {
            Some(all) => all.zip_mut_with(&mask, |all, &marked| *all |= marked),
            None => all = Some(mask),
        }
    }
    Ok(all)
}

/// Brings a mask to another size by nearest neighbour (half-pixel centres), the custom of the field.
///
/// Where that would lose every marked pixel of a small defect, the pixels in which the marked ones fall are marked
/// instead: a defect stays a defect at every size.
pub fn resize_mask(mask: &Array2<bool>, size: (usize, usize)) -> Array2<bool> {
    let (height, width) = mask.dim();
    let source =
        |target: usize, from: usize, to: usize| ((2 * target + 1) * from / (2 * to)).min(from.saturating_sub(1));
    let mut resized =
        Array2::from_shape_fn(size, |(row, column)| mask[[source(row, height, size.0), source(column, width, size.1)]]);
    if !resized.iter().any(|&marked| marked) {
        for ((row, column), _) in mask.indexed_iter().filter(|(_, marked)| **marked) {
            resized[[source(row, size.0, height), source(column, size.1, width)]] = true;
        }
    }
    resized
}

/// A NumPy array of bytes or booleans, read a frame at a time: a clip's masks in all may be larger than memory.
pub(super) struct Frames {
    path: PathBuf,
    file: File,
    /// Where the values begin.
    start: u64,
    pub(super) shape: Vec<usize>,
}

/// Longest head of a NumPy file that is read.
const LONGEST_HEAD: usize = 1 << 16;

impl Frames {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(Error::io("open", path))?;
        let wrong =
            |reason: &str| data(path, format!("{reason}; a NumPy array of bytes or booleans in C order is expected"));
        let mut head = [0; 10];
        file.read_exact(&mut head).map_err(|_| wrong("is too short"))?;
        if !head.starts_with(b"\x93NUMPY") {
            return Err(wrong("is no NumPy file"));
        }
        let (length, start) = match head[6] {
            1 => (usize::from(u16::from_le_bytes([head[8], head[9]])), 10),
            _ => {
                let mut high = [0; 2];
                file.read_exact(&mut high).map_err(|_| wrong("is too short"))?;
                (u32::from_le_bytes([head[8], head[9], high[0], high[1]]) as usize, 12)
            }
        };
        if length > LONGEST_HEAD {
            return Err(wrong("has a head that is too long"));
        }
        let mut text = vec![0; length];
        file.read_exact(&mut text).map_err(|_| wrong("ends in its head"))?;
        let text = String::from_utf8_lossy(&text).replace([' ', '"'], "").replace('\'', "");
        let bytes = ["|b1", "|u1", "|i1", "u1", "i1"].iter().any(|kind| text.contains(&format!("descr:{kind},")));
        if !bytes || !text.contains("fortran_order:False") {
            return Err(wrong("holds other numbers"));
        }
        let shape = text.split_once("shape:(").and_then(|(_, rest)| rest.split_once(')')).map(|(shape, _)| shape);
        let shape: Option<Vec<usize>> = shape
            .and_then(|shape| shape.split(',').filter(|part| !part.is_empty()).map(|part| part.parse().ok()).collect());
        let shape = shape.ok_or_else(|| wrong("has no shape"))?;
        Ok(Self { path: path.to_owned(), file, start: start + length as u64, shape })
    }

    /// All values of an array of one dimension.
    pub(super) fn values(mut self) -> Result<Vec<bool>> {
        let &[count] = &self.shape[..] else {
            return Err(data(&self.path, format!("has {} dimensions, not one", self.shape.len())));
        };
        let mut values = Vec::new();
        self.file.read_to_end(&mut values).map_err(Error::io("read", &self.path))?;
        if values.len() != count {
            return Err(data(&self.path, format!("has {} values, its head says {count}", values.len())));
        }
        Ok(values.into_iter().map(|value| value != 0).collect())
    }

    /// One frame of an array of three.
    fn read(mut self, index: usize, size: (usize, usize)) -> Result<Array2<bool>> {
        let &[frames, height, width] = &self.shape[..] else {
            return Err(data(
                &self.path,
                format!("has {} dimensions, not three (frames, height, width)", self.shape.len()),
            ));
        };
        if (height, width) != size || index >= frames {
            let reason = format!(
                "has {frames} masks of {width}×{height} pixels; mask {index} for an image of {}×{} is not in it",
                size.1, size.0
            );
            return Err(data(&self.path, reason));
        }
        let mut values = vec![0_u8; height * width];
        self.file
            .seek(SeekFrom::Start(self.start + (index * height * width) as u64))
            .map_err(Error::io("read", &self.path))?;
        self.file.read_exact(&mut values).map_err(Error::io("read", &self.path))?;
        Array2::from_shape_vec(size, values.into_iter().map(|value| value != 0).collect())
            .map_err(|error| data(&self.path, error.to_string()))
    }
}

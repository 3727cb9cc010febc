//! Ground truth: reading it, and bringing it to the size of the maps.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use ndarray::Array2;

use super::dataset::data;
use crate::{
    Error, Reason, Result,
    frame::{Image, Limits, PixelFormat},
};

/// Where an image's ground truth is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mask {
    /// An image file; see [`read_mask`].
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

    /// Reads it; `size` is the image's (height, width).
    ///
    /// # Errors
    /// As [`read_mask`].
    pub fn read(&self, size: (usize, usize), options: &MaskOptions) -> Result<Array2<bool>> {
        match self {
            Self::Picture(path) => read_mask(path, size, options),
            Self::Frame(path, index) => Frames::open(path)?.read(*index, size),
        }
    }
}

/// Value from which a pixel of a mask is part of a defect where nothing else is said, on the scale 0 to 255.
pub const MASK_THRESHOLD: u8 = 128;

/// How masks are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaskOptions {
    /// Value from which a pixel is part of a defect, on the scale 0 to 255. Without it [`MASK_THRESHOLD`] holds, and masks that are
    /// not plainly black and white are refused.
    pub threshold: Option<u8>,
    /// What happens to a mask of another size than its image.
    pub fit: MaskFit,
    /// Which side is the defect. Without it white is, and a set of masks that look inverted is refused.
    pub defects: Option<MaskDefects>,
}

/// What happens to a mask of another size than its image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaskFit {
    /// It is an error.
    #[default]
    Refuse,
    /// It is brought to the image's size by nearest neighbour.
    Stretch,
}

/// Which pixels of a mask are defects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskDefects {
    /// White pixels.
    White,
    /// Black pixels: the masks are inverted.
    Black,
}

/// Reads a mask: true where any colour channel of a pixel reaches the threshold.
///
/// `size` is the image's (height, width). A mask that marks nothing is taken as it is (published sets have such masks); the
/// evaluation names its image.
///
/// # Errors
/// [`Error::Data`] for a mask of another size, in the alpha channel, or, without a threshold, of values that are not plainly black
/// and white. [`Error::Decode`]; [`Error::Io`].
pub fn read_mask(path: &Path, size: (usize, usize), options: &MaskOptions) -> Result<Array2<bool>> {
    let mask = Image::open(path, &Limits::default())?;
    let own = (mask.height() as usize, mask.width() as usize);
    if own != size && options.fit == MaskFit::Refuse {
        let reason = format!(
            "is a mask of {}×{} pixels for an image of {}×{}; `--mask-fit stretch` brings masks to the image's size",
            own.1, own.0, size.1, size.0
        );
        return Err(data(path, reason));
    }
    let values = values(&mask);
    if values.iter().all(|value| *value == values[0]) && alpha_varies(path) {
        let reason = "has one colour and an alpha channel that varies: the mask is in the alpha channel. Save that channel as a gray image";
        return Err(data(path, reason));
    }
    if options.threshold.is_none() {
        two_clusters(&values).map_err(|reason| data(path, reason))?;
    }
    // 255 and 65535 are both white.
    let threshold = u16::from(options.threshold.unwrap_or(MASK_THRESHOLD)) * 257;
    let black = options.defects == Some(MaskDefects::Black);
    let marked = values.iter().map(|&value| (value >= threshold) != black).collect();
    let marked = Array2::from_shape_vec(own, marked).map_err(|error| data(path, Reason::of(error)))?;
    Ok(if own == size { marked } else { resize_mask(&marked, size) })
}

/// Whether a mask marks any pixel.
pub(super) fn marks(path: &Path) -> Result<bool> {
    let threshold = u16::from(MASK_THRESHOLD) * 257;
    Ok(values(&Image::open(path, &Limits::default())?).into_iter().any(|value| value >= threshold))
}

/// The largest colour channel of each pixel, on the scale 0 to 65535.
fn values(mask: &Image) -> Vec<u16> {
    let (pixel, colours) = (mask.format().bytes_per_pixel(), mask.format().color_bytes());
    let pixels = mask.data().chunks_exact(pixel);
    if mask.format() == PixelFormat::Gray16 {
        return pixels.map(|pixel| u16::from_ne_bytes([pixel[0], pixel[1]])).collect();
    }
    pixels.map(|pixel| 257 * u16::from(pixel[..colours].iter().copied().max().unwrap_or(0))).collect()
}

/// Whether the file has an alpha channel that is not the same everywhere.
fn alpha_varies(path: &Path) -> bool {
    let Ok(image) = image::ImageReader::open(path).and_then(image::ImageReader::with_guessed_format) else {
        return false;
    };
    let Ok(image) = image.decode() else { return false };
    let alpha = |pixel: &image::Rgba<u8>| pixel.0[3];
    let rgba = image.color().has_alpha().then(|| image.into_rgba8());
    rgba.is_some_and(|rgba| rgba.pixels().map(alpha).any(|value| Some(value) != rgba.pixels().next().map(alpha)))
}

/// Refuses values that are neither near black nor near white. JPEG's noise is.
fn two_clusters(values: &[u16]) -> Result<(), String> {
    const BETWEEN: std::ops::Range<u16> = 32 * 257..224 * 257;
    const MOST_BETWEEN: f64 = 0.05;
    let highest = values.iter().copied().max().unwrap_or(0);
    if highest > 0 && highest < u16::from(MASK_THRESHOLD) * 257 {
        let (value, scale) = if highest % 257 == 0 { (highest / 257, 255) } else { (highest, 65535) };
        return Err(format!(
            "is a mask whose highest value is {value} of {scale}, so nothing reaches {MASK_THRESHOLD}, from where a pixel is a defect;              `--mask-threshold 1` takes every value but 0 as a defect"
        ));
    }
    let between = values.iter().filter(|value| BETWEEN.contains(value)).count();
    if between as f64 > MOST_BETWEEN * values.len() as f64 {
        return Err(format!(
            "is a mask in which {:.0}% of the values are neither black nor white; say from which value on a pixel is a defect,              with `--mask-threshold {MASK_THRESHOLD}`",
            100.0 * between as f64 / values.len() as f64
        ));
    }
    Ok(())
}

/// Looks for a set of inverted masks.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    masks: usize,
    inverted: Vec<PathBuf>,
}

impl Doubts {
    /// Takes a mask: it looks inverted where it marks most of the image and nearly all of its border.
    pub(super) fn push(&mut self, image: &Path, mask: &Array2<bool>) {
        let share = |marked: usize, of: usize| marked as f64 / of.max(1) as f64;
        let count = |values: &mut dyn Iterator<Item = &bool>| values.filter(|value| **value).count();
        let (height, width) = mask.dim();
        let rows = [0, height.saturating_sub(1)].map(|row| mask.row(row));
        let columns = [0, width.saturating_sub(1)].map(|column| mask.column(column));
        let border = count(&mut rows.iter().flatten()) + count(&mut columns.iter().flatten());
        self.masks += 1;
        if share(count(&mut mask.iter()), mask.len()) > 0.5 && share(border, 2 * (height + width)) > 0.9 {
            self.inverted.push(image.to_owned());
        }
    }

    /// Refuses a set of which more than half look inverted.
    pub(super) fn check(&self, root: &Path) -> Result<()> {
        const NAMED: usize = 4;
        if 2 * self.inverted.len() <= self.masks {
            return Ok(());
        }
        let names: Vec<_> = self.inverted.iter().take(NAMED).map(|path| path.display().to_string()).collect();
        let more = if self.inverted.len() > NAMED { ", …" } else { "" };
        Err(data(
            root,
            format!(
                "{} of {} masks mark most of the image and its border, as inverted masks do ({}{more}); say which pixels are defects:                  `--mask-defects black` inverts them, `--mask-defects white` takes them as they are",
                self.inverted.len(),
                self.masks,
                names.join(", ")
            ),
        ))
    }
}

/// Reads masks and lays them over each other: true where one of them is; `None` without any.
///
/// # Errors
/// As [`read_mask`].
pub fn read_masks(masks: &[Mask], size: (usize, usize), options: &MaskOptions) -> Result<Option<Array2<bool>>> {
    let mut all: Option<Array2<bool>> = None;
    for mask in masks {
        let mask = mask.read(size, options)?;
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
            .map_err(|error| data(&self.path, Reason::of(error)))
    }
}

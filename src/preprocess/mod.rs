//! Frame to network input: resize, scale to 0 … 1, normalise, and lay out as (3, height, width) float32.
//!
//! The network saw images resized by Pillow (torchvision's `Resize` on images is Pillow), so 8-bit frames are resampled by
//! Pillow's own arithmetic: the same antialiased filter, the same 22-bit fixed-point weights, horizontally and then
//! vertically, rounded to 8 bits after each pass. The result is equal to Pillow's bit for bit (Pillow 13 swaps the passes for
//! images whose height shrinks much more than their width; there it is within one level). A resampler that merely uses the
//! same filter would be within two levels, and one that computes its weights anew for each frame would allocate.
//!
//! 16-bit gray keeps its precision: it is resampled in float32 without rounding and scaled by 1/(2^bits − 1). The number of
//! significant bits comes with the frame, else from the package, else it is 16. A sample above that range is an error: it shows that
//! the number is wrong. (Pillow's own conversion of 16-bit gray to RGB clips at 255 and is of no use.)
//!
//! Gray is replicated to three channels; alpha is dropped, as `convert("RGB")` does, and does not weight the colours.
//!
//! Frames that are cut into [tiles](crate::tiles) are resized to the size of the frame that is cut, and one tile after the other is made of it.
//!
//! Once a [`Preprocessor`] has seen a frame of some size and format, further ones of that kind allocate nothing.

mod axis;
mod resample;

use serde::{Deserialize, Serialize};
use strum::{Display, VariantArray, VariantNames};

use self::axis::AxisCache;
use self::resample::{Job, Scratch};
use crate::choice::choice;
use crate::frame::{FloatRange, Frame, Limits, PixelFormat, ReadOptions, depth};
use crate::tiles::Tiles;
use crate::{Error, Result};

/// Largest width and height of a network's input.
pub const MAX_INPUT_SIZE: u32 = 8192;

/// The filter that changes an image's size, antialiased when it shrinks: its support grows with the scale, as in Pillow and
/// torchvision.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, Display, VariantArray, VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Resize {
    /// The triangle filter.
    #[default]
    Bilinear,
    /// The cubic filter with a = −½.
    Bicubic,
}

impl std::str::FromStr for Resize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        choice("resize", text)
    }
}

/// What a network expects of its input: the manifest's `input`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// Columns of the network's input.
    pub width: u32,
    /// Rows of the network's input.
    pub height: u32,
    /// Mean of red, green and blue on the scale 0 … 1, subtracted.
    pub mean: [f32; 3],
    /// Standard deviation of red, green and blue on the scale 0 … 1, divided by.
    pub std: [f32; 3],
    /// How frames are cut that are larger than the network's input; none where the whole frame is resized to the input's size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiles: Option<Tiles>,
    /// The filter that brings a frame to that size; its aspect ratio is not kept. Packages without it mean bilinear.
    #[serde(default)]
    pub resize: Resize,
    /// Significant bits of 16-bit samples unless a frame says otherwise; none stands for 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub significant_bits: Option<u8>,
    /// Values of floating-point samples that are black and white; without them such files are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub float_range: Option<FloatRange>,
}

impl Preprocess {
    /// Mean of ImageNet's red, green and blue.
    pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
    /// Standard deviation of ImageNet's red, green and blue.
    pub const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

    /// Bilinear resizing to `width` × `height` and ImageNet's normalisation.
    pub fn imagenet(width: u32, height: u32) -> Self {
        let (mean, std) = (Self::IMAGENET_MEAN, Self::IMAGENET_STD);
        Self {
            width,
            height,
            mean,
            std,
            tiles: None,
            resize: Resize::Bilinear,
            significant_bits: None,
            float_range: None,
        }
    }

    /// How files are read for this input. `significant_bits` of a request come before the package's.
    pub fn read_options(&self, limits: Limits, significant_bits: Option<u8>) -> ReadOptions {
        ReadOptions {
            limits,
            significant_bits: significant_bits.or(self.significant_bits),
            float_range: self.float_range,
        }
    }

    /// Width and height that frames are resized to: the network's input, or the frame that is cut into tiles.
    pub fn frame_size(&self) -> (u32, u32) {
        self.tiles.map_or((self.width, self.height), |tiles| (tiles.width, tiles.height))
    }

    /// Width and height of score and log₁₀NFA maps.
    pub fn map_size(&self) -> (u32, u32) {
        self.tiles.map_or((self.width, self.height), |tiles| tiles.map_size())
    }

    /// Length of the network's input, 3 · height · width.
    pub fn len(&self) -> usize {
        3 * self.width as usize * self.height as usize
    }

    /// Whether the input has no pixels (never so in one that [`Preprocessor::new`] accepts).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first field that is out of range, and why.
    pub(crate) fn problem(&self) -> Option<(&'static str, String)> {
        for (field, size) in [("width", self.width), ("height", self.height)] {
            if !(1..=MAX_INPUT_SIZE).contains(&size) {
                return Some((field, format!("{size} is not within 1 to {MAX_INPUT_SIZE}")));
            }
        }
        if let Some(reason) = self.tiles.and_then(|tiles| tiles.problem((self.width, self.height))) {
            return Some(("tiles", reason));
        }
        if let Some(bits) = self.significant_bits.filter(|bits| !(1..=depth::FULL_BITS).contains(bits)) {
            return Some(("significant_bits", format!("{bits} is not within 1 to {}", depth::FULL_BITS)));
        }
        if self.mean.iter().any(|mean| !mean.is_finite()) {
            return Some(("mean", format!("{:?} must be finite", self.mean)));
        }
        if self.std.iter().any(|std| !(std.is_normal() && *std > 0.0)) {
            return Some(("std", format!("{:?} must be positive", self.std)));
        }
        None
    }
}

/// Turns frames of any size and format into a network's input. Owns the filter weights and all scratch memory.
///
/// ```
/// use uflow::frame::{Frame, PixelFormat};
/// use uflow::preprocess::{Preprocess, Preprocessor};
///
/// let input = Preprocess::imagenet(4, 4);
/// let mut tensor = vec![0.0; input.len()];
/// let white = [255; 8 * 6];
/// Preprocessor::new(input)?.run(&Frame::packed(&white, 8, 6, PixelFormat::Gray8)?, &mut tensor)?;
/// assert!((tensor[0] - (1.0 - 0.485) / 0.229).abs() < 1e-6);
/// # Ok::<(), uflow::Error>(())
/// ```
#[derive(Debug)]
pub struct Preprocessor {
    input: Preprocess,
    horizontal: AxisCache,
    vertical: AxisCache,
    bytes: Scratch<u8>,
    floats: Scratch<f32>,
    arch: pulp::Arch,
}

impl Preprocessor {
    /// A preprocessor for one network's input.
    ///
    /// # Errors
    /// [`Error::Parameter`] that names the field of `input` that is out of range.
    pub fn new(input: Preprocess) -> Result<Self> {
        if let Some((field, reason)) = input.problem() {
            return Err(Error::parameter("input", format!("{field}: {reason}")));
        }
        Ok(Self {
            input,
            horizontal: AxisCache::new(input.frame_size().0 as usize, input.resize),
            vertical: AxisCache::new(input.frame_size().1 as usize, input.resize),
            bytes: Scratch::default(),
            floats: Scratch::default(),
            arch: pulp::Arch::new(),
        })
    }

    /// What the network expects.
    pub fn input(&self) -> &Preprocess {
        &self.input
    }

    /// Writes the network's input for `frame`: 3 · height · width numbers, the red plane first, row after row.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `out` does not have exactly [`Preprocess::len`] elements, and for an input with tiles; [`Error::Frame`] for a
    /// 16-bit sample above the range of the significant bits.
    pub fn run(&mut self, frame: &Frame<'_>, out: &mut [f32]) -> Result<()> {
        if self.input.tiles.is_some() {
            return Err(Error::parameter("input", "frames of this model are cut into tiles: make them one by one"));
        }
        self.check(frame)?;
        self.part(frame, (0, 0), out)
    }

    /// Refuses a frame with a 16-bit sample above the range of the significant bits.
    ///
    /// # Errors
    /// [`Error::Frame`].
    pub(crate) fn check(&self, frame: &Frame<'_>) -> Result<()> {
        let bits = self.bits(frame);
        if bits < depth::FULL_BITS
            && let Some(peak) = depth::peak(frame).filter(|&peak| peak > depth::white(bits))
        {
            return Err(Error::frame(depth::over_white(peak, bits)));
        }
        Ok(())
    }

    fn bits(&self, frame: &Frame<'_>) -> u8 {
        frame.significant_bits().or(self.input.significant_bits).unwrap_or(depth::FULL_BITS)
    }

    /// Writes the network's input that begins at this (row, column) of the resized frame. The frame was [checked](Self::check).
    ///
    /// # Errors
    /// [`Error::Parameter`] if `out` has another length, or the input would not lie inside the resized frame.
    pub(crate) fn part(&mut self, frame: &Frame<'_>, origin: (usize, usize), out: &mut [f32]) -> Result<()> {
        let (needed, frame_size) = (self.input.len(), self.input.frame_size());
        if out.len() != needed {
            return Err(Error::parameter("out", format!("needs {needed} numbers, has {}", out.len())));
        }
        let end = (origin.0 + self.input.height as usize, origin.1 + self.input.width as usize);
        if end.0 > frame_size.1 as usize || end.1 > frame_size.0 as usize {
            return Err(Error::internal("a tile does not lie inside its frame"));
        }
        let white = f32::from(depth::white(self.bits(frame)));
        let horizontal = self.horizontal.get(frame.width() as usize);
        let vertical = self.vertical.get(frame.height() as usize);
        let job = Job { frame, horizontal, vertical, input: &self.input, white, origin, out };
        match frame.format() {
            PixelFormat::Gray8 => self.arch.dispatch(job.with::<u8, 1>(&mut self.bytes)),
            PixelFormat::Gray16 => self.arch.dispatch(job.with::<f32, 1>(&mut self.floats)),
            PixelFormat::Rgb8 | PixelFormat::Bgr8 => self.arch.dispatch(job.with::<u8, 3>(&mut self.bytes)),
            PixelFormat::Rgba8 | PixelFormat::Bgra8 => self.arch.dispatch(job.with::<u8, 4>(&mut self.bytes)),
        }
        Ok(())
    }
}

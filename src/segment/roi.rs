//! The region of interest: the part of the frame that counts.
//!
//! A mask of any size covers the whole frame. At another size (each scale's map, the network's input, the source frame), a cell is
//! inside if **at least half of its area** is inside. This is computed exactly, in integers, from a summed-area table.
//!
//! This is also the one place that reads a region: from an image file, from its bytes, or from a caller's buffer.

use std::{path::Path, sync::Arc};

use ndarray::ArrayView2;

use crate::{
    Error, Reason, Result,
    frame::{Image, Limits},
};

/// A region of interest. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roi {
    height: usize,
    width: usize,
    /// `sums[y][x]` = pixels inside above row y and left of column x; (height + 1) × (width + 1).
    sums: Arc<[u32]>,
}

impl Roi {
    /// From a mask of the frame at any resolution: 0 is outside, every other value inside.
    ///
    /// # Errors
    /// A mask without pixels, with none inside, or with more than can be counted in 32 bits.
    pub fn new(mask: ArrayView2<'_, u8>) -> Result<Self> {
        let (height, width) = mask.dim();
        if mask.is_empty() {
            return Err(Error::parameter("roi", "the mask has no pixels"));
        }
        if mask.len() > u32::MAX as usize {
            let (what, unit) = ("size of the region of interest".to_owned(), "pixels");
            return Err(Error::Limit { what, found: mask.len() as u64, limit: u64::from(u32::MAX), unit });
        }
        let mut sums = vec![0_u32; (height + 1) * (width + 1)];
        for (y, row) in mask.outer_iter().enumerate() {
            let mut inside = 0;
            for (x, &value) in row.iter().enumerate() {
                inside += u32::from(value != 0);
                sums[(y + 1) * (width + 1) + x + 1] = sums[y * (width + 1) + x + 1] + inside;
            }
        }
        if sums.last() == Some(&0) {
            let reason = "the mask leaves nothing to look at: every pixel is 0 (pixels that count must not be 0)";
            return Err(Error::parameter("roi", reason));
        }
        Ok(Self { height, width, sums: sums.into() })
    }

    /// From an image file: pixels that are not black count. Transparency is ignored.
    ///
    /// # Errors
    /// A file that is not an image within these limits, or whose pixels are all black.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self> {
        Self::from_image(&Image::open(path, limits)?)
    }

    /// From the bytes of an image file, as [`open`](Self::open); messages call it `name`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn decode(encoded: &[u8], name: &str, limits: &Limits) -> Result<Self> {
        Self::from_image(&Image::decode(encoded, name, limits)?)
    }

    /// From an image: pixels that are not black count.
    ///
    /// # Errors
    /// An image whose pixels are all black.
    pub fn from_image(image: &Image) -> Result<Self> {
        let frame = image.frame();
        let bytes = frame.format().bytes_per_pixel();
        let colors = frame.format().color_bytes();
        let pixels: Vec<u8> = frame
            .rows()
            .flat_map(|row| row.chunks_exact(bytes))
            .map(|pixel| u8::from(pixel[..colors].iter().any(|&value| value != 0)))
            .collect();
        let size = (frame.height() as usize, frame.width() as usize);
        Self::new(ArrayView2::from_shape(size, &pixels).map_err(|error| Error::frame(Reason::of(error)))?)
    }

    /// From a buffer of `height` rows of `width` bytes, `stride` bytes from one row to the next (0: `width`); pixels
    /// that are not 0 count.
    ///
    /// # Errors
    /// A size without pixels, a stride below the width, a buffer that is too small, or a mask whose pixels are all 0.
    pub fn from_rows(buffer: &[u8], width: usize, height: usize, stride: usize) -> Result<Self> {
        let stride = if stride == 0 { width } else { stride };
        if width == 0 || height == 0 || stride < width {
            let reason = format!(
                "a mask needs at least 1×1 pixels and a stride of at least its width; width {width}, height {height}, stride {stride} given"
            );
            return Err(Error::parameter("roi", reason));
        }
        let needed = stride.checked_mul(height - 1).and_then(|rows| rows.checked_add(width));
        if needed.is_none_or(|needed| buffer.len() < needed) {
            let needed = needed.map_or("more than memory holds".to_owned(), |needed| needed.to_string());
            let found = buffer.len();
            let reason = format!(
                "a mask of {width}×{height} with a stride of {stride} needs {needed} bytes; the buffer has {found}"
            );
            return Err(Error::parameter("roi", reason));
        }
        let pixels: Vec<u8> = buffer.chunks(stride).take(height).flat_map(|row| &row[..width]).copied().collect();
        Self::new(ArrayView2::from_shape((height, width), &pixels).map_err(|error| Error::frame(Reason::of(error)))?)
    }

    /// The PNG of a package: white inside and black outside.
    ///
    /// # Errors
    /// None in practice.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let inside = self.at_size(self.height, self.width).into_iter().map(|inside| 255 * u8::from(inside)).collect();
        let text = "a region of interest cannot be written as PNG";
        let picture = image::GrayImage::from_raw(self.width as u32, self.height as u32, inside);
        let picture = picture.ok_or_else(|| Error::internal(text))?;
        let mut png = std::io::Cursor::new(Vec::new());
        picture
            .write_to(&mut png, image::ImageFormat::Png)
            .map_err(|error| Error::internal(Reason::because(text, error)))?;
        Ok(png.into_inner())
    }

    /// Refuses a mask that does not fit a frame: it must have the frame's aspect ratio, within a rounding of one pixel, or
    /// exactly the size of the network's input, to which frames are resized. Sizes are (height, width).
    ///
    /// # Errors
    /// [`Error::Parameter`] that names both sizes.
    pub fn check_frame(&self, frame: (usize, usize), input: (usize, usize)) -> Result<()> {
        let (height, width) = (self.height as u64, self.width as u64);
        let (frame_height, frame_width) = (frame.0 as u64, frame.1 as u64);
        let difference = (width * frame_height).abs_diff(height * frame_width);
        if self.size() == input || difference <= frame_height.max(frame_width) {
            return Ok(());
        }
        let reason = format!(
            "the mask is {width}×{height} and the frame {frame_width}×{frame_height} (width × height): give a mask with the frame's \
             aspect ratio, or one of the network's input size, {}×{}",
            input.1, input.0
        );
        Err(Error::parameter("roi", reason))
    }

    /// Its memory in bytes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.sums)
    }

    /// The mask's own (height, width).
    pub fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// Which cells of a height × width grid over the frame are inside, row-major.
    pub fn at_size(&self, height: usize, width: usize) -> Vec<bool> {
        let mut above = vec![0_u128; width + 1];
        let mut below = above.clone();
        let mut inside = Vec::with_capacity(height * width);
        let whole = self.height as u128 * self.width as u128;
        for y in 1..=height {
            for (x, sum) in below.iter_mut().enumerate() {
                *sum = self.sum_to((y, height), (x, width));
            }
            for x in 0..width {
                let area = below[x + 1] + above[x] - above[x + 1] - below[x];
                inside.push(2 * area >= whole);
            }
            std::mem::swap(&mut above, &mut below);
        }
        inside
    }

    /// `height · width` times the area inside above y = `y.0 / y.1` and left of x = `x.0 / x.1`, in parts of the frame.
    fn sum_to(&self, y: (usize, usize), x: (usize, usize)) -> u128 {
        let (top, down) = split(y, self.height);
        let (left, right) = split(x, self.width);
        let sum = |row: usize, column: usize| {
            u128::from(self.sums[row.min(self.height) * (self.width + 1) + column.min(self.width)])
        };
        let (up, back) = (y.1 as u128 - down, x.1 as u128 - right);
        sum(top, left) * up * back
            + sum(top, left + 1) * up * right
            + sum(top + 1, left) * down * back
            + sum(top + 1, left + 1) * down * right
    }
}

/// Whole and fractional part (in units of 1 / `grid`) of `position · size / grid`.
fn split((position, grid): (usize, usize), size: usize) -> (usize, u128) {
    let scaled = position as u128 * size as u128;
    ((scaled / grid as u128) as usize, scaled % grid as u128)
}

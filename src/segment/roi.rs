//! The region of interest: the part of the frame that counts.
//!
//! A mask of any size stands for the whole frame. Wherever it is needed at another size (each scale's map, the network's
//! input, the source frame) a cell is inside when **at least half of its area** is, computed exactly in integers from a
//! summed-area table.

use std::sync::Arc;

use ndarray::ArrayView2;

use crate::{Error, Result};

/// A region of interest. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roi {
    height: usize,
    width: usize,
    /// `sums[y][x]` = pixels inside above row y and left of column x; (height + 1) × (width + 1).
    sums: Arc<[u32]>,
}

impl Roi {
    /// From a mask of the frame, 0 outside and anything else inside, at any resolution.
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

    /// Memory it takes.
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

//! A map at the size of a frame: which pixels are found. No found cell is lost.
//!
//! A **cell** is a pixel of a map, a **pixel** one of the frame. A cell is found where log₁₀NFA < log₁₀ε (or where the score
//! is above its threshold). A pixel is found
//!
//! 1. where the map, interpolated bilinearly at the pixel's centre, is beyond the threshold, or
//! 2. if it represents a found cell for which rule 1 finds no pixel: no pixel whose centre lies in the cell is found. Then
//!    the pixel that contains the cell's centre represents the cell.
//!
//! So every found cell has a found pixel, whatever the two sizes are, and without a found cell there is no found pixel: the mask
//! has a pixel exactly if the lowest log₁₀NFA is below log₁₀ε. If the frame is smaller than the map, rule 2 gives each pixel the
//! extreme of the cells that it covers. If the frame is larger, rule 2 only adds peaks that lie between pixel centres.
//!
//! A region of interest limits rule 1 at the frame's own resolution. Rule 2 uses the map, which is limited to the region already,
//! and prefers a pixel inside the region if the cell has one.
//!
//! The pixel that represents a cell ([`Claim`]) also takes the cell's values. So a region's lowest log₁₀NFA and its highest
//! score are those of the map.

use ndarray::ArrayView2;

use super::Roi;
use super::upsample::{Axis, Rows};

/// What depends only on the sizes and the region of interest, and scratch memory.
#[derive(Debug)]
pub(super) struct FrameGrid {
    /// (rows, columns) of the maps and of the frame.
    pub(super) map: (usize, usize),
    pub(super) frame: (usize, usize),
    rows: Axis,
    columns: Axis,
    row_cover: Cover,
    column_cover: Cover,
    /// Pixels of the frame inside the region of interest.
    inside: Option<Vec<bool>>,
}

/// A map's rows at the frame's width.
#[derive(Debug)]
pub(super) struct Interpolated {
    rows: Rows,
    pub(super) values: Vec<f32>,
}

/// Which pixels belong to a cell, along one axis.
#[derive(Debug)]
struct Cover {
    /// Pixels whose centre lies in cell i: `first[i]..first[i + 1]`.
    first: Vec<u32>,
    /// The pixel that holds the cell's centre.
    holder: Vec<u32>,
}

/// A pixel that represents a found cell; both as (row, column).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim {
    pub(super) pixel: (u32, u32),
    pub(super) cell: (u32, u32),
}

/// The found pixels of a frame.
#[derive(Debug, Default)]
pub(super) struct FoundPixels {
    /// 1 where a pixel is found, else 0; row-major.
    pub(super) mask: Vec<u8>,
    /// Rows with a found pixel.
    pub(super) rows: Vec<bool>,
    /// One for each found cell, by pixel.
    pub(super) claims: Vec<Claim>,
    /// Rows of the map with a found cell.
    map_rows: Vec<bool>,
}

impl Cover {
    fn new(cells: usize, pixels: usize) -> Self {
        // Pixel j's centre lies in cell i from (2j + 1)·cells ≥ 2i·pixels on.
        let first = |cell: usize| (2 * cell * pixels).saturating_sub(cells).div_ceil(2 * cells).min(pixels) as u32;
        let holder = |cell: usize| ((2 * cell + 1) * pixels / (2 * cells)) as u32;
        Self { first: (0..=cells).map(first).collect(), holder: (0..cells).map(holder).collect() }
    }

    fn pixels(&self, cell: usize) -> std::ops::Range<u32> {
        self.first[cell]..self.first[cell + 1]
    }
}

impl Interpolated {
    pub(super) fn new() -> Self {
        Self { rows: Rows::new(0), values: Vec::new() }
    }
}

impl FoundPixels {
    /// Makes room for a frame's pixels. No pixel is found yet.
    pub(super) fn clear(&mut self, (height, width): (usize, usize)) {
        self.mask.clear();
        self.mask.resize(height * width, 0);
        self.rows.clear();
        self.rows.resize(height, false);
        self.claims.clear();
    }

    /// Claims of row `y`.
    pub(super) fn claims_of_row(&self, y: usize) -> &[Claim] {
        let start = self.claims.partition_point(|claim| (claim.pixel.0 as usize) < y);
        let end = self.claims.partition_point(|claim| claim.pixel.0 as usize <= y);
        &self.claims[start..end]
    }
}

impl FrameGrid {
    /// Both sizes at least 1 × 1.
    pub(super) fn new(map: (usize, usize), frame: (usize, usize), roi: Option<&Roi>) -> Self {
        Self {
            map,
            frame,
            rows: Axis::new(map.0, frame.0),
            columns: Axis::new(map.1, frame.1),
            row_cover: Cover::new(map.0, frame.0),
            column_cover: Cover::new(map.1, frame.1),
            inside: roi.map(|roi| roi.at_size(frame.0, frame.1)),
        }
    }

    /// Forgets the rows of another map.
    pub(super) fn restart(&self, scratch: &mut Interpolated) {
        scratch.rows.reset(self.frame.1);
        scratch.values.resize(self.frame.1, 0.0);
    }

    /// Row `y` of the frame by rule 1's interpolation.
    pub(super) fn interpolate(&self, y: usize, map: &ArrayView2<'_, f32>, scratch: &mut Interpolated) {
        scratch.rows.blend(y, &self.rows, &self.columns, row(map)).write(&mut scratch.values);
    }

    /// Finds the pixels of the frame that a map marks. A cell is found if `is_found` holds for it and it lies `inside` the map's
    /// region of interest. `found` was cleared for this frame.
    pub(super) fn find(
        &self,
        map: &ArrayView2<'_, f32>,
        inside: Option<&[bool]>,
        is_found: impl Fn(f32) -> bool + Copy,
        scratch: &mut Interpolated,
        found: &mut FoundPixels,
    ) {
        found.map_rows.clear();
        found.map_rows.extend(map.outer_iter().map(|row| row.iter().any(|&value| is_found(value))));
        self.restart(scratch);
        for (y, mask) in found.mask.chunks_exact_mut(self.frame.1).enumerate() {
            let (low, high, _) = self.rows.at(y);
            if !found.map_rows[low] && !found.map_rows[high] {
                continue;
            }
            self.interpolate(y, map, scratch);
            let mut any = 0;
            for (mask, &value) in mask.iter_mut().zip(&scratch.values) {
                *mask = u8::from(is_found(value));
                any |= *mask;
            }
            if any != 0 {
                found.rows[y] = self.clear_outside(y, mask);
            }
        }
        let width = self.map.1;
        for (y, row) in map.outer_iter().enumerate().filter(|(y, _)| found.map_rows[*y]) {
            for (x, _) in row.iter().enumerate().filter(|(_, value)| is_found(**value)) {
                if inside.is_none_or(|inside| inside[y * width + x]) {
                    let pixel = self.pixel_of((y, x), &found.mask);
                    found.mask[pixel.0 as usize * self.frame.1 + pixel.1 as usize] = 1;
                    found.rows[pixel.0 as usize] = true;
                    found.claims.push(Claim { pixel, cell: (y as u32, x as u32) });
                }
            }
        }
        found.claims.sort_unstable();
    }

    /// The pixel that represents a found cell: preferably one that is found already.
    fn pixel_of(&self, (y, x): (usize, usize), mask: &[u8]) -> (u32, u32) {
        let index = |(row, column): (u32, u32)| row as usize * self.frame.1 + column as usize;
        let holder = (self.row_cover.holder[y], self.column_cover.holder[x]);
        if mask[index(holder)] != 0 {
            return holder;
        }
        let pixels = || {
            let columns = self.column_cover.pixels(x);
            self.row_cover.pixels(y).flat_map(move |row| columns.clone().map(move |column| (row, column)))
        };
        if let Some(found) = pixels().find(|&pixel| mask[index(pixel)] != 0) {
            return found;
        }
        let Some(inside) = self.inside.as_ref().filter(|inside| !inside[index(holder)]) else { return holder };
        let distance = |(row, column): &(u32, u32)| row.abs_diff(holder.0) + column.abs_diff(holder.1);
        pixels().filter(|&pixel| inside[index(pixel)]).min_by_key(distance).unwrap_or(holder)
    }

    /// Clears a row's pixels outside the region of interest. Tells whether any pixel is left.
    fn clear_outside(&self, y: usize, mask: &mut [u8]) -> bool {
        let Some(inside) = &self.inside else { return true };
        let mut any = 0;
        for (mask, &inside) in mask.iter_mut().zip(&inside[y * self.frame.1..]) {
            *mask &= u8::from(inside);
            any |= *mask;
        }
        any != 0
    }

    /// The cell that a pixel's centre lies in.
    pub(super) fn cell_of(&self, (row, column): (u32, u32)) -> (usize, usize) {
        let cell = |pixel: u32, cells: usize, pixels: usize| (2 * pixel as usize + 1) * cells / (2 * pixels);
        (cell(row, self.map.0, self.frame.0), cell(column, self.map.1, self.frame.1))
    }
}

/// Row `y` of a standard-layout map.
fn row<'a>(map: &'a ArrayView2<'_, f32>) -> impl Fn(usize) -> &'a [f32] {
    move |y| map.as_slice().map(|values| &values[y * map.ncols()..(y + 1) * map.ncols()]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;

    fn map() -> impl Strategy<Value = Array2<f32>> {
        (1..12_usize, 1..12_usize, 1..9_i32).prop_flat_map(|(height, width, levels)| {
            prop::collection::vec((0..levels).prop_map(|level| level as f32), height * width)
                .prop_map(move |values| Array2::from_shape_vec((height, width), values).unwrap())
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Low values as log₁₀NFA, high ones as scores; frames smaller and larger than the map, with and without a region.
        #[test]
        fn every_found_cell_has_a_found_pixel_and_no_other_frame_has_any(
            map in map(), frame in (1..30_usize, 1..30_usize), threshold in 0..8_u8, low in any::<bool>(),
            roi in prop::option::of((1..9_usize, 1..9_usize, any::<u64>())),
        ) {
            let roi = roi.and_then(|(height, width, bits)| {
                let bit = |(y, x): (usize, usize)| (bits >> ((y * width + x) % 64) & 1) as u8;
                Roi::new(Array2::from_shape_fn((height, width), bit).view()).ok()
            });
            let threshold = f32::from(threshold) + 0.5;
            let is_found = |value: f32| if low { value < threshold } else { value > threshold };
            let inside = roi.as_ref().map(|roi| roi.at_size(map.nrows(), map.ncols()));
            let is_inside = |y: usize, x: usize| inside.as_ref().is_none_or(|inside| inside[y * map.ncols() + x]);
            let grid = FrameGrid::new(map.dim(), frame, roi.as_ref());
            let mut found = FoundPixels::default();
            found.clear(frame);
            grid.find(&map.view(), inside.as_deref(), is_found, &mut Interpolated::new(), &mut found);
            let cells: Vec<_> = map.indexed_iter().filter(|((y, x), value)| is_found(**value) && is_inside(*y, *x)).collect();
            prop_assert_eq!(found.claims.len(), cells.len());
            for ((y, x), _) in &cells {
                let claim = found.claims.iter().find(|claim| claim.cell == (*y as u32, *x as u32)).unwrap();
                let (row, column) = (claim.pixel.0 as usize, claim.pixel.1 as usize);
                prop_assert_eq!(found.mask[row * frame.1 + column], 1);
                let holds = |pixel: usize, cell: usize, cells: usize, pixels: usize| {
                    let centre_of_pixel = (2 * pixel + 1) * cells / (2 * pixels) == cell;
                    let centre_of_cell = (2 * cell + 1) * pixels / (2 * cells) == pixel;
                    centre_of_pixel || centre_of_cell
                };
                prop_assert!(holds(row, *y, map.nrows(), frame.0) && holds(column, *x, map.ncols(), frame.1));
            }
            if roi.is_none() {
                prop_assert_eq!(found.mask.contains(&1), !cells.is_empty());
            }
            for (y, mask) in found.mask.chunks_exact(frame.1).enumerate() {
                prop_assert_eq!(found.rows[y], mask.contains(&1));
            }
            // Pixels that interpolation does not find represent a cell.
            let values = super::super::upsample(map.view(), frame.0, frame.1).unwrap();
            for ((y, x), value) in values.indexed_iter().filter(|((y, x), _)| found.mask[y * frame.1 + x] != 0) {
                let claimed = found.claims.iter().any(|claim| claim.pixel == (y as u32, x as u32));
                prop_assert!(claimed || is_found(*value));
            }
        }
    }
}

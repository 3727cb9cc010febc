//! The grid that the locations of a null stand on: each pixel of a scale, or squares of some pixels on the maps of large frames.
//!
//! A location for each of a million pixels would be chance, and a package of many megabytes. Squares of neighbouring pixels share one.

use crate::latents::ScaleShape;

/// Most locations of a scale: those of a map of 128 × 128 pixels.
const MOST: usize = 1 << 14;

/// Which location belongs to a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LocationGrid {
    /// Pixels along a square's side.
    side: usize,
    /// Columns of the map, and of the grid.
    width: usize,
    columns: usize,
    rows: usize,
}

impl LocationGrid {
    pub(super) fn of(shape: ScaleShape) -> Self {
        let grid = |side: usize| Self {
            side,
            width: shape.width,
            columns: shape.width.div_ceil(side),
            rows: shape.height.div_ceil(side),
        };
        let mut side = 1;
        while grid(side).len() > MOST {
            side += 1;
        }
        grid(side)
    }

    /// Locations in all.
    pub(super) fn len(&self) -> usize {
        self.rows * self.columns
    }

    /// The place of a pixel's location; pixels are numbered row by row.
    pub(super) fn at(&self, pixel: usize) -> usize {
        pixel / self.width / self.side * self.columns + pixel % self.width / self.side
    }

    /// The mean of each square's pixels that take part; of all its pixels where none does.
    pub(super) fn means(&self, values: &[f64], takes_part: &dyn Fn(usize) -> bool) -> Vec<f64> {
        let (mut inside, mut all) = (vec![(0.0, 0_u32); self.len()], vec![(0.0, 0_u32); self.len()]);
        for (pixel, &value) in values.iter().enumerate() {
            let at = self.at(pixel);
            all[at] = (all[at].0 + value, all[at].1 + 1);
            if takes_part(pixel) {
                inside[at] = (inside[at].0 + value, inside[at].1 + 1);
            }
        }
        let mean = |(inside, all): (&(f64, u32), &(f64, u32))| {
            let (sum, count) = if inside.1 > 0 { *inside } else { *all };
            sum / f64::from(count)
        };
        inside.iter().zip(&all).map(mean).collect()
    }

    /// One value for each of `pixels` pixels.
    pub(super) fn spread<T: Copy>(&self, locations: &[T], pixels: usize) -> Vec<T> {
        (0..pixels).map(|pixel| locations[self.at(pixel)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_maps_have_a_location_for_each_pixel_and_large_ones_for_squares() {
        let of = |height, width| LocationGrid::of(ScaleShape { channels: 1, height, width });
        assert_eq!((of(128, 128).len(), of(128, 128).at(777)), (1 << 14, 777));
        let large = of(257, 300);
        assert_eq!((large.side, large.rows, large.columns, large.len()), (3, 86, 100, 8600));
        assert_eq!((large.at(0), large.at(2), large.at(3), large.at(2 * 300), large.at(3 * 300)), (0, 0, 1, 0, 100));
        assert_eq!(large.at(257 * 300 - 1), large.len() - 1);
    }

    #[test]
    fn the_mean_of_a_square_is_that_of_the_pixels_that_take_part() {
        let grid = LocationGrid { side: 2, width: 3, columns: 2, rows: 2 };
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
        assert_eq!(grid.means(&values, &|_| true), [3.0, 4.5, 7.5, 9.0]);
        assert_eq!(grid.means(&values, &|pixel| pixel != 0 && pixel != 8), [11.0 / 3.0, 4.5, 7.5, 9.0]);
        assert_eq!(grid.spread(&[1, 2, 3, 4], 9), [1, 1, 2, 1, 1, 2, 3, 3, 4]);
    }
}

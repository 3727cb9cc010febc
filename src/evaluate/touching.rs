//! Whether a region touches a marked defect, and what follows for an image.
//!
//! An image that is called defective for the wrong reason is not found: its regions lie elsewhere, and on another day they would not be
//! there. Regions and marks are compared at the size of the source image, pixel by pixel. One common pixel is enough.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};
use strum::Display;

use super::{Outline, metrics::ImageResult};
use crate::segment::Region;

/// The regions of one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageRegions {
    /// The image's name, as in [`ImageResult`].
    pub image: String,
    /// Pixels in a row of the image.
    pub width: u32,
    /// Rows of the image.
    pub height: u32,
    /// The most significant region first.
    pub regions: Vec<RegionResult>,
    /// How many of them touch a marked defect; `None` for a good image, and for a defective image without a mark.
    pub touching: Option<usize>,
}

/// A region, compared with the ground truth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegionResult {
    /// The region.
    #[serde(flatten)]
    pub region: Region,
    /// Whether one of its pixels belongs to a marked defect; `None` in a defective image whose defect is not marked.
    pub touches: Option<bool>,
}

impl ImageRegions {
    /// Compares the regions of an image of (height, width) with its ground truth of the same size. `defective` is the image's kind.
    pub(super) fn new(
        name: &str,
        (height, width): (usize, usize),
        regions: &[Region],
        truth: Option<ArrayView2<'_, bool>>,
        defective: bool,
    ) -> Self {
        let marked = truth.filter(|truth| defective && truth.iter().any(|&marked| marked));
        let touches = |region: &Region| match marked {
            Some(truth) => Some(touches(&region.outline, truth)),
            None => (!defective).then_some(false),
        };
        let result = |region: &Region| RegionResult { region: region.clone(), touches: touches(region) };
        let regions: Vec<RegionResult> = regions.iter().map(result).collect();
        let touching = marked.map(|_| regions.iter().filter(|region| region.touches == Some(true)).count());
        Self { image: name.to_owned(), width: width as u32, height: height as u32, regions, touching }
    }
}

/// Whether a pixel inside the outline is marked. A pixel is inside where its centre is (even-odd rule).
pub(crate) fn touches(outline: &Outline, truth: ArrayView2<'_, bool>) -> bool {
    let ys = || outline.iter().flatten().map(|corner| corner[1]);
    let (Some(top), Some(bottom)) = (ys().min(), ys().max()) else { return false };
    let mut crossings = Vec::new();
    (top as usize..(bottom as usize).min(truth.nrows())).any(|row| {
        crossings_of_row(outline, row, &mut crossings);
        let marked = truth.row(row);
        crossings.chunks_exact(2).any(|pair| {
            // The pixels whose centres lie between the two crossings.
            let [from, to] = [pair[0], pair[1]].map(|x| (x - 0.5).ceil().max(0.0) as usize);
            (from..to.min(marked.len())).any(|column| marked[column])
        })
    })
}

/// Where the outline's sides cross the centres of a row of pixels, ascending.
fn crossings_of_row(outline: &Outline, row: usize, crossings: &mut Vec<f64>) {
    let y = row as f64 + 0.5;
    crossings.clear();
    for ring in outline {
        for (a, b) in ring.iter().zip(ring.iter().cycle().skip(1)) {
            let [[ax, ay], [bx, by]] = [a, b].map(|corner| corner.map(f64::from));
            if (ay < y) != (by < y) {
                crossings.push(ax + (y - ay) / (by - ay) * (bx - ax));
            }
        }
    }
    crossings.sort_unstable_by(f64::total_cmp);
}

/// What became of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display)]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// Defective and rejected; where the defect is marked, a region touches it.
    Found,
    /// Defective and rejected, but no region touches the marked defect.
    WrongReason,
    /// Defective and accepted.
    Missed,
    /// Good and rejected.
    FalseAlarm,
    /// Good and accepted.
    Good,
}

impl Outcome {
    /// In words, for a report.
    pub fn words(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::WrongReason => "wrong reason",
            Self::Missed => "missed",
            Self::FalseAlarm => "false alarm",
            Self::Good => "good",
        }
    }

    /// Whether the defect was not found: a miss, or a rejection for the wrong reason.
    pub fn is_miss(self) -> bool {
        matches!(self, Self::Missed | Self::WrongReason)
    }
}

impl ImageResult {
    /// What became of the image.
    pub fn outcome(&self) -> Outcome {
        match (self.defective(), self.anomalous) {
            (true, true) if self.touching == Some(0) => Outcome::WrongReason,
            (true, true) => Outcome::Found,
            (true, false) => Outcome::Missed,
            (false, true) => Outcome::FalseAlarm,
            (false, false) => Outcome::Good,
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_common_pixel_is_enough_and_a_neighbour_is_not() {
        let square: Outline = vec![vec![[2, 1], [5, 1], [5, 4], [2, 4]]];
        let mut truth = Array2::from_elem((6, 8), false);
        assert!(!touches(&square, truth.view()));
        for (row, column) in [(0, 2), (4, 2), (1, 1), (1, 5), (3, 5)] {
            truth[[row, column]] = true;
        }
        assert!(!touches(&square, truth.view()), "pixels around the region are not of it");
        truth[[3, 4]] = true;
        assert!(touches(&square, truth.view()));
        assert!(!touches(&Vec::new(), truth.view()));
    }

    #[test]
    fn a_defect_in_a_hole_of_the_region_is_not_touched() {
        let frame: Outline = vec![vec![[0, 0], [3, 0], [3, 3], [0, 3]], vec![[1, 2], [2, 2], [2, 1], [1, 1]]];
        let mut truth = Array2::from_elem((3, 3), false);
        truth[[1, 1]] = true;
        assert!(!touches(&frame, truth.view()));
        truth[[1, 2]] = true;
        assert!(touches(&frame, truth.view()));
    }

    proptest! {
        /// Against the definition, for polygons of any shape, also beyond the image: the winding parity of each pixel's centre.
        #[test]
        fn a_row_by_row_answer_is_that_of_every_pixel(
            rings in prop::collection::vec(prop::collection::vec([0..12_u32, 0..12_u32], 0..7), 0..3),
            marks in prop::collection::vec(prop::bool::weighted(0.1), 80),
        ) {
            let truth = Array2::from_shape_vec((8, 10), marks).unwrap();
            let inside = |row: usize, column: usize| {
                let (x, y) = (column as f64 + 0.5, row as f64 + 0.5);
                let mut odd = false;
                for ring in &rings {
                    for index in 0..ring.len() {
                        let [a, b] = [ring[index], ring[(index + 1) % ring.len()]].map(|at| at.map(f64::from));
                        let crosses = (a[1] > y) != (b[1] > y);
                        odd ^= crosses && (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]) + a[0] <= x;
                    }
                }
                odd
            };
            let expected = truth.indexed_iter().any(|((row, column), &marked)| marked && inside(row, column));
            prop_assert_eq!(touches(&rings, truth.view()), expected);
        }
    }
}

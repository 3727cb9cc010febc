//! What the good images have in common: their own contrast, the camera's noise, where defects may lie, and how the part looks.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{
    kind::{Defect, DefectKind},
    pixels::{Patch, Rect},
    shape,
};
use crate::{frame::Frame, quantile::quantile, segment::Roi};

/// Parts of the pixels that are darker than the dark and the light places of the part.
const DARK_AND_LIGHT: [f64; 2] = [0.05, 0.95];
/// Least contrast of a part, in parts of white: four gray levels.
const LEAST_CONTRAST: f64 = 4.0 / 255.0;
/// Side of the blocks that the noise is measured in, and the part of them, the calmest, that tells it.
const BLOCK: usize = 16;
const CALM: f64 = 0.1;
/// Tries to find a place inside the region of interest.
const TRIES: usize = 400;
/// Steps across and down in which places are tried one by one.
const PLACE_STEPS: usize = 64;
/// Width of the picture of the part.
const PICTURE_WIDTH: usize = 96;

/// What the good images have in common.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The difference between the light and the dark places of the part (95% and 5% of all pixels), in parts of white.
    pub contrast: f64,
    /// The camera's noise: standard deviation in the calmest places, in parts of white.
    pub noise: f64,
    /// Where defects may lie, if not everywhere.
    field: Option<Field>,
    /// (width, height) of each image.
    pub sizes: Vec<(usize, usize)>,
    /// The mean of all images, scaled to one size: values from 0 to 1.
    pub picture: Picture,
}

/// The cells of a grid over the frame that are inside the region of interest.
#[derive(Clone, Debug)]
struct Field {
    width: usize,
    height: usize,
    inside: Vec<bool>,
}

/// A small gray picture.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    /// Pixels in a row.
    pub width: usize,
    /// Values from 0 (black) to 1 (white), row by row.
    pub values: Vec<f32>,
}

/// What is measured on one image.
#[derive(Clone, Debug)]
pub struct ImageFacts {
    size: (usize, usize),
    /// Pixels by brightness.
    histogram: Vec<u32>,
    noise: Vec<f32>,
    thumbnail: Vec<f32>,
}

impl ImageFacts {
    /// Measures an image; `roi` is the part of it that counts.
    pub fn of(frame: &Frame<'_>, roi: Option<&Roi>) -> Self {
        let size = (frame.width() as usize, frame.height() as usize);
        let whole = Rect { x: 0, y: 0, width: size.0, height: size.1 };
        let gray = Patch::read_mapped(frame, whole, 1, |x, y| (x, y)).values;
        let inside = roi.map(|roi| roi.at_size(size.1, size.0));
        let mut histogram = vec![0; 256];
        for (index, &value) in gray.iter().enumerate() {
            if inside.as_ref().is_none_or(|inside| inside[index]) {
                histogram[(value * 255.0).round().clamp(0.0, 255.0) as usize] += 1;
            }
        }
        Self { size, histogram, noise: noise(&gray, size), thumbnail: thumbnail(&gray, size) }
    }
}

/// Standard deviation of the noise in each block: of what Immerkær's mask (1996), blind to constants, slopes and edges along rows or
/// columns, leaves.
fn noise(gray: &[f32], (width, height): (usize, usize)) -> Vec<f32> {
    let mut blocks = Vec::new();
    for top in (1..height.saturating_sub(BLOCK)).step_by(BLOCK) {
        for left in (1..width.saturating_sub(BLOCK)).step_by(BLOCK) {
            let mut sum = 0.0;
            for y in top..top + BLOCK {
                for x in left..left + BLOCK {
                    let at = |dx: usize, dy: usize| gray[(y + dy - 1) * width + x + dx - 1];
                    let corners = at(0, 0) + at(2, 0) + at(0, 2) + at(2, 2);
                    let sides = at(1, 0) + at(0, 1) + at(2, 1) + at(1, 2);
                    sum += (corners - 2.0 * sides + 4.0 * at(1, 1)).powi(2);
                }
            }
            blocks.push((sum / (36 * BLOCK * BLOCK) as f32).sqrt());
        }
    }
    blocks
}

/// The image's means over a grid of [`PICTURE_WIDTH`]² cells.
fn thumbnail(gray: &[f32], (width, height): (usize, usize)) -> Vec<f32> {
    let range = |cell: usize, length: usize| {
        let from = cell * length / PICTURE_WIDTH;
        from..((cell + 1) * length / PICTURE_WIDTH).max(from + 1).min(length)
    };
    let mut cells = Vec::with_capacity(PICTURE_WIDTH * PICTURE_WIDTH);
    for row in 0..PICTURE_WIDTH {
        for column in 0..PICTURE_WIDTH {
            let (rows, columns) = (range(row, height), range(column, width));
            let count = (rows.len() * columns.len()).max(1);
            let sum: f32 = rows.map(|y| gray[y * width..][columns.clone()].iter().sum::<f32>()).sum();
            cells.push(sum / count as f32);
        }
    }
    cells
}

impl Scene {
    /// From what was measured on each image, in order.
    pub fn new(images: &[ImageFacts], roi: Option<&Roi>) -> Self {
        let mut histogram = vec![0_u64; 256];
        let (mut noises, mut picture) = (Vec::new(), vec![0.0; PICTURE_WIDTH * PICTURE_WIDTH]);
        for image in images {
            histogram.iter_mut().zip(&image.histogram).for_each(|(sum, &count)| *sum += u64::from(count));
            noises.extend_from_slice(&image.noise);
            picture.iter_mut().zip(&image.thumbnail).for_each(|(sum, value)| *sum += value / images.len() as f32);
        }
        noises.sort_unstable_by(f32::total_cmp);
        let all: u64 = histogram.iter().sum();
        let level = |share: f64| {
            let mut seen = 0;
            histogram.iter().position(|count| {
                seen += count;
                seen as f64 >= share * all as f64
            })
        };
        let [dark, light] = DARK_AND_LIGHT.map(|share| level(share).unwrap_or(0) as f64 / 255.0);
        Self {
            contrast: (light - dark).max(LEAST_CONTRAST),
            noise: quantile(&noises, CALM).map_or(0.0, f64::from),
            field: roi.map(|roi| {
                let (height, width) = roi.size();
                Field { width, height, inside: roi.at_size(height, width) }
            }),
            sizes: images.iter().map(|image| image.size).collect(),
            picture: Picture { width: PICTURE_WIDTH, values: picture },
        }
    }

    /// The median of the images' shorter sides.
    pub(super) fn shorter_side(&self) -> f64 {
        let mut sides: Vec<usize> = self.sizes.iter().map(|size| size.0.min(size.1)).collect();
        sides.sort_unstable();
        quantile(&sides, 0.5).unwrap_or(1) as f64
    }

    /// The median of the images' widths and of their heights.
    pub fn median_size(&self) -> [usize; 2] {
        let median = |of: fn(&(usize, usize)) -> usize| {
            let mut values: Vec<usize> = self.sizes.iter().map(of).collect();
            values.sort_unstable();
            quantile(&values, 0.5).unwrap_or(0)
        };
        [median(|size| size.0), median(|size| size.1)]
    }

    /// The largest size up to `largest` at which defects of all these kinds have a place on most images: inside the frame, and with their
    /// centre inside the region of interest.
    pub(super) fn largest_with_place(&self, kinds: &[DefectKind], largest: f64) -> f64 {
        let [width, height] = self.median_size();
        let frame = (width, height);
        let has_place = |kind: DefectKind, size: f64| {
            let steps = || (0..=PLACE_STEPS).map(|step| step as f64 / PLACE_STEPS as f64);
            shape::fits(kind, size, frame)
                && steps().any(|y| steps().any(|x| self.counts(shape::centre(kind, size, [x, y], frame), frame)))
        };
        let sizes = std::iter::successors(Some(largest), |size| (*size > 1.0).then_some(0.95 * size));
        sizes.into_iter().find(|&size| kinds.iter().all(|&kind| has_place(kind, size))).unwrap_or(0.0)
    }

    /// Whether a point of a frame is inside the region of interest.
    fn counts(&self, [x, y]: [f64; 2], frame: (usize, usize)) -> bool {
        let cell = |at: f64, all: usize, cells: usize| ((at / all as f64 * cells as f64) as usize).min(cells - 1);
        self.field.as_ref().is_none_or(|Field { width, height, inside }| {
            inside[cell(y, frame.1, *height) * width + cell(x, frame.0, *width)]
        })
    }

    /// Where a defect lies in a frame: at its place, or where that is outside the region of interest, at another place inside.
    pub(super) fn centre(&self, defect: &Defect, frame: (usize, usize), random: &mut ChaCha8Rng) -> [f64; 2] {
        let at = |place| shape::centre(defect.kind, defect.size, place, frame);
        let first = at(defect.place);
        let others = (0..TRIES).map(|_| at([random.random(), random.random()]));
        let found = std::iter::once(first).chain(others).find(|&centre| self.counts(centre, frame));
        // Chance may miss a small region: every place in turn.
        let steps = || (0..=PLACE_STEPS).map(|step| step as f64 / PLACE_STEPS as f64);
        let in_turn =
            || steps().flat_map(|y| steps().map(move |x| at([x, y]))).find(|&centre| self.counts(centre, frame));
        found.or_else(in_turn).unwrap_or(first)
    }
}

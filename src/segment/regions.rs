//! From the log₁₀NFA map to what users see: mask, regions and verdict in the frame that the image came from.
//!
//! The map is interpolated bilinearly to the frame's size and then thresholded (strictly below log₁₀ ε), so edges follow
//! the frame's own grid. Rows whose neighbourhood in the map is above the threshold are skipped, and a frame without any
//! evidence costs nothing.

use std::ops::Range;

use ndarray::{Array2, ArrayView2};

use super::outline::{self, WALKED};
use super::region::{Measures, Regions};
use super::runs::{Run, Runs};
use super::upsample::{Axis, Rows};
use super::{DecisionRule, Roi, Segmentation, upsample};
use crate::{Error, Result};

/// Mask and regions of one frame.
#[derive(Clone, Copy, Debug)]
pub struct Findings<'a> {
    /// 1 where the frame is anomalous, else 0; height × width of the frame.
    pub mask: ArrayView2<'a, u8>,
    /// Its 8-connected components, the most significant first.
    pub regions: &'a Regions,
}

/// log₁₀ ε, to compare log₁₀NFA maps with.
///
/// # Errors
/// An ε that is not a positive finite number.
pub fn log10_epsilon(epsilon: f64) -> Result<f32> {
    if epsilon.is_finite() && epsilon > 0.0 {
        return Ok(epsilon.log10() as f32);
    }
    let reason = format!("must be a number above 0 (false alarms expected per image; 1 is the default), not {epsilon}");
    Err(Error::parameter("epsilon", reason))
}

/// The mask of a log₁₀NFA map at height × width: the map interpolated bilinearly, then 1 where it is below log₁₀ ε.
///
/// # Errors
/// An ε that is not positive, or an empty map or size.
pub fn mask(log10_nfa: ArrayView2<'_, f32>, epsilon: f64, height: usize, width: usize) -> Result<Array2<u8>> {
    let threshold = log10_epsilon(epsilon)?;
    Ok(upsample(log10_nfa, height, width)?.mapv(|value| u8::from(value < threshold)))
}

/// Finds mask, regions and verdict of one frame after another, in buffers that are kept for as long as sizes stay.
#[derive(Debug)]
pub struct RegionFinder {
    roi: Option<Roi>,
    grid: Option<Grid>,
    mask: Array2<u8>,
    mask_is_blank: bool,
    /// Rows of the map with a pixel below the threshold.
    below: Vec<bool>,
    runs: Runs,
    regions: Regions,
    scratch: Scratch,
}

/// Memory of the last steps that the next frame uses again.
#[derive(Debug, Default)]
struct Scratch {
    builders: Vec<Builder>,
    /// By the index of a region's first run.
    region_of: Vec<usize>,
    /// Rings in the order in which they were found: region and corners.
    found: Vec<(usize, Range<u32>)>,
    score_runs: Runs,
    score_row: Vec<u8>,
    areas: Vec<u32>,
}

/// Most pixels of a frame: corners of outlines, of which a pixel can have four, are counted in 32 bits.
const MOST_PIXELS: usize = 1 << 30;

/// What depends only on the sizes and the region of interest.
#[derive(Debug)]
struct Grid {
    map: (usize, usize),
    frame: (usize, usize),
    rows: Axis,
    columns: Axis,
    log10_nfa: (Rows, Vec<f32>),
    score: (Rows, Vec<f32>),
    inside: Option<Vec<bool>>,
}

impl Default for RegionFinder {
    fn default() -> Self {
        Self::new()
    }
}

impl RegionFinder {
    /// A finder without buffers yet.
    pub fn new() -> Self {
        Self {
            roi: None,
            grid: None,
            mask: Array2::zeros((0, 0)),
            mask_is_blank: true,
            below: Vec::new(),
            runs: Runs::default(),
            regions: Regions::default(),
            scratch: Scratch::default(),
        }
    }

    /// Restricts mask and verdict to a region of interest, at the frame's own resolution, or lifts the restriction.
    pub fn set_roi(&mut self, roi: Option<&Roi>) {
        self.roi = roi.cloned();
        self.grid = None;
    }

    /// The mask of the last frame.
    pub fn mask(&self) -> ArrayView2<'_, u8> {
        self.mask.view()
    }

    /// The regions of the last frame, the most significant first.
    pub fn regions(&self) -> &Regions {
        &self.regions
    }

    /// Leaves regions of at least so many pixels; the mask stays as it is.
    pub fn keep_at_least(&mut self, area: u32) {
        self.regions.keep_at_least(area);
    }

    /// Mask and regions at ε (`log10_epsilon`) in a frame of height × width.
    ///
    /// # Errors
    /// A threshold that is not a number, or a frame without pixels.
    pub fn find(
        &mut self,
        segmentation: &Segmentation<'_>,
        log10_epsilon: f32,
        height: usize,
        width: usize,
    ) -> Result<Findings<'_>> {
        if log10_epsilon.is_nan() {
            return Err(Error::parameter("epsilon", "log₁₀ ε is not a number"));
        }
        self.fit(segmentation.log10_nfa.dim(), (height, width))?;
        self.regions.clear();
        if !self.mask_is_blank {
            self.mask.fill(0);
            self.mask_is_blank = true;
        }
        if segmentation.log10_nfa_min < log10_epsilon {
            self.mask_is_blank = false;
            self.threshold(segmentation, log10_epsilon);
            self.measure(segmentation);
        }
        Ok(Findings { mask: self.mask.view(), regions: &self.regions })
    }

    /// The verdict on the frame that [`find`](Self::find) has just looked at.
    ///
    /// By NFA: a region of at least `min_area` pixels. By score: a score above the threshold, on an 8-connected component
    /// of at least `min_area` pixels of the frame.
    pub fn anomalous(&mut self, segmentation: &Segmentation<'_>, rule: &DecisionRule) -> bool {
        let by_nfa = self.regions.iter().any(|region| region.area() >= rule.min_area);
        let by_score = rule.score_threshold.is_some_and(|threshold| {
            segmentation.image_score > threshold
                && (rule.min_area <= 1 || self.largest_above(segmentation, threshold) >= rule.min_area)
        });
        rule.verdict.decide(by_nfa, by_score)
    }

    fn fit(&mut self, map: (usize, usize), frame: (usize, usize)) -> Result<()> {
        if self.grid.as_ref().is_some_and(|grid| (grid.map, grid.frame) == (map, frame)) {
            return Ok(());
        }
        let (height, width) = frame;
        if height == 0 || width == 0 || height.checked_mul(width).is_none_or(|area| area > MOST_PIXELS) {
            let reason = format!("a frame of {width}×{height} has no pixels, or more than 2³⁰");
            return Err(Error::parameter("size", reason));
        }
        let row = || (Rows::new(width), vec![0.0; width]);
        self.grid = Some(Grid {
            map,
            frame,
            rows: Axis::new(map.0, height),
            columns: Axis::new(map.1, width),
            log10_nfa: row(),
            score: row(),
            inside: self.roi.as_ref().map(|roi| roi.at_size(height, width)),
        });
        self.mask = Array2::zeros(frame);
        self.mask_is_blank = true;
        Ok(())
    }

    /// Writes the mask and collects its runs.
    fn threshold(&mut self, segmentation: &Segmentation<'_>, threshold: f32) {
        let Some(grid) = &mut self.grid else { return };
        let (log10_nfa, score) = (&segmentation.log10_nfa, &segmentation.score);
        self.below.clear();
        self.below.extend(log10_nfa.outer_iter().map(|row| row.iter().any(|&value| value < threshold)));
        self.runs.clear();
        grid.restart();
        for (y, mut mask) in self.mask.outer_iter_mut().enumerate() {
            let (low, high, _) = grid.rows.at(y);
            if !self.below[low] && !self.below[high] {
                continue;
            }
            grid.write_log10_nfa(y, log10_nfa);
            let mask = mask.as_slice_mut().unwrap_or_default();
            let mut any = false;
            for (mask, &value) in mask.iter_mut().zip(&grid.log10_nfa.1) {
                *mask = u8::from(value < threshold);
                any |= value < threshold;
            }
            grid.clear_outside(y, mask);
            if any {
                grid.write_score(y, score);
                self.runs.add_row(y, mask, &grid.log10_nfa.1, &grid.score.1);
            }
        }
    }

    /// Makes the regions from the runs, then their outlines.
    fn measure(&mut self, segmentation: &Segmentation<'_>) {
        let Some(grid) = &self.grid else { return };
        let Regions { measures, rings, corners } = &mut self.regions;
        let Scratch { builders, region_of, found, .. } = &mut self.scratch;
        builders.clear();
        found.clear();
        region_of.clear();
        region_of.resize(self.runs.len(), 0);
        let width = grid.frame.1;
        let mask = self.mask.as_slice_mut().unwrap_or_default();
        for index in 0..self.runs.len() {
            let first = self.runs.first_of(index);
            let run = self.runs.get(index);
            if first == index {
                region_of[index] = builders.len();
                builders.push(Builder::new(run));
            }
            let region = region_of[first];
            builders[region].add(run);
            for x in run.start as usize..run.end as usize {
                if outline::starts(mask, width, x, run.row as usize) {
                    found.push((region, outline::walk(mask, width, x, run.row as usize, corners)));
                }
            }
        }
        for index in 0..self.runs.len() {
            let run = self.runs.get(index);
            let row = run.row as usize * width;
            for pixel in &mut mask[row + run.start as usize..row + run.end as usize] {
                *pixel &= !WALKED;
            }
        }
        // By region, in the order in which they were found: the outer ring first.
        found.sort_unstable_by_key(|(region, ring)| (*region, ring.start));
        rings.extend(found.iter().map(|(_, ring)| ring.clone()));
        let mut first = 0;
        for (region, builder) in builders.iter().enumerate() {
            let count = found[first..].iter().take_while(|(of, _)| *of == region).count();
            let (row, column) = grid.to_map(builder.lowest_at);
            measures.push(builder.finish(segmentation.scale_at(row, column), first as u32..(first + count) as u32));
            first += count;
        }
        let order = |a: &Measures, b: &Measures| a.log10_nfa_min.total_cmp(&b.log10_nfa_min);
        measures.sort_unstable_by(|a, b| order(a, b).then(a.rings.start.cmp(&b.rings.start)));
    }

    /// Pixels of the largest component of score > threshold in the frame.
    fn largest_above(&mut self, segmentation: &Segmentation<'_>, threshold: f32) -> u32 {
        let Some(grid) = &mut self.grid else { return 0 };
        let Scratch { score_runs: runs, score_row: row, areas, .. } = &mut self.scratch;
        row.resize(grid.frame.1, 0);
        runs.clear();
        grid.restart();
        for y in 0..grid.frame.0 {
            grid.write_score(y, &segmentation.score);
            for (mask, &value) in row.iter_mut().zip(&grid.score.1) {
                *mask = u8::from(value > threshold);
            }
            grid.clear_outside(y, row);
            runs.add_row(y, row, &grid.score.1, &grid.score.1);
        }
        areas.clear();
        areas.resize(runs.len(), 0);
        for index in 0..runs.len() {
            let run = runs.get(index);
            areas[runs.first_of(index)] += run.end - run.start;
        }
        areas.iter().copied().max().unwrap_or(0)
    }
}

impl Grid {
    fn restart(&mut self) {
        self.log10_nfa.0.reset(self.frame.1);
        self.score.0.reset(self.frame.1);
    }

    fn write_log10_nfa(&mut self, y: usize, map: &ArrayView2<'_, f32>) {
        let (rows, out) = &mut self.log10_nfa;
        rows.blend(y, &self.rows, &self.columns, row(map)).write(out);
    }

    fn write_score(&mut self, y: usize, map: &ArrayView2<'_, f32>) {
        let (rows, out) = &mut self.score;
        rows.blend(y, &self.rows, &self.columns, row(map)).write(out);
    }

    fn clear_outside(&self, y: usize, mask: &mut [u8]) {
        let Some(inside) = &self.inside else { return };
        for (mask, &inside) in mask.iter_mut().zip(&inside[y * self.frame.1..]) {
            *mask &= u8::from(inside);
        }
    }

    /// The pixel of the maps that a pixel (row, column) of the frame lies in.
    fn to_map(&self, (row, column): (u32, u32)) -> (usize, usize) {
        let scaled = |at: u32, map: usize, frame: usize| {
            (((f64::from(at) + 0.5) * map as f64 / frame as f64) as usize).min(map - 1)
        };
        (scaled(row, self.map.0, self.frame.0), scaled(column, self.map.1, self.frame.1))
    }
}

/// Row `y` of a standard-layout map.
fn row<'a>(map: &'a ArrayView2<'_, f32>) -> impl Fn(usize) -> &'a [f32] {
    move |y| map.as_slice().map(|values| &values[y * map.ncols()..(y + 1) * map.ncols()]).unwrap_or_default()
}

/// A region while its runs are added.
#[derive(Debug)]
struct Builder {
    left: u32,
    right: u32,
    top: u32,
    bottom: u32,
    area: u32,
    sum: [f64; 2],
    lowest: f32,
    lowest_at: (u32, u32),
    highest: f32,
}

impl Builder {
    fn new(run: Run) -> Self {
        Self {
            left: run.start,
            right: run.end,
            top: run.row,
            bottom: run.row,
            area: 0,
            sum: [0.0; 2],
            lowest: f32::INFINITY,
            lowest_at: (run.row, run.start),
            highest: f32::NEG_INFINITY,
        }
    }

    fn add(&mut self, run: Run) {
        let length = f64::from(run.end - run.start);
        self.left = self.left.min(run.start);
        self.right = self.right.max(run.end);
        self.bottom = self.bottom.max(run.row);
        self.area += run.end - run.start;
        self.sum[0] += length * f64::from(run.start + run.end) / 2.0;
        self.sum[1] += length * (f64::from(run.row) + 0.5);
        self.highest = self.highest.max(run.highest);
        if run.lowest < self.lowest {
            (self.lowest, self.lowest_at) = (run.lowest, (run.row, run.lowest_column));
        }
    }

    fn finish(&self, scale: usize, rings: Range<u32>) -> Measures {
        let area = f64::from(self.area);
        Measures {
            bbox: [self.left, self.top, self.right - self.left, self.bottom + 1 - self.top],
            area: self.area,
            centroid: [self.sum[0] / area, self.sum[1] / area],
            log10_nfa_min: self.lowest,
            score_max: self.highest,
            scale,
            rings,
        }
    }
}

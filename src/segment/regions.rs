//! From the log₁₀NFA map to what users see: mask, regions and verdict in the frame that the image came from.
//!
//! There is one definition of "found", for verdicts by NFA and by score, for the mask and for the regions: that of
//! [`frame_grid`](super::frame_grid). If `log10_nfa_min < log₁₀ε`, the mask has a pixel, so there is a region, and the frame is anomalous
//! by NFA unless all regions are smaller than `min_area`. Otherwise the mask is empty. The same holds for the image score and its
//! threshold, and for frames smaller and larger than the map. Rows of the frame without a found cell nearby are skipped, so a frame
//! without evidence takes almost no time.

use std::ops::Range;

use ndarray::{Array2, ArrayView2};

use super::frame_grid::{FoundPixels, FrameGrid, Interpolated};
use super::outline::{self, WALKED};
use super::region::{Measures, Regions};
use super::runs::{PixelRun, Runs};
use super::{DecisionRule, Roi, Segmentation};
use crate::{Error, Reason, Result};

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

/// The mask of a log₁₀NFA map at height × width: 1 where the map, interpolated bilinearly, is below log₁₀ ε. A cell of the map
/// that is below log₁₀ ε always gets a pixel, even if interpolation gives it none.
///
/// # Errors
/// An ε that is not positive, or an empty map or size.
pub fn mask(log10_nfa: ArrayView2<'_, f32>, epsilon: f64, height: usize, width: usize) -> Result<Array2<u8>> {
    let threshold = log10_epsilon(epsilon)?;
    if log10_nfa.is_empty() {
        return Err(Error::parameter("size", "the map has no pixels"));
    }
    check_frame(height, width)?;
    let grid = FrameGrid::new(log10_nfa.dim(), (height, width), None);
    let mut found = FoundPixels::default();
    found.clear((height, width));
    let map = log10_nfa.as_standard_layout();
    grid.find(&map.view(), None, |value| value < threshold, &mut Interpolated::new(), &mut found);
    Array2::from_shape_vec((height, width), found.mask).map_err(|error| Error::parameter("size", Reason::of(error)))
}

/// Finds mask, regions and verdict of one frame after another. The buffers are reused while the sizes stay the same.
#[derive(Debug)]
pub struct RegionFinder {
    roi: Option<Roi>,
    grid: Option<FrameGrid>,
    found: FoundPixels,
    blank: bool,
    runs: Runs,
    regions: Regions,
    scratch: Scratch,
}

/// Memory of the last steps, reused for the next frame.
#[derive(Debug)]
struct Scratch {
    log10_nfa: Interpolated,
    score: Interpolated,
    builders: Vec<Builder>,
    /// By the index of a region's first run.
    region_of: Vec<usize>,
    /// Rings in the order in which they were found: region and corners.
    rings: Vec<(usize, Range<u32>)>,
    by_score: FoundPixels,
    score_runs: Runs,
    areas: Vec<u32>,
}

/// Most pixels of a frame. A pixel can add four corners to an outline, and corners are counted in 32 bits.
const MOST_PIXELS: usize = 1 << 30;

impl Default for RegionFinder {
    fn default() -> Self {
        Self::new()
    }
}

impl RegionFinder {
    /// Makes a finder; its buffers are made with the first frame.
    pub fn new() -> Self {
        Self {
            roi: None,
            grid: None,
            found: FoundPixels::default(),
            blank: true,
            runs: Runs::default(),
            regions: Regions::default(),
            scratch: Scratch {
                log10_nfa: Interpolated::new(),
                score: Interpolated::new(),
                builders: Vec::new(),
                region_of: Vec::new(),
                rings: Vec::new(),
                by_score: FoundPixels::default(),
                score_runs: Runs::default(),
                areas: Vec::new(),
            },
        }
    }

    /// Restricts mask and verdict to a region of interest, at the frame's own resolution, or lifts the restriction.
    pub fn set_roi(&mut self, roi: Option<&Roi>) {
        self.roi = roi.cloned();
        self.grid = None;
    }

    /// The mask of the last frame.
    pub fn mask(&self) -> ArrayView2<'_, u8> {
        let size = self.grid.as_ref().map_or((0, 0), |grid| grid.frame);
        ArrayView2::from_shape(size, &self.found.mask).unwrap_or_else(|_| ArrayView2::from(&[[]; 0]))
    }

    /// The regions of the last frame, the most significant first.
    pub fn regions(&self) -> &Regions {
        &self.regions
    }

    /// Keeps the regions of at least `pixels` pixels. The mask does not change.
    pub fn keep_at_least(&mut self, area: u32) {
        self.regions.keep_at_least(area);
    }

    /// Leaves no region and an empty mask.
    pub fn clear(&mut self) {
        self.regions.clear();
        if let (false, Some(grid)) = (self.blank, &self.grid) {
            self.found.clear(grid.frame);
            self.blank = true;
        }
    }

    /// Gives every region its p-value.
    pub fn set_p_values(&mut self, p_value: impl Fn(f32) -> Option<f64>) {
        self.regions.set_p_values(p_value);
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
        self.clear();
        if segmentation.log10_nfa_min < log10_epsilon {
            self.blank = false;
            self.threshold(segmentation, log10_epsilon);
            self.measure(segmentation);
        }
        Ok(Findings { mask: self.mask(), regions: &self.regions })
    }

    /// The verdict on the frame that [`find`](Self::find) has just looked at.
    ///
    /// By NFA: a region of at least `min_area` pixels. By rejection rate: one that makes the image anomalous by itself. By score: a score above the threshold, on an 8-connected component
    /// of at least `min_area` pixels of the frame.
    pub fn anomalous(&mut self, segmentation: &Segmentation<'_>, rule: &DecisionRule) -> bool {
        let by_nfa = self.regions.iter().any(|region| {
            // Interpolated to the frame, a region may lose some of the evidence that its cells have.
            let alone = |threshold| rule.min_area <= 1 || region.log10_nfa_min() < threshold;
            region.area() >= rule.min_area && rule.reject.is_none_or(|reject| alone(reject.log10_nfa))
        });
        let by_score = rule.score_threshold.is_some_and(|threshold| {
            segmentation.score_max > threshold
                && (rule.min_area <= 1 || self.largest_above(segmentation, threshold) >= rule.min_area)
        });
        rule.verdict.decide(by_nfa, by_score)
    }

    fn fit(&mut self, map: (usize, usize), frame: (usize, usize)) -> Result<()> {
        if self.grid.as_ref().is_some_and(|grid| (grid.map, grid.frame) == (map, frame)) {
            return Ok(());
        }
        check_frame(frame.0, frame.1)?;
        self.grid = Some(FrameGrid::new(map, frame, self.roi.as_ref()));
        // The memory of a larger frame is not kept for a smaller one.
        self.found.mask = Vec::new();
        self.found.clear(frame);
        self.blank = true;
        Ok(())
    }

    /// Writes the mask and collects its runs.
    fn threshold(&mut self, segmentation: &Segmentation<'_>, threshold: f32) {
        let Some(grid) = &self.grid else { return };
        let Self { found, runs, scratch, .. } = self;
        let Scratch { log10_nfa, score, .. } = scratch;
        grid.find(&segmentation.log10_nfa, segmentation.inside, |value| value < threshold, log10_nfa, found);
        runs.clear();
        grid.restart(log10_nfa);
        grid.restart(score);
        for (y, mask) in found.mask.chunks_exact(grid.frame.1).enumerate().filter(|(y, _)| found.rows[*y]) {
            grid.interpolate(y, &segmentation.log10_nfa, log10_nfa);
            grid.interpolate(y, &segmentation.score, score);
            // Rounding in the interpolation must not give values beyond those of the map.
            log10_nfa.values.iter_mut().for_each(|value| *value = value.max(segmentation.log10_nfa_min));
            score.values.iter_mut().for_each(|value| *value = value.min(segmentation.score_max));
            for claim in found.claims_of_row(y) {
                let (column, cell) = (claim.pixel.1 as usize, [claim.cell.0 as usize, claim.cell.1 as usize]);
                log10_nfa.values[column] = log10_nfa.values[column].min(segmentation.log10_nfa[cell]);
                score.values[column] = score.values[column].max(segmentation.score[cell]);
            }
            runs.add_row(y, mask, &log10_nfa.values, &score.values);
        }
    }

    /// Makes the regions from the runs, then their outlines.
    fn measure(&mut self, segmentation: &Segmentation<'_>) {
        let Some(grid) = &self.grid else { return };
        let Regions { measures, rings, corners } = &mut self.regions;
        let Scratch { builders, region_of, rings: walked, .. } = &mut self.scratch;
        builders.clear();
        walked.clear();
        region_of.clear();
        region_of.resize(self.runs.len(), 0);
        let width = grid.frame.1;
        let FoundPixels { mask, claims, .. } = &mut self.found;
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
                    walked.push((region, outline::walk(mask, width, x, run.row as usize, corners)));
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
        walked.sort_unstable_by_key(|(region, ring)| (*region, ring.start));
        rings.extend(walked.iter().map(|(_, ring)| ring.clone()));
        let mut first = 0;
        for (region, builder) in builders.iter().enumerate() {
            let count = walked[first..].iter().take_while(|(of, _)| *of == region).count();
            // The cell with the region's lowest value; if that value was interpolated, the cell that contains the pixel.
            let start = claims.partition_point(|claim| claim.pixel < builder.lowest_at);
            let claimed = claims[start..].iter().take_while(|claim| claim.pixel == builder.lowest_at);
            let cells = claimed.map(|claim| (claim.cell.0 as usize, claim.cell.1 as usize));
            let cell = cells.min_by(|a, b| segmentation.log10_nfa[*a].total_cmp(&segmentation.log10_nfa[*b]));
            let (row, column) = cell.unwrap_or_else(|| grid.cell_of(builder.lowest_at));
            measures.push(builder.finish(segmentation.scale_at(row, column), first as u32..(first + count) as u32));
            first += count;
        }
        let order = |a: &Measures, b: &Measures| a.log10_nfa_min.total_cmp(&b.log10_nfa_min);
        measures.sort_unstable_by(|a, b| order(a, b).then(a.rings.start.cmp(&b.rings.start)));
    }

    /// Pixels of the largest component of score > threshold in the frame.
    fn largest_above(&mut self, segmentation: &Segmentation<'_>, threshold: f32) -> u32 {
        let Some(grid) = &self.grid else { return 0 };
        let Scratch { score, by_score: found, score_runs: runs, areas, .. } = &mut self.scratch;
        found.clear(grid.frame);
        grid.find(&segmentation.score, segmentation.inside, |value| value > threshold, score, found);
        runs.clear();
        for (y, mask) in found.mask.chunks_exact(grid.frame.1).enumerate().filter(|(y, _)| found.rows[*y]) {
            // The values along the runs are not used.
            runs.add_row(y, mask, &score.values, &score.values);
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

fn check_frame(height: usize, width: usize) -> Result<()> {
    if height > 0 && width > 0 && height.checked_mul(width).is_some_and(|area| area <= MOST_PIXELS) {
        return Ok(());
    }
    Err(Error::parameter("size", format!("a frame must have 1 to 2³⁰ pixels, not {width}×{height}")))
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
    fn new(run: PixelRun) -> Self {
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

    fn add(&mut self, run: PixelRun) {
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
            p_value: None,
            score_max: self.highest,
            scale,
            rings,
        }
    }
}

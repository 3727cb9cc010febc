//! The outline of a region: where the score map says that it is, not where the cells end that found it.
//!
//! A region that a coarse scale found is a few large cells. It says that something is there, and hardly where. The score map has all scales
//! in it, the finest too. So a region is drawn as the pixels that stand out as its peak does:
//!
//! ```text
//! t = median + HEIGHT · (peak − median)      median of the image's scores, peak of the scores in the region's cells
//! ```
//!
//! It is every pixel with a score of at least t that is connected with such a pixel in the region's own cells and lies at most one cell beyond
//! them. (A defect at the border of a cell belongs to both cells, whichever has more evidence.) The region's log₁₀NFA does not change. It
//! has at least one pixel, its peak. Where it falls apart, as when a coarse cell holds two defects, each part has the region's log₁₀NFA. Where the scores of a region do not stand out at all, it keeps its cells.
//!
//! HEIGHT was chosen by the overlap with the true masks of three products (`benches/quality.md`).
//!
//! This is for tests counted by size. The paper's maps stay as published.

use super::scale::Scale;

/// Height of the outline's level between the median and the peak.
const HEIGHT: f32 = 0.7;
/// Regions of at least this log₁₀NFA are drawn as their cells: no one asks for regions of which 10 are expected in a good image.
pub(super) const LOG10_NFA_LIMIT: f32 = 1.0;
/// Steps of the score at which the median is found.
const STEPS: usize = 4096;

/// The maps of an image, row by row.
pub(super) struct Maps<'a> {
    pub(super) width: usize,
    pub(super) score: &'a [f32],
    /// Pixels of the region of interest.
    pub(super) inside: Option<&'a [bool]>,
    pub(super) log10_nfa: &'a mut [f32],
}

/// Draws the regions of one image after another.
#[derive(Debug)]
pub(super) struct Outliner {
    /// Per pixel, the number of the region that reached it last.
    reached: Vec<u32>,
    stack: Vec<u32>,
    /// Cells of a region, and whether a cell's region was drawn.
    cells: Vec<u32>,
    done: Vec<bool>,
    steps: Vec<u32>,
    regions: u32,
    /// log₁₀NFA and scale of each region that was drawn.
    drawn: Vec<(f32, usize)>,
}

/// Rows and columns `first..end` of a map.
#[derive(Clone, Copy, Debug)]
struct Area {
    rows: (usize, usize),
    columns: (usize, usize),
}

impl Outliner {
    /// For maps of so many pixels and so many cells at all scales together.
    pub(super) fn new(pixels: usize, cells: usize) -> Self {
        Self {
            reached: vec![0; pixels],
            stack: Vec::with_capacity(pixels),
            cells: Vec::with_capacity(cells),
            done: vec![false; cells],
            steps: vec![0; STEPS],
            regions: 0,
            drawn: Vec::with_capacity(cells),
        }
    }

    /// The scale of the region with this log₁₀NFA, if it was drawn for this image.
    pub(super) fn scale_of(&self, log10_nfa: f32) -> Option<usize> {
        self.drawn.iter().find(|(value, _)| *value == log10_nfa).map(|(_, scale)| *scale)
    }

    /// Forgets the regions of the last image.
    pub(super) fn clear(&mut self) {
        self.drawn.clear();
    }

    /// Draws all regions below the limit. The scales hold log₁₀NFA minus `nothing`. Returns the lowest log₁₀NFA that was drawn.
    pub(super) fn draw(&mut self, scales: &[Scale], nothing: f32, maps: &mut Maps<'_>) -> Option<f32> {
        let is_strong = |value: &f32| value + nothing < LOG10_NFA_LIMIT;
        let mut median = None;
        let mut lowest: Option<f32> = None;
        for (index, scale) in scales.iter().enumerate() {
            if !scale.log10_pfa.iter().any(is_strong) {
                continue;
            }
            let median = *median.get_or_insert_with(|| self.median(maps));
            self.done[..scale.log10_pfa.len()].fill(false);
            for cell in 0..scale.log10_pfa.len() {
                if is_strong(&scale.log10_pfa[cell]) && !self.done[cell] {
                    let around = self.collect(scale, cell);
                    let log10_nfa = scale.log10_pfa[cell] + nothing;
                    if self.draw_region(scale, around, median, log10_nfa, maps) {
                        self.drawn.push((log10_nfa, index));
                        lowest = Some(lowest.map_or(log10_nfa, |lowest| lowest.min(log10_nfa)));
                    }
                }
            }
        }
        lowest
    }

    /// The median of the scores in the region of interest, down to one of [`STEPS`].
    fn median(&mut self, maps: &Maps<'_>) -> f32 {
        self.steps.fill(0);
        let mut count = 0;
        let mut note = |score: f32| {
            self.steps[((score * STEPS as f32) as usize).min(STEPS - 1)] += 1;
            count += 1;
        };
        match maps.inside {
            None => maps.score.iter().for_each(|&score| note(score)),
            Some(inside) => {
                maps.score.iter().zip(inside).filter(|(_, inside)| **inside).for_each(|(&score, _)| note(score));
            }
        }
        let mut below = 0;
        let step = self.steps.iter().position(|&here| {
            below += here;
            2 * below > count
        });
        step.unwrap_or(0) as f32 / STEPS as f32
    }

    /// Collects the cells of the region that a cell belongs to: its neighbours of the same value. Returns the cells' area and one cell around it.
    fn collect(&mut self, scale: &Scale, first: usize) -> Area {
        let (height, width) = (scale.shape.height, scale.shape.width);
        let value = scale.log10_pfa[first];
        self.cells.clear();
        self.cells.push(first as u32);
        self.done[first] = true;
        let mut area = Area { rows: (height, 0), columns: (width, 0) };
        let mut next = 0;
        while let Some(&cell) = self.cells.get(next) {
            next += 1;
            let (y, x) = (cell as usize / width, cell as usize % width);
            let rows = (y.saturating_sub(1), (y + 2).min(height));
            let columns = (x.saturating_sub(1), (x + 2).min(width));
            area.rows = (area.rows.0.min(rows.0), area.rows.1.max(rows.1));
            area.columns = (area.columns.0.min(columns.0), area.columns.1.max(columns.1));
            for row in rows.0..rows.1 {
                for neighbour in row * width + columns.0..row * width + columns.1 {
                    if !self.done[neighbour] && scale.log10_pfa[neighbour] == value {
                        self.done[neighbour] = true;
                        self.cells.push(neighbour as u32);
                    }
                }
            }
        }
        area
    }

    /// Draws the region of the collected cells. Returns whether it has a pixel.
    fn draw_region(&mut self, scale: &Scale, around: Area, median: f32, log10_nfa: f32, maps: &mut Maps<'_>) -> bool {
        let takes_part = |pixel: usize| maps.inside.is_none_or(|inside| inside[pixel]);
        let mut peak = f32::NEG_INFINITY;
        for &cell in &self.cells {
            for pixel in scale.pixels_of(cell as usize, maps.width).filter(|&pixel| takes_part(pixel)) {
                peak = peak.max(maps.score[pixel]);
            }
        }
        let level = if peak > median { (median + HEIGHT * (peak - median)).min(peak) } else { f32::NEG_INFINITY };
        let edges = |edges: &[u32], (first, end): (usize, usize)| (edges[first] as usize, edges[end] as usize);
        // Without a level the region keeps its cells.
        let area = (level > f32::NEG_INFINITY).then(|| Area {
            rows: edges(&scale.row_edges, around.rows),
            columns: edges(&scale.column_edges, around.columns),
        });
        self.regions = match self.regions.checked_add(1) {
            Some(next) => next,
            None => {
                self.reached.fill(0);
                1
            }
        };
        self.stack.clear();
        for &cell in &self.cells {
            for pixel in scale.pixels_of(cell as usize, maps.width) {
                if takes_part(pixel) && maps.score[pixel] >= level && self.reached[pixel] != self.regions {
                    self.reached[pixel] = self.regions;
                    self.stack.push(pixel as u32);
                }
            }
        }
        let found = !self.stack.is_empty();
        while let Some(pixel) = self.stack.pop() {
            let pixel = pixel as usize;
            maps.log10_nfa[pixel] = maps.log10_nfa[pixel].min(log10_nfa);
            let Some(area) = area else { continue };
            let (y, x) = (pixel / maps.width, pixel % maps.width);
            let neighbours = [
                (y > area.rows.0).then(|| pixel - maps.width),
                (y + 1 < area.rows.1).then(|| pixel + maps.width),
                (x > area.columns.0).then(|| pixel - 1),
                (x + 1 < area.columns.1).then(|| pixel + 1),
            ];
            for next in neighbours.into_iter().flatten() {
                if self.reached[next] != self.regions && maps.score[next] >= level && takes_part(next) {
                    self.reached[next] = self.regions;
                    self.stack.push(next as u32);
                }
            }
        }
        found
    }
}

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
/// Pixels that are enough for the median. The map is interpolated from maps of fewer cells, so its neighbours hardly differ.
const SAMPLES: usize = 8192;

/// The maps of an image, row by row.
pub(super) struct Maps<'a> {
    pub(super) width: usize,
    pub(super) score: &'a [f32],
    /// Pixels of the region of interest.
    pub(super) inside: Option<&'a [bool]>,
    pub(super) log10_nfa: &'a mut [f32],
}

impl Maps<'_> {
    fn takes_part(&self, pixel: usize) -> bool {
        self.inside.is_none_or(|inside| inside[pixel])
    }
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

    /// The median of the scores in the region of interest, down to one of [`STEPS`]; of a large map, the median of a grid of at least
    /// [`SAMPLES`] of its pixels.
    fn median(&mut self, maps: &Maps<'_>) -> f32 {
        let every = ((maps.score.len() / SAMPLES).isqrt()).max(1);
        self.median_of(maps, every).or_else(|| self.median_of(maps, 1)).unwrap_or(0.0)
    }

    /// The median of every so many pixels of every so many rows; `None` if none of them takes part.
    fn median_of(&mut self, maps: &Maps<'_>, every: usize) -> Option<f32> {
        self.steps.fill(0);
        let mut count = 0;
        for (y, row) in maps.score.chunks_exact(maps.width).enumerate().step_by(every) {
            for (x, &score) in row.iter().enumerate().step_by(every) {
                if maps.takes_part(y * maps.width + x) {
                    self.steps[((score * STEPS as f32) as usize).min(STEPS - 1)] += 1;
                    count += 1;
                }
            }
        }
        let mut below = 0;
        let step = self.steps.iter().position(|&here| {
            below += here;
            2 * below > count
        });
        step.map(|step| step as f32 / STEPS as f32)
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
        let higher = |a: f32, &b: &f32| if b > a { b } else { a };
        let mut peak = f32::NEG_INFINITY;
        for span in self.cells.iter().flat_map(|&cell| scale.spans_of(cell as usize, maps.width)) {
            peak = match maps.inside {
                None => maps.score[span].iter().fold(peak, higher),
                Some(inside) => {
                    let scores = maps.score[span.clone()].iter().zip(&inside[span]);
                    scores.filter(|(_, inside)| **inside).map(|(score, _)| score).fold(peak, higher)
                }
            };
        }
        if peak > median {
            let edges = |edges: &[u32], (first, end): (usize, usize)| (edges[first] as usize, edges[end] as usize);
            let area = Area {
                rows: edges(&scale.row_edges, around.rows),
                columns: edges(&scale.column_edges, around.columns),
            };
            let level = (median + HEIGHT * (peak - median)).min(peak);
            self.spread(scale, area, level, log10_nfa, maps);
            return true;
        }
        // Without a level the region keeps its cells.
        let mut found = false;
        for span in self.cells.iter().flat_map(|&cell| scale.spans_of(cell as usize, maps.width)) {
            for pixel in span {
                if maps.takes_part(pixel) {
                    maps.log10_nfa[pixel] = maps.log10_nfa[pixel].min(log10_nfa);
                    found = true;
                }
            }
        }
        found
    }

    /// Draws every pixel of the area with a score of at least `level` that is connected with such a pixel of the collected cells. Works on
    /// runs of pixels in a row: a run is drawn, and the runs above and below that it touches are put on the stack by one pixel each.
    fn spread(&mut self, scale: &Scale, area: Area, level: f32, log10_nfa: f32, maps: &mut Maps<'_>) {
        self.regions = self.regions.checked_add(1).unwrap_or_else(|| {
            self.reached.fill(0);
            1
        });
        let (region, width) = (self.regions, maps.width);
        self.stack.clear();
        for span in self.cells.iter().flat_map(|&cell| scale.spans_of(cell as usize, width)) {
            push_runs(span, &mut self.stack, |pixel| maps.score[pixel] >= level && maps.takes_part(pixel));
        }
        while let Some(pixel) = self.stack.pop() {
            let (y, x) = (pixel as usize / width, pixel as usize % width);
            let row = y * width;
            let is_new =
                |at: usize, reached: &[u32]| maps.score[at] >= level && reached[at] != region && maps.takes_part(at);
            if !is_new(row + x, &self.reached) {
                continue;
            }
            let mut run = row + x..row + x + 1;
            while run.start > row + area.columns.0 && is_new(run.start - 1, &self.reached) {
                run.start -= 1;
            }
            while run.end < row + area.columns.1 && is_new(run.end, &self.reached) {
                run.end += 1;
            }
            self.reached[run.clone()].fill(region);
            if y > area.rows.0 {
                push_runs(run.start - width..run.end - width, &mut self.stack, |at| is_new(at, &self.reached));
            }
            if y + 1 < area.rows.1 {
                push_runs(run.start + width..run.end + width, &mut self.stack, |at| is_new(at, &self.reached));
            }
            maps.log10_nfa[run].iter_mut().for_each(|value| *value = value.min(log10_nfa));
        }
    }
}

/// Puts the first pixel of each run of pixels that fit on the stack.
fn push_runs(span: std::ops::Range<usize>, stack: &mut Vec<u32>, fits: impl Fn(usize) -> bool) {
    let mut before = false;
    for pixel in span {
        let here = fits(pixel);
        if here && !before {
            stack.push(pixel as u32);
        }
        before = here;
    }
}

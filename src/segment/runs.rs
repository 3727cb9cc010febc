//! 8-connected components of a mask, by runs: maximal horizontal stretches of pixels, joined to the touching runs of the
//! row above by union-find. Cost follows the number of runs, not of pixels.

/// Pixels `start..end` of a row, with the extremes of their values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PixelRun {
    pub(crate) row: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// Least log₁₀NFA, and its column.
    pub(crate) lowest: f32,
    pub(crate) lowest_column: u32,
    /// Peak score.
    pub(crate) highest: f32,
    /// Another run of the component, of a lower index; its own index for the first.
    up: u32,
}

/// Runs in raster order.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    runs: Vec<PixelRun>,
    /// Start of the runs of the row above, and of the runs of the last row.
    above: usize,
    row: usize,
}

impl Runs {
    pub(crate) fn clear(&mut self) {
        *self = Self { runs: std::mem::take(&mut self.runs), above: 0, row: 0 };
        self.runs.clear();
    }

    /// Adds the runs of `mask` (≠ 0), a row below all rows so far.
    pub(crate) fn add_row(&mut self, row: usize, mask: &[u8], log10_nfa: &[f32], score: &[f32]) {
        let follows = self.runs.last().is_some_and(|run| run.row as usize + 1 == row);
        self.above = if follows { self.row } else { self.runs.len() };
        self.row = self.runs.len();
        let mut x = 0;
        while let Some(start) = mask[x..].iter().position(|&inside| inside != 0).map(|skip| x + skip) {
            let end = mask[start..].iter().position(|&inside| inside == 0).map_or(mask.len(), |length| start + length);
            let mut run = PixelRun {
                row: row as u32,
                start: start as u32,
                end: end as u32,
                lowest: f32::INFINITY,
                lowest_column: start as u32,
                highest: f32::NEG_INFINITY,
                up: self.runs.len() as u32,
            };
            for (column, (&value, &score)) in (run.start..).zip(log10_nfa[start..end].iter().zip(&score[start..end])) {
                if value < run.lowest {
                    (run.lowest, run.lowest_column) = (value, column);
                }
                run.highest = run.highest.max(score);
            }
            self.runs.push(run);
            self.join_above();
            x = end;
        }
    }

    /// Joins the last run to those above it that it touches, corners included.
    fn join_above(&mut self) {
        let last = self.runs.len() - 1;
        let PixelRun { start, end, .. } = self.runs[last];
        while self.above < self.row && self.runs[self.above].end < start {
            self.above += 1;
        }
        let mut above = self.above;
        while above < self.row && self.runs[above].start <= end {
            let (a, b) = (self.first_of(above), self.first_of(last));
            self.runs[a.max(b)].up = a.min(b) as u32;
            above += 1;
        }
    }

    /// Index of the first run of a run's component.
    pub(crate) fn first_of(&mut self, run: usize) -> usize {
        let mut at = run;
        while self.runs[at].up as usize != at {
            let up = self.runs[at].up as usize;
            self.runs[at].up = self.runs[up].up;
            at = self.runs[at].up as usize;
        }
        at
    }

    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(crate) fn get(&self, run: usize) -> PixelRun {
        self.runs[run]
    }
}

//! Energies in, score map and log₁₀NFA map out, in buffers made once.

use ndarray::{Array2, ArrayView2, ArrayView3};

use super::prune::Pruner;
use super::refine::{LOG10_NFA_LIMIT, Maps, Outliner};
use super::scale::Scale;
use super::tree::Tree;
use super::upsample::row_of;
use super::{Blocks, Bound, CalibratedNull, Roi, TestCount, log10_number_of_tests_in};
use crate::latents::{EnergyView, ScaleShape};
use crate::{Error, Result};

/// Score and segmentation of one image after another, for latents of fixed shapes and maps of one size.
///
/// Every buffer is made by [`Segmenter::new`]; [`run`](Segmenter::run) allocates nothing. Results are the same on every
/// call and every thread. One segmenter serves one thread at a time.
#[derive(Debug)]
pub struct Segmenter {
    height: usize,
    width: usize,
    scales: Vec<Scale>,
    tree: Tree,
    pruner: Pruner,
    outliner: Outliner,
    score: Array2<f32>,
    log10_nfa: Array2<f32>,
    /// The region of interest at the maps' size.
    inside: Option<Vec<bool>>,
    log10_tests: f64,
    tests: TestCount,
    /// log₁₀NFA without evidence, in the maps of the last image.
    nothing: f64,
    last: Last,
}

/// What the maps' buffers hold.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    score_max: Option<f32>,
    log10_nfa_min: Option<f32>,
}

/// Score map of one image.
#[derive(Clone, Copy, Debug)]
pub struct Scores<'a> {
    /// Anomaly score (Eq. 2), height × width, in [0, 1]; 0 outside the region of interest.
    pub score: ArrayView2<'a, f32>,
    /// Its maximum.
    pub score_max: f32,
}

/// Score and log₁₀NFA maps of one image.
#[derive(Clone, Copy, Debug)]
pub struct Segmentation<'a> {
    /// Anomaly score (Eq. 2), height × width, in [0, 1]; 0 outside the region of interest.
    pub score: ArrayView2<'a, f32>,
    /// log₁₀ of the number of false alarms (Eq. 10), height × width; log₁₀ N_T where there is no evidence and outside
    /// the region of interest. A pixel is anomalous where it is below log₁₀ ε.
    pub log10_nfa: ArrayView2<'a, f32>,
    /// Maximum of the score map.
    pub score_max: f32,
    /// Minimum of the log₁₀NFA map.
    pub log10_nfa_min: f32,
    /// log₁₀NFA without evidence: log₁₀ N_T (Eq. 9) if tests are counted as in the paper.
    pub log10_number_of_tests: f64,
    tests: TestCount,
    /// The maps' pixels inside the region of interest.
    pub(super) inside: Option<&'a [bool]>,
    scales: &'a [Scale],
    outliner: &'a Outliner,
}

impl Segmentation<'_> {
    /// The lowest log₁₀NFA; `None` where there is no evidence at all, so that images without any are equal whatever the null.
    pub fn lowest(&self) -> Option<f32> {
        (self.log10_nfa_min < self.log10_number_of_tests as f32).then_some(self.log10_nfa_min)
    }

    /// The place of the lowest log₁₀NFA as parts of width and height (x, y): the centroid of all pixels that have it.
    pub(super) fn place_of_lowest(&self) -> [f32; 2] {
        let (height, width) = self.log10_nfa.dim();
        let at_lowest = self.log10_nfa.indexed_iter().filter(|&(_, &value)| value <= self.log10_nfa_min);
        let add = |[x, y, count]: [f64; 3], ((row, column), _)| [x + column as f64, y + row as f64, count + 1.0];
        let [x, y, count] = at_lowest.fold([0.0, 0.0, 0.0], add);
        let place = |sum: f64, side: usize| ((sum / f64::max(count, 1.0) + 0.5) / side as f64) as f32;
        [place(x, width), place(y, height)]
    }

    /// The scale (0 = finest) with the strongest evidence at a pixel of the maps; the finest scale if no scale has evidence.
    pub fn scale_at(&self, row: usize, column: usize) -> usize {
        if let Some(scale) = self.outliner.scale_of(self.log10_nfa[[row, column]]) {
            return scale;
        }
        let mut best = (0, 0.0);
        for (index, scale) in self.scales.iter().enumerate() {
            let value = scale.log10_pfa_at(row, column, self.tests);
            if value < best.1 {
                best = (index, value);
            }
        }
        best.0
    }
}

impl Segmenter {
    /// For latents of these shapes (finest first) and maps of height × width, the network's input size.
    ///
    /// # Errors
    /// No scale, an empty shape, scales that are not given finest first, an empty map size, or sizes whose product does not
    /// fit 32 bits.
    pub fn new(shapes: &[ScaleShape], height: usize, width: usize) -> Result<Self> {
        if shapes.is_empty() {
            return Err(Error::parameter("scales", "at least one scale is needed"));
        }
        check_size("size", height, width)?;
        for (index, shape) in shapes.iter().enumerate() {
            if shape.channels == 0 {
                return Err(Error::parameter("scales", format!("scale {index} has no channels")));
            }
            check_size("scales", shape.height, shape.width)?;
            check_order(&shapes[..=index])?;
        }
        let height_max = shapes.iter().map(|shape| shape.height).max().unwrap_or(0);
        let width_max = shapes.iter().map(|shape| shape.width).max().unwrap_or(0);
        Ok(Self {
            height,
            width,
            scales: shapes.iter().map(|&shape| Scale::new(shape, height, width)).collect(),
            tree: Tree::with_capacity(height_max, width_max),
            pruner: Pruner::with_capacity(height_max * width_max),
            outliner: Outliner::new(height * width, shapes.iter().map(ScaleShape::pixels).sum()),
            score: Array2::zeros((height, width)),
            log10_nfa: Array2::zeros((height, width)),
            inside: None,
            log10_tests: log10_number_of_tests_in(shapes.iter().map(ScaleShape::pixels)),
            tests: TestCount::Paper,
            nothing: 0.0,
            last: Last::default(),
        })
    }

    /// The maps' (height, width).
    pub fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// log₁₀ N_T, within the region of interest if there is one.
    pub fn log10_number_of_tests(&self) -> f64 {
        self.log10_tests
    }

    /// Restricts the images that follow to a region of interest, or lifts the restriction.
    ///
    /// Pixels outside are left out of the trees, of n_s and N_T, and of the score. At the border of the region, a score is
    /// interpolated from the cells inside only.
    ///
    /// # Errors
    /// A region so thin that no cell of any scale, or no pixel of the maps, is at least half inside. The segmenter does not
    /// change then.
    pub fn set_roi(&mut self, roi: Option<&Roi>) -> Result<()> {
        let inside = roi.map(|roi| roi.at_size(self.height, self.width));
        let at_scales: Vec<_> =
            self.scales.iter().map(|scale| roi.map(|roi| roi.at_size(scale.shape.height, scale.shape.width))).collect();
        let count = |inside: &Option<Vec<bool>>, all: usize| {
            inside.as_ref().map_or(all, |inside| inside.iter().filter(|&&inside| inside).count())
        };
        let pixels = self.scales.iter().zip(&at_scales).map(|(scale, inside)| count(inside, scale.shape.pixels()));
        let log10_tests = log10_number_of_tests_in(pixels);
        if !log10_tests.is_finite() || count(&inside, 1) == 0 {
            let finest = self.scales.iter().map(|scale| scale.shape.pixels()).max().unwrap_or(0);
            let reason = format!(
                "the region is too small or thin: none of the {finest} cells of the finest map is at least half inside"
            );
            return Err(Error::parameter("roi", reason));
        }
        self.inside = inside;
        for (scale, inside) in self.scales.iter_mut().zip(at_scales) {
            scale.inside = inside;
            scale.prepare_weights();
        }
        self.log10_tests = log10_tests;
        self.last = Last::default();
        Ok(())
    }

    /// Sets the null hypothesis for tests counted by size. `None` is the theoretical one, white noise.
    ///
    /// # Errors
    /// A null that does not fit the latents' shapes.
    pub fn set_null(&mut self, null: Option<&CalibratedNull>) -> Result<()> {
        if let Some(null) = null {
            let shapes: Vec<ScaleShape> = self.scales.iter().map(|scale| scale.shape).collect();
            null.check(&shapes).map_err(|reason| Error::parameter("calibrated null", reason))?;
        }
        for (index, scale) in self.scales.iter_mut().enumerate() {
            scale.null = null.map(|null| null.scales[index].at_pixels(scale.shape));
            scale.prepare_weights();
        }
        self.last = Last::default();
        Ok(())
    }

    /// Sets how tests are counted for the images that follow.
    pub fn set_tests(&mut self, tests: TestCount) {
        if self.tests != tests {
            self.tests = tests;
            self.last = Last::default();
        }
    }

    /// Scores and segments one image from its energies, finest scale first.
    ///
    /// # Errors
    /// Energies of another number or shape of scales, or NaN, infinite or negative ones.
    pub fn run(&mut self, energies: &[EnergyView<'_>], bound: Bound) -> Result<Segmentation<'_>> {
        self.run_scales(energies.len(), |scale| energies[scale], bound)
    }

    /// As [`run`](Self::run), from `scales` energies that are asked for one by one.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_scales<'e>(
        &mut self,
        scales: usize,
        energies: impl Fn(usize) -> EnergyView<'e>,
        bound: Bound,
    ) -> Result<Segmentation<'_>> {
        self.load(scales, energies)?;
        Ok(self.segment(bound))
    }

    /// As [`run`](Self::run), from the latents (C, H, W) themselves.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_latents(&mut self, latents: &[ArrayView3<'_, f32>], bound: Bound) -> Result<Segmentation<'_>> {
        self.load_latents(latents)?;
        Ok(self.segment(bound))
    }

    /// Scores the latents (C, H, W), with the log₁₀NFA map of [`Blocks`] in place of the component trees'. It takes no region of
    /// interest.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_blocks(&mut self, latents: &[ArrayView3<'_, f32>], blocks: &Blocks) -> Result<Segmentation<'_>> {
        self.load_latents(latents)?;
        self.scales.iter_mut().for_each(|scale| scale.log10_pfa.fill(0.0));
        let score_max = self.write_score();
        self.outliner.clear();
        self.log10_nfa.assign(&blocks.log10_nfa(latents));
        let log10_nfa_min = self.log10_nfa.iter().copied().fold(f32::INFINITY, f32::min);
        self.last = Last { score_max: Some(score_max), log10_nfa_min: Some(log10_nfa_min) };
        self.nothing = f64::from(blocks.log10_number_of_tests());
        Ok(self.segmentation(score_max, log10_nfa_min))
    }

    /// The score map alone, at a fraction of the cost of [`run`](Self::run).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_score(&mut self, energies: &[EnergyView<'_>]) -> Result<Scores<'_>> {
        self.run_score_scales(energies.len(), |scale| energies[scale])
    }

    /// As [`run_score`](Self::run_score), from the latents (C, H, W) themselves.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_score_latents(&mut self, latents: &[ArrayView3<'_, f32>]) -> Result<Scores<'_>> {
        self.load_latents(latents)?;
        let score_max = self.write_score();
        Ok(Scores { score: self.score.view(), score_max })
    }

    /// As [`run_score`](Self::run_score), from `scales` energies that are asked for one by one.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_score_scales<'e>(
        &mut self,
        scales: usize,
        energies: impl Fn(usize) -> EnergyView<'e>,
    ) -> Result<Scores<'_>> {
        self.load(scales, energies)?;
        let score_max = self.write_score();
        Ok(Scores { score: self.score.view(), score_max })
    }

    /// The maps of the last image, if it was segmented (not only scored) and the region of interest is still the same.
    pub fn last(&self) -> Option<Segmentation<'_>> {
        let (score_max, log10_nfa_min) = (self.last.score_max?, self.last.log10_nfa_min?);
        Some(self.segmentation(score_max, log10_nfa_min))
    }

    fn begin(&mut self, scales: usize) -> Result<()> {
        self.last = Last::default();
        if scales == self.scales.len() {
            return Ok(());
        }
        Err(Error::parameter("latents", format!("{scales} scales given, {} expected", self.scales.len())))
    }

    fn load<'e>(&mut self, scales: usize, energies: impl Fn(usize) -> EnergyView<'e>) -> Result<()> {
        self.begin(scales)?;
        for (index, scale) in self.scales.iter_mut().enumerate() {
            let view = energies(index);
            let (height, width) = view.energy.dim();
            scale.check_shape(index, ScaleShape { channels: view.channels, height, width })?;
            for (row, out) in view.energy.outer_iter().zip(scale.energy.chunks_exact_mut(width)) {
                for (u, out) in row.iter().zip(out) {
                    *out = u + 0.0; // −0 becomes 0
                }
            }
            scale.check_values(index)?;
        }
        Ok(())
    }

    /// U of each scale from its latents.
    fn load_latents(&mut self, latents: &[ArrayView3<'_, f32>]) -> Result<()> {
        self.begin(latents.len())?;
        for (index, (scale, latents)) in self.scales.iter_mut().zip(latents).enumerate() {
            let (channels, height, width) = latents.dim();
            scale.check_shape(index, ScaleShape { channels, height, width })?;
            scale.sum_squares(latents);
            scale.check_values(index)?;
        }
        Ok(())
    }

    fn segment(&mut self, bound: Bound) -> Segmentation<'_> {
        let score_max = self.write_score();
        let count = self.scales.len();
        self.nothing = match self.tests {
            TestCount::Paper => self.log10_tests,
            TestCount::PerSize => {
                self.scales.iter().map(|scale| scale.log10_nothing(count)).fold(f64::NEG_INFINITY, f64::max)
            }
        };
        for scale in &mut self.scales {
            let scratch = (&mut self.tree, &mut self.pruner);
            match self.tests {
                TestCount::Paper => scale.find_regions(bound, scratch.0, scratch.1),
                TestCount::PerSize => scale.find_sized_regions(bound, count, self.nothing, scratch.0, scratch.1),
            }
        }
        let log10_nfa_min = self.write_log10_nfa();
        self.last = Last { score_max: Some(score_max), log10_nfa_min: Some(log10_nfa_min) };
        self.segmentation(score_max, log10_nfa_min)
    }

    fn segmentation(&self, score_max: f32, log10_nfa_min: f32) -> Segmentation<'_> {
        Segmentation {
            score: self.score.view(),
            log10_nfa: self.log10_nfa.view(),
            score_max,
            log10_nfa_min,
            log10_number_of_tests: self.nothing,
            tests: self.tests,
            inside: self.inside.as_deref(),
            scales: &self.scales,
            outliner: &self.outliner,
        }
    }

    /// Eq. 2: 1 − mean over scales of the upsampled p_s. Returns the maximum.
    fn write_score(&mut self) -> f32 {
        let weight = 1.0 / self.scales.len() as f32;
        for scale in &mut self.scales {
            scale.write_likelihood();
            scale.stretched.reset(self.width);
        }
        let mut highest = 0.0_f32;
        for (y, row) in self.score.as_slice_mut().unwrap_or_default().chunks_exact_mut(self.width).enumerate() {
            row.fill(0.0);
            for scale in &mut self.scales {
                let source = row_of(&scale.likelihood, scale.shape.width);
                scale.stretched.blend(y, &scale.rows, &scale.columns, source).add_scaled(weight, row);
            }
            for value in row.iter_mut() {
                let score = 1.0 - *value;
                *value = if score > 0.0 { score } else { 0.0 };
            }
            blank(row, y, self.inside.as_deref(), 0.0);
            highest = fold(row, highest, |a, b| if a > b { a } else { b });
        }
        highest
    }

    /// Eqs. 8 and 10: the minimum over scales of the upsampled log₁₀PFA, plus log₁₀ N_T. Returns its minimum. If tests are
    /// counted by size, each pixel has the value of its nearest cell: with interpolation, a region would lose evidence that the
    /// calibration counted. Regions of low log₁₀NFA are then drawn by the score map ([`refine`](super::refine)).
    fn write_log10_nfa(&mut self) -> f32 {
        let nothing = self.nothing as f32;
        let limit = LOG10_NFA_LIMIT - nothing;
        self.outliner.clear();
        for scale in &mut self.scales {
            scale.stretched.reset(self.width);
        }
        let mut lowest = nothing;
        for (y, row) in self.log10_nfa.as_slice_mut().unwrap_or_default().chunks_exact_mut(self.width).enumerate() {
            row.fill(0.0);
            let mut touched = false;
            for scale in &mut self.scales {
                let (low, high, _) = scale.rows.at(y);
                if scale.occupied[low] || scale.occupied[high] {
                    let source = row_of(&scale.log10_pfa, scale.shape.width);
                    match self.tests {
                        TestCount::Paper => {
                            scale.stretched.blend(y, &scale.rows, &scale.columns, source).lower(row);
                        }
                        TestCount::PerSize => {
                            let nearest = scale.stretched.nearest(y, &scale.rows, &scale.columns, source);
                            for (least, &value) in row.iter_mut().zip(nearest) {
                                *least = if value < *least && value >= limit { value } else { *least };
                            }
                        }
                    }
                    touched = true;
                }
            }
            for value in row.iter_mut() {
                *value += nothing;
            }
            if touched {
                blank(row, y, self.inside.as_deref(), nothing);
                lowest = fold(row, lowest, |a, b| if a < b { a } else { b });
            }
        }
        if self.tests == TestCount::PerSize
            && let (Some(score), Some(log10_nfa)) = (self.score.as_slice(), self.log10_nfa.as_slice_mut())
        {
            let mut maps = Maps { width: self.width, score, inside: self.inside.as_deref(), log10_nfa };
            let drawn = self.outliner.draw(&self.scales, nothing, &mut maps);
            lowest = drawn.map_or(lowest, |drawn| lowest.min(drawn));
        }
        lowest
    }
}

/// Sets the values outside the region in row `y`.
fn blank(row: &mut [f32], y: usize, inside: Option<&[bool]>, outside: f32) {
    let Some(inside) = inside else { return };
    let start = y * row.len();
    for (value, &inside) in row.iter_mut().zip(&inside[start..]) {
        if !inside {
            *value = outside;
        }
    }
}

/// Folds a row with an associative choice, in lanes, so that the compiler vectorises the loop.
fn fold(row: &[f32], start: f32, choose: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; 16];
    let chunks = row.chunks_exact(lanes.len());
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = choose(*lane, value);
        }
    }
    lanes.iter().chain(rest).fold(start, |a, &b| choose(a, b))
}

/// Refuses a last scale that has more rows or columns than the one before.
fn check_order(shapes: &[ScaleShape]) -> Result<()> {
    let [.., finer, coarser] = shapes else { return Ok(()) };
    if coarser.height <= finer.height && coarser.width <= finer.width {
        return Ok(());
    }
    let reason = format!(
        "scales must be given finest first, but scale {} is {}×{} (height × width) and scale {} before it only {}×{}: give the \
         array with the most rows and columns as scale 0 (z0 in an .npz file)",
        shapes.len() - 1,
        coarser.height,
        coarser.width,
        shapes.len() - 2,
        finer.height,
        finer.width
    );
    Err(Error::parameter("scales", reason))
}

fn check_size(name: &'static str, height: usize, width: usize) -> Result<()> {
    let framed = height.checked_add(2).zip(width.checked_add(2)).and_then(|(height, width)| height.checked_mul(width));
    if height > 0 && width > 0 && framed.is_some_and(|pixels| u32::try_from(pixels).is_ok()) {
        return Ok(());
    }
    Err(Error::parameter(
        name,
        format!("{height}×{width} is not a size: both must be at least 1 and the area below 2³²"),
    ))
}

//! The null hypothesis, estimated from good images, and the count of tests by the size of a region, which uses it.
//!
//! The paper takes U = Σ_c z² for χ² with C degrees of freedom, independent from pixel to pixel, and counts every region of
//! every size as one family of N_T tests. Real latents are neither χ² nor independent (see [`calibrate`](crate::calibrate)); the
//! enormous N_T hides that. A smaller count needs a null hypothesis that good images obey. This module has one in three layers,
//! each measured on good images that the flow was not fitted to:
//!
//! 1. **One pixel.** x = ln(U / C) is close to normal on good images: `z = (x − μ_p) / σ` with a mean for each position p
//!    (edges, illumination) and one deviation for each scale, and `log₁₀ P(z ≥ a) ≤ −a² / (2 ln 10) − log₁₀ 2` for a ≥ 0.
//! 2. **A region** of n pixels with minimum a, at one of S scales with n_s pixels:
//!
//!    ```text
//!    t(R) = log₁₀ n_s + log₁₀(n_s·α·β^m / m) + m·log₁₀ P(z ≥ a),    m = 1 + (n − 1)/κ
//!    ```
//!
//!    sizes × (positions × shapes of that size) × probability. κ, the sum of the spatial autocorrelation, is the number of
//!    pixels that vary together; for white noise it is 1 and m = n.
//! 3. **The count itself.** Λ(t) is the measured mean number of regions of at most t in a good image: steps through the regions of
//!    the good images, and below them a tail that is exponential in z (a normal tail would fall faster; real tails do not).
//!    `NFA(R) = Λ(t(R)) / w_s` with the share w_s of the scale, Σ w_s = 1, so ε is a measured rate even if layers 1 and 2 are wrong. Those
//!    two layers only decide the order of the regions.
//!
//! # Shares
//! Where false alarms come from does not matter to ε, as long as the shares sum to 1 (a weighted Bonferroni correction). On real products the
//! coarse scales tell good images from defective ones better than the fine scales, which outline better (`benches/quality.md`). So each
//! scale has a tenth of the share of the next coarser one ([`ScaleNull::share`]): coarse scales decide, and a fine scale only on evidence
//! that is strong by itself.
//!
//! # Why it keeps its promise
//! *Where the null is the paper's* (κ = 1, no layer 3): a region R of size n is declared when `S·n_s·(n_s·α·β^n/n)·P(R) < ε`.
//! There are `n_s·α·β^n/n` candidates of one size. Each is declared with a probability of at most `ε / (S·n_s·(n_s·α·β^n/n))`, because
//! P(R) bounds its tail. The sum over the candidates of a size is `ε / (S·n_s)`, over the n_s sizes `ε/S`, over the scales ε.
//! Expectations add whatever the dependence between candidates is, and the regions that the tree keeps are some of the
//! candidates. Monte Carlo checks are in `tests/train/null.rs`, for white noise, and for noise
//! that is correlated over a known length with the null calibrated on other images of it.
//!
//! *With layer 3*: future good images are exchangeable with the n images of the measurement. If these have k regions below some t,
//! a future image has k/n such regions on average, up to the regions of one image divided by n (conformal risk control,
//! Angelopoulos et al. 2022). Below the few lowest t this is an extrapolation; its slope is in the package.

use serde::{Deserialize, Serialize};
use strum::{Display, VariantArray, VariantNames};

use super::{
    Roi,
    count::{ALPHA, BETA},
    location::LocationGrid,
    prune::Pruner,
    rates::rates,
    tree::Tree,
};
use crate::{Error, Result, choice::choice, latents::ScaleShape};

/// How tests are counted.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, Display, VariantArray, VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub enum TestCount {
    /// All regions of all sizes together (Eq. 9), on the theoretical null.
    #[default]
    Paper,
    /// By the size of a region, on the calibrated null.
    #[serde(rename = "sized")]
    #[strum(serialize = "sized")]
    PerSize,
}

impl TestCount {
    /// Whether this is the paper's count.
    pub fn is_paper(&self) -> bool {
        *self == Self::Paper
    }
}

impl std::str::FromStr for TestCount {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        choice("tests", text)
    }
}

/// A null from fewer good images than this is not reliable.
pub const FEW_IMAGES: usize = 30;

/// Fewest good images from which a null is estimated.
pub const FEWEST_IMAGES: usize = 3;

/// The null hypothesis estimated from good images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibratedNull {
    /// Number of good images of the estimate. Each was held out from the flow that processed it.
    pub images: usize,
    /// Each scale, finest first.
    pub scales: Vec<ScaleNull>,
}

/// The null hypothesis of one scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleNull {
    /// Mean of ln(U / C) at each pixel, row by row; on maps of more than 16,384 pixels, of each square of the smallest number of pixels that makes
    /// it no more.
    pub location: Vec<f32>,
    /// Pixels that took part: those of the package's region of interest.
    pub pixels: usize,
    /// Deviation of ln(U / C) from it.
    pub deviation: f32,
    /// κ: the number of pixels that vary together, at least 1.
    pub correlated_pixels: f32,
    /// (t, log₁₀ Λ(t)), both increasing.
    pub rates: Vec<[f32; 2]>,
    /// The part of the expected false alarms that this scale may cause. Nulls without it give all scales equal parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f32>,
    /// Slope of the tail beyond the first rate, in decades of Λ for each unit of e. e is the z of a single pixel with that t:
    /// t = T − e² / (2 ln 10), where T is the t of one pixel without evidence.
    pub tail_slope: f32,
}

/// Largest shift of the autocorrelation, in pixels.
const FARTHEST: usize = 4;
/// The share of a scale, as a part of the share of the next coarser one.
const FINER_SHARE: f64 = 0.1;
/// Weight of the theoretical deviation √(2/C), as a number of images.
const PRIOR_IMAGES: f64 = 1.0;

impl CalibratedNull {
    /// Estimates the null from good images that the flow was not fitted to. Each image gives U (H, W) of each scale, finest first.
    ///
    /// # Errors
    /// Fewer than [`FEWEST_IMAGES`] images, or maps of other shapes.
    pub fn estimate(shapes: &[ScaleShape], roi: Option<&Roi>, images: &[Vec<Vec<f32>>]) -> Result<Self> {
        if images.len() < FEWEST_IMAGES {
            let reason = format!("{} are too few to estimate the null from; {FEWEST_IMAGES} at least", images.len());
            return Err(Error::parameter("good images", reason));
        }
        let mut scales = Vec::with_capacity(shapes.len());
        for (index, &shape) in shapes.iter().enumerate() {
            let maps: Vec<&[f32]> = images.iter().filter_map(|image| image.get(index)).map(Vec::as_slice).collect();
            if maps.len() != images.len() || maps.iter().any(|map| map.len() != shape.pixels()) {
                return Err(Error::parameter("energies", format!("an image's scale {index} is not {shape:?}")));
            }
            let inside = roi.map(|roi| roi.at_size(shape.height, shape.width));
            let share = Some(share(index, shapes.len()));
            scales.push(ScaleNull { share, ..ScaleNull::estimate(shape, inside.as_deref(), &maps) });
        }
        Ok(Self { images: images.len(), scales })
    }

    /// Checks that the null fits these shapes and that every number is in its range.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self, shapes: &[ScaleShape]) -> std::result::Result<(), String> {
        if self.images < FEWEST_IMAGES {
            return Err(format!("images: {} must be at least {FEWEST_IMAGES}", self.images));
        }
        if self.scales.len() != shapes.len() {
            return Err(format!("scales: {} for a model of {}", self.scales.len(), shapes.len()));
        }
        for (index, (scale, shape)) in self.scales.iter().zip(shapes).enumerate() {
            scale.check(*shape).map_err(|reason| format!("scales[{index}].{reason}"))?;
        }
        let shares: f64 = self.scales.iter().map(|scale| scale.share_of(shapes.len())).sum();
        if shares > 1.0 + 1e-5 {
            return Err(format!("scales: their shares sum to {shares}, not to 1"));
        }
        Ok(())
    }

    /// What the user should know.
    pub fn warning(&self) -> Option<String> {
        (self.images < FEW_IMAGES).then(|| {
            format!(
                "the null is calibrated on {} good images, fewer than {FEW_IMAGES}: with `tests` = sized, ε below {:.2} is \
                 an extrapolation; fit with more images, or with cross-fitting (`--cross-fit`, \
                 `uflow_fit_options_set_cross_fit`)",
                self.images,
                3.0 / self.images as f64
            )
        })
    }
}

/// The share of one of `scales`, finest first.
fn share(index: usize, scales: usize) -> f32 {
    let part = |index: usize| FINER_SHARE.powi((scales - 1 - index) as i32);
    (part(index) / (0..scales).map(part).sum::<f64>()) as f32
}

impl ScaleNull {
    /// Its share, as one of `scales`.
    pub(super) fn share_of(&self, scales: usize) -> f64 {
        self.share.map_or(1.0 / scales as f64, f64::from)
    }

    fn check(&self, shape: ScaleShape) -> std::result::Result<(), String> {
        let finite = |value: &f32| value.is_finite();
        let locations = LocationGrid::of(shape).len();
        if self.location.len() != locations || !self.location.iter().all(finite) {
            return Err(format!("location: not {locations} numbers"));
        }
        if !(1..=shape.pixels()).contains(&self.pixels) {
            return Err(format!("pixels: {} is not within 1 to {}", self.pixels, shape.pixels()));
        }
        if !(self.deviation.is_finite() && self.deviation > 0.0) {
            return Err(format!("deviation: {} must be above 0", self.deviation));
        }
        if !(self.correlated_pixels.is_finite() && self.correlated_pixels >= 1.0) {
            return Err(format!("correlated_pixels: {} must be at least 1", self.correlated_pixels));
        }
        if self.share.is_some_and(|share| !(share > 0.0 && share <= 1.0)) {
            return Err(format!("share: {:?} is not above 0 and at most 1", self.share));
        }
        if !(self.tail_slope.is_finite() && self.tail_slope > 0.0) {
            return Err(format!("tail_slope: {} must be above 0", self.tail_slope));
        }
        let rising = self.rates.windows(2).all(|pair| pair[0][0] < pair[1][0] && pair[0][1] <= pair[1][1]);
        if self.rates.is_empty() || !rising || !self.rates.iter().flatten().all(finite) {
            return Err("rates: must be finite and increase".to_owned());
        }
        Ok(())
    }

    pub(crate) fn estimate(shape: ScaleShape, inside: Option<&[bool]>, maps: &[&[f32]]) -> Self {
        let images = maps.len() as f64;
        let takes_part = |pixel: usize| inside.is_none_or(|inside| inside[pixel]);
        let pixels: Vec<usize> = (0..shape.pixels()).filter(|&pixel| takes_part(pixel)).collect();
        let channels = shape.channels as f64;
        let logs: Vec<Vec<f64>> =
            maps.iter().map(|map| map.iter().map(|&u| log_ratio(u, channels)).collect()).collect();
        // What each image has in each square of the locations' grid.
        let grid = LocationGrid::of(shape);
        let of_images: Vec<Vec<f64>> = logs.iter().map(|x| grid.means(x, &takes_part)).collect();
        let mean_at = |at: usize| of_images.iter().map(|x| x[at]).sum::<f64>() / images;
        let means: Vec<f64> = (0..grid.len()).map(mean_at).collect();
        let count = pixels.len().max(1) as f64;
        let over = |value: &dyn Fn(usize) -> f64| pixels.iter().map(|&pixel| value(pixel)).sum::<f64>() / count;
        let mean = over(&|pixel| means[grid.at(pixel)]);
        // How far positions differ, beyond the differences that chance gives with this number of images.
        let apart = |at: usize| of_images.iter().map(|x| (x[at] - means[at]).powi(2)).sum::<f64>();
        let within = over(&|pixel| apart(grid.at(pixel)) / (images - 1.0));
        let between = (over(&|pixel| (means[grid.at(pixel)] - mean).powi(2)) - within / images).max(0.0);
        let trust = if between > 0.0 { between / (between + within / images) } else { 0.0 };
        let location: Vec<f64> = means.iter().map(|at| mean + trust * (at - mean)).collect();
        let at_pixels = grid.spread(&location, shape.pixels());
        let spread = logs.iter().map(|x| over(&|pixel| (x[pixel] - at_pixels[pixel]).powi(2))).sum::<f64>();
        let deviation = ((spread + PRIOR_IMAGES * 2.0 / channels) / (images + PRIOR_IMAGES)).sqrt();
        let correlated_pixels = correlated_pixels(shape, &takes_part, &logs, &at_pixels);
        let mut null = Self {
            location: location.iter().map(|&value| rounded(value)).collect(),
            pixels: pixels.len(),
            deviation: rounded(deviation).max(1e-3),
            correlated_pixels: rounded(correlated_pixels),
            rates: Vec::new(),
            share: None,
            tail_slope: 1.0,
        };
        // Each image is compared with the locations of the others: with its own part in the mean it would look calmer than it is.
        let mut found = Vec::new();
        let mut search = Search::new(shape);
        for (x, map) in of_images.iter().zip(maps) {
            let others = |at: usize| {
                let others = (images * means[at] - x[at]) / (images - 1.0);
                (mean + trust * (others - mean)) as f32
            };
            let location: Vec<f32> = (0..grid.len()).map(others).collect();
            search.collect(&null, &grid.spread(&location, shape.pixels()), inside, map, &mut found);
        }
        let shifts = |t| null.shift(t);
        (null.rates, null.tail_slope) = rates(found, maps.len(), shifts);
        null
    }
}

/// ln(U / C), finite for U = 0.
fn log_ratio(u: f32, channels: f64) -> f64 {
    (f64::from(u).max(1e-9) / channels).ln()
}

/// Rounds to four decimals; the estimate is less exact than that.
fn rounded(value: f64) -> f32 {
    ((value * 1e4).round() / 1e4) as f32
}

/// κ: the sum of the autocorrelation of ln(U / C) around its location and its image's own mean.
fn correlated_pixels(
    shape: ScaleShape,
    takes_part: &dyn Fn(usize) -> bool,
    logs: &[Vec<f64>],
    location: &[f64],
) -> f64 {
    let (height, width) = (shape.height, shape.width);
    let residuals: Vec<Vec<f64>> = logs
        .iter()
        .map(|x| {
            let pixels = (0..x.len()).filter(|&pixel| takes_part(pixel));
            let (sum, count) = pixels.fold((0.0, 0_usize), |(sum, count), p| (sum + x[p] - location[p], count + 1));
            let mean = sum / count.max(1) as f64;
            x.iter().zip(location).map(|(x, at)| x - at - mean).collect()
        })
        .collect();
    let covariance = |down: usize, across: isize| {
        let (mut sum, mut count) = (0.0, 0_usize);
        for residual in &residuals {
            for y in 0..height.saturating_sub(down) {
                for x in 0..width {
                    let Some(other) = x.checked_add_signed(across).filter(|&other| other < width) else { continue };
                    let (a, b) = (y * width + x, (y + down) * width + other);
                    if takes_part(a) && takes_part(b) {
                        sum += residual[a] * residual[b];
                        count += 1;
                    }
                }
            }
        }
        if count == 0 { 0.0 } else { sum / count as f64 }
    };
    let variance = covariance(0, 0);
    if variance <= 0.0 {
        return 1.0;
    }
    let farthest = FARTHEST as isize;
    let mut sum = 1.0;
    for down in 0..=FARTHEST {
        for across in -farthest..=farthest {
            if down > 0 || across > 0 {
                sum += 2.0 * (covariance(down, across) / variance).max(0.0);
            }
        }
    }
    sum.clamp(1.0, shape.pixels() as f64)
}

/// Tables by the size of a region, with which a scale weighs regions by the null.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    /// Per number of pixels: log₁₀ of the number of tests of that size, and m.
    by_size: Vec<[f64; 2]>,
}

impl Weights {
    /// For regions of up to `largest` pixels among `pixels` that take part, of which κ vary together.
    pub(super) fn new(pixels: usize, largest: usize, correlated_pixels: f64) -> Self {
        let positions = (pixels.max(1) as f64).log10();
        let of = |size: usize| {
            let m = 1.0 + (size.max(1) - 1) as f64 / correlated_pixels;
            [2.0 * positions + ALPHA.log10() + m * BETA.log10() - m.log10(), m]
        };
        Self { by_size: (0..=largest.max(1)).map(of).collect() }
    }

    /// log₁₀ of the number of tests of this size times the probability of the region, from the log₁₀ tail of one pixel.
    pub(super) fn weigh(&self, size: u32, log10_tail: f64) -> f64 {
        let [tests, m] = self.by_size[size as usize];
        tests + m * log10_tail
    }

    /// A region of one pixel without any evidence.
    pub(super) fn nothing(&self) -> f64 {
        self.by_size[1][0]
    }
}

/// log₁₀ P(z ≥ a) for a standard normal z and a ≥ 0, as the bound ½·exp(−a²/2).
pub(super) fn log10_normal_tail(a: f64) -> f64 {
    -a * a / (2.0 * std::f64::consts::LN_10) - std::f64::consts::LOG10_2
}

impl ScaleNull {
    /// The same with a location for each pixel of the map.
    pub(super) fn at_pixels(&self, shape: ScaleShape) -> Self {
        Self { location: LocationGrid::of(shape).spread(&self.location, shape.pixels()), ..self.clone() }
    }

    /// Writes z where it is above 0, and 0 elsewhere.
    pub(super) fn standardise(&self, location: &[f32], channels: usize, energy: &[f32], out: &mut [f32]) {
        let (scale, inverse) = (1.0 / channels as f32, 1.0 / self.deviation);
        for ((out, &u), &at) in out.iter_mut().zip(energy).zip(location) {
            let z = ((u.max(1e-9) * scale).ln() - at) * inverse;
            *out = if z > 0.0 { z } else { 0.0 };
        }
    }

    /// log₁₀ Λ(t).
    pub(super) fn log10_rate(&self, t: f64) -> f64 {
        let rates = &self.rates;
        let above = rates.partition_point(|knot| f64::from(knot[0]) <= t);
        let [first, last] = [rates[0], rates[rates.len() - 1]].map(|knot| knot.map(f64::from));
        if above == 0 {
            return first[1] - f64::from(self.tail_slope) * (self.shift(t) - self.shift(first[0])).max(0.0);
        }
        let Some(high) = rates.get(above).map(|knot| knot.map(f64::from)) else { return last[1] };
        let low = rates[above - 1].map(f64::from);
        low[1] + (high[1] - low[1]) * (t - low[0]) / (high[0] - low[0])
    }

    /// e of a t.
    fn shift(&self, t: f64) -> f64 {
        let nothing = 2.0 * (self.pixels as f64).log10() + (ALPHA * BETA / 2.0).log10();
        (2.0 * std::f64::consts::LN_10 * (nothing - t).max(0.0)).sqrt()
    }

    /// log₁₀ Λ without any evidence.
    pub(super) fn log10_rate_of_all(&self) -> f64 {
        self.rates.last().map_or(0.0, |knot| f64::from(knot[1]))
    }
}

/// Finds the regions of good images for the estimate of a null.
struct Search {
    shape: ScaleShape,
    tree: Tree,
    pruner: Pruner,
    z: Vec<f32>,
    map: Vec<f32>,
}

impl Search {
    fn new(shape: ScaleShape) -> Self {
        Self {
            shape,
            tree: Tree::with_capacity(shape.height, shape.width),
            pruner: Pruner::with_capacity(shape.pixels()),
            z: vec![0.0; shape.pixels()],
            map: vec![0.0; shape.pixels()],
        }
    }

    /// Adds the t of every region of an image.
    fn collect(
        &mut self,
        null: &ScaleNull,
        location: &[f32],
        inside: Option<&[bool]>,
        energy: &[f32],
        found: &mut Vec<f64>,
    ) {
        let Self { shape, tree, pruner, z, map } = self;
        let takes_part = |pixel: usize| inside.is_none_or(|inside| inside[pixel]);
        let weights = Weights::new(null.pixels, shape.pixels(), f64::from(null.correlated_pixels));
        null.standardise(location, shape.channels, energy, z);
        tree.build(z, shape.width, |pixel, z| takes_part(pixel) & (z > 0.0));
        map.fill(0.0);
        let weigh = |size, z| weights.weigh(size, log10_normal_tail(f64::from(z)));
        let note = |t| {
            found.push(t);
            t
        };
        pruner.run(tree, weigh, note, map);
    }
}

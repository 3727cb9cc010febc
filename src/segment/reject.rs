//! The verdict by the share of good images that may be rejected: a conformal threshold on an image's lowest log₁₀NFA.
//!
//! x is the lowest log₁₀NFA of an image, c₁ ≤ … ≤ c_n those of n good images that set the threshold ([`Rejection`]):
//!
//! ```text
//! p(x) = (1 + #{i : cᵢ ≤ x}) / (n + 1);   an image is anomalous where p ≤ r, which is x < c_k, k = ⌊r·(n + 1)⌋
//! ```
//!
//! # Why it keeps its promise
//! Let the n images and a new good image be exchangeable. Then the rank of the new image among the n + 1 is uniform, and p ≤ r has
//! at most the probability k/(n + 1) ≤ r (Vovk, Gammerman and Shafer, 2005). Nothing else is assumed about x. Images of equal x count
//! as at least as unusual as each other, so ties only lower that probability. Once the n images are known, the share of all further
//! good images that is flagged has the distribution Beta(k, n + 1 − k) (Vovk, 2012); with ties it is at most that. [`Promise`] states both.
//!
//! An image without any evidence is never anomalous: its p is 1. It needs no value, only a place among the n images.
//!
//! # Too few images
//! With n < 1/r − 1 no k ≥ 1 exists. The threshold is then [*extrapolated*](RejectThreshold::is_extrapolated). The excesses of y = −x over
//! u, the (m + 1)-th largest of the n values, are taken as exponential; log₁₀NFA is the logarithm of an expected number, so an
//! exponential tail is what a null that holds gives. With S the sum of the m excesses
//!
//! ```text
//! p(y) = (m + 1)/(n + 1) · (1 + (y − u)/(S + s₀))^−(m + m₀)
//! ```
//!
//! is the predictive probability of a new image: for an exponential tail of any scale and m₀ = s₀ = 0 its expectation is exact, since
//! S is a sum of m independent exponential excesses. m₀ = 1 and s₀ = 1/ln 10 add one excess as NFA would have it if it meant what it
//! says; this keeps the scale above 0 where the largest values are equal. By simulation, with 20 to 100 images and a tenth of the
//! rate that they can keep, the expected share is 0.4 to 1.4 of r for exponential tails of any steepness, and within a factor of 3
//! for P(Y > y) = exp(−y^s) with s from 0.75 to 1.4 (`reject/tests.rs`). p-values below 1/(n + 1) come from this tail too.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use statrs::distribution::{Beta, ContinuousCDF};
use strum::{Display, VariantNames};

use super::{Bound, TestCount};
use crate::{Error, Result};

/// Confidence of the interval of a [`Promise`].
pub const CONFIDENCE: f64 = 0.95;

/// Where the good images came from that set the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum RejectionOrigin {
    /// Held out of the model's own training. Each is measured with a null that was estimated on the others.
    HeldOut,
    /// Held out of the model's own training or of one of the further flows of cross-fitting, which are as good as the model's own
    /// only approximately. Each is measured with a null that was estimated on the others.
    CrossFitted,
    /// New good images, shown to `uflow calibrate`.
    Calibrated,
}

impl RejectionOrigin {
    /// Words that follow "n good images".
    pub fn words(self) -> &'static str {
        match self {
            Self::HeldOut => "held out of training",
            Self::CrossFitted => "held out by cross-fitting",
            Self::Calibrated => "shown to `uflow calibrate`",
        }
    }
}

/// A frame, as a model and the camera see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JudgedFrame {
    /// The lowest log₁₀NFA; `None` without any evidence.
    pub lowest: Option<f32>,
    /// [`Frame::brightness`](crate::frame::Frame::brightness); `None` where it is not known.
    pub brightness: Option<f32>,
}

/// The lowest log₁₀NFA of good images. It is cheap to clone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Record", into = "Record")]
pub struct Rejection(Arc<Prepared>);

/// As a manifest has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    /// Good images.
    images: usize,
    origin: RejectionOrigin,
    /// How the tests were counted.
    tests: TestCount,
    /// The bound of tail probabilities.
    bound: Bound,
    /// Lowest log₁₀NFA of the images that have any evidence, ascending.
    lowest: Vec<f32>,
    /// The rank of each of them, from 1; none where all are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ranks: Vec<u32>,
    /// Brightness of every [`stride`]th image, in the order of their ranks; images without any evidence come last. Empty where it is
    /// not known of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    brightness: Vec<f32>,
}

#[derive(Clone, Debug, PartialEq)]
struct Prepared {
    record: Record,
    tail: Tail,
}

/// The share of all further good images that a threshold flags.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Promise {
    /// At most this share is expected.
    pub expected: f64,
    /// Bounds of the share, at [`CONFIDENCE`].
    pub interval: [f64; 2],
}

/// The threshold at a rejection rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RejectThreshold {
    /// The share of good images that may be rejected.
    pub rate: f64,
    /// An image is anomalous where its lowest log₁₀NFA is below this; +∞ where any evidence is enough.
    pub log10_nfa: f32,
    /// k and n of its [promise](Self::promise); `None` where it is extrapolated.
    promised: Option<(usize, usize)>,
}

impl RejectThreshold {
    /// Whether the images are too few for the rate, so that the threshold comes from their tail and promises nothing.
    pub fn is_extrapolated(&self) -> bool {
        self.promised.is_none()
    }

    /// What it promises; `None` where it is extrapolated. Quantiles of a distribution are computed: not for every frame.
    pub fn promise(&self) -> Option<Promise> {
        self.promised.map(|(k, images)| Promise::new(k, images))
    }
}

/// The share of good images that are at least as unusual.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PValue {
    /// The p-value, above 0 and at most 1.
    pub value: f64,
    /// Whether it is below what so many images can tell, 1/(n + 1), and comes from the fitted tail.
    pub extrapolated: bool,
}

/// Values that are all kept; of more, those beyond it are thinned out to about one in a hundred of their rank.
const ALL_KEPT: usize = 1024;
/// m₀ and s₀.
const PRIOR_EXCESSES: f64 = 1.0;
const PRIOR_SUM: f64 = std::f64::consts::LOG10_E;
/// Fewest excesses that a tail is fitted to, where there are so many values.
const FEWEST_EXCESSES: usize = 5;

impl Rejection {
    /// From the lowest log₁₀NFA of each good image, `None` for an image without any evidence.
    ///
    /// # Errors
    /// No image, or values that are not finite.
    pub fn new(images: &[Option<f32>], origin: RejectionOrigin, tests: TestCount, bound: Bound) -> Result<Self> {
        let image = |&lowest: &Option<f32>| JudgedFrame { lowest, brightness: None };
        Self::of(&images.iter().map(image).collect::<Vec<_>>(), origin, tests, bound)
    }

    /// The same with the images' brightness, where it is known of all.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of(images: &[JudgedFrame], origin: RejectionOrigin, tests: TestCount, bound: Bound) -> Result<Self> {
        let mut images = images.to_vec();
        let rank = |image: &JudgedFrame| image.lowest.unwrap_or(f32::INFINITY);
        images.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
        let lowest: Vec<f32> = images.iter().filter_map(|image| image.lowest).collect();
        let (lowest, ranks) = thinned(&lowest);
        let every = stride(images.len());
        let brightness = images.iter().skip(every - 1).step_by(every).map(|image| image.brightness);
        let brightness = brightness.collect::<Option<_>>().unwrap_or_default();
        let record = Record { images: images.len(), origin, tests, bound, lowest, ranks, brightness };
        Self::try_from(record).map_err(|reason| Error::parameter("good images", reason))
    }

    /// The same with more good images, by their lowest log₁₀NFA alone. Values that were thinned out count as the next kept one, so no
    /// threshold becomes lower by that.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with(&self, more: &[Option<f32>]) -> Result<Self> {
        let mut all = more.to_vec();
        let mut below = 0;
        for (rank, value) in self.ranked() {
            all.extend(std::iter::repeat_n(Some(value), rank - below));
            below = rank;
        }
        all.resize(more.len() + self.images(), None);
        let Record { origin, tests, bound, .. } = self.0.record;
        Self::new(&all, origin, tests, bound)
    }

    /// Good images.
    pub fn images(&self) -> usize {
        self.0.record.images
    }

    /// Rank, from 1, and lowest log₁₀NFA of the images whose value is kept, ascending. Images without any evidence have none; of many
    /// images not all are kept.
    pub fn ranked(&self) -> impl Iterator<Item = (usize, f32)> {
        self.0.record.lowest.iter().enumerate().map(|(kept, &value)| (self.rank(kept), value))
    }

    /// Brightness of the images of a rank above `rank`; of many images, of some. Empty where it is not known.
    pub fn brightness_above(&self, rank: usize) -> &[f32] {
        let Record { images, brightness, .. } = &self.0.record;
        &brightness[(rank / stride(*images)).min(brightness.len())..]
    }

    /// Where they came from.
    pub fn origin(&self) -> RejectionOrigin {
        self.0.record.origin
    }

    /// Whether it was measured with this count of tests and this bound; a calibrated null uses no bound.
    pub fn fits(&self, tests: TestCount, bound: Bound) -> bool {
        let record = &self.0.record;
        record.tests == tests && (tests == TestCount::PerSize || record.bound == bound)
    }

    /// How it was measured: the options that decide so.
    pub fn measured_with(&self) -> (TestCount, Bound) {
        (self.0.record.tests, self.0.record.bound)
    }

    /// The p-value of an image or a region by its lowest log₁₀NFA; `None` for one without any evidence.
    pub fn p_value(&self, log10_nfa: Option<f32>) -> PValue {
        let Some(x) = log10_nfa else { return PValue { value: 1.0, extrapolated: false } };
        let all = (self.images() + 1) as f64;
        let value = (1 + self.at_most(x)) as f64 / all;
        if value > 1.0 / all {
            return PValue { value, extrapolated: false };
        }
        let tail = self.0.tail.p_value(-f64::from(x));
        PValue { value: value.min(tail), extrapolated: tail < value }
    }

    /// The threshold at a rate.
    ///
    /// # Errors
    /// A rate that is not within 0 and 1.
    pub fn threshold(&self, rate: f64) -> Result<RejectThreshold> {
        check_rate(rate)?;
        let Record { images, lowest, .. } = &self.0.record;
        let all = (images + 1) as f64;
        let mut k = (rate * all).floor() as usize;
        // As p ≤ r compares: a rounding of the product must not matter.
        while (k + 1) as f64 / all <= rate {
            k += 1;
        }
        while k > 0 && k as f64 / all > rate {
            k -= 1;
        }
        if k == 0 {
            return Ok(RejectThreshold { rate, log10_nfa: self.extrapolated(rate), promised: None });
        }
        // The last kept value of at most this rank flags no more than k − 1 of the images.
        let ranks = &self.0.record.ranks;
        let kept =
            if ranks.is_empty() { k.min(lowest.len()) } else { ranks.partition_point(|&rank| rank as usize <= k) };
        let every_one = k > self.evident();
        let log10_nfa = if every_one { f32::INFINITY } else { lowest[kept - 1] };
        Ok(RejectThreshold { rate, log10_nfa, promised: Some((k, *images)) })
    }

    /// Number of images that have any evidence.
    fn evident(&self) -> usize {
        self.0.record.lowest.len().checked_sub(1).map_or(0, |last| self.rank(last))
    }

    /// The rank of a kept value.
    fn rank(&self, kept: usize) -> usize {
        self.0.record.ranks.get(kept).map_or(kept + 1, |&rank| rank as usize)
    }

    /// At most so many images have a value of at most x.
    fn at_most(&self, x: f32) -> usize {
        let lowest = &self.0.record.lowest;
        match lowest.partition_point(|&c| c <= x) {
            all if all == lowest.len() => self.evident(),
            next => self.rank(next) - 1,
        }
    }

    /// The threshold that the fitted tail gives, where p ≤ r has no other.
    fn extrapolated(&self, rate: f64) -> f32 {
        let anomalous = |x: f32| self.p_value(Some(x)).value <= rate;
        let lowest = self.0.record.lowest.first().copied().unwrap_or(f32::INFINITY);
        let mut threshold = lowest.min(-self.0.tail.at(rate) as f32);
        // x < threshold exactly where p(x) ≤ r, whatever the roundings.
        while anomalous(threshold) {
            threshold = threshold.next_up();
        }
        while threshold > f32::NEG_INFINITY && !anomalous(threshold.next_down()) {
            threshold = threshold.next_down();
        }
        threshold
    }
}

/// Of so many images, the brightness of every so many is kept.
fn stride(images: usize) -> usize {
    images.div_ceil(ALL_KEPT).max(1)
}

/// Values that are kept and their ranks; no ranks where all are kept.
fn thinned(sorted: &[f32]) -> (Vec<f32>, Vec<u32>) {
    if sorted.len() <= ALL_KEPT {
        return (sorted.to_vec(), Vec::new());
    }
    let mut ranks: Vec<u32> = (1..=ALL_KEPT as u32).collect();
    let last = sorted.len() as u32;
    while let Some(&rank) = ranks.last().filter(|&&rank| rank < last) {
        ranks.push((rank + rank.div_ceil(100)).min(last));
    }
    (ranks.iter().map(|&rank| sorted[rank as usize - 1]).collect(), ranks)
}

impl TryFrom<Record> for Rejection {
    type Error = String;

    fn try_from(record: Record) -> std::result::Result<Self, String> {
        let Record { images, lowest, ranks, brightness, .. } = &record;
        if !(1..u32::MAX as usize).contains(images) {
            return Err(format!("images: there must be 1 to {}, not {images}", u32::MAX - 1));
        }
        if !lowest.iter().all(|value| value.is_finite()) || !lowest.is_sorted() {
            return Err("lowest: must be finite numbers in ascending order".to_owned());
        }
        let rising = ranks.first().is_none_or(|&first| first == 1) && ranks.windows(2).all(|pair| pair[0] < pair[1]);
        if !rising || !(ranks.is_empty() || ranks.len() == lowest.len()) {
            return Err("ranks: must rise from 1, one for each of `lowest`".to_owned());
        }
        let evident = ranks.last().map_or(lowest.len(), |&last| last as usize);
        if evident > *images {
            return Err(format!("images: {images} are fewer than the {evident} that have a value"));
        }
        if !brightness.iter().all(|value| (0.0..=1.0).contains(value)) {
            return Err("brightness: must be numbers from 0 to 1".to_owned());
        }
        if !brightness.is_empty() && brightness.len() != images / stride(*images) {
            let found = brightness.len();
            return Err(format!("brightness: {found} values are not those of {images} images"));
        }
        let tail = Tail::fit(*images, lowest);
        Ok(Self(Arc::new(Prepared { record, tail })))
    }
}

impl From<Rejection> for Record {
    fn from(rejection: Rejection) -> Self {
        rejection.0.record.clone()
    }
}

/// The exponential tail of y = −log₁₀NFA beyond u.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Tail {
    /// u.
    start: f64,
    /// (m + 1)/(n + 1).
    share: f64,
    /// S + s₀.
    sum: f64,
    /// m + m₀.
    excesses: f64,
}

impl Tail {
    /// From the lowest values of n images, ascending.
    fn fit(images: usize, lowest: &[f32]) -> Self {
        let all = (images + 1) as f64;
        let Some(last) = lowest.len().checked_sub(1) else {
            // NFA is taken at its word: log₁₀NFA < −log₁₀(n + 1) in one of n + 1 images.
            return Self { start: all.log10(), share: 1.0 / all, sum: PRIOR_SUM, excesses: PRIOR_EXCESSES };
        };
        let most = (2.0 * (images as f64).sqrt()).ceil() as usize;
        let m = images.div_ceil(3).min(most).max(FEWEST_EXCESSES).min(last).min(ALL_KEPT);
        let start = -f64::from(lowest[m]);
        let sum: f64 = lowest[..m].iter().map(|&x| -f64::from(x) - start).sum();
        let share = (m + 1) as f64 / all;
        Self { start, share, sum: sum + PRIOR_SUM, excesses: m as f64 + PRIOR_EXCESSES }
    }

    fn p_value(&self, y: f64) -> f64 {
        let p = self.share * (1.0 + (y - self.start).max(0.0) / self.sum).powf(-self.excesses);
        p.max(f64::MIN_POSITIVE)
    }

    /// The y of a p-value below that of the start.
    fn at(&self, p: f64) -> f64 {
        self.start + self.sum * ((self.share / p).powf(1.0 / self.excesses) - 1.0)
    }
}

impl Promise {
    /// Of a threshold that k − 1 of the n images fall below.
    fn new(k: usize, images: usize) -> Self {
        let tail = (1.0 - CONFIDENCE) / 2.0;
        let beta = Beta::new(k as f64, (images + 1 - k) as f64);
        let at = |p: f64| beta.as_ref().map_or(f64::NAN, |beta| beta.inverse_cdf(p));
        Self { expected: k as f64 / (images + 1) as f64, interval: [at(tail), at(1.0 - tail)] }
    }
}

/// "at most 1% expected; between 0.03% and 3.6% with 95% confidence".
impl fmt::Display for Promise {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [low, high] = self.interval.map(rounded_percent);
        let (expected, confidence) = (rounded_percent(self.expected), percent(CONFIDENCE));
        write!(out, "at most {expected} expected; between {low} and {high} with {confidence} confidence")
    }
}

/// The fewest good images that keep a promise at a rate: n ≥ 1/r − 1.
pub fn images_needed(rate: f64) -> usize {
    let mut images = ((1.0 / rate).floor() as usize).saturating_sub(1).max(1);
    while 1.0 / (images + 1) as f64 > rate {
        images += 1;
    }
    images
}

/// The smallest rate. No set of images can tell a smaller one.
const LEAST_RATE: f64 = 1e-9;

/// Refuses a rate that is no share, or too small to mean anything.
///
/// # Errors
/// [`Error::Parameter`].
pub fn check_rate(rate: f64) -> Result<()> {
    if (LEAST_RATE..1.0).contains(&rate) {
        return Ok(());
    }
    let reason = format!("must be a share above 0 and below 1 (at least {LEAST_RATE:e}), as 1% or 0.01, not {rate}");
    Err(Error::parameter("reject_rate", reason))
}

/// Reads a rate: `1%` or `0.01`.
///
/// # Errors
/// [`Error::Parameter`].
pub fn parse_rate(text: &str) -> Result<f64> {
    let trimmed = text.trim();
    let (number, hundredths) = trimmed.strip_suffix('%').map_or((trimmed, false), |number| (number.trim_end(), true));
    let Ok(value) = f64::from_str(number) else {
        return Err(Error::parameter("reject_rate", format!("`{trimmed}` is not a share; write 1% or 0.01")));
    };
    let rate = if hundredths { value / 100.0 } else { value };
    check_rate(rate).map(|()| rate)
}

/// A share as percent, with up to four digits that count.
pub fn percent(share: f64) -> String {
    let value = share * 100.0;
    let digits = if value > 0.0 { (3.0 - value.log10().floor()).clamp(0.0, 12.0) as usize } else { 0 };
    trimmed_percent(value, digits)
}

/// A share as percent in round numbers: 12%, 3.6%, 0.03%.
pub fn rounded_percent(share: f64) -> String {
    let value = share * 100.0;
    let digits = match value {
        _ if value <= 0.0 || value >= 9.95 => 0,
        _ if value >= 1.0 => 1,
        _ => (-value.log10().floor()).clamp(0.0, 12.0) as usize,
    };
    trimmed_percent(value, digits)
}

/// The next percentage of two digits that is not below a share: 3.2% for 1/32, 5% for 1/21.
pub(super) fn percent_above(share: f64) -> String {
    let unit = 10_f64.powf(share.log10().floor() - 1.0);
    // A share that is such a percentage must not be raised by the rounding of the division.
    percent((share / unit - 1e-9).ceil() * unit)
}

fn trimmed_percent(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}%")
}

#[cfg(test)]
mod tests;

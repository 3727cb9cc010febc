//! Curves over all thresholds: ROC, per-region overlap (PRO), F1.
//!
//! A pixel or image is positive if its score is at or above the threshold. One pass over the distinct scores in descending order
//! computes all three curves. At each score, the false-positive rate, the true-positive rate and the overlap change together, so
//! scores that occur in both classes are joined by a straight line:
//!
//! - **AUROC**: the area under (false-positive rate, true-positive rate). It is the probability that a positive scores
//!   above a negative, where a tie counts one half (Mann and Whitney). It is computed in integers, so it is exact.
//! - **AUPRO** (Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021): the area under (false-positive rate over all unmarked pixels,
//!   mean found share of the marked regions), up to a false-positive rate of 0.3, divided by 0.3. A region is an
//!   8-connected component of an image's mask.
//! - **F1-max**: the highest harmonic mean of precision and recall.

use serde::{Deserialize, Serialize};

use super::scores::key;

/// The false-positive rate up to which the overlap counts.
pub const PRO_LIMIT: f64 = 0.3;

/// Stored curves have steps of at least this size in one of the rates.
const STEP: f64 = 1.0 / 256.0;

/// One point of a curve, at a threshold of `score`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RocPoint {
    /// False-positive rate.
    pub fpr: f64,
    /// True-positive rate.
    pub tpr: f64,
    /// The lowest score that is positive here; `None` at the origin.
    pub score: Option<f32>,
}

/// A ROC curve and the exact area under it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Roc {
    /// Area under the whole curve.
    pub auroc: f64,
    /// The curve from (0, 0) to (1, 1), thinned to steps of at least 1/256 in one of the rates.
    pub points: Vec<RocPoint>,
}

/// One point of a PRO curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProPoint {
    /// False-positive rate.
    pub fpr: f64,
    /// Mean over the regions of the share of the region that is found.
    pub overlap: f64,
    /// The lowest score that is positive here; `None` at the origin.
    pub score: Option<f32>,
}

/// A curve of per-region overlap and the exact area under it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pro {
    /// Area under the curve up to [`PRO_LIMIT`], divided by [`PRO_LIMIT`].
    pub aupro: f64,
    /// Number of marked regions.
    pub regions: u64,
    /// The curve from (0, 0) to the first point at or beyond [`PRO_LIMIT`], thinned like [`Roc`].
    pub points: Vec<ProPoint>,
}

/// The best F1 and its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct F1Max {
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// The lowest score that is positive at this threshold; `None` for a mean over several sets.
    pub threshold: Option<f32>,
}

/// The curves of two classes.
#[derive(Clone, Debug)]
pub(super) struct Curves {
    pub(super) roc: Roc,
    /// `None` if the positives have no regions.
    pub(super) pro: Option<Pro>,
    pub(super) f1_max: F1Max,
}

/// Numbers of pixels, or of images.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) negatives: u64,
    pub(super) positives: u64,
    pub(super) regions: u64,
}

impl Totals {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            negatives: self.negatives + other.negatives,
            positives: self.positives + other.positives,
            regions: self.regions + other.regions,
        }
    }
}

/// The pixels of one score.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub(super) score: f32,
    /// Negatives with a higher score.
    pub(super) above: u64,
    /// Negatives with this score.
    pub(super) negatives: u64,
    /// Positives with this score.
    pub(super) positives: u64,
    /// Sum over these positives of 1 / (pixels of their region).
    pub(super) overlap: f64,
}

/// Computes the curves from levels in descending order of their scores. Levels without a positive may be left out.
#[derive(Debug)]
pub(super) struct Builder {
    totals: Totals,
    hits: u64,
    twice_area: u128,
    /// Regions found so far; a region counts by its found share.
    found: f64,
    /// The current point of the PRO curve, and the area under it so far.
    last: (f64, f64),
    pro_area: f64,
    best: F1Max,
    roc: Vec<RocPoint>,
    pro: Vec<ProPoint>,
}

impl Builder {
    pub(super) fn new(totals: Totals) -> Self {
        Self {
            totals,
            hits: 0,
            twice_area: 0,
            found: 0.0,
            last: (0.0, 0.0),
            pro_area: 0.0,
            best: F1Max { f1: 0.0, threshold: None },
            roc: vec![RocPoint { fpr: 0.0, tpr: 0.0, score: None }],
            pro: vec![ProPoint { fpr: 0.0, overlap: 0.0, score: None }],
        }
    }

    pub(super) fn push(&mut self, level: Level) {
        let Level { score, above, negatives, positives, overlap } = level;
        let below = self.totals.negatives - above - negatives;
        self.twice_area += u128::from(positives) * u128::from(2 * below + negatives);
        self.hits += positives;
        self.found += overlap;
        let fpr = (above + negatives) as f64 / self.totals.negatives as f64;
        let tpr = self.hits as f64 / self.totals.positives as f64;
        let f1 = 2.0 * self.hits as f64 / (self.hits + above + negatives + self.totals.positives) as f64;
        if f1 > self.best.f1 {
            self.best = F1Max { f1, threshold: Some(score) };
        }
        let point = RocPoint { fpr, tpr, score: Some(score) };
        if self.roc.last().is_none_or(|last| far(fpr, last.fpr) || far(tpr, last.tpr)) || below == 0 {
            self.roc.push(point);
        }
        if self.totals.regions > 0 {
            self.advance(above as f64 / self.totals.negatives as f64, self.last.1);
            let overlap = self.found / self.totals.regions as f64;
            self.advance(fpr, overlap);
            let due = self.pro.last().is_some_and(|last| {
                last.fpr < PRO_LIMIT && (far(fpr, last.fpr) || far(overlap, last.overlap) || fpr >= PRO_LIMIT)
            });
            if due {
                self.pro.push(ProPoint { fpr, overlap, score: Some(score) });
            }
        }
    }

    /// Moves in a straight line to a point of the PRO curve and adds the area under this line up to [`PRO_LIMIT`].
    fn advance(&mut self, fpr: f64, overlap: f64) {
        let (from, low) = self.last;
        if from < PRO_LIMIT && fpr > from {
            let to = fpr.min(PRO_LIMIT);
            let high = low + (overlap - low) * (to - from) / (fpr - from);
            self.pro_area += (to - from) * (low + high) / 2.0;
        }
        self.last = (fpr, overlap);
    }

    /// `None` if a class is empty.
    pub(super) fn finish(mut self) -> Option<Curves> {
        let Totals { negatives, positives, regions } = self.totals;
        if negatives == 0 || positives == 0 {
            return None;
        }
        self.advance(1.0, self.last.1);
        let auroc = self.twice_area as f64 / (2 * u128::from(negatives) * u128::from(positives)) as f64;
        let pro = Pro { aupro: self.pro_area / PRO_LIMIT, regions, points: self.pro };
        Some(Curves { roc: Roc { auroc, points: self.roc }, pro: (regions > 0).then_some(pro), f1_max: self.best })
    }
}

fn far(a: f64, b: f64) -> bool {
    a - b >= STEP
}

/// The curves of two classes of single scores without NaN; `None` if a class is empty.
pub(super) fn curves(negatives: &[f32], positives: &[f32]) -> Option<Curves> {
    let totals = Totals { negatives: negatives.len() as u64, positives: positives.len() as u64, regions: 0 };
    let mut keys: Vec<(u32, bool)> = (negatives.iter().map(|&score| (key(score), false)))
        .chain(positives.iter().map(|&score| (key(score), true)))
        .collect();
    keys.sort_unstable();
    let mut builder = Builder::new(totals);
    let mut above = 0;
    for group in keys.chunk_by(|a, b| a.0 == b.0) {
        let positives = group.iter().filter(|(_, positive)| *positive).count() as u64;
        let negatives = group.len() as u64 - positives;
        builder.push(Level { score: super::scores::score(group[0].0), above, negatives, positives, overlap: 0.0 });
        above += negatives;
    }
    builder.finish()
}

/// The ROC curve of two classes of scores without NaN; `None` if a class is empty.
pub fn roc(negatives: &[f32], positives: &[f32]) -> Option<Roc> {
    curves(negatives, positives).map(|curves| curves.roc)
}

//! Exact AUROC by ranks, over as many scores as there are.
//!
//! The area under the ROC curve is the probability that a positive scores above a negative, a tie counting one half
//! (Mann and Whitney's U, divided by the number of pairs). It follows exactly from how often each distinct score occurs in
//! each class, so that is what is kept: sorted (score, count) pairs, into which buffered scores are merged. Memory is 12
//! bytes per *distinct* float32 score of a class and a buffer of up to a sixth of that; scores between ¼ and 1 have at most 2²⁴
//! distinct values, so a class never needs more than about 250 MB for them, however many images there are.

use serde::Serialize;

/// How often each distinct score occurs.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Distinct scores as sortable bits, ascending, and their counts.
    keys: Vec<u32>,
    counts: Vec<u64>,
    buffer: Vec<u32>,
}

/// Scores that are buffered before they are merged, at least.
const BUFFER: usize = 1 << 20;

impl Counts {
    /// Counts one finite score.
    pub fn push(&mut self, score: f32) {
        self.buffer.push(sortable(score));
        if self.buffer.len() >= BUFFER.max(self.keys.len() / 2) {
            self.merge_buffer();
        }
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, mut other: Self) {
        self.merge_buffer();
        other.merge_buffer();
        self.merge_sorted(&other.keys, &other.counts);
    }

    fn merge_buffer(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.sort_unstable();
        let (mut keys, mut counts): (Vec<u32>, Vec<u64>) = (Vec::new(), Vec::new());
        for group in buffer.chunk_by(|a, b| a == b) {
            keys.push(group[0]);
            counts.push(group.len() as u64);
        }
        self.merge_sorted(&keys, &counts);
        buffer.clear();
        self.buffer = buffer;
    }

    fn merge_sorted(&mut self, keys: &[u32], counts: &[u64]) {
        let mut merged =
            (Vec::with_capacity(self.keys.len() + keys.len()), Vec::with_capacity(self.keys.len() + keys.len()));
        let (mut i, mut j) = (0, 0);
        while i < self.keys.len() || j < keys.len() {
            let (mine, theirs) = (self.keys.get(i).copied(), keys.get(j).copied());
            let key = mine.into_iter().chain(theirs).min().unwrap_or_default();
            let mut count = 0;
            if mine == Some(key) {
                count += self.counts[i];
                i += 1;
            }
            if theirs == Some(key) {
                count += counts[j];
                j += 1;
            }
            merged.0.push(key);
            merged.1.push(count);
        }
        (self.keys, self.counts) = merged;
    }

    /// The distinct scores, highest first, with their counts.
    fn descending(&self) -> impl Iterator<Item = (u32, u64)> {
        self.keys.iter().copied().zip(self.counts.iter().copied()).rev()
    }
}

/// One point of a ROC curve: what a threshold just below `score` gives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RocPoint {
    /// False-positive rate.
    pub fpr: f64,
    /// True-positive rate.
    pub tpr: f64,
    /// The lowest score that counts as positive here; none at the origin.
    pub score: Option<f32>,
}

/// A ROC curve and the exact area under it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Roc {
    /// Area under the whole curve.
    pub auroc: f64,
    /// The curve from (0, 0) to (1, 1), thinned to steps of at least 1/256 in one of the rates.
    pub points: Vec<RocPoint>,
}

/// The ROC curve of two classes; none where a class is empty.
pub fn roc(negatives: &mut Counts, positives: &mut Counts) -> Option<Roc> {
    const STEP: f64 = 1.0 / 256.0;
    negatives.merge_buffer();
    positives.merge_buffer();
    let total = |counts: &Counts| counts.counts.iter().map(|&count| u128::from(count)).sum::<u128>();
    let (all_negatives, all_positives) = (total(negatives), total(positives));
    if all_negatives == 0 || all_positives == 0 {
        return None;
    }
    let (mut negative, mut positive) = (negatives.descending().peekable(), positives.descending().peekable());
    let (mut above, mut hits, mut twice_area) = (0_u128, 0_u128, 0_u128);
    let mut points = vec![RocPoint { fpr: 0.0, tpr: 0.0, score: None }];
    let mut last = None;
    while let Some(key) = negative.peek().into_iter().chain(positive.peek()).map(|&(key, _)| key).max() {
        let count = |entry: Option<(u32, u64)>| u128::from(entry.map_or(0, |(_, count)| count));
        let n = count(negative.next_if(|entry| entry.0 == key));
        let p = count(positive.next_if(|entry| entry.0 == key));
        twice_area += n * (2 * hits + p);
        (above, hits) = (above + n, hits + p);
        let fpr = above as f64 / all_negatives as f64;
        let tpr = hits as f64 / all_positives as f64;
        let point = RocPoint { fpr, tpr, score: Some(score_of(key)) };
        last = Some(point);
        if points.last().is_none_or(|previous| fpr - previous.fpr >= STEP || tpr - previous.tpr >= STEP) {
            points.push(point);
        }
    }
    points.extend(last.filter(|last| points.last() != Some(last)));
    let auroc = twice_area as f64 / (2 * all_negatives * all_positives) as f64;
    Some(Roc { auroc, points })
}

/// A float's bits, changed so that unsigned order is numeric order; −0 and 0 are one score.
fn sortable(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 0 { bits | 0x8000_0000 } else { !bits }
}

fn score_of(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key & 0x7fff_ffff } else { !key })
}

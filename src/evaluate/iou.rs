//! The mean intersection over union at every threshold.
//!
//! Lowering a threshold adds pixels. A marked pixel increases its image's intersection, another pixel its union. One pass over the
//! scores in descending order therefore visits every mask that a threshold can give, and finds the best of them.

use super::scores::{ScoreEntry, Source};

/// The result of one threshold: a pixel is anomalous if its score is above it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AtThreshold {
    pub(super) threshold: f32,
    /// For each kind, the sum of its images' IoU.
    pub(super) sums: Vec<f64>,
}

impl AtThreshold {
    pub(super) fn total(&self) -> f64 {
        self.sums.iter().sum()
    }
}

/// The result of the pass.
#[derive(Clone, Debug)]
pub(super) struct BestThreshold {
    /// The threshold with the highest mean; the lowest one if several are equal.
    pub(super) best: AtThreshold,
    /// The results at the requested thresholds, in descending order.
    pub(super) asked: Vec<AtThreshold>,
}

/// Sums that differ by at most this much are equal: the rounding error of a few hundred million additions.
const EQUAL: f64 = 1e-9;

/// The pass.
#[derive(Debug)]
pub(super) struct Sweep {
    /// Intersection and union of each image.
    images: Vec<(u64, u64)>,
    kinds: Vec<u32>,
    sums: Vec<f64>,
    best: AtThreshold,
    highest: f64,
    /// Whether the best threshold extends down to the next score.
    open: bool,
    waiting: Vec<f32>,
    asked: Vec<AtThreshold>,
}

impl Sweep {
    /// A pass over images with these kinds and numbers of marked pixels; `asked` are the requested thresholds.
    pub(super) fn new(kinds: &[u32], marked: &[u64], asked: &[f32]) -> Self {
        let images: Vec<(u64, u64)> = marked.iter().map(|&marked| (0, marked)).collect();
        let mut sums = vec![0.0; kinds.iter().max().map_or(0, |&kind| kind as usize + 1)];
        for (&image, &kind) in images.iter().zip(kinds) {
            sums[kind as usize] += ratio(image.0, image.1);
        }
        let best = AtThreshold { threshold: f32::INFINITY, sums: sums.clone() };
        let mut waiting = asked.to_vec();
        waiting.sort_by(f32::total_cmp);
        Self {
            images,
            kinds: kinds.to_vec(),
            highest: best.total(),
            sums,
            best,
            open: true,
            waiting,
            asked: Vec::new(),
        }
    }

    /// Adds the entries of the next lower score.
    pub(super) fn push(&mut self, score: f32, entries: &[ScoreEntry], sources: &[Source]) {
        if self.open {
            self.best.threshold = score;
            self.open = false;
        }
        while let Some(threshold) = self.waiting.pop_if(|threshold| *threshold >= score) {
            self.asked.push(AtThreshold { threshold, sums: self.sums.clone() });
        }
        for entry in entries {
            let source = sources[entry.source as usize];
            let image = &mut self.images[source.image as usize];
            let before = ratio(image.0, image.1);
            let count = u64::from(entry.count);
            if source.region.is_some() {
                image.0 += count
            } else {
                image.1 += count
            }
            self.sums[self.kinds[source.image as usize] as usize] += ratio(image.0, image.1) - before;
        }
        let total = self.sums.iter().sum::<f64>();
        if total >= self.highest - EQUAL {
            self.highest = self.highest.max(total);
            self.best.sums.clone_from(&self.sums);
            self.best.threshold = score.next_down();
            self.open = true;
        }
    }

    pub(super) fn finish(mut self) -> BestThreshold {
        while let Some(threshold) = self.waiting.pop() {
            self.asked.push(AtThreshold { threshold, sums: self.sums.clone() });
        }
        BestThreshold { best: self.best, asked: self.asked }
    }
}

/// Intersection over union from counts; 1 if the union is empty.
pub(super) fn ratio(intersection: u64, union: u64) -> f64 {
    if union == 0 { 1.0 } else { intersection as f64 / union as f64 }
}

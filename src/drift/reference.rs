//! The null hypothesis of `shift` and `calm`: the bins between good images' values, and how probable each is for the next frame.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::segment::Rejection;

/// Good images that are extreme, at most a share `extreme` of all, but at least one gap.
fn extreme_images(rejection: &Rejection, extreme: f64) -> usize {
    let gaps = rejection.images() + 1;
    ((extreme * gaps as f64).floor() as usize).clamp(1, gaps.saturating_sub(2).max(1))
}

/// Most bins that frames which are not extreme are sorted into.
const MOST_BINS: usize = 24;

/// Bins between the good images' values. Their probabilities follow Pólya's urn.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    /// Lower ends of the bins, ascending: a lowest log₁₀NFA, and a number that orders equal ones.
    edges: Vec<(f32, f64)>,
    counts: Vec<f64>,
    /// Sum of the counts.
    total: f64,
}

/// Where a frame lies among the good images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place {
    /// Among the most unusual.
    Extreme,
    /// In this bin of the others, the most unusual first.
    Bin(usize),
}

/// A bin among those that are not extreme.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    /// Probability of the bins below it.
    pub(super) below: f64,
    /// Probability of those below it and of its own.
    pub(super) above: f64,
}

impl Interval {
    /// Its own probability.
    pub(super) fn mass(self) -> f64 {
        self.above - self.below
    }
}

impl Reference {
    /// On these good images. At most a share `extreme` of them, but at least one gap, is extreme.
    pub(super) fn new(rejection: &Rejection, extreme: f64, random: &mut ChaCha8Rng) -> Self {
        let gaps = rejection.images() + 1;
        let first = extreme_images(rejection, extreme);
        let bins = (gaps - first).clamp(1, MOST_BINS);
        let ranked = ordered(rejection, random);
        let mut edges: Vec<(usize, (f32, f64))> = Vec::with_capacity(bins);
        for bin in 0..bins {
            let rank = first + bin * (gaps - first) / bins;
            // Of many good images the package keeps some ranks only: the next lower one.
            let Some(&edge) = ranked.get(ranked.partition_point(|&(kept, _)| kept <= rank).saturating_sub(1)) else {
                continue;
            };
            if edges.last().is_none_or(|&(last, _)| last < edge.0) {
                edges.push(edge);
            }
        }
        let ends = edges.iter().skip(1).map(|&(rank, _)| rank).chain([gaps]);
        let counts: Vec<f64> = edges.iter().zip(ends).map(|(&(rank, _), end)| (end - rank) as f64).collect();
        Self { edges: edges.into_iter().map(|(_, edge)| edge).collect(), total: counts.iter().sum(), counts }
    }

    /// On the brightness of the good images that are not extreme; `None` where it is not known. Defects change the brightness, so a frame
    /// counts only where it is not extreme. Good images and frames beyond the same edge are as exchangeable as all are.
    pub(super) fn of_brightness(rejection: &Rejection, extreme: f64, random: &mut ChaCha8Rng) -> Option<Self> {
        let brightness = rejection.brightness_above(extreme_images(rejection, extreme));
        if brightness.is_empty() {
            return None;
        }
        let mut known: Vec<(f32, f64)> = brightness.iter().map(|&value| (value, random.random())).collect();
        known.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let gaps = known.len() + 1;
        let bins = gaps.min(MOST_BINS);
        let rank = |bin: usize| bin * gaps / bins;
        let edge = |bin: usize| rank(bin).checked_sub(1).map_or((f32::NEG_INFINITY, 0.0), |below| known[below]);
        let counts: Vec<f64> = (0..bins).map(|bin| (rank(bin + 1) - rank(bin)) as f64).collect();
        Some(Self { edges: (0..bins).map(edge).collect(), total: counts.iter().sum(), counts })
    }

    /// The bin of a frame by its brightness.
    pub(super) fn bin(&self, brightness: f32, random: &mut ChaCha8Rng) -> usize {
        let value = (brightness, random.random::<f64>());
        self.edges.partition_point(|&edge| edge <= value).saturating_sub(1)
    }

    /// The place of a frame by its lowest log₁₀NFA; `None` without any evidence.
    pub(super) fn place(&self, lowest: Option<f32>, random: &mut ChaCha8Rng) -> Place {
        let value = (lowest.unwrap_or(f32::INFINITY), random.random::<f64>());
        match self.edges.partition_point(|&edge| edge <= value) {
            0 => Place::Extreme,
            above => Place::Bin(above - 1),
        }
    }

    /// A bin's probability for the next frame that is not extreme, and that of the bins before it.
    pub(super) fn interval(&self, bin: usize) -> Interval {
        let below: f64 = self.counts[..bin].iter().sum();
        let above = if bin + 1 == self.counts.len() { self.total } else { below + self.counts[bin] };
        Interval { below: below / self.total, above: above / self.total }
    }

    /// Gaps and frames in each bin.
    pub(super) fn counts(&self) -> &[f64] {
        &self.counts
    }

    /// A frame was found in this bin.
    pub(super) fn learn(&mut self, bin: usize) {
        self.counts[bin] += 1.0;
        self.total += 1.0;
    }
}

/// Rank, and value with the number that orders equal ones, of the good images that the package keeps, ascending.
fn ordered(rejection: &Rejection, random: &mut ChaCha8Rng) -> Vec<(usize, (f32, f64))> {
    let mut kept: Vec<(usize, f32)> = rejection.ranked().collect();
    let evident = kept.last().map_or(0, |&(rank, _)| rank);
    kept.extend((evident + 1..=rejection.images()).map(|rank| (rank, f32::INFINITY)));
    let mut found = Vec::with_capacity(kept.len());
    for equal in kept.chunk_by(|a, b| a.1 == b.1) {
        let (first, last) = (equal[0].0, equal[equal.len() - 1].0);
        let mut numbers: Vec<f64> = (first..=last).map(|_| random.random()).collect();
        numbers.sort_unstable_by(f64::total_cmp);
        found.extend(equal.iter().map(|&(rank, value)| (rank, (value, numbers[rank - first]))));
    }
    found
}

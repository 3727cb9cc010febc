//! False alarms against what ε promises, with confidence bounds.
//!
//! ε is the number of false alarms expected in an image without a defect. Good images give a count of regions each; what their mean can
//! be, and what it surely exceeds, is said by [`bounds`](super::bounds).

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::bounds::{binomial_bounds, mean_at_least, rate_bounds};
use crate::{
    columns::{Column, Table},
    segment::components::ComponentCounts,
};

/// The values of ε at which false alarms are counted.
pub const EPSILONS: [f64; 8] = [10.0, 1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6];

/// False alarms on good images at one ε.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FalseAlarms {
    /// False alarms per image that ε promises not to exceed.
    pub epsilon: f64,
    /// Good images.
    pub images: u64,
    /// Regions found in them: 8-connected components of log₁₀NFA < log₁₀ε at the model's map size.
    pub regions: u64,
    /// Good images with a region.
    pub flagged: u64,
    /// Regions per image.
    pub rate: f64,
    /// Bounds of the rate at [`CONFIDENCE`](super::CONFIDENCE), as wide as the regions cluster.
    pub rate_bounds: [f64; 2],
    /// The rate is at least this, at [`CONFIDENCE`](super::CONFIDENCE) for all of [`EPSILONS`] together, however regions cluster.
    #[serde(default)]
    pub rate_at_least: f64,
    /// Share of the images that have at least one region.
    pub flagged_rate: f64,
    /// Bounds of that share at [`CONFIDENCE`](super::CONFIDENCE).
    pub flagged_bounds: [f64; 2],
}

impl FalseAlarms {
    /// From the number of regions in each good image; there is at least one image.
    pub fn new(epsilon: f64, counts: &[u32]) -> Self {
        let images = counts.len() as u64;
        let regions = counts.iter().map(|&count| u64::from(count)).sum();
        let flagged = counts.iter().filter(|&&count| count > 0).count() as u64;
        let per_image = |count: u64| count as f64 / images as f64;
        Self {
            epsilon,
            images,
            regions,
            flagged,
            rate: per_image(regions),
            rate_bounds: rate_bounds(counts),
            rate_at_least: mean_at_least(counts),
            flagged_rate: per_image(flagged),
            flagged_bounds: binomial_bounds(flagged, images),
        }
    }
}

/// A curve as a table: a row for each ε.
pub(crate) fn alarm_table(curve: &[FalseAlarms]) -> Table {
    let (regions, images) = ("regions per image", "share of images with regions");
    let mut table = Table::new([
        Column::number("ε"),
        Column::number("mean").under(regions),
        Column::number("95% bounds").under(regions),
        Column::number("share").under(images),
        Column::number("95% bounds").under(images).at_least(21),
    ]);
    let bounds = |[low, high]: [f64; 2]| format!("{low:.3} to {high:.3}");
    for found in curve {
        table.push([
            found.epsilon.to_string(),
            format!("{:.3}", found.rate),
            bounds(found.rate_bounds),
            format!("{:.3}", found.flagged_rate),
            bounds(found.flagged_bounds),
        ]);
    }
    table.indented(2)
}

/// Counts the regions of good images at each of [`EPSILONS`].
#[derive(Debug, Default)]
pub struct AlarmCounter {
    /// Per ε, the regions of each image.
    counts: [Vec<u32>; EPSILONS.len()],
}

impl AlarmCounter {
    /// Takes the log₁₀NFA map of a good image.
    pub fn push(&mut self, log10_nfa: ArrayView2<'_, f32>) {
        let negated = log10_nfa.mapv(|value| -value);
        let limits = EPSILONS.map(|epsilon| -epsilon.log10() as f32);
        let components = ComponentCounts::of(negated.view(), limits[0]);
        for (counts, limit) in self.counts.iter_mut().zip(limits) {
            counts.push(components.above(limit));
        }
    }

    /// False alarms at each ε; empty without an image.
    pub fn finish(&self) -> Vec<FalseAlarms> {
        let curve = EPSILONS.into_iter().zip(&self.counts);
        curve
            .filter(|(_, counts)| !counts.is_empty())
            .map(|(epsilon, counts)| FalseAlarms::new(epsilon, counts))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_per_image() {
        let counts: Vec<u32> = (0..50).map(|image| [4, 3, 2, 1].get(image).copied().unwrap_or(0)).collect();
        let found = FalseAlarms::new(0.1, &counts);
        assert_eq!((found.rate, found.flagged_rate), (0.2, 0.08));
        assert!(found.rate_bounds[0] < 0.2 && found.rate_bounds[1] > 0.2);
        assert!(found.flagged_bounds[0] < 0.08 && found.flagged_bounds[1] > 0.08);
    }

    #[test]
    fn a_curve_is_a_table_with_a_row_for_each_epsilon() {
        let counts: Vec<u32> = (0..50).map(|image| [40, 3, 2, 1].get(image).copied().unwrap_or(0)).collect();
        let found = alarm_table(&EPSILONS.map(|epsilon| FalseAlarms::new(epsilon, &counts))).to_string();
        let lines: Vec<&str> = found.lines().collect();
        assert_eq!(lines.len(), 2 + EPSILONS.len(), "{found}");
        let width = lines[0].chars().count();
        assert!(lines.iter().all(|line| line.chars().count() == width), "{found}");
        let (numbers, last) = (lines[9].replace(" to ", "-"), &FalseAlarms::new(1e-6, &counts));
        let cells: Vec<&str> = numbers.split_whitespace().collect();
        assert_eq!((cells[0], cells[1], cells[3]), ("0.000001", "0.920", "0.080"), "{found}");
        assert_eq!(cells[4], format!("{:.3}-{:.3}", last.flagged_bounds[0], last.flagged_bounds[1]));
    }
}

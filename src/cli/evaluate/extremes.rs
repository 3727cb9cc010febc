//! Chooses the images for a report: the best and the worst results.

use crate::{
    Result,
    evaluate::Seen,
    frame::ReadOptions,
    report::{Case, pictures},
};

/// Number of images of each sort.
const SHOWN: usize = 4;

/// Keeps the pictures of the model's best and worst results during an evaluation.
pub(super) struct Extremes {
    epsilon: f64,
    read: ReadOptions,
    /// Each with the value it is sorted by, lowest first.
    lists: [Vec<(f64, Case)>; 3],
    masks: bool,
}

/// Indices of the lists.
const WORST: usize = 0;
const BEST: usize = 1;
const ALARMING: usize = 2;

impl Extremes {
    pub(super) fn new(epsilon: f64, read: ReadOptions) -> Self {
        Self { epsilon, read, lists: Default::default(), masks: true }
    }

    /// Keeps an image if it belongs to the extremes so far.
    pub(super) fn take(&mut self, seen: &Seen<'_>) -> Result<()> {
        let result = seen.result;
        let lists: &[(usize, f64)] = if result.defective() {
            self.masks &= result.iou.is_some();
            let rank = result.iou.unwrap_or(f64::from(result.score));
            &[(WORST, rank), (BEST, -rank)]
        } else {
            &[(ALARMING, f64::from(result.log10_nfa_min))]
        };
        for &(list, rank) in lists {
            let list = &mut self.lists[list];
            let place = list.partition_point(|(other, _)| *other <= rank);
            if place < SHOWN {
                let pictures = pictures(&seen.sample.path, &self.read, seen.inspection, seen.truth, self.epsilon)?;
                list.insert(place, (rank, Case { result: result.clone(), pictures }));
                list.truncate(SHOWN);
            }
        }
        Ok(())
    }

    /// Says how the images were chosen.
    pub(super) fn choice(&self) -> String {
        let by = if self.masks { "IoU at ε" } else { "image score" };
        format!(
            "The {SHOWN} defective images with the lowest {by}, the {SHOWN} with the highest, and the {SHOWN} good images with the lowest log₁₀ NFA."
        )
    }

    /// The worst defective images, the best ones, and the good images with the lowest log₁₀NFA; each once.
    pub(super) fn cases(self) -> Vec<Case> {
        let mut cases: Vec<Case> = Vec::new();
        for (_, case) in self.lists.into_iter().flatten() {
            if cases.iter().all(|other| other.result.name != case.result.name) {
                cases.push(case);
            }
        }
        cases
    }
}

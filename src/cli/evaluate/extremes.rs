//! The images a report shows: the best and the worst.

use crate::{
    Result,
    evaluate::Seen,
    report::{Case, pictures},
};

/// How many of each.
const SHOWN: usize = 4;

/// Keeps the pictures of the images that a model did best and worst on, as they pass.
pub(super) struct Extremes {
    epsilon: f64,
    /// By what each is compared, lowest first.
    lists: [Vec<(f64, Case)>; 3],
    masks: bool,
}

/// Indices of the lists.
const WORST: usize = 0;
const BEST: usize = 1;
const ALARMING: usize = 2;

impl Extremes {
    pub(super) fn new(epsilon: f64) -> Self {
        Self { epsilon, lists: Default::default(), masks: true }
    }

    /// Takes an image where it belongs to the extremes of those seen so far.
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
                let pictures = pictures(&seen.sample.path, seen.inspection, seen.truth, self.epsilon)?;
                list.insert(place, (rank, Case { result: result.clone(), pictures }));
                list.truncate(SHOWN);
            }
        }
        Ok(())
    }

    /// How they were chosen.
    pub(super) fn choice(&self) -> String {
        let by = if self.masks { "IoU at ε" } else { "image score" };
        format!(
            "The {SHOWN} defective images with the lowest {by}, the {SHOWN} with the highest, and the {SHOWN} good images with the lowest log₁₀ NFA."
        )
    }

    /// The worst defective images, the best ones, and the good images nearest to a false alarm; each once.
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

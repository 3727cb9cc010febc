//! The rule of the choice: other settings replace the best so far only if they are better beyond chance.

use super::judge::Judged;
use crate::compare::paired::{Difference, aurocs};

/// The difference of the AUROCs on the same images and defects, `other` minus `best`. `None` where they did not look at the same ones.
pub(super) fn difference(best: &Judged, other: &Judged) -> Option<Difference> {
    let pairs = |a: &[f32], b: &[f32]| -> Option<Vec<[f32; 2]>> {
        (a.len() == b.len()).then(|| a.iter().zip(b).map(|(&a, &b)| [a, b]).collect())
    };
    let good = pairs(&best.good, &other.good)?;
    let defective = pairs(&best.defective, &other.defective)?;
    Some(aurocs(&good, &defective)?.difference)
}

/// Whether the other settings replace the best so far: the lower bound of the difference at 95% is above 0.
pub(super) fn replaces(difference: &Difference) -> bool {
    difference.bounds[0] > 0.0
}

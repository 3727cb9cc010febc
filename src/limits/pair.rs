//! Two models on the same synthetic defects: does the second find fewer?

use super::{
    kind::Defect,
    study::{Observer, StudyOptions, study},
};
use crate::{
    Result,
    compare::paired::{Difference, proportions},
};

/// What two models find of the same defects on the same good images.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct PairedStudy {
    /// Good images.
    pub images: usize,
    /// Those that the first model flags as they are.
    pub flagged_before: usize,
    /// Those that the second model flags as they are.
    pub flagged_after: usize,
    /// Defects, one on an image. Their sizes are chosen where the first model's detection rises.
    pub defects: usize,
    /// Those that the first model finds.
    pub found_before: usize,
    /// Those that the second model finds.
    pub found_after: usize,
    /// The share that the second finds, less the share that the first finds.
    pub difference: Difference,
}

/// Runs a study with the first model and shows the same defects to the second. Both have the same images. `progress` gets the number of images looked at
/// and the number of all.
///
/// # Errors
/// As [`study`].
pub fn pair(
    options: &StudyOptions,
    before: &mut dyn Observer,
    after: &mut dyn Observer,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<PairedStudy> {
    let all = 2 * options.looks(before.scene().sizes.len());
    let first = study(options, before, &mut |done| progress(done, all))?;
    let trials: Vec<_> = first.cells.iter().flat_map(|cell| &cell.trials).collect();
    let defects: Vec<Defect> = trials.iter().map(|trial| trial.defect).collect();
    let flagged = after.flagged()?;
    let second = after.observe(&defects)?;
    progress(all, all);
    let found: Vec<[bool; 2]> =
        trials.iter().zip(&second).map(|(trial, after)| [trial.observed.found, after.found]).collect();
    let count = |wanted: fn(&[bool; 2]) -> bool| found.iter().filter(|found| wanted(found)).count();
    Ok(PairedStudy {
        images: first.good.len(),
        flagged_before: first.good.iter().filter(|&&flagged| flagged).count(),
        flagged_after: flagged.iter().filter(|&&flagged| flagged).count(),
        defects: found.len(),
        found_before: count(|[before, _]| *before),
        found_after: count(|[_, after]| *after),
        difference: proportions(
            found.len(),
            count(|found| *found == [true, false]),
            count(|found| *found == [false, true]),
        ),
    })
}

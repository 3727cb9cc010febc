//! What a candidate says of the images that were set aside, with and without defects.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    Result,
    compare::paired::{Aurocs, aurocs},
    frame::Limits,
    limits::{Defect, FileObserver, Observer as _, StudyOptions, study},
    package::Package,
    pipeline::{Detector, package_roi},
    runtime::{Runtime, SessionOptions},
    segment::DecisionOptions,
    train::Control,
};

/// Contrasts of the defects, as parts of the part's own.
const CONTRASTS: [f64; 2] = [0.5, 1.0];
/// Defects of each kind at each contrast.
const DEFECTS: usize = 20;

/// What a candidate says of the images that were set aside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Width and height of the network's input.
    pub input: (u32, u32),
    /// Scores (−log₁₀NFA) of the good images.
    pub good: Vec<f32>,
    /// Good images that the candidate's own decision flags.
    pub flagged: usize,
    /// Scores of the images with a defect, in the order of the defects.
    pub defective: Vec<f32>,
    /// Defects that the candidate's own decision finds.
    pub found: usize,
}

impl Judged {
    /// Area under the ROC curve of the images with a defect against the good ones, with its bounds at 95% (DeLong). Several defects lie
    /// on one image; the bounds take them as independent.
    pub fn auroc(&self) -> Option<(f64, [f64; 2])> {
        // Against a score that says nothing, whose area is a half without any variance.
        let beside = |scores: &[f32]| scores.iter().map(|&score| [0.0, score]).collect::<Vec<_>>();
        let Aurocs { b, difference, .. } = aurocs(&beside(&self.good), &beside(&self.defective))?;
        Some((b, difference.bounds.map(|bound| (0.5 + bound).clamp(0.0, 1.0))))
    }

    /// The part of the defects that the candidate's own decision finds.
    pub fn found_share(&self) -> f64 {
        self.found as f64 / self.defective.len().max(1) as f64
    }
}

/// Images that a candidate looks at.
pub(super) fn looks(images: usize) -> usize {
    2 * images + crate::limits::DefectKind::ALL.len() * CONTRASTS.len() * DEFECTS
}

/// Where the candidate is looked at.
pub(super) struct Place<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) session: &'a SessionOptions,
    /// The images that were set aside.
    pub(super) images: &'a [PathBuf],
    pub(super) limits: &'a Limits,
    pub(super) seed: u64,
}

impl Place<'_> {
    /// Shows the images and the defects to the model of a package; chooses the defects if there are none yet. `watch` gets the number of
    /// images looked at and says whether to go on.
    pub(super) fn judge(
        &self,
        package: &Path,
        defects: &mut Vec<Defect>,
        watch: &mut dyn FnMut(usize) -> Control,
    ) -> Result<Judged> {
        let package = Package::open(package)?;
        let input = (package.manifest.input.width, package.manifest.input.height);
        let mut detector = Detector::open(self.runtime, &package, self.session)?;
        let rule = package.manifest.rule(&DecisionOptions::default())?;
        let roi = package_roi(&package)?;
        let read = package.manifest.input.read_options(*self.limits, None);
        let mut done = 0;
        let mut observer =
            FileObserver::new(&mut detector, &rule, roi.as_deref(), self.images, &read)?.watched(|more| {
                done += more;
                watch(done)
            });
        let good = observer.good()?;
        let observed = if defects.is_empty() {
            let options = StudyOptions {
                contrasts: CONTRASTS.to_vec(),
                defects: DEFECTS,
                controls: 0,
                seed: self.seed,
                ..StudyOptions::default()
            };
            let found = study(&options, &mut observer, &mut |_| {})?;
            let trials = found.cells.into_iter().flat_map(|cell| cell.trials);
            let (chosen, observed): (Vec<_>, Vec<_>) = trials.map(|trial| (trial.defect, trial.observed)).unzip();
            *defects = chosen;
            observed
        } else {
            observer.observe(defects)?
        };
        // An image without any evidence has no finite score; JSON has no infinity.
        let finite = |score: f32| score.clamp(f32::MIN, f32::MAX);
        Ok(Judged {
            input,
            good: good.iter().map(|image| finite(image.score)).collect(),
            flagged: good.iter().filter(|image| image.flagged).count(),
            defective: observed.iter().map(|observed| finite(observed.score)).collect(),
            found: observed.iter().filter(|observed| observed.found).count(),
        })
    }
}

//! A fitted model: what it is, what its user should know, and how it becomes a package.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use prost::bytes::Bytes;
use serde::Serialize;

use super::{check::Checked, file_source};
use crate::{
    Error, Result,
    backbone::BackboneFile,
    package::{self, DroppedImage, FileSource, Files, Manifest},
    segment::{CalibratedNull, DecisionOptions},
    train::{TrainOptions, TrainingSummary},
};

/// U of each scale of one image.
pub(super) type Energies = Vec<Vec<f32>>;

/// Images that flows held out.
#[derive(Clone, Debug, Default)]
pub(super) struct HeldOutImages {
    /// Each image's place among the frames of the fit.
    pub(super) images: Vec<usize>,
    /// Each image's energies, in the same order.
    pub(super) energies: Vec<Energies>,
}

impl HeldOutImages {
    pub(super) fn extend(&mut self, other: Self) {
        self.images.extend(other.images);
        self.energies.extend(other.energies);
    }
}

/// A good image that was held out, as the model sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unusual {
    /// The path of its file, or `frame N`, counted from 0, where frames were pushed.
    pub image: String,
    /// Its lowest log₁₀NFA.
    pub log10_nfa: f32,
}

/// A good image that judged a flow, which had not seen it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JudgedImage {
    /// The path of its file, or `frame N`.
    pub image: String,
    /// Whether it is new to the model that training went on from; false in a fit from the start.
    pub new: bool,
    /// Whether it was held out of the model's own flow, and not only of a further one.
    pub own: bool,
    /// Whether the image itself was read; false where only its kept features are there.
    pub read: bool,
    /// Its lowest log₁₀NFA; `None` without any evidence, and without a [rejection](Manifest::rejection).
    pub log10_nfa: Option<f32>,
}

impl Unusual {
    /// For the package's training record, without the folder.
    pub(super) fn record(&self) -> DroppedImage {
        let name = Path::new(&self.image).file_name().map(|name| name.to_string_lossy().into_owned());
        DroppedImage { image: name.unwrap_or_else(|| self.image.clone()), log10_nfa: self.log10_nfa }
    }
}

/// A fitted model, not yet written.
#[derive(Debug)]
pub struct Fitted {
    /// The manifest it will have.
    pub manifest: Manifest,
    /// How training went.
    pub summary: TrainingSummary,
    /// Which images its null stands on.
    pub cross_fit: CrossFit,
    /// Seconds that training took, all flows together.
    pub training_seconds: f64,
    /// The time that they had; `None` without a limit.
    pub time_budget: Option<Duration>,
    pub(super) flow: Vec<u8>,
    pub(super) backbone: BackboneFile,
    pub(super) roi: Option<Vec<u8>>,
    /// What the good images themselves give reason to say.
    pub(super) notes: Vec<String>,
    /// The options of the model's own training, and the images there were.
    pub(super) training: TrainOptions,
    pub(super) images: usize,
    /// The images held out so far, until the null is final.
    pub(super) held_out: HeldOutImages,
    /// The good images that look most unusual, of those that were held out: at most three, the most unusual first. They set the
    /// threshold at a small reject rate, so an image among them that is not good hides defects. Empty without a
    /// [rejection](Manifest::rejection).
    pub unusual: Vec<Unusual>,
    /// All images that were held out and judged.
    pub judged: Vec<JudgedImage>,
    /// Which good images look doubtful, as [`Fitter::check`](super::Fitter::check) says. With further flows planned, nothing is known before
    /// [`Fitter::cross_fit`](super::Fitter::cross_fit). Empty for a model that learned on.
    pub checked: Checked,
    /// The images that looked defective and were left out before training.
    pub dropped: Vec<Unusual>,
    /// What the first of them gives reason to say.
    pub(super) outlier: Option<String>,
    /// Whether the features that should be kept could not be written; [`warnings`](Self::warnings) says why.
    pub features_lost: bool,
    /// The golden frames, in the manifest's order.
    pub(super) golden: Vec<Bytes>,
    /// Why there are none, though they were asked for.
    pub(super) golden_note: Option<String>,
}

impl Fitted {
    /// What the user should know, one sentence each: images that were left out, latents that are not white, cross-fitting that
    /// did not finish.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.notes.clone();
        warnings.extend(self.dropped_note());
        warnings.extend(self.checked.warning());
        warnings.extend(self.golden_note.clone());
        warnings.extend(self.summary.warnings());
        warnings.extend(self.cross_fit.warning());
        if !self.manifest.detection.tests.unwrap_or_default().is_paper() {
            warnings.extend(self.manifest.calibration.as_ref().and_then(CalibratedNull::warning));
        }
        warnings.extend(self.outlier.clone());
        warnings.extend(self.manifest.rule(&DecisionOptions::default()).ok().and_then(|rule| rule.warning()));
        warnings
    }

    /// What was left out before training.
    fn dropped_note(&self) -> Option<String> {
        let named = |of: &Unusual| format!("{} (log10 NFA {:.1})", of.image, of.log10_nfa);
        let names: Vec<_> = self.dropped.iter().map(named).collect();
        (!names.is_empty()).then(|| {
            format!(
                "{} of the good images look defective or of another product and were left out before training: {}",
                names.len(),
                names.join(", ")
            )
        })
    }

    /// Writes a package that holds its backbone: a folder, or one file if `path` ends in `.uflow`. The package is there whole or
    /// not at all.
    ///
    /// # Errors
    /// [`Error::Io`], or something else that is not a package at `path`.
    pub fn write(&self, path: &Path) -> Result<()> {
        let backbone = Some(file_source(&self.backbone));
        package::write(path, &self.manifest, &self.files(backbone))
    }

    /// Writes it into a model repository as `<root>/<model>/<version>`, its backbone shared in `<root>/backbones`.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_to_repository(&self, root: &Path, version: u32) -> Result<PathBuf> {
        let source = self.backbone.source();
        let bytes = source.read()?;
        let (found, expected) = (package::sha256(&bytes), &self.manifest.backbone.sha256);
        if found != *expected {
            let reason = format!(
                "its SHA-256 is {found}, but the model was fitted on {expected}; the file was replaced during the fit: \
                 restore the file, or fit again"
            );
            return Err(Error::network(source.name("backbone"), reason));
        }
        package::write_repository_backbone(root, &bytes)?;
        let mut manifest = self.manifest.clone();
        manifest.backbone.file = None;
        let path = root.join(&manifest.name).join(version.to_string());
        package::write(&path, &manifest, &self.files(None))?;
        Ok(path)
    }

    fn files<'a>(&'a self, backbone: Option<FileSource<'a>>) -> Files<'a> {
        Files { flow: &self.flow, backbone, roi: self.roi.as_deref(), golden: &self.golden }
    }
}

/// How far the null was calibrated: by the model's own held-out images, and by cross-fitting, where further flows are fitted with
/// other images held out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CrossFit {
    /// Flows that were planned, the model's own among them; 1 without cross-fitting.
    pub planned: usize,
    /// Flows that were fitted to the end, the model's own among them.
    pub finished: usize,
    /// Good images that the null was planned to stand on.
    pub planned_images: usize,
    /// Number of good images that the null is estimated on; 0 without a null.
    pub images: usize,
    /// Whether the caller ended cross-fitting early.
    pub stopped: bool,
    /// Why other flows were not used, one sentence each.
    pub failures: Vec<String>,
    /// Whether the package was to count tests by size, and counts as the paper does for want of a null.
    pub without_null: bool,
    /// Whether the package was to decide by a reject rate, and decides by NFA for want of good images to set the threshold on.
    pub without_rejection: bool,
}

impl CrossFit {
    /// Whether every planned flow was fitted.
    pub fn is_complete(&self) -> bool {
        self.finished == self.planned
    }

    /// What it means for the user that some flows are missing; `None` where none is.
    pub fn warning(&self) -> Option<String> {
        if self.is_complete() && !self.without_null && !self.without_rejection {
            return None;
        }
        let Self { planned, finished, planned_images, images, .. } = self;
        let parts = planned - 1;
        let missing = planned - finished;
        let why = match self.failures.as_slice() {
            [] => "cross-fitting was stopped".to_owned(),
            failures => format!("cross-fitting failed ({})", failures.join("; ")),
        };
        let verdict = match self.without_rejection {
            true => {
                "; too few images were held out to set a threshold on, so the package decides by verdict nfa, not by reject rate"
            }
            false => "",
        };
        let consequence = match (self.without_null, *images) {
            (true, _) => {
                "too few images were held out for a null, so the package counts tests as the paper does (tests = paper), \
                 not by size"
                    .to_owned()
            }
            (false, 0) => "the package has no calibrated null".to_owned(),
            (false, _) => format!(
                "the null stands on {images} good images instead of {planned_images}, and small ε (below {:.2}) is an \
                 extrapolation",
                3.0 / *images as f64
            ),
        };
        Some(format!(
            "{why}: {missing} of {parts} further flows were not fitted. The model itself is complete; {consequence}{verdict}. Fit again, \
             or calibrate the package on other good images (uflow calibrate --model PKG --good DIR --out NEW)"
        ))
    }
}

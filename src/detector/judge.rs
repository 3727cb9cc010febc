//! The last stage: from the energies of one frame to its maps, mask, regions and verdict.

use std::sync::Arc;

use ndarray::ArrayView2;

use super::{Decision, DetectOptions, Detection, Maps, Timings};
use crate::{
    Error, Result,
    latents::{EnergyView, ScaleShape},
    package::Manifest,
    segment::{self, Bound, Criteria, RegionFinder, Regions, Roi, Segmenter, Tests},
};

/// Decides on one frame after another of one model. Owns the scratch memory of segmentation and regions.
#[derive(Debug)]
pub struct Judge {
    manifest: Arc<Manifest>,
    roi: Option<Arc<Roi>>,
    /// The region of interest that segmenter and finder are set to.
    applied: Option<Arc<Roi>>,
    segmenter: Segmenter,
    finder: RegionFinder,
}

impl Judge {
    /// For the model of a manifest, with its package's region of interest.
    ///
    /// # Errors
    /// Shapes that no map can have.
    pub fn new(manifest: Arc<Manifest>, roi: Option<Arc<Roi>>) -> Result<Self> {
        let latents: Vec<ScaleShape> = manifest.scales.iter().map(|scale| scale.latents).collect();
        let (height, width) = (manifest.input.height as usize, manifest.input.width as usize);
        let mut segmenter = Segmenter::new(&latents, height, width)?;
        segmenter.set_null(manifest.calibration.as_ref())?;
        Ok(Self { manifest, roi, applied: None, segmenter, finder: RegionFinder::new() })
    }

    /// What the package says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Decides on a frame of (height, width) from `energy(scale)`, each scale's U = Σ_c z². Its regions are then in
    /// [`regions`](Self::regions). Allocates nothing once it has seen as much as there is to see.
    ///
    /// # Errors
    /// Energies of other shapes or not finite, or a region of interest too small for the model's maps.
    pub fn decide<'e>(
        &mut self,
        energy: impl Fn(usize) -> ArrayView2<'e, f32>,
        (height, width): (u32, u32),
        rule: &Rule,
    ) -> Result<Decision> {
        self.apply(rule.roi.as_ref().or(self.roi.as_ref()).cloned())?;
        let Self { manifest, segmenter, finder, .. } = self;
        let view =
            |scale: usize| EnergyView { energy: energy(scale), channels: manifest.scales[scale].latents.channels };
        segmenter.set_tests(rule.tests);
        let maps = segmenter.run_scales(manifest.scales.len(), view, rule.bound)?;
        finder.find(&maps, rule.log10_epsilon, height as usize, width as usize)?;
        finder.keep_at_least(rule.criteria.min_area);
        Ok(Decision {
            score: maps.image_score,
            anomalous: finder.anomalous(&maps, &rule.criteria)?,
            log10_nfa_min: maps.log10_nfa_min,
        })
    }

    /// The image score alone, at a fraction of the cost of [`decide`](Self::decide). Afterwards there are no maps.
    ///
    /// # Errors
    /// As [`decide`](Self::decide).
    pub fn score<'e>(&mut self, energy: impl Fn(usize) -> ArrayView2<'e, f32>, rule: &Rule) -> Result<f32> {
        self.apply(rule.roi.as_ref().or(self.roi.as_ref()).cloned())?;
        let scales = &self.manifest.scales;
        let view = |scale: usize| EnergyView { energy: energy(scale), channels: scales[scale].latents.channels };
        Ok(self.segmenter.run_score_scales(scales.len(), view)?.image_score)
    }

    /// As [`decide`](Self::decide), with regions in memory of their own. The timings are left at 0.
    ///
    /// # Errors
    /// As [`decide`](Self::decide).
    pub fn run<'e>(
        &mut self,
        energy: impl Fn(usize) -> ArrayView2<'e, f32>,
        size: (u32, u32),
        rule: &Rule,
    ) -> Result<Detection> {
        let decision = self.decide(energy, size, rule)?;
        Ok(decision.detection(self.regions(), Timings::default()))
    }

    /// The regions of the last frame of at least the smallest area that counts, the most significant first.
    pub fn regions(&self) -> &Regions {
        self.finder.regions()
    }

    /// The maps of the last frame; `None` before the first.
    pub fn maps(&self) -> Option<Maps<'_>> {
        self.segmenter.last().map(|last| Maps { score: last.score, log10_nfa: last.log10_nfa })
    }

    /// The mask of the last frame at the frame's own size: 1 where log₁₀NFA < log₁₀ε, else 0.
    pub fn mask(&self) -> ArrayView2<'_, u8> {
        self.finder.mask()
    }

    /// Bytes of the last frame's region of interest, where it was not the package's own.
    pub fn foreign_roi_bytes(&self) -> usize {
        let foreign =
            self.applied.as_ref().filter(|applied| self.roi.as_ref().is_none_or(|own| !Arc::ptr_eq(own, applied)));
        foreign.map_or(0, |roi| roi.bytes())
    }

    fn apply(&mut self, wanted: Option<Arc<Roi>>) -> Result<()> {
        let same = match (&self.applied, &wanted) {
            (None, None) => true,
            // The same region made twice is no reason to begin anew.
            (Some(applied), Some(wanted)) => Arc::ptr_eq(applied, wanted) || applied == wanted,
            _ => false,
        };
        if !same {
            self.segmenter.set_roi(wanted.as_deref())?;
            self.finder.set_roi(wanted.as_deref());
            self.applied = wanted;
        }
        Ok(())
    }
}

/// A package's defaults with a call's options on top, checked.
#[derive(Clone, Debug)]
pub struct Rule {
    criteria: Criteria,
    log10_epsilon: f32,
    bound: Bound,
    tests: Tests,
    roi: Option<Arc<Roi>>,
}

impl Rule {
    /// What holds for one call.
    ///
    /// # Errors
    /// An ε that is not positive, a verdict by score without any threshold, or tests counted by size without a calibration.
    pub fn new(manifest: &Manifest, options: &DetectOptions) -> Result<Self> {
        let defaults = &manifest.detection;
        let fair = manifest.scores.as_ref().map(|scores| scores.fair_threshold);
        let criteria = Criteria {
            verdict: options.verdict.unwrap_or(defaults.verdict),
            score_threshold: options.score_threshold.or(defaults.score_threshold).or(fair),
            min_area: options.min_area.unwrap_or(defaults.min_area),
        };
        criteria.threshold()?;
        if let Some(threshold) = options.score_threshold.filter(|threshold| !(0.0..=1.0).contains(threshold)) {
            return Err(Error::parameter("score_threshold", format!("{threshold} is not from 0 to 1, as scores are")));
        }
        let tests = options.tests.unwrap_or(defaults.tests);
        if !tests.is_paper() && manifest.calibration.is_none() {
            let reason = format!(
                "`sized` needs to know what good images are like, and the package of `{}` does not; fit it anew, or add it with \
                 `uflow calibrate --model PKG --good DIR --out NEW`",
                manifest.name
            );
            return Err(Error::parameter("tests", reason));
        }
        Ok(Self {
            criteria,
            tests,
            log10_epsilon: segment::log10_epsilon(options.epsilon.unwrap_or(defaults.epsilon))?,
            bound: options.bound.unwrap_or(defaults.bound),
            roi: options.roi.clone(),
        })
    }

    /// Replaces the region of interest.
    pub fn set_roi(&mut self, roi: Arc<Roi>) {
        self.roi = Some(roi);
    }
}

//! The end of the line: from the energies of one frame to its maps, mask, regions and verdict.

use std::sync::Arc;

use ndarray::{ArrayView2, ArrayView3};

use super::{Decision, Detection, Evidence, Maps, Timings};
use crate::{
    Error, Result,
    latents::{EnergyView, ScaleShape},
    package::Manifest,
    segment::{
        Blocks, CalibratedNull, DecisionRule, RegionFinder, RegionOfInterest, Regions, Roi, Scores, Segmentation,
        Segmenter, Verdict,
    },
};

/// Decides on one frame after another of one model. Owns the scratch memory of segmentation and regions, so each thread
/// needs its own.
#[derive(Debug)]
pub struct PostProcessor {
    /// (height, width) of the maps.
    maps: (u32, u32),
    /// The scales that count, by their number in the network, and their channels.
    scales: Vec<(usize, usize)>,
    /// Whether those are all of the network's.
    whole: bool,
    /// The package's region of interest.
    roi: Option<Arc<Roi>>,
    /// The region of interest that segmenter and finder are set to.
    applied: Option<Arc<Roi>>,
    segmenter: Segmenter,
    /// In place of the component trees, for comparison.
    blocks: Option<Blocks>,
    finder: RegionFinder,
    /// Of the last frame.
    level: f32,
}

impl PostProcessor {
    /// For the model of a manifest, with its package's region of interest.
    ///
    /// # Errors
    /// Shapes that no map can have.
    pub fn new(manifest: &Manifest, roi: Option<Arc<Roi>>) -> Result<Self> {
        let (width, height) = manifest.input.map_size();
        Self::for_latents(&manifest.latents(), (height, width), manifest.calibration.as_ref(), roi)
    }

    /// For latents of these shapes, finest first, and maps of (height, width), whatever model they come from. Without a calibrated null hypothesis, tests counted by size stand on the theoretical one.
    ///
    /// # Errors
    /// Shapes that no map can have, a null hypothesis of other shapes.
    pub fn for_latents(
        shapes: &[ScaleShape],
        maps: (u32, u32),
        null: Option<&CalibratedNull>,
        roi: Option<Arc<Roi>>,
    ) -> Result<Self> {
        let mut segmenter = Segmenter::new(shapes, maps.0 as usize, maps.1 as usize)?;
        segmenter.set_null(null)?;
        let scales = shapes.iter().map(|shape| shape.channels).enumerate().collect();
        Ok(Self {
            maps,
            scales,
            whole: true,
            roi,
            applied: None,
            segmenter,
            blocks: None,
            finder: RegionFinder::new(),
            level: f32::NEG_INFINITY,
        })
    }

    /// For comparison: only some scales of a model count (from 0, the finest; in ascending order), by component trees or
    /// by the block-wise count. The null hypothesis and the region of interest of the package are left out.
    ///
    /// # Errors
    /// A scale that the model does not have, or none.
    pub fn for_comparison(manifest: &Manifest, scales: &[usize], block_wise: bool) -> Result<Self> {
        let (shapes, (width, height)) = (manifest.latents(), manifest.input.map_size());
        if let Some(scale) = scales.iter().find(|&&scale| scale >= shapes.len()) {
            let last = shapes.len() - 1;
            let reason = format!("the model has scales 0 (the finest) to {last}, but no scale {scale}");
            return Err(Error::parameter("scale", reason));
        }
        let chosen: Vec<ScaleShape> = scales.iter().map(|&scale| shapes[scale]).collect();
        let size = (height as usize, width as usize);
        Ok(Self {
            scales: scales.iter().map(|&scale| (scale, shapes[scale].channels)).collect(),
            whole: scales.len() == shapes.len(),
            blocks: block_wise.then(|| Blocks::new(&chosen, size)),
            ..Self::for_latents(&chosen, (height, width), None, None)?
        })
    }

    /// Refuses a region of interest of the call that does not fit a frame of (height, width); see [`Roi::check_frame`]. A
    /// package's own region stands for the whole frame whatever the frame's size: it was checked on the images that the
    /// package was made with.
    ///
    /// # Errors
    /// [`Error::Parameter`] that names both sizes.
    pub fn check_frame(&self, (height, width): (u32, u32), rule: &DecisionRule) -> Result<()> {
        let input = (self.maps.0 as usize, self.maps.1 as usize);
        match rule.roi.as_ref().and_then(RegionOfInterest::mask) {
            Some(roi) => roi.check_frame((height as usize, width as usize), input),
            None => Ok(()),
        }
    }

    /// Decides on a frame of (height, width). Its regions are then in [`regions`](Self::regions). Allocates nothing once it
    /// has seen the largest frame with the most regions.
    ///
    /// # Errors
    /// Evidence of other shapes or not finite, a region of interest that does not fit the frame or is too small for the
    /// model's maps.
    pub fn decide(&mut self, evidence: Evidence<'_>, size: (u32, u32), rule: &DecisionRule) -> Result<Decision> {
        self.check_frame(size, rule)?;
        self.apply(rule)?;
        let maps = segment(&mut self.segmenter, self.blocks.as_ref(), (&self.scales, self.whole), evidence, rule)?;
        let lowest = maps.lowest();
        self.level = rule.level(lowest, maps.log10_number_of_tests as f32);
        self.finder.find(&maps, self.level, size.0 as usize, size.1 as usize)?;
        self.finder.keep_at_least(rule.min_area);
        let anomalous = self.finder.anomalous(&maps, rule);
        if rule.verdict == Verdict::Reject && !anomalous {
            self.finder.clear();
            self.level = f32::NEG_INFINITY;
        }
        self.finder.set_p_values(|lowest| rule.p_value(Some(lowest)).map(|p| p.value));
        let p_value = rule.p_value(lowest);
        let (score_max, log10_nfa_min) = (maps.score_max, maps.log10_nfa_min);
        Ok(Decision { score: 0.0 - log10_nfa_min, score_max, anomalous, log10_nfa_min, p_value })
    }

    /// The score map and its maximum alone, at a fraction of the cost of [`decide`](Self::decide). Afterwards there are no maps.
    ///
    /// # Errors
    /// As [`decide`](Self::decide).
    pub fn score(&mut self, evidence: Evidence<'_>, size: (u32, u32), rule: &DecisionRule) -> Result<Scores<'_>> {
        self.check_frame(size, rule)?;
        self.apply(rule)?;
        let Self { segmenter, scales, .. } = self;
        match evidence.view() {
            Some(latents) => segmenter.run_score_latents(&chosen(latents, scales)),
            None => segmenter.run_score_scales(scales.len(), |at| energy(evidence, scales[at])),
        }
    }

    /// As [`decide`](Self::decide), with regions in memory of their own. The timings are left at 0.
    ///
    /// # Errors
    /// As [`decide`](Self::decide).
    pub fn run(&mut self, evidence: Evidence<'_>, size: (u32, u32), rule: &DecisionRule) -> Result<Detection> {
        let decision = self.decide(evidence, size, rule)?;
        Ok(decision.detection(self.regions(), Timings::default()))
    }

    /// The regions of the last frame of at least the smallest area that counts, the most significant first.
    pub fn regions(&self) -> &Regions {
        self.finder.regions()
    }

    /// Below this a pixel of the last frame's log₁₀NFA map belongs to its mask; −∞ for an empty one.
    pub fn level(&self) -> f32 {
        self.level
    }

    /// The maps of the last frame; `None` before the first.
    pub fn maps(&self) -> Option<Maps<'_>> {
        self.segmentation().map(|last| Maps { score: last.score, log10_nfa: last.log10_nfa })
    }

    /// The last frame's maps with the number of tests behind them; `None` before the first.
    pub fn segmentation(&self) -> Option<Segmentation<'_>> {
        self.segmenter.last()
    }

    /// The mask of the last frame at the frame's own size: 1 where log₁₀NFA is below the [level](DecisionRule::level), else 0.
    pub fn mask(&self) -> ArrayView2<'_, u8> {
        self.finder.mask()
    }

    /// Bytes of the last frame's region of interest, where it was not the package's own.
    pub fn foreign_roi_bytes(&self) -> usize {
        let foreign =
            self.applied.as_ref().filter(|applied| self.roi.as_ref().is_none_or(|own| !Arc::ptr_eq(own, applied)));
        foreign.map_or(0, |roi| roi.bytes())
    }

    /// Sets segmenter and finder to the region of interest that a rule wants.
    fn apply(&mut self, rule: &DecisionRule) -> Result<()> {
        self.segmenter.set_tests(rule.tests);
        let wanted = match &rule.roi {
            Some(roi) => roi.mask(),
            None => self.roi.as_ref(),
        };
        let same = match (&self.applied, wanted) {
            (None, None) => true,
            // The same region may have been made twice.
            (Some(applied), Some(wanted)) => Arc::ptr_eq(applied, wanted) || applied == wanted,
            _ => false,
        };
        if !same {
            self.segmenter.set_roi(wanted.map(|roi| &**roi))?;
            self.finder.set_roi(wanted.map(|roi| &**roi));
            self.applied = wanted.cloned();
        }
        Ok(())
    }
}

/// Evidence → maps.
fn segment<'s>(
    segmenter: &'s mut Segmenter,
    blocks: Option<&Blocks>,
    (scales, whole): (&[(usize, usize)], bool),
    evidence: Evidence<'_>,
    rule: &DecisionRule,
) -> Result<Segmentation<'s>> {
    match (blocks, evidence.view()) {
        (None, None) => segmenter.run_scales(scales.len(), |at| energy(evidence, scales[at]), rule.bound),
        (None, Some(latents)) if whole => segmenter.run_latents(latents, rule.bound),
        (None, Some(latents)) => segmenter.run_latents(&chosen(latents, scales), rule.bound),
        (Some(blocks), _) => {
            let latents = scales.iter().map(|&(scale, _)| evidence.latents(scale)).collect::<Option<Vec<_>>>();
            let missing = || Error::internal("the block-wise count needs latents, and none were fetched");
            segmenter.run_blocks(&latents.ok_or_else(missing)?, blocks)
        }
    }
}

fn chosen<'a>(latents: &[ArrayView3<'a, f32>], scales: &[(usize, usize)]) -> Vec<ArrayView3<'a, f32>> {
    scales.iter().filter_map(|&(scale, _)| latents.get(scale).cloned()).collect()
}

fn energy(evidence: Evidence<'_>, (scale, channels): (usize, usize)) -> EnergyView<'_> {
    EnergyView { energy: evidence.energy(scale), channels }
}

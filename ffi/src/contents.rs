//! The contents of a result, in memory that is reused from call to call.

use ndarray::{Array3, ArrayView2};
use uflow::{
    engine::Answer,
    pipeline::{Decision, Detection, Evidence, Timings},
    segment::{RegionView, Regions},
};

use crate::{
    choices::uflow_maps,
    guard::CallResult,
    options::CallOptions,
    status::{uflow_status, uflow_status_code::UFLOW_STATUS_NOT_FOUND},
};

#[derive(Debug, Default)]
pub(crate) struct Contents {
    decision: Option<Decision>,
    pub(crate) timings: Timings,
    pub(crate) regions: Regions,
    /// (height, width) of the image.
    pub(crate) size: (u32, u32),
    pub(crate) mask: Map<u8>,
    pub(crate) score_map: Map<f32>,
    pub(crate) log10_nfa_map: Map<f32>,
    /// z of each scale, finest first; empty unless wanted.
    pub(crate) latents: Vec<Array3<f32>>,
    /// Images that went through the network together with this one, itself included.
    pub(crate) batch: usize,
}

/// A map in reused memory; without pixels unless wanted.
#[derive(Debug, Default)]
pub(crate) struct Map<T> {
    pub(crate) pixels: Vec<T>,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl<T: Copy> Map<T> {
    fn copy_from(&mut self, other: &Self) {
        self.pixels.clone_from(&other.pixels);
        (self.height, self.width) = (other.height, other.width);
    }

    fn set(&mut self, map: Option<ArrayView2<'_, T>>) {
        self.pixels.clear();
        (self.height, self.width) = map.map_or((0, 0), |map| map.dim());
        let Some(map) = map else { return };
        match map.as_slice() {
            Some(pixels) => self.pixels.extend_from_slice(pixels),
            None => self.pixels.extend(map),
        }
    }
}

/// What a call found, in memory of the stages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoundContents<'a> {
    pub(crate) decision: Decision,
    pub(crate) timings: Timings,
    /// (height, width) of the image.
    pub(crate) size: (u32, u32),
    pub(crate) mask: Option<ArrayView2<'a, u8>>,
    pub(crate) score_map: Option<ArrayView2<'a, f32>>,
    pub(crate) log10_nfa_map: Option<ArrayView2<'a, f32>>,
    /// The latents, and the number of scales.
    pub(crate) latents: Option<(Evidence<'a>, usize)>,
    pub(crate) batch: usize,
}

impl FoundContents<'_> {
    /// Without the maps that were not asked for.
    fn wanted(self, options: &CallOptions) -> Self {
        Self {
            mask: self.mask.filter(|_| options.wants(uflow_maps::UFLOW_MAPS_MASK)),
            score_map: self.score_map.filter(|_| options.wants(uflow_maps::UFLOW_MAPS_SCORE)),
            log10_nfa_map: self.log10_nfa_map.filter(|_| options.wants(uflow_maps::UFLOW_MAPS_LOG10_NFA)),
            ..self
        }
    }
}

impl Contents {
    /// Copies what was found, as far as it was asked for.
    pub(crate) fn fill(&mut self, found: &FoundContents<'_>, regions: &Regions, options: &CallOptions) {
        self.regions.copy_from(regions);
        self.latents.clear();
        let latents = found.latents.filter(|_| options.wants(uflow_maps::UFLOW_MAPS_LATENTS));
        let scales =
            latents.iter().flat_map(|&(evidence, scales)| (0..scales).map_while(move |scale| evidence.latents(scale)));
        // In rows without gaps, whatever the views are.
        self.latents.extend(scales.map(|scale| Array3::from_shape_fn(scale.dim(), |at| scale[at])));
        self.fill_rest(&found.wanted(options));
    }

    /// Copies an engine's answer, which has only the maps that were asked for.
    pub(crate) fn fill_answer(&mut self, answer: Answer) {
        let Detection { regions, timings_ms, .. } = &answer.detection;
        self.regions.copy_from_slice(regions);
        self.latents = answer.latents;
        self.fill_rest(&FoundContents {
            decision: answer.detection.decision(),
            timings: *timings_ms,
            size: answer.size,
            mask: answer.mask.as_ref().map(|map| map.view()),
            score_map: answer.score_map.as_ref().map(|map| map.view()),
            log10_nfa_map: answer.log10_nfa_map.as_ref().map(|map| map.view()),
            latents: None,
            batch: answer.batch,
        });
    }

    pub(crate) fn copy_from(&mut self, other: &Self) {
        let Self { decision, timings, regions, size, mask, score_map, log10_nfa_map, latents, batch } = other;
        (self.decision, self.timings, self.size, self.batch) = (*decision, *timings, *size, *batch);
        self.latents.clone_from(latents);
        self.regions.copy_from(regions);
        self.mask.copy_from(mask);
        self.score_map.copy_from(score_map);
        self.log10_nfa_map.copy_from(log10_nfa_map);
    }

    fn fill_rest(&mut self, found: &FoundContents<'_>) {
        self.decision = Some(found.decision);
        (self.timings, self.size, self.batch) = (found.timings, found.size, found.batch);
        self.mask.set(found.mask);
        self.score_map.set(found.score_map);
        self.log10_nfa_map.set(found.log10_nfa_map);
    }

    pub(crate) fn decision(&self) -> CallResult<Decision> {
        let empty = || uflow_status::argument("result", "is empty; give it to a detector first");
        self.decision.ok_or_else(empty)
    }

    pub(crate) fn region(&self, index: u32) -> CallResult<RegionView<'_>> {
        self.decision()?;
        let count = self.regions.len();
        self.regions.get(index as usize).ok_or_else(|| missing("region", index, count))
    }
}

pub(crate) fn missing(what: &str, index: u32, count: usize) -> uflow_status {
    uflow_status::new(UFLOW_STATUS_NOT_FOUND, format!("there is no {what} {index}: the number of them is {count}"))
}

//! For comparison: decisions with some scales only, or with the block-wise count.

use std::{path::Path, time::Instant};

use crate::{
    Error, Result,
    cli::{engine::inspection, options::SampleArgs},
    evaluate::{Inspection, Inspector, Settings},
    frame::{Image, Limits, ReadOptions},
    package::Package,
    pipeline::{Detector, PostProcessor},
    runtime::{Runtime, SessionOptions},
    segment::{DecisionOptions, DecisionRule},
};

/// The method that computes the log₁₀NFA map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Segmentation {
    /// Component trees, as in U-Flow
    #[default]
    Tree,
    /// anomalib's binomial count in blocks (7×7, probability ½)
    Block,
}

/// The differences from the model's own decision.
#[derive(Clone, Debug)]
pub(super) struct Variant {
    pub(super) segmentation: Segmentation,
    /// The scales in use; 0 is the finest. Empty means all.
    pub(super) scales: Vec<usize>,
    pub(super) options: DecisionOptions,
    pub(super) samples: SampleArgs,
}

/// Examines images with a variant.
pub(super) struct VariantInspector {
    detector: Detector,
    rule: DecisionRule,
    block_wise: bool,
    /// Whether every scale counts.
    whole: bool,
    read: ReadOptions,
}

impl VariantInspector {
    pub(super) fn open(
        runtime: &Runtime,
        package: &Package,
        session: &SessionOptions,
        variant: &Variant,
    ) -> Result<Self> {
        let manifest = &package.manifest;
        let (count, block_wise) = (manifest.scales.len(), variant.segmentation == Segmentation::Block);
        if let Some(scale) = variant.scales.iter().find(|&&scale| scale >= count) {
            let reason = format!("the model has scales 0 (the finest) to {}, but no scale {scale}", count - 1);
            return Err(Error::parameter("--only-scale", reason));
        }
        let counts = |scale: &usize| variant.scales.is_empty() || variant.scales.contains(scale);
        let scales: Vec<usize> = (0..count).filter(counts).collect();
        let post = PostProcessor::for_comparison(manifest, &scales, block_wise)?;
        Ok(Self {
            rule: manifest.rule(&variant.options)?,
            detector: Detector::open(runtime, package, session)?.with_post_processor(post),
            block_wise,
            whole: scales.len() == count,
            read: variant.samples.read_options(&manifest.input, Limits::default()),
        })
    }

    /// The package's thresholds are for the whole model, so they apply only if all scales are in use.
    pub(super) fn settings(&self) -> Settings {
        let fair = self.detector.manifest().scores.as_ref().map(|scores| scores.fair_threshold);
        Settings { epsilon: self.rule.epsilon, fair_threshold: fair.filter(|_| self.whole) }
    }
}

impl Inspector for VariantInspector {
    fn inspect(&mut self, path: &Path) -> Result<Inspection<'_>> {
        let start = Instant::now();
        let image = Image::open_with(path, &self.read)?;
        let decode = start.elapsed().as_secs_f64() * 1e3;
        let mut found = None;
        self.detector.process(&[image.frame()], &self.rule, self.block_wise, |processed| {
            found = Some(processed.detection());
            Ok(())
        })?;
        inspection(&self.detector, &image, found, decode)
    }
}

//! A model judged otherwise than it is meant to be, for comparison: by some of its scales, or by the block-wise count.

use std::{path::Path, time::Instant};

use ndarray::ArrayView3;

use crate::{
    Error, Result,
    detector::LatentReader,
    evaluate::{Inspection, Inspector, Settings},
    frame::{Image, Limits},
    latents::ScaleShape,
    package::Package,
    runtime::{Runtime, SessionOptions},
    segment::{Blocks, Bound, Criteria, RegionFinder, Segmenter, Verdict, log10_epsilon},
};

/// How the log₁₀NFA map is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Segmentation {
    /// Component trees, as the method has it
    #[default]
    Tree,
    /// The binomial count in blocks that anomalib ships (7×7, probability ½)
    Block,
}

/// What is to be done differently.
#[derive(Clone, Debug)]
pub(super) struct Variant {
    pub(super) segmentation: Segmentation,
    /// The only scales that count, from 0, the finest; all if empty.
    pub(super) scales: Vec<usize>,
    pub(super) epsilon: f64,
    pub(super) bound: Bound,
}

/// Looks at images by a variant.
pub(super) struct VariantInspector {
    reader: LatentReader,
    scales: Vec<usize>,
    segmenter: Segmenter,
    blocks: Option<Blocks>,
    finder: RegionFinder,
    variant: Variant,
}

impl VariantInspector {
    pub(super) fn open(
        runtime: &Runtime,
        package: &Package,
        session: &SessionOptions,
        variant: Variant,
    ) -> Result<Self> {
        let manifest = &package.manifest;
        let count = manifest.scales.len();
        if let Some(scale) = variant.scales.iter().find(|&&scale| scale >= count) {
            let reason = format!("the model has {count} scales, 0 (the finest) to {}, and no scale {scale}", count - 1);
            return Err(Error::parameter("--only-scale", reason));
        }
        let scales: Vec<usize> =
            (0..count).filter(|scale| variant.scales.is_empty() || variant.scales.contains(scale)).collect();
        let shapes: Vec<ScaleShape> = scales.iter().map(|&scale| manifest.scales[scale].latents).collect();
        let (height, width) = (manifest.input.height as usize, manifest.input.width as usize);
        Ok(Self {
            reader: LatentReader::open(runtime, package, session)?,
            segmenter: Segmenter::new(&shapes, height, width)?,
            blocks: (variant.segmentation == Segmentation::Block).then(|| Blocks::new(&shapes, (height, width))),
            finder: RegionFinder::new(),
            scales,
            variant,
        })
    }

    /// The package's thresholds are of the whole model: they hold where all scales count.
    pub(super) fn settings(&self, package: &Package) -> Settings {
        let whole = self.scales.len() == package.manifest.scales.len();
        let fair = package.manifest.scores.as_ref().map(|scores| scores.fair_threshold);
        Settings { epsilon: self.variant.epsilon, fair_threshold: fair.filter(|_| whole) }
    }
}

impl Inspector for VariantInspector {
    fn inspect(&mut self, path: &Path) -> Result<Inspection<'_>> {
        let mut timings = Vec::new();
        let mut start = Instant::now();
        let mut lap = |stage: &'static str| {
            timings.push((stage, start.elapsed().as_secs_f64() * 1e3));
            start = Instant::now();
        };
        let image = Image::open(path, &Limits::default())?;
        lap("decode");
        let latents = self.reader.read(&image.frame())?;
        let views: Vec<ArrayView3<'_, f32>> = self.scales.iter().map(|&scale| latents[scale]).collect();
        lap("network");
        let maps = match &self.blocks {
            Some(blocks) => self.segmenter.run_blocks(&views, blocks)?,
            None => self.segmenter.run_latents(&views, self.variant.bound)?,
        };
        let size = (image.height() as usize, image.width() as usize);
        self.finder.find(&maps, log10_epsilon(self.variant.epsilon)?, size.0, size.1)?;
        let criteria = Criteria { verdict: Verdict::Nfa, score_threshold: None, min_area: 0 };
        let anomalous = self.finder.anomalous(&maps, &criteria)?;
        lap("segmentation");
        let regions = self.finder.regions().to_vec().into_iter().map(|region| region.outline).collect();
        let (score, log10_nfa, image_score) = (maps.score, maps.log10_nfa, maps.image_score);
        Ok(Inspection { size, score, log10_nfa, image_score, anomalous, regions, timings })
    }
}

//! From a frame to a detection: the one function that composes the chain, and the state it needs.
//!
//! [`Detector::detect`] is what the command, the library and every server call. A detector belongs to one thread at a
//! time (it owns the scratch memory of every stage); detectors of one process may share a [`Backbone`].

use std::{sync::Arc, time::Instant};

use ndarray::{Array4, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    frame::{Frame, Image, Limits},
    latents::{EnergyView, ScaleShape},
    package::{Manifest, Package},
    preprocess::Preprocessor,
    runtime::{Backbone, Network, Runtime, SessionOptions},
    segment::{self, Bound, Criteria, Region, RegionFinder, Roi, Segmenter, Verdict},
};

/// What one call asks for; `None` means what the package says.
#[derive(Clone, Debug, Default)]
pub struct DetectOptions {
    /// ε: false alarms expected per image.
    pub epsilon: Option<f64>,
    /// What makes a frame anomalous.
    pub verdict: Option<Verdict>,
    /// Threshold of the image score, for verdicts that use it; without one here or in the package, the fair threshold.
    pub score_threshold: Option<f32>,
    /// Smallest region that counts, in pixels of the frame.
    pub min_area: Option<u32>,
    /// Probability bound of the number of false alarms.
    pub bound: Option<Bound>,
    /// Region of interest, in place of the package's own.
    pub roi: Option<Arc<Roi>>,
}

/// What was found in one frame.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Detection {
    /// The image score: the maximum of the score map, in [0, 1).
    pub score: f32,
    /// The verdict.
    pub anomalous: bool,
    /// The lowest log₁₀NFA of the image; below log₁₀ε it is a detection.
    pub log10_nfa_min: f32,
    /// The regions of the mask of at least the smallest area that counts, in pixels of the frame, most significant first.
    pub regions: Vec<Region>,
    /// Where the time went.
    pub timings_ms: Timings,
}

/// Milliseconds by stage.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Timings {
    /// Decoding of encoded bytes; 0 for raw frames.
    pub decode: f64,
    /// Resize and normalisation.
    pub preprocess: f64,
    /// Backbone and flow.
    pub network: f64,
    /// Score map, component trees, log₁₀NFA map, mask and regions.
    pub segmentation: f64,
}

impl Timings {
    /// Sum of the stages.
    pub fn total(&self) -> f64 {
        self.decode + self.preprocess + self.network + self.segmentation
    }
}

/// The maps behind the last detection, at the network's input size.
#[derive(Clone, Copy, Debug)]
pub struct Maps<'a> {
    /// Anomaly score (Eq. 2), H × W, in [0, 1).
    pub score: ArrayView2<'a, f32>,
    /// log₁₀NFA, H × W.
    pub log10_nfa: ArrayView2<'a, f32>,
}

/// A model, loaded and ready.
#[derive(Debug)]
pub struct Detector {
    manifest: Manifest,
    roi: Option<Arc<Roi>>,
    /// The region of interest that segmenter and finder are set to.
    applied: Option<Arc<Roi>>,
    preprocessor: Preprocessor,
    input: Array4<f32>,
    network: Network,
    segmenter: Segmenter,
    finder: RegionFinder,
}

impl Detector {
    /// Loads a package with a backbone of its own.
    ///
    /// # Errors
    /// A backbone or flow that does not do what the manifest says, or a device that is missing.
    pub fn open(runtime: &Runtime, package: &Package, options: &SessionOptions) -> Result<Self> {
        let backbone = Arc::new(Backbone::load(runtime, package.backbone.source(), options)?);
        Self::with_backbone(runtime, backbone, package, options)
    }

    /// Loads a package on a backbone that is loaded already; the caller has compared the hashes.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn with_backbone(
        runtime: &Runtime,
        backbone: Arc<Backbone>,
        package: &Package,
        options: &SessionOptions,
    ) -> Result<Self> {
        let manifest = package.manifest.clone();
        let shapes: Vec<_> = manifest.scales.iter().map(|scale| (scale.features, scale.latents)).collect();
        let latents: Vec<ScaleShape> = manifest.scales.iter().map(|scale| scale.latents).collect();
        let (height, width) = (manifest.input.height as usize, manifest.input.width as usize);
        let roi = match &package.roi {
            None => None,
            Some(png) => Some(Arc::new(roi_from_image(&Image::decode(
                png,
                "the package's region of interest",
                &Limits::default(),
            )?)?)),
        };
        Ok(Self {
            roi,
            applied: None,
            preprocessor: Preprocessor::new(manifest.input)?,
            input: Array4::zeros((1, 3, height, width)),
            network: Network::load(runtime, backbone, &package.flow, &shapes, options)?,
            segmenter: Segmenter::new(&latents, height, width)?,
            finder: RegionFinder::new(),
            manifest,
        })
    }

    /// The package's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The networks, for what they can tell of themselves.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Frame → tensor → latents → score and log₁₀NFA maps → detection.
    ///
    /// # Errors
    /// Options outside their range, or a network whose output is not finite.
    pub fn detect(&mut self, frame: &Frame<'_>, options: &DetectOptions) -> Result<Detection> {
        let rule = Rule::new(&self.manifest, options)?;
        let mut clock = Clock::start();

        let tensor = self.input.as_slice_mut().unwrap_or_default();
        self.preprocessor.run(frame, tensor)?;
        let preprocess = clock.lap();

        let output = self.network.run(self.input.view(), false)?;
        let network = clock.lap();

        apply_roi(
            &mut self.applied,
            options.roi.as_ref().or(self.roi.as_ref()),
            &mut self.segmenter,
            &mut self.finder,
        )?;
        let energies: Vec<_> = (self.manifest.scales.iter().enumerate())
            .map(|(scale, shapes)| EnergyView {
                energy: output.energy(scale).index_axis_move(Axis(0), 0),
                channels: shapes.latents.channels,
            })
            .collect();
        let maps = self.segmenter.run(&energies, rule.bound)?;
        let (height, width) = (frame.height() as usize, frame.width() as usize);
        let found = self.finder.find(&maps, rule.log10_epsilon, height, width)?;
        let regions = found.regions.iter().filter(|region| region.area >= rule.criteria.min_area).cloned().collect();
        let anomalous = self.finder.anomalous(&maps, &rule.criteria)?;
        let segmentation = clock.lap();

        Ok(Detection {
            score: maps.image_score,
            anomalous,
            log10_nfa_min: maps.log10_nfa_min,
            regions,
            timings_ms: Timings { decode: 0.0, preprocess, network, segmentation },
        })
    }

    /// The maps of the last frame; `None` before the first.
    pub fn maps(&self) -> Option<Maps<'_>> {
        self.segmenter.last().map(|last| Maps { score: last.score, log10_nfa: last.log10_nfa })
    }

    /// The mask of the last frame at the frame's own size: 1 where log₁₀NFA < log₁₀ε, else 0; regions under the smallest
    /// area are part of it.
    pub fn mask(&self) -> ArrayView2<'_, u8> {
        self.finder.mask()
    }
}

/// A region of interest from an image: what is not black counts.
///
/// # Errors
/// An image that is black all over.
pub fn roi_from_image(image: &Image) -> Result<Roi> {
    let frame = image.frame();
    let bytes = frame.format().bytes_per_pixel();
    let opaque = frame.format().color_bytes();
    let pixels: Vec<u8> = frame
        .rows()
        .flat_map(|row| row.chunks_exact(bytes))
        .map(|pixel| u8::from(pixel[..opaque].iter().any(|&value| value != 0)))
        .collect();
    let size = (frame.height() as usize, frame.width() as usize);
    let mask = ArrayView2::from_shape(size, &pixels).map_err(|error| Error::Frame(error.to_string()))?;
    Roi::new(mask)
}

fn apply_roi(
    applied: &mut Option<Arc<Roi>>,
    wanted: Option<&Arc<Roi>>,
    segmenter: &mut Segmenter,
    finder: &mut RegionFinder,
) -> Result<()> {
    let same = match (applied.as_ref(), wanted) {
        (None, None) => true,
        (Some(applied), Some(wanted)) => Arc::ptr_eq(applied, wanted),
        _ => false,
    };
    if !same {
        let roi = wanted.map(|roi| &**roi);
        segmenter.set_roi(roi)?;
        finder.set_roi(roi);
        *applied = wanted.cloned();
    }
    Ok(())
}

/// The package's defaults with a call's options on top.
struct Rule {
    criteria: Criteria,
    log10_epsilon: f32,
    bound: Bound,
}

impl Rule {
    fn new(manifest: &Manifest, options: &DetectOptions) -> Result<Self> {
        let defaults = &manifest.detection;
        let fair = manifest.scores.as_ref().map(|scores| scores.fair_threshold);
        Ok(Self {
            criteria: Criteria {
                verdict: options.verdict.unwrap_or(defaults.verdict),
                score_threshold: options.score_threshold.or(defaults.score_threshold).or(fair),
                min_area: options.min_area.unwrap_or(defaults.min_area),
            },
            log10_epsilon: segment::log10_epsilon(options.epsilon.unwrap_or(defaults.epsilon))?,
            bound: options.bound.unwrap_or(defaults.bound),
        })
    }
}

struct Clock(Instant);

impl Clock {
    fn start() -> Self {
        Self(Instant::now())
    }

    /// Milliseconds since the start or the last lap.
    fn lap(&mut self) -> f64 {
        let now = Instant::now();
        let lap = now.duration_since(self.0).as_secs_f64() * 1e3;
        self.0 = now;
        lap
    }
}

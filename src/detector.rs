//! From a frame to a detection: the one function that composes the chain, and the state it needs.
//!
//! [`Detector::detect`] is what the command, the library and every server call. A detector belongs to one thread at a
//! time (it owns the scratch memory of every stage); detectors of one process may share a [`Backbone`].

use std::{sync::Arc, time::Instant};

use ndarray::{Array4, ArrayView2, Axis};
use serde::Serialize;

use crate::{
    Error, Result,
    frame::{Frame, Image, Limits},
    latents::EnergyView,
    package::{DetectionDefaults, Manifest, Package},
    preprocess::Preprocessor,
    runtime::{Backbone, Network, Runtime, SessionOptions},
    segment::{Bound, Region, RegionFinder, Roi, Segmenter, Verdict},
};

/// What one call asks for; `None` means what the package says.
#[derive(Clone, Debug, Default)]
pub struct DetectOptions {
    /// ε: false alarms expected per image.
    pub epsilon: Option<f64>,
    /// What makes a frame anomalous.
    pub verdict: Option<Verdict>,
    /// Threshold of the image score, for verdicts that use it.
    pub score_threshold: Option<f32>,
    /// Smallest region that counts, in pixels of the frame.
    pub min_area: Option<u32>,
    /// Probability bound of the number of false alarms.
    pub bound: Option<Bound>,
    /// Region of interest, in place of the package's own.
    pub roi: Option<Arc<Roi>>,
}

/// What was found in one frame.
#[derive(Clone, Debug, Serialize)]
pub struct Detection {
    /// The image score: the maximum of the score map, in [0, 1).
    pub score: f32,
    /// The verdict.
    pub anomalous: bool,
    /// The lowest log₁₀NFA of the image; below log₁₀ε it is a detection.
    pub log10_nfa_min: f32,
    /// The regions of the mask, in pixels of the frame, most significant first.
    pub regions: Vec<Region>,
    /// Where the time went.
    pub timings_ms: Timings,
}

/// Milliseconds by stage.
#[derive(Clone, Copy, Debug, Default, Serialize)]
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
    preprocessor: Preprocessor,
    input: Array4<f32>,
    network: Network,
    segmenter: Segmenter,
    regions: RegionFinder,
}

impl Detector {
    /// Loads a package with a backbone of its own.
    pub fn open(runtime: &Runtime, package: &Package, options: &SessionOptions) -> Result<Self> {
        let backbone = Arc::new(Backbone::load(runtime, package.backbone().source(), options)?);
        Self::with_backbone(runtime, backbone, package, options)
    }

    /// Loads a package on a backbone that is loaded already; the caller has compared the hashes.
    pub fn with_backbone(
        runtime: &Runtime,
        backbone: Arc<Backbone>,
        package: &Package,
        options: &SessionOptions,
    ) -> Result<Self> {
        let manifest = package.manifest().clone();
        let shapes: Vec<_> = manifest.scales.iter().map(|scale| (scale.features, scale.latents)).collect();
        let latents: Vec<_> = manifest.scales.iter().map(|scale| scale.latents).collect();
        let (height, width) = (manifest.input.height, manifest.input.width);
        let roi = match package.roi() {
            None => None,
            Some(png) => {
                let mask = Image::decode(png, "region of interest of the package", &Limits::default())?;
                Some(Arc::new(Roi::from_frame(&mask.frame())?))
            }
        };
        Ok(Self {
            roi,
            preprocessor: Preprocessor::new(manifest.input.clone())?,
            input: Array4::zeros((1, 3, height as usize, width as usize)),
            network: Network::load(runtime, backbone, package.flow(), &shapes, options)?,
            segmenter: Segmenter::new(&latents, height as usize, width as usize)?,
            regions: RegionFinder::default(),
            manifest,
        })
    }

    /// The package's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The network, for what it can tell of itself.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Frame → tensor → latents → score and log₁₀NFA maps → detection.
    pub fn detect(&mut self, frame: &Frame<'_>, options: &DetectOptions) -> Result<Detection> {
        let rule = Rule::new(&self.manifest.detection, options)?;
        let roi = options.roi.as_ref().or(self.roi.as_ref());
        let mut clock = Clock::start();

        let Some(tensor) = self.input.as_slice_mut() else { unreachable!("the input is allocated in standard layout") };
        self.preprocessor.run(frame, tensor)?;
        let preprocess = clock.lap();

        let output = self.network.run(self.input.view(), false)?;
        let network = clock.lap();

        let energies: Vec<_> = (self.manifest.scales.iter().enumerate())
            .map(|(scale, shape)| EnergyView {
                energy: output.energy(scale).index_axis_move(Axis(0), 0),
                channels: shape.latents.channels,
            })
            .collect();
        self.segmenter.set_roi(roi.map(|roi| &**roi))?;
        let maps = self.segmenter.run(&energies, rule.bound)?;
        let regions = self.regions.find(&maps, frame, &rule)?;
        let segmentation = clock.lap();

        Ok(Detection {
            score: maps.image_score,
            anomalous: rule.anomalous(maps.image_score, &regions),
            log10_nfa_min: maps.log10_nfa_min,
            regions,
            timings_ms: Timings { decode: 0.0, preprocess, network, segmentation },
        })
    }
}

//! From a frame to a detection: the one function that composes the chain, and the state it needs.
//!
//! [`Detector::detect`] is the chain for one frame at a time. A detector belongs to one thread at a time (it owns the
//! scratch memory of every stage); detectors of one process may share a [`Backbone`]. [`Engine`](crate::engine::Engine)
//! runs the same stages ([`Preprocessor`], [`Network`], [`Judge`]) overlapped, for many frames of many models.

mod judge;
mod latents;

use std::{slice, sync::Arc, time::Instant};

use ndarray::{Array3, Array4, ArrayView2, Axis, Slice};
use serde::{Deserialize, Serialize};

pub use self::{
    judge::{Judge, Rule},
    latents::LatentReader,
};
use crate::{
    Error, Result,
    engine::Model,
    frame::{Frame, Image, Limits},
    package::{Manifest, Package},
    preprocess::Preprocessor,
    runtime::{Backbone, Network, NetworkOutput, Runtime, SessionOptions},
    segment::{Bound, Region, Regions, Roi, Tests, Verdict},
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
    /// How tests are counted; `sized` needs a package with a calibration.
    pub tests: Option<Tests>,
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

/// What was found in one frame, without its regions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// As [`Detection::score`].
    pub score: f32,
    /// As [`Detection::anomalous`].
    pub anomalous: bool,
    /// As [`Detection::log10_nfa_min`].
    pub log10_nfa_min: f32,
}

impl Decision {
    fn detection(self, regions: &Regions, timings_ms: Timings) -> Detection {
        let Self { score, anomalous, log10_nfa_min } = self;
        Detection { score, anomalous, log10_nfa_min, regions: regions.to_vec(), timings_ms }
    }
}

/// Milliseconds by stage.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Timings {
    /// Decoding of encoded bytes; 0 for raw frames.
    pub decode: f64,
    /// Waiting for a processor and for the network, where several frames are worked on at once; else 0.
    #[serde(default)]
    pub queue: f64,
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
        self.decode + self.queue + self.preprocess + self.network + self.segmentation
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
    preprocessor: Preprocessor,
    input: Array4<f32>,
    networks: Networks,
    judge: Judge,
}

/// Whose networks a detector runs.
#[derive(Debug)]
enum Networks {
    /// Its own.
    Own(Box<Network>),
    /// Those of a model that an engine holds, in turn with its other users, and a place for the energies, so that the next
    /// user need not wait for the judge: (batch, H, W) per scale.
    Shared(Arc<Model>, Vec<Array3<f32>>),
}

impl Detector {
    /// Loads a package with a backbone of its own.
    ///
    /// # Errors
    /// A backbone or flow that does not do what the manifest says, or a device that is missing.
    pub fn open(runtime: &Runtime, package: &Package, options: &SessionOptions) -> Result<Self> {
        let (source, sha256) = (package.backbone.source(), &package.backbone.sha256);
        let backbone = Arc::new(Backbone::load_checked(runtime, source, sha256, options)?);
        Self::with_backbone(runtime, backbone, package, options)
    }

    /// Loads a package on a backbone that is loaded already, the one whose hash the package names.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`Error::Network`] for a backbone of another hash.
    pub fn with_backbone(
        runtime: &Runtime,
        backbone: Arc<Backbone>,
        package: &Package,
        options: &SessionOptions,
    ) -> Result<Self> {
        backbone.check_sha256(&package.manifest.backbone.sha256)?;
        let manifest = Arc::new(package.manifest.clone());
        let (height, width) = (manifest.input.height as usize, manifest.input.width as usize);
        Ok(Self {
            preprocessor: Preprocessor::new(manifest.input)?,
            input: Array4::zeros((1, 3, height, width)),
            networks: Networks::Own(Box::new(Network::load(
                runtime,
                backbone,
                &package.flow,
                &manifest.shapes(),
                options,
            )?)),
            judge: Judge::new(manifest, package_roi(package)?)?,
        })
    }

    /// On the networks of a model that an engine holds: it costs the scratch memory of one thread. Its frames go to the
    /// networks one at a time, not through the engine's queues.
    ///
    /// # Errors
    /// None that is known: the model was loaded with the same sizes.
    pub fn of(model: &Arc<Model>) -> Result<Self> {
        let manifest = Arc::clone(model.shared_manifest());
        let (height, width) = (manifest.input.height as usize, manifest.input.width as usize);
        Ok(Self {
            preprocessor: Preprocessor::new(manifest.input)?,
            input: Array4::zeros((1, 3, height, width)),
            networks: Networks::Shared(
                Arc::clone(model),
                manifest.scales.iter().map(|s| Array3::zeros((1, s.latents.height, s.latents.width))).collect(),
            ),
            judge: Judge::new(manifest, model.roi().cloned())?,
        })
    }

    /// The package's manifest.
    pub fn manifest(&self) -> &Manifest {
        self.judge.manifest()
    }

    /// Frame → tensor → latents → score and log₁₀NFA maps → detection.
    ///
    /// # Errors
    /// Options outside their range, or a network whose output is not finite.
    pub fn detect(&mut self, frame: &Frame<'_>, options: &DetectOptions) -> Result<Detection> {
        let mut found = None;
        self.detect_batch(slice::from_ref(frame), options, |_, judge, decision, timings| {
            found = Some(decision.detection(judge.regions(), timings));
        })?;
        found.ok_or_else(|| Error::Internal("the frame was lost".to_owned()))
    }

    /// Frames that go through the networks together. For each in turn `found` gets its number, the judge that has its
    /// regions, mask and maps, the decision, and the timings (the network's are the whole batch's). Beside the networks'
    /// own run nothing is allocated once there was a batch of as many and as large frames, with as many regions.
    ///
    /// # Errors
    /// As [`detect`](Self::detect), also no frame at all. `found` may have been called for the first frames by then.
    pub fn detect_batch(
        &mut self,
        frames: &[Frame<'_>],
        options: &DetectOptions,
        mut found: impl FnMut(usize, &Judge, Decision, Timings),
    ) -> Result<()> {
        let rule = Rule::new(self.judge.manifest(), options)?;
        let run = self.run(frames)?;
        let (preprocess, network) = (run.preprocess, run.network);
        for (index, frame) in frames.iter().enumerate() {
            let start = Instant::now();
            let energy = |scale| run.energies.of(index, scale);
            let decision = run.judge.decide(energy, (frame.height(), frame.width()), &rule)?;
            let segmentation = milliseconds(start);
            found(index, run.judge, decision, Timings { preprocess, network, segmentation, ..Timings::default() });
        }
        Ok(())
    }

    /// The image score alone, at a fraction of the segmentation's cost. Afterwards there are no maps.
    ///
    /// # Errors
    /// As [`detect`](Self::detect).
    pub fn score(&mut self, frame: &Frame<'_>, options: &DetectOptions) -> Result<f32> {
        let rule = Rule::new(self.judge.manifest(), options)?;
        let run = self.run(slice::from_ref(frame))?;
        run.judge.score(|scale| run.energies.of(0, scale), &rule)
    }

    /// Frames → energies.
    fn run(&mut self, frames: &[Frame<'_>]) -> Result<Run<'_>> {
        let start = Instant::now();
        let count = frames.len();
        self.make_room(count)?;
        let Self { preprocessor, input, networks, judge } = self;
        let each = input.len() / input.len_of(Axis(0));
        for (frame, tensor) in frames.iter().zip(input.as_slice_mut().unwrap_or_default().chunks_exact_mut(each)) {
            preprocessor.run(frame, tensor)?;
        }
        let preprocess = milliseconds(start) / count as f64;
        let images = input.slice_axis(Axis(0), Slice::from(..count));
        let start = Instant::now();
        let energies = match networks {
            Networks::Own(network) => Energies::Own(network.run(images, false)?),
            Networks::Shared(model, energies) => {
                let mut network = model.network();
                let output = network.run(images, false)?;
                for (scale, kept) in energies.iter_mut().enumerate() {
                    kept.slice_axis_mut(Axis(0), Slice::from(..count)).assign(&output.energy(scale));
                }
                Energies::Kept(energies)
            }
        };
        Ok(Run { judge, energies, preprocess, network: milliseconds(start) })
    }

    /// Room for so many frames at once.
    fn make_room(&mut self, count: usize) -> Result<()> {
        let (room, _, height, width) = self.input.dim();
        if count == 0 {
            return Err(Error::parameter("frames", "there are none"));
        }
        if count > room {
            self.input = Array4::zeros((count, 3, height, width));
            if let Networks::Shared(_, energies) = &mut self.networks {
                for kept in energies {
                    let (_, height, width) = kept.dim();
                    *kept = Array3::zeros((count, height, width));
                }
            }
        }
        Ok(())
    }

    /// The maps of the last frame; `None` before the first.
    pub fn maps(&self) -> Option<Maps<'_>> {
        self.judge.maps()
    }

    /// The mask of the last frame at the frame's own size: 1 where log₁₀NFA < log₁₀ε, else 0; regions under the smallest
    /// area are part of it.
    pub fn mask(&self) -> ArrayView2<'_, u8> {
        self.judge.mask()
    }
}

/// A batch that has been through the networks.
struct Run<'a> {
    judge: &'a mut Judge,
    energies: Energies<'a>,
    /// Milliseconds of a frame's preprocessing, and of the whole batch in the networks.
    preprocess: f64,
    network: f64,
}

/// Where a batch's energies lie.
enum Energies<'a> {
    Own(&'a NetworkOutput),
    /// (batch, H, W) per scale.
    Kept(&'a [Array3<f32>]),
}

impl<'a> Energies<'a> {
    /// U of a frame of the batch at a scale.
    fn of(&self, frame: usize, scale: usize) -> ArrayView2<'a, f32> {
        match self {
            Self::Own(output) => output.energy(scale).index_axis_move(Axis(0), frame),
            Self::Kept(energies) => energies[scale].index_axis(Axis(0), frame),
        }
    }
}

/// The region of interest that a package carries, if any.
///
/// # Errors
/// A picture that is damaged or black all over.
pub fn package_roi(package: &Package) -> Result<Option<Arc<Roi>>> {
    let decode = |png: &_| Image::decode(png, "the package's region of interest", &Limits::default());
    package.roi.as_ref().map(|png| Ok(Arc::new(roi_from_image(&decode(png)?)?))).transpose()
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

/// A region of interest as a package keeps it: a PNG, white inside and black outside.
///
/// # Errors
/// None that is known.
pub fn roi_to_png(roi: &Roi) -> Result<Vec<u8>> {
    let (height, width) = roi.size();
    let inside: Vec<u8> = roi.at_size(height, width).into_iter().map(|inside| 255 * u8::from(inside)).collect();
    let failed = || Error::Internal("a region of interest cannot be written as PNG".to_owned());
    let picture = image::GrayImage::from_raw(width as u32, height as u32, inside).ok_or_else(failed)?;
    let mut png = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png).map_err(|_| failed())?;
    Ok(png.into_inner())
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

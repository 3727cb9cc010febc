//! The line for one frame at a time, or for frames that go through the networks together.

use std::{slice, sync::Arc, time::Instant};

use ndarray::{Array4, ArrayView2, Axis, Slice};

use super::{Batch, Decision, Detection, Evidence, Maps, Networks, PostProcessor, Tiler, Timings, package_roi};
use crate::{
    Error, Result,
    frame::Frame,
    package::{Manifest, Package},
    preprocess::Preprocessor,
    runtime::{Backbone, Network, Runtime, SessionOptions},
    segment::{DecisionOptions, DecisionRule, Roi, Scores},
};

/// A model, loaded and ready.
///
/// It owns the scratch memory of every stage, so it belongs to one thread at a time. Detectors of one process may share a
/// [`Backbone`].
#[derive(Debug)]
pub struct Detector {
    manifest: Arc<Manifest>,
    preprocessor: Preprocessor,
    input: Array4<f32>,
    /// Where frames are cut into tiles, in place of `input`.
    tiler: Option<Tiler>,
    networks: Box<dyn Networks>,
    post: PostProcessor,
}

/// One frame at the end of the line.
#[derive(Debug)]
pub struct Processed<'a> {
    /// Its number among the frames that went in.
    pub index: usize,
    /// The decision.
    pub decision: Decision,
    /// The networks' time is the whole batch's.
    pub timings: Timings,
    /// Has the frame's maps, mask and regions.
    pub post: &'a PostProcessor,
    /// The networks' output, with latents if they were wanted.
    pub evidence: Evidence<'a>,
}

impl Processed<'_> {
    /// With memory of its own.
    pub fn detection(&self) -> Detection {
        self.decision.detection(self.post.regions(), self.timings)
    }
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
        let network = Network::load(runtime, backbone, &package.flow, &manifest.shapes(), options)?;
        Self::on(manifest, Box::new(network), package_roi(package)?)
    }

    /// On a model's networks, with its package's region of interest.
    ///
    /// # Errors
    /// A manifest with sizes that no frame can be resized to.
    pub fn on(manifest: Arc<Manifest>, networks: Box<dyn Networks>, roi: Option<Arc<Roi>>) -> Result<Self> {
        let (height, width) = (manifest.input.height as usize, manifest.input.width as usize);
        let tiler = Tiler::new(&manifest)?;
        Ok(Self {
            preprocessor: Preprocessor::new(manifest.input)?,
            input: Array4::zeros((usize::from(tiler.is_none()), 3, height, width)),
            tiler,
            networks,
            post: PostProcessor::new(&manifest, roi)?,
            manifest,
        })
    }

    /// The same with another post-processor, for comparisons.
    #[must_use]
    pub fn with_post_processor(self, post: PostProcessor) -> Self {
        Self { post, ..self }
    }

    /// The package's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Frame → detection.
    ///
    /// # Errors
    /// Options outside their range, a region of interest that does not fit the frame, or a network whose output is not
    /// finite.
    pub fn detect(&mut self, frame: &Frame<'_>, options: &DecisionOptions) -> Result<Detection> {
        let rule = self.manifest.rule(options)?;
        let mut found = None;
        self.process(slice::from_ref(frame), &rule, false, |processed| {
            found = Some(processed.detection());
            Ok(())
        })?;
        found.ok_or_else(|| Error::internal("the frame was lost"))
    }

    /// The line: frames → tensors → features → energies → maps → decisions.
    ///
    /// The frames go through the networks together; `each` then gets them in order. Beside the networks' own run nothing is
    /// allocated once there was a batch of as many and as large frames, with as many regions.
    ///
    /// # Errors
    /// As [`detect`](Self::detect); no frame at all; what `each` returns. `each` may have been called for the first frames by
    /// then.
    pub fn process(
        &mut self,
        frames: &[Frame<'_>],
        rule: &DecisionRule,
        want_latents: bool,
        mut each: impl FnMut(Processed<'_>) -> Result<()>,
    ) -> Result<()> {
        let Measured { batch, post, preprocess, network } = self.measure(frames, rule, want_latents)?;
        for (index, frame) in frames.iter().enumerate() {
            let start = Instant::now();
            let evidence = batch.frame(index);
            let decision = post.decide(evidence, (frame.height(), frame.width()), rule)?;
            let timings = Timings { preprocess, network, segmentation: milliseconds(start), ..Timings::default() };
            each(Processed { index, decision, timings, post, evidence })?;
        }
        Ok(())
    }

    /// The maximum of the score map alone ([`Detection::score_max`]), at a fraction of the segmentation's cost. Afterwards there are no
    /// maps.
    ///
    /// # Errors
    /// As [`detect`](Self::detect).
    pub fn score_max(&mut self, frame: &Frame<'_>, options: &DecisionOptions) -> Result<f32> {
        let rule = self.manifest.rule(options)?;
        self.score_map(frame, &rule, false, |scores, _| Ok(scores.score_max))
    }

    /// The line as far as the score map, with latents if they are wanted.
    ///
    /// # Errors
    /// As [`detect`](Self::detect); what `then` returns.
    pub fn score_map<T>(
        &mut self,
        frame: &Frame<'_>,
        rule: &DecisionRule,
        want_latents: bool,
        then: impl FnOnce(Scores<'_>, Evidence<'_>) -> Result<T>,
    ) -> Result<T> {
        let Measured { batch, post, .. } = self.measure(slice::from_ref(frame), rule, want_latents)?;
        then(post.score(batch.frame(0), (frame.height(), frame.width()), rule)?, batch.frame(0))
    }

    /// Frames → tensors → features → energies.
    fn measure(&mut self, frames: &[Frame<'_>], rule: &DecisionRule, want_latents: bool) -> Result<Measured<'_>> {
        let count = frames.len();
        self.make_room(count)?;
        let Self { preprocessor, input, tiler, networks, post, .. } = self;
        for frame in frames {
            post.check_frame((frame.height(), frame.width()), rule)?;
        }
        if let Some(tiler) = tiler {
            let (batch, times) = tiler.run(frames, preprocessor, &mut **networks, want_latents)?;
            let [preprocess, network] = [times.preprocess, times.network].map(|time| time.as_secs_f64() * 1e3);
            return Ok(Measured { batch, post, preprocess: preprocess / count as f64, network });
        }
        let start = Instant::now();
        let each = input.len() / input.len_of(Axis(0));
        for (frame, tensor) in frames.iter().zip(input.as_slice_mut().unwrap_or_default().chunks_exact_mut(each)) {
            preprocessor.run(frame, tensor)?;
        }
        let preprocess = milliseconds(start) / count as f64;
        let start = Instant::now();
        let batch = networks.run(input.slice_axis(Axis(0), Slice::from(..count)), want_latents)?;
        Ok(Measured { batch, post, preprocess, network: milliseconds(start) })
    }

    /// Room for so many frames at once.
    fn make_room(&mut self, count: usize) -> Result<()> {
        let (room, channels, height, width) = self.input.dim();
        if count == 0 {
            return Err(Error::parameter("frames", "at least one frame is needed"));
        }
        if count > room && self.tiler.is_none() {
            self.input = Array4::zeros((count, channels, height, width));
        }
        Ok(())
    }

    /// The maps of the last frame; `None` before the first.
    pub fn maps(&self) -> Option<Maps<'_>> {
        self.post.maps()
    }

    /// Below this a pixel of the last frame's log₁₀NFA map belongs to its mask; −∞ for an empty one.
    pub fn level(&self) -> f32 {
        self.post.level()
    }

    /// The mask of the last frame at the frame's own size: 1 where log₁₀NFA is below the [level](Self::level), else 0; regions under
    /// the smallest area are part of it, where the frame is anomalous without them or the verdict is not `reject`.
    pub fn mask(&self) -> ArrayView2<'_, u8> {
        self.post.mask()
    }
}

/// A batch that has been through the networks.
struct Measured<'a> {
    batch: Batch<'a>,
    post: &'a mut PostProcessor,
    /// Milliseconds of a frame's preprocessing, and of the whole batch in the networks.
    preprocess: f64,
    network: f64,
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

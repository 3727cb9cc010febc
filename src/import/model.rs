//! Makes a package from a checkpoint and a backbone.

use std::{path::Path, sync::Arc, time::SystemTime};

use prost::Message;

use super::{Checkpoint, Facts, RecogniseOptions, Recognised};
use crate::{
    Error, Result,
    backbone::BackboneFile,
    frame::FloatRange,
    package::{self, BackboneReference, FORMAT, Files, FlowReference, Manifest, Scale, ScoreStatistics},
    preprocess::{Preprocess, Resize},
    runtime::{Backbone, Network, Runtime, SessionOptions},
    segment::{DecisionOptions, RegionOfInterest, Roi, Segmenter},
    train::fit::{BackboneChoice, file_source},
};

/// Options of an import.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Name of the product.
    pub name: String,
    /// The backbone that the flow was trained on, as ONNX.
    pub backbone: BackboneChoice,
    /// Width and height of the network's input; the backbone's own if `None`.
    pub input_size: Option<(u32, u32)>,
    /// The filter that resized the images when the flow was trained; bilinear if `None`, as anomalib and the published code
    /// resize, whatever the backbone's description says.
    pub resize: Option<Resize>,
    /// Settings that the file does not contain.
    pub recognise: RecogniseOptions,
    /// What the package decides by; its region of interest is kept in the package.
    pub detection: DecisionOptions,
    /// Significant bits of 16-bit samples, kept in the package. Without them all 16 count.
    pub significant_bits: Option<u8>,
    /// Values of floating-point samples that are black and white, kept in the package.
    pub float_range: Option<FloatRange>,
    /// Where the backbone runs.
    pub session: SessionOptions,
}

/// An imported model that is not yet written.
#[derive(Debug)]
pub struct Imported {
    /// The manifest, without a training record. It has no scores until
    /// [`set_scores`](Self::set_scores).
    pub manifest: Manifest,
    /// Facts found in the checkpoint.
    pub facts: Facts,
    flow: Vec<u8>,
    file: BackboneFile,
    backbone: Arc<Backbone>,
    roi: Option<Arc<Roi>>,
}

/// Makes a model from a checkpoint's flow and a backbone.
///
/// # Errors
/// As [`Checkpoint::recognise`]; a backbone that cannot be loaded or does not accept images of this size; options out of
/// range.
pub fn import(runtime: &Runtime, checkpoint: &mut Checkpoint, options: ImportOptions) -> Result<Imported> {
    package::check_model_name(&options.name)?;
    options.detection.check()?;
    let file = options.backbone.find()?;
    let backbone = options.backbone.load(runtime, &options.session)?;
    let meta = backbone.meta();
    let (width, height) = options.input_size.unwrap_or((meta.input_size[1] as u32, meta.input_size[0] as u32));
    let resize = options.resize.unwrap_or(Resize::Bilinear);
    let input = Preprocess {
        mean: meta.mean,
        std: meta.std,
        resize,
        significant_bits: options.significant_bits,
        float_range: options.float_range,
        ..Preprocess::imagenet(width, height)
    };
    if let Some((field, reason)) = input.problem() {
        return Err(Error::parameter("input size", format!("{field}: {reason}")));
    }
    let features = backbone.feature_shapes(height as usize, width as usize)?;
    let Recognised { flow, mut facts } = checkpoint.recognise(&features, &options.recognise)?;
    if options.resize.is_none() && meta.resize != resize {
        facts.warnings.push(format!(
            "the backbone's description says that images are resized by the {} filter; {resize} is used, as anomalib and the \
             published code do. If the flow was trained otherwise, give the filter (--resize {})",
            meta.resize, meta.resize
        ));
    }
    let latents = flow.architecture().latents();
    let mut segmenter = Segmenter::new(&latents, height as usize, width as usize)?;
    let roi = options.detection.roi.as_ref().and_then(RegionOfInterest::mask).cloned();
    segmenter.set_roi(roi.as_deref())?;
    let flow = flow.to_onnx().encode_to_vec();
    let roi_file = roi.as_ref().map(|_| package::ROI_FILE.to_owned());
    let detection = options.detection.with_roi(roi_file).over(DecisionOptions::standard());
    let manifest = Manifest {
        format: FORMAT,
        name: options.name,
        version: None,
        created: package::timestamp(SystemTime::now()),
        uflow: crate::VERSION.to_owned(),
        input,
        backbone: BackboneReference {
            name: meta.name.clone(),
            sha256: backbone.sha256().to_owned(),
            file: Some(package::BACKBONE_FILE.to_owned()),
        },
        flow: FlowReference { sha256: package::sha256(&flow), file: package::FLOW_FILE.to_owned() },
        scales: features.iter().zip(latents).map(|(&features, latents)| Scale { features, latents }).collect(),
        training: None,
        scores: None,
        calibration: None,
        golden: None,
        limits: None,
        rejection: None,
        detection,
    };
    manifest.validate()?;
    Ok(Imported { manifest, facts, flow, file, backbone: Arc::new(backbone), roi })
}

impl Imported {
    /// Loads the model's networks.
    ///
    /// # Errors
    /// No error is expected: the flow was made for this backbone.
    pub fn network(&self, runtime: &Runtime) -> Result<Network> {
        let backbone = Arc::clone(&self.backbone);
        let options = *backbone.options();
        Network::load(runtime, backbone, &self.flow, &self.manifest.shapes(), &options)
    }

    /// The region of interest.
    pub fn roi(&self) -> Option<&Arc<Roi>> {
        self.roi.as_ref()
    }

    /// Adds statistics of good images to the manifest.
    pub fn set_scores(&mut self, scores: ScoreStatistics) {
        self.manifest.scores = Some(scores);
    }

    /// Writes a package with its own copy of the backbone, atomically: a folder, or one file if `path` ends in
    /// `.uflow`.
    ///
    /// # Errors
    /// [`Error::Io`], or if `path` is something other than a package.
    pub fn write(&self, path: &Path) -> Result<()> {
        let roi = self.roi.as_ref().map(|roi| roi.to_png()).transpose()?;
        let files =
            Files { flow: &self.flow, backbone: Some(file_source(&self.file)), roi: roi.as_deref(), golden: &[] };
        package::write(path, &self.manifest, &files)
    }
}

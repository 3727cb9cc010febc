//! From a checkpoint and a backbone to a package.

use std::{path::Path, sync::Arc, time::SystemTime};

use prost::Message;

use super::{Checkpoint, Facts, RecogniseOptions, Recognised};
use crate::{
    Error, Result,
    frame::{Image, Limits},
    package::{
        self, BackboneReference, DetectionDefaults, FORMAT, Files, FlowReference, Manifest, Scale, ScoreStatistics,
    },
    preprocess::Preprocess,
    runtime::{Backbone, Network, Runtime, SessionOptions},
    segment::Segmenter,
    train::fit::BackboneChoice,
};

/// What an import is asked for.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Name of the product.
    pub name: String,
    /// The backbone that the flow was trained on, as ONNX.
    pub backbone: BackboneChoice,
    /// Width and height of the network's input; the backbone's own if `None`.
    pub input_size: Option<(u32, u32)>,
    /// What the file does not say.
    pub recognise: RecogniseOptions,
    /// What the package decides by.
    pub detection: DetectionDefaults,
    /// PNG of the region of interest, kept in the package.
    pub roi: Option<Vec<u8>>,
    /// Where the backbone runs.
    pub session: SessionOptions,
}

/// An imported model, not yet written.
#[derive(Debug)]
pub struct Imported {
    /// The manifest it will have: without a training record, and without scores until they are
    /// [measured](Self::set_scores).
    pub manifest: Manifest,
    /// What was found in the checkpoint.
    pub facts: Facts,
    flow: Vec<u8>,
    choice: BackboneChoice,
    backbone: Arc<Backbone>,
    roi: Option<Vec<u8>>,
}

/// Makes a model of a checkpoint's flow and a backbone.
///
/// # Errors
/// As [`Checkpoint::recognise`]; a backbone that cannot be loaded or takes no images of that size; options outside their
/// range.
pub fn import(runtime: &Runtime, checkpoint: &mut Checkpoint, options: ImportOptions) -> Result<Imported> {
    package::check_model_name(&options.name)?;
    let backbone = Backbone::load(runtime, options.backbone.source(), &options.session)?;
    let meta = backbone.meta();
    let (width, height) = options.input_size.unwrap_or((meta.input_size[1] as u32, meta.input_size[0] as u32));
    let input = Preprocess { mean: meta.mean, std: meta.std, ..Preprocess::imagenet(width, height) };
    if let Some((field, reason)) = input.problem() {
        return Err(Error::parameter("input size", format!("{field}: {reason}")));
    }
    let features = backbone.feature_shapes(height as usize, width as usize)?;
    let Recognised { flow, facts } = checkpoint.recognise(&features, &options.recognise)?;
    let latents = flow.architecture().latents();
    let mut segmenter = Segmenter::new(&latents, height as usize, width as usize)?;
    if let Some(png) = &options.roi {
        let mask = Image::decode(png, "region of interest", &Limits::default())?;
        segmenter.set_roi(Some(&crate::detector::roi_from_image(&mask)?))?;
    }
    let flow = flow.to_onnx().encode_to_vec();
    let mut detection = options.detection;
    detection.roi = options.roi.as_ref().map(|_| package::ROI_FILE.to_owned());
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
        detection,
    };
    manifest.validate()?;
    Ok(Imported { manifest, facts, flow, choice: options.backbone, backbone: Arc::new(backbone), roi: options.roi })
}

impl Imported {
    /// The model's networks, to be run.
    ///
    /// # Errors
    /// None that is known: the flow was made for this backbone.
    pub fn network(&self, runtime: &Runtime) -> Result<Network> {
        let backbone = Arc::clone(&self.backbone);
        let options = *backbone.options();
        Network::load(runtime, backbone, &self.flow, &self.manifest.shapes(), &options)
    }

    /// PNG of the region of interest.
    pub fn roi(&self) -> Option<&[u8]> {
        self.roi.as_deref()
    }

    /// Puts statistics of good images into the manifest.
    pub fn set_scores(&mut self, scores: ScoreStatistics) {
        self.manifest.scores = Some(scores);
    }

    /// Writes a package that holds its backbone: a folder, or one file if `path` ends in `.uflow`. It is there whole or not
    /// at all.
    ///
    /// # Errors
    /// [`Error::Io`], or something else that is not a package at `path`.
    pub fn write(&self, path: &Path) -> Result<()> {
        let files = Files { flow: &self.flow, backbone: Some(self.choice.file()), roi: self.roi() };
        package::write(path, &self.manifest, &files)
    }
}

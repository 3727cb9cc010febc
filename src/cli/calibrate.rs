//! `uflow calibrate`: whether a model's ε can be trusted.

use std::path::PathBuf;

use anyhow::Result;

use super::{
    Context, Outcome,
    inputs::images_below,
    options::{DeviceArgs, SampleArgs, warn_of_depth},
    progress::Progress,
};
use crate::{
    Error,
    calibrate::{Calibration, Threshold},
    frame::{BitDepthCheck, Image, Limits},
    latents::energy,
    package::{self, Content, FileSource, Files, Manifest, Package},
    pipeline::{Detector, package_roi},
    segment::{Bound, CalibratedNull, DecisionOptions, Tests},
};

const AFTER_HELP: &str = "\
Examples:
  uflow calibrate --model bolt.uflow --good held-out/
  uflow calibrate --model bolt.uflow --good held-out/ --json
  uflow calibrate --model bolt.uflow --good held-out/ --out bolt-calibrated.uflow
  uflow calibrate --model bolt.uflow --good held-out/ --report bolt.html

Use good images that were not used for training: on training images, latents are whiter than on
new ones. A rate below 3 / (number of images) cannot be measured: use 100 images or more.";

/// Are the latents of good images white, and how often do good images really raise an alarm? Exit code 1 where ε cannot be trusted.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// The model's package: a folder or a .uflow file
    #[arg(long, value_name = "PKG")]
    model: PathBuf,

    /// Folder of good images that the model was not fitted to, searched below
    #[arg(long, value_name = "DIR")]
    good: PathBuf,

    /// Tail probability: chernoff (the paper's bound) or exact [default: the package's]
    #[arg(long, value_parser = super::choices::BOUNDS)]
    bound: Option<Bound>,

    /// How tests are counted: paper, or sized (on the package's calibrated null) [default: the package's]
    #[arg(long, value_parser = super::choices::TESTS)]
    tests: Option<Tests>,

    /// Also write pictures of all this: a page for a browser
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,

    /// Also write the package anew, with its null calibrated on these images. Check it on others
    #[arg(long, value_name = "PKG")]
    out: Option<PathBuf>,

    #[command(flatten)]
    samples: SampleArgs,

    #[command(flatten)]
    device: DeviceArgs,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Outcome> {
    let images = images_below(&args.good, context)?;
    let package = Package::open(&args.model)?;
    args.out.as_ref().map_or(Ok(()), package::check_writable)?;
    let shapes = package.manifest.latents();
    let options = DecisionOptions { bound: args.bound, tests: args.tests, ..DecisionOptions::default() };
    let rule = package.manifest.rule(&options)?;
    let mut detector = Detector::open(context.runtime()?, &package, &args.device.session())?;
    let read = args.samples.read_options(&package.manifest.input, Limits::default());
    let mut depth = BitDepthCheck::default();
    let mut calibration = Calibration::new(&shapes)?;
    let mut energies = Vec::new();
    let progress = Progress::new(context.json);
    for (done, path) in images.iter().enumerate() {
        let image = Image::open_with(path, &read)?;
        depth.push(image.peak());
        detector.process(&[image.frame()], &rule, true, |processed| {
            let latents: Option<Vec<_>> = (0..shapes.len()).map(|scale| processed.evidence.latents(scale)).collect();
            let latents = latents.ok_or_else(|| Error::Internal("the network gave no latents".to_owned()))?;
            if let Some(maps) = processed.post.maps() {
                calibration.push(&latents, maps.log10_nfa, processed.decision.score)?;
            }
            if args.out.is_some() {
                let maps = latents.iter().map(|z| energy(z.view()).into_raw_vec_and_offset().0);
                energies.push(maps.collect::<Vec<_>>());
            }
            Ok(())
        })?;
        progress.at("calibrating", done + 1, images.len());
    }
    progress.finish();
    warn_of_depth(&depth, &read);
    let report = calibration.finish(&thresholds(&package.manifest))?;
    if context.json {
        context.print_json(&report)?;
    } else {
        context.print(&report.to_string())?;
    }
    if let Some(path) = &args.report {
        report.write_html(&package.manifest.name, path)?;
    }
    if let Some(out) = &args.out {
        let roi = package_roi(&package)?;
        let null = CalibratedNull::estimate(&shapes, roi.as_deref(), &energies)?;
        null.warning().iter().for_each(|warning| eprintln!("uflow: warning: {warning}"));
        let mut manifest = package.manifest.clone();
        manifest.calibration = Some(null);
        let backbone = match &package.backbone.content {
            Content::File(path) => FileSource::Path(path),
            Content::Bytes(bytes) => FileSource::Bytes(bytes),
        };
        let files = Files {
            flow: &package.flow,
            backbone: manifest.backbone.file.as_ref().map(|_| backbone),
            roi: package.roi.as_deref(),
        };
        package::write(out, &manifest, &files)?;
        let written = format!("{}: with a null calibrated on {} good images\n", out.display(), images.len());
        if !context.json {
            context.print(&written)?;
        }
    }
    Ok(if report.verdict.holds() { Outcome::Done } else { Outcome::Failed })
}

/// What a package decides by now: its ε, and its score threshold or the fair one.
fn thresholds(manifest: &Manifest) -> Vec<Threshold> {
    let fair = manifest.scores.as_ref().map(|scores| scores.fair_threshold);
    let score = manifest.detection.score_threshold.or(fair).map(Threshold::Score);
    [Some(Threshold::Epsilon(manifest.detection.epsilon())), score].into_iter().flatten().collect()
}

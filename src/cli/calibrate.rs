//! `uflow calibrate`: whether a model's ε can be trusted.

use std::path::PathBuf;

use anyhow::Result;

use super::{
    Context, Outcome,
    inputs::{images_below, no_images},
    options::DeviceArgs,
    progress::Progress,
};
use crate::{
    Error,
    calibrate::Calibration,
    detector::{LatentReader, roi_from_image},
    frame::{Image, Limits},
    latents::ScaleShape,
    package::Package,
    segment::{Bound, Segmenter},
};

const AFTER_HELP: &str = "\
Examples:
  uflow calibrate --model bolt.uflow --good held-out/
  uflow calibrate --model bolt.uflow --good held-out/ --json

The images must be good ones that the model was not fitted to: on those it was fitted to, latents are whiter than elsewhere. 100 or more say
something about ε = 0.1; below 3 / images no false-alarm rate can be told.";

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
    #[arg(long)]
    bound: Option<Bound>,

    #[command(flatten)]
    device: DeviceArgs,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Outcome> {
    let images = images_below(&args.good)?;
    if images.is_empty() {
        return Err(Error::Data { path: args.good.clone(), reason: no_images() }.into());
    }
    let package = Package::open(&args.model)?;
    let mut reader = LatentReader::open(context.runtime()?, &package, &args.device.session())?;
    let manifest = reader.manifest();
    let shapes: Vec<ScaleShape> = manifest.scales.iter().map(|scale| scale.latents).collect();
    let bound = args.bound.unwrap_or(manifest.detection.bound);
    let mut segmenter = Segmenter::new(&shapes, manifest.input.height as usize, manifest.input.width as usize)?;
    if let Some(png) = &package.roi {
        let mask = Image::decode(png, "region of interest", &Limits::default())?;
        segmenter.set_roi(Some(&roi_from_image(&mask)?))?;
    }
    let mut calibration = Calibration::new(&shapes)?;
    let progress = Progress::new(context.json);
    for (done, path) in images.iter().enumerate() {
        let image = Image::open(path, &Limits::default())?;
        let latents = reader.read(&image.frame())?;
        let maps = segmenter.run_latents(&latents, bound)?;
        calibration.push(&latents, maps.log10_nfa)?;
        progress.at("calibrating", done + 1, images.len());
    }
    progress.finish();
    let report = calibration.finish()?;
    if context.json {
        context.print_json(&report)?;
    } else {
        context.print(&report.to_string())?;
    }
    Ok(if report.verdict.holds() { Outcome::Done } else { Outcome::Failed })
}

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
    calibrate::{Calibration, Threshold},
    detector::{LatentReader, roi_from_image},
    frame::{Image, Limits},
    latents::{ScaleShape, energy},
    package::{self, Content, FileSource, Files, Manifest, Package},
    segment::{Bound, CalibratedNull, Segmenter, Tests},
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
    device: DeviceArgs,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Outcome> {
    let images = images_below(&args.good)?;
    if images.is_empty() {
        return Err(Error::Data { path: args.good.clone(), reason: no_images() }.into());
    }
    let package = Package::open(&args.model)?;
    args.out.as_ref().map_or(Ok(()), package::check_writable)?;
    let mut reader = LatentReader::open(context.runtime()?, &package, &args.device.session())?;
    let manifest = reader.manifest();
    let shapes: Vec<ScaleShape> = manifest.scales.iter().map(|scale| scale.latents).collect();
    let bound = args.bound.unwrap_or(manifest.detection.bound);
    let mut segmenter = Segmenter::new(&shapes, manifest.input.height as usize, manifest.input.width as usize)?;
    if let Some(png) = &package.roi {
        let mask = Image::decode(png, "region of interest", &Limits::default())?;
        segmenter.set_roi(Some(&roi_from_image(&mask)?))?;
    }
    let tests = args.tests.unwrap_or(manifest.detection.tests);
    if !tests.is_paper() && manifest.calibration.is_none() {
        let reason = "`sized` needs a package with a calibrated null; write one first, with --out".to_owned();
        return Err(Error::parameter("tests", reason).into());
    }
    segmenter.set_null(manifest.calibration.as_ref())?;
    segmenter.set_tests(tests);
    let mut calibration = Calibration::new(&shapes)?;
    let mut energies = Vec::new();
    let progress = Progress::new(context.json);
    for (done, path) in images.iter().enumerate() {
        let image = Image::open(path, &Limits::default())?;
        let latents = reader.read(&image.frame())?;
        let maps = segmenter.run_latents(&latents, bound)?;
        calibration.push(&latents, maps.log10_nfa, maps.image_score)?;
        if args.out.is_some() {
            let maps = latents.iter().map(|z| energy(z.view()).into_raw_vec_and_offset().0);
            energies.push(maps.collect::<Vec<_>>());
        }
        progress.at("calibrating", done + 1, images.len());
    }
    progress.finish();
    let report = calibration.finish(&thresholds(reader.manifest()))?;
    if context.json {
        context.print_json(&report)?;
    } else {
        context.print(&report.to_string())?;
    }
    if let Some(path) = &args.report {
        report.write_html(&package.manifest.name, path)?;
    }
    if let Some(out) = &args.out {
        let mask = package.roi.as_ref().map(|png| Image::decode(png, "region of interest", &Limits::default()));
        let roi = mask.transpose()?.map(|mask| roi_from_image(&mask)).transpose()?;
        let null = CalibratedNull::estimate(&shapes, roi.as_ref(), &energies)?;
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
    [Some(Threshold::Epsilon(manifest.detection.epsilon)), score].into_iter().flatten().collect()
}

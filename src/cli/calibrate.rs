//! `uflow calibrate`: whether a model's ε can be trusted on good images, and what each way to decide does to them.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;

use super::{
    CommandOutcome, Context, good, info,
    inputs::images_below,
    options::{DecisionArgs, DeviceArgs, SampleArgs, warn_of_depth},
    progress::Progress,
};
use crate::{
    Error,
    calibrate::{Calibration, CalibrationReport, FEWEST_IMAGES, Threshold},
    frame::{BitDepthCheck, Image, Limits, ReadOptions},
    latents::energy,
    package::{self, Manifest, Package},
    pipeline::{Detector, package_roi},
    segment::{CalibratedNull, DecisionOptions, DecisionRule, RegionOfInterest, TestCount},
};

const AFTER_HELP: &str = "\
Examples:
  uflow calibrate bolt.uflow --good held-out/
  uflow calibrate bolt.uflow --good held-out/ --json
  uflow calibrate bolt.uflow --good held-out/ --report bolt.html
  uflow calibrate bolt.uflow --good held-out/ --tests sized --out bolt-calibrated.uflow

Use good images that were not used for training: on training images, latents are whiter than on
new ones. A rate below 3 / (number of images) cannot be measured: use 100 images or more. Files
that cannot be read are skipped and named; more than 1 in 100 end the run. Images with the same
pixels as another, and images whose pixels all have one value, are left out and named.

The verdict allows for alarms that come in clusters, and for the eight ε: at most 5% of the models
that keep their promise exactly are called broken.

Exit codes: 0 ε can be trusted, 1 ε cannot be trusted or something failed, 2 wrong usage.";

/// Measure on good images whether ε can be trusted and how many of them each way to decide would flag. Exit code 1 if ε cannot be trusted.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// The model's package: a folder or a .uflow file.
    #[arg(value_name = "PKG", required_unless_present = "model", conflicts_with = "model")]
    package: Option<PathBuf>,

    /// The same as PKG.
    #[arg(long, value_name = "PKG")]
    model: Option<PathBuf>,

    /// Folder of good images that the model was not fitted to, searched below.
    #[arg(long, value_name = "DIR")]
    good: PathBuf,

    /// Also write the figures with charts: a page for a browser.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,

    /// Also write the package with its null calibrated on these images, and with the decision options given here. Check the new
    /// package on other images.
    #[arg(long, value_name = "PKG")]
    out: Option<PathBuf>,

    #[command(flatten)]
    decision: DecisionArgs,

    #[command(flatten)]
    samples: SampleArgs,

    #[command(flatten)]
    device: DeviceArgs,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<CommandOutcome> {
    let asked = args.decision.options()?;
    let images = images_below(&args.good, context)?;
    let path = args.package.as_ref().or(args.model.as_ref());
    let package = Package::open(path.map_or(Path::new(""), PathBuf::as_path))?;
    args.out.as_ref().map_or(Ok(()), package::check_writable)?;
    let rule = package.manifest.rule(&measured(args, &asked, &package.manifest))?;
    let read = args.samples.read_options(&package.manifest.input, Limits::default());
    let images = good::usable(&images, FEWEST_IMAGES, &read, context)?;
    let (report, energies) = measure(args, context, &package, (&rule, &read), &images)?;
    if context.json {
        context.print_json(&report)?;
    } else {
        context.print(&report.to_string())?;
    }
    if let Some(path) = &args.report {
        report.write_html(&package.manifest.name, path)?;
    }
    if let Some(out) = &args.out {
        write(out, &package, &asked, &energies, context)?;
    }
    Ok(if report.verdict.holds() { CommandOutcome::Done } else { CommandOutcome::Failed })
}

/// What is measured: the decision asked for. A package without a null cannot count by size yet; with `--out` it gets one, and is
/// measured by the paper's count now.
fn measured(args: &Args, asked: &DecisionOptions, manifest: &Manifest) -> DecisionOptions {
    let later = args.out.is_some() && manifest.calibration.is_none() && asked.tests == Some(TestCount::PerSize);
    DecisionOptions { tests: if later { Some(TestCount::Paper) } else { asked.tests }, ..asked.clone() }
}

/// U of each scale of an image.
type Energies = Vec<Vec<f32>>;

fn measure(
    args: &Args,
    context: &Context,
    package: &Package,
    (rule, read): (&DecisionRule, &ReadOptions),
    images: &[PathBuf],
) -> Result<(CalibrationReport, Vec<Energies>)> {
    let shapes = package.manifest.latents();
    let mut detector = Detector::open(context.runtime()?, package, &args.device.session())?;
    let mut calibration = Calibration::new(&shapes)?;
    let mut energies = Vec::new();
    let mut depth = BitDepthCheck::default();
    let progress = Progress::new(context.json);
    for (done, path) in images.iter().enumerate() {
        let image = Image::open_with(path, read)?;
        depth.push(image.peak());
        detector.process(&[image.frame()], rule, true, |processed| {
            let latents: Option<Vec<_>> = (0..shapes.len()).map(|scale| processed.evidence.latents(scale)).collect();
            let latents = latents.ok_or_else(|| Error::internal("the network gave no latents"))?;
            if let Some(maps) = processed.post.maps() {
                calibration.push(&latents, maps.log10_nfa, processed.decision.score)?;
            }
            if args.out.is_some() {
                let maps = latents.iter().map(|z| energy(z.view()).into_raw_vec_and_offset().0);
                energies.push(maps.collect());
            }
            Ok(())
        })?;
        progress.at("calibrating", done + 1, images.len());
    }
    progress.finish();
    warn_of_depth(&depth, read);
    Ok((calibration.finish(&thresholds(rule, &package.manifest))?, energies))
}

/// The thresholds in force: ε, and the score threshold or the fair one, whichever of them decides the verdict.
fn thresholds(rule: &DecisionRule, manifest: &Manifest) -> Vec<Threshold> {
    let fair = manifest.scores.as_ref().map(|scores| scores.fair_threshold);
    let score = rule.score_threshold.or(manifest.detection.score_threshold).or(fair).map(Threshold::Score);
    [Some(Threshold::Epsilon(rule.epsilon)), score].into_iter().flatten().collect()
}

/// Writes the package with a null of these images and the decision options that were given.
fn write(
    out: &Path,
    package: &Package,
    asked: &DecisionOptions,
    energies: &[Energies],
    context: &Context,
) -> Result<()> {
    let own = package_roi(package)?;
    let mask = asked.roi.as_ref().and_then(RegionOfInterest::mask);
    let null =
        CalibratedNull::estimate(&package.manifest.latents(), mask.or(own.as_ref()).map(|roi| &**roi), energies)?;
    let warning = null.warning();
    warning.iter().for_each(|warning| eprintln!("uflow: warning: {warning}"));
    let roi = match mask {
        Some(mask) => Some(mask.to_png()?),
        None => package.roi.as_ref().map(|png| png.to_vec()),
    };
    let mut manifest = package.manifest.clone();
    manifest.calibration = Some(null);
    manifest.detection = asked.with_roi(None).over(manifest.detection);
    let manifest = package.write_changed(out, &manifest, roi.as_deref())?;
    let images = energies.len();
    if context.json {
        let written =
            json!({ "event": "written", "package": out, "null_images": images, "detection": manifest.detection });
        context.print_json(&written)?;
    } else {
        let lines: String = info::decision(&manifest)?.iter().map(|line| format!("  {line}\n")).collect();
        context.print(&format!("{}: with a null calibrated on {images} good images\n{lines}", out.display()))?;
    }
    Ok(())
}

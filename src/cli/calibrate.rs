//! `uflow calibrate`: whether a model's ε can be trusted on good images, what each way to decide does to them, and the threshold at a
//! reject rate that they set.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;

use super::{
    CommandOutcome, Context, good,
    inputs::images_below,
    options::{DecisionArgs, DeviceArgs, SampleArgs, warn_of_depth},
    package::{drop_limits, golden, sign},
    progress::Progress,
};
use crate::{
    Error,
    calibrate::{Calibration, CalibrationReport, FEWEST_IMAGES, Measured, Threshold},
    frame::{BitDepthCheck, Image, Limits, ReadOptions},
    latents::energy,
    package::{self, Manifest, Package},
    pipeline::{Detector, package_roi},
    segment::{
        CalibratedNull, DecisionOptions, DecisionRule, JudgedFrame, Measurement, NullOf, Outlier, RegionOfInterest,
        Rejection, RejectionOrigin, TestCount, Verdict,
    },
};

const AFTER_HELP: &str = "\
Examples:
  uflow calibrate bolt.uflow --good held-out/
  uflow calibrate bolt.uflow --good held-out/ --json
  uflow calibrate bolt.uflow --good held-out/ --report bolt.html
  uflow calibrate bolt.uflow --good new-lot/ --out bolt-2.uflow
  uflow calibrate bolt.uflow --good new-lot/ --reject-rate 3% --out bolt-2.uflow

With --out, a new package is written whose threshold is set on these images, in seconds and without
training: at most the reject rate of good images is flagged (1% unless the package or --reject-rate
says otherwise). 99 images are needed for 1%, 33 for 3%; with fewer the threshold is extrapolated.
The package's null is kept, so these images serve nothing else and the promise is exact. A package
without a null gets one from these images, as with --new-null and with another --roi. The new
package decides by the reject rate and counts tests by size, unless --verdict or --tests is given.

Use good images that were not used for training: on training images, latents are whiter than on
new ones. A rate below 3 / (number of images) cannot be measured: use 100 images or more. Files
that cannot be read are skipped and named; more than 1 in 100 end the run. Images with the same
pixels as another, and images whose pixels all have one value, are left out and named.

The output begins with one sentence: what the package decides, and if that holds on these images.

The verdict allows for alarms that come in clusters, and for the eight ε: at most 5% of the models
that keep their promise exactly are called broken.

Exit codes: 0 ε can be trusted, or the new package is written; 1 ε cannot be trusted or something
failed; 2 wrong usage.";

/// Measure on good images whether ε can be trusted and how many of them each way to decide would flag; with --out, set the threshold at a reject rate on them.
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

    /// Also write the result as a page for a browser: one sentence, one picture, then all figures with charts.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,

    /// Also write the package with the threshold that these images set, and with the decision options given here.
    #[arg(long, value_name = "PKG")]
    out: Option<PathBuf>,

    /// Estimate the package's null anew on these images. The same images then set the threshold, each with a null of the others.
    #[arg(long, requires = "out")]
    new_null: bool,

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
    args.report.as_deref().map_or(Ok(()), crate::files::check_writable)?;
    let rule = package.manifest.rule(&measured(args, &asked, &package.manifest))?;
    let read = args.samples.read_options(&package.manifest.input, Limits::default());
    let images = good::usable(&images, FEWEST_IMAGES, &read, context)?;
    let (report, seen) = measure(args, context, &package, (&rule, &read), &images)?;
    if context.json {
        context.print_json(&report)?;
    } else {
        context.print(&report.to_string())?;
    }
    if let Some(path) = &args.report {
        report.write_html(&package.manifest.name, path)?;
    }
    if let Some(out) = &args.out {
        write(args, out, package, &asked, (&images, &seen), context)?;
        return Ok(CommandOutcome::Done);
    }
    Ok(if report.verdict.holds() { CommandOutcome::Done } else { CommandOutcome::Failed })
}

/// What is measured: the decision asked for. What a package cannot decide by yet and gets with `--out` is left out.
fn measured(args: &Args, asked: &DecisionOptions, manifest: &Manifest) -> DecisionOptions {
    let mut measured = asked.clone();
    if args.out.is_some() {
        if manifest.calibration.is_none() {
            measured.tests = Some(TestCount::Paper);
        }
        if asked.reject_rate.is_some() || asked.verdict == Some(Verdict::Reject) || manifest.rule(&measured).is_err() {
            (measured.verdict, measured.reject_rate) = (Some(Verdict::Nfa), None);
        }
    }
    measured
}

/// What a new threshold is set on.
#[derive(Debug, Default)]
struct GoodImages {
    /// U of each scale of each image.
    energies: Vec<Vec<Vec<f32>>>,
    brightness: Vec<f32>,
}

fn measure(
    args: &Args,
    context: &Context,
    package: &Package,
    (rule, read): (&DecisionRule, &ReadOptions),
    images: &[PathBuf],
) -> Result<(CalibrationReport, GoodImages)> {
    let shapes = package.manifest.latents();
    let mut detector = Detector::open(context.runtime()?, package, &args.device.session())?;
    let mut calibration = Calibration::new(&shapes)?;
    let mut seen = GoodImages::default();
    let mut depth = BitDepthCheck::default();
    let progress = Progress::new(context.json);
    for (done, path) in images.iter().enumerate() {
        let image = Image::open_with(path, read)?;
        depth.push(image.peak());
        detector.process(&[image.frame()], rule, true, |processed| {
            let latents: Option<Vec<_>> = (0..shapes.len()).map(|scale| processed.evidence.latents(scale)).collect();
            let latents = latents.ok_or_else(|| Error::internal("the network gave no latents"))?;
            let decision = processed.decision;
            if let Some(maps) = processed.post.segmentation() {
                calibration.push(&latents, maps.log10_nfa, maps.lowest(), decision.score_max, decision.anomalous)?;
            }
            if args.out.is_some() {
                let maps = latents.iter().map(|z| energy(z.view()).into_raw_vec_and_offset().0);
                seen.energies.push(maps.collect());
                seen.brightness.push(image.frame().brightness(read.significant_bits));
            }
            Ok(())
        })?;
        progress.at("calibrating", done + 1, images.len());
    }
    progress.finish();
    warn_of_depth(&depth, read);
    let thresholds = thresholds(rule, &package.manifest);
    let measured = Measured { name: &package.manifest.name, rule, thresholds: &thresholds };
    Ok((calibration.finish(&measured)?, seen))
}

/// The thresholds in force: that at the reject rate, ε, and the score threshold or the fair one, whichever of them decides.
fn thresholds(rule: &DecisionRule, manifest: &Manifest) -> Vec<Threshold> {
    let fair = manifest.scores.as_ref().map(|scores| scores.fair_threshold);
    let score = rule.score_threshold.or(manifest.detection.score_threshold).or(fair).map(Threshold::Score);
    let reject = rule.reject.map(|reject| Threshold::RejectRate {
        rate: reject.rate,
        log10_nfa: reject.log10_nfa.is_finite().then_some(reject.log10_nfa),
    });
    [reject, Some(Threshold::Epsilon(rule.epsilon)), score].into_iter().flatten().collect()
}

/// Writes the package with the threshold that these images set and the decision options that were given.
fn write(
    args: &Args,
    out: &Path,
    mut package: Package,
    asked: &DecisionOptions,
    (images, seen): (&[PathBuf], &GoodImages),
    context: &Context,
) -> Result<()> {
    let GoodImages { energies, brightness } = seen;
    let own = package_roi(&package)?;
    let mask = asked.roi.as_ref().and_then(RegionOfInterest::mask);
    let roi = match mask {
        Some(mask) => Some(mask.to_png()?),
        None => package.roi.as_ref().map(|png| png.to_vec()),
    };
    let mut manifest = package.manifest.clone();
    // Calibration is for the reject rate: a verdict and a count that were not asked for again give way to it.
    (manifest.detection.verdict, manifest.detection.tests) = (None, None);
    manifest.detection = asked.with_roi(None).over(manifest.detection).of_new_package();
    let mask = mask.or(own.as_ref()).map(|roi| &**roi);
    let (latents, (width, height)) = (manifest.latents(), manifest.input.map_size());
    let (tests, bound) = (manifest.detection.tests.unwrap_or_default(), manifest.detection.bound.unwrap_or_default());
    let kept = manifest.calibration.take().filter(|_| !args.new_null && asked.roi.is_none());
    let null_of = match (&kept, tests) {
        (_, TestCount::Paper) => NullOf::Theory,
        (Some(null), TestCount::PerSize) => NullOf::Others(null),
        (None, TestCount::PerSize) => NullOf::OtherParts,
    };
    let lowest = Measurement { shapes: &latents, maps: (height, width), roi: mask, bound }.lowest(energies, null_of)?;
    let seen = lowest.iter().zip(brightness);
    let seen: Vec<_> = seen.map(|(&lowest, &light)| JudgedFrame { lowest, brightness: Some(light) }).collect();
    manifest.rejection = Some(Rejection::of(&seen, RejectionOrigin::Calibrated, tests, bound)?);
    let new_null = kept.is_none();
    manifest.calibration = Some(match kept {
        Some(null) => null,
        None => CalibratedNull::estimate(&latents, mask, energies)?,
    });
    let rule = manifest.rule(&DecisionOptions::default())?;
    let of_null = manifest.calibration.as_ref().filter(|_| new_null).and_then(CalibratedNull::warning);
    let outlier = Outlier::of(&lowest).map(|outlier| outlier.warning(&images[outlier.index].display().to_string()));
    let session = args.device.session();
    let limits = drop_limits(&package, &mut manifest, roi.as_deref());
    let left = golden::measure_again(&mut package, &mut manifest, roi.as_deref(), &session, context)?;
    let warnings: Vec<String> =
        [of_null, outlier, rule.warning(), left, limits, sign::lost(&package)].into_iter().flatten().collect();
    warnings.iter().for_each(|warning| eprintln!("uflow: warning: {warning}"));
    let manifest = package.write_changed(out, &manifest, roi.as_deref())?;
    let words = manifest.decision_in_words()?;
    if context.json {
        context.print_json(&json!({
            "event": "written", "package": out, "good_images": energies.len(),
            "null_images": manifest.calibration.as_ref().map(|null| null.images), "new_null": new_null,
            "detection": manifest.detection, "promise": rule.reject.and_then(|reject| reject.promise()),
            "decision": words, "warnings": warnings,
        }))?;
    } else {
        let lines: String = words.iter().map(|line| format!("  {line}\n")).collect();
        context.print(&format!("{}:\n{lines}", out.display()))?;
    }
    Ok(())
}

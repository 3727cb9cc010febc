//! `uflow update`: a model learns on from new good images, and is written if it is not worse.

use std::{collections::HashSet, path::PathBuf};

use anyhow::Result;
use serde_json::json;

use super::{
    CommandOutcome, Context, fit,
    inputs::images_below,
    options::{DecisionArgs, DeviceArgs, SampleArgs},
    package::sign,
    progress::Progress,
    time_budget::TimeBudget,
};
use crate::{
    Error,
    files::folder_of,
    frame::{Image, Limits, ReadOptions},
    limits::{self, FileObserver, PairedStudy, StudyOptions, pair},
    package::{self, Content, Manifest, Package},
    pipeline::{Detector, package_roi},
    segment::{DecisionOptions, DecisionRule, RegionOfInterest},
    train::{
        Control, TrainOptions,
        fit::{
            BackboneChoice, Event, FitOptions, Fitted, GroupGate, JudgedImage, Learned, RejectGate, TileOptions,
            features_beside, fit_files,
        },
    },
};

const AFTER_HELP: &str = "\
Examples:
  uflow update bolt.uflow --good new-lot/ --old good/ --out bolt-2.uflow
  uflow update bolt.uflow --good new-lot/ --out bolt-2.uflow        after uflow fit --keep-features

The flow is trained on from where it was, on the old good images and the new ones, for a few epochs.
The null and the threshold are set anew, on the images that the model had held out before and on
all new ones, each judged by a flow that has not seen it. The old images are needed: without them a
model forgets them. Give their folder, or keep their features beside the package
(uflow fit --keep-features).

The new package is written only if it passes the gate:
  - the reject rate holds on the old good images that are held out, and on the new ones: neither
    group has too many images beyond the threshold that the other one would set;
  - the latents of held-out images are no more than twice as far from white as before; an image with
    a defect among the new ones is a frequent reason;
  - of the same synthetic defects on held-out good images, the new model does not surely find fewer,
    by more than --worse. Both models' thresholds stand on the old and the new good images.
Otherwise the command says what failed, and writes nothing.

To set only the threshold on new images, in seconds and without training: uflow calibrate --out.

Exit codes: 0 the package is written; 1 it did not pass the gate, the features were not kept, or
something failed; 2 wrong usage.";

/// Defects of each kind in the gate.
const GATE_DEFECTS: usize = 30;
/// Their contrast, as a part of the part's own.
const GATE_CONTRAST: f64 = 0.5;

/// Learn on from new good images, and write the package if it is not worse.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// The model's package: a folder or a .uflow file.
    #[arg(value_name = "PKG")]
    package: PathBuf,

    /// Folder of new good images, searched below. Images that the model knows already are taken as old ones.
    #[arg(long, value_name = "DIR")]
    good: PathBuf,

    /// Folder of the good images that the model was fitted to [default: their features beside the package].
    #[arg(long, value_name = "DIR")]
    old: Option<PathBuf>,

    /// The package to write: a folder, or one file if it ends in .uflow.
    #[arg(long, value_name = "PKG")]
    out: PathBuf,

    /// Largest loss that the gate accepts: how much smaller the share of synthetic defects found may be.
    #[arg(long, value_name = "SHARE", default_value_t = 0.05)]
    worse: f64,

    /// Keep the features of all images beside the new package, so that the next update needs no old images.
    #[arg(long)]
    keep_features: bool,

    /// Most time for training, all flows together, e.g. 90s, 2min, 1h or none.
    #[arg(long, value_name = "TIME", default_value_t = TimeBudget(FitOptions::new("").time_budget))]
    time_budget: TimeBudget,

    /// Most epochs of each flow.
    #[arg(long, default_value_t = TrainOptions::default().epochs)]
    epochs: usize,

    #[command(flatten)]
    decision: DecisionArgs,

    #[command(flatten)]
    samples: SampleArgs,

    #[command(flatten)]
    device: DeviceArgs,
}

/// How much larger than before the variance of the latents of held-out images may be.
const MOST_VARIANCE: f64 = 2.0;

/// What the gate found.
#[derive(Debug, serde::Serialize)]
struct Gate {
    /// `None` for a model that does not decide by a reject rate.
    reject: Option<RejectGate>,
    /// Variance of the latents of held-out images for each scale, before and after; 1 is white.
    latent_variance: [Vec<f64>; 2],
    /// `None` where too few held-out images are there as files.
    defects: Option<PairedStudy>,
    /// The largest loss that is accepted.
    worse: f64,
}

impl Gate {
    fn defects_hold(&self) -> bool {
        self.defects.is_none_or(|found| {
            let surely = found.difference.bounds[1] < 0.0;
            !(surely && found.difference.value < -self.worse)
        })
    }

    fn latents_hold(&self) -> bool {
        let [before, after] = &self.latent_variance;
        before.iter().zip(after).all(|(before, after)| *after <= MOST_VARIANCE * before.max(1.0))
    }

    fn passed(&self) -> bool {
        self.reject.as_ref().is_none_or(RejectGate::holds) && self.latents_hold() && self.defects_hold()
    }

    /// One sentence for each part.
    fn sentences(&self) -> Vec<String> {
        let mark = |holds: bool| if holds { "passed" } else { "FAILED" };
        let mut lines = Vec::new();
        match &self.reject {
            None => lines.push("not done: the model does not decide by a reject rate".to_owned()),
            Some(gate) => {
                let mut group = |[name, other]: [&str; 2], group: &GroupGate| {
                    let GroupGate { images, rejected, beyond, rank, p_value } = group;
                    let among = if *rank == 1 { "the".to_owned() } else { format!("number {rank} of the") };
                    lines.push(format!(
                        "{}: {rejected} of {images} {name} good images that are held out are rejected, {:.1}% may be; {beyond} are more unusual than \
                         {among} most unusual {other} image{} (p = {p_value:.3})",
                        mark(group.holds()),
                        100.0 * gate.rate,
                        if *rank == 1 { "" } else { "s" }
                    ));
                };
                group(["old", "new"], &gate.old);
                group(["new", "old"], &gate.new);
            }
        }
        let [before, after] = self
            .latent_variance
            .each_ref()
            .map(|variances| variances.iter().map(|variance| format!("{variance:.2}")).collect::<Vec<_>>().join(", "));
        lines.push(format!(
            "{}: the variance of the latents of held-out images is {after}, and was {before} (1 is white)",
            mark(self.latents_hold())
        ));
        lines.push(match &self.defects {
            None => format!(
                "not done: defects on good images; {} held-out good images or more must be there as files (--old DIR)",
                limits::FEWEST_IMAGES
            ),
            Some(found) => format!(
                "{}: of {} synthetic defects, the old model finds {} with its threshold on the new images too, and the new one {} ({:+.1} percentage points, \
                 {:+.1} to {:+.1})",
                mark(self.defects_hold()),
                found.defects,
                found.found_before,
                found.found_after,
                100.0 * found.difference.value,
                100.0 * found.difference.bounds[0],
                100.0 * found.difference.bounds[1]
            ),
        });
        lines
    }
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<CommandOutcome> {
    if !(0.0..=1.0).contains(&args.worse) {
        return Err(Error::parameter("--worse", "must be a share from 0 to 1, as 0.05").into());
    }
    args.decision.check()?;
    package::check_writable(&args.out)?;
    let package = Package::open(&args.package)?;
    let mut learned = Learned::of(&package)?;
    if args.old.is_some() {
        learned.features = None;
    } else if learned.features.is_none() {
        let reason = format!(
            "the good images that the model was fitted to are needed, or it would forget them: give their folder with --old DIR. (There \
             is no {}, which uflow fit --keep-features writes.)",
            features_beside(&args.package).display()
        );
        return Err(Error::parameter("--old", reason).into());
    }
    let mut images = images_below(&args.good, context)?;
    if let Some(old) = &args.old {
        images.extend(images_below(old, context)?);
    }
    let features = features_beside(&args.out);
    // Beside the package, so that they can take its name. What was there stays if the update is refused.
    let kept = args.keep_features.then(|| tempfile::NamedTempFile::new_in(folder_of(&features))).transpose();
    let kept = kept.map_err(Error::io("create a file in", folder_of(&features)))?;
    let mut options = options(args, &package, learned)?;
    options.keep_features = kept.as_ref().map(|file| file.path().to_owned());
    let progress = Progress::new(context.json);
    let fitted = fit_files(context.runtime()?, &images, &Limits::default(), options, &mut |event| {
        if !matches!(event, Event::Trained(_)) {
            fit::show(&event, &progress, context);
        }
        Control::Continue
    });
    progress.finish();
    let fitted = fitted?;
    let gate = gate(args, context, (&package, &fitted), &images)?;
    if gate.passed() {
        fitted.write(&args.out)?;
        if let Some(kept) = kept.filter(|_| !fitted.features_lost) {
            kept.persist(&features).map_err(|error| Error::io("write", &features)(error.error))?;
        }
    }
    let warnings: Vec<String> = fitted.warnings().into_iter().chain(sign::lost(&package)).collect();
    tell(args, (&fitted, &warnings), &gate, context)?;
    Ok(if gate.passed() && !fitted.features_lost { CommandOutcome::Done } else { CommandOutcome::Failed })
}

/// The options of the fit: the package's own, and what was asked for.
fn options(args: &Args, package: &Package, learned: Learned) -> Result<FitOptions> {
    let manifest = &package.manifest;
    let own = package_roi(package)?.map(RegionOfInterest::Mask);
    let detection = args.decision.options()?.over(manifest.detection.with_roi(own));
    let record = manifest.training.as_ref();
    let training = TrainOptions {
        epochs: args.epochs,
        seed: record.map_or(0, |record| record.seed),
        learning_rate: record.map_or(TrainOptions::default().learning_rate, |record| record.learning_rate),
        weight_decay: record.map_or(TrainOptions::default().weight_decay, |record| record.weight_decay),
        noise: record.map_or(TrainOptions::default().noise, |record| record.noise),
        threads: args.device.threads,
        ..TrainOptions::default()
    };
    let augmentation = record.map_or("none", |record| &record.augmentation).parse()?;
    Ok(FitOptions {
        backbone: match &package.backbone.content {
            Content::File(path) => BackboneChoice::File(path.clone()),
            Content::Bytes(bytes) => BackboneChoice::Model(bytes.clone()),
        },
        input_size: Some((manifest.input.width, manifest.input.height)),
        tiles: manifest.input.tiles.map(TileOptions::of),
        learned: Some(learned),
        augmentation,
        training,
        detection,
        time_budget: args.time_budget.0,
        significant_bits: args.samples.bits.or(manifest.input.significant_bits),
        float_range: args.samples.range.or(manifest.input.float_range),
        golden: manifest.golden.as_ref().map_or(0, |golden| golden.frames.len()),
        session: args.device.session(),
        ..FitOptions::new(manifest.name.clone())
    })
}

/// Compares the new model with the old one, both with the decision that was asked for.
fn gate(args: &Args, context: &Context, (package, fitted): (&Package, &Fitted), images: &[PathBuf]) -> Result<Gate> {
    let reject = fitted.reject_gate()?;
    let record = package.manifest.training.as_ref();
    let latent_variance = [
        record.map_or_else(Vec::new, |record| record.latent_variance.clone()),
        fitted.summary.best.latent_variance.clone(),
    ];
    let files = |wanted: fn(&JudgedImage) -> bool| -> Vec<PathBuf> {
        // Another image may have the name of one whose features were kept.
        let judged = fitted.judged.iter().filter(|image| image.read && wanted(image));
        let names: HashSet<&str> = judged.map(|image| image.image.as_str()).collect();
        images.iter().filter(|path| names.contains(path.display().to_string().as_str())).cloned().collect()
    };
    let (held_out, new) = (files(|image| image.own), files(|image| image.new));
    if held_out.len() < limits::FEWEST_IMAGES {
        return Ok(Gate { reject, latent_variance, defects: None, worse: args.worse });
    }
    // Where there must be room for it anyhow.
    let folder = folder_of(&args.out);
    let folder = tempfile::tempdir_in(folder).map_err(Error::io("create a folder in", folder))?;
    let path = folder.path().join("updated.uflow");
    fitted.write(&path)?;
    let updated = Package::open(&path)?;
    let session = args.device.session();
    let open = |package: &Package| Detector::open(context.runtime()?, package, &session);
    let (mut before, mut after) = (open(package)?, open(&updated)?);
    // A bound, a count of tests and a region of interest change what the old model's good images say; the rest does not.
    let asked = DecisionOptions { bound: None, tests: None, roi: None, ..args.decision.options()? };
    let after_rule = updated.manifest.rule(&DecisionOptions::default())?;
    let read = args.samples.read_options(&package.manifest.input, Limits::default());
    let before_rule = recalibrated(package, &asked, &mut before, &new, &read)?;
    let roi = package_roi(package)?;
    let mut first = FileObserver::new(&mut before, &before_rule, roi.as_deref(), &held_out, &read)?;
    let mut second = first.beside(&mut after, &after_rule);
    let study =
        StudyOptions { contrasts: vec![GATE_CONTRAST], defects: GATE_DEFECTS, controls: 0, ..StudyOptions::default() };
    let progress = Progress::new(context.json);
    let defects = pair(&study, &mut first, &mut second, &mut |done, all| progress.at("comparing models", done, all));
    progress.finish();
    Ok(Gate { reject, latent_variance, defects: Some(defects?), worse: args.worse })
}

/// The old model's decision with a threshold that stands on the new good images too, as the new model's does. A threshold of a small reject rate
/// stands on a few images: one new image can move it far, and would be taken for a loss by training.
fn recalibrated(
    package: &Package,
    asked: &DecisionOptions,
    detector: &mut Detector,
    new: &[PathBuf],
    read: &ReadOptions,
) -> Result<DecisionRule> {
    let rule = package.manifest.rule(asked)?;
    let Some(rejection) = rule.rejection() else { return Ok(rule) };
    let mut lowest = Vec::new();
    for path in new {
        let image = Image::open_with(path, read)?;
        detector.process(&[image.frame()], &rule, false, |processed| {
            lowest.push(processed.post.segmentation().and_then(|maps| maps.lowest()));
            Ok(())
        })?;
    }
    let manifest = Manifest { rejection: Some(rejection.with(&lowest)?), ..package.manifest.clone() };
    Ok(manifest.rule(asked)?)
}

fn tell(args: &Args, (fitted, warnings): (&Fitted, &[String]), gate: &Gate, context: &Context) -> Result<()> {
    let passed = gate.passed();
    let summary = &fitted.summary;
    if context.json {
        context.print_json(&json!({
            "event": if passed { "updated" } else { "refused" }, "package": passed.then_some(&args.out), "gate": gate,
            "summary": summary, "cross_fit": fitted.cross_fit, "unusual": fitted.unusual, "warnings": warnings,
            "training_seconds": fitted.training_seconds, "decision": fitted.manifest.decision_in_words()?,
        }))?;
        return Ok(());
    }
    warnings.iter().for_each(|warning| eprintln!("uflow: warning: {warning}"));
    let mut lines = format!(
        "{} images, {} held out; best epoch {} of {}; {:.0} s\n",
        summary.images,
        summary.held_out.len(),
        summary.best_epoch,
        summary.epochs,
        fitted.training_seconds
    );
    gate.sentences().iter().for_each(|sentence| lines += &format!("  {sentence}\n"));
    if passed {
        lines += &format!("{}:\n", args.out.display());
        fitted.manifest.decision_in_words()?.iter().for_each(|line| lines += &format!("  {line}\n"));
    } else {
        lines += "nothing is written: the new model did not pass. Look at the new images; are all of them good?\n";
    }
    Ok(context.print(&lines)?)
}

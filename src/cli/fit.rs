//! `uflow fit`: a folder of good images in, a package out.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use serde_json::json;

use super::{
    CommandOutcome, Context,
    auto::{self, AutoArgs},
    good, image_list,
    inputs::images_below,
    interrupt::{Interrupt, Phase},
    options::{DecisionArgs, DeviceArgs, FeatureArgs, SampleArgs},
    progress::Progress,
    time_budget::TimeBudget,
};
use crate::{
    Error, Result,
    flow::{NormalisationKind, Topology},
    frame::Limits,
    package,
    report::{Screened, screen_page},
    search::{Held, Searched},
    train::{
        self, Control, StopReason, TrainOptions,
        fit::{Augmentation, Event, FitOptions, Fitted, Unusual, features_beside, fit_files},
    },
};

const AFTER_HELP: &str = "\
Examples:
  uflow fit --good parts/train/good --out bracket.uflow
  uflow fit --good good/ --out bracket.uflow --reject-rate 0.5%
  uflow fit --good good/ --out models/bracket/1 --augment flip --roi field.png
  uflow fit --good good/ --out bracket.uflow --backbone resnet18.onnx --input-size 256
  uflow fit --good good/ --out bracket.uflow --auto --auto-time 1h

All files are read before work starts. Unreadable files are skipped and named; if more than 1 in 100
are unreadable, the run ends. Repeated images and uniform images are left out and named. At least 8
images must remain. Doubtful images are named at the end, and `uflow check` names them before: see
--exclude and --drop-doubtful.

The threshold is set so that at most the reject rate of good images is flagged (1% by default). It
needs good images that the flow did not see: 99 for 1%. Where one training holds out fewer, up to
three more flows are fitted, each with other images held out (cross-fitting). With fewer images the
threshold is extrapolated, and the summary says so. --tests paper decides as the paper does.

--auto tries other input sizes, strides, noise and backbones first. It compares them on synthetic
defects, on good images that it sets aside, and keeps others only if they are better beyond chance.
Options that you give are not changed. A search that was ended goes on with the same command.

Ctrl-C during training writes the best model so far. During cross-fitting the model is already
written, and its null and threshold use the finished flows. Before training, Ctrl-C writes nothing.
A second Ctrl-C ends at once.

Exit codes: 0 the package is written, also after Ctrl-C; 1 nothing is written, or the package is
written but cross-fitting failed or features were not kept (the message says which); 2 wrong
usage; 130 Ctrl-C before training, or twice.";

/// Learn a model from a folder of good images.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Folder of good images, searched recursively. At most 1 in 100 files may be unreadable.
    #[arg(long, value_name = "DIR")]
    good: PathBuf,

    /// Images to leave out: a file with a path on each line, as `uflow check --list` writes it. Lines that begin with # are comments.
    #[arg(long, value_name = "FILE")]
    exclude: Option<PathBuf>,

    /// Before training, leave out the images that look defective or of another product, the most unusual first and at most so many. The package
    /// names them.
    #[arg(long, value_name = "N", default_value_t = 0)]
    drop_doubtful: usize,

    /// Also write a page for a browser with pictures of the images that look doubtful.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,

    /// The package to write: a folder, or one file if it ends in .uflow. An existing package is replaced.
    #[arg(long, value_name = "PKG")]
    out: PathBuf,

    /// Name of the product [default: the package's file name].
    #[arg(long)]
    name: Option<String>,

    #[command(flatten)]
    model: ModelArgs,

    /// Folder for the images' features. A later fit on the same images with another flow reuses them.
    #[arg(long, value_name = "DIR")]
    features: Option<PathBuf>,

    /// Keep the features of all images beside the package (PKG.features), so that `uflow update` needs no old images. About 0.5 MB an image.
    #[arg(long)]
    keep_features: bool,

    /// Good images that the package keeps, with what it finds in them, so that `uflow verify` can compare another machine; 0 for none. Each is
    /// a PNG no larger than the network's input (448x448 by default) or the frame that is cut, a few hundred kB.
    #[arg(long, value_name = "N", default_value_t = FitOptions::new("").golden)]
    golden: usize,

    #[command(flatten)]
    auto: AutoArgs,

    #[command(flatten)]
    decision: DecisionArgs,

    #[command(flatten)]
    device: DeviceArgs,
}

/// Options of a model, independent of the images.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ModelArgs {
    #[command(flatten)]
    features: FeatureArgs,

    /// Additional versions of each good image.
    #[arg(long, value_parser = super::choices::AUGMENTATIONS, default_value_t = Augmentation::None)]
    augment: Augmentation,

    /// Random seed; the same seed gives the same model on the same kind of CPU.
    #[arg(long, default_value_t = 0)]
    seed: u64,

    #[command(flatten)]
    pub(crate) samples: SampleArgs,

    #[command(flatten)]
    training: TrainingArgs,
}

/// Options of the flow and its optimiser.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Training")]
struct TrainingArgs {
    /// Most time for training, all flows together, e.g. 90s, 2min, 1h or none. A fit that this time ends depends on the machine's
    /// speed and is not repeatable to the bit.
    #[arg(long, value_name = "TIME", default_value_t = TimeBudget(FitOptions::new("").time_budget))]
    time_budget: TimeBudget,

    /// Most epochs; training stops earlier when the loss on held-out images no longer improves.
    #[arg(long, default_value_t = TrainOptions::default().epochs)]
    epochs: usize,

    /// Training stops after this many epochs in which the loss on held-out images hardly improves.
    #[arg(long, default_value_t = TrainOptions::default().patience)]
    patience: usize,

    /// Images per optimiser step.
    #[arg(long, default_value_t = TrainOptions::default().batch)]
    batch: usize,

    /// Adam's learning rate.
    #[arg(long, value_name = "RATE", default_value_t = TrainOptions::default().learning_rate)]
    learning_rate: f64,

    /// Adam's weight decay.
    #[arg(long, value_name = "DECAY", default_value_t = TrainOptions::default().weight_decay)]
    weight_decay: f64,

    /// Noise added to the features of the finest scale.
    #[arg(
        long,
        help = format!(
            "Noise added to the features of the finest scale, in standard deviations of each channel. With separate flows it doubles with \
             each coarser scale, up to 0.5 [default: {}]",
            TrainOptions::default().noise
        )
    )]
    noise: Option<f64>,

    /// Steps in each stage of the flow. 0, with --flow parallel --normalisation whiten, is a Gaussian of the features of each scale.
    #[arg(long, default_value_t = TrainOptions::default().steps)]
    steps: usize,

    /// Calibrate the null on all good images: train three more flows, each without another quarter of the images.
    #[arg(long)]
    cross_fit: bool,

    /// Connection of the flow's stages: a separate flow for each scale, which outlines better (parallel), or as published (u).
    #[arg(long, value_name = "KIND", default_value = "parallel")]
    flow: FlowKind,

    /// Normalisation of the features: by the mean and deviation of each channel in the good images, by their mean and covariance
    /// (whiten), or by LayerNorm, as published.
    #[arg(long, value_name = "KIND", default_value_t = TrainOptions::default().normalisation, value_parser = super::choices::NORMALISATIONS)]
    normalisation: NormalisationKind,
}

/// The flow's topology on the command line.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum FlowKind {
    U,
    Parallel,
}

impl Args {
    fn options(&self) -> Result<FitOptions> {
        let stem = self.out.file_stem().and_then(|stem| stem.to_str()).unwrap_or("model");
        let name = self.name.as_deref().unwrap_or(stem);
        let options = self.model.options(name, &self.decision, &self.device)?;
        Ok(FitOptions {
            features: self.features.clone(),
            keep_features: self.keep_features.then(|| features_beside(&self.out)),
            golden: self.golden,
            drop_doubtful: self.drop_doubtful,
            ..options
        })
    }
}

impl ModelArgs {
    /// What the user has set, for a search.
    fn held(&self) -> Held {
        self.features.held(self.training.noise.is_some())
    }

    /// The options of a fit for a product; reads the region of interest.
    pub(crate) fn options(&self, name: &str, decision: &DecisionArgs, device: &DeviceArgs) -> Result<FitOptions> {
        let detection = decision.options()?;
        let training = &self.training;
        Ok(FitOptions {
            augmentation: self.augment,
            training: TrainOptions {
                epochs: training.epochs,
                patience: training.patience,
                batch: training.batch,
                learning_rate: training.learning_rate,
                weight_decay: training.weight_decay,
                noise: training.noise.unwrap_or(TrainOptions::default().noise),
                steps: training.steps,
                topology: match training.flow {
                    FlowKind::U => Topology::UShaped,
                    FlowKind::Parallel => Topology::Parallel,
                },
                normalisation: training.normalisation,
                seed: self.seed,
                threads: device.threads,
                ..TrainOptions::default()
            },
            detection,
            cross_fit: training.cross_fit,
            time_budget: training.time_budget.0,
            significant_bits: self.samples.bits,
            float_range: self.samples.range,
            session: device.session(),
            ..self.features.over(FitOptions::new(name))
        })
    }
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<CommandOutcome> {
    let mut options = args.options()?;
    args.auto.check()?;
    good::check_folder(&args.good)?;
    package::check_writable(&args.out)?;
    args.report.as_deref().map_or(Ok(()), crate::files::check_writable)?;
    let mut images = images_below(&args.good, context)?;
    if let Some(list) = &args.exclude {
        images = image_list::without(images, list, &args.good)?;
    }
    let (begun, mut left_out) = (Instant::now(), Vec::new());
    let interrupt = Interrupt::watch()?;
    let progress = Progress::new(context.json);
    let searched = match args.auto.auto {
        false => None,
        true => {
            let (found, with) =
                auto::search(&args.auto, context, &images, (options, args.model.held()), &args.out, &interrupt)?;
            options = with;
            Some(found)
        }
    };
    interrupt.enter(Phase::Reading);
    let mut unwritten = None;
    let fitted = fit_files(context.runtime()?, &images, &Limits::default(), options, &mut |event| {
        show(&event, &progress, context);
        match &event {
            Event::Warning(text) => left_out.push((*text).to_owned()),
            Event::Skipped { path, error } => left_out.push(format!("{}: {error}", path.display())),
            Event::Training(state) if state.fold == 0 => interrupt.enter(Phase::Training),
            // Cross-fitting takes three times as long again: what is there by now is not put at risk.
            Event::Trained(fitted) if fitted.cross_fit.planned > 1 => {
                if let Err(error) = fitted.write(&args.out) {
                    unwritten = Some(error);
                    return Control::Cancel;
                }
                interrupt.enter(Phase::CrossFitting);
            }
            _ => {}
        }
        if interrupt.came() { Control::Stop } else { Control::Continue }
    });
    progress.finish();
    if let Some(error) = unwritten {
        return Err(error.into());
    }
    let fitted = match fitted {
        Err(Error::Cancelled) => {
            return Err(anyhow::Error::new(Error::Cancelled).context("stopped before training: nothing was written"));
        }
        fitted => fitted?,
    };
    fitted.write(&args.out)?;
    if let Some(path) = &args.report {
        let read = args.model.samples.read_options_of_files(Limits::default());
        let seconds = begun.elapsed().as_secs_f64();
        let screened =
            Screened { folder: &args.good, files: &images, checked: &fitted.checked, left_out, read, seconds };
        let mut page = screen_page(&screened)?;
        page.notes.extend(searched.as_ref().map(auto::note));
        page.write(path)?;
    }
    summarise(&fitted, searched.as_ref(), &args.out, context)?;
    if searched.is_some() {
        args.auto.tidy(&args.out)?;
    }
    let complete = fitted.cross_fit.failures.is_empty() && !fitted.features_lost;
    Ok(if complete { CommandOutcome::Done } else { CommandOutcome::Failed })
}

/// Shows one event as progress, or as a JSON line.
pub(crate) fn show(event: &Event<'_>, progress: &Progress, context: &Context) {
    let line = match event {
        Event::Checked { done, total } => {
            progress.at("checking files", *done, *total);
            (done == total).then(|| json!({ "event": "checked", "images": total }))
        }
        Event::Warning(text) => {
            progress.say_always(&format!("uflow: warning: {text}"));
            Some(json!({ "event": "warning", "warning": text }))
        }
        Event::Trained(_) => None,
        Event::Features { done, total } => {
            progress.at("features", *done, *total);
            (done == total).then(|| json!({ "event": "features", "images": total }))
        }
        Event::Skipped { path, error } => {
            progress.say_always(&format!("uflow: skipped {}: {error}", path.display()));
            Some(json!({ "event": "skipped", "path": path, "error": error.to_string() }))
        }
        Event::Training(state) => {
            let (position, all) = position(state);
            let part = match state.fold {
                0 => String::new(),
                fold => format!("cross-fitting, {fold} of {}: ", state.folds - 1),
            };
            let seconds = state.elapsed.as_secs_f64();
            let time = match state.time_budget {
                None => format!("{seconds:.0} s"),
                Some(budget) => format!("{seconds:.0} of {:.0} s", budget.as_secs_f64()),
            };
            let figure = format!("{part}epoch {}  loss {:.4}  {time}", state.epoch, state.loss);
            progress.at_with("training", position, all, &figure);
            state.held_out.as_ref().map(|held_out| {
                let variances: Vec<_> = held_out.latent_variance.iter().map(|v| format!("{v:.2}")).collect();
                let loss = if state.epoch == 0 { "     —".to_owned() } else { format!("{:.4}", state.loss) };
                progress.say(&format!(
                    "{part}epoch {:>3}  loss {loss}  held out {:.4}{}  latent variance {}",
                    state.epoch,
                    held_out.nll,
                    if held_out.best { " *" } else { "  " },
                    variances.join(" ")
                ));
                json!({ "event": "epoch", "fold": state.fold, "folds": state.folds, "epoch": state.epoch, "loss": state.loss, "held_out": held_out,
                        "learning_rate": state.learning_rate, "seconds": seconds,
                        "time_budget_seconds": state.time_budget.map(|budget| budget.as_secs_f64()) })
            })
        }
    };
    if let (true, Some(line)) = (context.json, line)
        && let Err(error) = context.print_json(&line)
    {
        eprintln!("uflow: {error}");
    }
}

/// How far training is, of how much: optimiser steps of the most epochs, or the time, whichever is further.
pub(super) fn position(state: &train::Progress) -> (usize, usize) {
    let (done, all) = (state.epoch.saturating_sub(1) * state.batches + state.batch, state.epochs * state.batches);
    let part = state.time_budget.map_or(0.0, |budget| state.elapsed.div_duration_f64(budget).min(1.0));
    (done.max((part * all as f64) as usize), all)
}

fn summarise(fitted: &Fitted, searched: Option<&Searched>, out: &Path, context: &Context) -> anyhow::Result<()> {
    let warnings = fitted.warnings();
    if context.json {
        context.print_json(&json!({
            "event": "fitted", "package": out, "summary": fitted.summary, "warnings": warnings,
            "gain_over_gaussian": fitted.summary.gain_over_gaussian(), "training_seconds": fitted.training_seconds,
            "time_budget_seconds": fitted.time_budget.map(|budget| budget.as_secs_f64()), "scores": fitted.manifest.scores, "cross_fit": fitted.cross_fit,
            "unusual": fitted.unusual, "dropped": fitted.dropped,
            "findings": fitted.checked.described(), "decision": fitted.manifest.decision_in_words()?, "search": searched,
        }))?;
        return Ok(());
    }
    for warning in &warnings {
        eprintln!("uflow: warning: {warning}");
    }
    let summary = &fitted.summary;
    let why = match summary.stopped {
        StopReason::Finished => "all epochs done",
        StopReason::Patience => "held-out images stopped improving",
        StopReason::TimeBudget => "the time budget ended",
        StopReason::Asked => "stopped as asked",
        StopReason::Diverged => "diverged",
    };
    println!(
        "{}: {} images, {} held out; best epoch {} of {} ({why}); {:.0} s{}",
        out.display(),
        summary.images,
        summary.held_out.len(),
        summary.best_epoch,
        summary.epochs,
        fitted.training_seconds,
        fitted.time_budget.map(|budget| format!(" of {:.0} s", budget.as_secs_f64())).unwrap_or_default()
    );
    if let Some(gain) = summary.gain_over_gaussian() {
        println!("  gained {gain:.3} nats a value over a Gaussian on the same features (held-out images)");
    }
    let variances: Vec<_> = summary.best.latent_variance.iter().map(|v| format!("{v:.3}")).collect();
    println!("  variance of the held-out latents, finest scale first: {} (1 is white)", variances.join(", "));
    if let Some(scores) = &fitted.manifest.scores {
        println!(
            "  highest scores of held-out good images: mean {:.4}, largest {:.4}; fair threshold {:.4}",
            scores.mean, scores.max, scores.fair_threshold
        );
    }
    if !fitted.unusual.is_empty() {
        let image = |Unusual { image, log10_nfa }: &Unusual| format!("{image} ({log10_nfa:.2})");
        let images: Vec<_> = fitted.unusual.iter().map(image).collect();
        println!("  most unusual held-out good images (log10 NFA): {}", images.join(", "));
    }
    fitted.manifest.decision_in_words()?.iter().for_each(|line| println!("  {line}"));
    if let Some(searched) = searched {
        print!("{searched}");
    }
    Ok(())
}

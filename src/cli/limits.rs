//! `uflow limits`: how small a defect may be and still be found.

use std::path::PathBuf;

use anyhow::Result;

use super::{
    CommandOutcome, Context, good,
    inputs::images_below,
    options::{DeviceArgs, SampleArgs},
    package::sign,
    progress::Progress,
};
use crate::{
    Error,
    frame::{Limits, ReadOptions},
    limits::{
        DefectKind, Example, FEWEST_IMAGES, FileObserver, LimitsReport, Observer as _, StudiedImages, Study,
        StudyOptions, Trial, study,
    },
    package::{self, Package, Seen},
    pipeline::{Detector, package_roi},
    segment::{DecisionOptions, DecisionRule},
    train::fit::Survey,
};

const AFTER_HELP: &str = "\
Examples:
  uflow limits --model bolt.uflow --good new-lot/ --report bolt.html
  uflow limits --model bolt.uflow --good new-lot/ --pixel-size 0.02 --report bolt.html
  uflow limits --model bolt.uflow --good new-lot/ --defect scratch --defect hole --no-write --json

Synthetic defects of known size, contrast and kind are put on the good images, one on an image, and
the model judges them by the package's own decision. a90/95 is the size from which on at least 90%
of them are found, with 95% confidence. The result is kept in the package: `uflow info` and a
server's description of the model show it. A changed package is not signed.

Use good images that were not used for training. Images that the package knows from its training
are left out and counted. Give 30 images or more; the defects are spread over all of them.

Contrast 1 is the difference between the light and the dark places of the part (95% and 5% of all
pixels). Where a defect replaces the surface, contrast 1 replaces all of it.
The same command gives the same result, to the byte, on the same machine.";

/// Measure the smallest defects that a model finds, with synthetic defects on good images.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// The model's package: a folder or a .uflow file.
    #[arg(long, value_name = "PKG")]
    model: PathBuf,

    /// Folder of good images that the model was not trained on, searched below.
    #[arg(long, value_name = "DIR")]
    good: PathBuf,

    /// Also write the result as a page for a browser, with curves, a map of the part and pictures.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,

    /// Size of a pixel of the images on the part, in millimetres: sizes are then given in millimetres too.
    #[arg(long, value_name = "MM")]
    pixel_size: Option<f64>,

    /// Write the package with the result here and leave PKG as it is [default: in place].
    #[arg(long, value_name = "PKG", conflicts_with = "no_write")]
    out: Option<PathBuf>,

    /// Do not keep the result in a package.
    #[arg(long)]
    no_write: bool,

    /// Kind of defect; may be repeated [default: all].
    #[arg(long = "defect", value_name = "KIND", value_parser = super::choices::DEFECTS, help_heading = "Study")]
    kinds: Vec<DefectKind>,

    /// Contrast as a part of the part's own, above 0, at most 1; may be repeated.
    #[arg(long = "contrast", value_name = "C", default_values_t = StudyOptions::default().contrasts, help_heading = "Study")]
    contrasts: Vec<f64>,

    /// Defects of each kind at each contrast.
    #[arg(long, value_name = "N", default_value_t = StudyOptions::default().defects, help_heading = "Study")]
    defects: usize,

    /// Seed of all random choices.
    #[arg(long, value_name = "N", default_value_t = StudyOptions::default().seed, help_heading = "Study")]
    seed: u64,

    #[command(flatten)]
    samples: SampleArgs,

    #[command(flatten)]
    device: DeviceArgs,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<CommandOutcome> {
    let options = options(args)?;
    let images = images_below(&args.good, context)?;
    let package = Package::open(&args.model)?;
    let out = (!args.no_write).then(|| args.out.as_deref().unwrap_or(&args.model));
    out.map_or(Ok(()), package::check_writable)?;
    args.report.as_deref().map_or(Ok(()), crate::files::check_writable)?;
    let rule = package.manifest.rule(&DecisionOptions::default())?;
    let read = args.samples.read_options(&package.manifest.input, Limits::default());
    let survey = good::survey(&images, FEWEST_IMAGES, &read, context)?;
    let (images, studied) = unseen(&package, survey)?;
    let report = measure(args, &options, context, &package, (&rule, &read), (&images, studied))?;
    if let Some(path) = &args.report {
        report.write_html(path)?;
    }
    let warnings: Vec<String> =
        [warning(&report), out.and_then(|_| sign::lost(&package))].into_iter().flatten().collect();
    warnings.iter().for_each(|warning| eprintln!("uflow: warning: {warning}"));
    if let Some(out) = out {
        let manifest = package::Manifest { limits: Some(report.record()), ..package.manifest.clone() };
        package.write_changed(out, &manifest, package.roi.as_deref())?;
    }
    if context.json {
        context.print_json(&report)?;
        return Ok(CommandOutcome::Done);
    }
    context.print(&report.to_string())?;
    if let Some(out) = out {
        context.print(&format!("kept in {}\n", out.display()))?;
    }
    Ok(CommandOutcome::Done)
}

fn options(args: &Args) -> Result<StudyOptions, Error> {
    if args.pixel_size.is_some_and(|mm| !(mm.is_finite() && mm > 0.0)) {
        return Err(Error::parameter("--pixel-size", "must be above 0: millimetres of a pixel on the part"));
    }
    let mut kinds = if args.kinds.is_empty() { DefectKind::ALL.to_vec() } else { args.kinds.clone() };
    kinds.sort_unstable();
    kinds.dedup();
    let mut contrasts = args.contrasts.clone();
    contrasts.sort_unstable_by(f64::total_cmp);
    contrasts.dedup();
    let options = StudyOptions { kinds, contrasts, defects: args.defects, seed: args.seed, ..StudyOptions::default() };
    options.check()?;
    Ok(options)
}

/// The images that training did not use, and what became of the others.
fn unseen(package: &Package, survey: Survey) -> Result<(Vec<PathBuf>, StudiedImages), Error> {
    let seen = package.manifest.training.as_ref().and_then(|training| training.seen.as_ref());
    let fates = seen.map_or_else(|| Ok(vec![None; survey.images.len()]), |seen| seen.look(&survey.digests))?;
    let count = |fate| fates.iter().filter(|found| **found == Some(fate)).count();
    let (trained_on, held_out) = (count(Seen::Trained), count(Seen::HeldOut));
    let all = survey.images.len();
    let images: Vec<PathBuf> = (survey.images.into_iter().zip(&fates))
        .filter(|(_, fate)| **fate != Some(Seen::Trained))
        .map(|(path, _)| path)
        .collect();
    if images.len() < FEWEST_IMAGES {
        let reason = format!(
            "{trained_on} of the {all} good images were used to train this model and are left out; {} are too few, at least {FEWEST_IMAGES} \
             are needed. Give good images that training did not use",
            images.len()
        );
        return Err(Error::parameter("--good", reason));
    }
    Ok((images.clone(), StudiedImages { used: images.len(), trained_on, held_out, known: seen.is_some() }))
}

fn measure(
    args: &Args,
    options: &StudyOptions,
    context: &Context,
    package: &Package,
    (rule, read): (&DecisionRule, &ReadOptions),
    (images, studied): (&[PathBuf], StudiedImages),
) -> Result<LimitsReport, Error> {
    let mut detector = Detector::open(context.runtime()?, package, &args.device.session())?;
    let roi = package_roi(package)?;
    let mut observer = FileObserver::new(&mut detector, rule, roi.as_deref(), images, read)?;
    let progress = Progress::new(context.json);
    let all = options.looks(images.len());
    let found = study(options, &mut observer, &mut |done| progress.at("looking at defects", done, all));
    progress.finish();
    let found = found?;
    let facts = (package.manifest.name.as_str(), package.manifest.decision_in_words()?);
    let mut report = LimitsReport::new(facts, options, &found, observer.scene(), studied, args.pixel_size);
    if args.report.is_some() {
        report.examples = examples(&report, &found, &observer)?;
    }
    Ok(report)
}

/// Pictures of defects for the page.
fn examples(report: &LimitsReport, found: &Study, observer: &FileObserver<'_>) -> Result<Vec<Example>, Error> {
    let picture = |trial: Trial| {
        let picture = observer.picture(&trial.defect)?;
        Ok(Example { defect: trial.defect, found: trial.observed.found, picture })
    };
    report.choose_examples(found).into_iter().map(picture).collect()
}

/// What the user should know about the images.
fn warning(report: &LimitsReport) -> Option<String> {
    let images = &report.images;
    match (images.known, images.trained_on, images.held_out) {
        (false, _, _) => Some(
            "the package does not say which images it was trained on; on images of its training the limits are too optimistic or too \
             pessimistic: give other good images"
                .to_owned(),
        ),
        (true, 0, 0) => None,
        (true, trained, 0) => Some(format!("{trained} images that the model was trained on are left out")),
        (true, trained, held_out) => Some(format!(
            "{trained} images that the model was trained on are left out; {held_out} of the {} that are used were held out by the fit, and \
             the threshold may stand on them",
            images.used
        )),
    }
}

//! `uflow check`: which images of a folder of good images are doubtful, before a model is fitted to them.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    time::Instant,
};

use serde_json::{Value, json};

use super::{
    CommandOutcome, Context,
    fit::show,
    good, image_list,
    inputs::images_below,
    options::{DeviceArgs, FeatureArgs, SampleArgs},
    progress::Progress,
};
use crate::{
    Result,
    frame::Limits,
    report::{Screened, screen_page},
    screen::{Finding, Kind},
    segment::{DecisionOptions, RegionOfInterest, Roi, parse_rate},
    train::{
        Control,
        fit::{Checked, Event, FitOptions, check_files},
    },
};

/// Images that are printed as the most unusual.
const MOST_UNUSUAL: usize = 10;

const AFTER_HELP: &str = "\
Examples:
  uflow check --good parts/train/good
  uflow check --good good/ --report check.html --list doubtful.txt
  uflow fit --good good/ --exclude doubtful.txt --out bracket.uflow

Names images that look defective, like another product, over- or underexposed, blurred, of another
size or like an earlier image, and says if the set is too uniform or too small for the reject rate.
Every image is compared with the set itself. For defects it is measured by Gaussian models of the
deep features that did not see the image; no flow is trained. Nothing is changed or removed: look at
the named images, delete lines from the list for those that are good, and give the list to fit.

Files that cannot be read, images with the same pixels as another and images of one value are named
too. fit leaves them out by itself.

Exit codes: 0 nothing is named; 1 something is named or something failed; 2 wrong usage; 130 Ctrl-C.";

/// Name the images of a folder of good images that look doubtful.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Folder of good images, searched recursively. At most 1 in 100 files may be unreadable.
    #[arg(long, value_name = "DIR")]
    good: PathBuf,

    /// Also write a page for a browser with pictures of the named images.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,

    /// Also write the named images to a file that `uflow fit --exclude` reads: a path on each line, reasons after #.
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,

    #[command(flatten)]
    model: FeatureArgs,

    /// Folder for the images' features. A fit on the same images with the same backbone and input reuses them.
    #[arg(long, value_name = "DIR")]
    features: Option<PathBuf>,

    /// Share of good images that a model may reject. It needs so many good images [default: 1%].
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    reject_rate: Option<f64>,

    /// Region of interest: a mask image; evidence of defects counts where it is white.
    #[arg(long, value_name = "MASK.png")]
    roi: Option<PathBuf>,

    #[command(flatten)]
    samples: SampleArgs,

    #[command(flatten)]
    device: DeviceArgs,
}

impl Args {
    fn options(&self) -> Result<FitOptions> {
        let roi = self.roi.as_ref().map(|path| Roi::open(path, &Limits::default())).transpose()?;
        let mut options = FitOptions {
            features: self.features.clone(),
            detection: DecisionOptions {
                reject_rate: self.reject_rate,
                roi: roi.map(RegionOfInterest::from),
                ..DecisionOptions::default()
            },
            significant_bits: self.samples.bits,
            float_range: self.samples.range,
            session: self.device.session(),
            golden: 0,
            ..self.model.over(FitOptions::new("check"))
        };
        options.training.threads = self.device.threads;
        Ok(options)
    }
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<CommandOutcome> {
    let begun = Instant::now();
    good::check_folder(&args.good)?;
    let options = args.options()?;
    [&args.report, &args.list].into_iter().flatten().try_for_each(|path| crate::files::check_writable(path))?;
    let images = images_below(&args.good, context)?;
    let progress = Progress::new(context.json);
    let (mut warnings, mut left_out) = (Vec::new(), Vec::new());
    let checked = check_files(context.runtime()?, &images, &Limits::default(), options, &mut |event| {
        match &event {
            Event::Warning(text) => warnings.push((*text).to_owned()),
            Event::Skipped { path, error } => left_out.push(format!("{}: {error}", path.display())),
            _ => {}
        }
        show(&event, &progress, context);
        Control::Continue
    });
    progress.finish();
    let checked = checked?;
    if let Some(path) = &args.list {
        crate::files::write_whole(path, list(&checked)?.as_bytes())?;
    }
    if let Some(path) = &args.report {
        let screened = Screened {
            folder: &args.good,
            files: &images,
            checked: &checked,
            left_out: warnings.iter().chain(&left_out).cloned().collect(),
            read: args.samples.read_options_of_files(Limits::default()),
            seconds: begun.elapsed().as_secs_f64(),
        };
        screen_page(&screened)?.write(path)?;
    }
    match context.json {
        true => context.print_json(&as_json(&checked))?,
        false => context.print(&as_text(&checked, args))?,
    }
    let nothing = checked.findings.is_empty() && checked.notes.is_empty() && warnings.is_empty() && left_out.is_empty();
    Ok(if nothing { CommandOutcome::Done } else { CommandOutcome::Failed })
}

fn as_json(checked: &Checked) -> Value {
    let doubtful: Vec<_> = checked.doubtful().into_iter().map(|image| &checked.images[image]).collect();
    json!({
        "event": "checked-images", "images": checked.images.len(), "findings": checked.described(), "doubtful": doubtful,
        "ranking": checked.ranking, "notes": checked.notes,
    })
}

fn as_text(checked: &Checked, args: &Args) -> String {
    let (images, doubtful) = (checked.images.len(), checked.doubtful().len());
    let mut out = match doubtful {
        0 => format!("{}: none of {images} images is doubtful\n", args.good.display()),
        _ => format!("{}: {doubtful} of {images} images are doubtful\n", args.good.display()),
    };
    let mut by_kind: BTreeMap<Kind, Vec<&Finding>> = BTreeMap::new();
    checked.findings.iter().for_each(|finding| by_kind.entry(finding.kind).or_default().push(finding));
    for (kind, findings) in by_kind {
        let count = findings.len();
        let _ = writeln!(out, "{count} {} {}", if count == 1 { "looks" } else { "look" }, kind.words());
        for finding in findings {
            let _ = writeln!(out, "  {}: {}", checked.images[finding.image], finding.reason(&checked.images));
        }
        let _ = writeln!(out, "  {}", kind.advice());
    }
    if !checked.ranking.is_empty() {
        let first: Vec<_> = checked.ranking.iter().take(MOST_UNUSUAL).collect();
        let _ = writeln!(out, "the {} most unusual images by held-out evidence (log10 NFA), named or not", first.len());
        first.iter().for_each(|unusual| {
            let _ = writeln!(out, "  {:>7.2}  {}", unusual.log10_nfa, unusual.image);
        });
    }
    checked.notes.iter().for_each(|note| {
        let _ = writeln!(out, "note: {note}");
    });
    out
}

/// The named images as a list for `uflow fit --exclude`.
fn list(checked: &Checked) -> Result<String> {
    let mut out =
        "# Doubtful images, the most serious first, for `uflow fit --exclude`. Delete the lines of good images.\n"
            .to_owned();
    for image in checked.doubtful() {
        let reasons = checked.findings.iter().filter(|finding| finding.image == image);
        for finding in reasons {
            let _ = writeln!(out, "# looks {}: {}", finding.kind.words(), finding.reason(&checked.images));
        }
        let _ = writeln!(out, "{}", image_list::line(Path::new(&checked.images[image]))?);
    }
    Ok(out)
}

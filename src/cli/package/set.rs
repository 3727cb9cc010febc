//! `uflow package set`: change what a package is called and how it decides.

use std::path::PathBuf;

use serde_json::json;

use super::{drop_limits, golden, sign};
use crate::cli::{Context, options::DecisionArgs};
use crate::{
    Error,
    package::{self, Manifest, Package},
    runtime::SessionOptions,
    segment::{RegionOfInterest, Segmenter},
};

const AFTER_HELP: &str = "\
Examples:
  uflow package set bolt.uflow --reject-rate 3%            (in place)
  uflow package set bolt.uflow --verdict score --score-threshold 0.93 --out strict.uflow
  uflow package set bolt --name bolt-m8 --roi field.png --out bolt-m8.uflow

Options that are not given stay as they are; `uflow info PKG` shows them. The package is replaced
when the new one is complete: a server that reads it finds the old one or the new one. A changed
package is not signed. Its golden frames are measured anew on this machine (cpu), if the decision
changes.
`uflow calibrate PKG --good DIR` measures what a decision does to good images.";

/// What to change.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// The package to change: a folder or a .uflow file.
    package: PathBuf,

    /// New name of the product.
    #[arg(long)]
    name: Option<String>,

    #[command(flatten)]
    decision: DecisionArgs,

    /// Remove the score threshold; verdicts by score then use the fair threshold.
    #[arg(long, conflicts_with = "score_threshold", help_heading = "Decision")]
    no_score_threshold: bool,

    /// Remove the region of interest.
    #[arg(long, conflicts_with = "roi", help_heading = "Decision")]
    no_roi: bool,

    /// Write the changed package here and leave PACKAGE as it is: a folder, or one file if it ends in .uflow [default: in place].
    #[arg(long, value_name = "PKG")]
    out: Option<PathBuf>,
}

/// Changes a package.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    let asked = args.decision.options()?;
    args.name.as_deref().map_or(Ok(()), package::check_model_name)?;
    if asked == Default::default() && args.name.is_none() && !args.no_roi && !args.no_score_threshold {
        let reason =
            "there is nothing to change; give --name or a decision option (uflow package set --help lists them)";
        return Err(Error::parameter("package set", reason).into());
    }
    let mut package = Package::open(&args.package)?;
    let out = args.out.as_deref().unwrap_or(&args.package);
    package::check_writable(out)?;

    let mut manifest = package.manifest.clone();
    if let Some(name) = &args.name {
        manifest.name.clone_from(name);
    }
    manifest.detection = asked.with_roi(None).over(manifest.detection);
    if args.no_score_threshold {
        manifest.detection.score_threshold = None;
    }
    let mask = asked.roi.as_ref().and_then(RegionOfInterest::mask);
    let roi = match mask {
        _ if args.no_roi => None,
        Some(mask) => Some(mask.to_png()?),
        None => package.roi.as_ref().map(|png| png.to_vec()),
    };
    // What the package could not decide by is told before it is written.
    manifest.rule(&Default::default())?;
    let (width, height) = manifest.input.map_size();
    Segmenter::new(&manifest.latents(), height as usize, width as usize)?.set_roi(mask.map(|mask| &**mask))?;
    let limits = drop_limits(&package, &mut manifest, roi.as_deref());
    let left = golden::measure_again(&mut package, &mut manifest, roi.as_deref(), &SessionOptions::default(), context)?;
    let manifest = package.write_changed(out, &manifest, roi.as_deref())?;
    let extrapolated = manifest.rule(&Default::default())?.warning();
    let unsigned = sign::lost(&package);
    let stale = stale_null(&package, &manifest, roi.as_deref());
    let warnings: Vec<_> = [stale, extrapolated, left, limits, unsigned].into_iter().flatten().collect();
    if context.json {
        let detection = &manifest.detection;
        context.print_json(&json!({
            "event": "changed", "package": out, "name": manifest.name, "detection": detection, "warnings": warnings,
        }))?;
        return Ok(());
    }
    warnings.iter().for_each(|warning| eprintln!("uflow: warning: {warning}"));
    let lines: String = manifest.decision_in_words()?.iter().map(|line| format!("  {line}\n")).collect();
    context.print(&format!("{}: {}\n{lines}", out.display(), manifest.name))?;
    Ok(())
}

/// A null belongs to the region of interest that it was calibrated in.
fn stale_null(package: &Package, manifest: &Manifest, roi: Option<&[u8]>) -> Option<String> {
    let changed = package.roi.as_deref() != roi;
    (changed && manifest.calibration.is_some()).then(|| {
        "the null and the threshold at the reject rate were calibrated in the former region of interest, and may not hold in \
         this one; calibrate again (uflow calibrate --model PKG --good DIR --out NEW)"
            .to_owned()
    })
}

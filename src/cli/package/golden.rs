//! `uflow package golden`: frames with expected results, for `uflow verify`.

use std::path::PathBuf;

use prost::bytes::Bytes;
use serde_json::json;

use super::{decides_otherwise, sign};
use crate::{
    Error, Result,
    cli::{
        Context,
        options::{DeviceArgs, SampleArgs},
    },
    frame::{Image, Limits},
    package::{self, MOST_GOLDEN, Machine, Manifest, Package, golden_picture},
    pipeline::{Detector, golden_frames},
    runtime::SessionOptions,
};

const AFTER_HELP: &str = "\
Examples:
  uflow package golden bolt.uflow good/1.png bad/scratch.png     (in place)
  uflow package golden bolt.uflow --none

The images replace the package's golden frames. Each is kept as a PNG of 8 bits, scaled down to fit
into the network's input, with what the package finds in it on this machine. `uflow verify PKG` runs
them on another machine. A changed package is not signed.";

/// Which golden frames.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// The package to change: a folder or a .uflow file.
    package: PathBuf,

    /// Images to keep in the package, at most 16; defects too.
    #[arg(value_name = "IMAGE", required_unless_present = "none", conflicts_with = "none")]
    images: Vec<PathBuf>,

    /// Remove the package's golden frames.
    #[arg(long)]
    none: bool,

    /// Write the changed package here and leave PACKAGE as it is: a folder, or one file if it ends in .uflow [default: in place].
    #[arg(long, value_name = "PKG")]
    out: Option<PathBuf>,

    #[command(flatten)]
    samples: SampleArgs,

    #[command(flatten)]
    device: DeviceArgs,
}

/// Replaces the golden frames of a package.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    if args.images.len() > MOST_GOLDEN {
        let reason = format!("{} images; a package holds at most {MOST_GOLDEN} golden frames", args.images.len());
        return Err(Error::parameter("IMAGE", reason).into());
    }
    let package = Package::open(&args.package)?;
    let out = args.out.as_deref().unwrap_or(&args.package);
    package::check_writable(out)?;
    let input = &package.manifest.input;
    let read = args.samples.read_options(input, Limits::default());
    let pictures =
        args.images.iter().map(|path| golden_picture(&Image::open_with(path, &read)?.frame(), input).map(Bytes::from));
    let pictures: Vec<Bytes> = pictures.collect::<Result<_>>()?;
    let golden = match args.none {
        true => None,
        false => Some(measure(&package, &pictures, &args.device.session(), context)?),
    };
    let golden = golden.as_ref().map(|(golden, pictures)| (golden.clone(), pictures.as_slice()));
    let manifest = package.write_with_golden(out, golden)?;
    let warnings: Vec<_> = sign::lost(&package).into_iter().collect();
    if context.json {
        let golden = &manifest.golden;
        context.print_json(&json!({ "event": "changed", "package": out, "golden": golden, "warnings": warnings }))?;
        return Ok(());
    }
    warnings.iter().for_each(|warning| eprintln!("uflow: warning: {warning}"));
    let frames = manifest.golden.map_or(0, |golden| golden.frames.len());
    context.print(&format!("{}: {frames} golden frames\n", out.display()))?;
    Ok(())
}

/// The golden frames of pictures, all of them.
fn measure(
    package: &Package,
    pictures: &[Bytes],
    session: &SessionOptions,
    context: &Context,
) -> Result<(package::Golden, Vec<Bytes>)> {
    let runtime = context.runtime()?;
    let mut detector = Detector::open(runtime, package, session)?;
    let found = golden_frames(&mut detector, pictures, pictures.len(), Machine::here(runtime, session))?;
    let taken = found.as_ref().map_or(0, |(_, taken)| taken.len());
    found.filter(|_| taken == pictures.len()).ok_or_else(|| {
        let left_out = pictures.len() - taken;
        let reason = format!(
            "{left_out} of the images are too near to the package's threshold: a rounding on another machine may change their verdict; \
             give other images"
        );
        Error::parameter("IMAGE", reason)
    })
}

/// Measures the golden frames of a package anew, if its decision changes: what was expected of them was found by the former decision. Frames that
/// are too near to the new threshold leave the package; gives a warning then.
pub(crate) fn measure_again(
    package: &mut Package,
    manifest: &mut Manifest,
    roi: Option<&[u8]>,
    session: &SessionOptions,
    context: &Context,
) -> Result<Option<String>> {
    if manifest.golden.is_none() || !decides_otherwise(package, manifest, roi) {
        return Ok(None);
    }
    let runtime = context.runtime()?;
    let changed = package.changed(manifest, roi.map(|png| png.to_vec().into()));
    let mut detector = Detector::open(runtime, &changed, session)?;
    let made = Machine::here(runtime, session);
    let found = golden_frames(&mut detector, &package.golden, package.golden.len(), made)?;
    let before = package.golden.len();
    let (golden, pictures) = found.unzip();
    (manifest.golden, package.golden) = (golden, pictures.unwrap_or_default());
    let left = before - package.golden.len();
    Ok((left > 0).then(|| {
        format!("{left} of {before} golden frames are too near to the new threshold and left the package; put others in (uflow package golden)")
    }))
}

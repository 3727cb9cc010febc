//! `uflow package`: change a package, sign it, and give it golden frames.

pub(super) mod golden;
mod set;
pub(super) mod sign;

use super::{CommandOutcome, Context};
use crate::package::{Manifest, Package};

/// Change or sign a package.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Change a package's name, decision or region of interest.
    Set(Box<set::Args>),
    /// Put golden frames into a package, or remove them.
    Golden(golden::Args),
    /// Make a pair of keys for signatures.
    Keygen(sign::KeygenArgs),
    /// Sign a package.
    Sign(sign::SignArgs),
    /// Check that a trusted key signed a package and that nobody changed it since.
    Verify(sign::VerifyArgs),
}

/// Whether a package with this manifest and region of interest decides otherwise.
fn decides_otherwise(package: &Package, manifest: &Manifest, roi: Option<&[u8]>) -> bool {
    let decides = |manifest: &Manifest| {
        (manifest.detection.with_roi::<String>(None), manifest.calibration.clone(), manifest.rejection.clone())
    };
    decides(manifest) != decides(&package.manifest) || roi != package.roi.as_deref()
}

/// Removes the detectable sizes of a package whose decision changes: they were measured by the former one. Gives a warning then.
pub(super) fn drop_limits(package: &Package, manifest: &mut Manifest, roi: Option<&[u8]>) -> Option<String> {
    if manifest.limits.is_none() || !decides_otherwise(package, manifest, roi) {
        return None;
    }
    manifest.limits = None;
    let text = "the detectable sizes were measured by the former decision and left the package; measure them again (uflow limits)";
    Some(text.to_owned())
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<CommandOutcome> {
    match &args.command {
        Command::Set(args) => set::run(args, context),
        Command::Golden(args) => golden::run(args, context),
        Command::Keygen(args) => sign::keygen(args, context),
        Command::Sign(args) => sign::sign(args, context),
        Command::Verify(args) => sign::verify(args, context),
    }
    .map(|()| CommandOutcome::Done)
}

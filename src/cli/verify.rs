//! `uflow verify`: whether this machine finds in a package's golden frames what was found where the package was made.

use std::path::PathBuf;

use super::{CommandOutcome, Context, options::DeviceArgs};
use crate::{
    Error,
    package::{GoldenResult, Machine, Package},
    pipeline::{Detector, Verification, verify},
};

const AFTER_HELP: &str = "\
Examples:
  uflow verify bolt.uflow
  uflow verify bolt.uflow --device cuda --json

The verdict of each frame must be the same. Its score, the maximum of its score map and five
quantiles of the score map must agree within the tolerance: a share of the expected value, or the
plain difference for values below 1. `uflow fit` keeps three frames by default; `uflow package
golden` puts others into a package.

Exit codes: 0 all frames agree; 1 a frame does not agree, or the package has none; 2 wrong usage.";

/// Run a package's golden frames.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// The model package: a folder or a .uflow file.
    package: PathBuf,

    /// Largest difference that is allowed [default: 0.001; 0.05 if the package was made, or is run now, in less than fp32].
    #[arg(long, value_name = "T")]
    tolerance: Option<f64>,

    #[command(flatten)]
    device: DeviceArgs,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<CommandOutcome> {
    let package = Package::open(&args.package)?;
    let Some(golden) = &package.manifest.golden else {
        let reason =
            "has no golden frames; put some in on a machine that you trust (uflow package golden PKG IMAGE...)";
        return Err(Error::package(&args.package, reason).into());
    };
    let (runtime, session) = (context.runtime()?, args.device.session());
    let mut detector = Detector::open(runtime, &package, &session)?;
    let here = Machine::here(runtime, &session);
    let verified = verify(&mut detector, golden, &package.golden, here, args.tolerance)?;
    if context.json {
        let (agrees, difference) = (verified.agrees(), verified.difference());
        context.print_json(&serde_json::json!({
            "package": args.package, "agrees": agrees, "difference": difference, "verification": verified,
        }))?;
    } else {
        context.print(&table(&verified))?;
    }
    Ok(if verified.agrees() { CommandOutcome::Done } else { CommandOutcome::Failed })
}

fn table(verified: &Verification) -> String {
    let Verification { made, here, tolerance, frames } = verified;
    let mut lines = vec![format!("made by  {made}"), format!("here     {here}"), String::new()];
    lines.push(format!("{:<14}  {:<21}  {:>10}  {:>10}  {:>10}", "frame", "verdict", "expected", "here", "difference"));
    for frame in frames {
        let (expected, found) = (&frame.expected, &frame.found);
        let verdict = match expected.anomalous == found.anomalous {
            true => verdict(expected).to_owned(),
            false => format!("{}, here {}", verdict(expected), verdict(found)),
        };
        let mark = if frame.agrees { "" } else { "  differs" };
        let (expected, found, difference) = (expected.score, found.score, frame.difference);
        lines.push(format!(
            "{:<14}  {verdict:<21}  {expected:>10.4}  {found:>10.4}  {difference:>10.1e}{mark}",
            frame.file
        ));
    }
    let (difference, count) = (verified.difference(), frames.len());
    let what = if count == 1 { "the golden frame".to_owned() } else { format!("all {count} golden frames") };
    lines.push(String::new());
    lines.push(match verified.agrees() {
        true => format!("{what} agree: largest difference {difference:.1e}, {tolerance} allowed")
            .replace("frame agree", "frame agrees"),
        false => format!("does not agree: largest difference {difference:.1e}, {tolerance} allowed"),
    });
    lines.join("\n") + "\n"
}

fn verdict(result: &GoldenResult) -> &'static str {
    if result.anomalous { "anomalous" } else { "good" }
}

#[cfg(test)]
mod tests {
    use crate::pipeline::{LOW_TOLERANCE, TOLERANCE};

    #[test]
    fn the_help_tells_the_tolerances() {
        assert_eq!((TOLERANCE, LOW_TOLERANCE), (0.001, 0.05), "change the help of --tolerance too");
    }
}

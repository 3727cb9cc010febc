//! `uflow package`: change a package, sign it, and give it golden frames.

pub(super) mod golden;
mod set;
pub(super) mod sign;

use super::{CommandOutcome, Context};

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

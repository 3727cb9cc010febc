//! The `uflow` command: one file per sub-command, all on the crate's public interface.
//!
//! Exit codes: 0 success, 1 something failed, 2 wrong usage, 130 Ctrl-C before there was a result. With `--json`, results are
//! printed to standard output as JSON, one object per line. Messages are printed to standard error.

mod auto;
mod backbone;
mod bench;
mod calibrate;
mod check;
mod choices;
#[cfg(feature = "serve")]
mod client;
mod compare;
pub mod demo;
mod detect;
mod engine;
pub mod evaluate;
mod fit;
mod good;
mod image_list;
mod import;
mod info;
mod inputs;
mod interrupt;
mod limits;
mod log;
mod options;
mod package;
mod progress;
pub mod segment;
#[cfg(feature = "serve")]
mod serve;
#[cfg(feature = "serve")]
mod served;
#[cfg(test)]
mod tests;
mod time_budget;
mod update;
mod verify;

use std::{io::Write, path::PathBuf, process::ExitCode, sync::OnceLock};

use clap::{CommandFactory, Parser, Subcommand};

use crate::{
    Error, Reason, Result,
    runtime::{LibrarySearch, Runtime},
};

/// The context of every sub-command.
#[derive(Debug, Default)]
pub struct Context {
    /// Whether results are printed as JSON lines.
    pub json: bool,
    onnxruntime: Option<PathBuf>,
    runtime: OnceLock<Runtime>,
}

impl Context {
    /// ONNX Runtime, loaded on first use.
    pub fn runtime(&self) -> Result<&Runtime> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime);
        }
        let search = LibrarySearch { explicit: self.onnxruntime.as_deref(), beside: None, option: "--onnxruntime" };
        let runtime = Runtime::find(search)?;
        Ok(self.runtime.get_or_init(|| runtime))
    }

    /// Prints one result as a JSON line.
    pub fn print_json(&self, value: &impl serde::Serialize) -> Result<()> {
        let mut line = serde_json::to_string(value).map_err(|error| {
            Error::parameter("--json", Reason::because("the result cannot be written as JSON", error))
        })?;
        line.push('\n');
        self.print(&line)
    }

    /// Prints lines for people. Fails if the reader has closed standard output.
    pub fn print(&self, lines: &str) -> Result<()> {
        std::io::stdout().write_all(lines.as_bytes()).map_err(Error::io("write to", "standard output"))
    }
}

/// How a command ended, if there was no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandOutcome {
    /// Exit code 0.
    Done,
    /// Exit code 1: some of the work failed, or an anomaly was found and `--fail-on-anomaly` was given.
    Failed,
}

const AFTER_HELP: &str = "\
Examples:
  uflow demo                                        show everything, in about two minutes
  uflow check --good parts/good                     name doubtful images in a folder of good images
  uflow fit --good parts/good --out bracket.uflow   learn from a folder of good images
  uflow detect --model bracket.uflow line3/ --out marked/
  uflow evaluate --model bracket.uflow --data parts
  uflow verify bracket.uflow                        do this machine and the maker agree?
  uflow serve --models repository/
  uflow import model.ckpt --backbone resnet18.onnx -o bracket.uflow

Environment:
  UFLOW_ONNXRUNTIME   ONNX Runtime's shared library, or the folder that contains it
  UFLOW_LOG           filter of the log on standard error, e.g. `uflow=debug` (default `warn`)";

/// Finds and outlines defects in images after learning from good images only.
#[derive(Debug, Parser)]
#[command(name = "uflow", version = crate::VERSION, disable_version_flag = true, after_help = AFTER_HELP, max_term_width = 110)]
struct Cli {
    /// Print the versions of uflow and ONNX Runtime.
    #[arg(short = 'V', long)]
    version: bool,

    /// Print results as JSON, one object per line.
    #[arg(long, global = true, help_heading = "Global options")]
    json: bool,

    /// ONNX Runtime's shared library, or the folder that contains it.
    #[arg(
        long,
        global = true,
        env = "UFLOW_ONNXRUNTIME",
        value_name = "PATH",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    onnxruntime: Option<PathBuf>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make pictures of products, learn them, find their defects and write a report.
    Demo(demo::Args),
    /// Name the images of a folder of good images that look doubtful.
    Check(check::Args),
    /// Learn a model from a folder of good images.
    Fit(fit::Args),
    /// Learn on from new good images.
    Update(update::Args),
    /// Convert a checkpoint of anomalib or other PyTorch code to a package.
    Import(import::Args),
    /// Find defects in images.
    Detect(detect::Args),
    /// Segment latents from any network (.npz in, .npz out).
    Segment(segment::Args),
    /// Measure a model on images with known defects.
    Evaluate(evaluate::Args),
    /// Compare two models on the same images.
    Compare(compare::Args),
    /// Check on new good images whether a model's ε can be trusted.
    Calibrate(calibrate::Args),
    /// Measure how small a defect may be and still be found.
    Limits(limits::Args),
    /// Show the content of a package.
    Info(info::Args),
    /// Run a package's golden frames and compare this machine with the one that made it.
    Verify(verify::Args),
    /// Change a package's name, decision or golden frames; sign it.
    Package(package::Args),
    /// List, fetch and describe backbones.
    Backbone(backbone::Args),
    /// Measure the speed of a model's networks and compare devices.
    Bench(bench::Args),
    /// Serve models over gRPC and HTTP.
    #[cfg(feature = "serve")]
    Serve(Box<serve::Args>),
    /// Stream frames to a server, check order and loss, print throughput and latency.
    #[cfg(feature = "serve")]
    Client(client::Args),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

impl Command {
    /// Whether the command sets up its own log.
    fn has_log(&self) -> bool {
        #[cfg(feature = "serve")]
        return matches!(self, Self::Serve(_));
        #[cfg(not(feature = "serve"))]
        false
    }

    /// The log without `UFLOW_LOG`. The demo's report says that its thresholds are extrapolated; the log need not repeat it for each model.
    fn standard_log(&self) -> &'static str {
        if matches!(self, Self::Demo(_)) { "error" } else { "warn" }
    }

    /// Whether the command may end as soon as its output is closed. A command with network peers may not: a peer that
    /// hangs up raises the same signal.
    fn only_prints(&self) -> bool {
        matches!(
            self,
            Self::Detect(_)
                | Self::Evaluate(_)
                | Self::Compare(_)
                | Self::Info(_)
                | Self::Verify(_)
                | Self::Bench(_)
                | Self::Completions { .. }
        )
    }
}

/// Parses the command line, runs the command and returns the exit code.
pub fn main() -> ExitCode {
    crate::runtime::forbid_telemetry();
    let cli = Cli::parse();
    let command = cli.command.as_ref();
    if command.is_none_or(|command| !command.has_log()) {
        log::start_default(command.map_or("warn", Command::standard_log));
    }
    // A closed output (`uflow detect … | head`) ends the command silently.
    if command.is_none_or(Command::only_prints) {
        sigpipe::reset();
    }
    let context = Context { json: cli.json, onnxruntime: cli.onnxruntime, runtime: OnceLock::new() };
    let result = match cli.command {
        _ if cli.version => print_version(&context),
        Some(command) => run(command, &context),
        None => {
            let _ = Cli::command().print_help();
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(CommandOutcome::Done) => ExitCode::SUCCESS,
        Ok(CommandOutcome::Failed) => ExitCode::from(1),
        Err(error) => {
            report(&error, context.json);
            ExitCode::from(match error.downcast_ref::<Error>() {
                Some(Error::Parameter { .. }) => 2,
                Some(Error::Cancelled) => 130,
                _ => 1,
            })
        }
    }
}

fn run(command: Command, context: &Context) -> anyhow::Result<CommandOutcome> {
    match command {
        Command::Demo(args) => {
            demo::run(&args, context.json, |args| Ok(Box::new(engine::DemoEngine::new(context, args.seed)?)))
                .map(|()| CommandOutcome::Done)
        }
        Command::Check(args) => check::run(&args, context),
        Command::Fit(args) => fit::run(&args, context),
        Command::Update(args) => update::run(&args, context),
        Command::Import(args) => import::run(&args, context),
        Command::Detect(args) => detect::run(&args, context),
        Command::Segment(args) => segment::run(&args, context.json).map(|()| CommandOutcome::Done),
        Command::Evaluate(args) => evaluate::run(&args, context, |args| args.open(context)),
        Command::Compare(args) => compare::run(&args, context),
        Command::Calibrate(args) => calibrate::run(&args, context),
        Command::Limits(args) => limits::run(&args, context),
        Command::Info(args) => info::run(&args, context),
        Command::Verify(args) => verify::run(&args, context),
        Command::Package(args) => package::run(&args, context),
        Command::Backbone(args) => backbone::run(&args, context),
        Command::Bench(args) => bench::run(&args, context),
        #[cfg(feature = "serve")]
        Command::Serve(args) => serve::run(&args, context),
        #[cfg(feature = "serve")]
        Command::Client(args) => client::run(&args, context),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "uflow", &mut std::io::stdout());
            Ok(CommandOutcome::Done)
        }
    }
}

/// An error and its causes on one line, each once.
fn described(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for error in error.chain() {
        let part = error.to_string();
        if text.is_empty() {
            text = part;
        } else if !text.ends_with(&part) {
            text = format!("{text}: {part}");
        }
        // Its message is complete.
        if error.is::<crate::Error>() {
            break;
        }
    }
    text
}

fn report(error: &anyhow::Error, json: bool) {
    if json {
        eprintln!("{}", serde_json::json!({ "error": described(error) }));
    } else {
        eprintln!("uflow: error: {}", described(error));
    }
}

fn print_version(context: &Context) -> anyhow::Result<CommandOutcome> {
    let runtime = context.runtime();
    if context.json {
        let (version, path) =
            runtime.map(|runtime| (runtime.version().to_owned(), runtime.path().to_owned())).ok().unzip();
        context.print_json(&serde_json::json!({
            "uflow": crate::VERSION, "commit": crate::COMMIT, "onnxruntime": version, "onnxruntime_path": path,
        }))?;
    } else {
        println!("uflow {} (commit {})", crate::VERSION, crate::COMMIT);
        match runtime {
            Ok(runtime) => println!("ONNX Runtime {} ({})", runtime.version(), runtime.path().display()),
            Err(error) => println!("ONNX Runtime: {error}"),
        }
    }
    Ok(CommandOutcome::Done)
}

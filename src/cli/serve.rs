//! `uflow serve`: runs the server until a signal ends it.

use std::{path::PathBuf, time::Duration};

#[cfg(unix)]
use anyhow::Context as _;

use super::{CommandOutcome, Context, log};
use crate::{
    runtime::{Device, Precision},
    serve::{
        self, Server,
        config::{Address, Config, LogFormat, ModelControl, Overload, Settings, settings_table},
    },
};

const AFTER_HELP: &str = "\
Examples:
  uflow serve --models repository/                    serve every model in the folder
  uflow serve --models bracket.uflow --name bracket   serve one package
  uflow serve --config uflow.toml --check             check the settings and stop
  curl --data-binary @frame.png http://127.0.0.1:8002/v1/models/bracket/detect

Each option can also be set by the variable UFLOW_<OPTION> or by the key <option> in the TOML file,
with _ instead of -. The command line overrides variables, and variables override the file.
On SIGTERM the server answers all accepted frames and ends. A second signal ends it at once.";

/// Serve models over gRPC and HTTP.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// TOML file with settings.
    #[arg(long, value_name = "FILE", env = "UFLOW_CONFIG")]
    config: Option<PathBuf>,

    /// Check settings, certificates, tokens and keys, load every model once, run its golden frames, print the settings in use as TOML, and stop.
    #[arg(long)]
    check: bool,

    #[command(flatten)]
    settings: SettingsArgs,
}

/// Generates [`SettingsArgs`] from the table of the settings.
macro_rules! settings_args {
    ($($heading:expr => { $($(#[$doc:meta])* $field:ident: $type:ty, $value:literal, $variable:literal;)* })*) => {
        /// The settings as options.
        #[derive(Clone, Debug, clap::Args)]
        #[command(mut_arg("ready_when_empty", |arg| arg.num_args(0..=1).default_missing_value("true")))]
        struct SettingsArgs {
            $($(
                $(#[$doc])*
                #[arg(long, value_name = $value, env = $variable, help_heading = $heading)]
                $field: Option<$type>,
            )*)*
        }

        impl From<SettingsArgs> for Settings {
            fn from(args: SettingsArgs) -> Self {
                Self { $($($field: args.$field,)*)* }
            }
        }
    };
}

settings_table!(settings_args);

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<CommandOutcome> {
    let file = args.config.as_deref().map(Settings::read).transpose()?.unwrap_or_default();
    let settings = Settings::from(args.settings.clone()).or(file).with_defaults();
    let config = Config::new(settings.clone())?;
    let (filter, format) = (settings.log.as_deref().unwrap_or("info"), settings.log_format.unwrap_or_default());
    log::start(filter, format)?;
    let onnxruntime = context.runtime()?;
    if args.check {
        let checked = serve::check(onnxruntime, &config)?;
        print_check(&settings, &checked, context)?;
        return Ok(CommandOutcome::Done);
    }
    let event_loop = serve::event_loop()?;
    let drained = event_loop.block_on(async {
        let mut signals = Signals::watch()?;
        let server = Server::start(onnxruntime, config).await?;
        signals.next().await;
        tracing::info!("stopping: accepted frames are answered first");
        tokio::spawn(async move {
            signals.next().await;
            tracing::warn!("second signal: ending at once");
            std::process::exit(1);
        });
        anyhow::Ok(server.stop().await)
    })?;
    event_loop.shutdown_timeout(Duration::from_secs(1));
    if drained {
        tracing::info!("stopped");
        return Ok(CommandOutcome::Done);
    }
    tracing::error!("stopped with frames that were not answered in time");
    Ok(CommandOutcome::Failed)
}

fn print_check(settings: &Settings, checked: &serve::Checked, context: &Context) -> anyhow::Result<()> {
    let runtime = context.runtime()?;
    if context.json {
        let models: Vec<_> = (checked.models.iter())
            .map(|model| serde_json::json!({ "name": model.name, "version": model.version, "golden_frames": model.golden }))
            .collect();
        context.print_json(&serde_json::json!({
            "settings": settings, "models": models, "passed_over": checked.passed_over,
            "onnxruntime": { "version": runtime.version(), "path": runtime.path() },
        }))?;
        return Ok(());
    }
    let mut lines = vec![format!("# ONNX Runtime {} from {}", runtime.version(), runtime.path().display())];
    lines.extend(checked.models.iter().map(|model| {
        let golden = match model.golden {
            0 => String::new(),
            1 => ", and its golden frame agrees".to_owned(),
            frames => format!(", and its {frames} golden frames agree"),
        };
        format!("# model {}, version {}: loads{golden}", model.name, model.version)
    }));
    lines.extend(
        checked
            .passed_over
            .iter()
            .map(|path| format!("# passed over, it is not <model>/<version>/uflow.json: {}", path.display())),
    );
    if checked.models.is_empty() {
        lines.push("# no models: there is no <model>/<version>/uflow.json in the folder".to_owned());
    }
    lines.push(settings.to_toml()?);
    context.print(&lines.join("\n"))?;
    Ok(())
}

/// SIGTERM and interrupts. One that comes before it is waited for is not lost.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn watch() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?,
            interrupt: signal(SignalKind::interrupt()).context("SIGINT cannot be handled")?,
        })
    }

    #[cfg(not(unix))]
    fn watch() -> anyhow::Result<Self> {
        Ok(Self {})
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        // A signal that cannot be handled ends the process by itself.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

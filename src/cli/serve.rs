//! `uflow serve`: the server as a command, and how signals end it.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;

use super::{Context, Outcome, log};
use crate::{
    runtime::cpu_quota,
    serve::{
        self, Server,
        config::{Config, Settings},
    },
};

const AFTER_HELP: &str = "\
Examples:
  uflow serve --models repository/                       every model in it, on 127.0.0.1:8001 (gRPC) and :8002 (HTTP)
  uflow serve --models bracket.uflow --name bracket      one package
  uflow serve --config uflow.toml --check                say what would be done, and do nothing
  curl --data-binary @frame.png http://127.0.0.1:8002/v1/models/bracket/detect

Each option can also be set by the variable UFLOW_<OPTION> and by the key <option> of the file; the command line is
stronger than variables, and these than the file. SIGTERM ends the server when what it has accepted is answered; a second
one ends it at once.";

/// Serve models over gRPC and HTTP.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// TOML file with settings.
    #[arg(long, value_name = "FILE", env = "UFLOW_CONFIG")]
    config: Option<PathBuf>,

    /// Check settings, certificates, tokens and packages, print the settings in force as TOML, and stop.
    #[arg(long)]
    check: bool,

    #[command(flatten)]
    settings: Settings,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<Outcome> {
    let file = args.config.as_deref().map(Settings::read).transpose()?.unwrap_or_default();
    let settings = args.settings.clone().or(file).with_defaults();
    let config = Config::new(settings.clone())?;
    if args.check {
        let packages = serve::check(&config)?;
        let runtime = context.runtime()?;
        print!("{}", settings.to_toml()?);
        println!("# {packages} packages checked, ONNX Runtime {} from {}", runtime.version(), runtime.path().display());
        return Ok(Outcome::Done);
    }
    log::start(settings.log.as_deref().unwrap_or("info"), settings.log_format.unwrap_or_default())?;
    let onnxruntime = context.runtime()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cpu_quota().clamp(1, 4))
        .thread_name("uflow-network")
        .enable_all()
        .build()
        .context("the event loop cannot be started")?;
    let drained = runtime.block_on(async {
        let server = Server::start(onnxruntime, config).await?;
        signal().await?;
        tracing::info!("stopping: what was accepted is answered first");
        tokio::spawn(async {
            if signal().await.is_ok() {
                tracing::warn!("second signal: ending at once");
                std::process::exit(1);
            }
        });
        anyhow::Ok(server.stop().await)
    })?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    if drained {
        tracing::info!("stopped");
        return Ok(Outcome::Done);
    }
    tracing::error!("stopped with frames that were not answered in time");
    Ok(Outcome::Failed)
}

/// Waits for SIGTERM or an interrupt.
async fn signal() -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be watched for")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be watched for")?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await.context("an interrupt cannot be watched for")?;
    Ok(())
}

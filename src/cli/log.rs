//! Where log lines go: standard error, as text or JSON.

use std::io::IsTerminal;

use anyhow::Context as _;
use tracing_subscriber::{EnvFilter, fmt};

/// Starts logging at what `UFLOW_LOG` says, else warnings.
pub fn start_default() {
    let filter = EnvFilter::try_from_env("UFLOW_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).init();
}

/// Starts logging what `filter` lets through.
#[cfg(feature = "serve")]
pub fn start(filter: &str, format: crate::serve::config::LogFormat) -> anyhow::Result<()> {
    use crate::serve::config::LogFormat;
    let parsed = EnvFilter::try_new(filter).with_context(|| format!("log: `{filter}` is not a filter"))?;
    let builder = fmt().with_env_filter(parsed).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}

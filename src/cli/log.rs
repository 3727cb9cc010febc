//! Logging to standard error, as text or JSON.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt};

use crate::Reason;

#[cfg(feature = "serve")]
use crate::Error;

/// Starts logging with the filter in `UFLOW_LOG`; without the variable, from this level.
pub fn start_default(level: &str) {
    let filter = EnvFilter::try_from_env("UFLOW_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).init();
}

/// Starts logging with this filter.
#[cfg(feature = "serve")]
pub fn start(filter: &str, format: crate::serve::config::LogFormat) -> crate::Result<()> {
    use crate::serve::config::LogFormat;
    let wrong = |error| {
        Error::parameter(
            "log",
            Reason::because(format_args!("`{filter}` is not a filter such as info or uflow=debug"), error),
        )
    };
    // Debug lines of the network crates appear only if the filter names those crates.
    let parsed = EnvFilter::try_new(format!("h2=info,hyper=info,hyper_util=info,tower=info,rustls=info,{filter}"));
    let parsed = parsed.map_err(wrong)?;
    let builder = fmt().with_env_filter(parsed).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}

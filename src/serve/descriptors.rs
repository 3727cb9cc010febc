//! File descriptors: as many connections as the system lets this process have.

#[cfg(unix)]
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{Error, Result};

/// Descriptors beside those of connections: models that are being loaded, logs, the event loop, traces.
const OTHERS: usize = 64;
/// Ports that have connections.
const PORTS: usize = 2;
/// With fewer connections on a port than this, a probe, a scraper and a client would keep each other out.
const FEWEST: usize = 8;

/// How many connections each port may have at once: `wanted`, or fewer where the limit of open files allows fewer. Raises the
/// limit as far as it is needed and the system lets it. Reads `/proc`: call it where blocking is allowed.
///
/// # Errors
/// [`Error::Parameter`] where the limit leaves no room for connections.
pub(super) fn connections(wanted: usize) -> Result<usize> {
    let open = open_descriptors();
    let needed = open + OTHERS + PORTS * wanted;
    let Some(limit) = raised_to(needed) else { return Ok(wanted) };
    let fit = limit.saturating_sub(open + OTHERS) / PORTS;
    if fit < FEWEST {
        let reason = format!(
            "the limit of {limit} open files leaves no room for connections; raise it (`ulimit -n`, systemd's LimitNOFILE) to {needed}"
        );
        return Err(Error::parameter("max_connections", reason));
    }
    if fit < wanted {
        tracing::warn!(
            limit,
            wanted,
            connections = fit,
            "the limit of open files allows fewer connections on each port than --max-connections; raise the limit (`ulimit -n`, \
             systemd's LimitNOFILE) to {needed}"
        );
    }
    Ok(fit.min(wanted))
}

/// The limit of open files, raised to `needed` where it is lower and may be raised. `None` for no limit.
#[cfg(unix)]
fn raised_to(needed: usize) -> Option<usize> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let current = current?;
    let most = maximum.unwrap_or(u64::MAX);
    let wanted = most.min(needed as u64);
    if wanted > current && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok() {
        return usize::try_from(wanted).ok();
    }
    usize::try_from(current).ok()
}

#[cfg(not(unix))]
fn raised_to(_: usize) -> Option<usize> {
    None
}

fn open_descriptors() -> usize {
    const TYPICAL: usize = 32;
    std::fs::read_dir("/proc/self/fd").map_or(TYPICAL, Iterator::count)
}

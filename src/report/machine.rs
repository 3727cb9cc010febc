//! Where and when something was measured: every figure the report shows stands beside this.

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

/// The machine, the build and the time.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The processor's name, where the system tells it.
    pub processor: String,
    /// Threads that this process may run at once.
    pub threads: usize,
    /// Memory in GiB, where the system tells it.
    pub memory_gib: Option<f64>,
    /// Operating system and architecture.
    pub system: String,
    /// This crate's version and commit.
    pub version: String,
    /// When, in UTC (RFC 3339).
    pub date: String,
}

impl Machine {
    /// This machine, now.
    pub fn here() -> Self {
        let field = |path: &str, name: &str| -> Option<String> {
            let text = fs::read_to_string(path).ok()?;
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = field("/proc/meminfo", "MemTotal").and_then(|value| value.split(' ').next()?.parse::<f64>().ok());
        Self {
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unnamed processor".to_owned()),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: memory.map(|kib| kib / f64::from(1 << 20)),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            version: format!("{} ({})", crate::VERSION, crate::COMMIT),
            date: utc(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())),
        }
    }
}

/// Seconds since 1970 as `YYYY-MM-DDThh:mm:ssZ` (days to civil date after Hinnant's `civil_from_days`).
fn utc(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_600, "2025-01-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(seconds), expected);
        }
    }
}

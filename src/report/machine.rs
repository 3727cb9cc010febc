//! The machine, the build and the time of a measurement. The report shows them with its figures.

use std::{fs, time::SystemTime};

use serde::Serialize;

use crate::package::timestamp;

/// The machine, the build and the time.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The processor's name, if the system provides it.
    pub processor: String,
    /// Number of threads that this process may run at once.
    pub threads: usize,
    /// Memory in GiB, if the system provides it.
    pub memory_gib: Option<f64>,
    /// Operating system and architecture.
    pub system: String,
    /// This crate's version and commit.
    pub version: String,
    /// Date and time in UTC (RFC 3339).
    pub date: String,
}

impl Machine {
    /// This machine at the current time.
    pub fn here() -> Self {
        let field = |path: &str, name: &str| -> Option<String> {
            let text = fs::read_to_string(path).ok()?;
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = field("/proc/meminfo", "MemTotal").and_then(|value| value.split(' ').next()?.parse::<f64>().ok());
        Self {
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned()),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: memory.map(|kib| kib / f64::from(1 << 20)),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            version: format!("{} ({})", crate::VERSION, crate::COMMIT),
            date: timestamp(SystemTime::now()),
        }
    }
}

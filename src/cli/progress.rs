//! Progress of long work: a bar on a terminal, plain lines elsewhere, JSON lines with `--json`.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// One piece of long work.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    what: String,
    quiet: bool,
    total: u64,
    last_line: Option<Instant>,
}

/// How often a plain line is printed.
const LINE_EVERY: Duration = Duration::from_secs(5);

impl Progress {
    /// Starts; `quiet` prints nothing (for `--json`, whose lines the caller prints).
    pub fn start(what: &str, total: u64, quiet: bool) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len}  {elapsed} (left {eta})  {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total).with_style(style).with_prefix(what.to_owned())
        });
        Self { bar, what: what.to_owned(), quiet, total, last_line: None }
    }

    /// Tells how far it is, and what the user should see beside it.
    pub fn set(&mut self, position: u64, message: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(message.to_owned());
                bar.set_position(position);
            }
            None if self.quiet => {}
            None if position == self.total || self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY) => {
                self.last_line = Some(Instant::now());
                let space = if message.is_empty() { "" } else { "  " };
                eprintln!("{} {position}/{}{space}{message}", self.what, self.total);
            }
            None => {}
        }
    }

    /// Prints a line above the bar.
    pub fn note(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

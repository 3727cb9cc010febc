//! Progress of long work: a bar on a terminal, plain lines elsewhere, nothing with `--json`.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};

/// Where progress goes.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    quiet: bool,
}

impl Progress {
    /// On standard error.
    pub(crate) fn new(json: bool) -> Self {
        let bar = (!json && std::io::stderr().is_terminal()).then(ProgressBar::no_length);
        if let Some(bar) = &bar {
            let style = ProgressStyle::with_template(
                "{prefix:<24} {wide_bar:.cyan/dim} {pos:>4}/{len:<4} {eta:>4} left  {msg}",
            );
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        }
        Self { bar, quiet: json }
    }

    /// `done` of `all` pieces of the work called `name` are done.
    pub(crate) fn at(&self, name: &str, done: usize, all: usize) {
        self.at_with(name, done, all, "");
    }

    /// The same, with a figure to watch.
    pub(crate) fn at_with(&self, name: &str, done: usize, all: usize, figure: &str) {
        match &self.bar {
            Some(bar) => {
                if bar.prefix() != name {
                    bar.reset();
                    bar.set_prefix(name.to_owned());
                }
                bar.set_length(all as u64);
                bar.set_message(figure.to_owned());
                bar.set_position(done as u64);
            }
            // Lines are for logs: at every tenth.
            None if !self.quiet && done * 10 / all.max(1) != (done.max(1) - 1) * 10 / all.max(1) => {
                let space = if figure.is_empty() { "" } else { "  " };
                eprintln!("{name}: {done}/{all}{space}{figure}");
            }
            None => {}
        }
    }

    /// Something without pieces to count, or a line that should stay.
    pub(crate) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None if !self.quiet => eprintln!("{line}"),
            None => {}
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

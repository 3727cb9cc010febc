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
            let style = ProgressStyle::with_template("{msg:<28} {wide_bar:.cyan/dim} {pos:>4}/{len:<4} {eta:>4}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        }
        Self { bar, quiet: json }
    }

    /// `done` of `all` pieces of the work called `name` are done.
    pub(crate) fn at(&self, name: &str, done: usize, all: usize) {
        match &self.bar {
            Some(bar) => {
                if bar.message() != name {
                    bar.reset();
                    bar.set_message(name.to_owned());
                }
                bar.set_length(all as u64);
                bar.set_position(done as u64);
            }
            // Lines are for logs: at every tenth.
            None if !self.quiet && done * 10 / all.max(1) != (done.max(1) - 1) * 10 / all.max(1) => {
                eprintln!("{name}: {done}/{all}");
            }
            None => {}
        }
    }

    /// Something without pieces to count has begun.
    pub(crate) fn say(&self, name: &str) {
        match &self.bar {
            Some(bar) => bar.println(name),
            None if !self.quiet => eprintln!("{name}"),
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

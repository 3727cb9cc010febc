//! Progress of long work: a bar on a terminal, plain lines elsewhere, nothing with `--json`. Work without items shows nothing.

use std::{cell::RefCell, io::IsTerminal as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shows progress on standard error.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    quiet: bool,
    /// The last line, which is not printed twice.
    last: RefCell<String>,
}

impl Progress {
    /// Shows a bar if standard error is a terminal, else lines; nothing if `json` is set.
    pub(crate) fn new(json: bool) -> Self {
        Self::on(json, std::io::stderr().is_terminal().then(ProgressDrawTarget::stderr))
    }

    /// The bar, on a terminal. It draws nothing until the first [`at`](Self::at): before that it would show `0/0`.
    fn on(json: bool, terminal: Option<ProgressDrawTarget>) -> Self {
        let bar = terminal.filter(|_| !json).map(|terminal| ProgressBar::with_draw_target(None, terminal));
        if let Some(bar) = &bar {
            let style = ProgressStyle::with_template(
                "{prefix:<24} {wide_bar:.cyan/dim} {pos:>4}/{len:<4} {eta:>4} left  {msg}",
            );
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        }
        Self { bar, quiet: json, last: RefCell::default() }
    }

    /// Shows that `done` of `all` items of the work `name` are done. Shows nothing if there are no items.
    pub(crate) fn at(&self, name: &str, done: usize, all: usize) {
        self.at_with(name, done, all, "");
    }

    /// The same, followed by a figure.
    pub(crate) fn at_with(&self, name: &str, done: usize, all: usize, figure: &str) {
        if all == 0 {
            return;
        }
        match &self.bar {
            Some(bar) => {
                // Set the length first: every other change draws the bar.
                bar.set_length(all as u64);
                if bar.prefix() != name {
                    bar.reset();
                    bar.set_prefix(name.to_owned());
                }
                bar.set_message(figure.to_owned());
                bar.set_position(done as u64);
            }
            // Lines are for logs: one for every tenth.
            None if !self.quiet && done * 10 / all.max(1) != (done.max(1) - 1) * 10 / all.max(1) => {
                let space = if figure.is_empty() { "" } else { "  " };
                let line = format!("{name}: {done}/{all}{space}{figure}");
                if *self.last.borrow() != line {
                    eprintln!("{line}");
                    self.last.replace(line);
                }
            }
            None => {}
        }
    }

    /// Prints a line that stays: for work without items to count, and for messages.
    pub(crate) fn say(&self, line: &str) {
        match &self.bar {
            // `println` draws the bar again, so it needs one that has been drawn.
            Some(bar) if bar.length().is_some() => bar.println(line),
            _ if !self.quiet => eprintln!("{line}"),
            _ => {}
        }
    }

    /// A line that must be seen: on standard error even where progress is not shown.
    pub(crate) fn say_always(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use indicatif::TermLike;

    use super::*;

    /// A terminal that records what is written to it.
    #[derive(Clone, Debug, Default)]
    struct Terminal(Arc<Mutex<String>>);

    impl Terminal {
        fn written(&self) -> String {
            self.0.lock().unwrap().clone()
        }
    }

    impl TermLike for Terminal {
        fn width(&self) -> u16 {
            100
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, line: &str) -> io::Result<()> {
            self.write_str(line)
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn progress(terminal: &Terminal) -> Progress {
        Progress::on(false, Some(ProgressDrawTarget::term_like(Box::new(terminal.clone()))))
    }

    #[test]
    fn no_items_no_bar() {
        let terminal = Terminal::default();
        let progress = progress(&terminal);
        progress.say("2 categories, 2 done already");
        progress.at("features", 0, 0);
        progress.finish();
        assert_eq!(terminal.written(), "");
    }

    #[test]
    fn a_bar_never_shows_zero_of_zero() {
        let terminal = Terminal::default();
        let progress = progress(&terminal);
        progress.say("making pictures");
        progress.at_with("training", 1, 3, "loss 0.5");
        progress.at("testing", 1, 2);
        let written = terminal.written();
        assert!(written.contains("training") && written.contains("/3"), "{written}");
        assert!(!written.contains("0/0"), "{written}");
    }
}

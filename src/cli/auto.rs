//! `uflow fit --auto`: a search for settings before the fit.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{
    Context,
    interrupt::{Interrupt, Phase},
    progress::Progress,
    time_budget::TimeBudget,
};
use crate::{
    Error, Result,
    frame::Limits,
    report::Note,
    search::{self, Held, Network, Row, SearchEvent, SearchOptions, Searched},
    train::{
        Control,
        fit::{Event, FitOptions},
    },
};

/// Time of a search by default, in minutes.
const MINUTES: u64 = 30;
/// Ending of the folder beside the package.
const FOLDER_SUFFIX: &str = ".auto";

/// Options of the search.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Search")]
pub(super) struct AutoArgs {
    /// Search the backbone, the input size, the strides and the noise first, with synthetic defects on good images that are set aside. What you
    /// set is not changed. At least 16 images are needed.
    #[arg(long)]
    pub(super) auto: bool,

    /// Most time for the search, e.g. 10min or 2h. The fit that follows has its own time (--time-budget).
    #[arg(long, value_name = "TIME", requires = "auto", default_value_t = TimeBudget(Some(std::time::Duration::from_secs(60 * MINUTES))))]
    auto_time: TimeBudget,

    /// Folder in which the search keeps its record, features and candidates, so that it goes on after it was ended [default: beside the
    /// package, PKG.auto, removed at the end].
    #[arg(long, value_name = "DIR", requires = "auto")]
    auto_dir: Option<PathBuf>,
}

impl AutoArgs {
    /// Refuses what no search could work with.
    pub(super) fn check(&self) -> Result<()> {
        if self.auto && self.auto_time.0.is_none() {
            return Err(Error::parameter("--auto-time", "a search needs a limit of time, as 30min"));
        }
        Ok(())
    }

    fn folder(&self, out: &Path) -> PathBuf {
        self.auto_dir.clone().unwrap_or_else(|| {
            let mut name = out.file_name().unwrap_or_default().to_owned();
            name.push(FOLDER_SUFFIX);
            out.with_file_name(name)
        })
    }

    /// Removes the folder beside the package. A folder that the user named stays.
    pub(super) fn tidy(&self, out: &Path) -> Result<()> {
        if self.auto_dir.is_some() { Ok(()) } else { Searched::remove(&self.folder(out)) }
    }
}

/// Searches settings; gives what was found, and the options of the fit with them.
pub(super) fn search(
    args: &AutoArgs,
    context: &Context,
    images: &[PathBuf],
    (fit, held): (FitOptions, Held),
    out: &Path,
    interrupt: &Interrupt,
) -> anyhow::Result<(Searched, FitOptions)> {
    let networks = if held.backbone { Vec::new() } else { Network::stored(&fit.backbone) };
    let options = SearchOptions {
        held,
        networks,
        time: args.auto_time.0.unwrap_or_default(),
        folder: args.folder(out),
        limits: Limits::default(),
        fit,
    };
    interrupt.enter(Phase::Searching);
    let progress = Progress::new(context.json);
    let found = search::search(context.runtime()?, images, &options, &mut |event| {
        show(&event, &progress, context);
        if interrupt.came() { Control::Cancel } else { Control::Continue }
    });
    progress.finish();
    let found = match found {
        Err(Error::Cancelled) => {
            let text = format!("the search was stopped; what was judged is in {}", options.folder.display());
            return Err(anyhow::Error::new(Error::Cancelled).context(text));
        }
        found => found?,
    };
    let fit = FitOptions { search: Some(found.record()), ..found.settings.over(options.fit) };
    Ok((found, fit))
}

fn show(event: &SearchEvent<'_>, progress: &Progress, context: &Context) {
    match event {
        SearchEvent::Checked { done, total } => progress.at("checking files", *done, *total),
        SearchEvent::Warning(text) => {
            progress.say_always(&format!("uflow: warning: {text}"));
            print(&json!({ "event": "warning", "warning": text }), context);
        }
        SearchEvent::Fitting { number, event, .. } => match event {
            Event::Features { done, total } => progress.at(&format!("{number}: features"), *done, *total),
            Event::Training(state) => {
                let (done, all) = super::fit::position(state);
                progress.at(&format!("{number}: training"), done, all);
            }
            _ => {}
        },
        SearchEvent::Looking { number, done, total } => progress.at(&format!("{number}: defects"), *done, *total),
        SearchEvent::Done(row) => {
            progress.say(&said(row));
            print(&json!({ "event": "candidate", "candidate": row, "why": row.why() }), context);
        }
    }
}

fn said(row: &Row) -> String {
    format!("{}: {}: {}; {:.0} s", row.number, row.change, row.why(), row.seconds)
}

fn print(line: &serde_json::Value, context: &Context) {
    if context.json
        && let Err(error) = context.print_json(line)
    {
        eprintln!("uflow: {error}");
    }
}

/// The search as a section of a page.
pub(super) fn note(searched: &Searched) -> Note {
    Note {
        title: "The search for settings".to_owned(),
        text: format!("{}. {}.", searched.basis(), searched.choice()),
        table: searched.cells(),
        remarks: vec![
            "Other settings are kept only if their area under the ROC curve is larger beyond chance (95%). Synthetic defects are not real ones: their \
             order of settings need not be that of real defects."
                .to_owned(),
        ],
        ..Note::default()
    }
}

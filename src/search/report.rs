//! The result of a search: a row for each candidate, which one was kept, and why.

use std::{fmt, path::PathBuf};

use serde::Serialize;

use super::settings::Settings;
use crate::{
    columns::{Column, Table},
    compare::paired::Difference,
    package::SearchRecord,
};

/// What became of a candidate.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// It was fitted and judged.
    Judged {
        /// Area under the ROC curve: images with a synthetic defect against good ones.
        auroc: f64,
        /// Its bounds at 95%.
        auroc_bounds: [f64; 2],
        /// Part of the defects that its own decision finds.
        found: f64,
        /// Good images that its own decision flags.
        flagged: usize,
        /// The candidate that was the best so far.
        against: Option<usize>,
        /// The difference of the areas, this candidate's minus that one's.
        difference: Option<Difference>,
        /// Whether it became the best so far.
        replaced: bool,
    },
    /// It failed.
    Failed {
        /// Why.
        reason: String,
    },
    /// It was not begun.
    NotTried {
        /// Why.
        reason: String,
    },
}

/// A candidate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its number, from 0: the settings as given.
    pub number: usize,
    /// What it changes in the best settings so far.
    pub change: String,
    /// Name of its backbone.
    pub backbone: String,
    /// Strides that it uses.
    pub strides: Vec<usize>,
    /// Width and height of the network's input, if they are known.
    pub input: Option<(u32, u32)>,
    /// Noise on the features of the finest scale.
    pub noise: f64,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Seconds that it took.
    pub seconds: f64,
    /// Whether it is from the record of a search that was ended.
    pub resumed: bool,
    /// Its package, in the search's folder.
    pub package: Option<PathBuf>,
}

impl Row {
    /// What was decided about it and why.
    pub fn why(&self) -> String {
        match &self.outcome {
            Outcome::Judged { difference: None, .. } => "the settings to begin with".to_owned(),
            Outcome::Judged { difference: Some(difference), against, replaced, .. } => {
                let [low, high] = difference.bounds;
                let what = match (replaced, high < 0.0) {
                    (true, _) => "better beyond chance",
                    (false, true) => "worse beyond chance",
                    (false, false) => "not better beyond chance",
                };
                let number = against.unwrap_or_default();
                format!("{what} than {number}: {:+.3} ({low:+.3} to {high:+.3})", difference.value)
            }
            Outcome::Failed { reason } => format!("failed: {reason}"),
            Outcome::NotTried { reason } => format!("not tried: {reason}"),
        }
    }

    fn cells(&self, kept: usize) -> Vec<String> {
        let (auroc, found) = match &self.outcome {
            Outcome::Judged { auroc, auroc_bounds: [low, high], found, .. } => {
                (format!("{auroc:.3} ({low:.3} to {high:.3})"), format!("{:.0}%", 100.0 * found))
            }
            _ => ("–".to_owned(), "–".to_owned()),
        };
        vec![
            format!("{}{}", self.number, if self.number == kept { " *" } else { "" }),
            self.change.clone(),
            self.input.map_or_else(|| "–".to_owned(), |(width, height)| format!("{width}×{height}")),
            auroc,
            found,
            format!("{:.0}", self.seconds),
            self.why(),
        ]
    }
}

/// What a search found.
#[derive(Clone, Debug, Serialize)]
pub struct Searched {
    /// The candidates, in the order that they were tried.
    pub rows: Vec<Row>,
    /// The number of the candidate that was kept.
    pub kept: usize,
    /// What it changes in the settings as given; empty if nothing.
    pub changed: Vec<String>,
    /// Good images that were set aside.
    pub images: usize,
    /// Good images that candidates were fitted to.
    pub trained: usize,
    /// Synthetic defects, one on an image.
    pub defects: usize,
    /// Most seconds that a candidate trained.
    pub training_seconds: f64,
    /// Seconds of all candidates.
    pub seconds: f64,
    /// The settings that were kept.
    #[serde(skip)]
    pub settings: Settings,
}

impl Searched {
    /// Headings of [`cells`](Self::cells).
    const HEADS: [&str; 7] = ["", "setting", "input", "synthetic AUROC", "found", "seconds", "decision"];

    /// The table: headings first.
    pub fn cells(&self) -> Vec<Vec<String>> {
        let heads = Self::HEADS.map(str::to_owned).to_vec();
        [heads].into_iter().chain(self.rows.iter().map(|row| row.cells(self.kept))).collect()
    }

    /// What the table stands on, in a sentence.
    pub fn basis(&self) -> String {
        format!(
            "{} settings on {} good images, {} synthetic defects on {} others; each trained for at most {:.0} s",
            self.judged(),
            self.trained,
            self.defects,
            self.images,
            self.training_seconds
        )
    }

    /// What was kept, in a sentence.
    pub fn choice(&self) -> String {
        match self.changed.as_slice() {
            [] => "kept: the settings as given; no other is better beyond chance".to_owned(),
            changed => format!("kept: {}", changed.join(", ")),
        }
    }

    /// For the package's training record.
    pub fn record(&self) -> SearchRecord {
        let auroc = match self.rows.get(self.kept).map(|row| &row.outcome) {
            Some(Outcome::Judged { auroc, .. }) => *auroc,
            _ => 0.0,
        };
        let (tried, changed) = (self.judged(), self.changed.clone());
        SearchRecord { tried, changed, images: self.images, defects: self.defects, auroc }
    }

    fn judged(&self) -> usize {
        self.rows.iter().filter(|row| matches!(row.outcome, Outcome::Judged { .. })).count()
    }

    /// Removes what the search has written into its folder.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn remove(folder: &std::path::Path) -> crate::Result<()> {
        super::run::remove(folder)
    }
}

impl fmt::Display for Searched {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}", self.basis())?;
        let [number, setting, input, auroc, found, seconds, _] = Self::HEADS;
        let words = [number, setting, input].map(Column::words);
        let numbers = [auroc, found, seconds].map(Column::number);
        let mut table = Table::new(words.into_iter().chain(numbers)).named_by(2).indented(2);
        for row in &self.rows {
            let mut cells = row.cells(self.kept);
            cells.truncate(6);
            table.push(cells);
        }
        write!(out, "{table}")?;
        for row in &self.rows {
            writeln!(out, "  {}: {}", row.number, row.why())?;
        }
        writeln!(out, "{}", self.choice())
    }
}

//! What a search has judged so far, in a file, so that a search that was ended goes on.
//!
//! The file is one JSON object, written whole after each candidate. Its key stands for all that the judgements depend on; a record with another
//! key is not used. The choice is not in the file: it follows from the scores, so a search that goes on comes to the same choice.

use std::{fs, io::ErrorKind, path::Path, time::Duration};

use serde::{Deserialize, Serialize};

use super::judge::Judged;
use crate::{Error, Reason, Result, limits::Defect};

/// Version of the file's format.
const FORMAT: u32 = 2;
/// So often a candidate may end the program before it is left out, as one does for which the memory is too small.
const MOST_ATTEMPTS: usize = 2;

/// What a search has judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    format: u32,
    /// Stands for images, options and version.
    key: String,
    /// Seconds that each candidate trains. A search that goes on keeps to them, so that its candidates can be compared.
    pub(super) training_seconds: f64,
    /// The defects that every candidate sees; empty before the first candidate was judged.
    pub(super) defects: Vec<Defect>,
    /// The candidates that were judged or failed, in order.
    pub(super) entries: Vec<Entry>,
    /// The candidate that was begun last, if it was not finished.
    begun: Option<Begun>,
}

/// A candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Its settings.
    pub(super) id: String,
    pub(super) result: Verdict,
    /// Seconds that it took.
    pub(super) seconds: f64,
}

/// What became of a candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    Judged(Judged),
    /// Why it failed.
    Failed(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Begun {
    id: String,
    attempts: usize,
}

/// How a record was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There was none.
    New,
    /// It is of other images or options, or of another version: the search begins anew.
    Other,
    /// It goes on.
    Same,
}

impl Record {
    fn new(key: &str, training_seconds: f64) -> Self {
        Self {
            format: FORMAT,
            key: key.to_owned(),
            training_seconds,
            defects: Vec::new(),
            entries: Vec::new(),
            begun: None,
        }
    }

    /// Reads the record of this key, or begins a new one, whose candidates train for so many seconds.
    ///
    /// # Errors
    /// [`Error::Data`] for a file that is damaged, [`Error::Io`] for one that cannot be read.
    pub(super) fn open(path: &Path, key: &str, training_seconds: f64) -> Result<(Self, Found)> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok((Self::new(key, training_seconds), Found::New));
            }
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        let damaged =
            |reason: Reason| Error::data(path, reason.within("is not the record of a search; remove it to begin anew"));
        let value: serde_json::Value = serde_json::from_slice(&text).map_err(|error| damaged(Reason::of(error)))?;
        if value["key"] != key || value["format"] != FORMAT {
            return match value["key"].is_string() {
                true => Ok((Self::new(key, training_seconds), Found::Other)),
                false => Err(damaged("it has no key".into())),
            };
        }
        let record: Self = serde_json::from_value(value).map_err(|error| damaged(Reason::of(error)))?;
        let whole = |entry: &Entry| match &entry.result {
            Verdict::Judged(judged) => judged.defective.len() == record.defects.len(),
            Verdict::Failed(_) => true,
        };
        if Duration::try_from_secs_f64(record.training_seconds).is_err() {
            return Err(damaged(format!("{} s of training", record.training_seconds).into()));
        }
        if !record.entries.iter().all(whole) {
            return Err(damaged("a candidate has another number of defects".into()));
        }
        Ok((record, Found::Same))
    }

    /// The candidate with these settings.
    pub(super) fn entry(&self, id: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.id == id)
    }

    /// Takes note that a candidate begins. `false` if it has ended the program too often.
    pub(super) fn begin(&mut self, path: &Path, id: &str) -> Result<bool> {
        let before = self.begun.take().filter(|begun| begun.id == id).map_or(0, |begun| begun.attempts);
        if before >= MOST_ATTEMPTS {
            return Ok(false);
        }
        self.begun = Some(Begun { id: id.to_owned(), attempts: before + 1 });
        self.write(path)?;
        Ok(true)
    }

    /// Takes note that the candidate was stopped by the user, which does not count as an attempt.
    pub(super) fn stopped(&mut self, path: &Path) -> Result<()> {
        self.begun = None;
        self.write(path)
    }

    /// Adds a candidate.
    pub(super) fn push(&mut self, path: &Path, entry: Entry) -> Result<()> {
        self.begun = None;
        self.entries.push(entry);
        self.write(path)
    }

    fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec(self).map_err(|error| Error::io("write", path)(error.into()))?;
        crate::files::write_whole(path, &text)
    }
}

//! The search: candidates one after the other, from the best settings so far.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest as _, Sha256};

use super::{
    choice::{difference, replaces},
    judge::{Judged, Place, looks},
    record::{Entry, Found, Record, Verdict},
    report::{Outcome, Row, Searched},
    settings::{Change, Held, Network, Part, Settings, changes},
};
use crate::{
    Error, Result, VERSION,
    digest::hex,
    frame::{Limits, ReadOptions},
    limits,
    package::ImageDigest,
    runtime::Runtime,
    train::{
        Control,
        fit::{self, Event, FitOptions, Fitter, Survey, fit_files},
    },
};

/// Fewest good images of a search: those of a fit, and those that defects are put on.
pub const FEWEST_IMAGES: usize = fit::FEWEST_IMAGES + limits::FEWEST_IMAGES;
/// Part of the good images that is set aside.
const SET_ASIDE: f64 = 0.25;
/// Part of the search's time that candidates train; features and defects take the rest.
const TRAINING: f64 = 0.5;
/// Shortest training of a candidate.
const SHORTEST: Duration = Duration::from_secs(1);
const RECORD: &str = "search.json";
const FEATURES: &str = "features";
const CANDIDATES: &str = "candidates";

/// What is searched.
#[derive(Clone, Debug)]
pub struct SearchOptions {
    /// The fit whose settings are searched.
    pub fit: FitOptions,
    /// Settings that are held as they are.
    pub held: Held,
    /// Backbones that may be tried, beside that of the fit.
    pub networks: Vec<Network>,
    /// Time of the whole search, without the fit that follows. A candidate that would not end by then is not begun.
    pub time: Duration,
    /// Folder for the record, the features and the candidates' packages.
    pub folder: PathBuf,
    /// Limits of the image files.
    pub limits: Limits,
}

/// What a search tells while it runs.
#[derive(Debug)]
pub enum SearchEvent<'a> {
    /// So many of so many files were read and decoded.
    Checked {
        /// Files looked at.
        done: usize,
        /// Files in all.
        total: usize,
    },
    /// Something that the user should know.
    Warning(&'a str),
    /// A candidate is fitted.
    Fitting {
        /// Its number, from 0.
        number: usize,
        /// What it changes.
        change: &'a str,
        /// How far the fit is.
        event: Event<'a>,
    },
    /// A candidate looks at images.
    Looking {
        /// Its number, from 0.
        number: usize,
        /// Images done.
        done: usize,
        /// Images in all.
        total: usize,
    },
    /// A candidate is done.
    Done(&'a Row),
}

/// Searches settings for a fit on these images. The folder keeps what was judged; a search with the same images and options goes on from it.
///
/// # Errors
/// An error of the settings as given, fewer than [`FEWEST_IMAGES`] usable images, a record that is damaged, files that cannot be written,
/// [`Error::Cancelled`] as soon as `events` does not answer [`Control::Continue`]. A candidate that fails is a row of the result.
pub fn search(
    runtime: &Runtime,
    images: &[PathBuf],
    options: &SearchOptions,
    events: &mut dyn FnMut(SearchEvent<'_>) -> Control,
) -> Result<Searched> {
    if options.fit.tiles.is_some() {
        let reason =
            "a search for settings does not try frames in tiles: fit without a search (--auto), or without tiles";
        return Err(Error::parameter("tiles", reason));
    }
    // What could not be fitted is told before the first file is read.
    Fitter::new(runtime, options.fit.clone())?;
    let given = Settings::of(&options.fit)?;
    let read = ReadOptions {
        limits: options.limits,
        significant_bits: options.fit.significant_bits,
        float_range: options.fit.float_range,
    };
    let survey = Survey::of(images, &read, &mut |done, total| events(SearchEvent::Checked { done, total }))?;
    survey.check_at_least(FEWEST_IMAGES)?;
    let key = key(options, &given, &survey.digests);
    let path = options.folder.join(RECORD);
    let networks: Vec<Arc<Network>> = options.networks.iter().cloned().map(Arc::new).collect();
    let training = training_time(options, &given, &networks);
    let (record, found) = Record::open(&path, &key, training.as_secs_f64())?;
    match found {
        Found::New => {}
        Found::Same => {
            let text = format!("the search goes on: {} candidates are in {}", record.entries.len(), path.display());
            events(SearchEvent::Warning(&text));
        }
        Found::Other => {
            let text = format!(
                "{} is the record of a search with other images, options or another version; the search begins anew",
                path.display()
            );
            events(SearchEvent::Warning(&text));
        }
    }
    let (aside, train) = split(survey.images, options.fit.training.seed);
    let training = Duration::from_secs_f64(record.training_seconds);
    let search = Search { runtime, options, path, aside, train, training, events };
    search.run(record, given, &networks)
}

/// The images that are set aside, and those that candidates are fitted to.
fn split(mut images: Vec<PathBuf>, seed: u64) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let aside = ((images.len() as f64 * SET_ASIDE).round() as usize).max(limits::FEWEST_IMAGES);
    images.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let mut train = images.split_off(aside);
    images.sort();
    train.sort();
    (images, train)
}

/// Stands for all that the judgements depend on.
fn key(options: &SearchOptions, given: &Settings, images: &[ImageDigest]) -> String {
    let mut hasher = Sha256::new();
    // What does not change the candidates: where files are, and what the last fit alone does.
    let plain = FitOptions {
        name: String::new(),
        backbone: fit::BackboneChoice::default(),
        features: None,
        keep_features: None,
        golden: 0,
        cross_fit: false,
        ..options.fit.clone()
    };
    hasher.update(format!("{VERSION} {} {plain:?} {:?} {:?}", given.network.sha256, options.held, options.time));
    hasher.update(format!("{images:?}"));
    hex(&hasher.finalize())
}

/// The time that a candidate trains: its share of the search, at most the time that the fit has.
fn training_time(options: &SearchOptions, given: &Settings, networks: &[Arc<Network>]) -> Duration {
    // The size of the input is not known yet; any size has as many changes.
    let size = options.fit.input_size.unwrap_or((448, 448));
    let planned: usize = Part::ALL.iter().map(|&part| changes(part, given, size, options.held, networks).len()).sum();
    let share = options.time.mul_f64(TRAINING / (planned + 1) as f64).max(SHORTEST);
    options.fit.time_budget.map_or(share, |budget| share.min(budget))
}

struct Search<'a> {
    runtime: &'a Runtime,
    options: &'a SearchOptions,
    /// The record's file.
    path: PathBuf,
    aside: Vec<PathBuf>,
    train: Vec<PathBuf>,
    training: Duration,
    events: &'a mut dyn FnMut(SearchEvent<'_>) -> Control,
}

impl Search<'_> {
    fn run(mut self, mut record: Record, given: Settings, networks: &[Arc<Network>]) -> Result<Searched> {
        let mut rows = Vec::new();
        let as_given = Change { words: "as given".to_owned(), settings: given.clone(), cost: 1.0, impossible: None };
        let first = self.candidate(&mut record, &mut rows, &as_given, None)?;
        let Some(first) = first else {
            let reason = rows.first().map_or_else(String::new, |row| row.why());
            return Err(Error::training(format!("the settings as given cannot be fitted: {reason}")));
        };
        let mut best = Best { number: 0, settings: given, judged: first, changed: Vec::new() };
        for part in Part::ALL {
            let from = best.clone();
            for change in changes(part, &from.settings, from.judged.input, self.options.held, networks) {
                let number = rows.len();
                let judged = self.candidate(&mut record, &mut rows, &change, Some(&best))?;
                let replaced = matches!(rows[number].outcome, Outcome::Judged { replaced: true, .. });
                if let (Some(judged), true) = (judged, replaced) {
                    let changed = [from.changed.clone(), vec![change.words]].concat();
                    best = Best { number, settings: change.settings, judged, changed };
                }
            }
        }
        let seconds = record.entries.iter().map(|entry| entry.seconds).sum();
        Ok(Searched {
            kept: best.number,
            changed: best.changed,
            rows,
            images: self.aside.len(),
            trained: self.train.len(),
            defects: record.defects.len(),
            training_seconds: self.training.as_secs_f64(),
            seconds,
            settings: best.settings,
        })
    }

    /// Adds a row: from the record, or by fitting and judging the candidate. Gives what it said, if it was judged.
    fn candidate(
        &mut self,
        record: &mut Record,
        rows: &mut Vec<Row>,
        change: &Change,
        best: Option<&Best>,
    ) -> Result<Option<Judged>> {
        let number = rows.len();
        let id = change.settings.id();
        let package = self.options.folder.join(CANDIDATES).join(format!("{number:02}-{}.uflow", &id[..8]));
        let known = record.entry(&id).cloned();
        let resumed = known.is_some();
        let entry = match known {
            Some(entry) => Ok(entry),
            None => match self.reason_against(record, change, best.is_some()) {
                Some(reason) => Err(reason),
                None => Ok(self.try_candidate(record, (number, &id), change, &package, best.is_some())?),
            },
        };
        let (outcome, seconds) = match &entry {
            Err(reason) => (Outcome::NotTried { reason: reason.clone() }, 0.0),
            Ok(entry) => (outcome(&entry.result, best)?, entry.seconds),
        };
        let judged = match entry {
            Ok(Entry { result: Verdict::Judged(judged), .. }) => Some(judged),
            _ => None,
        };
        let row = Row {
            number,
            change: change.words.clone(),
            backbone: change.settings.network.name.clone(),
            strides: change.settings.used_strides().to_vec(),
            input: judged.as_ref().map(|judged| judged.input).or(change.settings.input_size),
            noise: change.settings.noise,
            outcome,
            seconds,
            resumed,
            package: package.is_file().then_some(package),
        };
        if (self.events)(SearchEvent::Done(&row)) != Control::Continue {
            return Err(Error::Cancelled);
        }
        rows.push(row);
        Ok(judged)
    }

    /// Why a candidate is not begun.
    fn reason_against(&self, record: &Record, change: &Change, later: bool) -> Option<String> {
        if let Some(reason) = &change.impossible {
            return Some(reason.clone());
        }
        let spent: f64 = record.entries.iter().map(|entry| entry.seconds).sum();
        let first = record.entries.first().map_or(0.0, |entry| entry.seconds);
        let over = spent + change.cost * first > self.options.time.as_secs_f64();
        (later && over).then(|| "it would not end within the time of the search".to_owned())
    }

    fn try_candidate(
        &mut self,
        record: &mut Record,
        (number, id): (usize, &str),
        change: &Change,
        package: &Path,
        later: bool,
    ) -> Result<Entry> {
        let begun = Instant::now();
        if !record.begin(&self.path, id)? && later {
            let reason = "the program was ended twice while this candidate was tried; the memory may be too small";
            let entry = Entry { id: id.to_owned(), result: Verdict::Failed(reason.to_owned()), seconds: 0.0 };
            record.push(&self.path, entry.clone())?;
            return Ok(entry);
        }
        let result = match self.fit_and_judge(record, number, change, package) {
            Ok(judged) => Verdict::Judged(judged),
            Err(Error::Cancelled) => {
                record.stopped(&self.path)?;
                return Err(Error::Cancelled);
            }
            // A full disk or a missing image is no fault of the settings.
            Err(error @ Error::Io { .. }) => {
                // Nor is it an attempt that ended the program. The disk may be too full to say so.
                let _ = record.stopped(&self.path);
                return Err(error);
            }
            Err(error) if !later => return Err(error),
            Err(error) => Verdict::Failed(error.to_string()),
        };
        let entry = Entry { id: id.to_owned(), result, seconds: begun.elapsed().as_secs_f64() };
        record.push(&self.path, entry.clone())?;
        Ok(entry)
    }

    fn fit_and_judge(&mut self, record: &mut Record, number: usize, change: &Change, package: &Path) -> Result<Judged> {
        let options = change.settings.over(FitOptions {
            // One flow: it trains as long as one of the last fit, and its own held-out images set its threshold.
            most_flows: 1,
            cross_fit: false,
            time_budget: Some(self.training),
            features: Some(self.options.folder.join(FEATURES)),
            keep_features: None,
            golden: 0,
            ..self.options.fit.clone()
        });
        let (session, seed) = (options.session, options.training.seed);
        let Self { runtime, train, aside, events, .. } = self;
        let fitted = fit_files(runtime, train, &self.options.limits, options, &mut |event| {
            let answer = events(SearchEvent::Fitting { number, change: &change.words, event });
            // A model of half a training would not be compared fairly.
            if answer == Control::Continue { Control::Continue } else { Control::Cancel }
        })?;
        fitted.write(package)?;
        let place = Place { runtime, session: &session, images: aside, limits: &self.options.limits, seed };
        let total = looks(aside.len());
        place.judge(package, &mut record.defects, &mut |done| {
            events(SearchEvent::Looking { number, done: done.min(total), total })
        })
    }
}

/// The best settings so far.
#[derive(Clone)]
struct Best {
    number: usize,
    settings: Settings,
    judged: Judged,
    changed: Vec<String>,
}

fn outcome(verdict: &Verdict, best: Option<&Best>) -> Result<Outcome> {
    let judged = match verdict {
        Verdict::Failed(reason) => return Ok(Outcome::Failed { reason: reason.clone() }),
        Verdict::Judged(judged) => judged,
    };
    let nothing = || Error::internal("a candidate was judged on other images");
    let (auroc, auroc_bounds) = judged.auroc().ok_or_else(nothing)?;
    let difference = best.map(|best| difference(&best.judged, judged).ok_or_else(nothing)).transpose()?;
    Ok(Outcome::Judged {
        auroc,
        auroc_bounds,
        found: judged.found_share(),
        flagged: judged.flagged,
        against: best.map(|best| best.number),
        replaced: difference.as_ref().is_some_and(replaces),
        difference,
    })
}

/// Removes what a search has written into its folder, and the folder if nothing else is in it.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn remove(folder: &Path) -> Result<()> {
    let gone = |result: std::io::Result<()>, path: &Path| match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    };
    for part in [FEATURES, CANDIDATES] {
        let path = folder.join(part);
        gone(fs::remove_dir_all(&path), &path)?;
    }
    let path = folder.join(RECORD);
    gone(fs::remove_file(&path), &path)?;
    // What else is there is not the search's.
    let _ = fs::remove_dir(folder);
    Ok(())
}

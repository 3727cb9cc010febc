//! The task that keeps the mirror in line with the bucket, and what happens if the store does not answer.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use prometheus::Registry as Metrics;
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::{
    address::{Address, Bucket, is_refusal},
    catalogue::{Catalogue, ListError},
    figures::StoreFigures,
    mirror::{self, Mirror},
    sync::{Standings, Synchroniser},
};
use crate::{
    Error, Reason, Result,
    package::Repository,
    runtime::cache_folder,
    serve::{
        config::Config,
        registry::{Ask, Control, Feed, Registry, Standing},
        retry::doubling,
    },
};

/// Pause between attempts while the store does not answer; it doubles, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Pause between looks where clients load models.
const EXPLICIT_PAUSE: Duration = Duration::from_secs(5);
/// Most names in the log that are passed over.
const SHOWN: usize = 20;

/// A store and its mirror, before the task starts.
pub(in crate::serve) struct Filler {
    bucket: Bucket,
    mirror: Mirror,
    name: Option<String>,
    control: Control,
    most: usize,
    /// What the first look found, if the store answered.
    first: Result<Catalogue, Error>,
    filled: watch::Sender<bool>,
    asks: mpsc::Receiver<Ask>,
}

/// What the task works with.
struct Task {
    synchroniser: Synchroniser,
    name: Option<String>,
    control: Control,
    figures: StoreFigures,
    standing: Standings,
    filled: watch::Sender<bool>,
    asks: mpsc::Receiver<Ask>,
    /// The last good look.
    last: Option<SystemTime>,
    /// Looks that failed since.
    failed: u32,
}

impl Filler {
    /// Prepares the mirror and looks at the bucket for the first time.
    ///
    /// # Errors
    /// Settings that are wrong, a mirror that cannot be written. Where no copy is left from before, also a store that refuses this server or
    /// does not have the bucket; a store that does not answer is not an error.
    pub(super) async fn open(config: &Config) -> Result<(Self, Repository, Feed)> {
        let bucket = Address::parse(&config.models.to_string_lossy())?.bucket()?;
        let root = folder(&bucket, config);
        let mirror = super::fetch::blocking(move || Mirror::open(&root)).await?;
        let (copies, last) = (mirror.records().len(), mirror.last_look());
        let first = match bucket.catalogue(config.name.as_deref()).await {
            Ok(catalogue) => Ok(catalogue),
            Err(ListError::Content(error)) if copies == 0 => return Err(error),
            Err(ListError::Store(error)) if copies == 0 && is_refusal(&error) => return Err(bucket.failed(error)),
            Err(error) => Err(in_words(&bucket, error)),
        };
        match &first {
            Ok(catalogue) => describe(&bucket, catalogue, &mirror),
            // The task says why.
            Err(_) if copies == 0 => tracing::warn!(
                store = %bucket.address,
                "no copy of the models is left from before; the server is not ready until the store answers"
            ),
            Err(_) => tracing::warn!(
                store = %bucket.address, copies, age_s = last.and_then(age), mirror = %mirror.root().display(),
                "starting with the models that were copied before"
            ),
        }
        let repository = Repository::Folder(mirror.root().to_owned());
        let (filled, is_filled) = watch::channel(false);
        let (ask, asks) = mpsc::channel(64);
        let (name, control, most) = (config.name.clone(), config.control, config.versions.most());
        let filler = Self { bucket, mirror, name, control, most, first, filled, asks };
        Ok((filler, repository, Feed { filled: is_filled, asks: ask }))
    }

    /// Starts the task.
    ///
    /// # Errors
    /// None that is known: the metrics are well-formed.
    pub(super) fn start(self, registry: &Registry, metrics: &Metrics) -> Result<JoinHandle<()>> {
        let Self { bucket, mirror, name, control, most, first, filled, asks } = self;
        let figures = StoreFigures::new(metrics)?;
        let last = mirror.last_look();
        last.into_iter().for_each(|last| figures.last_look(last));
        // What is there is served while the store does not answer.
        filled.send_replace(first.is_err() && !mirror.records().is_empty());
        let explicit = control == Control::Explicit;
        let synchroniser = Synchroniser::new(bucket, mirror, figures.clone(), most, explicit);
        let standing: Standings = Arc::new(registry.standing());
        let task = Task { synchroniser, name, control, figures, standing, filled, asks, last, failed: 0 };
        Ok(tokio::spawn(task.run(first)))
    }
}

impl Task {
    async fn run(mut self, first: Result<Catalogue>) {
        let (mut found, mut asked) = (first, Vec::<Ask>::new());
        loop {
            let pause = self.look(found).await;
            for ask in asked.drain(..) {
                // An error says that the client has gone.
                let _ = ask.done.send(());
            }
            // At the start only. Without a good look there was no start yet.
            if self.control == Control::Static && *self.filled.borrow() {
                return;
            }
            match tokio::time::timeout(pause, self.asks.recv()).await {
                Ok(None) => return,
                Ok(Some(ask)) => asked = self.note(ask),
                Err(_) => {}
            }
            found = self.list().await;
        }
    }

    async fn list(&self) -> Result<Catalogue> {
        let bucket = self.synchroniser.bucket();
        bucket.catalogue(self.name.as_deref()).await.map_err(|error| in_words(bucket, error))
    }

    /// Deals with what a listing found. Returns the pause until the next.
    async fn look(&mut self, found: Result<Catalogue>) -> Duration {
        let done = match found {
            Ok(catalogue) => self.synchroniser.apply(&Arc::new(catalogue), &self.standing).await,
            Err(error) => Err(error),
        };
        self.figures.look(done.is_ok());
        let pause = match self.control {
            Control::Poll(pause) => pause,
            Control::Static => FIRST_PAUSE,
            Control::Explicit => EXPLICIT_PAUSE,
        };
        let Err(error) = done else {
            if self.failed > 0 {
                let looks_failed = self.failed;
                tracing::info!(looks_failed, "the object store can be read again");
            }
            (self.failed, self.last) = (0, Some(SystemTime::now()));
            self.filled.send_replace(true);
            return pause;
        };
        self.failed = self.failed.saturating_add(1);
        let pause = pause.max(doubling(FIRST_PAUSE, LONGEST_PAUSE, self.failed));
        tracing::warn!(
            %error, looks_failed = self.failed, last_look_s = self.last.and_then(age), retry_s = pause.as_secs_f64(),
            "the object store of the models cannot be read; what is served stays"
        );
        pause
    }

    /// Notes a client's load, and those that have come meanwhile. The next look answers all of them.
    fn note(&mut self, ask: Ask) -> Vec<Ask> {
        let mut asked = vec![ask];
        while let Ok(ask) = self.asks.try_recv() {
            asked.push(ask);
        }
        for ask in asked.iter().filter(|ask| ask.version > 0) {
            self.synchroniser.ask(&ask.name, ask.version);
        }
        asked
    }
}

/// A copy of what would be served, in a folder of its own, and the names in the bucket that would not be served. For `serve --check`.
///
/// # Errors
/// A store that cannot be read, and the first package that cannot be copied.
pub(super) async fn copy_for_check(config: &Config) -> Result<(Repository, Vec<String>, TempDir)> {
    let bucket = Address::parse(&config.models.to_string_lossy())?.bucket()?;
    let root = folder(&bucket, config);
    let folder = root.parent().unwrap_or(&root).to_owned();
    let unusable = |error| {
        let reason = "packages are copied there to be checked; set UFLOW_CACHE to a folder that may be written";
        Error::data(&folder, Reason::of(error).within(reason))
    };
    std::fs::create_dir_all(&folder).map_err(unusable)?;
    let keep = tempfile::Builder::new().prefix(".check-").tempdir_in(&folder).map_err(unusable)?;
    let found = bucket.catalogue(config.name.as_deref()).await.map_err(|error| in_words(&bucket, error))?;
    let catalogue = Arc::new(found);
    let figures = StoreFigures::new(&Metrics::new())?;
    let mirror = Mirror::open(&keep.path().join("models"))?;
    let repository = Repository::Folder(mirror.root().to_owned());
    let mut synchroniser = Synchroniser::new(bucket.clone(), mirror, figures, config.versions.most(), false);
    let unknown: Standings = Arc::new(|_: &str, _| Standing::Unknown);
    synchroniser.apply(&catalogue, &unknown).await?;
    if let Some(error) = synchroniser.first_error() {
        return Err(error);
    }
    let passed_over = catalogue.passed_over.iter().map(|name| bucket.shown(name)).collect();
    Ok((repository, passed_over, keep))
}

/// Where the mirror of a bucket is.
fn folder(bucket: &Bucket, config: &Config) -> std::path::PathBuf {
    let identity = format!("{} {}", bucket.identity, config.name.as_deref().unwrap_or_default());
    mirror::folder(&cache_folder(), &bucket.address, &identity)
}

fn in_words(bucket: &Bucket, error: ListError) -> Error {
    match error {
        ListError::Store(error) => bucket.failed(error),
        ListError::Content(error) => error,
    }
}

fn age(time: SystemTime) -> Option<u64> {
    time.elapsed().ok().map(|age| age.as_secs())
}

/// Says in the log what the first look found.
fn describe(bucket: &Bucket, catalogue: &Catalogue, mirror: &Mirror) {
    let versions: usize = catalogue.models.values().map(|versions| versions.len()).sum();
    tracing::info!(
        models = catalogue.models.len(), versions, store = %bucket.address, mirror = %mirror.root().display(),
        "models come from an object store"
    );
    if versions == 0 {
        tracing::warn!(models = %bucket.address, "no <model>/<version>/uflow.json in the bucket");
    }
    for name in catalogue.passed_over.iter().take(SHOWN) {
        tracing::warn!(path = bucket.shown(name), "passed over: it is not <model>/<version>/uflow.json");
    }
    let more = catalogue.passed_over.len().saturating_sub(SHOWN);
    if more > 0 {
        tracing::warn!(more, "more names are passed over");
    }
}

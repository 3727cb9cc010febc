//! One look at the bucket: what the plan says is done, and what failed is remembered.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Instant, SystemTime},
};

use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    address::Bucket,
    catalogue::{Catalogue, Remote},
    fetch::{Before, FetchError, Fetched, Fetcher, blocking},
    figures::StoreFigures,
    mirror::{Key, Mirror, Record},
    plan::{Given, Plan, is_copy},
};
use crate::{
    Error, Result,
    package::Package,
    serve::{registry::Standing, retry::Retry},
    sync::lock,
};

/// Packages that are copied at the same time.
const AT_ONCE: usize = 4;
/// After so many failures of the store in a row, the next lower version of a model is copied too.
const PATIENCE: u32 = 3;

/// Tells what a version of a model is doing.
pub(super) type Standings = Arc<dyn Fn(&str, u32) -> Standing + Send + Sync>;

/// A version that could not be copied.
#[derive(Debug)]
struct Failure {
    /// What was in the bucket.
    remote: Remote,
    /// Whether the package is wrong, not the store.
    is_final: bool,
    retry: Retry,
    error: Error,
}

/// Keeps a mirror in line with a bucket.
pub(super) struct Synchroniser {
    fetcher: Arc<Fetcher>,
    mirror: Arc<Mutex<Mirror>>,
    figures: StoreFigures,
    /// How many versions of a model are served.
    most: usize,
    explicit: bool,
    failures: BTreeMap<Key, Failure>,
    missing: BTreeSet<Key>,
    asked: BTreeSet<Key>,
    /// Copies that the server could not load, and that were found whole. They are not examined again.
    examined: BTreeMap<Key, Record>,
}

impl Synchroniser {
    pub(super) fn new(bucket: Bucket, mirror: Mirror, figures: StoreFigures, most: usize, explicit: bool) -> Self {
        let (root, bytes) = (mirror.root().to_owned(), figures.bytes.clone());
        let fetcher = Fetcher { bucket, root, bytes, backbone: tokio::sync::Mutex::default() };
        Self {
            fetcher: Arc::new(fetcher),
            mirror: Arc::new(Mutex::new(mirror)),
            figures,
            most,
            explicit,
            failures: BTreeMap::new(),
            missing: BTreeSet::new(),
            asked: BTreeSet::new(),
            examined: BTreeMap::new(),
        }
    }

    pub(super) fn bucket(&self) -> &Bucket {
        &self.fetcher.bucket
    }

    /// Notes that a client wants a version, whether or not it is one of the highest.
    pub(super) fn ask(&mut self, name: &str, version: u32) {
        self.asked.insert((name.to_owned(), version));
        // A client's request does not wait for the next attempt.
        self.failures.remove(&(name.to_owned(), version));
    }

    /// Why the first of the versions that could not be copied was not.
    pub(super) fn first_error(self) -> Option<Error> {
        self.failures.into_values().next().map(|failure| failure.error)
    }

    /// Makes the mirror what the bucket says it should be, as far as that is possible now.
    ///
    /// # Errors
    /// A disk that cannot be written. Packages that cannot be copied are not an error.
    pub(super) async fn apply(&mut self, catalogue: &Arc<Catalogue>, standing: &Standings) -> Result<()> {
        let in_bucket = |(name, version): &Key| catalogue.get(name, *version);
        self.failures.retain(|key, failure| in_bucket(key) == Some(&failure.remote));
        self.asked.retain(|key| in_bucket(key).is_some());
        self.examine(standing).await?;
        let mut tried = BTreeSet::new();
        let plan = loop {
            let plan = self.plan(catalogue, standing, &tried);
            if plan.fetch.is_empty() {
                break plan;
            }
            tried.extend(plan.fetch.iter().cloned());
            self.copy(catalogue, plan.fetch).await;
        };
        let mirror = Arc::clone(&self.mirror);
        let Plan { remove, missing, .. } = plan;
        for (name, version) in &remove {
            tracing::info!(
                model = name,
                version,
                "its copy is removed: it left the bucket, or newer versions are served"
            );
        }
        blocking(move || {
            let mut mirror = lock(&mirror);
            mirror.remove(&remove)?;
            mirror.looked()
        })
        .await?;
        self.missing = missing;
        self.figures.failing.set(self.failures.len() as i64);
        self.figures.last_look(SystemTime::now());
        Ok(())
    }

    fn plan(&self, catalogue: &Catalogue, standing: &Standings, tried: &BTreeSet<Key>) -> Plan {
        let failure = |key: &Key, remote: &Remote| self.failures.get(key).filter(|failure| failure.remote == *remote);
        let unusable = |failure: &Failure| failure.is_final || failure.retry.failures() >= PATIENCE;
        Given {
            catalogue,
            records: lock(&self.mirror).records(),
            missing: &self.missing,
            asked: &self.asked,
            most: self.most,
            explicit: self.explicit,
            standing: &**standing,
            unusable: &|key, remote| failure(key, remote).is_some_and(unusable),
            due: &|key, remote| {
                !tried.contains(key) && failure(key, remote).is_none_or(|failure| failure.retry.is_due())
            },
        }
        .plan()
    }

    /// Copies that the server cannot load are opened once: if one is damaged, it is fetched again.
    async fn examine(&mut self, standing: &Standings) -> Result<()> {
        let failed: Vec<_> = {
            let mirror = lock(&self.mirror);
            let failed = mirror.records().iter().filter(|(key, record)| {
                standing(&key.0, key.1) == Standing::Failed && self.examined.get(key) != Some(record)
            });
            failed.map(|(key, record)| (key.clone(), record.clone(), mirror.path(key))).collect()
        };
        for (key, record, path) in failed {
            let (mirror, examined) = (Arc::clone(&self.mirror), key.clone());
            blocking(move || match Package::open(&path) {
                Ok(_) => Ok(()),
                Err(error) => {
                    tracing::warn!(model = examined.0, version = examined.1, %error, "the copy is damaged; it is made again");
                    lock(&mirror).forget(&examined)
                }
            })
            .await?;
            self.examined.insert(key, record);
        }
        Ok(())
    }

    /// Copies versions, a few at a time.
    async fn copy(&mut self, catalogue: &Arc<Catalogue>, keys: Vec<Key>) {
        let (places, mut tasks) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
        for key in keys {
            let Some(remote) = catalogue.get(&key.0, key.1).cloned() else { continue };
            let before = {
                let mirror = lock(&self.mirror);
                mirror.records().get(&key).map(|record| Before { record: record.clone(), path: mirror.path(&key) })
            };
            let (fetcher, catalogue, places) = (Arc::clone(&self.fetcher), Arc::clone(catalogue), Arc::clone(&places));
            tasks.spawn(async move {
                let _place = places.acquire_owned().await;
                let start = Instant::now();
                let fetched = fetcher.fetch(&catalogue, &key, &remote, before).await;
                (key, remote, fetched, start.elapsed())
            });
        }
        while let Some(done) = tasks.join_next().await {
            let (key, remote, fetched, time) = match done {
                Ok(done) => done,
                Err(error) => {
                    tracing::error!(%error, "copying a package failed");
                    continue;
                }
            };
            let installed = match fetched {
                Ok(fetched) => {
                    let bytes = fetched.bytes;
                    self.install(&key, &remote, fetched).await.map(|()| bytes)
                }
                Err(error) => Err(error),
            };
            self.figures.copy(installed.is_ok());
            match installed {
                Ok(bytes) => {
                    self.failures.remove(&key);
                    let seconds = time.as_secs_f64();
                    tracing::info!(model = key.0, version = key.1, bytes, seconds, "copied from the object store");
                }
                Err(error) => self.fail(key, remote, error),
            }
        }
    }

    async fn install(&self, key: &Key, remote: &Remote, fetched: Fetched) -> Result<(), FetchError> {
        debug_assert!(is_copy(&fetched.record, remote));
        let (mirror, key) = (Arc::clone(&self.mirror), key.clone());
        let install = move || lock(&mirror).install(&fetched.stage, &fetched.package, &key, fetched.record);
        blocking(install).await.map_err(FetchError::Disk)
    }

    fn fail(&mut self, key: Key, remote: Remote, error: FetchError) {
        let retry = Retry::after(self.failures.get(&key).map(|failure| failure.retry));
        let is_final = matches!(error, FetchError::Package(_));
        let error: Error = error.into_error();
        tracing::warn!(
            model = key.0, version = key.1, %error, retry_s = retry.pause().as_secs(),
            "the package cannot be copied from the object store; what is served stays"
        );
        self.failures.insert(key, Failure { remote, is_final, retry, error });
    }
}

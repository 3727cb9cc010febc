//! Model repositories in object stores: `--models s3://bucket/prefix`, and the same for Google Cloud Storage and Azure.
//!
//! ```text
//! bucket ─ list ─► Catalogue ─┐
//! Mirror on disk ─ records ───┼─► Plan ─► fetch, check, move into the mirror; remove what left the bucket
//! Registry ─ what is served ──┘
//! ```
//!
//! The server never loads from the store. A task copies the packages that will be served into a folder, the mirror, and the registry reads
//! that folder like any other repository. Invariants:
//!
//! - A version is in the mirror when it is complete: fetched into a folder beside it, opened as a package (which checks every hash), then
//!   moved. What is not complete, or was changed while it was read (ETag), is tried again later.
//! - No key of the bucket becomes a path. Paths are made of names and numbers that were checked as the folder's are, and of what a manifest
//!   names.
//! - What is in the mirror stays when the store cannot be reached, so a server also starts without it.

#[cfg(feature = "object-store")]
mod address;
#[cfg(feature = "object-store")]
mod catalogue;
#[cfg(feature = "object-store")]
mod fetch;
#[cfg(feature = "object-store")]
mod figures;
#[cfg(feature = "object-store")]
mod filler;
#[cfg(feature = "object-store")]
mod mirror;
#[cfg(feature = "object-store")]
mod plan;
#[cfg(feature = "object-store")]
mod sync;
#[cfg(all(test, feature = "object-store"))]
mod tests;

use std::path::{Path, PathBuf};

use prometheus::Registry as Metrics;
use tokio::task::JoinHandle;

use super::{
    config::Config,
    registry::{Feed, Registry},
};
use crate::{
    Error, Result,
    package::{Listing, Repository},
};

/// Whether `--models` names an object store, not a folder.
pub(super) fn is_address(models: &Path) -> bool {
    models.to_str().is_some_and(|models| models.contains("://"))
}

/// Checks an address without using it.
///
/// # Errors
/// [`Error::Parameter`] if there is no such kind of store.
pub(super) fn check_address(models: &Path) -> Result<()> {
    #[cfg(feature = "object-store")]
    return address::Address::parse(&models.to_string_lossy()).map(drop);
    #[cfg(not(feature = "object-store"))]
    Err(Error::parameter(
        "models",
        format!(
            "`{}` is an address, and this build reads folders only: copy the repository to a folder, or build with the feature object-store",
            models.display()
        ),
    ))
}

/// The repository of a server, and the task that fills its folder if it is the mirror of an object store.
pub(super) struct Source {
    pub(super) repository: Repository,
    pub(super) feed: Option<Feed>,
    pub(super) filler: Filler,
}

/// What fills the folder, before it starts.
#[cfg(feature = "object-store")]
pub(super) type Filler = Option<filler::Filler>;
#[cfg(not(feature = "object-store"))]
pub(super) type Filler = ();

impl Source {
    /// Opens the repository that the configuration names. For a store, the first look decides whether the server can start.
    ///
    /// # Errors
    /// A folder or a bucket that does not exist; a store that refuses this server, or a mirror that cannot be written.
    pub(super) async fn open(config: &Config) -> Result<Self> {
        #[cfg(feature = "object-store")]
        if is_address(&config.models) {
            let (filler, repository, feed) = filler::Filler::open(config).await?;
            return Ok(Self { repository, feed: Some(feed), filler: Some(filler) });
        }
        let repository = Repository::open(&config.models, config.name.as_deref())?;
        let listing = repository.scan()?;
        if listing.is_empty() {
            tracing::warn!(models = %config.models.display(), "no <model>/<version>/uflow.json in the folder of models");
        }
        for path in repository.passed_over(&listing) {
            tracing::warn!(path = %path.display(), "passed over: it is not <model>/<version>/uflow.json");
        }
        Ok(Self { repository, feed: None, filler: Filler::default() })
    }

    /// Starts the task, if there is one.
    ///
    /// # Errors
    /// None that is known: the metrics are well-formed.
    #[cfg_attr(not(feature = "object-store"), allow(clippy::unnecessary_wraps, unused_variables))]
    pub(super) fn keep_filled(
        filler: Filler,
        registry: &Registry,
        metrics: &Metrics,
    ) -> Result<Option<JoinHandle<()>>> {
        #[cfg(feature = "object-store")]
        return filler.map(|filler| filler.start(registry, metrics)).transpose();
        #[cfg(not(feature = "object-store"))]
        Ok(None)
    }
}

/// The repository for a check of the configuration. That of a store is copied into a folder of its own, which goes with this value.
pub(super) struct ForCheck {
    pub(super) listing: Listing,
    /// What would not be served.
    pub(super) passed_over: Vec<PathBuf>,
    _keep: Option<tempfile::TempDir>,
}

impl ForCheck {
    /// Opens the repository. Blocks.
    ///
    /// # Errors
    /// A folder or a store that cannot be read, a package in a store that cannot be copied.
    pub(super) fn open(config: &Config) -> Result<Self> {
        #[cfg(feature = "object-store")]
        if is_address(&config.models) {
            // On a thread of its own, because the caller may have an event loop, too.
            let copy = || super::event_loop()?.block_on(filler::copy_for_check(config));
            let copied = std::thread::scope(|scope| scope.spawn(copy).join());
            let (repository, passed_over, keep) =
                copied.unwrap_or_else(|_| Err(Error::internal("copying the models panicked; the log has more")))?;
            let passed_over = passed_over.into_iter().map(PathBuf::from).collect();
            let listing = repository.scan()?;
            return Ok(Self { listing, passed_over, _keep: Some(keep) });
        }
        let repository = Repository::open(&config.models, config.name.as_deref())?;
        let listing = repository.scan()?;
        let passed_over = repository.passed_over(&listing);
        Ok(Self { listing, passed_over, _keep: None })
    }
}

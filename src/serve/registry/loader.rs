//! The thread that loads and unloads models, one after another, and changes the table that requests read.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Control, Versions,
    table::{ModelState, Slot, Status, Table, statuses, unknown},
};
use crate::{
    Error, Result,
    engine::Engine,
    kernel,
    package::{FoundPackage, Listing, Package, Repository},
    serve::retry::Retry,
};

/// A request of a client.
#[derive(Debug)]
pub(super) enum Command {
    Load { name: String, version: u32, reply: oneshot::Sender<Result<Status>> },
    Unload { name: String, version: u32, reply: oneshot::Sender<Result<()>> },
}

/// What the thread and the registry share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) engine: Arc<Engine>,
    pub(super) repository: Repository,
    pub(super) versions: Versions,
    pub(super) table: RwLock<Table>,
    /// Counts changes of the table.
    pub(super) changes: watch::Sender<u64>,
    /// Whether the repository was read once, so that a model which is not in the table does not exist.
    pub(super) listed: AtomicBool,
    /// Whether the first look at the repository is over.
    pub(super) started: watch::Sender<bool>,
}

impl Shared {
    pub(super) fn read(&self) -> std::sync::RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a version's slot and tells those who wait for changes.
    fn change<R>(&self, name: &str, version: u32, change: impl FnOnce(&mut Slot) -> R) -> R {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let versions = table.entry(name.to_owned()).or_default();
        let result = change(versions.entry(version).or_insert_with(|| Slot::new(ModelState::Available)));
        drop(table);
        self.changes.send_modify(|count| *count += 1);
        result
    }

    pub(super) fn work(
        &self,
        mut inbox: mpsc::Receiver<Command>,
        control: Control,
        filled: Option<watch::Receiver<bool>>,
    ) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "the loader cannot start; no model will be loaded"),
        };
        if let Some(filled) = filled
            && !runtime.block_on(self.wait_until_filled(filled, &mut inbox))
        {
            return;
        }
        let mut listing = Listing::new();
        self.look(control != Control::Explicit, &mut listing);
        self.started.send_replace(true);
        let pause = match control {
            Control::Poll(pause) => pause,
            // Models that leave are freed in these modes too.
            Control::Static | Control::Explicit => Duration::from_secs(1),
        };
        loop {
            match runtime.block_on(async { tokio::time::timeout(pause, inbox.recv()).await }) {
                Ok(None) => return,
                Ok(Some(Command::Load { name, version, reply })) => {
                    let _ = reply.send(self.load_on_request(&name, version));
                }
                Ok(Some(Command::Unload { name, version, reply })) => {
                    let _ = reply.send(self.unload_on_request(&name, version));
                }
                Err(_) => match control {
                    Control::Poll(_) => self.look(true, &mut listing),
                    // The table lists what clients may load.
                    Control::Explicit => self.look(false, &mut listing),
                    Control::Static => {}
                },
            }
            self.forget_those_that_left();
        }
    }

    /// Waits until the repository's folder is filled. Returns whether there is something to do after that.
    async fn wait_until_filled(&self, mut filled: watch::Receiver<bool>, inbox: &mut mpsc::Receiver<Command>) -> bool {
        loop {
            tokio::select! {
                filled = filled.wait_for(|filled| *filled) => return filled.is_ok(),
                command = inbox.recv() => match command {
                    None => return false,
                    Some(Command::Load { reply, .. }) => drop(reply.send(Err(not_read()))),
                    Some(Command::Unload { reply, .. }) => drop(reply.send(Err(not_read()))),
                },
            }
        }
    }

    /// Updates the table from the repository and, if `load`, loads what should be served. `before` is what the last look found.
    /// A package counts as removed when two looks in a row have missed it, because a package that is being replaced may be missing
    /// for a moment.
    fn look(&self, load: bool, before: &mut Listing) {
        let listing = match self.repository.scan() {
            Ok(listing) => listing,
            Err(error) => return tracing::warn!(%error, "the model repository cannot be read; what is loaded stays"),
        };
        self.list_available(&listing);
        if load {
            for (name, versions) in &listing {
                self.serve(name, versions, before.get(name));
            }
            let gone = |name: &String| !listing.contains_key(name) && !before.contains_key(name);
            let gone: Vec<_> = self.read().keys().filter(|name| gone(name)).cloned().collect();
            gone.iter().for_each(|name| self.retire(name, |_| true));
        }
        *before = listing;
    }

    /// Loads the highest versions of a model that load, up to the number of versions to serve, and retires the others.
    fn serve(&self, name: &str, versions: &BTreeMap<u32, FoundPackage>, before: Option<&BTreeMap<u32, FoundPackage>>) {
        let most = self.versions.most();
        let mut served = Vec::new();
        for (version, found) in versions.iter().rev() {
            if served.len() == most {
                break;
            }
            if self.is_due(name, *version, found) {
                // Why it failed is in the table and the log.
                let _ = self.load(name, *version, found);
            }
            if self.is_loaded(name, *version) {
                served.push(*version);
            }
        }
        let just_missed =
            |version| !versions.contains_key(&version) && before.is_some_and(|b| b.contains_key(&version));
        if !served.is_empty() {
            self.retire(name, |version| !served.contains(&version) && !just_missed(version));
        }
    }

    fn is_loaded(&self, name: &str, version: u32) -> bool {
        self.read().get(name).and_then(|slots| slots.get(&version)).is_some_and(|slot| slot.model.is_some())
    }

    /// Whether a package is new, has changed, or failed long enough ago to be tried again. The cause of a failure need not be in
    /// the package's files.
    fn is_due(&self, name: &str, version: u32, found: &FoundPackage) -> bool {
        let table = self.read();
        let Some(slot) = table.get(name).and_then(|slots| slots.get(&version)) else { return true };
        slot.tried.as_ref() != Some(found) || slot.retry.is_some_and(Retry::is_due)
    }

    /// The error for a model that the table has not. Before the repository was read once, that says nothing of the model.
    pub(super) fn unknown(&self, name: &str, table: &Table) -> Error {
        match self.listed.load(Ordering::Acquire) {
            true => unknown(name, table),
            false => not_read(),
        }
    }

    /// Adds versions that are new on disk, and forgets versions that are neither on disk nor loaded.
    fn list_available(&self, listing: &Listing) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        for (name, versions) in listing {
            let slots = table.entry(name.clone()).or_default();
            for version in versions.keys() {
                slots.entry(*version).or_insert_with(|| Slot::new(ModelState::Available));
            }
        }
        for (name, slots) in table.iter_mut() {
            let on_disk = |version: &u32| listing.get(name).is_some_and(|versions| versions.contains_key(version));
            slots.retain(|version, slot| on_disk(version) || slot.model.is_some() || slot.leaving.is_some());
        }
        table.retain(|_, slots| !slots.is_empty());
        self.listed.store(true, Ordering::Release);
        drop(table);
        self.changes.send_modify(|count| *count += 1);
    }

    fn load(&self, name: &str, version: u32, found: &FoundPackage) -> Result<()> {
        self.change(name, version, |slot| slot.trying(found));
        // A panic over one package must not end the loading of all others.
        let attempt = || Package::open(&found.path).and_then(|package| self.engine.load(&package, name, version));
        let loaded = catch_unwind(AssertUnwindSafe(attempt))
            .unwrap_or_else(|_| Err(Error::internal("loading the package panicked; the log has more")));
        match &loaded {
            Ok(model) => {
                self.change(name, version, |slot| slot.loaded(Arc::clone(model)));
                let warm_up_ms = model.warm_up().as_secs_f64() * 1e3;
                tracing::info!(model = name, version, warm_up_ms, "model is ready");
            }
            Err(error) => {
                let (pause, serves) =
                    self.change(name, version, |slot| (slot.failed(&error.to_string()), slot.model.is_some()));
                let said = match serves {
                    true => "the changed package cannot be loaded; the one before serves on",
                    false => "the package cannot be loaded",
                };
                tracing::warn!(model = name, version, %error, retry_s = pause.as_secs(), "{said}");
            }
        }
        loaded.map(drop)
    }

    /// Takes the versions that `which` selects out of service.
    fn retire(&self, name: &str, which: impl Fn(u32) -> bool) {
        let loaded: Vec<u32> = (self.read().get(name).into_iter().flatten())
            .filter(|(version, slot)| which(**version) && slot.model.is_some())
            .map(|(version, _)| *version)
            .collect();
        for version in loaded {
            self.change(name, version, |slot| {
                slot.leaving = slot.model.take();
                (slot.tried, slot.retry) = (None, None);
                slot.enter(ModelState::Unloading, "its accepted frames are being finished");
            });
            tracing::info!(model = name, version, "model takes no more frames");
        }
        self.forget_those_that_left();
    }

    /// Frees the models whose last frame is answered, on this thread and outside the table's lock.
    fn forget_those_that_left(&self) {
        let gone = |slot: &Slot| slot.leaving.as_ref().is_some_and(|model| Arc::strong_count(model) == 1);
        let mut left = Vec::new();
        for (name, slots) in &*self.read() {
            left.extend(slots.iter().filter(|(_, slot)| gone(slot)).map(|(version, _)| (name.clone(), *version)));
        }
        for (name, version) in left {
            let model = self.change(&name, version, |slot| {
                if slot.state == ModelState::Unloading {
                    slot.enter(ModelState::Available, "unloaded");
                }
                slot.leaving.take()
            });
            drop(model);
            // A model's networks are large, and rarely the size of the next one's.
            kernel::return_free_memory();
        }
    }

    fn load_on_request(&self, name: &str, version: u32) -> Result<Status> {
        let listing = self.repository.scan()?;
        self.list_available(&listing);
        let versions = listing.get(name).ok_or_else(|| self.unknown(name, &self.read()))?;
        let found = match version {
            0 => versions.iter().next_back(),
            _ => versions.get_key_value(&version),
        };
        let (version, found) = found
            .ok_or_else(|| Error::NotFound(format!("the repository has no version {version} of model `{name}`")))?;
        let up_to_date =
            |slot: &Slot| slot.state == ModelState::Ready && slot.tried.as_ref() == Some(found) && slot.retry.is_none();
        let loaded = self.read().get(name).and_then(|slots| slots.get(version)).is_some_and(up_to_date);
        if !loaded {
            self.load(name, *version, found)?;
        }
        if let Versions::Latest(count) = self.versions {
            let keep: Vec<u32> = (self.read().get(name).into_iter().flatten().rev())
                .filter(|(_, slot)| slot.model.is_some())
                .map(|(version, _)| *version)
                .take(count)
                .collect();
            self.retire(name, |other| other != *version && !keep.contains(&other));
        }
        let table = self.read();
        let status = table.get(name).map(|slots| statuses(name, slots)).unwrap_or_default();
        status.into_iter().find(|status| status.version == *version).ok_or_else(|| self.unknown(name, &table))
    }

    fn unload_on_request(&self, name: &str, version: u32) -> Result<()> {
        {
            let table = self.read();
            let slots = table.get(name).ok_or_else(|| self.unknown(name, &table))?;
            if version != 0 && !slots.contains_key(&version) {
                return Err(Error::NotFound(format!("model `{name}` has no version {version}")));
            }
        }
        self.retire(name, |other| version == 0 || other == version);
        Ok(())
    }
}

fn not_read() -> Error {
    Error::unavailable("the model repository has not been read yet: no model takes frames")
}

//! The models a server has: what each is doing, and the thread that loads and unloads them.
//!
//! One thread does all loading, one thing after another; requests read a table that it changes. A model that is replaced
//! keeps working on the frames it has (they hold it), and its memory is freed with the last of them. A package that cannot be
//! loaded changes nothing but the `reason` of its entry: what served goes on serving.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, Weak},
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use tokio::sync::{mpsc, oneshot, watch};

use super::repository::{Found, Listing, Repository};
use crate::{
    Error, Result,
    engine::{Engine, Model},
    package::Package,
};

/// When models are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// At the start, and never again.
    Static,
    /// At the start, and whenever the repository is found changed, looked at this often.
    Poll(Duration),
    /// When a client asks.
    Explicit,
}

/// Which versions of a model are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// The highest so many.
    Latest(usize),
    /// Every one.
    All,
}

impl Versions {
    /// How many versions of a model are served at most.
    pub(super) fn most(self) -> usize {
        match self {
            Self::All => usize::MAX,
            Self::Latest(count) => count,
        }
    }
}

/// What a model is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In the repository, not loaded.
    Available,
    /// Being loaded and warmed up.
    Loading,
    /// Takes frames.
    Ready,
    /// Takes no new frames; those accepted are being finished.
    Unloading,
    /// Could not be loaded.
    Failed,
}

/// One version of a model, as it stands.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// What it is doing.
    pub state: State,
    /// Why it is not ready, or why a newer package could not be loaded while the one before serves.
    pub reason: String,
    /// Since when it is in that state.
    pub since: SystemTime,
    /// Whether requests without a version go to it.
    pub current: bool,
    /// The model, where it takes frames.
    pub model: Option<Arc<Model>>,
}

#[derive(Debug)]
struct Slot {
    state: State,
    reason: String,
    since: SystemTime,
    model: Option<Arc<Model>>,
    /// A model that takes no new frames.
    leaving: Weak<Model>,
    /// The package that was loaded, or tried, last.
    tried: Option<Found>,
}

impl Slot {
    fn new(state: State) -> Self {
        Self { state, reason: String::new(), since: SystemTime::now(), model: None, leaving: Weak::new(), tried: None }
    }

    fn enter(&mut self, state: State, reason: impl Into<String>) {
        (self.state, self.reason, self.since) = (state, reason.into(), SystemTime::now());
    }
}

/// How long a package that could not be loaded is left alone, unless it changes.
const TRY_AGAIN: Duration = Duration::from_secs(60);

type Table = BTreeMap<String, BTreeMap<u32, Slot>>;

enum Command {
    Load { name: String, version: u32, reply: oneshot::Sender<Result<Status>> },
    Unload { name: String, version: u32, reply: oneshot::Sender<Result<()>> },
}

/// The table, and the way to the thread.
#[derive(Debug)]
pub struct Registry {
    shared: Arc<Shared>,
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
    control: Control,
}

#[derive(Debug)]
struct Shared {
    engine: Arc<Engine>,
    repository: Repository,
    versions: Versions,
    table: RwLock<Table>,
    /// Counts changes of the table.
    changes: watch::Sender<u64>,
    /// Whether the first look at the repository is over.
    started: watch::Sender<bool>,
}

impl Registry {
    /// Starts the thread, which loads what `control` says.
    ///
    /// # Errors
    /// A thread that cannot be started.
    pub fn start(engine: Arc<Engine>, repository: Repository, control: Control, versions: Versions) -> Result<Self> {
        let (commands, inbox) = mpsc::channel(64);
        let shared = Arc::new(Shared {
            engine,
            repository,
            versions,
            table: RwLock::default(),
            changes: watch::Sender::new(0),
            started: watch::Sender::new(false),
        });
        let worker = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("uflow-loader".to_owned());
        let thread =
            thread.spawn(move || worker.work(inbox, control)).map_err(Error::io("start", "the loader thread"))?;
        Ok(Self { shared, commands: Some(commands), thread: Some(thread), control })
    }

    /// The model that a request names; version 0 is the current one.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is none, [`Error::Unavailable`] where it takes no frames now.
    pub fn get(&self, name: &str, version: u32) -> Result<Arc<Model>> {
        let table = self.shared.read();
        let versions = table.get(name).ok_or_else(|| unknown(name, &table))?;
        if version == 0 {
            let ready = versions.values().rev().find_map(|slot| slot.model.clone());
            return ready.ok_or_else(|| match versions.iter().next_back() {
                Some((version, slot)) => unavailable(name, *version, slot),
                None => Error::Unavailable(format!("model `{name}` has no version that takes frames")),
            });
        }
        let slot = versions.get(&version).ok_or_else(|| {
            let known: Vec<_> = versions.keys().map(u32::to_string).collect();
            Error::NotFound(format!("model `{name}` has no version {version}; there are {}", known.join(", ")))
        })?;
        slot.model.clone().ok_or_else(|| unavailable(name, version, slot))
    }

    /// Every version of every model, by name and version.
    pub fn list(&self) -> Vec<Status> {
        let table = self.shared.read();
        table.iter().flat_map(|(name, versions)| statuses(name, versions)).collect()
    }

    /// One version of a model; version 0 is the current one, or the highest where none takes frames.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn status(&self, name: &str, version: u32) -> Result<Status> {
        let table = self.shared.read();
        let versions = table.get(name).ok_or_else(|| unknown(name, &table))?;
        let all = statuses(name, versions);
        let wanted = match version {
            0 => all.iter().find(|status| status.current).or(all.last()),
            _ => all.iter().find(|status| status.version == version),
        };
        wanted.cloned().ok_or_else(|| Error::NotFound(format!("model `{name}` has no version {version}")))
    }

    /// Counts changes; wait on it to see the next.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Whether the first look at the repository is over, so that every model found then is ready or failed.
    pub fn started(&self) -> watch::Receiver<bool> {
        self.shared.started.subscribe()
    }

    /// Which versions of a model are served.
    pub fn versions(&self) -> Versions {
        self.shared.versions
    }

    /// Whether clients may load and unload.
    pub fn is_explicit(&self) -> bool {
        self.control == Control::Explicit
    }

    /// Loads a model, or loads it anew where its package has changed; version 0 is the highest in the repository.
    ///
    /// # Errors
    /// [`Error::NotFound`], or why it could not be loaded.
    pub async fn load(&self, name: &str, version: u32) -> Result<Status> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Load { name: name.to_owned(), version, reply }).await?;
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// Takes a model out of service; version 0 is every one that is loaded.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn unload(&self, name: &str, version: u32) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Unload { name: name.to_owned(), version, reply }).await?;
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }

    async fn command(&self, command: Command) -> Result<()> {
        let Some(commands) = &self.commands else { return Err(stopping()) };
        commands.send(command).await.map_err(|_| stopping())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a version's slot and tells those who wait for changes.
    fn change<R>(&self, name: &str, version: u32, change: impl FnOnce(&mut Slot) -> R) -> R {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let versions = table.entry(name.to_owned()).or_default();
        let result = change(versions.entry(version).or_insert_with(|| Slot::new(State::Available)));
        drop(table);
        self.changes.send_modify(|count| *count += 1);
        result
    }

    fn work(&self, mut inbox: mpsc::Receiver<Command>, control: Control) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "the loader cannot start; no model will be loaded"),
        };
        let mut listing = Listing::new();
        self.look(control != Control::Explicit, &mut listing);
        self.started.send_replace(true);
        let pause = match control {
            Control::Poll(pause) => pause,
            // Models that leave are looked after all the same.
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
                Err(_) if matches!(control, Control::Poll(_)) => self.look(true, &mut listing),
                Err(_) => {}
            }
            self.forget_those_that_left();
        }
    }

    /// Brings the table in line with the repository; loads what should be served if `load`. `before` is what the last look
    /// found: a package is taken for removed when two looks have missed it, as one that is being replaced may be missing for a
    /// moment.
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

    /// Loads the highest versions of a model that can be loaded, as many as are to be served, and retires the others.
    fn serve(&self, name: &str, versions: &BTreeMap<u32, Found>, before: Option<&BTreeMap<u32, Found>>) {
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

    /// Whether a package is new, was changed, or failed long enough ago to be tried again (its backbone may have come since).
    fn is_due(&self, name: &str, version: u32, found: &Found) -> bool {
        let table = self.read();
        let Some(slot) = table.get(name).and_then(|slots| slots.get(&version)) else { return true };
        let rested = slot.since.elapsed().is_ok_and(|since| since >= TRY_AGAIN);
        slot.tried.as_ref() != Some(found) || (slot.state == State::Failed && rested)
    }

    /// Adds versions that are new on disk, and forgets those that are neither on disk nor loaded.
    fn list_available(&self, listing: &Listing) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        for (name, versions) in listing {
            let slots = table.entry(name.clone()).or_default();
            for version in versions.keys() {
                slots.entry(*version).or_insert_with(|| Slot::new(State::Available));
            }
        }
        for (name, slots) in table.iter_mut() {
            let on_disk = |version: &u32| listing.get(name).is_some_and(|versions| versions.contains_key(version));
            slots.retain(|version, slot| on_disk(version) || slot.model.is_some() || slot.leaving.strong_count() > 0);
        }
        table.retain(|_, slots| !slots.is_empty());
        drop(table);
        self.changes.send_modify(|count| *count += 1);
    }

    fn load(&self, name: &str, version: u32, found: &Found) -> Result<()> {
        self.change(name, version, |slot| {
            slot.tried = Some(found.clone());
            if slot.model.is_none() {
                slot.enter(State::Loading, "");
            }
        });
        let loaded = Package::open(&found.path).and_then(|package| self.engine.load(&package, name, version));
        self.change(name, version, |slot| match &loaded {
            Ok(model) => {
                tracing::info!(model = name, version, warm_up_ms = model.warm_up().as_secs_f64() * 1e3, "model is ready");
                slot.leaving = slot.model.as_ref().map(Arc::downgrade).unwrap_or_default();
                slot.model = Some(Arc::clone(model));
                slot.enter(State::Ready, "");
            }
            Err(error) if slot.model.is_some() => {
                tracing::warn!(model = name, version, %error, "the changed package cannot be loaded; the one before serves on");
                slot.reason = format!("the changed package cannot be loaded, the one before serves on: {error}");
            }
            Err(error) => {
                tracing::warn!(model = name, version, %error, "the package cannot be loaded");
                slot.enter(State::Failed, error.to_string());
            }
        });
        loaded.map(drop)
    }

    /// Takes the versions for which `which` holds out of service.
    fn retire(&self, name: &str, which: impl Fn(u32) -> bool) {
        let loaded: Vec<u32> = (self.read().get(name).into_iter().flatten())
            .filter(|(version, slot)| which(**version) && slot.model.is_some())
            .map(|(version, _)| *version)
            .collect();
        for version in loaded {
            self.change(name, version, |slot| {
                slot.leaving = slot.model.take().as_ref().map(Arc::downgrade).unwrap_or_default();
                slot.tried = None;
                slot.enter(State::Unloading, "its accepted frames are being finished");
            });
            tracing::info!(model = name, version, "model takes no more frames");
        }
        self.forget_those_that_left();
    }

    fn forget_those_that_left(&self) {
        let mut left = Vec::new();
        for (name, slots) in &*self.read() {
            let gone = |slot: &Slot| slot.state == State::Unloading && slot.leaving.strong_count() == 0;
            left.extend(slots.iter().filter(|(_, slot)| gone(slot)).map(|(version, _)| (name.clone(), *version)));
        }
        for (name, version) in left {
            self.change(&name, version, |slot| slot.enter(State::Available, "unloaded"));
        }
    }

    fn load_on_request(&self, name: &str, version: u32) -> Result<Status> {
        let listing = self.repository.scan()?;
        self.list_available(&listing);
        let versions = listing.get(name).ok_or_else(|| unknown(name, &self.read()))?;
        let found = match version {
            0 => versions.iter().next_back(),
            _ => versions.get_key_value(&version),
        };
        let (version, found) = found
            .ok_or_else(|| Error::NotFound(format!("the repository has no version {version} of model `{name}`")))?;
        let up_to_date = |slot: &Slot| slot.state == State::Ready && slot.tried.as_ref() == Some(found);
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
        status.into_iter().find(|status| status.version == *version).ok_or_else(|| unknown(name, &table))
    }

    fn unload_on_request(&self, name: &str, version: u32) -> Result<()> {
        {
            let table = self.read();
            let slots = table.get(name).ok_or_else(|| unknown(name, &table))?;
            if version != 0 && !slots.contains_key(&version) {
                return Err(Error::NotFound(format!("model `{name}` has no version {version}")));
            }
        }
        self.retire(name, |other| version == 0 || other == version);
        Ok(())
    }
}

fn statuses(name: &str, versions: &BTreeMap<u32, Slot>) -> Vec<Status> {
    let current = versions.iter().rev().find(|(_, slot)| slot.model.is_some()).map(|(version, _)| *version);
    let status = |(version, slot): (&u32, &Slot)| Status {
        name: name.to_owned(),
        version: *version,
        state: slot.state,
        reason: slot.reason.clone(),
        since: slot.since,
        current: current == Some(*version),
        model: slot.model.clone(),
    };
    versions.iter().map(status).collect()
}

fn unknown(name: &str, table: &Table) -> Error {
    const SHOWN: usize = 20;
    let mut known: Vec<_> = table.keys().take(SHOWN).map(String::as_str).collect();
    if table.len() > SHOWN {
        known.push("…");
    }
    let known = if known.is_empty() { "there are none".to_owned() } else { format!("there are {}", known.join(", ")) };
    Error::NotFound(format!("there is no model `{}`; {known}", name.escape_debug()))
}

fn unavailable(name: &str, version: u32, slot: &Slot) -> Error {
    let what = match slot.state {
        State::Available => "is not loaded",
        State::Loading => "is being loaded",
        State::Unloading => "is being unloaded",
        State::Failed => "could not be loaded",
        State::Ready => "is not ready",
    };
    let reason = if slot.reason.is_empty() { String::new() } else { format!(": {}", slot.reason) };
    Error::Unavailable(format!("model `{name}` version {version} {what}{reason}"))
}

fn stopping() -> Error {
    Error::Unavailable("the server is stopping".to_owned())
}

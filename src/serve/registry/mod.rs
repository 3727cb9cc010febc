//! The models a server has: what each is doing, and the thread that loads and unloads them.
//!
//! One thread does all loading, one model after another; requests read a table that it changes. A model that is replaced
//! finishes the frames it has (they hold it), and its memory is freed with the last of them. A package that cannot be
//! loaded changes only the `reason` of its entry: the model that served goes on serving. The package is tried again when one
//! of its files or its shared backbone changes, and otherwise after a pause that doubles with each failure.

mod feed;
mod figures;
mod loader;
mod table;

use std::{
    sync::{Arc, Mutex, RwLock, atomic::AtomicBool},
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::{mpsc, oneshot, watch};

pub use self::{
    feed::{Ask, Feed, Standing},
    table::{ModelState, Status},
};
use self::{
    figures::ModelFigures,
    loader::{Command, Shared},
    table::{statuses, unavailable},
};
use crate::{
    Error, Reason, Result,
    engine::{Engine, Model},
    package::Repository,
    sync::lock,
};

/// When models are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// At the start, and never again.
    Static,
    /// At the start and when the repository has changed. The server looks at it this often.
    Poll(Duration),
    /// When a client asks.
    Explicit,
}

/// Which versions of a model are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// The highest versions, this many.
    Latest(usize),
    /// All versions.
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

/// The table, and the way to the thread.
#[derive(Debug)]
pub struct Registry {
    shared: Arc<Shared>,
    commands: Mutex<Option<mpsc::Sender<Command>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    control: Control,
    feed: Option<Feed>,
}

impl Registry {
    /// Starts the thread, which loads what `control` says.
    ///
    /// # Errors
    /// A thread that cannot be started.
    pub fn start(engine: Arc<Engine>, repository: Repository, control: Control, versions: Versions) -> Result<Self> {
        Self::start_fed(engine, repository, control, versions, None)
    }

    /// As [`start`](Self::start), on a folder that something else fills.
    ///
    /// # Errors
    /// A thread that cannot be started.
    pub fn start_fed(
        engine: Arc<Engine>,
        repository: Repository,
        control: Control,
        versions: Versions,
        feed: Option<Feed>,
    ) -> Result<Self> {
        let (commands, inbox) = mpsc::channel(64);
        let shared = Arc::new(Shared {
            engine: Arc::clone(&engine),
            repository,
            versions,
            table: RwLock::default(),
            changes: watch::Sender::new(0),
            listed: AtomicBool::new(false),
            started: watch::Sender::new(false),
        });
        let figures = Box::new(ModelFigures::new(Arc::downgrade(&shared))?);
        let failed = |error| Error::internal(Reason::because("a metric cannot be registered", error));
        engine.metrics().registry().register(figures).map_err(failed)?;
        let (worker, filled) = (Arc::clone(&shared), feed.as_ref().map(|feed| feed.filled.clone()));
        let thread = std::thread::Builder::new().name("uflow-loader".to_owned());
        let thread = thread
            .spawn(move || worker.work(inbox, control, filled))
            .map_err(Error::io("start", "the loader thread"))?;
        Ok(Self { shared, commands: Mutex::new(Some(commands)), thread: Mutex::new(Some(thread)), control, feed })
    }

    /// The model for a request. Version 0 is the current version.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such model, [`Error::Unavailable`] if the model takes no frames now, or the repository has not been
    /// read yet.
    pub fn get(&self, name: &str, version: u32) -> Result<Arc<Model>> {
        let table = self.shared.read();
        let versions = table.get(name).ok_or_else(|| self.shared.unknown(name, &table))?;
        if version == 0 {
            let ready = versions.values().rev().find_map(|slot| slot.model.clone());
            return ready.ok_or_else(|| match versions.iter().next_back() {
                Some((version, slot)) => unavailable(name, *version, slot),
                None => Error::unavailable(format!("model `{name}` has no version that takes frames")),
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

    /// One version of a model. Version 0 is the current version, or the highest if none takes frames.
    ///
    /// # Errors
    /// As [`get`](Self::get), except that a model may be in any state.
    pub fn status(&self, name: &str, version: u32) -> Result<Status> {
        let table = self.shared.read();
        let versions = table.get(name).ok_or_else(|| self.shared.unknown(name, &table))?;
        let all = statuses(name, versions);
        let wanted = match version {
            0 => all.iter().find(|status| status.current).or(all.last()),
            _ => all.iter().find(|status| status.version == version),
        };
        wanted.cloned().ok_or_else(|| Error::NotFound(format!("model `{name}` has no version {version}")))
    }

    /// Tells whether the table has a model of a name, also after this registry is gone: then it has none.
    pub fn knows(&self) -> impl Fn(&str) -> bool + Send + Sync + use<> {
        let shared = Arc::downgrade(&self.shared);
        move |name| shared.upgrade().is_some_and(|shared| shared.read().contains_key(name))
    }

    /// Tells what a version of a model is doing, also after this registry is gone: then nothing is known.
    pub fn standing(&self) -> impl Fn(&str, u32) -> Standing + Send + Sync + use<> {
        let shared = Arc::downgrade(&self.shared);
        move |name, version| {
            let Some(shared) = shared.upgrade() else { return Standing::Unknown };
            let table = shared.read();
            match table.get(name).and_then(|slots| slots.get(&version)) {
                Some(slot) if slot.model.is_some() => Standing::Serves,
                Some(slot) if slot.state == ModelState::Failed => Standing::Failed,
                _ => Standing::Unknown,
            }
        }
    }

    /// Whether the repository's folder is not filled yet, so that nothing is known of its models.
    pub fn is_waiting(&self) -> bool {
        self.feed.as_ref().is_some_and(|feed| !*feed.filled.borrow())
    }

    /// A count of changes. Wait on it to see the next change.
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

    /// Loads a model, or loads it again if its package has changed. Version 0 is the highest version in the repository.
    ///
    /// # Errors
    /// [`Error::NotFound`], or why it could not be loaded.
    pub async fn load(&self, name: &str, version: u32) -> Result<Status> {
        if let Some(feed) = &self.feed {
            let (done, told) = oneshot::channel();
            // An error says that the folder is filled once only; what is in it counts.
            if feed.asks.send(Ask { name: name.to_owned(), version, done }).await.is_ok() {
                let _ = told.await;
            }
        }
        let (reply, answer) = oneshot::channel();
        self.command(Command::Load { name: name.to_owned(), version, reply }).await?;
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// Takes a model out of service. Version 0 means all loaded versions.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn unload(&self, name: &str, version: u32) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Unload { name: name.to_owned(), version, reply }).await?;
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }

    async fn command(&self, command: Command) -> Result<()> {
        let commands = lock(&self.commands).clone();
        let Some(commands) = commands else { return Err(stopping()) };
        commands.send(command).await.map_err(|_| stopping())
    }
}

impl Registry {
    /// Loads and unloads nothing more, and waits until a package that is being loaded is there. Blocks: not for an event loop.
    pub fn close(&self) {
        lock(&self.commands).take();
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Registry {
    /// Waits for the thread, but where that would hold up an event loop.
    fn drop(&mut self) {
        if tokio::runtime::Handle::try_current().is_err() {
            self.close();
        }
    }
}

fn stopping() -> Error {
    Error::unavailable("the server is stopping")
}

//! System shared memory for clients on the same host: which regions are registered, and who may use them.
//!
//! A client creates a POSIX shared memory object (`shm_open`), registers a part of it under a name, and then sends that name in
//! place of a tensor's bytes. The server opens the object once and **reads and writes it by offset** (`pread`, `pwrite`); it
//! never maps the object. So an object that its client truncates gives an error and not a signal, and a frame cannot change
//! while the server works on it, because it was copied.
//!
//! **Who may.** Registering lets a client name any object that the server's user may open, also one of another program. So shared
//! memory is off unless the operator turns it on. Where the server has tokens, a client needs one: with the scope `control`
//! to register and unregister, as for loading a model; with the scope `inference` to use a region. Where the server has no
//! tokens, only clients whose connection comes from a loopback address may do either.

mod object;
mod region;

use std::{
    collections::BTreeMap,
    sync::{Arc, RwLock},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use self::region::Region;
pub use self::region::Window;
use super::{origin::Origin, shown::shown};
use crate::{Error, Result};

/// Most regions. Each holds a file descriptor.
const MOST_REGIONS: usize = 256;
/// Longest name of a region, in bytes.
const LONGEST_NAME: usize = 255;
/// Requests that may hold a copy of a region's bytes before the engine has accepted their frames.
const COPIES: usize = 16;

/// Who may use shared memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Nobody.
    #[default]
    Off,
    /// Clients that connect from a loopback address.
    Loopback,
    /// Every client: its token was checked when its call arrived.
    Anywhere,
}

/// The registered regions. Clones share them.
#[derive(Clone, Debug)]
pub struct SharedMemory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    access: Access,
    regions: RwLock<BTreeMap<String, Arc<Region>>>,
    copies: Arc<Semaphore>,
}

/// What is told of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionStatus {
    /// Name of the region.
    pub name: String,
    /// Name of the object.
    pub key: String,
    /// Where the region starts in the object, in bytes.
    pub offset: u64,
    /// Size of the region, in bytes.
    pub byte_size: u64,
}

impl Default for SharedMemory {
    /// Off.
    fn default() -> Self {
        Self::new(Access::Off)
    }
}

impl SharedMemory {
    /// Without regions.
    pub fn new(access: Access) -> Self {
        let copies = Arc::new(Semaphore::new(COPIES));
        Self(Arc::new(Inner { access, regions: RwLock::default(), copies }))
    }

    /// Whether anybody may use it.
    pub fn is_allowed(&self) -> bool {
        self.0.access != Access::Off
    }

    /// Checks whether the sender of a request may use shared memory. The message says why not.
    pub(super) fn check(&self, origin: &Origin) -> Result<(), &'static str> {
        let is_local = || origin.client().is_some_and(|client| client.ip().to_canonical().is_loopback());
        match self.0.access {
            Access::Off => Err("this server does not use shared memory; start it with --allow-shared-memory"),
            Access::Loopback if !is_local() => Err(
                "only clients on this host may use shared memory, over a loopback address; a server with --tokens takes others",
            ),
            Access::Loopback | Access::Anywhere => Ok(()),
        }
    }

    /// Registers a part of an object. Blocks.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a name, an object or a part of it that cannot be used, `ALREADY_EXISTS` for a name that is
    /// registered, `RESOURCE_EXHAUSTED` when there are too many regions.
    pub fn register(&self, name: &str, key: &str, offset: u64, byte_size: u64) -> Result<(), Status> {
        if name.is_empty() || name.len() > LONGEST_NAME {
            let reason = format!("a region has a name of 1 to {LONGEST_NAME} bytes, this one has {}", name.len());
            return Err(Error::parameter("name", reason).into());
        }
        let region = Region::open(name, key, offset, byte_size)?;
        let mut regions = self.0.regions.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        if regions.contains_key(name) {
            let text = format!("the region `{}` is registered already; unregister it first", shown(name));
            return Err(Status::already_exists(text));
        }
        if regions.len() >= MOST_REGIONS {
            let text = format!("{MOST_REGIONS} regions are registered, as many as there may be; unregister some");
            return Err(Status::resource_exhausted(text));
        }
        regions.insert(name.to_owned(), Arc::new(region));
        Ok(())
    }

    /// Forgets a region, or all of them if the name is empty. A name that is not registered has no effect. When this returns, the
    /// server neither reads nor writes the region. Blocks.
    pub fn unregister(&self, name: &str) {
        let mut regions = self.0.regions.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let gone: Vec<_> = if name.is_empty() {
            std::mem::take(&mut *regions).into_values().collect()
        } else {
            regions.remove(name).into_iter().collect()
        };
        drop(regions);
        for region in gone {
            region.close();
        }
    }

    /// A region, or all of them if the name is empty, ordered by name.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn status(&self, name: &str) -> Result<Vec<RegionStatus>> {
        let regions = self.0.regions.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let asked: Vec<_> = regions
            .values()
            .filter(|region| name.is_empty() || region.name() == name)
            .map(|region| region.status())
            .collect();
        if asked.is_empty() && !name.is_empty() {
            return Err(unknown(name));
        }
        Ok(asked)
    }

    /// A part of a region.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a region that is not registered, [`Error::Parameter`] for a part outside it.
    pub fn window(&self, name: &str, offset: u64, byte_size: u64) -> Result<Window> {
        let regions = self.0.regions.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let region = regions.get(name).ok_or_else(|| unknown(name))?;
        Window::new(Arc::clone(region), offset, byte_size)
    }

    /// Waits until a request may copy bytes out of regions. The copies are counted until the permit is dropped.
    pub(super) async fn copy(&self) -> Result<OwnedSemaphorePermit> {
        let stopping = |_| Error::unavailable("the server is stopping");
        Arc::clone(&self.0.copies).acquire_owned().await.map_err(stopping)
    }
}

fn unknown(name: &str) -> Error {
    Error::NotFound(format!("there is no shared memory region `{}`; register it first", shown(name)))
}

//! A region of a shared memory object: opened once, read and written by offset.
//!
//! What may go wrong after that, and what the server does about it:
//!
//! | the client | the server |
//! |---|---|
//! | truncates the object | refuses to read or write beyond its end |
//! | removes the object and makes another one under its name | refuses to use the region, which is of the old object |
//! | unregisters the region while a request uses it | answers the request with an error, and does not write |
//! | names a path, a link, a folder or a device | refuses it when the region is registered |

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
};

use bytes::Bytes;

use super::{
    RegionStatus,
    object::{Identity, Object},
};
use crate::{Error, Reason, Result, serve::shown::shown};

/// Where `shm_open` has its objects on Linux.
const FOLDER: &str = "/dev/shm";
/// Longest name of an object, in bytes: that of a file.
const LONGEST_KEY: usize = 255;

#[derive(Debug)]
pub(super) struct Region {
    status: RegionStatus,
    path: PathBuf,
    object: Object,
    is_writable: bool,
    identity: Identity,
    /// False once it is unregistered. Whoever reads or writes the object holds the lock.
    is_open: RwLock<bool>,
}

fn wrong(name: &'static str, reason: impl Into<Reason>) -> Error {
    Error::parameter(name, reason)
}

/// The file of an object. A name has no `/` but one in front, so it cannot leave the folder.
fn path_of(key: &str) -> Result<PathBuf> {
    let name = key.strip_prefix('/').unwrap_or(key);
    let is_name = (1..=LONGEST_KEY).contains(&name.len()) && !name.contains(['/', '\0']) && name != "." && name != "..";
    if is_name {
        return Ok(Path::new(FOLDER).join(name));
    }
    let reason = format!(
        "`{}` is not the name of a shared memory object: give the name that shm_open has, of 1 to {LONGEST_KEY} bytes, with \
         no `/` after the first character",
        shown(key)
    );
    Err(wrong("key", reason))
}

/// Opens an object to read and write it, or to read it where it may not be written. Links are not followed.
fn open(key: &str, path: &Path) -> Result<(Object, bool)> {
    let failed = |error: io::Error| {
        let text = format!("the shared memory object `{}` cannot be opened", shown(key));
        wrong("key", Reason::because(text, error))
    };
    let refused =
        || wrong("key", format!("`{}` is not a shared memory object but a link, a folder or a device", shown(key)));
    // Before it is opened, because opening a device or a pipe may have effects.
    if !path.symlink_metadata().map_err(failed)?.is_file() {
        return Err(refused());
    }
    let (opened, is_writable) = match Object::open(path, true) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => (Object::open(path, false), false),
        opened => (opened, true),
    };
    Ok((opened.map_err(failed)?.ok_or_else(refused)?, is_writable))
}

impl Region {
    /// Opens the object and checks that it has the region.
    pub(super) fn open(name: &str, key: &str, offset: u64, byte_size: u64) -> Result<Self> {
        let path = path_of(key)?;
        let end = offset.checked_add(byte_size).filter(|&end| byte_size > 0 && i64::try_from(end).is_ok());
        let Some(end) = end else {
            let reason = format!("{byte_size} bytes from offset {offset} are not a region; it has at least 1 byte");
            return Err(wrong("byte_size", reason));
        };
        let (object, is_writable) = open(key, &path)?;
        let found = object.found().map_err(Error::io("look at", &path))?;
        if found.bytes < end {
            let reason = format!(
                "`{}` has {} bytes; {byte_size} bytes from offset {offset} need {end}. Set its size (ftruncate) first",
                shown(key),
                found.bytes
            );
            return Err(wrong("byte_size", reason));
        }
        let (identity, is_open) = (found.identity, RwLock::new(true));
        let status = RegionStatus { name: name.to_owned(), key: key.to_owned(), offset, byte_size };
        Ok(Self { status, path, object, is_writable, identity, is_open })
    }

    pub(super) fn name(&self) -> &str {
        &self.status.name
    }

    pub(super) fn status(&self) -> RegionStatus {
        self.status.clone()
    }

    /// No reading or writing begins after this, and what has begun is over.
    pub(super) fn close(&self) {
        *self.is_open.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = false;
    }

    /// Runs `work` on the object if it is still there, is the one under its name, and has `end` bytes.
    fn with<T>(&self, end: u64, work: impl FnOnce(&Object) -> io::Result<T>) -> Result<T> {
        let name = shown(self.name());
        let wrong = |reason: String| wrong("shared_memory_region", reason);
        let is_open = self.is_open.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        if !*is_open {
            return Err(wrong(format!("`{name}` was unregistered while a request used it")));
        }
        let found = self.object.found().map_err(Error::io("look at", &self.path))?;
        // An object without a name is in order: its client removed the name early, so that nothing is left behind.
        if let Ok(other) = Object::at(&self.path)
            && other.identity != self.identity
        {
            let key = shown(&self.status.key);
            let text = format!(
                "`{name}` is of an object that was replaced: there is a new `{key}`; unregister it and register it again"
            );
            return Err(wrong(text));
        }
        if found.bytes < end {
            let found = found.bytes;
            return Err(wrong(format!("`{name}` was truncated: its object has {found} bytes, and {end} are needed")));
        }
        work(&self.object).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => wrong(format!("`{name}` was truncated while it was read")),
            _ => Error::io("use", &self.path)(error),
        })
    }
}

/// A part of a region, for one tensor.
#[derive(Clone, Debug)]
pub struct Window {
    region: Arc<Region>,
    /// From the start of the region.
    offset: u64,
    byte_size: u64,
}

impl Window {
    pub(super) fn new(region: Arc<Region>, offset: u64, byte_size: u64) -> Result<Self> {
        let has = region.status.byte_size;
        if byte_size == 0 || offset.checked_add(byte_size).is_none_or(|end| end > has) {
            let reason = format!(
                "{byte_size} bytes from offset {offset} are not a part of the region `{}`, which has {has} bytes",
                shown(region.name())
            );
            return Err(wrong("shared_memory_byte_size", reason));
        }
        Ok(Self { region, offset, byte_size })
    }

    /// Name of the region.
    pub fn region(&self) -> &str {
        self.region.name()
    }

    /// From the start of the region, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Its size in bytes.
    pub fn byte_size(&self) -> u64 {
        self.byte_size
    }

    /// A copy of its bytes, at most `most`. Blocks.
    ///
    /// # Errors
    /// An object that was truncated, replaced or unregistered; [`Error::Limit`].
    pub fn read(&self, most: usize) -> Result<Bytes> {
        if self.byte_size > most as u64 {
            let what = "size of the tensor in shared memory".to_owned();
            return Err(Error::Limit { what, found: self.byte_size, limit: most as u64, unit: "bytes" });
        }
        let start = self.region.status.offset + self.offset;
        let mut bytes = vec![0; self.byte_size as usize];
        self.region.with(start + self.byte_size, |object| object.read(&mut bytes, start))?;
        Ok(bytes.into())
    }

    /// Checks that a tensor of so many bytes can be written.
    ///
    /// # Errors
    /// [`Error::Parameter`] that says how many bytes it needs, or that the object may not be written.
    pub fn check(&self, tensor: &str, bytes: usize) -> Result<()> {
        if !self.region.is_writable {
            let reason = format!("the server may not write to the object of the region `{}`", shown(self.region()));
            return Err(wrong("shared_memory_region", reason));
        }
        if bytes as u64 > self.byte_size {
            let reason =
                format!("`{tensor}` has {bytes} bytes, and {} are set aside for it in shared memory", self.byte_size);
            return Err(wrong("shared_memory_byte_size", reason));
        }
        Ok(())
    }

    /// Writes a tensor at its start. Blocks.
    ///
    /// # Errors
    /// As [`read`](Self::read) and [`check`](Self::check).
    pub fn write(&self, tensor: &str, bytes: &[u8]) -> Result<()> {
        self.check(tensor, bytes.len())?;
        let start = self.region.status.offset + self.offset;
        self.region.with(start + bytes.len() as u64, |object| object.write(bytes, start))
    }
}

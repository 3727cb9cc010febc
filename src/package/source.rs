//! Where a package's files come from: a folder, or a zip whose entries are stored.
//!
//! Error texts begin with the name of the file; the caller adds the package's path.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use prost::bytes::Bytes;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::{MANIFEST_FILE, SIGNATURE_FILE};
use crate::Reason;

const MOST_ENTRIES: usize = 1024;

pub(super) enum Source {
    /// The folder's canonical path.
    Folder(PathBuf),
    Archive(ZipArchive<BufReader<File>>),
}

/// A network in a folder is used from its file, so that a large backbone is not copied.
pub(super) enum NetworkContent {
    File(PathBuf),
    Bytes(Bytes),
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self, Reason> {
        let metadata = path.metadata().map_err(|error| match path.to_str().is_some_and(|path| path.contains("://")) {
            true => "is an address, and only `uflow serve --models` reads object stores; copy the package to a folder first (with \
                     `aws s3 cp --recursive`, `gcloud storage cp -r` or `az storage blob download-batch`)"
                .into(),
            false => Reason::because("cannot be opened", error),
        })?;
        if metadata.is_dir() {
            let root = path.canonicalize().map_err(|error| Reason::because("cannot be opened", error))?;
            return Ok(Self::Folder(root));
        }
        if !metadata.is_file() {
            return Err("is neither a folder nor a file".into());
        }
        let file = File::open(path).map_err(|error| Reason::because("cannot be opened", error))?;
        let archive = ZipArchive::new(BufReader::new(file))
            .map_err(|error| Reason::because("is not a `.uflow` file (a zip with stored entries)", error))?;
        if archive.len() > MOST_ENTRIES {
            return Err(format!("has {} entries, at most {MOST_ENTRIES} are allowed", archive.len()).into());
        }
        Ok(Self::Archive(archive))
    }

    /// A whole file of at most `limit` bytes. `name` is a checked relative path.
    pub(super) fn read(&mut self, name: &str, limit: u64) -> Result<Bytes, Reason> {
        match self {
            Self::Folder(root) => read_file(&resolve(root, name)?, name, limit),
            Self::Archive(archive) => read_entry(archive, name, limit),
        }
    }

    /// Whether there is an entry of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Self::Folder(root) => root.join(name).symlink_metadata().is_ok(),
            Self::Archive(archive) => archive.index_for_name(name).is_some(),
        }
    }

    /// A file, without reading it into memory where possible.
    pub(super) fn find(&mut self, name: &str, limit: u64) -> Result<NetworkContent, Reason> {
        match self {
            Self::Folder(root) => Ok(NetworkContent::File(resolve(root, name)?)),
            Self::Archive(archive) => Ok(NetworkContent::Bytes(read_entry(archive, name, limit)?)),
        }
    }
}

/// The regular file `name` under `root`, a canonical path; links may not lead out of it.
pub(super) fn resolve(root: &Path, name: &str) -> Result<PathBuf, Reason> {
    let path = match root.join(name).canonicalize() {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing(name)),
        Err(error) => return Err(Reason::because(format_args!("{name}: cannot be opened"), error)),
    };
    if !path.starts_with(root) {
        return Err(format!("{name}: is a link that leads out of {}, to {}", root.display(), path.display()).into());
    }
    if !path.is_file() {
        return Err(format!("{name}: is not a file").into());
    }
    Ok(path)
}

pub(super) fn missing(name: &str) -> Reason {
    let text = match name {
        MANIFEST_FILE => format!("{name}: is missing; this is not a U-Flow package"),
        SIGNATURE_FILE => format!("{name}: is a link to a file that is missing"),
        name => format!("{name}: is missing, though the manifest names it"),
    };
    text.into()
}

fn read_file(path: &Path, name: &str, limit: u64) -> Result<Bytes, Reason> {
    let unreadable = |error: io::Error| Reason::because(format_args!("{name}: cannot be read"), error);
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    check_length(name, length, limit)?;
    read_all(file, name, length, limit)
}

fn read_entry(archive: &mut ZipArchive<BufReader<File>>, name: &str, limit: u64) -> Result<Bytes, Reason> {
    let entry = match archive.by_name(name) {
        Ok(entry) => entry,
        Err(ZipError::FileNotFound) => return Err(missing(name)),
        Err(ZipError::CompressionMethodNotSupported(_)) => return Err(compressed(name)),
        Err(error) => return Err(Reason::because(format_args!("{name}: cannot be read"), error)),
    };
    if entry.compression() != CompressionMethod::Stored {
        return Err(compressed(name));
    }
    if !entry.is_file() || entry.is_symlink() {
        return Err(format!("{name}: is not a file").into());
    }
    let length = entry.size();
    check_length(name, length, limit)?;
    // A stored entry cannot be larger than its file, whatever its header says.
    if length != entry.compressed_size() {
        return Err(format!("{name}: is stored, but its two sizes differ").into());
    }
    read_all(entry, name, length, limit)
}

fn compressed(name: &str) -> Reason {
    format!("{name}: is compressed; the entries of a `.uflow` file must be stored (`zip -0`)").into()
}

fn check_length(name: &str, length: u64, limit: u64) -> Result<(), Reason> {
    if length <= limit {
        Ok(())
    } else {
        Err(format!("{name}: has {length} bytes, at most {limit} are allowed").into())
    }
}

/// Reads to the end. Memory grows with the bytes that exist, not with the length in a header.
fn read_all(reader: impl Read, name: &str, length: u64, limit: u64) -> Result<Bytes, Reason> {
    const TRUSTED: u64 = 1 << 24;
    let mut bytes = Vec::with_capacity(length.min(TRUSTED) as usize);
    let count = reader
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Reason::because(format_args!("{name}: cannot be read"), error))?;
    check_length(name, count as u64, limit)?;
    if count as u64 != length {
        return Err(format!("{name}: has {count} bytes, {length} were announced").into());
    }
    Ok(bytes.into())
}

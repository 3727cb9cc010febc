//! The demo's report: one self-contained HTML page.
//!
//! Pictures are inline JPEGs, charts inline SVG, the style sheet is in the page; it refers to nothing outside itself, and
//! follows the reader's light or dark setting. Every figure in it comes from the [`Report`] it is made from.

mod charts;
mod page;

use std::{
    fs,
    path::{Path, PathBuf},
};

use image::RgbImage;

use super::machine::Machine;
use crate::{
    Error, Result,
    evaluate::{Evaluation, ImageResult},
};

/// All that the report shows.
#[derive(Clone, Debug)]
pub struct Report {
    /// Where and when.
    pub machine: Machine,
    /// What ran the networks, e.g. ONNX Runtime's version and the device: names and values.
    pub engine: Vec<(String, String)>,
    /// Each product, in the order of the page.
    pub products: Vec<ProductReport>,
    /// How streaming the test pictures through a server went: names and values; empty where none was run.
    pub served: Vec<(String, String)>,
    /// Wall-clock seconds of the whole.
    pub seconds: f64,
}

/// One product's part.
#[derive(Clone, Debug)]
pub struct ProductReport {
    /// Its name.
    pub name: String,
    /// Its package, where it was kept.
    pub package: Option<PathBuf>,
    /// What is known of its model: names and values.
    pub model: Vec<(String, String)>,
    /// Its metrics.
    pub evaluation: Evaluation,
    /// Some of the test images.
    pub cases: Vec<Case>,
    /// Wall-clock seconds by step.
    pub steps: Vec<(&'static str, f64)>,
    /// Median milliseconds per image by stage.
    pub stages: Vec<(String, f64)>,
}

/// One test image and what was found in it.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name, kind, verdict, score, lowest log₁₀NFA and IoU.
    pub result: ImageResult,
    /// The image.
    pub input: RgbImage,
    /// The score map in colours.
    pub heat: RgbImage,
    /// The log₁₀NFA map in colours.
    pub nfa: RgbImage,
    /// The mask, against the truth.
    pub mask: RgbImage,
    /// The image with the regions outlined.
    pub outlined: RgbImage,
}

impl Report {
    /// The page.
    pub fn to_html(&self) -> Result<String> {
        page::page(self)
    }

    /// Writes the page to `path`, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        let html = self.to_html()?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(Error::io("write", path))?;
        std::io::Write::write_all(&mut file, html.as_bytes()).map_err(Error::io("write", path))?;
        let file = file.persist(path).map_err(|error| Error::io("write", path)(error.error))?;
        readable(&file).map_err(Error::io("write", path))
    }
}

/// Gives a file made as a temporary one the usual rights.
#[cfg(unix)]
fn readable(file: &fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable(_: &fs::File) -> std::io::Result<()> {
    Ok(())
}

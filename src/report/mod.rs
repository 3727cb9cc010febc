//! What models find, as one self-contained HTML page: the demo's report and that of `uflow evaluate`.
//!
//! Pictures are inline JPEGs, charts inline SVG, the style sheet is in the page; it loads nothing from outside
//! itself (a page of several models links to theirs), and follows the reader's light or dark setting. Every figure in it comes from the [`Report`] it is made from.

mod charts;
mod diagnosis;
mod gallery;
mod machine;
mod page;
mod section;
mod text;

use std::{
    fs,
    path::{Path, PathBuf},
};

use image::RgbImage;

pub use gallery::pictures;
pub use machine::Machine;

use crate::{
    Error, Result,
    evaluate::{Evaluation, ImageResult},
};

/// All that the report shows. Text is plain: whatever HTML means something by is escaped.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its heading.
    pub title: String,
    /// What it is about, in a sentence or two.
    pub lead: String,
    /// The main figures: value and name.
    pub tiles: Vec<(String, String)>,
    /// Where and when.
    pub machine: Machine,
    /// What ran the networks, e.g. ONNX Runtime's version and the device: names and values.
    pub engine: Vec<(String, String)>,
    /// Each model, in the order of the page. More than one are also compared in a table.
    pub models: Vec<ModelReport>,
    /// Sections after the models.
    pub notes: Vec<Note>,
    /// Wall-clock seconds of the whole.
    pub seconds: f64,
    /// The last words.
    pub closing: String,
}

/// A section of names and values, or of a table.
#[derive(Clone, Debug, Default)]
pub struct Note {
    /// Its heading.
    pub title: String,
    /// What it is about.
    pub text: String,
    /// Names and values.
    pub facts: Vec<(String, String)>,
    /// Rows of cells, the headings first; may be none.
    pub table: Vec<Vec<String>>,
    /// What stands beneath, a paragraph each.
    pub remarks: Vec<String>,
}

/// One model's part.
#[derive(Clone, Debug)]
pub struct ModelReport {
    /// Its name.
    pub name: String,
    /// Its package, where it was kept.
    pub package: Option<PathBuf>,
    /// A page of its own, by its path from the folder that this one is written to.
    pub page: Option<PathBuf>,
    /// What is known of it: names and values.
    pub facts: Vec<(String, String)>,
    /// Its metrics.
    pub evaluation: Evaluation,
    /// How the cases were chosen.
    pub choice: String,
    /// Some of the test images; may be none.
    pub cases: Vec<Case>,
    /// Wall-clock seconds by step.
    pub steps: Vec<(&'static str, f64)>,
}

/// One test image and what was found in it.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name, kind, verdict, score, lowest log₁₀NFA and IoU.
    pub result: ImageResult,
    /// Its pictures.
    pub pictures: Pictures,
}

/// The pictures of a test image.
#[derive(Clone, Debug)]
pub struct Pictures {
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
        write_whole(path, self.to_html()?.as_bytes())
    }
}

/// Writes a file, whole or not at all, and the folders it lies in.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(Error::io("write", path))?;
    std::io::Write::write_all(&mut file, content).map_err(Error::io("write", path))?;
    let file = file.persist(path).map_err(|error| Error::io("write", path)(error.error))?;
    readable(&file).map_err(Error::io("write", path))
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

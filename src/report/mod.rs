//! Reports as one self-contained HTML page, for the demo and for `uflow evaluate`.
//!
//! Pictures are inline JPEGs, charts are inline SVG, and the style sheet is in the page. The page loads nothing else
//! (a page of several models links to theirs) and follows the reader's light or dark setting. Every figure comes from the [`Report`].
//!
//! A page is for the engineer who decides if a model goes to the line: what it finds, what it misses and why, and what the figures mean.
//! What compares methods is in an appendix at its end.

mod charts;
mod decision;
mod diagnosis;
mod gallery;
mod headline;
mod limits;
mod machine;
mod page;
mod research;
mod results;
mod screen;
mod section;
mod text;

use std::path::{Path, PathBuf};

use image::RgbImage;

pub use gallery::pictures;
pub use headline::{Headline, Tile};
pub use machine::Machine;
pub use screen::{Screened, screen_page};

use crate::{
    Result,
    evaluate::{Evaluation, ImageResult},
};

/// The content of a report. Text is plain; characters with a meaning in HTML are escaped.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its heading.
    pub title: String,
    /// One or two sentences of introduction.
    pub lead: String,
    /// The main figures, which the page explains.
    pub tiles: Vec<Tile>,
    /// Machine, build and date.
    pub machine: Machine,
    /// ONNX Runtime's version, the device and so on, as names and values.
    pub engine: Vec<(String, String)>,
    /// The models, in the order of the page. Several models are also compared in a table.
    pub models: Vec<ModelReport>,
    /// Sections after the models.
    pub notes: Vec<Note>,
    /// Total wall-clock seconds.
    pub seconds: f64,
    /// The last paragraph.
    pub closing: String,
}

/// A section with names and values, or with a table.
#[derive(Clone, Debug, Default)]
pub struct Note {
    /// Its heading.
    pub title: String,
    /// Introduction of the section.
    pub text: String,
    /// Names and values.
    pub facts: Vec<(String, String)>,
    /// Rows of cells, headings first; may be empty.
    pub table: Vec<Vec<String>>,
    /// Paragraphs below the table.
    pub remarks: Vec<String>,
    /// Pictures above the table, several in a row; may be empty.
    pub pictures: Vec<Figure>,
    /// Images, each in a row with its pictures.
    pub gallery: Vec<Shown>,
}

/// A picture with its caption.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The picture.
    pub picture: RgbImage,
    /// What it shows, short.
    pub title: String,
    /// What there is to say about it.
    pub text: String,
}

/// A row of pictures of one image.
#[derive(Clone, Debug)]
pub struct Shown {
    /// What is shown; bold.
    pub title: String,
    /// What there is to say about it: lines.
    pub lines: Vec<String>,
    /// Pictures with their captions, five at most.
    pub pictures: Vec<(String, RgbImage)>,
}

/// The part of the report about one model.
#[derive(Clone, Debug)]
pub struct ModelReport {
    /// Its name.
    pub name: String,
    /// Path of its package, if it was kept.
    pub package: Option<PathBuf>,
    /// The model's own page, as a path relative to this page's folder.
    pub page: Option<PathBuf>,
    /// Facts about the model, as names and values.
    pub facts: Vec<(String, String)>,
    /// Its metrics.
    pub evaluation: Evaluation,
    /// How the cases were chosen.
    pub choice: String,
    /// Some of the test images; may be empty.
    pub cases: Vec<Case>,
    /// Wall-clock seconds by step.
    pub steps: Vec<(&'static str, f64)>,
}

/// The result for one test image.
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
    /// The mask, compared with the ground truth.
    pub mask: RgbImage,
    /// The image with the regions outlined.
    pub outlined: RgbImage,
}

/// How a model decides, as a fact about it: lines of [`Inspector::decision`](crate::evaluate::Inspector::decision); `None` without any.
pub fn decision_fact(lines: &[String]) -> Option<(String, String)> {
    (!lines.is_empty()).then(|| ("decision".to_owned(), lines.join("\n")))
}

impl Report {
    /// Renders the page.
    pub fn to_html(&self) -> Result<String> {
        page::page(self)
    }

    /// Writes the page to `path`, atomically.
    pub fn write(&self, path: &Path) -> Result<()> {
        crate::files::write_whole(path, self.to_html()?.as_bytes())
    }
}

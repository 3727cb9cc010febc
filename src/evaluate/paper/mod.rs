//! The results printed in U-Flow's paper, and the comparison of a run with them.
//!
//! The paper's Tables 1, 2, 3, 5, 7 and 8 are stored as data (`tables.json`). Each table names the lines of the extracted text
//! that it was read from. The extraction lost the column headings of Tables 1, 3 and 7; of these, only U-Flow's own columns are stored, and the
//! table's notes explain how they were identified. The other methods' columns are stored where their headings
//! survived: Tables 2, 5 and 8.
//!
//! [`lookup`] returns the printed values of a category. [`compare`] and [`compare_all`] compare a run with them.
//!
//! Invariants, checked when the data are first read: every series has a value for every row; every row is a declared category or
//! average; every value is a fraction in 0..=1, in whatever unit it was printed. Values have the four digits that
//! are printed. A run's value is compared only with the same metric of the paper: U-Flow's result at log₁₀NFA = 0, which the paper
//! prints under "fair threshold", is [`Metric::MiouNfa`] here.
//!
//! ```
//! use uflow::evaluate::paper::{Metric, compare, lookup};
//!
//! let published = lookup("Metal nut")?;
//! let auroc = published.iter().find(|cell| cell.metric == Metric::PixelAuroc).map(|cell| cell.value);
//! assert_eq!(auroc, Some(0.9882));
//! println!("{}", compare("metal_nut", &[(Metric::PixelAuroc, 0.9871), (Metric::MiouNfa, 0.61)])?);
//! # Ok::<(), uflow::Error>(())
//! ```

mod comparison;
mod metric;
mod render;
#[cfg(test)]
mod tests;

pub use comparison::{CategoryResults, Comparison, Rival, Row, compare, compare_all};
pub use metric::Metric;

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// U-Flow's name in [`Series::method`] and [`Published::method`].
pub const UFLOW: &str = "U-Flow";

const DATA: &str = include_str!("tables.json");

/// The paper: where it appeared, and its tables.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paper {
    /// Its title.
    pub title: String,
    /// Its authors.
    pub authors: Vec<String>,
    /// Journal, year and DOI.
    pub published: String,
    /// Its number at arXiv.
    pub arxiv: String,
    /// Address of the authors' code.
    pub code: String,
    /// The text that the tables were read from.
    pub text: String,
    /// Notes on all tables, and what was left out.
    pub notes: Vec<String>,
    /// Notes that apply to every comparison.
    pub caution: String,
    /// The categories of the data sets.
    pub categories: Vec<Category>,
    /// The printed averages.
    pub averages: Vec<Average>,
    /// The tables.
    pub tables: Vec<Table>,
}

/// One category of a data set, or a whole data set without categories.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// Its name; for MVTec AD, the name of its folder.
    pub name: String,
    /// Its data set.
    pub dataset: String,
    /// Alternative names.
    pub aliases: Vec<String>,
}

/// An unweighted mean over categories.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Average {
    /// Its name.
    pub name: String,
    /// Alternative names.
    pub aliases: Vec<String>,
    /// The categories that it averages.
    pub of: Vec<String>,
}

/// One table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Its number.
    pub number: u8,
    /// What the table shows, in our words, because the captions did not survive the extraction.
    pub subject: String,
    /// First and last line of the extracted text, from 1.
    pub lines: [u32; 2],
    /// How its columns were identified, and what was left out.
    pub notes: Vec<String>,
    /// Notes that apply to a comparison with this table.
    #[serde(default)]
    pub remark: Option<String>,
    /// Names of categories and averages.
    pub rows: Vec<String>,
    /// The printed values of each method and metric.
    pub series: Vec<Series>,
}

/// The results of one method in one metric: a value for each of the table's rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// The method.
    pub method: String,
    /// What was measured.
    pub metric: Metric,
    /// The unit in which the paper prints the values. The stored values are fractions.
    pub printed_in: Unit,
    /// The heading, if it names something else than the method and the metric.
    #[serde(default)]
    pub heading: Option<String>,
    /// The values, fractions in 0..=1.
    pub values: Vec<f64>,
}

/// Unit of printed values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Hundredths, with two digits after the point.
    Percent,
    /// Parts of one, with four digits after the point.
    Fraction,
}

/// One printed value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Published {
    /// Number of the table.
    pub table: u8,
    /// Category or average, by its name in [`Paper`].
    pub category: &'static str,
    /// What was measured.
    pub metric: Metric,
    /// The method: [`UFLOW`] or a rival.
    pub method: &'static str,
    /// The value, a fraction.
    pub value: f64,
}

/// The paper's data.
///
/// # Errors
/// [`Error::Data`] if `tables.json` of this build violates an invariant of the module.
pub fn paper() -> Result<&'static Paper> {
    static PAPER: LazyLock<std::result::Result<Paper, String>> = LazyLock::new(|| read(DATA));
    PAPER.as_ref().map_err(|reason| Error::data("tables.json", reason.clone()))
}

/// The tables, by number.
///
/// # Errors
/// As [`paper`].
pub fn tables() -> Result<&'static [Table]> {
    Ok(&paper()?.tables)
}

/// All printed values of a category or an average, in the order of the tables; empty if the paper does not have it.
///
/// Names are matched without regard to case and separators: `metal_nut`, `Metal nut`, `metal-nut`. BTAD's categories are named
/// `BT01`, or `01`, `02`, `03` like their folders; averages are named `MVTec AD`, `MVTec AD textures`, `MVTec AD objects`, `BTAD`.
/// Only the name is compared: a category `zipper` of another data set counts as MVTec AD's.
///
/// # Errors
/// As [`paper`].
pub fn lookup(category: &str) -> Result<Vec<Published>> {
    let paper = paper()?;
    Ok(paper.name_of(category).map(|name| paper.published(name)).unwrap_or_default())
}

impl Paper {
    /// Authors, title, journal and arXiv number in one line.
    pub fn citation(&self) -> String {
        format!("{}: {}. {}; arXiv:{}", self.authors.join(", "), self.title, self.published, self.arxiv)
    }

    /// This module's name for a category or an average called `name`.
    pub fn name_of(&self, name: &str) -> Option<&str> {
        let wanted = key(name);
        let is =
            |name: &str, aliases: &[String]| key(name) == wanted || aliases.iter().any(|alias| key(alias) == wanted);
        let category = self.categories.iter().find(|each| is(&each.name, &each.aliases)).map(|each| &each.name);
        let average = || self.averages.iter().find(|each| is(&each.name, &each.aliases)).map(|each| &each.name);
        category.or_else(average).map(String::as_str)
    }

    fn published(&'static self, category: &str) -> Vec<Published> {
        let of_table = |table: &'static Table| {
            let row = table.rows.iter().position(|row| row == category);
            row.into_iter().flat_map(move |row| {
                table.series.iter().filter_map(move |series| {
                    let (table, category) = (table.number, table.rows.get(row)?.as_str());
                    let value = *series.values.get(row)?;
                    Some(Published { table, category, metric: series.metric, method: &series.method, value })
                })
            })
        };
        self.tables.iter().flat_map(of_table).collect()
    }
}

/// A name without case and separators.
fn key(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Reads the data, converts values into fractions and checks the invariants.
fn read(data: &str) -> std::result::Result<Paper, String> {
    let mut paper: Paper = serde_json::from_str(data).map_err(|error| error.to_string())?;
    for series in paper.tables.iter_mut().flat_map(|table| &mut table.series) {
        let scale = if series.printed_in == Unit::Percent { 100.0 } else { 10_000.0 };
        series.values.iter_mut().for_each(|value| *value = (*value * scale).round() / 10_000.0);
    }
    for average in &paper.averages {
        if let Some(name) = average.of.iter().find(|name| !paper.categories.iter().any(|each| each.name == **name)) {
            return Err(format!("{}: `{name}` is not a category", average.name));
        }
    }
    for table in &paper.tables {
        check(&paper, table).map_err(|reason| format!("table {}: {reason}", table.number))?;
    }
    Ok(paper)
}

fn check(paper: &Paper, table: &Table) -> std::result::Result<(), String> {
    if let Some(row) = table.rows.iter().find(|row| paper.name_of(row) != Some(row.as_str())) {
        return Err(format!("`{row}` is neither a category nor an average"));
    }
    for Series { method, metric, values, .. } in &table.series {
        if values.len() != table.rows.len() {
            return Err(format!("{method}, {metric}: {} values for {} rows", values.len(), table.rows.len()));
        }
        if let Some(value) = values.iter().find(|value| !(0.0..=1.0).contains(*value)) {
            return Err(format!("{method}, {metric}: {value} is not a fraction in 0..=1"));
        }
    }
    Ok(())
}

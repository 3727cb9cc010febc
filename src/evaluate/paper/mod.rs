//! The results that U-Flow's paper prints, and a run's figures beside them.
//!
//! "As good as published" is a claim about numbers, so the numbers are here as data (`tables.json`) and not as prose:
//! Tables 1, 2, 3, 5, 7 and 8, with the lines of the extracted text that each was read from and what had to be concluded
//! about it. The extraction lost column headings of Tables 1, 3 and 7; there only U-Flow's own columns are kept, and the
//! table's notes say how they are known. The rivals' are kept where their headings survived: 2, 5 and 8.
//!
//! [`lookup`] gives what is printed about a category, [`compare`] and [`compare_all`] put a run beside it.
//!
//! Invariants, checked when the data are first read: a value for every row of every series, every row a category or an
//! average that is declared, every value a fraction in 0..=1 whatever it was printed in. Values have the four digits that
//! are printed. A run's figure is only ever set beside the same metric of the paper: U-Flow's result at log₁₀NFA = 0,
//! printed under "fair threshold" for want of another column, is [`Metric::MiouNfa`] here.
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

pub use comparison::{Comparison, Rival, Row, Run, compare, compare_all};
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
    /// What is to be known about all tables, and what was left out.
    pub notes: Vec<String>,
    /// What a reader of any comparison has to know.
    pub caution: String,
    /// The categories of the data sets.
    pub categories: Vec<Category>,
    /// The averages that are printed.
    pub averages: Vec<Average>,
    /// The tables.
    pub tables: Vec<Table>,
}

/// One category of a data set, or a data set that is not divided.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// Its name, for MVTec AD that of its folder.
    pub name: String,
    /// Its data set.
    pub dataset: String,
    /// Other names it goes by.
    pub aliases: Vec<String>,
}

/// An unweighted mean over categories.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Average {
    /// Its name.
    pub name: String,
    /// Other names it goes by.
    pub aliases: Vec<String>,
    /// The categories that it is the mean of.
    pub of: Vec<String>,
}

/// One table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Its number.
    pub number: u8,
    /// What it shows; in our words, for captions did not survive the extraction.
    pub subject: String,
    /// First and last line of the extracted text, from 1.
    pub lines: [u32; 2],
    /// How its columns were told, and what was left out.
    pub notes: Vec<String>,
    /// What a reader of a comparison with this table has to know.
    #[serde(default)]
    pub remark: Option<String>,
    /// Names of categories and averages.
    pub rows: Vec<String>,
    /// What is printed of each method and metric.
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
    /// How the paper prints the values. Here they are fractions in any case.
    pub printed_in: Unit,
    /// The heading, where it says something else than method and metric.
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
/// [`Error::Data`] where `tables.json` of this build breaks an invariant of the module.
pub fn paper() -> Result<&'static Paper> {
    static PAPER: LazyLock<std::result::Result<Paper, String>> = LazyLock::new(|| read(DATA));
    PAPER.as_ref().map_err(|reason| Error::Data { path: "tables.json".into(), reason: reason.clone() })
}

/// The tables, by number.
///
/// # Errors
/// As [`paper`].
pub fn tables() -> Result<&'static [Table]> {
    Ok(&paper()?.tables)
}

/// All that is printed about a category or an average, in the order of the tables; nothing where the paper does not have it.
///
/// Names are matched without regard to case and separators: `metal_nut`, `Metal nut`, `metal-nut`. BTAD's categories go
/// by `BT01` or by their folders `01`, `02`, `03`; averages by `MVTec AD`, `MVTec AD textures`, `MVTec AD objects`, `BTAD`.
/// The name is all that is looked at: another data set's `zipper` is taken for MVTec AD's.
///
/// # Errors
/// As [`paper`].
pub fn lookup(category: &str) -> Result<Vec<Published>> {
    let paper = paper()?;
    Ok(paper.name_of(category).map(|name| paper.published(name)).unwrap_or_default())
}

impl Paper {
    /// Title, authors and place in one line.
    pub fn citation(&self) -> String {
        format!("{}: {}. {}; arXiv:{}", self.authors.join(", "), self.title, self.published, self.arxiv)
    }

    /// The name here of a category or an average that is called `name` elsewhere.
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

/// A name without what differs between spellings of it.
fn key(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Reads the data, turns values into fractions and checks the invariants.
fn read(data: &str) -> std::result::Result<Paper, String> {
    let mut paper: Paper = serde_json::from_str(data).map_err(|error| error.to_string())?;
    for series in paper.tables.iter_mut().flat_map(|table| &mut table.series) {
        let scale = if series.printed_in == Unit::Percent { 100.0 } else { 10_000.0 };
        series.values.iter_mut().for_each(|value| *value = (*value * scale).round() / 10_000.0);
    }
    for average in &paper.averages {
        if let Some(name) = average.of.iter().find(|name| !paper.categories.iter().any(|each| each.name == **name)) {
            return Err(format!("{}: `{name}` is no category", average.name));
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
            return Err(format!("{method}, {metric}: {value} is no fraction"));
        }
    }
    Ok(())
}

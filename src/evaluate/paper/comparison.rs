//! A run compared with the paper: one row for each table and metric of the category.

use serde::Serialize;

use super::{Metric, Paper, Published, UFLOW, paper};
use crate::Result;

/// A run's results on one category.
#[derive(Clone, Copy, Debug)]
pub struct CategoryResults<'a> {
    /// The category, by any name that [`super::lookup`] knows.
    pub category: &'a str,
    /// Its values as fractions. If a metric occurs twice, the first value counts. A value that is not finite counts as not measured.
    pub figures: &'a [(Metric, f64)],
}

/// A run compared with the paper. `Display` gives a table for a terminal, [`Comparison::markdown`] one for a page.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The source of the paper's values.
    pub source: String,
    /// Categories in the order of the runs, then averages; within each, by table and metric.
    pub rows: Vec<Row>,
    /// Categories of the runs that the paper does not have.
    pub unknown: Vec<String>,
    /// Notes for the reader of the comparison.
    pub notes: Vec<String>,
}

/// One metric of one category in one table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The category or average, by the paper's name.
    pub category: &'static str,
    /// Number of the table.
    pub table: u8,
    /// What was measured.
    pub metric: Metric,
    /// U-Flow's value in the paper (column `paper`); `None` if the paper has this metric only for the other methods.
    pub paper: Option<f64>,
    /// The run's value; `None` if it was not measured.
    pub ours: Option<f64>,
    /// The run's value minus the paper's.
    pub difference: Option<f64>,
    /// The other methods' values, where their headings survived.
    pub rivals: Vec<Rival>,
}

/// Another method's value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rival {
    /// The method.
    pub method: &'static str,
    /// Its value in the paper.
    pub value: f64,
}

/// Compares a run on one category with the paper. There are no rows if the paper does not have the category.
///
/// # Errors
/// As [`paper`].
pub fn compare(category: &str, figures: &[(Metric, f64)]) -> Result<Comparison> {
    compare_all(&[CategoryResults { category, figures }])
}

/// Compares runs on several categories with the paper.
///
/// If the runs cover all categories of a printed average, the average is compared too, with the mean of each metric that all
/// runs have.
///
/// # Errors
/// As [`paper`].
pub fn compare_all(runs: &[CategoryResults<'_>]) -> Result<Comparison> {
    let paper = paper()?;
    let mut known: Vec<(&'static str, CategoryResults<'_>)> = Vec::new();
    let mut unknown = Vec::new();
    for run in runs {
        match paper.name_of(run.category) {
            Some(name) => known.push((name, *run)),
            None => unknown.push(run.category.to_owned()),
        }
    }
    let mut rows: Vec<Row> = known.iter().flat_map(|(name, run)| rows(paper, name, run.figures)).collect();
    for average in &paper.averages {
        if known.iter().any(|(name, _)| *name == average.name) {
            continue;
        }
        let members = average.of.iter().map(|member| known.iter().find(|(name, _)| name == member));
        if let Some(members) = members.collect::<Option<Vec<_>>>() {
            let members: Vec<_> = members.into_iter().map(|(_, run)| run.figures).collect();
            rows.extend(self::rows(paper, &average.name, &means(&members)));
        }
    }
    let notes = notes(paper, &rows);
    Ok(Comparison { source: paper.citation(), rows, unknown, notes })
}

impl Comparison {
    /// Whether there is nothing to compare with.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

fn rows(paper: &'static Paper, name: &str, figures: &[(Metric, f64)]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for Published { table, category, metric, method, value } in paper.published(name) {
        let row = match rows.iter_mut().position(|row| (row.table, row.metric) == (table, metric)) {
            Some(index) => &mut rows[index],
            None => {
                let ours = figure(figures, metric);
                let row = Row { category, table, metric, paper: None, ours, difference: None, rivals: Vec::new() };
                rows.push_mut(row)
            }
        };
        if method == UFLOW {
            row.paper = Some(value);
            row.difference = row.ours.map(|ours| ours - value);
        } else {
            row.rivals.push(Rival { method, value });
        }
    }
    rows
}

fn figure(figures: &[(Metric, f64)], metric: Metric) -> Option<f64> {
    figures.iter().find(|(measured, value)| *measured == metric && value.is_finite()).map(|(_, value)| *value)
}

/// The mean of each metric that all runs have.
fn means(members: &[&[(Metric, f64)]]) -> Vec<(Metric, f64)> {
    let mean = |metric: Metric| {
        let values: Option<Vec<f64>> = members.iter().map(|figures| figure(figures, metric)).collect();
        let values = values.filter(|values| !values.is_empty())?;
        Some((metric, values.iter().sum::<f64>() / values.len() as f64))
    };
    Metric::ALL.into_iter().filter_map(mean).collect()
}

fn notes(paper: &Paper, rows: &[Row]) -> Vec<String> {
    let shown = paper.tables.iter().filter(|table| rows.iter().any(|row| row.table == table.number));
    let remarks = shown.filter_map(|table| Some(format!("Table {}: {}", table.number, table.remark.as_ref()?)));
    let caution = (!rows.is_empty()).then(|| paper.caution.clone());
    remarks.chain(caution).collect()
}

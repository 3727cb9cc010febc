//! A run's figures beside the paper's: one row for each table and metric that has the category.

use serde::Serialize;

use super::{Metric, Paper, Published, UFLOW, paper};
use crate::Result;

/// What a run measured on one category.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The category, by any name that [`super::lookup`] knows.
    pub category: &'a str,
    /// Its figures, fractions. Of two of the same metric the first counts; one that is not finite is taken as not measured.
    pub figures: &'a [(Metric, f64)],
}

/// A run beside the paper. It is shown as a table for a terminal; [`Comparison::markdown`] gives it for a page.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The paper that is compared with.
    pub source: String,
    /// By category in the order of the runs, then averages; in each by table and metric.
    pub rows: Vec<Row>,
    /// Categories of the runs that the paper does not have.
    pub unknown: Vec<String>,
    /// What a reader has to know about what is compared.
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
    /// U-Flow's value in the paper, the column `paper` where it is shown; none where it has the metric of the rivals alone.
    pub paper: Option<f64>,
    /// The run's value; none where it was not measured.
    pub ours: Option<f64>,
    /// The run's value less the paper's.
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

/// Puts a run on one category beside the paper. Without rows where the paper does not have the category.
///
/// # Errors
/// As [`paper`].
pub fn compare(category: &str, figures: &[(Metric, f64)]) -> Result<Comparison> {
    compare_all(&[Run { category, figures }])
}

/// Puts runs on several categories beside the paper.
///
/// Where they cover all categories of a printed average, it is compared as well: with the mean of each metric that all of
/// them have.
///
/// # Errors
/// As [`paper`].
pub fn compare_all(runs: &[Run<'_>]) -> Result<Comparison> {
    let paper = paper()?;
    let mut known: Vec<(&'static str, Run<'_>)> = Vec::new();
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
    /// Whether the paper has nothing to compare with.
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

/// The mean of each metric that all have.
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

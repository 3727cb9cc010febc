//! A comparison as a table for a terminal or in Markdown.

use std::fmt;

use super::{Comparison, comparison::Row};
use crate::columns::{Column, Table};

const HEADS: [&str; 6] = ["category", "table", "metric", "paper", "this run", "difference"];

/// Content of a cell without a value.
const NONE: &str = "–";

impl Comparison {
    /// The comparison in Markdown: a table, followed by the notes and the source.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        if !self.is_empty() {
            let (heads, rows) = self.cells();
            let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
            let rule: Vec<String> = (0..heads.len()).map(|column| rule(column).to_owned()).collect();
            out += &line(&heads);
            out += &line(&rule);
            rows.iter().for_each(|row| out += &line(row));
            out.push('\n');
        }
        let remarks = self.remarks();
        remarks.iter().for_each(|note| out += &format!("- {note}\n"));
        out
    }

    /// The table's rows of cells, headings first; empty if there is nothing to compare with.
    pub fn table(&self) -> Vec<Vec<String>> {
        if self.is_empty() {
            return Vec::new();
        }
        let (heads, rows) = self.cells();
        [heads].into_iter().chain(rows).collect()
    }

    /// Headings and rows of cells. Each other method has a column, in the order of the tables.
    fn cells(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let mut rivals: Vec<&str> = Vec::new();
        for rival in self.rows.iter().flat_map(|row| &row.rivals) {
            if !rivals.contains(&rival.method) {
                rivals.push(rival.method);
            }
        }
        let rows = self.rows.iter().map(|row| cells(row, &rivals)).collect();
        (HEADS.iter().chain(&rivals).map(|&head| head.to_owned()).collect(), rows)
    }

    /// The lines below the table: categories that the paper does not have, notes, the source.
    pub fn remarks(&self) -> Vec<String> {
        let unknown = self.unknown.iter().map(|name| format!("the paper has no results for `{name}`"));
        let source = format!("the paper: {}", self.source);
        unknown.chain(self.notes.iter().cloned()).chain([source]).collect()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_empty() {
            let (heads, rows) = self.cells();
            let column = |(index, head)| if words(index) { Column::words(head) } else { Column::number(head) };
            let mut table = Table::new(heads.into_iter().enumerate().map(column)).named_by(3);
            let mut above = "";
            for (row, mut cells) in self.rows.iter().zip(rows) {
                if row.category == above {
                    cells[0].clear();
                }
                above = row.category;
                table.push(cells);
            }
            write!(out, "{table}")?;
        }
        self.remarks().iter().try_for_each(|note| writeln!(out, "{note}"))
    }
}

fn cells(row: &Row, rivals: &[&str]) -> Vec<String> {
    let number = |value: Option<f64>| value.map_or_else(|| NONE.to_owned(), |value| format!("{value:.4}"));
    let mut cells = vec![
        row.category.to_owned(),
        row.table.to_string(),
        row.metric.to_string(),
        number(row.paper),
        number(row.ours),
        row.difference.map_or_else(|| NONE.to_owned(), |difference| format!("{difference:+.4}")),
    ];
    let rival = |method: &&str| row.rivals.iter().find(|rival| rival.method == *method).map(|rival| rival.value);
    cells.extend(rivals.iter().map(|method| number(rival(method))));
    cells
}

/// Whether a column contains words.
fn words(column: usize) -> bool {
    column == 0 || column == 2
}

fn rule(column: usize) -> &'static str {
    if words(column) { "---" } else { "---:" }
}

//! Tables for a terminal, at most [`WIDTH`] columns wide.
//!
//! Each column is as wide as its widest cell. A table that is too wide is printed in parts, one below the other, and each part begins
//! with the columns that name its rows.

use std::fmt;

/// Widest line of a table.
pub(crate) const WIDTH: usize = 100;

/// The name if it fits, else its beginning and its end with `…` between them.
pub(crate) fn shortened(name: &str, width: usize) -> String {
    let characters: Vec<char> = name.chars().collect();
    if characters.len() <= width {
        return name.to_owned();
    }
    let tail = (width - 1) / 2;
    let (head, tail) = (&characters[..width - 1 - tail], &characters[characters.len() - tail..]);
    head.iter().chain(&['…']).chain(tail).collect()
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// A column: its heading, and how its cells are aligned.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    head: String,
    group: &'static str,
    words: bool,
    least: usize,
    most: usize,
}

impl Column {
    /// A column of words, aligned on the left.
    pub(crate) fn words(head: impl Into<String>) -> Self {
        Self { head: head.into(), group: "", words: true, least: 0, most: WIDTH }
    }

    /// A column of numbers, aligned on the right.
    pub(crate) fn number(head: impl Into<String>) -> Self {
        Self { words: false, ..Self::words(head) }
    }

    /// Neighbours with the same `group` have that heading above their own.
    pub(crate) fn under(self, group: &'static str) -> Self {
        Self { group, ..self }
    }

    /// At least this wide.
    pub(crate) fn at_least(self, least: usize) -> Self {
        Self { least, ..self }
    }

    /// At most this wide; for a table's first column. A longer cell gets a line of its own above its row.
    pub(crate) fn at_most(self, most: usize) -> Self {
        Self { most, ..self }
    }
}

/// A table. Its text ends with a line break.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
    /// How many columns name a row.
    names: usize,
    indent: usize,
    /// Spaces between two columns.
    gap: usize,
}

impl Table {
    /// A table without rows. Its first column names the rows.
    pub(crate) fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new(), names: 1, indent: 0, gap: 2 }
    }

    /// With `names` columns that name a row.
    pub(crate) fn named_by(self, names: usize) -> Self {
        Self { names, ..self }
    }

    /// With `indent` spaces before each line.
    pub(crate) fn indented(self, indent: usize) -> Self {
        Self { indent, ..self }
    }

    /// With `gap` spaces between two columns.
    pub(crate) fn spaced(self, gap: usize) -> Self {
        Self { gap, ..self }
    }

    /// Adds a row: one cell for each column.
    pub(crate) fn push(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// A row below the table's headings, for a table that is printed while its rows are made.
    #[cfg(feature = "cli")]
    pub(crate) fn line(&self, cells: &[String]) -> String {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        self.row(cells, &self.widths(), &all)
    }

    fn widths(&self) -> Vec<usize> {
        let width = |(index, column): (usize, &Column)| {
            let cells = self.rows.iter().filter_map(|row| row.get(index)).map(|cell| length(cell));
            let fitting = cells.filter(|&cell| cell <= column.most);
            fitting.chain([length(&column.head), column.least]).max().unwrap_or_default()
        };
        self.columns.iter().enumerate().map(width).collect()
    }

    /// The columns of each part.
    fn parts(&self, widths: &[usize]) -> Vec<Vec<usize>> {
        let names = || (0..self.names).collect::<Vec<_>>();
        let width = |part: &[usize]| self.indent + self.span(widths, part);
        let mut parts = vec![names()];
        for (column, own) in widths.iter().enumerate().skip(self.names) {
            let part =
                parts.last_mut().filter(|part| part.len() == self.names || width(part) + self.gap + own <= WIDTH);
            match part {
                Some(part) => part.push(column),
                None => parts.push([names(), vec![column]].concat()),
            }
        }
        parts
    }

    /// Width of neighbouring columns.
    fn span(&self, widths: &[usize], columns: &[usize]) -> usize {
        let cells: usize = columns.iter().map(|&column| widths[column]).sum();
        cells + self.gap * columns.len().saturating_sub(1)
    }

    /// The headings above those of the columns; empty if there are none.
    fn groups(&self, widths: &[usize], part: &[usize]) -> String {
        let spans = part.chunk_by(|&a, &b| self.columns[a].group == self.columns[b].group);
        let cells = spans.map(|span| {
            let (group, width) = (self.columns[span[0]].group, self.span(widths, span));
            format!("{group:>width$}")
        });
        self.joined(cells)
    }

    /// Some columns of a row.
    fn row(&self, cells: &[String], widths: &[usize], part: &[usize]) -> String {
        let first = cells.first().filter(|first| length(first) > self.columns[0].most);
        let above = first.map(|first| self.joined([shortened(first, WIDTH - self.indent)]));
        let cells = part.iter().map(|&column| {
            let cell: &str = if column == 0 && first.is_some() { "" } else { &cells[column] };
            let width = widths[column];
            if self.columns[column].words { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        above.unwrap_or_default() + &self.joined(cells)
    }

    /// A line without spaces at its end; nothing if the cells are empty.
    fn joined(&self, cells: impl IntoIterator<Item = String>) -> String {
        let cells: Vec<String> = cells.into_iter().collect();
        let line = cells.join(&" ".repeat(self.gap));
        if line.trim_end().is_empty() { String::new() } else { " ".repeat(self.indent) + line.trim_end() + "\n" }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let heads: Vec<String> = self.columns.iter().map(|column| column.head.clone()).collect();
        for part in self.parts(&widths) {
            out.write_str(&self.groups(&widths, &part))?;
            out.write_str(&self.row(&heads, &widths, &part))?;
            self.rows.iter().try_for_each(|row| out.write_str(&self.row(row, &widths, &part)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: impl IntoIterator<Item = Column>, rows: &[&[&str]]) -> Table {
        let mut table = Table::new(columns);
        rows.iter().for_each(|row| table.push(row.iter().map(|&cell| cell.to_owned())));
        table
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let columns =
            [Column::words("kind"), Column::number("images").under("all"), Column::number("IoU").under("at ε")];
        let found = table(columns, &[&["größer", "1", "0.512"], &["hole", "1000000", ""]]).indented(2).to_string();
        assert_eq!(
            found,
            "              all   at ε\n  kind     images    IoU\n  größer        1  0.512\n  hole    1000000\n"
        );
    }

    #[test]
    fn long_names_have_a_line_of_their_own() {
        let columns = [Column::words("kind").at_most(6), Column::number("n").at_least(3)];
        let found = table(columns, &[&["bolt", "1"], &["longer than six", "12"]]).spaced(1).to_string();
        assert_eq!(found, "kind   n\nbolt   1\nlonger than six\n      12\n");
    }

    #[test]
    fn wide_tables_are_printed_in_parts() {
        let columns = (0..5).map(|column| Column::number(format!("{column:030}")));
        let found = table(columns, &[&["a", "b", "c", "d", "e"]]).to_string();
        let cells: Vec<String> =
            found.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect();
        assert!(found.lines().all(|line| line.chars().count() <= WIDTH));
        assert_eq!((cells.len(), &*cells[1], &*cells[3]), (4, "abc", "ade"));
    }

    #[test]
    fn names_are_shortened_in_the_middle() {
        assert_eq!(shortened("screw_thread_side", 17), "screw_thread_side");
        assert_eq!(shortened("screw_thread_side", 9), "scre…side");
        assert_eq!(shortened("Größe", 4), "Gr…e");
    }
}

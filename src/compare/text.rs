//! The comparison as text.

use std::fmt;

use super::{Comparison, Disagreement, Group, SIGNIFICANT, UNLABELLED, paired::Difference};
use crate::columns::{Column, Table, shortened};

/// Disagreements that the text names; the rest is counted.
const NAMED: usize = 20;
/// Widest name in a table.
const WIDEST: usize = 40;

impl Group {
    /// What the two models do to these images, and whether the difference is more than chance.
    pub(super) fn sentence(&self) -> String {
        let Self { name, images, only_a, only_b, difference, .. } = self;
        let what = if *images == 1 { "image" } else { "images" };
        if only_a + only_b == 0 {
            return format!("A and B agree about all {images} {name} {what}.");
        }
        format!(
            "Of {images} {name} {what}, B rejects {only_b} that A accepts, and accepts {only_a} that A rejects: {}.",
            difference.in_words()
        )
    }
}

impl Difference {
    /// Whether it is more than chance.
    pub fn in_words(&self) -> String {
        let verdict = if self.p_value <= SIGNIFICANT { "more than chance" } else { "this can be chance" };
        format!("{verdict} ({})", p_value(self.p_value))
    }
}

/// A p-value with two digits that count.
fn p_value(value: f64) -> String {
    if value < 1e-4 { "p < 0.0001".to_owned() } else { format!("p = {}", digits(value)) }
}

fn digits(value: f64) -> String {
    let decimals = if value >= 0.1 { 2 } else { 1 - value.log10().floor() as i32 };
    format!("{value:.*}", decimals.max(2) as usize)
}

impl Disagreement {
    /// Which model is right, or which one rejects the image where it has no label.
    pub fn verdict(&self) -> &'static str {
        match self.a_is_right() {
            Some(true) => "A is right",
            Some(false) => "B is right",
            None if self.a.anomalous => "A rejects it",
            None => "B rejects it",
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "A: {}\nB: {}\n", self.a, self.b)?;
        for sentence in self.sentences() {
            writeln!(out, "{sentence}")?;
        }
        write!(out, "\n{}", self.counts())?;
        if let Some(figures) = self.figures() {
            write!(out, "\n{figures}")?;
        }
        if self.disagreements.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nimages that only one of them rejects:")?;
        let heads = [Column::words("image").at_most(WIDEST), Column::words("kind")].into_iter();
        let numbers = ["score of A", "score of B"].map(Column::number);
        let mut table = Table::new(heads.chain(numbers).chain([Column::words("")])).indented(2);
        for each in self.disagreements.iter().take(NAMED) {
            let [a, b] = [&each.a, &each.b].map(|image| format!("{:.2}", image.score));
            table.push([each.a.name.clone(), shortened(&each.a.kind, WIDEST / 2), a, b, each.verdict().to_owned()]);
        }
        write!(out, "{table}")?;
        match self.disagreements.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => writeln!(out, "  and {more} more: --json lists all"),
        }
    }
}

impl Comparison {
    /// Who rejects how many images of each group, as rows.
    pub fn count_rows(&self) -> Vec<Vec<String>> {
        let heads = ["images", "all", "both reject", "only A", "only B", "neither", "difference"].map(str::to_owned);
        let rows = self.groups.iter().chain(&self.kinds).map(|group| {
            let Group { name, images, both, only_a, only_b, difference } = group;
            let counts = [images, both, only_a, only_b, &group.neither()].map(usize::to_string);
            [name.clone()].into_iter().chain(counts).chain([p_value(difference.p_value)]).collect()
        });
        [heads.to_vec()].into_iter().chain(rows).collect()
    }

    fn counts(&self) -> Table {
        rows_as_table(&self.count_rows())
    }

    /// AUROC and IoU of both, as rows; the heads only where neither is known.
    pub fn figure_rows(&self) -> Vec<Vec<String>> {
        let heads = ["figure", "A", "B", "difference", "95% bounds", ""].map(str::to_owned).to_vec();
        let row = |name: String, a: f64, b: f64, difference: &Difference| {
            let [low, high] = difference.bounds;
            let numbers = [format!("{a:.3}"), format!("{b:.3}"), format!("{:+.3}", difference.value)];
            let rest = [format!("{low:+.3} to {high:+.3}"), p_value(difference.p_value)];
            [name].into_iter().chain(numbers).chain(rest).collect::<Vec<_>>()
        };
        let auroc = self.image_auroc.map(|found| row("image AUROC".to_owned(), found.a, found.b, &found.difference));
        let miou = self.miou.map(|found| {
            row(format!("mIoU of {} images with a mask", found.images), found.a, found.b, &found.difference)
        });
        [Some(heads), auroc, miou].into_iter().flatten().collect()
    }

    fn figures(&self) -> Option<Table> {
        let rows = self.figure_rows();
        (rows.len() > 1).then(|| rows_as_table(&rows))
    }

    /// Whether the images have labels.
    pub fn labelled(&self) -> bool {
        self.groups.iter().all(|group| group.name != UNLABELLED)
    }
}

/// The first row has the headings; the first column has words.
fn rows_as_table(rows: &[Vec<String>]) -> Table {
    let heads = rows.first().into_iter().flatten().enumerate();
    let columns =
        heads.map(|(place, head)| if place == 0 { Column::words(head).at_most(WIDEST) } else { Column::number(head) });
    let mut table = Table::new(columns);
    rows.iter().skip(1).for_each(|row| table.push(row.iter().cloned()));
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_have_two_digits_that_count() {
        let found = [1.0, 0.523, 0.0347, 0.00123, 0.000_01].map(p_value);
        assert_eq!(found, ["p = 1.00", "p = 0.52", "p = 0.035", "p = 0.0012", "p < 0.0001"]);
    }
}

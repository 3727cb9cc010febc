//! The metrics as a table for a terminal.

use std::fmt;

use super::{
    alarms::alarm_table,
    metrics::{Evaluation, Metrics, Operating},
};
use crate::columns::{Column, Table, WIDTH, shortened};

/// Greatest width of the names' column.
const NAME: usize = 14;
/// Headings of the numbers, with the heading above each.
const HEADS: [(&str, &str); 10] = [
    ("", "images"),
    ("recall", "plain"),
    ("recall", "touching"),
    ("regions", "touch none"),
    ("good images", "flagged"),
    ("good images", "alarms"),
    ("", "mIoU"),
    ("", "AUPRO"),
    ("AUROC", "image"),
    ("AUROC", "pixel"),
];
/// The same for thresholds that are set for comparison.
const COMPARED: [(&str, &str); 5] =
    [("oracle", "mIoU"), ("oracle", "recall"), ("fair", "mIoU"), ("fair", "recall"), ("best ε", "mIoU")];

impl fmt::Display for Evaluation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = table("kind", &HEADS);
        for kind in &self.kinds {
            table.push(cells(&kind.kind, &kind.metrics, false));
        }
        table.push(cells("all", &self.total, true));
        write!(out, "{table}")?;
        writeln!(out, "touching: an image counts only if it is rejected and a region touches its marked defect")?;
        writeln!(out, "regions on good images: {}", count(self.total.regions_on_good))?;
        if let Some(miou) = self.total.at_epsilon.miou_defective {
            writeln!(out, "mIoU over the defective images only: {miou:.3}")?;
        }
        for size in &self.sizes {
            let [from, below] = [size.from, size.below].map(|part| 100.0 * part);
            let limits = if from == 0.0 { format!("below {below} %") } else { format!("{from} to {below} %") };
            writeln!(
                out,
                "defects of {limits} of the image: {} images, recall {:.2}, mIoU {:.3}",
                size.images, size.recall, size.miou
            )?;
        }
        if let Some(total) = self.latency.last() {
            writeln!(
                out,
                "milliseconds per image: {:.1} median, {:.1} at 95%, {:.1} at 99%, {:.1} at most",
                total.p50_ms, total.p95_ms, total.p99_ms, total.max_ms
            )?;
        }
        if !self.unmarked.is_empty() {
            writeln!(out, "defective images whose masks mark nothing:")?;
            self.unmarked.iter().try_for_each(|name| writeln!(out, "  {}", shortened(name, WIDTH - 2)))?;
        }
        self.research(out)?;
        writeln!(out, "{} good and {} defective images", self.good_images, self.defective_images)
    }
}

impl Evaluation {
    /// What compares methods, not parts: thresholds that no user can know, and ε from 10 to 10⁻⁶.
    fn research(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "\nfor researchers:")?;
        let mut table = table("kind", &COMPARED);
        for kind in &self.kinds {
            table.push(compared(&kind.kind, &kind.metrics));
        }
        table.push(compared("all", &self.total));
        write!(out, "{table}")?;
        let at = |operating: &Option<Operating>| number(operating.as_ref().and_then(|o| o.miou_defective), 3);
        let (oracle, fair) = (at(&self.total.at_oracle), at(&self.total.at_fair));
        writeln!(out, "mIoU over the defective images only: {oracle} oracle, {fair} fair")?;
        let name = |threshold: Option<f32>| threshold.map_or("none".to_owned(), |value| format!("{value:.4}"));
        let best = self.oracle_log10_epsilon.map_or("none".to_owned(), |value| format!("10^{value:.1}"));
        writeln!(
            out,
            "thresholds: ε {}, fair {}, oracle {}, best ε {best}",
            self.epsilon,
            name(self.fair_threshold),
            name(self.oracle_threshold),
        )?;
        writeln!(out, "oracle and best ε are chosen on these test images: their results are upper bounds")?;
        writeln!(
            out,
            "image AUROC by the maximum of the score map, as in the paper: {}",
            number(self.total.image_auroc_score_max, 3)
        )?;
        let f1 = [self.total.pixel_f1_max, self.total.image_f1_max].map(|best| number(best.map(|best| best.f1), 3));
        writeln!(out, "F1-max: {} over pixels, {} over images", f1[0], f1[1])?;
        self.alarms(out)
    }

    /// False alarms on the good images, compared with ε.
    fn alarms(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.false_alarms.is_empty() {
            return Ok(());
        }
        writeln!(out, "false alarms on good images:")?;
        write!(out, "{}", alarm_table(&self.false_alarms))
    }
}

/// A table of the totals of several sets, and their mean.
pub struct Summary<'a>(pub &'a [(&'a str, &'a Evaluation)]);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = table("category", &HEADS);
        for (name, evaluation) in self.0 {
            table.push(cells(name, &evaluation.total, true));
        }
        table.push(cells("mean", &Metrics::mean(self.0.iter().map(|(_, evaluation)| &evaluation.total)), true));
        write!(out, "{table}")
    }
}

/// A table of metrics without rows.
fn table(names: &str, heads: &[(&'static str, &'static str)]) -> Table {
    let numbers = heads.iter().map(|&(group, head)| {
        let alone = heads.iter().filter(|(other, _)| *other == group).count() == 1;
        Column::number(head).under(group).at_least(if alone { group.chars().count() } else { 0 })
    });
    Table::new([Column::words(names).at_most(NAME)].into_iter().chain(numbers)).spaced(1)
}

fn cells(name: &str, metrics: &Metrics, total: bool) -> [String; HEADS.len() + 1] {
    let of_good = |value: Option<f64>| if total { number(value, 2) } else { String::new() };
    [
        name.to_owned(),
        metrics.images.to_string(),
        number(metrics.at_epsilon.image_recall, 2),
        number(metrics.recall_touching, 2),
        count(metrics.regions_touching_none),
        of_good(metrics.at_epsilon.good_flagged),
        of_good(metrics.at_epsilon.false_alarms),
        number(metrics.at_epsilon.miou, 3),
        number(metrics.aupro, 3),
        number(metrics.image_auroc, 3),
        number(metrics.pixel_auroc, 3),
    ]
}

fn compared(name: &str, metrics: &Metrics) -> [String; COMPARED.len() + 1] {
    let none = Operating::default();
    let [oracle, fair] = [&metrics.at_oracle, &metrics.at_fair].map(|operating| operating.as_ref().unwrap_or(&none));
    [
        name.to_owned(),
        number(oracle.miou, 3),
        number(oracle.image_recall, 2),
        number(fair.miou, 3),
        number(fair.image_recall, 2),
        number(metrics.miou_nfa_oracle, 3),
    ]
}

/// A metric with `digits` decimal places; a dash if there is no value.
pub(crate) fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

/// A number of things; a dash if there is no value.
pub(crate) fn count(value: Option<usize>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| value.to_string())
}

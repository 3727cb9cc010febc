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
const HEADS: [(&str, &str); 13] = [
    ("", "images"),
    ("AUROC", "pixel"),
    ("AUROC", "image"),
    ("", "AUPRO"),
    ("at ε", "mIoU"),
    ("at ε", "recall"),
    ("oracle", "mIoU"),
    ("oracle", "recall"),
    ("fair", "mIoU"),
    ("fair", "recall"),
    ("best ε", "mIoU"),
    ("good at ε", "flagged"),
    ("good at ε", "alarms"),
];

impl fmt::Display for Evaluation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = table("kind");
        for kind in &self.kinds {
            table.push(cells(&kind.kind, &kind.metrics, false));
        }
        table.push(cells("all", &self.total, true));
        write!(out, "{table}")?;
        if let Some(miou) = self.total.at_epsilon.miou_defective {
            let at = |operating: &Option<Operating>| number(operating.as_ref().and_then(|o| o.miou_defective), 3);
            let (oracle, fair) = (at(&self.total.at_oracle), at(&self.total.at_fair));
            writeln!(out, "mIoU over the defective images only: {miou:.3} at ε, {oracle} oracle, {fair} fair")?;
        }
        for size in &self.sizes {
            let [from, below] = [size.from, size.below].map(|part| 100.0 * part);
            let limits = if from == 0.0 { format!("below {below} %") } else { format!("{from} to {below} %") };
            writeln!(
                out,
                "defects of {limits} of the image: {} images, recall {:.2}, mIoU {:.3} at ε",
                size.images, size.recall, size.miou
            )?;
        }
        writeln!(
            out,
            "image AUROC by the maximum of the score map, as in the paper: {}",
            number(self.total.image_auroc_score_max, 3)
        )?;
        let f1 = [self.total.pixel_f1_max, self.total.image_f1_max].map(|best| number(best.map(|best| best.f1), 3));
        writeln!(out, "F1-max: {} over pixels, {} over images", f1[0], f1[1])?;
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
        self.alarms(out)?;
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
        writeln!(out, "{} good and {} defective images", self.good_images, self.defective_images)
    }
}

impl Evaluation {
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
        let mut table = table("category");
        for (name, evaluation) in self.0 {
            table.push(cells(name, &evaluation.total, true));
        }
        table.push(cells("mean", &Metrics::mean(self.0.iter().map(|(_, evaluation)| &evaluation.total)), true));
        write!(out, "{table}")
    }
}

/// A table of metrics without rows.
fn table(names: &str) -> Table {
    let numbers = HEADS.map(|(group, head)| {
        let alone = HEADS.iter().filter(|(other, _)| *other == group).count() == 1;
        Column::number(head).under(group).at_least(if alone { group.chars().count() } else { 0 })
    });
    Table::new([Column::words(names).at_most(NAME)].into_iter().chain(numbers)).spaced(1)
}

fn cells(name: &str, metrics: &Metrics, total: bool) -> [String; 14] {
    let none = Operating::default();
    let [oracle, fair] = [&metrics.at_oracle, &metrics.at_fair].map(|operating| operating.as_ref().unwrap_or(&none));
    let of_good = |value: Option<f64>| if total { number(value, 2) } else { String::new() };
    [
        name.to_owned(),
        metrics.images.to_string(),
        number(metrics.pixel_auroc, 3),
        number(metrics.image_auroc, 3),
        number(metrics.aupro, 3),
        number(metrics.at_epsilon.miou, 3),
        number(metrics.at_epsilon.image_recall, 2),
        number(oracle.miou, 3),
        number(oracle.image_recall, 2),
        number(fair.miou, 3),
        number(fair.image_recall, 2),
        number(metrics.miou_nfa_oracle, 3),
        of_good(metrics.at_epsilon.good_flagged),
        of_good(metrics.at_epsilon.false_alarms),
    ]
}

/// A metric with `digits` decimal places; a dash if there is no value.
pub(crate) fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

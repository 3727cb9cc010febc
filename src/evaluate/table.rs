//! The metrics as a table for a terminal.

use std::fmt;

use super::metrics::{Evaluation, Metrics, Operating};

const HEADS: [&str; 14] = [
    "kind", "images", "pixel", "image", "AUPRO", "mIoU", "recall", "mIoU", "recall", "mIoU", "recall", "mIoU",
    "flagged", "alarms",
];
const WIDTHS: [usize; 14] = [16, 6, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 9, 8];

impl fmt::Display for Evaluation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        head(out, "kind", &self.epsilon.to_string())?;
        for kind in &self.kinds {
            row(out, cells(&kind.kind, &kind.metrics, false))?;
        }
        row(out, cells("all", &self.total, true))?;
        if let Some(miou) = self.total.at_epsilon.miou_defective {
            let at = |operating: &Option<Operating>| number(operating.as_ref().and_then(|o| o.miou_defective), 3);
            let (oracle, fair) = (at(&self.total.at_oracle), at(&self.total.at_fair));
            writeln!(out, "mIoU over the defective images alone: {miou:.3} at ε, {oracle} oracle, {fair} fair")?;
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
            "image AUROC by the lowest log10 NFA: {} (above, by the score's maximum)",
            number(self.total.image_auroc_nfa, 3)
        )?;
        let f1 = [self.total.pixel_f1_max, self.total.image_f1_max].map(|best| number(best.map(|best| best.f1), 3));
        writeln!(out, "F1-max: {} over pixels, {} over images", f1[0], f1[1])?;
        let name = |threshold: Option<f32>| threshold.map_or("none".to_owned(), |value| format!("{value:.4}"));
        let best = self.oracle_log10_epsilon.map_or("none".to_owned(), |value| format!("10^{value:.1}"));
        writeln!(
            out,
            "thresholds: oracle {} and best ε {best} (best mIoU on these very images: bounds, not results), fair {}",
            name(self.oracle_threshold),
            name(self.fair_threshold),
        )?;
        self.alarms(out)?;
        if let Some(total) = self.latency.last() {
            writeln!(
                out,
                "milliseconds per image: {:.1} median, {:.1} at 95%, {:.1} at 99%, {:.1} at most",
                total.p50_ms, total.p95_ms, total.p99_ms, total.max_ms
            )?;
        }
        if !self.unmarked.is_empty() {
            writeln!(out, "masks that mark nothing though the image is defective: {}", self.unmarked.join(", "))?;
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
        writeln!(out, "false alarms per good image, with 95% bounds:")?;
        for found in &self.false_alarms {
            writeln!(out, "  {found}")?;
        }
        Ok(())
    }
}

/// A table of the totals of several sets, and their mean.
pub struct Summary<'a>(pub &'a [(&'a str, &'a Evaluation)]);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        head(out, "category", "ε")?;
        for (name, evaluation) in self.0 {
            row(out, cells(name, &evaluation.total, true))?;
        }
        row(out, cells("mean", &Metrics::mean(self.0.iter().map(|(_, evaluation)| &evaluation.total)), true))
    }
}

fn head(out: &mut fmt::Formatter<'_>, first: &str, epsilon: &str) -> fmt::Result {
    let below = format!("NFA < {epsilon}");
    writeln!(
        out,
        "{:>38}{:>8}{below:>16}{:>16}{:>16}{:>8}{:>17}",
        "AUROC", "", "oracle", "fair", "best ε", "good images at ε"
    )?;
    let mut heads = HEADS.map(str::to_owned);
    first.clone_into(&mut heads[0]);
    row(out, heads)
}

fn row(out: &mut fmt::Formatter<'_>, cells: [String; 14]) -> fmt::Result {
    for (index, (cell, width)) in cells.iter().zip(WIDTHS).enumerate() {
        if index == 0 { write!(out, "{cell:<width$}")? } else { write!(out, "{cell:>width$}")? }
    }
    writeln!(out)
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

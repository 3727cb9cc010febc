//! The metrics as a table for a terminal.

use std::fmt;

use super::metrics::{Evaluation, Metrics, Operating};

const HEADS: [&str; 12] =
    ["kind", "images", "pixel", "image", "mIoU", "recall", "mIoU", "recall", "mIoU", "recall", "flagged", "alarms"];
const WIDTHS: [usize; 12] = [16, 6, 8, 8, 8, 8, 8, 8, 8, 8, 9, 8];

impl fmt::Display for Evaluation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |threshold: Option<f32>| threshold.map_or("none".to_owned(), |value| format!("{value:.4}"));
        writeln!(
            out,
            "{:>38}{:>16}{:>16}{:>16}{:>17}",
            "AUROC",
            format!("NFA < {}", self.epsilon),
            "oracle",
            "fair",
            "good images at ε"
        )?;
        row(out, HEADS.map(str::to_owned))?;
        for kind in &self.kinds {
            row(out, cells(&kind.kind, &kind.metrics, false))?;
        }
        row(out, cells("all", &self.total, true))?;
        if let Some(miou) = self.total.at_epsilon.miou_defective {
            let at = |operating: &Option<Operating>| number(operating.as_ref().and_then(|o| o.miou_defective), 3);
            let (oracle, fair) = (at(&self.total.at_oracle), at(&self.total.at_fair));
            writeln!(out, "mIoU over the defective images alone: {miou:.3} at ε, {oracle} oracle, {fair} fair")?;
        }
        writeln!(
            out,
            "{} good and {} defective images; thresholds of the score: oracle {} (best mIoU on these images), fair {}; alarms: regions per image",
            self.good_images,
            self.defective_images,
            name(self.oracle_threshold),
            name(self.fair_threshold),
        )
    }
}

fn row(out: &mut fmt::Formatter<'_>, cells: [String; 12]) -> fmt::Result {
    for (index, (cell, width)) in cells.iter().zip(WIDTHS).enumerate() {
        if index == 0 { write!(out, "{cell:<width$}")? } else { write!(out, "{cell:>width$}")? }
    }
    writeln!(out)
}

fn cells(name: &str, metrics: &Metrics, total: bool) -> [String; 12] {
    let none = Operating::default();
    let [oracle, fair] = [&metrics.at_oracle, &metrics.at_fair].map(|operating| operating.as_ref().unwrap_or(&none));
    let of_good = |value: Option<f64>| if total { number(value, 2) } else { String::new() };
    [
        name.to_owned(),
        metrics.images.to_string(),
        number(metrics.pixel_auroc, 3),
        number(metrics.image_auroc, 3),
        number(metrics.at_epsilon.miou, 3),
        number(metrics.at_epsilon.image_recall, 2),
        number(oracle.miou, 3),
        number(oracle.image_recall, 2),
        number(fair.miou, 3),
        number(fair.image_recall, 2),
        of_good(metrics.at_epsilon.good_flagged),
        of_good(metrics.at_epsilon.false_alarms),
    ]
}

/// A metric with `digits` after the point; a dash where it cannot be known.
pub(crate) fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

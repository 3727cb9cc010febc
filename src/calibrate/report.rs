//! The report as text.

use std::fmt::{self, Write as _};

use super::{CalibrationReport, PromiseVerdict, ScaleReport};
use crate::{
    columns::{Column, Table},
    evaluate::alarm_table,
};

impl fmt::Display for CalibrationReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}\n\n{} good images", self.decision.sentence, self.images)?;
        for (index, scale) in self.scales.iter().enumerate() {
            write_scale(out, index, scale)?;
        }
        for (index, correlation) in self.between_scales.iter().enumerate() {
            writeln!(out, "correlation of U between scales {index} and {}: {correlation:.3}", index + 1)?;
        }
        writeln!(out, "false alarms on good images:")?;
        write!(out, "{}", alarm_table(&self.false_alarms))?;
        for finding in &self.findings {
            writeln!(out, "- {finding}")?;
        }
        writeln!(out, "{}", self.verdict)?;
        write!(out, "{}", self.advice())
    }
}

impl CalibrationReport {
    /// How many of these images each way to decide flags, and where the promise is broken, what to do.
    pub fn advice(&self) -> String {
        let mut text = String::from("of these good images, each way to decide flags:\n");
        let columns = [Column::words("decision"), Column::number("flagged"), Column::words("")];
        let mut table = Table::new(columns).indented(2);
        for way in &self.alternatives {
            let note = match way.expected {
                None => "the package's now".to_owned(),
                Some(expected) => format!("at most {:.1}% of other good images", 100.0 * expected),
            };
            table.push([way.threshold.to_string(), format!("{} of {}", way.flagged, self.images), note]);
        }
        let _ = write!(text, "{table}");
        if !self.verdict.holds() {
            text += "Choose a line that flags as few good images as you can accept, keep it in the package with\n  \
                     uflow package set PKG OPTIONS --out NEW\nand check on other images, good and bad, that it finds the defects.\n";
        }
        text
    }
}

impl fmt::Display for PromiseVerdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept { resolution } => write!(
                out,
                "Verdict: ε can be trusted, as far as these images tell: at no ε are there surely more false alarms than promised. \
                 So few images cannot tell rates below {resolution:.3} per image."
            ),
            Self::Broken { epsilon, rate, at_least } => write!(
                out,
                "Verdict: ε cannot be trusted: where {epsilon} false alarms per image are promised, these images have {rate:.3} \
                 (at least {at_least:.3} with 95% confidence)."
            ),
        }
    }
}

fn write_scale(out: &mut fmt::Formatter<'_>, index: usize, scale: &ScaleReport) -> fmt::Result {
    let shape = scale.shape;
    writeln!(out, "scale {index}: {} channels of {}×{}", shape.channels, shape.width, shape.height)?;
    writeln!(
        out,
        "  z: mean {:.3} (channels {:.2} to {:.2}), variance {:.3} (channels {:.2} to {:.2})\n  \
         z: excess kurtosis {:.2}",
        scale.mean,
        scale.channel_means[0],
        scale.channel_means[1],
        scale.variance,
        scale.channel_variances[0],
        scale.channel_variances[1],
        scale.excess_kurtosis
    )?;
    writeln!(
        out,
        "  correlation between channels: root mean square {:.3}, maximum {:.2}",
        scale.channel_correlation, scale.channel_correlation_max
    )?;
    writeln!(out, "  correlation with neighbours:")?;
    let mut neighbours = Table::new(["rows", "columns", "z", "U"].map(Column::number)).named_by(2).indented(4);
    for near in &scale.neighbours {
        let correlations = [near.latents, near.energy].map(|correlation| format!("{correlation:.3}"));
        neighbours.push([near.rows.to_string(), near.columns.to_string()].into_iter().chain(correlations));
    }
    write!(out, "{neighbours}")?;
    writeln!(
        out,
        "  U / C: mean {:.3}, effective degrees of freedom {:.1} of {}\n  \
         U / C: tail index {:.1} (white noise: {:.1})\n  \
         U / C: border relative to the middle {:.2}, {:.1} pixels vary together",
        scale.energy_mean,
        scale.effective_degrees,
        shape.channels,
        scale.tail_index,
        scale.white_tail_index,
        scale.border,
        scale.correlated_pixels
    )?;
    writeln!(out, "  quantiles:")?;
    let mut quantiles = Table::new(["probability", "U / C", "χ² / C"].map(Column::number)).indented(4);
    for q in &scale.quantiles {
        quantiles.push([q.probability.to_string(), format!("{:.2}", q.found), format!("{:.2}", q.expected)]);
    }
    write!(out, "{quantiles}")
}

/// The differences from white noise, the largest first.
pub(super) fn findings(scales: &[ScaleReport], between: &[f64]) -> Vec<String> {
    let mut found: Vec<(f64, String)> = Vec::new();
    for (index, scale) in scales.iter().enumerate() {
        let channels = scale.shape.channels as f64;
        if !(0.8..=1.25).contains(&scale.variance) {
            let text = format!(
                "scale {index}: the latents' variance is {:.2}, not 1: the model does not fit these images (other light, another \
                 product, or too few training images)",
                scale.variance
            );
            found.push((scale.variance.ln().abs(), text));
        }
        let degrees = scale.effective_degrees / channels;
        if degrees < 0.8 {
            let text = format!(
                "scale {index}: U varies like χ² with {:.0} degrees of freedom, not {channels}: its tail is heavier than assumed",
                scale.effective_degrees
            );
            found.push((-degrees.ln(), text));
        }
        let near = scale.neighbours.iter().map(|near| near.energy).fold(0.0, f64::max);
        if near > 0.1 {
            let text = format!(
                "scale {index}: the correlation of U between neighbouring pixels is {near:.2}: a region of n pixels has less \
                 evidence than n independent pixels"
            );
            found.push((near, text));
        }
        if !(0.8..=1.25).contains(&scale.border) {
            let text = format!("scale {index}: U at the border is {:.2} times U in the middle", scale.border);
            found.push((scale.border.ln().abs() / 2.0, text));
        }
    }
    for (index, &correlation) in between.iter().enumerate().filter(|(_, correlation)| **correlation > 0.1) {
        let text = format!(
            "the correlation of U between scales {index} and {} is {correlation:.2}: the scales are not independent tests",
            index + 1
        );
        found.push((correlation / 2.0, text));
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.into_iter().map(|(_, text)| text).collect()
}

//! The result of `uflow calibrate` as a page with charts, in the style of the evaluation reports.

use std::{fmt::Write as _, path::Path};

use super::{
    charts::{self, false_alarms},
    decision::good_images,
    section::facts,
    text::{capital, escape},
};
use crate::{
    Result,
    calibrate::{CalibrationReport, ScaleReport},
};

/// The page for a model of this name.
pub(super) fn html(name: &str, report: &CalibrationReport) -> String {
    let decision = &report.decision;
    let picture = good_images(&decision.images, decision.threshold, decision.decided_by);
    let mut content = format!(
        "<main>\n<h1>{}: check on good images</h1>\n<p class=\"lead\">{}</p>\n<section><div class=\"charts\"><div>{picture}\
         <p class=\"key\"><i style=\"background:var(--good)\"></i>{} good images accepted<i style=\"background:var(--bad)\"></i>{} rejected</p>\
         </div></div></section>\n",
        escape(name),
        escape(&decision.sentence),
        report.images - decision.rejected,
        decision.rejected
    );
    let _ = writeln!(content, "<section><h2>Ways to decide</h2><pre>{}</pre></section>", escape(&report.advice()));
    let _ = writeln!(
        content,
        "<section><h2>For researchers: can ε be trusted?</h2><p>{}</p><p class=\"key\">The number of false alarms assumes that the latents of \
         good images are white noise. The sections below compare them with it.</p><div class=\"charts\"><div>{}</div></div></section>",
        escape(&report.verdict.to_string()),
        false_alarms(&report.false_alarms)
    );
    for (index, scale) in report.scales.iter().enumerate() {
        section(&mut content, index, scale);
    }
    content += "<section><h2>Differences from the assumption</h2><ul>";
    for finding in &report.findings {
        let _ = write!(content, "<li>{}</li>", escape(&capital(finding)));
    }
    for (index, correlation) in report.between_scales.iter().enumerate() {
        let _ = write!(content, "<li>Correlation of U between scales {index} and {}: {correlation:.2}</li>", index + 1);
    }
    content += "</ul></section>\n</main>";
    let page = include_str!("page.html").replace("{{style}}", include_str!("report.css"));
    page.replace("{{title}}", &escape(name)).replace("{{content}}", &content)
}

fn section(out: &mut String, index: usize, scale: &ScaleReport) {
    let shape = scale.shape;
    let _ = write!(
        out,
        "<section><h2>Scale {index}: {} channels of {}×{}</h2><div class=\"charts\">",
        shape.channels, shape.width, shape.height
    );
    for (title, chart) in [
        ("U / C against χ² (quantiles)", charts::quantiles(&scale.quantile_plot)),
        ("Autocorrelation of U", charts::autocorrelation(&scale.neighbours)),
        ("Mean of U / C by position", charts::positions(&scale.positions, shape.width)),
    ] {
        let _ = write!(out, "<div><h3>{title}</h3>{chart}</div>");
    }
    *out += "</div>";
    let figures = [
        ("variance of z (white noise: 1)", format!("{:.3}", scale.variance)),
        ("excess kurtosis of z (white noise: 0)", format!("{:.2}", scale.excess_kurtosis)),
        ("effective degrees of freedom of U", format!("{:.0} of {}", scale.effective_degrees, shape.channels)),
        (
            "tail index of U (higher is lighter)",
            format!("{:.1} ({:.1} of χ²)", scale.tail_index, scale.white_tail_index),
        ),
        ("pixels that vary together (white noise: 1)", format!("{:.1}", scale.correlated_pixels)),
        ("energy at the border relative to the middle (white noise: 1)", format!("{:.2}", scale.border)),
    ];
    facts(out, figures.into_iter().map(|(name, value)| (name.to_owned(), value)));
    *out += "</section>\n";
}

impl CalibrationReport {
    /// Writes the charts as one self-contained HTML page.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn write_html(&self, name: &str, path: &Path) -> Result<()> {
        crate::files::write_whole(path, html(name, self).as_bytes())
    }
}

//! Compares a run's results with the paper's.

use std::path::Path;

use anyhow::Result;

use crate::{
    cli::Context,
    evaluate::{
        Evaluation, Named,
        paper::{CategoryResults, Comparison, Metric, compare_all},
    },
    files::write_whole,
    report::Note,
};

/// The comparison.
pub(super) fn comparison(evaluations: &[Named<'_>]) -> Result<Comparison> {
    let figures: Vec<Vec<(Metric, f64)>> = evaluations.iter().map(|(_, evaluation)| figures(evaluation)).collect();
    let runs = evaluations.iter().zip(&figures).map(|((category, _), figures)| CategoryResults { category, figures });
    Ok(compare_all(&runs.collect::<Vec<_>>())?)
}

/// The comparison as a section of the report.
pub(super) fn note(comparison: &Comparison) -> Note {
    Note {
        title: "Comparison with the paper".to_owned(),
        text: "Categories are matched by name only.".to_owned(),
        table: comparison.table(),
        remarks: comparison.remarks(),
        ..Note::default()
    }
}

/// Prints the comparison, and writes it to `paper.md` in the folder of the results, if there is one.
pub(super) fn print(comparison: &Comparison, out: Option<&Path>, context: &Context) -> Result<()> {
    if let Some(out) = out {
        write_whole(&out.join("paper.md"), comparison.markdown().as_bytes())?;
    }
    if context.json {
        return Ok(context.print_json(&serde_json::json!({ "paper": comparison }))?);
    }
    Ok(context.print(&format!("\n{comparison}\n"))?)
}

/// The metrics that the paper reports too. Its mIoU without a threshold is at ε = 1; its oracle is the best ε.
fn figures(evaluation: &Evaluation) -> Vec<(Metric, f64)> {
    let total = &evaluation.total;
    let at_one = total.at_epsilon.miou.filter(|_| evaluation.epsilon == 1.0);
    [
        (Metric::PixelAuroc, total.pixel_auroc),
        (Metric::ImageAuroc, total.image_auroc_score_max),
        (Metric::Aupro, total.aupro),
        (Metric::MiouNfa, at_one),
        (Metric::MiouOracle, total.miou_nfa_oracle),
        (Metric::MiouFair, total.at_fair.as_ref().and_then(|at| at.miou)),
    ]
    .into_iter()
    .filter_map(|(metric, value)| Some((metric, value?)))
    .collect()
}

//! The part of the page about one model, and the table that compares models.

use std::{fmt::Write as _, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use image::{RgbImage, codecs::jpeg::JpegEncoder};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    Case, ModelReport, Pictures, charts,
    text::{capital, escape, prose},
};
use crate::{
    Error, Reason, Result,
    evaluate::{Evaluation, Metrics, Operating, number},
};

/// Quality of the inline JPEGs (maximum 100).
const QUALITY: u8 = 86;

/// Characters that are escaped in a link: all except RFC 3986's unreserved characters.
const IN_A_LINK: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Headings of a case's pictures; on narrow screens they are captions.
const COLUMNS: [&str; 5] = ["input", "score", "log₁₀ NFA", "mask", "outline"];

/// A row for each model, if there are several.
pub(super) fn summary(out: &mut String, models: &[ModelReport]) {
    if models.len() < 2 {
        return;
    }
    *out += "<section><h2>All models</h2>\n";
    let totals = || models.iter().map(|model| &model.evaluation.total);
    head(out, "category", None);
    for model in models {
        let name = prose(&model.name);
        let name = model.page.as_deref().map_or(name.clone(), |page| link(page, &name));
        cells(out, "", &name, &model.evaluation.total);
    }
    cells(out, " class=\"total\"", "mean", &Metrics::mean(totals()));
    *out += "</tbody></table></div></section>\n";
}

pub(super) fn section(out: &mut String, model: &ModelReport) -> Result<()> {
    let evaluation = &model.evaluation;
    let _ = write!(out, "<section>\n<h2>{}</h2>\n", capital(&prose(&model.name)));
    if let Some(page) = &model.page {
        let _ = writeln!(out, "<p class=\"key\">{}</p>", link(page, "its own page, with pictures"));
    }
    if !model.cases.is_empty() {
        cases(out, model)?;
    }
    *out += "<h3>Metrics</h3>\n";
    table(out, evaluation);
    let _ = write!(
        out,
        "<h3>Curves</h3>\n<div class=\"charts\"><div>{}</div><div>{}<p class=\"key\"><i style=\"background:var(--good)\"></i>\
         {} good<i style=\"background:var(--bad)\"></i>{} defective images</p></div>",
        charts::roc(evaluation.image_roc.as_ref(), evaluation.pixel_roc.as_ref()),
        charts::scores(&evaluation.images, evaluation.fair_threshold),
        evaluation.good_images,
        evaluation.defective_images
    );
    let more = [
        evaluation.pro.as_ref().map(charts::pro),
        (!evaluation.miou_curve.is_empty()).then(|| charts::miou(evaluation)),
        (!evaluation.false_alarms.is_empty()).then(|| charts::false_alarms(&evaluation.false_alarms)),
    ];
    for chart in more.into_iter().flatten() {
        let _ = write!(out, "<div>{chart}</div>");
    }
    *out += "</div>\n<div class=\"columns\"><div><h3>Model</h3>";
    let kept = model.package.iter().map(|path| ("package".to_owned(), path.display().to_string()));
    facts(out, model.facts.iter().cloned().chain(kept));
    *out += "</div><div><h3>Time</h3>";
    let steps = model.steps.iter().map(|(name, seconds)| ((*name).to_owned(), format!("{seconds:.1} s")));
    let stages = evaluation.latency.iter().map(|stage| {
        let figures = format!("{:.2} ms (median), {:.2} (95%), {:.2} (99%)", stage.p50_ms, stage.p95_ms, stage.p99_ms);
        (format!("{}, per image", stage.stage), figures)
    });
    facts(out, steps.chain(stages));
    *out += "</div></div>\n</section>\n";
    Ok(())
}

fn cases(out: &mut String, model: &ModelReport) -> Result<()> {
    let _ = write!(out, "<h3>Results on test images</h3>\n<p class=\"key\">{}</p>\n", escape(&model.choice));
    *out += "<div class=\"case head\"><span></span>";
    COLUMNS.iter().for_each(|column| *out += &format!("<span>{column}</span>"));
    *out += "</div>\n";
    for case in &model.cases {
        row(out, case)?;
    }
    *out += "<p class=\"key\"><i style=\"background:#f2f5f7\"></i>found<i style=\"background:#3b82f6\"></i>missed\
             <i style=\"background:#ef4444\"></i>false; log₁₀ NFA is blue above the threshold, orange to yellow below it</p>\n";
    Ok(())
}

fn row(out: &mut String, case: &Case) -> Result<()> {
    let (class, verdict) = if case.result.anomalous { ("anomalous", "anomalous") } else { ("normal", "normal") };
    let regions = case.result.regions;
    let _ = write!(
        out,
        "<div class=\"case\"><div class=\"what\"><b>{}</b><span class=\"badge {class}\">{verdict}</span>\
         <small>score {:.3}<br>log₁₀ NFA {:.1}<br>{regions} region{}",
        capital(&prose(&case.result.kind)),
        case.result.score,
        case.result.log10_nfa_min,
        if regions == 1 { "" } else { "s" },
    );
    if let Some(iou) = case.result.iou {
        let _ = write!(out, ", IoU {iou:.2}");
    }
    let _ = write!(out, "<br>{}</small></div>", escape(&case.result.name));
    let Pictures { input, heat, nfa, mask, outlined } = &case.pictures;
    let pictures = [
        (input, "input"),
        (heat, "score map"),
        (nfa, "log₁₀ NFA map"),
        (mask, "mask against the truth"),
        (outlined, "outlined regions"),
    ];
    for ((picture, name), column) in pictures.into_iter().zip(COLUMNS) {
        let (width, height) = picture.dimensions();
        let source = data_uri(picture)?;
        let name = escape(&format!("{name} of {}", case.result.name));
        let _ = write!(
            out,
            "<figure><img src=\"{source}\" width=\"{width}\" height=\"{height}\" alt=\"{name}\"><figcaption>{column}</figcaption></figure>"
        );
    }
    *out += "</div>\n";
    Ok(())
}

/// A link to a page at a relative path, around HTML.
fn link(page: &Path, content: &str) -> String {
    let parts = page.iter().map(|part| utf8_percent_encode(&part.to_string_lossy(), IN_A_LINK).to_string());
    format!("<a href=\"{}\">{content}</a>", parts.collect::<Vec<_>>().join("/"))
}

fn data_uri(picture: &RgbImage) -> Result<String> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .encode_image(picture)
        .map_err(|error| Error::decode("a picture of the report", Reason::of(error)))?;
    Ok(format!("data:image/jpeg;base64,{}", STANDARD.encode(bytes)))
}

/// The head of a table of metrics. It names the thresholds if the table shows one evaluation.
fn head(out: &mut String, first: &str, evaluation: Option<&Evaluation>) {
    let threshold = |value: Option<f32>| value.map_or_else(String::new, |value| format!(" ({value:.3})"));
    let (oracle, fair) = evaluation.map_or((None, None), |found| (found.oracle_threshold, found.fair_threshold));
    let epsilon = evaluation.map_or_else(|| "ε".to_owned(), |evaluation| evaluation.epsilon.to_string());
    let _ = write!(
        out,
        "<div class=\"scroll\"><table><thead><tr><th></th><th></th><th class=\"group\" colspan=\"2\">AUROC</th><th></th>\
         <th class=\"group\" colspan=\"2\">F1-max</th>\
         <th class=\"group\" colspan=\"2\">NFA &lt; {epsilon}</th><th class=\"group\" colspan=\"2\">oracle{}</th>\
         <th class=\"group\" colspan=\"2\">fair{}</th><th class=\"group\">best ε</th></tr><tr><th>{first}</th><th>images</th>\
         <th>pixel</th><th>image</th><th>AUPRO</th><th>pixel</th><th>image</th>{}<th>mIoU</th></tr></thead><tbody>",
        threshold(oracle),
        threshold(fair),
        "<th>mIoU</th><th>recall</th>".repeat(3)
    );
}

fn table(out: &mut String, evaluation: &Evaluation) {
    head(out, "kind", Some(evaluation));
    for kind in &evaluation.kinds {
        cells(out, "", &prose(&kind.kind), &kind.metrics);
    }
    cells(out, " class=\"total\"", "all, with the good images", &evaluation.total);
    let at = &evaluation.total.at_epsilon;
    let _ = write!(
        out,
        "</tbody></table></div>\n<p class=\"key\">{} good images: {} false alarms per image; share of them that is anomalous: {}. mIoU over the \
         defective images alone: {} at ε. Image AUROC by the maximum of the score map: {}. The oracle threshold and the best ε are chosen on these test images: \
         their results are upper bounds. The fair threshold comes from the good training images.</p>\n",
        evaluation.good_images,
        number(at.false_alarms, 2),
        number(at.good_flagged, 2),
        number(at.miou_defective, 3),
        number(evaluation.total.image_auroc_score_max, 3),
    );
}

fn cells(out: &mut String, class: &str, name: &str, metrics: &Metrics) {
    let none = Operating::default();
    let or_none = |operating| Option::<&Operating>::unwrap_or(operating, &none);
    let (oracle, fair) = (or_none(metrics.at_oracle.as_ref()), or_none(metrics.at_fair.as_ref()));
    let _ = write!(out, "<tr{class}><td>{name}</td><td>{}</td>", metrics.images);
    let f1 = [metrics.pixel_f1_max, metrics.image_f1_max].map(|best| best.map(|best| best.f1));
    for value in [metrics.pixel_auroc, metrics.image_auroc, metrics.aupro].into_iter().chain(f1) {
        let _ = write!(out, "<td>{}</td>", number(value, 3));
    }
    for operating in [&metrics.at_epsilon, oracle, fair] {
        let _ = write!(out, "<td>{}</td><td>{}</td>", number(operating.miou, 3), number(operating.image_recall, 2));
    }
    let _ = write!(out, "<td>{}</td></tr>", number(metrics.miou_nfa_oracle, 3));
}

pub(super) fn facts(out: &mut String, facts: impl Iterator<Item = (String, String)>) {
    *out += "<dl class=\"facts\">";
    for (name, value) in facts {
        let _ = write!(out, "<dt>{}</dt><dd>{}</dd>", escape(&name), escape(&value));
    }
    *out += "</dl>";
}

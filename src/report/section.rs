//! The part of the page about one model, and the table of several models.

use std::{fmt::Write as _, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use image::{RgbImage, codecs::jpeg::JpegEncoder};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    Case, ModelReport, Pictures, decision, results,
    text::{capital, escape, prose},
};
use crate::{Error, Reason, Result};

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
    let name = |model: &ModelReport| {
        let name = prose(&model.name);
        model.page.as_deref().map_or(name.clone(), |page| link(page, &name))
    };
    results::summary(out, models.iter().map(|model| (name(model), &model.evaluation.total)));
    *out += "</section>\n";
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
    results::table(out, evaluation);
    if let Some(roc) = &evaluation.image_roc {
        let chart = decision::recall(roc, &evaluation.total);
        let _ = write!(
            out,
            "<h3>What another threshold would give</h3>\n<div class=\"charts\"><div>{chart}<p class=\"key\">Every point of the line is a \
             threshold of the image score. The dot is the package's own decision.</p></div></div>\n"
        );
    }
    results::lists(out, &evaluation.images);
    *out += "<div class=\"columns\"><div><h3>Model</h3>";
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
    let badge = results::badge(case.result.outcome());
    let regions = case.result.regions;
    let _ = write!(
        out,
        "<div class=\"case\"><div class=\"what\"><b>{}</b>{badge}\
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
        figure(out, picture, &format!("{name} of {}", case.result.name), column)?;
    }
    *out += "</div>\n";
    Ok(())
}

/// A link to a page at a relative path, around HTML.
fn link(page: &Path, content: &str) -> String {
    let parts = page.iter().map(|part| utf8_percent_encode(&part.to_string_lossy(), IN_A_LINK).to_string());
    format!("<a href=\"{}\">{content}</a>", parts.collect::<Vec<_>>().join("/"))
}

/// A picture with its caption, which is HTML.
pub(super) fn figure(out: &mut String, picture: &RgbImage, alt: &str, caption: &str) -> Result<()> {
    let (width, height) = picture.dimensions();
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .encode_image(picture)
        .map_err(|error| Error::decode("a picture of the report", Reason::of(error)))?;
    let (jpeg, alt) = (STANDARD.encode(bytes), escape(alt));
    let _ = write!(
        out,
        "<figure><img src=\"data:image/jpeg;base64,{jpeg}\" width=\"{width}\" height=\"{height}\" alt=\"{alt}\">\
         <figcaption>{caption}</figcaption></figure>"
    );
    Ok(())
}

pub(super) fn facts(out: &mut String, facts: impl Iterator<Item = (String, String)>) {
    *out += "<dl class=\"facts\">";
    for (name, value) in facts {
        let _ = write!(out, "<dt>{}</dt><dd>{}</dd>", escape(&name), escape(&value));
    }
    *out += "</dl>";
}

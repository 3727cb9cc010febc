//! The page's text: from a [`Report`] to HTML. Whatever is not written here is escaped on its way in.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use image::{RgbImage, codecs::jpeg::JpegEncoder};

use super::{Case, ProductReport, Report, charts};
use crate::{
    Error, Result,
    evaluate::{Metrics, Operating, number},
};

/// Quality of the inline JPEGs, of 100.
const QUALITY: u8 = 86;

pub(super) fn page(report: &Report) -> Result<String> {
    let mut content = String::from("<main>\n");
    header(&mut content, report);
    for product in &report.products {
        section(&mut content, product)?;
    }
    served(&mut content, report);
    footer(&mut content, report);
    content += "</main>";
    Ok(include_str!("page.html").replace("{{style}}", include_str!("report.css")).replace("{{content}}", &content))
}

/// Text made safe for an element or a quoted attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            other => escaped.push(other),
        }
    }
    escaped
}

/// A name as prose: `missing_part` becomes `missing part`.
fn prose(name: &str) -> String {
    escape(&name.replace('_', " "))
}

fn header(out: &mut String, report: &Report) {
    let evaluations = || report.products.iter().map(|product| &product.evaluation);
    // Pooled over the images of all products.
    let pooled = |count: &dyn Fn(&crate::evaluate::Evaluation) -> usize, value: &dyn Fn(&Operating) -> Option<f64>| {
        let total: usize = evaluations().map(count).sum();
        let sum: Option<f64> =
            evaluations().map(|each| value(&each.total.at_epsilon).map(|value| value * count(each) as f64)).sum();
        sum.filter(|_| total > 0).map(|sum| sum / total as f64)
    };
    let defective = |each: &crate::evaluate::Evaluation| each.defective_images;
    let good = |each: &crate::evaluate::Evaluation| each.good_images;
    let aurocs: Option<Vec<f64>> = evaluations().map(|each| each.total.pixel_auroc).collect();
    let auroc =
        aurocs.filter(|values| !values.is_empty()).map(|values| values.iter().sum::<f64>() / values.len() as f64);
    let epsilon = evaluations().next().map_or(1.0, |each| each.epsilon);
    let _ = write!(
        out,
        "<h1>U-Flow demo</h1>\n<p class=\"lead\">{} on this machine, to pictures of good products only. \
         Here is what was found in {} pictures not seen in training, of which {} show a defect. A pixel is called anomalous where \
         the number of false alarms expected per image, computed and not tuned, is below ε = {epsilon}.</p>\n<div class=\"tiles\">",
        match report.products.len() {
            1 => "One model was fitted".to_owned(),
            count => format!("{count} models were fitted"),
        },
        evaluations().map(|each| each.good_images + each.defective_images).sum::<usize>(),
        evaluations().map(defective).sum::<usize>(),
    );
    for (value, name) in [
        (number(pooled(&defective, &|at| at.image_recall), 3), "of the defective images found"),
        (number(pooled(&good, &|at| at.false_alarms), 3), "false alarms per good image"),
        (number(pooled(&defective, &|at| at.miou_defective), 3), "mIoU on defective images"),
        (number(auroc, 3), "pixel AUROC, mean of products"),
        (format!("{:.0} s", report.seconds), "from nothing to this page"),
    ] {
        let _ = write!(out, "<div class=\"tile\"><b>{value}</b><span>{name}</span></div>");
    }
    *out += "</div>\n";
}

fn section(out: &mut String, product: &ProductReport) -> Result<()> {
    let evaluation = &product.evaluation;
    let _ = write!(out, "<section>\n<h2>{}</h2>\n<h3>What was found</h3>\n", capital(&prose(&product.name)));
    *out += "<p class=\"key\">Chosen by their place in the test set, not by the result.</p>\n";
    *out += "<div class=\"case head\"><span></span><span>input</span><span>score</span><span>log₁₀ NFA</span>\
             <span>mask</span><span>outline</span></div>\n";
    for case in &product.cases {
        row(out, case)?;
    }
    *out += "<p class=\"key\"><i style=\"background:#f2f5f7\"></i>found<i style=\"background:#3b82f6\"></i>missed\
             <i style=\"background:#ef4444\"></i>false; log₁₀ NFA is blue above the threshold, orange to yellow below it</p>\n";
    *out += "<h3>Metrics</h3>\n";
    table(out, product);
    let _ = write!(
        out,
        "<h3>Scores</h3>\n<div class=\"charts\"><div>{}</div><div>{}<p class=\"key\"><i style=\"background:var(--good)\"></i>\
         {} good<i style=\"background:var(--bad)\"></i>{} defective images</p></div></div>\n",
        charts::roc(evaluation.image_roc.as_ref(), evaluation.pixel_roc.as_ref()),
        charts::scores(&evaluation.images, evaluation.fair_threshold),
        evaluation.good_images,
        evaluation.defective_images
    );
    *out += "<div class=\"columns\"><div><h3>Model</h3>";
    let kept = product.package.iter().map(|path| ("package".to_owned(), path.display().to_string()));
    facts(out, product.model.iter().cloned().chain(kept));
    *out += "</div><div><h3>Time</h3>";
    let steps = product.steps.iter().map(|(name, seconds)| ((*name).to_owned(), format!("{seconds:.1} s")));
    let stages = product.stages.iter().map(|(name, ms)| (format!("{name}, per image"), format!("{ms:.2} ms (median)")));
    facts(out, steps.chain(stages));
    *out += "</div></div>\n</section>\n";
    Ok(())
}

fn row(out: &mut String, case: &Case) -> Result<()> {
    let (class, verdict) = if case.result.anomalous { ("anomalous", "anomalous") } else { ("normal", "normal") };
    let regions = case.result.regions;
    let _ = write!(
        out,
        "<div class=\"case\"><div class=\"what\"><b>{}</b><span class=\"badge {class}\">{verdict}</span>\
         <small>score {:.3}<br>log₁₀ NFA {:.0}<br>{regions} region{}",
        capital(&prose(&case.result.kind)),
        case.result.score,
        case.result.log10_nfa_min,
        if regions == 1 { "" } else { "s" },
    );
    if let Some(iou) = case.result.iou {
        let _ = write!(out, ", IoU {iou:.2}");
    }
    let _ = write!(out, "<br>{}</small></div>", escape(&case.result.name));
    for (picture, name) in [
        (&case.input, "input"),
        (&case.heat, "score map"),
        (&case.nfa, "log₁₀ NFA map"),
        (&case.mask, "mask against the truth"),
        (&case.outlined, "outlined regions"),
    ] {
        let (width, height) = picture.dimensions();
        let source = data_uri(picture)?;
        let name = escape(&format!("{name} of {}", case.result.name));
        let _ = write!(out, "<img src=\"{source}\" width=\"{width}\" height=\"{height}\" alt=\"{name}\">");
    }
    *out += "</div>\n";
    Ok(())
}

fn data_uri(picture: &RgbImage) -> Result<String> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .encode_image(picture)
        .map_err(|error| Error::Decode { name: "a picture of the report".to_owned(), reason: error.to_string() })?;
    Ok(format!("data:image/jpeg;base64,{}", STANDARD.encode(bytes)))
}

fn table(out: &mut String, product: &ProductReport) {
    let evaluation = &product.evaluation;
    let threshold = |value: Option<f32>| value.map_or_else(String::new, |value| format!(" ({value:.3})"));
    let _ = write!(
        out,
        "<div class=\"scroll\"><table><thead><tr><th></th><th></th><th class=\"group\" colspan=\"2\">AUROC</th>\
         <th class=\"group\" colspan=\"2\">NFA &lt; {}</th><th class=\"group\" colspan=\"2\">oracle{}</th>\
         <th class=\"group\" colspan=\"2\">fair{}</th></tr><tr><th>kind</th><th>images</th><th>pixel</th><th>image</th>",
        evaluation.epsilon,
        threshold(evaluation.oracle_threshold),
        threshold(evaluation.fair_threshold)
    );
    *out += &"<th>mIoU</th><th>recall</th>".repeat(3);
    *out += "</tr></thead><tbody>";
    for kind in &evaluation.kinds {
        cells(out, "", &prose(&kind.kind), &kind.metrics);
    }
    cells(out, " class=\"total\"", "all, with the good images", &evaluation.total);
    let at = &evaluation.total.at_epsilon;
    let _ = write!(
        out,
        "</tbody></table></div>\n<p class=\"key\">{} good images: {} false alarms per image, {} of them called anomalous. mIoU over the \
         defective images alone: {} at ε. The oracle threshold is the best one for these very images: a bound, not a result. \
         The fair one is set on the good training images.</p>\n",
        evaluation.good_images,
        number(at.false_alarms, 2),
        number(at.good_flagged, 2),
        number(at.miou_defective, 3),
    );
}

fn cells(out: &mut String, class: &str, name: &str, metrics: &Metrics) {
    let none = Operating::default();
    let or_none = |operating| Option::<&Operating>::unwrap_or(operating, &none);
    let (oracle, fair) = (or_none(metrics.at_oracle.as_ref()), or_none(metrics.at_fair.as_ref()));
    let _ = write!(out, "<tr{class}><td>{name}</td><td>{}</td>", metrics.images);
    for value in [metrics.pixel_auroc, metrics.image_auroc] {
        let _ = write!(out, "<td>{}</td>", number(value, 3));
    }
    for operating in [&metrics.at_epsilon, oracle, fair] {
        let _ = write!(out, "<td>{}</td><td>{}</td>", number(operating.miou, 3), number(operating.image_recall, 2));
    }
    *out += "</tr>";
}

fn facts(out: &mut String, facts: impl Iterator<Item = (String, String)>) {
    *out += "<dl class=\"facts\">";
    for (name, value) in facts {
        let _ = write!(out, "<dt>{}</dt><dd>{}</dd>", escape(&name), escape(&value));
    }
    *out += "</dl>";
}

fn served(out: &mut String, report: &Report) {
    if report.served.is_empty() {
        return;
    }
    *out += "<section><h2>Served over gRPC</h2>\n<p>The same models behind a server of this process (<code>uflow serve</code>), the test \
             pictures of all products mixed, as files, on several streams at once (<code>uflow client</code>).</p>";
    facts(out, report.served.iter().cloned());
    *out += "</section>\n";
}

fn footer(out: &mut String, report: &Report) {
    let machine = &report.machine;
    let memory = machine.memory_gib.map_or_else(String::new, |gib| format!(", {gib:.0} GiB"));
    *out += "<section><h2>How this was made</h2><h3>Machine and build</h3>";
    let own = [
        ("processor".to_owned(), format!("{}, {} threads{memory}", machine.processor, machine.threads)),
        ("system".to_owned(), machine.system.clone()),
        ("uflow".to_owned(), machine.version.clone()),
        ("date".to_owned(), machine.date.clone()),
        ("wall-clock time".to_owned(), format!("{:.1} s in all", report.seconds)),
    ];
    facts(out, own.into_iter().chain(report.engine.iter().cloned()));
    *out += "</section>\n<footer><p>The products are made by a program, not photographed: they show that the whole works on your machine, \
             not how it does on your parts. For those, run <code>uflow fit</code> and <code>uflow evaluate</code> on your own pictures.</p></footer>\n";
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

//! The appendix: what compares methods with each other. Thresholds that no user can know, and curves over all thresholds.

use std::fmt::Write as _;

use super::{
    ModelReport, charts,
    text::{capital, prose},
};
use crate::evaluate::{Evaluation, Metrics, Operating, number};

/// The appendix of all models.
pub(super) fn appendix(out: &mut String, models: &[ModelReport]) {
    if models.is_empty() {
        return;
    }
    *out += "<section><h2>For researchers</h2>\n<p class=\"key\">These figures compare methods, not parts. Maps and masks are compared at the \
             size of the network's input. A pixel is anomalous if its number of false alarms, expected per image, is below ε. The oracle \
             threshold and the best ε are chosen on these test images: their results are upper bounds. The fair threshold comes from the \
             good training images.</p>\n";
    if models.len() > 1 {
        head(out, "category", None);
        for model in models {
            cells(out, "", &prose(&model.name), &model.evaluation.total);
        }
        cells(out, " class=\"total\"", "mean", &Metrics::mean(models.iter().map(|model| &model.evaluation.total)));
        *out += "</tbody></table></div>\n";
    }
    for model in models {
        let _ = writeln!(out, "<h3>{}</h3>", capital(&prose(&model.name)));
        table(out, &model.evaluation);
        curves(out, &model.evaluation);
    }
    *out += "</section>\n";
}

fn curves(out: &mut String, evaluation: &Evaluation) {
    let _ = write!(
        out,
        "<div class=\"charts\"><div>{}</div><div>{}<p class=\"key\"><i style=\"background:var(--good)\"></i>\
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
    *out += "</div>\n";
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
        "</tbody></table></div>\n<p class=\"key\">{} false alarms per good image at ε. Image AUROC by the maximum of the score map: {}.</p>\n",
        number(at.false_alarms, 2),
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

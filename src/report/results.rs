//! What a quality engineer reads about a model: a table by kind of defect, and every miss and every false alarm.

use std::fmt::Write as _;

use super::{
    headline::share,
    text::{escape, prose},
};
use crate::evaluate::{Evaluation, ImageResult, Metrics, Outcome, count, number};

/// A badge with what became of an image.
pub(super) fn badge(outcome: Outcome) -> String {
    let class = match outcome {
        Outcome::Found | Outcome::Good => "right",
        Outcome::WrongReason | Outcome::Missed | Outcome::FalseAlarm => "wrong",
    };
    format!("<span class=\"badge {class}\">{}</span>", outcome.words())
}

/// A row for each kind of defect, one for all, and one for the good images.
pub(super) fn table(out: &mut String, evaluation: &Evaluation) {
    *out += "<h3>By kind of defect</h3>\n<div class=\"scroll\"><table><thead><tr><th>kind</th><th>images</th><th>rejected</th>\
             <th>and a region touches the defect</th><th>regions that touch none</th><th>mIoU</th></tr></thead><tbody>";
    let mut row = |class: &str, name: &str, images: usize, metrics: &Metrics| {
        let at = &metrics.at_epsilon;
        let _ = write!(
            out,
            "<tr{class}><td>{name}</td><td>{images}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            shares(at.image_recall),
            shares(metrics.recall_touching),
            count(metrics.regions_touching_none),
            number(at.miou_defective, 3)
        );
    };
    for kind in &evaluation.kinds {
        row("", &prose(&kind.kind), kind.metrics.images, &kind.metrics);
    }
    let total = &evaluation.total;
    row(" class=\"total\"", "all defective images", evaluation.defective_images, total);
    let _ = writeln!(
        out,
        "<tr><td>good images</td><td>{}</td><td>{}</td><td>–</td><td>{}</td><td>–</td></tr></tbody></table></div>",
        evaluation.good_images,
        shares(total.at_epsilon.good_flagged),
        count(total.regions_on_good)
    );
}

/// A row for each model, and their mean.
pub(super) fn summary<'a>(out: &mut String, rows: impl Iterator<Item = (String, &'a Metrics)>) {
    *out += "<div class=\"scroll\"><table><thead><tr><th>category</th><th>images</th><th>defective images rejected</th>\
             <th>and a region touches the defect</th><th>regions that touch none</th><th>good images rejected</th><th>image AUROC</th>\
             <th>mIoU</th></tr></thead><tbody>";
    let rows: Vec<_> = rows.collect();
    let mean = Metrics::mean(rows.iter().map(|(_, metrics)| *metrics));
    let all = rows.iter().map(|(name, metrics)| ("", &**name, *metrics));
    for (class, name, metrics) in all.chain([(" class=\"total\"", "mean", &mean)]) {
        let at = &metrics.at_epsilon;
        let _ = write!(
            out,
            "<tr{class}><td>{name}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            metrics.images,
            shares(at.image_recall),
            shares(metrics.recall_touching),
            count(metrics.regions_touching_none),
            shares(at.good_flagged),
            number(metrics.image_auroc, 3),
            number(at.miou_defective, 3)
        );
    }
    *out += "</tbody></table></div>\n";
}

fn shares(value: Option<f64>) -> String {
    value.map_or_else(|| number(None, 0), |value| share(value).replace('<', "&lt;").replace('>', "&gt;"))
}

/// Every miss, the least conspicuous first, and every false alarm, the most conspicuous first.
pub(super) fn lists(out: &mut String, images: &[ImageResult]) {
    let of = |wanted: &dyn Fn(Outcome) -> bool| -> Vec<&ImageResult> {
        images.iter().filter(|image| wanted(image.outcome())).collect()
    };
    let mut misses = of(&Outcome::is_miss);
    misses.sort_by(|a, b| a.score.total_cmp(&b.score));
    let mut alarms = of(&|outcome| outcome == Outcome::FalseAlarm);
    alarms.sort_by(|a, b| b.score.total_cmp(&a.score));
    list(out, "Every miss", "No defective image was missed.", &misses);
    list(out, "Every false alarm", "No good image was rejected.", &alarms);
}

fn list(out: &mut String, title: &str, nothing: &str, images: &[&ImageResult]) {
    if images.is_empty() {
        let _ = write!(out, "<h3>{title}</h3>\n<p>{nothing}</p>\n");
        return;
    }
    let _ = write!(
        out,
        "<h3>{title}: {}</h3>\n<div class=\"scroll long\"><table class=\"list\"><thead><tr><th>file</th><th>kind</th><th>result</th><th>score</th>\
         <th>p-value</th><th>log₁₀ NFA</th><th>regions</th></tr></thead><tbody>",
        images.len()
    );
    for image in images {
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{:.2}</td><td>{}</td><td>{:.2}</td><td>{}</td></tr>",
            escape(&image.name),
            prose(&image.kind),
            badge(image.outcome()),
            image.score,
            p_value(image.p_value),
            image.log10_nfa_min,
            image.regions
        );
    }
    *out += "</tbody></table></div>\n";
}

/// With three digits that count.
fn p_value(value: Option<f64>) -> String {
    match value {
        None => number(None, 0),
        Some(value) if value < 1e-3 => format!("{value:.1e}"),
        Some(value) => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str, kind: &str, anomalous: bool, touching: Option<usize>, score: f32) -> ImageResult {
        ImageResult {
            name: name.to_owned(),
            kind: kind.to_owned(),
            score,
            score_max: 0.5,
            log10_nfa_min: -score,
            anomalous,
            p_value: Some(if anomalous { 0.000_25 } else { 0.25 }),
            regions: usize::from(anomalous),
            touching,
            iou: None,
            defective_part: None,
        }
    }

    #[test]
    fn the_lists_have_every_miss_and_every_false_alarm_and_nothing_else() {
        let images = [
            image("a<1>.png", "thin_cut", false, Some(0), 3.0),
            image("b.png", "dent", true, Some(0), 1.5),
            image("found.png", "dent", true, Some(1), 9.0),
            image("unmarked.png", "dent", true, None, 9.0),
            image("alarm-1.png", "good", true, None, 2.0),
            image("alarm-2.png", "good", true, None, 4.0),
            image("quiet.png", "good", false, None, 0.0),
        ];
        let mut out = String::new();
        lists(&mut out, &images);
        let at = |text: &str| out.find(text).unwrap_or_else(|| panic!("no {text} in {out}"));
        assert!(at("Every miss: 2") < at("<td>b.png</td><td>dent</td>") && at(">b.png<") < at("a&lt;1&gt;.png"));
        assert!(at("Every false alarm: 2") < at("alarm-2.png") && at("alarm-2.png") < at("alarm-1.png"));
        for absent in ["found.png", "unmarked.png", "quiet.png"] {
            assert!(!out.contains(absent), "{absent} is in {out}");
        }
        for cell in [
            "wrong reason</span>",
            "missed</span>",
            "<td>3.00</td><td>0.250</td><td>-3.00</td>",
            "<td>2.5e-4</td>",
            "thin cut",
        ] {
            at(cell);
        }
        let mut out = String::new();
        lists(&mut out, &images[2..4]);
        assert!(out.contains("No defective image was missed.") && out.contains("No good image was rejected."));
    }

    #[test]
    fn badges_say_what_became_of_an_image() {
        let badges =
            [Outcome::Found, Outcome::WrongReason, Outcome::Missed, Outcome::FalseAlarm, Outcome::Good].map(badge);
        let words = badges.map(|badge| badge.split(['>', '<']).nth(2).unwrap().to_owned());
        assert_eq!(words, ["found", "wrong reason", "missed", "false alarm", "good"]);
    }
}

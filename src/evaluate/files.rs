//! The metrics as files: CSV for spreadsheets, Markdown for reports, JSON for everything.
//!
//! | file | a row is |
//! |---|---|
//! | `metrics.csv` | a kind of defect of a category, or the category's `total` |
//! | `images.csv` | a test image |
//! | `regions.csv` | a region that was found |
//! | `regions.coco.json` | – (images and regions as [COCO](https://cocodataset.org/#format-data) annotations) |
//! | `false_alarms.csv` | a category at one ε |
//! | `metrics.md` | a category, with the mean |
//! | `metrics.json` | – (each category's [`Evaluation`] in full, under its name) |

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use super::{
    coco::coco_json,
    metrics::{Evaluation, Metrics, Operating},
    table::{count, number},
    touching::ImageRegions,
};
use crate::{Error, Reason, Result, files::write_whole};

/// An evaluation by its category's name.
pub type Named<'a> = (&'a str, &'a Evaluation);

/// The regions of a category's images, by its name.
pub type NamedRegions<'a> = (&'a str, &'a [ImageRegions]);

/// Writes the regions of all images into `folder`: `regions.csv` and `regions.coco.json`.
///
/// # Errors
/// [`Error::Io`].
pub fn write_regions(folder: &Path, found: &[NamedRegions<'_>]) -> Result<()> {
    write_whole(&folder.join("regions.csv"), regions_csv(found)?.as_bytes())?;
    write_whole(&folder.join("regions.coco.json"), coco_json(found)?.as_bytes())
}

/// Writes the metrics into `folder`: all files but those of the regions.
///
/// # Errors
/// [`Error::Io`].
pub fn write_files(folder: &Path, evaluations: &[Named<'_>]) -> Result<()> {
    let json: BTreeMap<&str, &Evaluation> = evaluations.iter().copied().collect();
    let json = serde_json::to_string_pretty(&json).map_err(|error| Error::parameter("metrics", Reason::of(error)))?;
    for (name, content) in [
        ("metrics.csv", metrics_csv(evaluations)?),
        ("images.csv", images_csv(evaluations)?),
        ("false_alarms.csv", false_alarms_csv(evaluations)?),
        ("metrics.md", markdown(evaluations)),
        ("metrics.json", json + "\n"),
    ] {
        write_whole(&folder.join(name), content.as_bytes())?;
    }
    Ok(())
}

/// A row for each kind of defect, and the total, of each category. What cannot be known is empty.
pub fn metrics_csv(evaluations: &[Named<'_>]) -> Result<String> {
    let mut rows = Rows::new(&[
        "category",
        "kind",
        "images",
        "pixel_auroc",
        "image_auroc",
        "aupro",
        "pixel_f1_max",
        "pixel_f1_threshold",
        "image_f1_max",
        "image_f1_threshold",
        "miou_epsilon",
        "miou_defective_epsilon",
        "recall_epsilon",
        "good_flagged_epsilon",
        "false_alarms_epsilon",
        "miou_oracle",
        "miou_defective_oracle",
        "recall_oracle",
        "good_flagged_oracle",
        "false_alarms_oracle",
        "miou_fair",
        "miou_defective_fair",
        "recall_fair",
        "good_flagged_fair",
        "false_alarms_fair",
        "miou_nfa_oracle",
        "image_auroc_score_max",
        "recall_touching",
        "regions_touching_none",
        "regions_on_good",
    ])?;
    for (category, evaluation) in evaluations {
        let kinds = evaluation.kinds.iter().map(|kind| (&*kind.kind, &kind.metrics));
        for (kind, metrics) in kinds.chain([("total", &evaluation.total)]) {
            let none = Operating::default();
            let f1 = [metrics.pixel_f1_max, metrics.image_f1_max];
            let f1 = f1.map(|best| [best.map(|best| best.f1), best.and_then(|best| best.threshold).map(f64::from)]);
            let operating = [Some(&metrics.at_epsilon), metrics.at_oracle.as_ref(), metrics.at_fair.as_ref()];
            let operating = operating
                .map(|at| at.unwrap_or(&none))
                .map(|at| [at.miou, at.miou_defective, at.image_recall, at.good_flagged, at.false_alarms]);
            let values = [metrics.pixel_auroc, metrics.image_auroc, metrics.aupro].into_iter();
            let values = values.chain(f1.into_iter().flatten()).chain(operating.into_iter().flatten());
            let values = values
                .chain([metrics.miou_nfa_oracle, metrics.image_auroc_score_max, metrics.recall_touching])
                .map(cell)
                .chain([metrics.regions_touching_none, metrics.regions_on_good].map(cell));
            rows.push([(*category).to_owned(), kind.to_owned(), metrics.images.to_string()].into_iter().chain(values))?;
        }
    }
    rows.finish()
}

/// A row for each test image. `truth` is what the data set says, `outcome` what became of the image ([`Outcome`](super::Outcome)), and
/// `touching` the number of its regions that touch the marked defect. What cannot be known is empty.
pub fn images_csv(evaluations: &[Named<'_>]) -> Result<String> {
    let mut rows = Rows::new(&[
        "category",
        "image",
        "kind",
        "truth",
        "outcome",
        "score",
        "score_max",
        "log10_nfa_min",
        "p_value",
        "anomalous",
        "regions",
        "touching",
        "iou_epsilon",
        "defective_part",
    ])?;
    for (category, evaluation) in evaluations {
        for image in &evaluation.images {
            rows.push([
                (*category).to_owned(),
                image.name.clone(),
                image.kind.clone(),
                if image.defective() { "defective" } else { "good" }.to_owned(),
                image.outcome().to_string(),
                image.score.to_string(),
                image.score_max.to_string(),
                image.log10_nfa_min.to_string(),
                cell(image.p_value),
                image.anomalous.to_string(),
                image.regions.to_string(),
                cell(image.touching),
                cell(image.iou),
                cell(image.defective_part),
            ])?;
        }
    }
    rows.finish()
}

/// A row for each category and ε.
pub fn false_alarms_csv(evaluations: &[Named<'_>]) -> Result<String> {
    let mut rows = Rows::new(&[
        "category",
        "epsilon",
        "good_images",
        "regions",
        "flagged",
        "rate",
        "rate_low",
        "rate_high",
        "flagged_rate",
        "flagged_low",
        "flagged_high",
    ])?;
    for (category, evaluation) in evaluations {
        for found in &evaluation.false_alarms {
            let counts = [found.images, found.regions, found.flagged].map(|count| count.to_string());
            let [rate, flagged] = [(found.rate, found.rate_bounds), (found.flagged_rate, found.flagged_bounds)]
                .map(|(rate, bounds)| [rate, bounds[0], bounds[1]].map(|value| value.to_string()));
            let epsilon = [(*category).to_owned(), found.epsilon.to_string()];
            rows.push(epsilon.into_iter().chain(counts).chain(rate).chain(flagged))?;
        }
    }
    rows.finish()
}

/// A table of the categories with their mean, and one of the false alarms.
pub fn markdown(evaluations: &[Named<'_>]) -> String {
    let mut text = String::from(
        "| category | images | pixel AUROC | image AUROC | by the maximum | AUPRO | pixel F1-max | mIoU at ε | mIoU, best ε | mIoU, oracle | mIoU, fair | recall at ε | \
         recall, touching | regions touching none | good images flagged | false alarms per good image |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    let mut row = |name: &str, metrics: &Metrics| {
        let miou = |at: &Option<Operating>| number(at.as_ref().and_then(|at| at.miou), 3);
        let at = &metrics.at_epsilon;
        let cells = [
            name.replace('|', "\\|"),
            metrics.images.to_string(),
            number(metrics.pixel_auroc, 3),
            number(metrics.image_auroc, 3),
            number(metrics.image_auroc_score_max, 3),
            number(metrics.aupro, 3),
            number(metrics.pixel_f1_max.map(|best| best.f1), 3),
            number(at.miou, 3),
            number(metrics.miou_nfa_oracle, 3),
            miou(&metrics.at_oracle),
            miou(&metrics.at_fair),
            number(at.image_recall, 3),
            number(metrics.recall_touching, 3),
            count(metrics.regions_touching_none),
            number(at.good_flagged, 3),
            number(at.false_alarms, 3),
        ];
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    };
    for (name, evaluation) in evaluations {
        row(name, &evaluation.total);
    }
    if evaluations.len() > 1 {
        row("mean", &Metrics::mean(evaluations.iter().map(|(_, evaluation)| &evaluation.total)));
    }
    text += "\n| category | ε | false alarms per good image | 95% bounds | good images flagged | 95% bounds |\n|---|--:|--:|--:|--:|--:|\n";
    for (name, evaluation) in evaluations {
        for found in &evaluation.false_alarms {
            let [low, high] = found.rate_bounds;
            let [flagged_low, flagged_high] = found.flagged_bounds;
            let _ = writeln!(
                text,
                "| {} | {} | {:.3} | {low:.3}–{high:.3} | {:.3} | {flagged_low:.3}–{flagged_high:.3} |",
                name.replace('|', "\\|"),
                found.epsilon,
                found.rate,
                found.flagged_rate
            );
        }
    }
    text
}

/// A row for each region. Boxes and areas are in pixels of the source image. What cannot be known is empty.
pub fn regions_csv(found: &[NamedRegions<'_>]) -> Result<String> {
    let mut rows = Rows::new(&[
        "category",
        "image",
        "region",
        "x",
        "y",
        "width",
        "height",
        "area",
        "log10_nfa_min",
        "p_value",
        "score_max",
        "touches",
    ])?;
    for (category, images) in found {
        for image in *images {
            for (index, found) in image.regions.iter().enumerate() {
                let region = &found.region;
                let place = region.bbox.iter().chain([&region.area]).map(u32::to_string);
                let head = [(*category).to_owned(), image.image.clone(), (index + 1).to_string()];
                let tail = [
                    region.log10_nfa_min.to_string(),
                    cell(region.p_value),
                    region.score_max.to_string(),
                    cell(found.touches),
                ];
                rows.push(head.into_iter().chain(place).chain(tail))?;
            }
        }
    }
    rows.finish()
}

/// A value as a cell; empty if there is none.
fn cell<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// Rows of a CSV file.
struct Rows(csv::Writer<Vec<u8>>);

impl Rows {
    fn new(head: &[&str]) -> Result<Self> {
        let mut rows = Self(csv::Writer::from_writer(Vec::new()));
        rows.push(head.iter().map(|name| (*name).to_owned()))?;
        Ok(rows)
    }

    fn push(&mut self, cells: impl IntoIterator<Item = String>) -> Result<()> {
        self.0.write_record(cells).map_err(|error| Error::parameter("CSV", Reason::of(error)))
    }

    fn finish(self) -> Result<String> {
        let bytes = self.0.into_inner().map_err(|error| Error::parameter("CSV", Reason::of(error.into_error())))?;
        String::from_utf8(bytes).map_err(|error| Error::parameter("CSV", Reason::of(error)))
    }
}

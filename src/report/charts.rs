//! Charts as inline SVG. The page's style sheet sets the colours by class, for light and dark.

use std::fmt::Write as _;

use crate::{
    calibrate::{Neighbour, Quantile},
    evaluate::{Evaluation, FalseAlarms, GOOD, ImageResult, PRO_LIMIT, Pro, Roc},
};

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 44.0;
const BOTTOM: f64 = 40.0;
const MARGIN: f64 = 14.0;

/// Maps [0, 1]² to the plot's area in the picture's units.
pub(super) fn x(value: f64) -> f64 {
    LEFT + value * (WIDTH - LEFT - MARGIN)
}

pub(super) fn y(value: f64) -> f64 {
    HEIGHT - BOTTOM - value * (HEIGHT - BOTTOM - MARGIN)
}

/// Four to eight round values between `low` and `high`: their places in [0, 1] on this axis, and their labels.
pub(super) fn round_ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let rough = (high - low).max(f64::MIN_POSITIVE) / 4.0;
    let decade = 10_f64.powf(rough.log10().floor());
    let step = [5.0, 2.0, 1.0].map(|digit| digit * decade).into_iter().find(|step| *step <= rough).unwrap_or(decade);
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    let first = (low / step - 1e-6).ceil() as i64;
    let last = (high / step + 1e-6).floor() as i64;
    (first..=last)
        .map(|count| {
            let value = count as f64 * step;
            ((value - low) / (high - low), format!("{value:.decimals$}"))
        })
        .collect()
}

/// A vertical line at a place in [0, 1], with its label on the side that has room.
pub(super) fn mark(svg: &mut String, place: f64, label: &str) {
    let (at, anchor, shift) = if place > 0.5 { (x(place), "end", -4.0) } else { (x(place), "start", 4.0) };
    let _ = write!(
        svg,
        r#"<line class="mark" x1="{at:.1}" y1="{:.1}" x2="{at:.1}" y2="{:.1}"/><text class="legend" x="{:.1}" y="{:.1}" text-anchor="{anchor}">{label}</text>"#,
        y(0.0),
        y(1.0),
        at + shift,
        y(1.0) + 9.0
    );
}

/// An empty chart with axes; ticks are places in [0, 1] with their labels.
pub(super) fn frame(title: &str, axes: [&str; 2], ticks: [&[(f64, String)]; 2]) -> String {
    let mut svg = format!(r#"<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">"#);
    for (place, label) in ticks[0] {
        let at = x(*place);
        let _ = write!(
            svg,
            r#"<line class="grid" x1="{at:.1}" y1="{:.1}" x2="{at:.1}" y2="{:.1}"/><text x="{at:.1}" y="{:.1}" text-anchor="middle">{label}</text>"#,
            y(0.0),
            y(1.0),
            y(0.0) + 15.0
        );
    }
    for (place, label) in ticks[1] {
        let at = y(*place);
        let _ = write!(
            svg,
            r#"<line class="grid" x1="{:.1}" y1="{at:.1}" x2="{:.1}" y2="{at:.1}"/><text x="{:.1}" y="{:.1}" text-anchor="end">{label}</text>"#,
            x(0.0),
            x(1.0),
            x(0.0) - 6.0,
            at + 3.5
        );
    }
    let _ = write!(
        svg,
        r#"<text class="axis" x="{:.1}" y="{:.1}" text-anchor="middle">{}</text><text class="axis" transform="translate(11 {:.1}) rotate(-90)" text-anchor="middle">{}</text>"#,
        x(0.5),
        HEIGHT - 6.0,
        axes[0],
        y(0.5),
        axes[1]
    );
    svg
}

/// ROC curves of images and of pixels.
pub(super) fn roc(image: Option<&Roc>, pixel: Option<&Roc>) -> String {
    let ticks: Vec<(f64, String)> = [0.0, 0.25, 0.5, 0.75, 1.0].map(|place| (place, format!("{place}"))).into();
    let mut svg = frame("ROC curves", ["false-positive rate", "true-positive rate"], [&ticks, &ticks]);
    let _ = write!(svg, r#"<path class="chance" d="M{:.1} {:.1}L{:.1} {:.1}"/>"#, x(0.0), y(0.0), x(1.0), y(1.0));
    for (row, (class, name, curve)) in
        [("good-line", "pixels", pixel), ("bad-line", "images", image)].into_iter().enumerate()
    {
        let Some(curve) = curve else { continue };
        let mut path = String::new();
        for (index, point) in curve.points.iter().enumerate() {
            let _ = write!(path, "{}{:.1} {:.1}", if index == 0 { 'M' } else { 'L' }, x(point.fpr), y(point.tpr));
        }
        let at = y(0.06 + 0.09 * row as f64);
        let _ = write!(
            svg,
            r#"<path class="{class}" d="{path}"/><line class="{class}" x1="{:.1}" y1="{at:.1}" x2="{:.1}" y2="{at:.1}"/><text class="legend" x="{:.1}" y="{:.1}">{name}, AUROC {:.3}</text>"#,
            x(0.42),
            x(0.49),
            x(0.51),
            at + 3.5,
            curve.auroc
        );
    }
    svg + "</svg>"
}

/// Histogram of the maxima of the score maps, good and defective images side by side in each bin, with the fair threshold.
pub(super) fn scores(images: &[ImageResult], fair_threshold: Option<f32>) -> String {
    const BINS: usize = 24;
    let extremes = images.iter().fold((1.0_f64, 0.0_f64), |(low, high), image| {
        (low.min(f64::from(image.score_max)), high.max(f64::from(image.score_max)))
    });
    let low = (extremes.0 * 20.0).floor() / 20.0;
    let high = ((extremes.1 * 20.0).ceil() / 20.0).max(low + 0.05);
    let mut counts = [[0_usize; BINS]; 2];
    for image in images {
        let bin = (f64::from(image.score_max) - low) / (high - low) * BINS as f64;
        counts[usize::from(image.kind != GOOD)][(bin as usize).min(BINS - 1)] += 1;
    }
    let most = counts.iter().flatten().copied().max().unwrap_or(0).max(1);
    let across = round_ticks(low, high);
    // Counts are integers; below four, each one has a tick.
    let up = if most < 4 {
        (0..=most).map(|count| (count as f64 / most as f64, count.to_string())).collect()
    } else {
        round_ticks(0.0, most as f64)
    };
    let mut svg = frame("Histogram of the highest scores", ["highest score of the image", "images"], [&across, &up]);
    let width = (x(1.0) - x(0.0)) / BINS as f64;
    for (side, class) in ["good-bar", "bad-bar"].into_iter().enumerate() {
        for (bin, &count) in counts[side].iter().enumerate().filter(|(_, count)| **count > 0) {
            let left = x(0.0) + width * (bin as f64 + 0.06 + 0.45 * side as f64);
            let top = y(count as f64 / most as f64);
            let _ = write!(
                svg,
                r#"<rect class="{class}" x="{left:.1}" y="{top:.1}" width="{:.1}" height="{:.1}"><title>{count}</title></rect>"#,
                width * 0.43,
                y(0.0) - top
            );
        }
    }
    let place = fair_threshold.map(|threshold| (f64::from(threshold) - low) / (high - low));
    if let Some(place) = place.filter(|place| (0.0..=1.0).contains(place)) {
        mark(&mut svg, place, "fair threshold");
    }
    svg + "</svg>"
}

/// The curve of per-region overlap, up to the false-positive rate that counts.
pub(super) fn pro(pro: &Pro) -> String {
    let across: Vec<(f64, String)> =
        (0..=3).map(|tick| (f64::from(tick) / 3.0, format!("{:.1}", PRO_LIMIT * f64::from(tick) / 3.0))).collect();
    let up: Vec<(f64, String)> = [0.0, 0.25, 0.5, 0.75, 1.0].map(|place| (place, format!("{place}"))).into();
    let mut svg = frame("Per-region overlap", ["false-positive rate", "mean overlap of the regions"], [&across, &up]);
    let points = pro.points.iter().map(|point| (point.fpr.min(PRO_LIMIT) / PRO_LIMIT, point.overlap));
    line(&mut svg, "good-line", points);
    let (at, regions) = (y(0.06), pro.regions);
    let _ = write!(
        svg,
        r#"<text class="legend" x="{:.1}" y="{at:.1}">AUPRO {:.3} over {regions} regions</text>"#,
        x(0.4),
        pro.aupro
    );
    svg + "</svg>"
}

/// mIoU against log₁₀ε, strictest on the left (paper, Figure 7), with marks at ε and at the best ε.
pub(super) fn miou(evaluation: &Evaluation) -> String {
    let curve = &evaluation.miou_curve;
    let ends = [curve.first(), curve.last()].map(|point| point.map_or(0.0, |point| f64::from(point.log10_epsilon)));
    let place = |log10_epsilon: f64| (log10_epsilon - ends[0]) / (ends[1] - ends[0]).max(f64::MIN_POSITIVE);
    let across: Vec<(f64, String)> =
        (-3..=1).map(|tick| (place(f64::from(10 * tick)), format!("{}", 10 * tick))).collect();
    let most = curve.iter().map(|point| point.miou).fold(0.05, f64::max);
    let up = round_ticks(0.0, most);
    let mut svg = frame("mIoU against the threshold", ["log₁₀ ε", "mIoU"], [&across, &up]);
    line(&mut svg, "good-line", curve.iter().map(|point| (place(point.log10_epsilon.into()), point.miou / most)));
    let best = evaluation.oracle_log10_epsilon.map(|best| (f64::from(best), "best ε"));
    let marks = [Some((evaluation.epsilon.log10(), "ε")), best];
    for (row, (log10_epsilon, name)) in marks.into_iter().flatten().enumerate() {
        let (place, height) = (place(log10_epsilon), y(0.9 - 0.08 * row as f64));
        let at = x(place.clamp(0.0, 1.0));
        // A place beyond the axis has no line. A label that does not fit on the left is placed on the right.
        let beyond = if (0.0..=1.0).contains(&place) { "" } else { ", off the axis" };
        if beyond.is_empty() {
            let (low, high) = (y(0.0), y(1.0));
            let _ = write!(svg, r#"<line class="mark" x1="{at:.1}" y1="{low:.1}" x2="{at:.1}" y2="{high:.1}"/>"#);
        }
        let (side, anchor) = if place < 0.5 { (4.0, "start") } else { (-4.0, "end") };
        let _ = write!(
            svg,
            r#"<text class="legend" x="{:.1}" y="{height:.1}" text-anchor="{anchor}">{name} = 10^{log10_epsilon:.0}{beyond}</text>"#,
            at + side
        );
    }
    svg + "</svg>"
}

/// False alarms per good image against ε, both axes logarithmic, with the bounds of the rate.
pub(super) fn false_alarms(alarms: &[FalseAlarms]) -> String {
    const DECADES: [f64; 2] = [-6.0, 1.0];
    const RATES: [f64; 2] = [-4.0, 2.0];
    let place = |value: f64, [low, high]: [f64; 2]| ((value.log10() - low) / (high - low)).clamp(0.0, 1.0);
    let ticks = |[low, high]: [f64; 2], step: usize| -> Vec<(f64, String)> {
        let ticks = (low as i32..=high as i32).step_by(step);
        ticks.map(|decade| ((f64::from(decade) - low) / (high - low), format!("{decade}"))).collect()
    };
    let axes = ["log₁₀ ε: allowed per image", "log₁₀ of false alarms per good image"];
    let mut svg = frame("False alarms", axes, [&ticks(DECADES, 1), &ticks(RATES, 1)]);
    let promise = [1e-4, 10.0].map(|rate| (place(rate, DECADES), place(rate, RATES)));
    line(&mut svg, "chance", promise.into_iter());
    for found in alarms {
        let at = x(place(found.epsilon, DECADES));
        let [low, high] = found.rate_bounds.map(|rate| y(place(rate, RATES)));
        let title = format!(
            "ε = {}: {} regions in {} images, 95% bounds of the rate {:.4} to {:.4}",
            found.epsilon, found.regions, found.images, found.rate_bounds[0], found.rate_bounds[1]
        );
        let _ = write!(
            svg,
            r#"<path class="bad-line" d="M{at:.1} {low:.1}L{at:.1} {high:.1}"><title>{title}</title></path>"#
        );
        if found.regions > 0 {
            let rate = y(place(found.rate, RATES));
            let _ = write!(
                svg,
                r#"<rect class="bad-bar" x="{:.1}" y="{:.1}" width="7" height="7"><title>{title}</title></rect>"#,
                at - 3.5,
                rate - 3.5
            );
        }
    }
    let _ = write!(
        svg,
        r#"<text class="legend" x="{:.1}" y="{:.1}">dotted: equal to ε; bars: 95% bounds</text>"#,
        x(0.03),
        y(0.94)
    );
    svg + "</svg>"
}

/// A line through places in [0, 1]².
pub(super) fn line(svg: &mut String, class: &str, points: impl Iterator<Item = (f64, f64)>) {
    let mut path = String::new();
    for (index, (across, up)) in points.enumerate() {
        let _ = write!(path, "{}{:.1} {:.1}", if index == 0 { 'M' } else { 'L' }, x(across), y(up));
    }
    let _ = write!(svg, r#"<path class="{class}" d="{path}"/>"#);
}

/// Measured quantiles against those of white noise; on the dotted line they are equal.
pub(super) fn quantiles(quantiles: &[Quantile]) -> String {
    let values = || quantiles.iter().flat_map(|at| [at.found, at.expected]).filter(|value| *value > 0.0);
    let low = values().fold(f64::INFINITY, f64::min).min(0.9);
    let high = values().fold(0.0, f64::max).max(1.1);
    let place = |value: f64| ((value / low).ln() / (high / low).ln()).clamp(0.0, 1.0);
    let fine: &[f64] = &[0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0, 2.5];
    let coarse: &[f64] = &[0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];
    let ticks: Vec<(f64, String)> = (if high < 5.0 * low { fine } else { coarse })
        .iter()
        .filter(|value| (low..=high).contains(value))
        .map(|&value| (place(value), format!("{value}")))
        .collect();
    let mut svg = frame("Quantiles of U / C", ["of χ² / C", "of good images"], [&ticks, &ticks]);
    line(&mut svg, "chance", [(0.0, 0.0), (1.0, 1.0)].into_iter());
    line(&mut svg, "bad-line", quantiles.iter().map(|at| (place(at.expected), place(at.found))));
    svg + "</svg>"
}

/// Correlation of U with its neighbours along rows and columns.
pub(super) fn autocorrelation(neighbours: &[Neighbour]) -> String {
    let ticks: Vec<(f64, String)> = [0.0, 0.5, 1.0].map(|value| (value, format!("{value}"))).into();
    let farthest = neighbours.iter().map(|near| near.rows.max(near.columns)).max().unwrap_or(1) as f64;
    let across: Vec<(f64, String)> =
        (0..=farthest as usize).map(|shift| (shift as f64 / farthest, format!("{shift}"))).collect();
    let mut svg = frame("Autocorrelation", ["pixels apart", "correlation"], [&across, &ticks]);
    for (row, (class, name, along_rows)) in
        [("bad-line", "along columns", true), ("good-line", "along rows", false)].into_iter().enumerate()
    {
        let along = neighbours.iter().filter(|near| if along_rows { near.columns == 0 } else { near.rows == 0 });
        let points = along.map(|near| ((near.rows + near.columns) as f64 / farthest, near.energy.clamp(0.0, 1.0)));
        line(&mut svg, class, [(0.0, 1.0)].into_iter().chain(points));
        let at = y(0.92 - 0.09 * row as f64);
        let _ = write!(
            svg,
            r#"<line class="{class}" x1="{:.1}" y1="{at:.1}" x2="{:.1}" y2="{at:.1}"/><text class="legend" x="{:.1}" y="{:.1}">{name}</text>"#,
            x(0.62),
            x(0.7),
            x(0.72),
            at + 3.5
        );
    }
    svg + "</svg>"
}

/// A map: its lowest value is light, its highest dark; the legend shows both values.
pub(super) fn positions(map: &[f32], width: usize) -> String {
    let height = map.len() / width.max(1);
    let (low, high) = map.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)));
    let side = ((WIDTH - 2.0 * MARGIN) / width as f64).min((HEIGHT - BOTTOM - MARGIN) / height as f64);
    let mut svg = format!(
        r#"<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Mean of U / C by position">"#
    );
    for (index, &value) in map.iter().enumerate() {
        let (row, column) = (index / width, index % width);
        let depth = if high > low { (value - low) / (high - low) } else { 0.0 };
        let _ = write!(
            svg,
            r#"<rect class="bad-bar" opacity="{:.2}" x="{:.1}" y="{:.1}" width="{side:.2}" height="{side:.2}"><title>{value:.3}</title></rect>"#,
            0.05 + 0.95 * depth,
            MARGIN + column as f64 * side,
            MARGIN + row as f64 * side
        );
    }
    let _ = write!(
        svg,
        r#"<text class="legend" x="{MARGIN}" y="{:.1}">{low:.2} (light) to {high:.2}</text>"#,
        HEIGHT - 10.0
    );
    svg + "</svg>"
}

#[cfg(test)]
mod tests {
    use super::round_ticks;

    #[test]
    fn ticks_are_round_and_within() {
        let labels = |low, high| round_ticks(low, high).into_iter().map(|(_, label)| label).collect::<Vec<_>>();
        assert_eq!(labels(0.0, 0.388), ["0.00", "0.05", "0.10", "0.15", "0.20", "0.25", "0.30", "0.35"]);
        assert_eq!(labels(0.35, 0.85), ["0.4", "0.5", "0.6", "0.7", "0.8"]);
        assert_eq!(labels(0.0, 37.0), ["0", "5", "10", "15", "20", "25", "30", "35"]);
        assert_eq!(labels(0.0, 4.0), ["0", "1", "2", "3", "4"]);
        for (low, high) in [(0.0, 1.0), (0.1, 0.15), (3.0, 977.0)] {
            let ticks = round_ticks(low, high);
            assert!((4..=9).contains(&ticks.len()), "{low} to {high}: {ticks:?}");
            assert!(ticks.iter().all(|(place, _)| (-1e-9..=1.0 + 1e-9).contains(place)), "{ticks:?}");
        }
    }
}

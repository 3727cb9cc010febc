//! Charts of the decision: what it finds and rejects, and how far good images are from it.

use std::fmt::Write as _;

use super::{
    charts::{frame, line, mark, round_ticks, x, y},
    headline::share,
};
use crate::{
    calibrate::GoodImage,
    evaluate::{Metrics, Roc},
};

/// The largest share of good images on the axis of the recall curve: the first of these that is twice the chosen share.
const SHARES: [f64; 4] = [0.1, 0.2, 0.5, 1.0];

/// Recall against the share of good images rejected, over all thresholds of the image score, with a point at the package's own decision,
/// and a ring at its recall that counts only images where a region touches the defect.
pub(super) fn recall(roc: &Roc, metrics: &Metrics) -> String {
    let at = &metrics.at_epsilon;
    let chosen = at.good_flagged.zip(at.image_recall);
    let rejected = chosen.map_or(0.0, |(rejected, _)| rejected);
    let limit = SHARES.into_iter().find(|limit| 2.0 * rejected <= *limit).unwrap_or(1.0);
    let across: Vec<(f64, String)> =
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0].map(|place| (place, format!("{:.0}%", 100.0 * limit * place))).into();
    let up: Vec<(f64, String)> =
        [0.0, 0.25, 0.5, 0.75, 1.0].map(|place| (place, format!("{:.0}%", 100.0 * place))).into();
    let axes = ["good images rejected", "defective images rejected"];
    let mut svg = frame("Recall against rejected good images", axes, [&across, &up]);
    line(&mut svg, "good-line", within(roc, limit).into_iter().map(|(across, up)| (across / limit, up)));
    let Some((rejected, found)) = chosen else { return svg + "</svg>" };
    let place = x(rejected / limit);
    let touching = metrics.recall_touching.filter(|touching| *touching != found);
    let mut legend = vec![("point", format!("this package: {} found, {} rejected", share(found), share(rejected)))];
    if let Some(touching) = touching {
        let _ = write!(svg, r#"<circle class="ring" cx="{place:.1}" cy="{:.1}" r="4"/>"#, y(touching));
        legend.push(("ring", format!("{} with a region on the defect", share(touching))));
    }
    let _ = write!(svg, r#"<circle class="point" cx="{place:.1}" cy="{:.1}" r="5"/>"#, y(found));
    for (row, (class, text)) in legend.into_iter().rev().enumerate() {
        let (at, text) = (y(0.06 + 0.09 * row as f64), text.replace('<', "&lt;").replace('>', "&gt;"));
        let _ = write!(
            svg,
            r#"<circle class="{class}" cx="{:.1}" cy="{at:.1}" r="4"/><text class="legend" x="{:.1}" y="{:.1}">{text}</text>"#,
            x(0.27),
            x(0.3),
            at + 3.5
        );
    }
    svg + "</svg>"
}

/// The curve up to a share of good images; its last point lies on the limit.
fn within(roc: &Roc, limit: f64) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for point in &roc.points {
        if point.fpr <= limit {
            points.push((point.fpr, point.tpr));
            continue;
        }
        if let Some(&(fpr, tpr)) = points.last() {
            points.push((limit, tpr + (point.tpr - tpr) * (limit - fpr) / (point.fpr - fpr)));
        }
        break;
    }
    points
}

/// Good images by the number that decides about them, with its threshold. Rejected images have the other colour.
pub(super) fn good_images(images: &[GoodImage], threshold: Option<f32>, axis: &str) -> String {
    const BINS: usize = 32;
    let all = || {
        images.iter().map(|image| image.value).chain(threshold.filter(|threshold| threshold.is_finite())).map(f64::from)
    };
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    let margin = ((high - low) * 0.05).max(1e-6);
    let (low, high) = if low <= high { (low - margin, high + margin) } else { (0.0, 1.0) };
    let place = |value: f64| (value - low) / (high - low);
    let mut counts = [[0_usize; 2]; BINS];
    for image in images {
        let bin = ((place(image.value.into()) * BINS as f64) as usize).min(BINS - 1);
        counts[bin][usize::from(image.rejected)] += 1;
    }
    let most = counts.iter().map(|sides| sides[0] + sides[1]).max().unwrap_or(0).max(1);
    let up: Vec<(f64, String)> =
        round_ticks(0.0, most as f64).into_iter().filter(|(_, text)| !text.contains('.')).collect();
    let mut svg = frame("Good images and the threshold", [axis, "good images"], [&round_ticks(low, high), &up]);
    let width = (x(1.0) - x(0.0)) / BINS as f64;
    for (bin, sides) in counts.iter().enumerate() {
        let mut below = 0;
        for (class, &count) in ["good-bar", "bad-bar"].into_iter().zip(sides).filter(|(_, count)| **count > 0) {
            let [bottom, top] = [below, below + count].map(|count| y(count as f64 / most as f64));
            let _ = write!(
                svg,
                r#"<rect class="{class}" x="{:.1}" y="{top:.1}" width="{:.1}" height="{:.1}"><title>{count}</title></rect>"#,
                x(0.0) + width * (bin as f64 + 0.08),
                width * 0.84,
                bottom - top
            );
            below += count;
        }
    }
    if let Some(threshold) = threshold.filter(|threshold| threshold.is_finite()) {
        mark(&mut svg, place(threshold.into()), &format!("rejected above {threshold:.2}"));
    }
    svg + "</svg>"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::{Operating, roc};

    fn metrics(flagged: f64, recall: f64, touching: f64) -> Metrics {
        let at_epsilon = Operating { image_recall: Some(recall), good_flagged: Some(flagged), ..Operating::default() };
        Metrics { at_epsilon, recall_touching: Some(touching), ..Metrics::default() }
    }

    /// Centres of the circles of a class, as (share of good images, recall); the legend's come last.
    fn circles(svg: &str, class: &str, limit: f64) -> Vec<(f64, f64)> {
        let number = |part: &str, name: &str| -> f64 {
            part.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
        };
        svg.split(&format!("<circle class=\"{class}\""))
            .skip(1)
            .map(|part| {
                let [left, right, bottom, top] = [x(0.0), x(1.0), y(0.0), y(1.0)];
                ((number(part, "cx") - left) / (right - left) * limit, (number(part, "cy") - bottom) / (top - bottom))
            })
            .collect()
    }

    #[test]
    fn the_chosen_point_lies_where_the_package_decides() {
        let good: Vec<f32> = (0..100).map(|index| index as f32 / 100.0).collect();
        let bad: Vec<f32> = (0..100).map(|index| 0.5 + index as f32 / 100.0).collect();
        let curve = roc(&good, &bad).unwrap();
        for (flagged, limit) in [(0.0, 0.1), (0.05, 0.1), (0.06, 0.2), (0.3, 1.0), (0.9, 1.0)] {
            let svg = recall(&curve, &metrics(flagged, 0.75, 0.5));
            let near = |found: (f64, f64), up: f64| (found.0 - flagged).abs() < 0.002 && (found.1 - up).abs() < 0.002;
            assert!(near(circles(&svg, "point", limit)[0], 0.75), "{flagged}: {svg}");
            assert!(near(circles(&svg, "ring", limit)[0], 0.5), "{flagged}: {svg}");
            assert!(svg.contains(&format!(">{:.0}%</text>", 100.0 * limit)), "{svg}");
        }
        let same = recall(&curve, &metrics(0.05, 0.75, 0.75));
        assert!(
            circles(&same, "ring", 0.1).is_empty() && same.contains("this package: 75% found, 5% rejected"),
            "{same}"
        );
    }

    #[test]
    fn the_curve_ends_at_the_limit() {
        let curve = roc(&[0.1, 0.2, 0.3, 0.9], &[0.15, 0.5, 0.6, 0.95]).unwrap();
        let points = within(&curve, 0.1);
        let last = points.last().unwrap();
        assert!((last.0 - 0.1).abs() < 1e-12 && (0.25..=0.75).contains(&last.1), "{points:?}");
        assert_eq!(within(&curve, 1.0).last(), Some(&(1.0, 1.0)));
    }

    #[test]
    fn rejected_images_have_bars_of_their_own() {
        let bars = |svg: &str, class: &str| -> usize {
            let start = format!("<rect class=\"{class}\"");
            let counts = svg.split(&start).skip(1).map(|part| part.split(['>', '<']).nth(3).unwrap());
            counts.map(|count| count.parse::<usize>().unwrap()).sum()
        };
        let image = |index: usize| GoodImage { value: index as f32, rejected: index > 46 };
        let images: Vec<GoodImage> = (0..50).map(image).collect();
        let svg = good_images(&images, Some(46.5), "score");
        assert_eq!((bars(&svg, "good-bar"), bars(&svg, "bad-bar")), (47, 3));
        assert!(svg.contains("rejected above 46.50"));
        let svg = good_images(&images[..40], None, "score");
        assert_eq!((bars(&svg, "good-bar"), bars(&svg, "bad-bar")), (40, 0));
        assert!(!svg.contains("rejected above"));
        let equal = good_images(&images[..1].repeat(3), Some(f32::INFINITY), "score");
        assert_eq!(bars(&equal, "good-bar"), 3);
    }
}

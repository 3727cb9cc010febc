//! The result of `uflow limits` as a page: what is found from which size on, and where on the part it is harder.

use std::{fmt::Write as _, path::Path};

use super::{
    charts::{frame, line, x, y},
    section::{facts, figure},
    text::{capital, escape},
};
use crate::{
    Result,
    limits::{DefectKind, Example, KindReport, LimitsReport, PlaceMap},
};

/// Classes of the lines of a chart, for up to four contrasts from the faintest on; more repeat the last.
const LINES: [&str; 4] = ["soft-line", "good-line", "bad-line", "text-line"];

/// The page of a study.
fn html(report: &LimitsReport) -> Result<String> {
    let mut content = format!(
        "<main>\n<h1>{}: the smallest defects that are found</h1>\n<p class=\"lead\">{}</p>\n",
        escape(&report.name),
        escape(&report.sentence())
    );
    table(&mut content, report);
    curves(&mut content, report);
    examples(&mut content, report)?;
    places(&mut content, report);
    content += "<section><h2>How this was measured</h2>";
    measured(&mut content, report);
    content += "</section>\n</main>";
    let page = include_str!("page.html").replace("{{style}}", include_str!("report.css"));
    Ok(page.replace("{{title}}", &escape(&report.name)).replace("{{content}}", &content))
}

fn table(out: &mut String, report: &LimitsReport) {
    *out += "<section><h2>Detectable sizes</h2><p>a90/95 is the size from which on at least 90% of the defects are found, with 95% confidence. \
             Sizes are in pixels of the source image. Contrast 1 is the difference between the part's own light and dark places.</p>\
             <div class=\"scroll\"><table><thead><tr><th>defect</th><th>contrast</th><th>gray levels</th><th>found</th><th>a50</th><th>a90</th>\
             <th>a90/95</th><th>found from a90/95 on</th></tr></thead><tbody>";
    let size = |size: Option<f64>| size.map_or("–".to_owned(), |px| report.size(px));
    for kind in &report.kinds {
        let [all, found] = kind.at_least_a90_95;
        let above = if all == 0 { "–".to_owned() } else { format!("{found} of {all}") };
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{:.0}</td><td>{} of {}</td><td>{}</td><td>{}</td><td><b>{}</b></td><td>{above}</td></tr>",
            capital(&kind.kind.words()),
            kind.contrast,
            kind.change_levels,
            kind.found,
            kind.defects,
            escape(&size(kind.a50_px)),
            escape(&size(kind.a90_px)),
            escape(&report.limit(kind)),
        );
    }
    let [empty, seams] = report.control_words();
    let _ = writeln!(
        out,
        "</tbody></table></div><p class=\"key\">Not reached: no size up to {} is found so surely. Gray levels: what the defects change, of 255.</p>\
         <p class=\"key\">Two controls, which must not be found. The first: {}.<br>The second: {}.</p></section>",
        escape(&report.size(report.tried_px[1])),
        escape(&empty),
        escape(&seams)
    );
}

fn curves(out: &mut String, report: &LimitsReport) {
    *out += "<section><h2>Probability of detection</h2><div class=\"charts\">";
    for &kind in DefectKind::ALL {
        let of_kind: Vec<&KindReport> = report.kinds.iter().filter(|report| report.kind == kind).collect();
        if !of_kind.is_empty() {
            let _ = write!(out, "<div><h3>{}</h3>{}</div>", capital(&kind.words()), curve(&of_kind, report.tried_px));
        }
    }
    *out += "</div><p class=\"key\">Lines: the fitted curve. Thin lines: its bounds at 95%. Points: counts by size.</p></section>\n";
}

/// The curves of one kind at all contrasts, by size on a logarithmic axis.
fn curve(kinds: &[&KindReport], [low, high]: [f64; 2]) -> String {
    let place = |size: f64| ((size / low).ln() / (high / low).ln()).clamp(0.0, 1.0);
    let sizes = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0];
    let across: Vec<(f64, String)> = (sizes.into_iter().filter(|size| (low..=high).contains(size)))
        .map(|size| (place(size), format!("{size}")))
        .collect();
    let up: Vec<(f64, String)> =
        [0.0, 0.25, 0.5, 0.75, 0.9, 1.0].map(|pod: f64| (pod, format!("{:.0}%", 100.0 * pod))).into();
    let mut svg = frame("Probability of detection by size", ["size in pixels", "found"], [&across, &up]);
    for (index, kind) in kinds.iter().enumerate() {
        let class = LINES[index.min(LINES.len() - 1)];
        line(&mut svg, class, kind.curve.iter().map(|point| (place(point.size), point.pod)));
        for bound in [|point: &crate::limits::PodPoint| point.low, |point: &crate::limits::PodPoint| point.high] {
            line(&mut svg, &format!("{class} thin"), kind.curve.iter().map(|point| (place(point.size), bound(point))));
        }
        for bin in kind.bins.iter().filter(|bin| bin.defects > 0) {
            let share = bin.found as f64 / bin.defects as f64;
            let middle = (bin.from_px * bin.to_px).sqrt();
            let _ = write!(
                svg,
                r#"<circle class="{class}" cx="{:.1}" cy="{:.1}" r="3"><title>contrast {}: {} of {} of {:.1} to {:.1} px found, 95% bounds {:.2} to {:.2}</title></circle>"#,
                x(place(middle)),
                y(share),
                kind.contrast,
                bin.found,
                bin.defects,
                bin.from_px,
                bin.to_px,
                bin.bounds[0],
                bin.bounds[1]
            );
        }
        let at = y(0.94 - 0.09 * index as f64);
        let _ = write!(
            svg,
            r#"<line class="{class}" x1="{:.1}" y1="{at:.1}" x2="{:.1}" y2="{at:.1}"/><text class="legend" x="{:.1}" y="{:.1}">contrast {}</text>"#,
            x(0.02),
            x(0.08),
            x(0.1),
            at + 3.5,
            kind.contrast
        );
    }
    svg + "</svg>"
}

fn examples(out: &mut String, report: &LimitsReport) -> Result<()> {
    if report.examples.is_empty() {
        return Ok(());
    }
    *out += "<section><h2>What the defects look like</h2><p class=\"key\">Of each kind and contrast, one near a90, or of the largest size \
             where that is not reached.</p><div class=\"examples\">";
    for Example { defect, found, picture } in &report.examples {
        let words = format!("{}, contrast {}, {:.1} px", defect.kind.words(), defect.contrast, defect.size);
        let (class, verdict) = if *found { ("right", "found") } else { ("wrong", "missed") };
        figure(out, picture, &words, &format!("{words} <b class=\"badge {class}\">{verdict}</b>"))?;
    }
    *out += "</div></section>\n";
    Ok(())
}

fn places(out: &mut String, report: &LimitsReport) {
    let _ = write!(
        out,
        "<section><h2>Where on the part is it harder?</h2><div class=\"charts\"><div>{}<p class=\"key\">The mean of all images. The number \
         in a place says how large a defect must be there, as a multiple of the average; orange places need larger defects. Places \
         with fewer than ten defects have no number.</p></div></div><ul>",
        map(report)
    );
    report.place_words().iter().for_each(|words| *out += &format!("<li>{}</li>", escape(&capital(words))));
    *out += "</ul></section>\n";
}

/// The picture of the part with the factor of each place on it.
fn map(report: &LimitsReport) -> String {
    const WIDTH: f64 = 360.0;
    let PlaceMap { columns, rows, cells } = &report.places;
    let [frame_width, frame_height] = report.frame_px.map(|side| side.max(1) as f64);
    let height = WIDTH * (frame_height / frame_width).clamp(0.2, 3.0);
    let mut svg = format!(
        r#"<svg class="chart" viewBox="0 0 {WIDTH} {height:.0}" role="img" aria-label="Size that a defect needs, by place">"#
    );
    let picture = &report.picture;
    let side = picture.width.max(1);
    let (across, down) = (WIDTH / side as f64, height / side as f64);
    for (index, value) in picture.values.iter().enumerate() {
        let level = (value * 255.0).round().clamp(0.0, 255.0) as u8;
        let (left, top) = ((index % side) as f64 * across, (index / side) as f64 * down);
        let _ = write!(
            svg,
            r#"<rect x="{left:.1}" y="{top:.1}" width="{:.1}" height="{:.1}" fill="rgb({level},{level},{level})"/>"#,
            across + 0.3,
            down + 0.3
        );
    }
    let (width, tall) = (WIDTH / *columns as f64, height / *rows as f64);
    for (index, cell) in cells.iter().enumerate() {
        let (left, top) = ((index % columns) as f64 * width, (index / columns) as f64 * tall);
        let Some(factor) = cell.factor else { continue };
        // A factor of 2, or of a half, has the full colour.
        let (class, opacity) =
            (if factor > 1.0 { "bad-bar" } else { "good-bar" }, (factor.log2().abs() * 0.6).min(0.6));
        let bounds = cell.bounds.map_or_else(String::new, |[low, high]| format!(", 95% bounds {low:.2} to {high:.2}"));
        let smallest = cell.smallest_found_px.map_or_else(String::new, |px| format!(", the smallest {px:.1} px"));
        let _ = write!(
            svg,
            r#"<rect class="{class}" opacity="{opacity:.2}" x="{left:.1}" y="{top:.1}" width="{width:.1}" height="{tall:.1}"><title>{} of {} defects found{smallest}{bounds}</title></rect><text class="on-picture" x="{:.1}" y="{:.1}" text-anchor="middle">{factor:.1}</text>"#,
            cell.found,
            cell.defects,
            left + 0.5 * width,
            top + 0.5 * tall + 4.0
        );
    }
    svg + "</svg>"
}

fn measured(out: &mut String, report: &LimitsReport) {
    let [width, height] = report.frame_px;
    let images = &report.images;
    let left_out = match (images.known, images.trained_on) {
        (false, _) => "the package does not say which images it was trained on".to_owned(),
        (true, 0) => "none of the given images was trained on".to_owned(),
        (true, count) => format!("{count} images that the model was trained on were left out"),
    };
    let own = [
        ("good images", format!("{} of {width}×{height} pixels; {left_out}", images.used)),
        ("held out by the fit", images.held_out.to_string()),
        ("flagged as they are", format!("{} of {}", report.good_flagged, images.used)),
        ("defects", format!("{}, one on an image", report.kinds.iter().map(|kind| kind.defects).sum::<usize>())),
        ("sizes", format!("{} to {}", report.size(report.tried_px[0]), report.size(report.tried_px[1]))),
        ("contrast 1", format!("{:.0} gray levels of 255", report.contrast_levels)),
        ("found", "the image is anomalous, and a region touches the defect".to_owned()),
        (
            "curve",
            "logistic in the logarithm of the size (MIL-HDBK-1823A), bounds by likelihood ratio, widened by 1 + 50/n"
                .to_owned(),
        ),
        ("decision", report.decision.join("\n")),
        ("seed", report.seed.to_string()),
    ];
    facts(out, own.into_iter().map(|(name, value)| (name.to_owned(), value)));
}

impl LimitsReport {
    /// Writes the result as one self-contained HTML page.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn write_html(&self, path: &Path) -> Result<()> {
        crate::files::write_whole(path, html(self)?.as_bytes())
    }
}

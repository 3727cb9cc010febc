//! What a study found: for people, as JSON, and for the package.

use std::fmt;

use image::RgbImage;
use rayon::prelude::*;
use serde::Serialize;

use super::{
    kind::{Defect, DefectKind},
    places::{PlaceMap, Surroundings, places},
    pod::{Outcome, Pod, PodPoint},
    scene::{Picture, Scene},
    study::{Cell, Study, StudyOptions, Trial},
};
use crate::{
    columns::{Column, Table},
    evaluate::binomial_bounds,
    package::{DetectionLimits, KindLimit},
    quantile::quantile,
};

/// Points of a curve.
const POINTS: usize = 25;
/// Classes of size of a table.
const BINS: usize = 6;

/// Good images of a study.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StudiedImages {
    /// Images that carried defects.
    pub used: usize,
    /// Images that were left out because the model was trained on them.
    pub trained_on: usize,
    /// Used images that the fit held out: they chose its epoch, and the threshold may stand on them.
    pub held_out: usize,
    /// Whether the package says which images it was trained on.
    pub known: bool,
}

/// What must not be found, on good images, beside the same images as they are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ControlReport {
    /// Images.
    pub images: usize,
    /// Images that are flagged with it.
    pub flagged: usize,
    /// The same images, flagged as they are.
    pub flagged_without: usize,
    /// How often a region of a flagged image touches it.
    pub found: usize,
}

/// Defects of a class of size.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SizeBin {
    /// From this size on, in pixels of the source frame.
    pub from_px: f64,
    /// Up to this size.
    pub to_px: f64,
    /// Defects.
    pub defects: usize,
    /// Those of them that were found.
    pub found: usize,
    /// Bounds of the probability of detection at 95% (Clopper and Pearson).
    pub bounds: [f64; 2],
}

/// Defects of one kind and contrast.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KindReport {
    /// The kind.
    pub kind: DefectKind,
    /// The contrast as a part of the part's own.
    pub contrast: f64,
    /// Root mean square of what the defects change, in gray levels of 255: the median.
    pub change_levels: f64,
    /// Defects.
    pub defects: usize,
    /// Those of them that were found.
    pub found: usize,
    /// Whether a90/95 could be measured.
    pub outcome: Outcome,
    /// Size that is found with a probability of 50%; none outside the sizes tried.
    pub a50_px: Option<f64>,
    /// Size that is found with a probability of 90%; none outside the sizes tried.
    pub a90_px: Option<f64>,
    /// Size that is found with a probability of at least 90%, with 95% confidence; none if no size that was tried is found so surely.
    pub a90_95_px: Option<f64>,
    /// a90/95 in millimetres, where the size of a pixel is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub a90_95_mm: Option<f64>,
    /// Defects of at least a90/95, and those of them that were found.
    pub at_least_a90_95: [usize; 2],
    /// Probability of detection by size.
    pub curve: Vec<PodPoint>,
    /// Counts by size.
    pub bins: Vec<SizeBin>,
}

/// A picture of a defect.
#[derive(Clone, Debug)]
pub struct Example {
    /// The defect.
    pub defect: Defect,
    /// Whether it was found.
    pub found: bool,
    /// The defect and its surroundings.
    pub picture: RgbImage,
}

/// What a study found.
#[derive(Clone, Debug, Serialize)]
pub struct LimitsReport {
    /// The package's name.
    pub name: String,
    /// How the package decides, in words.
    pub decision: Vec<String>,
    /// Seed of all random choices.
    pub seed: u64,
    /// The good images.
    pub images: StudiedImages,
    /// The images' (width, height): medians.
    pub frame_px: [usize; 2],
    /// The smallest and the largest size that was tried.
    pub tried_px: [f64; 2],
    /// Millimetres of a pixel, where they were given.
    pub pixel_size_mm: Option<f64>,
    /// The part's own contrast, in gray levels of 255.
    pub contrast_levels: f64,
    /// Good images that are flagged as they are.
    pub good_flagged: usize,
    /// Defects of zero contrast.
    pub control: ControlReport,
    /// Pieces of other good images at their own place ([`Defect::in_place`]).
    pub seams: ControlReport,
    /// Each kind at each contrast.
    pub kinds: Vec<KindReport>,
    /// Where on the part defects must be larger.
    pub places: PlaceMap,
    /// In which surroundings defects must be larger.
    pub surroundings: Vec<Surroundings>,
    /// The part, for the map.
    #[serde(skip)]
    pub picture: Picture,
    /// Pictures of defects.
    #[serde(skip)]
    pub examples: Vec<Example>,
}

impl LimitsReport {
    /// From what a study saw.
    pub fn new(
        (name, decision): (&str, Vec<String>),
        options: &StudyOptions,
        study: &Study,
        scene: &Scene,
        images: StudiedImages,
        pixel_size_mm: Option<f64>,
    ) -> Self {
        let fit = |cell: &Cell| Pod::fit(&cell.trials.iter().map(Trial::hit).collect::<Vec<_>>());
        let pods: Vec<Option<Pod>> = study.cells.par_iter().map(fit).collect();
        let kinds = study
            .cells
            .par_iter()
            .zip(&pods)
            .filter_map(|(cell, pod)| Some(KindReport::new(cell, pod.as_ref()?, study.range, pixel_size_mm)));
        let kinds = kinds.collect();
        let frame_px = scene.median_size();
        let (places, surroundings) = places(&study.cells, &pods, frame_px);
        Self {
            name: name.to_owned(),
            decision,
            seed: options.seed,
            images,
            frame_px,
            tried_px: study.range,
            pixel_size_mm,
            contrast_levels: 255.0 * scene.contrast,
            good_flagged: study.good.iter().filter(|flagged| **flagged).count(),
            control: ControlReport::new(&study.control, &study.good),
            seams: ControlReport::new(&study.seams, &study.good),
            kinds,
            places,
            surroundings,
            picture: scene.picture.clone(),
            examples: Vec::new(),
        }
    }

    /// What the package keeps of it.
    pub fn record(&self) -> DetectionLimits {
        let kind = |kind: &KindReport| KindLimit {
            kind: kind.kind.name().to_owned(),
            contrast: kind.contrast,
            defects: kind.defects,
            found: kind.found,
            a90_px: kind.a90_px,
            a90_95_px: kind.a90_95_px,
        };
        DetectionLimits {
            images: self.images.used,
            good_flagged: self.good_flagged,
            control_images: self.control.images,
            control_flagged: self.control.flagged,
            defects: self.kinds.iter().map(|kind| kind.defects).sum(),
            tried_px: self.tried_px,
            contrast_levels: self.contrast_levels,
            pixel_size_mm: self.pixel_size_mm,
            kinds: self.kinds.iter().map(kind).collect(),
        }
    }

    /// A defect of each kind and contrast that is worth a picture: the one nearest to the size that is found with a probability of 90%, or
    /// the largest.
    pub fn choose_examples(&self, study: &Study) -> Vec<Trial> {
        let choose = |(cell, kind): (&Cell, &KindReport)| {
            let wanted = kind.a90_px.unwrap_or(self.tried_px[1]).ln();
            let distance = |trial: &&Trial| (trial.defect.size.ln() - wanted).abs();
            cell.trials.iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).copied()
        };
        study.cells.iter().zip(&self.kinds).filter_map(choose).collect()
    }

    /// The result in one sentence.
    pub fn sentence(&self) -> String {
        let measured = self.kinds.iter().filter(|kind| kind.outcome != Outcome::NotReached).count();
        let smallest = self.kinds.iter().filter_map(|kind| Some((kind.a90_95_px?, kind)));
        let smallest = smallest.min_by(|a, b| a.0.total_cmp(&b.0));
        let easiest = smallest.map_or_else(String::new, |(size, kind)| {
            let words = format!("{} of contrast {}", kind.kind.words(), kind.contrast);
            format!("; the smallest: {words} from {} on", self.size(size))
        });
        format!(
            "{measured} of {} kinds and contrasts of defects are found with a probability of 90% (95% confidence) at some size up to {}{easiest}.",
            self.kinds.len(),
            self.size(self.tried_px[1])
        )
    }

    /// A size in pixels, and in millimetres where these are known.
    pub fn size(&self, px: f64) -> String {
        match self.pixel_size_mm {
            Some(mm) => format!("{px:.1} px ({} mm)", digits(px * mm)),
            None => format!("{px:.1} px"),
        }
    }

    /// a90/95 of a kind, in words.
    pub fn limit(&self, kind: &KindReport) -> String {
        match (kind.outcome, kind.a90_95_px) {
            (Outcome::Measured, Some(size)) => self.size(size),
            (Outcome::BelowSmallest, Some(size)) => format!("≤ {}", self.size(size)),
            _ => "not reached".to_owned(),
        }
    }

    /// What the controls say, a sentence each.
    pub fn control_words(&self) -> [String; 2] {
        let words = |control: &ControlReport, what: &str, found: &str| {
            let ControlReport { images, flagged, flagged_without, found: count } = control;
            format!(
                "{flagged} of {images} images with {what} are flagged, {flagged_without} of the same images without it; {count} of these {found}"
            )
        };
        [
            words(&self.control, "a defect of zero contrast", "defects count as found by chance"),
            words(
                &self.seams,
                "a piece of another good image at the same place",
                "pieces are found: by their seams, or because the parts do not lie alike",
            ),
        ]
    }
}

impl ControlReport {
    fn new(trials: &[Trial], good: &[bool]) -> Self {
        let count = |of: &dyn Fn(&Trial) -> bool| trials.iter().filter(|trial| of(trial)).count();
        Self {
            images: trials.len(),
            flagged: count(&|trial| trial.observed.flagged),
            flagged_without: count(&|trial| good[trial.defect.image]),
            found: count(&|trial| trial.observed.found),
        }
    }
}

impl KindReport {
    fn new(cell: &Cell, pod: &Pod, [low, high]: [f64; 2], pixel_size_mm: Option<f64>) -> Self {
        let mut changes: Vec<f64> = cell.trials.iter().map(|trial| trial.observed.change).collect();
        changes.sort_unstable_by(f64::total_cmp);
        let (mut outcome, mut a90_95_px) = pod.a90_95();
        let from = |size: f64| {
            let large = cell.trials.iter().filter(|trial| trial.defect.size >= size);
            [large.clone().count(), large.filter(|trial| trial.observed.found).count()]
        };
        let (a50_px, mut a90_px) = (pod.size_at(0.5), pod.size_at(0.9));
        let mut at_least_a90_95 = a90_95_px.map_or([0, 0], from);
        // A curve that levels off below 90% bends to fit: then the defects themselves contradict the sizes that the curve gives.
        let [defects, found] = at_least_a90_95;
        if defects > 0 && binomial_bounds(found as u64, defects as u64)[1] < 0.9 {
            (outcome, a90_px, a90_95_px, at_least_a90_95) = (Outcome::NotReached, None, None, [0, 0]);
        }
        let step = (high / low).ln();
        let at = |part: f64| low * (step * part).exp();
        Self {
            kind: cell.kind,
            contrast: cell.contrast,
            change_levels: quantile(&changes, 0.5).unwrap_or(0.0),
            defects: pod.defects(),
            found: pod.found(),
            outcome,
            a50_px,
            a90_px,
            a90_95_px,
            a90_95_mm: a90_95_px.zip(pixel_size_mm).map(|(size, mm)| size * mm),
            at_least_a90_95,
            curve: (0..POINTS).map(|point| pod.at(at(point as f64 / (POINTS - 1) as f64))).collect(),
            bins: (0..BINS)
                .map(|bin| SizeBin::new(cell, [bin, bin + 1].map(|end| at(end as f64 / BINS as f64))))
                .collect(),
        }
    }
}

impl SizeBin {
    fn new(cell: &Cell, [from_px, to_px]: [f64; 2]) -> Self {
        let inside = cell.trials.iter().filter(|trial| (from_px..to_px).contains(&trial.defect.size));
        let defects = inside.clone().count();
        let found = inside.filter(|trial| trial.observed.found).count();
        let bounds = if defects == 0 { [0.0, 1.0] } else { binomial_bounds(found as u64, defects as u64) };
        Self { from_px, to_px, defects, found, bounds }
    }
}

/// A size with two or three digits that count.
fn digits(value: f64) -> String {
    let decimals = (1.0 - value.max(1e-6).log10().floor()).max(0.0) as usize;
    format!("{value:.decimals$}")
}

impl fmt::Display for LimitsReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}: {}\n", self.name, self.sentence())?;
        let ([width, height], [empty, seams]) = (self.frame_px, self.control_words());
        writeln!(
            out,
            "{} good images of {width}×{height} pixels, {} of them flagged as they are\nthe first control: {empty}\nthe second control: {seams}\ncontrast 1 is the part's own: {:.0} gray levels of 255\n",
            self.images.used, self.good_flagged, self.contrast_levels
        )?;
        let columns = [
            Column::words("defect"),
            Column::number("contrast"),
            Column::number("gray levels"),
            Column::number("found"),
            Column::number("a50 (px)"),
            Column::number("a90 (px)"),
            Column::words("a90/95"),
        ];
        let mut table = Table::new(columns);
        let size = |size: Option<f64>| size.map_or("–".to_owned(), |size| format!("{size:.1}"));
        for kind in &self.kinds {
            table.push([
                kind.kind.words(),
                kind.contrast.to_string(),
                format!("{:.0}", kind.change_levels),
                format!("{} of {}", kind.found, kind.defects),
                size(kind.a50_px),
                size(kind.a90_px),
                self.limit(kind),
            ]);
        }
        writeln!(out, "{table}")?;
        for line in self.place_words() {
            writeln!(out, "{line}")?;
        }
        Ok(())
    }
}

impl LimitsReport {
    /// Where defects must be larger, one sentence a line.
    pub fn place_words(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let known = self.places.cells.iter().enumerate().filter_map(|(index, cell)| Some((index, cell.factor?)));
        if let Some((index, factor)) = known.max_by(|a, b| a.1.total_cmp(&b.1)) {
            let (row, column) = (index / self.places.columns + 1, index % self.places.columns + 1);
            lines.push(format!(
                "hardest place: row {row} of {}, column {column} of {} of the map; defects must be {factor:.2} times as large as on average",
                self.places.rows, self.places.columns
            ));
        }
        for there in &self.surroundings {
            let (Some(factor), Some([low, high])) = (there.factor.factor, there.factor.bounds) else { continue };
            let name = surroundings_in_words(there.name);
            lines.push(format!("{name}: {factor:.2} times as large (95% bounds {low:.2} to {high:.2})"));
        }
        lines
    }
}

/// What a name of [`Surroundings`] means.
fn surroundings_in_words(name: &str) -> &'static str {
    match name {
        "edges" => "at edges (strongest fifth)",
        "flat" => "on flat surface (weakest fifth of edges)",
        "shadows" => "in shadows (darkest fifth)",
        _ => "in bright places (brightest fifth)",
    }
}

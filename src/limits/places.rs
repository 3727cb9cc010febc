//! Where on the part defects must be larger to be found.
//!
//! Every defect of the study has odds η of being found, from the curve of its kind and contrast at its size, and a slope b: how fast they grow
//! with ln size. At a place where defects must be e^d times as large, the odds are η − b·d. A place's d is its most likely value given the
//! defects that lie there, with a prior that keeps places of few defects near 0 (normal, deviation [`PRIOR`]).

use serde::Serialize;

use super::{
    pod::{Pod, sigmoid},
    study::{Cell, Trial},
};
use crate::quantile::quantile;

/// Cells along the longer side of the map.
const LONG: usize = 8;
/// Fewest cells along the shorter side.
const SHORT: usize = 2;
/// Deviation of ln of the factors between places.
const PRIOR: f64 = 0.5;
/// Fewest defects that say something about a place.
const FEWEST: usize = 10;
/// Part of the defects that lie on the strongest edges, in the darkest and in the brightest places.
const EXTREME: f64 = 0.2;
/// Quantile of the normal distribution for bounds of 95%.
const NORMAL_95: f64 = 1.959_963_985;

/// How much larger defects must be at a place than on average.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Factor {
    /// Defects that lie there.
    pub defects: usize,
    /// Those of them that were found.
    pub found: usize,
    /// Size that is needed there as a multiple of the part's average; none with fewer than ten defects.
    pub factor: Option<f64>,
    /// Bounds of the factor at 95%.
    pub bounds: Option<[f64; 2]>,
    /// Smallest defect that was found there, in pixels of the source frame.
    pub smallest_found_px: Option<f64>,
}

/// A map of the part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlaceMap {
    /// Cells in a row.
    pub columns: usize,
    /// Rows.
    pub rows: usize,
    /// The cells, row by row from the top left.
    pub cells: Vec<Factor>,
}

/// A kind of surroundings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Surroundings {
    /// What they are: `edges`, `flat`, `shadows` or `bright`.
    pub name: &'static str,
    /// What is there.
    #[serde(flatten)]
    pub factor: Factor,
}

/// A defect with its odds and their slope.
struct Weighed<'a> {
    trial: &'a Trial,
    odds: f64,
    slope: f64,
}

/// Map and surroundings of the defects of a study; `frame` is the images' (width, height).
pub(super) fn places(cells: &[Cell], pods: &[Option<Pod>], frame: [usize; 2]) -> (PlaceMap, Vec<Surroundings>) {
    let mut defects = Vec::new();
    for (cell, pod) in cells.iter().zip(pods) {
        // A curve that does not grow tells nothing about places.
        let Some(pod) = pod.as_ref().filter(|pod| pod.odds(0.0).1 > 0.0 && (1..pod.defects()).contains(&pod.found()))
        else {
            continue;
        };
        defects.extend(cell.trials.iter().map(|trial| {
            let (odds, slope) = pod.odds(trial.defect.size.ln());
            Weighed { trial, odds, slope }
        }));
    }
    (map(&defects, frame), surroundings(&defects))
}

fn map(defects: &[Weighed<'_>], [width, height]: [usize; 2]) -> PlaceMap {
    let longer = width.max(height).max(1) as f64;
    let cells = |side: usize| ((LONG * side) as f64 / longer).round().max(SHORT as f64) as usize;
    let (columns, rows) = (cells(width), cells(height));
    let mut at: Vec<Vec<&Weighed<'_>>> = (0..columns * rows).map(|_| Vec::new()).collect();
    for defect in defects {
        let cell = |place: f64, count: usize| ((place * count as f64) as usize).min(count - 1);
        let [x, y] = defect.trial.observed.centre;
        at[cell(y, rows) * columns + cell(x, columns)].push(defect);
    }
    PlaceMap { columns, rows, cells: at.iter().map(|there| factor(there)).collect() }
}

fn surroundings(defects: &[Weighed<'_>]) -> Vec<Surroundings> {
    let part = |name, of: fn(&Trial) -> f64, high: bool| {
        let mut values: Vec<f64> = defects.iter().map(|defect| of(defect.trial)).collect();
        values.sort_unstable_by(f64::total_cmp);
        let limit = quantile(&values, if high { 1.0 - EXTREME } else { EXTREME })?;
        let there = |defect: &&Weighed<'_>| if high { of(defect.trial) > limit } else { of(defect.trial) <= limit };
        let there: Vec<&Weighed<'_>> = defects.iter().filter(there).collect();
        Some(Surroundings { name, factor: factor(&there) })
    };
    let edges = |trial: &Trial| trial.observed.edges;
    let light = |trial: &Trial| trial.observed.light;
    [part("edges", edges, true), part("flat", edges, false), part("shadows", light, false), part("bright", light, true)]
        .into_iter()
        .flatten()
        .collect()
}

fn factor(there: &[&Weighed<'_>]) -> Factor {
    let found = there.iter().filter(|defect| defect.trial.observed.found);
    let smallest = found.clone().map(|defect| defect.trial.defect.size).fold(f64::INFINITY, f64::min);
    let (shift, deviation) = shift(there);
    let known = there.len() >= FEWEST;
    Factor {
        defects: there.len(),
        found: found.count(),
        factor: known.then(|| shift.exp()),
        bounds: known.then(|| [-NORMAL_95, NORMAL_95].map(|steps| (shift + steps * deviation).exp())),
        smallest_found_px: smallest.is_finite().then_some(smallest),
    }
}

/// The most likely d and its standard deviation, by Newton's method: the logarithm of the posterior is concave.
fn shift(there: &[&Weighed<'_>]) -> (f64, f64) {
    let mut shift = 0.0_f64;
    let mut curvature = 1.0 / (PRIOR * PRIOR);
    for _ in 0..50 {
        let mut slope = -shift / (PRIOR * PRIOR);
        curvature = 1.0 / (PRIOR * PRIOR);
        for defect in there {
            let p = sigmoid(defect.odds - defect.slope * shift);
            slope -= defect.slope * (f64::from(u8::from(defect.trial.observed.found)) - p);
            curvature += defect.slope * defect.slope * p * (1.0 - p);
        }
        let step = (slope / curvature).clamp(-0.5, 0.5);
        shift += step;
        if step.abs() < 1e-9 {
            break;
        }
    }
    (shift, curvature.sqrt().recip())
}

//! Regions: each as a value of its own for users, and all regions of a frame in flat memory that is reused for the next frame.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::outline::Ring;

/// An 8-connected component of the mask, in the source frame: pixel (x, y) is the square from (x, y) to (x + 1, y + 1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct Region {
    /// Bounding box: [x, y, width, height]. In JSON its name is `box`, as in the protocol; in Rust that is a keyword.
    #[serde(rename = "box")]
    pub bbox: [u32; 4],
    /// Number of pixels.
    pub area: u32,
    /// Mean of its pixels' centres: [x, y].
    pub centroid: [f64; 2],
    /// Its lowest log₁₀NFA.
    pub log10_nfa_min: f32,
    /// The share of good images that have a region at least as unusual; none where the package knows no good images.
    #[serde(default)]
    pub p_value: Option<f64>,
    /// Its highest anomaly score.
    pub score_max: f32,
    /// The scale (0 = finest) with the strongest evidence where log₁₀NFA is lowest.
    pub scale: usize,
    /// Exact boundary: the outer ring, then those of its holes.
    #[cfg_attr(feature = "serve", schema(value_type = Vec<Vec<[u32; 2]>>))]
    pub outline: Vec<Ring>,
}

/// The regions of one frame, the most significant first. The memory grows to the needs of the frame with the most regions, and is kept.
#[derive(Clone, Debug, Default)]
pub struct Regions {
    pub(super) measures: Vec<Measures>,
    /// Each ring's corners. The rings of one region are neighbours.
    pub(super) rings: Vec<Range<u32>>,
    pub(super) corners: Vec<[u32; 2]>,
}

/// A region's measurements, and the rings of its outline.
#[derive(Clone, Debug)]
pub(super) struct Measures {
    pub(super) bbox: [u32; 4],
    pub(super) area: u32,
    pub(super) centroid: [f64; 2],
    pub(super) log10_nfa_min: f32,
    pub(super) p_value: Option<f64>,
    pub(super) score_max: f32,
    pub(super) scale: usize,
    pub(super) rings: Range<u32>,
}

/// One of [`Regions`].
#[derive(Clone, Copy, Debug)]
pub struct RegionView<'a> {
    measures: &'a Measures,
    all: &'a Regions,
}

impl Regions {
    /// Number of regions.
    pub fn len(&self) -> usize {
        self.measures.len()
    }

    /// Whether there is no region.
    pub fn is_empty(&self) -> bool {
        self.measures.is_empty()
    }

    /// A region by its number. Number 0 is the most significant.
    pub fn get(&self, index: usize) -> Option<RegionView<'_>> {
        self.measures.get(index).map(|measures| RegionView { measures, all: self })
    }

    /// All regions.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RegionView<'_>> {
        self.measures.iter().map(|measures| RegionView { measures, all: self })
    }

    /// All regions, each with memory of its own.
    pub fn to_vec(&self) -> Vec<Region> {
        self.iter().map(|region| region.to_region()).collect()
    }

    /// Copies other regions into the memory that is there already.
    pub fn copy_from(&mut self, other: &Self) {
        self.measures.clone_from(&other.measures);
        self.rings.clone_from(&other.rings);
        self.corners.clone_from(&other.corners);
    }

    /// Copies regions that have memory of their own.
    pub fn copy_from_slice(&mut self, regions: &[Region]) {
        self.clear();
        for region in regions {
            let first = self.rings.len() as u32;
            for ring in &region.outline {
                let start = self.corners.len() as u32;
                self.corners.extend_from_slice(ring);
                self.rings.push(start..self.corners.len() as u32);
            }
            let &Region { bbox, area, centroid, log10_nfa_min, p_value, score_max, scale, .. } = region;
            let rings = first..self.rings.len() as u32;
            self.measures.push(Measures { bbox, area, centroid, log10_nfa_min, p_value, score_max, scale, rings });
        }
    }

    /// Removes all regions.
    pub fn clear(&mut self) {
        self.measures.clear();
        self.rings.clear();
        self.corners.clear();
    }

    /// Keeps the regions of at least `pixels` pixels.
    pub(super) fn keep_at_least(&mut self, area: u32) {
        self.measures.retain(|region| region.area >= area);
    }

    /// Gives every region its p-value, from its lowest log₁₀NFA.
    pub(super) fn set_p_values(&mut self, p_value: impl Fn(f32) -> Option<f64>) {
        self.measures.iter_mut().for_each(|region| region.p_value = p_value(region.log10_nfa_min));
    }
}

impl<'a> RegionView<'a> {
    /// As [`Region::bbox`].
    pub fn bbox(&self) -> [u32; 4] {
        self.measures.bbox
    }

    /// As [`Region::area`].
    pub fn area(&self) -> u32 {
        self.measures.area
    }

    /// As [`Region::centroid`].
    pub fn centroid(&self) -> [f64; 2] {
        self.measures.centroid
    }

    /// As [`Region::log10_nfa_min`].
    pub fn log10_nfa_min(&self) -> f32 {
        self.measures.log10_nfa_min
    }

    /// As [`Region::p_value`].
    pub fn p_value(&self) -> Option<f64> {
        self.measures.p_value
    }

    /// As [`Region::score_max`].
    pub fn score_max(&self) -> f32 {
        self.measures.score_max
    }

    /// As [`Region::scale`].
    pub fn scale(&self) -> usize {
        self.measures.scale
    }

    /// As [`Region::outline`]: each ring's corners.
    pub fn outline(&self) -> impl ExactSizeIterator<Item = &'a [[u32; 2]]> + use<'a> {
        let all = self.all;
        let rings = &all.rings[self.measures.rings.start as usize..self.measures.rings.end as usize];
        rings.iter().map(|ring| &all.corners[ring.start as usize..ring.end as usize])
    }

    /// The region with memory of its own.
    pub fn to_region(&self) -> Region {
        let Measures { bbox, area, centroid, log10_nfa_min, p_value, score_max, scale, .. } = *self.measures;
        let outline = self.outline().map(<[_]>::to_vec).collect();
        Region { bbox, area, centroid, log10_nfa_min, p_value, score_max, scale, outline }
    }
}

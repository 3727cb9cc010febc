//! Regions as a COCO data set: what annotation tools and `pycocotools` read.
//!
//! The format is that of object detection: `images`, `annotations` with `bbox` (x, y, width, height), `area` and `segmentation`, and
//! `categories`. A segmentation is one polygon, x₁, y₁, x₂, y₂, … at the pixels' corners. COCO has no holes: it takes several polygons
//! of an annotation together. So the hole of a region is joined to its outer ring by a side there and back, which encloses nothing.
//!
//! Beyond the format, an image has its category in the data set as `product`, and an annotation has `score` (−log₁₀NFA, higher is more
//! anomalous; COCO's results have such a field), `log10_nfa`, `p_value` and `touches`.

use serde::Serialize;

use super::{Outline, files::NamedRegions};
use crate::{Error, Reason, Result};

#[derive(Serialize)]
struct Coco<'a> {
    info: Info,
    images: Vec<Picture<'a>>,
    annotations: Vec<Annotation>,
    categories: [Kind; 1],
}

#[derive(Serialize)]
struct Info {
    description: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Picture<'a> {
    id: usize,
    file_name: &'a str,
    width: u32,
    height: u32,
    product: &'a str,
}

#[derive(Serialize)]
struct Annotation {
    id: usize,
    image_id: usize,
    category_id: usize,
    bbox: [u32; 4],
    area: u32,
    segmentation: [Vec<u32>; 1],
    iscrowd: u8,
    score: f32,
    log10_nfa: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    touches: Option<bool>,
}

#[derive(Serialize)]
struct Kind {
    id: usize,
    name: &'static str,
    supercategory: &'static str,
}

/// The regions do not have kinds, so there is one category.
const ANOMALY: Kind = Kind { id: 1, name: "anomaly", supercategory: "anomaly" };

/// All images, also those without regions, and all regions, in pixels of the source images. Identifiers begin with 1.
///
/// # Errors
/// [`Error::Parameter`] for values that JSON cannot hold.
pub fn coco_json(found: &[NamedRegions<'_>]) -> Result<String> {
    let mut coco = Coco {
        info: Info { description: "Regions found by uflow evaluate", version: crate::VERSION },
        images: Vec::new(),
        annotations: Vec::new(),
        categories: [ANOMALY],
    };
    for (product, images) in found {
        for image in *images {
            let image_id = coco.images.len() + 1;
            let (width, height) = (image.width, image.height);
            coco.images.push(Picture { id: image_id, file_name: &image.image, width, height, product });
            for found in &image.regions {
                let region = &found.region;
                coco.annotations.push(Annotation {
                    id: coco.annotations.len() + 1,
                    image_id,
                    category_id: ANOMALY.id,
                    bbox: region.bbox,
                    area: region.area,
                    segmentation: [polygon(&region.outline)],
                    iscrowd: 0,
                    score: 0.0 - region.log10_nfa_min,
                    log10_nfa: region.log10_nfa_min,
                    p_value: region.p_value,
                    touches: found.touches,
                });
            }
        }
    }
    let json = serde_json::to_string(&coco).map_err(|error| Error::parameter("COCO", Reason::of(error)))?;
    Ok(json + "\n")
}

/// One closed polygon around the outline: the outer ring, and from its first corner there and back to each hole.
fn polygon(outline: &Outline) -> Vec<u32> {
    let Some((outer, holes)) = outline.split_first() else { return Vec::new() };
    let mut corners = outer.clone();
    for hole in holes.iter().filter(|hole| !hole.is_empty()) {
        corners.extend(outer.first());
        corners.extend(hole);
        corners.extend(hole.first());
    }
    corners.concat()
}

#[cfg(test)]
mod tests {
    use super::polygon;

    /// Twice the area that the polygon encloses, by the shoelace formula.
    fn twice_area(polygon: &[u32]) -> i64 {
        let corners: Vec<[i64; 2]> = polygon.chunks_exact(2).map(|at| [at[0].into(), at[1].into()]).collect();
        let sides = corners.iter().zip(corners.iter().cycle().skip(1));
        sides.map(|(a, b)| a[0] * b[1] - b[0] * a[1]).sum()
    }

    #[test]
    fn holes_are_left_out_of_the_polygon() {
        let outer = vec![[0, 0], [9, 0], [9, 7], [0, 7]];
        // Holes run the other way round.
        let holes = [vec![[2, 2], [2, 4], [4, 4], [4, 2]], vec![[6, 3], [6, 4], [8, 4], [8, 3]]];
        assert_eq!(polygon(&vec![outer.clone()]), [0, 0, 9, 0, 9, 7, 0, 7]);
        let [first, second] = holes;
        assert_eq!(twice_area(&polygon(&vec![outer, first, second])), 2 * (63 - 4 - 2));
        assert!(polygon(&Vec::new()).is_empty());
    }
}

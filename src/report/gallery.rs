//! The pictures of one test image.

use std::path::Path;

use image::{RgbImage, imageops};
use ndarray::ArrayView2;

use super::Pictures;
use crate::{
    Result,
    evaluate::{Inspection, Outline},
    frame::{Image, Limits},
    render,
};

/// Longer sides are scaled down to this length, which is enough for looking at.
const LONGEST: u32 = 512;

/// Draws the result for the image at `path` at ε, compared with the ground truth.
///
/// # Errors
/// As [`Image::open`].
pub fn pictures(
    path: &Path,
    inspection: &Inspection<'_>,
    truth: Option<ArrayView2<'_, bool>>,
    epsilon: f64,
) -> Result<Pictures> {
    let image = Image::open(path, &Limits::default())?;
    let (input, outlines) = small(render::rgb(&image.frame()), &inspection.regions);
    let limit = epsilon.log10() as f32;
    let found = inspection.log10_nfa.mapv(|value| value < limit);
    let nothing = ndarray::Array2::from_elem(found.dim(), false);
    let truth = truth.unwrap_or(nothing.view());
    Ok(Pictures {
        outlined: render::overlay(&input, None, &outlines),
        input,
        heat: render::heat_map(inspection.score),
        nfa: render::nfa_map(inspection.log10_nfa, limit),
        mask: render::mask_map(found.view(), Some(truth)),
    })
}

/// An image and its outlines, scaled down to at most [`LONGEST`] pixels per side.
fn small(input: RgbImage, outlines: &[Outline]) -> (RgbImage, Vec<Outline>) {
    let (width, height) = input.dimensions();
    let longest = width.max(height);
    if longest <= LONGEST {
        return (input, outlines.to_vec());
    }
    let side = |side: u32| (u64::from(side) * u64::from(LONGEST) / u64::from(longest)).max(1) as u32;
    let (to_width, to_height) = (side(width), side(height));
    let at =
        |value: u32, from: u32, to: u32| ((f64::from(value) * f64::from(to) / f64::from(from)).round() as u32).min(to);
    let point = |&[x, y]: &[u32; 2]| [at(x, width, to_width), at(y, height, to_height)];
    let scaled = outlines.iter().map(|outline| outline.iter().map(|line| line.iter().map(point).collect()).collect());
    (imageops::resize(&input, to_width, to_height, imageops::FilterType::Triangle), scaled.collect())
}

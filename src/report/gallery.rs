//! The pictures of one test image.

use std::path::Path;

use image::{RgbImage, imageops};
use ndarray::ArrayView2;

use super::Pictures;
use crate::{
    Result,
    evaluate::{Inspection, Outline},
    frame::{Image, ReadOptions},
    render,
};

/// Longer sides are scaled down to this length, which is enough for looking at.
const LONGEST: u32 = 512;

/// Draws the result for the image at `path`, read as the model reads it, compared with the ground truth. The maps have the shape of the image. ε is where the colours
/// of the log₁₀NFA map change.
///
/// # Errors
/// As [`Image::open`].
pub fn pictures(
    path: &Path,
    read: &ReadOptions,
    inspection: &Inspection<'_>,
    truth: Option<ArrayView2<'_, bool>>,
    epsilon: f64,
) -> Result<Pictures> {
    let image = Image::open_with(path, read)?;
    let outlines: Vec<Outline> = inspection.regions.iter().map(|region| region.outline.clone()).collect();
    let (input, outlines) = small(render::rgb(&image.frame()), &outlines);
    let limit = epsilon.log10() as f32;
    let found = inspection.log10_nfa.mapv(|value| value < inspection.level);
    let nothing = ndarray::Array2::from_elem(found.dim(), false);
    let truth = truth.unwrap_or(nothing.view());
    let shape = |map: RgbImage| shaped(map, (image.width(), image.height()));
    Ok(Pictures {
        outlined: render::overlay(&input, None, &outlines),
        input,
        heat: shape(render::heat_map(inspection.score)),
        nfa: shape(render::nfa_map(inspection.log10_nfa, limit)),
        mask: shape(render::mask_map(found.view(), Some(truth))),
    })
}

/// A map in the shape of the image, which the network's input size distorts: as long as before, at most [`LONGEST`]. The pixels of the map
/// stay visible; no colour is mixed.
fn shaped(map: RgbImage, (width, height): (u32, u32)) -> RgbImage {
    let longest = map.width().max(map.height()).min(LONGEST);
    let side =
        |side: u32| (f64::from(side) / f64::from(width.max(height)) * f64::from(longest)).round().max(1.0) as u32;
    imageops::resize(&map, side(width), side(height), imageops::FilterType::Nearest)
}

/// An image and its outlines, scaled down to at most [`LONGEST`] pixels per side.
fn small(input: RgbImage, outlines: &[Outline]) -> (RgbImage, Vec<Outline>) {
    let (width, height) = input.dimensions();
    let input = shrunk(input, LONGEST);
    let (to_width, to_height) = input.dimensions();
    let at =
        |value: u32, from: u32, to: u32| ((f64::from(value) * f64::from(to) / f64::from(from)).round() as u32).min(to);
    let point = |&[x, y]: &[u32; 2]| [at(x, width, to_width), at(y, height, to_height)];
    let scaled = outlines.iter().map(|outline| outline.iter().map(|line| line.iter().map(point).collect()).collect());
    (input, scaled.collect())
}

/// A picture scaled down to at most so many pixels per side.
pub(super) fn shrunk(picture: RgbImage, most: u32) -> RgbImage {
    let (width, height) = picture.dimensions();
    let longest = width.max(height);
    if longest <= most {
        return picture;
    }
    let side = |side: u32| (u64::from(side) * u64::from(most) / u64::from(longest)).max(1) as u32;
    imageops::resize(&picture, side(width), side(height), imageops::FilterType::Triangle)
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn maps_have_the_shape_of_the_image() {
        let colours = [[255, 0, 0], [0, 0, 255]].map(Rgb);
        let map = RgbImage::from_fn(64, 64, |x, _| colours[usize::from(x >= 32)]);
        for (image, expected) in
            [((64, 64), (64, 64)), ((1920, 1080), (64, 36)), ((30, 120), (16, 64)), ((5000, 1), (64, 1))]
        {
            let drawn = shaped(map.clone(), image);
            assert_eq!(drawn.dimensions(), expected, "{image:?}");
            assert!(drawn.enumerate_pixels().all(|(x, _, pixel)| *pixel == colours[usize::from(x >= expected.0 / 2)]));
        }
        let large = shaped(RgbImage::new(2048, 1024), (2000, 1500));
        assert_eq!(large.dimensions(), (512, 384));
    }
}

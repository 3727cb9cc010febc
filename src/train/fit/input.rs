//! The size of the network's input: as many pixels as the backbone recommends, in the shape of the images.
//!
//! A part of 500×1250 pixels that is squeezed into a square loses more than half of its rows and shows defects that the backbone has never seen so.
//! On real commutators of this shape the area under the per-region-overlap curve rose from 0.57 to 0.86 when the input had their shape
//! (`benches/quality.md`).

use crate::{
    backbone::BackboneMeta,
    tiles::{Tiles, nearest},
};

/// Largest ratio of the sides: beyond, the short side would have too few cells.
const LARGEST_RATIO: f64 = 6.0;
/// Fewest cells of the coarsest scale along a side.
const FEWEST_CELLS: u32 = 2;
/// Bounds of the pixels, as parts of those that are recommended.
const PIXELS: (f64, f64) = (0.75, 1.05);
/// What a deviation in ln(pixels) costs beside one in ln(ratio).
const PIXELS_COST: f64 = 0.2;

/// The recommended side of a backbone's input, and the stride of its coarsest scale.
fn side_and_step(meta: &BackboneMeta) -> (u32, u32) {
    (meta.input_size[0] as u32, meta.strides.last().map_or(1, |&stride| stride as u32))
}

/// The input for whole images of a ratio of width to height, as (width, height).
pub(super) fn shaped(meta: &BackboneMeta, ratio: f64) -> (u32, u32) {
    let (side, step) = side_and_step(meta);
    shaped_as(side, step, ratio)
}

/// The input for frames of this width and height that are cut into tiles, and how they are cut; `fixed` is the input where it is given.
pub(super) fn tiled(
    meta: &BackboneMeta,
    frame: (u32, u32),
    overlap: u32,
    fixed: Option<(u32, u32)>,
) -> ((u32, u32), Tiles) {
    let (side, step) = side_and_step(meta);
    tiled_as((side, step), frame, overlap, fixed)
}

/// Width and height for images of a ratio of width to height: multiples of `step`, about `pixels` in all. A square input of the
/// recommended size is the answer for a ratio of 1.
fn shaped_as(side: u32, step: u32, ratio: f64) -> (u32, u32) {
    let pixels = f64::from(side) * f64::from(side);
    let ratio = ratio.clamp(1.0 / LARGEST_RATIO, LARGEST_RATIO);
    let most = (pixels * PIXELS.1 / f64::from(FEWEST_CELLS * step)) as u32 / step;
    let sides = || (FEWEST_CELLS..=most.max(FEWEST_CELLS)).map(|cells| cells * step);
    let cost = |(width, height): (u32, u32)| {
        let part = f64::from(width) * f64::from(height) / pixels;
        let shape = (f64::from(width) / f64::from(height) / ratio).ln().abs();
        (PIXELS.0..=PIXELS.1).contains(&part).then(|| shape + PIXELS_COST * part.ln().abs())
    };
    let sizes = sides().flat_map(|height| sides().map(move |width| (width, height)));
    // The recommended square is allowed even where it is not whole cells.
    let sizes = sizes.chain([(side, side)]).filter_map(|size| Some((cost(size)?, size)));
    sizes.min_by(|a, b| a.0.total_cmp(&b.0)).map_or((side, side), |(_, size)| size)
}

/// Tiles of about the recommended `side`, or of the frame's where it is shorter, in whole cells of `step`.
fn tiled_as(
    (side, step): (u32, u32),
    frame: (u32, u32),
    overlap: u32,
    fixed: Option<(u32, u32)>,
) -> ((u32, u32), Tiles) {
    let least = fixed.unwrap_or((FEWEST_CELLS * step, FEWEST_CELLS * step));
    let (width, height) = (nearest(frame.0, step, least.0), nearest(frame.1, step, least.1));
    let whole = nearest(side, step, FEWEST_CELLS * step);
    (fixed.unwrap_or((whole.min(width), whole.min(height))), Tiles { width, height, overlap })
}

/// Of images of these (height, width) that of the median ratio of width to height, and among those the median number of pixels.
pub(super) fn median_size(sizes: impl IntoIterator<Item = (u32, u32)>) -> Option<(u32, u32)> {
    let ratio = |(height, width): (u32, u32)| f64::from(width) / f64::from(height);
    let mut sizes: Vec<(u32, u32)> = sizes.into_iter().collect();
    let middle = |sizes: &[(u32, u32)]| sizes.get(sizes.len() / 2).copied();
    sizes.sort_by(|&a, &b| ratio(a).total_cmp(&ratio(b)));
    let median = ratio(middle(&sizes)?);
    sizes.retain(|&size| ratio(size) == median);
    sizes.sort_by_key(|&(height, width)| u64::from(height) * u64::from(width));
    middle(&sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_input_has_the_shape_of_the_images() {
        assert_eq!(shaped_as(448, 64, 1.0), (448, 448));
        assert_eq!(shaped_as(448, 64, 500.0 / 1250.0), (256, 640));
        assert_eq!(shaped_as(448, 64, 768.0 / 576.0), (512, 384));
        assert_eq!(shaped_as(160, 32, 1.0), (160, 160));
    }

    /// Any ratio gives whole cells, about the recommended number of pixels, and no side that is much too short.
    #[test]
    fn every_ratio_has_an_input() {
        for side in [64, 160, 224, 448] {
            for step in [16, 32, 64] {
                for ratio in (-60..=60).map(|power| 1.1_f64.powi(power)) {
                    let (width, height) = shaped_as(side, step, ratio);
                    if (width, height) == (side, side) {
                        continue;
                    }
                    assert!(width % step == 0 && height % step == 0, "{side} {step} {ratio}: {width}×{height}");
                    let part = f64::from(width * height) / f64::from(side * side);
                    assert!((PIXELS.0..=PIXELS.1).contains(&part), "{side} {step} {ratio}: {width}×{height}");
                    let shape = f64::from(width) / f64::from(height);
                    assert!(
                        (shape.ln() - ratio.ln()).abs() <= ratio.ln().abs() + 1e-9,
                        "{side} {step} {ratio}: {width}×{height}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_median_is_that_of_the_images_not_of_their_sizes() {
        assert_eq!(median_size([]), None);
        assert_eq!(median_size([(10, 20), (30, 60), (20, 40), (30, 10), (40, 10)]), Some((20, 40)));
    }

    #[test]
    fn tiles_have_the_recommended_size_where_the_frame_is_as_large() {
        let of = |frame| tiled_as((448, 64), frame, 128, None);
        assert_eq!(of((1920, 1080)), ((448, 448), Tiles { width: 1920, height: 1088, overlap: 128 }));
        assert_eq!(of((200, 5000)), ((192, 448), Tiles { width: 192, height: 4992, overlap: 128 }));
        assert_eq!(of((30, 30)), ((128, 128), Tiles { width: 128, height: 128, overlap: 128 }));
        let fixed = tiled_as((448, 64), (200, 900), 128, Some((448, 448)));
        assert_eq!(fixed, ((448, 448), Tiles { width: 448, height: 896, overlap: 128 }));
    }
}

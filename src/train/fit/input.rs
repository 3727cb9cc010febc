//! The size of the network's input: as many pixels as the backbone recommends, in the shape of the images.
//!
//! A part of 500×1250 pixels that is squeezed into a square loses more than half of its rows and shows defects that the backbone has never seen so.
//! On real commutators of this shape the area under the per-region-overlap curve rose from 0.57 to 0.86 when the input had their shape
//! (`benches/quality.md`).

/// Largest ratio of the sides: beyond, the short side would have too few cells.
const LARGEST_RATIO: f64 = 6.0;
/// Fewest cells of the coarsest scale along a side.
const FEWEST_CELLS: u32 = 2;
/// Bounds of the pixels, as parts of those that are recommended.
const PIXELS: (f64, f64) = (0.75, 1.05);
/// What a deviation in ln(pixels) costs beside one in ln(ratio).
const PIXELS_COST: f64 = 0.2;

/// Width and height for images of a ratio of width to height: multiples of `step`, about `pixels` in all. A square input of the
/// recommended size is the answer for a ratio of 1.
pub(super) fn shaped(side: u32, step: u32, ratio: f64) -> (u32, u32) {
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

/// The median ratio of width to height of images of these (height, width).
pub(super) fn median_ratio(sizes: impl IntoIterator<Item = (u32, u32)>) -> Option<f64> {
    let ratio = |(height, width)| f64::from(width) / f64::from(height);
    let mut ratios: Vec<f64> = sizes.into_iter().map(ratio).collect();
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_input_has_the_shape_of_the_images() {
        assert_eq!(shaped(448, 64, 1.0), (448, 448));
        assert_eq!(shaped(448, 64, 500.0 / 1250.0), (256, 640));
        assert_eq!(shaped(448, 64, 768.0 / 576.0), (512, 384));
        assert_eq!(shaped(160, 32, 1.0), (160, 160));
    }

    /// Any ratio gives whole cells, about the recommended number of pixels, and no side that is much too short.
    #[test]
    fn every_ratio_has_an_input() {
        for side in [64, 160, 224, 448] {
            for step in [16, 32, 64] {
                for ratio in (-60..=60).map(|power| 1.1_f64.powi(power)) {
                    let (width, height) = shaped(side, step, ratio);
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
        assert_eq!(median_ratio([]), None);
        assert_eq!(median_ratio([(10, 20), (10, 20), (10, 20), (30, 10), (40, 10)]), Some(2.0));
    }
}

//! Pictures of results: heat maps, log₁₀NFA maps, masks and outlines.
//!
//! Colours are absolute, so pictures can be compared. The heat map spans scores from 0.3 to 1 (a typical pixel of white latents
//! scores 0.39). The log₁₀NFA map changes from blue to orange exactly at the threshold.

use image::{GrayImage, Rgb, RgbImage, imageops};
use ndarray::{Array2, ArrayView2};

use crate::{
    evaluate::Outline,
    frame::{Frame, PixelFormat},
};

/// Scores at the two ends of the heat map's colours.
pub const SCORE_RANGE: (f32, f32) = (0.3, 1.0);

/// Matplotlib's `inferno` (CC0) at ten evenly spaced points.
const INFERNO: [[u8; 3]; 10] = [
    [0x00, 0x00, 0x04],
    [0x1b, 0x0c, 0x41],
    [0x4a, 0x0c, 0x6b],
    [0x78, 0x1c, 0x6d],
    [0xa5, 0x2c, 0x60],
    [0xcf, 0x44, 0x46],
    [0xed, 0x69, 0x25],
    [0xfb, 0x9b, 0x06],
    [0xf7, 0xd1, 0x3d],
    [0xfc, 0xff, 0xa4],
];
/// Colours from just above the threshold to far above it: not anomalous.
const CALM: [[u8; 3]; 3] = [[0xa9, 0xbd, 0xd3], [0x4a, 0x6a, 0x8f], [0x16, 0x24, 0x3a]];
/// Colours from just below the threshold to far below it: anomalous.
const ALARM: [[u8; 3]; 3] = [[0xd9, 0x5f, 0x1e], [0xf5, 0xa6, 0x23], [0xff, 0xf3, 0xb0]];

const FOUND: [u8; 3] = [0xf2, 0xf5, 0xf7];
const MISSED: [u8; 3] = [0x3b, 0x82, 0xf6];
const FALSE: [u8; 3] = [0xef, 0x44, 0x44];
const NOTHING: [u8; 3] = [0x12, 0x16, 0x1c];

/// Colour of the outlines.
pub const OUTLINE: [u8; 3] = [0x2e, 0xf2, 0x9b];

/// The frame as 8-bit RGB. Gray is repeated, 16-bit values keep the upper eight of their significant bits, alpha is dropped.
pub fn rgb(frame: &Frame<'_>) -> RgbImage {
    let bytes = frame.format().bytes_per_pixel();
    let bits = frame.significant_bits().unwrap_or(16);
    let pixels = frame.rows().flat_map(|row| row.chunks_exact(bytes)).flat_map(|pixel| match (frame.format(), pixel) {
        (PixelFormat::Gray16, &[a, b]) => [upper_byte(u16::from_ne_bytes([a, b]), bits); 3],
        (PixelFormat::Bgr8 | PixelFormat::Bgra8, &[b, g, r, ..]) | (_, &[r, g, b, ..]) => [r, g, b],
        _ => [pixel[0]; 3],
    });
    RgbImage::from_raw(frame.width(), frame.height(), pixels.collect()).unwrap_or_default()
}

/// The upper eight of a sample's significant bits.
fn upper_byte(sample: u16, bits: u8) -> u8 {
    let byte = if bits >= 8 { sample >> (bits - 8).min(8) } else { sample << (8 - bits) };
    byte.min(u16::from(u8::MAX)) as u8
}

/// A mask of 0 and 1 as a picture of 0 and 255.
pub fn mask(mask: ArrayView2<'_, u8>) -> GrayImage {
    let (height, width) = mask.dim();
    let pixels = mask.iter().map(|&inside| 255 * u8::from(inside != 0)).collect();
    GrayImage::from_raw(width as u32, height as u32, pixels).unwrap_or_default()
}

/// The score map in colours, at its own size.
pub fn heat_map(score: ArrayView2<'_, f32>) -> RgbImage {
    picture(score, |score| palette(&INFERNO, heat(score)))
}

/// The log₁₀NFA map in colours, at its own size: blue for pixels that are not anomalous at ε, orange to yellow for anomalous ones.
/// Each side is scaled to the map's own extreme.
pub fn nfa_map(log10_nfa: ArrayView2<'_, f32>, log10_epsilon: f32) -> RgbImage {
    let above = |value: f32| value - log10_epsilon;
    let (low, high) = log10_nfa
        .iter()
        .fold((0.0_f32, 0.0_f32), |(low, high), &value| (low.min(above(value)), high.max(above(value))));
    picture(log10_nfa, |value| match above(value) {
        value if value < 0.0 => palette(&ALARM, (value / low).sqrt()),
        value if high > 0.0 => palette(&CALM, (value / high).sqrt()),
        _ => CALM[0],
    })
}

/// Found and true pixels: white if both, blue if missed, red if false.
pub fn mask_map(found: ArrayView2<'_, bool>, truth: Option<ArrayView2<'_, bool>>) -> RgbImage {
    let both =
        Array2::from_shape_fn(found.dim(), |at| (found[at], truth.is_some_and(|truth| truth.get(at) == Some(&true))));
    picture(both.view(), |pixel| match pixel {
        (true, true) => FOUND,
        (true, false) if truth.is_none() => FOUND,
        (true, false) => FALSE,
        (false, true) => MISSED,
        (false, false) => NOTHING,
    })
}

/// The frame with the score map on top, more opaque where the score is higher, and the regions' outlines. Either may be left out.
pub fn overlay(frame: &RgbImage, score: Option<ArrayView2<'_, f32>>, regions: &[Outline]) -> RgbImage {
    let mut result = frame.clone();
    if let Some(score) = score.filter(|score| !score.is_empty()) {
        let (width, height) = frame.dimensions();
        let heats = imageops::resize(&heat_map(score), width, height, imageops::FilterType::Triangle);
        let strength = picture(score, |score| [(heat(score) * 255.0) as u8; 3]);
        let strength = imageops::resize(&strength, width, height, imageops::FilterType::Triangle);
        for ((pixel, heat), strength) in result.pixels_mut().zip(heats.pixels()).zip(strength.pixels()) {
            let strength = (f32::from(strength.0[0]) / 255.0 * 1.4 - 0.25).clamp(0.0, 0.72);
            *pixel = mix(*pixel, heat.0, strength);
        }
    }
    draw_outlines(&mut result, regions, OUTLINE);
    result
}

/// Draws closed polygons with a thin dark edge, so that they are visible on any background. The line width grows with the picture.
pub fn draw_outlines(picture: &mut RgbImage, regions: &[Outline], colour: [u8; 3]) {
    let (width, height) = picture.dimensions();
    let half = (f64::from(width.min(height)) / 220.0).clamp(1.0, 4.0) as f32;
    let reach = half + 1.5;
    let mut distance = vec![f32::INFINITY; width as usize * height as usize];
    for ring in regions.iter().flatten().filter(|ring| !ring.is_empty()) {
        for (index, from) in ring.iter().enumerate() {
            let ends = [*from, ring[(index + 1) % ring.len()]].map(|point| point.map(|value| value as f32));
            let span = |axis: usize, size: u32| {
                let (low, high) = (ends[0][axis].min(ends[1][axis]) - reach, ends[0][axis].max(ends[1][axis]) + reach);
                low.max(0.0) as u32..(high.ceil().max(0.0) as u32).min(size)
            };
            for y in span(1, height) {
                for x in span(0, width) {
                    let pixel = &mut distance[(y * width + x) as usize];
                    *pixel = pixel.min(to_segment([x as f32 + 0.5, y as f32 + 0.5], ends));
                }
            }
        }
    }
    for (pixel, &distance) in picture.pixels_mut().zip(&distance).filter(|(_, distance)| **distance < reach) {
        *pixel = mix(*pixel, [0, 0, 0], 0.55 * (half + 1.5 - distance).clamp(0.0, 1.0));
        *pixel = mix(*pixel, colour, (half + 0.5 - distance).clamp(0.0, 1.0));
    }
}

fn to_segment(point: [f32; 2], [from, to]: [[f32; 2]; 2]) -> f32 {
    let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
    let (px, py) = (point[0] - from[0], point[1] - from[1]);
    let length = dx * dx + dy * dy;
    let t = if length > 0.0 { ((px * dx + py * dy) / length).clamp(0.0, 1.0) } else { 0.0 };
    (px - t * dx).hypot(py - t * dy)
}

/// The position of a score in [`SCORE_RANGE`], from 0 to 1.
fn heat(score: f32) -> f32 {
    ((score - SCORE_RANGE.0) / (SCORE_RANGE.1 - SCORE_RANGE.0)).clamp(0.0, 1.0)
}

/// The colour at `t` in [0, 1], between evenly spaced colours.
fn palette(colours: &[[u8; 3]], t: f32) -> [u8; 3] {
    let place = t.clamp(0.0, 1.0) * (colours.len() - 1) as f32;
    let index = (place as usize).min(colours.len() - 2);
    mix(Rgb(colours[index]), colours[index + 1], place - index as f32).0
}

fn mix(from: Rgb<u8>, to: [u8; 3], t: f32) -> Rgb<u8> {
    Rgb(std::array::from_fn(|channel| {
        (f32::from(from.0[channel]) * (1.0 - t) + f32::from(to[channel]) * t).round() as u8
    }))
}

fn picture<T: Copy>(map: ArrayView2<'_, T>, colour: impl Fn(T) -> [u8; 3]) -> RgbImage {
    let (height, width) = map.dim();
    RgbImage::from_fn(width as u32, height as u32, |x, y| Rgb(colour(map[[y as usize, x as usize]])))
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn colours_change_at_the_threshold_and_span_the_range() {
        let heats = heat_map(array![[0.0, 0.3, 1.0, 0.65]].view());
        assert_eq!(heats.get_pixel(0, 0).0, INFERNO[0]);
        assert_eq!(heats.get_pixel(1, 0).0, INFERNO[0]);
        assert_eq!(heats.get_pixel(2, 0).0, INFERNO[9]);
        let middle = heats.get_pixel(3, 0).0;
        assert!(middle[0] > INFERNO[3][0] && middle[0] < INFERNO[6][0]);

        let nfa = nfa_map(array![[400.0, -0.99, -1.01, -300.0]].view(), -1.0);
        let warm = |x: u32| nfa.get_pixel(x, 0).0[0] > nfa.get_pixel(x, 0).0[2];
        assert_eq!([warm(0), warm(1), warm(2), warm(3)], [false, false, true, true]);
        assert_eq!(nfa_map(array![[0.0_f32]].view(), 0.0).get_pixel(0, 0).0, CALM[0]);
    }

    #[test]
    fn sixteen_bits_become_eight_by_their_significant_ones() {
        let samples: Vec<u8> = [0_u16, 255, 4095, 65535].iter().flat_map(|sample| sample.to_ne_bytes()).collect();
        let grey = |bits: u8| {
            let frame = Frame::packed(&samples, 4, 1, PixelFormat::Gray16).unwrap();
            rgb(&frame.with_significant_bits(bits).unwrap()).pixels().map(|pixel| pixel.0[0]).collect::<Vec<_>>()
        };
        assert_eq!(grey(16), [0, 0, 15, 255]);
        assert_eq!(grey(12), [0, 15, 255, 255]);
        assert_eq!(grey(8), [0, 255, 255, 255]);
    }

    #[test]
    fn masks_tell_missed_from_false() {
        let found = array![[true, true], [false, false]];
        let truth = array![[true, false], [true, false]];
        let colours: Vec<[u8; 3]> = mask_map(found.view(), Some(truth.view())).pixels().map(|pixel| pixel.0).collect();
        assert_eq!(colours, [FOUND, FALSE, MISSED, NOTHING]);
        assert_eq!(mask_map(found.view(), None).get_pixel(1, 0).0, FOUND);
    }

    #[test]
    fn outlines_follow_the_polygon_and_leave_the_rest() {
        let frame = RgbImage::from_pixel(40, 30, Rgb([90, 90, 90]));
        let square = vec![vec![[10, 8], [30, 8], [30, 22], [10, 22]]];
        let drawn = overlay(&frame, None, &[square]);
        for (x, y) in [(10, 15), (29, 15), (20, 8), (20, 21)] {
            assert_eq!(drawn.get_pixel(x, y).0, OUTLINE, "({x}, {y})");
        }
        for (x, y) in [(20, 15), (4, 4), (36, 27)] {
            assert_eq!(drawn.get_pixel(x, y).0, [90, 90, 90], "({x}, {y})");
        }
        // Polygons that touch or cross the border, or have no area: the part inside the picture is drawn.
        let odd = vec![vec![vec![[0, 0], [40, 0], [40, 30], [0, 30]], vec![[100, 100]], Vec::new()]];
        assert_eq!(overlay(&frame, None, &odd).get_pixel(0, 15).0, OUTLINE);
    }

    #[test]
    fn heat_covers_what_scores_high() {
        let frame = RgbImage::from_pixel(16, 16, Rgb([90, 90, 90]));
        let score = Array2::from_shape_fn((4, 4), |(_, column)| if column < 2 { 0.39 } else { 0.99 });
        let drawn = overlay(&frame, Some(score.view()), &[]);
        assert_eq!(drawn.get_pixel(1, 8).0, [90, 90, 90]);
        assert!(drawn.get_pixel(14, 8).0[0] > 180);
    }
}

//! What one decoded picture looks like: its size, brightness, sharpness and a small copy.
//!
//! One pass over the rows. Luma (ITU-R BT.601) is averaged over areas to a picture of at most [`LONGEST`] pixels a side, in which
//! sharpness is measured: detail that this reduction loses is lost to a network's input as well.
//!
//! **Sharpness** compares two octaves of detail, so that it depends neither on contrast nor on brightness, and little on what the
//! picture shows: `10·log₁₀(var(g − G₁g) / var(G₂g − G₄g))` in dB, where G_σ is a Gaussian filter of σ pixels. It is a difference of
//! two bands of a Laplacian pyramid (Burt and Adelson, 1983). Blur takes the fine band first. The variance of the Laplacian alone was
//! tried: it names dark and calm images (`benches/check.md`).

use crate::frame::{Frame, PixelFormat};

/// Longest side of the picture in which sharpness is measured.
const LONGEST: usize = 512;
/// Sides of the small copy.
pub(super) const THUMBNAIL: usize = 64;
/// Samples of at least this part of white are saturated, and at most one minus this part black: one step of 8 bits.
const SATURATED: f32 = 254.0 / 255.0;
/// Variance of a band below which it is the rounding of 8-bit samples.
const ROUNDING: f64 = 1.5e-8;
/// BT.601's weights of red, green and blue.
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

/// What one picture looks like.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// (height, width) in pixels.
    pub size: (u32, u32),
    /// [`Frame::brightness`]: mean luma, 0 (black) to 1 (white).
    pub level: f64,
    /// Part of the pixels that are white.
    pub white: f64,
    /// Part of the pixels that are black.
    pub black: f64,
    /// Fine detail relative to coarse detail, in dB.
    pub sharpness: f64,
    /// Luma of the picture reduced to 64×64 pixels, row by row.
    pub(super) thumbnail: Vec<f32>,
}

impl Look {
    /// Looks at a frame. `bits` are the significant bits of 16-bit samples where the frame does not say its own.
    pub fn of(frame: &Frame<'_>, bits: Option<u8>) -> Self {
        let (width, height) = (frame.width() as usize, frame.height() as usize);
        let longest = width.max(height);
        let side = |side: usize| if longest <= LONGEST { side } else { (side * LONGEST / longest).max(1) };
        let mut reduced = Reducer::new((height, width), (side(height), side(width)));
        let mut small = Reducer::new((height, width), (THUMBNAIL, THUMBNAIL));
        let luma = Luma::of(frame, bits);
        let mut row = vec![0.0; width];
        let (mut white, mut black) = (0_usize, 0_usize);
        for bytes in frame.rows() {
            luma.read(bytes, &mut row);
            white += row.iter().filter(|value| **value >= SATURATED).count();
            black += row.iter().filter(|value| **value <= 1.0 - SATURATED).count();
            reduced.push(&row);
            small.push(&row);
        }
        let pixels = (width * height) as f64;
        Self {
            size: (frame.height(), frame.width()),
            level: f64::from(frame.brightness(bits)),
            white: white as f64 / pixels,
            black: black as f64 / pixels,
            sharpness: sharpness(&reduced.out, side(width)),
            thumbnail: small.out,
        }
    }
}

/// Reads luma from rows of a format.
struct Luma {
    format: PixelFormat,
    white: f32,
}

impl Luma {
    fn of(frame: &Frame<'_>, bits: Option<u8>) -> Self {
        Self { format: frame.format(), white: f32::from(frame.white(bits)) }
    }

    /// Luma of each pixel, 0 to 1.
    fn read(&self, bytes: &[u8], row: &mut [f32]) {
        let pixels = bytes.chunks_exact(self.format.bytes_per_pixel());
        for (pixel, luma) in pixels.zip(row) {
            let value = match (self.format, pixel) {
                (PixelFormat::Gray16, &[a, b]) => f32::from(u16::from_ne_bytes([a, b])),
                (PixelFormat::Bgr8 | PixelFormat::Bgra8, &[b, g, r, ..]) | (_, &[r, g, b, ..]) => {
                    LUMA[0] * f32::from(r) + LUMA[1] * f32::from(g) + LUMA[2] * f32::from(b)
                }
                _ => f32::from(pixel[0]),
            };
            *luma = (value / self.white).min(1.0);
        }
    }
}

/// Averages a picture over areas, row by row as they come. A smaller picture is enlarged by the same rule.
struct Reducer {
    from: (usize, usize),
    to: (usize, usize),
    /// Which columns give to which, and what part: (from, to, part).
    columns: Vec<(usize, usize, f32)>,
    /// The row that comes next.
    next: usize,
    row: Vec<f32>,
    /// The smaller picture, row by row.
    out: Vec<f32>,
}

impl Reducer {
    fn new(from: (usize, usize), to: (usize, usize)) -> Self {
        let mut columns = Vec::with_capacity(from.1 + to.1);
        for x in 0..from.1 {
            share(x, from.1, to.1, |to, part| columns.push((x, to, part)));
        }
        Self { from, to, columns, next: 0, row: vec![0.0; to.1], out: vec![0.0; to.0 * to.1] }
    }

    fn push(&mut self, source: &[f32]) {
        self.row.fill(0.0);
        for &(from, to, part) in &self.columns {
            self.row[to] += part * source[from];
        }
        let width = self.to.1;
        share(self.next, self.from.0, self.to.0, |y, part| {
            let target = &mut self.out[y * width..(y + 1) * width];
            target.iter_mut().zip(&self.row).for_each(|(sum, value)| *sum += part * value);
        });
        self.next += 1;
    }
}

/// Gives cell `at` of `from` cells to the cells of `to` that it overlaps, each with the part of that cell that it covers.
fn share(at: usize, from: usize, to: usize, mut give: impl FnMut(usize, f32)) {
    // In units of 1/(from·to) of the side: source cells are `to` long, target cells `from`.
    let (start, end) = (at * to, (at + 1) * to);
    for cell in start / from..=(end - 1) / from {
        let overlap = end.min((cell + 1) * from) - start.max(cell * from);
        give(cell, overlap as f32 / from as f32);
    }
}

/// Fine detail relative to coarse detail, in dB.
fn sharpness(picture: &[f32], width: usize) -> f64 {
    let smooth = |sigma| gaussian(picture, width, sigma);
    let (first, second, fourth) = (smooth(1.0), smooth(2.0), smooth(4.0));
    let ratio = (variance(picture, &first) + ROUNDING) / (variance(&second, &fourth) + ROUNDING);
    10.0 * ratio.log10()
}

/// The variance of the difference of two pictures.
fn variance(a: &[f32], b: &[f32]) -> f64 {
    let n = a.len().max(1) as f64;
    let differences = || a.iter().zip(b).map(|(a, b)| f64::from(a - b));
    let mean = differences().sum::<f64>() / n;
    differences().map(|value| (value - mean).powi(2)).sum::<f64>() / n
}

/// The pixel that stands for one beyond the edge: the picture is mirrored there. A repeated edge would have no detail, and pictures with
/// structure at their edge would differ by it.
fn mirrored(at: isize, length: usize) -> usize {
    let at = at.rem_euclid(2 * length as isize) as usize;
    at.min(2 * length - 1 - at)
}

/// A Gaussian filter of σ pixels, cut off at 3σ; the picture is mirrored at its edges.
pub(super) fn gaussian(picture: &[f32], width: usize, sigma: f64) -> Vec<f32> {
    let reach = (3.0 * sigma).ceil() as isize;
    let weights = || (-reach..=reach).map(|at| (-0.5 * (at as f64 / sigma).powi(2)).exp());
    let total: f64 = weights().sum();
    let kernel: Vec<f32> = weights().map(|weight| (weight / total) as f32).collect();
    let (height, reach) = (picture.len() / width.max(1), reach as usize);
    let mut across = vec![0.0; picture.len()];
    let mut padded = vec![0.0; width + 2 * reach];
    for (row, out) in picture.chunks_exact(width).zip(across.chunks_exact_mut(width)) {
        for (at, value) in padded.iter_mut().enumerate() {
            *value = row[mirrored(at as isize - reach as isize, width)];
        }
        for (tap, weight) in kernel.iter().enumerate() {
            out.iter_mut().zip(&padded[tap..]).for_each(|(sum, value)| *sum += weight * value);
        }
    }
    let mut out = vec![0.0; picture.len()];
    for (y, out) in out.chunks_exact_mut(width).enumerate() {
        for (tap, weight) in kernel.iter().enumerate() {
            let from = mirrored((y + tap) as isize - reach as isize, height) * width;
            out.iter_mut().zip(&across[from..from + width]).for_each(|(sum, value)| *sum += weight * value);
        }
    }
    out
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers in [0, 1) without a pattern.
    pub(in crate::screen) fn noise(seed: u64, at: usize) -> f32 {
        let mixed =
            (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (at as u64 + 7).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 40) as f32 / (1 << 24) as f32
    }

    pub(in crate::screen) fn look(pixels: &[u8], width: u32) -> Look {
        let height = pixels.len() as u32 / width;
        Look::of(&Frame::packed(pixels, width, height, PixelFormat::Gray8).unwrap(), None)
    }

    fn bytes(picture: &[f32]) -> Vec<u8> {
        picture.iter().map(|value| (value * 255.0).round().clamp(0.0, 255.0) as u8).collect()
    }

    #[test]
    fn level_and_saturation_are_counted_in_every_format() {
        let black_and_white = look(&[0, 255, 255, 100], 2);
        assert_eq!((black_and_white.white, black_and_white.black), (0.5, 0.25));
        assert!((black_and_white.level - 610.0 / 1020.0).abs() < 1e-6);
        let samples: Vec<u8> = [0_u16, 4095, 2048, 4095].iter().flat_map(|sample| sample.to_ne_bytes()).collect();
        let frame = Frame::packed(&samples, 2, 2, PixelFormat::Gray16).unwrap();
        assert_eq!(Look::of(&frame, Some(12)).white, 0.5);
        assert_eq!(Look::of(&frame, None).white, 0.0, "all 16 bits count");
        let rgb = Frame::packed(&[255, 0, 0, 255, 255, 255], 2, 1, PixelFormat::Rgb8).unwrap();
        let bgr = Frame::packed(&[0, 0, 255, 255, 255, 255], 2, 1, PixelFormat::Bgr8).unwrap();
        assert_eq!(Look::of(&rgb, None), Look::of(&bgr, None));
        assert!((Look::of(&rgb, None).level - (1.0 + 0.299) / 2.0).abs() < 1e-6);
    }

    #[test]
    fn blur_lowers_the_sharpness_and_contrast_does_not() {
        let picture: Vec<f32> = (0..128 * 128).map(|at| 0.2 + 0.6 * noise(1, at)).collect();
        let of = |picture: &[f32]| look(&bytes(picture), 128).sharpness;
        let plain = of(&picture);
        let weaker: Vec<f32> = picture.iter().map(|value| 0.3 + 0.4 * value).collect();
        assert!((of(&weaker) - plain).abs() < 0.1, "{plain} {}", of(&weaker));
        let falls: Vec<f64> = [0.7, 1.0, 1.5, 2.0].map(|sigma| plain - of(&gaussian(&picture, 128, sigma))).to_vec();
        assert!(falls[0] > 2.0 && falls.is_sorted(), "{falls:?}");
        assert!(of(&[0.5; 128 * 128]).abs() < 1e-9, "a picture of one value has no detail at all");
    }

    /// The average over areas as its definition says it, in double precision.
    fn oracle(picture: &[f32], (height, width): (usize, usize), to: (usize, usize)) -> Vec<f64> {
        let overlap = |at: usize, from: usize, cell: usize, to: usize| {
            let (a, b) = (at as f64 / from as f64, (at + 1) as f64 / from as f64);
            let (c, d) = (cell as f64 / to as f64, (cell + 1) as f64 / to as f64);
            ((b.min(d) - a.max(c)) * to as f64).max(0.0)
        };
        let mut out = Vec::new();
        for y in 0..to.0 {
            for x in 0..to.1 {
                let mut sum = 0.0;
                for (at, &value) in picture.iter().enumerate() {
                    sum +=
                        overlap(at / width, height, y, to.0) * overlap(at % width, width, x, to.1) * f64::from(value);
                }
                out.push(sum);
            }
        }
        out
    }

    #[test]
    fn pictures_are_mirrored_at_their_edges() {
        let found: Vec<usize> = (-4..8).map(|at| mirrored(at, 3)).collect();
        assert_eq!(found, [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 1]);
        // A linear filter of a constant is the constant, and its weights add up to 1.
        assert!(gaussian(&[0.7; 35], 7, 4.0).iter().all(|value| (value - 0.7).abs() < 1e-5));
        let total: f32 = gaussian(&[[0.0; 24], [1.0; 24]].concat(), 8, 2.0).iter().sum();
        assert!((total - 24.0).abs() < 1e-3, "mirrored edges keep the sum: {total}");
    }

    proptest! {
        #[test]
        fn reducing_averages_over_areas(height in 1_usize..12, width in 1_usize..12, rows in 1_usize..9, columns in 1_usize..9) {
            let picture: Vec<f32> = (0..height * width).map(|at| noise(3, at)).collect();
            let mut reducer = Reducer::new((height, width), (rows, columns));
            picture.chunks_exact(width).for_each(|row| reducer.push(row));
            let expected = oracle(&picture, (height, width), (rows, columns));
            for (found, expected) in reducer.out.iter().zip(&expected) {
                prop_assert!((f64::from(*found) - expected).abs() < 1e-5, "{:?} is not {:?}", reducer.out, expected);
            }
        }

        #[test]
        fn every_size_has_a_look(height in 1_usize..40, width in 1_usize..40) {
            let pixels: Vec<u8> = (0..height * width).map(|at| (noise(9, at) * 255.0) as u8).collect();
            let look = look(&pixels, width as u32);
            prop_assert!(look.sharpness.is_finite() && (0.0..=1.0).contains(&look.level));
            let mean = look.thumbnail.iter().map(|&value| f64::from(value)).sum::<f64>() / look.thumbnail.len() as f64;
            prop_assert!((mean - look.level).abs() < 1e-4, "{mean} is not {}", look.level);
        }
    }
}

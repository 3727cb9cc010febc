//! Puts a defect on an image: `pixel + alpha · (defect − pixel)`, rounded as a camera rounds.
//!
//! Nothing but the defect itself may be found, so
//!
//! - scratches, holes, stains and dents are added to the surface: its texture and the camera's noise stay;
//! - content that replaces the surface has soft edges, is never resampled (shifts are whole pixels, turns are by 90°), and where it has no
//!   noise of its own gets the camera's;
//! - a defect of contrast 0 changes no byte, whatever its kind.
//!
//! | kind | defect |
//! |---|---|
//! | scratch, hole, stain | pixel ± contrast · C |
//! | dent | pixel + contrast · C · u · exp((1 − u² − v²)/2), u along the light |
//! | missing texture | part `contrast` of: the surroundings, continued inwards (∇² = 0), and noise |
//! | shifted texture | the surface, `contrast` · size/2 away |
//! | foreign patch | part `contrast` of: a piece of another image, turned |
//!
//! C is the part's own contrast ([`Scene::contrast`]).

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    kind::{Defect, DefectKind},
    pixels::{Patch, Rect},
    scene::Scene,
    shape::Shape,
};
use crate::frame::{Frame, PixelFormat};

/// An image with a defect.
#[derive(Clone, Debug)]
pub(super) struct Painted {
    /// Packed rows.
    pub(super) data: Vec<u8>,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) format: PixelFormat,
    pub(super) significant_bits: Option<u8>,
    /// The rectangle that the defect lies in, and which of its pixels belong to the defect.
    pub(super) rect: Rect,
    pub(super) mask: Vec<bool>,
    /// Its centre, as parts of the frame's width and height.
    pub(super) centre: [f64; 2],
    /// Root mean square of what it changes in its mask, in gray levels of 255.
    pub(super) change: f64,
    /// The surface there: its mean brightness from 0 to 1, and the mean step between neighbouring pixels.
    pub(super) light: f64,
    pub(super) edges: f64,
}

impl Painted {
    /// The image as a frame.
    pub(super) fn frame(&self) -> crate::Result<Frame<'_>> {
        let frame = Frame::packed(&self.data, self.width, self.height, self.format)?;
        self.significant_bits.map_or(Ok(frame), |bits| frame.with_significant_bits(bits))
    }
}

/// Puts a defect on a frame; `donor` is another image of the part.
pub(super) fn paint(defect: &Defect, frame: &Frame<'_>, donor: &Frame<'_>, scene: &Scene) -> Painted {
    let mut random = ChaCha8Rng::seed_from_u64(defect.seed);
    let size = (frame.width() as usize, frame.height() as usize);
    let centre = scene.centre(defect, size, &mut random);
    let shape = Shape::new(defect.kind, defect.size, centre, size, &mut random);
    let before = Patch::read(frame, shape.rect);
    let mask = shape.mask();
    let target = match defect.kind {
        DefectKind::Scratch | DefectKind::Hole | DefectKind::Stain => added(defect, &before, &mask, scene, &mut random),
        DefectKind::Dent => dent(defect, &before, &shape, scene, &mut random),
        DefectKind::MissingTexture => missing(&before, &shape, scene, &mut random),
        DefectKind::ShiftedTexture => shifted(defect, frame, &before, &mut random),
        DefectKind::ForeignPatch if defect.in_place => in_place(donor, size, &before, &mask),
        DefectKind::ForeignPatch => foreign(donor, &before, &mut random),
    };
    let weight = match defect.kind {
        DefectKind::MissingTexture | DefectKind::ForeignPatch => defect.contrast as f32,
        _ => 1.0,
    };
    let mut after = before.clone();
    for (index, (value, target)) in after.values.iter_mut().zip(&target).enumerate() {
        // A dent fades by itself: its shape is only its mask.
        let alpha = if defect.kind == DefectKind::Dent { 1.0 } else { shape.alpha[index / before.channels] };
        *value += weight * alpha * (target - *value);
    }
    let white = f32::from(frame.white(None));
    let mut data: Vec<u8> = frame.rows().flatten().copied().collect();
    after.write(&mut data, size.0, frame.format(), white);
    let mut painted = Painted {
        data,
        width: frame.width(),
        height: frame.height(),
        format: frame.format(),
        significant_bits: frame.significant_bits(),
        rect: shape.rect,
        centre: [centre[0] / size.0 as f64, centre[1] / size.1 as f64],
        change: 0.0,
        light: mean(&before, &mask),
        edges: edges(&before),
        mask,
    };
    if let Ok(frame) = painted.frame() {
        painted.change = change(&before, &Patch::read(&frame, shape.rect), &painted.mask);
    }
    painted
}

/// Mean brightness of the pixels of a mask.
fn mean(patch: &Patch, mask: &[bool]) -> f64 {
    let (sum, count) = (mask.iter().enumerate().filter(|(_, inside)| **inside))
        .fold((0.0, 0), |(sum, count), (index, _)| (sum + f64::from(patch.light(index)), count + 1));
    sum / f64::from(count.max(1))
}

/// Mean step of brightness between neighbours, along rows and along columns.
fn edges(patch: &Patch) -> f64 {
    let Rect { width, height, .. } = patch.rect;
    let (mut sum, mut count) = (0.0, 0);
    for y in 1..height {
        for x in 1..width {
            let at = |x: usize, y: usize| f64::from(patch.light(y * width + x));
            sum += (at(x, y) - at(x - 1, y)).hypot(at(x, y) - at(x, y - 1));
            count += 1;
        }
    }
    sum / f64::from(count.max(1))
}

fn change(before: &Patch, after: &Patch, mask: &[bool]) -> f64 {
    let (sum, count) =
        (mask.iter().enumerate().filter(|(_, inside)| **inside)).fold((0.0, 0), |(sum, count), (index, _)| {
            let pixels = index * before.channels..(index + 1) * before.channels;
            let squares =
                before.values[pixels.clone()].iter().zip(&after.values[pixels]).map(|(a, b)| f64::from(a - b).powi(2));
            (sum + squares.sum::<f64>() / before.channels as f64, count + 1)
        });
    255.0 * (sum / f64::from(count.max(1))).sqrt()
}

/// The surface, lighter or darker: towards the side that has room where the other has not.
fn added(defect: &Defect, before: &Patch, mask: &[bool], scene: &Scene, random: &mut ChaCha8Rng) -> Vec<f32> {
    let step = (defect.contrast * scene.contrast) as f32;
    let lighter = random.random_bool(0.5) && defect.kind != DefectKind::Hole;
    let light = mean(before, mask) as f32;
    let room = |lighter: bool| if lighter { 1.0 - light } else { light };
    let lighter = if room(lighter) < 0.75 * step && room(!lighter) > room(lighter) { !lighter } else { lighter };
    let tint: [f32; 3] = match (defect.kind, before.channels) {
        (DefectKind::Stain, 3) => {
            let weights: [f32; 3] = std::array::from_fn(|_| random.random_range(0.4..1.6));
            weights.map(|weight| 3.0 * weight / weights.iter().sum::<f32>())
        }
        _ => [1.0; 3],
    };
    let sign = if lighter { 1.0 } else { -1.0 };
    before.values.iter().enumerate().map(|(at, value)| value + sign * step * tint[at % before.channels]).collect()
}

/// Light on one side and dark on the other, strongest a quarter of the size from the middle.
fn dent(defect: &Defect, before: &Patch, shape: &Shape, scene: &Scene, random: &mut ChaCha8Rng) -> Vec<f32> {
    let angle = random.random_range(0.0..std::f64::consts::TAU);
    let step = defect.contrast * scene.contrast;
    let radius = 0.25 * defect.size.max(1.0);
    let offsets: Vec<f32> = shape
        .offsets()
        .map(|[x, y]| {
            let (u, v) = ((x * angle.cos() + y * angle.sin()) / radius, (y * angle.cos() - x * angle.sin()) / radius);
            (step * u * (0.5 * (1.0 - u * u - v * v)).exp()) as f32
        })
        .collect();
    before.values.iter().enumerate().map(|(at, value)| value + offsets[at / before.channels]).collect()
}

/// The surroundings, continued over the shape so that each pixel is the mean of its neighbours, with the camera's noise.
fn missing(before: &Patch, shape: &Shape, scene: &Scene, random: &mut ChaCha8Rng) -> Vec<f32> {
    let Rect { width, height, .. } = before.rect;
    let channels = before.channels;
    let mut values = before.values.clone();
    let is_inner = |index: usize| {
        let (x, y) = (index % width, index / width);
        shape.alpha[index] > 0.0 && x > 0 && y > 0 && x + 1 < width && y + 1 < height
    };
    let inner: Vec<bool> = (0..before.rect.len()).map(is_inner).collect();
    for channel in 0..channels {
        let mut plane: Vec<f32> = values.iter().skip(channel).step_by(channels).copied().collect();
        let outside = || plane.iter().zip(&shape.alpha).filter(|(_, alpha)| **alpha <= 0.0).map(|(value, _)| *value);
        let start = (outside().map(f64::from).sum::<f64>() / outside().count().max(1) as f64) as f32;
        plane.iter_mut().zip(&inner).filter(|(_, inner)| **inner).for_each(|(value, _)| *value = start);
        fill(&mut plane, &inner, width);
        values.iter_mut().skip(channel).step_by(channels).zip(plane).for_each(|(value, filled)| *value = filled);
    }
    for (pixel, _) in values.chunks_exact_mut(channels).zip(&inner).filter(|(_, inner)| **inner) {
        let noise = scene.noise as f32 * normal(random);
        pixel.iter_mut().for_each(|value| *value += noise);
    }
    values
}

/// Solves Laplace's equation on the inner pixels of a plane, until no value changes by a hundredth of a gray level: by successive over-relaxation on
/// a small plane; on a larger one from the solution at half of its size, by the method of Gauss and Seidel.
fn fill(plane: &mut [f32], inner: &[bool], width: usize) {
    const SMALL: usize = 64;
    const LEAST_STEP: f32 = 0.01 / 255.0;
    let height = plane.len() / width;
    let side = width.min(height);
    if side > SMALL {
        let (columns, rows) = (width.div_ceil(2), height.div_ceil(2));
        // First and last rows and columns fall on the first and last, which are known.
        let at = |index: usize| {
            let nearest = |step: usize, steps: usize, all: usize| (step * (all - 1) + (steps - 1) / 2) / (steps - 1);
            nearest(index / columns, rows, height) * width + nearest(index % columns, columns, width)
        };
        let mut half: Vec<f32> = (0..columns * rows).map(|index| plane[at(index)]).collect();
        fill(&mut half, &(0..columns * rows).map(|index| inner[at(index)]).collect::<Vec<_>>(), columns);
        let between = |index: usize| {
            let place = |step: usize, all: usize, steps: usize| {
                let place = step as f32 * (steps - 1) as f32 / (all - 1) as f32;
                let low = (place as usize).min(steps - 2);
                (low, place - low as f32)
            };
            let ((x, right), (y, down)) = (place(index % width, width, columns), place(index / width, height, rows));
            let row = |y: usize| half[y * columns + x] * (1.0 - right) + half[y * columns + x + 1] * right;
            row(y) * (1.0 - down) + row(y + 1) * down
        };
        let pixels = plane.iter_mut().enumerate().zip(inner).filter(|(_, inner)| **inner);
        pixels.for_each(|((index, value), _)| *value = between(index));
    }
    let omega = if side > SMALL { 1.0 } else { 2.0 / (1.0 + (std::f32::consts::PI / (side as f32 + 1.0)).sin()) };
    let inner: Vec<usize> = inner.iter().enumerate().filter(|(_, inner)| **inner).map(|(index, _)| index).collect();
    for _ in 0..4 * side {
        let mut most = 0.0_f32;
        for &index in &inner {
            let mean = 0.25 * (plane[index - 1] + plane[index + 1] + plane[index - width] + plane[index + width]);
            let step = omega * (mean - plane[index]);
            plane[index] += step;
            most = most.max(step.abs());
        }
        if most < LEAST_STEP {
            return;
        }
    }
}

/// The surface a whole number of pixels away, at least one unless the contrast is 0.
fn shifted(defect: &Defect, frame: &Frame<'_>, before: &Patch, random: &mut ChaCha8Rng) -> Vec<f32> {
    let angle = random.random_range(0.0..std::f64::consts::TAU);
    let distance = 0.5 * defect.contrast * defect.size;
    let mut by = [angle.cos(), angle.sin()].map(|part| (distance * part).round() as isize);
    if by == [0, 0] && defect.contrast > 0.0 {
        by = if angle.cos().abs() > angle.sin().abs() { [1, 0] } else { [0, 1] };
    }
    let rect = before.rect;
    // A shift that would leave the frame goes the other way.
    let turned = |from: usize, length: usize, by: isize, all: u32| {
        let inside = |by: isize| from as isize + by >= 0 && (from + length) as isize + by <= all as isize;
        if inside(by) || !inside(-by) { by } else { -by }
    };
    let by = [turned(rect.x, rect.width, by[0], frame.width()), turned(rect.y, rect.height, by[1], frame.height())];
    let at = |at: usize, by: isize, all: u32| (at as isize + by).clamp(0, all as isize - 1) as usize;
    let from = |x, y| (at(rect.x + x, by[0], frame.width()), at(rect.y + y, by[1], frame.height()));
    Patch::read_mapped(frame, rect, before.channels, from).values
}

/// A piece of the donor from anywhere, turned or mirrored.
fn foreign(donor: &Frame<'_>, before: &Patch, random: &mut ChaCha8Rng) -> Vec<f32> {
    let rect = before.rect;
    let side = rect.width.max(rect.height);
    let (width, height) = (donor.width() as usize, donor.height() as usize);
    let corner = [width, height].map(|length| random.random_range(0..=length.saturating_sub(side)));
    let turn = random.random_range(1..8_u8);
    let from = |x: usize, y: usize| {
        let (x, y) = if turn & 1 == 0 { (x, y) } else { (y, x) };
        let x = if turn & 2 == 0 { x } else { side - 1 - x };
        let y = if turn & 4 == 0 { y } else { side - 1 - y };
        ((corner[0] + x).min(width - 1), (corner[1] + y).min(height - 1))
    };
    Patch::read_mapped(donor, rect, before.channels, from).values
}

/// The same place of the donor, with the brightness and contrast that the surface has in the mask: of each channel, mean and standard
/// deviation. The deviation changes by a factor of at most 2.
fn in_place(donor: &Frame<'_>, (width, height): (usize, usize), before: &Patch, mask: &[bool]) -> Vec<f32> {
    let rect = before.rect;
    let corner = |at: usize, length: usize, own: usize, other: usize| {
        let middle = (2 * at + length) * other / (2 * own);
        middle.saturating_sub(length / 2).min(other.saturating_sub(length))
    };
    let (all_x, all_y) = (donor.width() as usize, donor.height() as usize);
    let (left, top) = (corner(rect.x, rect.width, width, all_x), corner(rect.y, rect.height, height, all_y));
    let from = |x: usize, y: usize| ((left + x).min(all_x - 1), (top + y).min(all_y - 1));
    let mut piece = Patch::read_mapped(donor, rect, before.channels, from);
    for channel in 0..before.channels {
        let ([own, own_spread], [other, other_spread]) =
            (moments(before, mask, channel), moments(&piece, mask, channel));
        let gain = if other_spread > 0.0 { (own_spread / other_spread).clamp(0.5, 2.0) } else { 1.0 };
        let values = piece.values.iter_mut().skip(channel).step_by(before.channels);
        values.for_each(|value| *value = own + gain * (*value - other));
    }
    piece.values
}

/// Mean and standard deviation of a channel in a mask.
fn moments(patch: &Patch, mask: &[bool], channel: usize) -> [f32; 2] {
    let values = patch.values.iter().skip(channel).step_by(patch.channels);
    let inside = || values.clone().zip(mask).filter(|(_, inside)| **inside).map(|(value, _)| f64::from(*value));
    let count = inside().count().max(1) as f64;
    let mean = inside().sum::<f64>() / count;
    let variance = inside().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count;
    [mean, variance.sqrt()].map(|value| value as f32)
}

/// A standard normal number (Box and Muller, 1958).
fn normal(random: &mut ChaCha8Rng) -> f32 {
    let (a, b): (f32, f32) =
        (random.random_range(f32::MIN_POSITIVE..1.0), random.random_range(0.0..std::f32::consts::TAU));
    (-2.0 * a.ln()).sqrt() * b.cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A harmonic function is known from its values around the part that is filled: x² − y², scaled.
    #[test]
    fn a_filled_plane_is_harmonic() {
        for side in [20_usize, 64, 65, 300, 301] {
            let of = |index: usize| {
                let (x, y) = ((index % side) as f32 / side as f32, (index / side) as f32 / side as f32);
                0.5 + 0.4 * (x * x - y * y)
            };
            let middle = side as f32 / 2.0;
            let inner: Vec<bool> = (0..side * side)
                .map(|index| {
                    ((index % side) as f32 - middle).hypot((index / side) as f32 - middle) < 0.45 * side as f32
                })
                .collect();
            let mut plane: Vec<f32> = (0..side * side).map(|at| if inner[at] { 0.5 } else { of(at) }).collect();
            fill(&mut plane, &inner, side);
            let worst = plane.iter().enumerate().map(|(at, value)| (value - of(at)).abs()).fold(0.0, f32::max);
            assert!(worst < 3.0 / 255.0, "{side}: {worst}");
        }
    }

    /// The largest defect of a camera of twelve megapixels takes a moment, not minutes.
    #[test]
    fn a_large_plane_is_filled_in_few_sweeps() {
        let side = 1600_usize;
        let inner: Vec<bool> = (0..side * side)
            .map(|at| at % side > 2 && at / side > 2 && at % side + 3 < side && at / side + 3 < side)
            .collect();
        let mut plane: Vec<f32> =
            (0..side * side).map(|at| if inner[at] { 0.5 } else { (at % side) as f32 / side as f32 }).collect();
        let begun = std::time::Instant::now();
        fill(&mut plane, &inner, side);
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
        let worst = (0..side * side).map(|at| (plane[at] - (at % side) as f32 / side as f32).abs()).fold(0.0, f32::max);
        assert!(worst < 6.0 / 255.0, "{worst}");
    }
}

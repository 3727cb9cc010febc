//! A grid printed in dark ink on a pale board, with a round pad at every crossing.
//!
//! The board has a faint grain. The ink is a smooth mark of the distance to the nearest line or pad, with edges that
//! creep a little and a density that varies, as from a screen printer.

use rand::{Rng, RngExt};

use super::{
    Defect,
    noise::{fractal, lerp, noise, noise_along, step},
    scene::{Camera, Sample, Surface},
    shape::{Damage, Part, Shape},
};

/// Distance between neighbouring lines, in pixels.
const PITCH: f32 = 34.0;
/// Half the width of a line, in pixels.
const LINE: f32 = 2.4;
/// Radius of a pad, in pixels.
const PAD: f32 = 6.4;
const BOARD: [f32; 3] = [0.66, 0.63, 0.55];
const INK: [f32; 3] = [0.045, 0.085, 0.115];

pub(super) struct Print<'a> {
    seed: u32,
    damage: Option<&'a Damage>,
}

impl<'a> Print<'a> {
    pub(super) fn new(seed: u32, damage: Option<&'a Damage>) -> Self {
        Self { seed, damage }
    }

    /// A stretch of one line, with the pads on it, that was not printed.
    pub(super) fn missing(rng: &mut impl Rng, camera: Camera, size: f32) -> Part {
        let length = lerp(32.0, 100.0, size);
        let vertical = rng.random();
        let centre = camera.to_object(rng.random_range(70.0..186.0), rng.random_range(70.0..186.0));
        let [across, along] = if vertical { centre } else { [centre[1], centre[0]] };
        let first = (across / PITCH).round() as i32;
        Part { vertical, first, count: 1, from: along - length / 2.0, to: along + length / 2.0 }
    }

    /// Ink at the point, 0 to 1, and how much of it is missing.
    fn ink(&self, u: f32, v: f32) -> (f32, f32) {
        let creep = 0.45 * noise(self.seed ^ 4, u / 3.5, v / 3.5);
        let (column, row) = ((u / PITCH).round(), (v / PITCH).round());
        let drift = |seed: u32, line: f32, along: f32| 0.4 * noise_along(self.seed ^ seed, line as i32, along / 50.0);
        let (du, dv) = (u - column * PITCH - drift(5, column, v), v - row * PITCH - drift(6, row, u));
        let mark = |distance: f32| step(0.7, -0.7, distance + creep);
        let (vertical, horizontal) = (mark(du.abs() - LINE), mark(dv.abs() - LINE));
        let pad = mark(du.hypot(dv) - PAD);
        let whole = vertical.max(horizontal).max(pad);
        let Some(Damage { shape: Shape::Part(part), seed, .. }) = self.damage else { return (whole, 0.0) };
        let (line, along) = if part.vertical { (column, v) } else { (row, u) };
        if !part.has(part.vertical, line as i32) {
            return (whole, 0.0);
        }
        let ragged = 2.0 * noise(*seed, u / 2.5, v / 2.5);
        let gone = step(-0.9, 0.9, part.inside(along) + ragged);
        // The crossing lines are printed all the same; a pad goes with its line.
        let crossing = if part.vertical { horizontal } else { vertical };
        let left = lerp(whole, crossing, gone);
        (left, whole - left)
    }

    /// A puncture: dark inside, with a torn, raised edge of bare board.
    fn hole(damage: &Damage, sample: &mut Sample, u: f32, v: f32) {
        let Shape::Spot(spot) = &damage.shape else { return };
        let distance = spot.distance(u, v) + 1.3 * noise(damage.seed, u / 2.2, v / 2.2);
        let inside = step(0.7, -0.7, distance);
        let torn = step(4.2, 2.2, distance) * (1.0 - inside);
        for (value, bare) in sample.albedo.iter_mut().zip([0.72, 0.69, 0.62]) {
            *value = lerp(lerp(*value, bare, 0.85 * torn), 0.02, inside);
        }
        sample.height += 1.6 * torn * (1.0 + 0.5 * noise(damage.seed ^ 3, u / 1.8, v / 1.8)) - 2.0 * inside;
        sample.gloss *= 1.0 - inside;
        sample.damage = if distance < 3.2 { 1.0 } else { 0.0 };
    }

    /// A scratch: the ink scraped off, the board scored.
    fn scratch(damage: &Damage, sample: &mut Sample, u: f32, v: f32) {
        let Shape::Stroke(stroke) = &damage.shape else { return };
        let (distance, place) = stroke.nearest(u, v);
        let width = stroke.half_width_at(place) * (1.0 + 0.3 * noise(damage.seed, place * 45.0, 0.0));
        let cut = step(width + 0.6, width - 0.6, distance.abs());
        let scored = [0.43, 0.405, 0.36].map(|value| value * (1.0 + 0.15 * noise(damage.seed ^ 2, u / 1.7, v / 1.7)));
        for (value, scored) in sample.albedo.iter_mut().zip(scored) {
            *value = lerp(*value, scored, 0.85 * cut);
        }
        sample.height -= 1.1 * cut;
        sample.damage = if distance.abs() < width + 0.7 { 1.0 } else { 0.0 };
    }

    /// A stain: thinned ink or oil that ran over the board and dried with a dark rim.
    fn stain(damage: &Damage, sample: &mut Sample, u: f32, v: f32) {
        let Shape::Spot(spot) = &damage.shape else { return };
        let distance = spot.distance(u, v) + 1.6 * fractal(damage.seed, u / 11.0, v / 11.0, 3);
        let wet = step(1.2, -1.2, distance);
        let rim = (-((distance + 1.8) / 1.5).powi(2)).exp();
        let density = wet * (0.34 + 0.13 * fractal(damage.seed ^ 5, u / 20.0, v / 20.0, 3) + 0.3 * rim);
        for (value, absorbed) in sample.albedo.iter_mut().zip([0.65, 0.85, 1.25]) {
            *value *= (1.0 - density * absorbed).max(0.05);
        }
        sample.damage = wet;
    }
}

impl Surface for Print<'_> {
    fn sample(&self, u: f32, v: f32) -> Sample {
        let grain = fractal(self.seed, u / 2.4, v / 2.4, 2);
        let clouds = noise(self.seed ^ 1, u / 60.0, v / 60.0);
        let board = BOARD.map(|value| value * (1.0 + 0.045 * grain + 0.02 * clouds));
        let (ink, missing) = self.ink(u, v);
        let density = 0.95 + 0.03 * fractal(self.seed ^ 2, u / 7.0, v / 7.0, 2);
        let mut sample = Sample {
            height: 0.10 * grain + 0.35 * ink,
            albedo: std::array::from_fn(|channel| lerp(board[channel], INK[channel], ink * density)),
            gloss: 0.01 + 0.02 * ink,
            damage: missing,
        };
        if let Some(damage) = self.damage {
            match damage.defect {
                Defect::Hole => Self::hole(damage, &mut sample, u, v),
                Defect::Scratch => Self::scratch(damage, &mut sample, u, v),
                Defect::Stain => Self::stain(damage, &mut sample, u, v),
                Defect::MissingPart => {}
            }
        }
        sample
    }
}

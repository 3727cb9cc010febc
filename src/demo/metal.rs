//! A brushed sheet of metal with rows of rivets.
//!
//! Brushing leaves streaks along u: noise stretched sixty-fold, in several widths. Rivets are domes in a shallow seat, every [`PITCH`]
//! pixels in both directions; the position and tilt of each varies a little.

use rand::{Rng, RngExt};

use super::{
    Defect,
    noise::{fractal, lattice, lerp, noise, step},
    scene::{Camera, Sample, Surface},
    shape::{Damage, Part, Shape},
};

/// Distance between neighbouring rivets, in pixels.
const PITCH: f32 = 74.0;
/// Radius of a rivet's head, in pixels.
const HEAD: f32 = 11.0;
const SHEET: [f32; 3] = [0.36, 0.37, 0.385];
const RUST: [f32; 3] = [0.30, 0.155, 0.07];

pub(super) struct Metal<'a> {
    seed: u32,
    damage: Option<&'a Damage>,
}

impl<'a> Metal<'a> {
    pub(super) fn new(seed: u32, damage: Option<&'a Damage>) -> Self {
        Self { seed, damage }
    }

    /// One rivet, or two neighbours at the larger sizes.
    pub(super) fn missing(rng: &mut impl Rng, camera: Camera, size: f32) -> Part {
        let centre = camera.to_object(rng.random_range(90.0..166.0), rng.random_range(90.0..166.0));
        let along = (centre[0] / PITCH).round() * PITCH;
        let further = if size > 0.6 { PITCH } else { 0.0 };
        let first = (centre[1] / PITCH).round() as i32;
        Part { vertical: false, first, count: 1, from: along - PITCH / 3.0, to: along + further + PITCH / 3.0 }
    }

    fn sheet(&self, u: f32, v: f32) -> Sample {
        let fine = noise(self.seed, u / 50.0, v / 0.9);
        let middle = noise(self.seed ^ 1, u / 110.0, v / 2.6);
        let broad = noise(self.seed ^ 2, u / 220.0, v / 9.0);
        let grain = noise(self.seed ^ 3, u / 4.0, v / 1.1);
        let streak = 0.075 * fine + 0.07 * middle + 0.035 * broad + 0.03 * grain;
        Sample {
            height: 0.10 * fine + 0.10 * middle,
            albedo: SHEET.map(|value| value * (1.0 + streak)),
            gloss: 0.10 * (1.0 + 2.0 * streak),
            damage: 0.0,
        }
    }

    /// Adds the rivet nearest to the point, or its hole.
    fn rivet(&self, sample: &mut Sample, u: f32, v: f32) {
        let (column, row) = ((u / PITCH).round() as i32, (v / PITCH).round() as i32);
        let jitter = |seed: u32| 0.8 * lattice(self.seed ^ seed, column, row);
        let (du, dv) = (u - column as f32 * PITCH - jitter(41), v - row as f32 * PITCH - jitter(42));
        let distance = du.hypot(dv);
        if distance > HEAD + 4.0 {
            return;
        }
        let missing = self.damage.is_some_and(|damage| {
            matches!(damage.shape, Shape::Part(part) if part.has(false, row) && part.inside(column as f32 * PITCH) > 0.0)
        });
        if missing {
            self.empty_seat(sample, distance);
            return;
        }
        let inside = step(HEAD + 0.6, HEAD - 0.6, distance);
        let dome = (1.0 - (distance / (HEAD * 1.08)).powi(2)).max(0.0).sqrt();
        let turned = noise(self.seed ^ 43, distance * 1.3, (column * 31 + row) as f32);
        let shadow = 1.0 - 0.45 * step(HEAD + 3.5, HEAD, distance) * (1.0 - inside);
        let tilt = 0.03 * (jitter(44) * du + jitter(45) * dv);
        sample.height = lerp(sample.height, 6.5 * dome + tilt, inside);
        sample.gloss = lerp(sample.gloss, 0.30, inside);
        for (value, sheet) in sample.albedo.iter_mut().zip(SHEET) {
            *value = lerp(*value * shadow, sheet * 0.92 * (1.0 + 0.05 * turned), inside);
        }
    }

    /// The place of a missing rivet: a drilled hole inside the ring that the rivet's head pressed into the sheet.
    fn empty_seat(&self, sample: &mut Sample, distance: f32) {
        let hole = step(HEAD * 0.55 + 0.6, HEAD * 0.55 - 0.6, distance);
        let seat = step(HEAD + 0.5, HEAD - 0.5, distance);
        sample.height += -0.5 * seat - 4.0 * hole;
        sample.gloss *= 1.0 - hole;
        for value in &mut sample.albedo {
            *value *= lerp(lerp(1.0, 0.84, seat), 0.06, hole);
        }
        sample.damage = seat;
    }

    /// A punched hole: dark inside, its far wall lit, a bright burr pushed up around it.
    fn hole(damage: &Damage, sample: &mut Sample, u: f32, v: f32) {
        let Shape::Spot(spot) = &damage.shape else { return };
        let distance = spot.distance(u, v);
        let inside = step(0.7, -0.7, distance);
        let burr = (-((distance - 1.4) / 1.2).powi(2)).exp();
        let [x, y] = spot.offset(u, v);
        let wall = inside * step(-0.25 * spot.radius - 2.0, 0.0, distance) * step(-0.2, 1.0, x + y);
        sample.height += 1.7 * burr * (1.0 - inside) - 1.0 * inside;
        sample.gloss = lerp(sample.gloss, 0.0, inside) + 0.05 * burr * (1.0 - inside);
        for value in &mut sample.albedo {
            *value = lerp(*value, 0.018 + 0.14 * wall, inside);
        }
        sample.damage = inside.max(if distance < 2.6 { 1.0 } else { 0.0 });
    }

    /// A groove across the brushing: bright metal with a shaded and a lit flank.
    fn scratch(damage: &Damage, sample: &mut Sample, u: f32, v: f32) {
        let Shape::Stroke(stroke) = &damage.shape else { return };
        let (distance, place) = stroke.nearest(u, v);
        let width = stroke.half_width_at(place);
        let cut = step(width + 0.6, width - 0.6, distance.abs());
        let chatter = 0.8 + 0.2 * noise(damage.seed, place * 60.0, 0.0);
        let ridge = (-((distance - width - 0.9) / 0.8).powi(2)).exp();
        sample.height += -2.2 * cut * chatter + 0.8 * ridge;
        for (value, fresh) in sample.albedo.iter_mut().zip([0.62, 0.63, 0.64]) {
            *value = lerp(*value, fresh * chatter, 0.85 * cut);
        }
        sample.gloss = lerp(sample.gloss, 0.22, cut);
        sample.damage = if distance.abs() < width + 1.0 { 1.0 } else { 0.0 };
    }

    /// Rust: brown, dull, rough grains that become sparse towards the rim.
    fn stain(damage: &Damage, sample: &mut Sample, u: f32, v: f32) {
        let Shape::Spot(spot) = &damage.shape else { return };
        let distance = spot.distance(u, v);
        let depth = (-distance / spot.radius).clamp(-1.0, 1.0);
        let grains = fractal(damage.seed, u / 5.0, v / 4.0, 3);
        let bloom = step(3.0, -5.0, distance) * (0.48 + 0.25 * depth);
        let density = (bloom + 0.55 * grains * step(4.0, -2.0, distance)).clamp(0.0, 0.9);
        let tone = 1.0 + 0.35 * fractal(damage.seed ^ 9, u / 2.2, v / 2.2, 2);
        for (value, rust) in sample.albedo.iter_mut().zip(RUST) {
            *value = lerp(*value, rust * tone, density);
        }
        sample.gloss *= 1.0 - density;
        sample.height += 0.5 * density * grains;
        sample.damage = step(2.0, 0.0, distance);
    }
}

impl Surface for Metal<'_> {
    fn sample(&self, u: f32, v: f32) -> Sample {
        let mut sample = self.sheet(u, v);
        self.rivet(&mut sample, u, v);
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

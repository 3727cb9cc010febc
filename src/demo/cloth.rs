//! Plain-woven cloth: two sets of round yarns that pass over and under each other.
//!
//! Warp yarns run along v, weft yarns along u, one every [`PITCH`] pixels. A yarn is a half cylinder whose height swings
//! with the weave. Where both yarns cover a point, the higher one is visible; in the gaps, the dark ground. Each yarn wanders,
//! swells and fades a little along its length, and its fibres give it a grain.

use rand::{Rng, RngExt};

use super::{
    Defect,
    noise::{fractal, lattice, lerp, noise, noise_along, step},
    scene::{Camera, Sample, Surface},
    shape::{Damage, Part, Shape},
};

/// Distance between neighbouring yarns, in pixels.
const PITCH: f32 = 8.0;
const WARP: [f32; 3] = [0.115, 0.185, 0.30];
const WEFT: [f32; 3] = [0.33, 0.345, 0.35];
const GROUND: [f32; 3] = [0.022, 0.028, 0.036];

pub(super) struct Cloth<'a> {
    seed: u32,
    damage: Option<&'a Damage>,
}

/// A yarn at one point: its height (negative if the point is beside the yarn) and its colour.
struct Yarn {
    cover: f32,
    height: f32,
    albedo: [f32; 3],
    missing: f32,
}

impl<'a> Cloth<'a> {
    pub(super) fn new(seed: u32, damage: Option<&'a Damage>) -> Self {
        Self { seed, damage }
    }

    /// One to three neighbouring yarns are missing, over a length that grows with `size`.
    pub(super) fn missing(rng: &mut impl Rng, camera: Camera, size: f32) -> Part {
        let length = lerp(60.0, 160.0, size);
        let vertical = rng.random();
        let centre = camera.to_object(rng.random_range(80.0..176.0), rng.random_range(80.0..176.0));
        let [across, along] = if vertical { centre } else { [centre[1], centre[0]] };
        Part {
            vertical,
            first: (across / PITCH).round() as i32,
            count: 1 + (size * 2.9) as i32,
            from: along - length / 2.0,
            to: along + length / 2.0,
        }
    }

    /// The yarn of one direction at the point `across`, `along` it.
    fn yarn(&self, vertical: bool, across: f32, along: f32, u: f32, v: f32) -> Yarn {
        let seed = self.seed.wrapping_add(if vertical { 11 } else { 23 });
        let line = (across / PITCH).round();
        let index = line as i32;
        let centre = line * PITCH + 0.7 * noise_along(seed, index, along / 45.0);
        let radius = PITCH * 0.49 * (1.0 + 0.10 * noise_along(seed ^ 1, index, along / 30.0));
        let offset = (across - centre) / radius;
        let crimp = (std::f32::consts::PI * (along / PITCH + line)).cos() * if vertical { 1.0 } else { -1.0 };
        let round = (1.0 - offset * offset).max(0.0).sqrt();
        let twist = noise(seed ^ 2, across * 0.9 + along * 0.45, along * 0.35 - across * 0.2 + line * 37.0);
        let shade = 1.0 + 0.05 * lattice(seed ^ 3, index, 0) + 0.05 * noise_along(seed ^ 4, index, along / 60.0);
        let colour = if vertical { WARP } else { WEFT };
        Yarn {
            cover: step(0.0, 0.35, round),
            height: 1.7 * round + 0.95 * crimp + 0.16 * twist,
            albedo: colour.map(|value| value * shade * (1.0 + 0.20 * twist)),
            missing: self.missing_here(vertical, index, along, u, v),
        }
    }

    /// The share of this yarn that a hole or a pulled yarn removed: 0 intact, 1 gone.
    fn missing_here(&self, vertical: bool, index: i32, along: f32, u: f32, v: f32) -> f32 {
        match self.damage {
            Some(Damage { shape: Shape::Part(part), seed, .. }) if part.has(vertical, index) => {
                let frayed = 5.0 * lattice(*seed, index, i32::from(along > (part.from + part.to) / 2.0));
                step(-0.7, 0.7, part.inside(along) + frayed)
            }
            Some(Damage { defect: Defect::Hole, shape: Shape::Spot(spot), seed }) => {
                let frayed = 3.2 * lattice(*seed, index, i32::from(vertical)) - 1.0;
                step(-0.7, 0.7, -(spot.distance(u, v) + frayed))
            }
            _ => 0.0,
        }
    }

    /// A stain: dye or oil that soaked in, darker at the rim, where it dried last.
    fn stain(damage: &Damage, sample: &mut Sample, u: f32, v: f32) {
        let Shape::Spot(spot) = &damage.shape else { return };
        let distance = spot.distance(u, v) + 2.2 * fractal(damage.seed, u / 9.0, v / 9.0, 3);
        let wet = step(1.8, -1.8, distance);
        let rim = (-((distance + 2.5) / 2.5).powi(2)).exp();
        let density = wet * (0.62 + 0.2 * fractal(damage.seed ^ 5, u / 24.0, v / 24.0, 2)) + 0.28 * rim * wet;
        let absorbed = [0.42, 0.62, 0.85];
        for (value, absorbed) in sample.albedo.iter_mut().zip(absorbed) {
            *value *= (1.0 - density * absorbed).max(0.05);
        }
        sample.damage = wet;
    }

    /// A scrape: fibres torn up into a pale fuzz that hides the weave.
    fn scratch(damage: &Damage, sample: &mut Sample, u: f32, v: f32) {
        let Shape::Stroke(stroke) = &damage.shape else { return };
        let (distance, place) = stroke.nearest(u, v);
        let width = stroke.half_width_at(place) * (1.0 + 0.5 * noise(damage.seed, u / 3.0, v / 3.0));
        let torn = step(width + 0.8, width - 0.8, distance.abs());
        let fuzz = noise(damage.seed ^ 7, u / 1.6, v / 1.6);
        let pale = [0.52, 0.54, 0.56].map(|value: f32| value * (1.0 + 0.22 * fuzz));
        for (value, pale) in sample.albedo.iter_mut().zip(pale) {
            *value = lerp(*value, pale, 0.9 * torn);
        }
        sample.height = lerp(sample.height, 0.6 + 0.8 * fuzz, torn * 0.85);
        sample.damage = torn;
    }
}

impl Surface for Cloth<'_> {
    fn sample(&self, u: f32, v: f32) -> Sample {
        // Cloth is never perfectly straight.
        let wander = |seed: u32| 1.6 * noise(self.seed ^ seed, u / 90.0, v / 90.0);
        let (x, y) = (u + wander(31), v + wander(32));
        let warp = self.yarn(true, x, y, u, v);
        let weft = self.yarn(false, y, x, u, v);
        let (warp_cover, weft_cover) = (warp.cover * (1.0 - warp.missing), weft.cover * (1.0 - weft.missing));
        let over = step(-0.35, 0.35, warp.height - weft.height);
        // The upper layer hides the lower one in proportion to its coverage.
        let warp_seen = warp_cover * lerp(1.0 - weft_cover, 1.0, over);
        let weft_seen = weft_cover * lerp(1.0, 1.0 - warp_cover, over);
        let ground = (1.0 - warp_seen - weft_seen).max(0.0);
        let height = warp_seen * warp.height + weft_seen * weft.height - 2.2 * ground;
        let shadow = lerp(0.55, 1.0, step(-1.2, 2.0, height));
        let mut sample = Sample {
            height,
            albedo: std::array::from_fn(|channel| {
                shadow * (warp_seen * warp.albedo[channel] + weft_seen * weft.albedo[channel])
                    + ground * GROUND[channel]
            }),
            gloss: 0.015,
            damage: warp.missing.max(weft.missing),
        };
        match self.damage {
            Some(damage) if damage.defect == Defect::Stain => Self::stain(damage, &mut sample, u, v),
            Some(damage) if damage.defect == Defect::Scratch => Self::scratch(damage, &mut sample, u, v),
            _ => {}
        }
        sample
    }
}

//! Shapes of defects: irregular spots, curved strokes, and stretches of a regular pattern.
//!
//! Shapes use the object's coordinates. They return signed distances in pixels, negative inside, from which a material
//! draws soft edges, rims and shadows.

use std::f32::consts::TAU;

use rand::{Rng, RngExt};

use super::{
    Defect,
    noise::lerp,
    scene::{Camera, SIDE},
};

/// A defect to draw: its kind, its place and the seed of its texture.
#[derive(Clone, Debug)]
pub(super) struct Damage {
    pub(super) defect: Defect,
    pub(super) shape: Shape,
    pub(super) seed: u32,
}

/// The geometry of a defect.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    /// A spot with an uneven outline.
    Spot(Spot),
    /// A thin curved line.
    Stroke(Stroke),
    /// A stretch of a regular pattern.
    Part(Part),
}

/// A disc whose radius varies with the angle.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    centre: [f32; 2],
    /// Mean radius.
    pub(super) radius: f32,
    waves: [(f32, f32); 5],
}

/// A quadratic Bézier curve as a polyline.
#[derive(Clone, Debug)]
pub(super) struct Stroke {
    points: Vec<[f32; 2]>,
    /// Half the width at the widest place.
    pub(super) half_width: f32,
}

/// Neighbouring lines of a pattern, between two places along them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Whether the lines run along v (down the object); otherwise along u.
    pub(super) vertical: bool,
    /// Index of the first line.
    pub(super) first: i32,
    /// Number of lines.
    pub(super) count: i32,
    /// Where the stretch begins.
    pub(super) from: f32,
    /// Where it ends.
    pub(super) to: f32,
}

impl Part {
    /// Whether `line` in the direction `vertical` belongs to this stretch.
    pub(super) fn has(&self, vertical: bool, line: i32) -> bool {
        self.vertical == vertical && (self.first..self.first + self.count).contains(&line)
    }

    /// Distance along the line to the nearer end of the stretch; positive inside.
    pub(super) fn inside(&self, along: f32) -> f32 {
        (along - self.from).min(self.to - along)
    }
}

/// A random place in the picture at least `margin` pixels from its border, in the object's coordinates.
fn place(rng: &mut impl Rng, camera: Camera, margin: f32) -> [f32; 2] {
    let margin = margin.min(SIDE as f32 * 0.45);
    let mut draw = || rng.random_range(margin..SIDE as f32 - margin);
    let (x, y) = (draw(), draw());
    camera.to_object(x, y)
}

impl Spot {
    /// A spot of about `radius`; its outline varies by `unevenness` (relative).
    pub(super) fn draw(rng: &mut impl Rng, camera: Camera, radius: f32, unevenness: f32) -> Self {
        let waves = std::array::from_fn(|wave| {
            let amplitude = unevenness * rng.random_range(0.4..1.0) / (1.0 + wave as f32 * 0.7);
            (amplitude, rng.random_range(0.0..TAU))
        });
        Self { centre: place(rng, camera, radius * 1.3 + 8.0), radius, waves }
    }

    /// Signed distance to the outline.
    pub(super) fn distance(&self, u: f32, v: f32) -> f32 {
        let (du, dv) = (u - self.centre[0], v - self.centre[1]);
        let from_centre = du.hypot(dv);
        if from_centre > 3.0 * self.radius {
            return from_centre - self.radius;
        }
        let angle = dv.atan2(du);
        let uneven: f32 = (self.waves.iter().zip(2..))
            .map(|((amplitude, phase), order)| amplitude * (order as f32 * angle + phase).cos())
            .sum();
        from_centre - self.radius * (1.0 + uneven)
    }

    /// Direction from the centre, of length 1 at the mean radius.
    pub(super) fn offset(&self, u: f32, v: f32) -> [f32; 2] {
        [(u - self.centre[0]) / self.radius, (v - self.centre[1]) / self.radius]
    }
}

impl Stroke {
    /// A slightly bent stroke of the given length at a random angle.
    pub(super) fn draw(rng: &mut impl Rng, camera: Camera, length: f32, half_width: f32) -> Self {
        const SEGMENTS: usize = 20;
        let angle = rng.random_range(0.0..TAU);
        let along = [angle.cos() * length / 2.0, angle.sin() * length / 2.0];
        let centre = place(rng, camera, length * 0.45 + 8.0);
        let bend = rng.random_range(-0.25..0.25_f32);
        let ends = [[centre[0] - along[0], centre[1] - along[1]], [centre[0] + along[0], centre[1] + along[1]]];
        let control = [centre[0] - along[1] * bend * 2.0, centre[1] + along[0] * bend * 2.0];
        let points = (0..=SEGMENTS)
            .map(|index| {
                let t = index as f32 / SEGMENTS as f32;
                std::array::from_fn(|axis| {
                    let (a, b) = (lerp(ends[0][axis], control[axis], t), lerp(control[axis], ends[1][axis], t));
                    lerp(a, b, t)
                })
            })
            .collect();
        Self { points, half_width }
    }

    /// Distance to the curve, signed by the side of the curve, and the place along the curve in [0, 1].
    pub(super) fn nearest(&self, u: f32, v: f32) -> (f32, f32) {
        let (mut best, mut side, mut place) = (f32::INFINITY, 1.0, 0.0);
        for (index, ends) in self.points.windows(2).enumerate() {
            let (dx, dy) = (ends[1][0] - ends[0][0], ends[1][1] - ends[0][1]);
            let (px, py) = (u - ends[0][0], v - ends[0][1]);
            let t = ((px * dx + py * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
            let squared = (px - t * dx).powi(2) + (py - t * dy).powi(2);
            if squared < best {
                best = squared;
                side = if dx * py - dy * px < 0.0 { -1.0 } else { 1.0 };
                place = (index as f32 + t) / (self.points.len() - 1) as f32;
            }
        }
        (best.sqrt() * side, place)
    }

    /// Half the width at `place`; the ends taper.
    pub(super) fn half_width_at(&self, place: f32) -> f32 {
        self.half_width * (0.35 + 0.65 * (place * (1.0 - place) * 4.0).sqrt())
    }
}

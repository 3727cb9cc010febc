//! Shapes of defects: how much of each pixel belongs to them, with edges as soft as a lens makes them.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{kind::DefectKind, pixels::Rect};

/// A scratch is this part of its length wide, within [`SCRATCH_WIDTH`].
const SCRATCH_SHARE: f64 = 0.04;
/// Least and largest width of a scratch in pixels.
const SCRATCH_WIDTH: [f64; 2] = [1.0, 4.0];
/// A bend of a scratch, as a part of its length, is at most this.
const BEND: f64 = 0.15;
/// Pixels around a shape where its edge ends.
const MARGIN: f64 = 3.0;
/// Part of a stain's radius that its edge takes on each side.
const SOFT: f64 = 0.3;

/// How much of each pixel of a rectangle belongs to a defect, 0 to 1, row by row.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) rect: Rect,
    pub(super) alpha: Vec<f32>,
    /// (x, y) of each pixel's centre from the defect's own, in units of its radius; for kinds that vary inside.
    pub(super) centre: [f64; 2],
}

/// Half of the side of the square that a defect needs.
fn reach(kind: DefectKind, size: f64) -> f64 {
    let soft = match kind {
        DefectKind::Stain => 1.0 + SOFT,
        DefectKind::Dent => 1.6,
        _ => 1.0,
    };
    0.5 * size * 1.1 * soft + MARGIN
}

/// Whether a defect fits into a frame of (width, height).
pub(super) fn fits(kind: DefectKind, size: f64, (width, height): (usize, usize)) -> bool {
    2.0 * reach(kind, size) + 1.0 <= width.min(height) as f64
}

/// The centre of a defect at a place from 0 to 1 among those where it fits.
pub(super) fn centre(kind: DefectKind, size: f64, place: [f64; 2], (width, height): (usize, usize)) -> [f64; 2] {
    let reach = reach(kind, size);
    let at = |place: f64, length: usize| {
        let (low, high) = (reach.min(0.5 * length as f64), (length as f64 - reach).max(0.5 * length as f64));
        low + place * (high - low)
    };
    [at(place[0], width), at(place[1], height)]
}

impl Shape {
    /// The shape of a defect around a centre in a frame of (width, height).
    pub(super) fn new(
        kind: DefectKind,
        size: f64,
        centre: [f64; 2],
        (width, height): (usize, usize),
        random: &mut ChaCha8Rng,
    ) -> Self {
        let reach = reach(kind, size);
        let range = |middle: f64, length: usize| {
            let from = (middle - reach).floor().clamp(0.0, (length - 1) as f64) as usize;
            let to = (middle + reach).ceil().clamp(from as f64 + 1.0, length as f64) as usize;
            (from, to - from)
        };
        let ((x, width), (y, height)) = (range(centre[0], width), range(centre[1], height));
        let rect = Rect { x, y, width, height };
        let alpha = match kind {
            DefectKind::Scratch => scratch(size, centre, rect, random),
            DefectKind::Dent => pixels(rect, centre).map(|[x, y]| edge(1.0 - x.hypot(y) / (0.5 * size), 0.2)).collect(),
            DefectKind::Stain => blob(size, 2.0 * SOFT, centre, rect, random),
            DefectKind::Hole => blob(size, 1.5 / (0.5 * size), centre, rect, random),
            _ => blob(size, (3.0 / (0.5 * size)).max(0.2), centre, rect, random),
        };
        Self { rect, alpha, centre }
    }

    /// Whether each pixel belongs to the defect: at least half of it. At least one does.
    pub(super) fn mask(&self) -> Vec<bool> {
        let most = self.alpha.iter().copied().fold(0.0, f32::max);
        self.alpha.iter().map(|&alpha| alpha >= most.min(0.5)).collect()
    }

    /// Each pixel's centre from the defect's own.
    pub(super) fn offsets(&self) -> impl Iterator<Item = [f64; 2]> + use<> {
        pixels(self.rect, self.centre)
    }
}

/// Each pixel's centre in a rectangle, from a point.
fn pixels(rect: Rect, from: [f64; 2]) -> impl Iterator<Item = [f64; 2]> + use<> {
    (0..rect.len()).map(move |index| {
        let (x, y) = (rect.x + index % rect.width, rect.y + index / rect.width);
        [x as f64 + 0.5 - from[0], y as f64 + 0.5 - from[1]]
    })
}

/// 0 outside, 1 inside, 0.5 on the edge, which is `width` wide; `depth` counts from the edge inwards.
fn edge(depth: f64, width: f64) -> f32 {
    let t = (depth / width + 0.5).clamp(0.0, 1.0);
    (t * t * (3.0 - 2.0 * t)) as f32
}

/// A disc with a wavy edge; `soft` is the edge's width in units of the radius.
fn blob(size: f64, soft: f64, centre: [f64; 2], rect: Rect, random: &mut ChaCha8Rng) -> Vec<f32> {
    let waves: Vec<(f64, f64, f64)> = (2..=4)
        .map(|waves| {
            (f64::from(waves), random.random_range(0.0..0.24 / f64::from(waves)), random.random_range(0.0..6.3))
        })
        .collect();
    // The widest place of the wavy edge is as wide as the defect is to be.
    let wavy = |angle: f64| 1.0 + waves.iter().map(|(n, height, at)| height * (n * angle + at).cos()).sum::<f64>();
    let widest = (0..32).map(|step| wavy(f64::from(step) * 0.196_35)).fold(0.0, f64::max);
    let radius = |angle: f64| 0.5 * size * wavy(angle) / widest;
    pixels(rect, centre).map(|[x, y]| edge(1.0 - x.hypot(y) / radius(y.atan2(x)), soft)).collect()
}

/// A line along a bent curve.
fn scratch(size: f64, centre: [f64; 2], rect: Rect, random: &mut ChaCha8Rng) -> Vec<f32> {
    let (angle, bend) = (random.random_range(0.0..std::f64::consts::TAU), random.random_range(-BEND..BEND) * size);
    let width = (SCRATCH_SHARE * size).clamp(SCRATCH_WIDTH[0], SCRATCH_WIDTH[1]);
    let (along, across) = ([angle.cos(), angle.sin()], [-angle.sin(), angle.cos()]);
    let mut alpha = vec![0.0_f32; rect.len()];
    let steps = (2.0 * size).ceil().max(2.0) as usize;
    for step in 0..=steps {
        let t = step as f64 / steps as f64 * 2.0 - 1.0;
        let (forward, aside) = (0.5 * size * t, bend * (0.5 - t * t));
        let point = [0, 1].map(|axis| centre[axis] + forward * along[axis] + aside * across[axis]);
        let reach = 0.5 * width + 1.0;
        let range = |middle: f64, from: usize, length: usize| {
            let low = (middle - reach).floor().max(from as f64) as usize;
            let high = (middle + reach).ceil().min((from + length) as f64) as usize;
            low..high.max(low)
        };
        for y in range(point[1], rect.y, rect.height) {
            for x in range(point[0], rect.x, rect.width) {
                let distance = (x as f64 + 0.5 - point[0]).hypot(y as f64 + 0.5 - point[1]);
                let pixel = &mut alpha[(y - rect.y) * rect.width + x - rect.x];
                *pixel = pixel.max(edge(0.5 * width - distance, 1.0));
            }
        }
    }
    alpha
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn shape(kind: DefectKind, size: f64) -> Shape {
        let frame = (200, 160);
        let centre = centre(kind, size, [0.3, 0.6], frame);
        Shape::new(kind, size, centre, frame, &mut ChaCha8Rng::seed_from_u64(7))
    }

    /// Largest distance between two pixels of a mask.
    fn extent(shape: &Shape) -> f64 {
        let inside: Vec<[f64; 2]> =
            shape.offsets().zip(shape.mask()).filter(|(_, inside)| *inside).map(|(at, _)| at).collect();
        let pairs = inside.iter().flat_map(|a| inside.iter().map(move |b| (a[0] - b[0]).hypot(a[1] - b[1])));
        pairs.fold(0.0, f64::max) + 1.0
    }

    #[test]
    fn a_shape_is_as_large_as_its_size_says() {
        for &kind in DefectKind::ALL {
            for size in [6.0, 24.0, 60.0] {
                let found = extent(&shape(kind, size));
                assert!((0.75 * size - 1.5..1.1 * size + 2.5).contains(&found), "{kind} of {size}: {found}");
            }
            assert!(shape(kind, 1.0).mask().iter().any(|&inside| inside), "{kind}");
        }
    }

    #[test]
    fn a_shape_ends_inside_its_rectangle_and_the_frame() {
        for &kind in DefectKind::ALL {
            for (size, place) in [(3.0, [0.0, 1.0]), (40.0, [1.0, 0.0]), (80.0, [0.5, 0.5])] {
                assert!(fits(kind, size, (200, 160)), "{kind} of {size}");
                let centre = centre(kind, size, place, (200, 160));
                let Shape { rect, alpha, .. } =
                    Shape::new(kind, size, centre, (200, 160), &mut ChaCha8Rng::seed_from_u64(3));
                assert!(rect.x + rect.width <= 200 && rect.y + rect.height <= 160);
                let border = alpha.iter().enumerate().filter(|(index, _)| {
                    let (x, y) = (index % rect.width, index / rect.width);
                    x == 0 || y == 0 || x + 1 == rect.width || y + 1 == rect.height
                });
                for (index, &alpha) in border {
                    assert!(alpha < 0.05, "{kind} of {size}: {alpha} at the border, pixel {index}");
                }
            }
            assert!(!fits(kind, 200.0, (200, 160)));
        }
    }
}

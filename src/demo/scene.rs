//! The camera, the light and the sensor: makes a picture from a surface's height and colour.
//!
//! Surfaces are sampled in the object's own coordinates (pixels at scale 1); the camera's pose maps a pixel to its point.
//! Shading uses Lambert's law with an ambient part and a Blinn highlight. Then follow the lens (a slight blur),
//! the sensor (noise that grows with the signal) and the sRGB curve.

use image::RgbImage;
use rand::{Rng, RngExt};

/// Width and height of every picture, in pixels.
pub const SIDE: u32 = 256;

/// Share of ambient light.
const AMBIENT: f32 = 0.42;

/// The surface at one point.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    /// Height above the surface's plane, in pixels.
    pub(super) height: f32,
    /// Linear reflectance, red, green, blue.
    pub(super) albedo: [f32; 3],
    /// Strength of the highlight.
    pub(super) gloss: f32,
    /// Degree to which a defect changed the point: 0 not at all, 1 fully.
    pub(super) damage: f32,
}

/// A material with at most one defect.
pub(super) trait Surface {
    /// The point (u, v), in the object's coordinates.
    fn sample(&self, u: f32, v: f32) -> Sample;
}

/// The camera's pose: a rotation, a zoom and a shift.
#[derive(Clone, Copy, Debug)]
pub(super) struct Camera {
    cos: f32,
    sin: f32,
    shift: [f32; 2],
}

impl Camera {
    /// A random pose within ±`degrees` and ±`zoom` (relative), at a random place of the surface.
    pub(super) fn draw(rng: &mut impl Rng, degrees: f32, zoom: f32) -> Self {
        let angle = rng.random_range(-degrees..degrees).to_radians();
        let zoom = 1.0 + rng.random_range(-zoom..zoom);
        Self {
            cos: angle.cos() / zoom,
            sin: angle.sin() / zoom,
            shift: [rng.random_range(0.0..4096.0), rng.random_range(0.0..4096.0)],
        }
    }

    /// The point of the object that the pixel (x, y) sees.
    pub(super) fn to_object(self, x: f32, y: f32) -> [f32; 2] {
        let (x, y) = (x - SIDE as f32 / 2.0, y - SIDE as f32 / 2.0);
        [self.cos * x - self.sin * y + self.shift[0], self.sin * x + self.cos * y + self.shift[1]]
    }
}

/// Lamp, lens and sensor for one picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Optics {
    direction: [f32; 3],
    half: [f32; 3],
    exposure: f32,
    slope: [f32; 2],
    tint: [f32; 3],
    blur: f32,
    noise: f32,
}

impl Optics {
    /// A lamp at the upper left. Its place, brightness, colour and fall-off vary as on a real line.
    pub(super) fn draw(rng: &mut impl Rng) -> Self {
        let azimuth = (-125.0 + rng.random_range(-14.0..14.0_f32)).to_radians();
        let elevation = (48.0 + rng.random_range(-4.0..4.0_f32)).to_radians();
        let direction = [azimuth.cos() * elevation.cos(), azimuth.sin() * elevation.cos(), elevation.sin()];
        let warmth = rng.random_range(-0.03..0.03_f32);
        Self {
            direction,
            half: unit([direction[0], direction[1], direction[2] + 1.0]),
            exposure: 1.0 + rng.random_range(-0.08..0.08),
            slope: [rng.random_range(-0.09..0.09), rng.random_range(-0.09..0.09)],
            tint: [1.0 + warmth, 1.0, 1.0 - warmth],
            blur: rng.random_range(0.5..0.75),
            noise: rng.random_range(0.006..0.011),
        }
    }

    /// Light from a point with this slope and colour to the camera, at (x, y) in [−1, 1]² of the picture.
    fn shade(&self, sample: &Sample, slope: [f32; 2], x: f32, y: f32) -> [f32; 3] {
        let normal = unit([-slope[0], -slope[1], 1.0]);
        let diffuse = dot(normal, self.direction).max(0.0) / self.direction[2];
        let highlight = sample.gloss * dot(normal, self.half).max(0.0).powi(24);
        let vignette = 1.0 - 0.05 * (x * x + y * y);
        let lamp = self.exposure * vignette * (1.0 + self.slope[0] * x + self.slope[1] * y);
        std::array::from_fn(|channel| {
            lamp * self.tint[channel] * (sample.albedo[channel] * (AMBIENT + (1.0 - AMBIENT) * diffuse) + highlight)
        })
    }
}

/// A picture and, per pixel, whether a defect changed it.
pub(super) struct Exposure {
    /// The photograph.
    pub(super) image: RgbImage,
    /// Per pixel, row by row: changed by the defect.
    pub(super) damaged: Vec<bool>,
}

/// Photographs `surface`.
pub(super) fn photograph(surface: &impl Surface, camera: Camera, optics: &Optics, rng: &mut impl Rng) -> Exposure {
    let side = SIDE as usize;
    let samples: Vec<Sample> = (0..side * side)
        .map(|index| {
            let [u, v] = camera.to_object((index % side) as f32 + 0.5, (index / side) as f32 + 0.5);
            surface.sample(u, v)
        })
        .collect();
    let mut light = vec![[0.0_f32; 3]; side * side];
    for (index, pixel) in light.iter_mut().enumerate() {
        let (row, column) = (index / side, index % side);
        let height = |row: usize, column: usize| samples[row * side + column].height;
        let (left, right) = (column.saturating_sub(1), (column + 1).min(side - 1));
        let (above, below) = (row.saturating_sub(1), (row + 1).min(side - 1));
        let slope = [
            (height(row, right) - height(row, left)) / (right - left) as f32,
            (height(below, column) - height(above, column)) / (below - above) as f32,
        ];
        let place = |position: usize| 2.0 * (position as f32 + 0.5) / side as f32 - 1.0;
        *pixel = optics.shade(&samples[index], slope, place(column), place(row));
    }
    blur(&mut light, side, optics.blur);
    let mut image = RgbImage::new(SIDE, SIDE);
    for (pixel, light) in image.pixels_mut().zip(&light) {
        for (value, &light) in pixel.0.iter_mut().zip(light) {
            let sigma = optics.noise * (0.15 + light.max(0.0)).sqrt();
            *value = encode(light + sigma * gaussian(rng));
        }
    }
    Exposure { image, damaged: samples.iter().map(|sample| sample.damage >= 0.5).collect() }
}

/// A separable Gaussian blur of radius 2.
fn blur(pixels: &mut [[f32; 3]], side: usize, sigma: f32) {
    let weight = |distance: f32| (-0.5 * (distance / sigma).powi(2)).exp();
    let kernel: [f32; 5] = std::array::from_fn(|tap| weight(tap as f32 - 2.0));
    let total: f32 = kernel.iter().sum();
    for (stride, across) in [(1, side), (side, 1)] {
        let mut line = vec![[0.0; 3]; side];
        for start in (0..side).map(|index| index * across) {
            for (position, value) in line.iter_mut().enumerate() {
                *value = pixels[start + position * stride];
            }
            for position in 0..side {
                let mut sum = [0.0; 3];
                for (tap, weight) in kernel.iter().enumerate() {
                    let from = line[(position + tap).saturating_sub(2).min(side - 1)];
                    for (sum, value) in sum.iter_mut().zip(from) {
                        *sum += weight * value;
                    }
                }
                pixels[start + position * stride] = sum.map(|sum| sum / total);
            }
        }
    }
}

/// sRGB's transfer curve (IEC 61966-2-1), to 8 bits.
fn encode(linear: f32) -> u8 {
    let linear = linear.clamp(0.0, 1.0);
    let value = if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 };
    (value * 255.0).round() as u8
}

/// A standard normal number as the sum of four uniform ones: the tails of the sensor's noise do not matter here.
fn gaussian(rng: &mut impl Rng) -> f32 {
    let bits = rng.next_u64();
    let sum: u64 = (0..4).map(|part| (bits >> (16 * part)) & 0xffff).sum();
    (sum as f32 / 65_535.0 - 2.0) * 3.0_f32.sqrt()
}

fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn unit(vector: [f32; 3]) -> [f32; 3] {
    let length = dot(vector, vector).sqrt();
    vector.map(|value| value / length)
}

//! One picture of a product, good or with one defect, from a seed.

use image::{GrayImage, Luma, RgbImage};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use strum::IntoStaticStr;

use super::{
    cloth::Cloth,
    metal::Metal,
    noise::lerp,
    print::Print,
    scene::{Camera, Exposure, Optics, SIDE, photograph},
    shape::{Damage, Part, Shape, Spot, Stroke},
};

/// A product of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Product {
    /// Plain-woven cloth.
    WovenCloth,
    /// A brushed sheet of metal with rivets.
    BrushedMetal,
    /// A grid printed on a board.
    PrintedGrid,
}

impl Product {
    /// All products, in the order of the report.
    pub const ALL: [Self; 3] = [Self::WovenCloth, Self::BrushedMetal, Self::PrintedGrid];

    /// Name of its folder.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Largest rotation in degrees and largest relative change of scale between pictures.
    fn freedom(self) -> (f32, f32) {
        match self {
            Self::WovenCloth => (4.0, 0.035),
            Self::BrushedMetal => (3.0, 0.035),
            Self::PrintedGrid => (4.0, 0.035),
        }
    }
}

/// A kind of defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Defect {
    /// A thin curved mark.
    Scratch,
    /// A hole through the material.
    Hole,
    /// A discoloured spot.
    Stain,
    /// Missing yarns, rivets or print.
    MissingPart,
}

impl Defect {
    /// All kinds, in the order of the report.
    pub const ALL: [Self; 4] = [Self::Scratch, Self::Hole, Self::Stain, Self::MissingPart];

    /// Name of its folder.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A picture and its ground truth.
pub struct Picture {
    /// The photograph, [`SIDE`] × [`SIDE`].
    pub image: RgbImage,
    /// 255 where the defect changed the picture, 0 elsewhere.
    pub mask: GrayImage,
}

/// The picture of `seed`. `defect` gives a kind and a size from 0 (small) to 1 (large). Without a defect, the same
/// seed shows the same piece in the same light, undamaged.
pub fn picture(product: Product, seed: u64, defect: Option<(Defect, f32)>) -> Picture {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (degrees, zoom) = product.freedom();
    let camera = Camera::draw(&mut rng, degrees, zoom);
    let optics = Optics::draw(&mut rng);
    let surface: u32 = rng.random();
    let mut sensor = ChaCha8Rng::from_rng(&mut rng);
    let damage = defect.map(|(defect, size)| draw(&mut rng, product, defect, size.clamp(0.0, 1.0), camera));
    let damage = damage.as_ref();
    let Exposure { image, damaged } = match product {
        Product::WovenCloth => photograph(&Cloth::new(surface, damage), camera, &optics, &mut sensor),
        Product::BrushedMetal => photograph(&Metal::new(surface, damage), camera, &optics, &mut sensor),
        Product::PrintedGrid => photograph(&Print::new(surface, damage), camera, &optics, &mut sensor),
    };
    let mask = GrayImage::from_fn(SIDE, SIDE, |x, y| Luma([255 * u8::from(damaged[(y * SIDE + x) as usize])]));
    Picture { image, mask }
}

/// A defect of the given size at a random place.
fn draw(rng: &mut impl Rng, product: Product, defect: Defect, size: f32, camera: Camera) -> Damage {
    let shape = match defect {
        Defect::Scratch => {
            let (thin, thick) = match product {
                Product::WovenCloth => (2.2, 3.4),
                Product::BrushedMetal => (1.2, 2.0),
                Product::PrintedGrid => (1.5, 2.4),
            };
            Shape::Stroke(Stroke::draw(rng, camera, grow(64.0, 190.0, size), lerp(thin, thick, size)))
        }
        Defect::Hole => {
            let unevenness = if product == Product::WovenCloth { 0.16 } else { 0.08 };
            Shape::Spot(Spot::draw(rng, camera, grow(7.0, 27.0, size), unevenness))
        }
        Defect::Stain => Shape::Spot(Spot::draw(rng, camera, grow(14.0, 46.0, size), 0.16)),
        Defect::MissingPart => Shape::Part(missing(rng, product, size, camera)),
    };
    Damage { defect, shape, seed: rng.random() }
}

fn missing(rng: &mut impl Rng, product: Product, size: f32, camera: Camera) -> Part {
    match product {
        Product::WovenCloth => Cloth::missing(rng, camera, size),
        Product::BrushedMetal => Metal::missing(rng, camera, size),
        Product::PrintedGrid => Print::missing(rng, camera, size),
    }
}

/// Interpolates between `small` and `large` by equal ratios.
fn grow(small: f32, large: f32, size: f32) -> f32 {
    small * (large / small).powf(size)
}

//! Kinds of synthetic defects, and one defect of a study.

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray, VariantNames};

use crate::{Error, choice::choice};

/// A kind of synthetic defect.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    Display,
    IntoStaticStr,
    VariantArray,
    VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum DefectKind {
    /// A thin curved line, lighter or darker than the part. Its size is its length; it is 1 to 4 pixels wide.
    Scratch,
    /// A disc with sharp edges, darker than the part where there is room for it. Its size is its diameter.
    Hole,
    /// A spot with soft edges, lighter or darker, coloured in colour images. Its size is its diameter at half of its contrast.
    Stain,
    /// A dent in a shiny surface: light on one side, dark on the other. Its size is the diameter of both together.
    Dent,
    /// A place without its texture: only the brightness of its surroundings, and the camera's noise. Its size is its diameter.
    MissingTexture,
    /// A place whose texture is shifted by half of its size at contrast 1. Its size is its diameter.
    ShiftedTexture,
    /// A piece of another image, turned. Its size is its diameter.
    ForeignPatch,
}

impl DefectKind {
    /// Every kind.
    pub const ALL: &'static [Self] = <Self as VariantArray>::VARIANTS;

    /// The name users write, such as `missing-texture`.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The name in a sentence, such as `missing texture`.
    pub fn words(self) -> String {
        self.name().replace('-', " ")
    }
}

impl std::str::FromStr for DefectKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        choice("defect", name)
    }
}

/// One synthetic defect on one image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defect {
    /// Its kind.
    pub kind: DefectKind,
    /// Its contrast as a part of the part's own; 0 changes nothing.
    pub contrast: f64,
    /// Its size in pixels of the source frame; what that measures depends on the kind.
    pub size: f64,
    /// Where it lies: 0 to 1 across and down the places where it fits into the frame.
    pub place: [f64; 2],
    /// The good image that carries it, by its number.
    pub image: usize,
    /// Another good image, for a foreign patch.
    pub donor: usize,
    /// A control: a foreign patch from the same place of the other image, not turned, with the brightness and contrast of what it replaces.
    /// It is a good surface where parts lie alike, so only its seam can be found.
    pub in_place: bool,
    /// Seed of its shape.
    pub seed: u64,
}

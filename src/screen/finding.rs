//! What can be wrong with a training image, and how it is told.

use serde::Serialize;
use strum::{Display, VariantArray};

/// What an image looks like. The order is that of seriousness: what harms a model most comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Display, VariantArray)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Kind {
    /// The image as a whole is unlike the others: another product, or a view of something else.
    OtherProduct,
    /// A place of the image is unlike the others, by a model that did not see the image.
    Defective,
    /// Brighter than the others, or more of it is white.
    Overexposed,
    /// Darker than the others, or more of it is black.
    Underexposed,
    /// Less fine detail than the others.
    Blurred,
    /// Other pixels than nearly all others, or another shape.
    OtherSize,
    /// Shows what an earlier image shows.
    NearDuplicate,
}

impl Kind {
    /// The kind in words that follow "looks": `defective`, `like another product`.
    pub fn words(self) -> &'static str {
        match self {
            Self::OtherProduct => "like another product",
            Self::Defective => "defective",
            Self::Overexposed => "overexposed",
            Self::Underexposed => "underexposed",
            Self::Blurred => "blurred",
            Self::OtherSize => "like a picture of another size",
            Self::NearDuplicate => "like an earlier image",
        }
    }

    /// What to do about such an image.
    pub fn advice(self) -> &'static str {
        match self {
            Self::OtherProduct => {
                "Leave the image out if it shows something else. Fit a model of its own for each product."
            }
            Self::Defective => "Look at the marked place. Leave the image out if the part is not good.",
            Self::Overexposed => {
                "Check exposure time and light, and take the image again. Keep it if the line has such light."
            }
            Self::Underexposed => {
                "Check exposure time and light, and take the image again. Keep it if the line has such light."
            }
            Self::Blurred => "Check focus and movement of the part, and take the image again.",
            Self::OtherSize => "Check the camera's settings. The model stretches every image to one size.",
            Self::NearDuplicate => {
                "Leave the image out. A copy tells the model nothing new, and a copy that is held out makes its checks too mild."
            }
        }
    }
}

/// A reason to look at an image.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What the image looks like.
    pub kind: Kind,
    /// Its place among the images.
    pub image: usize,
    /// The figure that says so.
    pub figure: f64,
    /// What the figure is and its unit.
    pub unit: &'static str,
    /// What is usual in this set: from, to; for a duplicate only what is unusual: from, 1.
    pub usual: [f64; 2],
    /// The earlier image that a near duplicate resembles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resembles: Option<usize>,
    /// The place of the strongest evidence as parts of width and height: x, y.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<[f32; 2]>,
    /// How far the figure is from what is usual, in units of the limit: 1 is just named. Only figures of one kind can be compared.
    pub strength: f64,
}

/// Sorts: the more serious kind first, within a kind the strongest first.
pub fn sort(findings: &mut [Finding]) {
    findings.sort_by(|a, b| a.kind.cmp(&b.kind).then(b.strength.total_cmp(&a.strength)).then(a.image.cmp(&b.image)));
}

impl Finding {
    /// The figure, what is usual and which image it resembles, in words; `images` are the names of the set.
    pub fn reason(&self, images: &[String]) -> String {
        let [low, high] = self.usual.map(|value| self.number(value));
        let usual = match self.kind {
            Kind::Defective => format!("usual is {low} or higher"),
            Kind::NearDuplicate => format!("usual is below {high}"),
            Kind::OtherProduct => format!("usual is at most {high}"),
            _ if low == high => format!("usual is {low}"),
            _ => format!("usual is {low} to {high}"),
        };
        let other = self.resembles.and_then(|other| images.get(other)).map(|name| format!("resembles {name}, "));
        format!("{}{} {}, {usual}", other.unwrap_or_default(), self.unit, self.number(self.figure))
    }

    fn number(&self, value: f64) -> String {
        if value.abs() >= 1000.0 { format!("{value:.0}") } else { format!("{value:.3}") }
    }
}

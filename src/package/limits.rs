//! What a package knows about the smallest defects that its model finds: the result of `uflow limits`.

use serde::{Deserialize, Serialize};

use super::text::check_name;

/// Most entries of [`DetectionLimits::kinds`].
const MOST_KINDS: usize = 256;

/// The smallest defects that a model finds at its package's decision, measured with synthetic defects on good images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectionLimits {
    /// Good images that carried the defects.
    pub images: usize,
    /// Good images that the model flags as they are.
    pub good_flagged: usize,
    /// Images with a defect of zero contrast.
    pub control_images: usize,
    /// Those of them that the model flags.
    pub control_flagged: usize,
    /// Synthetic defects in all, one on an image.
    pub defects: usize,
    /// The smallest and the largest size that was tried, in pixels of the source frame.
    pub tried_px: [f64; 2],
    /// The part's own contrast: the difference between its light and its dark places (5% and 95% of the pixels), in gray levels of 255.
    pub contrast_levels: f64,
    /// Millimetres of a pixel of the source frame, where they were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixel_size_mm: Option<f64>,
    /// Each kind of defect at each contrast.
    pub kinds: Vec<KindLimit>,
}

/// The detectable size of one kind of defect at one contrast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindLimit {
    /// The kind, such as `scratch`.
    pub kind: String,
    /// Its contrast as a part of the part's own.
    pub contrast: f64,
    /// Defects of this kind and contrast.
    pub defects: usize,
    /// Those of them that were found.
    pub found: usize,
    /// Size that is found with a probability of 90%, in pixels of the source frame; none outside the sizes that were tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub a90_px: Option<f64>,
    /// a90/95: size that is found with a probability of at least 90%, with 95% confidence, in pixels of the source frame; none where no size
    /// that was tried is found so surely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub a90_95_px: Option<f64>,
}

impl DetectionLimits {
    pub(super) fn check(&self) -> Result<(), String> {
        let holds = |field: &str, holds: bool, expected: &str| {
            if holds { Ok(()) } else { Err(format!("limits.{field}: {expected}")) }
        };
        let positive = |value: f64| value.is_finite() && value > 0.0;
        holds("images", self.images >= 1, "must be at least 1")?;
        holds("good_flagged", self.good_flagged <= self.images, "must not exceed images")?;
        holds("control_flagged", self.control_flagged <= self.control_images, "must not exceed control_images")?;
        let [low, high] = self.tried_px;
        holds("tried_px", positive(low) && positive(high) && low <= high, "must be two positive sizes, ascending")?;
        holds("contrast_levels", positive(self.contrast_levels), "must be positive")?;
        holds("pixel_size_mm", self.pixel_size_mm.is_none_or(positive), "must be positive")?;
        holds("kinds", (1..=MOST_KINDS).contains(&self.kinds.len()), "must have 1 to 256 entries")?;
        for (index, kind) in self.kinds.iter().enumerate() {
            let at = |field: &str| format!("kinds[{index}].{field}");
            check_name(&kind.kind).map_err(|reason| format!("limits.{}: {reason}", at("kind")))?;
            holds(&at("contrast"), positive(kind.contrast), "must be positive")?;
            holds(&at("found"), kind.found <= kind.defects, "must not exceed defects")?;
            for (field, size) in [("a90_px", kind.a90_px), ("a90_95_px", kind.a90_95_px)] {
                holds(&at(field), size.is_none_or(positive), "must be positive")?;
            }
        }
        Ok(())
    }
}

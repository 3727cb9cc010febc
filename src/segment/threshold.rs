//! The fair threshold (§4.1.1): a score threshold from good images alone, the counterpart of NFA = 1.
//!
//! It is the smallest t ≥ 0 such that, for t and every larger threshold, the good images have on average at most one
//! 8-connected component of score > t each. Lowering t through an image's values, the number of components rises by one at
//! each new peak and falls where components meet. All images' changes, merged from the highest value down, give the count
//! at every threshold.

use ndarray::ArrayView2;

use super::{components, tree::Tree};
use crate::{Error, Result};

/// The fair threshold of good images, which are given one at a time.
#[derive(Debug, Default)]
pub struct FairThreshold {
    images: usize,
    /// The images' [`components::changes`].
    changes: Vec<(u32, i32)>,
    tree: Tree,
}

impl FairThreshold {
    /// No images yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts in the score map of one good image.
    ///
    /// # Errors
    /// A map without pixels, or with scores that are negative or not finite.
    pub fn add(&mut self, score: ArrayView2<'_, f32>) -> Result<()> {
        if score.is_empty() {
            return Err(Error::parameter("score", "the score map has no pixels"));
        }
        let unusable = score.iter().filter(|score| !(score.is_finite() && **score >= 0.0)).count();
        if unusable > 0 {
            let what = "score map of a good image (non-negative numbers)".to_owned();
            return Err(Error::NonFinite { what, found: unusable, total: score.len() });
        }
        self.changes.append(&mut components::changes(&mut self.tree, score, 0.0));
        self.images += 1;
        Ok(())
    }

    /// The threshold; 0 where no threshold gives more than one component an image.
    ///
    /// # Errors
    /// No images.
    pub fn value(mut self) -> Result<f32> {
        if self.images == 0 {
            return Err(Error::parameter("score", "the fair threshold needs at least one good image"));
        }
        self.changes.sort_unstable_by_key(|change| change.0);
        let mut components = 0_i64;
        for of_one_value in self.changes.chunk_by(|a, b| a.0 == b.0) {
            components += of_one_value.iter().map(|change| i64::from(change.1)).sum::<i64>();
            if components > self.images as i64 {
                return Ok(components::score(of_one_value[0].0));
            }
        }
        Ok(0.0)
    }
}

/// The fair threshold of these score maps of good images.
///
/// # Errors
/// No map, or one without pixels or with scores that are negative or not finite.
pub fn fair_threshold<'a>(scores: impl IntoIterator<Item = ArrayView2<'a, f32>>) -> Result<f32> {
    let mut threshold = FairThreshold::new();
    for score in scores {
        threshold.add(score)?;
    }
    threshold.value()
}

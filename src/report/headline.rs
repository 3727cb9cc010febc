//! The main figures of a page: each with what it means and what a good value is.

use crate::evaluate::{Evaluation, Metrics, number};

/// A main figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Its value.
    pub value: String,
    /// Its name, short.
    pub name: String,
    /// What it means and what a good value is; empty for a figure that speaks for itself.
    pub meaning: String,
}

/// A figure that reports begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headline {
    /// [`Operating::image_recall`](crate::evaluate::Operating::image_recall).
    Recall,
    /// [`Metrics::recall_touching`].
    RecallTouching,
    /// [`Operating::good_flagged`](crate::evaluate::Operating::good_flagged).
    GoodFlagged,
    /// [`Metrics::image_auroc`].
    ImageAuroc,
    /// [`Operating::miou_defective`](crate::evaluate::Operating::miou_defective).
    Miou,
}

impl Headline {
    /// All of them, in the order of a page.
    pub const ALL: [Self; 5] = [Self::Recall, Self::RecallTouching, Self::GoodFlagged, Self::ImageAuroc, Self::Miou];

    /// The figure with this value.
    pub fn tile(self, value: Option<f64>) -> Tile {
        let (name, meaning) = self.words();
        let value = match self {
            Self::ImageAuroc | Self::Miou => number(value, 3),
            _ => value.map_or_else(|| number(None, 0), share),
        };
        Tile { value, name: name.to_owned(), meaning: meaning.to_owned() }
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Recall => (
                "of the defective images rejected",
                "The share of the images with a defect that the package rejects, for whatever reason. 100% means that no defective image \
                 got through. Your process says what is enough. The list of misses below shows what the package does not see.",
            ),
            Self::RecallTouching => (
                "rejected, and a region touches the defect",
                "The share of the images with a marked defect that are rejected and where at least one region touches the mark. An image \
                 that is rejected for another reason is not found. A good value is the same as without this condition. If this one is \
                 much lower, the package reacts to something else in these images, such as light, dust or position.",
            ),
            Self::GoodFlagged => (
                "of the good images rejected",
                "The share of the good images that the package rejects: false alarms. A good value is at most the share that you allow, \
                 which is 1% unless the package has another. Few images say little: of 20 good images, one is already 5%.",
            ),
            Self::ImageAuroc => (
                "image AUROC",
                "How well the score separates good from defective images at any threshold: the probability that a defective image has a \
                 higher score than a good one. 0.5 is chance and 1 is perfect. As a rule of thumb, 0.95 or more is good; below 0.9 every \
                 threshold misses many defects or rejects many good parts.",
            ),
            Self::Miou => (
                "overlap with the marked defects (mIoU)",
                "How well the outlines fit: the common pixels of region and mark, divided by the pixels of either, averaged over the \
                 defective images. 0 is no overlap and 1 is the same shape. Missed images count 0. As a rule of thumb, 0.3 shows where the \
                 defect is, and 0.5 or more shows its shape. Small defects give low values, because their border is most of them.",
            ),
        }
    }

    /// Its value among these metrics.
    pub fn of(self, metrics: &Metrics) -> Option<f64> {
        match self {
            Self::Recall => metrics.at_epsilon.image_recall,
            Self::RecallTouching => metrics.recall_touching,
            Self::GoodFlagged => metrics.at_epsilon.good_flagged,
            Self::ImageAuroc => metrics.image_auroc,
            Self::Miou => metrics.at_epsilon.miou_defective,
        }
    }

    /// Its mean over all images of several sets, or for the AUROC over the sets. `None` if a set lacks it.
    pub fn pooled<'a>(self, sets: impl Iterator<Item = &'a Evaluation>) -> Option<f64> {
        let weight = |set: &Evaluation| match self {
            Self::Recall | Self::Miou => set.defective_images,
            Self::RecallTouching => set.images.iter().filter(|image| image.touching.is_some()).count(),
            Self::GoodFlagged => set.good_images,
            Self::ImageAuroc => 1,
        };
        let sums: Option<Vec<(f64, usize)>> =
            sets.map(|set| self.of(&set.total).map(|value| (value * weight(set) as f64, weight(set)))).collect();
        let (sum, all) = sums?.into_iter().fold((0.0, 0), |(sum, all), (value, weight)| (sum + value, all + weight));
        (all > 0).then(|| sum / all as f64)
    }
}

/// A share in percent with one digit, without rounding it to 0% or to 100%.
pub(super) fn share(value: f64) -> String {
    match 100.0 * value {
        percent if percent > 0.0 && percent < 0.1 => "< 0.1%".to_owned(),
        percent if percent < 100.0 && percent > 99.9 => "> 99.9%".to_owned(),
        percent => format!("{percent:.1}%").replace(".0%", "%"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_do_not_hide_the_last_image() {
        let found = [0.0, 1e-5, 0.05, 0.123_45, 0.9999, 1.0].map(share);
        assert_eq!(found, ["0%", "< 0.1%", "5%", "12.3%", "> 99.9%", "100%"]);
    }

    #[test]
    fn every_headline_says_what_a_good_value_is() {
        for headline in Headline::ALL {
            let tile = headline.tile(None);
            assert_eq!(tile.value, "–");
            assert!(
                ["good value", "rule of thumb", "what is enough"].iter().any(|word| tile.meaning.contains(word)),
                "{tile:?}"
            );
        }
        assert_eq!(Headline::Recall.tile(Some(0.955)).value, "95.5%");
        assert_eq!(Headline::Miou.tile(Some(0.3)).value, "0.300");
    }
}

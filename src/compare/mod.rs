//! Two models on the same images: which rejects what, where they disagree, and whether the difference is more than chance.
//!
//! Both decide as their packages say, or by the same options for both. [`Comparison`] takes what each found, image by image, and counts:
//!
//! - the images that both reject, that only one rejects, and that neither rejects, among the good images, among the defective ones, and for each
//!   kind of defect;
//! - with labels, the AUROC of the image score; with masks, the overlap of region and defect.
//!
//! The tests are paired ([`paired`]): what both find or both miss says nothing about which is better, and does not count.

pub mod paired;
mod text;

use serde::Serialize;

use self::paired::{Aurocs, Difference, aurocs, means, proportions};
use crate::{
    Error, Result,
    evaluate::{Evaluation, ImageResult},
};

/// A difference with at most this p-value is called more than chance.
pub const SIGNIFICANT: f64 = 1.0 - paired::CONFIDENCE;

/// Name of the kind of images without a label.
pub const UNLABELLED: &str = "unlabelled";

/// What two models, A and B, found in the same images.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// What A is called.
    pub a: String,
    /// What B is called.
    pub b: String,
    /// Images.
    pub images: usize,
    /// The good images and the defective ones, or all images where they have no labels.
    pub groups: Vec<Group>,
    /// The defective images by kind, where there is more than one.
    pub kinds: Vec<Group>,
    /// How well the scores separate good from defective images.
    pub image_auroc: Option<Aurocs>,
    /// The overlap of the regions with the marked defects (IoU), averaged over the defective images with a mask.
    pub miou: Option<Overlap>,
    /// The images that only one of them rejects, the clearest first.
    pub disagreements: Vec<Disagreement>,
}

/// What becomes of the images of a group.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// Which images: `good`, `defective`, `unlabelled`, or a kind of defect.
    pub name: String,
    /// How many.
    pub images: usize,
    /// Rejected by both.
    pub both: usize,
    /// Rejected by A alone.
    pub only_a: usize,
    /// Rejected by B alone.
    pub only_b: usize,
    /// The share that B rejects, less the share that A rejects.
    pub difference: Difference,
}

/// Two means of the IoU.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Overlap {
    /// Images with a mask.
    pub images: usize,
    /// A's mean.
    pub a: f64,
    /// B's mean.
    pub b: f64,
    /// Their difference.
    pub difference: Difference,
}

/// An image that only one of the models rejects.
#[derive(Clone, Debug, Serialize)]
pub struct Disagreement {
    /// Place of the image in the order given.
    pub index: usize,
    /// What A found.
    pub a: ImageResult,
    /// What B found.
    pub b: ImageResult,
}

impl Disagreement {
    /// Whether A's answer is the right one; `None` for an image without a label.
    pub fn a_is_right(&self) -> Option<bool> {
        (self.a.kind != UNLABELLED).then(|| self.a.anomalous == self.a.defective())
    }

    /// How clear the answer of the model that rejects is.
    fn clarity(&self) -> f32 {
        if self.a.anomalous { self.a.score } else { self.b.score }
    }
}

impl Comparison {
    /// Compares evaluations of the same test set.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn of_evaluations((a, first): (&str, &Evaluation), (b, second): (&str, &Evaluation)) -> Result<Self> {
        Self::of((a, &first.images), (b, &second.images))
    }

    /// Compares what two models found in the same images, in the same order. Images without a label have the kind [`UNLABELLED`].
    ///
    /// # Errors
    /// [`Error::Parameter`] for lists of different images.
    pub fn of((a, first): (&str, &[ImageResult]), (b, second): (&str, &[ImageResult])) -> Result<Self> {
        let same = |(a, b): (&ImageResult, &ImageResult)| a.name == b.name && a.kind == b.kind;
        if first.len() != second.len() || !first.iter().zip(second).all(same) {
            let reason = format!("{a} and {b} were not given the same images in the same order");
            return Err(Error::parameter("images", reason));
        }
        let pairs: Vec<Pair<'_>> = first.iter().zip(second).collect();
        let mut kinds: Vec<&str> = Vec::new();
        for (image, _) in pairs.iter().filter(|pair| is_defective(pair)) {
            if !kinds.contains(&&*image.kind) {
                kinds.push(&image.kind);
            }
        }
        if kinds.len() < 2 {
            kinds.clear();
        }
        let groups: [(&str, Wanted); 3] = [
            ("good", |pair| !pair.0.defective()),
            ("defective", is_defective),
            (UNLABELLED, |(image, _)| image.kind == UNLABELLED),
        ];
        let scores = |wanted: Wanted| -> Vec<[f32; 2]> {
            pairs.iter().filter(|pair| wanted(pair)).map(|(a, b)| [a.score, b.score]).collect()
        };
        Ok(Self {
            a: a.to_owned(),
            b: b.to_owned(),
            images: pairs.len(),
            groups: groups.iter().filter_map(|(name, wanted)| Group::of(name, &pairs, wanted)).collect(),
            kinds: kinds.iter().filter_map(|kind| Group::of(kind, &pairs, &|pair| pair.0.kind == *kind)).collect(),
            image_auroc: aurocs(&scores(groups[0].1), &scores(is_defective)),
            miou: overlap(&pairs),
            disagreements: disagreements(&pairs),
        })
    }

    /// The answer in one sentence for each group.
    pub fn sentences(&self) -> Vec<String> {
        self.groups.iter().map(Group::sentence).collect()
    }
}

/// What both found in an image.
type Pair<'a> = (&'a ImageResult, &'a ImageResult);
/// Whether an image belongs to a group.
type Wanted = fn(&Pair<'_>) -> bool;

fn is_defective((image, _): &Pair<'_>) -> bool {
    image.defective() && image.kind != UNLABELLED
}

impl Group {
    /// The images that `wanted` chooses; `None` where it chooses none.
    fn of(name: &str, pairs: &[Pair<'_>], wanted: &dyn Fn(&Pair<'_>) -> bool) -> Option<Self> {
        let mut counts = [0_usize; 4];
        for (a, b) in pairs.iter().filter(|pair| wanted(pair)) {
            counts[usize::from(a.anomalous) + 2 * usize::from(b.anomalous)] += 1;
        }
        let [neither, only_a, only_b, both] = counts;
        let images = neither + only_a + only_b + both;
        (images > 0).then(|| Self {
            name: name.to_owned(),
            images,
            both,
            only_a,
            only_b,
            difference: proportions(images, only_a, only_b),
        })
    }

    /// Rejected by neither.
    pub fn neither(&self) -> usize {
        self.images - self.both - self.only_a - self.only_b
    }
}

fn overlap(pairs: &[Pair<'_>]) -> Option<Overlap> {
    let marked = pairs.iter().filter(|pair| is_defective(pair));
    let both: Vec<[f64; 2]> = marked.filter_map(|(a, b)| Some([a.iou?, b.iou?])).collect();
    let differences: Vec<f64> = both.iter().map(|[a, b]| b - a).collect();
    let mean = |model: usize| both.iter().map(|each| each[model]).sum::<f64>() / both.len() as f64;
    let difference = means(&differences)?;
    Some(Overlap { images: both.len(), a: mean(0), b: mean(1), difference })
}

fn disagreements(pairs: &[Pair<'_>]) -> Vec<Disagreement> {
    let differ = pairs.iter().enumerate().filter(|(_, (a, b))| a.anomalous != b.anomalous);
    let mut all: Vec<Disagreement> =
        differ.map(|(index, (a, b))| Disagreement { index, a: (*a).clone(), b: (*b).clone() }).collect();
    all.sort_by(|a, b| b.clarity().total_cmp(&a.clarity()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: usize, kind: &str, score: f32, anomalous: bool) -> ImageResult {
        ImageResult {
            name: format!("{name}.png"),
            kind: kind.to_owned(),
            score,
            score_max: 0.0,
            log10_nfa_min: -score,
            anomalous,
            p_value: None,
            regions: usize::from(anomalous),
            touching: None,
            iou: None,
            defective_part: None,
        }
    }

    /// Ten good images, of which A rejects the first, and twelve defective ones, of which A rejects four and B all.
    fn images() -> [Vec<ImageResult>; 2] {
        let kind = |index: usize| ["good", "scratch", "hole"][usize::from(index >= 10) + usize::from(index >= 18)];
        let of = |rejected: fn(usize) -> bool| {
            (0..22).map(|index| image(index, kind(index), index as f32, rejected(index))).collect::<Vec<_>>()
        };
        [of(|index| index == 0 || index >= 18), of(|index| index >= 10)]
    }

    #[test]
    fn images_are_counted_by_who_rejects_them() {
        let [a, b] = images();
        let found = Comparison::of(("old", &a), ("new", &b)).unwrap();
        let counts: Vec<_> = (found.groups.iter().chain(&found.kinds))
            .map(|group| (&*group.name, group.both, group.only_a, group.only_b, group.neither()))
            .collect();
        let expected = [("good", 0, 1, 0, 9), ("defective", 4, 0, 8, 0), ("scratch", 0, 0, 8, 0), ("hole", 4, 0, 0, 0)];
        assert_eq!(counts, expected);
        assert!(found.groups[0].difference.p_value > 0.5 && found.groups[1].difference.p_value < 0.01);
        // The clearest first: the images that B alone rejects, then the good image with the lowest score.
        let indices: Vec<_> = found.disagreements.iter().map(|each| each.index).collect();
        assert_eq!(indices, [17, 16, 15, 14, 13, 12, 11, 10, 0]);
        assert!(found.disagreements.iter().all(|each| each.a_is_right() == Some(false)));
        let text = found.to_string();
        assert!(
            text.contains("Of 12 defective images, B rejects 8 that A accepts, and accepts 0 that A rejects"),
            "{text}"
        );
        assert!(text.contains("more than chance"), "{text}");
    }

    #[test]
    fn images_without_labels_have_one_group_and_no_auroc() {
        let images: Vec<_> = (0..3).map(|index| image(index, UNLABELLED, 0.5, index == 1)).collect();
        let found = Comparison::of(("a", &images), ("b", &images)).unwrap();
        assert_eq!(found.groups.len(), 1);
        assert_eq!((found.groups[0].both, found.groups[0].neither()), (1, 2));
        assert!(found.image_auroc.is_none() && found.miou.is_none() && found.disagreements.is_empty());
        assert!(found.to_string().contains("agree about all 3 unlabelled images"), "{found}");
    }

    #[test]
    fn other_images_are_refused() {
        let [a, b] = images();
        assert!(Comparison::of(("a", &a), ("b", &b[1..])).is_err());
        let mut turned = b;
        turned.reverse();
        assert!(Comparison::of(("a", &a), ("b", &turned)).is_err());
    }
}

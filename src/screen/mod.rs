//! Which training images look doubtful: pure functions on what is known of each image.
//!
//! | finding | measured by | against |
//! |---|---|---|
//! | defective | the lowest log₁₀NFA by a model that did not see the image | the other images' |
//! | another product | distance of pooled deep features to the k-th nearest image | the set's median distance |
//! | over- and underexposed | mean level, part of white and black pixels | the set's median and deviation |
//! | blurred | fine detail relative to coarse detail | the set's median and deviation |
//! | another size | shape and number of pixels | the size of nearly all, or the set's median |
//! | near duplicate | correlation of band-passed thumbnails under small shifts | the nearest neighbours of all images |
//!
//! Every limit comes from the set itself, by median and median absolute deviation, with a least difference on top. So a set of images that
//! vary by nature names few of them, and a few bad images do not move the limit that they are judged by. What limits find on real
//! products, and how many clean images they name, is in `benches/check.md`.

mod duplicates;
mod evidence;
mod finding;
mod look;
mod photometry;
mod product;
mod robust;

pub use evidence::{Evidence, ranking};
pub use finding::{Finding, Kind};
pub use look::Look;

use std::collections::HashSet;

/// What is known of the images of a set; each list has one entry an image, in the same order.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// What each picture looks like.
    pub looks: &'a [Look],
    /// The means of each image's deep features over all places; empty if not known.
    pub pooled: &'a [Vec<f32>],
    /// The strongest evidence against each image, by a model that did not see it; `None` where there is no such model or no evidence.
    pub evidence: &'a [Option<Evidence>],
}

/// What exposure and blur must be exceeded by, in units of the limit, for an image to be another product as well.
const BEYOND_LIGHT: f64 = 2.0;

/// Everything doubtful, the most serious first. An image can have several findings, but not those that follow from another: light and blur move
/// an image away from the others a little, and an image of another product, in other light or blurred is full of evidence.
pub fn screen(known: &Known<'_>) -> Vec<Finding> {
    let mut found = photometry::findings(known.looks);
    let images = |found: &[Finding]| -> HashSet<usize> {
        found.iter().filter(|finding| finding.kind != Kind::OtherSize).map(|finding| finding.image).collect()
    };
    let in_other_light = images(&found);
    let other = product::findings(known.pooled).into_iter();
    found.extend(other.filter(|of| of.strength > BEYOND_LIGHT || !in_other_light.contains(&of.image)));
    let explained = images(&found);
    found.extend(evidence::findings(known.evidence).into_iter().filter(|of| !explained.contains(&of.image)));
    found.extend(duplicates::findings(known.looks));
    finding::sort(&mut found);
    found
}

#[cfg(test)]
mod tests {
    use super::{
        look::{
            gaussian,
            tests::{look, noise},
        },
        *,
    };

    const SIDE: usize = 96;

    fn picture(seed: u64) -> Vec<f32> {
        (0..SIDE * SIDE).map(|at| 0.35 + 0.3 * noise(seed, at)).collect()
    }

    fn seen(picture: &[f32]) -> Look {
        let bytes: Vec<u8> = picture.iter().map(|value| (value * 255.0).clamp(0.0, 255.0) as u8).collect();
        look(&bytes, SIDE as u32)
    }

    fn named(known: &Known<'_>) -> Vec<(Kind, usize)> {
        screen(known).iter().map(|finding| (finding.kind, finding.image)).collect()
    }

    #[test]
    fn each_fault_is_named_by_its_kind_and_the_rest_is_not() {
        let mut looks: Vec<Look> = (0..40).map(|seed| seen(&picture(seed))).collect();
        let clean = Known { looks: &looks.clone(), pooled: &[], evidence: &[] };
        assert_eq!(named(&clean), []);
        looks[3] = seen(&gaussian(&picture(3), SIDE, 1.5));
        looks[5] = seen(&picture(5).iter().map(|value| 2.5 * value).collect::<Vec<_>>());
        looks[8] = seen(&picture(8).iter().map(|value| 0.3 * value).collect::<Vec<_>>());
        looks[11] = look(&(0..40 * 40).map(|at| (90.0 + 70.0 * noise(11, at)) as u8).collect::<Vec<_>>(), 40);
        let copy: Vec<f32> = picture(20).iter().enumerate().map(|(at, value)| value + 0.02 * noise(99, at)).collect();
        looks[30] = seen(&copy);
        let mut evidence = vec![Some(Evidence { log10_nfa: -0.3, place: [0.5; 2] }); 40];
        evidence[17] = Some(Evidence { log10_nfa: -6.0, place: [0.1, 0.9] });
        // What blur explains is not a defect.
        evidence[3] = Some(Evidence { log10_nfa: -8.0, place: [0.1, 0.9] });
        // Means of features: image 3 is a little apart, as blur makes it, and image 25 far.
        let apart = |image: usize| if image == 25 { 9.0 } else { f32::from(u8::from(image == 3)) };
        let pooled: Vec<Vec<f32>> = (0..40)
            .map(|image| {
                (0..24).map(|at| noise(image as u64, at) + 0.8 * apart(image) * ((at % 5) as f32 - 2.0)).collect()
            })
            .collect();
        assert_eq!(product::findings(&pooled).iter().map(|of| of.image).collect::<Vec<_>>(), [3, 25]);
        let found = named(&Known { looks: &looks, pooled: &pooled, evidence: &evidence });
        let expected = [
            (Kind::OtherProduct, 25),
            (Kind::Defective, 17),
            (Kind::Overexposed, 5),
            (Kind::Underexposed, 8),
            (Kind::Blurred, 3),
            (Kind::OtherSize, 11),
            (Kind::NearDuplicate, 30),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_set_that_varies_by_nature_names_nothing() {
        let looks: Vec<Look> = (0..40_usize)
            .map(|seed| {
                let gain = 0.4 + 0.024 * seed as f32;
                let picture: Vec<f32> = picture(seed as u64).iter().map(|value| gain * value).collect();
                seen(&gaussian(&picture, SIDE, 0.5 + 0.02 * (seed * 7 % 40) as f64))
            })
            .collect();
        assert_eq!(named(&Known { looks: &looks, pooled: &[], evidence: &[] }), []);
    }
}

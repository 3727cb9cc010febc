//! Images that show something else: far from all others by what they look like as a whole.
//!
//! Each image is a vector of its deep features' means over all places. Each value is centred and scaled by the set's median and median
//! absolute deviation. The distance of an image is that to its k-th nearest other image, k being a tenth of the set and at least
//! three: a few images of the same other product do not excuse each other. A local defect moves a mean over all places little.

use rayon::prelude::*;

use super::{
    finding::{Finding, Kind},
    robust::Usual,
};

/// Part of the images that may show the same other product, and the fewest neighbours.
const NEIGHBOURS: f64 = 0.1;
const FEWEST_NEIGHBOURS: usize = 3;
/// Robust deviations of ln(distance) beyond which an image is named, and the deviation's floor: together at least a factor of 2.5.
/// On four real products no image of the product itself is beyond a factor of 2.2, and images of the others are at 2.9 to 5.9.
const FAR: f64 = 3.0;
const FLOOR: f64 = 0.916 / FAR;

/// Images far from all others by their pooled features, one vector an image.
pub(super) fn findings(pooled: &[Vec<f32>]) -> Vec<Finding> {
    let distances = distances(pooled);
    let usual = Usual::of(distances.iter().map(|distance| distance.max(f64::MIN_POSITIVE).ln()), FLOOR);
    let limit = (usual.median + FAR * usual.deviation).exp();
    let of = |(image, &distance): (usize, &f64)| {
        (distance > limit).then(|| Finding {
            kind: Kind::OtherProduct,
            image,
            figure: distance / usual.median.exp(),
            unit: "distance to the other images (the set's median is 1)",
            usual: [0.0, limit / usual.median.exp()],
            resembles: None,
            place: None,
            strength: distance / limit,
        })
    };
    distances.iter().enumerate().filter_map(of).collect()
}

/// The distance of each image to its k-th nearest other one.
fn distances(pooled: &[Vec<f32>]) -> Vec<f64> {
    let images = pooled.len();
    let neighbours = ((NEIGHBOURS * images as f64).round() as usize).max(FEWEST_NEIGHBOURS);
    if images <= neighbours {
        return vec![1.0; images];
    }
    let scaled = scaled(pooled);
    let of = |image: usize| {
        let squares =
            |other: usize| scaled[image].iter().zip(&scaled[other]).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        let mut all: Vec<f64> = (0..images).filter(|&other| other != image).map(squares).collect();
        let (_, nearest, _) = all.select_nth_unstable_by(neighbours - 1, f64::total_cmp);
        (*nearest / scaled[image].len().max(1) as f64).sqrt()
    };
    (0..images).into_par_iter().map(of).collect()
}

/// Each value centred and scaled by the set's median and deviation; constant values are left out.
fn scaled(pooled: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let mut scaled = vec![Vec::new(); pooled.len()];
    for value in 0..pooled.first().map_or(0, Vec::len) {
        let usual = Usual::of(pooled.iter().map(|image| f64::from(image[value])), 0.0);
        if usual.deviation <= 1e-6 * usual.median.abs().max(1e-6) {
            continue;
        }
        scaled.iter_mut().zip(pooled).for_each(|(out, image)| out.push(usual.z(f64::from(image[value]))));
    }
    scaled
}

#[cfg(test)]
mod tests {
    use super::{super::look::tests::noise, *};

    fn image(seed: u64, shift: f32) -> Vec<f32> {
        (0..24).map(|at| noise(seed, at) + shift * ((at % 5) as f32 - 2.0)).collect()
    }

    #[test]
    fn two_images_of_another_product_are_named_and_do_not_excuse_each_other() {
        let mut pooled: Vec<_> = (0..40).map(|seed| image(seed, 0.0)).collect();
        assert_eq!(findings(&pooled), []);
        pooled.extend([image(90, 2.0), image(91, 2.0)]);
        let found = findings(&pooled);
        assert_eq!(found.iter().map(|finding| finding.image).collect::<Vec<_>>(), [40, 41]);
        assert!(found.iter().all(|finding| finding.figure > finding.usual[1] && finding.strength > 1.0), "{found:?}");
    }

    #[test]
    fn too_few_or_constant_images_are_not_judged() {
        assert_eq!(findings(&[]), []);
        assert_eq!(findings(&[image(1, 0.0), image(2, 5.0), image(3, 0.0)]), []);
        assert_eq!(findings(&vec![vec![1.0; 8]; 30]), []);
    }
}

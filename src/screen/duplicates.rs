//! Images that show what an earlier image shows: the same part photographed again, a copy with noise, or one saved as JPEG again.
//!
//! ```text
//! thumbnail (64×64, luma)  → mean 0, deviation 1
//!                          → minus the set's mean thumbnail: what all images share says nothing
//!                          → band-pass (G₁ − G₄): neither the light's gradient nor the pixels' noise
//! r(i, j) = the highest correlation of the two over shifts of up to 2 of the 64 pixels
//! ```
//!
//! Parts in one fixture resemble each other, some sets more than others. So the limit is the set's own: an image is a near duplicate if
//! `atanh r` (Fisher's transform, by which correlations have about the same spread everywhere) is [`FAR`] robust deviations above the
//! median of all images' nearest neighbours, and r at least [`LEAST`]. From [`ALWAYS`] on it is one in every set.
//!
//! Each image is compared with its [`CANDIDATES`] nearest by r without a shift, so the time of the shifts grows with n; that of the
//! candidates grows with n² at 1024 products a pair.

use rayon::prelude::*;

use super::{
    finding::{Finding, Kind},
    look::{Look, THUMBNAIL, gaussian},
    robust::Usual,
};

/// Correlation below which no image is a near duplicate.
const LEAST: f64 = 0.9;
/// Correlation from which on an image is a near duplicate in every set.
const ALWAYS: f64 = 0.995;
/// Robust deviations above the median nearest neighbour.
const FAR: f64 = 4.0;
/// Floor of the deviation of atanh r.
const FLOOR: f64 = 0.1;
/// Images that each one is compared with under shifts.
const CANDIDATES: usize = 8;
/// Largest shift, in pixels of the thumbnail.
const SHIFT: usize = 2;
/// Sides of what is compared under shifts, and of the coarser picture that candidates are found with.
const INNER: usize = THUMBNAIL - 2 * SHIFT;
const COARSE: usize = THUMBNAIL / 2;

/// One image for comparison.
struct Print {
    /// Band-passed thumbnail.
    fine: Vec<f32>,
    /// Its mean over 2×2 pixels, as a unit vector.
    coarse: Vec<f32>,
    /// The inner part as a unit vector.
    inner: Vec<f32>,
}

/// Near duplicates: the later one of each pair.
pub(super) fn findings(looks: &[Look]) -> Vec<Finding> {
    let nearest = nearest(looks);
    let z = |r: f64| r.clamp(-ALWAYS, 0.999_999).atanh();
    let usual = Usual::of(nearest.iter().map(|&(_, r)| z(r)), FLOOR);
    let limit = (usual.median + FAR * usual.deviation).tanh().clamp(LEAST, ALWAYS);
    let mut found = Vec::new();
    for (image, &(other, r)) in nearest.iter().enumerate() {
        // Of two that are each other's nearest, the later one; an earlier one of three is named by its own nearest.
        if r < limit || (other > image && nearest[other].0 == image) {
            continue;
        }
        found.push(Finding {
            kind: Kind::NearDuplicate,
            image: image.max(other),
            figure: r,
            unit: "correlation with the other image",
            usual: [-1.0, limit],
            resembles: Some(image.min(other)),
            place: None,
            strength: z(r) / z(limit),
        });
    }
    found.sort_by(|a, b| a.image.cmp(&b.image).then(b.figure.total_cmp(&a.figure)));
    found.dedup_by_key(|finding| finding.image);
    found
}

/// For each image the most similar other one and their correlation; itself and −1 for a single image.
fn nearest(looks: &[Look]) -> Vec<(usize, f64)> {
    let prints = prints(looks);
    (0..prints.len())
        .into_par_iter()
        .map(|image| {
            let mut others: Vec<(usize, f32)> = (0..prints.len())
                .filter(|&other| other != image)
                .map(|other| (other, dot(&prints[image].coarse, &prints[other].coarse)))
                .collect();
            others.sort_by(|a, b| b.1.total_cmp(&a.1));
            let compared =
                others.iter().take(CANDIDATES).map(|&(other, _)| (other, shifted(&prints[image], &prints[other])));
            compared.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((image, -1.0))
        })
        .collect()
}

fn prints(looks: &[Look]) -> Vec<Print> {
    let standard: Vec<Vec<f32>> = looks.par_iter().map(|look| standardised(&look.thumbnail)).collect();
    let mut mean = vec![0.0; THUMBNAIL * THUMBNAIL];
    // Of two images the mean is as near to each as they are to each other, and nothing would be left.
    if looks.len() > 2 {
        for picture in &standard {
            mean.iter_mut().zip(picture).for_each(|(sum, value)| *sum += value / looks.len() as f32);
        }
    }
    let print = |picture: &Vec<f32>| {
        let rest: Vec<f32> = picture.iter().zip(&mean).map(|(value, mean)| value - mean).collect();
        let (narrow, wide) = (gaussian(&rest, THUMBNAIL, 1.0), gaussian(&rest, THUMBNAIL, 4.0));
        let fine: Vec<f32> = narrow.iter().zip(&wide).map(|(narrow, wide)| narrow - wide).collect();
        let four = |at: usize| {
            let corner = 2 * (at / COARSE) * THUMBNAIL + 2 * (at % COARSE);
            fine[corner] + fine[corner + 1] + fine[corner + THUMBNAIL] + fine[corner + THUMBNAIL + 1]
        };
        let coarse = unit((0..COARSE * COARSE).map(four).collect());
        let inner = inner(&fine, SHIFT, SHIFT);
        Print { fine, coarse, inner }
    };
    standard.par_iter().map(print).collect()
}

/// The highest correlation over all shifts of one of them.
fn shifted(a: &Print, b: &Print) -> f64 {
    let shifts = (0..=2 * SHIFT).flat_map(|y| (0..=2 * SHIFT).map(move |x| (y, x)));
    let one_way =
        |a: &Print, b: &Print| shifts.clone().map(|(y, x)| dot(&a.inner, &inner(&b.fine, y, x))).fold(-1.0, f32::max);
    f64::from(one_way(a, b).max(one_way(b, a)))
}

/// The inner part from this corner, as a unit vector.
fn inner(fine: &[f32], top: usize, left: usize) -> Vec<f32> {
    let rows = (top..top + INNER).map(|y| &fine[y * THUMBNAIL + left..y * THUMBNAIL + left + INNER]);
    unit(rows.flatten().copied().collect())
}

fn standardised(picture: &[f32]) -> Vec<f32> {
    let unit = unit(picture.to_vec());
    let scale = (picture.len() as f32).sqrt();
    unit.into_iter().map(|value| value * scale).collect()
}

/// The values less their mean, with norm 1; zeros where all values are the same.
fn unit(mut values: Vec<f32>) -> Vec<f32> {
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    values.iter_mut().for_each(|value| *value -= mean);
    let norm = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    if norm > 1e-6 {
        values.iter_mut().for_each(|value| *value /= norm);
    } else {
        values.fill(0.0);
    }
    values
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    // Eight sums side by side, so that the compiler uses vectors.
    let (mut sums, rest) = ([0.0_f32; 8], a.len() - a.len() % 8);
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        (0..8).for_each(|lane| sums[lane] += a[lane] * b[lane]);
    }
    sums.iter().sum::<f32>() + a[rest..].iter().zip(&b[rest..]).map(|(a, b)| a * b).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::{
        super::look::tests::{look, noise},
        *,
    };

    const SIDE: usize = 160;

    /// Pictures of a fixture that all share, with detail of its own in each.
    fn picture(seed: u64) -> Vec<f32> {
        let shared = |at: usize| if (at % SIDE / 20 + at / SIDE / 20).is_multiple_of(2) { 0.35 } else { 0.65 };
        let own: Vec<f32> = (0..SIDE * SIDE).map(|at| noise(seed, at)).collect();
        let own = gaussian(&own, SIDE, 3.0);
        (0..SIDE * SIDE).map(|at| shared(at) + 2.0 * (own[at] - 0.5)).collect()
    }

    fn seen(picture: &[f32]) -> Look {
        let bytes: Vec<u8> = picture.iter().map(|value| (value * 255.0).clamp(0.0, 255.0) as u8).collect();
        look(&bytes, SIDE as u32)
    }

    fn noisy(picture: &[f32]) -> Vec<f32> {
        picture.iter().enumerate().map(|(at, value)| value + 0.06 * (noise(77, at) - 0.5)).collect()
    }

    fn moved(picture: &[f32], by: usize) -> Vec<f32> {
        (0..picture.len()).map(|at| picture[at - (at % SIDE).min(by)]).collect()
    }

    #[test]
    fn copies_with_noise_other_light_or_a_shift_are_found_and_parts_of_one_fixture_are_not() {
        let mut looks: Vec<Look> = (0..30).map(|seed| seen(&picture(seed))).collect();
        assert_eq!(findings(&looks), [], "the fixture alone");
        looks.push(seen(&noisy(&picture(4))));
        looks.push(seen(&picture(7).iter().map(|value| 0.1 + 0.8 * value).collect::<Vec<_>>()));
        let pairs = |looks: &[Look]| -> Vec<(usize, Option<usize>)> {
            findings(looks).iter().map(|finding| (finding.image, finding.resembles)).collect()
        };
        assert_eq!(pairs(&looks), [(30, Some(4)), (31, Some(7))]);
        // Of three of a kind, the two later ones.
        looks.push(seen(&noisy(&noisy(&picture(4)))));
        assert_eq!(pairs(&looks).iter().map(|pair| pair.0).collect::<Vec<_>>(), [30, 31, 32]);
    }

    #[test]
    fn the_correlation_allows_a_shift_of_two_pixels() {
        let looks = [seen(&picture(1)), seen(&moved(&picture(1), 4)), seen(&picture(2))];
        let prints = prints(&looks[..2]);
        let without = f64::from(dot(&prints[0].inner, &prints[1].inner));
        assert!(shifted(&prints[0], &prints[1]) > without + 0.05, "{without}");
        assert_eq!(shifted(&prints[0], &prints[1]), shifted(&prints[1], &prints[0]));
    }

    #[test]
    fn few_or_uniform_images_have_no_duplicates() {
        for looks in [vec![], vec![seen(&picture(1))], vec![seen(&[0.5; SIDE * SIDE]); 2]] {
            assert_eq!(findings(&looks), []);
        }
    }
}

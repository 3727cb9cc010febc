//! How much the good images differ from each other, by their features.
//!
//! A flow learns what is normal from the differences between good images. Where they hardly differ at a place, the likelihood has
//! no bound, and any other image is astronomically unlikely: 20 copies of one photograph gave log₁₀NFA of −2.7·10⁸.

use crate::{
    Error, Result,
    train::{FeatureCache, session::spread},
};

/// Below this part of the features' variance the difference between images is the rounding of their features.
const NOTHING: f64 = 1e-6;
/// Below this part it is no more than a camera's noise on one and the same part.
const LITTLE: f64 = 1e-3;
/// Channels whose deviation is below this part of their mean are constant.
const CONSTANT: f64 = 1e-4;

/// Per scale and tile, the part of the features' variance that lies between images at the same place, as a mean over the channels that
/// vary at all; 0 where no channel does.
pub(super) fn variety(cache: &FeatureCache) -> Vec<f64> {
    let images = cache.len();
    let tiles =
        (0..cache.shapes().len()).flat_map(|scale| spread(cache.tiles()).into_iter().map(move |tile| (scale, tile)));
    tiles
        .map(|(scale, tile)| {
            let shape = cache.shapes()[scale];
            let mut first = vec![0.0; shape.len()];
            cache.read(0, cache.plain(0, tile), scale, &mut first);
            let (mut sums, mut squares) = (vec![0.0; shape.len()], vec![0.0; shape.len()]);
            let mut map = vec![0.0; shape.len()];
            for image in 1..images {
                cache.read(image, cache.plain(image, tile), scale, &mut map);
                for (((&value, &first), sum), square) in map.iter().zip(&first).zip(&mut sums).zip(&mut squares) {
                    // Differences to the first image lose nothing where images are alike.
                    let difference = f64::from(value) - f64::from(first);
                    *sum += difference;
                    *square += difference * difference;
                }
            }
            let pixels = shape.pixels();
            let channels = (0..shape.channels).map(|channel| channel * pixels..(channel + 1) * pixels);
            let parts: Vec<f64> = channels
                .filter_map(|at| part_between(&first[at.clone()], &sums[at.clone()], &squares[at], images))
                .collect();
            if parts.is_empty() { 0.0 } else { parts.iter().sum::<f64>() / parts.len() as f64 }
        })
        .collect()
}

/// The part of a channel's variance that lies between images; `None` for a constant channel.
fn part_between(first: &[f32], sums: &[f64], squares: &[f64], images: usize) -> Option<f64> {
    let (n, pixels) = (images as f64, first.len() as f64);
    let between = sums.iter().zip(squares).map(|(sum, square)| (square - sum * sum / n) / n).sum::<f64>() / pixels;
    let means = || first.iter().zip(sums).map(|(&first, sum)| f64::from(first) + sum / n);
    let mean = means().sum::<f64>() / pixels;
    let within = means().map(|at| (at - mean).powi(2)).sum::<f64>() / pixels;
    let all = between + within;
    (all.sqrt() > CONSTANT * mean.abs().max(CONSTANT)).then(|| between.max(0.0) / all)
}

/// Refuses images that are practically one image; warns of images that hardly differ.
///
/// # Errors
/// [`Error::Training`].
pub(super) fn check(cache: &FeatureCache) -> Result<Option<String>> {
    let most = variety(cache).into_iter().fold(0.0, f64::max);
    let images = cache.len();
    if most < NOTHING {
        return Err(Error::training(format!(
            "the {images} good images are practically one image: at the same place their features differ by {most:.1e} of \
             their variance. Every other image would be called a defect. Give images of different parts, taken as they will \
             be inspected"
        )));
    }
    Ok((most < LITTLE).then(|| {
        format!(
            "the {images} good images hardly differ: at the same place their features vary by {most:.1e} of their variance, \
             no more than a camera's noise. The model will call most other parts defective; give images of different parts, \
             taken as they will be inspected"
        )
    }))
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;
    use crate::latents::ScaleShape;

    fn cache(images: usize, value: impl Fn(usize, usize, usize) -> f32) -> FeatureCache {
        let shape = ScaleShape { channels: 2, height: 4, width: 5 };
        let mut cache = FeatureCache::new(&[shape], u64::MAX).unwrap();
        for image in 0..images {
            let map = Array3::from_shape_fn((2, 4, 5), |(channel, y, x)| value(image, channel, 5 * y + x));
            cache.push(&[map.view()]).unwrap();
        }
        cache
    }

    /// Numbers in [-0.5, 0.5) without a pattern.
    fn noise(image: usize, at: usize) -> f32 {
        let mixed = (image as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ (at as u64 + 7).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 40) as f32 / (1 << 24) as f32 - 0.5
    }

    #[test]
    fn images_that_share_nothing_vary_by_all_and_copies_by_nothing() {
        let apart = cache(40, |image, channel, at| noise(image, 100 * channel + at));
        assert!((variety(&apart)[0] - 1.0).abs() < 0.1, "{:?}", variety(&apart));
        assert_eq!(check(&apart).unwrap(), None);
        let copies = cache(20, |_, channel, at| noise(0, 100 * channel + at));
        assert_eq!(variety(&copies), [0.0]);
        assert!(check(&copies).unwrap_err().to_string().contains("practically one image"));
        let black = cache(20, |_, _, _| 3.0);
        assert!(check(&black).unwrap_err().to_string().contains("practically one image"));
    }

    #[test]
    fn a_constant_channel_does_not_hide_that_the_others_vary() {
        let found = cache(40, |image, channel, at| if channel == 0 { 5.0 } else { noise(image, at) });
        assert!(variety(&found)[0] > 0.9);
    }

    #[test]
    fn one_part_photographed_again_and_again_is_warned_of() {
        let noisy = cache(20, |image, channel, at| noise(0, 100 * channel + at) + 0.01 * noise(image + 1, at));
        let warning = check(&noisy).unwrap().unwrap();
        assert!(warning.contains("hardly differ"), "{warning}");
    }
}

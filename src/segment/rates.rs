//! Λ(t): how many regions of at most t a good image has, from the regions of good images, and its tail.
//!
//! Λ is measured down to [`TAIL_RATE`] regions an image. Below, it is taken as exponential in e, the z of a single pixel with that t (see
//! [`ScaleNull::tail_slope`](super::ScaleNull::tail_slope)). The slope is estimated from the extremes alone: the bulk of the regions of a fine
//! scale, hundreds in an image, falls more steeply than they do, and would call a rare but good region a defect.

/// Number of points of Λ that are kept.
const KNOTS: usize = 24;
/// Λ where the tail begins, in regions an image.
const TAIL_RATE: f64 = 0.2;
/// Fewest regions that a tail is estimated from.
const FEWEST_OF_TAIL: usize = 10;
/// Weight of the prior slope 1, which is about that of a normal tail at its start, as a number of regions.
const PRIOR_REGIONS: f64 = 2.0;

/// (t, log₁₀ Λ(t)), both increasing, and the slope of the tail, from the t of every region of `images` images. `shift` is e of a t.
pub(super) fn rates(mut found: Vec<f64>, images: usize, shift: impl Fn(f64) -> f64) -> (Vec<[f32; 2]>, f32) {
    found.sort_by(f64::total_cmp);
    if found.is_empty() {
        // No image has a pixel above its location: all that is known is that there is less than one region in all images.
        return (vec![[0.0, -(images as f64).log10() as f32]], 1.0);
    }
    let regions = found.len();
    let tail = ((TAIL_RATE * images as f64) as usize).max(FEWEST_OF_TAIL).min(regions);
    let start = shift(found[tail - 1]);
    let excess: f64 = found[..tail].iter().map(|&t| shift(t) - start).sum();
    let slope = (tail as f64 + PRIOR_REGIONS) / (excess * std::f64::consts::LN_10 + PRIOR_REGIONS);
    // The slope and every count are moved by one standard error to the safe side.
    let slope = slope * (1.0 - 1.0 / (tail as f64 + PRIOR_REGIONS).sqrt());
    let mut rates: Vec<[f32; 2]> = Vec::with_capacity(KNOTS + 1);
    for knot in 0..=KNOTS {
        let part = knot as f64 / KNOTS as f64;
        let rank = (tail as f64 * (regions as f64 / tail as f64).powf(part)).round() as usize;
        let count = rank as f64 + (rank as f64).sqrt();
        let (t, rate) = (found[rank.clamp(1, regions) - 1] as f32, (count / images as f64).log10() as f32);
        match rates.last_mut() {
            Some(last) if t <= last[0] => last[1] = rate,
            _ => rates.push([t, rate]),
        }
    }
    (rates, slope.clamp(0.05, 5.0) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quantiles of an exponential distribution above `start` with this mean excess.
    fn exponential(start: f64, mean: f64, count: usize) -> impl Iterator<Item = f64> {
        (0..count).map(move |i| start - mean * ((i as f64 + 0.5) / count as f64).ln())
    }

    #[test]
    fn the_tail_is_that_of_the_extremes_and_not_of_the_bulk() {
        // 50 regions an image fall steeply; one in three images has one that is part of a heavy tail.
        let shifts = exponential(1.0, 0.2, 5000).chain(exponential(2.0, 1.0, 30));
        let (rates, slope) = rates(shifts.map(|e| -e).collect(), 100, |t| -t);
        let decades = std::f64::consts::LOG10_E as f32;
        assert!((0.5 * decades..=decades).contains(&slope), "{slope}: at most {decades}, or extremes are underrated");
        assert!((rates[0][1] - 0.25_f32.log10()).abs() < 0.05, "measured down to 20 regions in 100 images: {rates:?}");
    }

    #[test]
    fn few_regions_are_all_tail() {
        let (rates, slope) = rates(vec![-3.0, -2.0, -1.0], 10, |t| -t);
        assert_eq!(rates.len(), 1);
        assert!(rates[0][0] == -1.0 && slope > 0.05 && slope < 1.0);
    }
}

//! Quantiles by nearest rank: always a value that occurred.

/// Relative error of a share that was rounded to `f32`, so that 5% of 100 values are 5 and not 6.
const ROUNDING: f64 = 1e-7;

/// The smallest of the sorted values that is at least as large as a `share` (0 to 1) of them. `None` without values.
pub(crate) fn quantile<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    let rank = (share * sorted.len() as f64 * (1.0 - ROUNDING)).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rank_is_the_share_rounded_up() {
        let values: Vec<u32> = (1..=100).collect();
        for percent in 1..=100_u32 {
            assert_eq!(quantile(&values, f64::from(percent) / 100.0), Some(percent));
            assert_eq!(quantile(&values, f64::from(percent as f32 / 100.0)), Some(percent));
        }
        assert_eq!((quantile(&values, 0.0), quantile(&values, 0.501)), (Some(1), Some(51)));
        assert_eq!(quantile(&[7.0], 0.5), Some(7.0));
        assert_eq!(quantile::<f64>(&[], 0.5), None);
    }
}

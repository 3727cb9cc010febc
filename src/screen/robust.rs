//! Centre and spread of a set by median and median absolute deviation: a few unusual images do not move them.

/// The factor that makes the median absolute deviation of normal values their standard deviation.
const NORMAL: f64 = 1.4826;

/// What is usual in a set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Usual {
    /// The median.
    pub(crate) median: f64,
    /// 1.4826 times the median absolute deviation, at least the floor that [`Usual::of`] was given.
    pub(crate) deviation: f64,
}

impl Usual {
    /// Of these values; the deviation is at least `floor`. A set without values has the median 0.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>, floor: f64) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        let median = median(&mut sorted);
        let mut distances: Vec<f64> = sorted.iter().map(|value| (value - median).abs()).collect();
        Self { median, deviation: (NORMAL * self::median(&mut distances)).max(floor) }
    }

    /// Deviations from the median.
    pub(crate) fn z(&self, value: f64) -> f64 {
        (value - self.median) / self.deviation
    }
}

/// The median, the mean of the two middle values where they are two; 0 without values. Sorts the values.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[middle],
        _ => 0.5 * (values[middle - 1] + values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_few_far_values_move_nothing() {
        let usual = Usual::of([1.0, 2.0, 3.0, 4.0, 5.0], 0.0);
        assert_eq!((usual.median, usual.deviation), (3.0, NORMAL));
        assert_eq!(Usual::of([1.0, 2.0, 3.0, 4.0, 5e9], 0.0), usual);
        assert_eq!(Usual::of([7.0; 9], 0.5).z(8.0), 2.0, "the floor");
        assert_eq!((median(&mut []), median(&mut [1.0, 2.0])), (0.0, 1.5));
    }

    proptest! {
        /// Half of the values lie within 0.6745 deviations of the median, whatever the values are.
        #[test]
        fn half_of_the_values_are_near(values in prop::collection::vec(-1e3_f64..1e3, 1..60)) {
            let usual = Usual::of(values.iter().copied(), 1e-12);
            let near = values.iter().filter(|&&value| usual.z(value).abs() <= 1.0 / NORMAL + 1e-9).count();
            prop_assert!(2 * near >= values.len());
        }
    }
}

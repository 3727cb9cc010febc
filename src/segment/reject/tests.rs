//! The promise by simulation: images are drawn, a threshold is set on them, and the share of further images that it flags is computed
//! from the distribution itself, not by the code under test.

use approx::assert_abs_diff_eq;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

fn rejection(values: &[Option<f32>]) -> Rejection {
    Rejection::new(values, RejectionOrigin::HeldOut, TestCount::PerSize, Bound::Chernoff).unwrap()
}

fn all(values: impl IntoIterator<Item = f64>) -> Vec<Option<f32>> {
    values.into_iter().map(|value| Some(value as f32)).collect()
}

/// Mean and its standard error.
fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

#[test]
fn a_hundred_images_keep_one_percent() {
    let hundred = rejection(&all((0..100).map(|i| f64::from(i) / 50.0)));
    let threshold = hundred.threshold(0.01).unwrap();
    assert_eq!(threshold.log10_nfa, 0.0, "the lowest value itself is not flagged");
    let promise = threshold.promise().unwrap();
    // Beta(1, n) has the quantiles 1 − (1 − p)^(1/n).
    let [low, high] = [0.025, 0.975].map(|p: f64| 1.0 - (1.0 - p).powf(0.01));
    assert_abs_diff_eq!(promise.interval[0], low, epsilon = 1e-7);
    assert_abs_diff_eq!(promise.interval[1], high, epsilon = 1e-7);
    assert_eq!(promise.to_string(), "at most 1% expected; between 0.03% and 3.6% with 95% confidence");
    assert!(hundred.threshold(0.005).unwrap().is_extrapolated());
    for (rate, needed) in [(0.01, 99), (0.1, 9), (0.03, 33), (0.001, 999), (0.5, 1), (0.9, 1), (1.0 / 3.0, 2)] {
        assert_eq!(images_needed(rate), needed, "{rate}");
        assert!(
            needed == 1 || rejection(&all((0..needed).map(|i| i as f64))).threshold(rate).unwrap().promise().is_some()
        );
        if needed > 1 {
            let fewer = rejection(&all((1..needed).map(|i| i as f64)));
            assert!(fewer.threshold(rate).unwrap().is_extrapolated(), "{rate}");
        }
    }
}

/// The share flagged has the mean k/(n + 1) and lies in the interval as often as it says.
#[test]
fn more_images_count_as_if_they_had_been_there() {
    let (first, more) = (all((0..60).map(|i| -0.1 * f64::from(i))), [Some(-9.0), None, Some(-0.55)]);
    let together = [&first[..], &[None; 4], &more].concat();
    assert_eq!(rejection(&[&first[..], &[None; 4]].concat()).with(&more).unwrap(), rejection(&together));
    // Of many images some values are thinned out.
    let many = all((0..5000).map(|i| -0.001 * f64::from(i)));
    let both = rejection(&many).with(&more).unwrap();
    assert_eq!(both.images(), 5003);
    let [thinned, whole] =
        [both, rejection(&[&many[..], &more].concat())].map(|it| it.threshold(0.5).unwrap().log10_nfa);
    assert!(thinned >= whole && thinned < whole + 0.06, "{thinned} for {whole}");
}

#[test]
fn the_share_flagged_is_as_promised() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for (images, rate) in [(100, 0.01), (60, 0.1), (300, 0.03), (99, 0.01)] {
        let mut shares = Vec::new();
        let mut inside = 0;
        let mut promised = None;
        for _ in 0..3000 {
            let drawn: Vec<f64> = (0..images).map(|_| random.random_range(0.0..1.0)).collect();
            let threshold = rejection(&all(drawn)).threshold(rate).unwrap();
            let promise = threshold.promise().unwrap();
            // Of uniform numbers, the share below the threshold is the threshold.
            let share = f64::from(threshold.log10_nfa);
            inside += usize::from((promise.interval[0]..=promise.interval[1]).contains(&share));
            shares.push(share);
            promised = Some(promise);
        }
        let (share, error) = mean(&shares);
        let expected = promised.unwrap().expected;
        assert!(expected <= rate && expected > rate - 1.0 / images as f64);
        assert!((share - expected).abs() < 4.0 * error, "{images} at {rate}: {share}, not {expected}");
        let inside = inside as f64 / 3000.0;
        assert!((inside - 0.95).abs() < 0.016, "{images} at {rate}: {inside} in the interval");
    }
}

/// Most good images have no evidence at all, or one of a few values.
#[test]
fn ties_flag_fewer_images_and_never_more() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    // (probability, value); the rest has no evidence.
    let levels = [(0.004, -3.0), (0.03, -2.0), (0.06, -1.0), (0.2, 0.0)];
    let draw = |random: &mut ChaCha8Rng| {
        let mut left: f64 = random.random_range(0.0..1.0);
        levels
            .iter()
            .find(|(share, _)| {
                left -= share;
                left < 0.0
            })
            .map(|&(_, value)| value as f32)
    };
    let below = |threshold: f32| -> f64 {
        levels.iter().filter(|(_, value)| (*value as f32) < threshold).map(|(share, _)| share).sum()
    };
    for (images, rate) in [(100, 0.01), (100, 0.1), (200, 0.05), (50, 0.5)] {
        let mut shares = Vec::new();
        for _ in 0..2000 {
            let drawn: Vec<_> = (0..images).map(|_| draw(&mut random)).collect();
            shares.push(below(rejection(&drawn).threshold(rate).unwrap().log10_nfa));
        }
        let (share, error) = mean(&shares);
        assert!(share <= rate + 4.0 * error, "{images} at {rate}: {share}");
        assert!(share > 0.0, "{images} at {rate}: nothing is ever flagged");
    }
    let calm = rejection(&[None; 100]);
    assert_eq!(calm.threshold(0.01).unwrap().log10_nfa, f32::INFINITY, "any evidence is more than any of them had");
    assert_eq!(calm.p_value(None), PValue { value: 1.0, extrapolated: false });
    assert!(calm.p_value(Some(0.0)).value <= 0.01 && calm.p_value(Some(-5.0)).extrapolated);
    let equal = rejection(&[Some(-1.0); 100]);
    assert_eq!(equal.p_value(Some(-1.0)).value, 1.0);
    assert_eq!(equal.threshold(0.3).unwrap().log10_nfa, -1.0);
}

/// The expected share of good images that an extrapolated threshold flags, over the rate.
fn factor(images: usize, rate: f64, quantile: &dyn Fn(f64) -> f64, beyond: &dyn Fn(f64) -> f64) -> f64 {
    let mut random = ChaCha8Rng::seed_from_u64(images as u64);
    let shares: Vec<f64> = (0..2000)
        .map(|_| {
            let drawn = (0..images).map(|_| -quantile(random.random_range(0.0..1.0)));
            let threshold = rejection(&all(drawn)).threshold(rate).unwrap();
            assert!(threshold.is_extrapolated());
            beyond(-f64::from(threshold.log10_nfa))
        })
        .collect();
    mean(&shares).0 / rate
}

#[test]
fn an_extrapolated_threshold_is_within_a_factor_of_three() {
    for (images, rate) in [(20, 0.01), (31, 0.01), (60, 0.01), (100, 0.001)] {
        // Exponential tails, from as steep as NFA means it to six times as slow.
        for decades in [0.5, 1.0, 3.0] {
            let found = factor(images, rate, &|u| -decades * (1.0 - u).log10(), &|y| 10_f64.powf(-y / decades));
            assert!((0.4..1.4).contains(&found), "{images} at {rate}, {decades} decades: {found}");
        }
        // P(Y > y) = exp(−y^shape): faster and slower than an exponential.
        for (shape, range) in [(2.0_f64, 0.1..1.0), (1.4, 1.0 / 3.0..1.0), (0.75, 1.0..2.5)] {
            let quantile = |u: f64| (-(1.0 - u).ln()).powf(1.0 / shape);
            let found = factor(images, rate, &quantile, &|y| (-y.max(0.0).powf(shape)).exp());
            assert!(range.contains(&found), "{images} at {rate}, shape {shape}: {found}");
        }
    }
}

#[test]
fn rates_are_read_as_percent_and_as_shares_and_shown_in_round_numbers() {
    for (text, rate) in [("1%", 0.01), ("0.01", 0.01), (" 2.5 % ", 0.025), ("1e-3", 0.001), ("50%", 0.5)] {
        assert_eq!(parse_rate(text).unwrap(), rate, "{text}");
    }
    for text in ["", "%", "0", "0%", "100%", "1", "-1%", "one", "nan", "1%%", "1e-310", "1e-20"] {
        let error = parse_rate(text).unwrap_err().to_string();
        assert!(error.starts_with("reject_rate: "), "{text}: {error}");
    }
    for (share, exact, round) in [
        (0.01, "1%", "1%"),
        (0.000253, "0.0253%", "0.03%"),
        (0.0362, "3.62%", "3.6%"),
        (0.1234, "12.34%", "12%"),
        (0.0, "0%", "0%"),
        (1.0, "100%", "100%"),
    ] {
        assert_eq!((percent(share), rounded_percent(share)), (exact.to_owned(), round.to_owned()));
    }
    for (images, enough) in
        [(9, "10%"), (20, "4.8%"), (24, "4%"), (31, "3.2%"), (98, "1.1%"), (99, "1%"), (300, "0.34%")]
    {
        assert_eq!(percent_above(1.0 / f64::from(images + 1)), enough, "{images} images");
        let rate = parse_rate(enough).unwrap();
        assert!((rate * f64::from(images + 1)).floor() >= 1.0, "{images} images keep {enough}");
    }
}

#[test]
fn what_a_manifest_may_not_say_is_refused() {
    let good = serde_json::json!({ "images": 3, "origin": "held_out", "tests": "sized", "bound": "chernoff", "lowest": [-1.5, 0.25] });
    let read = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut record = good.clone();
        change(&mut record);
        serde_json::from_value::<Rejection>(record).map_err(|error| error.to_string())
    };
    let whole = read(&|_| {}).unwrap();
    assert_eq!((whole.images(), serde_json::to_value(&whole).unwrap()), (3, good.clone()));
    for (key, value, told) in [
        ("images", serde_json::json!(0), "images"),
        ("images", serde_json::json!(1), "fewer than the 2"),
        ("lowest", serde_json::json!([1.0, 0.0]), "ascending"),
        ("lowest", serde_json::json!([1e39]), "finite"),
        ("ranks", serde_json::json!([1]), "ranks"),
        ("ranks", serde_json::json!([2, 3]), "ranks"),
        ("ranks", serde_json::json!([1, 4]), "fewer than the 4"),
        ("origin", serde_json::json!("guessed"), "unknown variant `guessed`"),
        ("other", serde_json::json!(1), "other"),
    ] {
        let error = read(&|record| record[key] = value.clone()).unwrap_err();
        assert!(error.contains(told), "{key} {value}: {error}");
    }
}

proptest! {
    /// An image is anomalous exactly where its p-value is at most the rate, for as many images as there may be.
    #[test]
    fn the_threshold_is_where_p_meets_the_rate(
        seed in any::<u64>(), images in 1_usize..5000, distinct in 1_u32..10_000, rate in 1e-5_f64..0.999, calm in 0.0..0.9_f64,
    ) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut draw = |spread: f32| {
            let value = random.random_range(0..distinct) as f32 / 100.0 * spread - 50.0;
            (random.random_range(0.0..1.0) >= calm).then_some(value)
        };
        let drawn: Vec<_> = (0..images).map(|_| draw(1.0)).collect();
        let found = rejection(&drawn);
        let threshold = found.threshold(rate).unwrap();
        let mut last = f64::INFINITY;
        let mut probes: Vec<f32> = (0..50).filter_map(|_| draw(1.5)).chain(drawn.into_iter().flatten().take(20)).collect();
        probes.extend([threshold.log10_nfa.min(1e9), threshold.log10_nfa.min(1e9).next_down(), -1e4]);
        probes.sort_by(|a, b| b.total_cmp(a));
        for x in probes {
            let p = found.p_value(Some(x));
            prop_assert_eq!(x < threshold.log10_nfa, p.value <= rate, "{} against {:?}: {:?}", x, threshold, p);
            prop_assert!(p.value > 0.0 && p.value <= 1.0 && p.value <= last, "{} after {}", p.value, last);
            prop_assert!(p.extrapolated == (p.value < 1.0 / (images + 1) as f64));
            last = p.value;
        }
        prop_assert_eq!(threshold.promise().is_some(), images >= images_needed(rate));
    }
}

#[test]
fn the_smallest_rate_and_the_most_images_are_handled() {
    let some: Vec<Option<f32>> = (0..20).map(|i| Some(-0.1 * i as f32)).collect();
    let rejection = Rejection::new(&some, RejectionOrigin::HeldOut, TestCount::PerSize, Bound::Chernoff).unwrap();
    let threshold = rejection.threshold(LEAST_RATE).unwrap();
    assert!(threshold.is_extrapolated() && threshold.log10_nfa.is_finite());
    assert!(rejection.p_value(Some(threshold.log10_nfa.next_down())).value <= LEAST_RATE);
    assert!(images_needed(LEAST_RATE) >= 999_999_998);
    let mut record = serde_json::to_value(&rejection).unwrap();
    record["images"] = u64::MAX.into();
    let error = serde_json::from_value::<Rejection>(record).unwrap_err().to_string();
    assert!(error.contains("images: there must be 1 to"), "{error}");
}

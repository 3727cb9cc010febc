//! Calibration on latents whose law is known.

use ndarray::{Array2, Array3};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use uflow::{
    calibrate::{Calibration, CalibrationReport, Measured, PromiseVerdict, Threshold},
    evaluate::{EPSILONS, FalseAlarms},
    latents::ScaleShape,
    segment::{Bound, DecisionOptions, DecisionRule, ModelFacts, Rejection, RejectionOrigin, TestCount, Verdict},
};

const SHAPES: [ScaleShape; 2] =
    [ScaleShape { channels: 12, height: 16, width: 24 }, ScaleShape { channels: 20, height: 8, width: 12 }];

/// A standard normal number (Box and Muller).
fn normal(random: &mut ChaCha8Rng) -> f32 {
    let (a, b): (f64, f64) = (random.random_range(f64::MIN_POSITIVE..1.0), random.random());
    ((-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()) as f32
}

fn white(random: &mut ChaCha8Rng, shape: ScaleShape) -> Array3<f32> {
    Array3::from_shape_simple_fn((shape.channels, shape.height, shape.width), || normal(random))
}

/// Statistics of `images` images of white noise that `change` has been at, with a region in each whose log₁₀NFA is `log10_nfa`.
fn report(images: usize, log10_nfa: f32, change: impl Fn(usize, &mut Array3<f32>)) -> CalibrationReport {
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let mut calibration = Calibration::new(&SHAPES).unwrap();
    let mut map = Array2::from_elem((32, 48), 100.0_f32);
    map[[3, 4]] = log10_nfa;
    for image in 0..images {
        let mut latents = SHAPES.map(|shape| white(&mut random, shape));
        latents.iter_mut().enumerate().for_each(|(scale, z)| change(scale, z));
        calibration
            .push(
                &latents.each_ref().map(|z| z.view()),
                map.view(),
                Some(log10_nfa),
                0.25 + image as f32 / 256.0,
                log10_nfa < 0.0,
            )
            .unwrap();
    }
    let rule = DecisionRule::without_package(&DecisionOptions::default()).unwrap();
    let thresholds = &[Threshold::Epsilon(1.0), Threshold::Score(0.1)];
    calibration.finish(&Measured { name: "bolt", rule: &rule, thresholds }).unwrap()
}

#[test]
fn white_noise_is_found_white() {
    let found = report(60, 5.0, |_, _| {});
    for (scale, shape) in found.scales.iter().zip(SHAPES) {
        assert!(scale.mean.abs() < 0.01 && (scale.variance - 1.0).abs() < 0.02, "{scale:?}");
        assert!(scale.excess_kurtosis.abs() < 0.05 && scale.channel_correlation < 0.02, "{scale:?}");
        assert!(scale.neighbours.iter().all(|near| near.latents.abs() < 0.02 && near.energy.abs() < 0.05), "{scale:?}");
        assert!((scale.effective_degrees / shape.channels as f64 - 1.0).abs() < 0.06, "{scale:?}");
        assert!((scale.border - 1.0).abs() < 0.03);
        let telling = scale.quantiles.iter().filter(|q| (0.1..=0.9).contains(&q.probability));
        assert!(telling.clone().count() == 5 && telling.clone().all(|q| (q.found / q.expected - 1.0).abs() < 0.03));
    }
    assert!(found.between_scales[0].abs() < 0.05);
    assert_eq!((found.findings.len(), found.images), (0, 60));
    let PromiseVerdict::Kept { resolution } = found.verdict else { panic!("{}", found.verdict) };
    assert!((resolution - 3.689 / 60.0).abs() < 1e-3);
    assert!(found.to_string().contains("ε can be trusted, as far as these images tell"));
}

#[test]
fn what_is_not_white_is_named() {
    let wide = report(20, 5.0, |scale, z| z.mapv_inplace(|z| if scale == 0 { 1.5 * z } else { z }));
    assert!(
        (wide.scales[0].variance - 2.25).abs() < 0.05
            && wide.findings[0].contains("scale 0: the latents' variance is 2.2")
    );

    let smooth = report(20, 5.0, |_, z| {
        let near = z.clone();
        let width = z.dim().2;
        for (at, z) in z.indexed_iter_mut() {
            *z = (*z + near[(at.0, at.1, (at.2 + 1) % width)]) / 2_f32.sqrt();
        }
    });
    let right = &smooth.scales[0].neighbours[0];
    assert_eq!((right.rows, right.columns), (0, 1));
    assert!((right.latents - 0.5).abs() < 0.02 && (right.energy - 0.25).abs() < 0.05, "{right:?}");
    assert!(smooth.scales[0].neighbours[1].latents.abs() < 0.02);
    assert!(smooth.findings.iter().any(|text| text.contains("neighbouring pixels")));

    // Every pixel has a scale of its own, the same in all channels: U varies more than χ².
    let heavy = report(20, 5.0, |_, z| {
        let scales = z.index_axis(ndarray::Axis(0), 0).mapv(|z| 1.0 + 0.4 * z.clamp(-2.0, 2.0));
        z.outer_iter_mut().for_each(|mut channel| channel *= &scales);
    });
    assert!(heavy.scales[0].effective_degrees < 6.0 && heavy.scales[0].excess_kurtosis > 1.0, "{:?}", heavy.scales[0]);
    assert!(heavy.findings.iter().any(|text| text.contains("heavier")));

    let bordered = report(20, 5.0, |_, z| z.slice_mut(ndarray::s![.., 0, ..]).mapv_inplace(|z| 2.0 * z));
    assert!(bordered.scales[0].border > 1.5 && bordered.findings.iter().any(|text| text.contains("border")));
}

#[test]
fn a_promise_that_is_not_kept_is_said() {
    let found = report(50, -3.5, |_, _| {});
    assert_eq!(found.false_alarms[0].rate, 1.0);
    // One region an image is what ε = 1 promises, not 0.1.
    let PromiseVerdict::Broken { epsilon, rate, at_least } = found.verdict else { panic!("{}", found.verdict) };
    assert_eq!((epsilon, rate), (0.1, 1.0));
    assert!(at_least > 0.8 && at_least < 1.0, "{at_least}");
    let said = found.to_string();
    assert!(
        said.contains("ε cannot be trusted: where 0.1 false alarms per image are promised, these images have 1.000")
    );
    // The advice is measured: the package's ways flag all of these images, the proposed ones none.
    let flagged: Vec<usize> = found.alternatives.iter().map(|way| way.flagged).collect();
    assert_eq!(flagged, [50, 50, 0, 0]);
    assert!(found.alternatives[2..].iter().all(|way| way.expected == Some(1.0 / 51.0)));
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for line in [
        "--verdict nfa --epsilon 1 50 of 50 the package's now",
        "--verdict score --score-threshold 0.1 50 of 50 the package's now",
        "--verdict nfa --epsilon 3.1e-4 0 of 50 at most 2.0% of other good images",
        "--verdict score --score-threshold 0.4415 0 of 50 at most 2.0%",
        "uflow package set PKG OPTIONS --out NEW",
    ] {
        assert!(words.contains(line), "no `{line}` in {words}");
    }
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!((&json["verdict"]["promise"], &json["verdict"]["epsilon"]), (&"broken".into(), &0.1.into()));
}

#[test]
fn what_cannot_be_calibrated_with_is_refused() {
    assert!(Calibration::new(&[]).is_err());
    let mut calibration = Calibration::new(&SHAPES).unwrap();
    let map = Array2::from_elem((4, 4), 1.0_f32);
    let good = SHAPES.map(|shape| Array3::<f32>::zeros((shape.channels, shape.height, shape.width)));
    let error = calibration.push(&[good[0].view()], map.view(), None, 0.5, false).unwrap_err().to_string();
    assert!(error.contains("1 scales given, 2 expected"), "{error}");
    let error =
        calibration.push(&[good[1].view(), good[0].view()], map.view(), None, 0.5, false).unwrap_err().to_string();
    assert!(error.contains("scale 0 is"), "{error}");
    let mut broken = good.clone();
    broken[1][[0, 0, 0]] = f32::NAN;
    assert!(calibration.push(&broken.each_ref().map(|z| z.view()), map.view(), None, 0.5, false).is_err());
    calibration.push(&good.each_ref().map(|z| z.view()), map.view(), None, 0.5, false).unwrap();
    let rule = DecisionRule::without_package(&DecisionOptions::default()).unwrap();
    let error = calibration.finish(&Measured { name: "", rule: &rule, thresholds: &[] }).unwrap_err().to_string();
    assert!(error.contains("1 are too few"), "{error}");
}

/// A number of events with this mean (Knuth).
fn poisson(random: &mut ChaCha8Rng, mean: f64) -> u32 {
    let (limit, mut product, mut events) = ((-mean).exp(), random.random::<f64>(), 0);
    while product > limit {
        product *= random.random::<f64>();
        events += 1;
    }
    events
}

/// At each ε the alarms of `images` good images: clusters of a mean size (geometric; 1 is alarms that are independent of each other), whose
/// alarms all have the NFA of the cluster. The mean at every ε is `factor` · ε exactly.
fn alarms(random: &mut ChaCha8Rng, images: usize, size: f64, factor: f64) -> Vec<FalseAlarms> {
    let mut counts = [const { Vec::new() }; EPSILONS.len()];
    for _ in 0..images {
        let mut image = [0; EPSILONS.len()];
        for _ in 0..poisson(random, EPSILONS[0] * factor / size) {
            let nfa = EPSILONS[0] * random.random::<f64>();
            let mut alarms = 1;
            while random.random::<f64>() >= 1.0 / size {
                alarms += 1;
            }
            for (count, epsilon) in image.iter_mut().zip(EPSILONS) {
                *count += if nfa < epsilon { alarms } else { 0 };
            }
        }
        counts.iter_mut().zip(image).for_each(|(counts, count)| counts.push(count));
    }
    EPSILONS.iter().zip(&counts).map(|(&epsilon, counts)| FalseAlarms::new(epsilon, counts)).collect()
}

/// The part of all runs in which the promise is called broken.
fn called_broken(images: usize, size: f64, factor: f64) -> f64 {
    const RUNS: usize = 400;
    let mut random = ChaCha8Rng::seed_from_u64(images as u64 * 1000 + (10.0 * size + factor) as u64);
    let broken = (0..RUNS).filter(|_| !PromiseVerdict::of(&alarms(&mut random, images, size, factor)).holds()).count();
    broken as f64 / RUNS as f64
}

#[test]
fn a_promise_that_is_kept_exactly_is_called_broken_in_at_most_one_run_of_twenty() {
    for images in [20, 100, 300] {
        for size in [1.0, 2.0, 3.0] {
            let wrong = called_broken(images, size, 1.0);
            assert!(wrong <= 0.05, "{images} images, clusters of {size}: {wrong}");
        }
    }
}

#[test]
fn ten_times_too_many_alarms_are_called_broken() {
    for images in [20, 100, 300] {
        for size in [1.0, 2.0, 3.0] {
            let right = called_broken(images, size, 10.0);
            assert!(right >= 0.95, "{images} images, clusters of {size}: {right}");
        }
    }
    // Three times too many need more images.
    assert!(called_broken(300, 2.0, 3.0) >= 0.95);
}

/// The report of a package that decides so, on good images of which the first `rejected` are rejected.
fn decided(options: &DecisionOptions, rejection: &Rejection, images: usize, rejected: usize) -> CalibrationReport {
    let facts = ModelFacts { name: "bolt", fair_threshold: Some(0.5), sized: true, rejection: Some(rejection) };
    let rule = DecisionRule::new(options, &DecisionOptions::<()>::default(), &facts).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let latents = SHAPES.map(|shape| white(&mut random, shape));
    let mut calibration = Calibration::new(&SHAPES).unwrap();
    for image in 0..images {
        let lowest = if image < rejected { -20.0 - image as f32 } else { 3.0 };
        let map = Array2::from_elem((32, 48), lowest);
        let score = if image < rejected { 0.7 } else { 0.3 };
        calibration
            .push(&latents.each_ref().map(|z| z.view()), map.view(), Some(lowest), score, image < rejected)
            .unwrap();
    }
    calibration.finish(&Measured { name: "bolt", rule: &rule, thresholds: &[] }).unwrap()
}

/// Good images that the package knows: their lowest log₁₀NFA.
fn known(images: usize) -> Rejection {
    let lowest: Vec<Option<f32>> = (0..images).map(|image| Some(image as f32 / 10.0)).collect();
    Rejection::new(&lowest, RejectionOrigin::Calibrated, TestCount::PerSize, Bound::Chernoff).unwrap()
}

#[test]
fn the_report_begins_with_what_the_package_decides_and_whether_that_holds() {
    let verdict = |verdict| DecisionOptions {
        verdict: Some(verdict),
        tests: Some(TestCount::PerSize),
        ..DecisionOptions::default()
    };
    let reject = verdict(Verdict::Reject);
    // 1% from 199 images: k = 2, so the share of good images is below 2.8% with 97.5% confidence.
    let found = decided(&reject, &known(199), 60, 1);
    let first = found.to_string().lines().next().unwrap().to_owned();
    assert_eq!(
        first,
        "`bolt` promises to reject at most 1% of good images (between 0.1% and 2.8% with 95% confidence): it rejects 1 of these 60 \
         good images (1.7%), and the promise holds, as far as so many images tell."
    );
    assert_eq!((found.decision.holds, found.decision.rejected, &first), (Some(true), 1, &found.decision.sentence));
    assert_eq!(found.decision.threshold, Some(-0.1));
    assert_eq!((found.decision.images[0].value, found.decision.images[0].rejected), (20.0, true));
    // 6 of 60: at least 3.8% by Clopper and Pearson.
    let broken = decided(&reject, &known(199), 60, 6).decision;
    assert_eq!(broken.holds, Some(false));
    assert!(broken.sentence.contains("rejects 6 of these 60 good images (10%)"), "{}", broken.sentence);
    assert!(broken.sentence.ends_with("and the promise does not hold on these images (surely 3.8% or more)."));

    let few = decided(&reject, &known(31), 60, 4).decision;
    assert!(few.sentence.starts_with("`bolt` aims to reject 1% of good images, extrapolated from only 31:"));
    assert!(few.sentence.ends_with("which is more (surely 1.8% or more)."), "{}", few.sentence);
    assert_eq!((few.holds, decided(&reject, &known(31), 60, 1).decision.holds), (Some(false), Some(true)));

    let nfa = decided(&verdict(Verdict::Nfa), &known(199), 60, 0).decision;
    assert_eq!(nfa.holds, Some(true));
    assert!(
        nfa.sentence
            .contains("if a region has NFA < 1: it rejects 0 of these 60 good images (0%), and ε keeps its promise")
    );
    let nfa = decided(&verdict(Verdict::Nfa), &known(199), 60, 60).decision;
    assert_eq!(nfa.holds, Some(false));
    assert!(
        nfa.sentence
            .ends_with("ε does not keep its promise: where 0.1 false alarms per image are promised, there are 1.000."),
        "{}",
        nfa.sentence
    );

    let score = decided(&verdict(Verdict::Score), &known(199), 60, 3).decision;
    assert_eq!((score.holds, score.threshold), (None, Some(0.5)));
    assert_eq!((score.images[2].value, score.images[3].value), (0.7, 0.3));
    assert!(score.sentence.starts_with("`bolt` rejects an image if its score_max is above 0.5: it rejects 3 of"));
    for (verdict, word) in [(verdict(Verdict::Both), "< 1 and its"), (verdict(Verdict::Either), "< 1 or its")] {
        assert!(decided(&verdict, &known(199), 60, 3).decision.sentence.contains(word));
    }
}

#[test]
fn the_page_begins_with_the_sentence_and_one_picture() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bolt.html");
    let found = report(12, -3.5, |_, _| {});
    found.write_html("bolt <1>", &path).unwrap();
    let page = std::fs::read_to_string(path).unwrap();
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("no {text}"));
    assert!(at("bolt &lt;1&gt;: check on good images") < at("<p class=\"lead\">`bolt` rejects an image"));
    assert!(at("<p class=\"lead\">") < at("<svg ") && at("<svg ") < at("Ways to decide"));
    assert_eq!(page[..at("Ways to decide")].matches("<svg ").count(), 1);
    assert!(page.contains("0 good images accepted") && page.contains("12 rejected"));
    assert!(at("Ways to decide") < at("For researchers: can ε be trusted?"));
    assert!(at("For researchers") < at("Autocorrelation of U") && !page.contains("{{"));
}

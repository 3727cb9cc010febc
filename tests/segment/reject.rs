//! What an image shows when the reject rate decides: mask and regions agree with the verdict, whatever ε is.

use ndarray::{Array3, s};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use uflow::{
    latents::ScaleShape,
    pipeline::{Decision, Evidence, PostProcessor},
    segment::{
        Bound, DecisionOptions, DecisionRule, ModelFacts, RegionOfInterest, Rejection, RejectionOrigin, TestCount,
        Verdict,
    },
};

const SHAPE: ScaleShape = ScaleShape { channels: 32, height: 16, width: 16 };
const FRAME: (u32, u32) = (50, 70);

/// White noise with a large and a small square of stronger noise, `strength` times as strong.
fn latents(seed: u64, strength: [f32; 2]) -> Array3<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut z = Array3::from_shape_simple_fn((SHAPE.channels, SHAPE.height, SHAPE.width), || {
        let (u, v): (f64, f64) = (random.random_range(f64::MIN_POSITIVE..1.0), random.random_range(0.0..1.0));
        ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
    });
    z.slice_mut(s![.., 2..6, 2..7]).mapv_inplace(|z| z * strength[0]);
    z.slice_mut(s![.., 11..12, 12..13]).mapv_inplace(|z| z * strength[1]);
    z
}

/// A rule at 10%, from nine good images of which the lowest has log₁₀NFA τ.
fn rule(threshold: f32, options: DecisionOptions) -> DecisionRule {
    let values: Vec<_> = (0..9).map(|image| Some(threshold + image as f32)).collect();
    let rejection = Rejection::new(&values, RejectionOrigin::HeldOut, TestCount::PerSize, Bound::Chernoff).unwrap();
    let model = ModelFacts { name: "nut", fair_threshold: None, sized: true, rejection: Some(&rejection) };
    let package = DecisionOptions::<RegionOfInterest>::default().of_new_package();
    let options = DecisionOptions { reject_rate: Some(0.1), ..options };
    DecisionRule::new(&options, &package, &model).unwrap()
}

fn post() -> PostProcessor {
    PostProcessor::for_latents(&[SHAPE], (64, 64), None, None).unwrap()
}

fn decide(post: &mut PostProcessor, z: &Array3<f32>, rule: &DecisionRule) -> Decision {
    post.decide(Evidence::Latents(&[z.view()]), FRAME, rule).unwrap()
}

fn marked(post: &PostProcessor) -> usize {
    post.mask().iter().filter(|&&pixel| pixel == 1).count()
}

#[test]
fn an_anomalous_image_shows_why_and_another_shows_nothing_whatever_epsilon_is() {
    let mut post = post();
    for (seed, strength) in [(1, [1.35, 1.0]), (2, [1.2, 1.9]), (3, [1.0, 1.0]), (4, [1.6, 1.5])] {
        let z = latents(seed, strength);
        let lowest = decide(&mut post, &z, &rule(0.0, DecisionOptions::default())).log10_nfa_min;
        for threshold in [lowest + 3.0, lowest.next_up(), lowest, lowest - 2.0] {
            for epsilon in [1e-300, 1e-6, 1.0, 1e6, 1e300] {
                let options = DecisionOptions { epsilon: Some(epsilon), ..DecisionOptions::default() };
                let found = decide(&mut post, &z, &rule(threshold, options));
                let told = format!("seed {seed}, lowest {lowest}, threshold {threshold}, ε {epsilon}: {found:?}");
                assert_eq!(found.anomalous, lowest < threshold, "{told}");
                assert_eq!(found.anomalous, found.p_value.unwrap().value <= 0.1, "{told}");
                assert_eq!(found.anomalous, !post.regions().is_empty(), "{told}");
                assert_eq!(found.anomalous, marked(&post) > 0, "{told}");
                if found.anomalous {
                    let first = post.regions().get(0).unwrap();
                    assert!(first.log10_nfa_min() < threshold.max(epsilon.log10() as f32), "{told}");
                    assert_eq!(first.p_value().unwrap() <= 0.1, first.log10_nfa_min() < threshold, "{told}");
                }
            }
        }
    }
}

#[test]
fn epsilon_decides_which_further_regions_an_anomalous_image_shows() {
    let mut post = post();
    let z = latents(5, [1.6, 1.8]);
    let mut shown = |epsilon: f64| {
        let options = DecisionOptions { epsilon: Some(epsilon), ..DecisionOptions::default() };
        let found = decide(&mut post, &z, &rule(-8.0, options));
        assert!(found.anomalous);
        let weakest = post.regions().iter().map(|region| region.log10_nfa_min()).fold(f32::NEG_INFINITY, f32::max);
        (post.regions().len(), marked(&post), weakest)
    };
    let (strict, loose) = (shown(1e-30), shown(1e-2));
    assert!(loose.0 > strict.0 && loose.1 > strict.1, "{strict:?} {loose:?}");
    // Without ε only what rejects the image by itself is shown; with it, all below ε.
    assert!(strict.2 < -8.0 && loose.2 < -2.0 && loose.2 >= -8.0, "{strict:?} {loose:?}");
}

#[test]
fn small_regions_do_not_reject_an_image() {
    let mut post = post();
    let z = latents(6, [1.0, 2.2]);
    let options =
        |min_area| DecisionOptions { min_area: Some(min_area), epsilon: Some(1e6), ..DecisionOptions::default() };
    let found = decide(&mut post, &z, &rule(-3.0, options(0)));
    assert!(found.anomalous && found.log10_nfa_min < -3.0);
    let area = post.regions().get(0).unwrap().area();
    assert!(decide(&mut post, &z, &rule(-3.0, options(area))).anomalous);
    // Larger regions there are, but none that is unusual by itself.
    let found = decide(&mut post, &z, &rule(-3.0, options(area + 1)));
    assert!(!found.anomalous && post.regions().is_empty() && marked(&post) == 0);
    assert!(found.p_value.unwrap().value <= 0.1, "the p-value is that of the image, whatever its regions measure");
}

#[test]
fn other_verdicts_are_as_they_were_and_have_p_values() {
    let mut post = post();
    let z = latents(7, [1.5, 1.0]);
    let by_nfa = DecisionOptions { verdict: Some(Verdict::Nfa), ..DecisionOptions::default() };
    let found = decide(&mut post, &z, &rule(-1e3, by_nfa.clone()));
    assert!(found.anomalous && found.p_value.unwrap().value > 0.1 && found.log10_nfa_min < 0.0);
    let plain = DecisionOptions { tests: Some(TestCount::PerSize), ..DecisionOptions::default() };
    let before = decide(&mut post, &z, &DecisionRule::without_package(&plain).unwrap());
    assert_eq!(Decision { p_value: None, ..found }, before);
    let paper = DecisionOptions { tests: Some(TestCount::Paper), ..by_nfa };
    assert!(decide(&mut post, &z, &rule(-1e3, paper)).p_value.is_none(), "the good images were counted by size");
}

#[test]
fn a_rate_needs_good_images_that_were_measured_in_the_same_way() {
    let rate = DecisionOptions { reject_rate: Some(0.1), ..DecisionOptions::default() };
    let error = DecisionRule::without_package(&rate).unwrap_err().to_string();
    assert!(error.contains("needs a package"), "{error}");
    let package = DecisionOptions::<RegionOfInterest>::default();
    let none = ModelFacts { name: "nut", fair_threshold: None, sized: true, rejection: None };
    let error = DecisionRule::new(&rate, &package, &none).unwrap_err().to_string();
    assert!(error.contains("`nut` knows none (it has no `rejection`)") && error.contains("uflow calibrate"), "{error}");
    let values = [Some(-1.0), None];
    let rejection = Rejection::new(&values, RejectionOrigin::HeldOut, TestCount::PerSize, Bound::Chernoff).unwrap();
    let model = ModelFacts { rejection: Some(&rejection), ..none };
    let error = DecisionRule::new(&rate, &package, &model).unwrap_err().to_string();
    assert!(error.contains("tests = sized") && error.contains("tests = paper"), "{error}");
    let sized = DecisionOptions { tests: Some(TestCount::PerSize), bound: Some(Bound::Exact), ..rate };
    let rule = DecisionRule::new(&sized, &package, &model).unwrap();
    assert_eq!((rule.verdict, rule.reject.unwrap().rate), (Verdict::Reject, 0.1));
    assert!(rule.warning().unwrap().contains("needs 9 good images, and the package knows 2"));
}

//! Metrics against scikit-learn and SciPy, ties included.

use std::fs;
use std::path::Path;

use approx::assert_abs_diff_eq;
use ndarray::{Array2, ArrayView2};
use serde_json::Value;
use uflow::evaluate::{Accumulator, Evaluation, Observation, Operating, PRO_LIMIT, Settings, Summary, roc};

fn golden() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/evaluate/metrics.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Names that fill a path's longest component: the tables of a terminal stay within 100 columns.
#[test]
fn tables_fit_a_terminal_whatever_the_names() {
    let long = "spindle-housing_left_side_".repeat(9);
    let map = Array2::from_shape_fn((8, 8), |(row, column)| (row + column) as f32 / 16.0);
    let truth = map.mapv(|value| value > 0.5);
    let mut accumulator = Accumulator::new(Settings { epsilon: 1e-12, fair_threshold: Some(0.5) }).unwrap();
    for (kind, marked) in [("good", false), (&long, true), ("dent", true)] {
        let log10_nfa = map.mapv(|value| 3000.0 - 9000.0 * value);
        let none = Array2::from_elem((8, 8), false);
        let observation = Observation {
            name: &long,
            kind,
            score: map.view(),
            log10_nfa: log10_nfa.view(),
            truth: Some(if kind == "dent" || !marked { none.view() } else { truth.view() }),
            score_max: 0.9,
            anomalous: true,
            level: -12.0,
            p_value: None,
            regions: 1,
            touching: None,
            timings: &[("network", 12345.6)],
        };
        accumulator.push(&observation).unwrap();
    }
    let found = accumulator.finish();
    let summary = Summary(&[(&long, &found), ("nut", &found)]).to_string();
    for text in [found.to_string(), summary] {
        assert!(text.contains("spindle-housing_left_side_sp") && text.contains('…'), "{text}");
        let widest = text.lines().max_by_key(|line| line.chars().count()).unwrap();
        assert!(widest.chars().count() <= 100, "{widest}");
    }
}

fn map(rows: &Value, scale: f64) -> Array2<f32> {
    let rows = rows.as_array().unwrap();
    let width = rows[0].as_array().unwrap().len();
    Array2::from_shape_fn((rows.len(), width), |(row, column)| (rows[row][column].as_f64().unwrap() / scale) as f32)
}

fn mask(rows: &Value) -> Array2<bool> {
    let rows: Vec<&[u8]> = rows.as_array().unwrap().iter().map(|row| row.as_str().unwrap().as_bytes()).collect();
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(row, column)| rows[row][column] == b'#')
}

fn run(case: &Value) -> Evaluation {
    let settings = Settings {
        epsilon: case["epsilon"].as_f64().unwrap(),
        fair_threshold: Some(case["fair"].as_f64().unwrap() as f32),
    };
    let mut accumulator = Accumulator::new(settings).unwrap();
    for image in case["images"].as_array().unwrap() {
        let truth = mask(&image["truth"]);
        let score = map(&image["score"], case["levels"].as_f64().unwrap());
        let log10_nfa = map(&image["log10_nfa"], 1.0);
        let observation = Observation {
            name: "image",
            kind: image["kind"].as_str().unwrap(),
            score: score.view(),
            log10_nfa: log10_nfa.view(),
            truth: Some(truth.view()),
            score_max: image["image_score"].as_f64().unwrap() as f32,
            anomalous: image["anomalous"].as_bool().unwrap(),
            level: settings.epsilon.log10() as f32,
            p_value: None,
            regions: image["regions"].as_u64().unwrap() as usize,
            touching: None,
            timings: &[("network", 2.0), ("segmentation", 1.0)],
        };
        accumulator.push(&observation).unwrap();
    }
    accumulator.finish()
}

fn assert_operating(found: &Operating, expected: &Value, name: &str) {
    for (what, found) in [
        ("miou", found.miou),
        ("miou_defective", found.miou_defective),
        ("image_recall", found.image_recall),
        ("good_flagged", found.good_flagged),
        ("false_alarms", found.false_alarms),
    ] {
        let expected = expected[what].as_f64().unwrap();
        assert!((found.unwrap() - expected).abs() < 1e-9, "{name} {what}: {found:?}, expected {expected}");
    }
}

#[test]
fn metrics_equal_scikit_learns() {
    for case in golden() {
        let (found, expected) = (run(&case), &case["expected"]);
        let equal = |found: Option<f64>, expected: &Value| {
            assert_abs_diff_eq!(found.unwrap(), expected.as_f64().unwrap(), epsilon = 1e-12);
        };
        equal(found.total.pixel_auroc, &expected["pixel_auroc"]);
        equal(found.total.image_auroc_score_max, &expected["image_auroc"]);
        assert_operating(&found.total.at_epsilon, &expected["at_epsilon"], "ε");
        assert_operating(found.total.at_fair.as_ref().unwrap(), &expected["at_fair"], "fair");
        let oracle = found.total.at_oracle.as_ref().unwrap();
        equal(oracle.miou, &expected["at_oracle"]["miou"]);
        assert_eq!(found.kinds.len(), 2);
        for kind in &found.kinds {
            let expected = &expected["kinds"][&kind.kind];
            equal(kind.metrics.pixel_auroc, &expected["pixel_auroc"]);
            equal(kind.metrics.image_auroc_score_max, &expected["image_auroc"]);
            equal(kind.metrics.at_epsilon.miou, &expected["miou"]);
        }
        let of = |defective| -> Vec<f32> {
            let images = found.images.iter().filter(|image| (image.kind != "good") == defective);
            images.map(|image| image.score_max).collect()
        };
        let by_maximum = roc(&of(false), &of(true)).unwrap();
        let points: Vec<[f64; 2]> = by_maximum.points.iter().map(|point| [point.fpr, point.tpr]).collect();
        assert_eq!(points, serde_json::from_value::<Vec<[f64; 2]>>(expected["image_roc"].clone()).unwrap());
    }
}

/// The image score is −log₁₀NFA of the lowest pixel: counted pair by pair and threshold by threshold.
#[test]
fn images_are_ranked_by_their_lowest_nfa() {
    for case in golden() {
        let found = run(&case);
        let lowest = |image: &Value| {
            let rows = image["log10_nfa"].as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap());
            rows.map(|value| value.as_f64().unwrap() as f32).fold(f32::INFINITY, f32::min)
        };
        let images: Vec<(bool, f32)> = (case["images"].as_array().unwrap().iter())
            .map(|image| (image["kind"] != "good", -lowest(image)))
            .collect();
        assert!(found.images.iter().map(|image| image.score).eq(images.iter().map(|image| image.1)));
        let of = |defective: bool| images.iter().filter(move |image| image.0 == defective).map(|image| image.1);
        let pairs = of(true).flat_map(|bad| of(false).map(move |good| (bad, good)));
        let wins: f64 = pairs
            .map(|(bad, good)| {
                if bad > good {
                    1.0
                } else if bad == good {
                    0.5
                } else {
                    0.0
                }
            })
            .sum();
        let auroc = wins / (of(true).count() * of(false).count()) as f64;
        assert_abs_diff_eq!(found.total.image_auroc.unwrap(), auroc, epsilon = 1e-12);
        let f1 = |threshold: f32| {
            let [hits, alarms] = [true, false].map(|side| of(side).filter(|score| *score >= threshold).count() as f64);
            2.0 * hits / (hits + alarms + of(true).count() as f64)
        };
        let best = images.iter().map(|image| f1(image.1)).fold(0.0, f64::max);
        assert_abs_diff_eq!(found.total.image_f1_max.unwrap().f1, best, epsilon = 1e-12);
    }
}

#[test]
fn the_table_and_the_json_have_every_kind() {
    let found = run(&golden()[1]);
    let table = found.to_string();
    for name in ["scratch", "hole", "all", "oracle", "fair", "5 good and 7 defective"] {
        assert!(table.contains(name), "{name} is not in\n{table}");
    }
    let heads: Vec<usize> = table.lines().take(2).map(|line| line.chars().count()).collect();
    assert_eq!(heads[0], heads[1], "\n{table}");
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["kinds"][0]["kind"], "scratch");
    assert_eq!(json["kinds"][0]["images"], 4);
    assert_eq!(json["images"].as_array().unwrap().len(), 12);
    assert!(json["total"]["at_oracle"]["miou"].is_number());
}

/// AUPRO, F1-max and what the log₁₀NFA maps give, against SciPy's labels and scikit-learn's scores, ties included.
#[test]
fn overlap_f1_and_false_alarms_equal_an_independent_count() {
    for case in golden() {
        let (found, expected) = (run(&case), &case["expected"]);
        let equal = |found: f64, expected: &Value| {
            assert_abs_diff_eq!(found, expected.as_f64().unwrap(), epsilon = 1e-12);
        };
        let pro = found.pro.as_ref().unwrap();
        equal(pro.aupro, &expected["aupro"][0]);
        assert_eq!(pro.regions, expected["aupro"][1].as_u64().unwrap());
        assert_eq!(found.total.aupro, Some(pro.aupro));
        assert!(pro.points.last().unwrap().fpr >= PRO_LIMIT && pro.points[pro.points.len() - 2].fpr < PRO_LIMIT);
        for kind in &found.kinds {
            equal(kind.metrics.aupro.unwrap(), &expected["kinds"][&kind.kind]["aupro"]);
        }
        equal(found.total.pixel_f1_max.unwrap().f1, &expected["pixel_f1_max"][0]);
        equal(found.total.miou_nfa_oracle.unwrap(), &expected["miou_nfa_oracle"]);
        for point in expected["miou_curve"].as_array().unwrap() {
            let at = point[0].as_f64().unwrap() as f32;
            equal(found.miou_curve.iter().find(|point| point.log10_epsilon == at).unwrap().miou, &point[1]);
        }
        for (alarms, expected) in found.false_alarms.iter().zip(expected["false_alarms"].as_array().unwrap()) {
            let [epsilon, regions, flagged] = [0, 1, 2].map(|index| expected[index].as_f64().unwrap());
            assert_eq!((alarms.epsilon, alarms.images), (epsilon, 5));
            assert_eq!((alarms.regions as f64, alarms.flagged as f64), (regions, flagged), "ε = {epsilon}");
        }
        assert_eq!(found.latency.iter().map(|stage| stage.p99_ms).collect::<Vec<_>>(), [2.0, 1.0, 3.0]);
    }
}

#[test]
fn the_curves_begin_and_end_where_they_must() {
    let negatives: Vec<f32> = (0..900).map(|index| index as f32 / 1000.0).collect();
    let positives: Vec<f32> = (0..500).map(|index| (index % 250) as f32 / 250.0).collect();
    let found = roc(&negatives, &positives).unwrap();
    let pairs = negatives
        .iter()
        .flat_map(|n| positives.iter().map(move |p| if p > n { 1.0 } else { 0.5 * f64::from(u8::from(p == n)) }));
    assert_abs_diff_eq!(found.auroc, pairs.sum::<f64>() / (900.0 * 500.0), epsilon = 1e-12);
    let (first, last) = (found.points[0], found.points[found.points.len() - 1]);
    assert_eq!((first.fpr, first.tpr, last.fpr, last.tpr), (0.0, 0.0, 1.0, 1.0));
    assert!(found.points.windows(2).all(|pair| pair[0].fpr <= pair[1].fpr && pair[0].tpr <= pair[1].tpr));
    assert!(found.points.len() < 600);
    assert!(roc(&[], &positives).is_none() && roc(&negatives, &[]).is_none());
}

/// The evaluation goes into a file and comes back the same.
#[test]
fn an_evaluation_survives_json() {
    let found = run(&golden()[0]);
    let json = serde_json::to_string(&found).unwrap();
    let back: Evaluation = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_json::to_string(&back).unwrap(), json);
}

#[test]
fn without_masks_only_images_are_judged() {
    let mut accumulator = Accumulator::new(Settings { epsilon: 1.0, fair_threshold: Some(0.4) }).unwrap();
    let map = Array2::from_elem((3, 4), 0.25_f32);
    for (kind, image_score) in [("good", 0.3), ("dent", 0.6)] {
        let observation = observation(kind, &map, &map, None, image_score);
        accumulator.push(&observation).unwrap();
    }
    let found = accumulator.finish();
    assert_eq!(found.total.image_auroc_score_max, Some(1.0));
    assert_eq!((found.total.pixel_auroc, found.oracle_threshold), (None, None));
    assert_eq!(found.total.at_epsilon.miou, None);
    assert_eq!(found.total.at_fair.as_ref().unwrap().image_recall, Some(1.0));
    assert!(found.pixel_roc.is_none() && found.kinds[0].metrics.pixel_auroc.is_none());
    assert!(found.to_string().contains('–'));
}

fn observation<'a>(
    kind: &'a str,
    score: &'a Array2<f32>,
    log10_nfa: &'a Array2<f32>,
    truth: Option<ArrayView2<'a, bool>>,
    image_score: f32,
) -> Observation<'a> {
    Observation {
        name: "a/b.png",
        kind,
        score: score.view(),
        log10_nfa: log10_nfa.view(),
        truth,
        score_max: image_score,
        anomalous: false,
        level: 0.0,
        p_value: None,
        regions: 0,
        touching: None,
        timings: &[],
    }
}

#[test]
fn observations_that_cannot_be_right_are_refused() {
    let mut accumulator = Accumulator::new(Settings { epsilon: 1.0, fair_threshold: None }).unwrap();
    let (map, small) = (Array2::from_elem((3, 4), 0.25_f32), Array2::from_elem((2, 4), 0.25_f32));
    let mut broken = map.clone();
    broken[[1, 1]] = f32::NAN;
    let marked = Array2::from_elem((3, 4), true);
    let mut refused = |observation: Observation<'_>| accumulator.push(&observation).unwrap_err().to_string();
    assert_eq!(
        refused(observation("good", &map, &small, None, 0.1)),
        "a/b.png: the log₁₀NFA map has 4×2 pixels, the score map 4×3"
    );
    assert!(refused(observation("good", &broken, &map, None, 0.1)).contains("1 of 12 values are not finite"));
    assert!(refused(observation("good", &map, &map, None, f32::INFINITY)).contains("not finite"));
    assert!(refused(observation("good", &map, &map, Some(marked.view()), 0.1)).contains("is a good image"));
    for epsilon in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(Accumulator::new(Settings { epsilon, fair_threshold: None }).is_err());
    }
}

//! Metrics against scikit-learn and SciPy (ties included), test sets on disk and what is wrong with them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use approx::assert_abs_diff_eq;
use ndarray::{Array2, ArrayView2};
use serde_json::Value;
use uflow::{
    Result,
    evaluate::{
        Accumulator, Dataset, Evaluation, Inspection, Inspector, Layout, Mask, MaskOptions, Observation, Operating,
        PRO_LIMIT, Settings, Summary, evaluate, read_mask, resize_mask, roc,
    },
};

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
            image_score: 0.9,
            anomalous: true,
            regions: 1,
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
            image_score: image["image_score"].as_f64().unwrap() as f32,
            anomalous: image["anomalous"].as_bool().unwrap(),
            regions: image["regions"].as_u64().unwrap() as usize,
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
        equal(found.total.image_auroc, &expected["image_auroc"]);
        assert_operating(&found.total.at_epsilon, &expected["at_epsilon"], "ε");
        assert_operating(found.total.at_fair.as_ref().unwrap(), &expected["at_fair"], "fair");
        let oracle = found.total.at_oracle.as_ref().unwrap();
        equal(oracle.miou, &expected["at_oracle"]["miou"]);
        assert_eq!(found.kinds.len(), 2);
        for kind in &found.kinds {
            let expected = &expected["kinds"][&kind.kind];
            equal(kind.metrics.pixel_auroc, &expected["pixel_auroc"]);
            equal(kind.metrics.image_auroc, &expected["image_auroc"]);
            equal(kind.metrics.at_epsilon.miou, &expected["miou"]);
        }
        let points: Vec<[f64; 2]> =
            found.image_roc.as_ref().unwrap().points.iter().map(|point| [point.fpr, point.tpr]).collect();
        assert_eq!(points, serde_json::from_value::<Vec<[f64; 2]>>(expected["image_roc"].clone()).unwrap());
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
        for (f1_max, expected) in [
            (found.total.pixel_f1_max, &expected["pixel_f1_max"]),
            (found.total.image_f1_max, &expected["image_f1_max"]),
        ] {
            equal(f1_max.unwrap().f1, &expected[0]);
        }
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
    assert_eq!(found.total.image_auroc, Some(1.0));
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
        image_score,
        anomalous: false,
        regions: 0,
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

/// A folder of empty files; only their names matter until they are read.
fn folder(files: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"").unwrap();
    }
    root
}

fn reason(root: &Path) -> String {
    Dataset::open(root, None).unwrap_err().to_string()
}

#[test]
fn both_layouts_are_read() {
    let root = folder(&[
        "train/good/1.png",
        "test/good/3.PNG",
        "test/good/2.jpg",
        "test/good/.hidden.png",
        "test/good/notes.txt",
        "test/hole/5.png",
        "test/cut/4.jpeg",
        "ground_truth/hole/5_mask.png",
        "ground_truth/cut/4.png",
    ]);
    let set = Dataset::open(root.path(), None).unwrap();
    let names: Vec<(String, &str, bool)> = (set.test.iter())
        .map(|sample| (sample.path.file_name().unwrap().display().to_string(), &*sample.kind, !sample.masks.is_empty()))
        .collect();
    let expected =
        [("2.jpg", "good", false), ("3.PNG", "good", false), ("4.jpeg", "cut", true), ("5.png", "hole", true)];
    assert_eq!(names, expected.map(|(name, kind, mask)| (name.to_owned(), kind, mask)));
    assert_eq!((set.layout, set.train.len(), set.masks), (Layout::Mvtec, 1, true));

    let root = folder(&["good/1.png", "bad/2.png", "masks/2.png"]);
    let set = Dataset::open(root.path(), None).unwrap();
    assert_eq!(
        (set.layout, set.test.len(), set.test[1].masks.clone()),
        (Layout::GoodBad, 2, vec![Mask::from(root.path().join("masks/2.png"))])
    );

    let root = folder(&["good/1.png", "bad/dent/2.png", "bad/cut/3.png"]);
    let set = Dataset::open(root.path(), None).unwrap();
    assert_eq!(set.test.iter().map(|sample| &*sample.kind).collect::<Vec<_>>(), ["good", "cut", "dent"]);
    assert!(!set.masks);
}

/// Kind, file name and number of masks of every sample.
fn samples(set: &Dataset) -> Vec<(String, String, usize)> {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    set.test.iter().map(|sample| (sample.kind.clone(), name(&sample.path), sample.masks.len())).collect()
}

fn expected(samples: &[(&str, &str, usize)]) -> Vec<(String, String, usize)> {
    samples.iter().map(|&(kind, name, masks)| (kind.to_owned(), name.to_owned(), masks)).collect()
}

#[test]
fn other_published_sets_are_read() {
    let loco = folder(&[
        "train/good/0.png",
        "test/good/1.png",
        "test/logical_anomalies/2.png",
        "test/structural_anomalies/3.png",
        "ground_truth/logical_anomalies/2/000.png",
        "ground_truth/logical_anomalies/2/001.png",
        "ground_truth/structural_anomalies/3/000.png",
    ]);
    let set = Dataset::open(loco.path(), None).unwrap();
    assert_eq!((set.layout, set.train.len(), set.masks), (Layout::Mvtec, 1, true));
    let all = [("good", "1.png", 0), ("logical_anomalies", "2.png", 2), ("structural_anomalies", "3.png", 1)];
    assert_eq!(samples(&set), expected(&all));

    let ad2 = folder(&[
        "train/good/0.png",
        "validation/good/1.png",
        "test_public/good/2.png",
        "test_public/bad/3.png",
        "test_public/ground_truth/bad/3_mask.png",
    ]);
    let set = Dataset::open(ad2.path(), None).unwrap();
    assert_eq!((set.layout, set.train.len(), set.masks), (Layout::MvtecAd2, 1, true));
    assert_eq!(samples(&set), expected(&[("good", "2.png", 0), ("bad", "3.png", 1)]));

    let btad = folder(&["train/ok/0.bmp", "test/ok/1.bmp", "test/ko/2.bmp", "ground_truth/ko/2.png"]);
    let set = Dataset::open(btad.path(), None).unwrap();
    assert_eq!((set.layout, set.train.len(), set.masks), (Layout::Btad, 1, true));
    assert_eq!(samples(&set), expected(&[("good", "1.bmp", 0), ("ko", "2.bmp", 1)]));
}

#[test]
fn visa_is_read_by_its_split() {
    let root = folder(&[
        "candle/Data/Images/Normal/0000.JPG",
        "candle/Data/Images/Normal/0001.JPG",
        "candle/Data/Images/Anomaly/000.JPG",
        "candle/Data/Masks/Anomaly/000.png",
    ]);
    let candle = root.path().join("candle");
    assert!(reason(&candle).contains("split_csv/1cls.csv"), "{}", reason(&candle));
    let write = |rows: &str| {
        fs::create_dir_all(root.path().join("split_csv")).unwrap();
        fs::write(root.path().join("split_csv/1cls.csv"), format!("object,split,label,image,mask\n{rows}")).unwrap();
    };
    let rows = "candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png\n\
        candle,train,normal,candle/Data/Images/Normal/0000.JPG,\n\
        pcb1,train,normal,pcb1/Data/Images/Normal/0000.JPG,\n\
        candle,test,normal,candle/Data/Images/Normal/0001.JPG,\n";
    write(rows);
    let set = Dataset::open(&candle, None).unwrap();
    assert_eq!((set.layout, set.train.len(), set.masks), (Layout::Visa, 1, true));
    assert_eq!(samples(&set), expected(&[("good", "0001.JPG", 0), ("anomaly", "000.JPG", 1)]));
    for (rows, says) in [
        (
            "candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,\n".to_owned(),
            "line 2: a defective image has no mask",
        ),
        ("candle,test\n".to_owned(), "line 2: has 2 cells"),
        ("candle,test,odd,x,\n".to_owned(), "`test` and `odd`"),
        (rows.replace("0001.JPG", "0009.JPG"), "0009.JPG"),
        ("pcb1,train,normal,x,\n".to_owned(), "no image of `candle`"),
    ] {
        write(&rows);
        assert!(reason(&candle).contains(says), "{}", reason(&candle));
    }
}

#[test]
fn what_is_wrong_with_a_folder_is_said() {
    let mvtec = |rest: &[&str]| folder(&[&["test/good/1.png"], rest].concat());
    for (root, expected) in [
        (folder(&["a.png"]), "neither `test/good`"),
        (folder(&["test/good/1.png", "good/1.png", "bad/1.png"]), "--layout"),
        (folder(&["test/hole/1.png"]), "this folder is missing"),
        (mvtec(&["test/hole/readme.txt"]), "has no images"),
        (mvtec(&[]), "has no defective images"),
        (folder(&["good/1.png", "bad/2.png", "bad/cut/3.png"]), "both images and folders"),
        (folder(&["good/1.png", "bad/good/2.png"]), "good images among the defective"),
    ] {
        let reason = reason(root.path());
        assert!(reason.contains(expected), "{reason}");
    }
    let root = mvtec(&["test/hole/5.png", "test/hole/6.png", "test/cut/7.png", "ground_truth/hole/5_mask.png"]);
    let message = reason(root.path());
    assert!(
        message.contains("6_mask.png") && message.contains("7_mask.png") && !message.contains("5_mask.png"),
        "{message}"
    );
    assert!(reason(&root.path().join("nowhere")).contains("is not a folder"));
}

#[test]
fn masks_are_read_and_resized() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { root.path().join(name) };
    let mut picture = image::RgbaImage::from_pixel(40, 30, image::Rgba([0, 0, 0, 255]));
    picture.put_pixel(33, 7, image::Rgba([0, 0, 200, 255]));
    picture.save(path("one.png")).unwrap();
    let mask = read_mask(&path("one.png"), (30, 40), &MaskOptions::default()).unwrap();
    assert_eq!(mask.indexed_iter().filter(|(_, set)| **set).map(|(at, _)| at).collect::<Vec<_>>(), [(7, 33)]);

    let message = read_mask(&path("one.png"), (30, 41), &MaskOptions::default()).unwrap_err().to_string();
    assert!(message.contains("40×30") && message.contains("41×30"), "{message}");
    fs::write(path("broken.png"), b"not a picture").unwrap();
    assert!(
        read_mask(&path("broken.png"), (8, 8), &MaskOptions::default()).unwrap_err().to_string().contains("broken.png")
    );

    // Nearest neighbour as Pillow's, on both axes; a lone pixel that it would skip is kept where it falls.
    let half = resize_mask(&Array2::from_shape_fn((4, 6), |(row, column)| row >= 2 && column >= 3), (2, 2));
    assert_eq!(half, ndarray::array![[false, false], [false, true]]);
    let small = resize_mask(&mask, (6, 8));
    assert_eq!(small.indexed_iter().filter(|(_, set)| **set).map(|(at, _)| at).collect::<Vec<_>>(), [(1, 6)]);
}

/// Calls every image anomalous whose top left pixel is bright.
struct Bright {
    maps: [Array2<f32>; 2],
}

impl Inspector for Bright {
    fn inspect(&mut self, path: &Path) -> Result<Inspection<'_>> {
        let picture = image::open(path).unwrap().into_luma8();
        let bright = picture.get_pixel(0, 0).0[0] > 128;
        let score = if bright { 0.9 } else { 0.1 };
        self.maps = [score, 3.0 - 20.0 * score].map(|value| Array2::from_elem((4, 4), value));
        self.maps[0].slice_mut(ndarray::s![2.., ..]).fill(0.05);
        self.maps[1].slice_mut(ndarray::s![2.., ..]).fill(3.0);
        Ok(Inspection {
            size: (picture.height() as usize, picture.width() as usize),
            score: self.maps[0].view(),
            log10_nfa: self.maps[1].view(),
            image_score: score,
            anomalous: bright,
            regions: if bright { vec![vec![vec![[0, 0], [8, 0], [8, 4], [0, 4]]]] } else { Vec::new() },
            timings: Vec::new(),
        })
    }
}

#[test]
fn a_set_on_disk_is_evaluated() {
    let root = tempfile::tempdir().unwrap();
    let save = |name: &str, make: &dyn Fn(u32, u32) -> u8| {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::GrayImage::from_fn(8, 8, |x, y| image::Luma([make(x, y)])).save(path).unwrap();
    };
    save("test/good/1.png", &|_, _| 20);
    save("test/good/2.png", &|_, _| 200);
    save("test/dent/1.png", &|_, _| 200);
    save("test/dent/2.png", &|_, _| 20);
    for name in ["1", "2"] {
        save(&format!("ground_truth/dent/{name}_mask.png"), &|_, y| 255 * u8::from(y < 4));
    }
    let set = Dataset::open(root.path(), None).unwrap();
    let settings = Settings { epsilon: 1.0, fair_threshold: None };
    let mut names = Vec::new();
    let mut inspector = Bright { maps: Default::default() };
    let found = evaluate(&set, settings, &mut inspector, &mut |seen| {
        names.push((seen.sample.kind.clone(), seen.truth.map(|truth| truth.iter().filter(|&&marked| marked).count())));
        Ok(())
    })
    .unwrap();
    assert_eq!(names[0], ("good".to_owned(), None));
    assert_eq!(names[2], ("dent".to_owned(), Some(8)));
    let total = &found.total.at_epsilon;
    // IoU: good 1 and 0, dent 1 and 0.
    assert_eq!((total.miou, total.miou_defective), (Some(0.5), Some(0.5)));
    assert_eq!((total.image_recall, total.good_flagged, total.false_alarms), (Some(0.5), Some(0.5), Some(0.5)));
    assert_eq!(found.images[2].name, "test/dent/1.png");

    // A mask that marks nothing is named; the image still counts as defective.
    save("ground_truth/dent/1_mask.png", &|_, _| 0);
    let found = evaluate(&set, settings, &mut inspector, &mut |_| Ok(())).unwrap();
    assert_eq!(found.unmarked, ["test/dent/1.png"]);
    assert_eq!(
        (found.defective_images, found.images[2].iou, found.total.at_epsilon.image_recall),
        (2, Some(0.0), Some(0.5))
    );
    assert!(found.to_string().contains("defective images whose masks mark nothing:\n  test/dent/1.png"));

    fs::remove_file(root.path().join("ground_truth/dent/2_mask.png")).unwrap();
    let error = evaluate(&set, settings, &mut inspector, &mut |_| Ok(())).unwrap_err().to_string();
    assert!(error.contains("cannot open") && error.contains("2_mask.png"), "{error}");
}

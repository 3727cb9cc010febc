//! An image that is called defective for the wrong reason is not found; and the regions as files.

use std::{collections::HashSet, fs, path::Path};

use image::{GrayImage, Luma};
use ndarray::Array2;
use serde_json::Value;
use uflow::{
    Result,
    evaluate::{
        Accumulator, Dataset, Evaluation, ImageRegions, Inspection, Inspector, Observation, Outcome, Settings,
        evaluate, metrics_csv, write_files, write_regions,
    },
    segment::Region,
};

use crate::region;

/// Width and height of the pictures; the maps are half as wide.
const SIZE: (u32, u32) = (40, 30);

/// Finds what it is told for each file.
struct Told {
    map: Array2<f32>,
    regions: fn(&str) -> (bool, Vec<Region>),
}

impl Inspector for Told {
    fn inspect(&mut self, path: &Path) -> Result<Inspection<'_>> {
        let name = format!(
            "{}/{}",
            path.parent().unwrap().file_name().unwrap().display(),
            path.file_name().unwrap().display()
        );
        let (anomalous, regions) = (self.regions)(&name);
        Ok(Inspection {
            size: (SIZE.1 as usize, SIZE.0 as usize),
            score: self.map.view(),
            log10_nfa: self.map.view(),
            score_max: 0.5,
            anomalous,
            level: 0.0,
            p_value: Some(if anomalous { 0.005 } else { 0.5 }),
            regions,
            timings: Vec::new(),
        })
    }
}

/// The mark of every defect is [10, 10] to [14, 12], exclusive.
fn on_the_defect() -> Region {
    region([13, 8, 6, 3], -5.0)
}

fn beside_the_defect() -> Region {
    region([14, 8, 6, 3], -9.5)
}

fn told(name: &str) -> (bool, Vec<Region>) {
    match name {
        "dent/found.png" => (true, vec![beside_the_defect(), on_the_defect()]),
        "dent/elsewhere.png" => (true, vec![beside_the_defect(), region([0, 0, 2, 2], -1.5)]),
        // Without a verdict a region does not make the image found.
        "cut/accepted.png" => (false, vec![on_the_defect()]),
        "cut/unmarked.png" => (true, vec![on_the_defect()]),
        "good/alarm.png" => (true, vec![region([1, 2, 3, 4], -2.0)]),
        "good/quiet.png" => (false, Vec::new()),
        other => panic!("{other}"),
    }
}

fn data(root: &Path) {
    let save = |name: &str, mark: bool| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let inside = |x: u32, y: u32| mark && (10..14).contains(&x) && (10..12).contains(&y);
        GrayImage::from_fn(SIZE.0, SIZE.1, |x, y| Luma([if inside(x, y) { 255 } else { 0 }])).save(path).unwrap();
    };
    for (kind, name) in [("dent", "found"), ("dent", "elsewhere"), ("cut", "accepted"), ("cut", "unmarked")] {
        save(&format!("test/{kind}/{name}.png"), false);
        save(&format!("ground_truth/{kind}/{name}_mask.png"), name != "unmarked");
    }
    save("test/good/alarm.png", false);
    save("test/good/quiet.png", false);
}

fn evaluated(root: &Path) -> (Evaluation, Vec<ImageRegions>) {
    let set = Dataset::open(root, None).unwrap();
    let mut inspector = Told { map: Array2::from_elem((15, 20), 0.25), regions: told };
    let mut regions = Vec::new();
    let settings = Settings { epsilon: 1.0, fair_threshold: None };
    let found = evaluate(&set, settings, &mut inspector, &mut |seen| {
        regions.push(seen.regions.clone());
        Ok(())
    });
    (found.unwrap(), regions)
}

#[test]
fn recall_counts_only_images_whose_defect_a_region_touches() {
    let root = tempfile::tempdir().unwrap();
    data(root.path());
    let (found, regions) = evaluated(root.path());
    let total = &found.total;
    assert_eq!(total.at_epsilon.image_recall, Some(0.75));
    // Three images have a marked defect; one of them is found.
    assert_eq!(total.recall_touching, Some(1.0 / 3.0));
    assert_eq!((total.regions_touching_none, total.regions_on_good), (Some(3), Some(1)));
    let kind = |name: &str| &found.kinds.iter().find(|kind| kind.kind == name).unwrap().metrics;
    assert_eq!((kind("dent").recall_touching, kind("dent").regions_touching_none), (Some(0.5), Some(3)));
    assert_eq!((kind("cut").recall_touching, kind("cut").regions_touching_none), (Some(0.0), Some(0)));
    let outcomes: HashSet<(&str, Outcome)> =
        found.images.iter().map(|image| (image.name.rsplit('/').next().unwrap(), image.outcome())).collect();
    assert_eq!(
        outcomes,
        HashSet::from([
            ("found.png", Outcome::Found),
            ("elsewhere.png", Outcome::WrongReason),
            ("accepted.png", Outcome::Missed),
            // Nothing is marked, so nothing speaks against it.
            ("unmarked.png", Outcome::Found),
            ("alarm.png", Outcome::FalseAlarm),
            ("quiet.png", Outcome::Good),
        ])
    );
    for (image, touching) in regions.iter().zip(found.images.iter().map(|image| image.touching)) {
        assert_eq!(image.touching, touching, "{}", image.image);
    }
    let of = |name: &str| regions.iter().find(|image| image.image.ends_with(name)).unwrap();
    let touches = |name: &str| of(name).regions.iter().map(|region| region.touches).collect::<Vec<_>>();
    assert_eq!(touches("found.png"), [Some(false), Some(true)]);
    assert_eq!((touches("unmarked.png"), touches("alarm.png")), (vec![None], vec![Some(false)]));
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["total"]["recall_touching"], 1.0 / 3.0);
    assert_eq!(json["kinds"].as_array().unwrap().len(), 2);
    let table = found.to_string();
    let all = table.lines().find(|line| line.starts_with("all ")).unwrap();
    assert_eq!(
        all.split_whitespace().take(6).collect::<Vec<_>>(),
        ["all", "6", "0.75", "0.33", "3", "0.50"],
        "{table}"
    );
}

#[test]
fn without_masks_touching_is_not_known() {
    let root = tempfile::tempdir().unwrap();
    data(root.path());
    fs::rename(root.path().join("test"), root.path().join("plain")).unwrap();
    for (from, to) in [("plain/good", "good"), ("plain/dent", "bad")] {
        fs::rename(root.path().join(from), root.path().join(to)).unwrap();
    }
    for folder in ["ground_truth", "plain"] {
        fs::remove_dir_all(root.path().join(folder)).unwrap();
    }
    let set = Dataset::open(root.path(), None).unwrap();
    let regions =
        |name: &str| if name.starts_with("bad") { (true, vec![on_the_defect()]) } else { (false, Vec::new()) };
    let mut inspector = Told { map: Array2::from_elem((15, 20), 0.25), regions };
    let settings = Settings { epsilon: 1.0, fair_threshold: None };
    let found = evaluate(&set, settings, &mut inspector, &mut |_| Ok(())).unwrap();
    assert_eq!((found.total.at_epsilon.image_recall, found.total.recall_touching), (Some(1.0), None));
    assert_eq!((found.total.regions_touching_none, found.total.regions_on_good), (None, Some(0)));
    assert!(found.images.iter().all(|image| matches!(image.outcome(), Outcome::Found | Outcome::Good)));
    let row = metrics_csv(&[("x", &found)]).unwrap().lines().last().unwrap().to_owned();
    assert!(row.ends_with(",,,0"), "{row}");
    let all = found.to_string();
    let all = all.lines().find(|line| line.starts_with("all ")).unwrap().to_owned();
    assert_eq!(all.split_whitespace().skip(2).take(3).collect::<Vec<_>>(), ["1.00", "–", "–"], "{all}");
}

#[test]
fn counts_of_touching_regions_that_cannot_be_right_are_refused() {
    let map = Array2::from_elem((3, 4), 0.25_f32);
    let refused = |kind: &'static str, regions, touching| {
        let observation = Observation {
            name: "x.png",
            kind,
            score: map.view(),
            log10_nfa: map.view(),
            truth: None,
            score_max: 0.5,
            anomalous: true,
            level: 0.0,
            p_value: None,
            regions,
            touching,
            timings: &[],
        };
        let mut accumulator = Accumulator::new(Settings { epsilon: 1.0, fair_threshold: None }).unwrap();
        accumulator.push(&observation).map(drop).map_err(|error| error.to_string())
    };
    assert!(refused("dent", 1, Some(2)).unwrap_err().contains("2 regions touch a defect, of 1 regions"));
    assert!(refused("good", 1, Some(0)).unwrap_err().contains("is a good image"));
    assert!(refused("dent", 1, Some(1)).is_ok());
}

fn rows(path: &Path) -> Vec<std::collections::HashMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    reader.deserialize().map(|row| row.unwrap()).collect()
}

#[test]
fn every_image_and_every_region_has_a_row() {
    let root = tempfile::tempdir().unwrap();
    data(root.path());
    let (found, regions) = evaluated(root.path());
    let out = root.path().join("out");
    fs::create_dir(&out).unwrap();
    write_files(&out, &[("plate, left", &found)]).unwrap();
    write_regions(&out, &[("plate, left", &regions)]).unwrap();

    let images = rows(&out.join("images.csv"));
    assert_eq!(images.len(), 6);
    let image = |name: &str| images.iter().find(|row| row["image"].ends_with(name)).unwrap();
    let cells =
        |name: &str| ["kind", "truth", "outcome", "anomalous", "regions", "touching"].map(|head| &*image(name)[head]);
    assert_eq!(cells("found.png"), ["dent", "defective", "found", "true", "2", "1"]);
    assert_eq!(cells("elsewhere.png"), ["dent", "defective", "wrong_reason", "true", "2", "0"]);
    assert_eq!(cells("accepted.png"), ["cut", "defective", "missed", "false", "1", "1"]);
    assert_eq!(cells("unmarked.png"), ["cut", "defective", "found", "true", "1", ""]);
    assert_eq!(cells("alarm.png"), ["good", "good", "false_alarm", "true", "1", ""]);
    assert_eq!((&*image("quiet.png")["p_value"], &*image("quiet.png")["category"]), ("0.5", "plate, left"));

    let all = rows(&out.join("regions.csv"));
    assert_eq!(all.len(), 7);
    let second = all.iter().find(|row| row["image"].ends_with("found.png") && row["region"] == "2").unwrap();
    let cells = ["x", "y", "width", "height", "area", "log10_nfa_min", "p_value", "touches"].map(|head| &*second[head]);
    assert_eq!(cells, ["13", "8", "6", "3", "18", "-5", "0.01", "true"]);
    let touches: Vec<&str> = all.iter().map(|row| &*row["touches"]).collect();
    assert_eq!(touches.iter().filter(|&&touches| touches.is_empty()).count(), 1, "{touches:?}");
}

#[test]
fn regions_are_coco_annotations() {
    let root = tempfile::tempdir().unwrap();
    data(root.path());
    let (_, mut regions) = evaluated(root.path());
    // A region with a hole, at the edges of the picture.
    let mut frame = region([30, 20, 10, 10], -40.0);
    frame.outline.push(vec![[33, 24], [33, 27], [36, 27], [36, 24]]);
    frame.area = 91;
    regions[0].regions.push(uflow::evaluate::RegionResult { region: frame, touches: None });
    let expected: usize = regions.iter().map(|image| image.regions.len()).sum();
    write_regions(root.path(), &[("left", &regions), ("right", &regions)]).unwrap();
    let text = fs::read_to_string(root.path().join("regions.coco.json")).unwrap();
    let coco: Value = serde_json::from_str(&text).unwrap();
    let list = |name: &str| coco[name].as_array().unwrap();
    let ids = |name: &str| list(name).iter().map(|entry| entry["id"].as_u64().unwrap()).collect::<HashSet<_>>();
    assert_eq!((list("images").len(), ids("images").len()), (12, 12), "identifiers are not unique");
    assert_eq!((list("annotations").len(), ids("annotations").len()), (2 * expected, 2 * expected));
    let categories = ids("categories");
    for image in list("images") {
        assert_eq!((image["width"].as_u64(), image["height"].as_u64()), (Some(40), Some(30)));
        assert!(image["file_name"].as_str().unwrap().starts_with("test/"), "{image}");
    }
    for found in list("annotations") {
        assert!(ids("images").contains(&found["image_id"].as_u64().unwrap()), "{found}");
        assert!(categories.contains(&found["category_id"].as_u64().unwrap()), "{found}");
        let bbox: Vec<u64> = serde_json::from_value(found["bbox"].clone()).unwrap();
        assert!(bbox.len() == 4 && bbox[0] + bbox[2] <= 40 && bbox[1] + bbox[3] <= 30, "{found}");
        let polygons: Vec<Vec<f64>> = serde_json::from_value(found["segmentation"].clone()).unwrap();
        assert!(polygons.iter().all(|polygon| polygon.len() % 2 == 0 && polygon.len() >= 6), "{found}");
        let corners: Vec<&[f64]> = polygons.iter().flat_map(|polygon| polygon.chunks_exact(2)).collect();
        for axis in [0, 1] {
            let values = || corners.iter().map(|corner| corner[axis]);
            let ends = [values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max)];
            assert_eq!(
                ends,
                [bbox[axis] as f64, (bbox[axis] + bbox[axis + 2]) as f64],
                "the polygon fills its box: {found}"
            );
        }
        let sides = corners.iter().zip(corners.iter().cycle().skip(1));
        let twice: f64 = sides.map(|(a, b)| a[0] * b[1] - b[0] * a[1]).sum();
        assert_eq!(twice / 2.0, found["area"].as_f64().unwrap(), "{found}");
        assert_eq!(
            (found["iscrowd"].as_u64(), found["score"].as_f64()),
            (Some(0), found["log10_nfa"].as_f64().map(|x| -x))
        );
    }
}

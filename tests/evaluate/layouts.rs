//! Test sets on disk in each layout, what is wrong with them, and their evaluation.

use std::fs;
use std::path::{Path, PathBuf};

use ndarray::Array2;
use uflow::Result;
use uflow::evaluate::{
    Dataset, Inspection, Inspector, Layout, Mask, MaskOptions, Settings, evaluate, read_mask, resize_mask,
};

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
            score_max: score,
            anomalous: bright,
            level: 0.0,
            p_value: None,
            regions: if bright { vec![crate::region([0, 0, 8, 4], -15.0)] } else { Vec::new() },
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

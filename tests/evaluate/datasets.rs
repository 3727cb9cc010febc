//! The paper's data sets from outside industry, and data sets of several categories.

use std::{fs, path::Path};

use image::GrayImage;
use uflow::evaluate::{Dataset, GOOD, Layout, Mask, MaskOptions, Sample, categories, records};

/// A picture that is black but for one pixel, if `marked`.
fn picture(path: &Path, marked: bool) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut image = GrayImage::new(6, 4);
    image.put_pixel(2, 1, image::Luma([255 * u8::from(marked)]));
    image.save(path).unwrap();
}

/// A NumPy file of bytes.
fn npy(path: &Path, shape: &str, values: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut head = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({shape}), }}");
    while (10 + head.len() + 1) % 64 != 0 {
        head.push(' ');
    }
    head.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((head.len() as u16).to_le_bytes());
    bytes.extend(head.as_bytes());
    bytes.extend(values);
    fs::write(path, bytes).unwrap();
}

fn kinds(set: &Dataset) -> Vec<&str> {
    set.test.iter().map(|sample| &*sample.kind).collect()
}

#[test]
fn lgg_mri_is_divided_by_patients() {
    let root = tempfile::tempdir().unwrap();
    for patient in 0..6 {
        let folder = root.path().join(format!("TCGA_CS_{patient}"));
        for slice in 0..3 {
            picture(&folder.join(format!("TCGA_CS_{patient}_{slice}.tif")), true);
            picture(&folder.join(format!("TCGA_CS_{patient}_{slice}_mask.tif")), slice == 1);
        }
    }
    let set = Dataset::open(root.path(), None).unwrap();
    assert_eq!((set.layout, set.train.len(), set.masks), (Layout::LggMri, 10, true));
    assert_eq!(kinds(&set), [GOOD, GOOD, "tumour"]);
    assert!(set.test.iter().all(|sample| sample.path.parent().unwrap().ends_with("TCGA_CS_4")));
    assert!(set.train.iter().all(|path| !path.parent().unwrap().ends_with("TCGA_CS_4")));
    let truth = set.test[2].masks[0].read((4, 6), &MaskOptions::default()).unwrap();
    assert!(truth[[1, 2]] && truth.iter().filter(|marked| **marked).count() == 1);
    fs::remove_dir_all(root.path().join("TCGA_CS_4")).unwrap();
    fs::remove_dir_all(root.path().join("TCGA_CS_5")).unwrap();
    let error = Dataset::open(root.path(), None).unwrap_err().to_string();
    assert!(error.contains("has no slices without a tumour to test on; at least 5 patients"), "{error}");
}

#[test]
fn shanghaitech_has_its_masks_in_arrays() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    picture(&path("training/frames/01_001/000.png"), false);
    picture(&path("training/frames/02_001/000.png"), false);
    for frame in 0..3 {
        picture(&path(&format!("testing/frames/01_0014/{frame:03}.png")), false);
    }
    npy(&path("testing/test_frame_mask/01_0014.npy"), "3,", &[0, 1, 0]);
    let mut pixels = [0; 3 * 4 * 6];
    pixels[24 + 6 + 2] = 1;
    npy(&path("testing/test_pixel_mask/01_0014.npy"), "3, 4, 6", &pixels);
    let set = Dataset::open(root.path(), None).unwrap();
    assert_eq!((set.layout, set.train.len(), set.masks), (Layout::ShanghaiTech, 2, true));
    assert_eq!(kinds(&set), [GOOD, GOOD, "anomaly"]);
    let Sample { path: frame, masks, .. } = &set.test[2];
    assert!(frame.ends_with("01_0014/001.png"));
    assert_eq!(masks[..], [Mask::Frame(path("testing/test_pixel_mask/01_0014.npy"), 1)]);
    let truth = masks[0].read((4, 6), &MaskOptions::default()).unwrap();
    assert!(truth[[1, 2]] && truth.iter().filter(|marked| **marked).count() == 1);
    assert!(masks[0].read((4, 7), &MaskOptions::default()).unwrap_err().to_string().contains("3 masks of 6×4 pixels"));

    npy(&path("testing/test_frame_mask/01_0014.npy"), "2,", &[0, 1]);
    let error = Dataset::open(root.path(), None).unwrap_err().to_string();
    assert!(error.contains("has 3 frames, test_frame_mask 2 values, test_pixel_mask 3 masks"), "{error}");
    for broken in [&b"no array at all"[..], b"\x93NUMPY\x01\x00\xff\xff{", b"\x93N"] {
        fs::write(path("testing/test_frame_mask/01_0014.npy"), broken).unwrap();
        let error = Dataset::open(root.path(), None).unwrap_err().to_string();
        assert!(error.contains("NumPy array"), "{error}");
    }
    fs::rename(path("training/frames"), path("training/videos")).unwrap();
    assert!(Dataset::open(root.path(), None).unwrap_err().to_string().contains("ffmpeg"));
}

#[test]
fn categories_are_the_folders_that_are_test_sets() {
    let root = tempfile::tempdir().unwrap();
    let category = |name: &str| {
        for file in ["train/good/0.png", "test/good/1.png", "test/hole/2.png"] {
            picture(&root.path().join(name).join(file), false);
        }
    };
    category("zipper");
    category("bottle");
    fs::create_dir_all(root.path().join("licences/test_reports")).unwrap();
    fs::write(root.path().join("readme.txt"), "").unwrap();
    let found = categories(root.path(), None).unwrap();
    assert_eq!(found.iter().map(|category| &*category.name).collect::<Vec<_>>(), ["bottle", "zipper"]);
    let before = found[0].fingerprint().unwrap();
    assert_eq!(before, found[1].fingerprint().unwrap());
    fs::write(root.path().join("bottle/train/good/0.png"), "longer than it was, or shorter").unwrap();
    assert_ne!(before, categories(root.path(), None).unwrap()[0].fingerprint().unwrap());

    fs::remove_dir_all(root.path().join("zipper/train")).unwrap();
    assert!(categories(root.path(), None).unwrap_err().to_string().contains("no good images to learn from"));
    let empty = tempfile::tempdir().unwrap();
    assert!(categories(empty.path(), None).unwrap_err().to_string().contains("has no categories"));
    let error = records(&[empty.path().to_owned()]).unwrap_err().to_string();
    assert!(error.contains("contains no result"), "{error}");
}

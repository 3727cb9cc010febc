//! Masks as people make them: inverted, in the alpha channel, noisy from JPEG, of another size.

use std::path::Path;

use image::{GrayImage, Luma, LumaA, Rgba, RgbaImage};
use ndarray::Array2;
use uflow::{
    Result,
    evaluate::{Dataset, Inspection, Inspector, MaskDefects, MaskFit, MaskOptions, Settings, evaluate, read_mask},
};

fn marked(mask: &Array2<bool>) -> usize {
    mask.iter().filter(|value| **value).count()
}

/// 20×10 pixels, the left half of one value.
fn halves(left: u8, right: u8) -> GrayImage {
    GrayImage::from_fn(20, 10, |x, _| Luma([if x < 10 { left } else { right }]))
}

fn refused(path: &Path, options: &MaskOptions) -> String {
    read_mask(path, (10, 20), options).unwrap_err().to_string()
}

#[test]
fn a_pixel_is_a_defect_from_the_middle_of_the_range_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.png");
    let default = MaskOptions::default();
    // JPEG's noise around black and white.
    halves(240, 9).save(&path).unwrap();
    assert_eq!(marked(&read_mask(&path, (10, 20), &default).unwrap()), 100);
    // Numbers of kinds of defects are not marked in silence, nor left out.
    halves(2, 0).save(&path).unwrap();
    let error = refused(&path, &default);
    assert!(error.contains("highest value is 2 of 255") && error.contains("--mask-threshold 1"), "{error}");
    let labels = MaskOptions { threshold: Some(1), ..default };
    assert_eq!(marked(&read_mask(&path, (10, 20), &labels).unwrap()), 100);
    halves(120, 255).save(&path).unwrap();
    let error = refused(&path, &default);
    assert!(error.contains("50% of the values are neither black nor white"), "{error}");
    assert_eq!(marked(&read_mask(&path, (10, 20), &MaskOptions { threshold: Some(128), ..default }).unwrap()), 100);
    let black = MaskOptions { threshold: Some(128), defects: Some(MaskDefects::Black), ..default };
    halves(0, 255).save(&path).unwrap();
    assert!(read_mask(&path, (10, 20), &black).unwrap()[[0, 0]]);
}

#[test]
fn a_mask_in_the_alpha_channel_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.png");
    for colour in [0, 255] {
        RgbaImage::from_fn(20, 10, |x, _| Rgba([colour, colour, colour, if x < 3 { 255 } else { 0 }]))
            .save(&path)
            .unwrap();
        assert!(refused(&path, &MaskOptions::default()).contains("the mask is in the alpha channel"));
        image::ImageBuffer::from_fn(20, 10, |x, _| LumaA([colour, if x < 3 { 255_u8 } else { 0 }]))
            .save(&path)
            .unwrap();
        assert!(refused(&path, &MaskOptions::default()).contains("the mask is in the alpha channel"));
    }
}

#[test]
fn a_mask_of_another_size_is_refused_or_stretched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.png");
    halves(255, 0).save(&path).unwrap();
    let error = read_mask(&path, (20, 40), &MaskOptions::default()).unwrap_err().to_string();
    assert!(error.contains("20×10 pixels for an image of 40×20; `--mask-fit stretch`"), "{error}");
    let stretch = MaskOptions { fit: MaskFit::Stretch, ..MaskOptions::default() };
    assert_eq!(marked(&read_mask(&path, (20, 40), &stretch).unwrap()), 400);
}

/// Says the same of every image.
struct Same(Array2<f32>);

impl Inspector for Same {
    fn inspect(&mut self, _: &Path) -> Result<Inspection<'_>> {
        Ok(Inspection {
            size: (10, 20),
            score: self.0.view(),
            log10_nfa: self.0.view(),
            score_max: 0.5,
            anomalous: false,
            level: 0.0,
            p_value: None,
            regions: Vec::new(),
            timings: Vec::new(),
        })
    }
}

#[test]
fn inverted_masks_are_refused_with_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["good", "bad", "masks"] {
        std::fs::create_dir(at(name)).unwrap();
    }
    halves(90, 90).save(at("good/1.png")).unwrap();
    std::fs::write(at("good/notes.txt"), b"x").unwrap();
    for number in 0..3 {
        halves(90, 90).save(at(&format!("bad/{number}.png"))).unwrap();
        // White all over but for the defect in the middle.
        let inverted = GrayImage::from_fn(20, 10, |x, y| {
            Luma([if (8..12).contains(&x) && (4..6).contains(&y) { 0 } else { 255 }])
        });
        inverted.save(at(&format!("masks/{number}.png"))).unwrap();
    }
    let mut set = Dataset::open(folder.path(), None).unwrap();
    assert_eq!(set.skipped, [at("good/notes.txt")], "nothing is passed over in silence");
    let settings = || Settings { epsilon: 1.0, fair_threshold: None };
    let run = |set: &Dataset| evaluate(set, settings(), &mut Same(Array2::zeros((10, 20))), &mut |_| Ok(()));
    let error = run(&set).unwrap_err().to_string();
    assert!(error.contains("3 of 3 masks mark most of the image and its border") && error.contains("0.png"), "{error}");
    assert!(error.contains("`--mask-defects black` inverts them"), "{error}");
    for defects in [MaskDefects::Black, MaskDefects::White] {
        set.mask_options.defects = Some(defects);
        assert!(run(&set).is_ok());
    }
}

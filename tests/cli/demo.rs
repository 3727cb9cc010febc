//! The demo's pictures: defects lie exactly where their masks say, and the data set has the layout that `evaluate` reads.

use std::path::Path;

use uflow::demo::{
    Counts, Defect, Product, SIDE, dataset,
    picture::{Picture, picture},
};

/// Pixels that a blur of radius 2 and the shading's central differences can reach from a changed one.
const REACH: i64 = 4;

fn near_mask(mask: &image::GrayImage, x: u32, y: u32) -> bool {
    let range = |centre: u32| (i64::from(centre) - REACH).max(0)..=(i64::from(centre) + REACH).min(i64::from(SIDE) - 1);
    range(y).any(|row| range(x).any(|column| mask.get_pixel(column as u32, row as u32).0[0] > 0))
}

/// Mean difference inside the mask, and the largest difference away from it, of a damaged piece and its undamaged self.
fn differences(good: &Picture, bad: &Picture) -> (f64, u8) {
    let (mut inside, mut count, mut outside) = (0.0, 0.0, 0);
    for (x, y, mask) in bad.mask.enumerate_pixels() {
        let (a, b) = (good.image.get_pixel(x, y).0, bad.image.get_pixel(x, y).0);
        let difference = (0..3).map(|channel| a[channel].abs_diff(b[channel])).max().unwrap();
        if mask.0[0] > 0 {
            inside += f64::from(difference);
            count += 1.0;
        } else if !near_mask(&bad.mask, x, y) {
            outside = outside.max(difference);
        }
    }
    (inside / count, outside)
}

#[test]
fn a_defect_changes_what_its_mask_marks_and_nothing_else() {
    for product in Product::ALL {
        for kind in Defect::ALL {
            for (seed, size) in [(1, 0.0), (2, 0.5), (3, 1.0)] {
                let good = picture(product, seed, None);
                let bad = picture(product, seed, Some((kind, size)));
                let marked = bad.mask.pixels().filter(|pixel| pixel.0[0] > 0).count();
                let name = format!("{} {} of size {size}", product.name(), kind.name());
                assert!((60..12_000).contains(&marked), "{name}: {marked} pixels marked");
                assert!(good.mask.pixels().all(|pixel| pixel.0[0] == 0), "{name}: the good twin is marked");
                let (inside, outside) = differences(&good, &bad);
                assert!(inside > 12.0, "{name}: changes its pixels by {inside} only");
                assert!(outside <= 14, "{name}: changes unmarked pixels by up to {outside}");
            }
        }
    }
}

#[test]
fn larger_sizes_mark_more() {
    for product in Product::ALL {
        for kind in Defect::ALL {
            let marked = |size: f32| -> usize {
                (10..12)
                    .map(|seed| picture(product, seed, Some((kind, size))).mask.pixels().filter(|p| p.0[0] > 0).count())
                    .sum()
            };
            assert!(marked(1.0) as f64 > 1.5 * marked(0.0) as f64, "{} {}", product.name(), kind.name());
        }
    }
}

#[test]
fn a_seed_gives_one_picture_and_seeds_differ() {
    for product in Product::ALL {
        let first = picture(product, 5, None).image;
        assert_eq!(first, picture(product, 5, None).image);
        let other = picture(product, 6, None).image;
        let differing = first.pixels().zip(other.pixels()).filter(|(a, b)| a != b).count();
        assert!(differing > (SIDE * SIDE / 2) as usize, "{}: {differing}", product.name());
    }
}

#[test]
fn the_data_set_has_mvtec_layout_and_does_not_depend_on_the_counts() {
    let folder = tempfile::tempdir().unwrap();
    let counts = Counts { train: 2, good: 1, defective: 2 };
    let root = dataset::write(folder.path(), Product::BrushedMetal, 9, &counts).unwrap();
    assert_eq!(root, folder.path().join("brushed_metal"));
    let files = |name: &str| std::fs::read_dir(root.join(name)).unwrap().count();
    assert_eq!((files("train/good"), files("test/good"), files("test"), files("ground_truth")), (2, 1, 5, 4));
    for kind in Defect::ALL {
        for index in 0..2 {
            let picture = open(&root.join(format!("test/{}/{index:03}.png", kind.name())));
            let mask = open(&root.join(format!("ground_truth/{}/{index:03}_mask.png", kind.name()))).into_luma8();
            assert_eq!((picture.width(), picture.height()), (mask.width(), mask.height()));
            assert!(mask.pixels().all(|pixel| matches!(pixel.0[0], 0 | 255)));
            assert!(mask.pixels().any(|pixel| pixel.0[0] == 255));
        }
    }
    let more =
        dataset::write(&folder.path().join("more"), Product::BrushedMetal, 9, &Counts { train: 3, ..counts }).unwrap();
    let bytes = |root: &Path| std::fs::read(root.join("train/good/001.png")).unwrap();
    assert_eq!(bytes(&root), bytes(&more));
}

fn open(path: &Path) -> image::DynamicImage {
    image::open(path).unwrap()
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, b"").unwrap();
    let error = dataset::write(&blocked, Product::WovenCloth, 1, &Counts::default()).unwrap_err().to_string();
    assert!(error.contains("cannot create") && error.contains("file"), "{error}");
}

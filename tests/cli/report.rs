//! The demo's story and its report, with a stand-in for the networks: it answers from the ground truth plus noise, which is
//! enough to see that what an engine gives arrives on the page, and unchanged.

use std::{
    cell::RefCell,
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    rc::Rc,
};

use clap::Parser as _;
use image::imageops;
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use uflow::{
    Error, Result, cli,
    demo::{Counts, Engine, Fitted, Options, Product, Step, run},
    evaluate::{Evaluation, Inspection, Inspector, Settings},
    segment::Region,
};

const SIDE: usize = 64;

/// Says what the ground truth says, with noise.
struct Oracle {
    maps: [Array2<f32>; 2],
    rng: ChaCha8Rng,
}

impl Inspector for Oracle {
    fn inspect(&mut self, path: &Path) -> Result<Inspection<'_>> {
        let truth =
            PathBuf::from(path.to_str().unwrap().replace("/test/", "/ground_truth/").replace(".png", "_mask.png"));
        let mask = truth.exists().then(|| image::open(&truth).unwrap().into_luma8());
        let small = mask.map(|mask| imageops::resize(&mask, SIDE as u32, SIDE as u32, imageops::FilterType::Triangle));
        let rng = &mut self.rng;
        let score = Array2::from_shape_fn((SIDE, SIDE), |(row, column)| {
            let marked =
                small.as_ref().map_or(0.0, |mask| f32::from(mask.get_pixel(column as u32, row as u32).0[0]) / 255.0);
            0.37 + 0.08 * rng.random::<f32>() + 0.5 * marked
        });
        self.maps = [score.clone(), score.mapv(|score| 900.0 - 1500.0 * score.powi(2) * 1.6)];
        let found = self.maps[1].iter().any(|&value| value < 0.0);
        Ok(Inspection {
            size: (256, 256),
            score: self.maps[0].view(),
            log10_nfa: self.maps[1].view(),
            score_max: score.iter().copied().fold(0.0, f32::max),
            anomalous: found,
            level: 0.0,
            p_value: Some(if found { 0.001 } else { 0.5 }),
            regions: if found { vec![self.region()] } else { Vec::new() },
            timings: vec![("network", 8.25), ("segmentation", 1.5)],
        })
    }
}

impl Oracle {
    /// The box around what is found.
    fn region(&self) -> Region {
        let found: Vec<(usize, usize)> =
            self.maps[1].indexed_iter().filter(|(_, value)| **value < 0.0).map(|(at, _)| at).collect();
        let edge = |values: Vec<usize>| {
            let scale = 256 / SIDE as u32;
            (*values.iter().min().unwrap() as u32 * scale, (*values.iter().max().unwrap() as u32 + 1) * scale)
        };
        let (top, bottom) = edge(found.iter().map(|at| at.0).collect());
        let (left, right) = edge(found.iter().map(|at| at.1).collect());
        Region {
            bbox: [left, top, right - left, bottom - top],
            area: (right - left) * (bottom - top),
            centroid: [f64::from(left + right) / 2.0, f64::from(top + bottom) / 2.0],
            log10_nfa_min: self.maps[1].iter().copied().fold(f32::INFINITY, f32::min),
            p_value: Some(0.001),
            score_max: 0.9,
            scale: 0,
            outline: vec![vec![[left, top], [right, top], [right, bottom], [left, bottom]]],
        }
    }
}

struct StandIn {
    calls: Rc<RefCell<Vec<String>>>,
}

impl Engine for StandIn {
    fn fit(&mut self, product: &str, good: &[PathBuf], package: &Path) -> Result<Fitted> {
        let folder =
            package.components().rev().take(3).map(|part| part.as_os_str().to_str().unwrap()).collect::<Vec<_>>();
        self.calls.borrow_mut().push(format!("fit {product} on {} into {}", good.len(), folder.join("<")));
        Ok(Fitted {
            settings: Settings { epsilon: 1.0, fair_threshold: Some(0.46) },
            facts: vec![("stand-in <b>".to_owned(), "answers & \"ground truth\"".to_owned())],
        })
    }

    fn open(&mut self, _: &Path) -> Result<Box<dyn Inspector>> {
        Ok(Box::new(Oracle { maps: Default::default(), rng: ChaCha8Rng::seed_from_u64(1) }))
    }

    fn describe(&self) -> Vec<(String, String)> {
        vec![("networks".to_owned(), "none: this page was made by a test".to_owned())]
    }
}

/// What came of one run.
struct Ran {
    html: String,
    evaluations: Vec<(Product, Evaluation)>,
    steps: Vec<Step>,
    calls: Vec<String>,
}

/// Runs the demo in a folder of this name, with few pictures.
fn demo(name: &str, products: &[Product]) -> Ran {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    let options = Options {
        report: folder.join("report.html"),
        folder,
        keep: true,
        products: products.to_vec(),
        seed: 3,
        counts: Counts { train: 3, good: 4, defective: 4 },
    };
    let calls = Rc::new(RefCell::new(Vec::new()));
    let mut steps = Vec::new();
    let outcome = run(&options, &mut StandIn { calls: calls.clone() }, &mut |step| steps.push(step)).unwrap();
    let html = fs::read_to_string(&options.report).unwrap();
    Ran { html, evaluations: outcome.evaluations, steps, calls: calls.take() }
}

#[test]
fn the_story_goes_through_every_product_in_order() {
    let products = [Product::PrintedGrid, Product::WovenCloth];
    let Ran { html, evaluations, steps, calls } = demo("story", &products);
    assert_eq!(
        calls,
        ["fit printed_grid on 3 into 1<printed_grid<models", "fit woven_cloth on 3 into 1<woven_cloth<models"]
    );
    assert_eq!(steps[..3], [Step::Data(products[0]), Step::Fit(products[0]), Step::Test(products[0], 1, 20)]);
    assert_eq!(steps.last(), Some(&Step::Report));
    assert!(html.find("Printed grid").unwrap() < html.find("Woven cloth").unwrap());
    for (_, evaluation) in &evaluations {
        assert_eq!((evaluation.good_images, evaluation.defective_images), (4, 16));
        assert!(evaluation.total.pixel_auroc.unwrap() > 0.9);
        assert!(html.contains(&format!("{:.3}", evaluation.total.pixel_auroc.unwrap())));
        assert!(html.contains(&format!("{:.3}", evaluation.total.at_epsilon.miou_defective.unwrap())));
    }
}

#[test]
fn the_page_is_whole_escaped_and_refers_to_nothing_outside() {
    let Ran { html, .. } = demo("page", &Product::ALL);
    assert!(!html.contains("{{"), "a placeholder is left");
    assert!(html.contains("stand-in &lt;b&gt;") && html.contains("answers &amp; &quot;ground truth&quot;"));
    for outside in ["http:", "https:", "//", "url(", "@import", "<script", "<link", "<iframe", "javascript:"] {
        let text =
            html.split("base64,").map(|part| part.split_once('"').map_or(part, |(_, rest)| rest)).collect::<String>();
        assert!(!text.contains(outside), "the page has {outside}");
    }
    for part in html.split("src=\"").skip(1) {
        assert!(part.starts_with("data:image/jpeg;base64,"));
    }
    // Three products; a good image and two of each kind; five pictures each.
    assert_eq!(html.matches("<img ").count(), 3 * 9 * 5);
    assert_eq!(html.matches("<svg ").count(), 3 * 6);
    for text in [
        "prefers-color-scheme: dark",
        "8.25 ms (median), 8.25 (95%)",
        "none: this page was made by a test",
        uflow::VERSION,
    ] {
        assert!(html.contains(text), "the page lacks {text}");
    }
    assert_balanced(&html);
}

/// Every element that is opened is closed, in order.
fn assert_balanced(html: &str) {
    const VOID: [&str; 5] = ["!doctype", "meta", "img", "br", "line"];
    let mut open: Vec<&str> = Vec::new();
    for tag in html.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("a tag that does not end");
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "closed out of order");
        } else if !VOID.contains(&name) && !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "not closed: {open:?}");
}

#[test]
fn an_engine_that_fails_ends_the_demo_without_a_report() {
    struct Broken;
    impl Engine for Broken {
        fn fit(&mut self, _: &str, _: &[PathBuf], _: &Path) -> Result<Fitted> {
            Err(Error::training("no progress"))
        }
        fn open(&mut self, package: &Path) -> Result<Box<dyn Inspector>> {
            Err(Error::package(package, "is not there"))
        }
        fn describe(&self) -> Vec<(String, String)> {
            Vec::new()
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.html");
    let options = Options {
        folder: folder.path().to_owned(),
        keep: false,
        report: report.clone(),
        products: vec![Product::BrushedMetal],
        seed: 1,
        counts: Counts { train: 1, good: 1, defective: 1 },
    };
    let error = run(&options, &mut Broken, &mut |_| {}).unwrap_err().to_string();
    assert_eq!(error, "training: no progress");
    assert!(!report.exists());
}

#[derive(clap::Parser)]
enum Command {
    Demo(cli::demo::Args),
}

#[test]
fn data_only_makes_pictures_and_no_engine() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let line = ["uflow", "demo", "--data-only", "--out", out, "--products", "printed-grid", "--train", "8"];
    let Command::Demo(args) = Command::try_parse_from(line).unwrap();
    cli::demo::run(&args, true, |_| panic!("an engine was made")).unwrap();
    let made: HashSet<String> = fs::read_dir(folder.path().join("data"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(made, HashSet::from(["printed_grid".to_owned()]));
    assert_eq!(fs::read_dir(folder.path().join("data/printed_grid/train/good")).unwrap().count(), 8);
    assert!(Command::try_parse_from(["uflow", "demo", "--data-only"]).is_err(), "pictures need a folder to be kept in");
    assert!(Command::try_parse_from(["uflow", "demo", "--train", "3"]).is_err());
}

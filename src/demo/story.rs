//! The demo from beginning to end: make the data, fit, look at the test images, report.
//!
//! Fitting and detecting are behind [`Engine`], so that this module knows nothing of networks. What it shows is what the
//! engine gave for the pictures that were written, and nothing else.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use image::RgbImage;
use ndarray::ArrayView2;

use super::{
    Counts, Product, dataset,
    machine::Machine,
    report::{Case, ProductReport, Report},
};
use crate::{
    Error, Result,
    evaluate::{Dataset, Evaluation, GOOD, Inspection, Inspector, Layout, Sample, Settings, evaluate},
    render,
};

/// Fits models and opens them again.
pub trait Engine {
    /// Fits a model to good images and writes its package to `package`, a version folder of a model repository
    /// (`<root>/<model>/<version>`).
    fn fit(&mut self, product: &str, good: &[PathBuf], package: &Path) -> Result<Fitted>;

    /// Opens a package that [`Self::fit`] wrote.
    fn open(&mut self, package: &Path) -> Result<Box<dyn Inspector>>;

    /// Serves the model repository `models` from this process, streams the pictures to it over gRPC, and holds its answers
    /// against `pictures`. Gives names and values for the report; nothing where there is no server in this build.
    ///
    /// # Errors
    /// Also a picture whose answer is missing or another than the one given.
    fn serve(&mut self, models: &Path, pictures: &[Looked]) -> Result<Vec<(String, String)>> {
        let _ = (models, pictures);
        Ok(Vec::new())
    }

    /// What runs the networks, e.g. ONNX Runtime's version and the device: names and values for the report.
    fn describe(&self) -> Vec<(String, String)>;
}

/// A test picture that was looked at.
#[derive(Clone, Debug)]
pub struct Looked {
    /// Its product: the model's name.
    pub product: &'static str,
    /// Its file.
    pub path: PathBuf,
    /// Its image score.
    pub score: f32,
    /// Its verdict.
    pub anomalous: bool,
}

/// What is known of a fitted model.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// At which points to evaluate it.
    pub settings: Settings,
    /// Its training in names and values, for the report.
    pub facts: Vec<(String, String)>,
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder for the data (`data/<product>`) and the packages (`models/<product>/1`).
    pub folder: PathBuf,
    /// Whether the folder stays, so that the report may name what is in it.
    pub keep: bool,
    /// The report's file.
    pub report: PathBuf,
    /// Which products.
    pub products: Vec<Product>,
    /// Seed of the pictures.
    pub seed: u64,
    /// How many pictures.
    pub counts: Counts,
}

/// Where the demo is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Pictures of a product are being made.
    Data(Product),
    /// Its model is being fitted.
    Fit(Product),
    /// Its test images are being looked at: done, and how many there are.
    Test(Product, usize, usize),
    /// The models are being served.
    Serve,
    /// The report is being written.
    Report,
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Each product's metrics.
    pub evaluations: Vec<(Product, Evaluation)>,
    /// Wall-clock seconds of the whole.
    pub seconds: f64,
}

/// Writes the data of all products to `<folder>/data`.
pub fn write_data(options: &Options, step: &mut dyn FnMut(Step)) -> Result<Vec<PathBuf>> {
    let root = options.folder.join("data");
    let write = |&product: &Product| {
        step(Step::Data(product));
        dataset::write(&root, product, options.seed, &options.counts)
    };
    options.products.iter().map(write).collect()
}

/// Runs the demo and writes its report.
pub fn run(options: &Options, engine: &mut dyn Engine, step: &mut dyn FnMut(Step)) -> Result<Outcome> {
    let start = Instant::now();
    let mut products = Vec::new();
    let mut evaluations = Vec::new();
    let mut looked = Vec::new();
    for &product in &options.products {
        let report = run_product(options, product, engine, &mut looked, step)?;
        evaluations.push((product, report.evaluation.clone()));
        products.push(report);
    }
    step(Step::Serve);
    let served = engine.serve(&options.folder.join("models"), &looked)?;
    step(Step::Report);
    let seconds = start.elapsed().as_secs_f64();
    let report = Report { machine: Machine::here(), engine: engine.describe(), products, served, seconds };
    report.write(&options.report)?;
    Ok(Outcome { evaluations, seconds })
}

fn run_product(
    options: &Options,
    product: Product,
    engine: &mut dyn Engine,
    looked: &mut Vec<Looked>,
    step: &mut dyn FnMut(Step),
) -> Result<ProductReport> {
    let mut clock = Clock(Instant::now());
    step(Step::Data(product));
    let root = dataset::write(&options.folder.join("data"), product, options.seed, &options.counts)?;
    let made = clock.lap();
    step(Step::Fit(product));
    let data = Dataset::open(&root, Some(Layout::Mvtec))?;
    let package = options.folder.join("models").join(product.name()).join("1");
    let Fitted { settings, facts } = engine.fit(product.name(), &data.train, &package)?;
    let fitted = clock.lap();
    let mut inspector = engine.open(&package)?;
    let mut gallery = Gallery::new(settings, &options.counts);
    let (mut done, all) = (0, data.test.len());
    let evaluation = evaluate(&data, settings, &mut *inspector, &mut |sample, inspection, truth| {
        done += 1;
        step(Step::Test(product, done, all));
        looked.push(Looked {
            product: product.name(),
            path: sample.path.clone(),
            score: inspection.image_score,
            anomalous: inspection.anomalous,
        });
        gallery.take(sample, inspection, truth)
    })?;
    let tested = clock.lap();
    Ok(ProductReport {
        name: product.name().to_owned(),
        package: options.keep.then_some(package),
        model: facts,
        cases: gallery.cases(&data, &evaluation),
        evaluation,
        steps: vec![("making the pictures", made), ("fitting", fitted), ("testing, with metrics", tested)],
        stages: gallery.medians(),
    })
}

struct Clock(Instant);

impl Clock {
    fn lap(&mut self) -> f64 {
        let seconds = self.0.elapsed().as_secs_f64();
        self.0 = Instant::now();
        seconds
    }
}

/// The pictures of some test images, and every image's timings.
struct Gallery {
    settings: Settings,
    /// Places within a kind whose images are shown.
    places: Vec<usize>,
    seen: Vec<(String, usize)>,
    pictures: Vec<(PathBuf, [RgbImage; 5])>,
    timings: Vec<(&'static str, Vec<f64>)>,
}

impl Gallery {
    /// A small defect and a large one of each kind.
    fn new(settings: Settings, counts: &Counts) -> Self {
        let last = counts.defective.saturating_sub(1) as usize;
        let mut places = vec![last / 4, last];
        places.dedup();
        Self { settings, places, seen: Vec::new(), pictures: Vec::new(), timings: Vec::new() }
    }

    fn take(
        &mut self,
        sample: &Sample,
        inspection: &Inspection<'_>,
        truth: Option<ArrayView2<'_, bool>>,
    ) -> Result<()> {
        for &(stage, ms) in &inspection.timings {
            match self.timings.iter_mut().find(|(name, _)| *name == stage) {
                Some((_, all)) => all.push(ms),
                None => self.timings.push((stage, vec![ms])),
            }
        }
        if !self.shown(&sample.kind) {
            return Ok(());
        }
        let decode = |error: image::ImageError| Error::Decode {
            name: sample.path.display().to_string(),
            reason: error.to_string(),
        };
        let input = image::open(&sample.path).map_err(decode)?.into_rgb8();
        let limit = self.settings.epsilon.log10() as f32;
        let found = inspection.log10_nfa.mapv(|value| value < limit);
        let outlined = render::overlay(&input, None, &inspection.regions);
        let nothing = ndarray::Array2::from_elem(found.dim(), false);
        let truth = truth.unwrap_or(nothing.view());
        let pictures = [
            input,
            render::heat_map(inspection.score),
            render::nfa_map(inspection.log10_nfa, limit),
            render::mask_map(found.view(), Some(truth)),
            outlined,
        ];
        self.pictures.push((sample.path.clone(), pictures));
        Ok(())
    }

    /// Whether the next image of `kind` is one of those shown: the first good one, and a kind's chosen places.
    fn shown(&mut self, kind: &str) -> bool {
        let index = match self.seen.iter().position(|(name, _)| name == kind) {
            Some(index) => index,
            None => {
                self.seen.push((kind.to_owned(), 0));
                self.seen.len() - 1
            }
        };
        let place = self.seen[index].1;
        self.seen[index].1 += 1;
        if kind == GOOD { place == 0 } else { self.places.contains(&place) }
    }

    /// The cases in the order of the test set: good, then by kind.
    fn cases(&mut self, data: &Dataset, evaluation: &Evaluation) -> Vec<Case> {
        std::mem::take(&mut self.pictures)
            .into_iter()
            .filter_map(|(path, [input, heat, nfa, mask, outlined])| {
                let index = data.test.iter().position(|sample| sample.path == path)?;
                let result = evaluation.images.get(index)?.clone();
                Some(Case { result, input, heat, nfa, mask, outlined })
            })
            .collect()
    }

    fn medians(&mut self) -> Vec<(String, f64)> {
        let median = |values: &mut Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        self.timings.iter_mut().map(|(name, values)| ((*name).to_owned(), median(values))).collect()
    }
}

//! The whole demo: make the data, fit, examine the test images, report.
//!
//! Fitting and detecting are behind [`Engine`], so this module does not depend on networks. The report shows only the
//! engine's results for the pictures that were written.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use super::{Counts, Product, dataset};
use crate::{
    Result,
    evaluate::{Dataset, Evaluation, GOOD, Inspector, Layout, Seen, Settings, evaluate},
    frame::ReadOptions,
    report::{Case, Headline, Machine, ModelReport, Note, Report, Tile, decision_fact, pictures},
};

/// Fits models and opens them.
pub trait Engine {
    /// Fits a model to good images and writes its package to `package`, a version folder of a model repository
    /// (`<root>/<model>/<version>`).
    fn fit(&mut self, product: &str, good: &[PathBuf], package: &Path) -> Result<Fitted>;

    /// Opens a package that [`Self::fit`] wrote.
    fn open(&mut self, package: &Path) -> Result<Box<dyn Inspector>>;

    /// Serves the model repository `models` from this process, streams the pictures to the server over gRPC, and compares the answers
    /// with `pictures`. Returns names and values for the report; empty if this build has no server.
    ///
    /// # Errors
    /// Also if an answer is missing or differs.
    fn serve(&mut self, models: &Path, pictures: &[Looked]) -> Result<Vec<(String, String)>> {
        let _ = (models, pictures);
        Ok(Vec::new())
    }

    /// ONNX Runtime's version, the device and so on: names and values for the report.
    fn describe(&self) -> Vec<(String, String)>;
}

/// A test picture and the detector's result.
#[derive(Clone, Debug)]
pub struct Looked {
    /// Its product: the model's name.
    pub product: &'static str,
    /// Its file.
    pub path: PathBuf,
    /// The maximum of its score map.
    pub score_max: f32,
    /// Its verdict.
    pub anomalous: bool,
}

/// Facts about a fitted model.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// The thresholds at which to evaluate it.
    pub settings: Settings,
    /// Names and values about its training, for the report.
    pub facts: Vec<(String, String)>,
}

/// Options of the demo.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder for the data (`data/<product>`) and the packages (`models/<product>/1`).
    pub folder: PathBuf,
    /// Whether the folder is kept, so that the report can name files in it.
    pub keep: bool,
    /// The report's file.
    pub report: PathBuf,
    /// The products to make.
    pub products: Vec<Product>,
    /// Seed of the pictures.
    pub seed: u64,
    /// Numbers of pictures.
    pub counts: Counts,
}

/// Progress of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Pictures of a product are being made.
    Data(Product),
    /// Its model is being fitted.
    Fit(Product),
    /// Its test images are being examined: number done, and number in total.
    Test(Product, usize, usize),
    /// The models are being served.
    Serve,
    /// The report is being written.
    Report,
}

/// Result of the demo.
#[derive(Clone, Debug)]
pub struct DemoOutcome {
    /// Each product's metrics.
    pub evaluations: Vec<(Product, Evaluation)>,
    /// Total wall-clock seconds.
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
pub fn run(options: &Options, engine: &mut dyn Engine, step: &mut dyn FnMut(Step)) -> Result<DemoOutcome> {
    let start = Instant::now();
    let mut models = Vec::new();
    let mut evaluations = Vec::new();
    let mut looked = Vec::new();
    for &product in &options.products {
        let report = run_product(options, product, engine, &mut looked, step)?;
        evaluations.push((product, report.evaluation.clone()));
        models.push(report);
    }
    step(Step::Serve);
    let served = engine.serve(&options.folder.join("models"), &looked)?;
    step(Step::Report);
    let seconds = start.elapsed().as_secs_f64();
    report(models, served, engine.describe(), seconds).write(&options.report)?;
    Ok(DemoOutcome { evaluations, seconds })
}

fn report(
    models: Vec<ModelReport>,
    served: Vec<(String, String)>,
    engine: Vec<(String, String)>,
    seconds: f64,
) -> Report {
    let evaluations = || models.iter().map(|model| &model.evaluation);
    let defective: usize = evaluations().map(|each| each.defective_images).sum();
    let good: usize = evaluations().map(|each| each.good_images).sum();
    let mut tiles: Vec<Tile> =
        Headline::ALL.map(|headline| headline.tile(headline.pooled(evaluations()))).into_iter().collect();
    let name = "total time, from no data to this page".to_owned();
    tiles.push(Tile { value: format!("{seconds:.0} s"), name, meaning: String::new() });
    let fitted = match models.len() {
        1 => "One model was fitted".to_owned(),
        count => format!("{count} models were fitted"),
    };
    let served = Note {
        title: "Served over gRPC".to_owned(),
        text: "The same models were served by this process (uflow serve). The test pictures of all products, mixed, were sent as \
               files on several streams at once (uflow client)."
            .to_owned(),
        facts: served,
        ..Note::default()
    };
    Report {
        title: "U-Flow demo".to_owned(),
        lead: format!(
            "{fitted} on this machine, on pictures of good products only. This page shows the results on {} new \
             pictures; {defective} of them show a defect. Each picture is accepted or rejected as the model decides, without tuning.",
            good + defective
        ),
        tiles,
        machine: Machine::here(),
        engine,
        models,
        notes: (!served.facts.is_empty()).then_some(served).into_iter().collect(),
        seconds,
        closing: "The products are generated by a program. This report shows that everything works on your machine, not how well \
                  it works on your parts. For that, run uflow fit and uflow evaluate on your own pictures."
            .to_owned(),
    }
}

fn run_product(
    options: &Options,
    product: Product,
    engine: &mut dyn Engine,
    looked: &mut Vec<Looked>,
    step: &mut dyn FnMut(Step),
) -> Result<ModelReport> {
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
    let evaluation = evaluate(&data, settings, &mut *inspector, &mut |seen| {
        done += 1;
        step(Step::Test(product, done, all));
        looked.push(Looked {
            product: product.name(),
            path: seen.sample.path.clone(),
            score_max: seen.inspection.score_max,
            anomalous: seen.inspection.anomalous,
        });
        gallery.take(&seen)
    })?;
    let tested = clock.lap();
    let facts = facts.into_iter().chain(decision_fact(&inspector.decision())).collect();
    Ok(ModelReport {
        name: product.name().to_owned(),
        package: options.keep.then_some(package),
        page: None,
        facts,
        choice: "These images are chosen by their position in the test set, not by the result.".to_owned(),
        cases: gallery.cases,
        evaluation,
        steps: vec![("making the pictures", made), ("fitting", fitted), ("testing, with metrics", tested)],
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

/// The pictures of some test images.
struct Gallery {
    settings: Settings,
    /// Positions within a kind whose images are shown.
    places: Vec<usize>,
    seen: Vec<(String, usize)>,
    cases: Vec<Case>,
}

impl Gallery {
    /// A small and a large defect of each kind.
    fn new(settings: Settings, counts: &Counts) -> Self {
        let last = counts.defective.saturating_sub(1) as usize;
        let mut places = vec![last / 4, last];
        places.dedup();
        Self { settings, places, seen: Vec::new(), cases: Vec::new() }
    }

    fn take(&mut self, seen: &Seen<'_>) -> Result<()> {
        if self.shown(&seen.sample.kind) {
            let pictures = pictures(
                &seen.sample.path,
                &ReadOptions::default(),
                seen.inspection,
                seen.truth,
                self.settings.epsilon,
            )?;
            self.cases.push(Case { result: seen.result.clone(), pictures });
        }
        Ok(())
    }

    /// Whether to show the next image of `kind`: the first good one, and the chosen positions of each kind.
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
}

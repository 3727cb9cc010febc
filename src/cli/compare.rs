//! `uflow compare`: two models on the same images.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Result;

use super::{
    CommandOutcome, Context,
    engine::{self, FileInspector},
    evaluate::{LayoutName, MaskArgs},
    inputs::{self, images_below},
    options::{DecisionArgs, DeviceArgs, SampleArgs},
    progress::Progress,
};
use crate::{
    compare::{Comparison, Disagreement, UNLABELLED},
    evaluate::{Dataset, ImageResult, Inspector, Layout, Sample, evaluate},
    package::Package,
    report::{Machine, Note, Report, Shown, Tile, pictures},
};

const AFTER_HELP: &str = "\
Examples:
  uflow compare old.uflow new.uflow --data ./bolt
  uflow compare old.uflow new.uflow --data ./bolt --report compared.html
  uflow compare old.uflow new.uflow --data last-week/ --unlabelled
  uflow compare a.uflow b.uflow --data ./bolt --reject-rate 1%

Each model decides as its package says; a decision option applies to both. With --reject-rate both
may reject the same share of good images, which is the fair comparison of two trainings.

The tests count only the images about which the models differ: McNemar's exact test for images
rejected, DeLong's for the AUROC, sign flips for the overlap with the marked defects. A difference
with p <= 0.05 is called more than chance. One comparison in twenty of equal models is called so.

Exit codes: 0 the comparison is made, whatever it says; 1 something failed; 2 wrong usage.";

/// Run two models on the same images: which rejects what, where they disagree, and whether the difference is more than chance.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// The first model's package, A: a folder or a .uflow file
    #[arg(value_name = "A")]
    a: PathBuf,

    /// The second model's package, B
    #[arg(value_name = "B")]
    b: PathBuf,

    /// A test set with good and defective images, in a layout that `uflow evaluate` reads
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// The folder holds images without labels, searched below: nobody knows which are good
    #[arg(long, conflicts_with = "layout")]
    unlabelled: bool,

    /// Layout of the test set [default: recognised by its folders]
    #[arg(long, value_enum)]
    layout: Option<LayoutName>,

    /// Also write the result as a page for a browser, with pictures of the images about which the models disagree
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,

    /// Most images with pictures in the page
    #[arg(long, value_name = "N", default_value_t = 24, requires = "report")]
    shown: usize,

    #[command(flatten)]
    masks: MaskArgs,

    #[command(flatten)]
    samples: SampleArgs,

    #[command(flatten)]
    decision: DecisionArgs,

    #[command(flatten)]
    device: DeviceArgs,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<CommandOutcome> {
    let start = Instant::now();
    let options = args.decision.options()?;
    args.report.as_deref().map_or(Ok(()), crate::files::check_writable)?;
    let images = Images::open(args, context)?;
    let session = args.device.session();
    let progress = Progress::new(context.json);
    let open = |letter, path: &Path| -> Result<Model> {
        let package = Package::open(path)?;
        let inspector = FileInspector::open(context.runtime()?, &package, &session, options.clone())?;
        Ok(Model { letter, inspector: inspector.reading(&args.samples) })
    };
    let (mut a, mut b) = (open("A", &args.a)?, open("B", &args.b)?);
    let found = [a.judge(&images, &progress)?, b.judge(&images, &progress)?];
    progress.finish();
    let names = [&args.a, &args.b].map(|path| path.display().to_string());
    let comparison = Comparison::of((&names[0], &found[0]), (&names[1], &found[1]))?;
    for Model { letter, inspector } in [&a, &b] {
        inspector.warnings().iter().for_each(|warning| eprintln!("uflow: warning: {letter}: {warning}"));
    }
    // Before the page, which can fail.
    if context.json {
        context.print_json(&comparison)?;
    } else {
        context.print(&comparison.to_string())?;
    }
    if let Some(path) = &args.report {
        let mut page = report(&comparison, [&mut a, &mut b], &images, args.shown)?;
        page.engine = engine::describe(context.runtime()?, &session);
        page.seconds = start.elapsed().as_secs_f64();
        page.write(path)?;
        if !context.json {
            context.print(&format!("Open {}\n", std::path::absolute(path).unwrap_or(path.clone()).display()))?;
        }
    }
    Ok(CommandOutcome::Done)
}

/// The images that are compared on.
enum Images {
    Labelled(Dataset),
    Unlabelled(PathBuf, Vec<Sample>),
}

impl Images {
    fn open(args: &Args, context: &Context) -> Result<Self> {
        if args.unlabelled {
            let sample = |path| Sample { path, kind: UNLABELLED.to_owned(), masks: Vec::new() };
            let samples = images_below(&args.data, context)?.into_iter().map(sample).collect();
            return Ok(Self::Unlabelled(args.data.clone(), samples));
        }
        let mut dataset = Dataset::open(&args.data, args.layout.map(Layout::from))
            .map_err(|error| anyhow::anyhow!("{error}; for a folder of images without labels, give --unlabelled"))?;
        args.masks.apply(&mut dataset);
        let skipped = dataset.skipped.iter().cloned().map(inputs::Skipped::no_image).collect::<Vec<_>>();
        inputs::report(&skipped, context)?;
        Ok(Self::Labelled(dataset))
    }

    fn samples(&self) -> &[Sample] {
        match self {
            Self::Labelled(dataset) => &dataset.test,
            Self::Unlabelled(_, samples) => samples,
        }
    }
}

/// One of the two models.
struct Model {
    /// `A` or `B`.
    letter: &'static str,
    inspector: FileInspector,
}

impl Model {
    /// What the model finds in every image.
    fn judge(&mut self, images: &Images, progress: &Progress) -> Result<Vec<ImageResult>> {
        let all = images.samples().len();
        let (root, samples) = match images {
            Images::Labelled(dataset) => {
                let settings = self.inspector.settings();
                let mut done = 0;
                let evaluation = evaluate(dataset, settings, &mut self.inspector, &mut |_| {
                    done += 1;
                    progress.at(self.letter, done, all);
                    Ok(())
                });
                return Ok(evaluation?.images);
            }
            Images::Unlabelled(root, samples) => (root, samples),
        };
        let mut found = Vec::with_capacity(all);
        for sample in samples {
            let inspection = self.inspector.inspect(&sample.path)?;
            let log10_nfa_min = inspection.log10_nfa.iter().copied().fold(f32::INFINITY, f32::min);
            found.push(ImageResult {
                name: sample.path.strip_prefix(root).unwrap_or(&sample.path).display().to_string(),
                kind: sample.kind.clone(),
                score: -log10_nfa_min,
                score_max: inspection.score_max,
                log10_nfa_min,
                anomalous: inspection.anomalous,
                p_value: inspection.p_value,
                regions: inspection.regions.len(),
                touching: None,
                iou: None,
                defective_part: None,
            });
            progress.at(self.letter, found.len(), all);
        }
        Ok(found)
    }

    /// The pictures of an image: its input if `input`, the outlines, and the score map.
    fn pictures(&mut self, path: &Path, input: bool) -> Result<Vec<(String, image::RgbImage)>> {
        let epsilon = self.inspector.settings().epsilon;
        let read = self.inspector.read_options();
        let inspection = self.inspector.inspect(path)?;
        let drawn = pictures(path, &read, &inspection, None, epsilon)?;
        let own = [
            (format!("found by {}", self.letter), drawn.outlined),
            (format!("score map of {}", self.letter), drawn.heat),
        ];
        let input = input.then(|| ("input".to_owned(), drawn.input));
        Ok(input.into_iter().chain(own).collect())
    }
}

/// The page: sentences, tables, and the disagreements with pictures.
fn report(comparison: &Comparison, models: [&mut Model; 2], images: &Images, shown: usize) -> Result<Report> {
    let [a, b] = models;
    let mut gallery = Vec::new();
    for each in comparison.disagreements.iter().take(shown) {
        let path = &images.samples()[each.index].path;
        let mut pictures = a.pictures(path, true)?;
        pictures.extend(b.pictures(path, false)?);
        gallery.push(Shown { title: each.a.name.clone(), lines: lines(each), pictures });
    }
    let disagreements = comparison.disagreements.len();
    let figures = comparison.figure_rows();
    let decisions = [(&*a, &comparison.a), (&*b, &comparison.b)]
        .map(|(model, name)| (format!("{}: {name}", model.letter), model.inspector.decision().join("\n")));
    let counts = Note {
        title: "Which model rejects what?".to_owned(),
        text: "A good image that is rejected is a false alarm; a defective image that is not rejected is a miss.".to_owned(),
        table: comparison.count_rows(),
        remarks: vec![
            "The last column is the p-value of McNemar's exact test, which counts only the images that one model rejects and the other \
             accepts."
                .to_owned(),
        ],
        ..Note::default()
    };
    let quality = (figures.len() > 1).then(|| Note {
        title: "How well do they separate and outline?".to_owned(),
        text: "The AUROC does not depend on the decision: it asks how well the score separates good from defective images.".to_owned(),
        table: figures,
        remarks: vec!["p-values: DeLong's test for the AUROC, sign flips for the overlap. Bounds: 95%.".to_owned()],
        ..Note::default()
    });
    let differ = Note {
        title: "Where do they disagree?".to_owned(),
        text: match disagreements {
            0 => "They agree about every image.".to_owned(),
            all if all <= shown => format!("All {all} images that only one of them rejects, the clearest first."),
            all => format!("{shown} of {all} images that only one of them rejects, the clearest first."),
        },
        gallery,
        ..Note::default()
    };
    let decision = Note { title: "How do they decide?".to_owned(), facts: decisions.into(), ..Note::default() };
    Ok(Report {
        title: "Two models compared".to_owned(),
        lead: format!("A is {}, B is {}. {}", comparison.a, comparison.b, comparison.sentences().join(" ")),
        tiles: tiles(comparison),
        machine: Machine::here(),
        engine: Vec::new(),
        models: Vec::new(),
        notes: [Some(counts), quality, Some(differ), Some(decision)].into_iter().flatten().collect(),
        seconds: 0.0,
        closing: "Made by uflow compare.".to_owned(),
    })
}

fn lines(each: &Disagreement) -> Vec<String> {
    let of = |name: &str, found: &ImageResult| {
        let what = if found.anomalous { "rejected" } else { "accepted" };
        format!("{name}: {what}, score {:.2}", found.score)
    };
    let kind = (each.a.kind != UNLABELLED).then(|| each.a.kind.clone());
    let verdicts = [of("A", &each.a), of("B", &each.b), each.verdict().to_owned()];
    kind.into_iter().chain(verdicts).collect()
}

/// How many images each model alone rejects.
fn tiles(comparison: &Comparison) -> Vec<Tile> {
    let alone = |name: &str, group: &str, count: usize, images: usize| Tile {
        value: format!("{count} of {images}"),
        name: format!("{group} images that only {name} rejects"),
        meaning: String::new(),
    };
    let of = |group: &crate::compare::Group| {
        [("A", group.only_a), ("B", group.only_b)].map(|(name, count)| alone(name, &group.name, count, group.images))
    };
    comparison.groups.iter().flat_map(of).collect()
}

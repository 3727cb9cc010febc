//! `uflow evaluate`: how good a model is on a test set, or the method on a whole data set.

mod all;
mod cost;
mod extremes;
mod merge;
mod published;
mod single;
mod variant;

use std::path::PathBuf;

use anyhow::Result;
use clap::{ValueEnum, builder::PossibleValue};

pub use variant::Segmentation;
use variant::{Variant, VariantInspector};

use super::{
    CommandOutcome, Context,
    engine::FileInspector,
    fit::ModelArgs,
    options::{DecisionArgs, DeviceArgs},
};
use crate::{
    evaluate::{Dataset, Inspector, Layout, MaskDefects, MaskFit, Settings, categories},
    frame::{Limits, ReadOptions},
    package::Package,
    segment::{DecisionOptions, Verdict},
};

const AFTER_HELP: &str = "\
Examples:
  A model on one test set:
    uflow evaluate --model bolt.uflow --data ./bolt
    uflow evaluate --model bolt.uflow --data ./bolt --out result/
    uflow evaluate --model bolt.uflow --data ./samples --layout good-bad
  A whole data set: fit and evaluate every category (a second run continues the first):
    uflow evaluate --all-categories --data mvtec/ --out result/
    uflow evaluate --all-categories --data mvtec/ --out result/ --dry-run
    uflow evaluate --all-categories --data mvtec/ --out result/ --paper
  On several machines: one category on each, then one report:
    uflow evaluate --category bottle --data mvtec/ --out result/
    uflow evaluate --merge result/ --data mvtec/

The guide (docs/src/evaluate.md) and the documentation of the library's `evaluate` module
define the metrics.";

/// Measures a model on a test set: recall, also of images where a region touches the defect, good images rejected, mIoU, AUROC over
/// pixels and images, AUPRO, F1-max, the same at the oracle and at the fair threshold, false alarms per good image, and latency, for each kind of defect and in total.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// The model's package: a folder or a .uflow file
    #[arg(
        long,
        value_name = "PKG",
        required_unless_present_any = ["all_categories", "category", "list_categories", "merge"],
        conflicts_with_all = ["all_categories", "category", "list_categories", "merge"]
    )]
    pub model: Option<PathBuf>,

    /// Folder of the test set, in the layout of a data set listed under --layout; with --all-categories or --category, the folder
    /// that contains the categories
    #[arg(long, value_name = "DIR", required_unless_present = "merge")]
    pub data: Option<PathBuf>,

    /// Layout of the test set [default: recognised by its folders]
    #[arg(long, value_enum)]
    pub layout: Option<LayoutName>,

    /// Folder for a report (report.html), the metrics as CSV, Markdown and JSON, all images and regions as CSV, and the regions as COCO JSON
    #[arg(long, value_name = "DIR", required_unless_present_any = ["model", "list_categories", "merge"])]
    pub out: Option<PathBuf>,

    /// Fit and evaluate every category of the data set; finished categories are not repeated
    #[arg(long, conflicts_with_all = ["category", "list_categories", "merge"])]
    pub all_categories: bool,

    /// Fit and evaluate one category of the data set
    #[arg(long, value_name = "NAME", conflicts_with_all = ["list_categories", "merge"])]
    pub category: Option<String>,

    /// Print the names of the categories, one per line
    #[arg(long, conflicts_with = "merge")]
    pub list_categories: bool,

    /// Combine the results of --category from one or several folders into one report in --out or the first folder. With --data,
    /// a category without a result is an error
    #[arg(long, value_name = "DIR", num_args = 1..)]
    pub merge: Vec<PathBuf>,

    /// Compare the results with the paper's Tables 1, 2, 3, 5, 7 and 8, for the data sets in the paper
    #[arg(long)]
    pub paper: bool,

    /// Print only the expected cost of --all-categories or --category
    #[arg(long)]
    pub dry_run: bool,

    /// Keep the features of the training images in OUT/features, for a run with other options of the flow
    #[arg(long)]
    pub keep_features: bool,

    /// For comparison: the method that computes the log₁₀NFA map
    #[arg(long, value_enum, default_value_t, help_heading = "Comparison", requires = "model")]
    pub segmentation: Segmentation,

    /// For comparison: use only these scales; 0 is the finest
    #[arg(long, value_name = "N", value_delimiter = ',', help_heading = "Comparison", requires = "model")]
    pub only_scale: Vec<usize>,

    #[command(flatten)]
    pub(crate) masks: MaskArgs,

    #[command(flatten)]
    pub(crate) fit: ModelArgs,

    #[command(flatten)]
    decision: DecisionArgs,

    #[command(flatten)]
    device: DeviceArgs,
}

/// How masks are read.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Masks")]
pub struct MaskArgs {
    /// Value of a mask from which a pixel is a defect [default: 128; VisA: 1]
    #[arg(long, value_name = "1..255", value_parser = clap::value_parser!(u8).range(1..))]
    mask_threshold: Option<u8>,

    /// What happens to a mask of another size than its image
    #[arg(long, value_enum, default_value = "refuse")]
    mask_fit: MaskFit,

    /// Which pixels of a mask are defects [default: white; masks that look inverted are refused]
    #[arg(long, value_enum)]
    mask_defects: Option<MaskDefects>,
}

impl ValueEnum for MaskFit {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Refuse, Self::Stretch]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Refuse => PossibleValue::new("refuse").help("It is an error"),
            Self::Stretch => {
                PossibleValue::new("stretch").help("It is brought to the image's size by nearest neighbour")
            }
        })
    }
}

impl ValueEnum for MaskDefects {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::White, Self::Black]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::White => PossibleValue::new("white").help("White pixels are defects"),
            Self::Black => PossibleValue::new("black").help("Black pixels are defects: the masks are inverted"),
        })
    }
}

impl MaskArgs {
    /// Sets what is given.
    pub(super) fn apply(&self, dataset: &mut Dataset) {
        let options = &mut dataset.mask_options;
        options.threshold = self.mask_threshold.or(options.threshold);
        (options.fit, options.defects) = (self.mask_fit, self.mask_defects);
    }
}

impl Args {
    /// Opens the model with the options of the evaluation.
    pub(crate) fn open(&self, context: &Context) -> Result<Opened> {
        let package = Package::open(self.model.as_deref().unwrap_or(std::path::Path::new("")))?;
        let (runtime, session) = (context.runtime()?, self.device.session());
        let options = self.decision.options()?;
        let (settings, inspector): (Settings, Box<dyn Inspector>) =
            if self.segmentation == Segmentation::Tree && self.only_scale.is_empty() {
                let inspector = FileInspector::open(runtime, &package, &session, options)?.reading(&self.fit.samples);
                (inspector.settings(), Box::new(inspector))
            } else {
                let inspector = VariantInspector::open(runtime, &package, &session, &self.variant(&package)?)?;
                (inspector.settings(), Box::new(inspector))
            };
        let name = package.manifest.name.clone();
        let read = self.fit.samples.read_options(&package.manifest.input, Limits::default());
        Ok(Opened { name, settings, inspector, read, engine: super::engine::describe(runtime, &session) })
    }

    /// The options --segmentation and --only-scale. Refuses options that do not apply to them.
    fn variant(&self, package: &Package) -> Result<Variant> {
        let decision = &self.decision;
        let given = [
            ("--roi", decision.roi.is_some()),
            ("--verdict", decision.verdict.is_some()),
            ("--score-threshold", decision.score_threshold.is_some()),
            ("--min-area", decision.min_area.is_some()),
        ];
        if let Some((name, _)) = given.into_iter().find(|(_, given)| *given) {
            anyhow::bail!("{name} cannot be used with --segmentation block or --only-scale");
        }
        if package.manifest.detection.roi.is_some() {
            anyhow::bail!(
                "--segmentation block and --only-scale cannot be used with a package that has a region of interest"
            );
        }
        let options = decision.options()?;
        let tests = options.tests.or(package.manifest.detection.tests).unwrap_or_default();
        if !tests.is_paper() {
            anyhow::bail!("--segmentation block and --only-scale can only be used with --tests paper");
        }
        Ok(Variant {
            segmentation: self.segmentation,
            scales: self.only_scale.clone(),
            // The package's own verdict may go by a threshold that is of no use here.
            options: DecisionOptions { verdict: Some(Verdict::Nfa), min_area: Some(0), ..options },
            samples: self.fit.samples.clone(),
        })
    }

    fn layout(&self) -> Option<Layout> {
        self.layout.map(Layout::from)
    }
}

/// A layout on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LayoutName {
    /// MVTec AD and LOCO: test/good, test/KIND, ground_truth/KIND
    Mvtec,
    /// MVTec AD 2: test_public/good, test_public/bad
    MvtecAd2,
    /// BTAD: test/ok, test/ko, ground_truth/ko
    Btad,
    /// VisA: Data/Images, Data/Masks, ../split_csv/1cls.csv
    Visa,
    /// LGG-MRI: TCGA_*/NAME.tif, TCGA_*/NAME_mask.tif
    LggMri,
    /// ShanghaiTech Campus: training/frames, testing/frames, testing/test_pixel_mask
    #[value(name = "shanghaitech")]
    ShanghaiTech,
    /// good, bad, masks
    GoodBad,
}

impl From<LayoutName> for Layout {
    fn from(name: LayoutName) -> Self {
        match name {
            LayoutName::Mvtec => Self::Mvtec,
            LayoutName::MvtecAd2 => Self::MvtecAd2,
            LayoutName::Btad => Self::Btad,
            LayoutName::Visa => Self::Visa,
            LayoutName::LggMri => Self::LggMri,
            LayoutName::ShanghaiTech => Self::ShanghaiTech,
            LayoutName::GoodBad => Self::GoodBad,
        }
    }
}

/// An opened model.
pub struct Opened {
    /// The product's name.
    pub name: String,
    /// Runs the model on images.
    pub inspector: Box<dyn Inspector>,
    /// ε from the options or the package, and the package's fair threshold.
    pub settings: Settings,
    /// How its images are read.
    pub read: ReadOptions,
    /// ONNX Runtime and the device, as names and values.
    pub engine: Vec<(String, String)>,
}

/// Runs the command. `open` loads the model given with --model.
pub fn run(args: &Args, context: &Context, open: impl FnOnce(&Args) -> Result<Opened>) -> Result<CommandOutcome> {
    args.decision.check()?;
    if !args.merge.is_empty() {
        return merge::run(args, context);
    }
    let Some(root) = &args.data else { anyhow::bail!("--data DIR is missing") };
    if args.list_categories {
        for category in categories(root, args.layout())? {
            context.print(&format!("{}\n", category.name))?;
        }
        return Ok(CommandOutcome::Done);
    }
    if args.all_categories || args.category.is_some() {
        return all::run(args, root, context);
    }
    single::run(args, root, context, open)
}

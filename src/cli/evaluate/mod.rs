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
use clap::ValueEnum;

pub use variant::Segmentation;
use variant::{Variant, VariantInspector};

use super::{
    Context, Outcome,
    engine::FileInspector,
    fit::ModelArgs,
    options::{DecisionArgs, DeviceArgs},
};
use crate::{
    evaluate::{Inspector, Layout, Settings, categories},
    package::Package,
};

const AFTER_HELP: &str = "\
Examples:
  uflow evaluate --model bolt.uflow --data ./bolt                    # test/good, test/<kind>, ground_truth/<kind>
  uflow evaluate --model bolt.uflow --data ./bolt --out result/      # report.html, CSV, Markdown, JSON
  uflow evaluate --model bolt.uflow --data ./samples --layout good-bad
  uflow evaluate --all-categories --data mvtec/ --out result/        # fit and evaluate every category; goes on after a kill
  uflow evaluate --all-categories --data mvtec/ --out result/ --dry-run
  uflow evaluate --category bottle --data mvtec/ --out result/       # one of them, on this machine
  uflow evaluate --all-categories --data mvtec/ --out result/ --paper    # beside the paper's tables
  uflow evaluate --merge result/ --data mvtec/                       # all results into one report

What the metrics mean is in the documentation of the library's `evaluate` module.";

/// Metrics of a model on a test set: AUROC over pixels and images, AUPRO, F1-max, mIoU and recall at ε, at the oracle and at the fair
/// threshold, false alarms per good image, latency, for each kind of defect and in total.
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

    /// The test set's folder: a category of MVTec AD, LOCO, AD 2, BTAD or VisA, LGG-MRI, ShanghaiTech, or `good` and `bad` with masks in `masks`; with
    /// --all-categories or --category the folder of the categories
    #[arg(long, value_name = "DIR", required_unless_present = "merge")]
    pub data: Option<PathBuf>,

    /// How the test set is laid out; told from its folders if not given
    #[arg(long, value_enum)]
    pub layout: Option<LayoutName>,

    /// Folder for a report (report.html) and the metrics as CSV, Markdown and JSON
    #[arg(long, value_name = "DIR", required_unless_present_any = ["model", "list_categories", "merge"])]
    pub out: Option<PathBuf>,

    /// Fit and evaluate every category of the data set; what is done already is not done again
    #[arg(long, conflicts_with_all = ["category", "list_categories", "merge"])]
    pub all_categories: bool,

    /// Fit and evaluate one category of the data set
    #[arg(long, value_name = "NAME", conflicts_with_all = ["list_categories", "merge"])]
    pub category: Option<String>,

    /// Print the names of the categories, one a line
    #[arg(long, conflicts_with = "merge")]
    pub list_categories: bool,

    /// Bring the results of --category, from one folder or several, into one report; written to --out or the first folder. With --data a
    /// category without a result is an error
    #[arg(long, value_name = "DIR", num_args = 1..)]
    pub merge: Vec<PathBuf>,

    /// Print what the paper reports beside the run's figures (its Tables 1, 2, 3, 5, 7 and 8), for the data sets it was tested on
    #[arg(long)]
    pub paper: bool,

    /// Say what --all-categories or --category would cost, and do nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Keep the features of the training images in OUT/features for another run with another flow
    #[arg(long)]
    pub keep_features: bool,

    /// For comparison: how the log₁₀NFA map is made
    #[arg(long, value_enum, default_value_t, help_heading = "Comparison", requires = "model")]
    pub segmentation: Segmentation,

    /// For comparison: the only scales that count, from 0, the finest
    #[arg(long, value_name = "N", value_delimiter = ',', help_heading = "Comparison", requires = "model")]
    pub only_scale: Vec<usize>,

    #[command(flatten)]
    pub(crate) fit: ModelArgs,

    #[command(flatten)]
    decision: DecisionArgs,

    #[command(flatten)]
    device: DeviceArgs,
}

impl Args {
    /// Opens the model as it is to be evaluated.
    pub(crate) fn open(&self, context: &Context) -> Result<Opened> {
        let package = Package::open(self.model.as_deref().unwrap_or(std::path::Path::new("")))?;
        let (runtime, session) = (context.runtime()?, self.device.session());
        let options = self.decision.options()?;
        let (settings, inspector): (Settings, Box<dyn Inspector>) =
            if self.segmentation == Segmentation::Tree && self.only_scale.is_empty() {
                let inspector = FileInspector::open(runtime, &package, &session, options)?;
                (inspector.settings(), Box::new(inspector))
            } else {
                let inspector = VariantInspector::open(runtime, &package, &session, self.variant(&package)?)?;
                (inspector.settings(&package), Box::new(inspector))
            };
        let name = package.manifest.name.clone();
        Ok(Opened { name, settings, inspector, engine: super::engine::describe(runtime, &session) })
    }

    /// What --segmentation and --only-scale ask for; options that a comparison has no use for are refused.
    fn variant(&self, package: &Package) -> Result<Variant> {
        let decision = &self.decision;
        let given = [
            ("--roi", decision.roi.is_some()),
            ("--verdict", decision.verdict.is_some()),
            ("--score-threshold", decision.score_threshold.is_some()),
            ("--min-area", decision.min_area.is_some()),
        ];
        if let Some((name, _)) = given.into_iter().find(|(_, given)| *given) {
            anyhow::bail!("{name} does not go with --segmentation block or --only-scale");
        }
        if package.manifest.detection.roi.is_some() {
            anyhow::bail!(
                "a package with a region of interest cannot be compared by --segmentation block or --only-scale"
            );
        }
        let defaults = &package.manifest.detection;
        if !decision.tests.unwrap_or(defaults.tests).is_paper() {
            anyhow::bail!("--segmentation block and --only-scale go with --tests paper alone");
        }
        Ok(Variant {
            segmentation: self.segmentation,
            scales: self.only_scale.clone(),
            epsilon: decision.epsilon.unwrap_or(defaults.epsilon),
            bound: decision.bound.unwrap_or(defaults.bound),
        })
    }

    fn layout(&self) -> Option<Layout> {
        self.layout.map(Layout::from)
    }
}

/// A layout by the name users write.
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

/// A model ready to be evaluated.
pub struct Opened {
    /// The product's name.
    pub name: String,
    /// Looks at images.
    pub inspector: Box<dyn Inspector>,
    /// ε as asked for or the package's, and the package's fair threshold.
    pub settings: Settings,
    /// What runs the networks: names and values.
    pub engine: Vec<(String, String)>,
}

/// Runs the command. `open` loads the model of an evaluation of one.
pub fn run(args: &Args, context: &Context, open: impl FnOnce(&Args) -> Result<Opened>) -> Result<Outcome> {
    if !args.merge.is_empty() {
        return merge::run(args, context);
    }
    let Some(root) = &args.data else { anyhow::bail!("--data DIR is missing") };
    if args.list_categories {
        for category in categories(root, args.layout())? {
            context.print(&format!("{}\n", category.name))?;
        }
        return Ok(Outcome::Done);
    }
    if args.all_categories || args.category.is_some() {
        return all::run(args, root, context);
    }
    single::run(args, root, context, open)
}

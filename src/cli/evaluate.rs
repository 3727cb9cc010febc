//! `uflow evaluate`: how good a model is on a test set.

use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;

use super::{
    Context,
    engine::FileInspector,
    options::{DecisionArgs, DeviceArgs},
    progress::Progress,
};
use crate::{
    evaluate::{Dataset, Inspector, Layout, Settings, evaluate},
    package::Package,
};

/// Metrics of a model on a test set: AUROC over pixels and images, mIoU and recall at ε, at the oracle and at the fair threshold,
/// false alarms per good image, for each kind of defect and in total.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  uflow evaluate --model bolt.uflow --data ./bolt            # test/good, test/<kind>, ground_truth/<kind>
  uflow evaluate --model bolt.uflow --data ./bolt --json     # everything, with each image's result
  uflow evaluate --model bolt.uflow --data ./samples --layout good-bad")]
pub struct Args {
    /// The model's package: a folder or a .uflow file
    #[arg(long, value_name = "PKG")]
    pub model: PathBuf,

    /// The test set's folder: a category of MVTec AD, LOCO, AD 2, BTAD or VisA, or `good` and `bad` with masks in `masks`
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,

    /// How the test set is laid out; told from its folders if not given
    #[arg(long, value_enum)]
    pub layout: Option<LayoutName>,

    #[command(flatten)]
    decision: DecisionArgs,

    #[command(flatten)]
    device: DeviceArgs,
}

impl Args {
    /// Opens the model as it is to be evaluated.
    pub(crate) fn open(&self, context: &Context) -> Result<Opened> {
        let package = Package::open(&self.model)?;
        let options = self.decision.options()?;
        let inspector = FileInspector::open(context.runtime()?, &package, &self.device.session(), options)?;
        Ok(Opened { settings: inspector.settings(), inspector: Box::new(inspector) })
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
            LayoutName::GoodBad => Self::GoodBad,
        }
    }
}

/// A model ready to be evaluated.
pub struct Opened {
    /// Looks at images.
    pub inspector: Box<dyn Inspector>,
    /// ε as asked for or the package's, and the package's fair threshold.
    pub settings: Settings,
}

/// Runs the command. The test set is read before `open` loads the model, so that a wrong folder is told at once.
pub fn run(args: &Args, json: bool, open: impl FnOnce(&Args) -> Result<Opened>) -> Result<()> {
    let dataset = Dataset::open(&args.data, args.layout.map(Layout::from))?;
    let Opened { mut inspector, settings } = open(args)?;
    let progress = Progress::new(json);
    if !dataset.masks {
        progress.say("no masks: metrics over pixels are left out");
    }
    let (mut done, all) = (0, dataset.test.len());
    let evaluation = evaluate(&dataset, settings, &mut *inspector, &mut |_, _, _| {
        done += 1;
        progress.at("evaluating", done, all);
        Ok(())
    });
    progress.finish();
    let evaluation = evaluation?;
    if json {
        println!("{}", serde_json::to_string(&evaluation)?);
    } else {
        print!("{evaluation}");
    }
    Ok(())
}

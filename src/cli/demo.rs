//! `uflow demo`: runs all steps on three synthetic products and writes a report.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde_json::json;

use super::progress::Progress;
use crate::demo::{Counts, DemoOutcome, Engine, Options, Product, Step, story};

/// Makes pictures of three products, learns a model from good ones, finds the defects in new ones, and writes a
/// report (one self-contained HTML page).
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  uflow demo                            writes uflow-demo.html
  uflow demo --out DIR                  writes DIR/report.html, DIR/data/ and DIR/models/
  uflow demo --data-only --out DIR      writes only the pictures, in MVTec AD's layout")]
pub struct Args {
    /// Folder for the pictures, the packages and the report [default: only the report, ./uflow-demo.html]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Only make the pictures
    #[arg(long, requires = "out")]
    pub data_only: bool,

    /// Products to make, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [ProductName::WovenCloth, ProductName::BrushedMetal, ProductName::PrintedGrid])]
    pub products: Vec<ProductName>,

    /// Seed of the pictures and of the training
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Number of good pictures to learn from, per product
    #[arg(long, value_name = "N", default_value_t = Counts::default().train, value_parser = clap::value_parser!(u32).range(8..=10_000))]
    pub train: u32,
}

/// A product by the name users write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProductName {
    /// Plain-woven cloth
    WovenCloth,
    /// A brushed sheet of metal with rivets
    BrushedMetal,
    /// A grid printed on a board
    PrintedGrid,
}

impl From<ProductName> for Product {
    fn from(name: ProductName) -> Self {
        match name {
            ProductName::WovenCloth => Self::WovenCloth,
            ProductName::BrushedMetal => Self::BrushedMetal,
            ProductName::PrintedGrid => Self::PrintedGrid,
        }
    }
}

/// Runs the command. `engine` is called only if models are fitted, and before the first picture is made.
pub fn run<'a>(args: &Args, json: bool, engine: impl FnOnce(&Args) -> Result<Box<dyn Engine + 'a>>) -> Result<()> {
    let scratch;
    let (folder, report) = match &args.out {
        Some(out) => (out.clone(), out.join("report.html")),
        None => {
            scratch = tempfile::tempdir().context("cannot make a temporary folder for the pictures")?;
            (scratch.path().to_owned(), PathBuf::from("uflow-demo.html"))
        }
    };
    let mut products: Vec<Product> = Vec::new();
    for product in args.products.iter().copied().map(Product::from) {
        if !products.contains(&product) {
            products.push(product);
        }
    }
    let counts = Counts { train: args.train, ..Counts::default() };
    let options = Options { folder, keep: args.out.is_some(), report, products, seed: args.seed, counts };
    let progress = Progress::new(json);
    let mut step = |step: Step| show(&progress, step);
    if args.data_only {
        let folders = story::write_data(&options, &mut step)?;
        progress.finish();
        return print_data(&folders, json);
    }
    let mut engine = engine(args)?;
    let outcome = story::run(&options, &mut *engine, &mut step);
    progress.finish();
    print_outcome(&outcome?, &options.report, json)
}

fn show(progress: &Progress, step: Step) {
    match step {
        Step::Data(product) => progress.say(&format!("{}: making pictures", product.name())),
        Step::Fit(product) => progress.say(&format!("{}: training a model", product.name())),
        Step::Test(product, done, all) => progress.at(&format!("{}: testing", product.name()), done, all),
        Step::Serve => progress.say("serving the models and streaming the test pictures to them"),
        Step::Report => progress.say("writing the report"),
    }
}

fn print_data(folders: &[PathBuf], json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string(&json!({ "data": folders }))?);
    } else {
        folders.iter().for_each(|folder| println!("{}", folder.display()));
    }
    Ok(())
}

fn print_outcome(outcome: &DemoOutcome, report: &Path, json: bool) -> Result<()> {
    let report = std::path::absolute(report).unwrap_or_else(|_| report.to_owned());
    if json {
        let products: serde_json::Map<String, serde_json::Value> = (outcome.evaluations.iter())
            .map(|(product, evaluation)| Ok((product.name().to_owned(), serde_json::to_value(evaluation)?)))
            .collect::<Result<_>>()?;
        let line = json!({ "report": report, "seconds": outcome.seconds, "products": products });
        println!("{}", serde_json::to_string(&line)?);
        return Ok(());
    }
    for (product, evaluation) in &outcome.evaluations {
        println!("\n{}\n{evaluation}", product.name());
    }
    println!("\nDone in {:.0} s. Open {}", outcome.seconds, report.display());
    Ok(())
}

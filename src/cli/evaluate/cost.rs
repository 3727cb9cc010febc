//! Estimates the cost of a run over categories from a measurement on a few of its images.

use std::{fmt, sync::Arc, time::Instant};

use anyhow::Result;
use serde::Serialize;

use super::all::CategoriesRun;
use crate::{
    cli::engine::FileInspector,
    evaluate::{Category, Inspector as _},
    frame::Limits,
    package::Package,
    train::{
        Control, TrainOptions,
        fit::{Event, FEWEST_IMAGES, FitOptions, fit_files_on},
    },
};

/// The estimated cost. It is an upper bound, because training often ends before its last epoch.
#[derive(Debug, Serialize)]
pub(super) struct Cost {
    categories: usize,
    train_images: usize,
    test_images: usize,
    /// Measured milliseconds per image: for its features, for one training pass, and for testing.
    feature_ms: f64,
    train_ms: f64,
    test_ms: f64,
    epochs: usize,
    /// Total seconds.
    seconds: f64,
    /// Most bytes of features on disk at once.
    feature_bytes: u64,
    /// Bytes of the packages.
    package_bytes: u64,
}

impl fmt::Display for Cost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes) = (self.seconds / 3600.0, self.seconds / 60.0);
        let time = match () {
            () if hours >= 1.5 => format!("{hours:.1} h"),
            () if minutes >= 1.5 => format!("{minutes:.0} min"),
            () => format!("{:.0} s", self.seconds.ceil()),
        };
        writeln!(
            out,
            "cost: at most {time} on this machine for {} categories\n      \
             {} images to learn from, at most {} epoch{}, {} images to test on\n      \
             measured on {} images, per image: {:.0} ms features, {:.0} ms training, {:.0} ms testing",
            self.categories,
            self.train_images,
            self.epochs,
            if self.epochs == 1 { "" } else { "s" },
            self.test_images,
            FEWEST_IMAGES,
            self.feature_ms,
            self.train_ms,
            self.test_ms
        )?;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        writeln!(
            out,
            "      disk: {:.0} MiB for packages, and {:.0} MiB for features during training",
            mib(self.package_bytes),
            mib(self.feature_bytes)
        )
    }
}

/// Fits and tests a few images of the first category, in a temporary folder.
pub(super) fn estimate(run: &CategoriesRun<'_>, waiting: &[&Category]) -> Result<Cost> {
    let options = run.options(waiting[0])?;
    let versions = options.augmentation.count();
    let (epochs, budget) = (options.training.epochs, options.time_budget);
    // A few more than are needed, should some be unreadable or repeated.
    let images: Vec<_> = waiting[0].data.train.iter().take(FEWEST_IMAGES + 4).cloned().collect();
    let training = TrainOptions { epochs: 1, ..options.training.clone() };
    let (start, mut featured) = (Instant::now(), 0.0);
    let runtime = run.context.runtime()?;
    let trial = FitOptions { training, features: None, ..options };
    let backbone = Arc::clone(&run.backbone);
    let fitted = fit_files_on(runtime, backbone, &images, &Limits::default(), trial, &mut |event| {
        if let Event::Features { .. } = event {
            featured = start.elapsed().as_secs_f64();
        }
        Control::Continue
    })?;
    let trained = start.elapsed().as_secs_f64() - featured;
    let folder = tempfile::tempdir().map_err(crate::Error::io("create", "a temporary folder"))?;
    let path = folder.path().join("trial.uflow");
    fitted.write(&path)?;
    let package_bytes = std::fs::metadata(&path).map_err(crate::Error::io("look at", &path))?.len();
    let (session, backbone) = (run.args.device.session(), Arc::clone(&run.backbone));
    let mut inspector = FileInspector::open_on(
        runtime,
        backbone,
        &Package::open(&path)?,
        &session,
        crate::segment::DecisionOptions::default(),
    )?;
    let samples = waiting[0].data.test.iter().take(4);
    let mut times = Vec::new();
    for sample in samples {
        let start = Instant::now();
        inspector.inspect(&sample.path)?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let used = fitted.summary.images + fitted.summary.held_out.len();
    let (tested, count) = (times[times.len() / 2], used as f64);
    let sum = |images: &dyn Fn(&Category) -> usize| waiting.iter().map(|category| images(category)).sum::<usize>();
    let (train_images, test_images) =
        (sum(&|category| category.data.train.len()), sum(&|category| category.data.test.len()));
    let most = waiting.iter().map(|category| category.data.train.len()).max().unwrap_or(0);
    let values: usize = fitted.manifest.scales.iter().map(|scale| scale.features.len()).sum();
    // Training takes its epochs or its time, whichever is less; measuring the good images takes about one epoch more.
    let train_seconds = |category: &Category| {
        let epoch = category.data.train.len() as f64 * trained / count;
        let all = epoch * epochs as f64;
        epoch + budget.map_or(all, |budget| all.min(budget.as_secs_f64()))
    };
    let seconds = train_images as f64 * featured / count
        + waiting.iter().map(|category| train_seconds(category)).sum::<f64>()
        + test_images as f64 * tested;
    Ok(Cost {
        categories: waiting.len(),
        train_images,
        test_images,
        feature_ms: featured * 1e3 / count,
        train_ms: trained * 1e3 / count,
        test_ms: tested * 1e3,
        epochs,
        seconds,
        feature_bytes: (2 * values * versions * most) as u64,
        package_bytes: package_bytes * waiting.len() as u64,
    })
}

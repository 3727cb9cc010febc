//! Fits and evaluates every category of a data set, or one. Each category has its own result, so that a later run can continue.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anyhow::{Result, bail};
use serde_json::json;

use super::{
    Args, cost,
    extremes::Extremes,
    merge,
    single::{report, report_skipped},
};
use crate::{
    Error,
    cli::{
        CommandOutcome, Context,
        engine::{FileInspector, describe},
        fit,
        progress::Progress,
    },
    evaluate::{
        Category, Evaluation, ImageRegions, Inspector as _, Record, RunSettings, categories, evaluate, records,
        write_files, write_regions,
    },
    frame::Limits,
    package::{Package, sha256},
    report::{ModelReport, decision_fact},
    runtime::Backbone,
    segment::{DecisionOptions, RegionOfInterest},
    train::{
        Control,
        fit::{FEATURES_SUFFIX, FitOptions, fit_files_on},
    },
};

/// A category's model in its folder.
pub(super) const PACKAGE_FILE: &str = "model.uflow";
/// The settings that the model was fitted with.
const SETTINGS_FILE: &str = "settings.json";

/// The options of a run over categories.
pub(super) struct CategoriesRun<'a> {
    pub(super) args: &'a Args,
    pub(super) context: &'a Context,
    pub(super) out: PathBuf,
    pub(super) backbone: Arc<Backbone>,
    settings: RunSettings,
}

pub(super) fn run(args: &Args, root: &Path, context: &Context) -> Result<CommandOutcome> {
    let Some(out) = args.out.clone() else { bail!("--out DIR is missing") };
    let mut chosen = categories(root, args.layout())?;
    if let Some(name) = &args.category {
        let names: Vec<String> = chosen.iter().map(|category| category.name.clone()).collect();
        chosen.retain(|category| category.name == *name);
        if chosen.is_empty() {
            bail!("{} has no category `{name}`; it has {}", root.display(), names.join(", "));
        }
    }
    let options = args.fit.options("category", &args.decision, &args.device)?;
    options.check()?;
    let backbone = Arc::new(options.load_backbone(context.runtime()?)?);
    let settings = settings(&options, &backbone)?;
    let run = CategoriesRun { args, context, out, backbone, settings };
    let mut waiting = Vec::new();
    for category in &chosen {
        if !run.done(category)? {
            waiting.push(category);
        }
    }
    let progress = Progress::new(context.json);
    progress.say(&format!("{} categories, {} already done", chosen.len(), chosen.len() - waiting.len()));
    for category in &waiting {
        report_skipped(&category.data, context)?;
    }
    if !waiting.is_empty() {
        let cost = cost::estimate(&run, &waiting)?;
        match context.json {
            true => context.print_json(&json!({ "event": "cost", "cost": cost }))?,
            false => context.print(&cost.to_string())?,
        }
    }
    progress.finish();
    if args.dry_run {
        return Ok(CommandOutcome::Done);
    }
    for category in waiting {
        run.category(category)?;
    }
    if args.category.is_none() {
        merge::write(&run.out, &records(std::slice::from_ref(&run.out))?, args.paper, context)?;
    }
    Ok(CommandOutcome::Done)
}

/// All settings that a result depends on, by name; the images are separate.
fn settings(options: &FitOptions, backbone: &Backbone) -> Result<RunSettings> {
    let mut flat = BTreeMap::new();
    let detection = &options.detection;
    let roi = match detection.roi.as_ref().and_then(RegionOfInterest::mask) {
        Some(roi) => Some(sha256(&roi.to_png()?)),
        None => None,
    };
    let detection = serde_json::to_value(detection.with_roi(roi).over(DecisionOptions::standard()))?;
    let training = serde_json::to_value(&options.training)?;
    for (group, values) in [("training", training), ("detection", detection)] {
        for (name, value) in values.as_object().into_iter().flatten() {
            flat.insert(format!("{group}.{name}"), value.to_string());
        }
    }
    // The number of threads does not change the result.
    flat.remove("training.threads");
    let size = options.input_size.map_or("the backbone's".to_owned(), |(width, height)| format!("{width}×{height}"));
    flat.insert("input size".to_owned(), size);
    flat.insert("augmentation".to_owned(), serde_json::to_value(options.augmentation)?.to_string());
    flat.insert("backbone".to_owned(), format!("{} {}", backbone.meta().name, backbone.sha256()));
    flat.insert("device".to_owned(), format!("{} {}", options.session.device, options.session.precision));
    flat.insert("uflow".to_owned(), crate::VERSION.to_owned());
    Ok(flat)
}

impl CategoriesRun<'_> {
    fn folder(&self, category: &Category) -> PathBuf {
        self.out.join(&category.name)
    }

    pub(super) fn options(&self, category: &Category) -> Result<FitOptions> {
        let options = self.args.fit.options(&category.name, &self.args.decision, &self.args.device)?;
        Ok(FitOptions { features: Some(self.out.join("features")), ..options })
    }

    /// Whether a result exists. A result with other settings or other images is an error.
    fn done(&self, category: &Category) -> Result<bool> {
        let folder = self.folder(category);
        let Some(record) = Record::read(&folder)? else { return Ok(false) };
        if let Some((name, there, here)) = record.difference(&self.settings) {
            bail!(
                "{} has a result with {name} = {there}, but this run has {here}: use another --out, or remove that folder",
                folder.display()
            );
        }
        if record.images != category.fingerprint()? {
            bail!(
                "{} has the result of other images than {}: use another --out, or remove that folder",
                folder.display(),
                category.data.root.display()
            );
        }
        Ok(true)
    }

    /// Fits and evaluates one category. The record is written last.
    fn category(&self, category: &Category) -> Result<()> {
        let folder = self.folder(category);
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let start = Instant::now();
        let package = self.fitted(category, &folder)?;
        let fit_seconds = start.elapsed().as_secs_f64();
        let (evaluation, regions, extremes) = self.tested(category, &package)?;
        let test_seconds = start.elapsed().as_secs_f64() - fit_seconds;
        let model = ModelReport {
            name: category.name.clone(),
            package: Some(folder.join(PACKAGE_FILE)),
            page: None,
            facts: [
                ("good images to learn from".to_owned(), category.data.train.len().to_string()),
                ("test set".to_owned(), category.data.root.display().to_string()),
            ]
            .into_iter()
            .chain(decision_fact(&package.manifest.decision_in_words()?))
            .collect(),
            choice: extremes.choice(),
            cases: extremes.cases(),
            evaluation: evaluation.clone(),
            steps: vec![("fitting", fit_seconds), ("testing, with metrics", test_seconds)],
        };
        let engine = describe(self.context.runtime()?, &self.args.device.session());
        report(vec![model], Vec::new(), engine, fit_seconds + test_seconds).write(&folder.join("report.html"))?;
        write_files(&folder, &[(&category.name, &evaluation)])?;
        write_regions(&folder, &[(&category.name, &regions)])?;
        if self.context.json {
            let line = json!({ "event": "category", "category": category.name, "total": evaluation.total });
            self.context.print_json(&line)?;
        } else {
            self.context.print(&format!("{}\n{evaluation}\n", category.name))?;
        }
        let seconds = BTreeMap::from([("fit".to_owned(), fit_seconds), ("test".to_owned(), test_seconds)]);
        let images = category.fingerprint()?;
        let settings = self.settings.clone();
        Record { category: category.name.clone(), settings, images, seconds, evaluation, regions }.write(&folder)?;
        if !self.args.keep_features {
            self.forget_features()?;
        }
        Ok(())
    }

    /// The category's model: from an interrupted run, or a new one.
    fn fitted(&self, category: &Category, folder: &Path) -> Result<Package> {
        let path = folder.join(PACKAGE_FILE);
        let mut settings = self.settings.clone();
        settings.insert("images".to_owned(), category.fingerprint()?);
        let kept = fs::read(folder.join(SETTINGS_FILE)).ok();
        let kept = kept.and_then(|text| serde_json::from_slice::<RunSettings>(&text).ok());
        if kept.as_ref() != Some(&settings) || !path.is_file() {
            let progress = Progress::new(self.context.json);
            progress.say(&format!("{}: training a model", category.name));
            let runtime = self.context.runtime()?;
            let (images, options) = (&category.data.train, self.options(category)?);
            let backbone = Arc::clone(&self.backbone);
            let fitted = fit_files_on(runtime, backbone, images, &Limits::default(), options, &mut |event| {
                fit::show(&event, &progress, self.context);
                Control::Continue
            });
            progress.finish();
            let fitted = fitted?;
            for warning in fitted.warnings() {
                eprintln!("uflow: warning: {}: {warning}", category.name);
            }
            fitted.write(&path)?;
            crate::files::write_whole(
                &folder.join(SETTINGS_FILE),
                serde_json::to_string_pretty(&settings)?.as_bytes(),
            )?;
        }
        Ok(Package::open(&path)?)
    }

    fn tested(&self, category: &Category, package: &Package) -> Result<(Evaluation, Vec<ImageRegions>, Extremes)> {
        let options = self.args.decision.options()?;
        let session = self.args.device.session();
        let backbone = Arc::clone(&self.backbone);
        let mut inspector = FileInspector::open_on(self.context.runtime()?, backbone, package, &session, options)?
            .reading(&self.args.fit.samples);
        let settings = inspector.settings();
        let mut extremes = Extremes::new(settings.epsilon, inspector.read_options());
        let progress = Progress::new(self.context.json);
        let mut data = category.data.clone();
        self.args.masks.apply(&mut data);
        let (mut regions, all) = (Vec::new(), data.test.len());
        let evaluation = evaluate(&data, settings, &mut inspector, &mut |seen| {
            regions.push(seen.regions.clone());
            progress.at(&format!("{}: evaluating", category.name), regions.len(), all);
            extremes.take(&seen)
        });
        progress.finish();
        let evaluation = evaluation?;
        for warning in inspector.warnings() {
            eprintln!("uflow: warning: {}: {warning}", category.name);
        }
        Ok((evaluation, regions, extremes))
    }

    /// Removes the files of [`FitOptions::features`].
    fn forget_features(&self) -> Result<()> {
        let folder = self.out.join("features");
        let Ok(entries) = fs::read_dir(&folder) else { return Ok(()) };
        for entry in entries {
            let path = entry.map_err(Error::io("read", &folder))?.path();
            if path.extension().is_some_and(|suffix| suffix == FEATURES_SUFFIX) {
                fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            }
        }
        // The folder stays if it contains other files.
        let _ = fs::remove_dir(&folder);
        Ok(())
    }
}

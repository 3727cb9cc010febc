//! Evaluates one model on one test set.

use std::{path::Path, time::Instant};

use anyhow::Result;

use super::{Args, Opened, extremes::Extremes, published};
use crate::{
    cli::{CommandOutcome, Context, inputs, progress::Progress},
    evaluate::{Dataset, Evaluation, evaluate, write_files, write_regions},
    report::{Headline, Machine, ModelReport, Note, Report, decision_fact},
};

/// Runs the evaluation. Reads the test set before `open` loads the model, so that a wrong folder is reported at once.
pub(super) fn run(
    args: &Args,
    root: &Path,
    context: &Context,
    open: impl FnOnce(&Args) -> Result<Opened>,
) -> Result<CommandOutcome> {
    let start = Instant::now();
    let mut dataset = Dataset::open(root, args.layout())?;
    args.masks.apply(&mut dataset);
    report_skipped(&dataset, context)?;
    if let Some(out) = &args.out {
        std::fs::create_dir_all(out).map_err(crate::Error::io("create", out))?;
    }
    let Opened { name, mut inspector, settings, read, engine } = open(args)?;
    let progress = Progress::new(context.json);
    if !dataset.masks {
        progress.say("the test set has no masks: metrics over pixels are left out");
    }
    let mut extremes = args.out.as_ref().map(|_| Extremes::new(settings.epsilon, read));
    let (mut regions, all) = (Vec::new(), dataset.test.len());
    let evaluation = evaluate(&dataset, settings, &mut *inspector, &mut |seen| {
        regions.push(seen.regions.clone());
        progress.at("evaluating", regions.len(), all);
        extremes.as_mut().map_or(Ok(()), |extremes| extremes.take(&seen))
    });
    progress.finish();
    let evaluation = evaluation?;
    for warning in inspector.warnings() {
        eprintln!("uflow: warning: {warning}");
    }
    // The category has the folder's name; the model may have any name.
    let category = root.canonicalize().ok().and_then(|root| Some(root.file_name()?.to_str()?.to_owned()));
    let category = category.unwrap_or_else(|| name.clone());
    let comparison = args.paper.then(|| published::comparison(&[(&category, &evaluation)])).transpose()?;
    if let (Some(out), Some(extremes)) = (&args.out, extremes) {
        write_files(out, &[(&name, &evaluation)])?;
        write_regions(out, &[(&name, &regions)])?;
        let model = ModelReport {
            name: name.clone(),
            package: args.model.clone(),
            page: None,
            facts: [("test set".to_owned(), root.display().to_string())]
                .into_iter()
                .chain(decision_fact(&inspector.decision()))
                .collect(),
            choice: extremes.choice(),
            cases: extremes.cases(),
            evaluation: evaluation.clone(),
            steps: Vec::new(),
        };
        let notes = comparison.iter().map(published::note).collect();
        report(vec![model], notes, engine, start.elapsed().as_secs_f64()).write(&out.join("report.html"))?;
    }
    print(&evaluation, args, context)?;
    if let Some(comparison) = &comparison {
        published::print(comparison, args.out.as_deref(), context)?;
    }
    Ok(CommandOutcome::Done)
}

/// Names the files in the set's folders that are not looked at.
pub(super) fn report_skipped(dataset: &Dataset, context: &Context) -> Result<()> {
    let skipped = dataset.skipped.iter().cloned().map(inputs::Skipped::no_image).collect::<Vec<_>>();
    Ok(inputs::report(&skipped, context)?)
}

fn print(evaluation: &Evaluation, args: &Args, context: &Context) -> Result<()> {
    if context.json {
        return Ok(context.print_json(evaluation)?);
    }
    context.print(&evaluation.to_string())?;
    if let Some(out) = &args.out {
        let report = out.join("report.html");
        context.print(&format!("Open {}\n", std::path::absolute(&report).unwrap_or(report).display()))?;
    }
    Ok(())
}

/// The report about these models.
pub(super) fn report(
    models: Vec<ModelReport>,
    notes: Vec<Note>,
    engine: Vec<(String, String)>,
    seconds: f64,
) -> Report {
    let evaluations = || models.iter().map(|model| &model.evaluation);
    let images: usize = evaluations().map(|each| each.good_images + each.defective_images).sum();
    let defective: usize = evaluations().map(|each| each.defective_images).sum();
    let mean = crate::evaluate::Metrics::mean(evaluations().map(|each| &each.total));
    let of = if models.len() > 1 {
        format!(". The figures are means over {} categories", models.len())
    } else {
        String::new()
    };
    Report {
        title: match &models[..] {
            [model] => format!("Evaluation of {}", model.name),
            _ => format!("Evaluation of {} categories", models.len()),
        },
        lead: format!(
            "{images} test images; {defective} of them show a defect{of}. Each image is accepted or rejected as the package decides."
        ),
        tiles: Headline::ALL.map(|headline| headline.tile(headline.of(&mean))).into(),
        machine: Machine::here(),
        engine,
        models,
        notes,
        seconds,
        closing: "Made by uflow evaluate. Beside this page are all images (images.csv), all regions (regions.csv and, for annotation \
                  tools, regions.coco.json) and every figure (metrics.csv, metrics.json)."
            .to_owned(),
    }
}

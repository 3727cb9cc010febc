//! Results of categories, made anywhere, as one.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;

use super::{Args, published, single::report};
use crate::{
    cli::{Context, Outcome},
    evaluate::{Named, Record, Summary, categories, records, write_files},
    report::ModelReport,
};

pub(super) fn run(args: &Args, context: &Context) -> Result<Outcome> {
    let out = args.out.as_ref().unwrap_or(&args.merge[0]);
    let found = records(&args.merge)?;
    let missing: Vec<String> = match &args.data {
        None => Vec::new(),
        Some(root) => categories(root, args.layout())?
            .into_iter()
            .map(|category| category.name)
            .filter(|name| !found.iter().any(|(_, record)| record.category == *name))
            .collect(),
    };
    write(out, &found, args.paper, context)?;
    if missing.is_empty() {
        return Ok(Outcome::Done);
    }
    eprintln!("uflow: no result of {}: run `uflow evaluate --category NAME` for each", missing.join(", "));
    Ok(Outcome::Failed)
}

/// Writes the results of all categories to `out` and prints their table.
pub(super) fn write(out: &Path, found: &[(PathBuf, Record)], paper: bool, context: &Context) -> Result<()> {
    let named: Vec<Named<'_>> = found.iter().map(|(_, record)| (&*record.category, &record.evaluation)).collect();
    write_files(out, &named)?;
    let models: Vec<ModelReport> = found.iter().map(|(folder, record)| model(folder, record)).collect();
    let seconds = found.iter().flat_map(|(_, record)| record.seconds.values()).sum();
    let settings = found.first().map_or(Vec::new(), |(_, record)| record.settings.clone().into_iter().collect());
    let page = out.join("report.html");
    report(models, settings, seconds).write(&page)?;
    if context.json {
        let metrics: serde_json::Map<String, serde_json::Value> = (named.iter())
            .map(|(name, evaluation)| Ok(((*name).to_owned(), serde_json::to_value(evaluation)?)))
            .collect::<Result<_>>()?;
        context.print_json(&json!({ "report": page, "categories": metrics }))?;
    } else {
        context.print(&Summary(&named).to_string())?;
    }
    if paper {
        published::print(&named, Some(out), context)?;
    }
    if context.json {
        return Ok(());
    }
    Ok(context.print(&format!("Open {}\n", std::path::absolute(&page).unwrap_or(page).display()))?)
}

/// A category's part of the common page; its pictures are on its own page.
fn model(folder: &Path, record: &Record) -> ModelReport {
    ModelReport {
        name: record.category.clone(),
        package: Some(folder.join(super::all::PACKAGE_FILE)),
        facts: vec![("its own report, with pictures".to_owned(), folder.join("report.html").display().to_string())],
        choice: String::new(),
        cases: Vec::new(),
        evaluation: record.evaluation.clone(),
        steps: [("fitting", "fit"), ("testing, with metrics", "test")]
            .into_iter()
            .filter_map(|(name, step)| Some((name, *record.seconds.get(step)?)))
            .collect(),
    }
}

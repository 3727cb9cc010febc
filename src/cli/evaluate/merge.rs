//! Combines the results of categories, from one or several machines.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;

use super::{Args, published, single::report};
use crate::{
    cli::{CommandOutcome, Context},
    evaluate::{Named, NamedRegions, Record, Summary, categories, records, write_files, write_regions},
    report::ModelReport,
};

pub(super) fn run(args: &Args, context: &Context) -> Result<CommandOutcome> {
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
        return Ok(CommandOutcome::Done);
    }
    eprintln!("uflow: no result for {}: run `uflow evaluate --category NAME` for each", missing.join(", "));
    Ok(CommandOutcome::Failed)
}

/// Writes the results of all categories to `out` and prints their table.
pub(super) fn write(out: &Path, found: &[(PathBuf, Record)], paper: bool, context: &Context) -> Result<()> {
    let named: Vec<Named<'_>> = found.iter().map(|(_, record)| (&*record.category, &record.evaluation)).collect();
    write_files(out, &named)?;
    let regions: Vec<NamedRegions<'_>> =
        found.iter().map(|(_, record)| (&*record.category, &*record.regions)).collect();
    write_regions(out, &regions)?;
    let comparison = paper.then(|| published::comparison(&named)).transpose()?;
    let models: Vec<ModelReport> = found.iter().map(|(folder, record)| model(out, folder, record)).collect();
    let seconds = found.iter().flat_map(|(_, record)| record.seconds.values()).sum();
    // The page shows the version anyway.
    let settings = found.iter().take(1).flat_map(|(_, record)| record.settings.clone());
    let settings = settings.filter(|(name, _)| name != "uflow").collect();
    let page = out.join("report.html");
    report(models, comparison.iter().map(published::note).collect(), settings, seconds).write(&page)?;
    if context.json {
        let metrics: serde_json::Map<String, serde_json::Value> = (named.iter())
            .map(|(name, evaluation)| Ok(((*name).to_owned(), serde_json::to_value(evaluation)?)))
            .collect::<Result<_>>()?;
        context.print_json(&json!({ "report": page, "categories": metrics }))?;
    } else {
        context.print(&Summary(&named).to_string())?;
    }
    if let Some(comparison) = &comparison {
        published::print(comparison, Some(out), context)?;
    }
    if context.json {
        return Ok(());
    }
    Ok(context.print(&format!("Open {}\n", std::path::absolute(&page).unwrap_or(page).display()))?)
}

/// A category's part of the common page. Its pictures are on its own page.
fn model(out: &Path, folder: &Path, record: &Record) -> ModelReport {
    ModelReport {
        name: record.category.clone(),
        package: Some(folder.join(super::all::PACKAGE_FILE)),
        page: relative(out, folder).map(|folder| folder.join("report.html")),
        facts: Vec::new(),
        choice: String::new(),
        cases: Vec::new(),
        evaluation: record.evaluation.clone(),
        steps: [("fitting", "fit"), ("testing, with metrics", "test")]
            .into_iter()
            .filter_map(|(name, step)| Some((name, *record.seconds.get(step)?)))
            .collect(),
    }
}

/// The relative path from one folder to another, if both exist.
fn relative(from: &Path, to: &Path) -> Option<PathBuf> {
    let (from, to) = (from.canonicalize().ok()?, to.canonicalize().ok()?);
    let common = from.iter().zip(to.iter()).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..", from.iter().count() - common).map(AsRef::as_ref);
    Some(up.chain(to.iter().skip(common)).collect())
}

#[cfg(test)]
mod tests {
    use super::relative;
    use std::path::PathBuf;

    #[test]
    fn the_way_leads_down_and_up() {
        let root = tempfile::tempdir().unwrap();
        let [all, bolt, other] = ["all", "all/bolt", "other/nut"].map(|name| root.path().join(name));
        [&bolt, &other].iter().for_each(|folder| std::fs::create_dir_all(folder).unwrap());
        assert_eq!(relative(&all, &bolt), Some(PathBuf::from("bolt")));
        assert_eq!(relative(&all, &other), Some(PathBuf::from("../other/nut")));
        assert_eq!(relative(&all, &all.join("none")), None);
    }
}

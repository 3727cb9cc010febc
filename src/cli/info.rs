//! `uflow info`: prints the content of a package.

use std::path::PathBuf;

use super::{CommandOutcome, Context};
use crate::{
    Error, Reason, Result,
    backbone::BackboneMeta,
    columns::{WIDTH, shortened},
    package::{Manifest, Package, Scale, SearchRecord},
    preprocess::Preprocess,
    tiles::Tiles,
};

/// Show the content of a package.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The model package: a folder or a .uflow file.
    package: PathBuf,
}

/// Runs the command. Opening the package checks the hashes of its files.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<CommandOutcome> {
    let package = Package::open(&args.package)?;
    let manifest = &package.manifest;
    if context.json {
        // The fields of the manifest, and the signature beside them.
        let mut shown = serde_json::to_value(manifest).map_err(|error| Error::internal(Reason::of(error)))?;
        shown["signature"] = serde_json::json!(package.signature);
        context.print_json(&shown)?;
    } else {
        // The description is the backbone's own; whether the network can be loaded is not asked here.
        let licence = BackboneMeta::read(package.backbone.source()).ok().and_then(|meta| meta.licence);
        print(&package, &licence.unwrap_or("not stated".to_owned()))?;
    }
    Ok(CommandOutcome::Done)
}

fn print(package: &Package, licence: &str) -> Result<()> {
    println!("{}", shortened(&package.manifest.name, WIDTH));
    let mut facts = facts(&package.manifest, licence)?;
    facts.push(("limits", limits(&package.manifest)));
    facts.push(("golden", golden(&package.manifest)));
    facts.push(("signature", signature(package)));
    for (key, values) in facts {
        for (index, value) in values.iter().enumerate() {
            println!("{:<11}{}", if index == 0 { key } else { "" }, shortened(value, WIDTH - 11));
        }
    }
    Ok(())
}

/// The network's input, and how frames are cut.
fn input(manifest: &Manifest) -> Result<Vec<String>> {
    let Preprocess { width, height, resize, tiles, .. } = manifest.input;
    let mut lines = vec![format!("{width}×{height} pixels, {resize} resizing")];
    if let (Some(Tiles { width, height, overlap }), Some(tiling)) = (tiles, manifest.tiling()?) {
        lines.push(format!("frames are brought to {width}×{height} pixels and cut into {} tiles", tiling.len()));
        lines.push(format!("tiles overlap by {overlap} pixels or more"));
    }
    Ok(lines)
}

/// The lines below the name: a key, and one or several lines about it.
fn facts(manifest: &Manifest, licence: &str) -> Result<Vec<(&'static str, Vec<String>)>> {
    let mut facts = vec![
        ("format", vec![format!("{}, made by uflow {} on {}", manifest.format, manifest.uflow, manifest.created)]),
        ("input", input(manifest)?),
        (
            "backbone",
            vec![
                manifest.backbone.name.clone(),
                format!("licence of its weights: {licence}"),
                format!("sha256 {}", manifest.backbone.sha256),
            ],
        ),
        ("flow", vec![format!("sha256 {}", manifest.flow.sha256)]),
    ];
    let scale = |(index, scale): (usize, &Scale)| {
        let (f, z) = (scale.features, scale.latents);
        format!(
            "{index}: features {}×{}×{}, latents {}×{}×{}",
            f.channels, f.height, f.width, z.channels, z.height, z.width
        )
    };
    facts.push(("scales", manifest.scales.iter().enumerate().map(scale).collect()));
    if let Some(record) = &manifest.training {
        let variances: Vec<_> = record.latent_variance.iter().map(|v| format!("{v:.3}")).collect();
        let mut lines = vec![
            format!("{} good images, {} of them held out", record.images, record.held_out),
            format!("best epoch {} of {}", record.best_epoch, record.epochs),
            format!("held-out loss {:.4} nats per value", record.held_out_nll),
            format!("held-out latent variance, finest scale first: {}", variances.join(", ")),
        ];
        if let Some(SearchRecord { tried, changed, .. }) = &record.search {
            let kept = if changed.is_empty() { "those as given".to_owned() } else { changed.join(", ") };
            lines.push(format!("settings searched: {tried} tried; kept: {kept}"));
        }
        facts.push(("training", lines));
    }
    if let Some(scores) = &manifest.scores {
        let held_out = if manifest.training.is_some() { "held-out " } else { "" };
        let lines = vec![
            format!("on {} {held_out}good images", scores.images),
            format!("mean {:.4}, deviation {:.4}, largest {:.4}", scores.mean, scores.std, scores.max),
            format!("fair threshold {:.4}", scores.fair_threshold),
        ];
        facts.push(("scores", lines));
    }
    facts.push(("null", null(manifest)));
    facts.push(("decision", manifest.decision_in_words()?));
    Ok(facts)
}

/// The smallest defects that are found: one line for each kind, with a90/95 at each contrast.
fn limits(manifest: &Manifest) -> Vec<String> {
    let Some(limits) = &manifest.limits else {
        return vec!["not measured; `uflow limits` measures the smallest defects that are found".to_owned()];
    };
    let mut lines = vec![
        format!("a90/95 in pixels of the image, from {} defects on {} good images", limits.defects, limits.images),
        format!("contrast 1 is the part's own, {:.0} gray levels of 255", limits.contrast_levels),
    ];
    let size = |size: Option<f64>| match (size, limits.pixel_size_mm) {
        (Some(px), Some(mm)) => format!("{px:.1} ({:.3} mm)", px * mm),
        (Some(px), None) => format!("{px:.1}"),
        (None, _) => format!("> {:.0}", limits.tried_px[1]),
    };
    for kinds in limits.kinds.chunk_by(|a, b| a.kind == b.kind) {
        let at = kinds.iter().map(|kind| format!("{} at contrast {}", size(kind.a90_95_px), kind.contrast));
        lines.push(format!("{}: {}", kinds[0].kind, at.collect::<Vec<_>>().join(", ")));
    }
    lines
}

fn golden(manifest: &Manifest) -> Vec<String> {
    let Some(golden) = &manifest.golden else {
        return vec!["no golden frames; `uflow package golden` puts some in".to_owned()];
    };
    vec![format!("{} frames for `uflow verify`, made by", golden.frames.len()), golden.made.to_string()]
}

fn signature(package: &Package) -> Vec<String> {
    match &package.signature {
        None => vec!["not signed".to_owned()],
        Some(signature) => {
            vec![format!("by the key {}", signature.key_id), "`uflow package verify` checks it".to_owned()]
        }
    }
}

fn null(manifest: &Manifest) -> Vec<String> {
    let Some(null) = &manifest.calibration else {
        return vec!["not calibrated; run `uflow calibrate --out` to calibrate".to_owned()];
    };
    let scales: Vec<_> = null.scales.iter().map(|s| format!("{:.1}", s.correlated_pixels)).collect();
    vec![
        format!("calibrated on {} good images", null.images),
        format!("pixels that vary together, finest scale first: {}", scales.join(", ")),
    ]
}

//! `uflow info`: prints the content of a package.

use std::path::PathBuf;

use super::{Context, Outcome};
use crate::package::{Manifest, Package};

/// Show the content of a package.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The model package: a folder or a .uflow file.
    package: PathBuf,
}

/// Runs the command. Opening the package checks the hashes of its files.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<Outcome> {
    let package = Package::open(&args.package)?;
    let manifest = &package.manifest;
    if context.json {
        context.print_json(manifest)?;
    } else {
        print(manifest);
    }
    Ok(Outcome::Done)
}

fn print(manifest: &Manifest) {
    println!(
        "{}  (format {}, made by uflow {} on {})",
        manifest.name, manifest.format, manifest.uflow, manifest.created
    );
    println!("input      {}×{} pixels", manifest.input.width, manifest.input.height);
    println!("backbone   {} sha256 {}", manifest.backbone.name, manifest.backbone.sha256);
    println!("flow       sha256 {}", manifest.flow.sha256);
    for (index, scale) in manifest.scales.iter().enumerate() {
        let (f, z) = (scale.features, scale.latents);
        println!(
            "scale {index}    features {}×{}×{}, latents {}×{}×{}",
            f.channels, f.height, f.width, z.channels, z.height, z.width
        );
    }
    if let Some(record) = &manifest.training {
        println!(
            "training   {} good images ({} held out), best epoch {} of {}, held-out loss {:.4} nats per value",
            record.images, record.held_out, record.best_epoch, record.epochs, record.held_out_nll
        );
        let variances: Vec<_> = record.latent_variance.iter().map(|v| format!("{v:.3}")).collect();
        println!("latents    variance on held-out good images, finest scale first: {}", variances.join(", "));
    }
    if let Some(scores) = &manifest.scores {
        println!(
            "scores     on {} {}good images: mean {:.4}, deviation {:.4}, largest {:.4}; fair threshold {:.4}",
            scores.images,
            if manifest.training.is_some() { "held-out " } else { "" },
            scores.mean,
            scores.std,
            scores.max,
            scores.fair_threshold
        );
    }
    match &manifest.calibration {
        None => println!("null       not calibrated; run `uflow calibrate --out` to calibrate"),
        Some(null) => {
            let scales: Vec<_> = null.scales.iter().map(|s| format!("{:.1}", s.correlated_pixels)).collect();
            println!(
                "null       calibrated on {} good images; pixels that vary together, finest scale first: {}",
                null.images,
                scales.join(", ")
            );
        }
    }
    let decision = &manifest.detection;
    println!(
        "decision   verdict {}, ε = {}, bound {}, tests {}, smallest region {} px{}{}",
        decision.verdict,
        decision.epsilon,
        decision.bound,
        decision.tests,
        decision.min_area,
        decision.score_threshold.map_or_else(String::new, |t| format!(", score threshold {t}")),
        if decision.roi.is_some() { ", with a region of interest" } else { "" }
    );
}

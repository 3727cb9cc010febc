//! `uflow segment`: score, log₁₀NFA and mask for latents from any network.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use ndarray::{Array3, ArrayView2, Ix3, OwnedRepr};
use ndarray_npy::{NpzReader, NpzWriter};
use serde::Serialize;

use crate::latents::ScaleShape;
use crate::pipeline::{Evidence, PostProcessor};
use crate::segment::{Bound, DecisionOptions, DecisionRule, Segmentation, TestCount};

/// Segments latents from a file, without a model.
///
/// Reads the arrays z0, z1, … (C,H,W, float32, finest scale first) of an .npz file and writes the arrays score and
/// log10_nfa (float32, H×W) and mask (uint8, 1 where log10_nfa < log10 of epsilon) to another.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  uflow segment --latents z.npz --size 448,448 --out maps.npz --epsilon 0.01")]
pub struct Args {
    /// Latents: an .npz file with z0, z1, … (C,H,W) float32, finest first
    #[arg(long, value_name = "FILE.npz")]
    pub latents: PathBuf,

    /// Size of the maps: height,width
    #[arg(long, value_name = "H,W", value_parser = parse_size)]
    pub size: (usize, usize),

    /// The .npz file to write
    #[arg(long, value_name = "FILE.npz")]
    pub out: PathBuf,

    /// ε: false alarms expected per image
    #[arg(long, value_name = "E", default_value_t = 1.0)]
    pub epsilon: f64,

    /// Tail probability of a region: the paper's bound (chernoff) or exact
    #[arg(long, default_value_t = Bound::Chernoff, value_parser = super::choices::BOUNDS)]
    pub bound: Bound,

    /// Number of tests: for all sizes of region together (paper), or by size on the theoretical null (sized)
    #[arg(long, default_value_t = TestCount::Paper, value_parser = super::choices::TESTS)]
    pub tests: TestCount,

    /// Repeat the segmentation this many times and report the times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
}

/// The report that the command prints.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The image score: −`log10_nfa_min`.
    pub score: f32,
    /// Maximum of the score map.
    pub score_max: f32,
    /// Lowest log₁₀NFA.
    pub log10_nfa_min: f32,
    /// log₁₀ of the number of tests.
    pub log10_number_of_tests: f64,
    /// Whether any pixel of the mask is set.
    pub anomalous: bool,
    /// Pixels of the mask that are set.
    pub mask_pixels: usize,
    /// Shapes of the scales, finest first.
    pub scales: Vec<ScaleShape>,
    /// Times from latents in memory to maps, mask and regions in memory, in milliseconds.
    pub timings_ms: Times,
}

/// Times over all repetitions, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Times {
    /// The first run, which also allocates memory.
    pub first: f64,
    /// The fastest.
    pub min: f64,
    /// The median.
    pub median: f64,
    /// The slowest.
    pub max: f64,
    /// Number of runs.
    pub repeat: u32,
}

/// Runs the command and prints its report.
///
/// # Errors
/// A file cannot be read or written, the arrays are not latents, or an option is out of range.
pub fn run(args: &Args, json: bool) -> Result<()> {
    let report = segment(args)?;
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
        return Ok(());
    }
    let verdict = if report.anomalous { "anomalous" } else { "normal" };
    writeln!(out, "{}: {verdict}", args.latents.display())?;
    writeln!(out, "  highest score   {:.6}", report.score_max)?;
    writeln!(out, "  lowest log10NFA {:.3} (no evidence: {:.3})", report.log10_nfa_min, report.log10_number_of_tests)?;
    writeln!(out, "  mask            {} of {} pixels", report.mask_pixels, args.size.0 * args.size.1)?;
    let times = report.timings_ms;
    writeln!(out, "  segmentation    {:.3} ms (median of {}, fastest {:.3})", times.median, times.repeat, times.min)?;
    writeln!(out, "  maps            {}", args.out.display())?;
    Ok(())
}

/// Runs the command and returns its report.
///
/// # Errors
/// As [`run`].
pub fn segment(args: &Args) -> Result<Report> {
    let options = DecisionOptions {
        epsilon: Some(args.epsilon),
        bound: Some(args.bound),
        tests: Some(args.tests),
        ..DecisionOptions::default()
    };
    let rule = DecisionRule::without_package(&options)?;
    let latents = read(&args.latents)?;
    let scales: Vec<ScaleShape> = latents
        .iter()
        .map(Array3::dim)
        .map(|(channels, height, width)| ScaleShape { channels, height, width })
        .collect();
    let views: Vec<_> = latents.iter().map(|z| z.view()).collect();
    let file = || args.latents.display().to_string();
    let size = (size_of_map(args.size.0)?, size_of_map(args.size.1)?);
    let mut post = PostProcessor::for_latents(&scales, size, None, None).with_context(file)?;
    let mut times = Vec::with_capacity(args.repeat as usize);
    let mut decision = None;
    for _ in 0..args.repeat {
        let start = Instant::now();
        decision = Some(post.decide(Evidence::Latents(&views), size, &rule).with_context(file)?);
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let (decision, maps) = decision.zip(post.segmentation()).context("the segmentation left no maps")?;
    write(&args.out, &maps, post.mask()).with_context(|| format!("cannot write {}", args.out.display()))?;
    Ok(Report {
        score: decision.score,
        score_max: decision.score_max,
        log10_nfa_min: decision.log10_nfa_min,
        log10_number_of_tests: maps.log10_number_of_tests,
        anomalous: decision.anomalous,
        mask_pixels: post.mask().iter().filter(|&&value| value != 0).count(),
        scales,
        timings_ms: Times::of(times),
    })
}

fn size_of_map(size: usize) -> Result<u32> {
    u32::try_from(size).with_context(|| format!("--size: {size} is too large"))
}

impl Times {
    fn of(mut times: Vec<f64>) -> Self {
        let first = times.first().copied().unwrap_or(0.0);
        times.sort_by(f64::total_cmp);
        let at = |index: usize| times.get(index).copied().unwrap_or(0.0);
        Self {
            first,
            min: at(0),
            median: at(times.len() / 2),
            max: at(times.len().saturating_sub(1)),
            repeat: times.len() as u32,
        }
    }
}

fn read(path: &Path) -> Result<Vec<Array3<f32>>> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
    let mut archive = NpzReader::new(file).with_context(|| format!("{name} is not an .npz file"))?;
    let names = archive.names().with_context(|| format!("{name} cannot be read"))?;
    let mut latents = Vec::new();
    loop {
        let array = format!("z{}", latents.len());
        if !names.contains(&array) {
            break;
        }
        let values = archive
            .by_name::<OwnedRepr<f32>, Ix3>(&array)
            .with_context(|| format!("{name}: array {array} is not (C,H,W) float32"))?;
        latents.push(values);
    }
    ensure!(!latents.is_empty(), "{name} has no array z0 (it has: {})", names.join(", "));
    let expected: Vec<String> = (0..latents.len()).map(|index| format!("z{index}")).collect();
    let is_latents = |name: &&String| name.strip_prefix('z').is_some_and(|index| index.parse::<usize>().is_ok());
    if let Some(left_over) = names.iter().filter(is_latents).find(|name| !expected.contains(name)) {
        bail!("{name} has {left_over} but not z{}: scales are numbered from 0 without gaps", latents.len());
    }
    Ok(latents)
}

fn write(path: &Path, result: &Segmentation<'_>, mask: ArrayView2<'_, u8>) -> Result<()> {
    let mut archive = NpzWriter::new(BufWriter::new(File::create(path)?));
    archive.add_array("score", &result.score)?;
    archive.add_array("log10_nfa", &result.log10_nfa)?;
    archive.add_array("mask", &mask)?;
    archive.finish()?.flush()?;
    Ok(())
}

fn parse_size(text: &str) -> Result<(usize, usize), String> {
    let parse = |part: &str| part.trim().parse::<usize>().ok().filter(|&size| size > 0);
    text.split_once(',')
        .and_then(|(height, width)| parse(height).zip(parse(width)))
        .ok_or_else(|| format!("`{text}` is not a size; write height,width, e.g. 448,448"))
}

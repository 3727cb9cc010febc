//! `uflow detect`: images in, verdicts, overlays, masks and maps out.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, bail};
use ndarray_npy::WriteNpyExt;
use serde::Serialize;

use super::{
    CommandOutcome, Context,
    inputs::{self, Input},
    options::{DecisionArgs, DeviceArgs, SampleArgs, warn_of_depth},
};
use crate::{
    Error, Result,
    frame::{BitDepthCheck, Image, Limits, ReadOptions},
    package::Package,
    pipeline::{Detection, Detector},
    render,
    segment::DecisionOptions,
};

const AFTER_HELP: &str = "\
Examples:
  uflow detect --model bracket.uflow frame.png
  uflow detect --model bracket.uflow line3/ --out marked/      overlays and masks, folders kept
  uflow detect --model bracket.uflow 'line3/*.jpg' --json --fail-on-anomaly
  curl -s http://camera/snapshot.jpg | uflow detect --model bracket.uflow -";

/// Find defects in images.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// The model package: a folder or a .uflow file.
    #[arg(long, value_name = "PKG")]
    model: PathBuf,

    /// Images, folders (searched below), patterns, or `-` for one encoded image on standard input. Each page of a TIFF file is an image,
    /// FILE#2 in results. Overlays and masks of an earlier run are skipped.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,

    /// Write NAME.overlay.png and NAME.mask.png here, keeping relative paths.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Also write NAME.score.npy and NAME.log10_nfa.npy (float32, H×W at the model's map size).
    #[arg(long, requires = "out")]
    maps: bool,

    /// Exit with 1 if an image is anomalous.
    #[arg(long)]
    fail_on_anomaly: bool,

    /// Largest image, in pixels; larger ones are refused before they are decoded.
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_pixels)]
    max_pixels: u64,

    #[command(flatten)]
    samples: SampleArgs,

    #[command(flatten)]
    decision: DecisionArgs,

    #[command(flatten)]
    device: DeviceArgs,
}

/// One line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    path: &'a str,
    #[serde(flatten)]
    detection: &'a Detection,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<CommandOutcome> {
    let limits = Limits { max_pixels: args.max_pixels, ..Limits::default() };
    limits.check()?;
    let inputs = inputs::expand(&args.images, context)?;
    let inputs: Vec<Input> = inputs.into_iter().flat_map(|input| input.pages(&limits)).collect();
    let bases = args.out.as_ref().map_or(Ok(Vec::new()), |out| bases(&inputs, out))?;
    let options = args.decision.options()?;
    let package = Package::open(&args.model)?;
    let read = args.samples.read_options(&package.manifest.input, limits);
    let mut depth = BitDepthCheck::default();
    let rule = package.manifest.rule(&options)?;
    rule.warning().iter().for_each(|warning| eprintln!("uflow: warning: {warning}"));
    let mut detector = Detector::open(context.runtime()?, &package, &args.device.session())?;

    let (mut anomalous, mut failed) = (0, 0);
    for (index, input) in inputs.iter().enumerate() {
        let label = input.label();
        match detect(&mut detector, input, &read, &options) {
            Ok((image, detection)) => {
                depth.push(image.peak());
                anomalous += usize::from(detection.anomalous);
                print(context, &label, &detection)?;
                if let Some(base) = bases.get(index) {
                    write(&detector, &image, &detection, base, args.maps)?;
                }
            }
            Err(error) => {
                failed += 1;
                if context.json {
                    context.print_json(&serde_json::json!({ "path": label, "error": error.to_string() }))?;
                }
                // Most errors name the file already.
                let message = error.to_string();
                let prefix = if message.contains(&label) { String::new() } else { format!("{label}: ") };
                eprintln!("uflow: {prefix}{message}");
            }
        }
    }
    warn_of_depth(&depth, &read);
    if !context.json && inputs.len() > 1 {
        println!("{} images: {anomalous} anomalous, {failed} could not be read", inputs.len());
    }
    if failed == inputs.len() && failed > 1 {
        bail!("none of the {failed} images could be read");
    }
    let stop = failed > 0 || (args.fail_on_anomaly && anomalous > 0);
    Ok(if stop { CommandOutcome::Failed } else { CommandOutcome::Done })
}

/// Where the results of each input go, without their endings. Nothing that is looked at is overwritten.
fn bases(inputs: &[Input], out: &Path) -> Result<Vec<PathBuf>> {
    let bases: Vec<PathBuf> = inputs::output_names(inputs)?.iter().map(|name| out.join(name)).collect();
    let real = |path: &Path| path.canonicalize().ok();
    let read: HashMap<PathBuf, &Input> =
        inputs.iter().filter_map(|input| Some((real(input.path.as_deref()?)?, input))).collect();
    for base in &bases {
        for written in ["overlay.png", "mask.png"].map(|ending| with_ending(base, ending)) {
            if let Some(input) = real(&written).and_then(|path| read.get(&path).copied()) {
                let reason = format!("{} would be overwritten by a result; give another folder", input.label());
                return Err(Error::parameter("--out", reason));
            }
        }
    }
    Ok(bases)
}

/// A path with one more ending, whatever the bytes of its name.
fn with_ending(base: &Path, ending: &str) -> PathBuf {
    let mut path = base.as_os_str().to_owned();
    path.push(".");
    path.push(ending);
    path.into()
}

fn detect(
    detector: &mut Detector,
    input: &Input,
    read: &ReadOptions,
    options: &DecisionOptions,
) -> Result<(Image, Detection)> {
    let start = Instant::now();
    let image = input.read(read)?;
    let decode = start.elapsed().as_secs_f64() * 1e3;
    let mut detection = detector.detect(&image.frame(), options)?;
    detection.timings_ms.decode = decode;
    Ok((image, detection))
}

fn print(context: &Context, path: &str, detection: &Detection) -> Result<()> {
    if context.json {
        return context.print_json(&Line { path, detection });
    }
    let verdict = if detection.anomalous { "ANOMALOUS" } else { "good" };
    let found = match detection.regions.as_slice() {
        [] => String::new(),
        [first, rest @ ..] => {
            let [x, y, width, height] = first.bbox;
            let more = if rest.is_empty() { String::new() } else { format!(", {} more", rest.len()) };
            format!("  {width}×{height} at ({x}, {y}), {} px{more}", first.area)
        }
    };
    let p_value = p_value(detection.p_value, detection.p_extrapolated);
    println!("{path}: {verdict}  {p_value}score {:.2}{found}  {:.1} ms", detection.score, detection.timings_ms.total());
    Ok(())
}

/// The p-value for a line of results, if there is one.
pub(super) fn p_value(value: Option<f64>, extrapolated: bool) -> String {
    let how = if extrapolated { " (extrapolated)" } else { "" };
    value.map_or_else(String::new, |value| format!("p {}{how}  ", significant(value)))
}

/// Two digits that count.
fn significant(value: f64) -> String {
    if value < 1e-4 {
        return format!("{value:.1e}");
    }
    let digits = (1.0 - value.log10().floor()).max(0.0) as usize;
    format!("{value:.digits$}")
}

fn write(detector: &Detector, image: &Image, detection: &Detection, base: &Path, maps: bool) -> anyhow::Result<()> {
    if let Some(folder) = base.parent() {
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    }
    let with = |suffix: &str| with_ending(base, suffix);
    let all = detector.maps().context("no frame was looked at")?;
    let outlines: Vec<_> = detection.regions.iter().map(|region| region.outline.clone()).collect();
    let overlay = render::overlay(&render::rgb(&image.frame()), Some(all.score), &outlines);
    save(&overlay.into(), &with("overlay.png"))?;
    save(&render::mask(detector.mask()).into(), &with("mask.png"))?;
    if maps {
        for (map, suffix) in [(all.score, "score.npy"), (all.log10_nfa, "log10_nfa.npy")] {
            let path = with(suffix);
            let file = std::fs::File::create(&path).map_err(Error::io("create", &path))?;
            map.write_npy(std::io::BufWriter::new(file))?;
        }
    }
    Ok(())
}

fn save(picture: &image::DynamicImage, path: &Path) -> anyhow::Result<()> {
    picture.save(path).map_err(|error| anyhow::anyhow!("cannot write {}: {error}", path.display()))
}

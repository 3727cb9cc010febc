//! `uflow import`: converts a checkpoint that was trained elsewhere to a package.

use std::{
    ffi::OsString,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{
    CommandOutcome, Context, good,
    inputs::{self, images_below},
    options::{DecisionArgs, DeviceArgs, SampleArgs, warn_of_depth},
    progress::Progress,
};
use crate::{
    Error, Result,
    frame::{BitDepthCheck, Limits, ReadOptions},
    import::{
        Checkpoint, ClampSource, Examination, Examiner, Facts, ImportOptions, Imported, RecogniseOptions, import,
    },
    package,
    preprocess::Resize,
    train::fit::BackboneChoice,
};

const AFTER_HELP: &str = "\
Examples:
  uflow import model.ckpt --backbone resnet18.onnx --input-size 256 -o bracket.uflow
  uflow import model.ckpt --backbone resnet18.onnx -o bracket.uflow --good parts/good

CHECKPOINT is a checkpoint of anomalib's Uflow, or any torch.save file with a U-shaped flow of
FrEIA's AllInOneBlocks. Nothing in the file is executed.
Use the backbone that the flow was trained on. Only its shapes can be checked. To check more, give
good images with --good or --compare: with the right backbone the variance of the latents is near 1.";

/// Convert a checkpoint of anomalib or other PyTorch code to a package.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// The checkpoint: .ckpt, .pt or .pth.
    checkpoint: PathBuf,

    /// The backbone: a name (`uflow backbone list`) or an ONNX file with U-Flow's metadata.
    #[arg(long, value_name = "NAME|FILE")]
    backbone: OsString,

    /// The package to write: a folder, or one file if it ends in .uflow. An existing package is replaced.
    #[arg(short, long, value_name = "PKG")]
    out: PathBuf,

    /// Name of the product [default: the package's file name].
    #[arg(long)]
    name: Option<String>,

    /// Width and height of the network's input, as in training [default: the backbone's].
    #[arg(long, value_name = "N")]
    input_size: Option<u32>,

    /// Filter that resized the images in training: bilinear or bicubic [default: bilinear, as anomalib and the published code].
    #[arg(long, value_name = "FILTER")]
    resize: Option<Resize>,

    /// Clamp of the couplings (FrEIA's affine_clamping) [default: the checkpoint's hyper-parameter, or 2].
    #[arg(long, value_name = "C")]
    clamp: Option<f64>,

    /// Prefix of the flow's tensor names, if the checkpoint has several flows.
    #[arg(long, value_name = "NAMES")]
    prefix: Option<String>,

    /// Folder of good images; their scores and the fair threshold are stored in the package. At most 1 in 100 files may be
    /// unreadable; repeated and uniform images are left out and named.
    #[arg(long, value_name = "DIR")]
    good: Option<PathBuf>,

    /// Run the model on these images (files, folders, patterns) and print statistics of the latents.
    #[arg(long, value_name = "IMAGE", num_args = 1..)]
    compare: Vec<String>,

    #[command(flatten)]
    decision: DecisionArgs,

    #[command(flatten)]
    samples: SampleArgs,

    #[command(flatten)]
    device: DeviceArgs,
}

impl Args {
    fn options(&self) -> Result<ImportOptions> {
        let stem = self.out.file_stem().and_then(|stem| stem.to_str()).unwrap_or("model");
        let detection = self.decision.options()?;
        if let Some(clamp) = self.clamp.filter(|clamp| !(clamp.is_finite() && *clamp > 0.0)) {
            return Err(Error::parameter("--clamp", format!("must be a number above zero, not {clamp}")));
        }
        Ok(ImportOptions {
            name: self.name.clone().unwrap_or_else(|| stem.to_owned()),
            backbone: BackboneChoice::from_text(&self.backbone),
            input_size: self.input_size.map(|size| (size, size)),
            resize: self.resize,
            recognise: RecogniseOptions { clamp: self.clamp, prefix: self.prefix.clone() },
            detection,
            significant_bits: self.samples.bits,
            float_range: self.samples.range,
            session: self.device.session(),
        })
    }
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<CommandOutcome> {
    let options = args.options()?;
    let good = match &args.good {
        None => Vec::new(),
        Some(folder) if !folder.is_dir() => {
            let reason = "is not a folder; --good takes a folder of good images".to_owned();
            return Err(Error::data(folder.clone(), reason).into());
        }
        Some(folder) => images_below(folder, context)?,
    };
    let compare = inputs::expand(&args.compare, context)?;
    package::check_writable(&args.out)?;
    let mut checkpoint = Checkpoint::open(&args.checkpoint)?;
    let mut model = import(context.runtime()?, &mut checkpoint, options)?;
    let mut examiner = match good.is_empty() && compare.is_empty() {
        true => None,
        false => Some(Examiner::new(context.runtime()?, &model)?),
    };
    let read = model.manifest.input.read_options(Limits::default(), None);
    let good = if good.is_empty() { good } else { good::usable(&good, 1, &read, context)? };
    let mut warnings = model.facts.warnings.clone();
    let mut compared = Vec::new();
    if let Some(examiner) = &mut examiner {
        for input in &compare {
            let found = examiner.examine(&input.read(&read)?.frame())?;
            compared.push((input.label(), found));
        }
        measure(examiner, &good, &read, context)?;
        if !good.is_empty() {
            warnings.extend(not_white(&examiner.latent_variance()));
        }
    }
    let variance = examiner.as_ref().filter(|_| !good.is_empty()).map(Examiner::latent_variance);
    if let Some(examiner) = examiner.filter(|_| !good.is_empty()) {
        model.set_scores(examiner.scores()?);
    }
    model.write(&args.out)?;
    report(args, &model, &Report { warnings, compared, variance }, context)?;
    Ok(CommandOutcome::Done)
}

/// The results besides the model.
struct Report {
    warnings: Vec<String>,
    compared: Vec<(String, Examination)>,
    variance: Option<Vec<f64>>,
}

fn measure(examiner: &mut Examiner, good: &[PathBuf], read: &ReadOptions, context: &Context) -> Result<()> {
    let progress = Progress::new(context.json);
    let mut depth = BitDepthCheck::default();
    for (index, path) in good.iter().enumerate() {
        let image = crate::frame::Image::open_with(path, read)?;
        depth.push(image.peak());
        examiner.add_good(&image.frame())?;
        progress.at("good images", index + 1, good.len());
    }
    progress.finish();
    warn_of_depth(&depth, read);
    Ok(())
}

/// Warnings about good images whose latents are not white noise.
fn not_white(variances: &[f64]) -> Vec<String> {
    let scales = variances.iter().enumerate().filter(|(_, variance)| !(0.8..=1.25).contains(*variance));
    let warning = |(scale, variance): (usize, &f64)| {
        format!(
            "the latents of scale {scale} have variance {variance:.3} on these good images, not 0.8 to 1.25: do not trust this model's \
             numbers of false alarms; check that backbone and input size are those of the training, and that the training was finished"
        )
    };
    scales.map(warning).collect()
}

fn report(args: &Args, model: &Imported, report: &Report, context: &Context) -> Result<()> {
    let Report { warnings, compared, variance } = report;
    if context.json {
        let compared = compared
            .iter()
            .map(|(path, found)| json!({ "path": path, "score_max": found.score_max, "scales": found.scales }));
        return context.print_json(&json!({
            "event": "imported", "checkpoint": args.checkpoint, "package": args.out, "name": model.manifest.name,
            "backbone": model.manifest.backbone.name, "input": model.manifest.input, "scales": model.manifest.scales,
            "flow": model.facts, "scores": model.manifest.scores, "latent_variance": variance, "warnings": warnings,
            "compare": compared.collect::<Vec<_>>(),
        }));
    }
    for warning in warnings {
        eprintln!("uflow: warning: {warning}");
    }
    let mut text = summary(&args.out, model);
    if let (Some(scores), Some(variance)) = (&model.manifest.scores, variance) {
        let variances: Vec<_> = variance.iter().map(|v| format!("{v:.3}")).collect();
        let _ = writeln!(
            text,
            "  latent variance on {} good images, finest scale first: {}",
            scores.images,
            variances.join(", ")
        );
        let _ = writeln!(
            text,
            "  image scores: mean {:.4}, largest {:.4}; fair threshold {:.4}",
            scores.mean, scores.max, scores.fair_threshold
        );
    }
    for (path, found) in compared {
        let _ = writeln!(text, "{path}: highest score {:.4}", found.score_max);
        for (scale, latents) in found.scales.iter().enumerate() {
            let _ = writeln!(
                text,
                "  latents {scale}  mean {:+.4}  variance {:.4}  min {:.3}  max {:.3}",
                latents.mean, latents.variance, latents.min, latents.max
            );
        }
    }
    context.print(&text)
}

/// A summary in words.
fn summary(out: &Path, model: &Imported) -> String {
    let Facts { scales, steps, clamp, kernels, .. } = &model.facts;
    let facts = &model.facts;
    let mixing = match (facts.permutations, facts.rotations) {
        (_, 0) => "hard permutations".to_owned(),
        (0, _) => "soft permutations".to_owned(),
        (hard, soft) => format!("{hard} hard and {soft} soft permutations"),
    };
    let clamp_from = match facts.clamp_from {
        ClampSource::Given => "from --clamp",
        ClampSource::HyperParameters => "from the checkpoint's hyper-parameters",
        ClampSource::Published => "the published default; not stored in the checkpoint",
    };
    let norms = match facts.layer_norms.iter().flatten().next() {
        Some(name) => format!("the checkpoint's LayerNorms ({name}, …)"),
        None => "no LayerNorms in the checkpoint; the backbone's features are used unchanged".to_owned(),
    };
    let unused: Vec<_> = facts.unused.iter().map(|(name, count)| format!("{name} ({count})")).collect();
    let mut text = format!(
        "{}: {scales} scales of {steps} steps from `{}`, kernels {kernels:?}, {mixing}\n  clamp {clamp} ({clamp_from}); {norms}\n  \
         backbone {} at {}×{}; only its shapes were checked against the flow\n",
        out.display(),
        facts.prefix,
        model.manifest.backbone.name,
        model.manifest.input.width,
        model.manifest.input.height,
    );
    if !unused.is_empty() {
        let _ = writeln!(text, "  unused tensors: {}", unused.join(", "));
    }
    text
}

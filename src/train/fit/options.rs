//! What a fit is asked for, and what it tells.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use prost::bytes::Bytes;
use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray, VariantNames};

use super::{
    Fitted, Learned,
    augment::{Version, versions},
    cross,
};
use crate::{
    Error,
    backbone::{self, BackboneFile, NetworkSource},
    choice::choice,
    frame::{FloatRange, check_significant_bits},
    package::{self, FileSource, SearchRecord},
    runtime::{Backbone, Runtime, SessionOptions},
    segment::DecisionOptions,
    tiles::{self, Tiles},
    train::{Progress, TrainOptions, check_time_budget},
};

/// Which backbone a model is fitted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackboneChoice {
    /// The one of this name, as [`find`](backbone::find) finds it.
    Named {
        /// Its name.
        name: String,
        /// The shared library that this code is part of, if it is not a program.
        beside: Option<PathBuf>,
    },
    /// An ONNX file with U-Flow's metadata.
    File(PathBuf),
    /// Such a file in memory.
    Model(Bytes),
}

impl Default for BackboneChoice {
    fn default() -> Self {
        Self::named(backbone::DEFAULT)
    }
}

impl BackboneChoice {
    /// The backbone of this name.
    pub fn named(name: impl Into<String>) -> Self {
        Self::Named { name: name.into(), beside: None }
    }

    /// A name or a path, as users write it. A known name is never a path; `./NAME` is.
    pub fn from_text(text: impl AsRef<OsStr>) -> Self {
        match text.as_ref().to_str().filter(|text| backbone::is_name(text)) {
            Some(name) => Self::named(name),
            None => Self::File(PathBuf::from(text.as_ref())),
        }
    }

    /// The same, looked for beside a shared library that this code is part of.
    #[must_use]
    pub fn beside(self, library: Option<PathBuf>) -> Self {
        match self {
            Self::Named { name, .. } => Self::Named { name, beside: library },
            other => other,
        }
    }

    /// The file that it stands for.
    ///
    /// # Errors
    /// As [`find`](backbone::find).
    pub fn find(&self) -> Result<BackboneFile, Error> {
        match self {
            Self::Named { name, beside } => backbone::find(name, beside.as_deref()),
            Self::File(path) => Ok(BackboneFile::File(path.clone())),
            Self::Model(bytes) => Ok(BackboneFile::Part(bytes.clone())),
        }
    }

    /// Loads the backbone, all of it.
    ///
    /// # Errors
    /// As [`find`](Self::find) and [`Backbone::load`]; also a backbone that keeps weights in another file, which no package can hold.
    pub fn load(&self, runtime: &Runtime, session: &SessionOptions) -> Result<Backbone, Error> {
        load_file(&self.find()?, runtime, session)
    }
}

/// Loads a backbone for a package.
///
/// # Errors
/// As [`Backbone::load`]; also a backbone that keeps weights in another file, which no package can hold.
pub(crate) fn load_file(file: &BackboneFile, runtime: &Runtime, session: &SessionOptions) -> Result<Backbone, Error> {
    let source = file.source();
    if let Some(location) = source.check("backbone")?.external.first() {
        let reason = format!(
            "it keeps weights in another file, `{location}`; a package holds its backbone as one file: save it without \
             external data"
        );
        return Err(Error::network(source.name("backbone"), reason));
    }
    Backbone::load(runtime, source, session)
}

/// What a package that holds the backbone is given.
pub(crate) fn file_source(file: &BackboneFile) -> FileSource<'_> {
    match file.source() {
        NetworkSource::Bytes(bytes) => FileSource::Bytes(bytes),
        NetworkSource::Path(path) => FileSource::Path(path),
    }
}

/// How each good image is multiplied.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    Display,
    IntoStaticStr,
    VariantArray,
    VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Augmentation {
    /// Each image once.
    #[default]
    None,
    /// Each image and its mirror image (left to right).
    Flip,
    /// Each image turned by 0, 90, 180 and 270 degrees.
    Rotate,
    /// All eight combinations of turns and mirror images.
    All,
    /// Each image, a brighter one (samples times 1.05, plus 2% of white) and a darker one (times 0.95, less 2%).
    Exposure,
    /// Each image, and it shifted by 4 pixels of the network's input up, down, left and right, with its edge repeated.
    Shift,
}

impl Augmentation {
    /// The versions of an image, the image itself first.
    pub(super) fn versions(self) -> &'static [Version] {
        match self {
            Self::None => &versions::TURNED[..1],
            Self::Flip => &versions::MIRRORED,
            Self::Rotate => &versions::TURNED,
            Self::All => &versions::ALL,
            Self::Exposure => &versions::EXPOSED,
            Self::Shift => &versions::SHIFTED,
        }
    }

    /// How many versions of an image there are.
    pub fn count(self) -> usize {
        self.versions().len()
    }

    pub(super) fn name(self) -> &'static str {
        self.into()
    }
}

impl FromStr for Augmentation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        choice("augment", text)
    }
}

/// How frames are cut into [tiles].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileOptions {
    /// Width and height that frames are brought to before they are cut; those of the good images if `None`, to the nearest whole cells of the
    /// backbone's coarsest scale.
    pub frame: Option<(u32, u32)>,
    /// Least pixels that neighbouring tiles share.
    pub overlap: u32,
}

impl TileOptions {
    /// Those of a package.
    pub fn of(tiles: Tiles) -> Self {
        Self { frame: Some((tiles.width, tiles.height)), overlap: tiles.overlap }
    }
}

impl Default for TileOptions {
    fn default() -> Self {
        Self { frame: None, overlap: tiles::DEFAULT_OVERLAP }
    }
}

/// Settings of a fit.
#[derive(Clone, Debug)]
pub struct FitOptions {
    /// Name of the product.
    pub name: String,
    /// The backbone.
    pub backbone: BackboneChoice,
    /// Strides of its feature maps to use, finest first; all if empty. The package holds the backbone without what only the others need.
    pub strides: Vec<usize>,
    /// Width and height of the network's input. If `None`, it has as many pixels as the backbone recommends, in the shape of the images: by
    /// their median ratio of width to height in [`fit_files`](super::fit_files), by the first frame that is added in [`Fitter::push`](super::Fitter::push).
    /// A backbone that recommends a rectangle, or takes one size only, gets that.
    pub input_size: Option<(u32, u32)>,
    /// How frames that are larger than the network's input are cut into tiles; `None` resizes whole frames to it.
    pub tiles: Option<TileOptions>,
    /// A model that training goes on from, with its old good images and new ones; a new model if `None`. The steps and the connection of the
    /// flow's stages and its normalisation are then the model's. The backbone and the size of the input must be the model's, too.
    pub learned: Option<Learned>,
    /// Augmentation of the good images.
    pub augmentation: Augmentation,
    /// The flow and its training.
    pub training: TrainOptions,
    /// What the package decides by. Its region of interest is kept in the package, and what lies outside does not count for
    /// the statistics of scores.
    pub detection: DecisionOptions,
    /// Calibrate the null hypothesis on all good images: a quarter of them is held out, and three more flows are fitted, each with
    /// another quarter held out. Without this option as many flows are fitted as hold out together the images that the rejection
    /// rate needs, 100 at least and four flows at most, where tests are counted by size; else the model's own.
    pub cross_fit: bool,
    /// Most flows that are fitted in all where [`cross_fit`](Self::cross_fit) is not set; at least 1. With 1 the null and the threshold
    /// stand on the images that the model's own training holds out, and are ready in a quarter of the time.
    pub most_flows: usize,
    /// Most time that training takes, all flows of the fit together; no limit if `None`. Features and statistics do not count. A fit
    /// that the time ends is not repeatable to the bit: how far it came depends on the machine's speed.
    pub time_budget: Option<Duration>,
    /// Significant bits of 16-bit samples, kept in the package. Without them all 16 count, and images that plainly have fewer are
    /// refused.
    pub significant_bits: Option<u8>,
    /// Values of floating-point samples that are black and white, kept in the package.
    pub float_range: Option<FloatRange>,
    /// Bytes of features that are kept in memory; the rest goes to a temporary file.
    pub memory: u64,
    /// Folder in which the images' features are kept for the next fit on the same images; none are kept if `None`. [`fit_files`](super::fit_files)
    /// alone uses it.
    pub features: Option<PathBuf>,
    /// File that the features of all images are kept in, with the images' names, so that a later training on needs no old images. [`fit_files`](super::fit_files)
    /// alone uses it.
    pub keep_features: Option<PathBuf>,
    /// Most good images that the package keeps as golden frames, with what it finds in them, to verify other machines with; at most
    /// [`MOST_GOLDEN`](crate::package::MOST_GOLDEN). Each is at most as large as the network's input.
    pub golden: usize,
    /// Most images that are left out before training because they look defective or of another product ([`Fitter::drop_doubtful`](super::Fitter::drop_doubtful));
    /// [`fit_files`](super::fit_files) alone does so by itself.
    pub drop_doubtful: usize,
    /// The search that found these settings, for the package's training record.
    pub search: Option<SearchRecord>,
    /// Where the backbone runs.
    pub session: SessionOptions,
}

/// Time for training by default: enough for 300 images on two cores.
const TIME_BUDGET: Duration = Duration::from_secs(120);
/// Most pixels of a network's input.
const MOST_PIXELS: u64 = 4096 * 4096;

impl FitOptions {
    /// Refuses what no backbone could make good.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a name, an input size or a setting of the training outside its range.
    pub fn check(&self) -> Result<(), Error> {
        self.training.validate()?;
        check_time_budget(self.time_budget)?;
        self.detection.check()?;
        self.session.check()?;
        self.check_input_size()?;
        self.check_tiles()?;
        if self.learned.is_some() && self.features.is_some() {
            let reason =
                "a folder of features is for fits from the start; a model that learns on has its features in a file";
            return Err(Error::parameter("features", reason));
        }
        self.check_golden()?;
        self.significant_bits.map_or(Ok(0), check_significant_bits)?;
        package::check_model_name(&self.name)
    }

    /// Refuses an input size that no machine could train at, or none at all.
    ///
    /// # Errors
    /// [`Error::Parameter`].
    pub fn check_input_size(&self) -> Result<(), Error> {
        let Some((width, height)) = self.input_size else { return Ok(()) };
        if (1..=MOST_PIXELS).contains(&(u64::from(width) * u64::from(height))) {
            return Ok(());
        }
        let reason = format!("{width}×{height} is not 1 to {MOST_PIXELS} pixels, as a network's input is");
        Err(Error::parameter("input_size", reason))
    }

    /// Refuses frames that cannot be cut at any size of the input.
    ///
    /// # Errors
    /// [`Error::Parameter`].
    pub fn check_tiles(&self) -> Result<(), Error> {
        let Some(TileOptions { frame: Some((width, height)), overlap }) = self.tiles else { return Ok(()) };
        let tiles = Tiles { width, height, overlap };
        // Tiles as large as the frame: what is left is wrong at every size.
        match tiles.problem(self.input_size.unwrap_or((width.max(1), height.max(1)))) {
            Some(reason) => Err(Error::parameter("tiles", reason)),
            None => Ok(()),
        }
    }

    /// Refuses more golden frames than a package holds.
    ///
    /// # Errors
    /// [`Error::Parameter`].
    pub fn check_golden(&self) -> Result<(), Error> {
        if self.golden <= package::MOST_GOLDEN {
            return Ok(());
        }
        let reason = format!("{} golden frames; a package holds at most {}", self.golden, package::MOST_GOLDEN);
        Err(Error::parameter("golden", reason))
    }

    /// The backbone that the package will hold.
    ///
    /// # Errors
    /// As [`BackboneChoice::find`] and [`BackboneFile::with_strides`].
    pub fn find_backbone(&self) -> Result<BackboneFile, Error> {
        let file = self.backbone.find()?;
        if self.strides.is_empty() { Ok(file) } else { file.with_strides(&self.strides) }
    }

    /// Loads that backbone.
    ///
    /// # Errors
    /// As [`find_backbone`](Self::find_backbone) and [`BackboneChoice::load`].
    pub fn load_backbone(&self, runtime: &Runtime) -> Result<Backbone, Error> {
        load_file(&self.find_backbone()?, runtime, &self.session)
    }

    /// What the package decides by: what was asked for, over what [new packages](DecisionOptions::of_new_package) have.
    pub fn decision(&self) -> DecisionOptions {
        self.detection.clone().of_new_package()
    }

    /// The defaults, for a product of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            backbone: BackboneChoice::default(),
            strides: Vec::new(),
            input_size: None,
            tiles: None,
            learned: None,
            augmentation: Augmentation::None,
            training: TrainOptions::default(),
            detection: DecisionOptions::default(),
            cross_fit: false,
            most_flows: cross::FOLDS,
            time_budget: Some(TIME_BUDGET),
            significant_bits: None,
            float_range: None,
            memory: 2 << 30,
            features: None,
            keep_features: None,
            golden: 3,
            drop_doubtful: 0,
            search: None,
            session: SessionOptions::default(),
        }
    }
}

/// What a fit tells while it runs.
#[derive(Debug)]
pub enum Event<'a> {
    /// So many of so many files were read and decoded, to see whether they can be used.
    Checked {
        /// Files looked at.
        done: usize,
        /// Files in all.
        total: usize,
    },
    /// Something about the images that the user should know, e.g. which were left out.
    Warning(&'a str),
    /// Features of so many of so many images are there.
    Features {
        /// Images done, skipped ones too.
        done: usize,
        /// Images in all.
        total: usize,
    },
    /// An image was skipped.
    Skipped {
        /// Which.
        path: &'a Path,
        /// Why.
        error: &'a Error,
    },
    /// Training goes on.
    Training(&'a Progress),
    /// The model is complete and may be written. Cross-fitting, where it is asked for, follows.
    Trained(&'a Fitted),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_augmentation_has_the_image_first_and_each_version_once() {
        let counts = <Augmentation as VariantArray>::VARIANTS.iter().map(|augmentation| {
            let versions = augmentation.versions();
            assert_eq!(versions[0], Version::PLAIN, "{augmentation}");
            for (index, version) in versions.iter().enumerate() {
                assert!(!versions[..index].contains(version), "{augmentation}: {version:?} twice");
            }
            augmentation.count()
        });
        assert_eq!(counts.collect::<Vec<_>>(), [1, 2, 4, 8, 3, 5]);
    }
}

//! Test sets on disk: which images, of which kind, with which ground truth.
//!
//! The layouts that are read, `DIR` being one category:
//!
//! ```text
//! MVTec AD, and LOCO                              good and bad
//! DIR/train/good/*.png                            DIR/good/*.png
//! DIR/test/good/*.png                             DIR/bad/*.png  or  DIR/bad/<kind>/*.png
//! DIR/test/<kind>/NAME.png                        DIR/masks/NAME.png  (optional; with kinds, masks/<kind>/NAME.png)
//! DIR/ground_truth/<kind>/NAME_mask.png
//! LOCO: ground_truth/<kind>/NAME/*.png            BTAD
//!                                                 DIR/train/ok, DIR/test/ok, DIR/test/ko
//! MVTec AD 2 (the public part)                    DIR/ground_truth/ko/NAME.png
//! DIR/train/good
//! DIR/test_public/good                            VisA, its `1cls` split
//! DIR/test_public/bad                             DIR/Data/Images/{Normal,Anomaly}, DIR/Data/Masks/Anomaly
//! DIR/test_public/ground_truth/bad/NAME_mask.png  DIR/../split_csv/1cls.csv
//! ```
//!
//! LGG-MRI and ShanghaiTech Campus, the paper's data sets from outside industry, have modules of their own ([`super::lgg`],
//! [`super::shanghaitech`]) with their conventions.
//!
//! A mask is `NAME_mask.<ext>`, `NAME.<ext>`, or a folder `NAME` of masks that are laid over each other. Either every defective
//! image has one or the set has none at all (no `ground_truth`, no `masks` folder): metrics over pixels are then left out. A pixel
//! is part of a defect where a colour channel is at least 128 of 255 ([`MaskOptions`] changes that; in VisA every value but 0 counts).

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    lgg,
    mask::{Mask, MaskOptions},
    shanghaitech, visa,
};
use crate::{Error, Reason, Result};

/// Suffixes of the image files that are looked for, in lower case.
pub const IMAGE_SUFFIXES: [&str; 14] =
    ["png", "jpg", "jpeg", "jpe", "bmp", "tif", "tiff", "webp", "gif", "pgm", "ppm", "pbm", "pnm", "pam"];

/// Name of the kind of the images without a defect.
pub const GOOD: &str = "good";

/// How many names a message lists before it says how many more there are.
const NAMED: usize = 8;

/// How a test set is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// MVTec AD, and LOCO: `train/good`, `test/<kind>`, `ground_truth/<kind>`.
    Mvtec,
    /// MVTec AD 2: `train/good`, `test_public/good`, `test_public/bad`, `test_public/ground_truth/bad`.
    MvtecAd2,
    /// BTAD: `train/ok`, `test/ok`, `test/ko`, `ground_truth/ko`.
    Btad,
    /// VisA: `Data/Images`, `Data/Masks`, and the split in `../split_csv/1cls.csv`.
    Visa,
    /// LGG-MRI as published: a folder of slices and masks for each patient.
    LggMri,
    /// ShanghaiTech Campus: `training/frames`, `testing/frames`, `testing/test_pixel_mask`.
    #[serde(rename = "shanghaitech")]
    ShanghaiTech,
    /// `good`, `bad` and perhaps `masks`.
    GoodBad,
}

/// One image of a test set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The image.
    pub path: PathBuf,
    /// Its kind: [`GOOD`], or the folder's name.
    pub kind: String,
    /// Its ground truth: masks that are laid over each other, mostly one; none for good images, and for all images of a set
    /// without masks.
    pub masks: Vec<Mask>,
}

impl Sample {
    /// Whether the image shows a defect.
    pub fn defective(&self) -> bool {
        self.kind != GOOD
    }

    fn new(path: PathBuf, kind: &str) -> Self {
        Self { path, kind: kind.to_owned(), masks: Vec::new() }
    }
}

/// A test set.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Its folder.
    pub root: PathBuf,
    /// Its layout.
    pub layout: Layout,
    /// Good images to learn from; empty where the layout has none.
    pub train: Vec<PathBuf>,
    /// Images to test on: good ones first, then by kind and name.
    pub test: Vec<Sample>,
    /// Whether the defective images have masks.
    pub masks: bool,
    /// How the masks are read; as the layout has them, unless changed.
    pub mask_options: MaskOptions,
    /// Visible files beside the images that are not looked at, as their names do not end like images'.
    pub skipped: Vec<PathBuf>,
}

impl Dataset {
    /// Reads the folders under `root`. Without a `layout` it is the one whose folders are there.
    ///
    /// Fails where the layout cannot be told, a folder is empty, no image is good or none is defective, or some masks are
    /// missing while others are there (naming them).
    pub fn open(root: &Path, layout: Option<Layout>) -> Result<Self> {
        if !root.is_dir() {
            return Err(data(root, "is not a folder"));
        }
        let layout = layout.map_or_else(|| detect(root), Ok)?;
        let set = |train: Vec<PathBuf>, test: Vec<Sample>, masks| Self {
            root: root.to_owned(),
            layout,
            skipped: skipped(train.iter().chain(test.iter().map(|sample| &sample.path))),
            train,
            test,
            masks,
            // VisA's masks hold the numbers of the kinds of defects.
            mask_options: MaskOptions { threshold: (layout == Layout::Visa).then_some(1), ..MaskOptions::default() },
        };
        let own = match layout {
            Layout::Visa => Some(visa::read(root)?),
            Layout::LggMri => Some(lgg::read(root)?),
            Layout::ShanghaiTech => Some(shanghaitech::read(root)?),
            _ => None,
        };
        if let Some((train, test)) = own {
            return Ok(set(train, test, true));
        }
        let folders = Folders::of(root, layout);
        let train = folders.train.as_deref().filter(|folder| folder.is_dir());
        let train = train.map(images).transpose()?.unwrap_or_default();
        let mut test: Vec<Sample> = images(&folders.good)?.into_iter().map(|path| Sample::new(path, GOOD)).collect();
        let defective = test.len();
        for (kind, folder) in kinds(&folders, layout)? {
            test.extend(images(&folder)?.into_iter().map(|path| Sample::new(path, &kind)));
        }
        let masks = folders.masks.is_dir();
        if masks {
            pair(&mut test[defective..], &folders.masks, layout)?;
        }
        Ok(set(train, test, masks))
    }
}

/// Where a layout has what.
struct Folders {
    train: Option<PathBuf>,
    good: PathBuf,
    /// Folders of defective images.
    bad: PathBuf,
    /// The only kind of defect, where the layout does not tell them apart.
    only: Option<&'static str>,
    /// Folders of masks, one a kind.
    masks: PathBuf,
}

impl Folders {
    fn of(root: &Path, layout: Layout) -> Self {
        let (train, good, bad, masks) = match layout {
            Layout::GoodBad | Layout::Visa | Layout::LggMri | Layout::ShanghaiTech => (None, "good", "bad", "masks"),
            Layout::Mvtec => (Some("train/good"), "test/good", "test", "ground_truth"),
            Layout::MvtecAd2 => (Some("train/good"), "test_public/good", "test_public", "test_public/ground_truth"),
            Layout::Btad => (Some("train/ok"), "test/ok", "test", "ground_truth"),
        };
        let only = match layout {
            Layout::MvtecAd2 => Some("bad"),
            Layout::Btad => Some("ko"),
            _ => None,
        };
        let train = train.map(|folder| root.join(folder));
        Self { train, good: root.join(good), bad: root.join(bad), only, masks: root.join(masks) }
    }
}

/// Tells the layout from the folders that are there.
pub(super) fn detect(root: &Path) -> Result<Layout> {
    let has = |name: &str| root.join(name).is_dir();
    let found: Vec<(Layout, &str)> = [
        (has("Data/Images"), Layout::Visa, "visa"),
        (lgg::is(root), Layout::LggMri, "lgg-mri"),
        (has("testing/frames"), Layout::ShanghaiTech, "shanghaitech"),
        (has("test_public"), Layout::MvtecAd2, "mvtec-ad2"),
        (has("test/ok") && has("test/ko"), Layout::Btad, "btad"),
        (has("test") && !(has("test/ok") && has("test/ko")), Layout::Mvtec, "mvtec"),
        (has("good") && has("bad"), Layout::GoodBad, "good-bad"),
    ]
    .into_iter()
    .filter_map(|(is, layout, name)| is.then_some((layout, name)))
    .collect();
    match found[..] {
        [(layout, _)] => Ok(layout),
        [] => Err(data(
            root,
            "is not a test set: it has neither `test/good` and `test/<kind>` (MVTec's layout) nor `good` and `bad`, and is no \
             category of MVTec AD 2, BTAD or VisA, LGG-MRI or ShanghaiTech either",
        )),
        _ => {
            let names: Vec<_> = found.iter().map(|(_, name)| *name).collect();
            Err(data(
                root,
                format!("could be laid out in several ways: say which with --layout {}", names.join(" or ")),
            ))
        }
    }
}

/// The kinds of defects and their folders, by name.
fn kinds(folders: &Folders, layout: Layout) -> Result<Vec<(String, PathBuf)>> {
    let bad = &folders.bad;
    if let Some(only) = folders.only {
        return Ok(vec![(only.to_owned(), bad.join(only))]);
    }
    let mut kinds: Vec<(String, PathBuf)> = entries(bad)?
        .into_iter()
        .filter(|path| path.is_dir())
        .filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path)))
        .filter(|(name, _)| !(name.starts_with('.') || layout == Layout::Mvtec && name == GOOD))
        .collect();
    kinds.sort();
    let loose = layout == Layout::GoodBad && entries(bad)?.iter().any(|path| is_image(path));
    match (loose, kinds.is_empty()) {
        (true, true) => Ok(vec![("bad".to_owned(), bad.clone())]),
        (true, false) => Err(data(bad, "has both images and folders of images: give each kind of defect a folder")),
        (false, true) => Err(data(bad, "has no defective images")),
        (false, false) => match kinds.iter().find(|(name, _)| name == GOOD) {
            Some((_, path)) => Err(data(path, "is a folder of good images among the defective ones")),
            None => Ok(kinds),
        },
    }
}

/// Gives every defective image its mask.
fn pair(samples: &mut [Sample], root: &Path, layout: Layout) -> Result<()> {
    let mut folders: HashMap<PathBuf, HashMap<String, PathBuf>> = HashMap::new();
    let mut missing = Vec::new();
    for sample in samples {
        let flat = layout == Layout::GoodBad && sample.kind == "bad" && !root.join("bad").is_dir();
        let folder = if flat { root.to_owned() } else { root.join(&sample.kind) };
        if !folders.contains_key(&folder) {
            folders.insert(folder.clone(), by_stem(&folder)?);
        }
        let name = stem(&sample.path);
        let found =
            folders.get(&folder).and_then(|masks| masks.get(&format!("{name}_mask")).or_else(|| masks.get(name)));
        match found {
            Some(mask) if mask.is_dir() => sample.masks = images(mask)?.into_iter().map(Mask::from).collect(),
            Some(mask) => sample.masks = vec![mask.clone().into()],
            None => missing.push(format!(
                "{} for {}",
                folder.join(format!("{name}_mask.png")).display(),
                sample.path.display()
            )),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let more = missing.len().saturating_sub(NAMED);
    let tail = if more > 0 { format!("; and {more} more") } else { String::new() };
    missing.truncate(NAMED);
    let advice = "add them, or take the folder away to evaluate without metrics over pixels";
    Err(data(root, format!("masks are missing: {}{tail} ({advice})", missing.join("; "))))
}

fn by_stem(folder: &Path) -> Result<HashMap<String, PathBuf>> {
    if !folder.is_dir() {
        return Ok(HashMap::new());
    }
    let masks = entries(folder)?.into_iter().filter(|path| is_image(path) || path.is_dir());
    Ok(masks.map(|path| (stem(&path).to_owned(), path)).collect())
}

fn stem(path: &Path) -> &str {
    path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
}

/// The image files of a folder by name. A folder without images is an error.
pub fn images(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Err(data(folder, "this folder is missing"));
    }
    let mut files: Vec<PathBuf> = entries(folder)?.into_iter().filter(|path| is_image(path)).collect();
    if files.is_empty() {
        return Err(data(folder, format!("has no images (looked for .{})", IMAGE_SUFFIXES.join(", ."))));
    }
    files.sort();
    // Links beside a file name it a second time.
    let mut seen = HashSet::new();
    files.retain(|path| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())));
    Ok(files)
}

/// Visible files beside these images that are not images by their names.
fn skipped<'a>(images: impl Iterator<Item = &'a PathBuf>) -> Vec<PathBuf> {
    let folders: BTreeSet<&Path> = images.filter_map(|path| path.parent()).collect();
    let files = folders.into_iter().flat_map(|folder| entries(folder).unwrap_or_default());
    let visible = |path: &PathBuf| !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let mut skipped: Vec<PathBuf> = files.filter(|path| visible(path) && path.is_file() && !is_image(path)).collect();
    skipped.sort();
    skipped
}

/// Whether the path is a visible file with an image's suffix.
fn is_image(path: &Path) -> bool {
    let suffix = path.extension().and_then(|suffix| suffix.to_str()).map(str::to_ascii_lowercase);
    let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    suffix.is_some_and(|suffix| IMAGE_SUFFIXES.contains(&suffix.as_str())) && !hidden && path.is_file()
}

pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(Error::io("read", folder))
}

pub(super) fn data(path: &Path, reason: impl Into<Reason>) -> Error {
    Error::data(path, reason)
}

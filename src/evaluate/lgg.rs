//! LGG-MRI (Buda et al., 2019; TCGA): slices of brain scans of 110 patients, with masks of the tumours.
//!
//! ```text
//! kaggle_3m/TCGA_CS_4941_19960909/TCGA_CS_4941_19960909_1.tif
//! kaggle_3m/TCGA_CS_4941_19960909/TCGA_CS_4941_19960909_1_mask.tif
//! ```
//!
//! A slice is good where its mask marks nothing. The paper does not say how it divides them; here it is by patients, so that no slice of a
//! test patient was learned from: in the order of their folders' names every fifth patient is tested on with all slices, the good slices
//! of the others are learned from, and their slices with a tumour are left out.

use std::path::{Path, PathBuf};

use super::{
    GOOD, Sample,
    dataset::{data, entries, images},
};
use crate::{Error, Result};

/// Every which patient is tested on.
const TESTED: usize = 5;
/// Beginning of a patient's folder's name.
const PATIENT: &str = "TCGA_";
/// End of a mask's name.
const MASK: &str = "_mask";

/// Whether a folder has patients' folders in it.
pub(super) fn is(root: &Path) -> bool {
    patients(root).is_ok_and(|patients| !patients.is_empty())
}

fn patients(root: &Path) -> Result<Vec<PathBuf>> {
    let patient = |path: &PathBuf| {
        path.is_dir() && path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PATIENT))
    };
    let mut patients: Vec<PathBuf> = entries(root)?.into_iter().filter(patient).collect();
    patients.sort();
    Ok(patients)
}

/// Images to learn from, and samples to test on: good ones first, then those with a tumour.
pub(super) fn read(root: &Path) -> Result<(Vec<PathBuf>, Vec<Sample>)> {
    let (mut train, mut good, mut bad) = (Vec::new(), Vec::new(), Vec::new());
    for (number, folder) in patients(root)?.into_iter().enumerate() {
        let tested = number % TESTED == TESTED - 1;
        for path in images(&folder)? {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if stem.ends_with(MASK) {
                continue;
            }
            let mask = path.with_file_name(format!("{stem}{MASK}.tif"));
            let marked = marked(&mask)?;
            match (tested, marked) {
                (false, false) => train.push(path),
                (false, true) => {}
                (true, false) => good.push(Sample { path, kind: GOOD.to_owned(), masks: Vec::new() }),
                (true, true) => bad.push(Sample { path, kind: "tumour".to_owned(), masks: vec![mask.into()] }),
            }
        }
    }
    for (what, count) in
        [("to learn from", train.len()), ("good to test on", good.len()), ("with a tumour to test on", bad.len())]
    {
        if count == 0 {
            return Err(data(root, format!("has no slice that is {what}; {TESTED} patients at least are needed")));
        }
    }
    good.extend(bad);
    Ok((train, good))
}

/// Whether a mask marks anything.
fn marked(path: &Path) -> Result<bool> {
    let decode =
        |error: image::ImageError| Error::Decode { name: path.display().to_string(), reason: error.to_string() };
    let reader = image::ImageReader::open(path).and_then(image::ImageReader::with_guessed_format);
    let mask = reader.map_err(Error::io("read", path))?.decode().map_err(decode)?.into_luma8();
    Ok(mask.pixels().any(|pixel| pixel.0 != [0]))
}

//! LGG-MRI (Buda et al., 2019; TCGA): slices of brain scans of 110 patients, with masks of the tumours.
//!
//! ```text
//! kaggle_3m/TCGA_CS_4941_19960909/TCGA_CS_4941_19960909_1.tif
//! kaggle_3m/TCGA_CS_4941_19960909/TCGA_CS_4941_19960909_1_mask.tif
//! ```
//!
//! A slice is good if its mask marks nothing. The paper does not say how it splits the slices. This module splits by patient, so that training
//! never sees a slice of a test patient. In the order of folder names, every fifth patient is for testing, with all slices. Of the
//! other patients, the good slices are for training, and the slices with a tumour are not used.

use std::path::{Path, PathBuf};

use super::{
    GOOD, Sample,
    dataset::{data, entries, images},
    mask::marks,
};
use crate::Result;

/// One patient of this many is tested on.
const TESTED: usize = 5;
/// Prefix of a patient's folder name.
const PATIENT: &str = "TCGA_";
/// Suffix of a mask's file name.
const MASK: &str = "_mask";

/// Whether a folder contains patients' folders.
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

/// Images to learn from, and samples to test on: first the good ones, then those with a tumour.
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
            let marked = marks(&mask)?;
            match (tested, marked) {
                (false, false) => train.push(path),
                (false, true) => {}
                (true, false) => good.push(Sample { path, kind: GOOD.to_owned(), masks: Vec::new() }),
                (true, true) => bad.push(Sample { path, kind: "tumour".to_owned(), masks: vec![mask.into()] }),
            }
        }
    }
    for (what, count) in [
        ("to learn from", train.len()),
        ("without a tumour to test on", good.len()),
        ("with a tumour to test on", bad.len()),
    ] {
        if count == 0 {
            return Err(data(root, format!("has no slices {what}; at least {TESTED} patients are needed")));
        }
    }
    good.extend(bad);
    Ok((train, good))
}

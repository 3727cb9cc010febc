//! VisA (Zou et al., 2022): a table next to the categories says which images are for training and which for testing.
//!
//! `split_csv/1cls.csv` has the columns `object,split,label,image,mask`. Paths are relative to the data set's folder:
//!
//! ```text
//! candle,train,normal,candle/Data/Images/Normal/0000.JPG,
//! candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{GOOD, Sample, dataset::data, mask::Mask};
use crate::{Error, Result};

const SPLIT: &str = "split_csv/1cls.csv";
const COLUMNS: &str = "object,split,label,image,mask";

/// Images to learn from, and samples to test on: first the good ones, then the defective ones.
pub(super) fn read(category: &Path) -> Result<(Vec<PathBuf>, Vec<Sample>)> {
    let category = category.canonicalize().map_err(Error::io("open", category))?;
    let (Some(root), Some(object)) = (category.parent(), category.file_name().and_then(|name| name.to_str())) else {
        return Err(data(&category, "is not a category of VisA"));
    };
    let path = root.join(SPLIT);
    let table = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    let wrong = |line: usize, reason: String| data(&path, format!("line {}: {reason}", line + 1));
    let (mut train, mut good, mut bad) = (Vec::new(), Vec::new(), Vec::new());
    for (number, line) in table.lines().enumerate() {
        let cells: Vec<&str> = line.trim().split(',').map(str::trim).collect();
        if number == 0 {
            if line.trim() != COLUMNS {
                return Err(wrong(0, format!("the columns are not {COLUMNS}")));
            }
            continue;
        }
        let &[of, split, label, image, mask] = &cells[..] else {
            if line.trim().is_empty() {
                continue;
            }
            return Err(wrong(number, format!("has {} cells, not 5", cells.len())));
        };
        if of != object {
            continue;
        }
        let image = root.join(image);
        match (split, label) {
            ("train", "normal") => train.push(image),
            ("test", "normal") => good.push(Sample { path: image, kind: GOOD.to_owned(), masks: Vec::new() }),
            ("test", "anomaly") if !mask.is_empty() => {
                bad.push(Sample { path: image, kind: "anomaly".to_owned(), masks: vec![root.join(mask).into()] });
            }
            ("test", "anomaly") => return Err(wrong(number, "a defective image has no mask".to_owned())),
            _ => return Err(wrong(number, format!("`{split}` and `{label}` are not a split and a label of VisA"))),
        }
    }
    for (what, count) in
        [("to learn from", train.len()), ("that is good, to test on", good.len()), ("that is defective", bad.len())]
    {
        if count == 0 {
            return Err(data(&path, format!("has no image of `{object}` {what}")));
        }
    }
    train.sort();
    good.sort_by(|a, b| a.path.cmp(&b.path));
    bad.sort_by(|a, b| a.path.cmp(&b.path));
    let test: Vec<Sample> = good.into_iter().chain(bad).collect();
    let all = train
        .iter()
        .map(PathBuf::as_path)
        .chain(test.iter().flat_map(|sample| sample.masks.iter().map(Mask::path).chain([sample.path.as_path()])));
    if let Some(missing) = all.into_iter().find(|path| !path.is_file()) {
        return Err(data(missing, format!("is listed in {} but does not exist", path.display())));
    }
    Ok((train, test))
}

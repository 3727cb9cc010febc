//! ShanghaiTech Campus (Liu et al., 2018): frames of surveillance cameras, with masks of anomalous objects.
//!
//! ```text
//! training/frames/<video>/NNN.jpg      (extracted from training/videos/<video>.avi: ffmpeg -i VIDEO training/frames/<video>/%03d.jpg)
//! testing/frames/<clip>/NNN.jpg
//! testing/test_frame_mask/<clip>.npy   (frames), 1 where the frame is anomalous
//! testing/test_pixel_mask/<clip>.npy   (frames, height, width)
//! ```
//!
//! The frames of a clip, sorted by name, belong to its masks in order. A frame is good if its frame mask is 0. The paper does not say which
//! frames it uses. This module uses every frame, so that results can be compared with other publications; remove files to use fewer.

use std::path::{Path, PathBuf};

use super::{
    GOOD, Sample,
    dataset::{data, entries, images},
    mask::{Frames, Mask},
};
use crate::Result;

/// Frames to learn from, and samples to test on: first the good ones, then the anomalous ones.
pub(super) fn read(root: &Path) -> Result<(Vec<PathBuf>, Vec<Sample>)> {
    let mut train = Vec::new();
    let videos = root.join("training/frames");
    if !videos.is_dir() && root.join("training/videos").is_dir() {
        let reason = "extract the frames of training/videos first: ffmpeg -i training/videos/VIDEO.avi training/frames/VIDEO/%03d.jpg";
        return Err(data(&videos, reason));
    }
    for video in folders(&videos)? {
        train.extend(images(&video)?);
    }
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    let testing = root.join("testing");
    for clip in folders(&testing.join("frames"))? {
        let name = clip.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let file = |folder: &str| testing.join(folder).join(format!("{name}.npy"));
        let pixels = file("test_pixel_mask");
        let anomalous = Frames::open(&file("test_frame_mask"))?.values()?;
        let (frames, masks) = (images(&clip)?, Frames::open(&pixels)?.shape);
        if frames.len() != anomalous.len() || masks.first() != Some(&frames.len()) {
            let reason = format!(
                "has {} frames, test_frame_mask {} values, test_pixel_mask {} masks: the three numbers must be equal",
                frames.len(),
                anomalous.len(),
                masks.first().copied().unwrap_or(0)
            );
            return Err(data(&clip, reason));
        }
        for (index, (path, anomalous)) in frames.into_iter().zip(anomalous).enumerate() {
            let mask = Mask::Frame(pixels.clone(), index);
            match anomalous {
                false => good.push(Sample { path, kind: GOOD.to_owned(), masks: Vec::new() }),
                true => bad.push(Sample { path, kind: "anomaly".to_owned(), masks: vec![mask] }),
            }
        }
    }
    for (what, count) in [("good", good.len()), ("anomalous", bad.len())] {
        if count == 0 {
            return Err(data(&testing, format!("has no {what} frame")));
        }
    }
    good.extend(bad);
    Ok((train, good))
}

fn folders(root: &Path) -> Result<Vec<PathBuf>> {
    if !root.is_dir() {
        return Err(data(root, "the folder is missing"));
    }
    let mut folders: Vec<PathBuf> = entries(root)?.into_iter().filter(|path| path.is_dir()).collect();
    folders.sort();
    Ok(folders)
}

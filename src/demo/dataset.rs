//! The demo's data set on disk, in the layout of MVTec AD.
//!
//! ```text
//! DIR/<product>/train/good/000.png
//! DIR/<product>/test/good/000.png
//! DIR/<product>/test/<kind>/000.png
//! DIR/<product>/ground_truth/<kind>/000_mask.png
//! ```
//!
//! Each picture has its own seed, computed from the data set's seed, the product and the picture's position. So a picture
//! does not depend on the number of pictures.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::picture::{Defect, Picture, Product, picture};
use crate::{Error, Result};

/// Number of pictures of each sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Good pictures to learn from.
    pub train: u32,
    /// Good pictures to test on.
    pub good: u32,
    /// Pictures of each kind of defect.
    pub defective: u32,
}

impl Default for Counts {
    /// 60 to learn from, 20 good and 4 × 8 defective to test on.
    fn default() -> Self {
        Self { train: 60, good: 20, defective: 8 }
    }
}

/// One picture to make.
struct Job {
    folder: String,
    index: u32,
    stream: u64,
    defect: Option<(Defect, f32)>,
}

/// Writes `product`'s pictures to `root/<product>` and returns this folder. Existing files with the same names are replaced.
pub fn write(root: &Path, product: Product, seed: u64, counts: &Counts) -> Result<PathBuf> {
    let folder = root.join(product.name());
    let jobs = jobs(counts);
    let mut folders: Vec<String> = jobs.iter().map(|job| job.folder.clone()).collect();
    folders.extend(
        Defect::ALL.iter().filter(|_| counts.defective > 0).map(|kind| format!("ground_truth/{}", kind.name())),
    );
    folders.dedup();
    for name in &folders {
        let path = folder.join(name);
        fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
    }
    jobs.par_iter().try_for_each(|job| {
        let Picture { image, mask } = picture(product, job.seed(seed, product), job.defect);
        save(&image, &folder.join(&job.folder).join(format!("{:03}.png", job.index)))?;
        match job.defect {
            Some((kind, _)) => {
                let name = format!("ground_truth/{}/{:03}_mask.png", kind.name(), job.index);
                save(&mask, &folder.join(name))
            }
            None => Ok(()),
        }
    })?;
    Ok(folder)
}

fn jobs(counts: &Counts) -> Vec<Job> {
    let good = |folder: &'static str, stream: u64, count: u32| {
        (0..count).map(move |index| Job { folder: folder.to_owned(), index, stream, defect: None })
    };
    let mut jobs: Vec<Job> = good("train/good", 0, counts.train).chain(good("test/good", 1, counts.good)).collect();
    for (kind, stream) in Defect::ALL.into_iter().zip(2..) {
        let last = counts.defective.saturating_sub(1).max(1) as f32;
        jobs.extend((0..counts.defective).map(|index| Job {
            folder: format!("test/{}", kind.name()),
            index,
            stream,
            defect: Some((kind, index as f32 / last)),
        }));
    }
    jobs
}

impl Job {
    /// The picture's own seed. Each part has its own bits, so no two pictures share a seed.
    fn seed(&self, seed: u64, product: Product) -> u64 {
        seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ ((product as u64) << 48)
            ^ (self.stream << 32)
            ^ u64::from(self.index)
    }
}

fn save<P>(image: &image::ImageBuffer<P, Vec<u8>>, path: &Path) -> Result<()>
where
    P: image::PixelWithColorType<Subpixel = u8>,
{
    image.save(path).map_err(|error| {
        let cause = match error {
            image::ImageError::IoError(cause) => cause,
            other => std::io::Error::other(other),
        };
        Error::Io { action: "write", path: path.to_owned(), cause }
    })
}

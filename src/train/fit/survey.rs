//! A look at good images before any work starts: which files cannot be read, and which images say nothing about the product.
//!
//! Every file is read and decoded once, on all threads, so that a damaged file is reported in the first seconds and not after
//! all features are made. Two kinds of image are left out, because statistics over them are void:
//!
//! - **repeated images**: the same pixels as an earlier image. A copy that is held out does not test a model that was trained on
//!   the original.
//! - **uniform images**: all pixels have one value, as from a covered lens or a camera that sent an empty buffer.

use std::{
    collections::{HashMap, HashSet},
    fmt::{Display, Write as _},
    path::PathBuf,
};

use rayon::prelude::*;

use crate::{
    Error, Result,
    frame::{BitDepthCheck, Frame, Image, ReadOptions},
    package::ImageDigest,
    screen::Look,
    train::{Control, cache::remove_at},
};

/// Part of the files that may be unreadable: more end the run before any work starts.
pub const MOST_UNREADABLE: f64 = 0.01;
/// Images that a warning names; the rest is counted.
const MOST_NAMES: usize = 20;

/// Good images, looked at before they are used.
#[derive(Debug, Default)]
pub struct Survey {
    /// The images to use, in the order given.
    pub images: Vec<PathBuf>,
    /// Files that cannot be read, and why.
    pub unreadable: Vec<(PathBuf, Error)>,
    /// Images left out because all their pixels have one value.
    pub uniform: Vec<PathBuf>,
    /// Images left out because an earlier image has the same pixels, and that earlier image.
    pub repeated: Vec<(PathBuf, PathBuf)>,
    /// The largest 16-bit sample of all images.
    pub depth: BitDepthCheck,
    /// Each (height, width) among the images to use, and the first image of that size.
    pub sizes: Vec<((u32, u32), PathBuf)>,
    /// Digest of the pixels of each image to use.
    pub digests: Vec<ImageDigest>,
    /// What each image to use looks like; empty unless that was asked for.
    pub looks: Vec<Look>,
}

impl Survey {
    /// Reads and decodes every image. `progress` gets the number of images looked at and the number of all.
    ///
    /// # Errors
    /// [`Error::Training`] where more than [`MOST_UNREADABLE`] of the files cannot be read; the message names every one of
    /// them. [`Error::Cancelled`] where `progress` does not answer [`Control::Continue`].
    pub fn of(
        paths: &[PathBuf],
        read: &ReadOptions,
        progress: &mut dyn FnMut(usize, usize) -> Control,
    ) -> Result<Self> {
        Self::make(paths, read, false, progress)
    }

    /// The same, with what each image looks like, which costs about as much as decoding it.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn with_looks(
        paths: &[PathBuf],
        read: &ReadOptions,
        progress: &mut dyn FnMut(usize, usize) -> Control,
    ) -> Result<Self> {
        Self::make(paths, read, true, progress)
    }

    fn make(
        paths: &[PathBuf],
        read: &ReadOptions,
        looks: bool,
        progress: &mut dyn FnMut(usize, usize) -> Control,
    ) -> Result<Self> {
        let mut survey = Self::default();
        let mut known: HashMap<[u8; 32], &PathBuf> = HashMap::new();
        let mut done = 0;
        for chunk in paths.chunks(4 * rayon::current_num_threads()) {
            let look = |path: &PathBuf| {
                let image = Image::open_with(path, read)?;
                let frame = image.frame();
                let look = looks.then(|| Look::of(&frame, read.significant_bits));
                Ok((Pixels::of(&frame), image.peak(), look))
            };
            let looked: Vec<Result<_>> = chunk.par_iter().map(look).collect();
            for (path, looked) in chunk.iter().zip(looked) {
                let looked = looked.map(|(pixels, peak, look)| {
                    survey.depth.push(peak);
                    (pixels, look)
                });
                match looked {
                    Err(error) => survey.unreadable.push((path.clone(), error)),
                    Ok((Pixels { uniform: true, .. }, _)) => survey.uniform.push(path.clone()),
                    Ok((Pixels { digest, size, .. }, look)) => match known.get(&digest) {
                        Some(&earlier) => survey.repeated.push((path.clone(), earlier.clone())),
                        None => {
                            known.insert(digest, path);
                            survey.images.push(path.clone());
                            survey.digests.push(ImageDigest::of_sha256(&digest));
                            survey.looks.extend(look);
                            if survey.sizes.iter().all(|(known, _)| *known != size) {
                                survey.sizes.push((size, path.clone()));
                            }
                        }
                    },
                }
            }
            done += chunk.len();
            if progress(done, paths.len()) != Control::Continue {
                return Err(Error::Cancelled);
            }
        }
        survey.check_unreadable(paths.len())?;
        Ok(survey)
    }

    /// Leaves out images whose pixels are known already.
    pub(super) fn leave_out(&mut self, known: &HashSet<ImageDigest>) {
        let places: Vec<usize> =
            (0..self.digests.len()).filter(|&place| known.contains(&self.digests[place])).collect();
        remove_at(&mut self.images, &places);
        remove_at(&mut self.looks, &places);
        remove_at(&mut self.digests, &places);
    }

    fn check_unreadable(&self, all: usize) -> Result<()> {
        let bad = self.unreadable.len();
        if bad as f64 <= MOST_UNREADABLE * all as f64 {
            return Ok(());
        }
        let mut text = format!(
            "{bad} of {all} images cannot be read, more than the {:.0}% that may be skipped; repair or remove {}:",
            MOST_UNREADABLE * 100.0,
            if bad == 1 { "this file" } else { "these files" }
        );
        for (path, error) in &self.unreadable {
            let (name, reason) = (path.display().to_string(), error.to_string());
            // Most reasons begin with the file already.
            let line = if reason.contains(&name) { reason } else { format!("{name}: {reason}") };
            let _ = write!(text, "\n  {line}");
        }
        Err(Error::training(text))
    }

    /// Refuses fewer than `least` usable images, and says where the others went.
    ///
    /// # Errors
    /// [`Error::Training`].
    pub fn check_at_least(&self, least: usize) -> Result<()> {
        if self.images.len() >= least {
            return Ok(());
        }
        let mut text = format!(
            "{} usable good {} too few: at least {least} are needed, 50 or more are better",
            self.images.len(),
            if self.images.len() == 1 { "image is" } else { "images are" }
        );
        if !self.unreadable.is_empty() {
            let _ = write!(text, "\n  {} cannot be read", self.unreadable.len());
        }
        for warning in self.warnings() {
            let _ = write!(text, "\n  {warning}");
        }
        Err(Error::training(text))
    }

    /// What was left out beside unreadable files, in sentences that name the images; empty where every image is used.
    pub fn warnings(&self) -> Vec<String> {
        let uniform = self.uniform.iter().map(|path| path.display().to_string()).collect();
        let pair = |(path, earlier): &(PathBuf, PathBuf)| format!("{} (as {})", path.display(), earlier.display());
        let repeated = self.repeated.iter().map(pair).collect();
        let warnings = [left_out(Reason::Uniform, uniform), left_out(Reason::Repeated, repeated)];
        warnings.into_iter().flatten().collect()
    }
}

/// Why an image is left out.
#[derive(Clone, Copy)]
pub(super) enum Reason {
    Uniform,
    Repeated,
}

impl Display for Reason {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Uniform => "have one value in all pixels",
            Self::Repeated => "have the same pixels as an earlier image",
        })
    }
}

/// One sentence about the images that are left out for a reason.
pub(super) fn left_out(reason: Reason, names: Vec<String>) -> Option<String> {
    let count = names.len();
    let more = count.saturating_sub(MOST_NAMES);
    let advice = match reason {
        Reason::Uniform => "check the camera, and remove",
        Reason::Repeated => "remove",
    };
    let named = names.iter().take(MOST_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    let and_more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (count > 0).then(|| format!("{count} of the good images {reason} and are left out; {advice}: {named}{and_more}"))
}

/// What tells one image's pixels from another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pixels {
    /// SHA-256 of size, format and all pixels.
    pub(super) digest: [u8; 32],
    /// Whether all pixels have one colour.
    pub(super) uniform: bool,
    /// (height, width).
    pub(super) size: (u32, u32),
}

impl Pixels {
    pub(super) fn of(frame: &Frame<'_>) -> Self {
        let (bytes, colour) = (frame.format().bytes_per_pixel(), frame.format().color_bytes());
        let first = &frame.row(0)[..colour];
        let uniform = frame.rows().all(|row| row.chunks_exact(bytes).all(|pixel| &pixel[..colour] == first));
        Self { digest: frame.sha256(), uniform, size: (frame.height(), frame.width()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::PixelFormat;

    #[test]
    fn pixels_are_compared_without_padding_and_alpha_does_not_vary_a_uniform_image() {
        let of = |data: &[u8], stride| Pixels::of(&Frame::new(data, 2, 2, stride, PixelFormat::Gray8).unwrap());
        assert_eq!(of(&[1, 2, 3, 4], 2), of(&[1, 2, 9, 3, 4, 9], 3));
        assert_ne!(of(&[1, 2, 3, 4], 2), of(&[1, 2, 3, 5], 2));
        let rgba = |data: &[u8]| Pixels::of(&Frame::packed(data, 2, 1, PixelFormat::Rgba8).unwrap()).uniform;
        assert!(rgba(&[7, 8, 9, 0, 7, 8, 9, 255]) && !rgba(&[7, 8, 9, 0, 7, 8, 8, 0]));
    }

    #[test]
    fn a_warning_names_twenty_images_and_counts_the_rest() {
        let names = (0..25).map(|index| format!("{index}.png")).collect();
        let text = left_out(Reason::Uniform, names).unwrap();
        assert!(text.starts_with("25 of the good images have one value in all pixels and are left out"), "{text}");
        assert!(text.ends_with("18.png, 19.png and 5 more"), "{text}");
        assert!(left_out(Reason::Uniform, Vec::new()).is_none());
    }
}

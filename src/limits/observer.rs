//! The observer that reads image files, puts defects on them and asks a detector.
//!
//! One thread decodes and paints the next images while the networks look at the last ones. What goes through the networks together depends
//! on the order of the defects alone, so the same study gives the same answers.

use std::{collections::BTreeMap, path::PathBuf, sync::mpsc};

use ndarray::Array2;
use rayon::prelude::*;

use super::{
    kind::{Defect, DefectKind},
    paint::{Painted, paint},
    scene::{ImageFacts, Scene},
    study::{Observed, Observer},
};
use crate::{
    Error, Result,
    evaluate::touches,
    frame::{Image, ReadOptions},
    pipeline::{Detector, Processed},
    segment::{DecisionRule, Roi},
    train::Control,
};

/// Frames that go through the networks together.
const BATCH: usize = 8;
/// Most frames that are painted at once, and most bytes that they may take.
const PAINTED: usize = 4 * BATCH;
const PAINTED_BYTES: usize = 256 << 20;

/// A detector and image files.
pub struct FileObserver<'a> {
    detector: &'a mut Detector,
    rule: &'a DecisionRule,
    images: &'a [PathBuf],
    read: &'a ReadOptions,
    scene: Scene,
    watch: Option<Watch<'a>>,
}

/// Gets the number of images looked at since the last call, and says whether to look at more.
type Watch<'a> = Box<dyn FnMut(usize) -> Control + 'a>;

/// What a model says of a good image as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GoodImage {
    /// Whether the image is anomalous.
    pub flagged: bool,
    /// The image's score, −log₁₀NFA of its most unusual region.
    pub score: f32,
}

impl std::fmt::Debug for FileObserver<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("FileObserver").field("images", &self.images).finish_non_exhaustive()
    }
}

impl<'a> FileObserver<'a> {
    /// Reads every image once, for what they have in common. `package_roi` is the package's region of interest.
    ///
    /// # Errors
    /// An image that cannot be read, or that the region of interest does not fit.
    pub fn new(
        detector: &'a mut Detector,
        rule: &'a DecisionRule,
        package_roi: Option<&Roi>,
        images: &'a [PathBuf],
        read: &'a ReadOptions,
    ) -> Result<Self> {
        let roi = rule.roi.as_ref().map_or(package_roi, |roi| roi.mask().map(|mask| &**mask));
        let facts = |path: &PathBuf| Ok(ImageFacts::of(&Image::open_with(path, read)?.frame(), roi));
        let facts: Vec<ImageFacts> = images.par_iter().map(facts).collect::<Result<_>>()?;
        Ok(Self { detector, rule, images, read, scene: Scene::new(&facts, roi), watch: None })
    }

    /// Another model on the same images. Defects are put on them in the same way, whatever that model's region of interest is.
    pub fn beside(&self, detector: &'a mut Detector, rule: &'a DecisionRule) -> Self {
        Self { detector, rule, images: self.images, read: self.read, scene: self.scene.clone(), watch: None }
    }

    /// Calls `watch` after every few images, with the number of images looked at since the last call. If it does not answer [`Control::Continue`], the
    /// look ends with [`Error::Cancelled`].
    #[must_use]
    pub fn watched(self, watch: impl FnMut(usize) -> Control + 'a) -> Self {
        Self { watch: Some(Box::new(watch)), ..self }
    }

    /// What the model says of each good image as it is, in order.
    ///
    /// # Errors
    /// Images that cannot be read any more, a model that fails, [`Error::Cancelled`].
    pub fn good(&mut self) -> Result<Vec<GoodImage>> {
        let mut good = Vec::with_capacity(self.images.len());
        for paths in self.images.chunks(BATCH) {
            let images: Vec<Image> =
                paths.par_iter().map(|path| Image::open_with(path, self.read)).collect::<Result<_>>()?;
            let frames: Vec<_> = images.iter().map(Image::frame).collect();
            self.detector.process(&frames, self.rule, false, |processed| {
                good.push(GoodImage { flagged: processed.decision.anomalous, score: processed.decision.score });
                Ok(())
            })?;
            go_on(&mut self.watch, frames.len())?;
        }
        Ok(good)
    }

    /// The image with a defect, as the model sees it: for pictures of a report.
    ///
    /// # Errors
    /// Images that cannot be read any more.
    pub fn picture(&self, defect: &Defect) -> Result<image::RgbImage> {
        let mut painted = painted(std::slice::from_ref(defect), self.images, self.read, &self.scene)?;
        let painted = painted.pop().ok_or_else(|| Error::internal("no picture was painted"))?;
        Ok(crop(&painted, crate::render::rgb(&painted.frame()?)))
    }
}

impl Observer for FileObserver<'_> {
    fn scene(&self) -> &Scene {
        &self.scene
    }

    fn flagged(&mut self) -> Result<Vec<bool>> {
        Ok(self.good()?.into_iter().map(|image| image.flagged).collect())
    }

    fn observe(&mut self, defects: &[Defect]) -> Result<Vec<Observed>> {
        // Defects on the same image are neighbours, so that each image is decoded once or twice.
        let mut order: Vec<usize> = (0..defects.len()).collect();
        order.sort_by_key(|&index| (defects[index].image, index));
        let ordered: Vec<Defect> = order.iter().map(|&index| defects[index]).collect();
        let Self { detector, rule, images, read, scene, watch } = self;
        let mut seen: Vec<Option<Observed>> = vec![None; defects.len()];
        std::thread::scope(|scope| {
            // While the networks look at one part, the next is painted.
            let (sender, receiver) = mpsc::sync_channel(0);
            let (scene, images, read) = (&*scene, *images, *read);
            let ordered = &ordered;
            scope.spawn(move || {
                for chunk in ordered.chunks(at_once(&scene.sizes)) {
                    let painted = painted(chunk, images, read, scene);
                    if sender.send(painted).is_err() {
                        return;
                    }
                }
            });
            let mut done = 0;
            for painted in receiver {
                for batch in painted?.chunks(BATCH) {
                    let frames: Vec<_> = batch.iter().map(Painted::frame).collect::<Result<_>>()?;
                    detector.process(&frames, rule, false, |processed| {
                        let painted = &batch[processed.index];
                        seen[order[done + processed.index]] = Some(observed(painted, &processed));
                        Ok(())
                    })?;
                    done += batch.len();
                    go_on(watch, batch.len())?;
                }
            }
            Ok::<(), Error>(())
        })?;
        seen.into_iter().collect::<Option<_>>().ok_or_else(|| Error::internal("a frame of the study was lost"))
    }
}

/// How many frames are painted at once: each is there painted and, with its donor, decoded.
fn at_once(sizes: &[(usize, usize)]) -> usize {
    let largest = sizes.iter().map(|(width, height)| width * height).max().unwrap_or(1);
    (PAINTED_BYTES / (3 * 3 * largest).max(1)).clamp(1, PAINTED)
}

/// Tells that so many images more were looked at.
fn go_on(watch: &mut Option<Watch<'_>>, images: usize) -> Result<()> {
    match watch.as_mut().map_or(Control::Continue, |watch| watch(images)) {
        Control::Continue => Ok(()),
        Control::Stop | Control::Cancel => Err(Error::Cancelled),
    }
}

/// The images with these defects, in order. Each image is decoded once.
fn painted(defects: &[Defect], images: &[PathBuf], read: &ReadOptions, scene: &Scene) -> Result<Vec<Painted>> {
    let donor = |defect: &Defect| if defect.kind == DefectKind::ForeignPatch { defect.donor } else { defect.image };
    let needed: Vec<usize> = defects.iter().flat_map(|defect| [defect.image, donor(defect)]).collect();
    let needed: std::collections::BTreeSet<usize> = needed.into_iter().collect();
    let decode = |&index: &usize| Ok((index, Image::open_with(&images[index], read)?));
    let decoded: BTreeMap<usize, Image> = needed.par_iter().map(decode).collect::<Result<_>>()?;
    let paint =
        |defect: &Defect| paint(defect, &decoded[&defect.image].frame(), &decoded[&donor(defect)].frame(), scene);
    Ok(defects.par_iter().map(paint).collect())
}

fn observed(painted: &Painted, processed: &Processed<'_>) -> Observed {
    let flagged = processed.decision.anomalous;
    let found = flagged && {
        let (rect, mask) = (painted.rect, &painted.mask);
        let truth = Array2::from_shape_fn((painted.height as usize, painted.width as usize), |(y, x)| {
            let inside = (rect.x..rect.x + rect.width).contains(&x) && (rect.y..rect.y + rect.height).contains(&y);
            inside && mask[(y - rect.y) * rect.width + x - rect.x]
        });
        processed.post.regions().iter().any(|region| touches(&region.to_region().outline, truth.view()))
    };
    let Painted { centre, change, light, edges, .. } = *painted;
    Observed { flagged, found, score: processed.decision.score, centre, change, light, edges }
}

/// The surroundings of a defect: four times as wide as it is, or the whole image.
fn crop(painted: &Painted, picture: image::RgbImage) -> image::RgbImage {
    let (width, height) = picture.dimensions();
    let side = (3 * painted.rect.width.max(painted.rect.height) as u32).max(96).min(width.min(height));
    let from =
        |at: usize, length: usize, all: u32| (at as u32 + length as u32 / 2).saturating_sub(side / 2).min(all - side);
    let (x, y) = (from(painted.rect.x, painted.rect.width, width), from(painted.rect.y, painted.rect.height, height));
    image::imageops::crop_imm(&picture, x, y, side, side).to_image()
}

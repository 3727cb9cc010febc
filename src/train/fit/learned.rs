//! Learning on: a model that was fitted before is trained on with new good images.
//!
//! The flow begins where it was. What it has seen stays apart from what it has not, so that every image that judges a flow is new to it:
//!
//! | image | trained on | held out |
//! |---|---|---|
//! | trained on before | by every flow | by none |
//! | held out before | by none | by every flow: it chooses the epoch. The model's own flow gives its evidence for the null |
//! | new | by all flows but one | by that one, which gives its evidence |
//!
//! So all new images and all that were held out before calibrate the null and the threshold, and each further flow costs a few epochs.

use std::path::{Path, PathBuf};

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::{
    FEATURES_SUFFIX, Fitter,
    cross::FOLDS,
    fitted::{HeldOutImages, JudgedImage},
};
use crate::{
    Error, Reason, Result,
    flow::Flow,
    onnx::ModelProto,
    package::{ImageDigest, Package, Seen, SeenImages},
    train::{Control, Progress, Start, TrainOptions, Trained, train, train_on},
};

/// Fewest new images that a model is trained on with.
pub const FEWEST_NEW: usize = 8;

/// The file beside a package that holds the features of its images: `bolt.uflow.features`.
pub fn features_beside(package: &Path) -> PathBuf {
    let mut name = package.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(FEATURES_SUFFIX);
    package.with_file_name(name)
}

/// A model that was fitted before.
#[derive(Clone, Debug)]
pub struct Learned {
    /// Its flow.
    pub flow: Flow,
    /// The images that it was fitted to.
    pub seen: SeenImages,
    /// File with the features of these images; without it they must be given again. [`fit_files`](super::fit_files) alone uses it.
    pub features: Option<PathBuf>,
}

impl Learned {
    /// The model of a package.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a package that `uflow fit` has not written, or that does not say which images it was fitted to.
    pub fn of(package: &Package) -> Result<Self> {
        let seen = package.manifest.training.as_ref().and_then(|training| training.seen.clone());
        let seen = seen.ok_or_else(|| {
            Error::parameter(
                "package",
                "the package does not say which images it was fitted to, as packages from uflow fit do; fit a new model",
            )
        })?;
        let model = <ModelProto as prost::Message>::decode(package.flow.clone())
            .map_err(|error| Error::parameter("package", Reason::because("its flow is not an ONNX model", error)))?;
        let features = features_beside(&package.path);
        Ok(Self { flow: Flow::from_onnx(&model)?, seen, features: features.is_file().then_some(features) })
    }
}

/// The images of a fitter by what the model did with them before, by their places.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Places {
    /// Trained on.
    pub(super) trained: Vec<usize>,
    /// Held out.
    pub(super) held_out: Vec<usize>,
    /// Unknown to the model, in parts that are held out one after the other.
    pub(super) new: Vec<Vec<usize>>,
}

impl Places {
    fn of(seen: &[Option<Seen>], seed: u64, flows: usize) -> Self {
        let all = |wanted: Option<Seen>| -> Vec<usize> {
            seen.iter().enumerate().filter(|(_, seen)| **seen == wanted).map(|(place, _)| place).collect()
        };
        let mut new = all(None);
        new.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let part = new.len().div_ceil(flows.clamp(1, FOLDS)).max(1);
        Self {
            trained: all(Some(Seen::Trained)),
            held_out: all(Some(Seen::HeldOut)),
            new: new.chunks(part).map(<[usize]>::to_vec).collect(),
        }
    }

    /// New images.
    fn new_images(&self) -> usize {
        self.new.iter().map(Vec::len).sum()
    }

    /// Images that judge some flow.
    pub(super) fn judging(&self) -> usize {
        self.held_out.len() + self.new_images()
    }

    fn check(&self) -> Result<()> {
        let new = self.new_images();
        if new < FEWEST_NEW {
            let reason = format!(
                "{new} of these images are new to the model, and {FEWEST_NEW} at least are needed to learn from and to check it; \
                 to set only the threshold anew, use uflow calibrate"
            );
            return Err(Error::training(reason));
        }
        let (trained, held_out) = (self.trained.len(), self.held_out.len());
        if trained == 0 || held_out == 0 {
            let reason = format!(
                "{trained} images that the model was trained on are here, and {held_out} that it held out: without the old images it would \
                 forget them. Give their folder (--old DIR), or fit a new model"
            );
            return Err(Error::training(reason));
        }
        Ok(())
    }
}

impl Fitter {
    /// The images by what the model that training goes on from did with them; `None` where training begins anew.
    ///
    /// # Errors
    /// [`Error::Training`] for too few new images, or none of the old ones.
    pub(super) fn places(&self) -> Result<Option<Places>> {
        let Some(learned) = &self.options.learned else { return Ok(None) };
        let places =
            Places::of(&learned.seen.look(&self.digests())?, self.options.training.seed, self.options.most_flows);
        places.check()?;
        Ok(Some(places))
    }

    /// Fits one flow, from the start or from the model that training goes on from.
    pub(super) fn train_flow(
        &self,
        options: &TrainOptions,
        places: Option<&Places>,
        progress: &mut dyn FnMut(Progress) -> Control,
    ) -> Result<Trained> {
        let (Some(learned), Some(places)) = (&self.options.learned, places) else {
            return train(&self.cache, options, progress);
        };
        let new = places.new.get(options.fold).map_or(&[][..], Vec::as_slice);
        let held_out = places.held_out.iter().chain(new).copied().collect();
        let start = Start { flow: learned.flow.clone(), held_out };
        train_on(&self.cache, options, &start, progress)
    }

    /// The images that a flow gives the evidence of: those that it held out, without those that the model's own flow judges already.
    pub(super) fn judged(&self, trained: &Trained, places: Option<&Places>) -> Result<HeldOutImages> {
        let mut held_out = trained.summary.held_out.clone();
        if let Some(places) = places.filter(|_| trained.options.fold > 0) {
            held_out.retain(|image| !places.held_out.contains(image));
        }
        self.judged_energies(trained, held_out)
    }

    /// The images that judged a flow, with their lowest log₁₀NFA if it was measured. `own` were held out of the model's own flow.
    pub(super) fn judged_images(
        &self,
        own: &[usize],
        images: &[usize],
        lowest: Option<&[Option<f32>]>,
    ) -> Result<Vec<JudgedImage>> {
        let learned = self.options.learned.as_ref();
        let seen = learned.map(|learned| learned.seen.look(&self.digests())).transpose()?;
        let judged = images.iter().enumerate().map(|(number, &image)| JudgedImage {
            image: self.images[image].name.clone(),
            new: seen.as_ref().is_some_and(|seen| seen[image].is_none()),
            own: own.contains(&image),
            read: self.images[image].look.is_some(),
            log10_nfa: lowest.and_then(|lowest| lowest[number]),
        });
        Ok(judged.collect())
    }

    /// Digests of all images.
    fn digests(&self) -> Vec<ImageDigest> {
        self.images.iter().map(|image| image.digest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Option<Seen>; 3] = [Some(Seen::Trained), Some(Seen::HeldOut), None];

    #[test]
    fn new_images_are_held_out_once_each_and_old_ones_as_before() {
        let seen: Vec<_> = (0..60).map(|place| KINDS[place % 3]).collect();
        let places = Places::of(&seen, 1, FOLDS);
        assert!(places.check().is_ok());
        assert_eq!(places.new.len(), 4);
        assert!(places.new.iter().all(|part| part.len() == 5));
        let mut new: Vec<_> = places.new.concat();
        new.sort_unstable();
        assert_eq!(new, (0..20).map(|index| 3 * index + 2).collect::<Vec<_>>());
        assert_eq!((places.trained[1], places.held_out[1], places.judging()), (3, 4, 40));
        assert_eq!(places, Places::of(&seen, 1, FOLDS), "the seed decides");
        assert_eq!(Places::of(&seen, 1, 1).new.len(), 1);
    }

    #[test]
    fn too_few_new_images_and_no_old_ones_are_refused() {
        let refused = |seen: &[Option<Seen>]| Places::of(seen, 0, FOLDS).check().unwrap_err().to_string();
        let old = [KINDS[0], KINDS[1]].repeat(10);
        assert!(refused(&old).contains("0 of these images are new"));
        assert!(refused(&[&old[..], &[None; 7]].concat()).contains("7 of these images are new"));
        assert!(
            refused(&[None; 20]).contains("0 images that the model was trained on are here, and 0 that it held out")
        );
    }
}

//! A fit from image files: every file is checked first, then features are made while the next files are read.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
};

use sha2::{Digest as _, Sha256};

use super::{
    CachedImage, Event, FEWEST_IMAGES, FitOptions, Fitted, Fitter, MOST_UNREADABLE, Survey, input::median_size,
};
use crate::{
    Error, Reason, Result,
    backbone::{BackboneMeta, NetworkSource},
    digest::hex,
    frame::{Image, Limits, depth::FULL_BITS},
    package::ImageDigest,
    preprocess::{Preprocess, Preprocessor},
    runtime::{Backbone, Runtime},
    train::{Control, StoredImage},
};

/// Ending of the files that features are kept in.
pub const FEATURES_SUFFIX: &str = "features";

/// Fits a model to image files: every file is checked ([`Survey`]), features are made (decoding runs beside the backbone), the
/// model is trained, and its null is cross-fitted where that is asked for. The callback sees every [`Event`]. Its
/// [`Control::Stop`] ends checking and features with [`Error::Cancelled`], training with the best model so far, and
/// cross-fitting with the null of what is finished.
///
/// # Errors
/// More than 1% of the files unreadable, fewer than 8 usable images, an image that the region of interest does not fit, or
/// an error of [`Fitter`].
pub fn fit_files(
    runtime: &Runtime,
    images: &[PathBuf],
    limits: &Limits,
    options: FitOptions,
    events: &mut dyn FnMut(Event<'_>) -> Control,
) -> Result<Fitted> {
    fit(Fitter::new(runtime, options)?, images, limits, events)
}

/// As [`fit_files`], on a backbone that is loaded already, the one that the options name.
///
/// # Errors
/// As [`fit_files`].
pub fn fit_files_on(
    runtime: &Runtime,
    backbone: Arc<Backbone>,
    images: &[PathBuf],
    limits: &Limits,
    options: FitOptions,
    events: &mut dyn FnMut(Event<'_>) -> Control,
) -> Result<Fitted> {
    fit(Fitter::with_backbone(runtime, backbone, options)?, images, limits, events)
}

fn fit(
    mut fitter: Fitter,
    images: &[PathBuf],
    limits: &Limits,
    events: &mut dyn FnMut(Event<'_>) -> Control,
) -> Result<Fitted> {
    let survey = read_files(&mut fitter, images, limits, events)?;
    let most = fitter.options.drop_doubtful;
    fitter.drop_doubtful(most)?;
    let left: HashSet<&str> = fitter.images.iter().map(|image| image.name.as_str()).collect();
    let images: Vec<PathBuf> =
        survey.images.into_iter().filter(|path| left.contains(path.display().to_string().as_str())).collect();
    fitter.keep_golden_files(&images, limits);
    let mut fitted = fitter.train_model(&mut |progress| events(Event::Training(progress)))?;
    if events(Event::Trained(&fitted)) == Control::Cancel {
        return Err(Error::Cancelled);
    }
    fitter.cross_fit(&mut fitted, &mut |progress| events(Event::Training(progress)))?;
    if let Some(path) = &fitter.options.keep_features
        && let Err(error) = fitter.remember(path)
    {
        // The model is complete without them.
        fitted.notes.push(format!(
            "the features were not kept: {error}; `uflow update` needs the images themselves (--old DIR)"
        ));
        fitted.features_lost = true;
    }
    Ok(fitted)
}

/// Checks all files and makes the features of those that can be used, or takes them from the folder of features.
pub(super) fn read_files(
    fitter: &mut Fitter,
    images: &[PathBuf],
    limits: &Limits,
    events: &mut dyn FnMut(Event<'_>) -> Control,
) -> Result<Survey> {
    fitter.recall()?;
    let survey = survey(fitter, images, limits, events)?;
    let kept = match &fitter.options.features {
        None => None,
        Some(folder) => {
            let hashes =
                survey.images.iter().map(|path| NetworkSource::Path(path).sha256()).collect::<Result<Vec<_>>>()?;
            let key = features_key(fitter, fitter.backbone.sha256(), &hashes)?;
            Some((features_file(folder, &key), key, hashes))
        }
    };
    let restored = match &kept {
        None => false,
        Some((path, key, hashes)) => fitter.cache.restore(path, key)? || restore_scales(fitter, hashes)?,
    };
    if restored {
        let total = survey.images.len();
        fitter.images = (0..total).map(|place| cached(&survey, place)).collect();
        events(Event::Features { done: total, total });
    } else {
        let skipped = read(fitter, &survey, limits, events)?;
        if let (Some((path, key, _)), 0) = (&kept, skipped) {
            fitter.cache.save(path, key)?;
        }
    }
    Ok(survey)
}

/// Looks at all files, tells what is left out, and gives the network's input the shape of the images.
fn survey(
    fitter: &mut Fitter,
    images: &[PathBuf],
    limits: &Limits,
    events: &mut dyn FnMut(Event<'_>) -> Control,
) -> Result<Survey> {
    let mut survey = Survey::with_looks(images, &fitter.input().read_options(*limits, None), &mut |done, total| {
        events(Event::Checked { done, total })
    })?;
    for (path, error) in &survey.unreadable {
        events(Event::Skipped { path, error });
    }
    for warning in survey.warnings() {
        events(Event::Warning(&warning));
    }
    survey.leave_out(&fitter.images.iter().map(|image| image.digest).collect());
    if fitter.options.learned.is_none() {
        survey.check_at_least(FEWEST_IMAGES)?;
    }
    if let Some((height, width)) = median_size(survey.looks.iter().map(|look| look.size)) {
        fitter.shape_input((width, height))?;
    }
    for (size, path) in &survey.sizes {
        fitter.check_roi(*size).map_err(|error| Error::data(path.clone(), Reason::of(error)))?;
    }
    let bits = fitter.input().significant_bits;
    match (survey.depth.advice(bits.unwrap_or(FULL_BITS)), bits) {
        (None, _) => {}
        (Some(advice), None) => return Err(Error::training(advice)),
        (Some(advice), Some(_)) => {
            events(Event::Warning(&advice));
        }
    }
    Ok(survey)
}

fn features_file(folder: &Path, key: &str) -> PathBuf {
    folder.join(format!("{}.{FEATURES_SUFFIX}", &key[..16]))
}

/// Takes the features from those of all scales of the backbone, if only some of its strides are used and the folder has the others too.
fn restore_scales(fitter: &mut Fitter, hashes: &[String]) -> Result<bool> {
    let (Some(folder), false) = (&fitter.options.features, fitter.options.strides.is_empty()) else { return Ok(false) };
    let whole = fitter.options.backbone.find()?;
    let strides = BackboneMeta::read(whole.source())?.strides;
    let position = |stride: &usize| strides.iter().position(|found| found == stride);
    let Some(scales) = fitter.options.strides.iter().map(position).collect::<Option<Vec<_>>>() else {
        return Ok(false);
    };
    let key = features_key(fitter, &whole.source().sha256()?, hashes)?;
    let path = features_file(folder, &key);
    fitter.cache.restore_scales(&path, &key, &scales)
}

/// What features of any image depend on: the backbone of this hash, the preprocessing, the augmentation.
fn settings_hash(fitter: &Fitter, backbone: &str) -> Result<Sha256> {
    let mut hasher = Sha256::new();
    let options = (fitter.input(), fitter.options.augmentation, fitter.options.session.precision.to_string());
    let settings = serde_json::to_vec(&options).map_err(|error| Error::parameter("features", Reason::of(error)))?;
    hasher.update(backbone);
    hasher.update(settings);
    Ok(hasher)
}

impl Fitter {
    /// Loads the features of the old images, where the model that training goes on from has them beside it.
    fn recall(&mut self) -> Result<()> {
        let Some(learned) = &self.options.learned else { return Ok(()) };
        let Some(path) = learned.features.clone() else { return Ok(()) };
        let seen = learned.seen.clone();
        let key = hex(&settings_hash(self, self.backbone.sha256())?.finalize());
        let images = self.cache.restore_with(&path, &key)?.filter(|images| images.len() == self.cache.len());
        let images = images.ok_or_else(|| {
            Error::data(
                path.clone(),
                "are not the features of this model's images: they were kept with another backbone, input, augmentation or precision. Give the \
                 old images instead",
            )
        })?;
        let digests: Vec<ImageDigest> = images.iter().map(|image| image.digest).collect();
        if let Some(unknown) = seen.look(&digests)?.iter().position(Option::is_none) {
            let reason = format!(
                "has the features of {}, which the model was not fitted to: the package was replaced without its features. Give the old images \
                 instead (--old DIR)",
                images[unknown].name
            );
            return Err(Error::data(path, reason));
        }
        let (here, all) = (images.len(), seen.count()?);
        if here != all {
            let reason = format!(
                "has the features of {here} images, and the model was fitted to {all}: the package was updated without its features \
                 (--keep-features). Give all old images instead (--old DIR)"
            );
            return Err(Error::data(path, reason));
        }
        let known = |StoredImage { name, digest, brightness }| CachedImage { name, digest, look: None, brightness };
        self.images = images.into_iter().map(known).collect();
        Ok(())
    }

    /// Keeps the features of all images for a later training on.
    fn remember(&self, path: &Path) -> Result<()> {
        let key = hex(&settings_hash(self, self.backbone.sha256())?.finalize());
        let stored = |image: &CachedImage| StoredImage {
            name: image.name.clone(),
            digest: image.digest,
            brightness: image.brightness,
        };
        let images: Vec<_> = self.images.iter().map(stored).collect();
        self.cache.save_with(path, &key, &images)
    }
}

/// What the features depend on: the settings, and every byte of every image in order, by the hashes of their files.
fn features_key(fitter: &Fitter, backbone: &str, hashes: &[String]) -> Result<String> {
    let mut hasher = settings_hash(fitter, backbone)?;
    hashes.iter().for_each(|hash| hasher.update(hash));
    Ok(hex(&hasher.finalize()))
}

/// An image of a survey, for the cache.
fn cached(survey: &Survey, place: usize) -> CachedImage {
    let look = survey.looks.get(place).cloned();
    CachedImage {
        name: survey.images[place].display().to_string(),
        digest: survey.digests[place],
        brightness: look.as_ref().map(|look| look.level as f32),
        look,
    }
}

/// Makes the features of every image; gives the number of images that failed.
fn read(
    fitter: &mut Fitter,
    survey: &Survey,
    limits: &Limits,
    events: &mut dyn FnMut(Event<'_>) -> Control,
) -> Result<usize> {
    let images = survey.images.as_slice();
    let input = *fitter.input();
    let mut skipped = 0;
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel(4);
        scope.spawn(move || read_tensors(images, limits, input, &sender));
        for (index, made) in receiver.iter().enumerate() {
            let pushed = made.and_then(|made| match made {
                Made::Tensor(tensor) => fitter.push_tensor(&tensor, cached(survey, index)),
                Made::Image(image) => fitter.push_tiles(&image.frame(), cached(survey, index)),
            });
            match pushed {
                Ok(()) => {}
                Err(error @ (Error::Decode { .. } | Error::Limit { .. } | Error::Frame { .. } | Error::Io { .. })) => {
                    skipped += 1;
                    events(Event::Skipped { path: &images[index], error: &error });
                }
                Err(error) => return Err(error),
            }
            if events(Event::Features { done: index + 1, total: images.len() }) != Control::Continue {
                return Err(Error::Cancelled);
            }
        }
        Ok(())
    })?;
    if skipped as f64 > MOST_UNREADABLE * images.len() as f64 {
        return Err(Error::training(format!(
            "{skipped} of {} images, more than {:.0}%, could be read at first and not again when their features were made; \
             they are named above. Do not change the files while a model is fitted",
            images.len(),
            MOST_UNREADABLE * 100.0
        )));
    }
    Ok(skipped)
}

/// What is made of an image ahead of its features.
enum Made {
    /// The network's input.
    Tensor(Vec<f32>),
    /// The image, which is cut into tiles.
    Image(Image),
}

/// Decodes the images in order, and preprocesses them where the whole frame is the network's input, until the receiver is gone.
fn read_tensors(images: &[PathBuf], limits: &Limits, input: Preprocess, sender: &mpsc::SyncSender<Result<Made>>) {
    let length = input.len();
    let options = input.read_options(*limits, None);
    let mut preprocessor = match Preprocessor::new(input) {
        Ok(preprocessor) => preprocessor,
        Err(error) => return drop(sender.send(Err(error))),
    };
    for path in images {
        let made = Image::open_with(path, &options).and_then(|image| {
            if input.tiles.is_some() {
                return Ok(Made::Image(image));
            }
            let mut tensor = vec![0.0; length];
            preprocessor.run(&image.frame(), &mut tensor).map(|()| Made::Tensor(tensor))
        });
        if sender.send(made).is_err() {
            return;
        }
    }
}

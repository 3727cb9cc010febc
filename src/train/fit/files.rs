//! A fit from image files: every file is checked first, then features are made while the next files are read.

use std::{
    path::PathBuf,
    sync::{Arc, mpsc},
};

use sha2::{Digest as _, Sha256};

use super::{Event, FEWEST_IMAGES, FitOptions, Fitted, Fitter, MOST_UNREADABLE, Survey, input::median_ratio};
use crate::{
    Error, Reason, Result,
    backbone::NetworkSource,
    digest::hex,
    frame::{Image, Limits, depth::FULL_BITS},
    preprocess::{Preprocess, Preprocessor},
    runtime::{Backbone, Runtime},
    train::Control,
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
    let survey = Survey::of(images, &fitter.input().read_options(*limits, None), &mut |done, total| {
        events(Event::Checked { done, total })
    })?;
    for (path, error) in &survey.unreadable {
        events(Event::Skipped { path, error });
    }
    for warning in survey.warnings() {
        events(Event::Warning(&warning));
    }
    survey.check_at_least(FEWEST_IMAGES)?;
    if let Some(ratio) = median_ratio(&survey.shapes) {
        fitter.shape_input(ratio)?;
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
    let images = &survey.images;
    let kept = match &fitter.options.features {
        None => None,
        Some(folder) => {
            let key = features_key(&fitter, images)?;
            Some((folder.join(format!("{}.{FEATURES_SUFFIX}", &key[..16])), key))
        }
    };
    let restored = match &kept {
        None => false,
        Some((path, key)) => fitter.cache.restore(path, key)?,
    };
    if restored {
        fitter.names = images.iter().map(|path| path.display().to_string()).collect();
        events(Event::Features { done: images.len(), total: images.len() });
    } else {
        let skipped = read(&mut fitter, images, limits, events)?;
        if let (Some((path, key)), 0) = (&kept, skipped) {
            fitter.cache.save(path, key)?;
        }
    }
    fitter.keep_golden_files(images, limits);
    let mut fitted = fitter.train_model(&mut |progress| events(Event::Training(progress)))?;
    if events(Event::Trained(&fitted)) == Control::Cancel {
        return Err(Error::Cancelled);
    }
    fitter.cross_fit(&mut fitted, &mut |progress| events(Event::Training(progress)))?;
    Ok(fitted)
}

/// What the features depend on: the backbone, the preprocessing, the augmentation, and every byte of every image in order.
fn features_key(fitter: &Fitter, images: &[PathBuf]) -> Result<String> {
    let mut hasher = Sha256::new();
    let options = (fitter.input(), fitter.options.augmentation, fitter.options.session.precision.to_string());
    let settings = serde_json::to_vec(&options).map_err(|error| Error::parameter("features", Reason::of(error)))?;
    hasher.update(fitter.backbone.sha256());
    hasher.update(settings);
    for path in images {
        hasher.update(NetworkSource::Path(path).sha256()?);
    }
    Ok(hex(&hasher.finalize()))
}

/// Makes the features of every image; gives the number of images that failed.
fn read(
    fitter: &mut Fitter,
    images: &[PathBuf],
    limits: &Limits,
    events: &mut dyn FnMut(Event<'_>) -> Control,
) -> Result<usize> {
    let input = *fitter.input();
    let mut skipped = 0;
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel(4);
        scope.spawn(move || read_tensors(images, limits, input, &sender));
        for (index, tensor) in receiver.iter().enumerate() {
            let name = images[index].display().to_string();
            match tensor.and_then(|tensor: Vec<f32>| fitter.push_tensor(&tensor, name)) {
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

/// Decodes and preprocesses the images in order, until the receiver is gone.
fn read_tensors(images: &[PathBuf], limits: &Limits, input: Preprocess, sender: &mpsc::SyncSender<Result<Vec<f32>>>) {
    let length = input.len();
    let options = input.read_options(*limits, None);
    let mut preprocessor = match Preprocessor::new(input) {
        Ok(preprocessor) => preprocessor,
        Err(error) => return drop(sender.send(Err(error))),
    };
    for path in images {
        let tensor = Image::open_with(path, &options).and_then(|image| {
            let mut tensor = vec![0.0; length];
            preprocessor.run(&image.frame(), &mut tensor).map(|()| tensor)
        });
        if sender.send(tensor).is_err() {
            return;
        }
    }
}

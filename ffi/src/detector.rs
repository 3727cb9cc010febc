//! Looking at one image after another.

use std::sync::Arc;

use ndarray::{Array2, ArrayView2};
use uflow::{
    detector::{DetectOptions, Detector},
    engine::Model,
    frame::Limits,
};

use crate::{
    guard::{Exclusive, Outcome, guard, infallible},
    image::{Picture, picture, uflow_image},
    model::uflow_model,
    options::{self, uflow_options},
    pointer::{self, Out},
    result::{Contents, uflow_result},
    status::uflow_status,
};

/// What of the maps a result keeps, to be added up.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum uflow_maps {
    /// None: verdict, figures and regions alone.
    UFLOW_MAPS_NONE = 0,
    /// The mask at the image's size.
    UFLOW_MAPS_MASK = 1,
    /// The score map at the network's input size.
    UFLOW_MAPS_SCORE = 2,
    /// The log₁₀NFA map at the network's input size.
    UFLOW_MAPS_LOG10_NFA = 4,
}

const ALL_MAPS: u32 = 7;

/// Looks at one image after another with a model: the calling thread does the work and waits for it.
///
/// It belongs to the caller, who frees it with `uflow_detector_free`. One thread at a time: give each thread its own; those of one
/// model share its networks. Results are the same to the bit as those of the `uflow` command.
#[derive(Debug)]
pub struct uflow_detector(Exclusive<State>);

#[derive(Debug)]
struct State {
    detector: Detector,
    limits: Limits,
    maps: u32,
}

/// Makes a detector. `*detector` is the caller's, to be freed with `uflow_detector_free`; `model` may be freed before it.
///
/// # Safety
/// `model` is NULL (an error) or a model that was not freed; `detector` is NULL (an error) or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_detector_new(
    model: *const uflow_model,
    detector: *mut *mut uflow_detector,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (out, model) = unsafe { (Out::new(detector, "detector")?, pointer::required(model, "model")?) };
        let model: &Arc<Model> = &model.model;
        let state = State { detector: Detector::of(model)?, limits: model.limits(), maps: 0 };
        out.give(uflow_detector(Exclusive::new(state)));
        Ok(())
    })
}

/// Frees a detector. NULL is allowed.
///
/// # Safety
/// `detector` is NULL or a detector that was not freed and that no other thread is using.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_detector_free(detector: *mut uflow_detector) {
    // SAFETY: NULL or a detector that this library made, by this function's contract.
    infallible((), || unsafe { pointer::free(detector) });
}

/// Sets which maps results keep from now on: a sum of `uflow_maps`, `UFLOW_MAPS_NONE` at first.
///
/// # Safety
/// `detector` is NULL (an error) or a detector that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_detector_keep_maps(detector: *mut uflow_detector, maps: u32) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let detector = unsafe { pointer::required(detector, "detector") }?;
        if maps & !ALL_MAPS != 0 {
            return Err(uflow_status::argument("maps", format_args!("{maps} is no sum of UFLOW_MAPS")));
        }
        detector.0.take("detector")?.maps = maps;
        Ok(())
    })
}

/// Looks at an image and fills `result`. `options` may be NULL: what the package says. The image is read during the call alone.
///
/// Fails with `UFLOW_STATUS_INVALID_IMAGE`, `UFLOW_STATUS_UNDECODABLE` or `UFLOW_STATUS_OVER_LIMIT` for an image that is none,
/// `UFLOW_STATUS_INVALID_ARGUMENT` for options that do not fit the model, `UFLOW_STATUS_NETWORK` or `UFLOW_STATUS_NON_FINITE` for a network
/// that fails. Then `result` keeps what it had.
///
/// # Safety
/// `detector`, `image` and `result` are NULL (an error) or what they say; the bytes that `image` names are there and are not
/// changed during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_detector_detect(
    detector: *mut uflow_detector,
    image: *const uflow_image,
    options: *const uflow_options,
    result: *mut uflow_result,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        unsafe {
            let mut state = pointer::required(detector, "detector")?.0.take("detector")?;
            let mut contents = pointer::required(result, "result")?.0.take("result")?;
            let options = options::read(options)?;
            detect(&mut state, image, &options, &mut contents)
        }
    })
}

/// # Safety
/// `image` is NULL (an error) or an image whose bytes are there.
unsafe fn detect(
    state: &mut State,
    image: *const uflow_image,
    options: &DetectOptions,
    contents: &mut Contents,
) -> Outcome {
    let start = std::time::Instant::now();
    // SAFETY: by this function's contract.
    let picture = unsafe { picture(image, &state.limits) }?;
    let decode = match picture {
        Picture::Lent(_) => 0.0,
        Picture::Decoded(_) => start.elapsed().as_secs_f64() * 1e3,
    };
    let frame = picture.frame();
    let mut found = state.detector.detect(&frame, options)?;
    found.timings_ms.decode = decode;
    contents.detection = Some(found);
    contents.size = (frame.height(), frame.width());
    let keep = |map: uflow_maps| state.maps & map as u32 != 0;
    let maps = state.detector.maps();
    assign(&mut contents.mask, keep(uflow_maps::UFLOW_MAPS_MASK).then(|| state.detector.mask()));
    assign(&mut contents.score_map, maps.filter(|_| keep(uflow_maps::UFLOW_MAPS_SCORE)).map(|maps| maps.score));
    let log10_nfa = maps.filter(|_| keep(uflow_maps::UFLOW_MAPS_LOG10_NFA)).map(|maps| maps.log10_nfa);
    assign(&mut contents.log10_nfa_map, log10_nfa);
    Ok(())
}

/// Copies a map into memory that is used again; without one it is left empty.
fn assign<T: Copy + Default>(kept: &mut Array2<T>, map: Option<ArrayView2<'_, T>>) {
    match map {
        Some(map) if kept.dim() == map.dim() => kept.assign(&map),
        Some(map) => *kept = map.to_owned(),
        None => *kept = Array2::default((0, 0)),
    }
}

/// Looks at an image for its score and verdict alone. `score` or `anomalous` may be NULL where it is not wanted. Otherwise as
/// `uflow_detector_detect`.
///
/// # Safety
/// As `uflow_detector_detect`; `score` and `anomalous` are NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_detector_score(
    detector: *mut uflow_detector,
    image: *const uflow_image,
    options: *const uflow_options,
    score: *mut f32,
    anomalous: *mut u32,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        unsafe {
            let score = (!score.is_null()).then(|| Out::new(score, "score")).transpose()?;
            let anomalous = (!anomalous.is_null()).then(|| Out::new(anomalous, "anomalous")).transpose()?;
            let mut state = pointer::required(detector, "detector")?.0.take("detector")?;
            let options = options::read(options)?;
            let picture = picture(image, &state.limits)?;
            let found = state.detector.detect(&picture.frame(), &options)?;
            score.into_iter().for_each(|out| out.set(found.score));
            anomalous.into_iter().for_each(|out| out.set(found.anomalous.into()));
            Ok(())
        }
    })
}

//! Looking at one image after another, or at several together.

use std::{mem, slice, sync::Arc, time::Instant};

use uflow::{
    engine::Model,
    frame::{Frame, Limits},
    pipeline::{Decision, Detector, Timings},
    segment::Regions,
};

use crate::{
    buffers::{Buffers, uflow_buffers},
    contents::{Contents, Found},
    guard::{Exclusive, Outcome, guard, infallible},
    image::{Checked, Picture, picture, uflow_image},
    model::uflow_model,
    options::{self, CallOptions, uflow_options},
    pointer::{self, Out},
    result::uflow_result,
    status::uflow_status,
};

/// Most images that go through the network together.
const MAX_BATCH: usize = 1024;

/// Looks at one image after another with a model: the calling thread does the work and waits for it.
///
/// It belongs to the caller, who frees it with `uflow_detector_free`. One thread at a time: give each thread its own; those of one
/// model share its networks, which take their images in turn. Results are the same to the bit as those of the `uflow` command.
#[derive(Debug)]
pub struct uflow_detector(Exclusive<State>);

#[derive(Debug)]
struct State {
    detector: Detector,
    limits: Limits,
    /// Where a batch's results wait until all of them are there.
    spare: Vec<Contents>,
}

impl State {
    /// (height, width) of the maps.
    fn maps(&self) -> (u32, u32) {
        let input = self.detector.manifest().input;
        (input.height, input.width)
    }
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
        let state = State { detector: model.detector()?, limits: model.limits(), spare: Vec::new() };
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
    // SAFETY: by this function's contract.
    unsafe { uflow_detector_detect_into(detector, image, options, std::ptr::null(), result) }
}

/// Looks at an image, writes maps to the caller's `buffers` (NULL: to none) and fills `result`. For raw images of one size, with one
/// region of interest, it allocates nothing beside what ONNX Runtime's own run does, once it has seen as many regions. Otherwise as
/// `uflow_detector_detect`; `UFLOW_STATUS_BUFFER_TOO_SMALL` for a buffer without room, before the network runs.
///
/// # Safety
/// As `uflow_detector_detect`; `buffers` is NULL or has as much room as it says, which nobody else reads or writes during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_detector_detect_into(
    detector: *mut uflow_detector,
    image: *const uflow_image,
    options: *const uflow_options,
    buffers: *const uflow_buffers,
    result: *mut uflow_result,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        unsafe {
            let mut state = pointer::required(detector, "detector")?.0.take("detector")?;
            let mut contents = pointer::required(result, "result")?.0.take("result")?;
            let options = options::read(options)?;
            let start = Instant::now();
            let picture = picture(image, &state.limits)?;
            let decode = picture.decode_ms(start);
            let frame = picture.frame();
            let mut buffers = Some(Buffers::new(buffers, (frame.height(), frame.width()), state.maps())?);
            run(&mut state, slice::from_ref(&frame), &options, |_, regions, found| {
                let found = Found { timings: Timings { decode, ..found.timings }, ..found };
                buffers.take().unwrap_or_default().write(&found);
                contents.fill(&found, regions, &options);
            })
        }
    })
}

/// Runs frames through detector and network; `each` gets what was found in every one of them, its number first.
fn run(
    state: &mut State,
    frames: &[Frame<'_>],
    options: &CallOptions,
    mut each: impl FnMut(usize, &Regions, Found<'_>),
) -> Outcome {
    let rule = state.detector.manifest().rule(&options.decision)?;
    state.detector.process(frames, &rule, false, |processed| {
        let maps = processed.post.maps();
        let found = Found {
            decision: processed.decision,
            timings: processed.timings,
            size: (frames[processed.index].height(), frames[processed.index].width()),
            mask: Some(processed.post.mask()),
            score_map: maps.map(|maps| maps.score),
            log10_nfa_map: maps.map(|maps| maps.log10_nfa),
        };
        each(processed.index, processed.post.regions(), found);
        Ok(())
    })?;
    Ok(())
}

/// Looks at `count` images (1 to 1024) that go through the network together, and fills as many results: `images` is an array of
/// structs, `results` one of handles, all of them different. Scores differ from those of one image at a time by at most 1e-5.
/// An image or network that fails makes the call fail, as `uflow_detector_detect` does, and every result keeps what it had; for an
/// image, the message says which.
///
/// # Safety
/// `detector` is NULL (an error) or a detector that was not freed; `images` is NULL (an error) or an array of `count` structs of
/// one size, whose bytes are there and are not changed during the call; `results` is NULL (an error) or an array of `count`
/// pointers, each NULL (an error) or a result that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_detector_detect_batch(
    detector: *mut uflow_detector,
    images: *const uflow_image,
    count: usize,
    options: *const uflow_options,
    results: *const *mut uflow_result,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        unsafe {
            let mut state = pointer::required(detector, "detector")?.0.take("detector")?;
            if !(1..=MAX_BATCH).contains(&count) {
                return Err(uflow_status::argument("count", format_args!("{count} is not 1 to {MAX_BATCH}")));
            }
            let options = options::read(options)?;
            let handles = pointer::values(results, count, "results")?;
            let mut contents = Vec::with_capacity(count);
            for (index, handle) in handles.iter().enumerate() {
                if handles[..index].contains(handle) {
                    return Err(uflow_status::argument("results", format_args!("number {index} is there twice")));
                }
                contents.push(pointer::required(*handle, "results")?.0.take("results")?);
            }
            let mut pictures = Vec::with_capacity(count);
            for (index, image) in pointer::read_array(images, count)?.enumerate() {
                let start = Instant::now();
                let of = |status: uflow_status| status.prefixed(&format!("image {index}"));
                let checked = Checked::new(&image?, &state.limits).map_err(of)?;
                let picture: Picture<'_> = checked.picture(&state.limits).map_err(of)?;
                let decode = picture.decode_ms(start);
                pictures.push((picture, decode));
            }
            let frames: Vec<Frame<'_>> = pictures.iter().map(|(picture, _)| picture.frame()).collect();
            let mut spare = mem::take(&mut state.spare);
            spare.resize_with(count.max(spare.len()), Contents::default);
            let outcome = run(&mut state, &frames, &options, |index, regions, found| {
                let timings = Timings { decode: pictures[index].1, ..found.timings };
                spare[index].fill(&Found { timings, ..found }, regions, &options);
            });
            if outcome.is_ok() {
                contents.iter_mut().zip(&mut spare).for_each(|(contents, found)| mem::swap(&mut **contents, found));
            }
            spare.truncate(count);
            state.spare = spare;
            outcome
        }
    })
}

/// Looks at an image for its score and verdict alone. `score` or `anomalous` may be NULL where it is not wanted; without `anomalous`
/// nothing is segmented, which is quicker. Otherwise as `uflow_detector_detect`.
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
            let (score, anomalous) = (Out::wanted(score, "score")?, Out::wanted(anomalous, "anomalous")?);
            let mut state = pointer::required(detector, "detector")?.0.take("detector")?;
            let options = options::read(options)?;
            let picture = picture(image, &state.limits)?;
            let frame = picture.frame();
            let Some(anomalous) = anomalous else {
                let found = state.detector.score(&frame, &options.decision)?;
                score.into_iter().for_each(|out| out.set(found));
                return Ok(());
            };
            let mut decision: Option<Decision> = None;
            run(&mut state, slice::from_ref(&frame), &options, |_, _, found| decision = Some(found.decision))?;
            if let Some(decision) = decision {
                score.into_iter().for_each(|out| out.set(decision.score));
                anomalous.set(decision.anomalous.into());
            }
            Ok(())
        }
    })
}

//! Detection in one image after another, or in several together.

use std::{mem, slice, sync::Arc, time::Instant};

use uflow::{
    engine::Model,
    frame::{Frame, ReadOptions},
    pipeline::{Decision, Detector, Timings},
    segment::Regions,
};

use crate::{
    buffers::{Buffers, uflow_buffers},
    choices::uflow_maps,
    contents::{Contents, FoundContents},
    guard::{CallResult, Exclusive, guard, infallible},
    image::{Checked, Picture, picture, uflow_image},
    model::uflow_model,
    options::{self, CallOptions, uflow_options},
    pointer::{self, Out},
    result::uflow_result,
    status::uflow_status,
};

/// The largest batch.
const MAX_BATCH: usize = 1024;

/// Finds defects in one image after another. The work is done in the calling thread, before the call returns.
///
/// The caller owns a detector and frees it with `uflow_detector_free`. One thread at a time: give each thread its own. The detectors of
/// one model share its networks, which take their images in turn. Results are the same as those of the `uflow` command, to the bit.
#[derive(Debug)]
pub struct uflow_detector(Exclusive<DetectorState>);

#[derive(Debug)]
struct DetectorState {
    model: Arc<Model>,
    detector: Detector,
    read: ReadOptions,
    /// Holds a batch's results until all of them are there.
    spare: Vec<Contents>,
}

impl DetectorState {
    /// Logs if pictures plainly have fewer significant bits than is assumed.
    fn watch_depth(&self, picture: &Picture<'_>) {
        self.model.watch_depth(picture.significant_bits(), || picture.peak());
    }

    /// (height, width) of the maps.
    fn maps(&self) -> (u32, u32) {
        let (width, height) = self.detector.manifest().input.map_size();
        (height, width)
    }
}

/// Makes a detector. The caller owns `*detector` and frees it with `uflow_detector_free`; `model` may be freed earlier.
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
        let state = DetectorState {
            model: Arc::clone(model),
            detector: model.detector()?,
            read: model.manifest().input.read_options(model.limits(), None),
            spare: Vec::new(),
        };
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
    infallible((), || unsafe { pointer::free_engine(detector) });
}

/// Finds defects in an image and fills `result`. `options` may be NULL for the package's defaults. The image is read only during the
/// call.
///
/// Fails with `UFLOW_STATUS_INVALID_IMAGE`, `UFLOW_STATUS_UNDECODABLE` or `UFLOW_STATUS_OVER_LIMIT` for an invalid image,
/// `UFLOW_STATUS_INVALID_ARGUMENT` for options that do not fit the model, `UFLOW_STATUS_NETWORK` or `UFLOW_STATUS_NON_FINITE` if a network
/// fails. On failure `result` does not change.
///
/// # Safety
/// `detector`, `image` and `result` are NULL (an error) or valid; the bytes that `image` points to are there and do not change
/// during the call.
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

/// As `uflow_detector_detect`, and also writes maps to the caller's `buffers` (may be NULL). For raw images of one size and one region
/// of interest, after the first images, this allocates no memory apart from ONNX Runtime's own run.
/// `UFLOW_STATUS_BUFFER_TOO_SMALL` for a buffer that is too small, before the network runs.
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
            let options = options::read(options)?.without_queue()?;
            let start = Instant::now();
            let picture = picture(image, &state.read)?;
            state.watch_depth(&picture);
            let decode = picture.decode_ms(start);
            let frame = picture.frame();
            let mut buffers = Some(Buffers::new(buffers, (frame.height(), frame.width()), state.maps())?);
            run(&mut state, slice::from_ref(&frame), &options, |_, regions, found| {
                let found = FoundContents { timings: Timings { decode, ..found.timings }, ..found };
                buffers.take().unwrap_or_default().write(&found);
                contents.fill(&found, regions, &options);
            })
        }
    })
}

/// Runs frames through the detector; `each` receives the index and the detection of every frame.
fn run(
    state: &mut DetectorState,
    frames: &[Frame<'_>],
    options: &CallOptions,
    mut each: impl FnMut(usize, &Regions, FoundContents<'_>),
) -> CallResult {
    let (scales, want_latents) =
        (state.detector.manifest().scales.len(), options.wants(uflow_maps::UFLOW_MAPS_LATENTS));
    let rule = state.detector.manifest().rule(&options.decision)?;
    state.detector.process(frames, &rule, want_latents, |processed| {
        let maps = processed.post.maps();
        let found = FoundContents {
            decision: processed.decision,
            timings: processed.timings,
            size: (frames[processed.index].height(), frames[processed.index].width()),
            batch: frames.len(),
            mask: Some(processed.post.mask()),
            score_map: maps.map(|maps| maps.score),
            log10_nfa_map: maps.map(|maps| maps.log10_nfa),
            latents: Some((processed.evidence, scales)),
        };
        each(processed.index, processed.post.regions(), found);
        Ok(())
    })?;
    Ok(())
}

/// Finds defects in `count` images (1 to 1024) that go through the network together, and fills as many results. `images` is an array of
/// structs, `results` an array of handles, all different. `score_max` differs from that of single images by at most 1e-5. If an image or
/// a network fails, the call fails as `uflow_detector_detect` does, and no result changes. Messages name the element, e.g.
/// `images[3]`.
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
            let options = options::read(options)?.without_queue()?;
            let handles = pointer::values(results, count, "results")?;
            let mut contents = Vec::with_capacity(count);
            for (index, handle) in handles.iter().enumerate() {
                let name = format!("results[{index}]");
                let result = pointer::required(*handle, &name)?;
                if let Some(first) = handles[..index].iter().position(|other| other == handle) {
                    return Err(uflow_status::argument(&name, format_args!("is the same as results[{first}]")));
                }
                contents.push(result.0.take(&name)?);
            }
            let mut pictures = Vec::with_capacity(count);
            for (index, image) in pointer::read_array(images, count, "images")?.enumerate() {
                let start = Instant::now();
                let of = |status: uflow_status| status.prefixed(&format!("images[{index}]"));
                let checked = Checked::new(&image?, &state.read.limits).map_err(of)?;
                let picture: Picture<'_> = checked.picture(&state.read).map_err(of)?;
                state.watch_depth(&picture);
                let decode = picture.decode_ms(start);
                pictures.push((picture, decode));
            }
            let frames: Vec<Frame<'_>> = pictures.iter().map(|(picture, _)| picture.frame()).collect();
            let mut spare = mem::take(&mut state.spare);
            spare.resize_with(count.max(spare.len()), Contents::default);
            let outcome = run(&mut state, &frames, &options, |index, regions, found| {
                let timings = Timings { decode: pictures[index].1, ..found.timings };
                spare[index].fill(&FoundContents { timings, ..found }, regions, &options);
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

/// Gives the score and the verdict of an image, without regions. Either pointer may be NULL. Otherwise as `uflow_detector_detect`.
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
            let options = options::read(options)?.without_queue()?;
            let picture = picture(image, &state.read)?;
            state.watch_depth(&picture);
            let frame = picture.frame();
            let mut decision: Option<Decision> = None;
            run(&mut state, slice::from_ref(&frame), &options, |_, _, found| decision = Some(found.decision))?;
            if let Some(decision) = decision {
                score.into_iter().for_each(|out| out.set(decision.score));
                anomalous.into_iter().for_each(|out| out.set(decision.anomalous.into()));
            }
            Ok(())
        }
    })
}

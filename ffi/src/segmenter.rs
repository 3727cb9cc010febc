//! Segmentation of latents from any network.

use std::{mem::offset_of, ptr, time::Instant};

use ndarray::ArrayView3;
use uflow::{
    frame::Limits,
    latents::ScaleShape,
    pipeline::{Evidence, PostProcessor, Timings},
    preprocess::MAX_INPUT_SIZE,
    segment::{DecisionRule, Segmenter},
};

use crate::{
    buffers::{Buffers, uflow_buffers},
    contents::{Contents, FoundContents},
    guard::{CallResult, Exclusive, guard, infallible},
    options::{self, CallOptions, uflow_options},
    pointer::{self, Out, Versioned},
    result::uflow_result,
    status::uflow_status,
};

/// The most scales of a flow.
const MAX_SCALES: usize = 16;

/// The latents z of one scale, in the caller's memory. Begin with `UFLOW_LATENTS_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uflow_latents {
    /// sizeof(uflow_latents).
    pub struct_size: usize,
    /// channels × height × width numbers without gaps, channel by channel.
    pub data: *const f32,
    /// The number of values that `data` points to.
    pub size: usize,
    /// Channels C.
    pub channels: u32,
    /// Rows H.
    pub height: u32,
    /// Columns W.
    pub width: u32,
    /// 0.
    pub reserved: u32,
}

impl Versioned for uflow_latents {
    const FIRST: usize = offset_of!(Self, reserved) + size_of::<u32>();
    const EMPTY: Self =
        Self { struct_size: 0, data: ptr::null(), size: 0, channels: 0, height: 0, width: 0, reserved: 0 };
    const NAME: &str = "latents";
}

/// Segments the latents of one image after another, from any network. It needs no engine and no model.
///
/// The caller owns a segmenter and frees it with `uflow_segmenter_free`; one thread at a time.
#[derive(Debug)]
pub struct uflow_segmenter(Exclusive<SegmenterState>);

#[derive(Debug)]
struct SegmenterState {
    /// (height, width) of the maps.
    maps: (u32, u32),
    /// The post-processor for the shapes of the last latents.
    post: Option<(Vec<ScaleShape>, PostProcessor)>,
}

/// Makes a segmenter whose maps have `width` × `height` pixels, 1 to 8192 each; usually the network's input size. The caller owns
/// `*segmenter` and frees it with `uflow_segmenter_free`.
///
/// # Safety
/// `segmenter` is NULL (an error) or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_segmenter_new(
    width: u32,
    height: u32,
    segmenter: *mut *mut uflow_segmenter,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let out = unsafe { Out::new(segmenter, "segmenter") }?;
        // Sizes that no map can have are refused here.
        if [width, height].iter().any(|side| !(1..=MAX_INPUT_SIZE).contains(side)) {
            let reason = format!("{width}×{height} (width × height) is not 1 to {MAX_INPUT_SIZE} a side");
            return Err(uflow_status::argument("size", reason));
        }
        Segmenter::new(&[ScaleShape { channels: 1, height: 1, width: 1 }], height as usize, width as usize)?;
        let state = SegmenterState { maps: (height, width), post: None };
        out.give(uflow_segmenter(Exclusive::new(state)));
        Ok(())
    })
}

/// Frees a segmenter. NULL is allowed.
///
/// # Safety
/// `segmenter` is NULL or a segmenter that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_segmenter_free(segmenter: *mut uflow_segmenter) {
    // SAFETY: NULL or a segmenter that this library made, by this function's contract.
    infallible((), || unsafe { pointer::free(segmenter) });
}

/// Segments the latents of one image: an array of `scales` (1 to 16) structs, the finest scale first. Regions are in pixels of an image
/// of `image_width` × `image_height`; both 0: of the maps. Maps are written to `buffers` (NULL: none), everything else to `result`.
///
/// Of `options` (may be NULL) it uses ε (default 1), verdict (`UFLOW_VERDICT_NFA`), score threshold, smallest area (0), bound
/// (`UFLOW_BOUND_CHERNOFF`), count of tests (`UFLOW_TESTS_PAPER`), region of interest and maps. The latents are read only during the
/// call. As long as the shapes stay the same, it allocates no memory after the first images.
///
/// Fails with `UFLOW_STATUS_INVALID_ARGUMENT` for invalid shapes, sizes or options, `UFLOW_STATUS_NON_FINITE` for latents that are not
/// finite, `UFLOW_STATUS_BUFFER_TOO_SMALL` for a buffer that is too small. On failure `result` does not change.
///
/// # Safety
/// `segmenter`, `latents` and `result` are NULL (an error) or valid, `options` and `buffers` NULL or valid; the memory that `latents`
/// and `buffers` point to is there, and others do not change it during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_segment_latents(
    segmenter: *mut uflow_segmenter,
    latents: *const uflow_latents,
    scales: usize,
    options: *const uflow_options,
    image_width: u32,
    image_height: u32,
    buffers: *const uflow_buffers,
    result: *mut uflow_result,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        unsafe {
            let mut state = pointer::required(segmenter, "segmenter")?.0.take("segmenter")?;
            let mut contents = pointer::required(result, "result")?.0.take("result")?;
            let options = options::read(options)?.without_queue()?;
            if !(1..=MAX_SCALES).contains(&scales) {
                return Err(uflow_status::argument("scales", format_args!("{scales} is not 1 to {MAX_SCALES}")));
            }
            let nothing =
                ArrayView3::from_shape((0, 0, 0), &[][..]).map_err(|error| uflow_status::argument("latents", error))?;
            let mut views = [nothing; MAX_SCALES];
            for (index, (scale, view)) in pointer::read_array(latents, scales, "latents")?.zip(&mut views).enumerate() {
                *view = read(&scale?).map_err(|status| status.prefixed(&format!("latents[{index}]")))?;
            }
            let size = match (image_height, image_width) {
                (0, 0) => state.maps,
                size => size,
            };
            Limits::default().check_pixels(size.1, size.0)?;
            let buffers = Buffers::new(buffers, size, state.maps)?;
            segment(&mut state, &views[..scales], size, &options, buffers, &mut contents)
        }
    })
}

/// # Safety
/// The numbers that `scale` points to live for `'a` and are not changed meanwhile.
unsafe fn read<'a>(scale: &uflow_latents) -> CallResult<ArrayView3<'a, f32>> {
    if scale.reserved != 0 {
        return Err(uflow_status::argument("latents.reserved", format_args!("is {}, not 0", scale.reserved)));
    }
    // SAFETY: by this function's contract.
    let data = unsafe { pointer::values(scale.data, scale.size, "latents.data") }?;
    let shape = (scale.channels as usize, scale.height as usize, scale.width as usize);
    let wanted = shape.0.checked_mul(shape.1).and_then(|area| area.checked_mul(shape.2));
    match wanted.and_then(|wanted| data.get(..wanted)) {
        Some(data) => ArrayView3::from_shape(shape, data).map_err(|error| uflow_status::argument("latents", error)),
        None => {
            let reason = format!("{} numbers are too few for {}×{}×{}", data.len(), shape.0, shape.1, shape.2);
            Err(uflow_status::argument("latents.size", reason))
        }
    }
}

fn segment(
    state: &mut SegmenterState,
    latents: &[ArrayView3<'_, f32>],
    size: (u32, u32),
    options: &CallOptions,
    buffers: Buffers<'_>,
    contents: &mut Contents,
) -> CallResult {
    let rule = DecisionRule::without_package(&options.decision)?;
    let start = Instant::now();
    let post = fitted(state, latents)?;
    let decision = post.decide(Evidence::Latents(latents), size, &rule)?;
    let maps = post.maps();
    let found = FoundContents {
        decision,
        timings: Timings { segmentation: start.elapsed().as_secs_f64() * 1e3, ..Timings::default() },
        size,
        mask: Some(post.mask()),
        score_map: maps.map(|maps| maps.score),
        log10_nfa_map: maps.map(|maps| maps.log10_nfa),
        latents: Some((Evidence::Latents(latents), latents.len())),
        batch: 1,
    };
    buffers.write(&found);
    contents.fill(&found, post.regions(), options);
    Ok(())
}

/// The post-processor for these shapes; a new one if they have changed.
fn fitted<'s>(state: &'s mut SegmenterState, latents: &[ArrayView3<'_, f32>]) -> CallResult<&'s mut PostProcessor> {
    let shapes =
        latents.iter().map(|map| map.dim()).map(|(channels, height, width)| ScaleShape { channels, height, width });
    let made = match state.post.take() {
        Some(made) if shapes.clone().eq(made.0.iter().copied()) => made,
        _ => {
            let shapes: Vec<ScaleShape> = shapes.collect();
            let post = PostProcessor::for_latents(&shapes, state.maps, None, None)?;
            (shapes, post)
        }
    };
    Ok(&mut state.post.insert(made).1)
}

//! What was found in an image.

use ndarray::{Array2, ArrayView2};
use uflow::detector::{Detection, Timings};

use crate::{
    guard::{Exclusive, Outcome, guard, infallible},
    pointer::{self, Out, OutStruct, Versioned},
    status::{
        uflow_status,
        uflow_status_code::{UFLOW_STATUS_BUFFER_TOO_SMALL, UFLOW_STATUS_NOT_FOUND},
    },
};

/// What was found in an image: verdict, score, regions, timings, and the maps that the options asked for.
///
/// It belongs to the caller, who frees it with `uflow_result_free`; one thread at a time. A call that fills it writes over what was
/// in it: use one again for the next image rather than making a new one, and its memory is used again.
#[derive(Debug)]
pub struct uflow_result(pub(crate) Exclusive<Contents>);

#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) detection: Option<Detection>,
    /// (height, width) of the image.
    pub(crate) size: (u32, u32),
    pub(crate) mask: Array2<u8>,
    pub(crate) score_map: Array2<f32>,
    pub(crate) log10_nfa_map: Array2<f32>,
}

impl Contents {
    fn detection(&self) -> Outcome<&Detection> {
        let empty = || uflow_status::argument("result", "nothing is in it yet; give it to a detector first");
        self.detection.as_ref().ok_or_else(empty)
    }
}

/// The verdict and its figures. Begin with `UFLOW_SUMMARY_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uflow_summary {
    /// sizeof(uflow_summary).
    pub struct_size: usize,
    /// 1 if the image is anomalous, else 0.
    pub anomalous: u32,
    /// The image score: the maximum of the score map, in [0, 1).
    pub score: f32,
    /// The lowest log₁₀NFA of the image; below log₁₀ ε it is a detection.
    pub log10_nfa_min: f32,
    /// How many regions there are.
    pub regions: u32,
    /// Columns of the image that coordinates refer to.
    pub width: u32,
    /// Rows of the image that coordinates refer to.
    pub height: u32,
    /// Milliseconds for decoding; 0 for raw images.
    pub decode_ms: f64,
    /// Milliseconds of waiting for a processor and for the network; 0 but for asynchronous frames.
    pub queue_ms: f64,
    /// Milliseconds for resizing and normalisation.
    pub preprocess_ms: f64,
    /// Milliseconds for backbone and flow.
    pub network_ms: f64,
    /// Milliseconds for maps, mask and regions.
    pub segmentation_ms: f64,
}

impl Versioned for uflow_summary {
    const FIRST: usize = size_of::<Self>();
    const EMPTY: Self = Self {
        struct_size: 0,
        anomalous: 0,
        score: 0.0,
        log10_nfa_min: 0.0,
        regions: 0,
        width: 0,
        height: 0,
        decode_ms: 0.0,
        queue_ms: 0.0,
        preprocess_ms: 0.0,
        network_ms: 0.0,
        segmentation_ms: 0.0,
    };
    const NAME: &str = "summary";
}

/// One region, in pixels of the image. Begin with `UFLOW_REGION_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uflow_region {
    /// sizeof(uflow_region).
    pub struct_size: usize,
    /// Left column of its bounding box.
    pub x: u32,
    /// Top row of its bounding box.
    pub y: u32,
    /// Columns of its bounding box.
    pub width: u32,
    /// Rows of its bounding box.
    pub height: u32,
    /// How many pixels it has.
    pub area: u32,
    /// The scale (0 = finest) with the strongest evidence where log₁₀NFA is lowest.
    pub scale: u32,
    /// Mean column of its pixels' centres.
    pub centroid_x: f64,
    /// Mean row of its pixels' centres.
    pub centroid_y: f64,
    /// Its lowest log₁₀NFA.
    pub log10_nfa_min: f32,
    /// Its highest anomaly score.
    pub score_max: f32,
    /// How many rings its outline has: the outer one, then those of its holes.
    pub rings: u32,
}

impl Versioned for uflow_region {
    const FIRST: usize = size_of::<Self>();
    const EMPTY: Self = Self {
        struct_size: 0,
        x: 0,
        y: 0,
        width: 0,
        height: 0,
        area: 0,
        scale: 0,
        centroid_x: 0.0,
        centroid_y: 0.0,
        log10_nfa_min: 0.0,
        score_max: 0.0,
        rings: 0,
    };
    const NAME: &str = "region";
}

/// A corner of an outline, in pixels of the image: corners lie between pixels, so x goes from 0 to its width.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct uflow_point {
    /// Columns from the left edge.
    pub x: u32,
    /// Rows from the top edge.
    pub y: u32,
}

/// Makes an empty result. `*result` is the caller's, to be freed with `uflow_result_free`.
///
/// # Safety
/// `result` is NULL (an error) or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_result_new(result: *mut *mut uflow_result) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let out = unsafe { Out::new(result, "result") }?;
        out.give(uflow_result(Exclusive::new(Contents::default())));
        Ok(())
    })
}

/// Frees a result. NULL is allowed.
///
/// # Safety
/// `result` is NULL or a result that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_result_free(result: *mut uflow_result) {
    // SAFETY: NULL or a result that this library made, by this function's contract.
    infallible((), || unsafe { pointer::free(result) });
}

/// Writes verdict, figures and timings to `*summary`.
///
/// # Safety
/// `result` is NULL (an error) or a result that was not freed; `summary` is NULL (an error) or a struct with its size set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_result_get_summary(
    result: *const uflow_result,
    summary: *mut uflow_summary,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (out, result) = unsafe { (OutStruct::new(summary)?, pointer::required(result, "result")?) };
        let contents = result.0.take("result")?;
        let found = contents.detection()?;
        let Timings { decode, queue, preprocess, network, segmentation } = found.timings_ms;
        out.set(uflow_summary {
            struct_size: 0,
            anomalous: found.anomalous.into(),
            score: found.score,
            log10_nfa_min: found.log10_nfa_min,
            regions: found.regions.len() as u32,
            width: contents.size.1,
            height: contents.size.0,
            decode_ms: decode,
            queue_ms: queue,
            preprocess_ms: preprocess,
            network_ms: network,
            segmentation_ms: segmentation,
        });
        Ok(())
    })
}

/// Writes region `index` to `*region`; the most significant is number 0. `UFLOW_STATUS_NOT_FOUND` from the number of regions on.
///
/// # Safety
/// `result` is NULL (an error) or a result that was not freed; `region` is NULL (an error) or a struct with its size set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_result_get_region(
    result: *const uflow_result,
    index: u32,
    region: *mut uflow_region,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (out, result) = unsafe { (OutStruct::new(region)?, pointer::required(result, "result")?) };
        let contents = result.0.take("result")?;
        let found = at(&contents.detection()?.regions, index, "region")?;
        let ([x, y, width, height], [centroid_x, centroid_y]) = (found.bbox, found.centroid);
        out.set(uflow_region {
            struct_size: 0,
            x,
            y,
            width,
            height,
            area: found.area,
            scale: found.scale as u32,
            centroid_x,
            centroid_y,
            log10_nfa_min: found.log10_nfa_min,
            score_max: found.score_max,
            rings: found.outline.len() as u32,
        });
        Ok(())
    })
}

fn at<'a, T>(values: &'a [T], index: u32, what: &str) -> Outcome<&'a T> {
    let missing = || format!("there is no {what} {index}; there are {}", values.len());
    values.get(index as usize).ok_or_else(|| uflow_status::new(UFLOW_STATUS_NOT_FOUND, missing()))
}

/// Copies the corners of ring `ring` of region `region`'s outline to `points`, which has room for `capacity`, and their number to
/// `*count`. With `points` NULL and `capacity` 0 it writes the number alone. The polygon is closed: its last corner is joined with
/// its first.
///
/// `UFLOW_STATUS_BUFFER_TOO_SMALL` where there are more than `capacity`, `UFLOW_STATUS_NOT_FOUND` for a region or ring that is none.
///
/// # Safety
/// `result` is NULL (an error) or a result that was not freed; `points` is NULL or has room; `count` is NULL (an error) or may be
/// written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_result_get_outline(
    result: *const uflow_result,
    region: u32,
    ring: u32,
    points: *mut uflow_point,
    capacity: usize,
    count: *mut usize,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (out, result) = unsafe { (Out::new(count, "count")?, pointer::required(result, "result")?) };
        let contents = result.0.take("result")?;
        let ring = at(&at(&contents.detection()?.regions, region, "region")?.outline, ring, "ring")?;
        if !points.is_null() || capacity > 0 {
            room("points", capacity, ring.len())?;
            // SAFETY: by this function's contract.
            let points = unsafe { pointer::values_mut(points, capacity, "points") }?;
            points.iter_mut().zip(ring).for_each(|(point, &[x, y])| *point = uflow_point { x, y });
        }
        out.set(ring.len());
        Ok(())
    })
}

fn room(name: &str, capacity: usize, wanted: usize) -> Outcome {
    if capacity >= wanted {
        return Ok(());
    }
    let message = format!("{name}: room for {capacity}, and {wanted} are needed");
    Err(uflow_status::new(UFLOW_STATUS_BUFFER_TOO_SMALL, message))
}

/// Copies one of a result's maps into a buffer of the caller's.
///
/// # Safety
/// `result` is NULL (an error) or a result that was not freed; `pixels` is NULL (an error) or has room for `capacity` values.
unsafe fn copy_map<T: Copy>(
    result: *const uflow_result,
    what: &str,
    map: impl FnOnce(&Contents) -> ArrayView2<'_, T>,
    pixels: *mut T,
    capacity: usize,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let contents = unsafe { pointer::required(result, "result") }?.0.take("result")?;
        contents.detection()?;
        let map = map(&contents);
        if map.is_empty() {
            let reason = format!("the {what} was not asked for; ask with uflow_detector_keep_maps");
            return Err(uflow_status::new(UFLOW_STATUS_NOT_FOUND, reason));
        }
        room("pixels", capacity, map.len())?;
        // SAFETY: by this function's contract.
        let pixels = unsafe { pointer::values_mut(pixels, capacity, "pixels") }?;
        pixels.iter_mut().zip(&map).for_each(|(pixel, &value)| *pixel = value);
        Ok(())
    })
}

/// Copies the mask at the image's size to `pixels`: height × width bytes without gaps, 1 where log₁₀NFA < log₁₀ ε, else 0; regions
/// under the smallest area are part of it.
///
/// `UFLOW_STATUS_BUFFER_TOO_SMALL` where `capacity` is less; `UFLOW_STATUS_NOT_FOUND` where `uflow_detector_keep_maps` did not ask for it.
///
/// # Safety
/// `result` is NULL (an error) or a result that was not freed; `pixels` is NULL (an error) or has room for `capacity` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_result_copy_mask(
    result: *const uflow_result,
    pixels: *mut u8,
    capacity: usize,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe { copy_map(result, "mask", |contents| contents.mask.view(), pixels, capacity) }
}

/// Copies the score map (Eq. 2), input_height × input_width numbers in [0, 1) without gaps, to `pixels`. Otherwise as
/// `uflow_result_copy_mask`; `capacity` counts numbers.
///
/// # Safety
/// `result` is NULL (an error) or a result that was not freed; `pixels` is NULL (an error) or has room for `capacity` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_result_copy_score_map(
    result: *const uflow_result,
    pixels: *mut f32,
    capacity: usize,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe { copy_map(result, "score map", |contents| contents.score_map.view(), pixels, capacity) }
}

/// Copies the log₁₀NFA map, input_height × input_width numbers without gaps, to `pixels`. Otherwise as `uflow_result_copy_mask`;
/// `capacity` counts numbers.
///
/// # Safety
/// `result` is NULL (an error) or a result that was not freed; `pixels` is NULL (an error) or has room for `capacity` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_result_copy_log10_nfa_map(
    result: *const uflow_result,
    pixels: *mut f32,
    capacity: usize,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe { copy_map(result, "log10_nfa map", |contents| contents.log10_nfa_map.view(), pixels, capacity) }
}

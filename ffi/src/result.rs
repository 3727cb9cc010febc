//! Results: what was found in an image.

mod maps;

use std::mem::offset_of;

pub use self::maps::*;
use uflow::pipeline::Timings;

use crate::{
    contents::{Contents, missing},
    guard::{Exclusive, guard, infallible},
    pointer::{self, Out, OutStruct, Versioned},
    status::uflow_status,
};

/// What was found in an image: verdict, score, regions, timings, and the maps that the options asked for.
///
/// The caller owns a result and frees it with `uflow_result_free`; one thread at a time. A call that fills it replaces its contents and
/// reuses its memory: use one result for many images.
#[derive(Debug)]
pub struct uflow_result(pub(crate) Exclusive<Contents>);

/// The verdict and the figures of a result. Begin with `UFLOW_SUMMARY_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uflow_summary {
    /// sizeof(uflow_summary).
    pub struct_size: usize,
    /// 1 if the image is anomalous, else 0.
    pub anomalous: u32,
    /// The image score: −log₁₀NFA of the most unusual region. Higher is more anomalous, without an upper limit.
    pub score: f32,
    /// The lowest log₁₀NFA of the image. If it is below log₁₀ ε (with `UFLOW_VERDICT_REJECT`: if the image is anomalous), the mask
    /// has at least one pixel, whatever the size of the image.
    pub log10_nfa_min: f32,
    /// The number of regions.
    pub regions: u32,
    /// Columns of the image that coordinates refer to.
    pub width: u32,
    /// Rows of the image that coordinates refer to.
    pub height: u32,
    /// Milliseconds for decoding; 0 for raw images.
    pub decode_ms: f64,
    /// Milliseconds of waiting for a processor and for the network; 0 except for frames of a stream.
    pub queue_ms: f64,
    /// Milliseconds for resizing and normalisation.
    pub preprocess_ms: f64,
    /// Milliseconds for backbone and flow, of the whole batch.
    pub network_ms: f64,
    /// Milliseconds for maps, mask and regions.
    pub segmentation_ms: f64,
    /// The number of images that went through the network together, this one included.
    pub batch_size: u32,
    /// The number of scales whose latents the result has; 0 unless `UFLOW_MAPS_LATENTS` asked for them.
    pub latents: u32,
    /// The share of good images that are at least as unusual, above 0 and at most 1; NaN if the package knows no good images that
    /// were measured with these options. With `UFLOW_VERDICT_REJECT` an image is anomalous exactly if this is at most the reject
    /// rate, unless every region is smaller than the smallest area.
    pub p_value: f64,
    /// 1 if `p_value` is smaller than the package's good images can tell, below 1/(n + 1) for n images; it is then extrapolated.
    pub p_extrapolated: u32,
    /// The paper's image score: the maximum of the score map, in [0, 1]. Score thresholds apply to it.
    pub score_max: f32,
}

impl Versioned for uflow_summary {
    const FIRST: usize = offset_of!(Self, latents) + size_of::<u32>();
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
        batch_size: 0,
        latents: 0,
        p_value: f64::NAN,
        p_extrapolated: 0,
        score_max: 0.0,
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
    /// The number of its pixels.
    pub area: u32,
    /// The scale (0 is the finest) with the strongest evidence at the lowest log₁₀NFA.
    pub scale: u32,
    /// Centroid: the mean column of its pixels' centres.
    pub centroid_x: f64,
    /// Centroid: the mean row of its pixels' centres.
    pub centroid_y: f64,
    /// Its lowest log₁₀NFA.
    pub log10_nfa_min: f32,
    /// Its highest anomaly score.
    pub score_max: f32,
    /// The number of rings of its outline: the outer one, then one for each hole.
    pub rings: u32,
    /// 0.
    pub reserved: u32,
    /// The share of good images that have a region at least as unusual; NaN where the summary's is.
    pub p_value: f64,
}

impl Versioned for uflow_region {
    const FIRST: usize = offset_of!(Self, reserved) + size_of::<u32>();
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
        reserved: 0,
        p_value: f64::NAN,
    };
    const NAME: &str = "region";
}

/// A corner of an outline, in pixels of the image. Corners lie between pixels: x goes from 0 to the width, y from 0 to the height.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct uflow_point {
    /// Columns from the left edge.
    pub x: u32,
    /// Rows from the top edge.
    pub y: u32,
}

/// Makes an empty result. The caller owns `*result` and frees it with `uflow_result_free`.
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

/// Copies the contents of `from` to `to`, e.g. to keep the result that a callback received. The memory of `to` is reused.
///
/// # Safety
/// `from` and `to` are NULL (an error) or results that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_result_copy(from: *const uflow_result, to: *mut uflow_result) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (from, to) = unsafe { (pointer::required(from, "from")?, pointer::required(to, "to")?) };
        if std::ptr::eq(from, to) {
            return Ok(());
        }
        let (from, mut to) = (from.0.take("from")?, to.0.take("to")?);
        to.copy_from(&from);
        Ok(())
    })
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
        let found = contents.decision()?;
        let Timings { decode, queue, preprocess, network, segmentation } = contents.timings;
        out.set(uflow_summary {
            struct_size: 0,
            anomalous: found.anomalous.into(),
            score: found.score,
            log10_nfa_min: found.log10_nfa_min,
            regions: contents.regions.len() as u32,
            width: contents.size.1,
            height: contents.size.0,
            decode_ms: decode,
            queue_ms: queue,
            preprocess_ms: preprocess,
            network_ms: network,
            segmentation_ms: segmentation,
            batch_size: contents.batch as u32,
            latents: contents.latents.len() as u32,
            p_value: found.p_value.map_or(f64::NAN, |p| p.value),
            p_extrapolated: found.p_value.is_some_and(|p| p.extrapolated).into(),
            score_max: found.score_max,
        });
        Ok(())
    })
}

/// Writes region `index` to `*region`. Region 0 is the most significant. `UFLOW_STATUS_NOT_FOUND` if there is no such region.
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
        let found = contents.region(index)?;
        let ([x, y, width, height], [centroid_x, centroid_y]) = (found.bbox(), found.centroid());
        out.set(uflow_region {
            struct_size: 0,
            x,
            y,
            width,
            height,
            area: found.area(),
            scale: found.scale() as u32,
            centroid_x,
            centroid_y,
            log10_nfa_min: found.log10_nfa_min(),
            score_max: found.score_max(),
            rings: found.outline().len() as u32,
            reserved: 0,
            p_value: found.p_value().unwrap_or(f64::NAN),
        });
        Ok(())
    })
}

/// Gives the corners of ring `ring` of the outline of region `region`, and their number. Ring 0 is the outer one and runs clockwise on
/// the screen; the others are holes. The polygon is closed: its last corner is joined to its first. The corners belong to
/// `result` and are valid until a call fills or frees it.
///
/// `UFLOW_STATUS_NOT_FOUND` if there is no such region or ring.
///
/// # Safety
/// `result` is NULL (an error) or a result that was not freed; `points` and `count` are NULL (an error) or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_result_get_outline(
    result: *const uflow_result,
    region: u32,
    ring: u32,
    points: *mut *const uflow_point,
    count: *mut usize,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (points, count, result) =
            unsafe { (Out::new(points, "points")?, Out::new(count, "count")?, pointer::required(result, "result")?) };
        let contents = result.0.take("result")?;
        let mut outline = contents.region(region)?.outline();
        let rings = outline.len();
        let corners = outline.nth(ring as usize).ok_or_else(|| missing("ring", ring, rings))?;
        // A corner has the same layout on both sides: see the assertion below.
        points.set(corners.as_ptr().cast());
        count.set(corners.len());
        Ok(())
    })
}

const _: () =
    assert!(size_of::<uflow_point>() == size_of::<[u32; 2]>() && align_of::<uflow_point>() == align_of::<[u32; 2]>());

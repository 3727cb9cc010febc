//! A result's maps and latents.

use super::uflow_result;
use crate::{
    contents::{Contents, Map, missing},
    guard::guard,
    pointer::{self, Out, OutStruct},
    segmenter::uflow_latents,
    status::{
        uflow_status,
        uflow_status_code::{UFLOW_STATUS_INTERNAL, UFLOW_STATUS_NOT_FOUND},
    },
};

/// Gives one of a result's maps.
///
/// # Safety
/// `result` is NULL (an error) or a result that was not freed; `pixels` is NULL (an error) or may be written, `width` and
/// `height` NULL or writable.
unsafe fn get_map<T>(
    result: *const uflow_result,
    what: &str,
    map: impl FnOnce(&Contents) -> &Map<T>,
    pixels: *mut *const T,
    width: *mut u32,
    height: *mut u32,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (pixels, width, height, result) = unsafe {
            let (width, height) = (Out::wanted(width, "width")?, Out::wanted(height, "height")?);
            (Out::new(pixels, "pixels")?, width, height, pointer::required(result, "result")?)
        };
        let contents = result.0.take("result")?;
        contents.decision()?;
        let map = map(&contents);
        if map.pixels.is_empty() {
            let reason = format!("the result has no {what}; ask for it with uflow_options_set_maps");
            return Err(uflow_status::new(UFLOW_STATUS_NOT_FOUND, reason));
        }
        pixels.set(map.pixels.as_ptr());
        width.into_iter().for_each(|out| out.set(map.width as u32));
        height.into_iter().for_each(|out| out.set(map.height as u32));
        Ok(())
    })
}

/// Gives the mask at the image's size: height × width bytes without gaps, 1 where log₁₀NFA < log₁₀ ε, else 0. It includes regions below
/// the smallest area. `width` and `height` may be NULL. An encoded image is turned upright first, as its EXIF data says, so that width
/// and height may be the file's, exchanged; `uflow_image_get_info` tells them before. The pixels belong to `result` and are
/// valid until a call fills or frees it.
///
/// `UFLOW_STATUS_NOT_FOUND` if `uflow_options_set_maps` did not ask for it.
///
/// # Safety
/// `result` is NULL (an error) or a result that was not freed; `pixels` is NULL (an error) or may be written, `width` and
/// `height` NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_result_get_mask(
    result: *const uflow_result,
    pixels: *mut *const u8,
    width: *mut u32,
    height: *mut u32,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe { get_map(result, "mask", |contents| &contents.mask, pixels, width, height) }
}

/// Gives the score map (paper, Eq. 2) at the model's map size: height × width numbers in [0, 1] without gaps. Otherwise as
/// `uflow_result_get_mask`.
///
/// # Safety
/// As `uflow_result_get_mask`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_result_get_score_map(
    result: *const uflow_result,
    pixels: *mut *const f32,
    width: *mut u32,
    height: *mut u32,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe { get_map(result, "score map", |contents| &contents.score_map, pixels, width, height) }
}

/// Gives the log₁₀NFA map at the model's map size: height × width numbers without gaps. Otherwise as `uflow_result_get_mask`.
///
/// # Safety
/// As `uflow_result_get_mask`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_result_get_log10_nfa_map(
    result: *const uflow_result,
    pixels: *mut *const f32,
    width: *mut u32,
    height: *mut u32,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe { get_map(result, "log10_nfa map", |contents| &contents.log10_nfa_map, pixels, width, height) }
}

/// Gives the latents z of scale `scale` (0 is the finest): channels × height × width numbers without gaps, channel by channel. Writes
/// them to `*latents`, as `uflow_segment_latents` takes them. The numbers belong to `result` and are valid until a call fills or frees it.
///
/// `UFLOW_STATUS_NOT_FOUND` if there is no such scale, or if `uflow_options_set_maps` did not ask for latents.
///
/// # Safety
/// `result` is NULL (an error) or a result that was not freed; `latents` is NULL (an error) or a struct with its size set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_result_get_latents(
    result: *const uflow_result,
    scale: u32,
    latents: *mut uflow_latents,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (out, result) = unsafe { (OutStruct::new(latents)?, pointer::required(result, "result")?) };
        let contents = result.0.take("result")?;
        contents.decision()?;
        if contents.latents.is_empty() {
            let reason = "the result has no latents; ask for them with uflow_options_set_maps";
            return Err(uflow_status::new(UFLOW_STATUS_NOT_FOUND, reason));
        }
        let found = contents.latents.get(scale as usize);
        let found = found.ok_or_else(|| missing("scale", scale, contents.latents.len()))?;
        let numbers = found.as_slice().ok_or_else(|| uflow_status::new(UFLOW_STATUS_INTERNAL, "latents have gaps"))?;
        let (channels, height, width) = found.dim();
        out.set(uflow_latents {
            struct_size: 0,
            data: numbers.as_ptr(),
            size: numbers.len(),
            channels: channels as u32,
            height: height as u32,
            width: width as u32,
            reserved: 0,
        });
        Ok(())
    })
}

//! Setting the options of a call.

use std::time::Duration;

use uflow::{
    engine::Priority,
    segment::{Bound, RegionOfInterest, Roi, TestCount, Verdict},
};

use super::{set, uflow_options};
use crate::{choices::ALL_MAPS, guard::guard, pointer, status::uflow_status};

/// Sets which maps a result keeps: a sum of `uflow_maps` (default `UFLOW_MAPS_NONE`).
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_options_set_maps(options: *mut uflow_options, maps: u32) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let options = unsafe { pointer::required(options, "options") }?;
        if maps & !ALL_MAPS != 0 {
            return Err(uflow_status::argument("maps", format_args!("{maps} is not a sum of UFLOW_MAPS values")));
        }
        options.0.wait("options")?.maps = maps;
        Ok(())
    })
}

/// Sets the priority of a frame of a stream, a `uflow_priority` (default `UFLOW_PRIORITY_NORMAL`). Other calls do not wait in a queue,
/// and refuse options with high priority.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_options_set_priority(options: *mut uflow_options, priority: u32) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let options = unsafe { pointer::required(options, "options") }?;
        let priority = match priority {
            1 => Priority::Normal,
            2 => Priority::High,
            other => return Err(uflow_status::argument("priority", format_args!("{other} is not a UFLOW_PRIORITY"))),
        };
        options.0.wait("options")?.priority = priority;
        Ok(())
    })
}

/// Sets the time limit of a frame of a stream in milliseconds, in place of the stream's own
/// (`uflow_stream_options_set_time_limit`); 0: the stream's. Other calls refuse options with a time limit.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_options_set_time_limit(
    options: *mut uflow_options,
    milliseconds: u32,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let options = unsafe { pointer::required(options, "options") }?;
        options.0.wait("options")?.time_limit = (milliseconds > 0).then(|| Duration::from_millis(milliseconds.into()));
        Ok(())
    })
}

/// Sets the share of good images that may be rejected: above 0 and below 1, 0.01 for 1%. If no verdict is set, this also means
/// `UFLOW_VERDICT_REJECT`. A detection fails if the model's package knows no good images (`uflow_model_info.good_images` is 0).
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_options_set_reject_rate(options: *mut uflow_options, rate: f64) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            options.reject_rate = Some(rate);
            Ok(())
        })
    }
}

/// Sets ε, the number of false alarms expected per image (above 0; a package's default is usually 1). 0.01 allows a hundredth of
/// the false alarms that 1 allows. With `UFLOW_VERDICT_REJECT`, ε only decides which regions an anomalous image has.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_options_set_epsilon(options: *mut uflow_options, epsilon: f64) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            options.epsilon = Some(epsilon);
            Ok(())
        })
    }
}

/// Sets what makes an image anomalous, a `uflow_verdict`.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_options_set_verdict(options: *mut uflow_options, verdict: u32) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            options.verdict = Some(match verdict {
                1 => Verdict::Nfa,
                2 => Verdict::Score,
                3 => Verdict::Both,
                4 => Verdict::Either,
                5 => Verdict::Reject,
                other => {
                    return Err(uflow_status::argument("verdict", format_args!("{other} is not a UFLOW_VERDICT")));
                }
            });
            Ok(())
        })
    }
}

/// Sets the threshold of `score_max`, from 0 to 1, for verdicts that use it.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_options_set_score_threshold(
    options: *mut uflow_options,
    threshold: f32,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            options.score_threshold = Some(threshold);
            Ok(())
        })
    }
}

/// Sets the smallest region that counts, in pixels of the image. Smaller regions are dropped.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_options_set_min_area(options: *mut uflow_options, pixels: u32) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            options.min_area = Some(pixels);
            Ok(())
        })
    }
}

/// Sets the bound of a region's probability if the image is normal, a `uflow_bound`.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_options_set_bound(options: *mut uflow_options, bound: u32) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            options.bound = Some(match bound {
                1 => Bound::Chernoff,
                2 => Bound::Exact,
                other => return Err(uflow_status::argument("bound", format_args!("{other} is not a UFLOW_BOUND"))),
            });
            Ok(())
        })
    }
}

/// Sets how the number of tests is counted, a `uflow_tests`. With `UFLOW_TESTS_SIZED` a detection fails if the model's package is not
/// calibrated; `uflow_segment_latents` has no calibration, and assumes that the latents of good images are white noise.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_options_set_tests(options: *mut uflow_options, tests: u32) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            options.tests = Some(match tests {
                1 => TestCount::Paper,
                2 => TestCount::PerSize,
                other => return Err(uflow_status::argument("tests", format_args!("{other} is not a UFLOW_TESTS"))),
            });
            Ok(())
        })
    }
}

/// Sets the region of interest, in place of the package's own. `mask` has `size` bytes: `height` rows of `width` bytes, `stride` bytes
/// apart (0: without gaps). Pixels with a byte other than 0 count. The mask is copied, and scaled to each image. It must have the
/// image's aspect ratio (within a rounding of one pixel), at any resolution, or exactly the size of the network's input. With a mask of
/// another shape, detection fails; the message names both sizes.
///
/// Fails with `UFLOW_STATUS_INVALID_ARGUMENT` if the rows do not fit into `size` bytes, or if all of them are 0.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed; `mask` is NULL (an error) or points to `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_options_set_roi(
    options: *mut uflow_options,
    mask: *const u8,
    size: usize,
    width: u32,
    height: u32,
    stride: usize,
) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            let (width, height) = (width as usize, height as usize);
            let stride = if stride == 0 { width } else { stride };
            if width == 0 || height == 0 || stride < width {
                let reason = format!(
                    "{width}×{height} pixels with rows {stride} bytes apart: width and height must be at least 1, and \
                     the stride at least the width"
                );
                return Err(uflow_status::argument("mask", reason));
            }
            let needed = stride.checked_mul(height - 1).and_then(|rows| rows.checked_add(width));
            let needed = needed.filter(|&needed| needed <= size).ok_or_else(|| {
                let reason =
                    format!("has {size} bytes, too few for {width}×{height} pixels with rows {stride} bytes apart");
                uflow_status::argument("mask", reason)
            })?;
            let mask = pointer::values(mask, needed, "mask")?;
            options.roi = Some(RegionOfInterest::from(Roi::from_rows(mask, width, height, stride)?));
            Ok(())
        })
    }
}

/// Makes the whole image count, also if the package has a region of interest. `uflow_options_reset` returns to the package's region.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_options_clear_roi(options: *mut uflow_options) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            options.roi = Some(RegionOfInterest::WholeFrame);
            Ok(())
        })
    }
}

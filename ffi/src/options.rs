//! The options of one call.

use std::{mem::offset_of, time::Duration};

use uflow::{
    engine::Priority,
    segment::{Bound, DecisionOptions, RegionOfInterest, Roi, TestCount, Verdict},
};

use crate::{
    choices::{ALL_MAPS, bound_number, priority_number, tests_number, uflow_maps, uflow_roi, verdict_number},
    guard::{CallResult, Exclusive, guard, infallible},
    pointer::{self, Out, OutStruct, Versioned},
    status::uflow_status,
};

/// The options of one call, where they differ from the package's defaults. An option that is not set keeps the package's default.
///
/// The caller owns them and frees them with `uflow_options_free`. Any thread may use them at any time: a call copies them when it starts.
#[derive(Debug)]
pub struct uflow_options(Exclusive<CallOptions>);

/// What a call is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallOptions {
    pub(crate) decision: DecisionOptions,
    /// A sum of `uflow_maps`.
    pub(crate) maps: u32,
    pub(crate) priority: Priority,
    pub(crate) time_limit: Option<Duration>,
}

/// The options that are set. Begin with `UFLOW_OPTIONS_INFO_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uflow_options_info {
    /// sizeof(uflow_options_info).
    pub struct_size: usize,
    /// ε; NaN if not set.
    pub epsilon: f64,
    /// The threshold of the image score; NaN if not set.
    pub score_threshold: f32,
    /// A `uflow_verdict`; 0 if not set.
    pub verdict: u32,
    /// A `uflow_bound`; 0 if not set.
    pub bound: u32,
    /// A `uflow_tests`; 0 if not set.
    pub tests: u32,
    /// 1 if `min_area` is set, else 0.
    pub has_min_area: u32,
    /// The smallest region that counts, in pixels of the image.
    pub min_area: u32,
    /// A sum of `uflow_maps`.
    pub maps: u32,
    /// A `uflow_priority`.
    pub priority: u32,
    /// The time limit in milliseconds; 0 if not set.
    pub time_limit_ms: u32,
    /// A `uflow_roi`.
    pub roi: u32,
}

impl Versioned for uflow_options_info {
    const FIRST: usize = offset_of!(Self, roi) + size_of::<u32>();
    const EMPTY: Self = Self {
        struct_size: 0,
        epsilon: f64::NAN,
        score_threshold: f32::NAN,
        verdict: 0,
        bound: 0,
        tests: 0,
        has_min_area: 0,
        min_area: 0,
        maps: 0,
        priority: 0,
        time_limit_ms: 0,
        roi: 0,
    };
    const NAME: &str = "info";
}

impl CallOptions {
    pub(crate) fn wants(&self, map: uflow_maps) -> bool {
        self.maps & map as u32 != 0
    }

    /// These options for a call that works in the calling thread: it does not wait in a queue, so that priority and time
    /// limit would have no effect.
    pub(crate) fn without_queue(self) -> CallResult<Self> {
        let refuse =
            |name| Err(uflow_status::argument(name, "only a frame of a stream can have one; call uflow_options_reset"));
        match (self.priority, self.time_limit) {
            (_, Some(_)) => refuse("options.time_limit"),
            (Priority::High, _) => refuse("options.priority"),
            (Priority::Normal, None) => Ok(self),
        }
    }
}

/// The options of a call; NULL stands for the package's defaults.
///
/// # Safety
/// `options` is NULL or options that were not freed.
pub(crate) unsafe fn read(options: *const uflow_options) -> CallResult<CallOptions> {
    // SAFETY: by this function's contract.
    match unsafe { pointer::given(options, "options") }? {
        None => Ok(CallOptions::default()),
        Some(options) => Ok(options.0.wait("options")?.clone()),
    }
}

/// Makes options in which nothing is set. The caller owns `*options` and frees it with `uflow_options_free`.
///
/// # Safety
/// `options` is NULL (an error) or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_options_new(options: *mut *mut uflow_options) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let out = unsafe { Out::new(options, "options") }?;
        out.give(uflow_options(Exclusive::new(CallOptions::default())));
        Ok(())
    })
}

/// Frees options. NULL is allowed.
///
/// # Safety
/// `options` is NULL or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_options_free(options: *mut uflow_options) {
    // SAFETY: NULL or options that this library made, by this function's contract.
    infallible((), || unsafe { pointer::free(options) });
}

/// Resets all options to not set, as `uflow_options_new` makes them.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_options_reset(options: *mut uflow_options) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        *unsafe { pointer::required(options, "options") }?.0.wait("options")? = CallOptions::default();
        Ok(())
    })
}

/// Writes the options that are set to `*info`.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed; `info` is NULL (an error) or a struct with its size set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_options_get_info(
    options: *const uflow_options,
    info: *mut uflow_options_info,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let (out, options) = unsafe { (OutStruct::new(info)?, pointer::required(options, "options")?) };
        let options = options.0.wait("options")?.clone();
        let decision = options.decision;
        let roi = match decision.roi {
            None => uflow_roi::UFLOW_ROI_PACKAGE,
            Some(RegionOfInterest::WholeFrame) => uflow_roi::UFLOW_ROI_WHOLE_IMAGE,
            Some(RegionOfInterest::Mask(_)) => uflow_roi::UFLOW_ROI_MASK,
        };
        out.set(uflow_options_info {
            struct_size: 0,
            epsilon: decision.epsilon.unwrap_or(f64::NAN),
            score_threshold: decision.score_threshold.unwrap_or(f32::NAN),
            verdict: decision.verdict.map_or(0, verdict_number),
            bound: decision.bound.map_or(0, bound_number),
            tests: decision.tests.map_or(0, tests_number),
            has_min_area: decision.min_area.is_some().into(),
            min_area: decision.min_area.unwrap_or(0),
            maps: options.maps,
            priority: priority_number(options.priority),
            time_limit_ms: options.time_limit.map_or(0, |limit| limit.as_millis() as u32),
            roi: roi as u32,
        });
        Ok(())
    })
}

/// # Safety
/// `options` is NULL (an error) or options that were not freed.
unsafe fn set(
    options: *mut uflow_options,
    change: impl FnOnce(&mut DecisionOptions) -> CallResult,
) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let options = unsafe { pointer::required(options, "options") }?;
        let mut options = options.0.wait("options")?;
        let mut changed = options.decision.clone();
        change(&mut changed)?;
        changed.check()?;
        options.decision = changed;
        Ok(())
    })
}

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

/// Sets ε, the number of false alarms expected per image (above 0; a package's default is usually 1). 0.01 allows a hundredth of
/// the false alarms that 1 allows.
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
                other => {
                    return Err(uflow_status::argument("verdict", format_args!("{other} is not a UFLOW_VERDICT")));
                }
            });
            Ok(())
        })
    }
}

/// Sets the threshold of the image score, from 0 to 1, for verdicts that use it.
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

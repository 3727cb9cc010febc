//! The options of one call.

mod set;

use std::{mem::offset_of, time::Duration};

pub use self::set::*;
use uflow::{
    engine::Priority,
    segment::{DecisionOptions, RegionOfInterest},
};

use crate::{
    choices::{bound_number, priority_number, tests_number, uflow_maps, uflow_roi, verdict_number},
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
    /// The threshold of `score_max`; NaN if not set.
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
    /// The reject rate; NaN if not set.
    pub reject_rate: f64,
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
        reject_rate: f64::NAN,
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
            reject_rate: decision.reject_rate.unwrap_or(f64::NAN),
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

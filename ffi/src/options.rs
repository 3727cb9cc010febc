//! What one call asks for.

use uflow::segment::{Bound, DecisionOptions, RegionOfInterest, Roi, Tests, Verdict};

use crate::{
    guard::{Exclusive, Outcome, guard, infallible},
    pointer::{self, Out},
    status::uflow_status,
};

/// What makes an image anomalous.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum uflow_verdict {
    /// Not set: an error.
    UFLOW_VERDICT_UNKNOWN = 0,
    /// A region with NFA < ε.
    UFLOW_VERDICT_NFA = 1,
    /// An image score above the threshold.
    UFLOW_VERDICT_SCORE = 2,
    /// Both of them.
    UFLOW_VERDICT_BOTH = 3,
    /// At least one of them.
    UFLOW_VERDICT_EITHER = 4,
}

/// The bound of a region's probability under normality.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum uflow_bound {
    /// Not set: an error.
    UFLOW_BOUND_UNKNOWN = 0,
    /// Chernoff's bound, the paper's choice.
    UFLOW_BOUND_CHERNOFF = 1,
    /// The χ² survival function itself.
    UFLOW_BOUND_EXACT = 2,
}

/// How the number of tests is counted.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum uflow_tests {
    /// Not set: an error.
    UFLOW_TESTS_UNKNOWN = 0,
    /// All sizes of region together, as in the paper.
    UFLOW_TESTS_PAPER = 1,
    /// By the size of a region, on the null hypothesis that the package was calibrated to on good images.
    UFLOW_TESTS_SIZED = 2,
}

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

pub(crate) fn verdict_number(verdict: Verdict) -> u32 {
    use uflow_verdict::*;
    let verdict = match verdict {
        Verdict::Nfa => UFLOW_VERDICT_NFA,
        Verdict::Score => UFLOW_VERDICT_SCORE,
        Verdict::Both => UFLOW_VERDICT_BOTH,
        Verdict::Either => UFLOW_VERDICT_EITHER,
    };
    verdict as u32
}

/// How a defect is decided, where it differs from what the model's package says.
///
/// It belongs to the caller, who frees it with `uflow_options_free`. Any thread may use it at any time: a call reads it as it begins, and keeps
/// nothing of it.
#[derive(Debug)]
pub struct uflow_options(Exclusive<CallOptions>);

/// What a call is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallOptions {
    pub(crate) decision: DecisionOptions,
    /// A sum of `uflow_maps`.
    pub(crate) maps: u32,
}

impl CallOptions {
    pub(crate) fn wants(&self, map: uflow_maps) -> bool {
        self.maps & map as u32 != 0
    }
}

/// What a call's options say; NULL is every default of the package.
///
/// # Safety
/// `options` is NULL or options that were not freed.
pub(crate) unsafe fn read(options: *const uflow_options) -> Outcome<CallOptions> {
    // SAFETY: by this function's contract.
    match unsafe { pointer::given(options, "options") }? {
        None => Ok(CallOptions::default()),
        Some(options) => Ok(options.0.wait("options")?.clone()),
    }
}

/// Makes options that change nothing. `*options` is the caller's, to be freed with `uflow_options_free`.
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

/// # Safety
/// `options` is NULL (an error) or options that were not freed.
unsafe fn set(options: *mut uflow_options, change: impl FnOnce(&mut DecisionOptions) -> Outcome) -> *mut uflow_status {
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

/// Sets which maps a result keeps: a sum of `uflow_maps`, `UFLOW_MAPS_NONE` at first.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_options_set_maps(options: *mut uflow_options, maps: u32) -> *mut uflow_status {
    guard(|| {
        // SAFETY: by this function's contract.
        let options = unsafe { pointer::required(options, "options") }?;
        if maps & !ALL_MAPS != 0 {
            return Err(uflow_status::argument("maps", format_args!("{maps} is no sum of UFLOW_MAPS")));
        }
        options.0.wait("options")?.maps = maps;
        Ok(())
    })
}

/// Sets ε, the false alarms expected per image (above 0; a package's default is 1). 0.01 asks for a hundred times fewer than 1.
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
                    return Err(uflow_status::argument("verdict", format_args!("{other} is no UFLOW_VERDICT")));
                }
            });
            Ok(())
        })
    }
}

/// Sets the threshold of the image score, for verdicts that use it: a number from 0 to 1.
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

/// Sets the smallest region that counts, in pixels of the image.
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

/// Sets the bound of a region's probability, a `uflow_bound`.
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
                other => return Err(uflow_status::argument("bound", format_args!("{other} is no UFLOW_BOUND"))),
            });
            Ok(())
        })
    }
}

/// Sets how the number of tests is counted, a `uflow_tests`. With `UFLOW_TESTS_SIZED` a detection fails where the model's package
/// has no calibrated null hypothesis; `uflow_segment` has none and takes white noise for it.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_options_set_tests(options: *mut uflow_options, tests: u32) -> *mut uflow_status {
    // SAFETY: by this function's contract.
    unsafe {
        set(options, |options| {
            options.tests = Some(match tests {
                1 => Tests::Paper,
                2 => Tests::Sized,
                other => return Err(uflow_status::argument("tests", format_args!("{other} is no UFLOW_TESTS"))),
            });
            Ok(())
        })
    }
}

/// Sets the region of interest, in place of the package's own: height × width bytes, rows `stride` bytes apart (0: without a gap),
/// where what is not 0 counts. It is copied, and scaled to each image; another size of the same shape will do.
///
/// # Safety
/// `options` is NULL (an error) or options that were not freed; `mask` is NULL (an error) or points to the rows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uflow_options_set_roi(
    options: *mut uflow_options,
    mask: *const u8,
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
                let reason = format!("{width}×{height} pixels with rows {stride} bytes apart are none");
                return Err(uflow_status::argument("mask", reason));
            }
            let size = stride
                .checked_mul(height - 1)
                .and_then(|rows| rows.checked_add(width))
                .ok_or_else(|| uflow_status::argument("mask", "its size does not fit into memory"))?;
            let mask = pointer::values(mask, size, "mask")?;
            options.roi = Some(RegionOfInterest::from(Roi::from_rows(mask, width, height, stride)?));
            Ok(())
        })
    }
}

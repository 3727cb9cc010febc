//! The choices that options and results name by number.

use uflow::{
    engine::Priority,
    segment::{Bound, TestCount, Verdict},
};

/// What makes an image anomalous.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum uflow_verdict {
    /// Not set. Setting it is an error.
    UFLOW_VERDICT_UNKNOWN = 0,
    /// A region with NFA < ε.
    UFLOW_VERDICT_NFA = 1,
    /// A `score_max` above the threshold.
    UFLOW_VERDICT_SCORE = 2,
    /// Both.
    UFLOW_VERDICT_BOTH = 3,
    /// At least one of the two.
    UFLOW_VERDICT_EITHER = 4,
    /// A lowest log₁₀NFA that at most the reject rate of good images falls below.
    UFLOW_VERDICT_REJECT = 5,
}

/// The bound of a region's probability if the image is normal.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum uflow_bound {
    /// Not set. Setting it is an error.
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
    /// Not set. Setting it is an error.
    UFLOW_TESTS_UNKNOWN = 0,
    /// All sizes of region together, as in the paper.
    UFLOW_TESTS_PAPER = 1,
    /// Per size of region, with the null hypothesis that was calibrated on good images. The package must be calibrated.
    UFLOW_TESTS_SIZED = 2,
}

/// The maps that a result keeps; add them up.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum uflow_maps {
    /// None: only verdict, figures and regions.
    UFLOW_MAPS_NONE = 0,
    /// The mask at the image's size.
    UFLOW_MAPS_MASK = 1,
    /// The score map at the model's map size.
    UFLOW_MAPS_SCORE = 2,
    /// The log₁₀NFA map at the model's map size.
    UFLOW_MAPS_LOG10_NFA = 4,
    /// The latents z of every scale.
    UFLOW_MAPS_LATENTS = 8,
}

pub(crate) const ALL_MAPS: u32 = 15;

/// Which part of an image counts.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum uflow_roi {
    /// Not set: the package's region of interest, if it has one.
    UFLOW_ROI_PACKAGE = 0,
    /// The whole image (`uflow_options_clear_roi`).
    UFLOW_ROI_WHOLE_IMAGE = 1,
    /// A mask (`uflow_options_set_roi`).
    UFLOW_ROI_MASK = 2,
}

/// Which frames go first when several wait.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum uflow_priority {
    /// Not set. Setting it is an error.
    UFLOW_PRIORITY_UNKNOWN = 0,
    /// In the order of arrival, after frames of high priority.
    UFLOW_PRIORITY_NORMAL = 1,
    /// Before all frames of normal priority.
    UFLOW_PRIORITY_HIGH = 2,
}

pub(crate) fn bound_number(bound: Bound) -> u32 {
    let bound = match bound {
        Bound::Chernoff => uflow_bound::UFLOW_BOUND_CHERNOFF,
        Bound::Exact => uflow_bound::UFLOW_BOUND_EXACT,
    };
    bound as u32
}

pub(crate) fn tests_number(tests: TestCount) -> u32 {
    let tests = if tests.is_paper() { uflow_tests::UFLOW_TESTS_PAPER } else { uflow_tests::UFLOW_TESTS_SIZED };
    tests as u32
}

pub(crate) fn priority_number(priority: Priority) -> u32 {
    let priority = match priority {
        Priority::Normal => uflow_priority::UFLOW_PRIORITY_NORMAL,
        Priority::High => uflow_priority::UFLOW_PRIORITY_HIGH,
    };
    priority as u32
}

pub(crate) fn verdict_number(verdict: Verdict) -> u32 {
    use uflow_verdict::*;
    let verdict = match verdict {
        Verdict::Nfa => UFLOW_VERDICT_NFA,
        Verdict::Score => UFLOW_VERDICT_SCORE,
        Verdict::Both => UFLOW_VERDICT_BOTH,
        Verdict::Either => UFLOW_VERDICT_EITHER,
        Verdict::Reject => UFLOW_VERDICT_REJECT,
    };
    verdict as u32
}

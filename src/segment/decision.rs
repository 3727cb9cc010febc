//! How a frame is decided: what may be asked for ([`DecisionOptions`]), and the one rule that follows ([`DecisionRule`]).
//!
//! Every interface (the package's `detection`, the command, gRPC, the Open Inference Protocol, HTTP, C) fills the same
//! options. [`DecisionOptions::check`] tests each value alone, so a wrong value fails before work starts and with the
//! same words everywhere. Each call makes one rule. It takes each option from the call, else from the package, else the
//! built-in default, and adds what the model knows of good images ([`ModelFacts`]).
//!
//! To add an option: add the field to [`DecisionOptions`] (the compiler then points at `over`, `with_roi` and `check`),
//! and to [`DecisionRule`] what follows from it.

use std::{str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use strum::{Display, VariantArray, VariantNames};

use super::{Bound, Roi, TestCount, log10_epsilon};
use crate::{Error, Result, choice::choice};

/// The criterion of the verdict.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, Display, VariantArray, VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub enum Verdict {
    /// A region with NFA < ε.
    #[default]
    Nfa,
    /// A score above the threshold.
    Score,
    /// Both of them.
    Both,
    /// At least one of them.
    Either,
}

impl Verdict {
    /// Whether it needs a score threshold.
    pub fn uses_score(self) -> bool {
        self != Self::Nfa
    }

    /// The verdict, from the verdicts by NFA and by score.
    pub fn decide(self, by_nfa: bool, by_score: bool) -> bool {
        match self {
            Self::Nfa => by_nfa,
            Self::Score => by_score,
            Self::Both => by_nfa && by_score,
            Self::Either => by_nfa || by_score,
        }
    }
}

impl FromStr for Verdict {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        choice("verdict", text)
    }
}

/// Which part of the frame counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum RegionOfInterest {
    /// All of it, even if the package has a region of its own.
    #[default]
    WholeFrame,
    /// The pixels that the mask selects.
    Mask(Arc<Roi>),
}

impl RegionOfInterest {
    /// The mask, if there is one.
    pub fn mask(&self) -> Option<&Arc<Roi>> {
        match self {
            Self::WholeFrame => None,
            Self::Mask(roi) => Some(roi),
        }
    }
}

impl From<Roi> for RegionOfInterest {
    fn from(roi: Roi) -> Self {
        Self::Mask(Arc::new(roi))
    }
}

/// One false alarm expected per image, as in the paper.
const STANDARD_EPSILON: f64 = 1.0;

/// How to decide. `None` leaves the choice to the package, and then to the [`standard`](Self::standard) options.
///
/// `R` is the type of the region of interest: in a call the mask itself, in a package's manifest the name of its file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionOptions<R = RegionOfInterest> {
    /// ε, the false alarms expected per image: a pixel is anomalous where log₁₀NFA < log₁₀ε. Above 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// What makes a frame anomalous.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Image score above which a frame is anomalous, for verdicts that use the score; 0 to 1. If neither this nor the package
    /// sets one, the fair threshold is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_threshold: Option<f32>,
    /// Smallest region that counts, in pixels of the frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_area: Option<u32>,
    /// How tail probabilities are computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Bound>,
    /// How tests are counted; `sized` needs a package with a calibration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestCount>,
    /// Region of interest. In a manifest: the PNG file in the package whose non-black pixels count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roi: Option<R>,
}

impl<R> Default for DecisionOptions<R> {
    fn default() -> Self {
        Self {
            epsilon: None,
            verdict: None,
            score_threshold: None,
            min_area: None,
            bound: None,
            tests: None,
            roi: None,
        }
    }
}

impl<R> DecisionOptions<R> {
    /// The defaults of options that neither the call nor the package sets: ε = 1, verdict by NFA, regions of any size, the
    /// paper's bound and count of tests, the whole frame.
    pub fn standard() -> Self {
        Self {
            epsilon: Some(STANDARD_EPSILON),
            verdict: Some(Verdict::Nfa),
            score_threshold: None,
            min_area: Some(0),
            bound: Some(Bound::Chernoff),
            tests: Some(TestCount::Paper),
            roi: None,
        }
    }

    /// ε, or the standard one.
    pub fn epsilon(&self) -> f64 {
        self.epsilon.unwrap_or(STANDARD_EPSILON)
    }

    /// These options; an option that is not set is taken from `defaults`.
    #[must_use]
    pub fn over(self, defaults: Self) -> Self {
        let Self { epsilon, verdict, score_threshold, min_area, bound, tests, roi } = self;
        Self {
            epsilon: epsilon.or(defaults.epsilon),
            verdict: verdict.or(defaults.verdict),
            score_threshold: score_threshold.or(defaults.score_threshold),
            min_area: min_area.or(defaults.min_area),
            bound: bound.or(defaults.bound),
            tests: tests.or(defaults.tests),
            roi: roi.or(defaults.roi),
        }
    }

    /// The same options with another region of interest.
    pub fn with_roi<S>(&self, roi: Option<S>) -> DecisionOptions<S> {
        let &Self { epsilon, verdict, score_threshold, min_area, bound, tests, roi: _ } = self;
        DecisionOptions { epsilon, verdict, score_threshold, min_area, bound, tests, roi }
    }

    /// Refuses values outside their range. Whether they suit a model is known when a [rule](DecisionRule) is made.
    ///
    /// # Errors
    /// [`Error::Parameter`] that names the option.
    pub fn check(&self) -> Result<()> {
        // Every field is listed, so that a new one cannot be forgotten; the last four have no value that is wrong in itself.
        let Self { epsilon, score_threshold, verdict: _, min_area: _, bound: _, tests: _, roi: _ } = self;
        if let Some(epsilon) = epsilon {
            log10_epsilon(*epsilon)?;
        }
        if let Some(threshold) = score_threshold.filter(|threshold| !(0.0..=1.0).contains(threshold)) {
            return Err(Error::parameter("score_threshold", format!("must be from 0 to 1, not {threshold}")));
        }
        Ok(())
    }
}

/// The part of a model that a rule depends on.
#[derive(Clone, Copy, Debug)]
pub struct ModelFacts<'a> {
    /// The model's name, for messages.
    pub name: &'a str,
    /// The threshold of verdicts by score where none is set (§4.1.1).
    pub fair_threshold: Option<f32>,
    /// Whether tests may be counted by size: the model has a calibrated null hypothesis, or the theoretical one is wanted.
    pub sized: bool,
}

impl ModelFacts<'_> {
    /// For latents without a package: tests counted by size use the theoretical null hypothesis.
    pub const NONE: Self = Self { name: "", fair_threshold: None, sized: true };
}

/// How one frame is decided: every option resolved and checked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DecisionRule {
    /// ε, the false alarms expected per image.
    pub epsilon: f64,
    /// log₁₀ ε, to compare log₁₀NFA maps with.
    pub log10_epsilon: f32,
    /// What makes a frame anomalous.
    pub verdict: Verdict,
    /// Score above which a pixel counts. It is set if the verdict uses scores.
    pub score_threshold: Option<f32>,
    /// Smallest region that counts, in pixels of the frame.
    pub min_area: u32,
    /// How tail probabilities are computed.
    pub bound: Bound,
    /// How tests are counted.
    pub tests: TestCount,
    /// Region of interest; `None` is the package's.
    pub roi: Option<RegionOfInterest>,
}

impl DecisionRule {
    /// The rule of a call on a model: the call's options, else the package's.
    ///
    /// # Errors
    /// Values outside their range, a verdict by score without any threshold, or tests counted by size without a
    /// calibration.
    pub fn new<R>(call: &DecisionOptions, package: &DecisionOptions<R>, model: &ModelFacts<'_>) -> Result<Self> {
        call.check()?;
        let options = call.clone().over(package.with_roi(None)).over(DecisionOptions::standard());
        let tests = options.tests.unwrap_or_default();
        if !tests.is_paper() && !model.sized {
            let reason = format!(
                "`sized` needs a null hypothesis calibrated on good images, and the package of `{}` has no calibration; fit \
                 the model again, or add one with `uflow calibrate --model PKG --good DIR --out NEW`",
                model.name
            );
            return Err(Error::parameter("tests", reason));
        }
        let verdict = options.verdict.unwrap_or_default();
        let score_threshold = options.score_threshold.or(model.fair_threshold).filter(|_| verdict.uses_score());
        if verdict.uses_score() && score_threshold.is_none() {
            let reason = format!(
                "verdict `{verdict}` needs a score threshold; neither the call nor the package has one, and \
                 the package has no scores of good images"
            );
            return Err(Error::parameter("score_threshold", reason));
        }
        let epsilon = options.epsilon();
        Ok(Self {
            epsilon,
            log10_epsilon: log10_epsilon(epsilon)?,
            verdict,
            score_threshold,
            min_area: options.min_area.unwrap_or(0),
            bound: options.bound.unwrap_or_default(),
            tests,
            roi: options.roi,
        })
    }

    /// The rule for latents without a package.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn without_package(options: &DecisionOptions) -> Result<Self> {
        Self::new(options, &DecisionOptions::<RegionOfInterest>::default(), &ModelFacts::NONE)
    }
}

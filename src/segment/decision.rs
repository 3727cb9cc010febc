//! How a frame is decided: what may be asked for ([`DecisionOptions`]), and the one rule that follows ([`DecisionRule`]).
//!
//! Every interface (the package's `detection`, the command, gRPC, the Open Inference Protocol, HTTP, C) fills the same
//! options. [`DecisionOptions::check`] tests each value alone, so a wrong value fails before work starts and with the
//! same words everywhere. Each call makes one rule. It takes each option from the call, else from the package, else the
//! built-in default, and adds what the model knows of good images ([`ModelFacts`]).
//!
//! # Verdict, ε and what is shown
//! With the verdict `reject` an image is anomalous where its lowest log₁₀NFA is below a threshold τ that at most a share r of good
//! images falls below ([`reject`](super::reject)). ε keeps deciding which regions are evidence enough to be reported. Both
//! meet in one level, [`DecisionRule::level`], below which a pixel of the log₁₀NFA map belongs to the mask and so to a region:
//!
//! | verdict | image | level |
//! |---|---|---|
//! | `reject` | anomalous | the larger of log₁₀ε and τ: every region with NFA < ε, and every region that makes the image anomalous by itself |
//! | `reject` | not anomalous | none: no mask and no regions, whatever their NFA |
//! | `nfa`, `score`, `both`, `either` | any | log₁₀ε |
//!
//! So an anomalous image shows at least the region with its lowest log₁₀NFA, and an image that is not anomalous shows nothing that
//! reads as a defect. With ε = 1 most good images have a region with NFA < 1: one is expected in each. `--verdict nfa` shows them.
//! A region of interest of the call leaves the threshold as it is: NFA is weighed by the part of the pixels that take part, so the
//! share that is flagged stays about the same, without the finite-sample promise.
//! `min_area` takes small regions out afterwards; an image whose unusual regions are all smaller is not anomalous, and the share
//! of good images that is flagged only falls.
//!
//! A rate without a verdict in the same call means the verdict `reject`.
//!
//! To add an option: add the field to [`DecisionOptions`] (the compiler then points at `over`, `with_roi` and `check`),
//! and to [`DecisionRule`] what follows from it.

use std::{str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use strum::{Display, VariantArray, VariantNames};

use super::{
    Bound, PValue, RejectThreshold, Rejection, Roi, TestCount, check_rate, images_needed, log10_epsilon, percent,
    reject::percent_above,
};
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
    /// A lowest log₁₀NFA that at most the rejection rate of good images falls below.
    Reject,
}

impl Verdict {
    /// Whether it needs a score threshold.
    pub fn uses_score(self) -> bool {
        matches!(self, Self::Score | Self::Both | Self::Either)
    }

    /// The verdict, from the verdicts by NFA (or by the reject rate, if it decides) and by score.
    pub fn decide(self, by_nfa: bool, by_score: bool) -> bool {
        match self {
            Self::Nfa | Self::Reject => by_nfa,
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

/// One in a hundred good images may be rejected.
pub const STANDARD_REJECT_RATE: f64 = 0.01;

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
    /// The share of good images that may be rejected, for the verdict `reject`; above 0 and below 1. Needs a package that knows good
    /// images (`rejection` in its manifest).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reject_rate: Option<f64>,
    /// Maximum of the score map above which a frame is anomalous, for verdicts that use the score; 0 to 1. If neither this nor the
    /// package sets one, the fair threshold is used.
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
            reject_rate: None,
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
            reject_rate: None,
            score_threshold: None,
            min_area: Some(0),
            bound: Some(Bound::Chernoff),
            tests: Some(TestCount::Paper),
            roi: None,
        }
    }

    /// What a package that was fitted or calibrated on good images decides by where nothing else is asked for: tests counted by size,
    /// and at most 1% of good images rejected. With the paper's count the verdict is the paper's too, unless a rate is given.
    pub fn of_new_package(self) -> Self {
        let paper = self.tests == Some(TestCount::Paper) && self.reject_rate.is_none();
        let verdict = if paper { Verdict::Nfa } else { Verdict::Reject };
        let reject_rate = (self.verdict.unwrap_or(verdict) == Verdict::Reject).then_some(STANDARD_REJECT_RATE);
        let defaults = Self {
            verdict: Some(verdict),
            reject_rate,
            tests: Some(TestCount::PerSize),
            roi: None,
            ..Self::standard()
        };
        self.over(defaults)
    }

    /// ε, or the standard one.
    pub fn epsilon(&self) -> f64 {
        self.epsilon.unwrap_or(STANDARD_EPSILON)
    }

    /// These options; an option that is not set is taken from `defaults`.
    #[must_use]
    pub fn over(self, defaults: Self) -> Self {
        let Self { epsilon, verdict, reject_rate, score_threshold, min_area, bound, tests, roi } = self;
        let verdict = verdict.or(reject_rate.map(|_| Verdict::Reject));
        Self {
            epsilon: epsilon.or(defaults.epsilon),
            verdict: verdict.or(defaults.verdict),
            reject_rate: reject_rate.or(defaults.reject_rate),
            score_threshold: score_threshold.or(defaults.score_threshold),
            min_area: min_area.or(defaults.min_area),
            bound: bound.or(defaults.bound),
            tests: tests.or(defaults.tests),
            roi: roi.or(defaults.roi),
        }
    }

    /// The same options with another region of interest.
    pub fn with_roi<S>(&self, roi: Option<S>) -> DecisionOptions<S> {
        let &Self { epsilon, verdict, reject_rate, score_threshold, min_area, bound, tests, roi: _ } = self;
        DecisionOptions { epsilon, verdict, reject_rate, score_threshold, min_area, bound, tests, roi }
    }

    /// Refuses values outside their range. Whether they suit a model is known when a [rule](DecisionRule) is made.
    ///
    /// # Errors
    /// [`Error::Parameter`] that names the option.
    pub fn check(&self) -> Result<()> {
        // Every field is listed, so that a new one cannot be forgotten; those without a name here have no value that is wrong in itself.
        let Self { epsilon, reject_rate, score_threshold, verdict: _, min_area: _, bound: _, tests: _, roi: _ } = self;
        reject_rate.map_or(Ok(()), check_rate)?;
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
    /// The good images that rejection rates and p-values stand on.
    pub rejection: Option<&'a Rejection>,
}

impl ModelFacts<'_> {
    /// For latents without a package: tests counted by size use the theoretical null hypothesis.
    pub const NONE: Self = Self { name: "", fair_threshold: None, sized: true, rejection: None };

    /// The threshold at the rejection rate.
    fn reject_threshold(&self, rate: f64, tests: TestCount, bound: Bound) -> Result<RejectThreshold> {
        let calibrate = "`uflow calibrate PKG --good DIR --reject-rate R --out NEW` measures some";
        let reason = match self.rejection {
            None if self.name.is_empty() => {
                "verdict `reject` needs a package: the threshold is set on good images that the package knows"
                    .to_owned()
            }
            None => format!(
                "verdict `reject` needs good images to set its threshold on, and the package of `{}` knows none (it has no \
                 `rejection`); {calibrate}",
                self.name
            ),
            Some(rejection) if rejection.fits(tests, bound) => return rejection.threshold(rate),
            Some(rejection) => {
                let (measured, by) = rejection.measured_with();
                format!(
                    "the package of `{}` measured its good images with tests = {measured} and bound = {by}, which say nothing \
                     about tests = {tests} and bound = {bound}; leave these options as they are, decide by verdict `nfa`, or \
                     calibrate with them: {calibrate}",
                    self.name
                )
            }
        };
        Err(Error::parameter("verdict", reason))
    }
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
    /// The threshold of the verdict `reject`, which alone has one.
    pub reject: Option<RejectThreshold>,
    /// The good images that p-values stand on; `None` where the model has none that were measured in this way.
    rejection: Option<Rejection>,
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
        let (epsilon, bound) = (options.epsilon(), options.bound.unwrap_or_default());
        let rate = options.reject_rate.unwrap_or(STANDARD_REJECT_RATE);
        let reject = (verdict == Verdict::Reject).then(|| model.reject_threshold(rate, tests, bound)).transpose()?;
        Ok(Self {
            epsilon,
            log10_epsilon: log10_epsilon(epsilon)?,
            verdict,
            reject,
            rejection: model.rejection.filter(|rejection| rejection.fits(tests, bound)).cloned(),
            score_threshold,
            min_area: options.min_area.unwrap_or(0),
            bound,
            tests,
            roi: options.roi,
        })
    }

    /// Below this a pixel of the log₁₀NFA map belongs to the mask, in an image whose lowest is `lowest` (`None` without any evidence)
    /// and that has `nothing` where there is no evidence. See the head of this module.
    pub fn level(&self, lowest: Option<f32>, nothing: f32) -> f32 {
        match self.reject {
            None => self.log10_epsilon,
            Some(reject) if lowest.is_some_and(|lowest| lowest < reject.log10_nfa) => {
                self.log10_epsilon.max(reject.log10_nfa).min(nothing)
            }
            Some(_) => f32::NEG_INFINITY,
        }
    }

    /// The share of good images that are at least as unusual as an image or region of this lowest log₁₀NFA (`None` without any
    /// evidence); `None` for a model that knows no good images.
    pub fn p_value(&self, lowest: Option<f32>) -> Option<PValue> {
        self.rejection.as_ref().map(|rejection| rejection.p_value(lowest))
    }

    /// What the user should know about the threshold: that it is extrapolated.
    pub fn warning(&self) -> Option<String> {
        let (reject, rejection) = (self.reject.as_ref()?, self.rejection.as_ref()?);
        reject.is_extrapolated().then(|| {
            format!(
                "a reject rate of {} needs {} good images, and the package knows {}: its threshold is extrapolated from their \
                 tail; calibrate with more (uflow calibrate PKG --good DIR --out NEW), or ask for a rate of at least {}",
                percent(reject.rate),
                images_needed(reject.rate),
                rejection.images(),
                percent_above(1.0 / (rejection.images() + 1) as f64),
            )
        })
    }

    /// The good images that the threshold and p-values stand on.
    pub fn rejection(&self) -> Option<&Rejection> {
        self.rejection.as_ref()
    }

    /// The rule for latents without a package.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn without_package(options: &DecisionOptions) -> Result<Self> {
        Self::new(options, &DecisionOptions::<RegionOfInterest>::default(), &ModelFacts::NONE)
    }
}

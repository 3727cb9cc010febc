//! The first sentence of a report: what the package decides, and whether that keeps its promise on these good images.
//!
//! | verdict | promise | broken where |
//! |---|---|---|
//! | `reject` | a share of good images, with an interval ([`Promise`](crate::segment::Promise)) | the share of these images surely exceeds the interval |
//! | `reject`, extrapolated | none; the rate is what it aims at | the share of these images surely exceeds the rate |
//! | `nfa` | ε | [`PromiseVerdict`] |
//! | `score`, `both`, `either` | none | – |
//!
//! Surely: the lower bound of Clopper and Pearson (1934) at 95% confidence, two-sided.

use serde::Serialize;

use super::{PromiseVerdict, advice::Judged};
use crate::{
    evaluate::binomial_bounds,
    segment::{DecisionRule, PROMISE_CONFIDENCE, RejectThreshold, Verdict, percent, rounded_percent},
};

/// What the decision does to the good images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DecisionReport {
    /// All of this in one sentence.
    pub sentence: String,
    /// The package's name.
    pub package: String,
    /// What decides.
    pub verdict: Verdict,
    /// Good images that are rejected.
    pub rejected: usize,
    /// At least this share of good images is rejected, at 95% confidence.
    pub rejected_at_least: f64,
    /// Whether the decision keeps its promise on these images, as far as so many images tell; `None` if it promises nothing.
    pub holds: Option<bool>,
    /// The number that decides about an image, by name.
    pub decided_by: &'static str,
    /// An image is rejected above this; `None` if any evidence is enough.
    pub threshold: Option<f32>,
    /// Every good image, in the order given.
    pub images: Vec<GoodImage>,
}

/// A good image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GoodImage {
    /// The number that decides about it.
    pub value: f32,
    /// Whether it is rejected.
    pub rejected: bool,
}

impl DecisionReport {
    pub(super) fn new(name: &str, rule: &DecisionRule, images: &[Judged], epsilon: PromiseVerdict) -> Self {
        let by_score = rule.verdict == Verdict::Score;
        let rejected = images.iter().filter(|image| image.anomalous).count();
        let mut report = Self {
            sentence: String::new(),
            package: name.to_owned(),
            verdict: rule.verdict,
            rejected,
            rejected_at_least: binomial_bounds(rejected as u64, images.len() as u64)[0],
            holds: None,
            decided_by: if by_score { "score_max" } else { "score: −log₁₀ NFA of the most unusual region" },
            threshold: match rule.reject {
                Some(reject) => Some(-reject.log10_nfa).filter(|threshold| threshold.is_finite()),
                None if by_score => rule.score_threshold,
                None => Some(-rule.log10_epsilon),
            },
            images: images
                .iter()
                .map(|image| GoodImage {
                    value: if by_score { image.score } else { 0.0 - image.log10_nfa_min },
                    rejected: image.anomalous,
                })
                .collect(),
        };
        let (holds, sentence) = report.judge(rule, epsilon);
        (report.holds, report.sentence) = (holds, sentence);
        report
    }

    fn judge(&self, rule: &DecisionRule, epsilon: PromiseVerdict) -> (Option<bool>, String) {
        let (name, here) = (&self.package, self.here());
        if let Some(reject) = rule.reject {
            let (holds, sentence) = self.by_rate(rule, reject);
            return (Some(holds), sentence);
        }
        match (rule.verdict, epsilon) {
            (Verdict::Nfa | Verdict::Reject, epsilon) => {
                let promise = match epsilon {
                    PromiseVerdict::Kept { .. } => "ε keeps its promise, as far as so many images tell".to_owned(),
                    PromiseVerdict::Broken { epsilon, rate, .. } => format!(
                        "ε does not keep its promise: where {epsilon} false alarms per image are promised, there are {rate:.3}"
                    ),
                };
                let sentence =
                    format!("`{name}` rejects an image if a region has NFA < {}: {here}, and {promise}.", rule.epsilon);
                (Some(epsilon.holds()), sentence)
            }
            (verdict, _) => {
                let threshold =
                    rule.score_threshold.map_or_else(String::new, |threshold| format!(" above {threshold}"));
                let what = match verdict {
                    Verdict::Both => format!("a region has NFA < {} and its score_max is{threshold}", rule.epsilon),
                    Verdict::Either => format!("a region has NFA < {} or its score_max is{threshold}", rule.epsilon),
                    _ => format!("its score_max is{threshold}"),
                };
                (None, format!("`{name}` rejects an image if {what}: {here}; a score threshold promises no share."))
            }
        }
    }

    fn by_rate(&self, rule: &DecisionRule, reject: RejectThreshold) -> (bool, String) {
        let (name, here, rate) = (&self.package, self.here(), percent(reject.rate));
        let (limit, promise) = match reject.promise() {
            Some(promise) => {
                let [low, high] = promise.interval.map(rounded_percent);
                let sure = percent(PROMISE_CONFIDENCE);
                let sentence = format!(
                    "`{name}` promises to reject at most {rate} of good images (between {low} and {high} with {sure} confidence)"
                );
                (promise.interval[1], sentence)
            }
            None => {
                let images = rule.rejection().map_or(0, |rejection| rejection.images());
                let sentence =
                    format!("`{name}` aims to reject {rate} of good images, extrapolated from only {images}");
                (reject.rate, sentence)
            }
        };
        let holds = self.rejected_at_least <= limit;
        let surely = rounded_percent(self.rejected_at_least);
        let judged = match (holds, reject.is_extrapolated()) {
            (true, false) => "and the promise holds, as far as so many images tell".to_owned(),
            (false, false) => format!("and the promise does not hold on these images (surely {surely} or more)"),
            (true, true) => "which agrees with it, as far as so many images tell".to_owned(),
            (false, true) => format!("which is more (surely {surely} or more)"),
        };
        (holds, format!("{promise}: {here}, {judged}."))
    }

    /// How many of these images it rejects.
    fn here(&self) -> String {
        let (rejected, all) = (self.rejected, self.images.len());
        format!("it rejects {rejected} of these {all} good images ({})", rounded_percent(rejected as f64 / all as f64))
    }
}

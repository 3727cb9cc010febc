//! How a package decides, in words.

use super::Manifest;
use crate::{
    Result,
    segment::{
        Bound, DecisionOptions, DecisionRule, PROMISE_CONFIDENCE, RejectThreshold, Rejection, TestCount, Verdict,
        images_needed, percent, rounded_percent,
    },
};

impl Manifest {
    /// How the package decides by default: one sentence or part of one a line, each of at most 88 characters.
    ///
    /// # Errors
    /// As [`Manifest::rule`].
    pub fn decision_in_words(&self) -> Result<Vec<String>> {
        self.decision_in_words_with(&DecisionOptions::default())
    }

    /// The same for a call with these options.
    ///
    /// # Errors
    /// As [`Manifest::rule`].
    pub fn decision_in_words_with(&self, options: &DecisionOptions) -> Result<Vec<String>> {
        let rule = self.rule(options)?;
        let mut lines = self.verdict(&rule);
        let size = match rule.min_area {
            0 => "regions of every size count".to_owned(),
            area => format!("regions of at least {area} pixels count"),
        };
        let inside = options.roi.as_ref().map_or(self.detection.roi.is_some(), |roi| roi.mask().is_some());
        let place = if inside { "inside the region of interest" } else { "in the whole image" };
        lines.push(format!("{size}, {place}"));
        lines.push(match (rule.tests, &self.calibration) {
            (TestCount::PerSize, Some(null)) => {
                format!("tests: sized, by region size on a null calibrated on {} good images", null.images)
            }
            (TestCount::PerSize, None) => "tests: sized, by region size".to_owned(),
            (TestCount::Paper, _) => {
                "tests: paper, on the theoretical null; `uflow calibrate` measures if ε holds".to_owned()
            }
        });
        lines.push(match rule.bound {
            Bound::Chernoff => "bound: chernoff, as in the paper".to_owned(),
            Bound::Exact => "bound: exact tail probabilities".to_owned(),
        });
        Ok(lines)
    }

    fn verdict(&self, rule: &DecisionRule) -> Vec<String> {
        if let (Some(reject), Some(rejection)) = (&rule.reject, rule.rejection()) {
            let mut lines = by_reject_rate(reject, rejection);
            lines.push(format!("an anomalous image shows its regions with NFA < ε = {}, and those", rule.epsilon));
            lines.push("that make it anomalous by themselves".to_owned());
            return lines;
        }
        let by_nfa = format!("a region has NFA < ε = {} (false alarms expected per image)", rule.epsilon);
        let by_score = rule.score_threshold.map_or_else(String::new, |threshold| {
            let set = self.detection.score_threshold.is_some();
            let from = if set { "set in the package" } else { "the fair threshold" };
            format!("its score_max is above {threshold} ({from})")
        });
        match rule.verdict {
            Verdict::Nfa | Verdict::Reject => vec![format!("an image is anomalous where {by_nfa}")],
            Verdict::Score => vec![format!("an image is anomalous where {by_score}")],
            Verdict::Both => vec![format!("an image is anomalous where {by_nfa}"), format!("and {by_score}")],
            Verdict::Either => vec![format!("an image is anomalous where {by_nfa}"), format!("or {by_score}")],
        }
    }
}

fn by_reject_rate(reject: &RejectThreshold, rejection: &Rejection) -> Vec<String> {
    let rate = percent(reject.rate);
    let first = match reject.log10_nfa {
        f32::INFINITY => {
            format!("an image is anomalous if at most {rate} of good images look as unusual: by any evidence")
        }
        below => {
            format!("an image is anomalous if at most {rate} of good images look as unusual: log10 NFA < {below:.2}")
        }
    };
    let (images, origin) = (rejection.images(), rejection.origin().words());
    let from = format!("from {images} good images {origin}");
    match reject.promise() {
        Some(promise) => {
            let [low, high] = promise.interval.map(rounded_percent);
            vec![
                first,
                format!("{from}: at most {} expected,", rounded_percent(promise.expected)),
                format!("between {low} and {high} with {} confidence", percent(PROMISE_CONFIDENCE)),
            ]
        }
        None => vec![
            first,
            format!("extrapolated {from};"),
            format!("{} good images are needed for {rate} without extrapolation", images_needed(reject.rate)),
        ],
    }
}

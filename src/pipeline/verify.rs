//! Whether this machine, device and version find in a package's golden frames what was found where the package was written.
//!
//! The verdicts must agree. The scores and the quantiles of the score map must agree within a tolerance, relative to the expected value or to 1,
//! whichever is larger: scores are −log₁₀NFA and have no upper limit; the score map is within 0 to 1. Devices that compute in fp32 differ in
//! rounding only: `benches/gpu.md` has 10⁻⁵ and less. [`TOLERANCE`] leaves room for the component trees, where a cell more or less changes a
//! region's size. bf16 and fp16 change energies by up to 3%, and have [`LOW_TOLERANCE`].

use std::slice;

use prost::bytes::Bytes;
use serde::Serialize;

use super::Detector;
use crate::{
    Error, Result,
    frame::{Image, Limits},
    package::{GOLDEN_QUANTILES, Golden, GoldenFrame, GoldenResult, Machine, sha256},
    quantile::quantile,
    runtime::{Precision, Runtime, SessionOptions},
    segment::{DecisionOptions, DecisionRule, Verdict},
};

/// Largest difference between devices that compute in fp32.
pub const TOLERANCE: f64 = 1e-3;
/// Largest difference where one of both computes in less than fp32.
pub const LOW_TOLERANCE: f64 = 5e-2;

/// Golden frames, run again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verification {
    /// Where the expected results come from.
    pub made: Machine,
    /// Where the frames were run now.
    pub here: Machine,
    /// The largest difference that is allowed.
    pub tolerance: f64,
    /// The frames.
    pub frames: Vec<VerifiedFrame>,
}

/// A golden frame, run again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerifiedFrame {
    /// Its file in the package.
    pub file: String,
    /// What was found where the package was written.
    pub expected: GoldenResult,
    /// What was found now.
    pub found: GoldenResult,
    /// The largest difference of the scores and of the quantiles of the score map.
    pub difference: f64,
    /// Whether the difference is allowed and the verdict is the same.
    pub agrees: bool,
}

impl Machine {
    /// This program on a device.
    pub fn here(runtime: &Runtime, session: &SessionOptions) -> Self {
        Self {
            uflow: crate::VERSION.to_owned(),
            onnxruntime: runtime.version().to_owned(),
            device: session.device.to_string(),
            precision: session.precision.to_string(),
            cpu: std::env::consts::ARCH.to_owned(),
        }
    }
}

impl Verification {
    /// Whether every frame agrees.
    pub fn agrees(&self) -> bool {
        self.frames.iter().all(|frame| frame.agrees)
    }

    /// The largest difference of all frames.
    pub fn difference(&self) -> f64 {
        self.frames.iter().fold(0.0, |largest, frame| largest.max(frame.difference))
    }

    /// Fails if a frame does not agree.
    ///
    /// # Errors
    /// [`Error::Network`] that names the first such frame.
    pub fn check(&self) -> Result<()> {
        let Some(frame) = self.frames.iter().find(|frame| !frame.agrees) else { return Ok(()) };
        let verdict = |result: &GoldenResult| if result.anomalous { "anomalous" } else { "good" };
        let reason = format!(
            "{} of {} golden frames do not agree with the place where the package was made: {} was {} with score {:.4} ({}), \
             and is {} with score {:.4} here ({}); the largest difference is {:.1e}, {:.0e} is allowed",
            self.frames.iter().filter(|frame| !frame.agrees).count(),
            self.frames.len(),
            frame.file,
            verdict(&frame.expected),
            frame.expected.score,
            self.made,
            verdict(&frame.found),
            frame.found.score,
            self.here,
            self.difference(),
            self.tolerance
        );
        Err(Error::network("verification", reason))
    }
}

/// Runs the golden frames of a package (their PNGs in the manifest's order) through a detector of the package, on its decision. Without a
/// tolerance, that of the devices counts.
///
/// # Errors
/// A tolerance that is not positive; a network that fails.
pub fn verify(
    detector: &mut Detector,
    golden: &Golden,
    pictures: &[Bytes],
    here: Machine,
    tolerance: Option<f64>,
) -> Result<Verification> {
    let tolerance = tolerance.unwrap_or_else(|| default_tolerance(&golden.made, &here));
    if !(tolerance > 0.0 && tolerance.is_finite()) {
        return Err(Error::parameter("tolerance", format!("{tolerance} is not a number above 0")));
    }
    let mut frames = Vec::with_capacity(pictures.len());
    for (GoldenFrame { file, expected, .. }, png) in golden.frames.iter().zip(pictures) {
        let found = result(detector, png, file)?;
        let difference = difference(expected, &found);
        frames.push(VerifiedFrame {
            file: file.clone(),
            agrees: difference <= tolerance && found.anomalous == expected.anomalous,
            expected: expected.clone(),
            found,
            difference,
        });
    }
    Ok(Verification { made: golden.made.clone(), here, tolerance, frames })
}

/// Makes golden frames of pictures: what a detector of the package finds in them. A picture that is so near to the threshold that a rounding may
/// change its verdict is left out, as is one without a finite score; `None` where none is left. Gives the pictures that were taken, too.
///
/// # Errors
/// A picture that cannot be decoded, a network that fails.
pub fn golden_frames(
    detector: &mut Detector,
    pictures: &[Bytes],
    most: usize,
    made: Machine,
) -> Result<Option<(Golden, Vec<Bytes>)>> {
    let (mut frames, mut taken) = (Vec::new(), Vec::new());
    let rule = detector.manifest().rule(&DecisionOptions::default())?;
    for png in pictures {
        if frames.len() == most {
            break;
        }
        let file = Golden::file(frames.len());
        let expected = result(detector, png, &file)?;
        if expected.score.is_finite() && !is_near_threshold(&rule, &expected) {
            frames.push(GoldenFrame { file, sha256: sha256(png), expected });
            taken.push(png.clone());
        }
    }
    Ok((!frames.is_empty()).then_some((Golden { made, frames }, taken)))
}

/// What a detector finds in a golden frame by the package's own decision.
fn result(detector: &mut Detector, png: &[u8], file: &str) -> Result<GoldenResult> {
    let options = detector.manifest().input.read_options(Limits::default(), None);
    let image = Image::decode_with(png, file, &options)?;
    let rule = detector.manifest().rule(&DecisionOptions::default())?;
    let mut found = None;
    detector.process(slice::from_ref(&image.frame()), &rule, false, |processed| {
        let mut map: Vec<f32> =
            processed.post.maps().map(|maps| maps.score.iter().copied().collect()).unwrap_or_default();
        map.sort_by(f32::total_cmp);
        let decision = processed.decision;
        found = Some(GoldenResult {
            score: decision.score,
            score_max: decision.score_max,
            anomalous: decision.anomalous,
            p_value: decision.p_value.map(|p| p.value),
            quantiles: GOLDEN_QUANTILES.map(|q| quantile(&map, q).unwrap_or(0.0)),
        });
        Ok(())
    })?;
    found.ok_or_else(|| Error::internal("a golden frame was lost"))
}

fn default_tolerance(made: &Machine, here: &Machine) -> f64 {
    let full = Precision::Fp32.to_string();
    if made.precision == full && here.precision == full { TOLERANCE } else { LOW_TOLERANCE }
}

/// The largest difference, relative to the expected value or to 1; infinite where a value is not finite.
fn difference(expected: &GoldenResult, found: &GoldenResult) -> f64 {
    let scores = [(expected.score, found.score), (expected.score_max, found.score_max)];
    let quantiles = expected.quantiles.into_iter().zip(found.quantiles);
    scores.into_iter().chain(quantiles).fold(0.0, |largest: f64, (expected, found)| {
        let (expected, found) = (f64::from(expected), f64::from(found));
        let difference = (expected - found).abs() / expected.abs().max(1.0);
        largest.max(if difference.is_nan() { f64::INFINITY } else { difference })
    })
}

/// Whether the verdict may change within twice the tolerance.
fn is_near_threshold(rule: &DecisionRule, result: &GoldenResult) -> bool {
    let near = |value: f32, threshold: f32| {
        let (value, threshold) = (f64::from(value), f64::from(threshold));
        (value - threshold).abs() <= 2.0 * TOLERANCE * value.abs().max(1.0)
    };
    let by_nfa = match (rule.verdict, &rule.reject) {
        (Verdict::Score, _) => None,
        (Verdict::Reject, reject) => reject.as_ref().map(|reject| reject.log10_nfa),
        _ => Some(rule.log10_epsilon),
    };
    by_nfa.is_some_and(|threshold| near(-result.score, threshold))
        || rule.score_threshold.is_some_and(|threshold| near(result.score_max, threshold))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(score: f32) -> GoldenResult {
        GoldenResult { score, score_max: 0.5, anomalous: false, p_value: None, quantiles: [0.1, 0.2, 0.3, 0.4, 0.5] }
    }

    fn machine(precision: Precision) -> Machine {
        let [uflow, onnxruntime, device, cpu] = ["1", "2", "cpu", "x86_64"].map(str::to_owned);
        Machine { uflow, onnxruntime, device, precision: precision.to_string(), cpu }
    }

    #[test]
    fn a_difference_is_relative_to_large_scores_and_absolute_for_small_ones() {
        assert_eq!(difference(&result(200.0), &result(200.0)), 0.0);
        assert!((difference(&result(200.0), &result(202.0)) - 0.01).abs() < 1e-9);
        assert!((difference(&result(0.0), &result(0.25)) - 0.25).abs() < 1e-9);
        let map = GoldenResult { quantiles: [0.1, 0.2, 0.3, 0.4, 0.75], ..result(200.0) };
        assert!((difference(&result(200.0), &map) - 0.25).abs() < 1e-7);
        for broken in [f32::NAN, f32::INFINITY] {
            assert_eq!(difference(&result(1.0), &result(broken)), f64::INFINITY);
        }
    }

    #[test]
    fn less_than_fp32_on_either_side_has_a_tolerance_of_its_own() {
        let of = |made, here| default_tolerance(&machine(made), &machine(here));
        assert_eq!(of(Precision::Fp32, Precision::Fp32), TOLERANCE);
        assert_eq!(of(Precision::Fp32, Precision::Bf16), LOW_TOLERANCE);
        assert_eq!(of(Precision::Fp16, Precision::Fp32), LOW_TOLERANCE);
    }
}

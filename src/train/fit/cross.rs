//! Cross-fitting: more good images for the null than the model's own training held out.
//!
//! A null must be calibrated on images that the flow has not seen. Where the model's own held-out images are too few, further
//! flows are fitted, each with another part of the images held out; the latents of all held-out parts together estimate the
//! null, and set the threshold at the rejection rate. Only flows that were fitted to the end count: a flow that was stopped early is less fitted than the model, its
//! energies are too high, and a null that stands on them hides defects.

use std::time::{Duration, Instant};

use super::{
    FitOptions, Fitted, Fitter,
    fitted::{CrossFit, Energies, HeldOutImages, Unusual},
};
use crate::{
    Error, Result,
    latents::ScaleShape,
    segment::{
        Bound, CalibratedNull, DecisionOptions, FEWEST_IMAGES as FEWEST_TO_CALIBRATE, JudgedFrame, Measurement, NullOf,
        Outlier, Rejection, RejectionOrigin, TestCount, Verdict, enough_for_parts, images_needed,
    },
    train::{Control, Progress, StopReason, TrainOptions},
};

/// Parts that good images are divided into where each is held out once, and so the most flows.
pub(super) const FOLDS: usize = 4;
/// Good images that a null is calibrated on where there are so many: its promise is then kept within a factor of 3
/// (benches/trust.md); with 30 images the factor can be larger.
const ENOUGH_TO_CALIBRATE: usize = 100;
/// Part of the images that one flow may hold out, where these are enough. The model then has all the time for training, and its promise needs
/// no second flow that is as good.
const MOST_HELD_OUT_ALONE: f64 = 1.0 / 3.0;
/// Good images that are named as the most unusual.
const MOST_UNUSUAL: usize = 3;

/// What is held out of the model's own training, and how many flows the null needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Plan {
    /// Part of the images that is held out of each flow.
    pub(super) held_out: f64,
    /// Flows in all, each with other images held out.
    pub(super) flows: usize,
}

impl Plan {
    pub(super) fn new(options: &FitOptions, images: usize) -> Self {
        let own = options.training.held_out;
        let quarter = 1.0 / FOLDS as f64;
        if options.cross_fit {
            return Self { held_out: quarter, flows: FOLDS }.within(options, images);
        }
        let decision = options.decision();
        let enough = Self::enough(&decision, images);
        let needs_none = decision.tests.unwrap_or_default().is_paper() && decision.verdict != Some(Verdict::Reject);
        if needs_none || options.training.held_out_images(images) >= enough {
            return Self { held_out: own, flows: 1 };
        }
        let part = |count: usize| count as f64 / images as f64;
        if part(enough) <= MOST_HELD_OUT_ALONE {
            return Self { held_out: own.max(part(enough)), flows: 1 };
        }
        let most = own.max(quarter);
        let flows = (part(enough) / most).ceil().min(options.most_flows.clamp(1, FOLDS) as f64) as usize;
        Self { held_out: own.max(quarter.min(part(enough.div_ceil(flows)))), flows }.within(options, images)
    }

    /// Images that should be held out: enough for the null, and for the rejection rate where there are so many at all.
    fn enough(decision: &DecisionOptions, images: usize) -> usize {
        let rate = decision.reject_rate.filter(|_| decision.verdict == Some(Verdict::Reject));
        let needed = rate.map_or(0, images_needed);
        if needed <= images { needed.max(ENOUGH_TO_CALIBRATE) } else { ENOUGH_TO_CALIBRATE }
    }

    /// No more flows than there are parts of the images.
    fn within(self, options: &FitOptions, images: usize) -> Self {
        let of_each = self.options(&options.training).held_out_images(images);
        Self { flows: self.flows.min(images.div_ceil(of_each)), ..self }
    }

    /// The options of the model's own training.
    pub(super) fn options(&self, training: &TrainOptions) -> TrainOptions {
        TrainOptions { held_out: self.held_out, ..training.clone() }
    }

    /// Images that all flows together hold out.
    pub(super) fn images(&self, training: &TrainOptions, images: usize) -> usize {
        (self.flows * training.held_out_images(images)).min(images)
    }
}

/// Fits the further flows: `fit` gives a flow's held-out images, or `None` where the caller stopped it. What is finished goes into
/// `held_out`.
///
/// # Errors
/// [`Error::Cancelled`] where the caller cancelled. Every other error costs its own flow only.
pub(super) fn run(
    held_out: &mut HeldOutImages,
    cross_fit: &mut CrossFit,
    fit: &mut dyn FnMut(usize) -> Result<Option<HeldOutImages>>,
) -> Result<()> {
    for fold in cross_fit.finished..cross_fit.planned {
        match fit(fold) {
            Ok(Some(others)) => {
                held_out.extend(others);
                cross_fit.finished += 1;
            }
            Ok(None) => {
                cross_fit.stopped = true;
                break;
            }
            Err(Error::Cancelled) => {
                cross_fit.stopped = true;
                return Err(Error::Cancelled);
            }
            Err(error) => cross_fit.failures.push(format!("flow {} of {}: {error}", fold, cross_fit.planned - 1)),
        }
    }
    Ok(())
}

/// What the next of so many flows may take of the time that is left: what one leaves, the others get.
fn share(budget: Duration, spent: Duration, flows: usize) -> Duration {
    (budget.saturating_sub(spent) / flows.max(1) as u32).max(Duration::from_nanos(1))
}

impl Fitter {
    /// The time of the next flow, of so many that are still to be fitted.
    pub(super) fn time_of_next(&self, spent: Duration, flows: usize) -> Option<Duration> {
        let share = self.options.time_budget.map(|budget| share(budget, spent, flows));
        share.into_iter().chain(self.options.training.time_budget).min()
    }

    /// Fits the further flows that the null of a model needs, if it needs any, and estimates the null anew on all images that were
    /// held out of a flow that was fitted to the end. A flow that fails or is stopped is not used:
    /// [`Fitted::cross_fit`] and [`Fitted::warnings`] say so. On [`Control::Stop`] no further flow is fitted. A second call
    /// does nothing.
    ///
    /// # Errors
    /// [`Error::Cancelled`] on [`Control::Cancel`]; the model stays usable, its null on what was finished.
    /// [`Error::Parameter`] for a model of another fitter, or where frames were added since.
    pub fn cross_fit(&self, fitted: &mut Fitted, progress: &mut dyn FnMut(&Progress) -> Control) -> Result<()> {
        if fitted.images != self.cache.len() {
            let reason =
                format!("the model was fitted to {} frames, now there are {}", fitted.images, self.cache.len());
            return Err(Error::parameter("fitted", reason));
        }
        let mut held_out = std::mem::take(&mut fitted.held_out);
        if fitted.cross_fit.is_complete() || held_out.images.is_empty() {
            return Ok(());
        }
        let training = fitted.training.clone();
        let places = self.places()?;
        let flows = fitted.cross_fit.planned;
        let (begun, before) = (Instant::now(), fitted.training_seconds);
        let spent = || Duration::from_secs_f64(before) + begun.elapsed();
        let mut fit = |fold: usize| {
            let time_budget = self.time_of_next(spent(), flows - fold);
            let part = TrainOptions { fold, time_budget, ..training.clone() };
            let trained = self
                .train_flow(&part, places.as_ref(), &mut |state| progress(&Progress { fold, folds: flows, ..state }))?;
            match trained.summary.stopped {
                StopReason::Finished | StopReason::Patience | StopReason::TimeBudget => {}
                StopReason::Asked => return Ok(None),
                StopReason::Diverged => return Err(Error::training("training diverged")),
            }
            super::on(part.threads, || self.judged(&trained, places.as_ref())).map(Some)
        };
        let done = match fitted.summary.stopped {
            StopReason::Asked => Ok(()),
            _ => run(&mut held_out, &mut fitted.cross_fit, &mut fit),
        };
        fitted.training_seconds = spent().as_secs_f64();
        self.set_null(fitted, &held_out)?;
        self.set_golden(fitted);
        self.set_checked(fitted);
        done
    }

    /// Estimates the null of a model from held-out images, and measures these images for the rejection rate. A model
    /// that was to count tests by size and has no null counts them as the paper does, and decides as the paper does.
    pub(super) fn set_null(&self, fitted: &mut Fitted, held_out: &HeldOutImages) -> Result<()> {
        let energies = &held_out.energies;
        let latents = fitted.manifest.latents();
        let wanted = self.options.decision();
        let paper = wanted.tests.unwrap_or_default().is_paper();
        let enough = energies.len() >= FEWEST_TO_CALIBRATE;
        let null = enough.then(|| CalibratedNull::estimate(&latents, self.roi.as_deref(), energies)).transpose()?;
        let tests = if null.is_some() { wanted.tests.unwrap_or_default() } else { TestCount::Paper };
        let origin = match fitted.cross_fit.finished {
            1 => RejectionOrigin::HeldOut,
            _ => RejectionOrigin::CrossFitted,
        };
        let measured_with = (tests, wanted.bound.unwrap_or_default());
        let threads = fitted.training.threads;
        let lowest = super::on(threads, || self.lowest(&latents, energies, measured_with))?;
        let seen = |(&image, &lowest): (&usize, &Option<f32>)| JudgedFrame {
            lowest,
            brightness: self.images[image].brightness,
        };
        let seen = lowest.as_ref().map(|lowest| held_out.images.iter().zip(lowest).map(seen).collect::<Vec<_>>());
        let rejection = seen.map(|seen| Rejection::of(&seen, origin, tests, measured_with.1)).transpose()?;
        fitted.judged = self.judged_images(&fitted.summary.held_out, &held_out.images, lowest.as_deref())?;
        (fitted.unusual, fitted.outlier) = self.unusual(&held_out.images, lowest.as_deref().unwrap_or_default());
        let by_rate = wanted.verdict == Some(Verdict::Reject);
        let (manifest, cross_fit) = (&mut fitted.manifest, &mut fitted.cross_fit);
        cross_fit.images = null.as_ref().map_or(0, |null| null.images);
        cross_fit.without_null = null.is_none() && !paper;
        cross_fit.without_rejection = rejection.is_none() && by_rate;
        manifest.detection.tests = Some(tests);
        (manifest.detection.verdict, manifest.detection.reject_rate) = match cross_fit.without_rejection {
            true => (Some(Verdict::Nfa), None),
            false => (wanted.verdict, wanted.reject_rate),
        };
        (manifest.calibration, manifest.rejection) = (null, rejection);
        Ok(())
    }

    /// The lowest log₁₀NFA of each held-out image; none where they are too few.
    fn lowest(
        &self,
        shapes: &[ScaleShape],
        energies: &[Energies],
        (tests, bound): (TestCount, Bound),
    ) -> Result<Option<Vec<Option<f32>>>> {
        let null = if tests.is_paper() { NullOf::Theory } else { NullOf::OtherParts };
        let enough =
            if tests.is_paper() { energies.len() >= FEWEST_TO_CALIBRATE } else { enough_for_parts(energies.len()) };
        if !enough {
            return Ok(None);
        }
        let maps = self.map_size();
        let measurement = Measurement { shapes, maps, roi: self.roi.as_deref(), bound };
        measurement.lowest(energies, null).map(Some)
    }

    /// The most unusual of these images by their lowest log₁₀NFA, and a warning where the first stands apart from all others.
    fn unusual(&self, images: &[usize], lowest: &[Option<f32>]) -> (Vec<Unusual>, Option<String>) {
        let named = |image: usize| self.images[image].name.clone();
        let of_each = images.iter().zip(lowest).filter_map(|(&image, lowest)| Some((image, (*lowest)?)));
        let mut order: Vec<_> = of_each.collect();
        order.sort_by(|a, b| a.1.total_cmp(&b.1));
        let outlier = Outlier::of(lowest).map(|outlier| outlier.warning(&named(images[outlier.index])));
        let unusual = order.into_iter().take(MOST_UNUSUAL);
        (unusual.map(|(image, log10_nfa)| Unusual { image: named(image), log10_nfa }).collect(), outlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started() -> CrossFit {
        CrossFit { planned: 4, finished: 1, planned_images: 100, images: 25, ..CrossFit::default() }
    }

    /// One image whose only energy is the number of its flow.
    fn held_out(fold: usize) -> Option<HeldOutImages> {
        Some(HeldOutImages { images: vec![fold], energies: vec![vec![vec![fold as f32]]] })
    }

    fn folds(held_out: &HeldOutImages) -> Vec<f32> {
        held_out.energies.iter().map(|image| image[0][0]).collect()
    }

    #[test]
    fn a_flow_that_fails_costs_itself_only() {
        let (mut all, mut cross_fit) = (held_out(0).unwrap(), started());
        run(&mut all, &mut cross_fit, &mut |fold| match fold {
            2 => Err(Error::training("no room left")),
            _ => Ok(held_out(fold)),
        })
        .unwrap();
        assert_eq!(folds(&all), [0.0, 1.0, 3.0]);
        assert_eq!((cross_fit.finished, cross_fit.stopped), (3, false));
        cross_fit.images = 75;
        let warning = cross_fit.warning().unwrap();
        for part in ["flow 2 of 3: training: no room left", "1 of 3 further flows", "75 good images instead of 100"] {
            assert!(warning.contains(part), "no `{part}` in: {warning}");
        }
    }

    #[test]
    fn after_a_stop_no_further_flow_is_fitted() {
        let (mut all, mut cross_fit) = (held_out(0).unwrap(), started());
        let mut asked = Vec::new();
        run(&mut all, &mut cross_fit, &mut |fold| {
            asked.push(fold);
            Ok(if fold == 2 { None } else { held_out(fold) })
        })
        .unwrap();
        assert_eq!((asked, folds(&all)), (vec![1, 2], vec![0.0, 1.0]));
        assert!(cross_fit.stopped && !cross_fit.is_complete() && cross_fit.failures.is_empty());
        assert!(cross_fit.warning().unwrap().contains("cross-fitting was stopped: 2 of 3 further flows"));
    }

    #[test]
    fn a_cancellation_keeps_what_is_finished() {
        let (mut all, mut cross_fit) = (held_out(0).unwrap(), started());
        let result = run(&mut all, &mut cross_fit, &mut |fold| match fold {
            1 => Ok(held_out(1)),
            _ => Err(Error::Cancelled),
        });
        assert!(matches!(result, Err(Error::Cancelled)));
        assert_eq!((folds(&all), cross_fit.finished), (vec![0.0, 1.0], 2));
    }

    #[test]
    fn flows_share_the_time_and_get_what_others_leave() {
        let [budget, second] = [120, 1].map(Duration::from_secs);
        assert_eq!(share(budget, Duration::ZERO, 4), 30 * second);
        assert_eq!(share(budget, 12 * second, 3), 36 * second, "the first took 12 of its 30 s");
        assert_eq!(share(budget, 108 * second, 1), 12 * second);
        assert_eq!(share(budget, 130 * second, 1), Duration::from_nanos(1), "nothing is left");
    }

    #[test]
    fn a_null_has_a_hundred_images_where_there_are_so_many() {
        let mut options = FitOptions::new("bracket");
        let plan = |options: &FitOptions, images| {
            let plan = Plan::new(options, images);
            (plan.options(&options.training).held_out_images(images), plan.flows)
        };
        options.detection.tests = Some(TestCount::Paper);
        assert_eq!(plan(&options, 300), (30, 1), "the paper's count needs no null");
        options.detection.tests = None;
        for (images, expected) in [
            (40, (10, 4)),
            (100, (25, 4)),
            (200, (50, 2)),
            (250, (50, 2)),
            (300, (100, 1)),
            (400, (100, 1)),
            (900, (100, 1)),
            (2000, (200, 1)),
        ] {
            assert_eq!(plan(&options, images), expected, "{images} images");
        }
        options.detection.reject_rate = Some(0.004);
        assert_eq!(plan(&options, 400), (83, 3), "249 images keep 0.4%");
        assert_eq!(plan(&options, 200), (50, 2), "200 images cannot");
        options.detection.reject_rate = None;
        options.training.held_out = 0.5;
        assert_eq!(plan(&options, 100), (50, 2));
        options.most_flows = 1;
        assert_eq!(plan(&options, 60), (30, 1), "no cross-fitting");
        options.cross_fit = true;
        assert_eq!(plan(&options, 2000), (500, 4));
    }
}

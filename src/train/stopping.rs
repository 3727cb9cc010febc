//! When training ends: the held-out likelihood gains no more, or the time is over.

use std::time::{Duration, Instant};

use super::{StopReason, TrainOptions};

/// Watches the held-out likelihood and the clock.
#[derive(Debug)]
pub(super) struct Stopping {
    patience: usize,
    least_gain: f64,
    end: Option<Instant>,
    /// The epoch that last gained enough, and its negative log-likelihood: smaller gains add up against it.
    reference: Option<(usize, f64)>,
    /// What the last measurement took. The next one must fit in, too.
    measuring: Duration,
}

impl Stopping {
    /// For a training that began then.
    pub(super) fn new(options: &TrainOptions, begun: Instant) -> Self {
        Self {
            patience: options.patience,
            least_gain: options.least_gain,
            end: options.time_budget.and_then(|budget| begun.checked_add(budget)),
            reference: None,
            measuring: Duration::ZERO,
        }
    }

    /// Takes note of the best model's likelihood after an epoch, and of the time that measuring took.
    pub(super) fn note(&mut self, epoch: usize, nll: f64, measuring: Duration) {
        self.measuring = measuring;
        if self.reference.is_none_or(|(_, reference)| nll <= reference - self.least_gain) {
            self.reference = Some((epoch, nll));
        }
    }

    /// Whether the time budget leaves no more than one measurement.
    pub(super) fn is_late(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() + self.measuring >= end)
    }

    /// Why training ends after this epoch, if it does. Patience comes first: that end is the same on every machine.
    pub(super) fn after_epoch(&self, epoch: usize) -> Option<StopReason> {
        let since = self.reference.map_or(0, |(epoch, _)| epoch);
        match () {
            () if epoch >= since + self.patience => Some(StopReason::Patience),
            () if self.is_late() => Some(StopReason::TimeBudget),
            () => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stopping(patience: usize, budget: Option<Duration>, begun: Instant) -> Stopping {
        let options = TrainOptions { patience, least_gain: 0.01, time_budget: budget, ..TrainOptions::default() };
        Stopping::new(&options, begun)
    }

    #[test]
    fn gains_too_small_to_count_add_up_and_end_training_where_they_do_not() {
        let mut watched = stopping(3, None, Instant::now());
        let mut ends = Vec::new();
        // Gains of 0.004: each third epoch has gained 0.012. From epoch 6 on, nothing more.
        for (epoch, nll) in [1.0, 0.996, 0.992, 0.988, 0.984, 0.98, 0.976, 0.975, 0.974, 0.973].into_iter().enumerate()
        {
            watched.note(epoch, nll, Duration::ZERO);
            ends.push(watched.after_epoch(epoch));
        }
        assert_eq!(ends[..9], [None; 9]);
        assert_eq!(ends[9], Some(StopReason::Patience));
    }

    #[test]
    fn the_time_is_over_when_only_a_measurement_fits_in() {
        let now = Instant::now();
        let budget = Duration::from_secs(1000);
        let mut watched = stopping(3, Some(budget), now);
        watched.note(0, 1.0, Duration::from_secs(1));
        assert!(!watched.is_late());
        assert_eq!(watched.after_epoch(1), None);
        watched.note(1, 0.9, budget);
        assert!(watched.is_late());
        assert_eq!(watched.after_epoch(2), Some(StopReason::TimeBudget));
        assert_eq!(watched.after_epoch(4), Some(StopReason::Patience), "an end that repeats comes first");
        assert!(!stopping(3, None, now).is_late(), "no budget");
        assert!(!stopping(3, Some(Duration::MAX), now).is_late(), "more than the clock can count");
    }
}

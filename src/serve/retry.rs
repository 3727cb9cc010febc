//! When something that failed is tried again: after a pause that doubles with each failure in a row.

use std::time::{Duration, Instant};

/// Pauses between attempts to load or to copy a package.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Failures in a row, and when the next attempt is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    failures: u32,
    due: Instant,
}

impl Retry {
    /// One more failure, after those before.
    pub(super) fn after(before: Option<Self>) -> Self {
        let failures = before.map_or(1, |retry| retry.failures.saturating_add(1));
        Self { failures, due: Instant::now() + pause(failures) }
    }

    pub(super) fn is_due(self) -> bool {
        self.due <= Instant::now()
    }

    /// How long it waits from the last failure on.
    pub(super) fn pause(self) -> Duration {
        pause(self.failures)
    }

    /// Failures in a row.
    #[cfg(feature = "object-store")]
    pub(super) fn failures(self) -> u32 {
        self.failures
    }
}

fn pause(failures: u32) -> Duration {
    doubling(FIRST_PAUSE, LONGEST_PAUSE, failures)
}

/// The pause after a number of failures in a row: the first one, and twice as long after each further failure, up to the longest.
pub(super) fn doubling(first: Duration, longest: Duration, failures: u32) -> Duration {
    let doubled = 2_u32.checked_pow(failures.saturating_sub(1)).and_then(|factor| first.checked_mul(factor));
    doubled.map_or(longest, |pause| pause.min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses: Vec<_> = [1, 2, 3, 8, 9, 40, u32::MAX].map(|failures| pause(failures).as_secs()).to_vec();
        assert_eq!(pauses, [2, 4, 8, 256, 300, 300, 300]);
        let first = Retry::after(None);
        assert_eq!((first.pause(), Retry::after(Some(first)).pause()), (FIRST_PAUSE, 2 * FIRST_PAUSE));
        assert!(!first.is_due());
    }
}

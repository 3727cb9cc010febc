//! A limit on log lines about the same thing, so that a client cannot fill the log.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::sync::lock;

/// Lines in a period.
const LINES: u64 = 20;
/// Length of a period.
const PERIOD: Duration = Duration::from_secs(10);

/// Lets a few lines through in each period and counts the rest.
#[derive(Debug, Default)]
pub(super) struct Limiter(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    logged: u64,
    left_out: u64,
}

impl Limiter {
    /// `Some` if a line may be logged now, with the number of lines that were left out since the last one.
    pub(super) fn admit(&self) -> Option<u64> {
        self.admit_at(Instant::now())
    }

    fn admit_at(&self, now: Instant) -> Option<u64> {
        let mut state = lock(&self.0);
        if state.began.is_none_or(|began| now.duration_since(began) >= PERIOD) {
            state.began = Some(now);
            state.logged = 0;
        }
        if state.logged == LINES {
            state.left_out += 1;
            return None;
        }
        state.logged += 1;
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_has_so_many_lines_and_the_next_tells_how_many_were_left_out() {
        let (limiter, start) = (Limiter::default(), Instant::now());
        let admitted = (0..1000).filter(|_| limiter.admit_at(start).is_some()).count();
        assert_eq!(admitted as u64, LINES);
        assert_eq!(limiter.admit_at(start + PERIOD), Some(1000 - LINES));
        assert_eq!(limiter.admit_at(start + PERIOD), Some(0));
    }
}

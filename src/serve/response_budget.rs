//! Answers that wait for their clients to read them, and how much memory they may take together.
//!
//! A stream's queue bounds the number of waiting answers, not their size: masks and maps for a client that does not read would
//! fill the memory. An answer over the limit is replaced by `RESOURCE_EXHAUSTED`. Small answers always pass.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use prometheus::{IntGauge, Registry};
use prost::Message;

use super::proto::v1::DetectResponse;
use crate::{Error, Result, engine::register};

/// Most bytes of waiting answers.
const LIMIT: usize = 256 << 20;
/// Most bytes of one answer, unless the server's configuration says otherwise.
const LARGEST: usize = 64 << 20;
/// An answer of at most this size always passes: one without masks and maps.
const SMALL: usize = 64 << 10;

/// The memory that an answer takes.
pub trait Weigh {
    /// Approximate size in bytes.
    fn bytes(&self) -> usize;
}

impl Weigh for DetectResponse {
    fn bytes(&self) -> usize {
        self.encoded_len()
    }
}

impl Weigh for Vec<u8> {
    fn bytes(&self) -> usize {
        self.len()
    }
}

/// Counts the bytes of waiting answers.
#[derive(Clone, Debug)]
pub struct ResponseBudget {
    bytes: Arc<AtomicUsize>,
    gauge: IntGauge,
    limit: usize,
    largest: usize,
}

/// Refuses an answer that is larger than a message may be. The frame is answered with this error, so that a stream goes on.
///
/// # Errors
/// [`Error::Parameter`] that says what to ask for instead.
pub(super) fn check_size(bytes: usize, largest: usize) -> Result<()> {
    if bytes <= largest {
        return Ok(());
    }
    Err(Error::parameter(
        "outputs",
        format!(
            "the answer has {} KiB, and a message at most {} KiB; ask for masks as PNG or runs, for maps as PNG or f16, for fewer \
             frames in a request, or raise the server's --max-message-mib",
            bytes.div_ceil(1 << 10),
            largest >> 10
        ),
    ))
}

impl ResponseBudget {
    /// Registers the gauge.
    ///
    /// # Errors
    /// The gauge is registered already.
    pub fn new(registry: &Registry) -> Result<Self> {
        let gauge = IntGauge::new("uflow_unsent_answer_bytes", "Answers that wait for their clients to read.");
        let gauge = register(registry, gauge)?;
        Ok(Self { bytes: Arc::default(), gauge, limit: LIMIT, largest: LARGEST })
    }

    /// Sets the limit of one answer, in bytes.
    pub(super) fn set_largest(&mut self, bytes: usize) {
        self.largest = bytes;
    }

    /// Most bytes of one answer.
    pub(super) fn largest(&self) -> usize {
        self.largest
    }

    /// Counts an answer until it is taken.
    ///
    /// # Errors
    /// As [`check_size`], and [`Error::Overloaded`] for an answer that does not fit beside those that wait.
    pub(super) fn hold<T: Weigh>(&self, answer: T) -> Result<Held<T>> {
        let bytes = answer.bytes();
        check_size(bytes, self.largest)?;
        let more = |waiting: usize| (bytes <= SMALL || waiting + bytes <= self.limit).then_some(waiting + bytes);
        if self.bytes.fetch_update(Relaxed, Relaxed, more).is_err() {
            return Err(Error::Overloaded(format!(
                "the frame was processed, but its answer of {1} KiB exceeds the memory for unread answers ({0} MiB of answers wait for \
                 their clients); read answers sooner, or ask for smaller masks and maps (PNG)",
                self.limit >> 20,
                bytes >> 10
            )));
        }
        self.gauge.add(bytes as i64);
        Ok(Held { answer: Some(answer), bytes, budget: self.clone() })
    }
}

/// A waiting answer.
#[derive(Debug)]
pub(super) struct Held<T> {
    answer: Option<T>,
    bytes: usize,
    budget: ResponseBudget,
}

impl<T> Held<T> {
    /// Takes the answer for its client.
    pub(super) fn take(mut self) -> Option<T> {
        self.answer.take()
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        self.budget.bytes.fetch_sub(self.bytes, Relaxed);
        self.budget.gauge.sub(self.bytes as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_answers_are_refused_when_many_wait_and_small_ones_pass() {
        let budget = ResponseBudget { limit: 1 << 20, ..ResponseBudget::new(&Registry::new()).unwrap() };
        let first = budget.hold(vec![0_u8; 700 << 10]).unwrap();
        let refused = budget.hold(vec![0_u8; 700 << 10]).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("1 MiB of answers wait") && refused.contains("700 KiB"), "{refused}");
        let small = budget.hold(vec![1_u8; 9]).unwrap();
        assert_eq!((budget.gauge.get(), small.take()), ((700 << 10) + 9, Some(vec![1; 9])));
        drop(first);
        assert_eq!(budget.gauge.get(), 0);
        assert!(budget.hold(vec![0_u8; 700 << 10]).is_ok());
    }

    #[test]
    fn an_answer_larger_than_a_message_is_refused_whoever_waits() {
        let mut budget = ResponseBudget::new(&Registry::new()).unwrap();
        budget.set_largest(1000);
        assert!(budget.hold(vec![0_u8; 1000]).is_ok());
        let refused = budget.hold(vec![0_u8; 1001]).map(drop).unwrap_err();
        assert!(matches!(refused, Error::Parameter { name: "outputs", .. }), "{refused}");
        assert_eq!(budget.gauge.get(), 0);
    }
}

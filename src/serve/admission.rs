//! Which frames the engine gets: at most so many, of at most so many bytes together, and some more of high priority.
//!
//! The same numbers as the engine's own; here frames can wait for room, in the order in which they came.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    Error, Result,
    engine::{EngineOptions, Priority},
};

/// Memory is counted in KiB, as permits are numbers of 32 bits.
const UNIT: u64 = 1 << 10;

/// Room for frames.
#[derive(Debug)]
pub(super) struct Admission {
    normal: Room,
    /// For frames of high priority when the other is full.
    reserve: Room,
}

#[derive(Clone, Debug)]
struct Room {
    frames: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    /// All of the memory, in units: no frame is charged more.
    units: u32,
}

/// A frame's room, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    _frame: OwnedSemaphorePermit,
    _memory: OwnedSemaphorePermit,
}

impl Room {
    fn new(frames: usize, bytes: u64) -> Self {
        let units = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX);
        Self { frames: Arc::new(Semaphore::new(frames)), memory: Arc::new(Semaphore::new(units as usize)), units }
    }

    fn units(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.units)
    }

    fn try_take(&self, bytes: u64) -> Option<Admitted> {
        let frame = Arc::clone(&self.frames).try_acquire_owned().ok()?;
        let memory = Arc::clone(&self.memory).try_acquire_many_owned(self.units(bytes)).ok()?;
        Some(Admitted { _frame: frame, _memory: memory })
    }

    async fn take(&self, bytes: u64) -> Result<Admitted> {
        let stopping = |_| Error::unavailable("the server is stopping");
        let frame = Arc::clone(&self.frames).acquire_owned().await.map_err(stopping)?;
        let memory = Arc::clone(&self.memory).acquire_many_owned(self.units(bytes)).await.map_err(stopping)?;
        Ok(Admitted { _frame: frame, _memory: memory })
    }
}

impl Admission {
    pub(super) fn new(options: &EngineOptions) -> Self {
        Self {
            normal: Room::new(options.max_in_flight, options.max_frame_bytes),
            reserve: Room::new(options.reserve(), options.reserve_bytes()),
        }
    }

    /// How many more frames of normal priority would be admitted, as far as their number goes.
    pub(super) fn free_places(&self) -> usize {
        self.normal.frames.available_permits()
    }

    /// Room for a frame of so many bytes, if there is any now.
    pub(super) fn try_take(&self, priority: Priority, bytes: u64) -> Option<Admitted> {
        let reserve =
            || (priority == Priority::High && bytes.div_ceil(UNIT) <= u64::from(self.reserve.units)).then_some(());
        self.normal.try_take(bytes).or_else(|| reserve().and_then(|()| self.reserve.try_take(bytes)))
    }

    /// Waits for room.
    pub(super) async fn take(&self, priority: Priority, bytes: u64) -> Result<Admitted> {
        if let Some(admitted) = self.try_take(priority, bytes) {
            return Ok(admitted);
        }
        if priority == Priority::High && bytes.div_ceil(UNIT) <= u64::from(self.reserve.units) {
            return tokio::select! {
                admitted = self.normal.take(bytes) => admitted,
                admitted = self.reserve.take(bytes) => admitted,
            };
        }
        self.normal.take(bytes).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn admission() -> Admission {
        let options = EngineOptions { max_in_flight: 8, max_frame_bytes: 80 * MIB, ..EngineOptions::default() };
        Admission::new(&options)
    }

    #[test]
    fn frames_are_bounded_in_number_and_in_bytes() {
        let admission = admission();
        let small: Vec<_> = (0..8).map(|_| admission.try_take(Priority::Normal, 1).unwrap()).collect();
        assert!(admission.try_take(Priority::Normal, 1).is_none(), "eight frames are the most");
        drop(small);
        let large = admission.try_take(Priority::Normal, 60 * MIB).unwrap();
        assert!(admission.try_take(Priority::Normal, 30 * MIB).is_none(), "90 MiB are more than 80");
        assert!(admission.try_take(Priority::High, 30 * MIB).is_none(), "the reserve has 10 MiB");
        let high = admission.try_take(Priority::High, 9 * MIB).unwrap();
        let reserved = admission.try_take(Priority::High, 10 * MIB).unwrap();
        let last = admission.try_take(Priority::High, 10 * MIB).unwrap();
        assert!(admission.try_take(Priority::High, 10 * MIB).is_none());
        drop((large, high, reserved, last));
        assert!(admission.try_take(Priority::Normal, 80 * MIB).is_some(), "all of it was given back");
    }

    #[tokio::test]
    async fn a_frame_that_waits_is_admitted_when_there_is_room() {
        let admission = Arc::new(admission());
        let first = admission.take(Priority::Normal, 60 * MIB).await.unwrap();
        let waiting = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { admission.take(Priority::Normal, 60 * MIB).await.map(drop) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        waiting.await.unwrap().unwrap();
    }
}

//! The frames of a stream, in the order in which they were submitted.
//!
//! A frame is *done* when its answer is there and its pixels have been released. Done frames leave the queue at the front, one
//! by one; at most `capacity` are in it at a time. A closed queue takes no more frames; a queue that is given up also cancels
//! those inside. Pixels are released as soon as they are in the network's input, and always before the frame's answer leaves.

use std::{
    collections::VecDeque,
    ffi::c_void,
    mem::offset_of,
    ptr,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use uflow::engine::{Answer, ResponseSink};

use crate::pointer::Versioned;

/// A pointer that the caller wants back in a callback. The library never reads what it points to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cookie(pub(crate) *mut c_void);

// SAFETY: it goes back to the caller as it came and is never dereferenced; the header says that callbacks come from other threads.
unsafe impl Send for Cookie {}
// SAFETY: as above.
unsafe impl Sync for Cookie {}

/// What the caller attaches to a frame. It comes back unchanged with the frame's release and with its result. Begin with
/// `UFLOW_FRAME_INIT`.
///
/// Identify a part by `id` or `timestamp`, which travel with the frame. Do not read the part's number through `buffer` when the
/// result comes: the buffer was released earlier, and may hold a later frame by then.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct uflow_frame {
    /// sizeof(uflow_frame).
    pub struct_size: usize,
    /// A number of the caller's, e.g. of the part or of its place on the conveyor.
    pub id: u64,
    /// A time of the caller's, in any unit, e.g. the encoder's count at the trigger.
    pub timestamp: u64,
    /// A pointer of the caller's, e.g. to the camera's buffer. The library does not read what it points to.
    pub buffer: *mut c_void,
}

impl Versioned for uflow_frame {
    const FIRST: usize = offset_of!(Self, buffer) + size_of::<*mut c_void>();
    const EMPTY: Self = Self { struct_size: size_of::<Self>(), id: 0, timestamp: 0, buffer: ptr::null_mut() };
    const NAME: &str = "frame";
}

// SAFETY: numbers, and a pointer that goes back to the caller as it came.
unsafe impl Send for uflow_frame {}
// SAFETY: as above.
unsafe impl Sync for uflow_frame {}

/// Called when a frame's pixels are not read any more: `user_data` as it was set, and what the caller attached to the frame.
/// `frame` is valid during the call.
pub type uflow_release_callback = Option<unsafe extern "C" fn(user_data: *mut c_void, frame: *const uflow_frame)>;

type FrameAnswer = Result<Answer, uflow::Error>;

#[derive(Debug)]
struct QueuedFrame {
    frame: uflow_frame,
    answer: Option<FrameAnswer>,
    lent: bool,
}

impl QueuedFrame {
    fn is_done(&self) -> bool {
        self.answer.is_some() && !self.lent
    }
}

#[derive(Debug, Default)]
struct QueueState {
    frames: VecDeque<QueuedFrame>,
    /// Number of the first entry.
    first: u64,
    /// Frames that have left the queue and are being delivered.
    delivering: usize,
    closed: bool,
}

impl QueueState {
    fn entry(&mut self, number: u64) -> Option<&mut QueuedFrame> {
        self.frames.get_mut(number.checked_sub(self.first)? as usize)
    }
}

#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
    /// Frames below this number are cancelled; `u64::MAX` when the stream is being freed.
    given_up: AtomicU64,
    capacity: usize,
    release: (uflow_release_callback, Cookie),
}

/// Why a wait ended without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitError {
    /// The time limit passed.
    TimedOut,
    /// It cannot come any more: the stream is closed or empty.
    Ended,
}

impl Queue {
    pub(crate) fn new(capacity: usize, release: (uflow_release_callback, Cookie)) -> Arc<Self> {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Arc::new(Self { state, changed, given_up: AtomicU64::new(0), capacity, release })
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all frames are cancelled: the stream is being freed.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire) == u64::MAX
    }

    /// Waits until `ready` gives something, at most until `end` (`None`: without a limit).
    fn wait<T>(
        &self,
        end: Option<Instant>,
        mut ready: impl FnMut(&mut QueueState) -> Option<Result<T, WaitError>>,
    ) -> Result<T, WaitError> {
        let mut state = self.lock();
        loop {
            if let Some(result) = ready(&mut state) {
                return result;
            }
            state = match end {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(end) => {
                    let left = end.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(WaitError::TimedOut);
                    }
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Takes a frame as soon as there is room. Gives its number.
    pub(crate) fn push(&self, frame: uflow_frame, limit: Option<Duration>) -> Result<u64, WaitError> {
        self.wait(end(limit), |state| {
            if state.closed {
                return Some(Err(WaitError::Ended));
            }
            (state.frames.len() + state.delivering < self.capacity).then(|| {
                state.frames.push_back(QueuedFrame { frame, answer: None, lent: true });
                Ok(state.first + state.frames.len() as u64 - 1)
            })
        })
    }

    /// Waits for the first frame to be done and removes it. The frame keeps its place until [`delivered`](Self::delivered). The
    /// wait ends when the queue is closed and empty.
    pub(crate) fn pop(&self, limit: Option<Duration>) -> Result<(uflow_frame, FrameAnswer), WaitError> {
        self.wait(end(limit), |state| match state.frames.front() {
            None => state.closed.then_some(Err(WaitError::Ended)),
            Some(front) => front.is_done().then(|| take(state).ok_or(WaitError::Ended)),
        })
    }

    /// The frame that left last has been delivered.
    pub(crate) fn delivered(&self) {
        self.lock().delivering -= 1;
        self.changed.notify_all();
    }

    /// Waits until every frame that is inside now is done; if `left`, until all of them have been delivered.
    pub(crate) fn flush(&self, left: bool, limit: Option<Duration>) -> Result<(), WaitError> {
        let last = {
            let state = self.lock();
            state.first + state.frames.len() as u64
        };
        self.wait(end(limit), |state| {
            let done = match left {
                true => state.first - state.delivering as u64 >= last,
                false => state.frames.iter().zip(state.first..last).all(|(entry, _)| entry.is_done()),
            };
            done.then_some(Ok(()))
        })
    }

    /// Frames inside.
    pub(crate) fn len(&self) -> usize {
        let state = self.lock();
        state.frames.len() + state.delivering
    }

    /// Takes no more frames, and wakes threads that wait for a place.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Cancels the frames that are inside now: those that are not done end at their next step.
    pub(crate) fn give_up(&self) {
        let state = self.lock();
        self.given_up.fetch_max(state.first + state.frames.len() as u64, Ordering::AcqRel);
    }

    /// Takes no more frames, and cancels those inside.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.given_up.store(u64::MAX, Ordering::Release);
        drop(state);
        self.changed.notify_all();
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut QueuedFrame)) {
        if let Some(entry) = self.lock().entry(number) {
            change(entry);
        }
        self.changed.notify_all();
    }
}

fn take(state: &mut QueueState) -> Option<(uflow_frame, FrameAnswer)> {
    let entry = state.frames.pop_front()?;
    state.first += 1;
    state.delivering += 1;
    Some((entry.frame, entry.answer?))
}

fn end(limit: Option<Duration>) -> Option<Instant> {
    limit.and_then(|limit| Instant::now().checked_add(limit))
}

/// Receives a frame's answer from the engine.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) queue: Arc<Queue>,
    pub(crate) number: u64,
}

impl ResponseSink for Ticket {
    fn waits(&self) -> bool {
        self.queue.given_up.load(Ordering::Acquire) <= self.number
    }

    fn answer(self: Box<Self>, answer: FrameAnswer) {
        self.queue.change(self.number, |entry| entry.answer = Some(answer));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // A frame that a bug loses must not block the stream.
        let lost = || Err(uflow::Error::internal("the frame was lost"));
        self.queue.change(self.number, |entry| _ = entry.answer.get_or_insert_with(lost));
    }
}

/// A frame's pixels while the engine has them.
#[derive(Debug)]
pub(crate) struct Lease {
    queue: Arc<Queue>,
    number: u64,
    frame: uflow_frame,
    data: *const u8,
    size: usize,
}

// SAFETY: the pixels are only read, and the caller does not change them until they are released.
unsafe impl Send for Lease {}
// SAFETY: as above; several threads may read.
unsafe impl Sync for Lease {}

impl Lease {
    /// # Safety
    /// `data` points to `size` bytes that live and are not changed until the frame is released: until the release callback is called
    /// for it or, without one, the frame has left the queue.
    pub(crate) unsafe fn new(
        queue: &Arc<Queue>,
        number: u64,
        frame: uflow_frame,
        data: *const u8,
        size: usize,
    ) -> Self {
        Self { queue: Arc::clone(queue), number, frame, data, size }
    }
}

impl AsRef<[u8]> for Lease {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: by the contract of `new`, as this lease is not dropped yet.
        unsafe { std::slice::from_raw_parts(self.data, self.size) }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let (Some(release), user_data) = self.queue.release {
            // SAFETY: the caller's function, called as the header says.
            unsafe { release(user_data.0, &raw const self.frame) };
        }
        self.queue.change(self.number, |entry| entry.lent = false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(queue: &Arc<Queue>, number: u64) -> Box<Ticket> {
        Box::new(Ticket { queue: Arc::clone(queue), number })
    }

    #[test]
    fn frames_leave_in_order_when_answered_and_given_back() {
        let queue = Queue::new(2, (None, Cookie(ptr::null_mut())));
        let frames = [1, 2].map(|id| uflow_frame { id, ..uflow_frame::EMPTY });
        let [a, b] = frames.map(|frame| queue.push(frame, Some(Duration::ZERO)).unwrap());
        assert_eq!(queue.push(frames[0], Some(Duration::ZERO)), Err(WaitError::TimedOut), "it is full");
        // SAFETY: no bytes at all.
        let leases = [a, b].map(|number| unsafe { Lease::new(&queue, number, frames[0], ptr::dangling(), 0) });
        boxed(&queue, b).answer(Err(uflow::Error::Cancelled));
        let [first, second] = leases;
        drop(second);
        assert_eq!(queue.pop(Some(Duration::ZERO)).unwrap_err(), WaitError::TimedOut, "the first is not done");
        boxed(&queue, a).answer(Err(uflow::Error::Cancelled));
        assert_eq!(queue.pop(Some(Duration::ZERO)).unwrap_err(), WaitError::TimedOut, "its pixels are still lent");
        drop(first);
        assert_eq!(queue.pop(None).unwrap().0.id, 1);
        assert_eq!(queue.push(frames[0], Some(Duration::ZERO)), Err(WaitError::TimedOut), "it is not delivered yet");
        queue.delivered();
        assert_eq!(queue.push(frames[0], Some(Duration::ZERO)), Ok(2));
        assert_eq!(queue.pop(None).unwrap().0.id, 2);
        queue.delivered();
        let ticket = boxed(&queue, 2);
        assert!(ticket.waits());
        queue.give_up();
        assert!(!ticket.waits(), "it was inside");
        assert_eq!(queue.push(frames[1], Some(Duration::ZERO)), Ok(3));
        assert!(boxed(&queue, 3).waits(), "it came later");
        queue.close();
        assert_eq!(queue.push(frames[0], None), Err(WaitError::Ended));
        drop(ticket);
        // SAFETY: no bytes at all.
        drop([2, 3].map(|number| unsafe { Lease::new(&queue, number, frames[0], ptr::dangling(), 0) }));
        assert_eq!(queue.flush(false, Some(Duration::ZERO)), Ok(()));
        for _ in 0..2 {
            let (_, lost) = queue.pop(None).unwrap();
            assert!(matches!(lost, Err(uflow::Error::Internal { .. })), "no one answered");
            queue.delivered();
        }
        assert_eq!(queue.pop(None).unwrap_err(), WaitError::Ended);
        assert_eq!(queue.flush(true, Some(Duration::ZERO)), Ok(()));
    }
}

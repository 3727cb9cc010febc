//! The frames of a stream, in the order in which they were handed over.
//!
//! A frame is *done* when its answer has come and its pixels have been given back. Frames leave at the front, done, one by one;
//! there are at most `capacity` at a time. A queue that is closed takes no more; one that is given up has what is inside cancelled too. The pixels are given back as soon as they are in the network's input, and always before
//! the frame's answer leaves.

use std::{
    collections::VecDeque,
    ffi::c_void,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use uflow::engine::{Answer, Waiter};

/// What the caller calls a frame, or wants back in a callback: never looked behind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cookie(pub(crate) *mut c_void);

// SAFETY: it is handed back to the caller as it came and never dereferenced; that callbacks come from other threads is what the
// header says of them.
unsafe impl Send for Cookie {}
// SAFETY: as above.
unsafe impl Sync for Cookie {}

/// Told that a frame's pixels are not read any more: `user_data` as it was set, and the frame as it was handed over.
pub type uflow_release_callback = Option<unsafe extern "C" fn(user_data: *mut c_void, frame: *mut c_void)>;

type Outcome = Result<Answer, uflow::Error>;

#[derive(Debug)]
struct Entry {
    frame: Cookie,
    answer: Option<Outcome>,
    lent: bool,
}

impl Entry {
    fn is_done(&self) -> bool {
        self.answer.is_some() && !self.lent
    }
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    /// Number of the first entry.
    first: u64,
    /// Frames that have left but are still being looked at.
    delivering: usize,
    closed: bool,
}

impl State {
    fn entry(&mut self, number: u64) -> Option<&mut Entry> {
        self.entries.get_mut(number.checked_sub(self.first)? as usize)
    }
}

#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// Frames below this number are given up; all of them when the stream is freed.
    given_up: AtomicU64,
    capacity: usize,
    release: (uflow_release_callback, Cookie),
}

/// How a wait ended without what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Its time is over.
    TimedOut,
    /// It cannot come any more: nothing is inside, or the stream is closed.
    Ended,
}

impl Queue {
    pub(crate) fn new(capacity: usize, release: (uflow_release_callback, Cookie)) -> Arc<Self> {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Arc::new(Self { state, changed, given_up: AtomicU64::new(0), capacity, release })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether everything is given up: the stream is being freed.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire) == u64::MAX
    }

    /// Waits until `ready` gives something, at most until `end` (for ever if `None`).
    fn wait<T>(
        &self,
        end: Option<Instant>,
        mut ready: impl FnMut(&mut State) -> Option<Result<T, Wait>>,
    ) -> Result<T, Wait> {
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
                        return Err(Wait::TimedOut);
                    }
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Takes a frame in, when there is room. Gives its number.
    pub(crate) fn push(&self, frame: Cookie, limit: Option<Duration>) -> Result<u64, Wait> {
        self.wait(end(limit), |state| {
            if state.closed {
                return Some(Err(Wait::Ended));
            }
            (state.entries.len() + state.delivering < self.capacity).then(|| {
                state.entries.push_back(Entry { frame, answer: None, lent: true });
                Ok(state.first + state.entries.len() as u64 - 1)
            })
        })
    }

    /// Waits for the first frame to be done and lets it out. Until [`delivered`](Self::delivered) it keeps its place. It has ended
    /// when the queue is closed and nothing is inside.
    pub(crate) fn pop(&self, limit: Option<Duration>) -> Result<(Cookie, Outcome), Wait> {
        self.wait(end(limit), |state| match state.entries.front() {
            None => state.closed.then_some(Err(Wait::Ended)),
            Some(front) => front.is_done().then(|| take(state).ok_or(Wait::Ended)),
        })
    }

    /// The frame that left last has been looked at.
    pub(crate) fn delivered(&self) {
        self.lock().delivering -= 1;
        self.changed.notify_all();
    }

    /// Waits until every frame that is inside now is done, and has left and been looked at as well if `left`.
    pub(crate) fn flush(&self, left: bool, limit: Option<Duration>) -> Result<(), Wait> {
        let last = {
            let state = self.lock();
            state.first + state.entries.len() as u64
        };
        self.wait(end(limit), |state| {
            let done = match left {
                true => state.first - state.delivering as u64 >= last,
                false => state.entries.iter().zip(state.first..last).all(|(entry, _)| entry.is_done()),
            };
            done.then_some(Ok(()))
        })
    }

    /// Frames inside.
    pub(crate) fn len(&self) -> usize {
        let state = self.lock();
        state.entries.len() + state.delivering
    }

    /// Takes no more frames; whoever waits for a place is woken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Gives up the frames that are inside now: those that are not done will be cancelled at their next step.
    pub(crate) fn give_up(&self) {
        let state = self.lock();
        self.given_up.fetch_max(state.first + state.entries.len() as u64, Ordering::AcqRel);
    }

    /// Takes no more frames, and gives up those that are inside, for good.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.given_up.store(u64::MAX, Ordering::Release);
        drop(state);
        self.changed.notify_all();
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.lock().entry(number) {
            change(entry);
        }
        self.changed.notify_all();
    }
}

fn take(state: &mut State) -> Option<(Cookie, Outcome)> {
    let entry = state.entries.pop_front()?;
    state.first += 1;
    state.delivering += 1;
    Some((entry.frame, entry.answer?))
}

fn end(limit: Option<Duration>) -> Option<Instant> {
    limit.and_then(|limit| Instant::now().checked_add(limit))
}

/// Where the engine leaves a frame's answer.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) queue: Arc<Queue>,
    pub(crate) number: u64,
}

impl Waiter for Ticket {
    fn waits(&self) -> bool {
        self.queue.given_up.load(Ordering::Acquire) <= self.number
    }

    fn answer(self: Box<Self>, answer: Outcome) {
        self.queue.change(self.number, |entry| entry.answer = Some(answer));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // A frame that was lost on its way, by a bug, is not waited for for ever.
        let lost = || Err(uflow::Error::Internal("the frame was lost".to_owned()));
        self.queue.change(self.number, |entry| _ = entry.answer.get_or_insert_with(lost));
    }
}

/// A frame's pixels while the engine has them.
#[derive(Debug)]
pub(crate) struct Lease {
    queue: Arc<Queue>,
    number: u64,
    frame: Cookie,
    data: *const u8,
    size: usize,
}

// SAFETY: the pixels are read alone, by one thread at a time, and the caller leaves them alone until they are given back.
unsafe impl Send for Lease {}
// SAFETY: as above; reading from several threads would do no harm.
unsafe impl Sync for Lease {}

impl Lease {
    /// # Safety
    /// `data` points to `size` bytes that live and are not changed until the frame is released: until the release callback is called
    /// for it or, without one, the frame has left the queue.
    pub(crate) unsafe fn new(queue: &Arc<Queue>, number: u64, frame: Cookie, data: *const u8, size: usize) -> Self {
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
            unsafe { release(user_data.0, self.frame.0) };
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
        let queue = Queue::new(2, (None, Cookie(std::ptr::null_mut())));
        let frames = [1, 2].map(|number| Cookie(std::ptr::without_provenance_mut(number)));
        let [a, b] = frames.map(|frame| queue.push(frame, Some(Duration::ZERO)).unwrap());
        assert_eq!(queue.push(frames[0], Some(Duration::ZERO)), Err(Wait::TimedOut), "it is full");
        // SAFETY: no bytes at all.
        let leases = [a, b].map(|number| unsafe { Lease::new(&queue, number, frames[0], std::ptr::dangling(), 0) });
        boxed(&queue, b).answer(Err(uflow::Error::Cancelled));
        let [first, second] = leases;
        drop(second);
        assert_eq!(queue.pop(Some(Duration::ZERO)).unwrap_err(), Wait::TimedOut, "the first is not done");
        boxed(&queue, a).answer(Err(uflow::Error::Cancelled));
        assert_eq!(queue.pop(Some(Duration::ZERO)).unwrap_err(), Wait::TimedOut, "its pixels are still lent");
        drop(first);
        assert_eq!(queue.pop(None).unwrap().0.0, frames[0].0);
        assert_eq!(queue.push(frames[0], Some(Duration::ZERO)), Err(Wait::TimedOut), "it is not delivered yet");
        queue.delivered();
        assert_eq!(queue.push(frames[0], Some(Duration::ZERO)), Ok(2));
        assert_eq!(queue.pop(None).unwrap().0.0, frames[1].0);
        queue.delivered();
        let ticket = boxed(&queue, 2);
        assert!(ticket.waits());
        queue.give_up();
        assert!(!ticket.waits(), "it was inside");
        assert_eq!(queue.push(frames[1], Some(Duration::ZERO)), Ok(3));
        assert!(boxed(&queue, 3).waits(), "it came later");
        queue.close();
        assert_eq!(queue.push(frames[0], None), Err(Wait::Ended));
        drop(ticket);
        // SAFETY: no bytes at all.
        drop([2, 3].map(|number| unsafe { Lease::new(&queue, number, frames[0], std::ptr::dangling(), 0) }));
        assert_eq!(queue.flush(false, Some(Duration::ZERO)), Ok(()));
        for _ in 0..2 {
            let (_, lost) = queue.pop(None).unwrap();
            assert!(matches!(lost, Err(uflow::Error::Internal(_))), "no one answered");
            queue.delivered();
        }
        assert_eq!(queue.pop(None).unwrap_err(), Wait::Ended);
        assert_eq!(queue.flush(true, Some(Duration::ZERO)), Ok(()));
    }
}

//! The threads that decode, resize and segment.
//!
//! Frames that have been through the network go first: they have waited longest, and finishing them frees memory. Within each
//! group, high priority goes first.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::JoinHandle,
};

use ndarray::{Array2, Array3};

use super::{Metrics, Priority, Source, job::Job, memory::Budget, rois::RoiCache, stages, worker::Upstream};
use crate::{
    Error, Result,
    frame::Limits,
    sync::{lock, wait},
};

/// Work for a thread of the pool.
#[derive(Debug)]
pub(super) enum Task {
    /// Frame → tensor, then into the backbone's queue.
    Prepare { job: Job, source: Source, upstream: Upstream },
    /// Energies → answer.
    Finish(Finish),
}

/// A frame that has been through the network.
#[derive(Debug)]
pub(super) struct Finish {
    pub(super) job: Job,
    /// (height, width) of the frame.
    pub(super) size: (u32, u32),
    pub(super) energies: Vec<Array2<f32>>,
    pub(super) latents: Vec<Array3<f32>>,
}

/// What the threads share.
#[derive(Debug)]
pub(super) struct Shop {
    /// What decoding a frame may take.
    pub(super) limits: Limits,
    /// Memory for decoding and segmenting, shared by all threads.
    pub(super) memory: Budget,
    pub(super) rois: RoiCache,
}

const QUEUES: usize = 4;

#[derive(Debug, Default)]
struct Pending {
    queues: [VecDeque<Task>; QUEUES],
    stopped: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<Pending>,
    changed: Condvar,
    shop: Shop,
    metrics: Arc<Metrics>,
}

/// The sending side. The number of frames that the engine admits bounds its queues.
#[derive(Clone, Debug)]
pub(super) struct Sender(Arc<Shared>);

impl Sender {
    /// Queues a task. After the pool has stopped, the frame is answered with an error at once.
    pub(super) fn send(&self, task: Task) {
        let queue = match &task {
            Task::Finish(finish) => usize::from(finish.job.priority == Priority::Normal),
            Task::Prepare { job, .. } => 2 + usize::from(job.priority == Priority::Normal),
        };
        let task = match task {
            Task::Finish(finish) => Task::Finish(Finish { job: finish.job.enqueued(), ..finish }),
            Task::Prepare { job, source, upstream } => Task::Prepare { job: job.enqueued(), source, upstream },
        };
        let mut state = self.0.lock();
        if state.stopped {
            drop(state);
            drop(task);
            return;
        }
        state.queues[queue].push_back(task);
        self.0.metrics.waiting_for_pool.set(state.waiting());
        drop(state);
        self.0.changed.notify_one();
    }
}

impl Pending {
    fn waiting(&self) -> i64 {
        self.queues.iter().map(VecDeque::len).sum::<usize>() as i64
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        lock(&self.state)
    }

    fn next(&self) -> Option<Task> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            if let Some(task) = state.queues.iter_mut().find_map(VecDeque::pop_front) {
                self.metrics.waiting_for_pool.set(state.waiting());
                return Some(task);
            }
            state = wait(&self.changed, state);
        }
    }

    fn work(&self) {
        while let Some(task) = self.next() {
            // If a stage panics, unwinding drops the frame, and it is answered with an error.
            let worked = catch_unwind(AssertUnwindSafe(|| match task {
                Task::Prepare { job, source, upstream } => stages::prepare(job, source, upstream, &self.shop),
                Task::Finish(finish) => stages::finish(finish, &self.shop),
            }));
            if worked.is_err() {
                self.metrics.panics.inc();
                tracing::error!("a worker panicked while it worked on a frame; the frame was answered with an error");
            }
        }
    }
}

/// The threads.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    pub(super) fn start(workers: usize, shop: Shop, metrics: Arc<Metrics>) -> Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), shop, metrics });
        let mut pool = Self { shared, threads: Vec::new() };
        for index in 0..workers {
            let shared = Arc::clone(&pool.shared);
            let thread = std::thread::Builder::new().name(format!("uflow-pool-{index}"));
            pool.threads.push(thread.spawn(move || shared.work()).map_err(Error::io("start", "a worker thread"))?);
        }
        Ok(pool)
    }

    pub(super) fn sender(&self) -> Sender {
        Sender(Arc::clone(&self.shared))
    }

    /// Answers the frames in the queues with an error, and joins the threads.
    pub(super) fn stop(&mut self) {
        let mut state = self.shared.lock();
        state.stopped = true;
        let left = std::mem::take(&mut state.queues);
        drop(state);
        self.shared.changed.notify_all();
        drop(left);
        let me = std::thread::current().id();
        for thread in self.threads.drain(..).filter(|thread| thread.thread().id() != me) {
            let _ = thread.join();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop();
    }
}

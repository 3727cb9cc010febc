//! One backbone on its device: its queue, and the thread that runs its batches.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::JoinHandle,
    time::Instant,
};

use ndarray::{Array2, Array3, ArrayView4, Axis};

use super::{
    EngineOptions, Metrics, Model, Priority,
    job::Job,
    pool::{Finish, Sender, Task},
};
use crate::{
    Error, Reason, Result,
    runtime::{Backbone, NetworkOutput},
    sync::{lock, wait, wait_timeout},
};

/// A frame that is ready for the backbone.
#[derive(Debug)]
pub(super) struct PreparedFrame {
    pub(super) job: Job,
    pub(super) tensor: Vec<f32>,
    /// (height, width) of the frame.
    pub(super) size: (u32, u32),
}

impl PreparedFrame {
    /// Rows and columns of the network's input. All frames of a batch have the same.
    fn input(&self) -> (usize, usize) {
        let input = &self.job.model.manifest().input;
        (input.height as usize, input.width as usize)
    }
}

/// The network's output for one frame.
type Outputs = (Vec<Array2<f32>>, Vec<Array3<f32>>);

#[derive(Debug, Default)]
struct Pending {
    /// Frames of high priority, then of normal priority. The number of frames that the engine admits bounds both.
    queues: [VecDeque<PreparedFrame>; 2],
    /// Frames that were announced and have not arrived.
    upstream: usize,
    stopped: bool,
}

#[derive(Debug)]
struct Shared {
    backbone: Arc<Backbone>,
    options: EngineOptions,
    state: Mutex<Pending>,
    changed: Condvar,
    /// Memory of tensors, for reuse.
    buffers: Mutex<Vec<Vec<f32>>>,
    pool: Sender,
    metrics: Arc<Metrics>,
}

/// The handle that models hold. The thread ends when the last handle is dropped.
#[derive(Debug)]
pub(super) struct BackboneWorker {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A frame that is on its way to the backbone.
#[derive(Debug)]
pub(super) struct Upstream(Arc<Shared>);

impl Upstream {
    /// Puts the frame into the queue.
    pub(super) fn enqueue(self, entry: PreparedFrame) {
        let queue = usize::from(entry.job.priority == Priority::Normal);
        let mut state = self.0.lock();
        if state.stopped {
            drop(state);
            drop(entry);
            return;
        }
        state.queues[queue].push_back(entry);
        self.0.metrics.waiting_for_network.inc();
        // Dropping `self` lowers the count of announced frames and wakes the thread.
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.0.lock().upstream -= 1;
        self.0.changed.notify_one();
    }
}

impl BackboneWorker {
    pub(super) fn start(
        backbone: Arc<Backbone>,
        options: EngineOptions,
        pool: Sender,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>> {
        let (state, changed, buffers) = (Mutex::default(), Condvar::new(), Mutex::default());
        let shared = Arc::new(Shared { backbone, options, state, changed, buffers, pool, metrics });
        let thread = std::thread::Builder::new().name("uflow-device".to_owned());
        let worker = Arc::clone(&shared);
        let thread = thread.spawn(move || worker.work()).map_err(Error::io("start", "a device thread"))?;
        shared.metrics.backbones.inc();
        Ok(Arc::new(Self { shared, thread: Mutex::new(Some(thread)) }))
    }

    pub(super) fn backbone(&self) -> &Arc<Backbone> {
        &self.shared.backbone
    }

    /// Announces a frame.
    pub(super) fn announce(&self) -> Upstream {
        self.shared.lock().upstream += 1;
        Upstream(Arc::clone(&self.shared))
    }

    /// Memory for a tensor of so many numbers; reused where possible.
    pub(super) fn buffer(&self, length: usize) -> Vec<f32> {
        let mut buffer = self.shared.buffers().pop().unwrap_or_default();
        buffer.resize(length, 0.0);
        buffer
    }

    /// Answers the frames in the queue with an error, and joins the thread.
    pub(super) fn stop(&self) {
        let mut state = self.shared.lock();
        state.stopped = true;
        let left = std::mem::take(&mut state.queues);
        drop(state);
        self.shared.changed.notify_all();
        drop(left);
        let thread = lock(&self.thread).take();
        // The thread itself may drop the last handle, and cannot join itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            let _ = thread.join();
        }
    }
}

impl Drop for BackboneWorker {
    fn drop(&mut self) {
        self.shared.metrics.backbones.dec();
        self.stop();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        lock(&self.state)
    }

    fn buffers(&self) -> MutexGuard<'_, Vec<Vec<f32>>> {
        lock(&self.buffers)
    }

    /// Keeps a tensor's memory for reuse: enough for the batch that runs and the one that is being filled. Memory beyond that is
    /// freed, so that a rush of frames does not hold it for good.
    fn keep(&self, tensor: Vec<f32>) {
        let mut buffers = self.buffers();
        if buffers.len() < 2 * self.options.max_batch {
            buffers.push(tensor);
        }
    }

    fn work(&self) {
        let mut stacked = Vec::new();
        while let Some(batch) = self.next_batch() {
            self.metrics.waiting_for_network.sub(batch.len() as i64);
            // If a batch panics, unwinding drops its frames, and each is answered with an error.
            if catch_unwind(AssertUnwindSafe(|| self.process(batch, &mut stacked))).is_err() {
                self.metrics.panics.inc();
                tracing::error!("the device thread panicked; the frames of its batch were answered with an error");
            }
        }
    }

    /// Frames for one run of the backbone: the first in the queue, and others of the same input size up to the largest batch.
    fn next_batch(&self) -> Option<Vec<PreparedFrame>> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            let Some(first) = state.queues.iter().find_map(VecDeque::front) else {
                state = wait(&self.changed, state);
                continue;
            };
            let input = first.input();
            let waited = first.job.queued.elapsed();
            let fit = state.queues.iter().flatten().filter(|entry| entry.input() == input).count();
            if fit >= self.options.max_batch || state.upstream == 0 || waited >= self.options.max_delay {
                return Some(state.take(input, self.options.max_batch));
            }
            let rest = self.options.max_delay - waited;
            state = wait_timeout(&self.changed, state, rest);
        }
    }

    fn process(&self, batch: Vec<PreparedFrame>, stacked: &mut Vec<f32>) {
        let mut entries: Vec<PreparedFrame> = (batch.into_iter())
            .filter_map(|PreparedFrame { job, tensor, size }| match job.dequeued("before the network") {
                Some(job) => Some(PreparedFrame { job, tensor, size }),
                None => {
                    self.keep(tensor);
                    None
                }
            })
            .collect();
        // Frames of one model side by side, each model's in their order of arrival.
        entries.sort_by_key(|entry| Arc::as_ptr(&entry.job.model) as usize);
        let models = entries.chunk_by(same_model).count();
        if !entries.is_empty() {
            self.metrics.batch_frames.observe(entries.len() as f64);
            self.metrics.batch_models.observe(models as f64);
            self.run(entries, stacked);
        }
    }

    /// Runs the frames together. If that fails, runs each alone, so that only the frames at fault fail.
    fn run(&self, mut entries: Vec<PreparedFrame>, stacked: &mut Vec<f32>) {
        let start = Instant::now();
        match self.forward(&entries, stacked) {
            Ok(outputs) => {
                let batch = entries.len();
                for (PreparedFrame { mut job, tensor, size }, (energies, latents)) in entries.into_iter().zip(outputs) {
                    self.keep(tensor);
                    (job.timings.network, job.batch) = (job.was_in("network", start), batch);
                    self.pool.send(Task::Finish(Finish { job, size, energies, latents }));
                }
            }
            Err(error) if entries.len() == 1 => {
                if let Some(PreparedFrame { job, tensor, .. }) = entries.pop() {
                    self.keep(tensor);
                    job.finish(Err(error));
                }
            }
            Err(error) => {
                tracing::debug!(frames = entries.len(), %error, "a batch failed; its frames are run one by one");
                entries.into_iter().for_each(|entry| self.run(vec![entry], stacked));
            }
        }
    }

    fn forward(&self, entries: &[PreparedFrame], stacked: &mut Vec<f32>) -> Result<Vec<Outputs>> {
        let Some(first) = entries.first() else { return Ok(Vec::new()) };
        let (height, width) = first.input();
        let data = match entries {
            [only] => &only.tensor,
            _ => {
                stacked.clear();
                entries.iter().for_each(|entry| stacked.extend_from_slice(&entry.tensor));
                &*stacked
            }
        };
        let images = ArrayView4::from_shape((entries.len(), 3, height, width), data)
            .map_err(|error| Error::internal(Reason::because("a batch does not have the size of its frames", error)))?;
        if entries.chunk_by(same_model).count() == 1 {
            // The features stay on the device.
            let mut network = first.job.model.network();
            let output = network.run(images, wants_latents(entries))?;
            return Ok(taken(output, entries));
        }
        let features = self.backbone.extract(images)?;
        let mut outputs = Vec::with_capacity(entries.len());
        for group in entries.chunk_by(same_model) {
            let range = outputs.len()..outputs.len() + group.len();
            let mut network = group[0].job.model.network();
            let output = network.run_features(&features, range, wants_latents(group))?;
            outputs.extend(taken(output, group));
        }
        Ok(outputs)
    }
}

impl Pending {
    fn take(&mut self, input: (usize, usize), most: usize) -> Vec<PreparedFrame> {
        let mut taken = Vec::with_capacity(most);
        for queue in &mut self.queues {
            let mut index = 0;
            while taken.len() < most && index < queue.len() {
                if queue[index].input() == input {
                    taken.extend(queue.remove(index));
                } else {
                    index += 1;
                }
            }
        }
        taken
    }
}

fn same_model(a: &PreparedFrame, b: &PreparedFrame) -> bool {
    Arc::<Model>::ptr_eq(&a.job.model, &b.job.model)
}

fn wants_latents(entries: &[PreparedFrame]) -> bool {
    entries.iter().any(|entry| entry.job.wanted.latents)
}

/// Each frame's part of a flow's output.
fn taken(output: &NetworkOutput, entries: &[PreparedFrame]) -> Vec<Outputs> {
    let scales = 0..output.scales();
    let of = |(index, entry): (usize, &PreparedFrame)| {
        let energies = scales.clone().map(|scale| output.energy(scale).index_axis(Axis(0), index).to_owned()).collect();
        let wanted = scales.clone().filter(|_| entry.job.wanted.latents);
        let latents =
            wanted.filter_map(|scale| Some(output.latents(scale)?.index_axis(Axis(0), index).to_owned())).collect();
        (energies, latents)
    };
    entries.iter().enumerate().map(of).collect()
}

//! Streams of frames: read, handed over as they come, answered in order.
//!
//! ```text
//! client ─► reader task ─► bounded queue of pending answers ─► writer ─► client
//! ```
//!
//! The engine works on all frames in the queue at once; the writer waits for the first of them. When the queue is full the
//! reader stops, and HTTP/2's flow control reaches the client. A client that does not read its answers holds no more than a
//! queue of them.
//!
//! **The window.** A stream is told in the header [`WINDOW`] how many frames it may have unanswered. A frame within the window
//! waits for room in the engine and is never refused. With [`WhenFull::Wait`] no frame beyond the window is read. With
//! [`WhenFull::Refuse`] as many frames again are read, and each of those is answered `RESOURCE_EXHAUSTED` at once if there is
//! no room for it: the client sends faster than the server works.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::sync::{mpsc, watch};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::{Response, Status, Streaming, metadata::MetadataValue};

use super::{
    app::{App, Phase, WhenFull},
    metrics::OpenStream,
};

/// The header of a stream's response with the number of frames that the stream may have unanswered.
pub const WINDOW: &str = "uflow-stream-window";

/// Answers to a stream.
pub type Answers<A> = Pin<Box<dyn Stream<Item = Result<A, Status>> + Send>>;

/// How many frames a stream may have unanswered, and what happens to frames beyond that when the server is full.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// Frames within the window wait for room.
    pub window: usize,
    /// What happens to the others.
    pub when_full: WhenFull,
}

impl Flow {
    /// Frames of a stream that are read and not answered.
    fn queue(self) -> usize {
        match self.when_full {
            WhenFull::Wait => self.window,
            WhenFull::Refuse => 2 * self.window,
        }
    }

    /// What happens to a frame when the server is full and so many of its stream are unanswered.
    fn of(self, unanswered: usize) -> WhenFull {
        if unanswered < self.window { WhenFull::Wait } else { self.when_full }
    }
}

/// A stream's response, which tells the client its window.
pub fn stream<A>(answers: Answers<A>, flow: Flow) -> Response<Answers<A>> {
    let mut response = Response::new(answers);
    response.metadata_mut().insert(WINDOW, MetadataValue::from(flow.window));
    response
}

enum Item<P> {
    Pending(P, Unanswered),
    End(Status),
}

/// A frame that is not answered, for as long as it is not dropped.
struct Unanswered(Arc<AtomicUsize>);

impl Unanswered {
    fn another(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Answers each request exactly once, in order. `start` hands a request over and gives a future of its answer.
pub fn in_order<Q, A, S, P>(
    app: &Arc<App>,
    requests: Streaming<Q>,
    flow: Flow,
    start: impl FnMut(Q, WhenFull) -> S + Send + 'static,
) -> Answers<A>
where
    Q: Send + 'static,
    A: Send + 'static,
    S: Future<Output = P> + Send + 'static,
    P: Future<Output = A> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(flow.queue());
    let (phase, open) = (app.phase(), app.requests().stream());
    let reader = Reader { requests, sender: sender.clone(), flow, unanswered: Arc::default(), phase, _open: open };
    let (reading, app) = (tokio::spawn(reader.run(start)), Arc::clone(app));
    tokio::spawn(async move {
        // A reader that panicked must not look like one that is done.
        if reading.await.is_err() {
            app.engine().metrics().panicked();
            let status = Status::internal("a bug in the server ended this stream; frames without an answer were lost");
            let _ = sender.send(Item::End(status)).await;
        }
    });
    Box::pin(ReceiverStream::new(receiver).then(|item| async {
        match item {
            Item::Pending(pending, _unanswered) => Ok(pending.await),
            Item::End(status) => Err(status),
        }
    }))
}

struct Reader<Q, P> {
    requests: Streaming<Q>,
    sender: mpsc::Sender<Item<P>>,
    flow: Flow,
    unanswered: Arc<AtomicUsize>,
    phase: watch::Receiver<Phase>,
    _open: OpenStream,
}

impl<Q, P> Reader<Q, P> {
    /// Reads until the client closes its side, the client is gone or the server is stopping.
    async fn run<S: Future<Output = P>>(mut self, mut start: impl FnMut(Q, WhenFull) -> S) {
        loop {
            let request = tokio::select! {
                biased;
                () = self.sender.closed() => return,
                () = draining(&mut self.phase) => {
                    let status = Status::unavailable("the server is stopping; frames without an answer were not looked at");
                    let _ = self.sender.send(Item::End(status)).await;
                    return;
                }
                // A place for the answer comes first: without one nothing is read.
                request = Self::next(&mut self.requests, &self.sender) => request,
            };
            match request {
                Ok(Some((request, place))) => {
                    let when_full = self.flow.of(self.unanswered.load(Relaxed));
                    let unanswered = Unanswered::another(&self.unanswered);
                    let pending = tokio::select! {
                        biased;
                        () = self.sender.closed() => return,
                        pending = start(request, when_full) => pending,
                    };
                    place.send(Item::Pending(pending, unanswered));
                }
                Ok(None) => return,
                Err(status) => {
                    let _ = self.sender.send(Item::End(status)).await;
                    return;
                }
            }
        }
    }

    async fn next<'a>(
        requests: &mut Streaming<Q>,
        sender: &'a mpsc::Sender<Item<P>>,
    ) -> Result<Option<(Q, mpsc::Permit<'a, Item<P>>)>, Status> {
        let Ok(place) = sender.reserve().await else { return Ok(None) };
        Ok(requests.message().await?.map(|request| (request, place)))
    }
}

/// Waits until streams are to take no further frames.
async fn draining(phase: &mut watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase == Phase::Draining).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_within_the_window_wait_whatever_happens_to_the_others() {
        let refuse = Flow { window: 4, when_full: WhenFull::Refuse };
        assert_eq!(
            [0, 3, 4, 7].map(|unanswered| refuse.of(unanswered)),
            [WhenFull::Wait, WhenFull::Wait, WhenFull::Refuse, WhenFull::Refuse]
        );
        let wait = Flow { when_full: WhenFull::Wait, ..refuse };
        assert_eq!((wait.of(3), wait.of(9)), (WhenFull::Wait, WhenFull::Wait));
        assert_eq!((refuse.queue(), wait.queue()), (8, 4));
    }
}

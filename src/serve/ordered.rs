//! Streams of frames: read, handed over as they come, answered in order.
//!
//! ```text
//! client ─► reader task ─► bounded queue of pending answers ─► writer ─► client
//! ```
//!
//! The engine works on all frames in the queue at once; the writer waits for the first of them. When the queue is full the
//! reader does not read, HTTP/2's flow control reaches the client, and a client that does not read its answers holds no more
//! than a queue of them.

use std::{future::Future, pin::Pin, sync::Arc};

use tokio::sync::{mpsc, watch};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::{Status, Streaming};

use super::{
    app::{App, Phase},
    metrics::OpenStream,
};

/// Answers to a stream.
pub type Answers<A> = Pin<Box<dyn Stream<Item = Result<A, Status>> + Send>>;

enum Item<P> {
    Pending(P),
    End(Status),
}

/// Answers each request exactly once, in order. `start` hands a request over and gives a future of its answer.
pub fn in_order<Q, A, S, P>(
    app: &Arc<App>,
    requests: Streaming<Q>,
    window: usize,
    start: impl FnMut(Q) -> S + Send + 'static,
) -> Answers<A>
where
    Q: Send + 'static,
    A: Send + 'static,
    S: Future<Output = P> + Send + 'static,
    P: Future<Output = A> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(window);
    let reader = Reader { requests, sender: sender.clone(), phase: app.phase(), _open: app.requests().stream() };
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
            Item::Pending(pending) => Ok(pending.await),
            Item::End(status) => Err(status),
        }
    }))
}

struct Reader<Q, P> {
    requests: Streaming<Q>,
    sender: mpsc::Sender<Item<P>>,
    phase: watch::Receiver<Phase>,
    _open: OpenStream,
}

impl<Q, P> Reader<Q, P> {
    /// Reads until the client closes its side, the client is gone or the server is stopping.
    async fn run<S: Future<Output = P>>(mut self, mut start: impl FnMut(Q) -> S) {
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
                Ok(Some((request, place))) => place.send(Item::Pending(start(request).await)),
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

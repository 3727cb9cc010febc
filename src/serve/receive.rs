//! Incoming gRPC messages: how much memory all incomplete messages may take, and how long one may take to arrive.
//!
//! tonic collects a whole message in memory before the server sees it. Without these limits, clients that send most of a large
//! message and then stop would hold memory indefinitely: the message limit times the number of streams.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame};
use prometheus::{IntGauge, Registry};
use tokio::time::Sleep;
use tonic::Status;

use crate::{Result, engine::register};

/// Most bytes of all incomplete messages.
const LIMIT: usize = 512 << 20;
/// A message of at most this size is always received.
const SMALL: usize = 64 << 10;
/// Longest wait for the rest of a message.
const PATIENCE: Duration = Duration::from_secs(60);
/// Compressed flag and length, before each message.
pub(super) const HEAD: usize = 5;

/// Counts the bytes of incomplete messages.
#[derive(Clone, Debug)]
pub struct Receiving {
    bytes: Arc<AtomicUsize>,
    gauge: IntGauge,
    limit: usize,
    patience: Duration,
}

impl Receiving {
    /// Registers the gauge.
    ///
    /// # Errors
    /// The gauge is registered already.
    pub fn new(registry: &Registry) -> Result<Self> {
        let gauge = IntGauge::new("uflow_receiving_bytes", "Parts of gRPC messages that are not complete.");
        let gauge = register(registry, gauge)?;
        Ok(Self { bytes: Arc::default(), gauge, limit: LIMIT, patience: PATIENCE })
    }

    /// Counts a complete message that waits to be decompressed. It was counted while it came, so there is room for it.
    pub(super) fn keep(&self, bytes: usize) -> Kept {
        self.bytes.fetch_add(bytes, Relaxed);
        self.gauge.add(bytes as i64);
        Kept { receiving: self.clone(), bytes }
    }

    /// Counts the messages of a request's body.
    pub(super) fn watch<B>(&self, body: B) -> Watched<B> {
        Watched { body, receiving: self.clone(), head: [0; HEAD], head_filled: 0, left: 0, held: 0, late: None }
    }
}

/// A complete message that is counted until it is dropped.
#[derive(Debug)]
pub(super) struct Kept {
    receiving: Receiving,
    bytes: usize,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.receiving.bytes.fetch_sub(self.bytes, Relaxed);
        self.receiving.gauge.sub(self.bytes as i64);
    }
}

/// A request's body whose incomplete message is counted.
#[derive(Debug)]
pub(super) struct Watched<B> {
    body: B,
    receiving: Receiving,
    head: [u8; HEAD],
    head_filled: usize,
    /// Bytes of the current message that are still to come, once its head is there.
    left: usize,
    /// Bytes that are counted for it.
    held: usize,
    /// When the server stops waiting for the message.
    late: Option<Pin<Box<Sleep>>>,
}

impl<B> Watched<B> {
    fn is_amid_message(&self) -> bool {
        self.head_filled > 0
    }

    fn release(&mut self) {
        self.receiving.bytes.fetch_sub(self.held, Relaxed);
        self.receiving.gauge.sub(self.held as i64);
        self.held = 0;
    }

    /// Counts received data.
    fn came(&mut self, mut data: Bytes) -> Result<(), Status> {
        while data.has_remaining() {
            if self.head_filled < HEAD {
                let count = data.remaining().min(HEAD - self.head_filled);
                data.copy_to_slice(&mut self.head[self.head_filled..self.head_filled + count]);
                self.head_filled += count;
                let [_, length @ ..] = self.head;
                self.left = if self.head_filled == HEAD { u32::from_be_bytes(length) as usize } else { 0 };
            } else {
                let count = data.remaining().min(self.left);
                data.advance(count);
                self.left -= count;
                self.hold(count)?;
            }
            if self.head_filled == HEAD && self.left == 0 {
                self.release();
                (self.head_filled, self.late) = (0, None);
            }
        }
        Ok(())
    }

    fn hold(&mut self, count: usize) -> Result<(), Status> {
        let Receiving { bytes, gauge, limit, .. } = &self.receiving;
        let small = self.held + count <= SMALL;
        let more = |held: usize| (small || held + count <= *limit).then_some(held + count);
        if bytes.fetch_update(Relaxed, Relaxed, more).is_err() {
            return Err(Status::resource_exhausted(format!(
                "{} MiB of messages are being received, as much as is allowed at once; try again later",
                limit >> 20
            )));
        }
        gauge.add(count as i64);
        self.held += count;
        Ok(())
    }
}

impl<B> Drop for Watched<B> {
    fn drop(&mut self) {
        self.release();
    }
}

impl<B: Body<Data = Bytes, Error = Status> + Unpin> Body for Watched<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let counted = frame.data_ref().map_or(Ok(()), |data| self.came(data.clone()));
                Poll::Ready(Some(counted.map(|()| frame)))
            }
            Poll::Ready(other) => Poll::Ready(other),
            // The time starts when the server waits for data, not while the server is busy.
            Poll::Pending if self.is_amid_message() => {
                let patience = self.receiving.patience;
                let late = self.late.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
                if late.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                let said = format!("the rest of a message did not come within {} s", patience.as_secs_f64());
                Poll::Ready(Some(Err(Status::deadline_exceeded(said))))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};
    use tokio_stream::{StreamExt, iter, pending};

    use super::*;

    fn receiving(limit: usize) -> Receiving {
        Receiving { limit, patience: Duration::from_millis(20), ..Receiving::new(&Registry::new()).unwrap() }
    }

    fn message(length: usize) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend((length as u32).to_be_bytes());
        bytes.resize(HEAD + length, 7);
        bytes
    }

    fn frames(bytes: Vec<u8>, chunk: usize) -> Vec<Result<Frame<Bytes>, Status>> {
        bytes.chunks(chunk).map(|chunk| Ok(Frame::data(Bytes::copy_from_slice(chunk)))).collect()
    }

    #[tokio::test]
    async fn messages_are_counted_until_they_are_complete_however_they_are_cut() {
        let bytes = [message(1000), message(0), message(300)].concat();
        for chunk in [1, 3, 7, 64, 2000] {
            let receiving = receiving(LIMIT);
            let mut body = receiving.watch(StreamBody::new(iter(frames(bytes.clone(), chunk))));
            let mut received = Vec::new();
            while let Some(frame) = body.frame().await {
                received.extend(frame.unwrap().into_data().unwrap());
                let at = received.len();
                let expected = match at {
                    0..1005 => at.saturating_sub(5),
                    1005..1015 => 0,
                    _ => (at - 1015) % 300,
                };
                assert_eq!(receiving.gauge.get(), expected as i64, "{chunk} {at}");
            }
            assert_eq!(received, bytes);
        }
    }

    #[tokio::test]
    async fn what_is_too_much_or_does_not_come_ends_the_call() {
        let receiving = receiving(SMALL + 100);
        let unfinished = || frames(message(2 * SMALL)[..SMALL + 50].to_vec(), 1 << 20);
        let mut first = receiving.watch(StreamBody::new(iter(unfinished()).chain(pending())));
        assert!(first.frame().await.unwrap().is_ok());
        let mut second = receiving.watch(StreamBody::new(iter(unfinished())));
        let status = second.frame().await.unwrap().unwrap_err();
        assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}");
        let mut small = receiving.watch(StreamBody::new(iter(frames(message(1000), 100))));
        while let Some(frame) = small.frame().await {
            assert!(frame.is_ok(), "small messages pass");
        }
        let status = first.frame().await.unwrap().unwrap_err();
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded, "{status}");
        drop((first, second));
        assert_eq!(receiving.gauge.get(), 0);
    }
}

//! What each connection of a port is doing, so that places go to clients that use them.
//!
//! A port has a limited number of places. When all are taken and another client connects, the connection that has gone the
//! longest without a request is closed: a client that drips its request head byte by byte, or connects and says nothing,
//! cannot keep others out.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio_util::sync::CancellationToken;

use crate::sync::lock;

/// A connection keeps its place this long without a request, however many others wait: an honest client needs about a round
/// trip for its request head.
const PROTECTED: Duration = Duration::from_millis(250);

/// What one connection is doing.
#[derive(Debug)]
pub struct Activity {
    doing: Mutex<Doing>,
    close: CancellationToken,
}

#[derive(Debug)]
struct Doing {
    /// Requests that are being answered.
    requests: usize,
    had_request: bool,
    /// The last time that a request ended or bytes of an answer were written; the start before that.
    since: Instant,
}

impl Activity {
    fn new() -> Self {
        let doing = Doing { requests: 0, had_request: false, since: Instant::now() };
        Self { doing: Mutex::new(doing), close: CancellationToken::new() }
    }

    fn doing(&self) -> MutexGuard<'_, Doing> {
        lock(&self.doing)
    }

    /// A request's head is complete. The request lasts until the guard is dropped.
    pub fn request(self: &Arc<Self>) -> InRequest {
        let mut doing = self.doing();
        (doing.requests, doing.had_request) = (doing.requests + 1, true);
        InRequest(Arc::clone(self))
    }

    /// Bytes of an answer were written.
    pub(super) fn wrote(&self) {
        self.doing().since = Instant::now();
    }

    /// Cancelled when another client gets the place.
    pub(super) fn close(&self) -> &CancellationToken {
        &self.close
    }

    /// Since when nothing has happened on the connection; `None` while it keeps its place.
    fn unused_since(&self, may_close_used: bool) -> Option<Instant> {
        let doing = self.doing();
        let unused = doing.requests == 0 && (may_close_used || !doing.had_request);
        (unused && doing.since.elapsed() >= PROTECTED).then_some(doing.since)
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct InRequest(Arc<Activity>);

impl Drop for InRequest {
    fn drop(&mut self) {
        let mut doing = self.0.doing();
        (doing.requests, doing.since) = (doing.requests - 1, Instant::now());
    }
}

/// The connections of a port.
#[derive(Clone, Debug, Default)]
pub(super) struct Connections(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    next: u64,
    open: BTreeMap<u64, Arc<Activity>>,
}

impl Connections {
    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.0)
    }

    /// Another connection, until the entry is dropped.
    pub(super) fn open(&self) -> ConnectionEntry {
        let activity = Arc::new(Activity::new());
        let mut table = self.table();
        let id = table.next;
        table.next += 1;
        table.open.insert(id, Arc::clone(&activity));
        ConnectionEntry { id, activity, connections: self.clone() }
    }

    /// Closes the connection that has been unused the longest. Connections that have had a request count only where
    /// `may_close_used` says so.
    pub(super) fn close_unused(&self, may_close_used: bool) -> bool {
        let mut table = self.table();
        let unused = table.open.iter().filter_map(|(id, activity)| Some((activity.unused_since(may_close_used)?, *id)));
        let Some(activity) = unused.min().and_then(|(_, id)| table.open.remove(&id)) else { return false };
        activity.close.cancel();
        true
    }
}

/// A connection's entry among those of its port.
#[derive(Debug)]
pub(super) struct ConnectionEntry {
    id: u64,
    pub(super) activity: Arc<Activity>,
    connections: Connections,
}

impl Drop for ConnectionEntry {
    fn drop(&mut self) {
        self.connections.table().open.remove(&self.id);
    }
}

/// A response body that keeps its request open until the last of it is written or dropped.
#[derive(Debug)]
pub struct Answering<B> {
    body: B,
    /// Whether a poll may take long: tonic compresses in it.
    compresses: bool,
    _request: Option<InRequest>,
}

impl<B> Answering<B> {
    /// Holds the request for as long as the body lives. A body that compresses is polled where blocking is allowed.
    pub fn new(body: B, compresses: bool, request: Option<InRequest>) -> Self {
        let blocks = compresses
            && Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
        Self { body, compresses: blocks, _request: request }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answering<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.compresses {
            return tokio::task::block_in_place(|| Pin::new(&mut self.body).poll_frame(cx));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As if the connection had been unused for long enough.
    fn age(entry: &ConnectionEntry, by: u32) {
        entry.activity.doing().since -= by * PROTECTED;
    }

    #[test]
    fn the_connection_unused_the_longest_is_closed_first_and_those_in_use_stay() {
        let connections = Connections::default();
        let (old, older, busy, new) = (connections.open(), connections.open(), connections.open(), connections.open());
        let request = busy.activity.request();
        for (entry, by) in [(&old, 2), (&older, 3), (&busy, 9)] {
            age(entry, by);
        }
        let closed = |entry: &ConnectionEntry| entry.activity.close().is_cancelled();
        assert!(connections.close_unused(true) && closed(&older) && !closed(&old));
        assert!(connections.close_unused(true) && closed(&old));
        assert!(!connections.close_unused(true), "one is in use and one is new");
        drop(request);
        age(&busy, 1);
        assert!(!connections.close_unused(false), "it has had a request");
        assert!(connections.close_unused(true) && closed(&busy) && !closed(&new));
    }
}

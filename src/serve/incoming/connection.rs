//! One connection, plain or secured, with its time limits.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep},
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::transport::server::{Connected, TcpConnectInfo};

use super::{Activity, Patience, Place};

/// Bytes that make a client of a connection: HTTP/2's preface, and about the shortest request of HTTP/1.1.
const GREETING_BYTES: usize = 24;
/// How long a client has to close its side after the server has closed its own.
const LINGER: Duration = Duration::from_secs(1);

/// A connection, plain or secured.
pub struct Connection {
    io: Io,
    remote: SocketAddr,
    lingering: Option<Pin<Box<Sleep>>>,
    /// When the connection is closed unless something is read or written before.
    silence: Pin<Box<Sleep>>,
    /// When the connection is closed whatever it says.
    life: Option<Pin<Box<Sleep>>>,
    /// Ready when the place goes to another client.
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    patience: Patience,
    /// Bytes read, counted up to those of a greeting.
    greeted: usize,
    place: Place,
}

#[derive(Debug)]
pub(super) enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    pub(super) fn new(io: Io, remote: SocketAddr, patience: Patience, place: Place) -> Self {
        let silence = Box::pin(tokio::time::sleep(patience.head));
        let life = patience.life.map(|life| Box::pin(tokio::time::sleep(life)));
        let closed = Box::pin(place.activity().close().clone().cancelled_owned());
        Self { io, remote, lingering: None, silence, life, closed, patience, greeted: 0, place }
    }

    /// The client's address.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// What the connection is doing.
    pub fn activity(&self) -> &Arc<Activity> {
        self.place.activity()
    }

    /// Bytes were read or written.
    fn heard(&mut self, read: usize) {
        self.greeted = (self.greeted + read).min(GREETING_BYTES);
        if let Some(idle) = self.patience.idle.filter(|_| self.greeted == GREETING_BYTES) {
            self.silence.as_mut().reset(Instant::now() + idle);
        }
    }

    fn wrote(&mut self) {
        self.heard(0);
        self.place.activity().wrote();
    }

    fn watches_silence(&self) -> bool {
        self.greeted < GREETING_BYTES || self.patience.idle.is_some()
    }

    /// Why the connection must be closed now, if it must.
    fn given_up(&mut self, cx: &mut Context<'_>) -> Option<io::Error> {
        if self.closed.as_mut().poll(cx).is_ready() {
            tracing::debug!(remote = %self.remote, "closed without a request: all places are taken and others wait");
            return Some(io::ErrorKind::ConnectionAborted.into());
        }
        if self.life.as_mut().is_some_and(|life| life.as_mut().poll(cx).is_ready()) {
            tracing::debug!(remote = %self.remote, "closed: it was asked to end and did not in time");
            return Some(io::ErrorKind::TimedOut.into());
        }
        if self.watches_silence() && self.silence.as_mut().poll(cx).is_ready() {
            tracing::debug!(remote = %self.remote, "closed: nothing was read or written in time");
            return Some(io::ErrorKind::TimedOut.into());
        }
        None
    }

    fn reader(self: Pin<&mut Self>) -> Pin<&mut (dyn AsyncRead + Unpin)> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream),
            Io::Tls(stream) => Pin::new(&mut **stream),
        }
    }

    fn writer(self: Pin<&mut Self>) -> Pin<&mut (dyn AsyncWrite + Unpin)> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream),
            Io::Tls(stream) => Pin::new(&mut **stream),
        }
    }

    /// Passes on the result of a write; one that makes no progress for too long fails.
    fn written(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(result) => {
                self.wrote();
                Poll::Ready(result)
            }
            Poll::Pending => self.given_up(cx).map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
        }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("io", &self.io).field("remote", &self.remote).finish_non_exhaustive()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if self.as_mut().reader().poll_read(cx, buf)?.is_ready() {
            self.heard(buf.filled().len() - before);
            return Poll::Ready(Ok(()));
        }
        self.given_up(cx).map_or(Poll::Pending, |error| Poll::Ready(Err(error)))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.as_mut().writer().poll_write(cx, buf);
        self.written(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer().poll_flush(cx)
    }

    /// Closes this side, then reads and drops what still comes until the client has closed its own. A socket that is closed
    /// with unread data is reset, and the client's system drops answers that the client has not read yet.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(self.as_mut().writer().poll_shutdown(cx))?;
            self.lingering = Some(Box::pin(tokio::time::sleep(LINGER)));
        }
        let mut scratch = [0; 4096];
        loop {
            if self.lingering.as_mut().is_some_and(|limit| limit.as_mut().poll(cx).is_ready()) {
                return Poll::Ready(Ok(()));
            }
            let mut unread = ReadBuf::new(&mut scratch);
            match ready!(self.as_mut().reader().poll_read(cx, &mut unread)) {
                Ok(()) if !unread.filled().is_empty() => {}
                // The client has closed its side, in one way or another.
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.as_mut().writer().poll_write_vectored(cx, bufs);
        self.written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(stream) => stream.is_write_vectored(),
            Io::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

/// What requests know of their connection.
#[derive(Clone, Debug)]
pub struct Info {
    /// The client's address, as tonic keeps it.
    pub tcp: TcpConnectInfo,
    /// What the connection is doing.
    pub activity: Arc<Activity>,
}

impl Connected for Connection {
    type ConnectInfo = Info;

    fn connect_info(&self) -> Info {
        let tcp = TcpConnectInfo { local_addr: None, remote_addr: Some(self.remote) };
        Info { tcp, activity: Arc::clone(self.activity()) }
    }
}

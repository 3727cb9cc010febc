//! Connections as they come: accepted up to a number, secured, and handed to whoever speaks the protocol.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use prometheus::IntGauge;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, Sleep},
};
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tonic::transport::server::{Connected, TcpConnectInfo};

use super::tls::Tls;

/// Longest time that a client has for its part of the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Bytes that a client has to send before it is taken for one: HTTP/2's preface, and about the shortest request of HTTP/1.1.
const GREETING_BYTES: usize = 24;
/// Longest time that a client has to close its side after the server has closed its own.
const LINGER: Duration = Duration::from_secs(1);
/// Pause after an accept that failed (say, for want of file descriptors).
const PAUSE: Duration = Duration::from_millis(50);

/// How long a connection may say nothing. Each is a place that others want.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until the first bytes of a request.
    pub greeting: Duration,
    /// Without a byte in either direction, ever after; `None` where the protocol looks after that itself.
    pub idle: Option<Duration>,
}

/// Connections of one port.
#[derive(Debug)]
pub struct Incoming {
    receiver: mpsc::Receiver<Connection>,
    address: SocketAddr,
}

impl Incoming {
    /// Begins to accept. More than `most` connections at once wait in the system's backlog.
    ///
    /// # Errors
    /// A listener without an address.
    pub fn accept(
        listener: TcpListener,
        tls: Option<Arc<Tls>>,
        most: usize,
        patience: Patience,
        open: IntGauge,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (sender, receiver) = mpsc::channel(16);
        let places = Places { free: Arc::new(Semaphore::new(most)), open, patience, full: false };
        tokio::spawn(accept(listener, tls, places, sender));
        Ok(Self { receiver, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Room for connections.
struct Places {
    free: Arc<Semaphore>,
    open: IntGauge,
    patience: Patience,
    /// Whether there was no room at the last look: it is said once, not with each connection.
    full: bool,
}

/// A connection's place.
#[derive(Debug)]
struct Place {
    open: IntGauge,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    /// Waits for room, then for a connection.
    async fn next(&mut self, listener: &TcpListener) -> io::Result<(Place, (TcpStream, SocketAddr))> {
        let was_full = std::mem::replace(&mut self.full, self.free.available_permits() == 0);
        if self.full && !was_full {
            tracing::warn!(open = self.open.get(), "as many connections as are allowed; further ones wait");
        }
        let permit = Arc::clone(&self.free).acquire_owned().await.map_err(io::Error::other)?;
        let accepted = listener.accept().await?;
        self.open.inc();
        Ok((Place { open: self.open.clone(), _permit: permit }, accepted))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.dec();
    }
}

async fn accept(listener: TcpListener, tls: Option<Arc<Tls>>, mut places: Places, sender: mpsc::Sender<Connection>) {
    loop {
        let accepted = tokio::select! {
            () = sender.closed() => return,
            accepted = places.next(&listener) => accepted,
        };
        let (place, (stream, remote)) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // Answers are small and must not wait for more.
        let _ = stream.set_nodelay(true);
        match &tls {
            None => {
                let connection = Connection::new(Io::Plain(stream), remote, places.patience, place);
                if sender.send(connection).await.is_err() {
                    return;
                }
            }
            Some(tls) => {
                tokio::spawn(secure(tls.acceptor(), stream, remote, (places.patience, place), sender.clone()));
            }
        }
    }
}

async fn secure(
    acceptor: tokio_rustls::TlsAcceptor,
    stream: TcpStream,
    remote: SocketAddr,
    (patience, place): (Patience, Place),
    sender: mpsc::Sender<Connection>,
) {
    match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let _ = sender.send(Connection::new(Io::Tls(Box::new(stream)), remote, patience, place)).await;
        }
        Ok(Err(error)) => tracing::debug!(%remote, %error, "TLS handshake failed"),
        Err(_) => tracing::debug!(%remote, "TLS handshake took too long"),
    }
}

/// A connection, plain or secured.
#[derive(Debug)]
pub struct Connection {
    io: Io,
    remote: SocketAddr,
    lingering: Option<Pin<Box<Sleep>>>,
    /// When the connection is given up if nothing comes before.
    silence: Pin<Box<Sleep>>,
    patience: Patience,
    /// Bytes read, up to those of a greeting.
    greeted: usize,
    _place: Place,
}

#[derive(Debug)]
enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    fn new(io: Io, remote: SocketAddr, patience: Patience, place: Place) -> Self {
        let silence = Box::pin(tokio::time::sleep(patience.greeting));
        Self { io, remote, lingering: None, silence, patience, greeted: 0, _place: place }
    }

    /// Something came or went.
    fn heard(&mut self, read: usize) {
        self.greeted = (self.greeted + read).min(GREETING_BYTES);
        if let Some(idle) = self.patience.idle.filter(|_| self.greeted == GREETING_BYTES) {
            self.silence.as_mut().reset(Instant::now() + idle);
        }
    }

    fn watches_silence(&self) -> bool {
        self.greeted < GREETING_BYTES || self.patience.idle.is_some()
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
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if self.as_mut().reader().poll_read(cx, buf)?.is_ready() {
            self.heard(buf.filled().len() - before);
            return Poll::Ready(Ok(()));
        }
        if self.watches_silence() && self.silence.as_mut().poll(cx).is_ready() {
            tracing::debug!(remote = %self.remote, "nothing came; the connection is closed");
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(self.as_mut().writer().poll_write(cx, buf));
        self.heard(0);
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer().poll_flush(cx)
    }

    /// Closes this side, then reads and drops what still comes until the client has closed its own. A socket that is closed
    /// with unread data is reset, and the client's system would drop the last answers, which it may not have read yet.
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
        let written = ready!(self.as_mut().writer().poll_write_vectored(cx, bufs));
        self.heard(0);
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(stream) => stream.is_write_vectored(),
            Io::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        TcpConnectInfo { local_addr: None, remote_addr: Some(self.remote) }
    }
}

impl Stream for Incoming {
    type Item = Result<Connection, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(cx).map(|connection| connection.map(Ok))
    }
}

impl axum::serve::Listener for Incoming {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        match self.receiver.recv().await {
            Some(connection) => {
                let remote = connection.remote;
                (connection, remote)
            }
            // The accepting task ends only after this side has.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_stream::StreamExt;

    use super::*;

    #[tokio::test]
    async fn a_client_that_says_nothing_does_not_keep_its_place() {
        let patience = Patience { greeting: Duration::from_millis(40), idle: Some(Duration::from_millis(40)) };
        let open = IntGauge::new("open", "open").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut incoming = Incoming::accept(listener, None, 1, patience, open.clone()).unwrap();
        let address = incoming.address();
        let mut buffer = [0; 64];

        let _silent = TcpStream::connect(address).await.unwrap();
        let mut accepted = incoming.next().await.unwrap().unwrap();
        assert_eq!(open.get(), 1);
        let error = accepted.read(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(accepted);

        // One that speaks, is silent for less than is allowed, speaks, and then is silent for longer.
        let mut client = TcpStream::connect(address).await.unwrap();
        let mut accepted = incoming.next().await.unwrap().unwrap();
        for _ in 0..4 {
            client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            assert_eq!(accepted.read(&mut buffer).await.unwrap(), 27);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(accepted.read(&mut buffer).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(accepted);
        assert_eq!(open.get(), 0);
    }
}

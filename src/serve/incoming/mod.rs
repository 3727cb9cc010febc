//! Connections as they come: accepted up to a number, secured, and handed to the code that speaks the protocol.
//!
//! Every connection takes one of the port's places. When all are taken, the connection that has gone the longest without a
//! request gives its place up (see `activity`), so that clients that say nothing cannot keep others out.

mod activity;
mod connection;

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use prometheus::IntGauge;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};
use tokio_stream::Stream;

pub use self::{
    activity::{Activity, Answering, InRequest},
    connection::{Connection, Info},
};
use self::{
    activity::{ConnectionEntry, Connections},
    connection::Io,
};
use super::tls::Tls;

/// Pause after an accept that failed (say, for want of file descriptors); doubled after each further failure, up to the
/// longest.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Time between two looks for a place while all are taken.
const LOOK: Duration = Duration::from_millis(50);
/// Time between two log lines about the same trouble.
const LOG_PAUSE: Duration = Duration::from_secs(30);

/// How long a connection may say nothing, and how long it may last.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the TLS handshake, and again until the first bytes of a request.
    pub head: Duration,
    /// After that, without a byte in either direction; `None` where the protocol looks after that itself.
    pub idle: Option<Duration>,
    /// Whether a connection whose requests are all answered may lose its place to another client. One that has had no request
    /// always may.
    pub may_close_used: bool,
    /// The longest that a connection may last, whatever it says.
    pub life: Option<Duration>,
}

/// Connections of one port.
#[derive(Debug)]
pub struct Incoming {
    receiver: mpsc::Receiver<Connection>,
    address: SocketAddr,
}

impl Incoming {
    /// Begins to accept, at most `most` connections at once.
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
        let places = Places {
            free: Arc::new(Semaphore::new(most)),
            connections: Connections::default(),
            open,
            patience,
            full: Trouble::default(),
        };
        tokio::spawn(accept(listener, tls, places, sender));
        Ok(Self { receiver, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Says when trouble that repeats is worth a log line.
#[derive(Debug, Default)]
struct Trouble {
    logged: Option<Instant>,
    unlogged: u64,
}

impl Trouble {
    /// How often it has happened since the last line, if a line is due.
    fn again(&mut self) -> Option<u64> {
        self.unlogged += 1;
        if self.logged.is_some_and(|logged| logged.elapsed() < LOG_PAUSE) {
            return None;
        }
        self.logged = Some(Instant::now());
        Some(std::mem::take(&mut self.unlogged))
    }
}

/// Room for connections.
struct Places {
    free: Arc<Semaphore>,
    connections: Connections,
    open: IntGauge,
    patience: Patience,
    full: Trouble,
}

/// A connection's place.
#[derive(Debug)]
struct Place {
    open: IntGauge,
    entry: ConnectionEntry,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn activity(&self) -> &Arc<Activity> {
        &self.entry.activity
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.dec();
    }
}

impl Places {
    /// A place for a connection that was accepted. `None` when there will be none any more.
    async fn take(&mut self) -> Option<Place> {
        let permit = match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.make_room().await?,
        };
        self.open.inc();
        Some(Place { open: self.open.clone(), entry: self.connections.open(), _permit: permit })
    }

    async fn make_room(&mut self) -> Option<OwnedSemaphorePermit> {
        if let Some(times) = self.full.again() {
            let open = self.open.get();
            tracing::warn!(
                open,
                times,
                "all connections that are allowed are open; new ones wait, or replace connections without a request"
            );
        }
        loop {
            self.connections.close_unused(self.patience.may_close_used);
            match tokio::time::timeout(LOOK, Arc::clone(&self.free).acquire_owned()).await {
                Ok(permit) => return permit.ok(),
                Err(_) => continue,
            }
        }
    }
}

async fn accept(listener: TcpListener, tls: Option<Arc<Tls>>, mut places: Places, sender: mpsc::Sender<Connection>) {
    let (mut failed, mut pause) = (Trouble::default(), PAUSE);
    loop {
        let accepted = tokio::select! {
            () = sender.closed() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if let Some(times) = failed.again() {
                    tracing::warn!(%error, times, "connections could not be accepted");
                }
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(LONGEST_PAUSE);
                continue;
            }
        };
        pause = PAUSE;
        let place = tokio::select! {
            () = sender.closed() => return,
            place = places.take() => place,
        };
        let Some(place) = place else { return };
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
    let handshake = tokio::select! {
        () = place.activity().close().cancelled() => return,
        handshake = tokio::time::timeout(patience.head, acceptor.accept(stream)) => handshake,
    };
    match handshake {
        Ok(Ok(stream)) => {
            let _ = sender.send(Connection::new(Io::Tls(Box::new(stream)), remote, patience, place)).await;
        }
        Ok(Err(error)) => tracing::debug!(%remote, %error, "TLS handshake failed"),
        Err(_) => tracing::debug!(%remote, "TLS handshake took too long"),
    }
}

impl Stream for Incoming {
    type Item = Result<Connection, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(cx).map(|connection| connection.map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_stream::StreamExt;

    use super::*;

    const SHORT: Duration = Duration::from_millis(40);

    async fn incoming(most: usize, patience: Patience) -> (Incoming, IntGauge) {
        let open = IntGauge::new("open", "open").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (Incoming::accept(listener, None, most, patience, open.clone()).unwrap(), open)
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_does_not_keep_its_place() {
        let patience = Patience { head: SHORT, idle: Some(SHORT), may_close_used: true, life: None };
        let (mut incoming, open) = incoming(1, patience).await;
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

    #[tokio::test]
    async fn a_connection_without_a_request_gives_its_place_to_one_that_waits() {
        let minute = Duration::from_secs(60);
        let patience = Patience { head: minute, idle: Some(minute), may_close_used: false, life: None };
        let (mut incoming, open) = incoming(2, patience).await;
        let address = incoming.address();
        let mut clients = Vec::new();
        let mut accepted = Vec::new();
        for _ in 0..2 {
            clients.push(TcpStream::connect(address).await.unwrap());
            accepted.push(incoming.next().await.unwrap().unwrap());
        }
        let _request = accepted[0].activity().request();
        clients.push(TcpStream::connect(address).await.unwrap());
        let error = accepted[1].read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(open.get(), 2, "it keeps the place until it is dropped");
        drop(accepted.pop());
        let _third = incoming.next().await.unwrap().unwrap();
        assert_eq!(open.get(), 2);
    }

    #[tokio::test]
    async fn a_connection_ends_with_its_life_whatever_it_says() {
        let minute = Duration::from_secs(60);
        let patience =
            Patience { head: minute, idle: None, may_close_used: false, life: Some(Duration::from_millis(200)) };
        let (mut incoming, _) = incoming(1, patience).await;
        let mut client = TcpStream::connect(incoming.address()).await.unwrap();
        let mut accepted = incoming.next().await.unwrap().unwrap();
        let talking = tokio::spawn(async move {
            while client.write_all(&[b'x'; 30]).await.is_ok() {
                tokio::time::sleep(SHORT / 8).await
            }
        });
        let mut buffer = [0; 4096];
        let ended = tokio::time::timeout(minute, async {
            loop {
                if let Err(error) = accepted.read(&mut buffer).await {
                    return error.kind();
                }
            }
        });
        assert_eq!(ended.await.unwrap(), io::ErrorKind::TimedOut);
        talking.abort();
    }

    #[test]
    fn trouble_that_repeats_is_logged_once_with_its_count() {
        let mut trouble = Trouble::default();
        assert_eq!(trouble.again(), Some(1));
        for _ in 0..100 {
            assert_eq!(trouble.again(), None);
        }
        trouble.logged = Instant::now().checked_sub(LOG_PAUSE);
        assert_eq!(trouble.again(), Some(101));
    }
}

//! What the two ports do around their services: HTTP/1 connections with a time limit for each request head, and on both ports
//! the count of the requests that a connection has open.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, extract::ConnectInfo};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::sync::watch;
use tokio_stream::StreamExt as _;
use tonic::codegen::http::{Request, Response};
use tower::{Layer, Service};

use super::incoming::{Answering, InRequest, Incoming, Info};

/// Serves HTTP/1.1 until `stop` is set and the requests that have come are answered. A client has `head` for the head of each
/// request; a connection without a request is closed after as long.
pub(super) async fn serve_http(
    mut incoming: Incoming,
    router: Router,
    head: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head);
    let connections = GracefulShutdown::new();
    loop {
        let connection = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            connection = incoming.next() => connection,
        };
        let Some(Ok(connection)) = connection else { break };
        let (remote, info) = (connection.remote(), tonic::transport::server::Connected::connect_info(&connection));
        let service = TowerToHyperService::new(Of { info, remote, inner: InUse.layer(router.clone()) });
        let serving = connections.watch(http.serve_connection(TokioIo::new(connection), service));
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::debug!(%remote, %error, "HTTP connection closed");
            }
        });
    }
    drop(incoming);
    connections.shutdown().await;
}

/// Tells each request which connection it came on.
#[derive(Clone)]
struct Of<S> {
    info: Info,
    remote: SocketAddr,
    inner: S,
}

impl<S, B> Service<Request<B>> for Of<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        request.extensions_mut().insert(self.info.clone());
        request.extensions_mut().insert(ConnectInfo(self.remote));
        self.inner.call(request)
    }
}

/// Counts a connection's requests until their answers are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct InUse;

impl<S> Layer<S> for InUse {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted(inner)
    }
}

/// A service behind [`InUse`].
#[derive(Clone, Debug)]
pub(super) struct Counted<S>(S);

impl<S, A, B> Service<Request<A>> for Counted<S>
where
    S: Service<Request<A>, Response = Response<B>>,
{
    type Response = Response<Answering<B>>;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let info = request.extensions().get::<Info>().cloned();
        let counted = info.map(|info| {
            // Where tonic looks for the client's address.
            request.extensions_mut().insert(info.tcp);
            info.activity.request()
        });
        Answer { answer: Box::pin(self.0.call(request)), counted }
    }
}

/// An answer to come.
pub(super) struct Answer<F> {
    answer: Pin<Box<F>>,
    counted: Option<InRequest>,
}

impl<B, E, F: Future<Output = Result<Response<B>, E>>> Future for Answer<F> {
    type Output = Result<Response<Answering<B>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = std::task::ready!(self.answer.as_mut().poll(cx));
        let counted = self.counted.take();
        Poll::Ready(answer.map(|response| {
            let compresses = response.headers().contains_key("grpc-encoding");
            response.map(|body| Answering::new(body, compresses, counted))
        }))
    }
}

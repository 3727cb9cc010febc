//! Bodies of requests: bounded in size, compressed and decompressed, in number and in time.
//!
//! Every route that takes a body receives it here. A length that is announced and too large is refused before the body is read.

use std::{io::Read as _, time::Instant};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, header},
};
use bytes::{Bytes, BytesMut};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use serde::de::DeserializeOwned;
use strum::{Display, EnumString};
use tokio_stream::StreamExt as _;

use super::Server;
use crate::{Error, Reason, Result};

/// Work on more bytes than this is done beside the event loop.
const LARGE: usize = 64 << 10;

/// An error about a header.
pub(super) fn refused(name: &'static str, value: &HeaderValue, allowed: &str) -> Error {
    let value = String::from_utf8_lossy(value.as_bytes()).chars().take(80).collect::<String>();
    Error::parameter(name, format!("`{}` is not accepted; {allowed}", value.escape_debug()))
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString)]
#[strum(serialize_all = "lowercase", ascii_case_insensitive)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    /// In the zlib format, as HTTP has it.
    Deflate,
}

impl Encoding {
    /// The encoding of a request's body.
    ///
    /// # Errors
    /// [`Error::Parameter`] for one that is not known.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(Self::Identity) };
        let encoding = value.to_str().ok().and_then(|name| name.trim().parse().ok());
        encoding.ok_or_else(|| refused("Content-Encoding", value, "send the body as it is, or as gzip or deflate"))
    }

    /// The body as it was before it was compressed, of at most `most` bytes.
    async fn decompress(self, body: Bytes, most: usize) -> Result<Bytes> {
        if self == Self::Identity {
            return Ok(body);
        }
        let decompressed = tokio::task::spawn_blocking(move || {
            let mut whole = Vec::new();
            let more = most as u64 + 1;
            let read = match self {
                Self::Gzip => MultiGzDecoder::new(&body[..]).take(more).read_to_end(&mut whole),
                Self::Deflate => ZlibDecoder::new(&body[..]).take(more).read_to_end(&mut whole),
                Self::Identity => Ok(0),
            };
            read.map_err(|error| {
                Error::frame(Reason::because(format_args!("the body cannot be decompressed as {self}"), error))
            })?;
            if whole.len() > most { Err(too_large(whole.len() as u64, most)) } else { Ok(whole.into()) }
        });
        decompressed.await.unwrap_or_else(|error| Err(Error::internal(Reason::of(error))))
    }
}

/// Receives the body within the limits of the settings.
///
/// # Errors
/// [`Error::Limit`], [`Error::Overloaded`], [`Error::TimedOut`], or a body that is damaged.
pub(super) async fn receive(
    server: &Server,
    request: Request,
    encoding: Encoding,
    deadline: Option<Instant>,
) -> Result<Bytes> {
    let most = server.settings.max_body_bytes;
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if let Some(found) = announced.filter(|&length| length > most as u64) {
        return Err(too_large(found, most));
    }
    let Ok(_permit) = server.uploads.try_acquire() else {
        let limit = server.settings.max_uploads;
        return Err(Error::Overloaded(format!(
            "{limit} bodies are being received, as many as are allowed at once; try again later"
        )));
    };
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let limit = left.into_iter().chain([server.settings.body_timeout]).min().unwrap_or_default();
    let body = collect(request.into_body(), announced.unwrap_or(0), most);
    let late = |_| Error::TimedOut { stage: "while its body was received" };
    let body = tokio::time::timeout(limit, body).await.map_err(late)??;
    encoding.decompress(body, most).await
}

async fn collect(body: Body, announced: u64, most: usize) -> Result<Bytes> {
    let mut chunks = body.into_data_stream();
    let mut whole = BytesMut::with_capacity(usize::try_from(announced).unwrap_or(most).min(most));
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| Error::frame(Reason::because("the body cannot be read", error)))?;
        let found = whole.len() + chunk.len();
        if found > most {
            return Err(too_large(found as u64, most));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

fn too_large(found: u64, most: usize) -> Error {
    Error::Limit { what: "size of the body".to_owned(), found, limit: most as u64, unit: "bytes" }
}

/// A small JSON object; an empty body is an empty object.
///
/// # Errors
/// As [`receive`], and [`Error::Parameter`] for what is not such an object.
pub(super) async fn json<T: DeserializeOwned + Send + 'static>(server: &Server, request: Request) -> Result<T> {
    let encoding = Encoding::of(request.headers())?;
    let body = receive(server, request, encoding, None).await?;
    let text = if body.is_empty() { Bytes::from_static(b"{}") } else { body };
    beside(text.len(), move || {
        let wrong = |error| Error::parameter("body", Reason::because("it is not the JSON that this path takes", error));
        serde_json::from_slice(&text).map_err(wrong)
    })
    .await
}

/// Runs work on so many bytes: at once, or on a thread that may block where they are many.
///
/// # Errors
/// Those of the work, and a work that panicked.
pub(super) async fn beside<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    if bytes <= LARGE {
        return work();
    }
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(Error::internal(Reason::of(error))))
}

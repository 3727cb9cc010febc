//! `detect`: an image in the body of the request, the detection in the answer.
//!
//! What is wrong in the request's head (its model, query, headers or announced length) is refused before the body is read.
//! Bodies are bounded in size, compressed and decompressed, in number and in time. After that the engine's limits apply.

use std::{io::Read as _, sync::Arc, time::Instant};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use strum::{Display, EnumString};
use tokio_stream::StreamExt as _;

use super::{
    Server, answer,
    document::DetectResponses,
    error::Problem,
    query::Query,
    target::{Model, Target, Version},
};
use crate::{
    Error, Reason, Result,
    serve::{
        app::{Call, Protocol, WhenFull},
        origin::Origin,
    },
};

/// What a request for a detection may have as its body.
const BODY: &str = "A PNG, JPEG, BMP, TIFF, WebP, GIF or PNM file with one image, turned upright by its EXIF orientation (sizes and \
                    coordinates are those of the upright image); or raw pixels, described by `width`, `height`, `format` and \
                    `stride`. A file of several pages is refused.";

/// Find defects in an image
///
/// Parameters that are not listed here are refused. The body may be compressed (`Content-Encoding: gzip` or `deflate`).
#[utoipa::path(post, path = "/v1/models/{model}/detect", operation_id = "detect", tag = "detection",
    params(Model, Query),
    request_body(
        description = BODY,
        content((Vec<u8> = "image/*"), (Vec<u8> = "application/octet-stream"),
            (Vec<u8> = "application/x-www-form-urlencoded")),
    ),
    responses(DetectResponses),
    security(("bearer" = []), ()))]
// When the client goes away, the server drops this future and with it the pending answer, and the frame is given up.
pub(super) async fn detect(
    State(server): State<Arc<Server>>,
    target: Target,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::of(request.uri());
    let outputs = query.as_ref().map(Query::outputs).unwrap_or_default();
    let origin = Origin::of(request.headers(), request.extensions());
    let call = match query {
        Ok(query) => prepare(&server, target, query, request, origin.clone()).await,
        Err(error) => Err(error),
    };
    let call = call.inspect_err(|error| server.app.requests().begin(Protocol::Http, origin, None).done(Some(error)))?;
    let encode = move |model: &_, found| answer::json(outputs, model, found);
    let body = server.app.submit(call, WhenFull::Refuse, encode).await.await?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response())
}

/// Find defects in an image with one version of a model
///
/// As without a version.
#[utoipa::path(post, path = "/v1/models/{model}/versions/{version}/detect", operation_id = "detectVersion",
    tag = "detection", params(Model, Version, Query),
    request_body(
        description = BODY,
        content((Vec<u8> = "image/*"), (Vec<u8> = "application/octet-stream"),
            (Vec<u8> = "application/x-www-form-urlencoded")),
    ),
    responses(DetectResponses),
    security(("bearer" = []), ()))]
pub(super) async fn detect_version(
    server: State<Arc<Server>>,
    target: Target,
    request: Request,
) -> Result<Response, Problem> {
    detect(server, target, request).await
}

async fn prepare(server: &Server, target: Target, query: Query, request: Request, origin: Origin) -> Result<Call> {
    let arrived = Instant::now();
    let deadline = match query.time_limit() {
        Some(limit) => {
            let deadline = arrived.checked_add(limit);
            Some(deadline.ok_or_else(|| Error::parameter("time_limit_ms", "it is too long"))?)
        }
        None => None,
    };
    server.app.registry().get(&target.model, target.version)?;
    is_image(request.headers())?;
    let encoding = Encoding::of(request.headers())?;
    let body = receive(server, request, encoding, deadline).await?;
    let source = query.source(body)?;
    Ok(Call {
        protocol: Protocol::Http,
        model: target.model,
        version: target.version,
        source,
        options: query.options(),
        roi: query.roi(),
        wanted: query.outputs().wanted(),
        deadline,
        priority: query.priority(),
        origin,
        significant_bits: query.significant_bits(),
    })
}

/// Refuses bodies that cannot be an image. curl calls every body `application/x-www-form-urlencoded`, so that is accepted;
/// decoding shows whether the body is an image.
fn is_image(headers: &HeaderMap) -> Result<()> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let kind = value.to_str().unwrap_or_default().to_ascii_lowercase();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.starts_with("image/") || ["application/octet-stream", "application/x-www-form-urlencoded"].contains(&kind) {
        return Ok(());
    }
    Err(refused("Content-Type", value, "send the image's bytes as image/* or application/octet-stream"))
}

/// An error about a header.
fn refused(name: &'static str, value: &HeaderValue, allowed: &str) -> Error {
    let value = String::from_utf8_lossy(value.as_bytes()).chars().take(80).collect::<String>();
    Error::parameter(name, format!("`{}` is not accepted; {allowed}", value.escape_debug()))
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString)]
#[strum(serialize_all = "lowercase", ascii_case_insensitive)]
enum Encoding {
    Identity,
    Gzip,
    /// In the zlib format, as HTTP has it.
    Deflate,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Result<Self> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(Self::Identity) };
        let encoding = value.to_str().ok().and_then(|name| name.trim().parse().ok());
        encoding.ok_or_else(|| refused("Content-Encoding", value, "send the image as it is, or as gzip or deflate"))
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
async fn receive(server: &Server, request: Request, encoding: Encoding, deadline: Option<Instant>) -> Result<Bytes> {
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

//! `detect`: an image in the body of the request, the detection in the answer. Or several images in the parts of the body, with one
//! answer; or one image, with the picture of its regions as the answer.
//!
//! What is wrong in the request's head (its model, query, headers or announced length) is refused before the body is read.
//! Bodies are bounded in size, compressed and decompressed, in number and in time. After that the engine's limits apply.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    response::Response,
};
use bytes::Bytes;

use super::{
    Server,
    annotated::{self, Found, Wanted},
    answer,
    body::{Encoding, beside, receive, refused},
    compress,
    document::DetectResponses,
    error::Problem,
    multipart,
    query::{Outputs, Query},
    several::{self, Picture},
    target::{Model, Target, Version},
};
use crate::{
    Error, Result,
    serve::{
        app::{Call, Protocol, WhenFull},
        origin::Origin,
    },
};

/// What a request for a detection may have as its body.
const BODY: &str = "A PNG, JPEG, BMP, TIFF, WebP, GIF or PNM file with one image, turned upright by its EXIF orientation (sizes and \
                    coordinates are those of the upright image); or raw pixels, described by `width`, `height`, `format` and \
                    `stride`. A file of several pages is refused. Or several images, each a part of a multipart body; a part with \
                    the name `roi` is a region of interest for all of them.";

/// What a body holds.
enum Content {
    One(Box<Call>),
    Several(Vec<Picture>),
}

/// Find defects in an image, or in several
///
/// Parameters that are not listed here are refused. The body may be compressed (`Content-Encoding: gzip` or `deflate`).
/// With `Accept: image/png` the answer to one image is that image with its regions outlined.
#[utoipa::path(post, path = "/v1/models/{model}/detect", operation_id = "detect", tag = "detection",
    params(Model, Query),
    request_body(
        description = BODY,
        content((Vec<u8> = "image/*"), (Vec<u8> = "application/octet-stream"),
            (Vec<u8> = "application/x-www-form-urlencoded"), (Vec<u8> = "multipart/form-data"),
            (Vec<u8> = "multipart/mixed")),
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
    let (encoding, wanted) = (compress::wanted(request.headers()), annotated::wanted(request.headers()));
    let content = match query {
        Ok(query) => prepare(&server, target, query, request, origin.clone()).await,
        Err(error) => Err(error),
    };
    let count = |error: &Error| server.app.requests().begin(Protocol::Http, origin, None).done(Some(error));
    let content = content.inspect_err(count)?;
    match (content, wanted) {
        (Content::One(call), Wanted::Picture) => Ok(picture(&server, *call).await?),
        (Content::One(call), Wanted::Json) => {
            let encode = move |model: &_, found| answer::json(outputs, model, found);
            let body = server.app.submit(*call, WhenFull::Refuse, encode).await.await?;
            Ok(compress::respond(encoding, "application/json", body).await?)
        }
        (Content::Several(pictures), _) => {
            let body = several::detect(&server, pictures, outputs).await?;
            Ok(compress::respond(encoding, "application/json", body).await?)
        }
    }
}

/// Find defects with one version of a model
///
/// As without a version.
#[utoipa::path(post, path = "/v1/models/{model}/versions/{version}/detect", operation_id = "detectVersion",
    tag = "detection", params(Model, Version, Query),
    request_body(
        description = BODY,
        content((Vec<u8> = "image/*"), (Vec<u8> = "application/octet-stream"),
            (Vec<u8> = "application/x-www-form-urlencoded"), (Vec<u8> = "multipart/form-data"),
            (Vec<u8> = "multipart/mixed")),
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

async fn prepare(server: &Server, target: Target, query: Query, request: Request, origin: Origin) -> Result<Content> {
    let arrived = Instant::now();
    let deadline = match query.time_limit() {
        Some(limit) => {
            let deadline = arrived.checked_add(limit);
            Some(deadline.ok_or_else(|| Error::parameter("time_limit_ms", "it is too long"))?)
        }
        None => None,
    };
    server.app.registry().get(&target.model, target.version)?;
    let boundary = multipart::boundary(request.headers())?;
    if boundary.is_none() {
        is_image(request.headers())?;
    }
    if annotated::wanted(request.headers()) == Wanted::Picture {
        check_picture(boundary.is_some(), query.outputs())?;
    }
    let encoding = Encoding::of(request.headers())?;
    let body = receive(server, request, encoding, deadline).await?;
    let call = |body: Bytes, roi: Bytes| -> Result<Call> {
        Ok(Call {
            protocol: Protocol::Http,
            model: target.model.clone(),
            version: target.version,
            source: query.source(body)?,
            options: query.options(),
            roi,
            wanted: query.outputs().wanted(),
            deadline,
            priority: query.priority(),
            origin: origin.clone(),
            significant_bits: query.significant_bits(),
            frame: None,
        })
    };
    let Some(boundary) = boundary else { return Ok(Content::One(Box::new(call(body, query.roi())?))) };
    let most = server.app.engine().options().max_in_flight;
    let parts = beside(body.len(), move || multipart::parts(&body, &boundary, most + 1)).await?;
    Ok(Content::Several(several::pictures(parts, query.roi(), most, call)?))
}

/// One image, and the picture of its regions as the answer.
async fn picture(server: &Server, call: Call) -> Result<Response> {
    let limits = server.app.engine().options().limits;
    let (source, deadline) = ((call.source.clone(), limits, call.significant_bits), call.deadline);
    let pending = server.app.submit(call, WhenFull::Refuse, |_, found| Ok(Found::of(found))).await;
    let model = pending.model().cloned();
    let found = pending.await?;
    let model = model.ok_or_else(|| Error::internal("an answer without a model"))?;
    annotated::respond(&server.drawing, &model, source, found, deadline).await
}

/// Refuses what a picture cannot answer.
fn check_picture(has_parts: bool, outputs: Outputs) -> Result<()> {
    if has_parts {
        return Err(Error::parameter("Accept", "image/png is for one image; send one, or accept application/json"));
    }
    if outputs != Outputs::default() {
        let reason = "image/png has no room for masks and maps; leave `mask`, `score_map` and `log10_nfa_map` out, or accept \
                      application/json";
        return Err(Error::parameter("Accept", reason));
    }
    Ok(())
}

/// Refuses bodies that cannot be an image. curl calls every body `application/x-www-form-urlencoded`, so that is accepted;
/// decoding shows whether the body is an image.
fn is_image(headers: &HeaderMap) -> Result<()> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let kind = value.to_str().unwrap_or_default().to_ascii_lowercase();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if may_be_image(kind) || kind == "application/x-www-form-urlencoded" {
        return Ok(());
    }
    let allowed =
        "send the image's bytes as image/* or application/octet-stream, or several images as multipart/form-data";
    Err(refused("Content-Type", value, allowed))
}

/// Whether a media type may be that of an image.
pub(super) fn may_be_image(kind: &str) -> bool {
    kind.starts_with("image/") || kind == "application/octet-stream"
}

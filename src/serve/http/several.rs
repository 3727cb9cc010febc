//! Several images in one request, and one answer.
//!
//! An image that fails is an error in its place; the others are answered. The first image is refused like that of any other
//! request when the server is full; the others wait for room, so that a request is not answered in part.

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Server,
    answer::{self, DetectionBody},
    detect::may_be_image,
    error::{self, Problem},
    multipart::Part,
    query::Outputs,
};
use crate::{
    Error, Result,
    serve::{
        app::{Call, Pending, WhenFull},
        response_budget::check_size,
        shown::shown,
    },
};
use bytes::Bytes;

/// The part with a region of interest for all images.
const ROI: &str = "roi";

/// What was found in several images.
#[derive(Serialize, ToSchema)]
#[schema(as = Detections)]
pub(super) struct DetectionsBody {
    /// One for each image, in the order of the parts.
    images: Vec<ImageResult>,
}

/// An image of a request, with its detection or its error.
#[derive(Serialize, ToSchema)]
struct ImageResult {
    /// The part's file name, else the name of its field, else its number from 0.
    name: String,
    /// What was found.
    detection: Option<DetectionBody>,
    /// Why nothing was found out.
    error: Option<error::Error>,
}

/// An image of a request.
pub(super) struct Picture {
    name: String,
    call: Result<Call>,
}

/// The images of a request's parts, at most `most`. `roi` is the region of interest of the query; a part may replace it.
///
/// # Errors
/// [`Error::Parameter`] for no image, or a part that is not an image.
pub(super) fn pictures(
    parts: Vec<Part>,
    roi: Bytes,
    most: usize,
    call: impl Fn(Bytes, Bytes) -> Result<Call>,
) -> Result<Vec<Picture>> {
    let wrong = |reason: String| Err(Error::parameter("body", reason));
    let (rois, parts): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| part.name.as_deref() == Some(ROI));
    let roi = match <[Part; 1]>::try_from(rois) {
        Ok([part]) if roi.is_empty() && !part.content.is_empty() => part.content,
        Ok(_) => {
            return wrong("the region of interest is empty, or given twice: as a part and in the query".to_owned());
        }
        Err(rois) if rois.is_empty() => roi,
        Err(rois) => return wrong(format!("it has {} parts with the name `{ROI}`; send one", rois.len())),
    };
    if parts.is_empty() || parts.len() > most {
        return wrong(format!("it has {} images; a request has 1 to {most}", parts.len()));
    }
    let picture = |(number, part): (usize, Part)| {
        let name = part.file.or(part.name).unwrap_or_else(|| number.to_string());
        if let Some(kind) = part.kind.filter(|kind| !may_be_image(kind)) {
            let reason =
                format!("part {number} is `{}`; send images as image/* or application/octet-stream", shown(&kind));
            return Err(Error::parameter("body", reason));
        }
        let call = call(part.content, roi.clone()).map(|call| Call { frame: Some(number.to_string()), ..call });
        Ok(Picture { name: shown(&name), call })
    };
    parts.into_iter().enumerate().map(picture).collect()
}

/// The JSON with what was found in each image.
///
/// # Errors
/// [`Error::Overloaded`] when there is no room for the first image, and an answer that is too large.
pub(super) async fn detect(server: &Server, pictures: Vec<Picture>, outputs: Outputs) -> Result<Vec<u8>> {
    let mut pending = Vec::with_capacity(pictures.len());
    for (number, Picture { name, call }) in pictures.into_iter().enumerate() {
        let when_full = if number == 0 { WhenFull::Refuse } else { WhenFull::Wait };
        let encode = move |model: &_, found| answer::json(outputs, model, found);
        let submitted: Result<Pending<Vec<u8>>> = match call {
            Ok(call) => Ok(server.app.submit(call, when_full, encode).await),
            Err(error) => Err(error),
        };
        if let Ok(refused) = &submitted
            && number == 0
            && matches!(refused.refused(), Some(Error::Overloaded(_)))
        {
            return submitted?.await;
        }
        pending.push((name, submitted));
    }
    let most = server.app.largest_answer();
    let mut body = br#"{"images":["#.to_vec();
    for (number, (name, submitted)) in pending.into_iter().enumerate() {
        let found = match submitted {
            Ok(pending) => pending.await,
            Err(error) => Err(error),
        };
        if number > 0 {
            body.push(b',');
        }
        push(&mut body, &name, found)?;
        check_size(body.len(), most)?;
    }
    body.extend_from_slice(b"]}");
    Ok(body)
}

/// Writes an image's result. A detection is JSON already.
fn push(body: &mut Vec<u8>, name: &str, found: Result<Vec<u8>>) -> Result<()> {
    let failed = |error| Error::internal(crate::Reason::because("the answer cannot be written", error));
    body.extend_from_slice(br#"{"name":"#);
    serde_json::to_writer(&mut *body, name).map_err(failed)?;
    match found {
        Ok(detection) => {
            body.extend_from_slice(br#","detection":"#);
            body.extend_from_slice(&detection);
        }
        Err(error) => {
            body.extend_from_slice(br#","error":"#);
            serde_json::to_writer(&mut *body, &Problem::from(error).into_body()).map_err(failed)?;
        }
    }
    body.push(b'}');
    Ok(())
}

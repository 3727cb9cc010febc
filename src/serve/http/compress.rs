//! Compressed answers.
//!
//! Libraries list every encoding that they know with each request, and on a fast network compression takes longer than it saves.
//! So an answer is compressed where the request's body was, or where `Accept-Encoding` names one encoding alone: that client asks
//! for it.

use std::io::Write as _;

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};

use super::body::{Encoding, beside};
use crate::{Error, Reason, Result};

/// A smaller answer is sent as it is.
const SMALLEST: usize = 1 << 10;

/// How the answer to a request with these headers is compressed.
pub(super) fn wanted(headers: &HeaderMap) -> Encoding {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let accepted: Vec<Encoding> = accepted
        .flat_map(|value| value.split(','))
        .filter(|one| !one.trim().is_empty())
        .map(accepted_encoding)
        .map(|encoding| encoding.unwrap_or(Encoding::Identity))
        .collect();
    let sent = Encoding::of(headers).unwrap_or(Encoding::Identity);
    match accepted.as_slice() {
        [one] => *one,
        several if several.contains(&sent) => sent,
        _ => Encoding::Identity,
    }
}

/// An encoding of `Accept-Encoding` that is not refused by a weight of 0.
fn accepted_encoding(one: &str) -> Option<Encoding> {
    let mut parts = one.split(';').map(str::trim);
    let encoding = parts.next()?.parse().ok()?;
    let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Ok(1.0), str::parse::<f32>);
    weight.is_ok_and(|weight| weight > 0.0).then_some(encoding)
}

/// An answer with this body, compressed.
///
/// # Errors
/// None that is known.
pub(super) async fn respond(
    encoding: Encoding,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Result<Response> {
    let body: Bytes = body.into();
    let encoding = if body.len() < SMALLEST { Encoding::Identity } else { encoding };
    let body = match encoding {
        Encoding::Identity => body,
        // A kilobyte is compressed in microseconds, a megabyte in milliseconds.
        Encoding::Gzip | Encoding::Deflate => beside(body.len(), move || compressed(encoding, &body)).await?,
    };
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    let name = match encoding {
        Encoding::Identity => return Ok(response),
        Encoding::Gzip => "gzip",
        Encoding::Deflate => "deflate",
    };
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    Ok(response)
}

fn compressed(encoding: Encoding, body: &[u8]) -> Result<Bytes> {
    let failed = |error| Error::internal(Reason::because("the answer cannot be compressed", error));
    let compressed = match encoding {
        Encoding::Identity => Ok(body.to_vec()),
        Encoding::Gzip => {
            let mut writer = GzEncoder::new(Vec::new(), Compression::fast());
            writer.write_all(body).and_then(|()| writer.finish())
        }
        Encoding::Deflate => {
            let mut writer = ZlibEncoder::new(Vec::new(), Compression::fast());
            writer.write_all(body).and_then(|()| writer.finish())
        }
    };
    compressed.map(Bytes::from).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_compressed_for_those_who_ask() {
        let wanted = |accept: &str, content: &str| {
            let mut headers = HeaderMap::new();
            for (name, value) in [(header::ACCEPT_ENCODING, accept), (header::CONTENT_ENCODING, content)] {
                if !value.is_empty() {
                    headers.insert(name, value.parse().unwrap());
                }
            }
            super::wanted(&headers)
        };
        for (accept, content, expected) in [
            ("", "", Encoding::Identity),
            ("gzip", "", Encoding::Gzip),
            ("Deflate;q=0.5", "", Encoding::Deflate),
            ("gzip;q=0", "", Encoding::Identity),
            ("br", "", Encoding::Identity),
            ("gzip, deflate, br", "", Encoding::Identity),
            ("gzip, deflate, br", "deflate", Encoding::Deflate),
            ("gzip, br", "deflate", Encoding::Identity),
            ("gzip;q=0, deflate", "gzip", Encoding::Identity),
            ("", "gzip", Encoding::Identity),
        ] {
            assert_eq!(wanted(accept, content), expected, "{accept} {content}");
        }
    }
}

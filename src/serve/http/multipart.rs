//! Bodies of several parts: `multipart/form-data` (RFC 7578) and `multipart/mixed` (RFC 2046).
//!
//! The body is complete and bounded when it comes here. Parts are slices of it; nothing is copied.
//!
//! ```text
//! --boundary CRLF headers CRLF CRLF content CRLF --boundary CRLF … CRLF --boundary--
//! ```

use axum::http::{HeaderMap, header};
use bytes::Bytes;

use super::body::refused;
use crate::{Error, Result, serve::shown::shown};

/// Longest boundary, by RFC 2046.
const LONGEST_BOUNDARY: usize = 70;
/// Most bytes of a part's headers.
const MOST_HEADERS: usize = 8 << 10;

/// A part of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// The name of the form's field.
    pub(super) name: Option<String>,
    /// The name of the file.
    pub(super) file: Option<String>,
    /// The media type, without its parameters.
    pub(super) kind: Option<String>,
    pub(super) content: Bytes,
}

fn wrong(reason: impl Into<String>) -> Error {
    Error::parameter("body", reason.into())
}

/// The boundary, if a request has several parts.
///
/// # Errors
/// [`Error::Parameter`] for a multipart type without a boundary, or of another kind.
pub(super) fn boundary(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(None) };
    let Ok(text) = value.to_str() else { return Ok(None) };
    let (kind, parameters) = split(text);
    if !kind.starts_with("multipart/") {
        return Ok(None);
    }
    let is_known = ["multipart/form-data", "multipart/mixed"].contains(&kind.as_str());
    let found = parameters.into_iter().find(|(name, _)| name == "boundary").map(|(_, boundary)| boundary);
    match found.filter(|boundary| is_known && (1..=LONGEST_BOUNDARY).contains(&boundary.len())) {
        Some(boundary) => Ok(Some(boundary)),
        None => {
            let allowed = "send multipart/form-data or multipart/mixed with a boundary of 1 to 70 characters";
            Err(refused("Content-Type", value, allowed))
        }
    }
}

/// The parts of a body, at most `most`.
///
/// # Errors
/// [`Error::Parameter`] that names the part.
pub(super) fn parts(body: &Bytes, boundary: &str, most: usize) -> Result<Vec<Part>> {
    let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
    // The first delimiter may stand at the start, or behind a preamble.
    let mut at = match body.strip_prefix(&delimiter[2..]) {
        Some(_) => delimiter.len() - 2,
        None => {
            find(body, &delimiter, 0).ok_or_else(|| wrong("it has no boundary: there is no part"))? + delimiter.len()
        }
    };
    let mut parts = Vec::new();
    loop {
        let rest = &body[at..];
        if rest.starts_with(b"--") {
            return Ok(parts);
        }
        let number = parts.len();
        if number == most {
            return Err(wrong(format!("it has more than {most} parts; send them in several requests")));
        }
        // Spaces may follow a boundary.
        let spaces = rest.iter().take_while(|byte| [b' ', b'\t'].contains(byte)).count();
        if !rest[spaces..].starts_with(b"\r\n") {
            return Err(wrong(format!("the boundary before part {number} does not end its line")));
        }
        let start = at + spaces;
        let cut_off = || wrong(format!("part {number} is cut off: no boundary follows it"));
        // A part may have no headers, and then starts with the empty line.
        let blank = find(body, b"\r\n\r\n", start).ok_or_else(cut_off)?;
        let content = blank + 4;
        // An empty content ends with the line that ends the headers.
        let end = find(body, &delimiter, content - 2).ok_or_else(cut_off)?;
        let text = body.get(start + 2..blank).unwrap_or_default();
        let mut part = headers(text, number)?;
        part.content = body.slice(content.min(end)..end);
        if end < content && end + 2 != content {
            return Err(cut_off());
        }
        parts.push(part);
        at = end + delimiter.len();
    }
}

/// Where `needle` is in `text`, at `from` or behind it.
fn find(text: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let first = *needle.first()?;
    let mut at = from;
    loop {
        at += text.get(at..)?.iter().position(|&byte| byte == first)?;
        if text[at..].starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
}

/// What the headers of a part say.
fn headers(text: &[u8], number: usize) -> Result<Part> {
    if text.len() > MOST_HEADERS {
        return Err(wrong(format!("part {number} has {} bytes of headers; {MOST_HEADERS} are allowed", text.len())));
    }
    let text = String::from_utf8_lossy(text);
    let mut part = Part::default();
    for line in text.split("\r\n").filter(|line| !line.is_empty()) {
        let Some((name, value)) = line.split_once(':') else {
            return Err(wrong(format!("part {number} has the header `{}`, which has no colon", shown(line))));
        };
        let (value, parameters) = split(value);
        match name.trim().to_ascii_lowercase().as_str() {
            "content-disposition" => {
                for (name, value) in parameters {
                    match name.as_str() {
                        "name" => part.name = Some(value),
                        "filename" => part.file = Some(value),
                        _ => {}
                    }
                }
            }
            "content-type" => part.kind = Some(value),
            "content-transfer-encoding" if !["binary", "8bit", "7bit"].contains(&value.as_str()) => {
                let reason = format!("part {number} is encoded as `{}`; send its bytes as they are", shown(&value));
                return Err(wrong(reason));
            }
            _ => {}
        }
    }
    Ok(part)
}

/// A header's value in lower case, and its parameters. Values may be quoted.
fn split(text: &str) -> (String, Vec<(String, String)>) {
    let (value, mut rest) = text.split_once(';').unwrap_or((text, ""));
    let mut parameters = Vec::new();
    while let Some((name, behind)) = rest.split_once('=') {
        let name = name.trim_matches([' ', '\t', ';']).to_ascii_lowercase();
        let behind = behind.trim_start();
        let (value, end) = match behind.strip_prefix('"') {
            Some(quoted) => {
                let (value, length) = unquoted(quoted);
                (value, length + 1)
            }
            None => {
                let end = behind.find(';').unwrap_or(behind.len());
                (behind[..end].trim_end().to_owned(), end)
            }
        };
        parameters.push((name, value));
        rest = &behind[end..];
        rest = rest.split_once(';').map_or("", |(_, rest)| rest);
    }
    (value.trim().to_ascii_lowercase(), parameters)
}

/// A text up to its closing quote, without escapes, and how many bytes it took with the quote.
fn unquoted(text: &str) -> (String, usize) {
    let (mut value, mut is_escaped) = (String::new(), false);
    for (at, character) in text.char_indices() {
        match character {
            '\\' if !is_escaped => is_escaped = true,
            '"' if !is_escaped => return (value, at + 1),
            character => {
                value.push(character);
                is_escaped = false;
            }
        }
    }
    (value, text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &[u8]) -> Result<Vec<Part>> {
        parts(&Bytes::copy_from_slice(body), "x-1", 4)
    }

    #[test]
    fn parts_have_names_types_and_contents() {
        let body = b"preamble\r\n--x-1 \r\nContent-Disposition: form-data; name=\"a\"; filename=\"b \\\"c\\\".png\"\r\n\
                     content-type: Image/PNG; q=1\r\n\r\none\r\n\r\n--x\r\n--x-1\r\n\r\ntwo\r\n--x-1\r\nX: y\r\n\r\n\r\n--x-1--\r\nepilogue";
        let found = read(body).unwrap();
        let first = Part {
            name: Some("a".to_owned()),
            file: Some("b \"c\".png".to_owned()),
            kind: Some("image/png".to_owned()),
            content: Bytes::from_static(b"one\r\n\r\n--x"),
        };
        let second = Part { content: Bytes::from_static(b"two"), ..Part::default() };
        assert_eq!(found, [first, second, Part::default()]);
        assert_eq!(read(b"--x-1--").unwrap(), []);
    }

    #[test]
    fn what_is_wrong_with_a_body_is_said() {
        let many = b"--x-1\r\n\r\na\r\n".repeat(5);
        let long = [b"--x-1\r\nA: ".as_slice(), &[b'b'; 9000], b"\r\n\r\na\r\n--x-1--"].concat();
        for (body, expected) in [
            (b"".as_slice(), "body: it has no boundary"),
            (b"--x-2\r\n\r\na\r\n--x-2--", "body: it has no boundary"),
            (b"--x-1", "body: the boundary before part 0 does not end its line"),
            (b"--x-1z\r\n\r\na\r\n--x-1--", "body: the boundary before part 0 does not end its line"),
            (b"--x-1\r\n", "body: part 0 is cut off"),
            (b"--x-1\r\n\r\na", "body: part 0 is cut off"),
            (b"--x-1\r\n\r\na\r\n--x-1\r\nA: b\r\n", "body: part 1 is cut off"),
            (b"--x-1\r\nA\r\n\r\na\r\n--x-1--", "body: part 0 has the header `A`, which has no colon"),
            (
                b"--x-1\r\nContent-Transfer-Encoding: base64\r\n\r\na\r\n--x-1--",
                "body: part 0 is encoded as `base64`; send its bytes as they are",
            ),
            (&many, "body: it has more than 4 parts"),
            (&long, "body: part 0 has 9003 bytes of headers"),
        ] {
            let error = read(body).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn the_boundary_is_in_the_type() {
        let of = |kind: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
            boundary(&headers).map_err(|error| error.to_string())
        };
        assert_eq!(of("multipart/form-data; boundary=a-b").unwrap().as_deref(), Some("a-b"));
        assert_eq!(of("Multipart/Mixed; charset=utf-8; Boundary=\"a b\" ; x=y").unwrap().as_deref(), Some("a b"));
        assert_eq!(of("image/png").unwrap(), None);
        let long = format!("multipart/mixed; boundary={}", "x".repeat(71));
        for kind in ["multipart/form-data", "multipart/mixed; boundary=\"\"", "multipart/related; boundary=a", &long] {
            assert!(of(kind).unwrap_err().contains("with a boundary of 1 to 70 characters"), "{kind}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4)) {
            let boundary = "a-boundary-that-no-content-has";
            let mut body = Vec::new();
            for content in &contents {
                body.extend_from_slice(format!("--{boundary}\r\nContent-Type: image/png\r\n\r\n").as_bytes());
                body.extend_from_slice(content);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(format!("--{boundary}--").as_bytes());
            let read = parts(&body.into(), boundary, 4).unwrap();
            prop_assert_eq!(read.iter().map(|part| part.content.to_vec()).collect::<Vec<_>>(), contents);
        }

        #[test]
        fn any_bytes_are_read_or_refused(pieces in prop::collection::vec(
            prop::sample::select(vec!["--x-1", "\r\n", "--", "\r", "-", ": ", "a", "Content-Type", "\"", ";", "=", "\\", "é"]), 0..40)
        ) {
            let body = Bytes::from(pieces.concat());
            if let Ok(parts) = parts(&body, "x-1", 4) {
                prop_assert!(parts.iter().map(|part| part.content.len()).sum::<usize>() <= body.len());
            }
        }
    }
}

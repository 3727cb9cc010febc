//! Compressed gRPC messages, decompressed on threads of their own: the event loop, which serves everybody, only passes bytes on.
//!
//! The messages reach tonic uncompressed. At most as many as there are processors are decompressed at the same time, so that
//! clients cannot make the server fill its memory with what small messages become.

use std::{
    future::Future,
    io::{self, Read},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{BufMut, Bytes, BytesMut};
use http_body::{Body, Frame};
use tokio::sync::Semaphore;
use tonic::{Status, codegen::http::HeaderMap};

use super::receive::{HEAD, Kept, Receiving};

const ENCODING: &str = "grpc-encoding";

/// How messages are compressed.
#[derive(Clone, Copy, Debug)]
enum Encoding {
    /// In the zlib format.
    Deflate,
    Gzip,
    Zstd,
}

/// What decompressing may take.
#[derive(Clone, Debug)]
pub(super) struct Inflate {
    receiving: Receiving,
    at_once: Arc<Semaphore>,
    /// Most bytes of a message, compressed or not.
    largest: usize,
}

impl Inflate {
    pub(super) fn new(receiving: Receiving, largest: usize) -> Self {
        let at_once = Arc::new(Semaphore::new(crate::runtime::cpu_quota().max(1)));
        Self { receiving, at_once, largest }
    }

    /// A request's body with its messages decompressed; takes the header that says how they are compressed. An encoding that is
    /// not known stays for tonic to refuse.
    pub(super) fn body<B>(&self, headers: &mut HeaderMap, body: B) -> Inflated<B> {
        let encoding = match headers.get(ENCODING).map(|value| value.as_bytes()) {
            Some(b"deflate") => Some(Encoding::Deflate),
            Some(b"gzip") => Some(Encoding::Gzip),
            Some(b"zstd") => Some(Encoding::Zstd),
            _ => None,
        };
        if encoding.is_some() {
            headers.remove(ENCODING);
        }
        Inflated { body, inflate: self.clone(), encoding, received: BytesMut::new(), working: None, is_over: false }
    }

    /// One message, its head replaced by that of an uncompressed one.
    fn message(&self, encoding: Encoding, compressed: Bytes) -> Work {
        let Self { receiving, at_once, largest } = self.clone();
        let kept = receiving.keep(compressed.len());
        Box::pin(async move {
            let _turn = at_once.acquire_owned().await.map_err(|_| Status::unavailable("the server is stopping"))?;
            let work = move || {
                let message = inflated(encoding, &compressed, largest);
                drop::<Kept>(kept);
                message
            };
            let done = tokio::task::spawn_blocking(work).await;
            done.unwrap_or_else(|_| Err(Status::internal("decompressing a message panicked")))
        })
    }
}

fn inflated(encoding: Encoding, compressed: &[u8], largest: usize) -> Result<Bytes, Status> {
    let failed = |error: io::Error| Status::internal(format!("Error decompressing: {error}, while sending request"));
    let mut message = vec![0; HEAD];
    // One byte more than is allowed tells a message that is too large.
    let most = largest as u64 + 1;
    match encoding {
        Encoding::Deflate => flate2::read::ZlibDecoder::new(compressed).take(most).read_to_end(&mut message),
        Encoding::Gzip => flate2::read::GzDecoder::new(compressed).take(most).read_to_end(&mut message),
        Encoding::Zstd => zstd::Decoder::new(compressed).map_err(failed)?.take(most).read_to_end(&mut message),
    }
    .map_err(failed)?;
    let length = message.len() - HEAD;
    if length > largest {
        return Err(Status::resource_exhausted(format!(
            "Error decompressing: size limit, of {largest} bytes, exceeded while decompressing message"
        )));
    }
    let length = u32::try_from(length).map_err(|_| Status::internal("a message of more than 4 GiB"))?;
    (&mut message[1..HEAD]).put_u32(length);
    Ok(message.into())
}

type Work = Pin<Box<dyn Future<Output = Result<Bytes, Status>> + Send>>;

/// A body whose messages are decompressed.
pub(super) struct Inflated<B> {
    body: B,
    inflate: Inflate,
    /// `None` passes everything on as it is.
    encoding: Option<Encoding>,
    /// What came of messages that are not complete.
    received: BytesMut,
    working: Option<Work>,
    is_over: bool,
}

impl<B> Inflated<B> {
    /// The next complete message, as it came, and whether it is compressed.
    fn complete(&mut self) -> Option<(bool, Bytes)> {
        let head = self.received.first_chunk::<HEAD>()?;
        let [flag, length @ ..] = *head;
        let length = u32::from_be_bytes(length) as usize;
        if flag > 1 || length > self.inflate.largest {
            // tonic says what is wrong.
            self.encoding = None;
            return Some((false, self.received.split().freeze()));
        }
        if self.received.len() < HEAD + length {
            self.received.reserve(HEAD + length - self.received.len());
            return None;
        }
        Some((flag == 1, self.received.split_to(HEAD + length).freeze()))
    }
}

impl<B: Body<Data = Bytes, Error = Status> + Unpin> Body for Inflated<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if let Some(work) = &mut self.working {
                let message = ready!(work.as_mut().poll(cx));
                self.working = None;
                return Poll::Ready(Some(message.map(Frame::data)));
            }
            let Some(encoding) = self.encoding else { return Pin::new(&mut self.body).poll_frame(cx) };
            match self.complete() {
                Some((true, message)) => {
                    self.working = Some(self.inflate.message(encoding, message.slice(HEAD..)));
                    continue;
                }
                Some((false, message)) => return Poll::Ready(Some(Ok(Frame::data(message)))),
                None if self.is_over => return Poll::Ready(None),
                None => {}
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.received.extend_from_slice(&data),
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                None => {
                    self.is_over = true;
                    // A message that is cut off is tonic's to refuse.
                    if !self.received.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(self.received.split().freeze()))));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.received.is_empty() && self.working.is_none() && (self.is_over || self.body.is_end_stream())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use http_body_util::{BodyExt, StreamBody};
    use prometheus::Registry;
    use tokio_stream::iter;
    use tonic::codegen::http::HeaderValue;

    use super::*;

    fn message(flag: u8, data: &[u8]) -> Vec<u8> {
        let mut message = vec![flag];
        message.put_u32(data.len() as u32);
        message.extend_from_slice(data);
        message
    }

    fn compressed(encoding: &str, data: &[u8]) -> Vec<u8> {
        if encoding == "zstd" {
            return zstd::encode_all(data, 3).unwrap();
        }
        if encoding == "deflate" {
            let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            zlib.write_all(data).unwrap();
            return zlib.finish().unwrap();
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(data).unwrap();
        gzip.finish().unwrap()
    }

    /// What tonic gets of a body that comes in chunks.
    async fn through(encoding: &'static str, largest: usize, bytes: Vec<u8>, chunk: usize) -> Result<Vec<u8>, Status> {
        let inflate = Inflate::new(Receiving::new(&Registry::new()).unwrap(), largest);
        let mut headers = HeaderMap::new();
        headers.insert(ENCODING, HeaderValue::from_static(encoding));
        let chunks: Vec<_> = bytes.chunks(chunk).map(|chunk| Ok(Frame::data(Bytes::copy_from_slice(chunk)))).collect();
        let mut body = inflate.body(&mut headers, StreamBody::new(iter(chunks)));
        assert!(headers.is_empty() || encoding == "snappy");
        let mut received = Vec::new();
        while let Some(frame) = body.frame().await {
            received.extend(frame?.into_data().unwrap());
        }
        Ok(received)
    }

    #[tokio::test]
    async fn messages_come_out_uncompressed_and_in_order_however_they_are_cut() {
        let (first, second) = (vec![7; 5000], b"short".to_vec());
        for encoding in ["deflate", "gzip", "zstd"] {
            let sent = [
                message(1, &compressed(encoding, &first)),
                message(0, &second),
                message(1, &compressed(encoding, b"")),
                message(1, &compressed(encoding, &second)),
            ];
            let expected = [message(0, &first), message(0, &second), message(0, b""), message(0, &second)];
            for chunk in [1, 4, 17, 100_000] {
                let received = through(encoding, 5000, sent.concat(), chunk).await.unwrap();
                assert!(received == expected.concat(), "{encoding} {chunk}");
            }
        }
    }

    #[tokio::test]
    async fn what_becomes_too_large_or_is_damaged_is_refused_and_the_rest_is_left_to_tonic() {
        let bomb = message(1, &compressed("zstd", &vec![0; 1 << 20]));
        let status = through("zstd", 1 << 16, bomb, 9).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}");
        let status = through("gzip", 1 << 16, message(1, b"no gzip at all"), 9).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Internal, "{status}");
        for untouched in [message(0, &[1; 300]), message(7, b"x"), message(1, &[1; 70])[..50].to_vec()] {
            assert_eq!(through("gzip", 200, untouched.clone(), 1000).await.unwrap(), untouched);
        }
        assert_eq!(through("snappy", 200, message(1, b"x"), 3).await.unwrap(), message(1, b"x"));
    }
}

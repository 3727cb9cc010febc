//! Where a request comes from: the client's address, the request's id and the client's trace. Log lines and spans carry all
//! three, so that a client's report can be matched with what the server saw.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    net::SocketAddr,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use axum::extract::ConnectInfo;
use tonic::{
    codegen::http::{Extensions, HeaderMap, HeaderName, HeaderValue},
    transport::server::TcpConnectInfo,
};

use super::trace::Parent;

/// The header that carries a request's id, on requests and on answers, over gRPC and HTTP.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is accepted from a client.
const LONGEST_ID: usize = 128;

/// Where a request comes from. Clones share one value.
#[derive(Clone, Debug)]
pub struct Origin(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Option<SocketAddr>,
    request_id: HeaderValue,
    parent: Option<Parent>,
}

impl Origin {
    /// The origin that was noted when the request came, or one made of its headers and its connection.
    pub fn of(headers: &HeaderMap, extensions: &Extensions) -> Self {
        if let Some(known) = extensions.get::<Self>() {
            return known.clone();
        }
        let tcp = extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
        let client = tcp.or_else(|| extensions.get().map(|ConnectInfo(address)| *address));
        let request_id = headers.get(REQUEST_ID).filter(|id| is_acceptable(id)).cloned().unwrap_or_else(new_id);
        Self(Arc::new(Inner { client, request_id, parent: Parent::of(headers) }))
    }

    /// Address of the client, where the connection has one.
    pub fn client(&self) -> Option<SocketAddr> {
        self.0.client
    }

    /// The id that the client sent in `x-request-id`, or one that the server made.
    pub fn request_id(&self) -> &str {
        self.0.request_id.to_str().unwrap_or_default()
    }

    /// The id as a header of the answer.
    pub(super) fn header(&self) -> HeaderValue {
        self.0.request_id.clone()
    }

    /// The span that the client made the request in.
    pub fn parent(&self) -> Option<&Parent> {
        self.0.parent.as_ref()
    }
}

/// Ids go into log lines and back to the client: printable ASCII without spaces, of bounded length.
fn is_acceptable(id: &HeaderValue) -> bool {
    (1..=LONGEST_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
}

/// An id that no other request of this or of another server has: a random number of this process, and a count.
fn new_id() -> HeaderValue {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish());
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let id = format!("{:016x}{:08x}", *PROCESS, COUNT.fetch_add(1, Relaxed));
    HeaderValue::from_str(&id).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_for(sent: &[u8]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_bytes(sent).unwrap());
        Origin::of(&headers, &Extensions::new()).request_id().to_owned()
    }

    #[test]
    fn a_client_s_id_is_kept_where_it_can_be_logged() {
        assert_eq!(id_for(b"order-4711"), "order-4711");
        let long = "x".repeat(LONGEST_ID + 1);
        for refused in [b"".as_slice(), b"two words", "ü".as_bytes(), long.as_bytes()] {
            let made = id_for(refused);
            assert!(made.len() == 24 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "{made}");
        }
        assert_ne!(id_for(b""), id_for(b""));
    }

    #[test]
    fn what_was_noted_first_holds() {
        let first = Origin::of(&HeaderMap::new(), &Extensions::new());
        let mut extensions = Extensions::new();
        extensions.insert(first.clone());
        assert_eq!(Origin::of(&HeaderMap::new(), &extensions).request_id(), first.request_id());
    }

    #[test]
    fn the_client_s_address_is_the_connection_s() {
        let address: SocketAddr = "192.0.2.7:4242".parse().unwrap();
        let mut grpc = Extensions::new();
        grpc.insert(TcpConnectInfo { local_addr: None, remote_addr: Some(address) });
        let mut http = Extensions::new();
        http.insert(ConnectInfo(address));
        for extensions in [grpc, http] {
            assert_eq!(Origin::of(&HeaderMap::new(), &extensions).client(), Some(address));
        }
    }
}

//! A client of one request a connection, and what it gets.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use serde_json::Value;

use super::Server;

#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Response {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(super) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The code and the message of an error.
    pub(super) fn error(&self) -> (String, String) {
        let json = self.json();
        assert_eq!(json.as_object().unwrap().len(), 2, "{json}");
        (json["code"].as_str().unwrap().to_owned(), json["error"].as_str().unwrap().to_owned())
    }
}

impl Server {
    pub(super) fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[], b"")
    }

    pub(super) fn post(&self, path: &str, body: &[u8]) -> Response {
        self.send("POST", path, &[("Content-Type", "image/png")], body)
    }

    pub(super) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let length = body.len().to_string();
        let headers: Vec<_> = headers.iter().copied().chain([("Content-Length", length.as_str())]).collect();
        let mut stream = self.open(method, path, &headers);
        stream.write_all(body).unwrap();
        read(&mut stream, method)
    }

    /// Sends the head of a request.
    pub(super) fn open(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n").unwrap();
        stream
    }
}

/// Reads an answer to its end.
pub(super) fn read(stream: &mut TcpStream, method: &str) -> Response {
    let mut bytes = Vec::new();
    let mut chunk = [0; 1 << 16];
    // Where the server does not take all of a body the connection may be reset behind the answer.
    while let Ok(count @ 1..) = stream.read(&mut chunk) {
        bytes.extend_from_slice(&chunk[..count]);
    }
    let _ = stream.shutdown(Shutdown::Both);
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_ascii_lowercase(), value.to_owned())
    };
    let response = Response { status, headers: lines.map(header).collect(), body: bytes[end + 4..].to_vec() };
    let length: usize = response.header("content-length").unwrap().parse().unwrap();
    assert_eq!(response.body.len(), if method == "HEAD" { 0 } else { length });
    response
}

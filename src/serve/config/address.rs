//! Where a port listens: a host, by name or number, and a port.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Error;

/// A host and a port: `127.0.0.1:8001`, `[::1]:8001` or `localhost:8001`. A name is looked up when the server starts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
}

impl Address {
    /// A port of this machine that no other machine reaches.
    pub fn local(port: u16) -> Self {
        Self { host: "127.0.0.1".to_owned(), port }
    }

    /// The host's name or number.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 0 is any that is free.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            let shown: String = text.chars().take(64).flat_map(char::escape_debug).collect();
            let reason = format!("`{shown}` is not HOST:PORT, such as 127.0.0.1:8001, [::1]:8001 or localhost:8001");
            Error::parameter("address", reason)
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_valid = match inside {
            Some(number) => number.parse::<IpAddr>().is_ok_and(|number| number.is_ipv6()),
            None => {
                let of_name = |c: char| c.is_ascii_alphanumeric() || ['-', '.', '_'].contains(&c);
                !host.is_empty() && host.chars().all(of_name)
            }
        };
        if !is_valid {
            return Err(wrong());
        }
        Ok(Self { host: inside.unwrap_or(host).to_owned(), port })
    }
}

impl TryFrom<String> for Address {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_addresses() {
        for text in ["127.0.0.1:8001", "[::1]:0", "localhost:8001", "line-3.plant.example:65535"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("[::1]:0".parse::<Address>().unwrap().host(), "::1");
        for text in [
            "8001",
            "localhost",
            "localhost:",
            ":8001",
            "localhost:65536",
            "::1:8001",
            "[localhost]:1",
            "a b:1",
            "http://x:1",
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("HOST:PORT"), "{error}");
        }
    }
}

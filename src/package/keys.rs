//! Keys of signatures: ed25519 (RFC 8032), in the PEM files that OpenSSL reads and writes.
//!
//! A private key is PKCS #8 (RFC 8410), a public key a SubjectPublicKeyInfo. Both have one form for ed25519 that differs only in the key's
//! 32 bytes, so their DER is compared with a fixed beginning and not parsed. Other kinds of keys are told by their object identifier, so that
//! the message can name them.

use std::{
    fmt,
    fs::File,
    io::{Read as _, Write as _},
    path::Path,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ring::{
    rand::{SecureRandom as _, SystemRandom},
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};

use crate::{Error, Reason, Result, digest::sha256};

/// Largest file of keys.
const MAX_KEY_BYTES: u64 = 1 << 20;
/// DER of the algorithm ed25519: a sequence of its object identifier.
const ALGORITHM: [u8; 7] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];
/// DER of a public key before its 32 bytes.
const PUBLIC: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// DER of a private key before its 32 bytes (PKCS #8, version 1).
const PRIVATE: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Points of small order, without the sign bit of x: for such a key, signatures exist that fit many messages. No program makes one.
const SMALL_ORDER: [[u8; 32]; 7] = [
    with_ends(0x00, 0x00, 0x00),
    with_ends(0x01, 0x00, 0x00),
    with_ends(0xec, 0xff, 0x7f),
    with_ends(0xed, 0xff, 0x7f),
    with_ends(0xee, 0xff, 0x7f),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

const fn with_ends(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    (bytes[0], bytes[31]) = (first, last);
    bytes
}

/// A public key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    bytes: [u8; 32],
    id: String,
}

impl PublicKey {
    fn new(bytes: [u8; 32]) -> Result<Self, Reason> {
        let mut y = bytes;
        y[31] &= 0x7f;
        if SMALL_ORDER.contains(&y) {
            return Err(
                "is not a key: its point has a small order, so anybody could make signatures that fit it".into()
            );
        }
        Ok(Self { bytes, id: sha256(&[&PUBLIC[..], &bytes].concat()) })
    }

    fn from_der(der: &[u8]) -> Result<Self, Reason> {
        let bytes = der.strip_prefix(&PUBLIC).and_then(|bytes| bytes.try_into().ok());
        Self::new(bytes.ok_or_else(|| other_kind(der, "public"))?)
    }

    /// Its name in signatures and messages: the SHA-256 of its DER, as `openssl pkey -pubin -in FILE -outform DER | sha256sum` prints it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key as a PEM file.
    pub fn to_pem(&self) -> String {
        pem("PUBLIC KEY", &[&PUBLIC[..], &self.bytes].concat())
    }

    /// Whether a signature of a message is this key's.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.bytes).verify(message, signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PublicKey({})", self.id)
    }
}

/// A private key.
#[derive(Debug)]
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl SigningKey {
    fn new(pair: Ed25519KeyPair) -> Result<Self, Reason> {
        let bytes = pair.public_key().as_ref().try_into();
        let bytes = bytes.map_err(|_| Reason::from("has a public key that does not have 32 bytes"))?;
        Ok(Self { pair, public: PublicKey::new(bytes)? })
    }

    /// Makes a key from the system's random numbers and writes it to a PEM file that only its owner may read. An existing file is kept and
    /// is an error.
    ///
    /// # Errors
    /// [`Error::Io`], also if the file exists; [`Error::Unavailable`] if the system has no random numbers.
    pub fn create(path: &Path) -> Result<Self> {
        let mut seed = [0; 32];
        let no_random = |_| Error::unavailable("the system has no random numbers to make a key of");
        SystemRandom::new().fill(&mut seed).map_err(no_random)?;
        let refused = |error| Error::internal(format!("a new key is refused: {error}"));
        let key = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(refused)?;
        let key = Self::new(key).map_err(|reason| Error::internal(reason.within("a new key")))?;
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(Error::io("create", path))?;
        let text = pem("PRIVATE KEY", &[&PRIVATE[..], &seed].concat());
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(Error::io("write", path))?;
        Ok(key)
    }

    /// Reads the PEM file of one private key.
    ///
    /// # Errors
    /// [`Error::Data`] for a file of something else that says what it is; [`Error::Io`].
    pub fn read(path: &Path) -> Result<Self> {
        let parsed = Self::from_pem(&read_text(path)?);
        parsed.map_err(|reason| Error::data(path, reason))
    }

    fn from_pem(text: &str) -> Result<Self, Reason> {
        let blocks = blocks(text)?;
        let [(label, der)] = blocks.as_slice() else {
            return Err(format!("holds {} PEM blocks; signing takes a file of one private key", blocks.len()).into());
        };
        match label.as_str() {
            "PRIVATE KEY" => {}
            "ENCRYPTED PRIVATE KEY" => {
                return Err(
                    "holds an encrypted private key; decrypt it first (openssl pkey -in FILE -out PLAIN)".into()
                );
            }
            "PUBLIC KEY" => return Err("holds a public key; signing takes the private one".into()),
            other => return Err(not_a_key(other, "private")),
        }
        if der.get(5..12) != Some(&ALGORITHM[..]) {
            return Err(other_kind(der, "private"));
        }
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der);
        Self::new(pair.map_err(|error| Reason::from(format!("holds a damaged ed25519 key: {error}")))?)
    }

    /// The public key that belongs to it.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

/// The public keys whose signatures are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKeys {
    keys: Vec<PublicKey>,
}

impl TrustedKeys {
    /// Reads a PEM file of one or more public keys. Text outside the blocks is ignored.
    ///
    /// # Errors
    /// [`Error::Data`] for a file without a key, or with something else that says what it is; [`Error::Io`].
    pub fn read(path: &Path) -> Result<Self> {
        let parsed = Self::parse(&read_text(path)?);
        parsed.map_err(|reason| Error::data(path, reason))
    }

    /// As [`read`](Self::read), from the text of a PEM file.
    ///
    /// # Errors
    /// [`Error::Parameter`] as [`read`](Self::read) has [`Error::Data`].
    pub fn from_pem(text: &str) -> Result<Self> {
        Self::parse(text).map_err(|reason| Error::parameter("trusted_keys", reason))
    }

    fn parse(text: &str) -> Result<Self, Reason> {
        let mut keys = Vec::new();
        for (index, (label, der)) in blocks(text)?.iter().enumerate() {
            let key = match label.as_str() {
                "PUBLIC KEY" => PublicKey::from_der(der),
                label if label.ends_with("PRIVATE KEY") => Err("is a private key; trusted keys are public ones \
                    (openssl pkey -in FILE -pubout). Keep the private key where packages are signed"
                    .into()),
                "CERTIFICATE" => {
                    Err("is a certificate; give its public key (openssl x509 -in FILE -pubkey -noout)".into())
                }
                other => Err(not_a_key(other, "public")),
            };
            let key = key.map_err(|reason| reason.within(format_args!("key {}", index + 1)))?;
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        Ok(Self { keys })
    }

    /// The keys, each once, in the file's order.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// The key of this id.
    pub(super) fn find(&self, id: &str) -> Option<&PublicKey> {
        self.keys.iter().find(|key| key.id == id)
    }
}

fn read_text(path: &Path) -> Result<String> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let mut bytes = Vec::new();
    file.take(MAX_KEY_BYTES + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.len() as u64 > MAX_KEY_BYTES {
        return Err(Error::data(path, format!("has more than {MAX_KEY_BYTES} bytes; it is not a file of keys")));
    }
    String::from_utf8(bytes).map_err(|_| Error::data(path, "is not a PEM file: it is not text"))
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: String =
        text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned() + "\n").collect();
    format!("-----BEGIN {label}-----\n{lines}-----END {label}-----\n")
}

/// Label and content of every block of a PEM file; at least one.
fn blocks(text: &str) -> Result<Vec<(String, Vec<u8>)>, Reason> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(label) = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----")) else {
            continue;
        };
        let (end, mut content, mut ended) = (format!("-----END {label}-----"), String::new(), false);
        for line in lines.by_ref() {
            ended = line == end;
            if ended {
                break;
            }
            content.push_str(line);
        }
        let number = blocks.len() + 1;
        if !ended {
            return Err(format!("block {number} has no line `{end}`; the file is cut off").into());
        }
        // Headers of old encrypted keys are not base64; the label tells what they are.
        let der = BASE64_STANDARD.decode(&content);
        if der.is_err() && label.ends_with("PUBLIC KEY") {
            return Err(format!("block {number} ({label}) is not base64").into());
        }
        blocks.push((label.to_owned(), der.unwrap_or_default()));
    }
    if blocks.is_empty() {
        return Err("holds no PEM block such as -----BEGIN PUBLIC KEY-----".into());
    }
    Ok(blocks)
}

fn not_a_key(label: &str, wanted: &str) -> Reason {
    let kind = match label.split(' ').next().unwrap_or_default() {
        "RSA" | "EC" | "DSA" => format!("is a key of the kind {label}"),
        _ => format!("is `{label}`"),
    };
    format!("{kind}; packages are signed with ed25519 {wanted} keys (uflow package keygen)").into()
}

/// Why DER is not an ed25519 key.
fn other_kind(der: &[u8], wanted: &str) -> Reason {
    const KINDS: [(&str, &[u8]); 6] = [
        ("RSA", &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01]),
        ("elliptic-curve (ECDSA)", &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]),
        ("DSA", &[0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01]),
        ("ed448", &[0x06, 0x03, 0x2b, 0x65, 0x71]),
        ("x25519", &[0x06, 0x03, 0x2b, 0x65, 0x6e]),
        ("x448", &[0x06, 0x03, 0x2b, 0x65, 0x6f]),
    ];
    let head = &der[..der.len().min(48)];
    if head.windows(ALGORITHM.len()).any(|part| part == ALGORITHM) {
        return format!("is a damaged ed25519 {wanted} key").into();
    }
    let found = KINDS.iter().find(|(_, oid)| head.windows(oid.len()).any(|part| part == *oid));
    let found = found.map_or("of an unknown kind".to_owned(), |(kind, _)| format!("of the kind {kind}"));
    format!("is a {wanted} key {found}; packages are signed with ed25519 keys (uflow package keygen)").into()
}

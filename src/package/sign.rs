//! Signatures: who made a package, and that nobody changed it since.
//!
//! A package is signed by the file `uflow.sig` in it. What is signed is this text:
//!
//! ```text
//! uflow package signature 1
//! <sha256>  roi.png
//! <sha256>  uflow.json
//! ```
//!
//! with a line, sorted by name, for the manifest and for each file whose hash is not in the manifest. Networks and golden frames are covered
//! by their hashes in the manifest. A backbone that a repository shares is covered too. Files that the manifest does not name are never read.
//!
//! The text is made of the bytes that were loaded when the package was opened, so there is no moment between check and use. A signature does
//! not say which product, version or folder a package is for; `name` and `version` in the manifest are part of what is signed.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{
    MANIFEST_FILE, Manifest, Package, SIGNATURE_FILE, SigningKey, TrustedKeys,
    source::Source,
    text::{check_hex, check_sha256},
};
use crate::{
    Error, Reason, Result,
    digest::{hex, sha256},
};

/// Largest file of a signature.
pub(crate) const MAX_SIGNATURE_BYTES: u64 = 4096;
/// The format that this version reads and writes.
const FORMAT: u32 = 1;
/// The only algorithm.
const ALGORITHM: &str = "ed25519";
/// Bytes of a signature.
const LENGTH: usize = 64;

/// The content of `uflow.sig`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Version of the file's format, 1.
    pub format: u32,
    /// `ed25519`.
    pub algorithm: String,
    /// The key that signed: [`PublicKey::id`](super::PublicKey::id).
    pub key_id: String,
    /// The signature's 64 bytes in lower-case hexadecimal.
    pub signature: String,
}

impl Signature {
    /// Signs files: their names and the SHA-256 of their content.
    pub(super) fn of(files: &[(&str, String)], key: &SigningKey) -> Self {
        Self {
            format: FORMAT,
            algorithm: ALGORITHM.to_owned(),
            key_id: key.public().id().to_owned(),
            signature: hex(&key.sign(message(files).as_bytes())),
        }
    }

    pub(super) fn to_json(&self) -> Result<String> {
        let json = serde_json::to_string_pretty(self);
        Ok(json.map_err(|error| Error::package(SIGNATURE_FILE, Reason::of(error)))? + "\n")
    }

    /// Reads the signature of a package, if it has one.
    pub(super) fn read(source: &mut Source) -> Result<Option<Self>, Reason> {
        if !source.has(SIGNATURE_FILE) {
            return Ok(None);
        }
        let text = source.read(SIGNATURE_FILE, MAX_SIGNATURE_BYTES)?;
        Self::parse(&text).map(Some).map_err(|reason| reason.within(SIGNATURE_FILE))
    }

    fn parse(text: &[u8]) -> Result<Self, Reason> {
        // An array of the values would be read as well.
        if text.trim_ascii_start().first() != Some(&b'{') {
            return Err("is not the JSON object of a signature; sign the package again (uflow package sign)".into());
        }
        /// The format's number decides how the rest is read.
        #[derive(Deserialize)]
        struct Probe {
            format: Option<serde_json::Value>,
        }
        let probe: Probe = serde_json::from_slice(text).map_err(Reason::of)?;
        match probe.format {
            Some(format) if format == FORMAT => {}
            Some(format) if format.as_u64().is_some_and(|format| format > u64::from(FORMAT)) => {
                return Err(format!("format: {format} is newer than this version of uflow reads ({FORMAT})").into());
            }
            Some(format) => return Err(format!("format: {format} is not a known format; it must be {FORMAT}").into()),
            None => return Err("format: is missing; this is not a signature of a package".into()),
        }
        let signature: Self = serde_json::from_slice(text).map_err(Reason::of)?;
        if signature.algorithm != ALGORITHM {
            return Err(format!("algorithm: `{}` is not known; it must be {ALGORITHM}", signature.algorithm).into());
        }
        check_sha256(&signature.key_id).map_err(|reason| format!("key_id: {reason}"))?;
        check_hex(&signature.signature, 2 * LENGTH).map_err(|reason| format!("signature: {reason}"))?;
        Ok(signature)
    }

    fn bytes(&self) -> Vec<u8> {
        let pairs = self.signature.as_bytes().as_chunks::<2>().0.iter();
        let digit = |digit: u8| char::from(digit).to_digit(16).unwrap_or(0) as u8;
        pairs.map(|&[high, low]| digit(high) << 4 | digit(low)).collect()
    }
}

/// What is signed: see the head of this module.
pub(super) fn message(files: &[(&str, String)]) -> String {
    let mut lines: Vec<_> = files.iter().map(|(name, sha256)| (*name, format!("{sha256}  {name}\n"))).collect();
    lines.sort();
    let lines: String = lines.into_iter().map(|(_, line)| line).collect();
    format!("uflow package signature {FORMAT}\n{lines}")
}

/// Names and hashes of the files that a signature covers, beside those whose hashes are in the manifest.
pub(super) fn signed_files<'a>(manifest: &'a Manifest, json: &[u8], roi: Option<&[u8]>) -> Vec<(&'a str, String)> {
    let roi = manifest.detection.roi.as_deref().zip(roi);
    let roi = roi.map(|(name, png)| (name, sha256(png)));
    [Some((MANIFEST_FILE, sha256(json))), roi].into_iter().flatten().collect()
}

impl Package {
    /// Refuses a package that none of these keys signed, or that was changed since.
    ///
    /// # Errors
    /// [`Error::Package`] that says which of the three it is: not signed, signed by another key, or changed.
    pub fn check_signed_by(&self, trusted: &TrustedKeys) -> Result<()> {
        self.find_signer(trusted).map_err(|reason| Error::package(&self.path, reason))
    }

    fn find_signer(&self, trusted: &TrustedKeys) -> Result<(), Reason> {
        let advice = "sign it with a trusted key (uflow package sign PKG --key FILE)";
        let Some(signature) = &self.signature else {
            return Err(
                format!("is not signed, and only packages with a trusted signature are accepted; {advice}").into()
            );
        };
        let id = &signature.key_id;
        let Some(key) = trusted.find(id) else {
            let ids: Vec<_> = trusted.keys().iter().map(|key| key.id()).collect();
            let (keys, are) = if ids.len() == 1 { ("key", "is") } else { ("keys", "are") };
            return Err(format!(
                "is signed by the key {id}, which is not trusted; the trusted {keys} {are} {}; {advice}, or add that key's public \
                 part to the trusted keys",
                ids.join(", ")
            )
            .into());
        };
        if key.verifies(self.signed.as_bytes(), &signature.bytes()) {
            return Ok(());
        }
        Err(format!(
            "the signature of the key {id} does not match: the package was changed after it was signed, or {SIGNATURE_FILE} belongs to \
             another package; take the original, or check the package and sign it again"
        )
        .into())
    }

    /// Writes the package with a signature to `path`, to its own path too, whole or not at all.
    ///
    /// # Errors
    /// As [`write()`](super::write()).
    pub fn write_signed(&self, path: &Path, key: &SigningKey) -> Result<()> {
        self.rewrite(path, &self.manifest, self.roi.as_deref(), &self.golden, Some(key)).map(drop)
    }
}
